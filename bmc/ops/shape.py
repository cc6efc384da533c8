"""Operators that move cells without changing them: broadcast, transpose, slice, reshape, concat, pad."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bmc.ir import Dim, Operation, Poly, Shape, TensorType, Value
from bmc.ir.dims import floor_divide, product
from bmc.ops.incremental import Incremental, but_axis, with_dim
from bmc.ops.lowering import AxisMap, Opaque, Reshape, View
from bmc.ops.registry import Operator, RowMix, Sample, TypeRuleError
from bmc.ops.rules import (
    CELLS,
    distinct_axes,
    is_negative,
    normal_axis,
    one_row_axis,
    pointwise,
    require_dtype,
)
from bmc.ops.simplify import simplify_broadcast, simplify_concat, simplify_reshape, simplify_slice, simplify_transpose
from bmc.ops.sources import check_cell, check_shape
from bmc.record import record

if TYPE_CHECKING:
    from bmc.ops.build import Builder

__all__ = [
    "OPERATORS", "BroadcastAttrs", "ConcatAttrs", "PadAttrs", "ReshapeAttrs", "SliceAttrs", "TransposeAttrs",
    "padded_dim", "slice_dim",
]  # fmt: skip


@record(frozen=True)
class BroadcastAttrs:
    """`axes[i]` is the result axis of operand axis i. An operand dim of 1 may widen."""

    shape: Shape
    axes: tuple[int, ...]


@record(frozen=True)
class TransposeAttrs:
    """Result axis i is operand axis `permutation[i]`."""

    permutation: tuple[int, ...]


@record(frozen=True)
class SliceAttrs:
    """For each axis: from `starts`, before `stops`, every `steps`. A negative step goes down; its stop may be -1,
    before index 0.
    """

    starts: Shape
    stops: Shape
    steps: tuple[int, ...]


@record(frozen=True)
class ReshapeAttrs:
    shape: Shape


@record(frozen=True)
class ConcatAttrs:
    axis: int


@record(frozen=True)
class PadAttrs:
    """For each axis: cells of `value` before, after, and between neighbours."""

    low: Shape
    high: Shape
    interior: tuple[int, ...]
    value: bool | int | float


# --- broadcast ---


def _infer_broadcast(types: Sequence[TensorType], attrs: BroadcastAttrs) -> tuple[TensorType, ...]:
    require_dtype(types, 0, CELLS)
    check_shape(attrs.shape)
    (x,) = types
    if len(attrs.axes) != x.rank:
        raise TypeRuleError(f"{len(attrs.axes)} axes for rank {x.rank}", 0)
    distinct_axes(attrs.axes, len(attrs.shape))
    for i, axis in enumerate(attrs.axes):
        if x.shape[i] != attrs.shape[axis] and x.shape[i] != 1:
            raise TypeRuleError(f"dim {x.shape[i]} of axis {i} does not widen to {attrs.shape[axis]}", 0)
    return (x.with_shape(attrs.shape),)


def _broadcast_rows(op: Operation, axes: Sequence[int | None]) -> tuple[int | RowMix | None, ...]:
    (axis,) = axes
    if axis is None:
        return (None,)
    target = op.attrs.axes[axis]  # type: ignore[attr-defined]
    row = op.operands[0].type.shape[axis]
    shape = op.result.type.shape
    again = any(dim == row for i, dim in enumerate(shape) if i != target)
    # A row dim of 1 that widens is not the row dim any more, and a second row dim pairs each row with all others.
    return (RowMix.OTHER if again or shape[target] != row else target,)


def _broadcast_index(attrs: BroadcastAttrs, operand: TensorType, result: TensorType) -> Sequence[AxisMap]:
    return [AxisMap(axis if operand.shape[i] == result.shape[axis] else None) for i, axis in enumerate(attrs.axes)]


def _broadcast(np: Any, attrs: BroadcastAttrs, arrays: Sequence[Any]) -> Sequence[Any]:
    (x,) = arrays
    order = sorted(range(len(attrs.axes)), key=lambda i: attrs.axes[i])
    shape = [1] * len(attrs.shape)
    for i, axis in enumerate(attrs.axes):
        shape[axis] = x.shape[i]
    return (np.broadcast_to(x.transpose(order).reshape(shape), attrs.shape).copy(),)


def _broadcast_grad(b: Builder, op: Operation, g: Value) -> Sequence[Value | None]:
    attrs: BroadcastAttrs = op.attrs  # type: ignore[assignment]
    operand = op.operands[0].type
    kept = [axis for i, axis in enumerate(attrs.axes) if operand.shape[i] == attrs.shape[axis]]
    x = b.reduce("reduce_sum", g, [axis for axis in range(len(attrs.shape)) if axis not in kept])
    order = [i for i in range(operand.rank) if attrs.axes[i] in kept]
    rank_of = {axis: place for place, axis in enumerate(sorted(kept))}
    x = b.transpose(x, [rank_of[attrs.axes[i]] for i in order])
    return (b.reshape(x, operand.shape),)


def _broadcast_along(op: Operation, axis: int) -> Sequence[int | None]:
    """The operand's axis there, if it does not widen."""
    (x,) = op.operands
    axes = op.attrs.axes  # type: ignore[attr-defined]
    if axis not in axes:
        return (None,)
    source = axes.index(axis)
    return (source if x.type.shape[source] == op.result.type.shape[axis] else None,)


