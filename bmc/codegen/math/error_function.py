"""erf.

erf(x) = 1 - exp(-g(x)) = -expm1(-g(x)) with g = -log erfc, which is smooth, close to linear near 0 and close to x^2
far out. Where g is large its error hardly matters, so one polynomial of low degree serves a long range; where g is
small expm1 keeps the relative accuracy. f64 takes the polynomial x + x P(x^2) below 0.85, to save degrees above.
"""

from __future__ import annotations

from typing import Final

from bmc.codegen.lanes import Lanes
from bmc.codegen.math.exponential import expm1_of_negative
from bmc.codegen.math.polynomial import evaluate
from bmc.codegen.value import Value

# -g(|x|) = m + m G(m) for m = -|x|. f32: m in [-3.93, 0], error of erf 2^-27.8. f64: m in [-5.95, -0.85], error 2^-57.9.
# At the far ends, and so beyond, erf rounds to 1.
_G: Final = {
    "f32": (
        0.12837916612625122,
        -0.6366195678710938,
        0.10277630388736725,
        0.019147824496030807,
        -0.00016949643031693995,
        -0.001675665844231844,
        -0.000637358520179987,
        -0.000118861353257671,
        -9.388313628733158e-06,
    ),
    "f64": (
        0.12837919633572348,
        -0.6366194157931945,
        0.10277464486333016,
        0.019135744948866894,
        -0.00019092632883235922,
        -0.001662170221233976,
        -0.0005411748408872596,
        2.970653485624743e-05,
        0.00011497911625679739,
        6.657159248447154e-05,
        2.4895157643257912e-05,
        6.946267525074257e-06,
        1.5020457135091347e-06,
        2.5278827851516023e-07,
        3.2626108389854476e-08,
        3.1249575396941398e-09,
        2.0930561155672174e-10,
        8.744368110411929e-12,
        1.7132615374804107e-13,
    ),
}
# erf(x) = x + x P(x^2) on [-0.85, 0.85]; error 2^-56.3.
_P64: Final = (
    0.1283791670955126,
    -0.3761263890318416,
    0.11283791670977153,
    -0.02686617064979425,
    0.005223977676118171,
    -0.0008548330236418203,
    0.00012055459827203398,
    -1.4928856384092657e-05,
    1.6513814720893752e-06,
    -1.6875443567641374e-07,
    1.7519447122664787e-08,
    -1.7169921294098255e-09,
)
_END: Final = {"f32": 3.93, "f64": 5.95}


def erf(b: Lanes, x: Value) -> Value:
    """The error function. Odd by the sign bit, +-1 at the infinities."""
    # -|x| rather than |x|: expm1 is then of a polynomial in it, and needs no negation.
    m = b.clamp_below(b.neg(b.abs(x)), -_END[x.dtype])
    square = b.mul(m, m)
    minus_g = b.fma(m, evaluate(b, m, _G[x.dtype], square), m)
    result = expm1_of_negative(b, minus_g)
    if x.dtype == "f64":
        small = b.fma(m, evaluate(b, square, _P64, b.mul(square, square)), m)
        result = b.select(b.compare("lt", m, b.constant("f64", -0.85)), result, small)
    return b.copy_sign(result, x)
