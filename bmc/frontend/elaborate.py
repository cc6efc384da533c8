"""Syntax tree to `Unit`: the whole of elaboration on one page.

In: source files, which block to take, overrides, the float type. Out: a unit, or None, and diagnostics (errors, warnings
and notes in
the order in which they were found). Guaranteed: a unit comes back only when there is no error; several errors are
reported in one run; the same input gives the same unit.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from bmc.errors import Diagnostic
from bmc.frontend.bodies.core import FloatType
from bmc.frontend.bodies.dims import Failure
from bmc.frontend.bodies.elaborator import Elaborator
from bmc.frontend.bodies.trace import AppliedLayer, Trace
from bmc.frontend.bodies.values import Closure
from bmc.frontend.data.block import data_functions, trace_data
from bmc.frontend.data.lengths import check_lengths
from bmc.frontend.errors import name_errors
from bmc.frontend.generic import trace_model
from bmc.frontend.overrides import apply_overrides
from bmc.frontend.scope import FileScope, Program, Reader, load_program
from bmc.frontend.syntax import tree as syntax
from bmc.frontend.train.block import TracedTraining, TrainBlock, trace_training
from bmc.frontend.unapplied import unapplied_errors
from bmc.frontend.unit import NEXT_STEP, LayerSpec, MomentSpec, StateSpec, TrainingSpec, Unit, WeightSpec
from bmc.frontend.unread import unread_names
from bmc.ir import Function, Module, Result, Value
from bmc.record import record, replace
from bmc.source import SourceFile

__all__ = ["Checked", "check", "elaborate"]

_RECURSION = 12_000
"""Python frames that nested expressions within nested calls may take: both are bounded (parse.MAX_DEPTH, calls.MAX_CALLS)."""


@contextmanager
def _room() -> Iterator[None]:
    """Frames enough, and no garbage collector: the graph only grows, and to walk it again and again takes quadratic time."""
    before = sys.getrecursionlimit()
    collecting = gc.isenabled()
    sys.setrecursionlimit(max(before, _RECURSION))
    gc.disable()
    try:
        yield
    finally:
        sys.setrecursionlimit(before)
        if collecting:
            gc.enable()


def _train_name(block: syntax.Train) -> str:
    return block.model.text if block.name is None else block.name.text


def _selected(program: Program, select: str | None) -> tuple[syntax.Train | syntax.Callable | None, list[Diagnostic]]:
    """The train block, or the model alone, that `select` means."""
    trains, models = program.main.trains, program.main.models()
    names = [_train_name(t) for t in trains] + [m.name.text for m in models]
    if select is not None:
        for block in trains:
            if _train_name(block) == select:
                return block, []
        for model in models:
            if model.name.text == select:
                return model, []
        return None, [name_errors.unknown_selection(select, list(dict.fromkeys(names)))]
    if len(trains) == 1:
        return trains[0], []
    if len(trains) > 1:
        return None, [name_errors.needs_choice([_train_name(t) for t in trains], "train block", trains[0].header)]
    if len(models) == 1:
        return models[0], []
    if models:
        return None, [name_errors.needs_choice([m.name.text for m in models], "model", models[0].name.span)]
    return None, [name_errors.unknown_selection("", [])]


def elaborate(
    files: Sequence[SourceFile],
    select: str | None = None,
    overrides: Mapping[str, str] | None = None,
    float_type: FloatType = "f32",
    read: Reader | None = None,
    opens: bool = True,
) -> tuple[Unit | None, tuple[Diagnostic, ...]]:
    """`files[0]` is the main file; the others, and then `read`, give what it uses. A library file among them stands in for
    the installed
    one. `read` None: no source is opened; `opens` False: nor are the headers of data and of other models. `select`: the name of a
    train block or of a model, needed where there are several."""
    with _room():
        program = load_program(files[0], files[1:], read)
        block, errors = _selected(program, select)
        if overrides and block is not None and not _wrong(program.diagnostics):
            changed, wrong = apply_overrides(program, block if isinstance(block, syntax.Train) else None, overrides)
            errors += wrong
            given = [f for f in files[1:] if all(f.name != c.name for c in changed)]
            program = load_program(changed[0], [*changed[1:], *given], read)
            block, again = _selected(program, select)
            errors += again
        findings = (*program.diagnostics, *errors)
        if block is None or _wrong(findings):
            return None, findings
        core = Elaborator(program, float_type)
        core.opens = opens
        unit = _train_unit(core, program, block) if isinstance(block, syntax.Train) else _model_unit(core, program, block)
        library = tuple(d for d in program.diagnostics if d not in findings)
        return unit, (*findings, *library, *core.diagnostics)


def _wrong(diagnostics: Sequence[Diagnostic]) -> bool:
    return any(d.level == "error" for d in diagnostics)


# --- one train block -----------------------------------------------------------------------------------------------------
def _resolve_block(core: Elaborator, program: Program, block: syntax.Train) -> tuple[Closure, FileScope, syntax.Data] | None:
    """The model and the data that a train block names."""
    scope = next(s for s in program.main.visible() if block in s.trains)
    model = program.resolve(scope, block.model.text)
    models = {m.name.text: m.name.span for s in scope.visible() for m in s.models()}
    closure: Closure | None = None
    if model is None or not isinstance(model[1], syntax.Callable) or model[1].kind != "model":
        core.report(name_errors.unknown_declaration(block.model.span, block.model.text, "model", models))
    else:
        closure = Closure(model[1], model[0])
    found = next(((s, s.data[block.data.text]) for s in scope.visible() if block.data.text in s.data), None)
    if found is None:
        names = {n: d.name.span for s in scope.visible() for n, d in s.data.items()}
        core.report(name_errors.unknown_declaration(block.data.span, block.data.text, "data block", names))
    return None if closure is None or found is None else (closure, *found)


def _train_unit(core: Elaborator, program: Program, block: syntax.Train) -> Unit | None:
    resolved = _resolve_block(core, program, block)
    if resolved is None:
        return None
    closure, data_scope, declaration = resolved
    data = trace_data(core, data_scope, declaration)
    training = TrainBlock(block, program.main, closure, data)
    traced = trace_training(core, training)
    if core.failed or _wrong(program.diagnostics) or traced.train is None or traced.eval is None or traced.predict is None:
        return None
    check_lengths(core, (traced.train, traced.eval, traced.predict), data.bucketings)
    if core.failed:
        return None
    used = {p.key for f in (traced.train, traced.eval) for p in f.params if p.role == "input"}
    outputs = [n for n in data.outputs if n in used]
    shown = () if traced.prediction is None else traced.prediction.columns
    tables = [k for c in shown for k in (c.table, c.count) if k is not None]
    going = traced.generation
    encode = () if going is None or going.encode is None else (going.encode,)
    if going is not None and going.spec.prompt is not None:
        tables += [k for k in (going.spec.prompt.table, going.spec.prompt.count) if k is not None]
    made = data_functions(core, data, outputs, [traced.predict, *encode], [traced.train, traced.eval], tables)
    functions = [_init(core), *made.functions, traced.train, traced.eval, traced.predict]
    if going is not None:
        # Once as it is meant, once for the pass that keeps what does not change.
        functions += [going.next, replace(going.next, name=NEXT_STEP), *encode]
    return Unit(
        training.name,
        closure.name,
        core.float_type,
        Module(tuple(functions)),
        _weights(core, traced, traced.train),
        _states(core),
        tuple(MomentSpec(k, t, w) for k, (t, w) in core.registry.moments.items()),
        made.spec,
        _training_spec(block, traced),
        traced.prediction,
        None if going is None else going.spec,
        traced.settings.report(),
        program.files(),
        tuple(core.diagnostics),
        tuple(traced.loading.stored),
        tuple(traced.loading.loaded),
        _layers(*traced.traces),
        traced.outputs,
    )


def _init(core: Elaborator) -> Function:
    """First values of weights, states and moments."""
    results = [Result(v, "update", k) for k, v in core.registry.initial.items()]
    return core.init.cut("init", results)


def _weights(core: Elaborator, traced: TracedTraining | None, train: Function | None) -> tuple[WeightSpec, ...]:
    updated = {r.key for r in train.results if r.role == "update"} if train is not None else set()
    specs: list[WeightSpec] = []
    for key, info in core.registry.weights.items():
        rule = traced.rules.get(key) if traced is not None else None
        text = "" if rule is None else rule.text
        specs.append(WeightSpec(key, info.type, key in updated, text, "" if rule is None else rule.pattern, info.named, info.span))
    return tuple(specs)


def _layers(train: Trace | None, evaluated: Trace) -> tuple[LayerSpec, ...]:
    """Applications by key path: a layer that is applied twice is one, with the products of both."""
    found: dict[tuple[str, ...], list[AppliedLayer]] = {}
    for applied in evaluated.layers:
        found.setdefault(applied.path, []).append(applied)
    learned: dict[tuple[str, ...], list[Value]] = {}
    for applied in train.layers if train is not None else ():
        learned.setdefault(applied.path, []).extend(applied.products)
    return tuple(
        LayerSpec(
            ".".join(path),
            parts[0].kind,
            parts[0].outputs,
            tuple(v for part in parts for v in part.products),
            tuple(learned.get(path, ())),
        )
        for path, parts in found.items()
    )


def _states(core: Elaborator) -> tuple[StateSpec, ...]:
    return tuple(StateSpec(s.key, s.type, s.span) for s in core.registry.states.values())


def _training_spec(block: syntax.Train, traced: TracedTraining) -> TrainingSpec:
    numbers = traced.settings.numbers
    return TrainingSpec(
        numbers["batch"] or 1,
        numbers["shards"] or 0,
        numbers["accumulate"] or 1,
        numbers["epochs"],
        numbers["steps"],
        traced.stop,
        traced.plateau,
        numbers["seed"] or 0,
        traced.loss,
        traced.metrics,
        traced.bindings,
        "" if block.entries else block.header.text.strip(),
    )


# --- one model alone -------------------------------------------------------------------------------------------------------
def _model_unit(core: Elaborator, program: Program, model: syntax.Callable, *, training: bool = False) -> Unit | None:
    try:
        trace, outputs = trace_model(core, Closure(model, program.main), training=training)
    except Failure as failure:
        core.report(failure.diagnostic)
        return None
    if core.failed or core.undecided or _wrong(program.diagnostics):
        return None
    predict = trace.cut("predict", [Result(t.value, "output", n) for n, t in outputs])
    return Unit(
        model.name.text,
        model.name.text,
        core.float_type,
        Module((_init(core), predict)),
        _weights(core, None, None),
        _states(core),
        (),
        None,
        None,
        None,
        None,
        (),
        program.files(),
        tuple(core.diagnostics),
        layers=_layers(None, trace),
    )


# --- everything in a file ----------------------------------------------------------------------------------------------------
@record(frozen=True)
class Checked:
    """`units`: one for each train block and each model not trained, where it has no error. `files`: what was read."""

    units: tuple[Unit, ...]
    diagnostics: tuple[Diagnostic, ...]
    files: tuple[SourceFile, ...]


def check(
    files: Sequence[SourceFile],
    overrides: Mapping[str, str] | None = None,
    float_type: FloatType = "f32",
    read: Reader | None = None,
) -> Checked:
    """All blocks of the main file: every train block, every model and data block that no train block uses."""
    with _room():
        program = load_program(files[0], files[1:], read)
        if overrides and not _wrong(program.diagnostics):
            first = program.main.trains[0] if program.main.trains else None
            changed, wrong = apply_overrides(program, first, overrides)
            given = [f for f in files[1:] if all(f.name != c.name for c in changed)]
            program = load_program(changed[0], [*changed[1:], *given], read)
            program.diagnostics.extend(wrong)
        found: list[Diagnostic] = list(program.diagnostics)
        if _wrong(found):
            return Checked((), tuple(found), program.files())
        units: list[Unit] = []
        names: set[str] = set()
        jobs: list[syntax.Train | syntax.Callable | syntax.Data] = [*program.main.trains]
        used = {t.model.text for t in program.main.trains} | {t.data.text for t in program.main.trains}
        jobs += [m for m in program.main.models() if m.name.text not in used and not _needs_arguments(m)]
        jobs += [d for n, d in program.main.data.items() if n not in used]
        for job in jobs:
            core = Elaborator(program, float_type)
            unit: Unit | None = None
            if isinstance(job, syntax.Train):
                name = _train_name(job)
                if name in names:
                    core.report(name_errors.declared_twice(job.header, name, job.header))
                names.add(name)
                unit = _train_unit(core, program, job)
            elif isinstance(job, syntax.Callable):
                unit = _model_unit(core, program, job)
                if unit is not None and "training" in program.main.file.text:
                    learning = Elaborator(program, float_type)
                    if _model_unit(learning, program, job, training=True) is None:
                        core.diagnostics += learning.diagnostics
            else:
                trace_data(core, program.main, job)
            if unit is not None:
                units.append(unit)
            _merge(found, core.diagnostics)
        for declaration in program.main.declarations.values():
            if isinstance(declaration, syntax.Let):
                core = Elaborator(program, float_type)
                core.constant(program.main, declaration)
                _merge(found, core.diagnostics)
        if not _wrong(found):
            _merge(found, unapplied_errors(program, float_type))
        if not _wrong(found):
            _merge(found, unread_names(program))
        _merge(found, [d for d in program.diagnostics if d not in found])
        return Checked(tuple(units), tuple(found), program.files())


def _needs_arguments(model: syntax.Callable) -> bool:
    return any(p.default is None for p in model.hyper or ())


def _merge(found: list[Diagnostic], more: Sequence[Diagnostic]) -> None:
    """The same finding of several blocks once."""
    seen = {(d.code, str(d.span)) for d in found}
    found.extend(d for d in more if (d.code, str(d.span)) not in seen)