def _with_new_shape(b: Builder, op: Operation, operands: Sequence[Value], axis: int, first: Dim, count: Dim) -> Sequence[Value]:
    return (b.emit(op.name, *operands, attrs=with_dim(op.attrs, axis, count)),)


# --- transpose ---


def _infer_transpose(types: Sequence[TensorType], attrs: TransposeAttrs) -> tuple[TensorType, ...]:
    require_dtype(types, 0, CELLS)
    (x,) = types
    if sorted(attrs.permutation) != list(range(x.rank)):
        raise TypeRuleError(f"{attrs.permutation} does not permute the axes of {x}", 0)
    return (x.with_shape(tuple(x.shape[axis] for axis in attrs.permutation)),)


def _transpose_rows(op: Operation, axes: Sequence[int | None]) -> tuple[int | RowMix | None, ...]:
    (axis,) = axes
    return (None if axis is None else op.attrs.permutation.index(axis),)  # type: ignore[attr-defined]


def _transpose_grad(b: Builder, op: Operation, g: Value) -> Sequence[Value | None]:
    permutation = op.attrs.permutation  # type: ignore[attr-defined]
    return (b.transpose(g, [permutation.index(axis) for axis in range(len(permutation))]),)


# --- slice ---


def slice_dim(start: Dim, stop: Dim, step: int) -> Dim:
    """The number of indices of a slice; never below 0 where the bounds are integers."""
    span = stop - start if step > 0 else start - stop
    size = floor_divide(span + (abs(step) - 1), abs(step))
    return max(size, 0) if isinstance(size, int) else size


def _infer_slice(types: Sequence[TensorType], attrs: SliceAttrs) -> tuple[TensorType, ...]:
    require_dtype(types, 0, CELLS)
    (x,) = types
    if not len(attrs.starts) == len(attrs.stops) == len(attrs.steps) == x.rank:
        raise TypeRuleError(f"slice bounds of {len(attrs.starts)} axes for rank {x.rank}", 0)
    shape: list[Dim] = []
    for start, stop, step, dim in zip(attrs.starts, attrs.stops, attrs.steps, x.shape, strict=True):
        if step == 0:
            raise TypeRuleError("a slice has step 0", 0)
        size = slice_dim(start, stop, step)
        if size != 0:
            first, last = (start, stop - 1) if step > 0 else (stop + 1, start)
            if is_negative(first) or is_negative(dim - 1 - last):
                raise TypeRuleError(f"slice {start}:{stop}:{step} leaves a dim of {dim}", 0)
        shape.append(size)
    return (x.with_shape(tuple(shape)),)


