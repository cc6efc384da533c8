"""sin and cos, for arguments of any size.

|x| = n pi/2 + r with |r| <= pi/4, n modulo 4 choosing the polynomial and the sign. Three ways to r:

- f32, fused, |x| <= 1e5: pi/2 in three f32 pieces. n and the first piece cancel x exactly (an fma), so only the last
  two steps round: r is good to an ulp.
- f64 (and f32 widened to f64, where nothing fuses), |x| <= 1e6: pi/2 in pieces of 33 bits, whose products with the 20
  bits of n are exact in either FMA class.
- beyond: Payne and Hanek's reduction, lane by lane in a function of the module, which multiplies the 53 bits of x with
  the 192 bits of 2/pi that matter (R. Payne, M. Hanek, "Radian reduction for trigonometric functions", 1983).

Which way a lane goes depends on that lane's argument alone, so bits do not depend on its neighbours.
"""

from __future__ import annotations

import math
from typing import Final

from llvmlite import ir

from bmc.codegen.lanes import Lanes
from bmc.codegen.math.polynomial import evaluate
from bmc.codegen.value import I64, Value, int_dtype_of
from bmc.ops.element import Dtype

# sin(r) = r + r^3 S(r^2): 2^-27.8 and 2^-57.9. cos(r) = 1 - r^2 / 2 + r^4 C(r^2): 2^-32.7 and 2^-63.9.
_S: Final = {
    "f32": (-0.16666653752326965, 0.008332106284797192, -0.00019507890101522207),
    "f64": (
        -0.1666666666666663,
        0.00833333333332184,
        -0.0001984126982935853,
        2.7557313538517114e-06,
        -2.5050734389488717e-08,
        1.5895433241662264e-10,
    ),
}
_C: Final = {
    "f32": (0.04166664555668831, -0.0013887297827750444, 2.4430084522464313e-05),
    "f64": (
        0.041666666666666595,
        -0.0013888888888873307,
        2.480158728896518e-05,
        -2.755731420304675e-07,
        2.0875703132662025e-09,
        -1.1358616529245437e-11,
    ),
}
_TWO_OVER_PI: Final = 0.6366197723675814
# pi/2 in pieces of 24 bits (f32) and of 33 bits with a full last one (f64).
_HALF_PI_F32: Final = (1.5707963705062866, -4.371138828673793e-08, -1.7151245100058819e-15)
_HALF_PI_F64: Final = (
    1.5707963267341256,
    6.077100506303966e-11,
    2.0222662487111665e-21,
    8.4784276603689e-32,
)
_FAST_LIMIT: Final = {"f32": 1.0e5, "f64": 1.0e6}
_ROUND_CONSTANT: Final = {"f32": 12582912.0, "f64": 6755399441055744.0}

# A word of zeros, then the first 1216 bits of 2/pi: bit i of 2/pi is needed up to i = 971 + 2 + 192.
_TWO_OVER_PI_WORDS: Final = (
    0,
    0xA2F9836E4E441529,
    0xFC2757D1F534DDC0,
    0xDB6295993C439041,
    0xFE5163ABDEBBC561,
    0xB7246E3A424DD2E0,
    0x06492EEA09D1921C,
    0xFE1DEB1CB129A73E,
    0xE88235F52EBB4484,
    0xE99C7026B45F7E41,
    0x3991D639835339F4,
    0x9C845F8BBDF9283B,
    0x1FF897FFDE05980F,
    0xEF2F118B5A0A6D1F,
    0x6D367ECF27CB09B7,
    0x4F463F669E5FEA2D,
    0x7527BAC7EBE5F17B,
    0x3D0739F78A5292EA,
    0x6BFB5FB11F8D5D08,
    0x56033046FC7B6BAB,
)
_REDUCE: Final = "bmc_reduce_angle"


def sin(b: Lanes, x: Value) -> Value:
    """Sine; keeps a signed zero, NaN of the infinities."""
    quadrant, r = _reduce(b, b.abs(x))
    sign = b.bit_and(b.bitcast(x, quadrant.dtype), _sign_bit(b, quadrant))
    return _of_quadrant(b, quadrant, r, sign)


def cos(b: Lanes, x: Value) -> Value:
    """Cosine, the sine a quadrant further; NaN of the infinities."""
    quadrant, r = _reduce(b, b.abs(x))
    return _of_quadrant(b, b.add(quadrant, b.constant(quadrant.dtype, 1)), r, b.constant(quadrant.dtype, 0))


