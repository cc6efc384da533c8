"""Grouping operations: one sweep from the last operation to the first, in which producers join their consumers.

An operation may join the group of the earliest of its readers, or start a group of its own. "Earliest" is by anchor,
the index of the operation that started a group. All other readers' groups have higher anchors, so data always flows
from lower to higher anchors: groups are free of cycles by construction, without a search. Operations that are cheap
to repeat are copied into every group that reads them. Time is linear in operations and uses.
"""

from __future__ import annotations

from bmc.ir import Operation, Shape, Value
from bmc.ops.lowering import Elementwise, Reduction, Reshape, View
from bmc.passes.fusion.graph import OpGraph
from bmc.passes.fusion.groups import Group, Reading, accepts, add, group_of
from bmc.passes.fusion.traits import CHEAP, is_leaf, is_windowed, lowering_of, reduced_axes
from bmc.record import record

__all__ = ["Grouping", "group_operations"]

COPIES = 4
"""Groups at most into which an operation is copied, constants and views of parameters aside."""


@record(frozen=True)
class Grouping:
    """`homes[i]`: the groups that compute operation i. `provider[i]`: the one among them from which the others, and
    what is outside, read its results; None when every reader has a copy of its own.
    """

    graph: OpGraph
    homes: list[list[Group]]
    provider: list[Group | None]

    def groups(self) -> list[Group]:
        """All groups with members, in order of anchors."""
        found = {id(group): group for homes in self.homes for group in homes}
        return sorted(found.values(), key=lambda group: group.anchor)


def group_operations(graph: OpGraph) -> Grouping:
    count = len(graph.ops)
    homes: list[list[Group]] = [[] for _ in range(count)]
    provider: list[Group | None] = [None] * count
    sources = _reduction_sources(graph)
    stored = _surely_stored(graph)
    for i in range(count - 1, -1, -1):
        op = graph.ops[i]
        readers = {id(g): g for v in op.results for reader in graph.readers.get(v, ()) for g in homes[reader]}
        waiting = {id(g): g for later in graph.after[i] for g in homes[later]}
        live_out = any(v in graph.live_out for v in op.results)
        limit = min((g.anchor for g in waiting.values()), default=None)
        fitting = [g for g in readers.values() if accepts(g, op, sources[i])]
        copies: list[Group] = []
        if _is_copied(graph, op, stored, live_out, len(readers)):
            copies = [g for g in fitting if limit is None or g.anchor <= limit]
        if len(copies) == len(readers) and readers and not live_out:
            homes[i] = copies
        else:
            earliest = min((*readers.values(), *waiting.values()), key=lambda g: g.anchor, default=None)
            home = group_of(i, op)
            if earliest is not None and any(g is earliest for g in fitting) and _may_store(earliest, op):
                stored_anyway = live_out or len(readers) > 1
                home = home if stored_anyway and _is_stored_better(earliest, op) else earliest
            provider[i] = home
            homes[i] = [home, *(g for g in copies if g is not home)]
        for group in homes[i]:
            add(group, i, op)
    _put_out_lone_rows(graph, homes, provider)
    return Grouping(graph, homes, provider)


def _may_store(group: Group, op: Operation) -> bool:
    """Whether a result of `op` has a shape that the kernel of `group` can give out."""
    shape = op.results[0].type.shape
    return shape == group.space or (group.kind == "reduce" and shape == group.kept)


def _is_stored_better(group: Group, op: Operation) -> bool:
    """Whether `op`, whose result must be stored anyway, is better computed elsewhere than in `group`: folds of
    columns walk their operands the wrong way, and the product that `op` follows takes it for nothing.
    """
    return group.kind == "reduce" and not group.by_rows and op.results[0].type.shape == group.space


def _reduction_sources(graph: OpGraph) -> list[tuple[Shape, tuple[int, ...]] | None]:
    """For each element-wise operation the reduction, as space and axes, that its operands come from by element-wise
    steps alone.
    """
    sources: list[tuple[Shape, tuple[int, ...]] | None] = [None] * len(graph.ops)
    for i, op in enumerate(graph.ops):
        lowering = lowering_of(op)
        if isinstance(lowering, Reduction):
            sources[i] = (op.operands[0].type.shape, reduced_axes(op))
        elif isinstance(lowering, Elementwise):
            makers = [graph.producer[v] for v in op.operands if v in graph.producer]
            found = [(maker, sources[maker]) for maker in makers if sources[maker] is not None]
            sources[i] = max(found, key=lambda item: item[0])[1] if found else None
    return sources


