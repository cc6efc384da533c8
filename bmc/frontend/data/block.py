"""A `data` block: columns, outputs, fits, conditions, as one trace.

In: the syntax of a block. Out: a `DataBlock`. Guaranteed: every expression of the block is checked whether or not a train
block uses
its value; the functions are cut later, from what turned out to be used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from bmc.errors import nearest
from bmc.frontend.bodies.coercion import whole_rows
from bmc.frontend.bodies.core import Bucketing, FitRecord, Fitting
from bmc.frontend.bodies.dims import Failure
from bmc.frontend.bodies.elaborator import Elaborator
from bmc.frontend.bodies.keys import KeyScope
from bmc.frontend.bodies.trace import ROW, Trace, cone
from bmc.frontend.bodies.values import POISON, Bound, Environment, Parts, Tensor, describe
from bmc.frontend.data.sources import KINDS, RAGGED, ReadSource, first_file, read_source_clause, require_columns
from bmc.frontend.data.splitting import SPLITS, columns_of, read_split
from bmc.frontend.errors import data_errors, train_errors, type_errors
from bmc.frontend.scope import FileScope
from bmc.frontend.syntax import tree as syntax
from bmc.frontend.transfer.fitted import reused_keys, written_out
from bmc.frontend.transfer.loading import stored_at_hand, stored_spec
from bmc.frontend.transfer.stored import Stored
from bmc.frontend.unit import (
    AUGMENT,
    BucketSpec,
    ColumnKind,
    ColumnSpec,
    DataSpec,
    FitSpec,
    FittedSpec,
    OutputSpec,
    SourceSpec,
    SplitSpec,
    StoredSpec,
    VocabularySpec,
)
from bmc.ir import Dim, Function, Poly, Result, TensorType
from bmc.ir.dims import symbols
from bmc.ops.registry import TypeRuleError
from bmc.record import record, replace
from bmc.source import Span

__all__ = ["DataBlock", "DataFunctions", "data_functions", "trace_data"]

_Made = TypeVar("_Made")


@dataclass(eq=False)
class DataBlock:
    """One elaborated block. `outputs` are tensors of `trace`; names that are wrong are bound to poison. `base`: the model that
    `fitted` names, `stored`: its header, if it is at hand."""

    declaration: syntax.Data
    trace: Trace
    outputs: dict[str, Bound]
    columns: tuple[ColumnSpec, ...] = ()
    sources: tuple[SourceSpec, ...] = ()
    split: SplitSpec = field(default_factory=lambda: SplitSpec("none", ("train",)))
    where: Tensor | None = None
    distinct: tuple[str, ...] | None = None
    records: list[FitRecord] = field(default_factory=list)
    bucketings: list[Bucketing] = field(default_factory=list)
    base: StoredSpec | None = None
    stored: Stored | None = None

    @property
    def name(self) -> str:
        return self.declaration.name.text


@record(frozen=True, eq=False)
class DataFunctions:
    """The functions of a block that a unit needs, in order, and its specification."""

    functions: tuple[Function, ...]
    spec: DataSpec


def _column(core: Elaborator, column: syntax.Column, kinds: Sequence[str], env: Environment) -> ColumnSpec:
    solver = core.fixed_dims(env)
    cell: list[int] = []
    ragged = ""
    for place, d in enumerate(column.type.dims or ()):
        if isinstance(d, syntax.Rest):
            raise Failure(data_errors.bad_column_type(d.span, "a column's cell has known dims"))
        if place == 0 and isinstance(d, syntax.Name) and solver.fact(d) is None and kinds and set(kinds) <= RAGGED:
            if d.text == ROW:
                raise Failure(data_errors.bad_column_type(d.span, f"`{ROW}` is the number of rows: call the steps `T`"))
            ragged = d.text
            continue
        dim = solver.dim(d)
        if not isinstance(dim, int) or dim < 0:
            raise Failure(data_errors.bad_column_type(d.span, f"nothing says how large `{d.span.text}` is"))
        cell.append(dim)
    if ragged and column.type.nullable:
        raise Failure(data_errors.bad_column_type(column.type.span, "a row of no steps is no missing cell: leave out the `?`"))
    if cell and "csv" in kinds:
        raise Failure(data_errors.bad_column_type(column.type.span, "a cell of a csv file is one value"))
    name = column.type.name.text
    if name == "float":
        raise Failure(data_errors.bad_column_type(column.type.name.span, "a column says how it is stored: f32 or f64"))
    if name in ("date", "timestamp") and (cell or ragged):
        raise Failure(data_errors.bad_column_type(column.type.span, "a date is one value"))
    kind: ColumnKind = "date" if name == "date" else "timestamp" if name == "timestamp" else "plain"
    header = column.name.text if column.header is None else column.header.value
    nullable = column.type.nullable
    return ColumnSpec(column.name.text, header, core.dtype(column.type), kind, nullable, tuple(cell), column.span, ragged)


def _bind_columns(
    core: Elaborator, block: DataBlock, clause: syntax.Columns, source: ReadSource | None, env: Environment, *, uncut: bool
) -> None:
    """`uncut`: the source is wrong where it may say `windows(n)`, so that nothing is known of the shapes of columns."""
    kinds = [s.kind for s in source.specs] if source is not None else []
    specs: list[ColumnSpec] = []
    spans: dict[str, Span] = {}
    for column in clause.columns:
        name = column.name.text
        if name in spans:
            core.report(data_errors.column_twice(column.name.span, name, spans[name]))
            continue
        spans[name] = column.name.span
        try:
            spec = _column(core, column, kinds, env)
            specs.append(spec)
        except Failure as failure:
            core.report(failure.diagnostic)
            env.names[name] = Bound(POISON, column.span)
            continue
        if uncut:
            env.names[name] = Bound(POISON, column.span)
            continue
        steps = (Poly.symbol(spec.ragged),) if spec.ragged else ()
        cell: tuple[Dim, ...] = (*(source.window if source is not None else ()), *steps, *spec.cell)
        shape = (Poly.symbol(ROW), *cell)
        value = block.trace.parameter("input", name, TensorType(spec.dtype, shape))
        valid = None
        if column.type.nullable:
            valid = block.trace.parameter("input", f"{name}.valid", TensorType("bool", shape))
        origins = (None, *(column.type.span for _ in cell))
        below = 256 if spec.dtype == "u8" else None
        lengths = None
        if spec.ragged:
            lengths = block.trace.parameter("input", f"{name}.length", TensorType("i32", shape[:1]))
        tensor = Tensor(
            value, block.trace, valid, below=below, below_origin=column.type.span, origins=origins, kind=spec.kind, lengths=lengths
        )
        env.names[name] = Bound(tensor, column.span)
    block.columns = tuple(specs)
    if source is not None:
        for diagnostic in require_columns(source.specs, specs):
            core.report(diagnostic)


def trace_data(core: Elaborator, scope: FileScope, declaration: syntax.Data) -> DataBlock:
    """Elaborate a block; what is wrong is reported."""
    trace = Trace("data", ROW, exact=True)
    block = DataBlock(declaration, trace, {})
    core.trace = trace
    core.fitting = Fitting()
    env = Environment(scope)
    try:
        _clauses(core, block, env)
    finally:
        block.records = core.fitting.records
        block.bucketings = core.fitting.bucketings
        core.fitting = None
    return block


def _clauses(core: Elaborator, block: DataBlock, env: Environment) -> None:
    entries = block.declaration.entries
    name = block.declaration.name
    first: dict[str, Span] = {}
    source: ReadSource | None = None
    uncut = False
    misspelt = _misspelt(entries)
    for entry in entries:
        key = _clause_name(entry)
        if key is not None and key in misspelt:
            core.report(data_errors.misspelt_clause(misspelt[key][0], key, name.text, misspelt[key][1]))
        if key is not None and key in first:
            core.report(data_errors.clause_twice(entry.span, key, first[key]))
        elif key is not None:
            first[key] = entry.span
    for entry in entries:
        if isinstance(entry, syntax.Setting) and entry.key.text == "source":
            source = _guarded(core, partial(read_source_clause, core, entry.value, env, name.text), entry.span)
            if source is not None:
                block.sources = source.specs
            else:
                uncut = isinstance(entry.value, syntax.Pipe)
    if "source" not in first and all(clause != "source" for _, clause in misspelt.values()):
        core.report(data_errors.missing_clause(name.span, name.text, "source"))
    columns = next((e for e in entries if isinstance(e, syntax.Columns)), None)
    if columns is None:
        core.report(data_errors.missing_clause(name.span, name.text, "columns"))
    else:
        _bind_columns(core, block, columns, source, env, uncut=uncut)
        _check_headers(core, block)
    for entry in entries:
        key = _clause_name(entry)
        if key is None or (first[key] == entry.span and key not in misspelt):
            _entry(core, block, entry, env)
    if any(s.split is not None for s in block.sources):
        block.split = SplitSpec("sources", tuple(s.split or "" for s in block.sources))


def _misspelt(entries: Sequence[syntax.DataEntry]) -> dict[str, tuple[Span, str]]:
    """Outputs that are a source or a split by what they are bound to, in a block without one: where, and the clause meant."""
    there = {_clause_name(entry) for entry in entries}
    found: dict[str, tuple[Span, str]] = {}
    for entry in entries:
        if isinstance(entry, syntax.Output):
            value = entry.value.value if isinstance(entry.value, syntax.Pipe) else entry.value
            word = value.callee.text if isinstance(value, syntax.Call) and isinstance(value.callee, syntax.Name) else ""
            meant = "source" if word in KINDS else "split" if word in SPLITS else ""
            near = nearest(entry.name.text, ("source", "split"))
            if meant and meant not in there:
                found[entry.name.text] = (entry.name.span, meant)
            elif near == "source" and near not in there:
                found[entry.name.text] = (entry.name.span, near)
    return found


def _check_headers(core: Elaborator, block: DataBlock) -> None:
    for spec in block.sources if core.opens else ():
        path = first_file(spec)
        if path is not None:
            # Imported where there is a file: zip and csv would be a tenth of the time of a check without one.
            from bmc.frontend.data.headers import check_header  # noqa: PLC0415

            check_header(core, spec, path, block.columns)


def _clause_name(entry: syntax.DataEntry) -> str | None:
    match entry:
        case syntax.Setting():
            return entry.key.text
        case syntax.Columns():
            return "columns"
        case syntax.Output() | syntax.Let():
            return entry.name.text
        case syntax.Distinct():
            return "distinct"
        case _:
            return None


def _guarded(core: Elaborator, work: Callable[[], _Made], span: Span) -> _Made | None:
    """The result of `work`, or None after a report."""
    try:
        return work()
    except Failure as failure:
        core.report(failure.diagnostic)
    except TypeRuleError as error:
        core.report(type_errors.rule_violated(span, error.message))
    return None


def _entry(core: Elaborator, block: DataBlock, entry: syntax.DataEntry, env: Environment) -> None:
    match entry:
        case syntax.Setting() if entry.key.text == "split":
            split = _guarded(core, lambda: read_split(core, entry.value, env), entry.span)
            if split is not None:
                block.split = split
                cut = next((s for s in block.sources if s.window is not None and s.window.stride < s.window.size), None)
                if cut is not None and cut.window is not None and split.method in ("hash", "folds"):
                    core.report(data_errors.windows_overlap(entry.value.span, cut.window.size, cut.window.stride, cut.span))
        case syntax.Setting() if entry.key.text == "fitted":
            _guarded(core, lambda: _base(core, block, entry, env), entry.span)
        case syntax.Where():
            _guarded(core, lambda: _where(core, block, entry, env), entry.span)
        case syntax.Distinct():
            keys = entry.keys
            block.distinct = () if keys is None else _guarded(core, lambda: columns_of(core, keys, env), entry.span)
        case syntax.Let() | syntax.Output():
            bound = _guarded(core, lambda: _output(core, entry, env), entry.span)
            made = Bound(POISON, entry.value.span) if bound is None else bound
            env.names[entry.name.text] = made
            if isinstance(entry, syntax.Output):
                block.outputs[entry.name.text] = made
        case _:
            pass


def _base(core: Elaborator, block: DataBlock, entry: syntax.Setting, env: Environment) -> None:
    path = core.evaluate(entry.value, env)
    if not isinstance(path, str) or not path or "\0" in path:
        wanted = 'the path of a model, such as "base.bmz"'
        raise Failure(train_errors.bad_setting(entry.value.span, "fitted", wanted, describe(path)))
    block.base = stored_spec(path, entry.value.span)
    block.stored = stored_at_hand(core, block.base)


def _where(core: Elaborator, block: DataBlock, entry: syntax.Where, env: Environment) -> None:
    value = core.evaluate(entry.condition, env)
    windowed = any(source.window is not None for source in block.sources)
    tensor = value if isinstance(value, Tensor) else None
    if tensor is not None and tensor.dtype == "bool" and windowed and tensor.rank > 1 and tensor.shape[0] == Poly.symbol(ROW):
        # A window counts where all of its items do.
        least = core.trace.reduce("reduce_min", core.trace.cast(tensor.value, "i32"), range(1, tensor.rank))
        tensor = replace(tensor, value=core.trace.cast(least, "bool"))
    if tensor is None or tensor.dtype != "bool" or tensor.shape != (Poly.symbol(ROW),):
        raise Failure(data_errors.bad_where(entry.condition.span, describe(value)))
    read = {v for op in cone(core.trace.builder.ops, [tensor.value], effects=False) for v in op.operands}
    fitted = {key: p.value for (role, key), p in core.trace.parameters.items() if role == "fitted"}
    for fit in core.fitting.records if core.fitting is not None else ():
        if any(fitted.get(key) in read for key in fit.keys):
            raise Failure(data_errors.where_fitted(entry.condition.span, fit.span))
    if block.where is not None:
        tensor = replace(tensor, value=core.trace.op("logical_and", block.where.value, tensor.value))
    block.where = tensor


def _output(core: Elaborator, entry: syntax.Let | syntax.Output, env: Environment) -> Bound:
    assert core.fitting is not None
    core.fitting.keys = KeyScope((entry.name.text,))
    value = core.evaluate(entry.value, env)
    if core.is_poison(value):  # that has been reported
        return Bound(value, entry.value.span)
    if entry.type is not None:
        value = core.annotated(entry.type, value, entry.name.text, entry.value.span, env)
    buckets = [Poly.symbol(b.symbol) for b in core.fitting.bucketings]
    if isinstance(entry, syntax.Output) and isinstance(value, Tensor) and not any(d in buckets for d in value.shape):
        whole_rows(value, f"the output {entry.name.text}", entry.value.span)
    if isinstance(entry, syntax.Output) and not isinstance(value, Tensor):
        note = "`pad(max = n)` makes rows of one length" if isinstance(value, Parts) and value.unit != "whole" else None
        raise Failure(data_errors.output_rows(entry.value.span, entry.name.text, describe(value), note))
    return Bound(value, entry.value.span)


def _vocabulary(output: Tensor) -> VocabularySpec | None:
    """What the integers of an output stand for."""
    known = output.categories
    if known is not None and (known.labels or known.table is not None or known.unit == "bytes"):
        return VocabularySpec(known.unit, known.lower, known.capacity, known.labels, known.table, known.count)
    return VocabularySpec("bytes", False, 256) if output.dtype == "u8" else None


# --- cutting -----------------------------------------------------------------------------------------------------------
def data_functions(
    core: Elaborator,
    block: DataBlock,
    used_outputs: Sequence[str],
    predict: Sequence[Function],
    models: Sequence[Function],
    tables: Sequence[str] = (),
) -> DataFunctions:
    """`fit.*`, `where` and `data`, as far as `used_outputs` and the other functions need them: `predict` reads columns,
    `models` data
    outputs."""
    trace = block.trace
    functions: list[Function] = []
    if block.where is not None:
        functions.append(trace.cut("where", [Result(block.where.value, "output", "where")]))
    outputs = [(n, block.outputs[n].value) for n in used_outputs]
    tensors = [(n, t) for n, t in outputs if isinstance(t, Tensor)]
    if tensors:
        results = [Result(t.value, "output", n) for n, t in tensors]
        functions.append(trace.cut("data", results))
        if any(trace.plain.keys() & set(op.results) for op in cone(trace.builder.ops, [r.value for r in results], effects=False)):
            functions.append(trace.cut(AUGMENT, results, augmented=True))
    open_dims = {s for _, t in tensors for d in t.shape for s in symbols(d)}
    open_dims |= {s for f in predict for v in f.values() for d in v.type.shape for s in symbols(d)}
    used = [b for b in block.bucketings if b.symbol in open_dims]
    buckets = tuple(BucketSpec(b.symbol, b.bucket, b.most) for b in used)
    for bucket, bucketing in zip(buckets, used, strict=True):
        functions.append(trace.cut(bucket.function, [Result(bucketing.lengths, "output", bucket.symbol)]))
    wanted = {p.key for f in (*functions, *predict, *models) for p in f.params if p.role == "fitted"}
    wanted |= set(tables)
    fits: list[Function] = []
    specs: list[FitSpec] = []
    fitted: list[FittedSpec] = []
    entries = [e for e in block.declaration.entries if isinstance(e, (syntax.Let, syntax.Output))]
    written = written_out(core, entries)
    for entry in reversed(block.records):
        if not wanted & set(entry.keys):
            continue
        function = trace.cut(
            f"fit.{entry.keys[0]}", [Result(v, "update", k) for k, v in zip(entry.keys, entry.values, strict=True)]
        )
        depends = tuple(p.key for p in function.params if p.role == "fitted")
        columns = tuple(p.key for p in function.params if p.role == "input")
        wanted |= set(depends)
        fits.append(function)
        specs.append(FitSpec(function.name, entry.keys, depends, columns))
        made = written.get(entry.keys[0].partition(".")[0], "")
        fitted += [
            FittedSpec(k, v.type, entry.expression, entry.span, made) for k, v in zip(entry.keys, entry.values, strict=True)
        ]
    fits.reverse()
    specs.reverse()
    read = {p.key.removesuffix(".valid") for f in (*fits, *functions, *predict) for p in f.params if p.role == "input"}
    read = {name.removesuffix(".length") for name in read}
    read |= {name for source in block.sources for name in DataSpec.cut_by(source)}
    read |= set(block.split.key) | set(block.distinct or ())
    if (block.split.method in ("hash", "folds") and not block.split.key) or block.distinct == ():
        read |= {c.name for c in block.columns}  # whole rows count
    order = {r.keys: i for i, r in enumerate(block.records)}
    position = {k: i for keys, i in order.items() for k in keys}
    reused: tuple[str, ...] = ()
    if block.base is not None and block.stored is not None:
        places = {e.name.text: e.value.span for e in entries}
        reused = reused_keys(core, block.base, block.stored, specs, fitted, places)
    spec = DataSpec(
        block.name,
        block.sources,
        block.columns,
        tuple(c.name for c in block.columns if c.name in read),
        block.split,
        tuple(specs),
        tuple(sorted(fitted, key=lambda f: position[f.key])),
        tuple(OutputSpec(n, t.type, t.below if isinstance(t.below, int) else None, _vocabulary(t)) for n, t in tensors),
        block.where is not None,
        block.distinct,
        block.base,
        reused,
        buckets,
        any(f.name == AUGMENT for f in functions),
    )
    return DataFunctions((*fits, *functions), spec)
