"""Windows along an axis, and convolutions, which are sums of products over windows of several axes at once.

Convolutions are channels last: x is [rows, places.., channels], the kernel [taps.., channels of a group, features]. They
cross-correlate, as every framework of the field does: tap k of an output place o reads place
`o * stride + k * dilation - low` of x.

A convolution exists as an operator for its gradient: by x it is a convolution again, so that no array of windows is
ever stored. The pass `expand` makes the product over windows of it, which code generation walks in place.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from bmc.ir import Dim, Operation, Poly, TensorType, Value
from bmc.ir.dims import divide_exact, floor_divide
from bmc.ir.types import FLOATS
from bmc.ops.incremental import Incremental
from bmc.ops.lowering import AxisMap, Expanded, View
from bmc.ops.registry import ULP, Operator, RowMix, Sample, TypeRuleError
from bmc.ops.rules import CELLS, is_negative, normal_axis, pointwise, require_dtype
from bmc.ops.shape import padded_dim
from bmc.ops.simplify import simplify_windows
from bmc.record import record

if TYPE_CHECKING:
    from bmc.ops.build import Builder

__all__ = ["OPERATORS", "ConvolutionAttrs", "WindowsAttrs", "window_count"]


@record(frozen=True)
class WindowsAttrs:
    """`axis` becomes two: the windows, which start every `stride` cells, and the `size` cells of one, `dilation` apart."""

    axis: int
    size: int
    stride: int
    dilation: int


@record(frozen=True)
class ConvolutionAttrs:
    """For each axis of places: the step between windows, cells of 0 before, after and between the cells of x, and the
    distance of taps. `groups`: channels and features are cut into so many parts, and each feature sees its part alone.
    """

    strides: tuple[int, ...]
    low: tuple[Dim, ...]
    high: tuple[Dim, ...]
    interior: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int


def window_count(dim: Dim, size: int, stride: int, dilation: int) -> Dim:
    """How many windows lie within `dim` cells."""
    return floor_divide(dim - (dilation * (size - 1) + 1) + stride, stride)


# --- windows ---


def _infer_windows(types: Sequence[TensorType], attrs: WindowsAttrs) -> tuple[TensorType, ...]:
    require_dtype(types, 0, CELLS)
    (x,) = types
    axis = normal_axis(attrs.axis, x.rank)
    if min(attrs.size, attrs.stride, attrs.dilation) < 1:
        raise TypeRuleError("size, stride and dilation of a window are at least 1")
    count = window_count(x.shape[axis], attrs.size, attrs.stride, attrs.dilation)
    if isinstance(count, int) and count < 1:
        raise TypeRuleError(f"no window of {attrs.dilation * (attrs.size - 1) + 1} cells lies in a dim of {x.shape[axis]}", 0)
    return (x.with_shape((*x.shape[:axis], count, attrs.size, *x.shape[axis + 1 :])),)


def _windows_rows(op: Operation, axes: Sequence[int | None]) -> tuple[int | RowMix | None, ...]:
    (row,) = axes
    axis = op.attrs.axis  # type: ignore[attr-defined]
    if row == axis:
        return (RowMix.OTHER,)
    return (row if row is None or row < axis else row + 1,)


def _windows_index(attrs: WindowsAttrs, operand: TensorType, result: TensorType) -> Sequence[AxisMap]:
    axis = attrs.axis
    return [
        AxisMap(axis, attrs.stride, 0, axis + 1, attrs.dilation) if i == axis else AxisMap(i if i < axis else i + 1)
        for i in range(operand.rank)
    ]


def _windows_along(op: Operation, axis: int) -> Sequence[int | None] | None:
    over = op.attrs.axis  # type: ignore[attr-defined]
    if axis in (over, over + 1):
        return None
    return (axis if axis < over else axis - 1,)


def _windows(np: Any, attrs: WindowsAttrs, arrays: Sequence[Any]) -> Sequence[Any]:
    (x,) = arrays
    axis = attrs.axis
    count = window_count(x.shape[axis], attrs.size, attrs.stride, attrs.dilation)
    index = np.arange(count)[:, None] * attrs.stride + np.arange(attrs.size)[None] * attrs.dilation
    return (np.take(x, index, axis=axis),)


def _windows_grad(b: Builder, op: Operation, g: Value) -> Sequence[Value | None]:
    """Windows that lie side by side are put together; of others, cell k of every window goes back as a whole."""
    attrs: WindowsAttrs = op.attrs  # type: ignore[assignment]
    shape = op.operands[0].type.shape
    axis, dim = attrs.axis, shape[attrs.axis]
    count = g.type.shape[axis]

    def spread(x: Value, before: int, between: int, after: Dim) -> Value:
        low, high, interior = ([0] * len(shape) for _ in range(3))
        low[axis], interior[axis] = before, between
        ends: list[Dim] = list(high)
        ends[axis] = after
        return b.pad(x, low, ends, interior)

    if attrs.size == attrs.stride and attrs.dilation == 1:
        together = b.reshape(g, (*shape[:axis], count * attrs.size, *shape[axis + 1 :]))
        return (spread(together, 0, 0, dim - count * attrs.size),)
    total: Value | None = None
    for k in range(attrs.size):
        cell = b.reshape(b.slice_axis(g, axis + 1, k, k + 1), (*shape[:axis], count, *shape[axis + 1 :]))
        before = k * attrs.dilation
        part = spread(cell, before, attrs.stride - 1, dim - before - (count - 1) * attrs.stride - 1)
        total = part if total is None else b.add(total, part)
    return (total,)


# --- convolution ---


def _infer_convolution(types: Sequence[TensorType], attrs: ConvolutionAttrs) -> tuple[TensorType, ...]:
    x, w = types
    require_dtype(types, 0, FLOATS)
    if x.dtype != w.dtype:
        raise TypeRuleError(f"dtypes differ: {x.dtype} and {w.dtype}", 1, 0)
    places = x.rank - 2
    if places < 1 or w.rank != x.rank:
        raise TypeRuleError(f"{x} and a kernel {w}: both have as many axes, of which the first has the rows", 1, 0)
    if any(len(each) != places for each in (attrs.strides, attrs.low, attrs.high, attrs.interior, attrs.dilation)):
        raise TypeRuleError(f"the attributes are not those of {places} axes of places")
    if min(*attrs.strides, *attrs.dilation, attrs.groups) < 1 or any(
        map(is_negative, (*attrs.low, *attrs.high, *attrs.interior))
    ):
        raise TypeRuleError("strides, dilation and groups are at least 1, padding at least 0")
    if not all(isinstance(taps, int) and taps > 0 for taps in w.shape[:places]):
        raise TypeRuleError(f"the number of taps of the kernel {w} is not known", 1)
    if w.shape[-2] * attrs.groups != x.shape[-1] or divide_exact(w.shape[-1], attrs.groups) is None:
        raise TypeRuleError(f"channels of {x} and of the kernel {w} do not fit in {attrs.groups} groups", 1, 0)
    counts: list[Dim] = []
    for i in range(places):
        taps = w.shape[i]
        assert isinstance(taps, int)
        dim = padded_dim(x.shape[1 + i], attrs.low[i], attrs.high[i], attrs.interior[i])
        count = window_count(dim, taps, attrs.strides[i], attrs.dilation[i])
        if isinstance(count, int) and count < 1:
            raise TypeRuleError(f"no window of {attrs.dilation[i] * (taps - 1) + 1} cells lies in a dim of {dim}", 1, 0)
        counts.append(count)
    return (x.with_shape((x.shape[0], *counts, w.shape[-1])),)


def _convolution_rows(op: Operation, axes: Sequence[int | None]) -> tuple[int | RowMix | None, ...]:
    x, w = axes
    return (None if x is None and w is None else 0 if x == 0 and w is None else RowMix.OTHER,)


def _taps(op: Operation) -> tuple[int, ...]:
    return tuple(taps for taps in op.operands[1].type.shape[:-2] if isinstance(taps, int))


def _padded(b: Builder, op: Operation) -> Value:
    attrs: ConvolutionAttrs = op.attrs  # type: ignore[assignment]
    return b.pad(op.operands[0], (0, *attrs.low, 0), (0, *attrs.high, 0), (0, *attrs.interior, 0))


def _patches(b: Builder, op: Operation) -> Value:
    """[rows, places, taps, places, taps, .., channels]; with groups the channels are two axes."""
    attrs: ConvolutionAttrs = op.attrs  # type: ignore[assignment]
    x = _padded(b, op)
    if attrs.groups > 1 and not _is_depthwise(op):
        x = b.reshape(x, (*x.type.shape[:-1], attrs.groups, op.operands[1].type.shape[-2]))
    for i, taps in enumerate(_taps(op)):
        x = b.windows(x, 1 + 2 * i, taps, attrs.strides[i], attrs.dilation[i])
    return x


def _is_depthwise(op: Operation) -> bool:
    """Whether each feature is made of one channel of its own."""
    w = op.operands[1].type
    return op.attrs.groups > 1 and w.shape[-2] == 1 and w.shape[-1] == op.attrs.groups  # type: ignore[attr-defined]


def _in_groups(b: Builder, features: Value, groups: int) -> Value:
    shape = features.type.shape
    each = divide_exact(shape[-1], groups)
    assert each is not None
    return b.reshape(features, (*shape[:-1], groups, each))


def _spread_axis(op: Operation) -> int | None:
    """The first axis of places whose cells stand apart while windows stand side by side, if its sizes are known."""
    attrs: ConvolutionAttrs = op.attrs  # type: ignore[assignment]
    for i, (between, stride, low, high) in enumerate(zip(attrs.interior, attrs.strides, attrs.low, attrs.high, strict=True)):
        known = all(isinstance(dim, int) for dim in (op.operands[0].type.shape[1 + i], low, high))
        if between and stride == 1 and known:
            return i
    return None


def _expand_by_phase(b: Builder, op: Operation, i: int) -> Value:
    """Where cells stand `apart` from one another along axis i, of every window only each `apart`-th tap meets one. Places o with
    the same rest r meet the same taps, so that they are a convolution of x as it is, with those taps alone:
    place q * apart + r and tap k meet cell q + (r + k * dilation - low) / apart.
    """
    attrs: ConvolutionAttrs = op.attrs  # type: ignore[assignment]
    x, w = op.operands
    apart, reach = attrs.interior[i] + 1, attrs.dilation[i]
    taps, low, dim, places = w.type.shape[i], attrs.low[i], x.type.shape[1 + i], op.result.type.shape[1 + i]
    assert isinstance(taps, int)
    assert isinstance(low, int)
    assert isinstance(dim, int)
    assert isinstance(places, int)
    count = -(-places // apart)
    shape = (*op.result.type.shape[: 1 + i], count, *op.result.type.shape[2 + i :])
    common = math.gcd(reach, apart)
    step, dilation = apart // common, reach // common

    def of(values: Sequence[Any], value: Any) -> tuple[Any, ...]:
        return (*values[:i], value, *values[i + 1 :])

    phases: list[Value] = []
    for rest in range(apart):
        first = next((k for k in range(min(step, taps)) if (rest + k * reach - low) % apart == 0), None)
        seen: Value | None = None
        if first is not None:
            start = (rest + first * reach - low) // apart
            end = start + count + (-(-(taps - first) // step) - 1) * dilation  # behind the last cell that is seen
            if start < dim and end > 0:
                part = b.slice_axis(x, 1 + i, max(start, 0), min(end, dim))
                kernel = b.slice_axis(w, i, first, taps, step)
                plain = ConvolutionAttrs(
                    attrs.strides,
                    of(attrs.low, max(-start, 0)),
                    of(attrs.high, max(end - dim, 0)),
                    of(attrs.interior, 0),
                    of(attrs.dilation, dilation),
                    attrs.groups,
                )
                (made,) = _infer_convolution([part.type, kernel.type], plain)
                seen = _expand(b, Operation(op.name, (part, kernel), plain, (Value(made),)))
        seen = b.full(0.0, op.result.type.with_shape(shape)) if seen is None else seen
        phases.append(b.reshape(seen, (*shape[: 2 + i], 1, *shape[2 + i :])))
    together = b.reshape(b.concat(phases, 2 + i), (*shape[: 1 + i], count * apart, *shape[2 + i :]))
    return b.slice_axis(together, 1 + i, 0, places)


def _expand(b: Builder, op: Operation) -> Value:
    attrs: ConvolutionAttrs = op.attrs  # type: ignore[assignment]
    w = op.operands[1]
    spread = _spread_axis(op)
    if spread is not None:
        return _expand_by_phase(b, op, spread)
    patches = _patches(b, op)
    places = w.type.rank - 2
    taps_axes = [2 + 2 * i for i in range(places)]
    if _is_depthwise(op):
        kernel = b.reshape(w, (*w.type.shape[:-2], attrs.groups))
        weights = b.broadcast(kernel, patches.type.shape, (*taps_axes, patches.type.rank - 1))
        return b.reduce("reduce_sum", b.mul(patches, weights), taps_axes)
    channels = patches.type.rank - 1
    if attrs.groups == 1:
        return b.contract(patches, w, (), (*taps_axes, channels), (), range(places + 1))
    kernel = _in_groups(b, w, attrs.groups)
    made = b.contract(patches, kernel, (channels - 1,), (*taps_axes, channels), (places + 1,), range(places + 1))
    by_place = b.transpose(made, (*range(1, made.type.rank - 1), 0, made.type.rank - 1))
    return b.reshape(by_place, op.result.type.shape)


def _convolution_grad(b: Builder, op: Operation, g: Value) -> Sequence[Value | None]:
    return _grad_by_x(b, op, g), _grad_by_kernel(b, op, g)


def _grad_by_x(b: Builder, op: Operation, g: Value) -> Value:
    """The convolution of g, spread by the strides, with the kernel in reverse: cell h of x reaches the output places o
    with o * stride + k * dilation = h * (interior + 1) + low.
    """
    attrs: ConvolutionAttrs = op.attrs  # type: ignore[assignment]
    x, w = op.operands
    reach = [d * (taps - 1) for d, taps in zip(attrs.dilation, _taps(op), strict=True)]
    padding = zip((*attrs.low, *attrs.high), (*reach, *reach), strict=True)
    if not all(isinstance(amount, int) and amount <= most for amount, most in padding):
        # More padding than a window reaches: its own gradient would be trimmed. Padded first, it is sliced.
        padded = _padded(b, op)
        places = len(reach)
        plain = ConvolutionAttrs(attrs.strides, (0,) * places, (0,) * places, (0,) * places, attrs.dilation, attrs.groups)
        whole = _grad_by_x(b, Operation(op.name, (padded, w), plain, op.results), g)
        dims = x.type.shape[1:-1]
        stops = [lo + (dim - 1) * (n + 1) + 1 for lo, dim, n in zip(attrs.low, dims, attrs.interior, strict=True)]
        steps = (1, *(n + 1 for n in attrs.interior), 1)
        return b.slice(whole, (0, *attrs.low, 0), (x.type.shape[0], *stops, x.type.shape[-1]), steps)
    low = tuple(r - lo for r, lo in zip(reach, attrs.low, strict=True))
    high = tuple(
        (dim - 1) * (n + 1) + r - lo - (count - 1) * stride
        for dim, n, r, lo, count, stride in zip(
            x.type.shape[1:-1], attrs.interior, reach, low, g.type.shape[1:-1], attrs.strides, strict=True
        )
    )
    places = len(reach)
    if attrs.groups > 1:
        back = b.transpose(_in_groups(b, w, attrs.groups), (*range(places), places + 2, places + 1, places))
        back = b.reshape(back, (*w.type.shape[:-2], back.type.shape[-3], x.type.shape[-1]))
    else:
        back = b.transpose(w, (*range(places), places + 1, places))
    # In reverse last: the product walks a kernel that is stored in the order of its chains.
    back = b.flip(back, [i for i, taps in enumerate(_taps(op)) if taps > 1])
    return b.convolution(
        g,
        back,
        strides=tuple(n + 1 for n in attrs.interior),
        low=low,
        high=high,
        interior=tuple(s - 1 for s in attrs.strides),
        dilation=attrs.dilation,
        groups=attrs.groups,
    )


def _grad_by_kernel_of_spread(b: Builder, op: Operation, g: Value) -> Value:
    """Where cells of x stand apart and windows side by side: cell i meets tap k at place i * (interior + 1) + low - k * dilation,
    so that the windows are those of g, by steps, and nothing is multiplied with the zeros between cells.
    """
    attrs: ConvolutionAttrs = op.attrs  # type: ignore[assignment]
    places = len(attrs.strides)
    reach = [d * (taps - 1) for d, taps in zip(attrs.dilation, _taps(op), strict=True)]
    before = [r - lo for r, lo in zip(reach, attrs.low, strict=True) if isinstance(lo, int)]
    behind = [r - hi for r, hi in zip(reach, attrs.high, strict=True) if isinstance(hi, int)]
    starts = [max(-n, 0) for n in before]
    stops = [dim - max(-n, 0) for dim, n in zip(g.type.shape[1:-1], behind, strict=True)]
    seen = b.slice(g, (0, *starts, 0), (g.type.shape[0], *stops, g.type.shape[-1]))
    seen = b.pad(seen, (0, *(max(n, 0) for n in before), 0), (0, *(max(n, 0) for n in behind), 0))
    for i, taps in enumerate(_taps(op)):
        seen = b.windows(seen, 1 + 2 * i, taps, attrs.interior[i] + 1, attrs.dilation[i])
    summed = (0, *(1 + 2 * i for i in range(places)))
    made = b.contract(seen, op.operands[0], (), summed, (), range(places + 1))
    turned = b.transpose(made, (*range(places), places + 1, places))
    return b.flip(turned, [i for i, taps in enumerate(_taps(op)) if taps > 1])


def _grad_by_kernel(b: Builder, op: Operation, g: Value) -> Value:
    attrs: ConvolutionAttrs = op.attrs  # type: ignore[assignment]
    w = op.operands[1].type
    known = all(isinstance(end, int) for end in (*attrs.low, *attrs.high))
    if any(attrs.interior) and known and attrs.groups == 1 and all(stride == 1 for stride in attrs.strides):
        return _grad_by_kernel_of_spread(b, op, g)
    patches = _patches(b, op)
    places = w.rank - 2
    summed = (0, *(1 + 2 * i for i in range(places)))
    if _is_depthwise(op):
        spread = b.broadcast(g, patches.type.shape, (*summed, patches.type.rank - 1))
        return b.reshape(b.reduce("reduce_sum", b.mul(patches, spread), summed), w.shape)
    if attrs.groups == 1:
        return b.contract(patches, g, (), summed, (), range(places + 1))
    parts = _in_groups(b, g, attrs.groups)
    made = b.contract(patches, parts, (patches.type.rank - 2,), summed, (places + 1,), range(places + 1))
    by_tap = b.transpose(made, (*range(1, places + 2), 0, places + 2))
    return b.reshape(by_tap, w.shape)


def _convolution(np: Any, attrs: ConvolutionAttrs, arrays: Sequence[Any]) -> Sequence[Any]:
    x, w = arrays
    places = x.ndim - 2
    dims = [padded_dim(*axis) for axis in zip(x.shape[1:-1], attrs.low, attrs.high, attrs.interior, strict=True)]
    wide = np.zeros((x.shape[0], *dims, x.shape[-1]), x.dtype)
    inside = [
        slice(lo, lo + (dim - 1) * (n + 1) + 1, n + 1)
        for lo, dim, n in zip(attrs.low, x.shape[1:-1], attrs.interior, strict=True)
    ]
    wide[(slice(None), *inside)] = x
    counts = [window_count(*axis) for axis in zip(dims, w.shape, attrs.strides, attrs.dilation, strict=False)]
    parts = np.zeros((x.shape[0], *counts, attrs.groups, w.shape[-1] // attrs.groups), x.dtype)
    kernel = w.reshape((*w.shape[:-1], attrs.groups, -1))
    for taps in _positions(w.shape[:places]):
        cells = [
            slice(k * d, k * d + (count - 1) * s + 1, s)
            for k, d, count, s in zip(taps, attrs.dilation, counts, attrs.strides, strict=True)
        ]
        seen = wide[(slice(None), *cells)]
        seen = seen.reshape((*seen.shape[:-1], attrs.groups, w.shape[-2]))
        lead = list(range(places + 1))
        group, channel, feature = places + 1, places + 2, places + 3
        parts += np.einsum(seen, [*lead, group, channel], kernel[taps], [channel, group, feature], [*lead, group, feature])
    return (parts.reshape((*parts.shape[:-2], w.shape[-1])),)


def _positions(shape: Sequence[int]) -> Iterator[tuple[int, ...]]:
    return itertools.product(*(range(dim) for dim in shape))


_B, _T = Poly.symbol("B"), Poly.symbol("T")


def _windows_samples() -> Sequence[Sample]:
    cases: tuple[tuple[tuple[Dim, ...], tuple[int, int, int, int]], ...] = (
        ((7,), (0, 3, 1, 1)),
        ((_B, 8), (1, 2, 2, 1)),
        ((_B, 9), (1, 2, 2, 1)),
        ((_B, 9, 3), (1, 3, 2, 1)),
        ((_B, 9, 3), (1, 3, 1, 2)),
        ((_B, _T * 2 + 5, 4), (1, 3, 2, 2)),
        ((2, 6), (1, 2, 3, 1)),
        ((2, 4), (1, 1, 1, 1)),
        ((2, 4, 20), (1, 4, 1, 1)),
    )
    return [Sample((TensorType(dtype, shape),), WindowsAttrs(*attrs)) for shape, attrs in cases for dtype in ("f32", "f64")]


def _convolution_samples() -> Sequence[Sample]:
    def attrs(places: int, stride: int = 1, low: int = 0, high: int = 0, inside: int = 0, apart: int = 1, groups: int = 1) -> Any:
        return ConvolutionAttrs(
            (stride,) * places, (low,) * places, (high,) * places, (inside,) * places, (apart,) * places, groups
        )

    cases: tuple[tuple[tuple[Dim, ...], tuple[Dim, ...], Any], ...] = (
        ((_B, 5, 6, 3), (3, 3, 3, 4), attrs(2)),
        ((_B, 5, 6, 3), (3, 2, 3, 4), attrs(2, stride=2, low=1, high=1)),
        ((2, 7, 7, 2), (3, 3, 2, 3), attrs(2, apart=2, low=2, high=2)),
        ((2, 5, 5, 4), (3, 3, 2, 6), attrs(2, groups=2, low=1)),
        ((2, 5, 5, 3), (3, 3, 1, 3), attrs(2, groups=3, stride=2, high=1)),
        ((2, 5, 3), (2, 3, 4), attrs(1, inside=1, low=1, high=1)),
        ((2, 4, 3), (1, 3, 2), attrs(1, low=2, high=1)),
        ((_B, _T + 4, 3), (3, 3, 2), attrs(1, low=1, high=1)),
        ((_B, _T + 4, 3), (3, 3, 2), attrs(1, low=1, high=1, stride=2)),
    )
    return [Sample((TensorType(dtype, x), TensorType(dtype, w)), a) for x, w, a in cases for dtype in FLOATS]


OPERATORS = (
    Operator(
        name="windows",
        incremental=Incremental(_windows_along),
        simplify=simplify_windows,
        doc="The windows of cells along an axis: result[.., o, k, ..] = x[.., o * stride + k * dilation, ..].",
        arity=1,
        attrs=WindowsAttrs,
        infer=_infer_windows,
        grad=pointwise(_windows_grad),
        rows=_windows_rows,
        lowering=View(_windows_index),
        reference=_windows,
        samples=_windows_samples,
    ),
    Operator(
        name="convolution",
        doc=(
            "The sum of products of a kernel w[taps.., channels, features] with the window of x[rows, places.., channels] at "
            "each place, zeros around x and between its cells included."
        ),
        arity=2,
        attrs=ConvolutionAttrs,
        infer=_infer_convolution,
        grad=pointwise(_convolution_grad),
        rows=_convolution_rows,
        lowering=Expanded("expand", _expand),
        reference=_convolution,
        samples=_convolution_samples,
        # One rounding of the product and one of the sum for each addend.
        ulp=ULP(1.0, 1.0),
    ),
)
