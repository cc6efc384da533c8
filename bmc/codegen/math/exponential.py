"""exp, expm1, and what is a few operations away from them: tanh and sigmoid.

x = n ln 2 + r with |r| <= ln(2) / 2, and exp(x) = 2^n (1 + r + r^2 P(r)). n comes from adding a constant so large that
the sum's last bit is 1: the sum's low bits then are n itself (biased), ready to become exponents by shifts. n ln 2 is
subtracted in two pieces, of which the product with the first is exact in either FMA class.
"""

from __future__ import annotations

from typing import Final

from bmc.codegen.lanes import Lanes
from bmc.codegen.math.polynomial import evaluate
from bmc.codegen.value import Value, int_dtype_of
from bmc.record import record


@record(frozen=True)
class _Format:
    """What reduction and scaling need to know of a float format."""

    mantissa_bits: int  # stored ones
    exponent_bias: int
    round_constant: float  # 1.5 * 2^mantissa_bits: adding it rounds to an integer
    ln2_high: float  # few enough bits that n * ln2_high is exact
    ln2_low: float
    overflow: float  # exp is infinite from here on
    underflow: float  # exp rounds to 0 from here down
    minus_one: float  # expm1(x) and tanh(x / 2) round to -1 from here down
    tiny: float  # expm1(x) rounds to x below this magnitude
    coefficients: tuple[float, ...]  # P: relative error of r + r^2 P(r) against expm1(r) stated below


_FORMATS: Final[dict[str, _Format]] = {
    "f32": _Format(
        mantissa_bits=23,
        exponent_bias=127,
        round_constant=12582912.0,
        ln2_high=0.693359375,
        ln2_low=-2.12194440e-4,
        overflow=89.0,
        underflow=-104.0,
        minus_one=-20.0,
        tiny=2.0**-25,
        # 2^-26.1
        coefficients=(
            0.4999999701976776,
            0.16666539013385773,
            0.04166775196790695,
            0.0083670848980546,
            0.0013837500009685755,
        ),
    ),
    "f64": _Format(
        mantissa_bits=52,
        exponent_bias=1023,
        round_constant=6755399441055744.0,
        ln2_high=float.fromhex("0x1.62e42feep-1"),
        ln2_low=float.fromhex("0x1.a39ef35793c76p-33"),
        overflow=710.0,
        underflow=-746.0,
        minus_one=-40.0,
        tiny=2.0**-54,
        # 2^-55.5
        coefficients=(
            0.5000000000000006,
            0.16666666666666619,
            0.0416666666665723,
            0.008333333333362327,
            0.0013888888933043454,
            0.00019841269796782527,
            2.4801503458085116e-05,
            2.755732114543311e-06,
            2.7626776044966295e-07,
            2.508646144057707e-08,
        ),
    ),
}
_LOG2_E: Final = 1.4426950408889634


def exp(b: Lanes, x: Value) -> Value:
    """e^x: infinite above the range, gradually to 0 through the subnormals below it."""
    form = _FORMATS[x.dtype]
    x = b.clamp_below(b.clamp_above(x, form.overflow), form.underflow)
    return _exp_in_range(b, x)


def _exp_in_range(b: Lanes, x: Value, low_part: Value | None = None) -> Value:
    """e^x, or e^(x + low_part), for x between the limits of underflow and overflow, or NaN."""
    form = _FORMATS[x.dtype]
    # Twice the exponent's bias on top of n: both halves of the shifted sum then are exponents that already have it.
    biased, r = _reduce(b, x, form.round_constant + 2 * form.exponent_bias)
    if low_part is not None:
        r = b.add(r, low_part)
    e_r = b.add(b.constant(x.dtype, 1.0), _expm1_reduced(b, r))
    # 2^n alone may leave the range of the format where the result does not; its two halves, as powers, never do.
    half = b.shift_right(biased, 1)
    other = b.sub(biased, half)
    return b.mul(b.mul(e_r, _power_of_two(b, x, half)), _power_of_two(b, x, other))


def expm1(b: Lanes, x: Value) -> Value:
    """e^x - 1, with full relative accuracy near 0. Keeps a signed zero."""
    form = _FORMATS[x.dtype]
    small = b.compare("lt", b.abs(x), b.constant(x.dtype, form.tiny))
    clamped = b.clamp_below(b.clamp_above(x, form.overflow), form.minus_one)
    # 2^(n - 1) has an exponent for every n in range; 2^n has none where e^x is in the last binade.
    half = _expm1_halved(b, clamped, form)
    return b.select(small, x, b.add(half, half))


