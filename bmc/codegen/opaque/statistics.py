"""The native parts of fitting's reducers: exact addition into superaccumulators, and counts of digits of ordered bits.

In: a module. Out: exported functions over blocks of rows, which the runtime's reducers call (`bmc_runtime/reducers`: what their
arguments mean stands there). Guaranteed: integer arithmetic alone, so the order of cells does not matter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llvmlite import ir

from bmc.codegen.contract.loop import each, for_range
from bmc.codegen.opaque.memory import i64
from bmc.codegen.value import BYTE, I64, POINTER, memory_type
from bmc.ops.element import Dtype
from bmc.record import record

__all__ = ["write_statistics"]

I128 = ir.IntType(128)

SUMS, MOMENTS, GROUPS, DIGITS = "bmc_sums", "bmc_moments", "bmc_groups", "bmc_digits"
"""Beginnings of the exported symbols, as the runtime has them; behind them stands `_f32` or `_f64`."""

SUM_WORDS, SQUARE_WORDS = 68, 136
"""Words of a superaccumulator, as the runtime lays them out."""

_LOW = (1 << 32) - 1


LANES = 8
BLOCK = 1024
"""Cells of f32 that are added at once: `_add_block` counts on 128 a lane."""


def write_statistics(module: ir.Module, symbol: str) -> None:
    """Emit the function of a symbol."""
    kind, _, suffix = symbol.rpartition("_")
    dtype: Dtype = "f32" if suffix == "f32" else "f64"
    if kind == DIGITS:
        _write_count_digits(module, symbol, dtype)
    else:
        _write_exact_addition(module, symbol, dtype, squares=kind != SUMS, grouped=kind == GROUPS)


class _Cells:
    """Bits of the floats of an array as i64: `fraction` bits of a mantissa below `exponent` bits and a sign."""

    def __init__(self, builder: ir.IRBuilder, dtype: Dtype) -> None:
        self.builder = builder
        self.dtype = dtype
        self.width, self.fraction, self.top = (32, 23, 255) if dtype == "f32" else (64, 52, 2047)

    def bits(self, x: ir.Value, index: ir.Value) -> ir.Value:
        """Zero-extended."""
        kind = ir.IntType(self.width)
        loaded = self.builder.load(self.builder.gep(x, [index], source_etype=kind), typ=kind)
        return self.builder.zext(loaded, I64) if self.width == 32 else loaded

    def exponent(self, bits: ir.Value) -> ir.Value:
        return self.builder.and_(self.builder.lshr(bits, i64(self.fraction)), i64(self.top))

    def mantissa(self, bits: ir.Value) -> ir.Value:
        return self.builder.and_(bits, i64((1 << self.fraction) - 1))

    def parts(self, exponent: ir.Value, fraction: ir.Value) -> tuple[ir.Value, ir.Value]:
        """The mantissa with its leading one, and the exponent's field, 1 for subnormals."""
        builder = self.builder
        normal = builder.icmp_unsigned("!=", exponent, i64(0))
        mantissa = builder.or_(fraction, builder.shl(builder.zext(normal, I64), i64(self.fraction)))
        return mantissa, builder.select(normal, exponent, i64(1))

    def negative(self, bits: ir.Value) -> ir.Value:
        """All ones where the sign is set, else 0."""
        builder = self.builder
        return builder.ashr(builder.shl(bits, i64(64 - self.width)), i64(63))


