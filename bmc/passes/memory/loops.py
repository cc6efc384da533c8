"""A place for every value of a scan's turn: `scan` operations of kernels become `loop` operations.

In: the operations of a phase after fusion. Out: the same with loops. Guaranteed, and proved again by `check_loop`:
values of a turn that are needed at the same time lie apart in the workspace, which is the loop's last result. A new
carry is read in the next turn where this one wrote it, so it has two places, for even and for odd turns, unless it is
a yield, whose stack keeps it. Linear in operations.
"""

from __future__ import annotations

from collections.abc import Sequence

from bmc.errors import CompilerBug
from bmc.ir import Dim, Operation, Region, TensorType, Value
from bmc.ops.kernel import KernelAttrs
from bmc.ops.lowering import Loop, Reshape
from bmc.ops.scan_parts import LoopAttrs, ScanAttrs
from bmc.passes.fusion.traits import lowering_of
from bmc.passes.memory.arena import Arena
from bmc.passes.memory.sizes import ALIGNMENT, aligned, at_most, bytes_of

__all__ = ["check_loop", "with_loops"]

STACKED = -1
"""The place of a value that lies in the stack of a yield."""


def with_loops(ops: Sequence[Operation]) -> tuple[Operation, ...]:
    """`ops` with a loop for each scan, in regions too."""
    return tuple(_loop(op) if isinstance(lowering_of(op), Loop) and isinstance(op.attrs, ScanAttrs) else op for op in ops)


def _loop(op: Operation) -> Operation:
    assert isinstance(op.attrs, ScanAttrs)
    attrs = op.attrs
    (region,) = op.regions
    body = _with_copies(Region(region.params, with_loops(region.ops), region.results), attrs.carries)
    places, workspace = _places(body, attrs.carries)
    found = LoopAttrs(attrs.carries, attrs.sequences, attrs.reverse, attrs.length, workspace, places)
    space = Value(TensorType("u8", (workspace,)), "workspace")
    return Operation("loop", op.operands, found, (*op.results, space), (body,), op.location)


def _with_copies(region: Region, carries: int) -> Region:
    """The region with a copy of each result that has no memory of its own: a parameter, an alias, or one that is a
    yield or a carry already. A carry may be a yield at the same time.
    """
    own = {v for op in region.ops if not isinstance(lowering_of(op), Reshape) for v in op.results}
    copies: list[Operation] = []
    results: list[Value] = []
    for i, value in enumerate(region.results):
        before = results[carries:i] if i >= carries else results
        if value not in own or value in before:
            inside, made = Value(value.type, value.name), Value(value.type, value.name)
            copies.append(Operation("kernel", (value,), KernelAttrs("map", "copy"), (made,), (Region((inside,), (), (inside,)),)))
            value = made
        results.append(value)
    return Region(region.params, (*region.ops, *copies), tuple(results))


def _roots(region: Region) -> dict[Value, Value]:
    """The value in whose memory each value lies."""
    roots = {param: param for param in region.params}
    for op in region.ops:
        alias = isinstance(lowering_of(op), Reshape)
        roots.update((v, roots[op.operands[0]] if alias else v) for v in op.results)
    return roots


def _places(region: Region, carries: int) -> tuple[tuple[Dim, ...], Dim]:
    roots = _roots(region)
    run = [op for op in region.ops if not isinstance(lowering_of(op), Reshape)]
    last: dict[Value, int] = {}
    for time, op in enumerate(run):
        last.update((v, time) for v in op.results)
        last.update((roots[v], time) for v in op.operands)
    yields = set(region.results[carries:])
    arena = Arena()
    # A carry is read from the first operation of the next turn on, so its slot is nobody else's.
    own = {value: arena.take(_room(value) * 2) for value in region.results[:carries] if value not in yields}
    slots: list[int | None] = []
    ends: dict[int, list[int]] = {}
    for time, op in enumerate(run):
        for value in op.results:
            if value in yields:
                slots.append(None)
            elif value in own:
                slots.append(own[value])
            else:
                slot = arena.take(_room(value))
                slots.append(slot)
                ends.setdefault(last[value], []).append(slot)
        for slot in ends.pop(time, ()):
            arena.give(slot)
    offsets, end = arena.offsets()
    return tuple(STACKED if slot is None else offsets[slot] for slot in slots), end


