"""Operators that steer compilation and execution: gradients, guards, sums over shards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bmc.ir import Operation, Poly, TensorType, Value
from bmc.ir.types import FLOATS
from bmc.ops.incremental import PLAIN
from bmc.ops.lowering import Elementwise, Expanded, Opaque
from bmc.ops.registry import NotDifferentiable, Operator, RowMix, Sample
from bmc.ops.rules import CELLS, NUMBERS, require_dtype, require_rank, rows_elementwise

if TYPE_CHECKING:
    from bmc.ops.build import Builder

__all__ = ["OPERATORS"]


def _infer_same(types: Sequence[TensorType], attrs: object) -> tuple[TensorType, ...]:
    require_dtype(types, 0, CELLS)
    return (types[0],)


def _infer_gradient(types: Sequence[TensorType], attrs: object) -> tuple[TensorType, ...]:
    require_dtype(types, 0, FLOATS)
    require_rank(types, 0, 0, 0)
    for operand in range(1, len(types)):
        require_dtype(types, operand, FLOATS)
    return tuple(types[1:])


def _no_reference(np: Any, attrs: object, arrays: Sequence[Any]) -> Sequence[Any]:
    raise NotImplementedError("gradient has no value of its own: expand it with the pass autodiff first")


def _infer_guard(types: Sequence[TensorType], attrs: object) -> tuple[TensorType, ...]:
    require_dtype(types, 0, FLOATS)
    require_rank(types, 0, 0, 0)
    return ()


def _infer_shard_sum(types: Sequence[TensorType], attrs: object) -> tuple[TensorType, ...]:
    require_dtype(types, 0, NUMBERS)
    return (types[0],)


def _no_gradient_flows(b: Builder, op: Operation, cotangents: Sequence[Value | None]) -> Sequence[Value | None]:
    return (None,)


def _whole(op: Operation, axes: Sequence[int | None]) -> tuple[int | RowMix | None, ...]:
    return (None if axes[0] is None else RowMix.OTHER,)


def _undo_stop(b: Builder, op: Operation, operand: int, result: Value) -> Value:
    return result


def _t(dtype: str, *shape: int | Poly) -> TensorType:
    return TensorType(dtype, shape)


_B = Poly.symbol("B")

OPERATORS = (
    Operator(
        name="stop_gradient",
        incremental=PLAIN,
        doc="x itself, through which no gradient flows. The pass `autodiff` removes it.",
        arity=1,
        infer=_infer_same,
        grad=_no_gradient_flows,
        rows=rows_elementwise,
        lowering=Elementwise(lambda b, attrs, x: x, 0),
        reference=lambda np, attrs, arrays: (arrays[0],),
        # The gradient is not the derivative, which is the point.
        samples=lambda: [Sample((_t(dtype, _B, 3),), smooth=False) for dtype in ("f32", "f64", "i32", "bool")],
        inverse=_undo_stop,
    ),
    Operator(
        name="gradient",
        doc="The gradient of the first operand (a scalar) by each of the others. The pass `autodiff` expands it.",
        arity=(1, None),
        infer=_infer_gradient,
        grad=NotDifferentiable("autodiff expands it", misplaced=True),
        rows=lambda op, axes: tuple(axes[1:]),
        lowering=Expanded("autodiff"),
        reference=_no_reference,
        samples=lambda: [Sample((_t("f32"), _t("f32", 3, 4), _t("f32", 4))), Sample((_t("f64"),))],
    ),
    Operator(
        name="guard_finite",
        doc="The phase ends with status 1, before any update, when the operand is not finite.",
        arity=1,
        infer=_infer_guard,
        grad=NotDifferentiable("it has no result"),
        rows=lambda op, axes: (),
        lowering=Opaque("guard_finite"),
        reference=lambda np, attrs, arrays: (),
        samples=lambda: [Sample((_t("f32"),)), Sample((_t("f64"),))],
        effect=True,
    ),
    Operator(
        name="shard_sum",
        doc="The sum of the operand over all shards, along a fixed tree. The pass `split_phases` cuts the step here.",
        arity=1,
        infer=_infer_shard_sum,
        grad=NotDifferentiable("sums over shards are made after gradients", misplaced=True),
        rows=_whole,
        lowering=Expanded("split_phases"),
        reference=lambda np, attrs, arrays: (arrays[0],),
        samples=lambda: [Sample((_t("f32"),)), Sample((_t("f64", 3, 4),))],
    ),
)
