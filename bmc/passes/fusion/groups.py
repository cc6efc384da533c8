"""A group: operations that will run as one kernel, and the rules of what may join it.

Groups grow from consumers to producers, so when an operation asks to join, every operation that reads it has its
place already. A group has a `space`, the shape that its loops run over. Values that the kernel must be given as
parameters, because it reads them otherwise than at the index at hand, are noted in `given` with the way in which they
are read.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Literal

from bmc.ir import Operation, Shape, Value
from bmc.ops.lowering import Contraction, Elementwise, Reduction, View
from bmc.passes.fusion.traits import (
    is_permutation,
    is_trailing,
    is_windowed,
    kept_shape,
    lowering_of,
    reduced_axes,
    returned_axes,
    whole_operands,
)

__all__ = ["LARGEST", "Group", "GroupKind", "Reading", "accepts", "add", "group_of", "merge_into", "mergeable"]

LARGEST = 160
"""Operations in a group at most: beyond, a kernel runs out of registers, and compiling it takes more than its share."""

GroupKind = Literal["map", "reduce", "contract", "single"]


class Reading(enum.Enum):
    """How a group reads a value that it cannot have at the index at hand."""

    RETURNED = "returned"  # broadcast back from a row to its elements; a value of the row may be computed in the kernel
    VIEWED = "viewed"  # through an index map: a parameter, or a view of one
    PERMUTED = "permuted"  # operand of the contraction: a parameter, or a view that reorders its axes or slides along them
    WHOLE = "whole"  # cell by cell: a parameter


_STRICTNESS = {Reading.RETURNED: 0, Reading.VIEWED: 1, Reading.PERMUTED: 2, Reading.WHOLE: 3}


@dataclass(eq=False)
class Group:
    """`anchor` places the group among all groups: data flows from lower to higher anchors only, which keeps groups
    free of cycles.

    `axes`: the reduced axes of a reduce group.
    """

    anchor: tuple[int, int]
    kind: GroupKind
    space: Shape
    axes: tuple[int, ...] = ()
    members: list[int] = field(default_factory=list)
    given: dict[Value, Reading] = field(default_factory=dict)

    @property
    def by_rows(self) -> bool:
        """A reduce group that folds each row on its own, so that folds may build on one another."""
        return self.kind == "reduce" and is_trailing(self.axes, len(self.space))

    @property
    def kept(self) -> Shape:
        return kept_shape(self.space, self.axes)

    def returning_over(self, value: Value) -> tuple[int, ...]:
        """The axes over which a value that is read as `RETURNED` comes back."""
        return tuple(range(value.type.rank, len(self.space)))

    def read(self, value: Value, how: Reading) -> None:
        before = self.given.get(value)
        if before is None or _STRICTNESS[how] > _STRICTNESS[before]:
            self.given[value] = how

    def settle(self) -> None:
        """After a change of kind or space: what cannot return any more is read through its view."""
        for value, how in self.given.items():
            if how is Reading.RETURNED and not (self.by_rows and self.returning_over(value) == self.axes):
                self.given[value] = Reading.VIEWED


def group_of(anchor: int, op: Operation) -> Group:
    """A group for `op` alone, without it."""
    lowering = lowering_of(op)
    if isinstance(lowering, Elementwise | View):
        return Group((anchor, 0), "map", op.results[0].type.shape)
    if isinstance(lowering, Reduction):
        return Group((anchor, 0), "reduce", op.operands[0].type.shape, reduced_axes(op))
    if isinstance(lowering, Contraction):
        return Group((anchor, 0), "contract", op.result.type.shape)
    return Group((anchor, 0), "single", ())


def accepts(group: Group, op: Operation, source: tuple[Shape, tuple[int, ...]] | None) -> bool:
    """Whether `op`, all of whose readers are placed, may be computed in `group`.

    `source`: the space and axes of the reduction from which an element-wise `op` comes, if from any.
    """
    if group.kind == "single" or len(group.members) >= LARGEST:
        return False
    readings = {group.given[v] for v in op.results if v in group.given}
    shape = op.results[0].type.shape
    lowering = lowering_of(op)
    if isinstance(lowering, View):
        if Reading.WHOLE in readings or (Reading.PERMUTED in readings and not (is_permutation(op) or is_windowed(op))):
            return False
        return bool(readings) or shape == group.space or (group.kind == "reduce" and shape == group.kept)
    if readings - {Reading.RETURNED}:
        return False
    if isinstance(lowering, Elementwise):
        if Reading.RETURNED in readings:
            return group.kind == "reduce" or source == (group.space, group.returning_over(op.results[0]))
        return shape == group.space or (group.kind == "reduce" and shape == group.kept)
    if isinstance(lowering, Reduction):
        return _accepts_reduction(group, op, Reading.RETURNED in readings)
    if isinstance(lowering, Contraction):
        return group.kind == "map" and shape == group.space and not readings
    return False


def _accepts_reduction(group: Group, op: Operation, returns: bool) -> bool:
    space, axes = op.operands[0].type.shape, reduced_axes(op)
    if not axes:
        return False
    if group.kind == "reduce":
        return group.space == space and group.axes == axes
    if group.kind != "map":
        return False
    if returns:
        return group.space == space and group.returning_over(op.result) == axes
    return group.space == kept_shape(space, axes)


def add(group: Group, index: int, op: Operation) -> None:
    """Put `op`, which `group` accepts, into it."""
    group.members.append(index)
    lowering = lowering_of(op)
    readings = {group.given[v] for v in op.results if v in group.given}
    if isinstance(lowering, View):
        (operand,) = op.operands
        axes = returned_axes(op)
        if Reading.PERMUTED in readings:
            group.read(operand, Reading.PERMUTED)
        elif axes is not None and not readings and op.result.type.shape == group.space and _may_return(group, axes):
            group.read(operand, Reading.RETURNED)
        else:
            group.read(operand, Reading.VIEWED)
    elif isinstance(lowering, Elementwise):
        for operand in whole_operands(op):
            group.read(operand, Reading.WHOLE)
        if readings and group.kind == "map":
            group.kind, group.axes = "reduce", group.returning_over(op.results[0])
            group.settle()
    elif isinstance(lowering, Reduction):
        if group.kind == "map":
            if not readings:
                _leave_rows(group)
            group.kind, group.space, group.axes = "reduce", op.operands[0].type.shape, reduced_axes(op)
            group.settle()
    elif isinstance(lowering, Contraction):
        group.kind = "contract"
        group.settle()
        for operand in op.operands:
            group.read(operand, Reading.PERMUTED)


def _leave_rows(group: Group) -> None:
    """The space is about to become the kept shape of a larger one: nothing returns over axes of the old space."""
    for value, how in group.given.items():
        if how is Reading.RETURNED:
            group.given[value] = Reading.VIEWED


def _may_return(group: Group, axes: tuple[int, ...]) -> bool:
    return group.kind == "map" or (group.by_rows and group.axes == axes)


def merge_into(target: Group, group: Group) -> None:
    """Move everything of `group` to `target`; `mergeable` has said yes."""
    if group.kind == "reduce" and target.kind == "map":
        target.kind, target.axes = "reduce", group.axes
    if group.space != target.space:
        _leave_rows(group)
    target.members.extend(group.members)
    for value, how in group.given.items():
        target.read(value, how)
    if target.kind != "map":
        target.settle()
    group.members = []


def mergeable(target: Group, group: Group, shared: set[Value]) -> bool:
    """Whether `group` may run in the kernel of `target`, from which it reads `shared`. Cycles are the caller's
    concern.
    """
    if (
        len(target.members) + len(group.members) > LARGEST
        or "single" in (target.kind, group.kind)
        or group.kind == "contract"
    ):
        return False
    viewed = [v for v in shared if v in group.given]
    if target.kind == "reduce" and group.kind == "map":
        if group.space == target.kept:
            return not viewed
        if group.space != target.space:
            return False
    elif group.kind == "reduce":
        if target.kind == "contract" or target.space != group.space:
            return False
        if target.kind == "reduce" and target.axes != group.axes:
            return False
    elif target.space != group.space:
        return False
    returns = all(
        group.given[v] is Reading.RETURNED and group.returning_over(v) == target.axes and v.type.shape == target.kept
        for v in viewed
    )
    return not viewed or (returns and target.by_rows)
