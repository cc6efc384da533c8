"""The model over the outputs of the data: which input takes which output, and one trace of both.

In: a train block. Out: a `ModelPass`. Guaranteed: where an input is wrong, which is reported, types stand in for it, and names are
still checked.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from bmc.frontend.bodies.dims import Failure
from bmc.frontend.bodies.elaborator import Elaborator
from bmc.frontend.bodies.keys import KeyScope
from bmc.frontend.bodies.trace import Trace
from bmc.frontend.bodies.values import POISON, Bound, Environment, LayerInstance, Namespace, Poison, Tensor, describe
from bmc.frontend.errors import train_errors, type_errors
from bmc.frontend.generic import outputs_of, rigid_input
from bmc.frontend.syntax import tree as syntax
from bmc.frontend.train.settings import Settings
from bmc.frontend.train.traced import ModelPass, TrainBlock
from bmc.record import replace
from bmc.source import Span

__all__ = ["bind_inputs", "run_model"]


def _data_inputs(core: Elaborator, block: TrainBlock) -> dict[str, Bound]:
    """Data outputs as inputs of the present trace."""
    made: dict[str, Bound] = {}
    for name, bound in block.data.outputs.items():
        behind = bound.value
        if not isinstance(behind, Tensor):
            made[name] = bound
            continue
        value = core.trace.parameter("input", name, behind.type)
        valid = None if behind.valid is None else core.trace.parameter("input", f"{name}.valid", behind.valid.type)
        made[name] = Bound(
            replace(behind, value=value, trace=core.trace, valid=valid, behind=behind, lengths=None), bound.span
        )
    return made


def bind_inputs(core: Elaborator, block: TrainBlock, settings: Settings) -> tuple[tuple[str, str], ...]:
    """Which data output feeds which input: by name, unless `inputs` says otherwise."""
    declared = {p.name.text: p for p in block.model.declaration.inputs}
    outputs = block.data.outputs
    chosen: dict[str, str] = {}
    entry = settings.entries.get("inputs")
    if entry is not None:
        items = entry.value.items if isinstance(entry.value, syntax.ListExpr) else ()
        if not items:
            core.report(train_errors.bad_setting(entry.value.span, "inputs", "a list such as `[x = pixels]`", "something else"))
        for item in items:
            if (
                not isinstance(item, syntax.Keyed)
                or not isinstance(item.key, syntax.Name)
                or not isinstance(item.value, syntax.Name)
            ):
                core.report(train_errors.bad_setting(item.span, "inputs", "pairs such as `x = pixels`", "something else"))
            elif item.key.text not in declared:
                core.report(train_errors.unknown_binding(item.key.span, item.key.text, "input", list(declared)))
            elif item.value.text not in outputs:
                core.report(train_errors.unknown_binding(item.value.span, item.value.text, "output", list(outputs)))
            else:
                chosen[item.key.text] = item.value.text
    for name, parameter in declared.items():
        if name in chosen:
            continue
        if name in outputs:
            chosen[name] = name
        elif parameter.default is None:
            where = block.declaration.header
            idle = _idle(block, [*declared, *chosen.values()])
            core.report(
                train_errors.input_missing(where, block.model.name, name, parameter.span, block.data.name, list(outputs), idle)
            )
            chosen[name] = ""
    return tuple((n, chosen[n]) for n in declared if n in chosen)


def _idle(block: TrainBlock, taken: Sequence[str]) -> dict[str, Span]:
    """Outputs of the data that no input takes and that the block does not speak of, each with the place of its name."""
    said = set(re.findall(r"\w+", block.declaration.span.text))
    entries = [e for e in block.data.declaration.entries if isinstance(e, syntax.Output)]
    return {e.name.text: e.name.span for e in entries if e.name.text not in said and e.name.text not in taken}


def run_model(core: Elaborator, block: TrainBlock, bindings: Sequence[tuple[str, str]], trace: Trace) -> ModelPass:
    """Trace the model. Where its inputs are wrong, which has been reported, types stand in for them, and only names are checked."""
    core.trace = trace
    core.keys = KeyScope()
    core.binding = None
    inputs = _data_inputs(core, block)
    header = block.declaration
    env = Environment(block.scope, columns={c.name: c.span for c in block.data.columns})
    positional, keyword = core.arguments(header.arguments or (), env)
    instance = core.apply(block.model, positional, keyword, header.header)
    if not isinstance(instance, LayerInstance):
        raise Failure
    instance.path = ()
    given: dict[str, Bound] = {}
    declared = {p.name.text: p for p in block.model.declaration.inputs}
    for name, output in bindings:
        bound = inputs.get(output)
        if bound is None or isinstance(bound.value, Poison):
            core.names_only = True
            given[name] = rigid_input(core, instance, declared[name], header.header)
            continue
        if isinstance(bound.value, Tensor) and bound.value.valid is not None:
            missing = type_errors.may_be_missing(bound.span, describe(bound.value), f"the input `{name}`", declared[name].span)
            raise Failure(missing)
        given[name] = bound
    result = core.apply_layer(instance, (), given, header.header, None)
    outputs = outputs_of(block.model.declaration, result)
    names = {r.name.text if r.name is not None else "output": r.span for r in block.model.declaration.results}
    values = dict(outputs)
    mine = {n: Bound(values.get(n, POISON), s) for n, s in names.items()}
    bounds: dict[str, Bound] = dict(inputs)
    for name, bound in mine.items():
        bounds[name] = replace(bound, hidden=True) if name in inputs else bound
    model_name, data_name = block.model.name, block.data.name
    bounds.setdefault(model_name, Bound(Namespace(model_name, mine), header.model.span))
    bounds.setdefault(data_name, Bound(Namespace(data_name, inputs), header.data.span))
    env.names.update(bounds)
    tensors = {n: b.value for n, b in inputs.items() if isinstance(b.value, Tensor)}
    traced = ModelPass(trace, env, outputs, tensors)
    for entry in header.entries:
        if isinstance(entry, syntax.Let):
            core.run((entry,), env)
    return traced