def _slice_rows(op: Operation, axes: Sequence[int | None]) -> tuple[int | RowMix | None, ...]:
    (axis,) = axes
    if axis is None:
        return (None,)
    attrs: SliceAttrs = op.attrs  # type: ignore[assignment]
    whole = attrs.starts[axis] == 0 and attrs.stops[axis] == op.operands[0].type.shape[axis] and attrs.steps[axis] == 1
    return (axis if whole else RowMix.OTHER,)


def _slice_index(attrs: SliceAttrs, operand: TensorType, result: TensorType) -> Sequence[AxisMap]:
    return [AxisMap(i, step, start) for i, (start, step) in enumerate(zip(attrs.starts, attrs.steps, strict=True))]


def _slice(np: Any, attrs: SliceAttrs, arrays: Sequence[Any]) -> Sequence[Any]:
    bounds = zip(attrs.starts, attrs.stops, attrs.steps, strict=True)
    return (arrays[0][tuple(slice(start, None if stop < 0 else stop, step) for start, stop, step in bounds)].copy(),)  # type: ignore[operator]


def _slice_grad(b: Builder, op: Operation, g: Value) -> Sequence[Value | None]:
    attrs: SliceAttrs = op.attrs  # type: ignore[assignment]
    operand = op.operands[0].type
    if any(dim == 0 for dim in g.type.shape):
        return (b.full(0.0, operand),)
    g = b.flip(g, [axis for axis, step in enumerate(attrs.steps) if step < 0])
    low: list[Dim] = []
    high: list[Dim] = []
    for start, step, size, dim in zip(attrs.starts, attrs.steps, g.type.shape, operand.shape, strict=True):
        last = start + (size - 1) * step
        low.append(start if step > 0 else last)
        high.append(dim - 1 - (last if step > 0 else start))
    return (b.pad(g, low, high, [abs(step) - 1 for step in attrs.steps]),)


def _slice_positions(
    b: Builder, op: Operation, operands: Sequence[Value], axis: int, first: Dim, count: Dim
) -> Sequence[Value]:
    """Of an operand that is whole along the axis: a part of the part that the slice takes."""
    attrs: SliceAttrs = op.attrs  # type: ignore[assignment]
    (x,) = operands
    start = attrs.starts[axis] + first
    if _is_whole(op, axis):
        start = 0
    starts = (*attrs.starts[:axis], start, *attrs.starts[axis + 1 :])
    stops = (*attrs.stops[:axis], start + count, *attrs.stops[axis + 1 :])
    return (b.emit("slice", x, attrs=SliceAttrs(starts, stops, attrs.steps)),)


def _is_whole(op: Operation, axis: int) -> bool:
    attrs: SliceAttrs = op.attrs  # type: ignore[assignment]
    return attrs.starts[axis] == 0 and attrs.stops[axis] == op.operands[0].type.shape[axis] and attrs.steps[axis] == 1


def _slice_along(op: Operation, axis: int) -> Sequence[int | None] | None:
    if op.attrs.steps[axis] != 1:  # type: ignore[attr-defined]
        return None
    return (axis if _is_whole(op, axis) else None,)


# --- reshape ---


def _infer_reshape(types: Sequence[TensorType], attrs: ReshapeAttrs) -> tuple[TensorType, ...]:
    require_dtype(types, 0, CELLS)
    check_shape(attrs.shape)
    if product(attrs.shape) != types[0].elements:
        raise TypeRuleError(f"{types[0]} has {types[0].elements} elements, the new shape {product(attrs.shape)}", 0)
    return (types[0].with_shape(attrs.shape),)


