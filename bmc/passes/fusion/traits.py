"""What fusion asks of one operation, answered from its lowering alone.

In: an operation. Out: its lowering, whether copies of it are cheap, and what its index map allows. No operator is
named here.
"""

from __future__ import annotations

from bmc.ir import Operation, Shape, Value
from bmc.ops.lowering import Elementwise, Lowering, Reduction, View
from bmc.ops.table import definition

__all__ = [
    "CHEAP", "is_leaf", "is_permutation", "is_trailing", "is_windowed", "kept_shape", "lowering_of", "reduced_axes",
    "returned_axes", "whole_operands",
]  # fmt: skip

CHEAP = 2
"""The cost of an element up to which an operation is computed again in each kernel that needs it, rather than stored
and read.
"""


def lowering_of(op: Operation) -> Lowering:
    return definition(op.name).lowering


def is_leaf(op: Operation) -> bool:
    """An element-wise operation of nothing but its index: a constant, an iota. Free to copy into every consumer."""
    return isinstance(lowering_of(op), Elementwise) and not op.operands


def whole_operands(op: Operation) -> tuple[Value, ...]:
    """The operands that an element-wise operation reads cell by cell and not at the index of its result: counters of
    random draws.
    """
    lowering = lowering_of(op)
    return tuple(op.operands[i] for i in lowering.scalars) if isinstance(lowering, Elementwise) else ()


def is_permutation(op: Operation) -> bool:
    """Whether a view only reorders axes, as an operand of a contraction may."""
    lowering = lowering_of(op)
    if not isinstance(lowering, View):
        return False
    source, target = op.operands[0].type, op.result.type
    maps = lowering.index(op.attrs, source, target)
    axes = [m.axis for m in maps]
    if source.rank != target.rank or None in axes or len(set(axes)) != len(axes):
        return False
    plain = all(m.stride == 1 and m.offset == 0 for m in maps)
    return plain and all(
        target.shape[m.axis] == dim for m, dim in zip(maps, source.shape, strict=True) if m.axis is not None
    )


def is_windowed(op: Operation) -> bool:
    """Whether a view moves two axes along one of its operand: storing it would repeat cells."""
    lowering = lowering_of(op)
    if not isinstance(lowering, View):
        return False
    return any(m.second is not None for m in lowering.index(op.attrs, op.operands[0].type, op.result.type))


def returned_axes(op: Operation) -> tuple[int, ...] | None:
    """The trailing axes that a broadcast adds behind all axes of its operand: the way in which a value of a row
    returns to the row's elements. None for every other view.
    """
    lowering = lowering_of(op)
    if not isinstance(lowering, View):
        return None
    source, target = op.operands[0].type, op.result.type
    if source.rank >= target.rank or target.shape[: source.rank] != source.shape:
        return None
    maps = lowering.index(op.attrs, source, target)
    if all(m.axis == axis and m.stride == 1 and m.offset == 0 and m.second is None for axis, m in enumerate(maps)):
        return tuple(range(source.rank, target.rank))
    return None


def reduced_axes(op: Operation) -> tuple[int, ...]:
    """The axes over which a `Reduction` folds, ascending. Its attributes have `axes`, as its lowering class demands."""
    assert isinstance(lowering_of(op), Reduction)
    axes: tuple[int, ...] = op.attrs.axes  # type: ignore[attr-defined]
    return tuple(sorted(axes))


def is_trailing(axes: tuple[int, ...], rank: int) -> bool:
    return axes == tuple(range(rank - len(axes), rank))


def kept_shape(space: Shape, axes: tuple[int, ...]) -> Shape:
    """The shape without the reduced axes."""
    return tuple(dim for axis, dim in enumerate(space) if axis not in axes)
