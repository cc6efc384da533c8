"""Element arithmetic on known numbers, as far as it is exactly rounded: what constants may be folded with.

In: an operator's element-wise lowering rule, run against `ExactElements` instead of code generation's builder. Out:
the element that generated code would compute, bit for bit, or `NotExact`. Guaranteed: integers wrap, + - * / and
conversions of floats are rounded once to nearest even in their own dtype, subnormals are kept. Not exact, by rule
(docs/exactness.md: folding only where exactly rounded), are transcendental functions, roots and `fma`, which some targets
round twice; and NaN results, whose bits no rule fixes.
"""

from __future__ import annotations

import math
import operator
import struct
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, NoReturn

from bmc.ir import Dim

__all__ = ["ExactElements", "Known", "NotExact", "rounded"]


class NotExact(Exception):
    """The value is not known at compile time, or not to the last bit."""


class Known(NamedTuple):
    """One element: a bool, an int in the range of its dtype, or a float that its dtype represents."""

    dtype: str
    value: bool | int | float


_BITS: Final[Mapping[str, int]] = {"u8": 8, "i32": 32, "i64": 64}
_COMPARE: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
}


def _f32(value: float) -> float:
    try:
        (result,) = struct.unpack("f", struct.pack("f", value))
    except OverflowError:  # a finite value that rounds beyond the largest f32
        return math.copysign(math.inf, value)
    assert isinstance(result, float)
    return result


def _nearest(value: int, bits: int) -> float:
    """An integer rounded once, half to even, to `bits` bits."""
    magnitude = abs(value)
    excess = magnitude.bit_length() - bits
    if excess > 0:
        kept, rest, half = magnitude >> excess, magnitude & ((1 << excess) - 1), 1 << (excess - 1)
        kept += rest > half or (rest == half and kept & 1)
        magnitude = kept << excess
    return math.copysign(float(magnitude), value)


def rounded(dtype: str, value: float) -> float:
    """A float, or an integer, as the nearest number of a float dtype.

    One rounding: that of an operation on two f32 to f64 first does not show, since 53 >= 2 * 24 + 2 bits (Figueroa
    1995).
    """
    if isinstance(value, int):
        return _nearest(value, 24 if dtype == "f32" else 53)
    return _f32(value) if dtype == "f32" else value


def _wrapped(dtype: str, value: int) -> int:
    bits = _BITS[dtype]
    value &= (1 << bits) - 1
    return value if dtype == "u8" or value >> (bits - 1) == 0 else value - (1 << bits)


def _number(dtype: str, value: float) -> Known:
    if dtype in _BITS:
        assert isinstance(value, int)
        return Known(dtype, _wrapped(dtype, value))
    value = rounded(dtype, value)
    if math.isnan(value):
        raise NotExact
    return Known(dtype, value)


def _quotient(x: float, y: float) -> float:
    if y != 0.0:
        return x / y
    if x == 0.0 or math.isnan(x):
        raise NotExact
    return math.copysign(math.inf, x) * math.copysign(1.0, y)


class ExactElements:
    """An element builder over known numbers. What it lacks is not exact; so is an element that is no `Known`."""

    def __getattr__(self, name: str) -> Callable[..., NoReturn]:
        if name.startswith("__"):
            raise AttributeError(name)

        def inexact(*operands: object) -> NoReturn:
            raise NotExact

        return inexact

    def constant(self, dtype: str, value: float) -> Known:
        if dtype == "bool":
            return Known(dtype, bool(value))
        return _number(dtype, float(value) if dtype not in _BITS else value)

    def dim(self, dim: Dim) -> Known:
        if not isinstance(dim, int):
            raise NotExact
        return Known("i64", dim)

    # Arithmetic

    def add(self, x: Known, y: Known) -> Known:
        return _number(x.dtype, x.value + y.value)

    def sub(self, x: Known, y: Known) -> Known:
        return _number(x.dtype, x.value - y.value)

    def mul(self, x: Known, y: Known) -> Known:
        return _number(x.dtype, x.value * y.value)

    def div(self, x: Known, y: Known) -> Known:
        return _number(x.dtype, _quotient(x.value, y.value))

    def floor_div(self, x: Known, y: Known) -> Known:
        return _number(x.dtype, x.value // y.value if y.value else 0)

    def rem(self, x: Known, y: Known) -> Known:
        return _number(x.dtype, x.value % y.value if y.value else 0)

    def neg(self, x: Known) -> Known:
        return _number(x.dtype, -x.value)

    def abs(self, x: Known) -> Known:
        return _number(x.dtype, abs(x.value))

    def sign(self, x: Known) -> Known:
        if x.value == 0:
            return x
        return _number(x.dtype, (1 if x.value > 0 else -1) if x.dtype in _BITS else math.copysign(1.0, x.value))

    def minimum(self, x: Known, y: Known) -> Known:
        return x if x.value < y.value else y

    def maximum(self, x: Known, y: Known) -> Known:
        return x if x.value > y.value else y

    # Rounding to integral floats keeps the sign of zeros, which math.floor and its like lose

    def _integral(self, x: Known, function: Callable[[float], int]) -> Known:
        if math.isinf(x.value):
            return x
        return Known(x.dtype, math.copysign(float(function(x.value)), x.value))

    def floor(self, x: Known) -> Known:
        return self._integral(x, math.floor)

    def ceil(self, x: Known) -> Known:
        return self._integral(x, math.ceil)

    def round(self, x: Known) -> Known:
        return self._integral(x, round)

    def trunc(self, x: Known) -> Known:
        return self._integral(x, math.trunc)

    # Comparison, choice, logic

    def compare(self, predicate: str, x: Known, y: Known) -> Known:
        return Known("bool", _COMPARE[predicate](x.value, y.value))

    def select(self, condition: Known, x: Known, y: Known) -> Known:
        return x if condition.value else y

    def logical_and(self, x: Known, y: Known) -> Known:
        return Known("bool", bool(x.value and y.value))

    def logical_or(self, x: Known, y: Known) -> Known:
        return Known("bool", bool(x.value or y.value))

    def logical_xor(self, x: Known, y: Known) -> Known:
        return Known("bool", x.value != y.value)

    def logical_not(self, x: Known) -> Known:
        return Known("bool", not x.value)

    def is_nan(self, x: Known) -> Known:
        return Known("bool", math.isnan(x.value))

    def is_finite(self, x: Known) -> Known:
        return Known("bool", math.isfinite(x.value))

    # Conversion

    def cast(self, x: Known, dtype: str) -> Known:
        if dtype == x.dtype:
            return x
        if dtype == "bool":
            return Known(dtype, x.value != 0)
        value = int(x.value) if x.dtype == "bool" else x.value
        if dtype not in _BITS:
            return _number(dtype, value)
        if isinstance(value, int):
            return Known(dtype, _wrapped(dtype, value))
        least, most = (0, 255) if dtype == "u8" else (-(1 << (_BITS[dtype] - 1)), (1 << (_BITS[dtype] - 1)) - 1)
        if math.isinf(value):
            return Known(dtype, most if value > 0 else least)
        return Known(dtype, min(max(math.trunc(value), least), most))
