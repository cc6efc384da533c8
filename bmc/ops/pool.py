"""Pooling: the largest cell and the sum of each window of several axes at once.

x is [rows, places.., channels], as of convolutions. Both exist as operators for their gradients: that of the largest goes to
the first of equals, as in every framework of the field, and that of sums over windows that overlap is a sum over windows
again. The pass `expand` makes folds over `windows` of both.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from bmc.ir import Dim, Operation, Poly, TensorType, Value
from bmc.ir.types import FLOATS
from bmc.ops.lowering import Expanded, Opaque
from bmc.ops.registry import ULP, Operator, RowMix, Sample, TypeRuleError
from bmc.ops.rules import is_negative, one_row_axis, pointwise, require_dtype, same_types
from bmc.ops.shape import padded_dim
from bmc.ops.window import window_count
from bmc.record import record

if TYPE_CHECKING:
    from bmc.ops.build import Builder

__all__ = ["OPERATORS", "PoolAttrs"]


@record(frozen=True)
class PoolAttrs:
    """For each axis of places: the cells of a window, the step between windows, cells before and after x, and the distance of
    a window's cells. Cells around x count as 0 in a sum and never are the largest.
    """

    sizes: tuple[int, ...]
    strides: tuple[int, ...]
    low: tuple[Dim, ...]
    high: tuple[Dim, ...]
    dilation: tuple[int, ...]


def _infer(types: Sequence[TensorType], attrs: PoolAttrs) -> tuple[TensorType, ...]:
    x = types[0]
    require_dtype(types, 0, FLOATS)
    places = x.rank - 2
    if places < 1 or any(
        len(each) != places for each in (attrs.sizes, attrs.strides, attrs.low, attrs.high, attrs.dilation)
    ):
        raise TypeRuleError(f"the attributes are not those of the axes of places of {x}", 0)
    if min(*attrs.sizes, *attrs.strides, *attrs.dilation) < 1 or any(map(is_negative, (*attrs.low, *attrs.high))):
        raise TypeRuleError("size, stride and dilation of a window are at least 1, padding at least 0")
    counts: list[Dim] = []
    for i in range(places):
        dim = padded_dim(x.shape[1 + i], attrs.low[i], attrs.high[i], 0)
        count = window_count(dim, attrs.sizes[i], attrs.strides[i], attrs.dilation[i])
        if isinstance(count, int) and count < 1:
            raise TypeRuleError(f"no window of {attrs.dilation[i] * (attrs.sizes[i] - 1) + 1} cells lies in a dim of {dim}", 0)
        counts.append(count)
    return (x.with_shape((x.shape[0], *counts, x.shape[-1])),)


def _infer_grad(types: Sequence[TensorType], attrs: PoolAttrs) -> tuple[TensorType, ...]:
    x, y, _ = types
    (wanted,) = _infer(types, attrs)
    if y != wanted:
        raise TypeRuleError(f"the largest of {x} are {wanted}, not {y}", 1, 0)
    same_types(types, 1)
    return (x,)


def _rows(op: Operation, axes: Sequence[int | None]) -> tuple[int | RowMix | None, ...]:
    axis = one_row_axis(axes)
    inside = isinstance(axis, int) and 0 < axis < op.operands[0].type.rank - 1
    return (RowMix.OTHER if inside else axis,)


def _attrs(op: Operation) -> PoolAttrs:
    attrs: PoolAttrs = op.attrs  # type: ignore[assignment]
    return attrs


def _patches(b: Builder, x: Value, attrs: PoolAttrs, fill: float) -> Value:
    """[rows, places, cells, places, cells, .., channels]"""
    x = b.pad(x, (0, *attrs.low, 0), (0, *attrs.high, 0), value=fill)
    for i, (size, stride, apart) in enumerate(zip(attrs.sizes, attrs.strides, attrs.dilation, strict=True)):
        x = b.windows(x, 1 + 2 * i, size, stride, apart)
    return x


def _cells(attrs: PoolAttrs) -> list[int]:
    """The axes of `_patches` that are cells of a window."""
    return [2 + 2 * i for i in range(len(attrs.sizes))]


# --- the largest ---


def _max_grad(b: Builder, op: Operation, g: Value) -> Sequence[Value | None]:
    return (b.emit("max_pool_grad", op.operands[0], op.result, g, attrs=op.attrs),)


def _max_grad_grad(b: Builder, op: Operation, c: Value) -> Sequence[Value | None]:
    """What came back to the first of the largest: the operator is linear in g, and constant around almost every x and y."""
    x, y, _ = op.operands
    attrs, cells = _attrs(op), _cells(_attrs(op))
    windows = _patches(b, x, attrs, float("-inf"))
    shape = windows.type.shape
    number = b.full(0, TensorType("i32", shape))
    for axis, size in zip(cells, attrs.sizes, strict=True):
        number = b.add(b.mul(number, size), b.iota("i32", shape, axis))
    is_largest = b.compare("eq", windows, b.expand(y, shape, cells))
    first = b.reduce("reduce_min", b.select(is_largest, number, b.full_like(number, math.prod(attrs.sizes))), cells)
    chosen = b.compare("eq", number, b.expand(first, shape, cells))
    back = _patches(b, c, attrs, 0.0)
    return None, None, b.reduce("reduce_sum", b.select(chosen, back, b.full_like(back, 0.0)), cells)


def _taps(attrs: PoolAttrs) -> Iterator[tuple[int, ...]]:
    return itertools.product(*(range(size) for size in attrs.sizes))


def _padded(np: Any, x: Any, attrs: PoolAttrs, fill: float) -> Any:
    amounts = [(0, 0), *zip(attrs.low, attrs.high, strict=True), (0, 0)]
    return np.pad(x, amounts, constant_values=fill)


def _seen(attrs: PoolAttrs, wide: tuple[int, ...], taps: Sequence[int]) -> tuple[slice, ...]:
    """Cell `taps` of every window."""
    cells = [slice(None)]
    for i, k in enumerate(taps):
        count = window_count(wide[1 + i], attrs.sizes[i], attrs.strides[i], attrs.dilation[i])
        assert isinstance(count, int)
        start = k * attrs.dilation[i]
        cells.append(slice(start, start + (count - 1) * attrs.strides[i] + 1, attrs.strides[i]))
    return tuple(cells)


def _max(np: Any, attrs: PoolAttrs, arrays: Sequence[Any]) -> Sequence[Any]:
    wide = _padded(np, arrays[0], attrs, float("-inf"))
    return (np.stack([wide[_seen(attrs, wide.shape, taps)] for taps in _taps(attrs)]).max(axis=0),)


def _max_back(np: Any, attrs: PoolAttrs, arrays: Sequence[Any]) -> Sequence[Any]:
    """Windows in order: a later window sees a cell at an earlier place."""
    x, y, g = arrays
    wide = _padded(np, x, attrs, float("-inf"))
    free = np.ones(y.shape, bool)
    taken: list[tuple[tuple[int, ...], Any]] = []
    for taps in _taps(attrs):
        hit = free & (wide[_seen(attrs, wide.shape, taps)] == y)
        taken.append((taps, hit))
        free &= ~hit
    total = np.zeros_like(wide)
    for taps, hit in reversed(taken):
        total[_seen(attrs, wide.shape, taps)] += np.where(hit, g, 0)
    inside = tuple(slice(lo, lo + dim) for lo, dim in zip((0, *attrs.low, 0), x.shape, strict=True))
    return (total[inside],)


# --- the sum ---


def _sum_grad(b: Builder, op: Operation, g: Value) -> Sequence[Value | None]:
    """Of windows side by side g itself, in every cell. Of others the sum over the windows that see a cell: windows of g,
    spread by the strides, which are symmetric, so that nothing is in reverse.
    """
    attrs = _attrs(op)
    x = op.operands[0].type
    places = range(len(attrs.sizes))
    dims = [padded_dim(x.shape[1 + i], attrs.low[i], attrs.high[i], 0) for i in places]
    counts = g.type.shape[1:-1]
    if attrs.sizes == attrs.strides and all(d == 1 for d in attrs.dilation):
        cells = _cells(attrs)
        shape = [x.shape[0], *(d for i in places for d in (counts[i], attrs.sizes[i])), x.shape[-1]]
        spread = b.reshape(b.expand(g, shape, cells), (x.shape[0], *(counts[i] * attrs.sizes[i] for i in places), x.shape[-1]))
        high = [dims[i] - counts[i] * attrs.sizes[i] for i in places]
        whole = b.pad(spread, [0] * x.rank, (0, *high, 0))
    else:
        reach = [d * (size - 1) for d, size in zip(attrs.dilation, attrs.sizes, strict=True)]
        high = [dims[i] - 1 - (counts[i] - 1) * attrs.strides[i] for i in places]
        spread = b.pad(g, (0, *reach, 0), (0, *high, 0), (0, *(s - 1 for s in attrs.strides), 0))
        none = (0,) * len(reach)
        ones = (1,) * len(reach)
        whole = b.emit("sum_pool", spread, attrs=PoolAttrs(attrs.sizes, ones, none, none, attrs.dilation))
    starts = (0, *attrs.low, 0)
    return (b.slice(whole, starts, [lo + dim for lo, dim in zip(starts, x.shape, strict=True)]),)


def _sum(np: Any, attrs: PoolAttrs, arrays: Sequence[Any]) -> Sequence[Any]:
    wide = _padded(np, arrays[0], attrs, 0.0)
    return (np.stack([wide[_seen(attrs, wide.shape, taps)] for taps in _taps(attrs)]).sum(axis=0),)


def _fold(name: str, fill: float) -> Expanded:
    def into(b: Builder, op: Operation) -> Value:
        attrs = _attrs(op)
        return b.reduce(name, _patches(b, op.operands[0], attrs, fill), _cells(attrs))

    return Expanded("expand", into)


def _samples(back: bool) -> Sequence[Sample]:
    b, t = Poly.symbol("B"), Poly.symbol("T")

    def same(places: int, size: int, stride: int, low: int = 0, high: int = 0, apart: int = 1) -> PoolAttrs:
        return PoolAttrs((size,) * places, (stride,) * places, (low,) * places, (high,) * places, (apart,) * places)

    cases: tuple[tuple[tuple[Dim, ...], PoolAttrs], ...] = (
        ((b, 6, 4, 3), same(2, 2, 2)),
        ((b, 7, 5, 3), same(2, 2, 2)),
        ((b, 7, 6, 9), same(2, 3, 2, 1, 1)),
        ((2, 6, 5, 17), same(2, 3, 1, 2, 0)),
        ((2, 8, 9, 2), PoolAttrs((2, 3), (1, 2), (0, 1), (1, 2), (3, 2))),
        ((2, 9, 2), same(1, 2, 3)),
        ((b, t + 4, 2), same(1, 3, 2, 1, 1)),
        ((0, 4, 2), same(1, 2, 2)),
        ((2, 3, 4, 4, 2), same(3, 2, 2, 1, 0)),
    )
    found = []
    for dtype in FLOATS:
        for shape, attrs in cases:
            x = TensorType(dtype, shape)
            (y,) = _infer([x], attrs)
            found.append(Sample((x, y, y), attrs, draw=_draw_back(attrs, dtype), smooth=False) if back else Sample((x,), attrs))
    return found


def _draw_back(attrs: PoolAttrs, dtype: str) -> Any:
    """x with many equal cells, the largest of its windows, and any g."""

    def draw(np: Any, rng: Any, shapes: Sequence[tuple[int, ...]]) -> Sequence[Any]:
        kind = np.float32 if dtype == "f32" else np.float64
        x = rng.integers(0, 4, size=shapes[0]).astype(kind)
        (y,) = _max(np, attrs, [x])
        return [x, y, rng.normal(size=shapes[1]).astype(kind)]

    return draw


OPERATORS = (
    Operator(
        name="max_pool",
        doc="The largest cell of each window of places, for each channel. Its gradient goes to the first of equals. NaN where a "
        "window holds one.",
        arity=1,
        attrs=PoolAttrs,
        infer=_infer,
        grad=pointwise(_max_grad),
        rows=_rows,
        lowering=_fold("reduce_max", float("-inf")),
        reference=_max,
        samples=lambda: _samples(False),
    ),
    Operator(
        name="max_pool_grad",
        doc="The gradient of `max_pool` by x: of operands x, the largest y and their cotangents g, each g goes to the first cell "
        "of its window that equals y; what meets in a cell is added in the order of windows.",
        arity=3,
        attrs=PoolAttrs,
        infer=_infer_grad,
        grad=pointwise(_max_grad_grad),
        rows=_rows,
        lowering=Opaque("max_pool_grad"),
        reference=_max_back,
        samples=lambda: _samples(True),
    ),
    Operator(
        name="sum_pool",
        doc="The sum of the cells of each window of places, for each channel.",
        arity=1,
        attrs=PoolAttrs,
        infer=_infer,
        grad=pointwise(_sum_grad),
        rows=_rows,
        lowering=_fold("reduce_sum", 0.0),
        reference=_sum,
        samples=lambda: _samples(False),
        ulp=ULP(1.0, 1.0),
    ),
)
