"""Operators that depend on the order of cells along an axis: argmax, argmin, sort, top_k, search_sorted, cumsum."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from bmc.ir import Operation, Poly, TensorType, Value
from bmc.ir.types import FLOATS
from bmc.ops.arrays import numpy_dtype, quiet
from bmc.ops.incremental import Incremental, but_axis
from bmc.ops.lowering import Opaque
from bmc.ops.registry import NotDifferentiable, Operator, RowMix, Sample, TypeRuleError
from bmc.ops.rules import NUMBERS, batched, normal_axis, one_row_axis, pointwise, require_dtype, require_rank
from bmc.record import record

if TYPE_CHECKING:
    from bmc.ops.build import Builder

__all__ = ["OPERATORS", "ArgAttrs", "CumsumAttrs", "SortAttrs", "TopKAttrs"]


@record(frozen=True)
class ArgAttrs:
    axis: int


@record(frozen=True)
class SortAttrs:
    descending: bool


@record(frozen=True)
class TopKAttrs:
    """How many of the largest."""

    count: int


@record(frozen=True)
class CumsumAttrs:
    axis: int


def _infer_arg(types: Sequence[TensorType], attrs: ArgAttrs) -> tuple[TensorType, ...]:
    require_dtype(types, 0, NUMBERS)
    (x,) = types
    axis = normal_axis(attrs.axis, x.rank)
    if x.shape[axis] == 0:
        raise TypeRuleError(f"axis {axis} of {x} has no cells", 0)
    return (TensorType("i32", x.shape[:axis] + x.shape[axis + 1 :]),)


def _arg_rows(op: Operation, axes: Sequence[int | None]) -> tuple[int | RowMix | None, ...]:
    axis, over = axes[0], op.attrs.axis  # type: ignore[attr-defined]
    if axis is None:
        return (None,)
    return (RowMix.OTHER if axis == over else axis - (over < axis),)


def _arg(name: str, doc: str, reference: Callable[..., Any]) -> Operator:
    rows = Poly.symbol("B")
    return Operator(
        name=name,
        doc=doc + " The first of equals; a NaN counts as the extreme.",
        arity=1,
        attrs=ArgAttrs,
        infer=_infer_arg,
        grad=NotDifferentiable("the result is a position"),
        rows=_arg_rows,
        lowering=Opaque(name),
        incremental=Incremental(lambda op, axis: (axis + (axis >= op.attrs.axis),)),  # type: ignore[attr-defined]
        reference=lambda np, attrs, arrays: (np.asarray(reference(np, arrays[0], attrs.axis), dtype=np.int32),),
        samples=lambda: [
            Sample((TensorType(dtype, shape),), ArgAttrs(axis), below={0: 4})
            for shape, axis in (((5,), 0), ((rows, 7), 1), ((3, 4, 2), 1), ((0, 3), 1))
            for dtype in ("f32", "f64", "i32")
        ],
    )


def _infer_sort(types: Sequence[TensorType], attrs: SortAttrs) -> tuple[TensorType, ...]:
    require_dtype(types, 0, NUMBERS)
    require_rank(types, 0, 1)
    return types[0], types[0].with_dtype("i32")


def _sort(np: Any, attrs: SortAttrs, arrays: Sequence[Any]) -> Sequence[Any]:
    """Descending order is the ascending order of the reversed axis, reversed: equals keep their order, and NaN goes
    last by itself.
    """
    (x,) = arrays
    if attrs.descending:
        width = x.shape[-1]
        order = width - 1 - np.argsort(x[..., ::-1], axis=-1, kind="stable")[..., ::-1]
        if np.issubdtype(x.dtype, np.floating):
            numbers_first = np.argsort(np.isnan(np.take_along_axis(x, order, axis=-1)), axis=-1, kind="stable")
            order = np.take_along_axis(order, numbers_first, axis=-1)
    else:
        order = np.argsort(x, axis=-1, kind="stable")
    return np.take_along_axis(x, order, axis=-1), order.astype(np.int32)


def _sort_grad(b: Builder, op: Operation, cotangents: Sequence[Value | None]) -> Sequence[Value | None]:
    g = cotangents[0]
    if g is None or g.type.shape[-1] == 0:
        return (g,)
    inverse = b.sort(op.results[1])[1]
    return (b.take_along(g, inverse),)


def _infer_top_k(types: Sequence[TensorType], attrs: TopKAttrs) -> tuple[TensorType, ...]:
    require_dtype(types, 0, NUMBERS)
    require_rank(types, 0, 1)
    (x,) = types
    size = x.shape[-1]
    if not isinstance(size, int) or not 1 <= attrs.count <= size:
        raise TypeRuleError(f"the last dim of {x} does not have {attrs.count} cells, at least 1, whatever the sizes", 0)
    values = x.with_shape((*x.shape[:-1], attrs.count))
    return values, values.with_dtype("i32")


def _top_k(np: Any, attrs: TopKAttrs, arrays: Sequence[Any]) -> Sequence[Any]:
    return [found[..., : attrs.count] for found in _sort(np, SortAttrs(True), arrays)]


def _top_k_grad(b: Builder, op: Operation, cotangents: Sequence[Value | None]) -> Sequence[Value | None]:
    """Each cell gets the cotangent of the place that it came to."""
    g = cotangents[0]
    x = op.operands[0].type
    return (None,) if g is None else (b.scatter_along(op.results[1], g, x.shape[-1], x.rank - 1),)


def _infer_search_sorted(types: Sequence[TensorType], attrs: object) -> tuple[TensorType, ...]:
    table, x = types
    require_dtype(types, 0, NUMBERS)
    require_rank(types, 0, 1)
    if x.dtype != table.dtype:
        raise TypeRuleError(f"dtypes differ: {table.dtype} and {x.dtype}", 1, 0)
    if x.shape[: table.rank - 1] != table.shape[:-1]:
        raise TypeRuleError(f"{x} does not begin with the leading dims of the table {table}", 1, 0)
    return (x.with_dtype("i32"),)


def _search_sorted_rows(op: Operation, axes: Sequence[int | None]) -> tuple[int | RowMix | None, ...]:
    table, _ = axes
    return (RowMix.OTHER if table == op.operands[0].type.rank - 1 else one_row_axis(axes),)


def _search_sorted(np: Any, attrs: object, arrays: Sequence[Any]) -> Sequence[Any]:
    table, x = arrays
    lead = table.ndim - 1
    flat = x.reshape((*x.shape[:lead], -1)) if x.size else np.zeros((*x.shape[:lead], 0), x.dtype)
    found = np.zeros(flat.shape, np.int32)
    for row in np.ndindex(table.shape[:-1]):
        found[row] = np.searchsorted(table[row], flat[row], side="right")
    return (found.reshape(x.shape),)


def _draw_search_sorted(dtype: str) -> Callable[[Any, Any, Sequence[tuple[int, ...]]], Sequence[Any]]:
    """Tables with equal cells, and numbers of which many are in the table."""

    def draw(np: Any, rng: Any, shapes: Sequence[tuple[int, ...]]) -> Sequence[Any]:
        cells = np.sort(rng.integers(0, 6, size=shapes[0]), axis=-1), rng.integers(-1, 8, size=shapes[1])
        return [np.asarray(array * 0.5, dtype=numpy_dtype(np, dtype)) for array in cells]

    return draw


def _infer_cumsum(types: Sequence[TensorType], attrs: CumsumAttrs) -> tuple[TensorType, ...]:
    require_dtype(types, 0, NUMBERS)
    normal_axis(attrs.axis, types[0].rank)
    return (types[0],)


def _cumsum(np: Any, attrs: CumsumAttrs, arrays: Sequence[Any]) -> Sequence[Any]:
    with quiet(np):
        return (np.cumsum(arrays[0], axis=attrs.axis, dtype=arrays[0].dtype),)


def _cumsum_grad(b: Builder, op: Operation, g: Value) -> Sequence[Value | None]:
    axis = op.attrs.axis  # type: ignore[attr-defined]
    return (b.flip(b.cumsum(b.flip(g, [axis]), axis), [axis]),)


_B = Poly.symbol("B")

OPERATORS = (
    _arg("argmax", "The position of the maximum along `axis`.", lambda np, x, axis: np.argmax(x, axis=axis)),
    _arg("argmin", "The position of the minimum along `axis`.", lambda np, x, axis: np.argmin(x, axis=axis)),
    Operator(
        name="sort",
        doc="The last axis in ascending (or descending) order, and where each cell came from. Equals keep their "
        "order; NaN goes last.",
        arity=1,
        attrs=SortAttrs,
        infer=_infer_sort,
        grad=_sort_grad,
        rows=lambda op, axes: batched(op, axes, op.operands[0].type.rank - 1),
        lowering=Opaque("sort"),
        incremental=but_axis(lambda op: op.operands[0].type.rank - 1),
        reference=_sort,
        samples=lambda: [
            Sample((TensorType(dtype, shape),), SortAttrs(descending), below={0: 4})
            for shape in ((6,), (_B, 9), (2, 0))
            for dtype in ("f32", "f64", "i32")
            for descending in (False, True)
        ],
    ),
    Operator(
        name="top_k",
        doc="The `count` largest cells of the last axis, in descending order, and where each came from: the start of a "
        "descending `sort`.",
        arity=1,
        attrs=TopKAttrs,
        infer=_infer_top_k,
        grad=_top_k_grad,
        rows=lambda op, axes: batched(op, axes, op.operands[0].type.rank - 1),
        lowering=Opaque("top_k"),
        incremental=but_axis(lambda op: op.operands[0].type.rank - 1),
        reference=_top_k,
        samples=lambda: [
            Sample((TensorType(dtype, shape),), TopKAttrs(count), below={0: 4})
            for shape, count in (((6,), 6), ((_B, 9), 1), ((_B, 3, 30), 4), ((0, 3), 2))
            for dtype in ("f32", "f64", "i32")
        ],
    ),
    Operator(
        name="search_sorted",
        doc="How many cells of the last axis of `table`, which ascends, are at most x: result[l.., i..] counts table[l.., :] <= "
        "x[l.., i..], by bisection.",
        arity=2,
        infer=_infer_search_sorted,
        grad=NotDifferentiable("the result is a position"),
        rows=_search_sorted_rows,
        lowering=Opaque("search_sorted"),
        incremental=Incremental(lambda op, axis: (axis if axis < op.operands[0].type.rank - 1 else None, axis)),
        reference=_search_sorted,
        samples=lambda: [
            Sample((TensorType(dtype, table), TensorType(dtype, x)), draw=_draw_search_sorted(dtype))
            for table, x in (((7,), (_B,)), ((9,), (_B, 3)), ((_B, 4), (_B, 2, 3)), ((_B, 5), (_B,)), ((0,), (3,)), ((6,), ()))
            for dtype in FLOATS
        ],
    ),
    Operator(
        name="cumsum",
        doc="Running sums along `axis`, the cell itself included, in ascending order.",
        arity=1,
        attrs=CumsumAttrs,
        infer=_infer_cumsum,
        grad=pointwise(_cumsum_grad),
        rows=lambda op, axes: batched(op, axes, op.attrs.axis),  # type: ignore[attr-defined]
        lowering=Opaque("cumsum"),
        incremental=but_axis(lambda op: op.attrs.axis),  # type: ignore[attr-defined]
        reference=_cumsum,
        samples=lambda: [
            Sample((TensorType(dtype, shape),), CumsumAttrs(axis))
            for shape, axis in (((6,), 0), ((_B, 9), 1), ((3, 4, 2), 1), ((2, 0), 1))
            for dtype in ("f32", "f64", "i32")
        ],
    ),
)
