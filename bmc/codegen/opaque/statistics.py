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

__all__ = ["write_statistics"]

I128 = ir.IntType(128)

SUMS, MOMENTS, GROUPS, DIGITS = "bmc_sums", "bmc_moments", "bmc_groups", "bmc_digits"
"""Beginnings of the exported symbols, as the runtime has them; behind them stands `_f32` or `_f64`."""

SUM_WORDS, SQUARE_WORDS = 68, 136
"""Words of a superaccumulator, as the runtime lays them out."""

_LOW = (1 << 32) - 1


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

    def negative(self, bits: ir.Value) -> ir.Value:
        """All ones where the sign is set, else 0."""
        builder = self.builder
        return builder.ashr(builder.shl(bits, i64(64 - self.width)), i64(63))


def _write_exact_addition(module: ir.Module, symbol: str, dtype: Dtype, squares: bool, grouped: bool) -> None:
    """`void(x*, keep*, slots*, i64 rows, i64 columns, i64 size, words*, squares*, tallies*)`: see `Kernels.add_exactly`."""
    pointers, sizes = [POINTER] * 3, [I64] * 3
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [*pointers, *sizes, *[POINTER] * 3]), symbol)
    x, keep, slots, rows, columns, size, words, square_words, tallies = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    cells = _Cells(builder, dtype)

    def cell(index: ir.Value, slot: ir.Value) -> None:
        bits = cells.bits(x, index)
        exponent, fraction = cells.exponent(bits), cells.mantissa(bits)
        tally = builder.mul(slot, i64(4))
        _increment(builder, tallies, tally)
        with builder.if_else(builder.icmp_unsigned("==", exponent, i64(cells.top)), likely=False) as (special, finite):
            with special:
                low = builder.and_(cells.negative(bits), i64(1))
                which = builder.select(builder.icmp_unsigned("!=", fraction, i64(0)), i64(1), builder.add(i64(2), low))
                _increment(builder, tallies, builder.add(tally, which))
            with finite:
                normal = builder.icmp_unsigned("!=", exponent, i64(0))
                mantissa = builder.or_(fraction, builder.shl(builder.zext(normal, I64), i64(cells.fraction)))
                place = builder.select(normal, exponent, i64(1))
                # In units of 2 ** -1074 the mantissa of a double begins at bit `place - 1`, that of an f32 at `place + 924`.
                start = builder.add(place, i64(-1 if dtype == "f64" else 924))
                _add_sum(builder, cells, words, slot, mantissa, start, cells.negative(bits))
                if squares:
                    _add_square(builder, cells, square_words, slot, mantissa, builder.shl(start, i64(1)))

    def kept(index: ir.Value, slot: ir.Value) -> None:
        flag = builder.load(builder.gep(keep, [index], source_etype=BYTE), typ=BYTE)
        with builder.if_then(builder.icmp_unsigned("!=", flag, BYTE(0)), likely=True):
            cell(index, slot)

    if grouped:

        def one(index: ir.Value) -> None:
            kind = ir.IntType(32)
            slot = builder.sext(builder.load(builder.gep(slots, [index], source_etype=kind), typ=kind), I64)
            with builder.if_then(builder.icmp_unsigned("<", slot, size), likely=True):
                kept(index, slot)

        each(builder, i64(0), rows, i64(1), one)
    else:
        _over_columns(builder, rows, columns, kept)
    builder.ret_void()


