"""Transcendental functions: declared errors, special values, and the same bits at every width.

References: for f32, numpy's functions in f64, whose error of a few f64 ulps is 2^-28 of an f32 ulp and disappears
in the two decimals that bounds are declared in. For f64, mpmath in 40 digits.
"""

import math

import mpmath
import numpy as np
import pytest

from bmc.ops.element import ULP_BOUND

UNARY = ["exp", "expm1", "log", "log1p", "sin", "cos", "tanh", "sigmoid", "erf"]
INF, NAN = math.inf, math.nan

SPECIALS = {
    "exp": [(0.0, 1.0), (-0.0, 1.0), (INF, INF), (-INF, 0.0), (NAN, NAN), (1000.0, INF), (-1000.0, 0.0)],
    "expm1": [(0.0, 0.0), (-0.0, -0.0), (INF, INF), (-INF, -1.0), (NAN, NAN), (1000.0, INF), (-1000.0, -1.0)],
    "log": [(0.0, -INF), (-0.0, -INF), (1.0, 0.0), (INF, INF), (-INF, NAN), (-1.0, NAN), (-1e-40, NAN), (NAN, NAN)],
    "log1p": [(0.0, 0.0), (-0.0, -0.0), (-1.0, -INF), (-2.0, NAN), (INF, INF), (-INF, NAN), (NAN, NAN)],
    "sin": [(0.0, 0.0), (-0.0, -0.0), (INF, NAN), (-INF, NAN), (NAN, NAN)],
    "cos": [(0.0, 1.0), (-0.0, 1.0), (INF, NAN), (-INF, NAN), (NAN, NAN)],
    "tanh": [(0.0, 0.0), (-0.0, -0.0), (INF, 1.0), (-INF, -1.0), (NAN, NAN), (50.0, 1.0), (-50.0, -1.0)],
    "sigmoid": [(0.0, 0.5), (-0.0, 0.5), (INF, 1.0), (-INF, 0.0), (NAN, NAN), (1000.0, 1.0), (-1000.0, 0.0)],
    "erf": [(0.0, 0.0), (-0.0, -0.0), (INF, 1.0), (-INF, -1.0), (NAN, NAN), (10.0, 1.0), (-10.0, -1.0)],
}

# How far from 0 a function is worth sampling evenly.
SPREAD = {
    "exp": 740.0,
    "expm1": 40.0,
    "log": 4.0,
    "log1p": 40.0,
    "sin": 1e7,
    "cos": 1e7,
    "tanh": 20.0,
    "sigmoid": 740.0,
    "erf": 6.0,
}

POW_SPECIALS = [
    *[(x, 0.0, 1.0) for x in (0.0, -0.0, 1.0, -3.5, INF, -INF, NAN)],
    *[(1.0, y, 1.0) for y in (2.5, -7.0, INF, -INF, NAN)],
    *[(-1.0, y, 1.0) for y in (INF, -INF, 2.0)],
    (-1.0, 3.0, -1.0),
    (-2.0, 3.0, -8.0),
    (-2.0, -3.0, -0.125),
    (-2.0, 4.0, 16.0),
    (-2.0, 0.5, NAN),
    (-2.0, 1e30, INF),
    (NAN, 2.0, NAN),
    (2.0, NAN, NAN),
    (-1.0, NAN, NAN),
    (0.0, NAN, NAN),
    *[(x, -2.0, INF) for x in (0.0, -0.0)],
    (0.0, -3.0, INF),
    (-0.0, -3.0, -INF),
    (-0.0, 3.0, -0.0),
    (0.0, 3.0, 0.0),
    (-0.0, 2.5, 0.0),
    (-0.0, -2.5, INF),
    (0.0, INF, 0.0),
    (0.0, -INF, INF),
    (0.5, INF, 0.0),
    (-0.5, INF, 0.0),
    (0.5, -INF, INF),
    (2.0, INF, INF),
    (-2.0, -INF, 0.0),
    (INF, 0.5, INF),
    (INF, -0.5, 0.0),
    (-INF, 3.0, -INF),
    (-INF, 2.0, INF),
    (-INF, 0.5, INF),
    (-INF, -3.0, -0.0),
    (-INF, -2.0, 0.0),
    (INF, INF, INF),
    (INF, -INF, 0.0),
]


def function(name):
    return lambda b, *operands: getattr(b, name)(*operands)


def floats_from_bits(step, offset=0):
    return np.arange(offset, 2**32, step, dtype=np.uint64).astype(np.uint32).view(np.float32)


def reference_in_f64(name, x):
    with np.errstate(all="ignore"):
        if name == "sigmoid":
            e = np.exp(-np.abs(x))
            return np.where(x < 0, e, 1.0) / (1.0 + e)
        if name == "erf":
            return erf_in_f64(x)
        return getattr(np, name)(x)


