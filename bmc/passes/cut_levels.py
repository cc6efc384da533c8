"""Cutting a fit into passes over the rows, none of which needs memory for all of them.

In: a function that computes fitted values. Out: `NAME.rows.0`, `NAME.rows.1`, ...: each keeps rows apart but for host reducers,
which rows pass by block by block, and reads what the reducers of earlier levels found as `cut.0`, `cut.1`, ...; then
`NAME.finish`, which has no rows, for the results that are not a reducer's own. None where an operation mixes rows in a way that
no reducer has: sorting them, running sums. Guaranteed: every sum over rows is exact; a level's reducers depend on those of
earlier levels only. What several levels need of the rows is computed in each of them: columns are read again anyway.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from bmc.ir import Function, Operation, Parameter, Poly, Result, Value
from bmc.ir.dims import substitute
from bmc.ops.build import Builder
from bmc.ops.contract import ContractAttrs, free_axes
from bmc.ops.index import BincountAttrs, ScatterAddAttrs
from bmc.ops.lowering import Host
from bmc.ops.reduce import ReduceAttrs
from bmc.ops.registry import RowMix
from bmc.ops.shape import ConcatAttrs, SliceAttrs
from bmc.ops.sources import DimValueAttrs
from bmc.ops.statistics import ExactSumAttrs, ExtremeAttrs, GroupMomentsAttrs, QuantilesAttrs
from bmc.ops.table import definition
from bmc.passes.rows import RowState, operation_rows, row_states
from bmc.passes.split_rows import CUT, split_rows

__all__ = ["ALL_ROWS", "cut_levels", "cut_rows"]

ALL_ROWS = "all"
"""Behind the row dim's symbol: that of the number of all rows."""


def cut_levels(function: Function) -> tuple[Function, ...] | None:
    """The levels and the rest."""
    if function.row is None:
        return None
    reduced = _with_shared_quantiles(_with_reducers(function, function.row))
    states = row_states(reduced)
    levels = _levels(reduced, states)
    if levels is None:
        return None
    reducers = [op for op in reduced.ops if _is_reducer(op)]
    producer = {value: op for op in reduced.ops for value in op.results}
    wanted = _made_for([r.value for r in reduced.results], producer)
    # What no result needs is not computed; what only a later reducer needs is.
    reducers = [op for op in reducers if op in wanted]
    keys = {value: f"{CUT}{i}" for i, value in enumerate(v for op in reducers for v in op.results)}
    read = {v for op in wanted for v in op.operands}
    # What a reducer finds and nothing else reads goes where it belongs at once: texts could not be copied there later.
    direct = {r.value: r for r in reduced.results if r.value in keys and r.value not in read}
    rest = tuple(r for r in reduced.results if r not in direct.values())
    made: list[Function] = []
    for level in range(max((levels[op] for op in reducers), default=-1) + 1):
        here = [op for op in reducers if levels[op] == level]
        results = tuple(direct.get(v, Result(v, "output", keys[v])) for op in here for v in op.results)
        earlier = {v for op in reducers if levels[op] < level for v in op.results}
        made.append(_part(reduced, f"{function.name}.rows.{level}", function.row, results, earlier, keys, producer))
    found = {v for op in reducers for v in op.results}
    if rest:
        made.append(_part(reduced, f"{function.name}.finish", None, rest, found, keys, producer))
    return tuple(made)


def cut_rows(function: Function) -> tuple[Function, ...]:
    """The parts of a function over a whole split: the levels of a fit; of what has none, and of an evaluation, rows and finish."""
    levels = cut_levels(function) if function.name.startswith("fit.") else None
    return split_rows(function) if levels is None else levels


def _is_reducer(op: Operation) -> bool:
    return isinstance(definition(op.name).lowering, Host)


def _part(
    function: Function,
    name: str,
    row: str | None,
    results: tuple[Result, ...],
    given: Collection[Value],
    keys: Mapping[Value, str],
    producer: Mapping[Value, Operation],
) -> Function:
    """What `results` need, with reducers' results that are `given` as inputs."""
    chosen = _made_for([r.value for r in results], producer, given)
    read = {v for op in chosen for v in op.operands} | {r.value for r in results}
    inputs = tuple(Parameter(v, "input", key) for v, key in keys.items() if v in given and v in read)
    params = tuple(p for p in function.params if p.value in read)
    return Function(name, (*inputs, *params), tuple(op for op in function.ops if op in chosen), results, row)