def sin_of_turn(b: Lanes, turn: Value, dtype: Dtype) -> Value:
    """sin(2 pi v) for v = turn / 2^32, `turn` an i32 read as unsigned, whose quadrant is exact."""
    # An eighth of a turn more rounds to the nearest quadrant; what is left is signed.
    quadrant = b.shift_right(b.add(turn, b.constant("i32", 1 << 29)), 30)
    rest = b.sub(turn, b.shift_left(quadrant, 30))
    r = b.mul(b.cast(rest, dtype), b.constant(dtype, math.pi / 2 * 2.0**-30))
    quadrant = b.cast(quadrant, int_dtype_of(dtype))
    return _of_quadrant(b, quadrant, r, b.constant(quadrant.dtype, 0))


def _sign_bit(b: Lanes, like: Value) -> Value:
    return b.constant(like.dtype, -(1 << 31) if like.dtype == "i32" else -(1 << 63))


def _of_quadrant(b: Lanes, quadrant: Value, r: Value, sign: Value) -> Value:
    """sin(quadrant pi/2 + r), its sign bit flipped by that of `sign`."""
    z = b.mul(r, r)
    z_square = b.mul(z, z)
    sine = b.fma(b.mul(r, z), evaluate(b, z, _S[r.dtype], z_square), r)
    near_one = b.fma(z, b.constant(r.dtype, -0.5), b.constant(r.dtype, 1.0))
    cosine = b.fma(z_square, evaluate(b, z, _C[r.dtype], z_square), near_one)
    odd = b.compare("ne", b.bit_and(quadrant, b.constant(quadrant.dtype, 1)), b.constant(quadrant.dtype, 0))
    top = 30 if quadrant.dtype == "i32" else 62
    flip = b.bit_xor(b.shift_left(b.bit_and(quadrant, b.constant(quadrant.dtype, 2)), top), sign)
    value = b.select(odd, cosine, sine)
    return b.bitcast(b.bit_xor(b.bitcast(value, quadrant.dtype), flip), r.dtype)


def _reduce(b: Lanes, magnitude: Value) -> tuple[Value, Value]:
    """(n, r) for |x|: an integer of the float's size of which the low two bits count, and the rest of the angle."""
    limit = b.constant(magnitude.dtype, _FAST_LIMIT[magnitude.dtype])
    fast = b.compare("le", magnitude, limit)
    quadrant, r = _reduce_fast(b, magnitude)
    builder = b.builder
    before = builder.block
    slow_block = builder.append_basic_block("large_angle")
    after = builder.append_basic_block("reduced_angle")
    builder.cbranch(b.any_lane(b.logical_not(fast)), slow_block, after)

    builder.position_at_end(slow_block)
    slow_quadrant, slow_r = _reduce_slow(b, magnitude)
    slow_quadrant = b.select(fast, quadrant, slow_quadrant)
    slow_r = b.select(fast, r, slow_r)
    slow_end = builder.block
    builder.branch(after)

    builder.position_at_end(after)
    return (
        _join(b, (quadrant, before), (slow_quadrant, slow_end)),
        _join(b, (r, before), (slow_r, slow_end)),
    )


def _join(b: Lanes, first: tuple[Value, ir.Block], second: tuple[Value, ir.Block]) -> Value:
    phi = b.builder.phi(first[0].ir.type)
    for value, block in (first, second):
        phi.add_incoming(value.ir, block)
    return Value(phi, first[0].dtype)


def _reduce_fast(b: Lanes, magnitude: Value) -> tuple[Value, Value]:
    if magnitude.dtype == "f64":
        return _subtract_pieces(b, magnitude, _HALF_PI_F64)
    if b.fused:
        return _subtract_pieces(b, magnitude, _HALF_PI_F32)
    quadrant, r = _subtract_pieces(b, b.cast(magnitude, "f64"), _HALF_PI_F64)
    return b.cast(quadrant, "i32"), b.cast(r, "f32")


def _subtract_pieces(b: Lanes, magnitude: Value, pieces: tuple[float, ...]) -> tuple[Value, Value]:
    dtype = magnitude.dtype
    shift = b.constant(dtype, _ROUND_CONSTANT[dtype])
    shifted = b.fma(magnitude, b.constant(dtype, _TWO_OVER_PI), shift)
    n = b.sub(shifted, shift)
    r = magnitude
    for piece in pieces:
        r = b.fma(n, b.constant(dtype, -piece), r)
    return b.bitcast(shifted, int_dtype_of(dtype)), r


def _reduce_slow(b: Lanes, magnitude: Value) -> tuple[Value, Value]:
    reduce_one = _reduction_function(b)
    wide = b.cast(magnitude, "f64")
    quadrants: list[ir.Value] = []
    rests: list[ir.Value] = []
    for lane in range(b.width):
        pair = b.builder.call(reduce_one, [b.extract(wide, lane)])
        quadrants.append(b.builder.extract_value(pair, 0))
        rests.append(b.builder.extract_value(pair, 1))
    quadrant, r = b.collect(quadrants, "i64"), b.collect(rests, "f64")
    return b.cast(quadrant, int_dtype_of(magnitude.dtype)), b.cast(r, magnitude.dtype)


