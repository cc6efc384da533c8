"""Operators without operands: constants, indices, and the values of dims."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bmc.ir import Dim, Operation, Poly, Shape, TensorType, Value
from bmc.ir.types import INTEGERS, is_float
from bmc.ops.arrays import numpy_dtype
from bmc.ops.incremental import Incremental, along_same_axis, with_dim
from bmc.ops.lowering import Elementwise
from bmc.ops.registry import NotDifferentiable, Operator, Sample, TypeRuleError
from bmc.ops.rules import CELLS, NUMBERS, is_negative, normal_axis
from bmc.ops.simplify import simplify_constant
from bmc.record import record

if TYPE_CHECKING:
    from bmc.ops.build import Builder

__all__ = ["OPERATORS", "ConstantAttrs", "DimValueAttrs", "IotaAttrs", "check_cell", "check_shape"]

_NO_OPERANDS = NotDifferentiable("it has no operands")
_INTEGER_RANGE = {"u8": (0, 255), "i32": (-(2**31), 2**31 - 1), "i64": (-(2**63), 2**63 - 1)}


@record(frozen=True)
class ConstantAttrs:
    """The same `value` in every cell; a bool, an int or a float as `dtype` wants. A float is rounded once to `dtype`."""

    value: bool | int | float
    dtype: str
    shape: Shape


@record(frozen=True)
class IotaAttrs:
    """The index along `axis`."""

    dtype: str
    shape: Shape
    axis: int


@record(frozen=True)
class DimValueAttrs:
    """The value of `dim`."""

    dim: Dim
    dtype: str


def check_shape(shape: Shape) -> None:
    for dim in shape:
        if is_negative(dim):
            raise TypeRuleError(f"a dim is negative: {dim}")


def check_cell(value: object, dtype: str) -> None:
    """Raise TypeRuleError unless `value` is what a cell of `dtype` may be written as."""
    wanted: type | tuple[type, ...] = bool if dtype == "bool" else int if dtype in INTEGERS else (int, float)
    if not isinstance(value, wanted) or (dtype != "bool" and isinstance(value, bool)):
        raise TypeRuleError(f"{value!r} is no {dtype}")
    if dtype in INTEGERS and isinstance(value, int):
        least, most = _INTEGER_RANGE[dtype]
        if not least <= value <= most:
            raise TypeRuleError(f"{value} is outside the range of {dtype}")


def _no_rows(op: Operation, axes: Sequence[int | None]) -> tuple[None, ...]:
    return (None,)


def _infer_constant(types: Sequence[TensorType], attrs: ConstantAttrs) -> tuple[TensorType, ...]:
    check_shape(attrs.shape)
    if attrs.dtype not in CELLS:
        raise TypeRuleError(f"no constants of dtype {attrs.dtype}")
    check_cell(attrs.value, attrs.dtype)
    return (TensorType(attrs.dtype, attrs.shape),)


def _infer_iota(types: Sequence[TensorType], attrs: IotaAttrs) -> tuple[TensorType, ...]:
    check_shape(attrs.shape)
    normal_axis(attrs.axis, len(attrs.shape))
    if attrs.dtype not in NUMBERS:
        raise TypeRuleError(f"no indices of dtype {attrs.dtype}; wanted: {', '.join(NUMBERS)}")
    return (TensorType(attrs.dtype, attrs.shape),)


def _constant_positions(
    b: Builder, op: Operation, operands: Sequence[Value], axis: int, first: Dim, count: Dim
) -> Sequence[Value]:
    return (b.emit("constant", attrs=with_dim(op.attrs, axis, count)),)


def _iota_positions(
    b: Builder, op: Operation, operands: Sequence[Value], axis: int, first: Dim, count: Dim
) -> Sequence[Value]:
    """The index of the whole is that of the part and where the part begins, added as integers."""
    attrs: IotaAttrs = with_dim(op.attrs, axis, count)
    if axis != attrs.axis:
        return (b.emit("iota", attrs=attrs),)
    index = b.iota("i64", attrs.shape, axis)
    return (b.cast(b.add(index, b.broadcast_to(b.dim_value(first, "i64"), attrs.shape)), attrs.dtype),)


def _iota(np: Any, attrs: IotaAttrs, arrays: Sequence[Any]) -> Sequence[Any]:
    shape = [1] * len(attrs.shape)
    shape[attrs.axis] = -1
    index = np.arange(attrs.shape[attrs.axis]).astype(numpy_dtype(np, attrs.dtype)).reshape(shape)
    return (np.broadcast_to(index, attrs.shape).copy(),)


def _infer_dim_value(types: Sequence[TensorType], attrs: DimValueAttrs) -> tuple[TensorType, ...]:
    if attrs.dtype not in NUMBERS:
        raise TypeRuleError(f"no dim value of dtype {attrs.dtype}; wanted: {', '.join(NUMBERS)}")
    return (TensorType(attrs.dtype, ()),)


OPERATORS = (
    Operator(
        name="constant",
        incremental=Incremental(along_same_axis, _constant_positions),
        simplify=simplify_constant,
        doc="One value in every cell.",
        arity=0,
        attrs=ConstantAttrs,
        infer=_infer_constant,
        grad=_NO_OPERANDS,
        rows=_no_rows,
        lowering=Elementwise(
            lambda b, attrs: b.constant(attrs.dtype, float(attrs.value) if is_float(attrs.dtype) else attrs.value), 0
        ),
        reference=lambda np, attrs, arrays: (np.full(attrs.shape, attrs.value, dtype=numpy_dtype(np, attrs.dtype)),),
        samples=lambda: [
            Sample((), ConstantAttrs(value, dtype, shape))
            for dtype, value in (
                ("bool", True),
                ("u8", 255),
                ("i32", -7),
                ("i64", 2**40),
                ("f32", 0.1),
                ("f64", -0.0),
                ("f64", float("-inf")),
            )
            for shape in ((), (3,), (2, 0), (4, 5))
        ],
    ),
    Operator(
        name="iota",
        incremental=Incremental(along_same_axis, _iota_positions),
        doc="The index along `axis`, counted from 0. Narrow integers wrap; floats round.",
        arity=0,
        attrs=IotaAttrs,
        infer=_infer_iota,
        grad=_NO_OPERANDS,
        rows=_no_rows,
        lowering=Elementwise(lambda b, attrs: b.cast(b.index(attrs.axis), attrs.dtype), 1, indexed=True),
        reference=_iota,
        samples=lambda: (
            [Sample((), IotaAttrs(dtype, (3, 5), axis)) for dtype in NUMBERS for axis in (0, 1)]
            + [Sample((), IotaAttrs("i32", (Poly.symbol("B"), 4), 1))]
        ),
        positions=lambda attrs: (attrs.axis,),
    ),
    Operator(
        name="dim_value",
        doc="The value of a dim over the whole batch, which a shard alone does not know.",
        arity=0,
        attrs=DimValueAttrs,
        infer=_infer_dim_value,
        grad=_NO_OPERANDS,
        rows=_no_rows,
        lowering=Elementwise(lambda b, attrs: b.cast(b.dim(attrs.dim), attrs.dtype)),
        reference=lambda np, attrs, arrays: (np.array(attrs.dim, dtype=numpy_dtype(np, attrs.dtype)),),
        samples=lambda: [
            Sample((), DimValueAttrs(dim, dtype)) for dim in (7, Poly.symbol("B") * 3) for dtype in ("i64", "f32", "f64")
        ],
        measures=lambda attrs: attrs.dim,
    ),
)
