"""Where a kernel reads and writes: affine maps from the kernel's iteration axes to the elements of a value.

In: views of the registry, shapes. Out: `IndexMap` (one affine form for each axis of a value) and `Access` (one affine form for the
linear address), and the merging of iteration axes that every access walks contiguously. All forms are exact polynomials, so
that merging is decided at compile time, free dims included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bmc.ir import Dim, Shape
from bmc.ops.lowering import AxisMap

__all__ = ["Access", "Affine", "IndexMap", "identity_map", "linear", "merged_axes", "row_major_strides", "through_view"]


@dataclass(frozen=True)
class Affine:
    """`offset + sum(strides[a] * i[a])` over the iteration axes a."""

    offset: Dim
    strides: Shape


IndexMap = tuple[Affine, ...]
"""For each axis of a value, its index at an iteration point."""

Access = Affine
"""The linear element address at an iteration point."""


def row_major_strides(shape: Shape) -> Shape:
    strides: list[Dim] = []
    step: Dim = 1
    for dim in reversed(shape):
        strides.append(step)
        step = step * dim
    return tuple(reversed(strides))


def identity_map(rank: int, axes: Sequence[int] | None = None) -> IndexMap:
    """The map of a value whose axis d is iteration axis `axes[d]` (all axes in order by default), of `rank` iteration axes."""
    chosen = range(rank) if axes is None else axes
    return tuple(Affine(0, tuple(1 if a == axis else 0 for a in range(rank))) for axis in chosen)


def through_view(index: IndexMap, axes: Sequence[AxisMap], rank: int) -> IndexMap:
    """The operand's map of a view whose result has map `index`."""
    operand: list[Affine] = []
    for axis in axes:
        if axis.axis is None:
            operand.append(Affine(axis.offset, (0,) * rank))
        else:
            source = index[axis.axis]
            offset = axis.offset + axis.stride * source.offset
            strides = tuple(axis.stride * s for s in source.strides)
            if axis.second is not None:
                second = index[axis.second]
                offset = offset + axis.second_stride * second.offset
                strides = tuple(s + axis.second_stride * t for s, t in zip(strides, second.strides, strict=True))
            operand.append(Affine(offset, strides))
    return tuple(operand)


def linear(index: IndexMap, shape: Shape, rank: int) -> Access:
    """The linear address of an element of a row-major value. Axes of size 1 have index 0 whatever the map says."""
    offset: Dim = 0
    strides: list[Dim] = [0] * rank
    for form, stride, dim in zip(index, row_major_strides(shape), shape, strict=True):
        if dim == 1 and form.offset == 0:
            continue
        offset = offset + stride * form.offset
        for a in range(rank):
            if form.strides[a] != 0:
                strides[a] = strides[a] + stride * form.strides[a]
    return Affine(offset, tuple(strides))


def merged_axes(sizes: Shape, classes: Sequence[object], accesses: Sequence[Affine]) -> list[list[int]]:
    """Groups of adjacent iteration axes that can be walked as one: every access steps over the outer axis exactly where the
    inner one ends. Axes of different class never merge. Axes of size 1 join any neighbour of their class.
    """
    groups: list[list[int]] = []
    for axis in range(len(sizes)):
        if groups and classes[groups[-1][-1]] == classes[axis]:
            outer = groups[-1][-1]
            if all(_continues(access, outer, axis, sizes) for access in accesses):
                groups[-1].append(axis)
                continue
        groups.append([axis])
    return groups


def _continues(access: Affine, outer: int, inner: int, sizes: Shape) -> bool:
    return bool(access.strides[outer] == access.strides[inner] * sizes[inner])
