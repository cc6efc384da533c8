"""Building operations with inferred types: the one way by which stages make IR.

In: operator names, operand values, attributes. Out: values, with the operations appended in order. Guaranteed: each
operation has the result types of its operator's type rule and a location.

One method for each operator that compilers write often. Where a method takes `Operand`s, a Python number stands for a
constant of the other operand's type; shapes are not broadcast unless `align` is asked to.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from bmc.ir import NOWHERE, Dim, Location, Operation, Region, Shape, TensorType, Value
from bmc.ir.types import is_float
from bmc.ops.choice import CastAttrs, CompareAttrs
from bmc.ops.contract import ContractAttrs
from bmc.ops.index import ScatterAddAttrs, ScatterAlongAttrs
from bmc.ops.order import ArgAttrs, CumsumAttrs, SortAttrs
from bmc.ops.reduce import ReduceAttrs
from bmc.ops.registry import NoAttrs, TypeRuleError, infer_results
from bmc.ops.shape import BroadcastAttrs, ConcatAttrs, PadAttrs, ReshapeAttrs, SliceAttrs, TransposeAttrs
from bmc.ops.sources import ConstantAttrs, DimValueAttrs, IotaAttrs
from bmc.ops.table import definition
from bmc.ops.window import ConvolutionAttrs, WindowsAttrs

__all__ = ["Builder", "Operand", "broadcast_shapes"]

Operand = Value | bool | int | float
"""A value, or a number that becomes a constant of the other operand's type."""


def broadcast_shapes(shapes: Sequence[Shape]) -> Shape:
    """The shape to which all broadcast by numpy's rules: aligned at the right, 1 widens. TypeRuleError where dims
    conflict.
    """
    rank = max((len(shape) for shape in shapes), default=0)
    result: list[Dim] = [1] * rank
    source = [0] * rank
    for which, shape in enumerate(shapes):
        for axis, dim in enumerate(shape, start=rank - len(shape)):
            if result[axis] == 1:
                result[axis], source[axis] = dim, which
            elif dim not in (1, result[axis]):
                raise TypeRuleError(f"dims {result[axis]} and {dim} of axis {axis - rank} do not broadcast", which, source[axis])
    return tuple(result)


def _cell(value: bool | int | float, dtype: str) -> bool | int | float:
    """The number as a cell of `dtype` is written, where nothing is lost: 1.0 for 1, or 1 for 1.0."""
    if is_float(dtype) and not isinstance(value, bool):
        return float(value)
    if dtype != "bool" and isinstance(value, float) and value.is_integer():
        return int(value)
    return value