def _write_exact_addition(module: ir.Module, symbol: str, dtype: Dtype, squares: bool, grouped: bool) -> None:
    """`void(x*, keep*, slots*, i64 columns, i64 cells, i64 size, words*, squares*, tallies*)`: see `Kernels.add_exactly`."""
    pointers, sizes = [POINTER] * 3, [I64] * 3
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [*pointers, *sizes, *[POINTER] * 3]), symbol)
    x, keep, slots, columns, cells, size, words, square_words, tallies = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    if grouped:

        def one(index: ir.Value) -> None:
            kind = ir.IntType(32)
            slot = builder.sext(builder.load(builder.gep(slots, [index], source_etype=kind), typ=kind), I64)
            with builder.if_then(builder.icmp_unsigned("<", slot, size), likely=True):
                sums = _Sums.at(builder, words, square_words if squares else None, tallies, slot)
                _add_kept(builder, _Cells(builder, dtype), x, keep, index, sums)

        each(builder, i64(0), cells, i64(1), one)
    else:
        plain = _plain_addition(module, f"{symbol}.cells", dtype, squares)

        def column(j: ir.Value) -> None:
            start = builder.mul(j, cells)
            sums = _Sums.at(builder, words, square_words if squares else None, tallies, j)
            given = builder.gep(x, [start], source_etype=memory_type(dtype)), builder.gep(keep, [start], source_etype=BYTE)

            def one_by_one(first: ir.Value, last: ir.Value) -> None:
                builder.call(plain, [*given, first, last, sums.words, sums.squares or sums.words, sums.tallies])

            if dtype == "f32":
                whole = builder.and_(cells, i64(-BLOCK))
                each(builder, i64(0), whole, i64(BLOCK), lambda b: _add_block(builder, *given, b, sums, one_by_one))
                one_by_one(whole, cells)
            else:
                one_by_one(i64(0), cells)

        each(builder, i64(0), columns, i64(1), column)
    builder.ret_void()


@record(frozen=True)
class _Sums:
    """Where the words of one slot begin. `squares`: None where none are summed."""

    words: ir.Value
    squares: ir.Value | None
    tallies: ir.Value

    @staticmethod
    def at(builder: ir.IRBuilder, words: ir.Value, squares: ir.Value | None, tallies: ir.Value, slot: ir.Value) -> _Sums:
        def begin(array: ir.Value, width: int) -> ir.Value:
            return builder.gep(array, [builder.mul(slot, i64(width))], source_etype=I64)

        return _Sums(begin(words, SUM_WORDS), None if squares is None else begin(squares, SQUARE_WORDS), begin(tallies, 4))


def _plain_addition(module: ir.Module, symbol: str, dtype: Dtype, squares: bool) -> ir.Function:
    """`void(x*, keep*, i64 first, i64 last, words*, squares*, tallies*)`: cells [first, last) of a column, one by one."""
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [POINTER, POINTER, I64, I64, *[POINTER] * 3]), symbol)
    function.linkage = "internal"
    x, keep, first, last, words, square_words, tallies = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    sums = _Sums(words, square_words if squares else None, tallies)
    each(builder, first, last, i64(1), lambda i: _add_kept(builder, _Cells(builder, dtype), x, keep, i, sums))
    builder.ret_void()
    return function


def _add_kept(builder: ir.IRBuilder, cells: _Cells, x: ir.Value, keep: ir.Value, index: ir.Value, sums: _Sums) -> None:
    flag = builder.load(builder.gep(keep, [index], source_etype=BYTE), typ=BYTE)
    with builder.if_then(builder.icmp_unsigned("!=", flag, BYTE(0)), likely=True):
        bits = cells.bits(x, index)
        exponent, fraction = cells.exponent(bits), cells.mantissa(bits)
        _increment(builder, sums.tallies, i64(0))
        with builder.if_else(builder.icmp_unsigned("==", exponent, i64(cells.top)), likely=False) as (special, finite):
            with special:
                low = builder.and_(cells.negative(bits), i64(1))
                which = builder.select(builder.icmp_unsigned("!=", fraction, i64(0)), i64(1), builder.add(i64(2), low))
                _increment(builder, sums.tallies, which)
            with finite:
                mantissa, place = cells.parts(exponent, fraction)
                # In units of 2 ** -1074 the mantissa of a double begins at bit `place - 1`, that of an f32 at `place + 924`.
                start = builder.add(place, i64(-1 if cells.dtype == "f64" else 924))
                _add_sum(builder, cells.dtype, sums.words, mantissa, start, cells.negative(bits))
                if sums.squares is not None:
                    _add_square(builder, cells.dtype, sums.squares, mantissa, builder.shl(start, i64(1)))


