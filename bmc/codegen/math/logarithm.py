"""log and log1p: x = 2^k (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)), and log(x) = k ln 2 + log(1 + f).

f32 takes log(1 + f) = f - f^2 / 2 + f^3 P(f). f64 would need twice the degree, so it takes s = f / (2 + f) and
log(1 + f) = 2 atanh(s) = f - s (f - s^2 R(s^2)), which converges twice as fast for one division.
"""

from __future__ import annotations

import math
from typing import Final

from bmc.codegen.lanes import Lanes
from bmc.codegen.math.polynomial import evaluate
from bmc.codegen.value import Value, int_dtype_of
from bmc.record import record


@record(frozen=True)
class _Format:
    mantissa_bits: int
    exponent_bias: int
    sqrt_half_bits: int  # bits of sqrt(1/2), rounded up to keep 1 + f below sqrt(2)
    one_bits: int
    smallest_normal: float
    ln2_high: float  # few enough bits that k * ln2_high is exact
    ln2_low: float
    tiny: float  # log1p(x) rounds to x below this magnitude


_FORMATS: Final[dict[str, _Format]] = {
    "f32": _Format(
        mantissa_bits=23,
        exponent_bias=127,
        sqrt_half_bits=0x3F3504F4,
        one_bits=0x3F800000,
        smallest_normal=2.0**-126,
        ln2_high=0.693359375,
        ln2_low=-2.12194440e-4,
        tiny=2.0**-25,
    ),
    "f64": _Format(
        mantissa_bits=52,
        exponent_bias=1023,
        sqrt_half_bits=0x3FE6A09E667F3BCD,
        one_bits=0x3FF0000000000000,
        smallest_normal=2.0**-1022,
        ln2_high=float.fromhex("0x1.62e42feep-1"),
        ln2_low=float.fromhex("0x1.a39ef35793c76p-33"),
        tiny=2.0**-54,
    ),
}

# P for f32: relative error 2^-27.2 of log(1 + f).
_P32: Final = (
    0.3333333134651184,
    -0.250008225440979,
    0.20001259446144104,
    -0.16623345017433167,
    0.14201055467128754,
    -0.1315941959619522,
    0.1276533454656601,
    -0.07640757411718369,
)

# R for f64: relative error 2^-59.5 of 2 atanh(s).
_R64: Final = (
    0.6666666666666735,
    0.39999999999409114,
    0.28571428743789995,
    0.2222219841349414,
    0.18183573398411834,
    0.15313799663418465,
    0.14798639418338558,
)


def log(b: Lanes, x: Value) -> Value:
    """Natural logarithm: -inf of a zero, NaN below, correct for subnormals."""
    normal, offset = normalise(b, x)
    exponent, mantissa = split(b, normal)
    k = b.sub(exponent_value(b, exponent, x), offset)
    return _with_specials(b, x, _log_of_parts(b, k, b.sub(mantissa, b.constant(x.dtype, 1.0))), pole=0.0)


def log1p(b: Lanes, x: Value) -> Value:
    """log(1 + x), with full relative accuracy near 0. Keeps a signed zero; -inf of -1, NaN below.

    k is that of the rounded 1 + x, but f = 2^-k (1 + x) - 1 = x 2^-k + (2^-k - 1) comes from x itself: both terms are
    exact, so their sum has one rounding and nothing is left to correct. (2^-k is taken times 4: for the greatest x it
    would be subnormal.)
    """
    form = _FORMATS[x.dtype]
    integer = int_dtype_of(x.dtype)
    exponent, _ = split(b, b.add(x, b.constant(x.dtype, 1.0)))
    inverse = b.sub(b.constant(integer, 2 * form.exponent_bias + 2), exponent)
    four_scale = b.bitcast(b.shift_left(inverse, form.mantissa_bits), x.dtype)
    quarter = b.constant(x.dtype, 0.25)
    f = b.fma(four_scale, b.mul(x, quarter), b.fma(four_scale, quarter, b.constant(x.dtype, -1.0)))
    k = b.sub(exponent_value(b, exponent, x), b.constant(x.dtype, form.exponent_bias))
    result = _with_specials(b, x, _log_of_parts(b, k, f), pole=-1.0)
    return b.select(b.compare("lt", b.abs(x), b.constant(x.dtype, form.tiny)), x, result)


