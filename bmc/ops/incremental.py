"""Incremental rules: how the positions of a result along one axis come from positions of the operands.

In: an operation and one axis of its result. Out: the operand axes that are followed, and the same operation on a range of
positions alone. Guaranteed: what a rule builds for `count` positions from `first` on has the bits that the whole result has
there. The pass `incremental` asks, to compute new positions of a growing sequence without the old ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from bmc.ir import Dim, Operation, Shape, Value
from bmc.record import record, replace

if TYPE_CHECKING:
    from bmc.ops.build import Builder

__all__ = ["Incremental", "PLAIN", "along_same_axis", "but_axis", "with_dim"]

AlongRule = Callable[[Operation, int], "Sequence[int | None] | None"]
"""(op, axis of the results) -> for each operand the axis whose positions are those of the result, None where the operand is read
whole at each position; None: a position of the result is not made from single positions of the operands."""

BuildRule = Callable[["Builder", Operation, Sequence[Value], int, Dim, Dim], "Sequence[Value]"]
"""(builder, op, operands restricted as the first rule says, axis, first, count) -> the results at `count` positions from
`first` on."""


def _same_attributes(b: Builder, op: Operation, operands: Sequence[Value], axis: int, first: Dim, count: Dim) -> Sequence[Value]:
    return b.operation(op.name, operands, op.attrs).results


@record(frozen=True)
class Incremental:
    """`along` and `build`: see their types. `build`: by default the operation again, with its attributes."""

    along: AlongRule
    build: BuildRule = _same_attributes


def along_same_axis(op: Operation, axis: int) -> Sequence[int | None] | None:
    """Positions of the results are those of every operand."""
    return (axis,) * len(op.operands)


PLAIN = Incremental(along_same_axis)
"""The rule of element-wise operators."""


def but_axis(attribute: Callable[[Operation], int]) -> Incremental:
    """The rule of operators of operands and results of one rank that work along one axis and keep all others apart."""

    def along(op: Operation, axis: int) -> Sequence[int | None] | None:
        return None if axis == attribute(op) else along_same_axis(op, axis)

    return Incremental(along)


def with_dim(attrs: Any, axis: int, count: Dim) -> Any:
    """Attributes that have a `shape`, with another dim in it."""
    shape: Shape = attrs.shape
    return replace(attrs, shape=(*shape[:axis], count, *shape[axis + 1 :]))
