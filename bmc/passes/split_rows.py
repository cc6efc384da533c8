"""Cutting a function where rows begin to mix: one part runs batch by batch, the other once over everything.

In: a function over a whole split (fitting, evaluation). Out: `NAME.rows`, which keeps rows apart and gives out the
frontier as `cut.0`, `cut.1`..., and `NAME.finish`, which takes the frontier of all rows and gives the results.
Guaranteed: no operation of `NAME.rows` mixes rows; the frontier holds what mixing operations read, or something
smaller from which it is made again cheaply. What depends on no row is computed in the part that needs it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from bmc.errors import CompilerBug
from bmc.ir import Dim, Function, Operation, Parameter, Result, Value
from bmc.ir.dims import product
from bmc.ops.lowering import Elementwise, Reshape, View
from bmc.ops.shape import TransposeAttrs
from bmc.ops.table import definition
from bmc.passes.memory.sizes import at_most, cell_bytes
from bmc.passes.rows import RowState, row_states

__all__ = ["CUT", "split_rows"]

CUT = "cut."
"""Keys of the frontier: `cut.0`, `cut.1`, ..."""

CHEAP = 4
"""Cost of an element up to which a value is made again from a smaller one after the cut."""


def split_rows(function: Function) -> tuple[Function, Function]:
    """(`NAME.rows`, `NAME.finish`). Results that keep rows apart are outputs of the first, all others of the second."""
    if function.row is None:
        raise CompilerBug("split_rows", f"{function.name} has no rows")
    states = row_states(function)
    producer = {value: op for op in function.ops for value in op.results}
    by_row = [r for r in function.results if _keeps_rows(states[r.value])]
    finished = [r for r in function.results if not _keeps_rows(states[r.value])]
    effects = [op for op in function.ops if definition(op.name).effect]
    for op in effects:
        if any(_keeps_rows(states[v]) for v in op.operands):
            raise CompilerBug("split_rows", f"{op.name} has an effect for every row")
    after, frontier = _after_the_cut(function, states, producer, [r.value for r in finished], effects)
    # A parameter is at hand for both parts: it needs no copy.
    params = {param.value for param in function.params}
    cut = [v for v in _defined(function) if v in frontier and v not in params]
    passed, before, behind = _rows_first(cut, states)
    results = [*by_row, *(Result(value, "output", f"{CUT}{i}") for i, value in enumerate(passed))]
    wanted = [*(r.value for r in by_row), *cut]
    made = _made_for(wanted, producer)
    rows = Function(
        f"{function.name}.rows",
        _needed_params(function, made, wanted),
        (*_in_order(function, made), *before),
        tuple(results),
        function.row,
    )
    given = tuple(Parameter(value, "input", f"{CUT}{i}") for i, value in enumerate(passed))
    finish = Function(
        f"{function.name}.finish",
        (*given, *_needed_params(function, after, [r.value for r in finished])),
        (*behind, *_in_order(function, after)),
        tuple(finished),
        None,
    )
    return rows, finish


def _rows_first(
    cut: Sequence[Value], states: Mapping[Value, RowState]
) -> tuple[list[Value], list[Operation], list[Operation]]:
    """The frontier with rows in front, as the runtime puts batches of them side by side; the operations that bring them there, and
    those that take them back.
    """
    passed: list[Value] = []
    before: list[Operation] = []
    behind: list[Operation] = []
    for value in cut:
        axis = states[value].axis
        if not axis:
            passed.append(value)
            continue
        order = (axis, *(i for i in range(value.type.rank) if i != axis))
        back = tuple(order.index(i) for i in range(value.type.rank))
        moved = Value(value.type.with_shape(tuple(value.type.shape[i] for i in order)), value.name)
        before.append(Operation("transpose", (value,), TransposeAttrs(order), (moved,)))
        behind.append(Operation("transpose", (moved,), TransposeAttrs(back), (value,)))
        passed.append(moved)
    return passed, before, behind


def _keeps_rows(state: RowState) -> bool:
    return state.axis is not None and not state.mixed


def _after_the_cut(
    function: Function,
    states: Mapping[Value, RowState],
    producer: Mapping[Value, Operation],
    wanted: Sequence[Value],
    effects: Sequence[Operation],
) -> tuple[set[Operation], set[Value]]:
    """The operations after the cut, and the frontier. Operations are visited from the last to the first, so that all
    who need a value after the cut are known when it is decided whether the value itself is kept or something smaller
    before it.
    """
    after: set[Operation] = set(effects)
    needed = {*wanted, *(v for op in effects for v in op.operands)}
    frontier: set[Value] = set()
    for op in reversed(function.ops):
        if op in after:
            continue
        here = [v for v in op.results if v in needed]
        if not here:
            continue
        keeps = any(_keeps_rows(states[v]) for v in op.results) and not any(states[v].mixed for v in op.results)
        if keeps and not _is_smaller_before(op, states, needed):
            frontier.update(here)
            continue
        after.add(op)
        needed.update(op.operands)
    return after, frontier


def _is_smaller_before(op: Operation, states: Mapping[Value, RowState], needed: Collection[Value]) -> bool:
    """Whether `op` is cheap, and its operands that are not kept anyway take fewer bytes a row than its results."""
    lowering = definition(op.name).lowering
    if not (isinstance(lowering, View | Reshape) or (isinstance(lowering, Elementwise) and lowering.cost <= CHEAP)):
        return False
    new = [v for v in dict.fromkeys(op.operands) if _keeps_rows(states[v]) and v not in needed]
    before, behind = _row_bytes(new, states), _row_bytes(op.results, states)
    return before != behind and at_most(before, behind)


def _row_bytes(values: Iterable[Value], states: Mapping[Value, RowState]) -> Dim:
    total: Dim = 0
    for value in values:
        axis = states[value].axis
        rest = (dim for a, dim in enumerate(value.type.shape) if a != axis)
        total = total + product(rest) * cell_bytes(value.type.dtype)
    return total


def _made_for(values: Sequence[Value], producer: Mapping[Value, Operation]) -> set[Operation]:
    found: set[Operation] = set()
    work = [producer[v] for v in values if v in producer]
    while work:
        op = work.pop()
        if op not in found:
            found.add(op)
            work.extend(producer[v] for v in op.operands if v in producer)
    return found


def _in_order(function: Function, chosen: Collection[Operation]) -> tuple[Operation, ...]:
    return tuple(op for op in function.ops if op in chosen)


def _needed_params(function: Function, ops: Collection[Operation], results: Sequence[Value]) -> tuple[Parameter, ...]:
    """The parameters that `ops` or results read, and those that results update."""
    read = {v for op in ops for v in op.operands} | set(results)
    return tuple(param for param in function.params if param.value in read)


def _defined(function: Function) -> list[Value]:
    return list(function.values())
