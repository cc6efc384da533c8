"""`next = [tok = sample(logits[:, -1], temperature = 0.8)]`: how a sequence goes on.

In: the setting, the model and the data of a train block. Out: the function `next` and its specification. The model is traced once
more, as in evaluation, over an input whose length is free: the meaning of `next` is the whole prefix computed anew for each
position; the pass `incremental` keeps what does not change. Guaranteed: the integers fit the input that they continue; how long the
prefix may become is known where a table of positions bounds it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from bmc.frontend.bodies.dims import Failure
from bmc.frontend.bodies.elaborator import Elaborator
from bmc.frontend.bodies.keys import KeyScope
from bmc.frontend.bodies.trace import ROW, Trace, first_mixing
from bmc.frontend.bodies.values import (
    POISON,
    Bound,
    Closure,
    Datum,
    Environment,
    LayerInstance,
    Namespace,
    Poison,
    Tensor,
    describe,
)
from bmc.frontend.data.block import DataBlock
from bmc.frontend.errors import train_errors
from bmc.frontend.generic import outputs_of
from bmc.frontend.scope import FileScope
from bmc.frontend.syntax import tree as syntax
from bmc.frontend.train.prompts import trace_prompt
from bmc.frontend.unit import NEXT, GenerationSpec
from bmc.ir import Function, Poly, Result
from bmc.ir.dims import evaluate, symbols
from bmc.ir.types import is_integer
from bmc.ops.extents import open_extents
from bmc.record import record, replace
from bmc.source import Span

__all__ = ["POSITIONS", "Generation", "trace_generation"]

POSITIONS = "T"
"""The symbol of the length of the input that grows; `bmc.passes.prefix` knows it by the same name."""

_LONGEST = 1 << 30


@record(frozen=True, eq=False)
class Generation:
    """`encode`: from text to the input, where there is such a way."""

    next: Function
    encode: Function | None
    spec: GenerationSpec


def trace_generation(
    core: Elaborator,
    declaration: syntax.Train,
    scope: FileScope,
    model: Closure,
    data: DataBlock,
    entry: syntax.Setting,
    bindings: Mapping[str, str],
) -> Generation | None:
    """The functions and their specification; None after a report. `bindings`: data outputs by model input. Raises Failure."""
    item = _item(core, entry, model)
    name = item.key.text if isinstance(item.key, syntax.Name) else item.key.value
    inputs = {p.name.text: p for p in model.declaration.inputs}
    others = [p for n, p in inputs.items() if n != name and p.default is None]
    if others:
        raise Failure(train_errors.other_inputs(item.span, name, [p.name.text for p in others], others[0].span))
    output = bindings.get(name, "")
    bound = data.outputs.get(output)
    if bound is None or not isinstance(bound.value, Tensor):
        return None  # said where it is bound
    sequence = bound.value
    trace = Trace(NEXT, ROW, settings={})
    core.trace = trace
    core.keys = KeyScope()
    core.binding = None
    instance = _instance(core, declaration, scope, model)
    _require_growing(core, item.span, name, sequence, inputs[name], instance)
    kind = sequence.type.with_shape((Poly.symbol(ROW), Poly.symbol(POSITIONS)))
    origins = (sequence.origin(0), inputs[name].span)
    grown = replace(sequence, value=trace.parameter("input", output, kind), trace=trace, origins=origins, behind=None)
    try:
        result = core.apply_layer(instance, (), {name: Bound(grown, bound.span)}, declaration.header, None)
    except Failure as failure:
        found = failure.diagnostic
        note = f"found for `next`, where the length of `{name}` is free"
        raise Failure(None if found is None else replace(found, notes=(*found.notes, note))) from None
    env = _names(declaration, scope, model, outputs_of(model.declaration, result), output, Bound(grown, bound.span))
    read = _names_in(item.value)
    for setting in reversed(declaration.entries):
        if isinstance(setting, syntax.Let) and setting.name.text in read:
            read |= _names_in(setting.value)
    core.run([e for e in declaration.entries if isinstance(e, syntax.Let) and e.name.text in read], env)
    value = core.evaluate(item.value, env)
    tensor = _checked(value, item.value.span, name, sequence)
    made = Result(tensor.value, "output", NEXT)
    function = trace.cut(NEXT, [made])
    op, place = first_mixing(function)
    if op is not None:
        raise Failure(train_errors.mixes_rows(item.value.span, NEXT, place))
    least, limit, by = _lengths(function)
    settings = tuple((trace.settings or {}).items())
    below = sequence.below if isinstance(sequence.below, int) else None
    prompt = trace_prompt(data, output, sequence)
    spec = GenerationSpec(
        output, sequence.dtype, below, settings, least, limit, by, item.span, None if prompt is None else prompt[1]
    )  # fmt: skip
    return Generation(function, None if prompt is None else prompt[0], spec)


def _item(core: Elaborator, entry: syntax.Setting, model: Closure) -> syntax.Keyed:
    """The only item of the setting, whose name is an input of the model. Raises Failure."""
    items = entry.value.items if isinstance(entry.value, syntax.ListExpr) else ()
    names = [p.name.text for p in model.declaration.inputs]
    if len(items) != 1 or not isinstance(items[0], syntax.Keyed):
        wanted = "the input that grows and its next integer, such as `[tok = sample(logits[:, -1])]`"
        raise Failure(train_errors.bad_setting(entry.value.span, "next", wanted, f"{len(items)} items" if items else "this"))
    key = items[0].key
    text = key.text if isinstance(key, syntax.Name) else key.value
    if text not in names:
        raise Failure(train_errors.unknown_binding(key.span, text, "input", names))
    return items[0]


def _instance(core: Elaborator, declaration: syntax.Train, scope: FileScope, model: Closure) -> LayerInstance:
    positional, keyword = core.arguments(declaration.arguments or (), Environment(scope))
    instance = core.apply(model, positional, keyword, declaration.header)
    if not isinstance(instance, LayerInstance):
        raise Failure
    instance.path = ()
    return instance


def _require_growing(
    core: Elaborator, span: Span, name: str, sequence: Tensor, parameter: syntax.Parameter, instance: LayerInstance
) -> None:
    """One integer for each position, and as many positions as there are. Raises Failure."""
    if not is_integer(sequence.dtype) or sequence.rank != 2 or sequence.valid is not None:
        raise Failure(train_errors.cannot_grow(span, name, f"it is {describe(sequence)}, not integers [B, T]", parameter.span))
    dims = parameter.type.dims if parameter.type is not None else None
    length = dims[1] if dims is not None and len(dims) == 2 and not any(isinstance(d, syntax.Rest) for d in dims) else None
    if length is None:
        return
    fact = None
    if isinstance(length, syntax.Name):
        fact = core.fixed_dims(Environment(instance.closure.scope, dict(instance.hyper))).fact(length)
        if fact is None:
            return
    size = length.span.text if fact is None else f"{length.span.text} = {fact.dim}"
    raise Failure(train_errors.cannot_grow(span, name, f"its length is fixed: {size}", length.span))


def _names(
    declaration: syntax.Train,
    scope: FileScope,
    model: Closure,
    outputs: Sequence[tuple[str, Tensor]],
    output: str,
    grown: Bound,
) -> Environment:
    """What the expression of `next` sees: the outputs of the model, and the input that grows."""
    env = Environment(scope)
    values = dict(outputs)
    results = {r.name.text if r.name is not None else "output": r.span for r in model.declaration.results}
    mine = {n: Bound(values.get(n, POISON), span) for n, span in results.items()}
    env.names.update({output: grown, **mine})
    env.names.setdefault(declaration.model.text, Bound(Namespace(declaration.model.text, mine), declaration.model.span))
    return env


def _names_in(node: object) -> set[str]:
    """Names that an expression reads."""
    found: set[str] = set()
    waiting = [node]
    while waiting:
        item = waiting.pop()
        if isinstance(item, syntax.Name):
            found.add(item.text)
        elif isinstance(item, tuple):
            waiting.extend(item)
        elif not isinstance(item, Span):
            waiting.extend(getattr(item, name) for name in getattr(item, "__match_args__", ()))
    return found


def _checked(value: Datum, span: Span, name: str, sequence: Tensor) -> Tensor:
    """One integer for each row, within the bound of the input. Raises Failure."""
    if isinstance(value, Poison):
        raise Failure
    if not isinstance(value, Tensor) or not is_integer(value.dtype) or value.shape != (Poly.symbol(ROW),):
        raise Failure(train_errors.bad_next(span, name, f"{describe(value)} is not one integer for each row", None))
    below, limit = value.below, sequence.below
    if isinstance(limit, int) and not (isinstance(below, int) and below <= limit):
        what = "they have no bound" if not isinstance(below, int) else f"they lie below {below}"
        reason = f"the integers of `{name}` lie below {limit}, and of these it is known that {what}"
        raise Failure(train_errors.bad_next(span, name, reason, sequence.below_origin))
    return value


def _lengths(function: Function) -> tuple[int, int | None, Span | None]:
    """The least length and the greatest one at which every slice lies within what it is taken of and no dim is negative; and what
    bounds the greatest. Dims grow or fall with the length, or are as they are."""
    wanted: dict[Poly, Span | None] = {}
    for op in function.ops:
        for dim in open_extents(op):
            wanted.setdefault(dim, op.location.spans[0] if op.location.spans else None)
    least, greatest, by = 1, None, None
    for poly, span in wanted.items():
        if symbols(poly) != {POSITIONS}:
            continue
        if evaluate(poly, {POSITIONS: _LONGEST}) < 0:
            bound = _first(lambda length, d=poly: evaluate(d, {POSITIONS: length}) < 0) - 1  # type: ignore[misc]
            if greatest is None or bound < greatest:
                greatest, by = bound, span
        else:
            least = max(least, _first(lambda length, d=poly: evaluate(d, {POSITIONS: length}) >= 0))  # type: ignore[misc]
    return least, greatest, by


def _first(holds: Callable[[int], bool]) -> int:
    """The least length from which on something holds."""
    low, high = 0, _LONGEST
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low
