"""Fitted statistics of a data block, and the way back through what they made.

In: values of the data trace. Out: `fitted` parameters, and records of what computes them. Guaranteed: a fitted value has
no row dim; its key
is the path of names by which it is reached; `undo` reads fitted values only, never the column.
"""

from __future__ import annotations

from bmc.frontend.bodies.coercion import to_dtype
from bmc.frontend.bodies.core import Core, FitRecord
from bmc.frontend.bodies.dims import Failure
from bmc.frontend.bodies.trace import Trace, cone
from bmc.frontend.bodies.values import Categories, Codes, Datum, Parts, Tensor, Unit, describe
from bmc.frontend.errors import data_errors, type_errors
from bmc.ir import Operation, Value
from bmc.ir.types import is_float
from bmc.ops.table import definition
from bmc.record import replace
from bmc.source import Span

__all__ = ["encoded", "fit", "fitted_categories", "fitted_codes", "undo"]


def fit(core: Core, value: Tensor, name: str, span: Span) -> Tensor:
    """`value`, of the data trace, as computed over the training split: a fitted parameter. Raises Failure."""
    if core.fitting is None:
        raise Failure(data_errors.fit_outside(span))
    if any(core.trace.has_rows(d) for d in value.shape):
        raise Failure(data_errors.fit_has_rows(span, describe(value)))
    if value.valid is not None:
        raise Failure(type_errors.may_be_missing(span, describe(value), "`fit`", None))
    if is_float(value.dtype):
        value = to_dtype(core, value, core.float_type)
    head, _, last = name.rpartition(".")
    scope = core.fitting.keys
    key = scope.key(scope.default(name)) if not head else scope.inner(scope.default(head)).key(last)
    core.fitting.records.append(FitRecord((key,), (value.value,), span.text, span))
    return replace(value, value=core.trace.parameter("fitted", key, value.type), weak=False)


def fitted_codes(core: Core, x: Tensor | Parts, size: int, name: str, size_span: Span, span: Span) -> Codes:
    """The table of the most frequent `size - 1` values or parts, as codes that have one slot more. `name`: what it is called within
    the key. Raises Failure."""
    if core.fitting is None:
        raise Failure(data_errors.fit_outside(span))
    trace = core.trace
    text = x.text if isinstance(x, Parts) else x
    keep = trace.constant(True, "bool", text.shape)
    unit: Unit = x.unit if isinstance(x, Parts) else "whole"
    lower = isinstance(x, Parts) and x.lower
    values = trace.ops("distinct", text.value, keep, limit=size - 1, unit=unit, lower=lower)
    scope = core.fitting.keys.inner(core.fitting.keys.default(name))
    keys = tuple(scope.key(n) for n in ("table", "order", "count"))
    core.fitting.records.append(FitRecord(keys, values, span.text, span))
    table, order, _ = (trace.parameter("fitted", k, v.type) for k, v in zip(keys, values, strict=True))
    return Codes(size, size_span, table, order, Categories(size, table=keys[0], count=keys[2], unit=unit, lower=lower))


def encoded(core: Core, x: Tensor, codes: Codes, lower: bool = False) -> Tensor:
    """The cells of x as integers by a fitted table: the last for all that are not in it."""
    trace = core.trace
    assert codes.table is not None
    assert codes.order is not None
    if x.dtype == "str":
        found = trace.op("str_lookup", x.value, codes.table, codes.order, lower=lower)
    else:
        found = trace.op("int_lookup", x.value, codes.table, codes.order)
    absent = trace.op("compare", found, trace.constant(0, "i32", x.shape), predicate="lt")
    index = trace.op("select", absent, trace.constant(codes.size - 1, "i32", x.shape), found)
    made = core.tensor(index, origins=x.origins)
    return replace(made, below=codes.size, below_origin=codes.origin, categories=codes.categories)


def fitted_categories(core: Core, x: Tensor | Parts, size: int, size_span: Span, span: Span, name: str = "category") -> Tensor:
    """Integers below `size`: places in the table of the most frequent `size - 1` values, the last one for all others."""
    if isinstance(x, Tensor) and x.dtype == "u8":
        x = to_dtype(core, x, "i32")
    codes = fitted_codes(core, x, size, name, size_span, span)
    return encoded(core, x.text, codes, x.lower) if isinstance(x, Parts) else encoded(core, x, codes)