def normalise(b: Lanes, x: Value) -> tuple[Value, Value]:
    """(y, offset): x or, where x is subnormal, x times a power of two that makes it normal; what to take off the
    exponent field of y, as a float, to have the exponent of x.
    """
    form = _FORMATS[x.dtype]
    subnormal = b.compare("lt", x, b.constant(x.dtype, form.smallest_normal))
    scaled = b.mul(x, b.constant(x.dtype, 2.0 ** (form.mantissa_bits + 1)))
    bias = float(form.exponent_bias)
    offset = b.select(subnormal, b.constant(x.dtype, bias + form.mantissa_bits + 1), b.constant(x.dtype, bias))
    return b.select(subnormal, scaled, x), offset


def split(b: Lanes, x: Value) -> tuple[Value, Value]:
    """(e, m) of a positive normal x = 2^(e - bias) m with m in [sqrt(1/2), sqrt(2)); e is an integer, m a float."""
    form = _FORMATS[x.dtype]
    integer = int_dtype_of(x.dtype)
    raised = b.add(b.bitcast(x, integer), b.constant(integer, form.one_bits - form.sqrt_half_bits))
    stored = b.bit_and(raised, b.constant(integer, (1 << form.mantissa_bits) - 1))
    mantissa = b.bitcast(b.add(stored, b.constant(integer, form.sqrt_half_bits)), x.dtype)
    return b.shift_right(raised, form.mantissa_bits), mantissa


def exponent_value(b: Lanes, exponent: Value, like: Value) -> Value:
    """A small non-negative integer as a float: its bits below those of 2^mantissa_bits, minus that power.

    Vector units often lack a conversion from i64; this takes the same two operations at either size.
    """
    form = _FORMATS[like.dtype]
    power = 2.0**form.mantissa_bits
    bits = b.bit_or(exponent, b.bitcast(b.constant(like.dtype, power), exponent.dtype))
    return b.sub(b.bitcast(bits, like.dtype), b.constant(like.dtype, power))


def _log_of_parts(b: Lanes, k: Value, f: Value) -> Value:
    """k ln 2 + log(1 + f)."""
    form = _FORMATS[f.dtype]
    ln2_high, ln2_low = b.constant(f.dtype, form.ln2_high), b.constant(f.dtype, form.ln2_low)
    square = b.mul(f, f)
    if f.dtype == "f32":
        tail = b.fma(b.mul(square, f), evaluate(b, f, _P32, square), b.mul(k, ln2_low))
        tail = b.fma(square, b.constant("f32", -0.5), tail)
        return b.fma(k, ln2_high, b.add(f, tail))
    half_square = b.mul(square, b.constant("f64", 0.5))
    s = b.div(f, b.add(f, b.constant("f64", 2.0)))
    z = b.mul(s, s)
    series = b.fma(z, evaluate(b, z, _R64, b.mul(z, z)), half_square)
    tail = b.sub(half_square, b.fma(s, series, b.mul(k, ln2_low)))
    return b.fma(k, ln2_high, b.sub(f, tail))


def _with_specials(b: Lanes, x: Value, result: Value, pole: float) -> Value:
    """`result`, but x where x is +inf or NaN, -inf at the pole and NaN below it."""
    at = b.constant(x.dtype, pole)
    result = b.select(b.compare("lt", x, b.constant(x.dtype, math.inf)), result, x)
    result = b.select(b.compare("lt", x, at), b.constant(x.dtype, math.nan), result)
    return b.select(b.compare("eq", x, at), b.constant(x.dtype, -math.inf), result)