def _reshape_rows(op: Operation, axes: Sequence[int | None]) -> tuple[int | RowMix | None, ...]:
    (axis,) = axes
    if axis is None:
        return (None,)
    before = op.operands[0].type.shape
    after = op.result.type.shape
    for i, dim in enumerate(after):
        if dim == before[axis] and product(after[:i]) == product(before[:axis]):
            return (i,)
    return (RowMix.OTHER,)


def _reshape_along(op: Operation, axis: int) -> Sequence[int | None] | None:
    """The operand's axis with as many cells before and behind it."""
    before, after = op.operands[0].type.shape, op.result.type.shape
    for i, dim in enumerate(before):
        if dim == after[axis] and product(before[:i]) == product(after[:axis]):
            return (i,)
    return None


# --- concat ---


def _infer_concat(types: Sequence[TensorType], attrs: ConcatAttrs) -> tuple[TensorType, ...]:
    require_dtype(types, 0, CELLS)
    first = types[0]
    axis = normal_axis(attrs.axis, first.rank)
    total: Dim = 0
    for i, x in enumerate(types):
        if x.dtype != first.dtype or x.rank != first.rank:
            raise TypeRuleError(f"{first} and {x} do not concatenate", i, 0)
        if x.shape[:axis] + x.shape[axis + 1 :] != first.shape[:axis] + first.shape[axis + 1 :]:
            raise TypeRuleError(f"{first} and {x} differ outside axis {axis}", i, 0)
        total = total + x.shape[axis]
    return (first.with_shape((*first.shape[:axis], total, *first.shape[axis + 1 :])),)


def _concat_rows(op: Operation, axes: Sequence[int | None]) -> tuple[int | RowMix | None, ...]:
    state = one_row_axis(axes)
    return (RowMix.OTHER if state == op.attrs.axis else state,)  # type: ignore[attr-defined]


def _concat_grad(b: Builder, op: Operation, g: Value) -> Sequence[Value | None]:
    axis = op.attrs.axis  # type: ignore[attr-defined]
    parts: list[Value | None] = []
    start: Dim = 0
    for operand in op.operands:
        stop = start + operand.type.shape[axis]
        parts.append(b.slice_axis(g, axis, start, stop))
        start = stop
    return parts


# --- pad ---


def padded_dim(dim: Dim, low: Dim, high: Dim, interior: int) -> Dim:
    """The dim after padding. A symbolic dim counts as at least 1 where cells go between neighbours."""
    between: Dim = 0 if dim == 0 else (dim - 1) * interior
    return low + high + dim + between


def _infer_pad(types: Sequence[TensorType], attrs: PadAttrs) -> tuple[TensorType, ...]:
    require_dtype(types, 0, CELLS)
    (x,) = types
    if not len(attrs.low) == len(attrs.high) == len(attrs.interior) == x.rank:
        raise TypeRuleError(f"padding of {len(attrs.low)} axes for rank {x.rank}", 0)
    if any(is_negative(amount) for amount in (*attrs.low, *attrs.high, *attrs.interior)):
        raise TypeRuleError("padding is negative", 0)
    check_cell(attrs.value, x.dtype)
    padding = zip(x.shape, attrs.low, attrs.high, attrs.interior, strict=True)
    return (x.with_shape(tuple(padded_dim(*axis) for axis in padding)),)


def _pad_rows(op: Operation, axes: Sequence[int | None]) -> tuple[int | RowMix | None, ...]:
    (axis,) = axes
    if axis is None:
        return (None,)
    attrs: PadAttrs = op.attrs  # type: ignore[assignment]
    return (axis if attrs.low[axis] == 0 == attrs.high[axis] and attrs.interior[axis] == 0 else RowMix.OTHER,)


