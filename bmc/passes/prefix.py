"""Which values are functions of the prefix of a growing sequence, position by position: the analysis behind `incremental`.

In: a function with an input that grows along the dim `POSITIONS`. Out: a `PrefixState` for each value. Guaranteed: the cell of a
*settled* value at index t along each of its axes of positions does not change when the sequence grows beyond the greatest t, nor
with seed and step; so it may be kept, or computed for new positions alone. Linear in operations but for the pairs of axes of a
value, of which there are few.

Axes of positions that an operation folds away (the scores of a query over all keys) leave a settled value behind when the cells
beyond the query are known to be what the fold ignores: -inf in a maximum, 0 in a sum or a product. See `prefix_facts`.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from bmc.ir import Function, Operation, Poly, TensorType, Value
from bmc.ir.dims import symbols
from bmc.ops.contract import ContractAttrs
from bmc.ops.lowering import Contraction, Elementwise, Reduction, Reshape, View
from bmc.ops.order import CumsumAttrs
from bmc.ops.scan_parts import ScanAttrs, parts
from bmc.ops.shape import ConcatAttrs, PadAttrs, SliceAttrs
from bmc.ops.table import definition
from bmc.ops.window import WindowsAttrs
from bmc.passes.prefix_facts import UNKNOWN, Fact, Index, Known, Pair, fact_of
from bmc.record import record, replace

__all__ = ["POSITIONS", "LookBack", "PrefixState", "axes_of", "causal_scan", "growing_work", "look_back", "prefix_states"]

POSITIONS = "T"
"""The symbol of the dim along which the input of a function `next` grows."""

_POSITIONS = Poly.symbol(POSITIONS)


@record(frozen=True)
class PrefixState:
    """`depends`: on the input that grows. `base`: what is known of every cell; `beyond`: of cells whose index along one axis of
    positions is greater than along another. `unsettled_by`: the operation, if not a parameter, by which the value came to depend
    on more than the prefix.
    """

    settled: bool = True
    depends: bool = False
    base: Fact = UNKNOWN
    beyond: Mapping[Pair, Fact] = {}
    unsettled_by: Operation | None = None


_SETTLED, _DEPENDS = PrefixState(), PrefixState(depends=True)
"""States of which nothing else is known, made once: most are one of these."""


def axes_of(kind: TensorType) -> tuple[int, ...]:
    """The axes of positions."""
    return tuple(axis for axis, dim in enumerate(kind.shape) if isinstance(dim, Poly) and dim == _POSITIONS)


def _mentions(kind: TensorType) -> bool:
    """Whether positions are part of a dim that is not theirs alone."""
    return any(isinstance(dim, Poly) and dim != _POSITIONS and POSITIONS in symbols(dim) for dim in kind.shape)


def prefix_states(function: Function) -> Mapping[Value, PrefixState]:
    """The state of every parameter and every result of an operation."""
    states: dict[Value, PrefixState] = {}
    for param in function.params:
        grows = bool(axes_of(param.value.type))
        states[param.value] = PrefixState(param.role != "control" and not _mentions(param.value.type), grows)
    makers: dict[Value, Operation] = {}
    for op in function.ops:
        back = look_back(op, makers, states)
        made = _states_of(op, states) if back is None else [_DEPENDS if states[back.x].depends else _SETTLED]
        states.update(zip(op.results, made, strict=True))
        makers.update((value, op) for value in op.results)
    return states


@record(frozen=True)
class LookBack:
    """An operation along the axis of positions `axis` of `x`, which at each position reads the `count` cells before it, too, and no
    later ones. `first`: the cells before the beginning, a value or a number for all of them."""

    x: Value
    axis: int
    count: int
    first: Value | float


def look_back(op: Operation, makers: Mapping[Value, Operation], states: Mapping[Value, PrefixState]) -> LookBack | None:
    """How `op` looks back, if that is what it does: windows of what is padded in front, as causal convolutions have; positions
    moved on; running sums. `makers`: what made the values before it."""
    attrs = op.attrs
    if isinstance(attrs, WindowsAttrs):
        found = _padded_in_front(op.operands[0], attrs.axis, makers)
        reach = attrs.dilation * (attrs.size - 1)
        back = None if attrs.stride != 1 or found is None or found[1] != reach else LookBack(found[0], attrs.axis, reach, found[2])
    elif isinstance(attrs, ConcatAttrs) and len(op.operands) == 2:
        back = _moved_on(op, attrs.axis, makers, states)
    elif isinstance(attrs, CumsumAttrs):
        back = LookBack(op.operands[0], attrs.axis, 1, 0.0)
    else:
        return None
    if back is None or not states[back.x].settled or axes_of(back.x.type) != (back.axis,):
        return None
    return back


def _padded_in_front(value: Value, axis: int, makers: Mapping[Value, Operation]) -> tuple[Value, int, float] | None:
    """(what is padded, by how many cells, of which value), where padding is in front of `axis` alone; the value itself, by 0."""
    op = makers.get(value)
    if op is None or not isinstance(op.attrs, PadAttrs):
        return value, 0, 0.0
    attrs = op.attrs
    low = attrs.low[axis]
    others = (*attrs.low[:axis], *attrs.low[axis + 1 :], *attrs.high, *attrs.interior)
    return (op.operands[0], low, attrs.value) if isinstance(low, int) and all(dim == 0 for dim in others) else None


def _moved_on(
    op: Operation, axis: int, makers: Mapping[Value, Operation], states: Mapping[Value, PrefixState]
) -> LookBack | None:
    """`concat(first, x[:, :-1])`"""
    first, rest = op.operands
    made = makers.get(rest)
    count = first.type.shape[axis]
    if made is None or not isinstance(made.attrs, SliceAttrs) or not isinstance(count, int):
        return None
    (x,) = made.operands
    stops = tuple(dim - count if i == axis else dim for i, dim in enumerate(x.type.shape))
    none, one = (0,) * x.type.rank, (1,) * x.type.rank
    whole = (made.attrs.starts, made.attrs.stops, made.attrs.steps) == (none, stops, one)
    fixed = states[first].settled and not states[first].depends and not axes_of(first.type)
    return LookBack(x, axis, count, first) if whole and fixed else None


def _states_of(op: Operation, states: Mapping[Value, PrefixState]) -> Sequence[PrefixState]:
    operands = [states[value] for value in op.operands]
    depends = any(state.depends for state in operands)
    unsettled = next((state for state in operands if not state.settled), None)
    if unsettled is not None:
        by = op if unsettled.unsettled_by is None else unsettled.unsettled_by
        return [PrefixState(False, depends, unsettled_by=by)] * len(op.results)
    if causal_scan(op, states):
        carries = op.attrs.carries  # type: ignore[attr-defined]
        yields = len(op.results) - carries
        # The last carries are those of the whole sequence so far.
        return [PrefixState(False, True, unsettled_by=op)] * carries + [PrefixState(True, depends)] * yields
    if not _is_settled(op, states):
        return [PrefixState(False, depends, unsettled_by=op)] * len(op.results)
    return [_with_facts(_DEPENDS if depends else _SETTLED, op, operands)] * len(op.results)


def _is_settled(op: Operation, states: Mapping[Value, PrefixState]) -> bool:
    record_of = definition(op.name)
    measures = record_of.measures
    if op.regions:
        # A region without positions is like any operation without them. It may make some of its own: ones of a float[T].
        outside = any(axes_of(v.type) or _mentions(v.type) for v in (*op.operands, *op.results))
        return not outside and not _names_positions(op)
    if any(_mentions(value.type) for value in op.results):
        return False
    if (measures is not None and POSITIONS in symbols(measures(op.attrs))) or _moves_with_the_end(op):
        return False
    rule = record_of.by_position
    followed: list[set[int]] = [set() for _ in op.operands]
    for axis in axes_of(op.results[0].type):
        along = None if rule is None else rule.along(op, axis)
        if along is None:
            return False
        for axes, source in zip(followed, along, strict=True):
            axes.update(() if source is None else (source,))
    return all(
        _is_ignored(op, states, k, axis, followed)
        for k, value in enumerate(op.operands)
        for axis in axes_of(value.type)
        if axis not in followed[k]
    )


def _moves_with_the_end(op: Operation) -> bool:
    """Whether `op` reads at a place that depends on how long the sequence is by now."""
    if isinstance(op.attrs, SliceAttrs):
        ends = (s for s, dim in zip(op.attrs.stops, op.result.type.shape, strict=True) if dim != _POSITIONS)
        return any(POSITIONS in symbols(dim) for dim in (*op.attrs.starts, *ends))
    if isinstance(op.attrs, PadAttrs):
        return any(POSITIONS in symbols(dim) for dim in (*op.attrs.low, *op.attrs.high))
    return False


def _is_ignored(op: Operation, states: Mapping[Value, PrefixState], k: int, axis: int, followed: Sequence[set[int]]) -> bool:
    """Whether later positions along an axis that is folded away make no difference to any earlier result."""
    lowering = definition(op.name).lowering
    if isinstance(lowering, Reduction):
        return _has_beyond(states[op.operands[k]], followed[k], axis, lowering.identity)
    if isinstance(lowering, Contraction) and isinstance(op.attrs, ContractAttrs):
        sides = (op.attrs.lhs_contract, op.attrs.rhs_contract)
        place = sides[k].index(axis)
        return any(_has_beyond(states[op.operands[side]], followed[side], sides[side][place], 0.0) for side in (0, 1))
    return False


def _has_beyond(state: PrefixState, axes: set[int], folded: int, identity: float) -> bool:
    """Whether the cells beyond one of `axes` are all `identity`."""
    return any(state.beyond.get((axis, folded)) == Known(identity) for axis in axes)


def _with_facts(state: PrefixState, op: Operation, operands: Sequence[PrefixState]) -> PrefixState:
    """What is known of the cells of the result of a settled operation."""
    lowering = definition(op.name).lowering
    if len(op.results) != 1:
        return state
    if isinstance(lowering, Elementwise):
        if lowering.scalars or (operands and all(o.base is UNKNOWN and not o.beyond for o in operands)):
            return state
        pairs = list(itertools.permutations(axes_of(op.result.type), 2))
        base = fact_of(lowering.emit, op.attrs, [o.base for o in operands], None)
        facts = {p: fact_of(lowering.emit, op.attrs, [o.beyond.get(p, o.base) for o in operands], p) for p in pairs}
        return replace(state, base=base, beyond={p: fact for p, fact in facts.items() if fact != base})
    if isinstance(lowering, View | Reshape):
        return _moved(state, op, operands[0])
    return state


def _moved(state: PrefixState, op: Operation, operand: PrefixState) -> PrefixState:
    """The facts of an operand under another order of axes."""
    rule = definition(op.name).by_position
    assert rule is not None
    place: dict[int, int] = {}
    for axis in range(op.result.type.rank):
        along = rule.along(op, axis)
        if along is not None and along[0] is not None:
            place[along[0]] = axis
    base = operand.base
    if isinstance(base, Index):
        kept = all(axis in place for axis, _ in base.terms)
        base = Index(tuple(sorted((place[axis], factor) for axis, factor in base.terms)), base.offset) if kept else UNKNOWN
    beyond = {(place[i], place[j]): fact for (i, j), fact in operand.beyond.items() if i in place and j in place}
    return replace(state, base=base, beyond={p: f for p, f in beyond.items() if isinstance(f, Known)})


def causal_scan(op: Operation, states: Mapping[Value, PrefixState]) -> bool:
    """Whether `op` is a scan over the positions, first to last, whose turns see what is settled alone."""
    attrs = op.attrs
    if not isinstance(attrs, ScanAttrs) or attrs.reverse or attrs.length != _POSITIONS:
        return False
    carries, sequences, invariants = parts(op.operands, attrs.carries, attrs.sequences)
    if not all(states[value].settled for value in op.operands):
        return False
    if any(axes_of(value.type) or _mentions(value.type) or states[value].depends for value in (*carries, *invariants)):
        return False
    if any(axes_of(value.type) != (0,) or _mentions(value.type) for value in sequences):
        return False
    return not any(_names_positions(inner) for inner in op.regions[0].ops)


def _names_positions(op: Operation) -> bool:
    measures = definition(op.name).measures
    if measures is not None and POSITIONS in symbols(measures(op.attrs)):
        return True
    if any(axes_of(value.type) or _mentions(value.type) for value in op.results):
        return True
    return any(_names_positions(inner) for region in op.regions for inner in region.ops)


def growing_work(function: Function) -> Operation | None:
    """The first operation, if any, because of which each new position costs work at all positions before it (attention aside,
    which reads what is kept): the value of every position changes with the length."""
    states = prefix_states(function)
    for op in function.ops:
        for value in op.results:
            if not states[value].settled and axes_of(value.type) and states[value].depends:
                by = states[value].unsettled_by
                return op if by is None else by
    return None
