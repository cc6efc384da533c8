"""The rules by which single operators simplify: what stands in `Operator.simplify`.

In: an operation, a builder for what a rule makes, and the operations that define its operands. Out: a value that is
the same as the operation's result, or None. Guaranteed: the same bits, but for the bits of NaN and, where a sum
over one cell is left out, the sign of a zero; `pow` with exponent 2 becomes a product, which is correctly rounded
where `pow` need not be.

What floats allow: x * 1, x / 1, x - 0 and x + (-0) are x. x + 0 is not (it turns -0 into 0), nor is 0 * x zero, nor
x - x.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from bmc.ir import Dim, Operation, Shape, Value
from bmc.ir.types import INTEGERS, is_float

if TYPE_CHECKING:
    from bmc.ops.build import Builder

__all__ = [
    "simplify_add",
    "simplify_broadcast",
    "simplify_cast",
    "simplify_concat",
    "simplify_constant",
    "simplify_contract",
    "simplify_div",
    "simplify_involution",
    "simplify_mul",
    "simplify_pow",
    "simplify_reduce",
    "simplify_reshape",
    "simplify_same",
    "simplify_select",
    "simplify_slice",
    "simplify_sub",
    "simplify_transpose",
    "simplify_windows",
]

Defining = Callable[[Value], Operation | None]


def _splat(value: Value, defining: Defining) -> bool | int | float | None:
    """The number in every cell of a constant; None for anything else."""
    source = defining(value)
    if source is None or source.name != "constant":
        return None
    number: bool | int | float = source.attrs.value  # type: ignore[attr-defined]
    return number


def _is(value: Value, defining: Defining, *numbers: float) -> bool:
    """Whether `value` is one number in every cell, bit for bit one of `numbers`."""
    found = _splat(value, defining)
    return found is not None and any(
        found == number and math.copysign(1.0, found) == math.copysign(1.0, number) for number in numbers
    )


def _source(value: Value, defining: Defining, name: str) -> Operation | None:
    """The operation that defines `value`, if it is of operator `name`."""
    source = defining(value)
    return source if source is not None and source.name == name else None


# --- arithmetic -----------------------------------------------------------------------------------------


def simplify_constant(b: Builder, op: Operation, defining: Defining) -> Value | None:
    """One form for a number: a float constant holds a float."""
    value = op.attrs.value  # type: ignore[attr-defined]
    exact = isinstance(value, int) and is_float(op.result.type.dtype) and float(value) == value
    return b.full(float(value), op.result.type) if exact else None


def simplify_add(b: Builder, op: Operation, defining: Defining) -> Value | None:
    zero = -0.0 if is_float(op.result.type.dtype) else 0
    for value, other in (op.operands, reversed(op.operands)):
        if _is(other, defining, zero):
            return value
    return None


def simplify_sub(b: Builder, op: Operation, defining: Defining) -> Value | None:
    return op.operands[0] if _is(op.operands[1], defining, 0.0) else None


def simplify_mul(b: Builder, op: Operation, defining: Defining) -> Value | None:
    for value, other in (op.operands, reversed(op.operands)):
        if _is(other, defining, 1.0):
            return value
    return None


def simplify_div(b: Builder, op: Operation, defining: Defining) -> Value | None:
    """x / 1; and a divisor whose reciprocal is exact, a power of two, becomes a factor."""
    x, y = op.operands
    if _is(y, defining, 1.0):
        return x
    divisor = _splat(y, defining)
    if not isinstance(divisor, float) or not math.isfinite(divisor) or abs(math.frexp(divisor)[0]) != 0.5:
        return None
    # 2**-100 and its like stay normal in f32 too.
    return b.mul(x, 1.0 / divisor) if 2.0**-100 <= abs(divisor) <= 2.0**100 else None


def simplify_pow(b: Builder, op: Operation, defining: Defining) -> Value | None:
    x, y = op.operands
    if _is(y, defining, 1.0):
        return x
    return b.mul(x, x) if _is(y, defining, 2.0) else None


def simplify_involution(b: Builder, op: Operation, defining: Defining) -> Value | None:
    """An operator that undoes itself."""
    source = _source(op.operands[0], defining, op.name)
    return source.operands[0] if source is not None else None


def simplify_same(b: Builder, op: Operation, defining: Defining) -> Value | None:
    """An operator of two operands that gives back x of x and x: maximum, minimum, and, or."""
    return op.operands[0] if op.operands[0] is op.operands[1] else None


# --- choice and conversion ------------------------------------------------------------------------------


def simplify_select(b: Builder, op: Operation, defining: Defining) -> Value | None:
    condition, x, y = op.operands
    if x is y:
        return x
    known = _splat(condition, defining)
    if known is not None:
        return x if known else y
    negated = _source(condition, defining, "logical_not")
    return b.select(negated.operands[0], y, x) if negated is not None else None


_EXACT_BITS = {"bool": 1, "u8": 8, "i32": 31, "i64": 63, "f32": 24, "f64": 53}


def _embeds(narrow: str, wide: str) -> bool:
    """Whether every value of one dtype is a value of the other."""
    if is_float(narrow) and not is_float(wide):
        return False
    return narrow == wide or _EXACT_BITS[narrow] < _EXACT_BITS[wide] + (is_float(wide) and not is_float(narrow))


def simplify_cast(b: Builder, op: Operation, defining: Defining) -> Value | None:
    """No change of dtype; or a cast of a cast that lost nothing, which is one cast."""
    (x,) = op.operands
    target = op.result.type.dtype
    if x.type.dtype == target:
        return x
    inner = _source(x, defining, "cast")
    if inner is None:
        return None
    (origin,) = inner.operands
    before = origin.type.dtype
    if not _embeds(before, x.type.dtype):
        return None
    # Floats saturate and integers wrap, so an integer that went by way of a float must fit.
    wraps = is_float(x.type.dtype) and not is_float(before) and target in INTEGERS and not _embeds(before, target)
    return None if wraps else b.cast(origin, target)


# --- shape ----------------------------------------------------------------------------------------------


def _inserted(narrow: Shape, wide: Shape) -> tuple[int, ...] | None:
    """The axis of `wide` of each axis of `narrow`, if `wide` is `narrow` with dims of 1 put in between."""
    places: list[int] = []
    for axis, dim in enumerate(wide):
        if len(places) < len(narrow) and dim == narrow[len(places)]:
            places.append(axis)
        elif dim != 1:
            return None
    return tuple(places) if len(places) == len(narrow) else None


def simplify_broadcast(b: Builder, op: Operation, defining: Defining) -> Value | None:
    """One broadcast of what a broadcast, a transpose or an insertion of unit dims was made of."""
    source = defining(op.operands[0])
    attrs: Any = op.attrs
    if source is None:
        return None
    if source.name == "broadcast":
        axes: Sequence[int] = source.attrs.axes  # type: ignore[attr-defined]
        return b.broadcast(source.operands[0], attrs.shape, [attrs.axes[axis] for axis in axes])
    if source.name == "transpose":
        permutation: Sequence[int] = source.attrs.permutation  # type: ignore[attr-defined]
        return b.broadcast(source.operands[0], attrs.shape, [attrs.axes[permutation.index(i)] for i in range(len(permutation))])
    if source.name == "reshape":
        places = _inserted(source.operands[0].type.shape, source.result.type.shape)
        if places is not None:
            return b.broadcast(source.operands[0], attrs.shape, [attrs.axes[place] for place in places])
    return None


def simplify_transpose(b: Builder, op: Operation, defining: Defining) -> Value | None:
    """One transpose of what a transpose, one broadcast of what a broadcast was made of."""
    permutation: Sequence[int] = op.attrs.permutation  # type: ignore[attr-defined]
    source = defining(op.operands[0])
    if source is not None and source.name == "transpose":
        inner: Sequence[int] = source.attrs.permutation  # type: ignore[attr-defined]
        return b.transpose(source.operands[0], [inner[axis] for axis in permutation])
    if source is not None and source.name == "broadcast":
        axes: Sequence[int] = source.attrs.axes  # type: ignore[attr-defined]
        return b.broadcast(source.operands[0], op.result.type.shape, [permutation.index(axis) for axis in axes])
    return None


def simplify_reshape(b: Builder, op: Operation, defining: Defining) -> Value | None:
    source = _source(op.operands[0], defining, "reshape")
    return b.reshape(source.operands[0], op.result.type.shape) if source is not None else None


def simplify_slice(b: Builder, op: Operation, defining: Defining) -> Value | None:
    """One slice of what a slice was made of."""
    source = _source(op.operands[0], defining, "slice")
    if source is None:
        return None
    inner: Any = source.attrs
    outer: Any = op.attrs
    starts: list[Dim] = []
    stops: list[Dim] = []
    steps: list[int] = []
    for axis, size in enumerate(op.result.type.shape):
        if size == 0:
            return None
        step = inner.steps[axis] * outer.steps[axis]
        start = inner.starts[axis] + outer.starts[axis] * inner.steps[axis]
        starts.append(start)
        stops.append(start + (size - 1) * step + (1 if step > 0 else -1))
        steps.append(step)
    return b.slice(source.operands[0], starts, stops, steps)


def simplify_concat(b: Builder, op: Operation, defining: Defining) -> Value | None:
    return op.operands[0] if len(op.operands) == 1 else None


def simplify_reduce(b: Builder, op: Operation, defining: Defining) -> Value | None:
    """A fold over no axes, or over axes of one cell."""
    axes: Sequence[int] = op.attrs.axes  # type: ignore[attr-defined]
    (x,) = op.operands
    return b.reshape(x, op.result.type.shape) if all(x.type.shape[axis] == 1 for axis in axes) else None


def simplify_contract(b: Builder, op: Operation, defining: Defining) -> Value | None:
    """Transposes of the operands become other axes of the contraction, where its free axes keep their order."""
    attrs: Any = op.attrs
    sides = [(attrs.lhs_batch, attrs.lhs_contract), (attrs.rhs_batch, attrs.rhs_contract)]
    operands = list(op.operands)
    for i, (batch, contract) in enumerate(sides):
        source = _source(operands[i], defining, "transpose")
        if source is None:
            continue
        permutation: Sequence[int] = source.attrs.permutation  # type: ignore[attr-defined]
        free = [permutation[axis] for axis in range(len(permutation)) if axis not in (*batch, *contract)]
        if free != sorted(free):
            continue
        sides[i] = tuple(permutation[axis] for axis in batch), tuple(permutation[axis] for axis in contract)
        operands[i] = source.operands[0]
    if operands == list(op.operands):
        return None
    (lhs_batch, lhs_contract), (rhs_batch, rhs_contract) = sides
    return b.contract(operands[0], operands[1], lhs_batch, lhs_contract, rhs_batch, rhs_contract)


def simplify_windows(b: Builder, op: Operation, defining: Defining) -> Value | None:
    """Windows of one cell each, all of them, are an axis of 1."""
    attrs: Any = op.attrs
    return b.reshape(op.operands[0], op.result.type.shape) if attrs.size == 1 == attrs.stride else None
