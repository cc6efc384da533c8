"""Merging groups: one sweep from the first group to the last, in which consumers join their producers.

A group may move up into an earlier one when everything that it reads is computed no later than that one; the data
then still flows from lower to higher anchors. Candidates are the latest of its producers, and an earlier kernel over
the same space that reads the same large value. Time is linear in operations and uses.
"""

from __future__ import annotations

from bmc.ir import Value
from bmc.ops.lowering import Reduction, View
from bmc.passes.fusion.graph import OpGraph
from bmc.passes.fusion.groups import Group, Reading, merge_into, mergeable
from bmc.passes.fusion.sweep import Grouping
from bmc.passes.fusion.traits import lowering_of

__all__ = ["merge_groups"]

Signature = tuple[object, ...]


def merge_groups(grouping: Grouping) -> Grouping:
    """The same operations in fewer groups. The groups of `grouping` are consumed."""
    graph, homes = grouping.graph, grouping.homes
    moved: dict[int, Group] = {}
    provider = grouping.provider
    before: dict[int, list[int]] = {}
    for i, late in enumerate(graph.after):
        for j in late:
            before.setdefault(j, []).append(i)
    last: dict[Signature, Group] = {}

    def at(group: Group) -> Group:
        return moved.get(id(group), group)

    for group in grouping.groups():
        if group.kind == "single":
            continue
        members = set(group.members)
        reads: dict[Value, Group | None] = {}
        for i in group.members:
            for value in graph.ops[i].operands:
                maker = graph.producer.get(value)
                if maker is None or maker not in members:
                    source = None if maker is None else provider[maker]
                    reads[value] = None if source is None else at(source)
        waits = [
            at(home) for i in group.members for j in before.get(i, ()) for home in homes[j] if at(home) is not group
        ]
        sources = [g for g in reads.values() if g is not None]
        latest = max((*sources, *waits), key=lambda g: g.anchor, default=None)
        target = _target(graph, group, latest, reads, last)
        if target is not None:
            moved[id(group)] = target
            merge_into(target, group)
        place = target or group
        for signature in _signatures(place, reads):
            last[signature] = place
    return Grouping(
        graph, [_distinct([at(g) for g in found]) for found in homes], [None if g is None else at(g) for g in provider]
    )


def _target(
    graph: OpGraph, group: Group, latest: Group | None, reads: dict[Value, Group | None], last: dict[Signature, Group]
) -> Group | None:
    """The group that `group` moves into, if any."""
    if latest is not None:
        shared = {value for value, source in reads.items() if source is latest}
        if shared and _fits(graph, latest, group, shared):
            return latest
    for signature in _signatures(group, reads):
        sibling = last.get(signature)
        if sibling is None or sibling.anchor >= group.anchor or (latest is not None and latest.anchor > sibling.anchor):
            continue
        shared = {value for value, source in reads.items() if source is sibling}
        if sibling.kind == group.kind and _fits(graph, sibling, group, shared):
            return sibling
    return None


def _fits(graph: OpGraph, target: Group, group: Group, shared: set[Value]) -> bool:
    if not mergeable(target, group, shared) or not _returns_folds(graph, target, group, shared):
        return False
    return not _computes_given(graph, target, group, set()) and not _computes_given(graph, group, target, shared)


def _computes_given(graph: OpGraph, reader: Group, maker: Group, besides: set[Value]) -> bool:
    """Whether `maker` has operations, copies of cheap ones for example, for values that `reader` must be given as
    parameters.
    """
    for i in maker.members:
        is_view = isinstance(lowering_of(graph.ops[i]), View)
        for value in graph.ops[i].results:
            how = reader.given.get(value)
            if how is not None and value not in besides and not (is_view and how in (Reading.VIEWED, Reading.RETURNED)):
                return True
    return False


def _returns_folds(graph: OpGraph, target: Group, group: Group, shared: set[Value]) -> bool:
    """Whether what `group` broadcasts back to rows are folds of `target`, or made of them: nothing else may return in
    a kernel.
    """
    members = set(target.members)
    for value in shared:
        if group.given.get(value) is not Reading.RETURNED:
            continue
        work, seen, folded = [value], {value}, False
        while work and not folded:
            maker = graph.producer.get(work.pop())
            if maker is None or maker not in members:
                continue
            folded = isinstance(lowering_of(graph.ops[maker]), Reduction)
            fresh = [v for v in graph.ops[maker].operands if v not in seen]
            seen.update(fresh)
            work.extend(fresh)
        if not folded:
            return False
    return True


def _signatures(group: Group, reads: dict[Value, Group | None]) -> list[Signature]:
    """Under what a kernel is found by others like it: the values of its whole space that it reads, or being about
    scalars.
    """
    if group.kind == "contract":
        return []
    if group.kind == "map" and not group.space:
        return [("scalars",)]
    return [(value, group.kind, group.space, group.axes) for value in reads if value.type.shape == group.space]


def _distinct(groups: list[Group]) -> list[Group]:
    return list({id(g): g for g in groups}.values())
