"""Cutting a function into phases at its sums over shards and its host reducers.

In: a function after `shard` (sums over rows are explicit), or one without sums. Out: its phases in execution order.
Guaranteed: what depends on rows runs for each shard; what depends on totals but not on rows runs once; a per-shard
value without rows (a partial) is read by `shard_sum` alone. Constants, views and cheap scalars are repeated in every
phase that reads them. Linear in operations. See docs/phases.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from bmc.errors import CompilerBug
from bmc.ir import Function, Operation, Value
from bmc.ir.dims import symbols
from bmc.ops.lowering import Elementwise, Expanded, Host, Reshape, View
from bmc.ops.table import definition
from bmc.passes.fusion.traits import is_leaf, lowering_of
from bmc.passes.phase import Phase
from bmc.record import record

__all__ = ["split_phases"]

REPEATED_ELEMENTS = 16
"""Elements at most of a value that each shard computes for itself rather than wait for a phase that computes it once."""

Place = Literal["once", "shard", "sum", "host"]
_ORDER: tuple[Place, ...] = ("once", "shard", "sum", "host")


@record(frozen=True)
class _Slot:
    """Where an operation runs. All of a level runs before the next; within a level in the order of `_ORDER`."""

    level: int
    place: Place


def split_phases(function: Function) -> tuple[Phase, ...]:
    """The phases of `function`; one when nothing cuts it. Raises CompilerBug when a partial is read before it is
    summed.
    """
    if not any(_cuts(op) for op in function.ops):
        whole: Place = "once" if function.row is None else "shard"
        return _phases(function, {op: _Slot(0, whole) for op in function.ops}, frozenset())
    slots, repeated = _slots(function)
    return _phases(function, slots, repeated)


def _cuts(op: Operation) -> bool:
    return _is_sum(op) or isinstance(lowering_of(op), Host)


def _is_sum(op: Operation) -> bool:
    """A sum over shards: what this pass is named for as the one that removes it."""
    lowering = lowering_of(op)
    return isinstance(lowering, Expanded) and lowering.by == "split_phases"


def _has_rows(op: Operation, row: str | None) -> bool:
    """Whether `op` runs on the rows of a shard: a shape that it touches, or the dim that it measures, holds the row
    dim.
    """
    if row is None:
        return False
    measures = definition(op.name).measures
    if measures is not None and row in symbols(measures(op.attrs)):
        return True
    return any(row in symbols(dim) for value in (*op.operands, *op.results) for dim in value.type.shape)


def _slots(function: Function) -> tuple[dict[Operation, _Slot], frozenset[Operation]]:
    """The slot of each operation, and the operations that run in every slot that reads them instead."""
    row = function.row
    level: dict[Value, int] = {param.value: 0 for param in function.params}
    partials: set[Value] = set()
    repeatable: set[Value] = set()
    slots: dict[Operation, _Slot] = {}
    repeated: set[Operation] = set()
    producer: dict[Value, Operation] = {}
    for op in function.ops:
        producer.update((v, op) for v in op.results)
        at = max((level[v] for v in op.operands), default=0)
        if _is_sum(op):
            if op.operands[0] not in partials:
                raise CompilerBug(
                    "split_phases", f"a sum over shards of {op.operands[0].type}, which is no partial of a shard"
                )
            slots[op] = _Slot(at, "sum")
            level[op.result] = at + 1
            continue
        if any(v in partials for v in op.operands):
            raise CompilerBug("split_phases", f"{op.name} reads a partial before it is summed over the shards")
        if isinstance(lowering_of(op), Host):
            slots[op] = _Slot(at, "host")
            repeated.difference_update(producer[v] for v in op.operands if v in producer)
            level.update((v, at + 1) for v in op.results)
            continue
        level.update((v, at) for v in op.results)
        if _has_rows(op, row):
            slots[op] = _Slot(at, "shard")
            partials.update(v for v in op.results if not any(row in symbols(d) for d in v.type.shape))
        else:
            slots[op] = _Slot(at, "once")
            if _is_repeated(op, at, repeatable):
                repeated.add(op)
                repeatable.update(op.results)
    _sink(function, slots, repeated)
    return slots, frozenset(repeated)


def _sink(function: Function, slots: dict[Operation, _Slot], repeated: set[Operation]) -> None:
    """Move what runs once as late as its readers allow, so that it meets them in one kernel. Effects stay early;
    updates go last, where nothing can stop the step any more.
    """
    last = max(slot.level for slot in slots.values())
    latest = {result.value: last for result in function.results if result.role == "update"}
    for op in reversed(function.ops):
        slot = slots[op]
        if slot.place == "once" and op not in repeated and not definition(op.name).effect:
            wanted = [latest[v] for v in op.results if v in latest]
            if wanted:
                slots[op] = slot = _Slot(max(slot.level, min(wanted)), "once")
        bound = slot.level
        if op in repeated:
            # It runs wherever it is read, so what it reads must be there for the earliest of these.
            bound = min((latest[v] for v in op.results if v in latest), default=slot.level)
        for value in op.operands:
            latest[value] = min(latest.get(value, bound), bound)


def _is_repeated(op: Operation, level: int, repeatable: set[Value]) -> bool:
    lowering = lowering_of(op)
    if definition(op.name).effect:
        return False
    if is_leaf(op) or isinstance(lowering, View | Reshape):
        return True
    if not isinstance(lowering, Elementwise) or level > 0:
        return False
    elements = op.results[0].type.elements
    return isinstance(elements, int) and elements <= REPEATED_ELEMENTS


def _phases(function: Function, slots: dict[Operation, _Slot], repeated: frozenset[Operation]) -> tuple[Phase, ...]:
    producer = {result: op for op in function.ops for result in op.results}
    number = {op: i for i, op in enumerate(function.ops)}
    results = {result.value for result in function.results}
    own: dict[_Slot, list[Operation]] = {}
    for op in function.ops:
        if op not in repeated:
            own.setdefault(slots[op], []).append(op)
    wanted = [producer[v] for v in results if v in producer and producer[v] in repeated]
    if wanted:
        last = max(slot.level for slot in (*own, *(slots[op] for op in wanted)))
        own.setdefault(_Slot(last, "once"), []).extend(sorted(wanted, key=lambda op: number[op]))
    ordered = sorted(own, key=lambda slot: (slot.level, _ORDER.index(slot.place)))
    bodies: list[tuple[_Slot, list[Operation]]] = []
    for slot in ordered:
        if slot.place == "host":
            bodies.extend((slot, [op]) for op in own[slot])
        elif slot.place == "sum":
            bodies.append((slot, own[slot]))
        else:
            bodies.append((slot, _with_repeated(own[slot], producer, repeated, number)))
    made_in: dict[Value, int] = {}
    for k, (slot, ops) in enumerate(bodies):
        here = set(own[slot])  # a repeated result is given out by the phase that it was put into, not by those that repeat it
        for op in ops:
            if op in here:
                made_in.update((v, k) for v in op.results)
    read_outside: set[Value] = set(results)
    inputs: list[tuple[Value, ...]] = []
    for k, (_, ops) in enumerate(bodies):
        inside = {v for op in ops for v in op.results}
        reads = _distinct(v for op in ops for v in op.operands if v not in inside)
        for value in reads:
            if value in producer and made_in.get(value, k) >= k:
                raise CompilerBug(
                    "split_phases", f"phase {k} of {function.name} reads {value.type} before any phase makes it"
                )
        read_outside.update(reads)
        inputs.append(reads)
    phases = []
    for k, (slot, ops) in enumerate(bodies):
        outputs = tuple(v for op in ops for v in op.results if v in read_outside and made_in.get(v) == k)
        kind: Literal["native", "sum", "host"] = slot.place if slot.place in ("sum", "host") else "native"
        phases.append(Phase(f"{function.name}.{k}", kind, slot.place == "shard", tuple(ops), inputs[k], outputs))
    return tuple(phases)


def _with_repeated(
    ops: Sequence[Operation],
    producer: dict[Value, Operation],
    repeated: frozenset[Operation],
    number: dict[Operation, int],
) -> list[Operation]:
    """`ops` with the repeated operations that they need, in the order of the function."""
    chosen = set(ops)
    work = list(ops)
    while work:
        for value in work.pop().operands:
            maker = producer.get(value)
            if maker in repeated and maker not in chosen:
                chosen.add(maker)
                work.append(maker)
    return sorted(chosen, key=lambda op: number[op])


def _distinct(values: Iterable[Value]) -> tuple[Value, ...]:
    return tuple(dict.fromkeys(values))