def _room(value: Value) -> Dim:
    """A value without cells takes room, too: a place is known by where it begins, which two must not share."""
    return aligned(bytes_of(value.type)) or ALIGNMENT


def check_loop(op: Operation) -> None:
    """Raise CompilerBug unless every value of a turn is still where it was written whenever it is read, and new
    carries until the next turn has ended.
    """
    assert isinstance(op.attrs, LoopAttrs)
    (region,) = op.regions
    run = [inner for inner in region.ops if not isinstance(lowering_of(inner), Reshape)]
    made = [value for inner in run for value in inner.results]
    if len(made) != len(op.attrs.places):
        raise _fail(f"a loop has {len(op.attrs.places)} places for {len(made)} values")
    place = dict(zip(made, op.attrs.places, strict=True))
    roots = _roots(region)
    carried, yields = set(region.results[: op.attrs.carries]), region.results[op.attrs.carries :]
    if len(set(yields)) < len(yields) or any(v not in place for v in region.results):
        raise _fail("a result of a loop has no memory of its own")
    _check_slots(op.attrs, place, carried)
    held: dict[Dim, Value] = {place[value]: value for value in carried if place[value] != STACKED}
    if len(held) < sum(1 for value in carried if place[value] != STACKED):
        raise _fail("two carries of a loop have one place")
    for inner in run:
        for operand in inner.operands:
            root = roots[operand]
            at = place.get(root)
            if at is not None and at != STACKED and held.get(at) is not root:
                raise _fail(f"{inner.name} of a loop reads {operand.type} %{operand.name}, which is overwritten by then")
        reading = {place.get(roots[operand]) for operand in inner.operands} - {STACKED, None}
        for value in inner.results:
            at = place[value]
            if (at == STACKED) != (value in yields):
                raise _fail(f"%{value.name} of a loop lies in a stack without being a yield, or the reverse")
            if at == STACKED:
                continue
            if value not in carried and (at in reading or held.get(at) in carried):
                raise _fail(f"{inner.name} of a loop writes {value.type} over a value that is still wanted")
            held[at] = value
            reading.add(at)
        if isinstance(inner.attrs, LoopAttrs):
            check_loop(inner)


def _check_slots(attrs: LoopAttrs, place: dict[Value, Dim], carried: set[Value]) -> None:
    """Each place ends before the next begins; places are in the order in which slots were made."""
    needed: dict[Dim, list[Dim]] = {}
    for value, at in place.items():
        if at != STACKED:
            size = aligned(bytes_of(value.type))
            needed.setdefault(at, []).append(size * 2 if value in carried else size)
    end: Dim = 0
    for at in _ascending(list(needed)):
        if not at_most(end, at):
            raise _fail(f"a place of a loop begins at {at}, before {end}, where the one before it ends")
        largest: Dim = 0
        for size in needed[at]:
            largest = size if at_most(largest, size) else largest
        if not all(at_most(size, largest) for size in needed[at]):
            raise _fail(f"the sizes of values at {at} of a loop cannot be compared")
        end = at + largest
    if not at_most(end, attrs.workspace):
        raise _fail(f"the places of a loop end at {end}, its workspace at {attrs.workspace}")


def _ascending(offsets: list[Dim]) -> list[Dim]:
    ordered: list[Dim] = []
    for offset in offsets:
        k = len(ordered)
        while k and not at_most(ordered[k - 1], offset):
            k -= 1
        ordered.insert(k, offset)
    return ordered


def _fail(message: str) -> CompilerBug:
    return CompilerBug("check_memory", message)
