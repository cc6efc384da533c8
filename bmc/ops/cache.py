"""Operators of sequences that grow from call to call and are kept between calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bmc.ir import Operation, Poly, TensorType, Value
from bmc.ops.lowering import Opaque
from bmc.ops.registry import Operator, RowMix, Sample, TypeRuleError
from bmc.ops.rules import CELLS, one_row_axis, pointwise, require_dtype, require_rank

if TYPE_CHECKING:
    from bmc.ops.build import Builder

__all__ = ["OPERATORS"]


def _infer(types: Sequence[TensorType], attrs: object) -> tuple[TensorType, ...]:
    kept, new = types
    require_dtype(types, 0, CELLS)
    require_rank(types, 0, 1)
    if new.dtype != kept.dtype or new.shape[1:] != kept.shape[1:] or new.rank != kept.rank:
        raise TypeRuleError(f"{new} cannot be the last cells of {kept}", 1, 0)
    if isinstance(new.shape[0], int) and isinstance(kept.shape[0], int) and new.shape[0] > kept.shape[0]:
        raise TypeRuleError(f"{new} is longer than {kept}", 1, 0)
    return (kept,)


def _rows(op: Operation, axes: Sequence[int | None]) -> tuple[int | RowMix | None, ...]:
    return (RowMix.OTHER if 0 in axes else one_row_axis(axes),)


def _grad(b: Builder, op: Operation, g: Value) -> Sequence[Value | None]:
    """Each operand's cotangent is that of its cells in the result; the cells that were replaced get 0."""
    kept, new = (value.type.shape[0] for value in op.operands)
    none = [0] * (g.type.rank - 1)
    old = b.slice_axis(g, 0, 0, kept - new)
    return b.pad(old, [0, *none], [new, *none]), b.slice_axis(g, 0, kept - new, kept)


def _reference(np: Any, attrs: object, arrays: Sequence[Any]) -> Sequence[Any]:
    kept, new = arrays
    return (np.concatenate([kept[: len(kept) - len(new)], new]),)


def _samples() -> Sequence[Sample]:
    b, t = Poly.symbol("B"), Poly.symbol("T")
    shapes = (((5,), (2,)), ((b + 2, 3), (b, 3)), ((t + 1, 4, 2), (1, 4, 2)), ((3, 2), (3, 2)), ((2, 0), (1, 0)), ((4, 3), (0, 3)))
    return [
        Sample((TensorType(dtype, kept), TensorType(dtype, new)), below={0: 9, 1: 9})
        for kept, new in shapes
        for dtype in ("f32", "f64", "i32", "u8")
    ]


OPERATORS = (
    Operator(
        name="append",
        doc="The first operand with its last cells along the leading axis replaced by those of the second: a sequence to "
        "whose room new positions are written. Where the first operand's memory may change nothing else is copied.",
        arity=2,
        infer=_infer,
        grad=pointwise(_grad),
        rows=_rows,
        lowering=Opaque("append", overwrites=0),
        reference=_reference,
        samples=_samples,
    ),
)