def _over_columns(builder: ir.IRBuilder, rows: ir.Value, columns: ir.Value, body: Callable[[ir.Value, ir.Value], None]) -> None:
    """`body(index, column)` for all cells, in the order of memory."""

    def turn(index: ir.Value, carried: list[ir.Value]) -> Sequence[ir.Value]:
        (column,) = carried
        body(index, column)
        following = builder.add(column, i64(1))
        return (builder.select(builder.icmp_unsigned("==", following, columns), i64(0), following),)

    for_range(builder, i64(0), builder.mul(rows, columns), i64(1), (i64(0),), turn)


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
    builder: ir.IRBuilder,
    cells: _Cells,
    words: ir.Value,
    slot: ir.Value,
    mantissa: ir.Value,
    start: ir.Value,
    negative: ir.Value,
) -> None:
    """Add a mantissa that begins at bit `start` to the words of a slot, with its sign."""
    first = builder.add(builder.mul(slot, i64(SUM_WORDS)), builder.lshr(start, i64(5)))
    shift = builder.and_(start, i64(31))
    low, above = _shifted(builder, mantissa, shift)
    parts = [builder.and_(low, i64(_LOW)), builder.lshr(low, i64(32))]
    if cells.dtype == "f64":  # 53 bits, shifted by at most 31, reach a third word; 24 bits do not
        parts.append(above)
    for k, part in enumerate(parts):
        signed = builder.sub(builder.xor(part, negative), negative)
        _add_to(builder, words, builder.add(first, i64(k)), signed)


def _add_square(
    builder: ir.IRBuilder, cells: _Cells, words: ir.Value, slot: ir.Value, mantissa: ir.Value, start: ir.Value
) -> None:
    """Add the square of a mantissa, which begins at bit `start`, to the words of a slot."""
    first = builder.add(builder.mul(slot, i64(SQUARE_WORDS)), builder.lshr(start, i64(5)))
    shift = builder.and_(start, i64(31))
    if cells.dtype == "f32":
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


def _write_count_digits(module: ir.Module, symbol: str, dtype: Dtype) -> None:
    """`void(x*, keep*, i64 rows, i64 columns, prefixes*, i64 prefixes, counts*, tallies*, i64 shift, i64 bits)`: see
    `Kernels.count_digits`."""
    kinds = [POINTER, POINTER, I64, I64, POINTER, I64, POINTER, POINTER, I64, I64]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), kinds), symbol)
    x, keep, rows, columns, prefixes, number, counts, tallies, shift, bits = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    cells = _Cells(builder, dtype)
    mask = builder.sub(builder.shl(i64(1), bits), i64(1))
    top = 1 << (cells.width - 1)
    infinity = cells.top << cells.fraction

    def count(index: ir.Value, column: ir.Value) -> None:
        given = cells.bits(x, index)
        size = builder.and_(given, i64(top - 1))
        # -0.0 is 0.0.
        plain = builder.select(builder.icmp_unsigned("==", size, i64(0)), i64(0), given)
        turned = builder.or_(cells.negative(plain), i64(_signed(top)))
        key = builder.xor(plain, builder.and_(turned, i64(_signed((1 << cells.width) - 1))))
        tally = builder.shl(column, i64(1))
        _increment(builder, tallies, tally)
        with builder.if_else(builder.icmp_unsigned(">", size, i64(infinity)), likely=False) as (nan, number_):
            with nan:
                _increment(builder, tallies, builder.add(tally, i64(1)))
            with number_:
                digits = builder.lshr(key, shift)
                digit, prefix = builder.and_(digits, mask), builder.lshr(digits, bits)

                def compare(r: ir.Value) -> None:
                    place = builder.add(builder.mul(column, number), r)
                    wanted = builder.load(builder.gep(prefixes, [place], source_etype=I64), typ=I64)
                    with builder.if_then(builder.icmp_unsigned("==", prefix, wanted)):
                        _increment(builder, counts, builder.or_(builder.shl(place, bits), digit))

                each(builder, i64(0), number, i64(1), compare)

    def kept(index: ir.Value, column: ir.Value) -> None:
        flag = builder.load(builder.gep(keep, [index], source_etype=memory_type("bool")), typ=BYTE)
        with builder.if_then(builder.icmp_unsigned("!=", flag, BYTE(0)), likely=True):
            count(index, column)

    _over_columns(builder, rows, columns, kept)
    builder.ret_void()


def _signed(bits: int) -> int:
    """64 bits as a signed integer."""
    return bits - (1 << 64) if bits >> 63 else bits