# --- blocks of f32 -----------------------------------------------------------------------------------------------------
def _add_block(
    builder: ir.IRBuilder,
    x: ir.Value,
    keep: ir.Value,
    first: ir.Value,
    sums: _Sums,
    one_by_one: Callable[[ir.Value, ir.Value], None],
) -> None:
    """Add BLOCK cells of f32. Where none is less than about 2 ** -22 of the largest, which is nearly always so, lanes of doubles
    hold their sums without rounding, and only the lanes' sums go to the superaccumulator.

    With the largest below 2 ** (e - 126) all cells are, then, multiples of u = 2 ** (e - 172): adding c = 1.5 * 2 ** (e - 120),
    whose last place is u, and taking it off again gives each back. A lane of 128 cells stays below 2 ** 53 u. A square is a
    multiple of u * u below 2 ** (2e - 252), wider than a double: it is cut at 2 ** (2e - 298) in the same way, and both parts of
    128 squares fit a double each.
    """
    floats, doubles = ir.VectorType(ir.FloatType(), LANES), ir.VectorType(ir.DoubleType(), LANES)
    ints, truth = ir.VectorType(ir.IntType(32), LANES), ir.VectorType(ir.IntType(1), LANES)
    last = builder.add(first, i64(BLOCK))

    def cells(at: ir.Value) -> tuple[ir.Value, ir.Value]:
        loaded = builder.load(builder.gep(x, [at], source_etype=ir.FloatType()), align=4, typ=floats)
        flags = builder.load(builder.gep(keep, [at], source_etype=BYTE), align=1, typ=ir.VectorType(BYTE, LANES))
        kept = builder.icmp_unsigned("!=", flags, ir.Constant(ir.VectorType(BYTE, LANES), None))
        return builder.select(kept, loaded, ir.Constant(floats, None)), kept

    def widest(at: ir.Value, carried: list[ir.Value]) -> Sequence[ir.Value]:
        most, count = carried
        value, kept = cells(at)
        size = builder.and_(builder.bitcast(value, ints), ir.Constant(ints, [0x7FFFFFFF] * LANES))
        larger = builder.icmp_unsigned(">", size, most)
        return builder.select(larger, size, most), builder.add(count, builder.zext(kept, ints))

    nothing = ir.Constant(ints, None)
    most, count = for_range(builder, first, last, i64(LANES), (nothing, nothing), widest)
    largest, kept = _most(builder, most), _total(builder, count)
    exponent = builder.lshr(builder.zext(largest, I64), i64(23))
    e = builder.select(builder.icmp_unsigned("==", exponent, i64(0)), i64(1), exponent)

    def constant(field: ir.Value) -> ir.Value:
        """1.5 * 2 ** (field - 1023) in all lanes."""
        bits = builder.or_(builder.shl(field, i64(52)), i64(1 << 51))
        return _spread(builder, builder.bitcast(bits, ir.DoubleType()), LANES)

    c = constant(builder.add(e, i64(903)))
    c_squares = constant(builder.add(builder.shl(e, i64(1)), i64(777)))

    def add(at: ir.Value, carried: list[ir.Value]) -> Sequence[ir.Value]:
        exact, total, high, low = carried
        value = builder.fpext(cells(at)[0], doubles)
        back = builder.fsub(builder.fadd(value, c), c)
        exact = builder.and_(exact, builder.fcmp_ordered("==", back, value))
        total = builder.fadd(total, value)
        if sums.squares is not None:
            square = builder.fmul(value, value)
            top = builder.fsub(builder.fadd(square, c_squares), c_squares)
            high, low = builder.fadd(high, top), builder.fadd(low, builder.fsub(square, top))
        return exact, total, high, low

    zeros = ir.Constant(doubles, None)
    every = ir.Constant(truth, [1] * LANES)
    exact, total, high, low = for_range(builder, first, last, i64(LANES), (every, zeros, zeros, zeros), add)
    whole = builder.icmp_unsigned("==", builder.bitcast(exact, ir.IntType(LANES)), ir.IntType(LANES)((1 << LANES) - 1))
    good = builder.and_(whole, builder.icmp_unsigned("<", exponent, i64(255)))
    with builder.if_else(good, likely=True) as (fast, slow):
        with fast:
            _add_to(builder, sums.tallies, i64(0), builder.zext(kept, I64))
            for lane in range(LANES):
                _add_double(builder, sums.words, builder.extract_element(total, ir.IntType(32)(lane)), -1)
                if sums.squares is not None:
                    for part in (high, low):
                        _add_double(builder, sums.squares, builder.extract_element(part, ir.IntType(32)(lane)), 1073)
        with slow:
            one_by_one(first, last)