# --- the way back ------------------------------------------------------------------------------------------------------
def _row_dependent(data: Trace) -> set[int]:
    """Ids of the values of the data trace that depend on columns."""
    found = {id(p.value) for p in data.parameters.values() if p.role == "input"}
    for op in data.builder.ops:
        if any(id(v) in found for v in op.operands):
            found.update(id(v) for v in op.results)
    return found


def _imported(core: Core, data: Trace, value: Value, copies: dict[int, Value]) -> Value:
    """A row-independent value of the data trace, built again in the present trace."""
    if id(value) in copies:
        return copies[id(value)]
    fitted = {id(p.value): p for p in data.parameters.values()}
    for op in cone(data.builder.ops, [value], effects=False):
        operands: list[Value] = []
        for v in op.operands:
            if id(v) not in copies and id(v) in fitted:
                p = fitted[id(v)]
                copies[id(v)] = core.trace.parameter(p.role, p.key, p.value.type)
            operands.append(copies[id(v)])
        if any(id(r) not in copies for r in op.results):
            made = core.trace.builder.operation(op.name, operands, op.attrs)
            copies.update((id(old), new) for old, new in zip(op.results, made.results, strict=True))
    if id(value) not in copies and id(value) in fitted:
        p = fitted[id(value)]
        copies[id(value)] = core.trace.parameter(p.role, p.key, p.value.type)
    return copies[id(value)]


_MOVES = ("reshape", "slice", "transpose")
"""Operators whose result holds cells of the operand, each at most once: what is computed cell by cell goes through them."""


def undo(core: Core, x: Tensor, y: Datum, x_span: Span, y_span: Span, span: Span) -> Tensor:
    """`x` taken back through the operations that made the data output `y` of its column. Raises Failure.

    Of an output that is a part of the column (`scaled[:, 28]`) it gives that part: fitted values are taken through the same
    moves of cells.
    """
    if not isinstance(y, Tensor) or y.behind is None:
        raise Failure(type_errors.wrong_value(y_span, "y", "an output of the data block", describe(y)))
    behind = y.behind
    data = behind.trace
    if x.shape != y.shape:
        raise Failure(type_errors.broadcast_mismatch(span, "undone as", x.type, y.type, x_span, y_span, ()))
    if not is_float(x.dtype):
        raise Failure(type_errors.operand_type(x_span, "undo", describe(x)))
    makers: dict[int, Operation] = {id(r): op for op in data.builder.ops for r in op.results}
    depends = _row_dependent(data)
    columns = {id(p.value) for p in data.parameters.values() if p.role == "input"}
    copies: dict[int, Value] = {}
    at, result = behind.value, x.value
    moves: list[Operation] = []  # from the last to the first
    while id(at) not in columns:
        through = data.seen_through.get(at)
        if through is not None:
            at = through
            continue
        op = makers.get(id(at))
        places = [] if op is None else [i for i, v in enumerate(op.operands) if id(v) in depends]
        if op is None or not places:
            raise Failure(data_errors.cannot_undo(span, y_span, "it does not depend on a column", None))
        record = definition(op.name)
        place = op.location.spans[0] if op.location.spans else None
        if op.name in _MOVES:
            moves.append(op)
            at = op.operands[0]
            continue
        if record.inverse is None or len(places) != 1:
            raise Failure(data_errors.cannot_undo(span, y_span, f"`{op.name}` has no way back", place))
        operands = [v if i == places[0] else _imported(core, data, v, copies) for i, v in enumerate(op.operands)]
        core.at(span)
        for move in reversed(moves):
            operands = [
                v if i == places[0] else core.trace.builder.operation(move.name, [v], move.attrs).result
                for i, v in enumerate(operands)
            ]
        stand_in = Operation(op.name, tuple(operands), op.attrs, op.results, op.regions, core.trace.builder.location)
        result = record.inverse(core.trace.builder, stand_in, places[0], result)
        at = op.operands[places[0]]
    return replace(x.plain(), value=result)