def erf_in_f64(x):
    """math.erf of many points at once is slow, so distinct magnitudes below 6 only; beyond, erf rounds to 1."""
    magnitude = np.abs(x)
    inner = magnitude < 6
    result = np.where(np.isnan(x), x, 1.0)
    result[inner] = np.fromiter(map(math.erf, magnitude[inner].tolist()), np.float64)
    return np.copysign(result, x)


def ulps(result, exact):
    """|result - exact| in units of the last place of `exact` (f64), both finite in f32."""
    binade = (exact.view(np.uint64) & np.uint64(0x7FF0000000000000)).view(np.float64)
    return np.abs(result.astype(np.float64) - exact) / np.maximum(binade * 2.0**-23, 2.0**-149)


def widen(x):
    """f32 as f64, signalling NaNs included."""
    with np.errstate(invalid="ignore"):
        return x.astype(np.float64)


def same_bits(a, b):
    integer = np.uint32 if a.dtype == np.float32 else np.uint64
    return (a.view(integer) == b.view(integer)) | (np.isnan(a) & np.isnan(b))


def assert_f32_error(name, result, exact, bound):
    with np.errstate(all="ignore"):
        rounded = exact.astype(np.float32)
    np.testing.assert_array_equal(np.isnan(result), np.isnan(rounded))
    # Overflow may begin an ulp early or late, no more: there the bound is against the finite neighbour of infinity.
    finite = np.isfinite(rounded) & np.isfinite(result)
    either = ~finite & ~np.isnan(rounded)
    largest = np.finfo(np.float32).max
    np.testing.assert_allclose(np.clip(result[either], -largest, largest), np.clip(rounded[either], -largest, largest))
    if not finite.any():
        return
    error = ulps(result[finite], exact[finite])
    worst = error.argmax()
    assert error[worst] <= bound, f"{name}: {error[worst]:.3f} ulp where the result is {exact[finite][worst]!r}"


@pytest.mark.parametrize("fused", [True, False], ids=["fma", "nofma"])
@pytest.mark.parametrize("name", UNARY)
def test_f32_error_and_width(compile_element, name, fused):
    # A prime step meets every exponent and, over the exponents, every residue of the mantissa.
    x = floats_from_bits(8191 if name == "erf" else 997)
    vector = compile_element(function(name), "f32", fused=fused)(x)
    scalar = compile_element(function(name), "f32", width=1, fused=fused)(x)
    assert same_bits(vector, scalar).all()
    assert_f32_error(name, vector, reference_in_f64(name, widen(x)), ULP_BOUND[name]["f32"])


@pytest.mark.slow
@pytest.mark.parametrize("name", UNARY)
def test_f32_error_over_every_float(compile_element, name):
    native = compile_element(function(name), "f32")
    # numpy has no erf, and math.erf would take an hour; our own in f64, good to 4 of its ulps, is reference enough.
    own = compile_element(function("erf"), "f64") if name == "erf" else None
    chunk = np.arange(2**18, dtype=np.uint32)
    for start in range(0, 2**32, len(chunk)):
        x = (chunk + np.uint32(start)).view(np.float32)
        exact = own(widen(x)) if own else reference_in_f64(name, widen(x))
        assert_f32_error(name, native(x), exact, ULP_BOUND[name]["f32"])


def f64_samples(name, count):
    """All exponents, and the stretch where the function is neither trivial nor saturated."""
    rng = np.random.default_rng(5)
    anywhere = rng.integers(0, 2**64, count, dtype=np.uint64).view(np.float64)
    linear = rng.uniform(-SPREAD[name], SPREAD[name], count)
    near_zero = rng.choice([-1.0, 1.0], count) * np.exp2(rng.uniform(-60, 1, count))
    near_one = 1.0 + near_zero * 2.0**-4
    # Doubles next to multiples of pi / 2, where reduction cancels most, and the hardest one of all (Kahan).
    quarters = np.array([float(mpmath.mpf(n) * mpmath.pi / 2) for n in (*range(1, 60), 10**5, 636619, 636621, 10**9)])
    hardest = np.array([6381956970095103.0 * 2.0**797])
    x = np.concatenate([anywhere, linear, near_zero, near_one, quarters, hardest])
    return x[np.isfinite(x)]


def exact_f64(name, x):
    x = mpmath.mpf(float(x))
    if name == "sigmoid":
        return 1 / (1 + mpmath.exp(-x))
    if name == "log":
        return mpmath.log(x) if x > 0 else None
    if name == "log1p":
        return mpmath.log1p(x) if x > -1 else None
    return getattr(mpmath, name)(x)


def f64_error(result, exact):
    """In ulps of `exact`, an mpmath number whose f64 rounding is finite."""
    if exact == 0:
        return 0.0 if result == 0 else INF
    _, exponent = mpmath.frexp(exact)
    return float(abs(mpmath.mpf(float(result)) - exact) / mpmath.ldexp(1, max(int(exponent) - 53, -1074)))


