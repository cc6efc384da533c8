"""Statistics of all rows of a split, exact: they do not depend on the order of the rows, nor on the blocks they come in.

Only fitting has them: each is a reducer of the runtime, `partial(block) → merge → finish` (`bmc_runtime/reducers`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from math import ceil, floor, inf, isinf, isnan, nan
from typing import Any

from bmc.ir import Operation, Poly, TensorType
from bmc.ir.types import FLOATS, INTEGERS, is_float
from bmc.ops.lowering import Host
from bmc.ops.registry import NotDifferentiable, Operator, RowMix, Sample, TypeRuleError
from bmc.ops.rules import NUMBERS, distinct_axes, require_dtype
from bmc.record import record

__all__ = [
    "OPERATORS", "ExactSumAttrs", "ExtremeAttrs", "GroupMomentsAttrs", "QuantilesAttrs", "RowMomentsAttrs",
]  # fmt: skip

_FITTED = NotDifferentiable("it is fitted, not trained", misplaced=True)


@record(frozen=True)
class ExactSumAttrs:
    """The axes to reduce, each once."""

    axes: tuple[int, ...]


@record(frozen=True)
class ExtremeAttrs:
    """`largest`: the maximum; else the minimum."""

    axes: tuple[int, ...]
    largest: bool


@record(frozen=True)
class RowMomentsAttrs:
    """`ddof`: what is taken off the count that the sum of squared differences is divided by."""

    axes: tuple[int, ...]
    ddof: int


@record(frozen=True)
class QuantilesAttrs:
    """`q`: the shares, each from 0 to 1."""

    axes: tuple[int, ...]
    q: tuple[float, ...]


@record(frozen=True)
class GroupMomentsAttrs:
    """`size`: the number of groups. `ddof`: what is taken off the count that the sum of squared differences is divided by."""

    size: int
    ddof: int


# --- types and rows ----------------------------------------------------------------------------------------------------
def _kept(x: TensorType, axes: Sequence[int]) -> tuple[Any, ...]:
    distinct_axes(axes, x.rank)
    return tuple(dim for axis, dim in enumerate(x.shape) if axis not in axes)


def _masked(types: Sequence[TensorType]) -> TensorType:
    x, keep = types[:2]
    require_dtype(types, 0, FLOATS)
    require_dtype(types, 1, ("bool",))
    if keep.shape != x.shape:
        raise TypeRuleError(f"shapes differ: {x} and {keep}", 1, 0)
    return x


def _infer_sum(types: Sequence[TensorType], attrs: ExactSumAttrs) -> tuple[TensorType, ...]:
    require_dtype(types, 0, NUMBERS)
    (x,) = types
    return (TensorType("f64" if is_float(x.dtype) else "i64", _kept(x, attrs.axes)),)


def _infer_extreme(types: Sequence[TensorType], attrs: ExtremeAttrs) -> tuple[TensorType, ...]:
    require_dtype(types, 0, NUMBERS)
    return (types[0].with_shape(_kept(types[0], attrs.axes)),)


def _infer_moments(types: Sequence[TensorType], attrs: RowMomentsAttrs) -> tuple[TensorType, ...]:
    kept = _kept(_masked(types), attrs.axes)
    return TensorType("i64", kept), TensorType("f64", kept), TensorType("f64", kept)


def _infer_quantiles(types: Sequence[TensorType], attrs: QuantilesAttrs) -> tuple[TensorType, ...]:
    kept = _kept(_masked(types), attrs.axes)
    if not attrs.q or any(not 0 <= q <= 1 for q in attrs.q):
        raise TypeRuleError(f"shares of cells lie between 0 and 1: {attrs.q}")
    return (TensorType("f64", (*kept, len(attrs.q))),)


def _infer_groups(types: Sequence[TensorType], attrs: GroupMomentsAttrs) -> tuple[TensorType, ...]:
    x = _masked(types)
    require_dtype(types, 2, ("i32",))
    if types[2].shape != x.shape:
        raise TypeRuleError(f"shapes differ: {x} and {types[2]}", 2, 0)
    if attrs.size < 1:
        raise TypeRuleError(f"there are no {attrs.size} groups")
    size = (attrs.size,)
    return TensorType("i64", size), TensorType("f64", size), TensorType("f64", size), TensorType("f64", size)


def _rows(op: Operation, axes: Sequence[int | None]) -> tuple[int | RowMix | None, ...]:
    """Statistics of rows that are kept apart are not computed here: folds are for that."""
    state = None if all(axis is None for axis in axes) else RowMix.OTHER
    return (state,) * len(op.results)


# --- reference ---------------------------------------------------------------------------------------------------------
def _columns(np: Any, x: Any, axes: Sequence[int]) -> tuple[Any, tuple[int, ...]]:
    """x as `[cells reduced, cells kept]`, and the shape of what is kept."""
    order = (*axes, *(i for i in range(x.ndim) if i not in axes))
    kept = tuple(size for i, size in enumerate(x.shape) if i not in axes)
    count = 1
    for size in kept:
        count *= size
    return np.transpose(x, order).reshape((-1 if count else 0, count)), kept


def _rounded(value: Fraction) -> float:
    try:
        return value.numerator / value.denominator
    except OverflowError:
        return inf if value > 0 else -inf


def _special(cells: Sequence[float]) -> float | None:
    """The sum where it is no number of finite cells."""
    if any(isnan(c) for c in cells) or {inf, -inf} <= set(cells):
        return nan
    return next((c for c in cells if isinf(c)), None)


def _moments_of(cells: Sequence[float], ddof: int) -> tuple[int, float, float, float]:
    """(count, sum, mean, variance)."""
    count, special = len(cells), _special(cells)
    if special is not None:
        return count, special, special, nan
    exact = [Fraction(c) for c in cells]
    total = sum(exact, Fraction(0))
    mean = _rounded(total / count) if count else nan
    if count <= ddof:
        return count, _rounded(total), mean, nan
    squares = sum((c * c for c in exact), Fraction(0))
    return count, _rounded(total), mean, _rounded((squares - total * total / count) / (count - ddof) if count else Fraction(0))


def _exact_sum(np: Any, attrs: ExactSumAttrs, arrays: Sequence[Any]) -> Sequence[Any]:
    columns, kept = _columns(np, arrays[0], attrs.axes)
    if not np.issubdtype(columns.dtype, np.floating):
        return (np.sum(columns, axis=0, dtype=np.int64).reshape(kept),)
    return (np.array([_moments_of(column, 0)[1] for column in columns.T.tolist()], np.float64).reshape(kept),)


def _extreme(np: Any, attrs: ExtremeAttrs, arrays: Sequence[Any]) -> Sequence[Any]:
    (x,) = arrays
    if np.issubdtype(x.dtype, np.floating):
        least, most = -inf, inf
    else:
        least, most = np.iinfo(x.dtype).min, np.iinfo(x.dtype).max
    found = np.max(x, axis=attrs.axes, initial=least) if attrs.largest else np.min(x, axis=attrs.axes, initial=most)
    return (np.asarray(found, x.dtype),)


def _row_moments(np: Any, attrs: RowMomentsAttrs, arrays: Sequence[Any]) -> Sequence[Any]:
    columns, kept = _columns(np, arrays[0], attrs.axes)
    masks, _ = _columns(np, arrays[1], attrs.axes)
    found = [_moments_of(c[m].tolist(), attrs.ddof) for c, m in zip(columns.T, masks.T, strict=True)]
    return tuple(np.array([f[i] for f in found], dtype).reshape(kept) for i, dtype in ((0, np.int64), (2, float), (3, float)))


def _quantile_of(cells: list[float], q: float) -> float:
    if not cells or any(isnan(c) for c in cells):
        return nan
    ordered, place = sorted(cells), (len(cells) - 1) * q
    low, high = ordered[floor(place)], ordered[ceil(place)]
    return low if low == high else low + (place - floor(place)) * (high - low)


def _quantiles(np: Any, attrs: QuantilesAttrs, arrays: Sequence[Any]) -> Sequence[Any]:
    columns, kept = _columns(np, arrays[0], attrs.axes)
    masks, _ = _columns(np, arrays[1], attrs.axes)
    found = [[_quantile_of(c[m].tolist(), q) for q in attrs.q] for c, m in zip(columns.T, masks.T, strict=True)]
    return (np.array(found, np.float64).reshape((*kept, len(attrs.q))),)


def _group_moments(np: Any, attrs: GroupMomentsAttrs, arrays: Sequence[Any]) -> Sequence[Any]:
    x, keep, codes = arrays
    found = [_moments_of(x[keep & (codes == group)].tolist(), attrs.ddof) for group in range(attrs.size)]
    return tuple(np.array([f[i] for f in found], np.int64 if i == 0 else np.float64) for i in range(4))


_B = Poly.symbol("B")
_SHAPES: tuple[tuple[tuple[Any, ...], tuple[int, ...]], ...] = (
    ((_B,), (0,)), ((_B, 3), (0,)), ((_B, 2, 3), (0, 2)), ((0, 2), (0,)),
)  # fmt: skip


def _draw(dtype: str, groups: int = 0) -> Callable[[Any, Any, Sequence[tuple[int, ...]]], Sequence[Any]]:
    """Numbers that cancel, a mask, and codes of which one is of no group."""

    def draw(np: Any, rng: Any, shapes: Sequence[tuple[int, ...]]) -> Sequence[Any]:
        x = rng.choice([1e30, -1e30, 1.0, 0.1, -0.0, 1e-40], size=shapes[0]).astype({"f32": np.float32, "f64": np.float64}[dtype])
        codes = rng.integers(-1, groups + 1, size=shapes[0]).astype(np.int32)
        return [x, rng.integers(0, 4, size=shapes[0]) > 0, codes][: len(shapes)]

    return draw


def _types(dtype: str, shape: tuple[Any, ...], codes: bool = False) -> tuple[TensorType, ...]:
    masked = TensorType(dtype, shape), TensorType("bool", shape)
    return (*masked, TensorType("i32", shape)) if codes else masked


OPERATORS = (
    Operator(
        name="exact_sum",
        doc="The sum over some axes: of floats the exact sum, rounded once; of integers modulo 2 ** 64.",
        arity=1,
        attrs=ExactSumAttrs,
        infer=_infer_sum,
        grad=_FITTED,
        rows=_rows,
        lowering=Host("exact_sum"),
        reference=_exact_sum,
        samples=lambda: [
            Sample((TensorType(dtype, shape),), ExactSumAttrs(axes), below={0: 9})
            for shape, axes in _SHAPES
            for dtype in ("i32", *FLOATS)
        ],
    ),
    Operator(
        name="extreme",
        doc="The maximum or the minimum over some axes, as `reduce_max` and `reduce_min` have it.",
        arity=1,
        attrs=ExtremeAttrs,
        infer=_infer_extreme,
        grad=_FITTED,
        rows=_rows,
        lowering=Host("extreme"),
        reference=_extreme,
        samples=lambda: [
            Sample((TensorType(dtype, shape),), ExtremeAttrs(axes, largest), below={0: 9})
            for shape, axes in _SHAPES
            for dtype in (INTEGERS[-1], *FLOATS)
            for largest in (False, True)
        ],
    ),
    Operator(
        name="row_moments",
        doc="Over some axes, of the cells where `keep` holds: their number, their mean, and their variance, the sum of squared "
        "differences from the mean divided by the number less `ddof`. Mean and variance are the exact values, rounded once; NaN "
        "where there are no cells to divide by.",
        arity=2,
        attrs=RowMomentsAttrs,
        infer=_infer_moments,
        grad=_FITTED,
        rows=_rows,
        lowering=Host("row_moments"),
        reference=_row_moments,
        samples=lambda: [
            Sample(_types(dtype, shape), RowMomentsAttrs(axes, ddof), draw=_draw(dtype))
            for shape, axes in _SHAPES
            for dtype in FLOATS
            for ddof in (0, 1)
        ],
    ),
    Operator(
        name="quantiles",
        doc="Over some axes, of the cells where `keep` holds: the values below which the shares `q` lie, along a new last axis. "
        "Linear between the cells around place q x (number - 1) of their order; NaN where there are no cells, or one is NaN.",
        arity=2,
        attrs=QuantilesAttrs,
        infer=_infer_quantiles,
        grad=_FITTED,
        rows=_rows,
        lowering=Host("quantiles"),
        reference=_quantiles,
        samples=lambda: [
            Sample(_types(dtype, shape), QuantilesAttrs(axes, q), draw=_draw(dtype))
            for shape, axes in _SHAPES
            for dtype in FLOATS
            for q in ((0.5,), (0.0, 0.3, 1.0))
        ],
    ),
    Operator(
        name="group_moments",
        doc="For each of `size` groups, of the cells where `keep` holds and `codes` is the group: their number, sum, mean and "
        "variance, as `row_moments` has them. Codes outside 0 .. size - 1 are of no group.",
        arity=3,
        attrs=GroupMomentsAttrs,
        infer=_infer_groups,
        grad=_FITTED,
        rows=_rows,
        lowering=Host("group_moments"),
        reference=_group_moments,
        samples=lambda: [
            Sample(_types(dtype, shape, codes=True), GroupMomentsAttrs(4, ddof), draw=_draw(dtype, 4))
            for shape in ((_B,), (_B, 3))
            for dtype in FLOATS
            for ddof in (0, 1)
        ],
    ),
)