def _made_for(
    values: Sequence[Value], producer: Mapping[Value, Operation], given: Collection[Value] = ()
) -> set[Operation]:
    found: set[Operation] = set()
    work = [producer[v] for v in values if v in producer and v not in given]
    while work:
        op = work.pop()
        if op not in found:
            found.add(op)
            work.extend(producer[v] for v in op.operands if v in producer and v not in given)
    return found


def _levels(function: Function, states: Mapping[Value, RowState]) -> dict[Operation, int] | None:
    """The level of each operation: how many passes over the rows must be done before it. None: rows mix otherwise."""
    levels: dict[Operation, int] = {}
    behind: dict[Value, int] = {p.value: 0 for p in function.params}
    for op in function.ops:
        level = max((behind[v] for v in op.operands), default=0)
        levels[op] = level
        reducer = _is_reducer(op)
        if not reducer:
            mixes = operation_rows(op, [states[v].axis for v in op.operands], function.row)
            if any(isinstance(found, RowMix) for found in mixes):
                return None
        behind.update((v, level + reducer) for v in op.results)
    return levels


# --- reducers in the place of folds ------------------------------------------------------------------------------------
def _with_reducers(function: Function, row: str) -> Function:
    """Folds over rows as the host's reducers, and the row dim's value as that of all rows."""
    states = row_states(function)
    instead: dict[Value, Value] = {}
    made: list[Operation] = []
    for op in function.ops:
        operands = tuple(instead.get(v, v) for v in op.operands)
        current = replace(op, operands=operands) if operands != op.operands else op
        builder = Builder(op.location)
        axes = [states[v].axis for v in op.operands]
        mixes = any(isinstance(found, RowMix) for found in operation_rows(op, axes, row))
        value = _reducer(builder, current, axes, row) if mixes else None
        if value is None:
            made.append(current)
        else:
            instead[op.result] = value
            made.extend(builder.ops)
    results = tuple(replace(r, value=instead.get(r.value, r.value)) for r in function.results)
    return replace(function, ops=tuple(made), results=results)


def _reducer(b: Builder, op: Operation, axes: Sequence[int | None], row: str) -> Value | None:
    """An operation that mixes rows as a reducer; None where there is none for it. Counts and sums of integers are exact as they
    are; floats are summed exactly, rounded to f64 and then to what the operation gives."""
    attrs = op.attrs
    kind = op.results[0].type
    if isinstance(attrs, DimValueAttrs):
        return b.dim_value(substitute(attrs.dim, {row: Poly.symbol(f"{row}_{ALL_ROWS}")}), attrs.dtype)
    if isinstance(attrs, ReduceAttrs) and op.name == "reduce_sum":
        return b.cast(_sum(b, op.operands[0], attrs.axes), kind.dtype)
    if isinstance(attrs, ReduceAttrs):
        return b.emit("extreme", op.operands[0], attrs=ExtremeAttrs(attrs.axes, op.name == "reduce_max"))
    if isinstance(attrs, ContractAttrs):
        return b.cast(_product(b, op, attrs), kind.dtype)
    if isinstance(attrs, BincountAttrs) and isinstance(attrs.size, int):
        (index,) = op.operands
        ones = b.full(1.0, index.type.with_dtype("f32"))
        return _groups(b, ones, _clamped(b, index, attrs.size), attrs.size)[0]
    if isinstance(attrs, ScatterAddAttrs) and isinstance(attrs.rows, int) and op.name == "scatter_add":
        index, updates = op.operands
        if updates.type.shape == index.type.shape and kind.dtype in ("f32", "f64"):
            return b.cast(_groups(b, updates, _clamped(b, index, attrs.rows), attrs.rows)[1], kind.dtype)
    return None


