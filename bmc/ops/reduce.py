"""Folds over axes: sum, maximum, minimum. Reduced axes vanish; over no cells they give the identity."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from bmc.ir import Operation, Poly, TensorType, Value
from bmc.ops.incremental import Incremental
from bmc.ops.lowering import Reduction
from bmc.ops.registry import Operator, RowMix, Sample
from bmc.ops.rules import NUMBERS, distinct_axes, pointwise, require_dtype
from bmc.ops.simplify import simplify_reduce
from bmc.record import record

if TYPE_CHECKING:
    from bmc.ops.build import Builder

__all__ = ["OPERATORS", "ReduceAttrs"]


@record(frozen=True)
class ReduceAttrs:
    """The axes to reduce, each once."""

    axes: tuple[int, ...]


def _infer(types: Sequence[TensorType], attrs: ReduceAttrs) -> tuple[TensorType, ...]:
    require_dtype(types, 0, NUMBERS)
    (x,) = types
    distinct_axes(attrs.axes, x.rank)
    return (x.with_shape(tuple(dim for axis, dim in enumerate(x.shape) if axis not in attrs.axes)),)


def _rows(mix: RowMix) -> Callable[[Operation, Sequence[int | None]], tuple[int | RowMix | None, ...]]:
    def rule(op: Operation, axes: Sequence[int | None]) -> tuple[int | RowMix | None, ...]:
        (axis,) = axes
        reduced = op.attrs.axes  # type: ignore[attr-defined]
        if axis is None:
            return (None,)
        return (mix if axis in reduced else axis - sum(1 for r in reduced if r < axis),)

    return rule


def _along(op: Operation, axis: int) -> Sequence[int | None]:
    """The axis of the operand that is left at place `axis`."""
    kept = [i for i in range(op.operands[0].type.rank) if i not in op.attrs.axes]  # type: ignore[attr-defined]
    return (kept[axis],)


def _sum_grad(b: Builder, op: Operation, g: Value) -> Sequence[Value | None]:
    return (b.expand(g, op.operands[0].type.shape, op.attrs.axes),)  # type: ignore[attr-defined]


def _extreme_grad(b: Builder, op: Operation, g: Value) -> Sequence[Value | None]:
    """Shared evenly among equal extremes. Where the extreme is NaN none equals it, and nothing flows."""
    (x,) = op.operands
    axes = op.attrs.axes  # type: ignore[attr-defined]
    chosen = b.compare("eq", x, b.expand(op.result, x.type.shape, axes))
    count = b.maximum(b.reduce("reduce_sum", b.cast(chosen, x.type.dtype), axes), 1.0)
    share = b.expand(b.div(g, count), x.type.shape, axes)
    return (b.select(chosen, share, b.full_like(share, 0.0)),)


def _least(np: Any, dtype: Any) -> Any:
    return -math.inf if np.issubdtype(dtype, np.floating) else np.iinfo(dtype).min


def _most(np: Any, dtype: Any) -> Any:
    return math.inf if np.issubdtype(dtype, np.floating) else np.iinfo(dtype).max


def _samples() -> Sequence[Sample]:
    b, t = Poly.symbol("B"), Poly.symbol("T")
    shapes: tuple[tuple[tuple[int | Poly, ...], tuple[int, ...]], ...] = (
        ((5,), (0,)),
        ((4, 6), (1,)),
        ((4, 6), (0,)),
        ((4, 6), ()),
        ((b, 3, 5), (0, 2)),
        ((b, 40), (1,)),
        ((b, t), (0, 1)),
        ((3, 0), (1,)),
        ((), ()),
    )
    return [
        Sample((TensorType(dtype, shape),), ReduceAttrs(axes))
        for shape, axes in shapes
        for dtype in ("f32", "f64", "i32")
    ]


def _reduction(
    name: str,
    doc: str,
    combine: Literal["add", "maximum", "minimum"],
    identity: float,
    mix: RowMix,
    reference: Callable[..., Any],
    grad: Any,
) -> Operator:
    return Operator(
        name=name,
        simplify=simplify_reduce,
        doc=doc,
        arity=1,
        attrs=ReduceAttrs,
        infer=_infer,
        grad=pointwise(grad),
        rows=_rows(mix),
        lowering=Reduction(combine, identity),
        incremental=Incremental(_along),
        reference=lambda np, attrs, arrays: (np.asarray(reference(np, arrays[0], attrs.axes), dtype=arrays[0].dtype),),
        samples=_samples,
    )


OPERATORS = (
    _reduction(
        "reduce_sum",
        "The sum over some axes; 0 over no cells.",
        "add",
        0.0,
        RowMix.SUM,
        lambda np, x, axes: np.sum(x, axis=axes, dtype=x.dtype),
        _sum_grad,
    ),
    _reduction(
        "reduce_max",
        "The maximum over some axes; -inf (of integers the least) over no cells. NaN if any is NaN.",
        "maximum",
        -math.inf,
        RowMix.OTHER,
        lambda np, x, axes: np.max(x, axis=axes, initial=_least(np, x.dtype)),
        _extreme_grad,
    ),
    _reduction(
        "reduce_min",
        "The minimum over some axes; inf (of integers the greatest) over no cells. NaN if any is NaN.",
        "minimum",
        math.inf,
        RowMix.OTHER,
        lambda np, x, axes: np.min(x, axis=axes, initial=_most(np, x.dtype)),
        _extreme_grad,
    ),
)