@pytest.mark.parametrize("fused", [True, False], ids=["fma", "nofma"])
@pytest.mark.parametrize("name", UNARY)
def test_f64_error_and_width(compile_element, name, fused):
    x = f64_samples(name, 150)
    vector = compile_element(function(name), "f64", fused=fused)(x)
    scalar = compile_element(function(name), "f64", width=1, fused=fused)(x)
    assert same_bits(vector, scalar).all()
    with mpmath.workdps(40):
        for argument, result in zip(x, vector, strict=True):
            # Enough digits for the cancellation in the greatest angles, and for 1 - tiny.
            with mpmath.workprec(1300 if name in ("sin", "cos") else 200):
                exact = exact_f64(name, argument)
            if exact is None:
                assert math.isnan(result)
            elif abs(exact) > mpmath.mpf(2) ** 1024 - mpmath.mpf(2) ** 971:
                assert math.isinf(result)
            else:
                assert f64_error(result, exact) <= ULP_BOUND[name]["f64"], (argument, result, exact)


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("name", UNARY)
def test_special_values(compile_element, name, dtype):
    numpy = np.float32 if dtype == "f32" else np.float64
    arguments, expected = (np.array(column, numpy) for column in zip(*SPECIALS[name], strict=True))
    for width in (1, 8):
        result = compile_element(function(name), dtype, width=width)(arguments)
        assert same_bits(result, expected).all(), (arguments, result)


@pytest.mark.parametrize("width", [2, 4, 16])
@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("name", UNARY)
def test_every_width_has_the_same_bits(compile_element, name, dtype, width):
    if dtype == "f32":
        x = floats_from_bits(1_000_003)
    else:
        x = np.random.default_rng(1).integers(0, 2**64, 4000, dtype=np.uint64).view(np.float64)
    scalar = compile_element(function(name), dtype, width=1)(x)
    assert same_bits(compile_element(function(name), dtype, width=width)(x), scalar).all()


@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_pow_special_values(compile_element, dtype):
    numpy = np.float32 if dtype == "f32" else np.float64
    x, y, expected = (np.array(column, numpy) for column in zip(*POW_SPECIALS, strict=True))
    for width in (1, 8):
        result = compile_element(function("pow"), dtype, dtype, width=width)(x, y)
        wrong = ~same_bits(result, expected)
        assert not wrong.any(), (x[wrong], y[wrong], result[wrong], expected[wrong])


@pytest.mark.parametrize("fused", [True, False], ids=["fma", "nofma"])
def test_pow_f32_error_and_width(compile_element, fused):
    rng = np.random.default_rng(3)
    count = 200_000
    x = np.exp2(rng.uniform(-126, 128, count)).astype(np.float32)
    x[: count // 2] = rng.uniform(0.5, 2, count // 2)
    # Exponents that keep the result in or near the range of f32.
    y = (rng.uniform(-152, 130, count) / np.log2(x.astype(np.float64))).astype(np.float32)
    y[::5] = rng.integers(-9, 10, count // 5)
    x[::10] *= -1
    vector = compile_element(function("pow"), "f32", "f32", fused=fused)(x, y)
    scalar = compile_element(function("pow"), "f32", "f32", width=1, fused=fused)(x, y)
    assert same_bits(vector, scalar).all()
    with np.errstate(all="ignore"):
        exact = np.power(x.astype(np.float64), y.astype(np.float64))
    assert_f32_error("pow", vector, exact, ULP_BOUND["pow"]["f32"])


@pytest.mark.parametrize("fused", [True, False], ids=["fma", "nofma"])
def test_pow_f64_error_and_width(compile_element, fused):
    rng = np.random.default_rng(4)
    count = 600
    x = np.exp2(rng.uniform(-1060, 1020, count))
    x[: count // 2] = rng.uniform(0.5, 2, count // 2)
    x[:50] = 1 + rng.uniform(-1, 1, 50) * 2.0**-30
    y = rng.uniform(-1070, 1020, count) / np.log2(x)
    vector = compile_element(function("pow"), "f64", "f64", fused=fused)(x, y)
    scalar = compile_element(function("pow"), "f64", "f64", width=1, fused=fused)(x, y)
    assert same_bits(vector, scalar).all()
    with mpmath.workdps(60):
        worst = max(
            f64_error(result, mpmath.mpf(float(a)) ** mpmath.mpf(float(b))) for a, b, result in zip(x, y, vector, strict=True)
        )
    assert worst <= ULP_BOUND["pow"]["f64"]


@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_rsqrt_is_within_its_bound(compile_element, dtype):
    rng = np.random.default_rng(6)
    numpy = np.float32 if dtype == "f32" else np.float64
    x = np.exp2(rng.uniform(-140, 120, 2000)).astype(numpy)
    result = compile_element(function("rsqrt"), dtype)(x)
    with mpmath.workdps(40):
        for argument, root in zip(x, result, strict=True):
            exact = 1 / mpmath.sqrt(mpmath.mpf(float(argument)))
            unit = mpmath.ldexp(1, int(mpmath.frexp(exact)[1]) - (24 if dtype == "f32" else 53))
            assert abs(mpmath.mpf(float(root)) - exact) <= ULP_BOUND["rsqrt"][dtype] * unit
