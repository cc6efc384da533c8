"""From groups to `kernel` operations, in an order that respects data, effects and in-place updates.

Regions are written in one canonical order (depth first from the contraction, the folds and the results), so that
layers of one kind give kernels that are equal but for the names of values; `kernel_key` is what they share.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

from bmc.errors import CompilerBug
from bmc.ir import Location, Operation, Region, Value
from bmc.ops.kernel import KernelAttrs
from bmc.ops.lowering import Contraction, Elementwise, Reduction
from bmc.passes.fusion.graph import OpGraph
from bmc.passes.fusion.groups import Group
from bmc.passes.fusion.sweep import Grouping
from bmc.passes.fusion.traits import is_leaf, lowering_of

__all__ = ["kernel_key", "kernels_of"]

NAMED = 4
"""Operators in the name of a kernel."""


def kernels_of(grouping: Grouping) -> tuple[Operation, ...]:
    """One operation for each group, in an executable order that keeps to the original one where it can."""
    exported = _exports(grouping)
    made: list[Operation] = []
    for group in _schedule(grouping, exported):
        if group.kind == "single":
            made.extend(grouping.graph.ops[i] for i in group.members)
        elif exported.get(id(group)):
            made.append(_kernel(grouping.graph, group, exported[id(group)]))
    return tuple(made)


def _exports(grouping: Grouping) -> dict[int, list[Value]]:
    """By group, the values that it must store: needed after the phase, or read by a group that does not compute them
    itself.
    """
    graph, homes = grouping.graph, grouping.homes
    exported: dict[int, list[Value]] = {}
    for i, group in enumerate(grouping.provider):
        if group is None:
            continue
        own = {id(home) for home in homes[i]}
        for value in graph.ops[i].results:
            readers = (home for reader in graph.readers.get(value, ()) for home in homes[reader])
            if value in graph.live_out or any(id(home) not in own for home in readers):
                exported.setdefault(id(group), []).append(value)
    return exported


def _schedule(grouping: Grouping, exported: dict[int, list[Value]]) -> list[Group]:
    """Groups in topological order; among those that are ready, the one whose first operation of weight came first."""
    graph, homes = grouping.graph, grouping.homes
    groups = grouping.groups()
    number = {id(group): k for k, group in enumerate(groups)}
    waiting: list[set[int]] = [set() for _ in groups]
    following: list[set[int]] = [set() for _ in groups]

    def edge(source: Group, target: Group) -> None:
        a, b = number[id(source)], number[id(target)]
        if a != b:
            waiting[b].add(a)
            following[a].add(b)

    for i, op in enumerate(graph.ops):
        for home in homes[i]:
            own = {id(home)}
            for operand in op.operands:
                maker = graph.producer.get(operand)
                if maker is not None and not any(id(h) in own for h in homes[maker]):
                    source = grouping.provider[maker]
                    if source is None:
                        raise CompilerBug(
                            "fuse", f"{graph.ops[maker].name} is read by a kernel that neither has nor is given it"
                        )
                    edge(source, home)
            for later in graph.after[i]:
                for target in homes[later]:
                    edge(home, target)
    first = [_first(graph, group) for group in groups]
    ready = [(first[k], k) for k in range(len(groups)) if not waiting[k]]
    heapq.heapify(ready)
    order: list[Group] = []
    while ready:
        _, k = heapq.heappop(ready)
        order.append(groups[k])
        for successor in following[k]:
            waiting[successor].discard(k)
            if not waiting[successor]:
                heapq.heappush(ready, (first[successor], successor))
    if len(order) != len(groups):
        stuck = [graph.ops[i].name for k in range(len(groups)) if waiting[k] for i in groups[k].members][:8]
        raise CompilerBug("fuse", f"groups depend on one another in a circle, among them {', '.join(stuck)}")
    return order


def _first(graph: OpGraph, group: Group) -> int:
    """The original place of a group: that of its product or first fold, else of its first operation that computes."""
    heavy = [i for i in group.members if isinstance(lowering_of(graph.ops[i]), Contraction | Reduction)]
    plain = [
        i for i in group.members if isinstance(lowering_of(graph.ops[i]), Elementwise) and not is_leaf(graph.ops[i])
    ]
    return min(heavy or plain or group.members)


def _kernel(graph: OpGraph, group: Group, results: Sequence[Value]) -> Operation:
    members = set(group.members)
    ordered = _canonical(graph, group, members, results)
    inside: dict[Value, Value] = {}
    params: list[Value] = []
    operands: list[Value] = []
    ops: list[Operation] = []
    for i in ordered:
        op = graph.ops[i]
        for value in op.operands:
            if value not in inside:
                inside[value] = Value(value.type, value.name)
                operands.append(value)
                params.append(inside[value])
        made = tuple(Value(value.type, value.name) for value in op.results)
        inside.update(zip(op.results, made, strict=True))
        ops.append(Operation(op.name, tuple(inside[v] for v in op.operands), op.attrs, made, op.regions, op.location))
    region = Region(tuple(params), tuple(ops), tuple(inside[v] for v in results))
    attrs = KernelAttrs(group.kind, _name(ops))
    return Operation("kernel", tuple(operands), attrs, tuple(results), (region,), _location(ops))


def _canonical(graph: OpGraph, group: Group, members: set[int], results: Sequence[Value]) -> list[int]:
    """Members in depth-first order: what the contraction needs, the folds, the results. Iterative, since chains may
    be long.
    """
    heavy = [i for i in sorted(members) if isinstance(lowering_of(graph.ops[i]), Contraction | Reduction)]
    done: set[int] = set()
    order: list[int] = []
    needed = _needed(graph, members, results)
    roots = [i for i in heavy if i in needed] + [graph.producer[v] for v in results]
    for root in roots:
        stack = [(root, iter(graph.ops[root].operands))]
        entered = {root}
        while stack:
            i, operands = stack[-1]
            if i in done:
                stack.pop()
                continue
            for value in operands:
                maker = graph.producer.get(value)
                if maker is not None and maker in members and maker not in done and maker not in entered:
                    entered.add(maker)
                    stack.append((maker, iter(graph.ops[maker].operands)))
                    break
            else:
                done.add(i)
                order.append(i)
                stack.pop()
    return order


def _needed(graph: OpGraph, members: set[int], results: Sequence[Value]) -> set[int]:
    found: set[int] = set()
    work = [graph.producer[v] for v in results]
    while work:
        i = work.pop()
        if i in members and i not in found:
            found.add(i)
            work.extend(graph.producer[v] for v in graph.ops[i].operands if v in graph.producer)
    return found


def _name(ops: Sequence[Operation]) -> str:
    """The first operators that compute, the contraction and folds before the rest."""
    weighty = [op.name for op in ops if isinstance(lowering_of(op), Contraction | Reduction)]
    plain = [op.name for op in ops if isinstance(lowering_of(op), Elementwise) and not is_leaf(op)]
    names = list(dict.fromkeys(weighty)) + list(dict.fromkeys(plain)) or list(dict.fromkeys(op.name for op in ops))
    return "_".join(names[:NAMED]) + ("_etc" if len(names) > NAMED else "")


def _location(ops: Sequence[Operation]) -> Location:
    spans = tuple(dict.fromkeys(span for op in ops for span in op.location.spans))
    return Location(spans, all(op.location.gradient for op in ops))


def kernel_key(op: Operation) -> str:
    """Structural text of an operation: equal for operations that differ in the names of values only, with dims as
    they stand.

    Operations of equal key compute the same function, so they can share code.
    """
    if not op.regions:
        return f"{op.name} {op.attrs!r} ({_types(op.operands)}) -> ({_types(op.results)})"
    (region,) = op.regions
    number = {value: k for k, value in enumerate(region.params)}
    what = op.attrs.kind if isinstance(op.attrs, KernelAttrs) else f"{op.name} {op.attrs!r} ({_types(op.operands)})"
    lines = [f"{what}({_types(region.params)})"]
    for inner in region.ops:
        read = " ".join(str(number[v]) for v in inner.operands)
        number.update((v, len(number) + k) for k, v in enumerate(inner.results))
        what = kernel_key(inner) if inner.regions else f"{inner.name} {inner.attrs!r}"
        lines.append(f"{what} {read} -> {_types(inner.results)}")
    lines.append("return " + " ".join(str(number[v]) for v in region.results))
    return "\n".join(lines)


def _types(values: Sequence[Value]) -> str:
    return ", ".join(str(value.type) for value in values)