def _most(builder: ir.IRBuilder, lanes: ir.Value) -> ir.Value:
    """The largest of lanes of unsigned integers."""
    found = builder.extract_element(lanes, ir.IntType(32)(0))
    for lane in range(1, LANES):
        other = builder.extract_element(lanes, ir.IntType(32)(lane))
        found = builder.select(builder.icmp_unsigned(">", other, found), other, found)
    return found


def _total(builder: ir.IRBuilder, lanes: ir.Value) -> ir.Value:
    found = builder.extract_element(lanes, ir.IntType(32)(0))
    for lane in range(1, LANES):
        found = builder.add(found, builder.extract_element(lanes, ir.IntType(32)(lane)))
    return found


def _spread(builder: ir.IRBuilder, value: ir.Value, lanes: int) -> ir.Value:
    kind = ir.VectorType(value.type, lanes)
    single = builder.insert_element(ir.Constant(kind, ir.Undefined), value, ir.IntType(32)(0))
    return builder.shuffle_vector(single, ir.Constant(kind, ir.Undefined), ir.Constant(ir.VectorType(ir.IntType(32), lanes), None))


def _add_double(builder: ir.IRBuilder, words: ir.Value, value: ir.Value, offset: int) -> None:
    """Add a finite double, whose mantissa begins at bit `place + offset` of a slot's words."""
    bits = builder.bitcast(value, I64)
    cells = _Cells(builder, "f64")
    mantissa, place = cells.parts(cells.exponent(bits), cells.mantissa(bits))
    _add_sum(builder, "f64", words, mantissa, builder.add(place, i64(offset)), cells.negative(bits))


# --- words -------------------------------------------------------------------------------------------------------------
def _increment(builder: ir.IRBuilder, array: ir.Value, index: ir.Value) -> None:
    _add_to(builder, array, index, i64(1))


def _add_to(builder: ir.IRBuilder, array: ir.Value, index: ir.Value, value: ir.Value) -> None:
    at = builder.gep(array, [index], source_etype=I64)
    builder.store(builder.add(builder.load(at, typ=I64), value), at)


def _shifted(builder: ir.IRBuilder, value: ir.Value, shift: ir.Value) -> tuple[ir.Value, ir.Value]:
    """`value << shift` in 64 bits, and the bits above them. The shift is below 32."""
    above = builder.lshr(builder.lshr(value, i64(1)), builder.sub(i64(63), shift))
    return builder.shl(value, shift), above


def _add_sum(
    builder: ir.IRBuilder, dtype: Dtype, words: ir.Value, mantissa: ir.Value, start: ir.Value, negative: ir.Value
) -> None:
    """Add a mantissa that begins at bit `start` to the words of a slot, with its sign."""
    first = builder.lshr(start, i64(5))
    low, above = _shifted(builder, mantissa, builder.and_(start, i64(31)))
    parts = [builder.and_(low, i64(_LOW)), builder.lshr(low, i64(32))]
    if dtype == "f64":  # 53 bits, shifted by at most 31, reach a third word; 24 bits do not
        parts.append(above)
    for k, part in enumerate(parts):
        signed = builder.sub(builder.xor(part, negative), negative)
        _add_to(builder, words, builder.add(first, i64(k)), signed)


def _add_square(builder: ir.IRBuilder, dtype: Dtype, words: ir.Value, mantissa: ir.Value, start: ir.Value) -> None:
    """Add the square of a mantissa, which begins at bit `start`, to the words of a slot."""
    first = builder.lshr(start, i64(5))
    shift = builder.and_(start, i64(31))
    if dtype == "f32":
        low, above = _shifted(builder, builder.mul(mantissa, mantissa), shift)
        parts = [builder.and_(low, i64(_LOW)), builder.lshr(low, i64(32)), above]
    else:
        wide = builder.zext(mantissa, I128)
        square = builder.mul(wide, wide)
        low, above = _shifted(builder, builder.trunc(square, I64), shift)
        high, end = _shifted(builder, builder.trunc(builder.lshr(square, I128(64)), I64), shift)
        parts = [
            builder.and_(low, i64(_LOW)),
            builder.lshr(low, i64(32)),
            builder.add(above, builder.and_(high, i64(_LOW))),
            builder.lshr(high, i64(32)),
            end,
        ]
    for k, part in enumerate(parts):
        _add_to(builder, words, builder.add(first, i64(k)), part)