def _pad(np: Any, attrs: PadAttrs, arrays: Sequence[Any]) -> Sequence[Any]:
    (x,) = arrays
    padding = list(zip(x.shape, attrs.low, attrs.high, attrs.interior, strict=True))
    result = np.full([padded_dim(*axis) for axis in padding], attrs.value, dtype=x.dtype)
    if x.size:
        result[tuple(slice(low, low + (dim - 1) * (inside + 1) + 1, inside + 1) for dim, low, _, inside in padding)] = x
    return (result,)


def _pad_grad(b: Builder, op: Operation, g: Value) -> Sequence[Value | None]:
    attrs: PadAttrs = op.attrs  # type: ignore[assignment]
    operand = op.operands[0].type
    if any(dim == 0 for dim in operand.shape):
        return (b.full(0.0, operand),)
    stops = [low + (dim - 1) * (step + 1) + 1 for low, dim, step in zip(attrs.low, operand.shape, attrs.interior, strict=True)]
    return (b.slice(g, attrs.low, stops, [step + 1 for step in attrs.interior]),)


def _pad_along(op: Operation, axis: int) -> Sequence[int | None] | None:
    attrs: PadAttrs = op.attrs  # type: ignore[assignment]
    return (axis,) if attrs.low[axis] == 0 == attrs.high[axis] and attrs.interior[axis] == 0 else None


_B = Poly.symbol("B")
_T = Poly.symbol("T")


def _f(*shape: Dim, dtype: str = "f32") -> TensorType:
    return TensorType(dtype, shape)


