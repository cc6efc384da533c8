"""Operators that depend on the order of cells along an axis: argmax, argmin, sort, cumsum."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from bmc.ir import Operation, Poly, TensorType, Value
from bmc.ops.arrays import quiet
from bmc.ops.lowering import Opaque
from bmc.ops.registry import NotDifferentiable, Operator, RowMix, Sample, TypeRuleError
from bmc.ops.rules import NUMBERS, batched, normal_axis, pointwise, require_dtype, require_rank
from bmc.record import record

if TYPE_CHECKING:
    from bmc.ops.build import Builder

__all__ = ["OPERATORS", "ArgAttrs", "CumsumAttrs", "SortAttrs"]


@record(frozen=True)
class ArgAttrs:
    axis: int


@record(frozen=True)
class SortAttrs:
    descending: bool


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
        reference=_sort,
        samples=lambda: [
            Sample((TensorType(dtype, shape),), SortAttrs(descending), below={0: 4})
            for shape in ((6,), (_B, 9), (2, 0))
            for dtype in ("f32", "f64", "i32")
            for descending in (False, True)
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
        reference=_cumsum,
        samples=lambda: [
            Sample((TensorType(dtype, shape),), CumsumAttrs(axis))
            for shape, axis in (((6,), 0), ((_B, 9), 1), ((3, 4, 2), 1), ((2, 0), 1))
            for dtype in ("f32", "f64", "i32")
        ],
    ),
)