class Builder:
    """Appends operations to `ops`. `location` is what new operations get unless told otherwise."""

    def __init__(self, location: Location = NOWHERE) -> None:
        self.ops: list[Operation] = []
        self.location = location

    def fresh(self) -> Builder:
        """An empty builder at the same location, for the operations of a region."""
        return Builder(self.location)

    @contextmanager
    def at(self, location: Location) -> Iterator[None]:
        """Operations built inside get `location`."""
        before, self.location = self.location, location
        try:
            yield
        finally:
            self.location = before

    def operation(
        self,
        name: str,
        operands: Sequence[Value],
        attrs: object = NoAttrs(),
        regions: tuple[Region, ...] = (),
        hint: str = "",
    ) -> Operation:
        """Append one operation. Raises TypeRuleError when the operand types do not fit."""
        types = infer_results(definition(name), [v.type for v in operands], attrs, regions)
        op = Operation(name, tuple(operands), attrs, tuple(Value(t, hint) for t in types), regions, self.location)
        self.ops.append(op)
        return op

    def emit(self, name: str, *operands: Value, attrs: object = NoAttrs(), hint: str = "") -> Value:
        """Append an operation of one result and return the result."""
        return self.operation(name, operands, attrs, hint=hint).result

    # --- sources ---

    def full(self, value: bool | int | float, tensor_type: TensorType) -> Value:
        """A constant of that type. A number is converted where nothing is lost: 1.0 to 1, 1 to 1.0."""
        return self.emit("constant", attrs=ConstantAttrs(_cell(value, tensor_type.dtype), tensor_type.dtype, tensor_type.shape))

    def full_like(self, x: Value, value: bool | int | float) -> Value:
        return self.full(value, x.type)

    def scalar(self, value: bool | int | float, dtype: str) -> Value:
        return self.full(value, TensorType(dtype, ()))

    def iota(self, dtype: str, shape: Sequence[Dim], axis: int) -> Value:
        return self.emit("iota", attrs=IotaAttrs(dtype, tuple(shape), axis))

    def dim_value(self, dim: Dim, dtype: str) -> Value:
        """The value of a dim: a constant where it is known."""
        return self.scalar(dim, dtype) if isinstance(dim, int) else self.emit("dim_value", attrs=DimValueAttrs(dim, dtype))

    # --- element-wise ---

    def _pair(self, x: Operand, y: Operand) -> tuple[Value, Value]:
        if isinstance(x, Value):
            return x, y if isinstance(y, Value) else self.full_like(x, y)
        if isinstance(y, Value):
            return self.full_like(y, x), y
        raise TypeError("two numbers are no operation on tensors")

    def binary(self, name: str, x: Operand, y: Operand) -> Value:
        """An operator of two operands of one type, by name."""
        return self.emit(name, *self._pair(x, y))

    def add(self, x: Operand, y: Operand) -> Value:
        return self.binary("add", x, y)

    def sub(self, x: Operand, y: Operand) -> Value:
        return self.binary("sub", x, y)

    def mul(self, x: Operand, y: Operand) -> Value:
        return self.binary("mul", x, y)

    def div(self, x: Operand, y: Operand) -> Value:
        return self.binary("div", x, y)

    def floor_div(self, x: Operand, y: Operand) -> Value:
        return self.binary("floor_div", x, y)

    def rem(self, x: Operand, y: Operand) -> Value:
        return self.binary("rem", x, y)

    def pow(self, x: Operand, y: Operand) -> Value:
        return self.binary("pow", x, y)

    def maximum(self, x: Operand, y: Operand) -> Value:
        return self.binary("maximum", x, y)

    def minimum(self, x: Operand, y: Operand) -> Value:
        return self.binary("minimum", x, y)

    def logical_and(self, x: Operand, y: Operand) -> Value:
        return self.binary("logical_and", x, y)

    def logical_or(self, x: Operand, y: Operand) -> Value:
        return self.binary("logical_or", x, y)

    def logical_not(self, x: Value) -> Value:
        return self.emit("logical_not", x)

    def neg(self, x: Value) -> Value:
        return self.emit("neg", x)

    def sign(self, x: Value) -> Value:
        return self.emit("sign", x)

    def sqrt(self, x: Value) -> Value:
        return self.emit("sqrt", x)

    def exp(self, x: Value) -> Value:
        return self.emit("exp", x)

    def expm1(self, x: Value) -> Value:
        return self.emit("expm1", x)

    def log(self, x: Value) -> Value:
        return self.emit("log", x)

    def log1p(self, x: Value) -> Value:
        return self.emit("log1p", x)

    def sin(self, x: Value) -> Value:
        return self.emit("sin", x)

    def cos(self, x: Value) -> Value:
        return self.emit("cos", x)

    def compare(self, predicate: str, x: Operand, y: Operand) -> Value:
        return self.emit("compare", *self._pair(x, y), attrs=CompareAttrs(predicate))

    def select(self, condition: Value, x: Operand, y: Operand) -> Value:
        return self.emit("select", condition, *self._pair(x, y))

    def cast(self, x: Value, dtype: str) -> Value:
        """x in `dtype`; x itself where it has that dtype."""
        return x if x.type.dtype == dtype else self.emit("cast", x, attrs=CastAttrs(dtype))

    # --- shape: each returns x itself where nothing changes ---

    def broadcast(self, x: Value, shape: Sequence[Dim], axes: Sequence[int]) -> Value:
        """`axes[i]` is the result axis of axis i of x; a dim of 1 may widen."""
        if tuple(shape) == x.type.shape and tuple(axes) == tuple(range(x.type.rank)):
            return x
        return self.emit("broadcast", x, attrs=BroadcastAttrs(tuple(shape), tuple(axes)))

    def broadcast_to(self, x: Value, shape: Sequence[Dim]) -> Value:
        """x at `shape` by numpy's rules: aligned at the right."""
        return self.broadcast(x, shape, range(len(shape) - x.type.rank, len(shape)))

    def align(self, *values: Value) -> tuple[Value, ...]:
        """The values broadcast together by numpy's rules."""
        shape = broadcast_shapes([value.type.shape for value in values])
        return tuple(self.broadcast_to(value, shape) for value in values)

    def expand(self, x: Value, shape: Sequence[Dim], axes: Sequence[int]) -> Value:
        """The reverse of a reduction of `shape` over `axes`: x repeated along them."""
        return self.broadcast(x, shape, [axis for axis in range(len(shape)) if axis not in axes])

    def reshape(self, x: Value, shape: Sequence[Dim]) -> Value:
        return x if tuple(shape) == x.type.shape else self.emit("reshape", x, attrs=ReshapeAttrs(tuple(shape)))

    def transpose(self, x: Value, permutation: Sequence[int]) -> Value:
        if tuple(permutation) == tuple(range(x.type.rank)):
            return x
        return self.emit("transpose", x, attrs=TransposeAttrs(tuple(permutation)))

    def slice(self, x: Value, starts: Sequence[Dim], stops: Sequence[Dim], steps: Sequence[int] | None = None) -> Value:
        steps = (1,) * x.type.rank if steps is None else tuple(steps)
        if all(start == 0 for start in starts) and tuple(stops) == x.type.shape and all(step == 1 for step in steps):
            return x
        return self.emit("slice", x, attrs=SliceAttrs(tuple(starts), tuple(stops), steps))

    def slice_axis(self, x: Value, axis: int, start: Dim, stop: Dim, step: int = 1) -> Value:
        """`x[..., start:stop:step, ...]` along one axis."""
        starts, stops, steps = [0] * x.type.rank, list(x.type.shape), [1] * x.type.rank
        bounds: list[Dim] = list(starts)
        bounds[axis], stops[axis], steps[axis] = start, stop, step
        return self.slice(x, bounds, stops, steps)

    def cell(self, x: Value, index: Sequence[Dim]) -> Value:
        """One cell of x, of rank 0."""
        return self.reshape(self.slice(x, index, [i + 1 for i in index]), ())

    def flip(self, x: Value, axes: Sequence[int]) -> Value:
        """x in reverse order along `axes`."""
        if not axes or any(x.type.shape[axis] == 0 for axis in axes):
            return x
        shape = x.type.shape
        starts = [dim - 1 if axis in axes else 0 for axis, dim in enumerate(shape)]
        stops = [-1 if axis in axes else dim for axis, dim in enumerate(shape)]
        return self.slice(x, starts, stops, [-1 if axis in axes else 1 for axis in range(len(shape))])

    def concat(self, values: Sequence[Value], axis: int) -> Value:
        return values[0] if len(values) == 1 else self.emit("concat", *values, attrs=ConcatAttrs(axis))

    def pad(
        self,
        x: Value,
        low: Sequence[Dim],
        high: Sequence[Dim],
        interior: Sequence[int] | None = None,
        value: bool | int | float = 0.0,
    ) -> Value:
        interior = (0,) * x.type.rank if interior is None else tuple(interior)
        if all(amount == 0 for amount in (*low, *high, *interior)):
            return x
        return self.emit("pad", x, attrs=PadAttrs(tuple(low), tuple(high), interior, _cell(value, x.type.dtype)))

    # --- folds, contractions, indices ---

    def reduce(self, name: str, x: Value, axes: Sequence[int], keep: bool = False) -> Value:
        """`reduce_sum`, `reduce_max` or `reduce_min` over `axes`; `keep` leaves dims of 1. x itself over no axes."""
        axes = sorted(axes)
        folded = self.emit(name, x, attrs=ReduceAttrs(tuple(axes))) if axes else x
        return self.reshape(folded, [1 if axis in axes else dim for axis, dim in enumerate(x.type.shape)]) if keep else folded

    def contract(
        self,
        a: Value,
        b: Value,
        lhs_batch: Sequence[int],
        lhs_contract: Sequence[int],
        rhs_batch: Sequence[int],
        rhs_contract: Sequence[int],
    ) -> Value:
        """Sum of products over paired axes. Result axes: batch, free of a, free of b."""
        return self.emit(
            "contract",
            a,
            b,
            attrs=ContractAttrs(tuple(lhs_batch), tuple(lhs_contract), tuple(rhs_batch), tuple(rhs_contract)),
        )

    def windows(self, x: Value, axis: int, size: int, stride: int, dilation: int = 1) -> Value:
        """The windows along `axis`, which becomes two axes: windows and the cells of one."""
        return self.emit("windows", x, attrs=WindowsAttrs(axis, size, stride, dilation))

    def convolution(
        self,
        x: Value,
        w: Value,
        *,
        strides: Sequence[int],
        low: Sequence[Dim],
        high: Sequence[Dim],
        interior: Sequence[int],
        dilation: Sequence[int],
        groups: int = 1,
    ) -> Value:
        """x[rows, places.., channels] with the kernel w[taps.., channels of a group, features]."""
        attrs = ConvolutionAttrs(tuple(strides), tuple(low), tuple(high), tuple(interior), tuple(dilation), groups)
        return self.emit("convolution", x, w, attrs=attrs)

    def gather(self, table: Value, index: Value) -> Value:
        return self.emit("gather", table, index)

    def scatter_add(self, index: Value, updates: Value, rows: Dim) -> Value:
        return self.emit("scatter_add", index, updates, attrs=ScatterAddAttrs(rows))

    def take_along(self, x: Value, index: Value) -> Value:
        return self.emit("take_along", x, index)

    def scatter_along(self, index: Value, updates: Value, size: Dim, lead: int) -> Value:
        """Sums of updates by index along a last axis of `size` cells, for each of the leading cells."""
        return self.emit("scatter_along", index, updates, attrs=ScatterAlongAttrs(size, lead))

    def clamp_index(self, index: Value, size: Dim) -> Value:
        """The index in 0 .. size - 1."""
        if isinstance(size, int):
            last: Operand = size - 1
        else:
            last = self.broadcast_to(self.sub(self.dim_value(size, index.type.dtype), 1), index.type.shape)
        return self.maximum(self.minimum(index, last), 0)

    def argmax(self, x: Value, axis: int) -> Value:
        return self.emit("argmax", x, attrs=ArgAttrs(axis))

    def sort(self, x: Value, descending: bool = False) -> tuple[Value, Value]:
        """(values, i32 indices) of the last axis in order."""
        values, indices = self.operation("sort", (x,), SortAttrs(descending)).results
        return values, indices

    def cumsum(self, x: Value, axis: int) -> Value:
        return self.emit("cumsum", x, attrs=CumsumAttrs(axis))
