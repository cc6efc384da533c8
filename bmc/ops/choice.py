"""Element-wise comparison, choice and conversion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bmc.ir import Operation, Poly, TensorType, Value
from bmc.ir.types import INTEGERS, is_float
from bmc.ops.arrays import numpy_dtype, quiet
from bmc.ops.lowering import Elementwise
from bmc.ops.registry import NotDifferentiable, Operator, Sample, TypeRuleError
from bmc.ops.rules import CELLS, NUMBERS, pointwise, require_dtype, rows_elementwise, same_types
from bmc.ops.simplify import simplify_cast, simplify_select
from bmc.record import record

if TYPE_CHECKING:
    from bmc.ops.build import Builder

__all__ = ["OPERATORS", "PREDICATES", "CastAttrs", "CompareAttrs"]

PREDICATES = ("eq", "ne", "lt", "le", "gt", "ge")


@record(frozen=True)
class CompareAttrs:
    """`predicate`: eq, ne, lt, le, gt or ge."""

    predicate: str


@record(frozen=True)
class CastAttrs:
    dtype: str


def _infer_compare(types: Sequence[TensorType], attrs: CompareAttrs) -> tuple[TensorType, ...]:
    if attrs.predicate not in PREDICATES:
        raise TypeRuleError(f"{attrs.predicate!r} is no predicate; wanted: {', '.join(PREDICATES)}")
    require_dtype(types, 0, NUMBERS)
    same_types(types)
    return (types[0].with_dtype("bool"),)


def _compare(np: Any, attrs: CompareAttrs, arrays: Sequence[Any]) -> Sequence[Any]:
    function = {
        "eq": np.equal,
        "ne": np.not_equal,
        "lt": np.less,
        "le": np.less_equal,
        "gt": np.greater,
        "ge": np.greater_equal,
    }
    return (np.asarray(function[attrs.predicate](*arrays)),)


def _infer_select(types: Sequence[TensorType], attrs: object) -> tuple[TensorType, ...]:
    require_dtype(types, 0, ("bool",))
    require_dtype(types, 1, CELLS)
    same_types(types, 1)
    if types[0].shape != types[1].shape:
        raise TypeRuleError(f"shapes differ: {types[0]} and {types[1]}", 1, 0)
    return (types[1],)


def _select_grad(b: Builder, op: Operation, g: Value) -> Sequence[Value | None]:
    zero = b.full_like(g, 0.0)
    return None, b.select(op.operands[0], g, zero), b.select(op.operands[0], zero, g)


def _undo_select(b: Builder, op: Operation, operand: int, result: Value) -> Value:
    if operand == 0:
        raise ValueError("select has no inverse in its condition")
    return result


def _infer_cast(types: Sequence[TensorType], attrs: CastAttrs) -> tuple[TensorType, ...]:
    require_dtype(types, 0, CELLS)
    if attrs.dtype not in CELLS:
        raise TypeRuleError(f"no cast to {attrs.dtype}")
    return (types[0].with_dtype(attrs.dtype),)


def _cast(np: Any, attrs: CastAttrs, arrays: Sequence[Any]) -> Sequence[Any]:
    (x,) = arrays
    target = numpy_dtype(np, attrs.dtype)
    with quiet(np):
        if attrs.dtype in INTEGERS and np.issubdtype(x.dtype, np.floating):
            least, most = np.iinfo(target).min, np.iinfo(target).max
            # The bounds as floats are powers of two, but for 2**31 - 1 and 2**63 - 1, which round up to the next power.
            low, high = x <= float(least), x >= float(most)
            inside = np.where(low | high | np.isnan(x), 0, x)
            cast = np.where(low, least, np.where(high, most, np.trunc(inside).astype(target)))
            return (np.asarray(np.where(np.isnan(x), 0, cast), dtype=target),)
        return (np.asarray(x != 0 if attrs.dtype == "bool" else x.astype(target)),)


def _cast_grad(b: Builder, op: Operation, g: Value) -> Sequence[Value | None]:
    source = op.operands[0].type.dtype
    if not is_float(source) or not is_float(op.result.type.dtype):
        return (None,)
    return (b.cast(g, source),)


def _undo_cast(b: Builder, op: Operation, operand: int, result: Value) -> Value:
    return b.cast(result, op.operands[0].type.dtype) if is_float(op.operands[0].type.dtype) else result


_B = Poly.symbol("B")

OPERATORS = (
    Operator(
        name="compare",
        doc="Whether the predicate holds. All but `ne` are false where either is NaN; `ne` is true there.",
        arity=2,
        attrs=CompareAttrs,
        infer=_infer_compare,
        grad=NotDifferentiable("the result is a truth value"),
        rows=rows_elementwise,
        lowering=Elementwise(lambda b, attrs, x, y: b.compare(attrs.predicate, x, y)),
        reference=_compare,
        samples=lambda: [
            Sample((TensorType(dtype, (_B, 5)), TensorType(dtype, (_B, 5))), CompareAttrs(predicate), below={0: 3, 1: 3})
            for predicate in PREDICATES
            for dtype in NUMBERS
        ],
    ),
    Operator(
        name="select",
        simplify=simplify_select,
        doc="The second where the condition holds, else the third. The one not chosen has no influence, nor does NaN in it.",
        arity=3,
        infer=_infer_select,
        grad=pointwise(_select_grad),
        rows=rows_elementwise,
        lowering=Elementwise(lambda b, attrs, c, x, y: b.select(c, x, y)),
        reference=lambda np, attrs, arrays: (np.where(*arrays),),
        samples=lambda: [
            Sample((TensorType("bool", shape), TensorType(dtype, shape), TensorType(dtype, shape)))
            for dtype in CELLS
            for shape in ((), (3, 6), (_B, 5))
        ],
        inverse=_undo_select,
    ),
    Operator(
        name="cast",
        simplify=simplify_cast,
        doc="x in another dtype. Floats to integers: truncated towards zero, saturated, NaN gives 0. Integers to "
        "narrower ones wrap; to "
        "floats they round to nearest. To bool: x != 0. From bool: 0 or 1.",
        arity=1,
        attrs=CastAttrs,
        infer=_infer_cast,
        grad=pointwise(_cast_grad),
        rows=rows_elementwise,
        lowering=Elementwise(lambda b, attrs, x: b.cast(x, attrs.dtype)),
        reference=_cast,
        samples=lambda: [
            Sample((TensorType(source, (_B, 5)),), CastAttrs(target), domain={0: (-300.0, 300.0)})
            for source in CELLS
            for target in CELLS
        ],
        inverse=_undo_cast,
    ),
)