def _reduction_function(b: Lanes) -> ir.Function:
    """{i64 n, double r} bmc_reduce_angle(double x): one for a module. For x >= 1e5, infinite or NaN."""
    module = b.builder.module
    known = module.globals.get(_REDUCE)
    if known is not None:
        return known
    result = ir.LiteralStructType([I64, ir.DoubleType()])
    function = ir.Function(module, ir.FunctionType(result, [ir.DoubleType()]), _REDUCE)
    function.linkage = "internal"
    table_type = ir.ArrayType(I64, len(_TWO_OVER_PI_WORDS))
    table = ir.GlobalVariable(module, table_type, f"{_REDUCE}_table")
    table.linkage = "internal"
    table.global_constant = True
    table.initializer = ir.Constant(table_type, [I64(word) for word in _TWO_OVER_PI_WORDS])
    _payne_hanek(Lanes(ir.IRBuilder(function.append_basic_block("entry")), 1, b.fused), table, function.args[0], result)
    return function


def _payne_hanek(s: Lanes, table: ir.Value, argument: ir.Value, result: ir.Type) -> None:
    """The body of the reduction: x = m 2^e with an integer m, so x 2/pi modulo 4 needs the bits of 2/pi from e - 1 on.

    Bits before those are, times m 2^e, multiples of 4. Of the 192 bits from there, truncation costs at most
    2^(53 - 190); no double comes nearer than 2^-61 to a multiple of pi/2, so r keeps 70 good bits before it is rounded.
    """

    def word(value: int) -> Value:
        return s.constant("i64", value)

    x = Value(argument, "f64")
    bits = s.bitcast(x, "i64")
    mantissa = s.bit_or(s.bit_and(bits, word((1 << 52) - 1)), word(1 << 52))
    exponent = s.sub(s.bit_and(s.shift_right(bits, 52), word(0x7FF)), word(1075))
    # The table starts 64 bits early. Infinity and the fast lanes, whose results are not used, must not read beside it.
    offset = s.maximum(s.minimum(s.add(exponent, word(64 - 2)), word(971 + 64 - 2)), word(0))
    index, shift = s.shift_right(offset, 6), s.bit_and(offset, word(63))
    loaded = [s.load(table, s.add(index, word(i)).ir, "i64") for i in range(4)]
    window = [_funnel_left(s, loaded[i], loaded[i + 1], shift) for i in range(3)]

    middle = s.mul(mantissa, window[1])
    low = s.add(middle, s.mul_high(mantissa, window[2]))
    carry = s.cast(Value(s.builder.icmp_unsigned("<", low.ir, middle.ir), "bool"), "i64")
    high = s.add(s.add(s.mul(mantissa, window[0]), s.mul_high(mantissa, window[1])), carry)

    # high:low / 2^128 is x 2/pi / 4 modulo 1: two bits of quadrant, then the fraction, taken to [-1/2, 1/2).
    two = word(2)
    fraction_high, fraction_low = _funnel_left(s, high, low, two), s.shift_left(low, 2)
    negative = s.compare("lt", fraction_high, word(0))
    quadrant = s.add(s.shift_right(high, 62), s.cast(negative, "i64"))
    mask = s.select(negative, word(-1), word(0))
    fraction_high, fraction_low = s.bit_xor(fraction_high, mask), s.bit_xor(fraction_low, mask)
    zeros = _leading_zeros(s, fraction_high)
    leading = s.shift_right(_funnel_left(s, fraction_high, fraction_low, zeros), 1)
    scale = s.bitcast(s.shift_left(s.sub(word(1023 - 63), zeros), 52), "f64")
    rest = s.mul(s.mul(s.cast(leading, "f64"), scale), s.constant("f64", math.pi / 2))
    rest = s.select(negative, s.neg(rest), rest)
    rest = s.select(s.is_finite(x), rest, s.constant("f64", math.nan))

    pair = s.builder.insert_value(ir.Constant(result, ir.Undefined), quadrant.ir, 0)
    s.builder.ret(s.builder.insert_value(pair, rest.ir, 1))


def _funnel_left(s: Lanes, high: Value, low: Value, count: Value) -> Value:
    """The upper 64 bits of high:low shifted left by `count` modulo 64."""
    function = s.declare("llvm.fshl.i64", I64, [I64, I64, I64])
    return Value(s.builder.call(function, [high.ir, low.ir, count.ir]), "i64")


def _leading_zeros(s: Lanes, x: Value) -> Value:
    function = s.declare("llvm.ctlz.i64", I64, [I64, ir.IntType(1)])
    return Value(s.builder.call(function, [x.ir, ir.IntType(1)(0)]), "i64")