def _surely_stored(graph: OpGraph) -> set[Value]:
    """Values that will be in memory whatever fusion does: made outside, needed outside, or read by what takes no
    producers in.
    """
    stored = set(graph.live_out)
    for op in graph.ops:
        inlines = isinstance(lowering_of(op), Elementwise | View | Reduction)
        stored.update(v for v in op.operands if not inlines or v not in graph.producer)
        if isinstance(lowering_of(op), Reshape) or not isinstance(lowering_of(op), Elementwise | View | Reduction):
            stored.update(v for v in op.results)
    return stored


def _is_copied(graph: OpGraph, op: Operation, stored: set[Value], live_out: bool, readers: int) -> bool:
    lowering = lowering_of(op)
    if is_leaf(op):
        return True
    if isinstance(lowering, View):
        maker = graph.producer.get(op.operands[0])
        chained = maker is not None and isinstance(lowering_of(graph.ops[maker]), View)
        return readers <= COPIES or not chained or is_windowed(op)
    if not isinstance(lowering, Elementwise) or lowering.cost > CHEAP or live_out or readers > COPIES:
        return False
    inputs = {
        _viewed(graph, v) for v in op.operands if not (v in graph.producer and is_leaf(graph.ops[graph.producer[v]]))
    }
    return len(inputs) == 1 and inputs <= stored


def _viewed(graph: OpGraph, value: Value) -> Value:
    """The value of which `value` is a view, if it is one."""
    maker = graph.producer.get(value)
    if maker is not None and isinstance(lowering_of(graph.ops[maker]), View):
        return graph.ops[maker].operands[0]
    return value


def _put_out_lone_rows(graph: OpGraph, homes: list[list[Group]], provider: list[Group | None]) -> None:
    """Values of rows may return to the elements of their rows only where the kernel itself folds them. A value that
    joined a group in the hope of a reduction which then went elsewhere moves, with what it is made of, to a map just
    before the group.
    """
    seen: dict[int, Group] = {id(g): g for group_list in homes for g in group_list}
    for group in seen.values():
        if group.kind != "reduce":
            continue
        folds, folded = False, set[Value]()
        candidates: list[int] = []
        for i in sorted(group.members):
            op = graph.ops[i]
            if isinstance(lowering_of(op), Reduction):
                folds = True
                folded.update(op.results)
            elif any(v in folded for v in op.operands):
                folded.update(op.results)
            elif op.results[0].type.shape == group.kept and (
                isinstance(lowering_of(op), Elementwise) or provider[i] is group
            ):
                candidates.append(i)
        rows = _lone(graph, group, candidates) if folds else set(candidates)
        if rows:
            _move_rows(graph, group, group.kept, rows, homes, provider)
        if not folds:
            group.kind, group.axes = "map", ()


def _lone(graph: OpGraph, group: Group, candidates: list[int]) -> set[int]:
    """Those of `candidates`, which depend on no fold of the group, that return to the elements, and those that these
    are made of.
    """
    chosen: set[int] = set()
    wanted = {v for v, how in group.given.items() if how is Reading.RETURNED}
    for i in reversed(candidates):
        if any(v in wanted for v in graph.ops[i].results):
            chosen.add(i)
            wanted.update(graph.ops[i].operands)
    return chosen


def _move_rows(
    graph: OpGraph, group: Group, kept: Shape, rows: set[int], homes: list[list[Group]], provider: list[Group | None]
) -> None:
    before = Group((group.anchor[0], group.anchor[1] - 1), "map", kept)
    for i in sorted(rows | _views_read_by(graph, group, rows), reverse=True):
        add(before, i, graph.ops[i])
        if i in rows:
            homes[i] = [*(g for g in homes[i] if g is not group), before]
            provider[i] = before if provider[i] in (None, group) else provider[i]
        else:
            homes[i].append(before)
    group.members = [i for i in group.members if i not in rows]


def _views_read_by(graph: OpGraph, group: Group, rows: set[int]) -> set[int]:
    found: set[int] = set()
    members, work = set(group.members), list(rows)
    while work:
        for operand in graph.ops[work.pop()].operands:
            maker = graph.producer.get(operand)
            if maker in members and maker not in found and isinstance(lowering_of(graph.ops[maker]), View):
                found.add(maker)
                work.append(maker)
    return found
