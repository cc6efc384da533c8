"""What a kernel must compute: its region as a list of elements wanted at affine indices, with the loop each one belongs to.

In: a `kernel` operation of kind map or reduce (or the epilogue of a contract). Out: `Demands`: for each value of the region and
each index map at which it is wanted, the loads, element operations and reductions in executable order. A view is only a change
of the map. Each demand knows its `level`, the deepest loop that it depends on, so that nothing is computed in a deeper loop than it
must be, and its `stage`, the number of reductions that must have finished before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from bmc.codegen.kernel.affine import Affine, IndexMap, identity_map, linear, merged_axes, through_view
from bmc.errors import CompilerBug
from bmc.ir import Dim, Operation, Region, Shape, Value
from bmc.ops.lowering import Elementwise, Reduction, Reshape, View
from bmc.ops.table import definition

__all__ = ["Demand", "Demands", "Key", "demands_of", "set_levels"]

Key = tuple[Value, IndexMap]


@dataclass(eq=False)
class Demand:
    """One value at one index map. Exactly one of: a load (`access`), an element operation, a reduction, a given value, or
    an array whose cells are read one by one (`array`: `index` is empty then).
    """

    value: Value
    index: IndexMap
    op: Operation | None
    access: Affine | None = None
    operands: tuple[Demand, ...] = ()
    level: int = -1
    vector: bool = False
    stage: int = 0
    cost: int = 0
    constant: bool = False
    array: bool = False

    @property
    def is_reduction(self) -> bool:
        return self.op is not None and isinstance(definition(self.op.name).lowering, Reduction)


@dataclass
class Demands:
    """`groups`: iteration axes merged for loops, outermost first; `order`: demands in executable order; `results`: one demand for
    each result of the region, with the access of its store.
    """

    space: Shape
    reduced: frozenset[int]
    groups: list[list[int]]
    sizes: Shape
    order: list[Demand] = field(default_factory=list)
    results: list[tuple[Demand, Affine]] = field(default_factory=list)

    def group_strides(self, access: Affine) -> Shape:
        return tuple(access.strides[group[-1]] for group in self.groups)


def demands_of(
    region: Region,
    space: Shape,
    reduced: frozenset[int] = frozenset(),
    given: Value | None = None,
    classes: Sequence[object] | None = None,
    also: Sequence[Affine] = (),
) -> Demands:
    """Analyse `region` over the iteration space `space`, of which the axes `reduced` are folded.

    `given`: a value of the region that needs no computing, at the identity map (the product of a contract). `classes`:
    for each axis; axes of different class are never merged. `also`: further forms over the space that merging must
    respect.
    """
    rank = len(space)
    kept = [axis for axis in range(rank) if axis not in reduced]
    full_map, kept_map = identity_map(rank), identity_map(rank, kept)
    table: dict[Key, Demand] = {}
    wanted: dict[Value, list[Demand]] = {}

    def want(value: Value, index: IndexMap, op: Operation | None = None) -> Demand:
        demand = table.get((value, index))
        if demand is None:
            demand = Demand(value, index, op)
            table[value, index] = demand
            wanted.setdefault(value, []).append(demand)
        return demand

    results = []
    for value in region.results:
        full = value.type.shape == space and (not reduced or not _is_reduced(value, region, reduced, space))
        results.append(want(value, full_map if full else kept_map))
    # Backwards: what each wanted value needs. A view has the operand's demand in its place.
    aliases: dict[Key, Key] = {}
    for op in reversed(region.ops):
        lowering = definition(op.name).lowering
        for result in op.results:
            for demand in wanted.get(result, []):
                if result is given:
                    continue
                demand.op = op
                if isinstance(lowering, View):
                    maps = lowering.index(op.attrs, op.operands[0].type, result.type)
                    operand = want(op.operands[0], through_view(demand.index, maps, rank))
                    aliases[result, demand.index] = (operand.value, operand.index)
                elif isinstance(lowering, Elementwise):
                    demand.operands = tuple(
                        want(v, () if i in lowering.scalars else demand.index) for i, v in enumerate(op.operands)
                    )
                elif isinstance(lowering, Reduction):
                    demand.operands = (want(op.operands[0], full_map),)
                elif isinstance(lowering, Reshape):
                    raise CompilerBug("codegen", f"reshape to {result.type} inside a kernel")
                else:
                    raise CompilerBug("codegen", f"operation {op.name} cannot be part of a kernel")

    def resolve(demand: Demand) -> Demand:
        key = (demand.value, demand.index)
        while key in aliases:
            key = aliases[key]
        return table[key]

    forms: list[Affine] = list(also)
    ordered: list[Demand] = []
    for param in region.params:
        for demand in wanted.get(param, []):
            if not demand.index and param.type.rank:
                demand.array = True
                ordered.append(demand)
                continue
            demand.access = linear(demand.index, param.type.shape, rank)
            forms.append(demand.access)
            ordered.append(demand)
    if given is not None:
        ordered.extend(wanted.get(given, []))
    for op in region.ops:
        lowering = definition(op.name).lowering
        if isinstance(lowering, View):
            continue
        for result in op.results:
            if result is given:
                continue
            for demand in wanted.get(result, []):
                demand.operands = tuple(resolve(d) for d in demand.operands)
                if isinstance(lowering, Elementwise) and lowering.indexed:
                    forms.extend(demand.index)
                ordered.append(demand)
    stores = [linear(d.index, v.type.shape, rank) for d, v in zip(results, region.results, strict=True)]
    forms.extend(stores)

    axes = [axis for axis in range(rank) if space[axis] != 1]
    kinds = [(axis in reduced, classes[axis] if classes is not None else None) for axis in axes]
    picked = [Affine(form.offset, tuple(form.strides[a] for a in axes)) for form in forms]
    local = merged_axes(tuple(space[a] for a in axes), kinds, picked)
    groups = [[axes[i] for i in group] for group in local]
    sizes: list[Dim] = []
    for group in groups:
        size = space[group[0]]
        for axis in group[1:]:
            size = size * space[axis]
        sizes.append(size)
    analysed = Demands(space, reduced, groups, tuple(sizes), ordered)
    analysed.results = [(resolve(d), store) for d, store in zip(results, stores, strict=True)]
    return analysed


def _is_reduced(value: Value, region: Region, reduced: frozenset[int], space: Shape) -> bool:
    """Whether a result whose shape equals the space is after the reduction all the same: only where the reduced dims vanish from
    a shape can the two be told apart by shape, and reduced axes always vanish.
    """
    return len(value.type.shape) != len(space)


def set_levels(analysed: Demands, order: Sequence[int], vector: int | None) -> None:
    """Fill in level, stage, cost and whether a demand differs between the lanes of a vector.

    `order[p]` is the group of loop position p, outermost first; `vector` the group that lanes run along.
    """
    position = {group: p for p, group in enumerate(order)}
    reduced = {g for g, axes in enumerate(analysed.groups) if axes[0] in analysed.reduced}
    kept_level = max((position[g] for g in position if g not in reduced), default=-1)
    for demand in analysed.order:
        lowering = definition(demand.op.name).lowering if demand.op is not None else None
        used: set[int] = set()
        if demand.access is not None:
            strides = analysed.group_strides(demand.access)
            used = {g for g, stride in enumerate(strides) if stride != 0}
        elif demand.op is None and not demand.array:
            used = set(position)  # given: differs at every point
        elif isinstance(lowering, Elementwise) and lowering.indexed:
            used = {g for g, axes in enumerate(analysed.groups) for form in demand.index if form.strides[axes[-1]] != 0}
        demand.stage = max((d.stage for d in demand.operands), default=0)
        if demand.is_reduction and reduced:
            demand.stage += 1
            demand.level = kept_level
            demand.vector = vector is not None and vector not in reduced
        else:
            demand.level = max([-1, *(d.level for d in demand.operands), *(position.get(g, -1) for g in used)])
            demand.vector = vector in used or any(d.vector for d in demand.operands)
        if isinstance(lowering, Elementwise):
            demand.cost = lowering.cost + sum(d.cost for d in demand.operands)
            demand.constant = not demand.operands and not lowering.indexed