# --- digits ------------------------------------------------------------------------------------------------------------
def _write_count_digits(module: ir.Module, symbol: str, dtype: Dtype) -> None:
    """`void(x*, keep*, i64 columns, i64 cells, prefixes*, i64 prefixes, counts*, tallies*, i64 shift, i64 bits)`: see
    `Kernels.count_digits`."""
    kinds = [POINTER, POINTER, I64, I64, POINTER, I64, POINTER, POINTER, I64, I64]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), kinds), symbol)
    x, keep, columns, cells, prefixes, number, counts, tallies, shift, bits = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    mask = builder.sub(builder.shl(i64(1), bits), i64(1))

    def column(j: ir.Value) -> None:
        start, place = builder.mul(j, cells), builder.mul(j, number)
        given = builder.gep(x, [start], source_etype=memory_type(dtype)), builder.gep(keep, [start], source_etype=BYTE)
        wanted = builder.gep(prefixes, [place], source_etype=I64)
        counted = builder.gep(counts, [builder.shl(place, bits)], source_etype=I64)
        one_prefix = builder.load(wanted, typ=I64)

        def in_one(digit: ir.Value, prefix: ir.Value) -> None:
            with builder.if_then(builder.icmp_unsigned("==", prefix, one_prefix)):
                _increment(builder, counted, digit)

        def in_several(digit: ir.Value, prefix: ir.Value) -> None:
            def compare(r: ir.Value) -> None:
                other = builder.load(builder.gep(wanted, [r], source_etype=I64), typ=I64)
                with builder.if_then(builder.icmp_unsigned("==", prefix, other)):
                    _increment(builder, counted, builder.or_(builder.shl(r, bits), digit))

            each(builder, i64(0), number, i64(1), compare)

        tally = builder.gep(tallies, [builder.shl(j, i64(1))], source_etype=I64)
        with builder.if_else(builder.icmp_unsigned("==", number, i64(1))) as (one, several):
            for branch, body in ((one, in_one), (several, in_several)):
                with branch:
                    _each_digit(builder, dtype, *given, cells, tally, shift, bits, mask, body)

    each(builder, i64(0), columns, i64(1), column)
    builder.ret_void()


def _each_digit(
    builder: ir.IRBuilder,
    dtype: Dtype,
    x: ir.Value,
    keep: ir.Value,
    number: ir.Value,
    tally: ir.Value,
    shift: ir.Value,
    bits: ir.Value,
    mask: ir.Value,
    body: Callable[[ir.Value, ir.Value], None],
) -> None:
    """`body(digit, what is above it)` of the ordered bits of each cell that counts; how many cells and NaN there were is added to
    the tally."""
    cells = _Cells(builder, dtype)
    top, infinity = 1 << (cells.width - 1), cells.top << cells.fraction

    def turn(index: ir.Value, carried: list[ir.Value]) -> Sequence[ir.Value]:
        kept, nans = carried
        given = cells.bits(x, index)
        size = builder.and_(given, i64(top - 1))
        flag = builder.load(builder.gep(keep, [index], source_etype=BYTE), typ=BYTE)
        there = builder.icmp_unsigned("!=", flag, BYTE(0))
        nan = builder.and_(there, builder.icmp_unsigned(">", size, i64(infinity)))
        with builder.if_then(builder.and_(there, builder.not_(nan)), likely=True):
            # -0.0 is 0.0.
            plain = builder.select(builder.icmp_unsigned("==", size, i64(0)), i64(0), given)
            turned = builder.or_(cells.negative(plain), i64(_signed(top)))
            key = builder.xor(plain, builder.and_(turned, i64(_signed((1 << cells.width) - 1))))
            digits = builder.lshr(key, shift)
            body(builder.and_(digits, mask), builder.lshr(digits, bits))
        return builder.add(kept, builder.zext(there, I64)), builder.add(nans, builder.zext(nan, I64))

    kept, nans = for_range(builder, i64(0), number, i64(1), (i64(0), i64(0)), turn)
    _add_to(builder, tally, i64(0), kept)
    _add_to(builder, tally, i64(1), nans)


def _signed(bits: int) -> int:
    """64 bits as a signed integer."""
    return bits - (1 << 64) if bits >> 63 else bits
