"""pow(x, y) = sign exp(y log |x|), with the logarithm good enough that y times its error stays below an ulp.

f32 computes the magnitude in f64, whose log and exp have twenty-odd bits to spare. f64 takes the logarithm as an
unevaluated sum of two floats (relative error near 2^-63): of y log |x|, up to 745, the absolute error is the result's
relative error.
"""

from __future__ import annotations

import math
from typing import Final

from bmc.codegen.lanes import Lanes
from bmc.codegen.math.exponential import exp, exp_of_sum
from bmc.codegen.math.logarithm import exponent_value, log, normalise, split
from bmc.codegen.math.polynomial import evaluate, fast_two_sum, two_product, two_sum
from bmc.codegen.value import Value

# 2 atanh(s) = s (2 + 2/3 s^2 + s^4 T(s^2)): relative error 2^-66.3 of log.
_TAIL: Final = (
    0.4000000000000226,
    0.285714285700964,
    0.22222222520575463,
    0.1818178430318419,
    0.15386760564884133,
    0.13256736258046073,
    0.13197138307832323,
)
_TWO_THIRDS: Final = (float.fromhex("0x1.5555555555555p-1"), float.fromhex("0x1.5555555555555p-55"))
_LN2: Final = (float.fromhex("0x1.62e42feep-1"), float.fromhex("0x1.a39ef35793c76p-33"))


def pow_(b: Lanes, x: Value, y: Value) -> Value:
    """x ** y with the special cases of C's pow (C11, F.10.4.4)."""
    dtype = x.dtype
    zero, one = b.constant(dtype, 0.0), b.constant(dtype, 1.0)
    base = b.abs(x)
    if dtype == "f32":
        wide = b.mul(b.cast(y, "f64"), log(b, b.cast(base, "f64")))
        magnitude = b.cast(exp(b, wide), "f32")
    else:
        magnitude = _pow_f64(b, base, y)
    # log gives +-inf at 0 and inf, and y times it the right infinity: only 1^inf is left, where 0 * inf gave NaN.
    unit = b.logical_and(b.compare("eq", base, one), b.compare("eq", y, y))
    magnitude = b.select(unit, one, magnitude)

    integral = b.trunc(y)
    half = b.mul(y, b.constant(dtype, 0.5))
    is_integral = b.compare("eq", integral, y)
    is_odd = b.logical_and(is_integral, b.compare("ne", b.trunc(half), half))
    signed = b.select(is_odd, b.copy_sign(magnitude, x), magnitude)
    no_root = b.logical_and(b.compare("lt", x, zero), b.logical_not(is_integral))
    no_root = b.logical_and(no_root, b.is_finite(x))
    signed = b.select(no_root, b.constant(dtype, math.nan), signed)
    always_one = b.logical_or(b.compare("eq", x, one), b.compare("eq", y, zero))
    return b.select(always_one, one, signed)


def _pow_f64(b: Lanes, base: Value, y: Value) -> Value:
    """exp(y log base) for base >= 0 or NaN, NaN for 0 * inf."""
    high, low = _log_pair(b, base)
    product, error = two_product(b, y, high)
    error = b.fma(y, low, error)
    # Beyond the range of exp the error has no meaning (it may be inf - inf) and no influence.
    in_range = b.compare("lt", b.abs(product), b.constant("f64", 1024.0))
    return exp_of_sum(b, product, b.select(in_range, error, b.constant("f64", 0.0)))


def _log_pair(b: Lanes, x: Value) -> tuple[Value, Value]:
    """(h, l) with h + l = log(x) for x >= 0, inf or NaN; l is 0 where h is not finite."""
    zero, one = b.constant("f64", 0.0), b.constant("f64", 1.0)
    normal, offset = normalise(b, x)
    exponent, mantissa = split(b, normal)
    k = b.sub(exponent_value(b, exponent, x), offset)

    # s = f / (2 + f), to twice the precision.
    f = b.sub(mantissa, one)
    denominator, denominator_low = two_sum(b, mantissa, one)
    s = b.div(f, denominator)
    back, back_low = two_product(b, s, denominator)
    rest = b.sub(b.sub(b.sub(f, back), back_low), b.mul(s, denominator_low))
    s_low = b.div(rest, denominator)

    # 2 + (2/3 z + z^2 T(z)), z = s^2; only the first terms need the second float.
    z, z_low = two_product(b, s, s)
    z_low = b.fma(b.add(s, s), s_low, z_low)
    third, third_low = two_product(b, z, b.constant("f64", _TWO_THIRDS[0]))
    third_low = b.fma(z, b.constant("f64", _TWO_THIRDS[1]), third_low)
    third_low = b.fma(z_low, b.constant("f64", _TWO_THIRDS[0]), third_low)
    factor, factor_low = fast_two_sum(b, b.constant("f64", 2.0), third)
    z_square = b.mul(z, z)
    tail = b.fma(z_square, evaluate(b, z, _TAIL, z_square), third_low)
    factor_low = b.add(factor_low, tail)

    product, product_low = two_product(b, s, factor)
    product_low = b.fma(s, factor_low, product_low)
    product_low = b.fma(s_low, factor, product_low)

    high, high_low = two_sum(b, b.mul(k, b.constant("f64", _LN2[0])), product)
    low = b.add(high_low, b.fma(k, b.constant("f64", _LN2[1]), product_low))
    high, low = fast_two_sum(b, high, low)

    regular = b.logical_and(b.compare("gt", x, zero), b.is_finite(x))
    infinity = b.select(b.compare("eq", x, zero), b.constant("f64", -math.inf), x)
    return b.select(regular, high, infinity), b.select(regular, low, zero)