OPERATORS = (
    Operator(
        name="broadcast",
        incremental=Incremental(_broadcast_along, _with_new_shape),
        simplify=simplify_broadcast,
        doc="x repeated along new axes, and along axes where its dim is 1.",
        arity=1,
        attrs=BroadcastAttrs,
        infer=_infer_broadcast,
        grad=pointwise(_broadcast_grad),
        rows=_broadcast_rows,
        lowering=View(_broadcast_index),
        reference=_broadcast,
        samples=lambda: [
            Sample((x,), BroadcastAttrs(shape, axes))
            for x, shape, axes in (
                (_f(), (3, 4), ()),
                (_f(4), (3, 4), (1,)),
                (_f(3), (3, 4), (0,)),
                (_f(3, 1), (3, 4), (0, 1)),
                (_f(4, 3), (3, 2, 4), (2, 0)),
                (_f(_B), (_B, 5), (0,)),
                (_f(_B, 5), (_B, _T, 5), (0, 2)),
                (_f(1), (1,), (0,)),
                (_f(2, 1, dtype="bool"), (2, 0), (0, 1)),
                (_f(2, dtype="f64"), (2, 3), (0,)),
            )
        ],
    ),
    Operator(
        name="transpose",
        incremental=Incremental(lambda op, axis: (op.attrs.permutation[axis],)),  # type: ignore[attr-defined]
        simplify=simplify_transpose,
        doc="x with its axes in another order.",
        arity=1,
        attrs=TransposeAttrs,
        infer=_infer_transpose,
        grad=pointwise(_transpose_grad),
        rows=_transpose_rows,
        lowering=View(lambda attrs, operand, result: [AxisMap(attrs.permutation.index(i)) for i in range(operand.rank)]),
        reference=lambda np, attrs, arrays: (
            np.ascontiguousarray(arrays[0].transpose(attrs.permutation)).reshape([arrays[0].shape[i] for i in attrs.permutation]),
        ),
        samples=lambda: [
            Sample((x,), TransposeAttrs(permutation))
            for x, permutation in (
                (_f(), ()),
                (_f(3, 4), (1, 0)),
                (_f(2, 3, 4), (2, 0, 1)),
                (_f(_B, 3, _T, dtype="f64"), (0, 2, 1)),
                (_f(0, 3, dtype="i32"), (1, 0)),
            )
        ],
    ),
    Operator(
        name="slice",
        incremental=Incremental(_slice_along, _slice_positions),
        simplify=simplify_slice,
        doc="The cells at regular indices along each axis.",
        arity=1,
        attrs=SliceAttrs,
        infer=_infer_slice,
        grad=pointwise(_slice_grad),
        rows=_slice_rows,
        lowering=View(_slice_index),
        reference=_slice,
        samples=lambda: [
            Sample((x,), SliceAttrs(starts, stops, steps))
            for x, starts, stops, steps in (
                (_f(), (), (), ()),
                (_f(6), (2,), (5,), (1,)),
                (_f(7), (0,), (7,), (3,)),
                (_f(7), (6,), (-1,), (-1,)),
                (_f(8), (6,), (0,), (-2,)),
                (_f(_B, 6), (0, 1), (_B, 5), (1, 2)),
                (_f(3, _T, dtype="f64"), (0, 0), (3, _T - 1), (1, 1)),
                (_f(5, 2), (3, 0), (3, 2), (1, 1)),
                (_f(_T), (_T - 1,), (-1,), (-1,)),
            )
        ],
    ),
    Operator(
        name="reshape",
        incremental=Incremental(_reshape_along, _with_new_shape),
        simplify=simplify_reshape,
        doc="The same cells in row-major order under another shape.",
        arity=1,
        attrs=ReshapeAttrs,
        infer=_infer_reshape,
        grad=pointwise(lambda b, op, g: (b.reshape(g, op.operands[0].type.shape),)),
        rows=_reshape_rows,
        lowering=Reshape(),
        reference=lambda np, attrs, arrays: (arrays[0].reshape(attrs.shape),),
        samples=lambda: [
            Sample((x,), ReshapeAttrs(shape))
            for x, shape in (
                (_f(), (1, 1)),
                (_f(2, 6), (3, 4)),
                (_f(_B, 3, 4), (_B, 12)),
                (_f(_B, 4), (_B, 1, 2, 2)),
                (_f(0, 3), (3, 0)),
                (_f(_B, _T, 4, dtype="f64"), (_B * _T, 4)),
            )
        ],
    ),
    Operator(
        name="concat",
        incremental=but_axis(lambda op: op.attrs.axis),  # type: ignore[attr-defined]
        simplify=simplify_concat,
        doc="The operands one after another along `axis`.",
        arity=(1, None),
        attrs=ConcatAttrs,
        infer=_infer_concat,
        grad=pointwise(_concat_grad),
        rows=_concat_rows,
        lowering=Opaque("concat"),
        reference=lambda np, attrs, arrays: (np.concatenate(arrays, axis=attrs.axis),),
        samples=lambda: [
            Sample(xs, ConcatAttrs(axis))
            for xs, axis in (
                ((_f(3), _f(2)), 0),
                ((_f(_B, 3), _f(_B, 0), _f(_B, 4)), 1),
                ((_f(2, _T, 3, dtype="f64"), _f(2, 5, 3, dtype="f64")), 1),
                ((_f(2, 3, dtype="bool"),), 0),
            )
        ],
    ),
    Operator(
        name="pad",
        incremental=Incremental(_pad_along),
        doc="x with cells of one value before, after and between its own.",
        arity=1,
        attrs=PadAttrs,
        infer=_infer_pad,
        grad=pointwise(_pad_grad),
        rows=_pad_rows,
        lowering=Opaque("pad"),
        reference=_pad,
        samples=lambda: [
            Sample((x,), PadAttrs(low, high, interior, value))
            for x, low, high, interior, value in (
                (_f(3), (1,), (2,), (0,), 0.0),
                (_f(4), (0,), (1,), (2,), -1.5),
                (_f(_B, 3), (0, 1), (0, 0), (0, 1), 0.0),
                (_f(0, 2, dtype="f64"), (1, 0), (1, 0), (3, 0), 2.0),
                (_f(2, _T, dtype="f64"), (0, 2), (0, _T), (0, 0), 0.0),
                (_f(2, dtype="i32"), (1,), (0,), (0,), 3),
            )
        ],
    ),
)