def _with_shared_quantiles(function: Function) -> Function:
    """One reducer for all quantiles of the same cells: the passes are the same, whatever their number."""
    alike: dict[tuple[tuple[Value, ...], tuple[int, ...]], list[Operation]] = {}
    for op in function.ops:
        if isinstance(op.attrs, QuantilesAttrs):
            alike.setdefault((op.operands, op.attrs.axes), []).append(op)
    first: dict[Operation, list[Operation]] = {ops[0]: ops for ops in alike.values() if len(ops) > 1}
    if not first:
        return function
    gone = {op for ops in first.values() for op in ops}
    made: list[Operation] = []
    instead: dict[Value, Value] = {}
    for op in function.ops:
        if op not in gone:
            operands = tuple(instead.get(v, v) for v in op.operands)
            made.append(replace(op, operands=operands) if operands != op.operands else op)
        elif op in first:
            b = Builder(op.location)
            shares = [q for other in first[op] if isinstance(other.attrs, QuantilesAttrs) for q in other.attrs.q]
            ordered = tuple(sorted(set(shares)))
            assert isinstance(op.attrs, QuantilesAttrs)
            found = b.emit("quantiles", *op.operands, attrs=QuantilesAttrs(op.attrs.axes, ordered))
            for other in first[op]:
                assert isinstance(other.attrs, QuantilesAttrs)
                instead[other.result] = _picked(b, found, [ordered.index(q) for q in other.attrs.q])
            made.extend(b.ops)
    results = tuple(replace(r, value=instead.get(r.value, r.value)) for r in function.results)
    return replace(function, ops=tuple(made), results=results)


def _picked(b: Builder, x: Value, places: Sequence[int]) -> Value:
    """Cells of the last axis."""
    before, last = (0,) * (x.type.rank - 1), x.type.rank - 1
    kept = x.type.shape[:-1]
    steps = (1,) * x.type.rank
    parts = [b.operation("slice", [x], SliceAttrs((*before, i), (*kept, i + 1), steps)).result for i in places]
    return parts[0] if len(parts) == 1 else b.operation("concat", parts, ConcatAttrs(last)).result


def _sum(b: Builder, x: Value, axes: Iterable[int]) -> Value:
    return b.emit("exact_sum", x, attrs=ExactSumAttrs(tuple(axes)))


def _product(b: Builder, op: Operation, attrs: ContractAttrs) -> Value:
    """Each product in f64, where those of f32 are exact; their sum is exact."""
    a, c = (b.cast(v, "f64") for v in op.operands)
    left = free_axes(a.type.rank, attrs.lhs_batch, attrs.lhs_contract)
    right = free_axes(c.type.rank, attrs.rhs_batch, attrs.rhs_contract)
    batch, pairs = len(attrs.lhs_batch), len(attrs.lhs_contract)
    # Axes of the space: batch, free of a, free of c, then those that are summed.
    shape = (*op.result.type.shape, *(a.type.shape[axis] for axis in attrs.lhs_contract))
    summed = batch + len(left) + len(right)
    places_a: dict[int, int] = {axis: i for i, axis in enumerate((*attrs.lhs_batch, *left))}
    places_a.update((axis, summed + i) for i, axis in enumerate(attrs.lhs_contract))
    places_c: dict[int, int] = {axis: i for i, axis in enumerate(attrs.rhs_batch)}
    places_c.update((axis, batch + len(left) + i) for i, axis in enumerate(right))
    places_c.update((axis, summed + i) for i, axis in enumerate(attrs.rhs_contract))
    wide = [
        b.broadcast(value, shape, [places[axis] for axis in range(value.type.rank)])
        for value, places in ((a, places_a), (c, places_c))
    ]
    return _sum(b, b.mul(*wide), range(summed, summed + pairs))


def _clamped(b: Builder, index: Value, size: int) -> Value:
    return b.cast(b.clamp_index(index, size), "i32")


def _groups(b: Builder, x: Value, codes: Value, size: int) -> Sequence[Value]:
    keep = b.full(True, x.type.with_dtype("bool"))
    return b.operation("group_moments", [x, keep, codes], GroupMomentsAttrs(size, 0)).results