def _expm1_halved(b: Lanes, x: Value, form: _Format) -> Value:
    """expm1(x) / 2 for x in [minus_one, overflow], as 2^(n-1) expm1(r) + (2^(n-1) - 1/2)."""
    biased, r = _reduce(b, x, form.round_constant + form.exponent_bias - 1)
    scale = _power_of_two(b, x, biased)
    return b.fma(scale, _expm1_reduced(b, r), b.sub(scale, b.constant(x.dtype, 0.5)))


def expm1_of_negative(b: Lanes, x: Value) -> Value:
    """expm1(x) for x in [-80, 0] or NaN; a zero result is +0."""
    form = _FORMATS[x.dtype]
    biased, r = _reduce(b, x, form.round_constant + form.exponent_bias)
    scale = _power_of_two(b, x, biased)
    return b.fma(scale, _expm1_reduced(b, r), b.sub(scale, b.constant(x.dtype, 1.0)))


def tanh(b: Lanes, x: Value) -> Value:
    """With e = exp(-2 |x|): 1 - 2 e / (e + 1) where |x| is large, (1 - e) / (1 + e) by t = e - 1 where it is small.

    Each form loses accuracy where the other is used. Both are w / (w + c), with w = e and c = 1 or w = t and c = 2, so
    the choice is one constant before the division and one select after it. Odd by the sign bit.
    """
    form = _FORMATS[x.dtype]
    one = b.constant(x.dtype, 1.0)
    m = b.neg(b.abs(x))
    large = b.compare("lt", m, b.constant(x.dtype, -0.55))
    minus_two_x = b.add(m, m)
    biased, r = _reduce(b, b.clamp_below(minus_two_x, form.minus_one), form.round_constant + form.exponent_bias)
    scale = _power_of_two(b, x, biased)
    offset = b.select(large, b.constant(x.dtype, 0.0), one)
    w = b.fma(scale, _expm1_reduced(b, r), b.sub(scale, offset))
    ratio = b.div(w, b.add(w, b.add(offset, one)))
    result = b.select(large, b.fma(ratio, b.constant(x.dtype, -2.0), one), ratio)
    return b.copy_sign(result, x)


def sigmoid(b: Lanes, x: Value) -> Value:
    """1 / (1 + e^-x), as e / (1 + e) with e = e^x for negative x: no overflow, no cancellation, no lost tail."""
    form = _FORMATS[x.dtype]
    one = b.constant(x.dtype, 1.0)
    e = _exp_in_range(b, b.clamp_below(b.neg(b.abs(x)), form.underflow))
    numerator = b.select(b.compare("lt", x, b.constant(x.dtype, 0.0)), e, one)
    return b.div(numerator, b.add(one, e))


def exp_of_sum(b: Lanes, high: Value, low: Value) -> Value:
    """e^(high + low), |low| far below |high|; `high` may be infinite, then `low` must be finite."""
    form = _FORMATS[high.dtype]
    return _exp_in_range(b, b.clamp_below(b.clamp_above(high, form.overflow), form.underflow), low)


def _reduce(b: Lanes, x: Value, round_constant: float) -> tuple[Value, Value]:
    """(bits, r): the bits of round_constant + n, n = the integer nearest x / ln 2, and r = x - n ln 2."""
    form = _FORMATS[x.dtype]
    shift = b.constant(x.dtype, round_constant)
    shifted = b.fma(x, b.constant(x.dtype, _LOG2_E), shift)
    n = b.sub(shifted, shift)
    r = b.fma(n, b.constant(x.dtype, -form.ln2_high), x)
    r = b.fma(n, b.constant(x.dtype, -form.ln2_low), r)
    return b.bitcast(shifted, int_dtype_of(x.dtype)), r


def _expm1_reduced(b: Lanes, r: Value) -> Value:
    """expm1(r) for |r| <= ln(2) / 2."""
    square = b.mul(r, r)
    return b.fma(square, evaluate(b, r, _FORMATS[r.dtype].coefficients, square), r)


def _power_of_two(b: Lanes, like: Value, biased: Value) -> Value:
    """The float whose exponent field holds the low bits of `biased`; whatever stands above them is shifted out."""
    return b.bitcast(b.shift_left(biased, _FORMATS[like.dtype].mantissa_bits), like.dtype)
