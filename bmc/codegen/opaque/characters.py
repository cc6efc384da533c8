"""Internal functions on UTF-8 text: the next character, what it is, its lower case, the next word.

In: an address and positions within a text. Out: positions and code points as i64. Guaranteed: nothing outside the text is read; a
byte that begins no character is one of its own, with a code point that no character has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llvmlite import ir

from bmc.codegen.contract.loop import while_true
from bmc.codegen.value import BYTE, I64, POINTER
from bmc_runtime.characters import APOSTROPHES, LOWER, SEPARATORS

__all__ = ["byte_at", "character_function", "lower_bytes_function", "next_word_function"]

_PAIR = ir.LiteralStructType([I64, I64])
_TRIPLE = ir.LiteralStructType([I64, I64, I64])
_ODD = 1 << 32
"""Added to a byte that begins no character."""

_BREAK, _LETTER, _APOSTROPHE = 0, 1, 2


def _i64(value: int) -> ir.Constant:
    return ir.Constant(I64, value)


def byte_at(builder: ir.IRBuilder, text: ir.Value, position: ir.Value) -> ir.Value:
    """A byte of a text as i64."""
    return builder.zext(builder.load(builder.gep(text, [position], source_etype=BYTE), typ=BYTE), I64)


def _internal(
    module: ir.Module,
    name: str,
    result: ir.Type,
    operands: Sequence[ir.Type],
    write: Callable[[ir.IRBuilder, Sequence[ir.Value]], None],
) -> ir.Function:
    """The function of that name, written when it is first asked for."""
    if name in module.globals:
        return module.globals[name]
    function = ir.Function(module, ir.FunctionType(result, operands), name)
    function.linkage = "internal"
    function.attributes.add("nounwind")
    write(ir.IRBuilder(function.append_basic_block("entry")), function.args)
    return function


def _struct(builder: ir.IRBuilder, kind: ir.LiteralStructType, *values: ir.Value) -> ir.Value:
    made = ir.Constant(kind, ir.Undefined)
    for i, value in enumerate(values):
        made = builder.insert_value(made, value, i)
    return made


# --- characters --------------------------------------------------------------------------------------------------------
def character_function(module: ir.Module) -> ir.Function:
    """`{i64 code point, i64 bytes} bmc_character(text*, i64 position, i64 length)`; position < length."""

    def write(builder: ir.IRBuilder, args: Sequence[ir.Value]) -> None:
        text, position, length = args
        head = byte_at(builder, text, position)
        with builder.if_then(builder.icmp_unsigned("<", head, _i64(0x80)), likely=True):
            builder.ret(_struct(builder, _PAIR, head, _i64(1)))
        more = _i64(0)  # bytes that should follow
        for least in (0xC0, 0xE0, 0xF0):
            more = builder.add(more, builder.zext(builder.icmp_unsigned(">=", head, _i64(least)), I64))
        begins = builder.and_(builder.icmp_unsigned(">", more, _i64(0)), builder.icmp_unsigned("<", head, _i64(0xF8)))
        inside = builder.icmp_unsigned("<", builder.add(position, more), length)
        odd = _struct(builder, _PAIR, builder.add(head, _i64(_ODD)), _i64(1))
        with builder.if_then(builder.not_(builder.and_(begins, inside))):
            builder.ret(odd)
        first = builder.and_(head, builder.lshr(_i64(0x3F), more))

        def test(carried: list[ir.Value]) -> ir.Value:
            done, _, good = carried
            return builder.and_(good, builder.icmp_unsigned("<", done, more))

        def body(carried: list[ir.Value]) -> Sequence[ir.Value]:
            done, point, _ = carried
            following = builder.add(done, _i64(1))
            byte = byte_at(builder, text, builder.add(position, following))
            good = builder.icmp_unsigned("==", builder.and_(byte, _i64(0xC0)), _i64(0x80))
            return following, builder.or_(builder.shl(point, _i64(6)), builder.and_(byte, _i64(0x3F))), good

        _, point, good = while_true(builder, (_i64(0), first, ir.Constant(ir.IntType(1), 1)), test, body)
        with builder.if_then(builder.not_(good)):
            builder.ret(odd)
        builder.ret(_struct(builder, _PAIR, point, builder.add(more, _i64(1))))

    return _internal(module, "bmc_character", _PAIR, [POINTER, I64, I64], write)


def _table(module: ir.Module, name: str, rows: Sequence[Sequence[int]]) -> ir.Value:
    """Constant rows of i32 in memory."""
    if name not in module.globals:
        cells = [cell for row in rows for cell in row]
        kind = ir.ArrayType(ir.IntType(32), len(cells))
        constant = ir.GlobalVariable(module, kind, name)
        constant.linkage = "internal"
        constant.global_constant = True
        constant.initializer = ir.Constant(kind, cells)
    return module.globals[name].bitcast(POINTER)


def _range_of(builder: ir.IRBuilder, table: ir.Value, rows: int, width: int, point: ir.Value) -> ir.Value:
    """The number of the first row of ranges (first, last, ...) whose last is not below `point`; at most rows - 1."""

    def cell(row: ir.Value) -> ir.Value:
        at = builder.add(builder.mul(row, _i64(width)), _i64(1))
        return builder.sext(builder.load(builder.gep(table, [at], source_etype=ir.IntType(32)), typ=ir.IntType(32)), I64)

    def test(carried: list[ir.Value]) -> ir.Value:
        low, high = carried
        return builder.icmp_signed("<", low, high)

    def body(carried: list[ir.Value]) -> Sequence[ir.Value]:
        low, high = carried
        middle = builder.lshr(builder.add(low, high), _i64(1))
        below = builder.icmp_signed("<", cell(middle), point)
        return builder.select(below, builder.add(middle, _i64(1)), low), builder.select(below, high, middle)

    return while_true(builder, (_i64(0), _i64(rows - 1)), test, body)[0]


def _cell(builder: ir.IRBuilder, table: ir.Value, row: ir.Value, width: int, column: int) -> ir.Value:
    at = builder.add(builder.mul(row, _i64(width)), _i64(column))
    return builder.sext(builder.load(builder.gep(table, [at], source_etype=ir.IntType(32)), typ=ir.IntType(32)), I64)


def _kind_function(module: ir.Module) -> ir.Function:
    """`i64 bmc_character_kind(i64 code point)`: 0 separates, 1 stands in words, 2 is an apostrophe."""

    def write(builder: ir.IRBuilder, args: Sequence[ir.Value]) -> None:
        (point,) = args
        with builder.if_then(builder.icmp_unsigned("<", point, _i64(0x80)), likely=True):
            small = builder.gep(_small_kinds(module), [point], source_etype=BYTE)
            builder.ret(builder.zext(builder.load(small, typ=BYTE), I64))
        for apostrophe in APOSTROPHES:
            with builder.if_then(builder.icmp_unsigned("==", point, _i64(apostrophe))):
                builder.ret(_i64(_APOSTROPHE))
        table = _table(module, "bmc_separators", SEPARATORS)
        row = _range_of(builder, table, len(SEPARATORS), 2, point)
        first, last = (_cell(builder, table, row, 2, i) for i in range(2))
        separates = builder.and_(builder.icmp_signed(">=", point, first), builder.icmp_signed("<=", point, last))
        builder.ret(builder.select(separates, _i64(_BREAK), _i64(_LETTER)))

    return _internal(module, "bmc_character_kind", I64, [I64], write)


def _small_kinds(module: ir.Module) -> ir.Value:
    """The kinds of the code points of ASCII, a byte each."""
    name = "bmc_small_kinds"
    if name not in module.globals:
        kinds = bytearray(_LETTER for _ in range(0x80))
        for first, last in SEPARATORS:
            for point in range(first, min(last, 0x7F) + 1):
                kinds[point] = _APOSTROPHE if point in APOSTROPHES else _BREAK
        kind = ir.ArrayType(BYTE, len(kinds))
        constant = ir.GlobalVariable(module, kind, name)
        constant.linkage = "internal"
        constant.global_constant = True
        constant.initializer = ir.Constant(kind, kinds)
    return module.globals[name].bitcast(POINTER)


def _lower_function(module: ir.Module) -> ir.Function:
    """`i64 bmc_lower(i64 code point)`."""

    def write(builder: ir.IRBuilder, args: Sequence[ir.Value]) -> None:
        (point,) = args
        table = _table(module, "bmc_lower_table", LOWER)
        row = _range_of(builder, table, len(LOWER), 4, point)
        first, last, step, shift = (_cell(builder, table, row, 4, i) for i in range(4))
        inside = builder.and_(builder.icmp_signed(">=", point, first), builder.icmp_signed("<=", point, last))
        # Steps are 1 and 2.
        on_step = builder.icmp_signed("==", builder.and_(builder.sub(point, first), builder.sub(step, _i64(1))), _i64(0))
        builder.ret(builder.select(builder.and_(inside, on_step), builder.add(point, shift), point))

    return _internal(module, "bmc_lower", I64, [I64], write)


def lower_bytes_function(module: ir.Module) -> ir.Function:
    """`{i64 read, i64 bytes, i64 written} bmc_lower_bytes(text*, i64 position, i64 length)`: how many bytes the character there
    has, and those of its lower case, the first in the lowest place."""

    def write(builder: ir.IRBuilder, args: Sequence[ir.Value]) -> None:
        text, position, length = args
        head = byte_at(builder, text, position)
        with builder.if_then(builder.icmp_unsigned("<", head, _i64(0x80)), likely=True):
            capital = builder.icmp_unsigned("<", builder.sub(head, _i64(0x41)), _i64(26))
            small = builder.add(head, builder.select(capital, _i64(32), _i64(0)))
            builder.ret(_struct(builder, _TRIPLE, _i64(1), small, _i64(1)))
        found = builder.call(character_function(module), [text, position, length])
        point, size = builder.extract_value(found, 0), builder.extract_value(found, 1)
        with builder.if_then(builder.icmp_unsigned(">=", point, _i64(_ODD))):
            builder.ret(_struct(builder, _TRIPLE, size, builder.and_(point, _i64(0xFF)), _i64(1)))
        low = builder.call(_lower_function(module), [point])
        with builder.if_then(builder.icmp_unsigned("<", low, _i64(0x80))):
            builder.ret(_struct(builder, _TRIPLE, size, low, _i64(1)))

        def part(bits: int) -> ir.Value:
            return builder.or_(builder.and_(builder.lshr(low, _i64(bits)), _i64(0x3F)), _i64(0x80))

        for count, mark in ((2, 0xC0), (3, 0xE0), (4, 0xF0)):
            packed = builder.or_(builder.lshr(low, _i64(6 * (count - 1))), _i64(mark))
            for i in range(1, count):
                packed = builder.or_(packed, builder.shl(part(6 * (count - 1 - i)), _i64(8 * i)))
            made = _struct(builder, _TRIPLE, size, packed, _i64(count))
            if count == 4:
                builder.ret(made)
            else:
                with builder.if_then(builder.icmp_unsigned("<", low, _i64({2: 0x800, 3: 0x10000}[count]))):
                    builder.ret(made)

    return _internal(module, "bmc_lower_bytes", _TRIPLE, [POINTER, I64, I64], write)


# --- words -------------------------------------------------------------------------------------------------------------
def _peek_function(module: ir.Module) -> ir.Function:
    """`{i64 kind, i64 bytes} bmc_peek(text*, i64 position, i64 length)`: of the character there; 0, 0 at the end."""

    def write(builder: ir.IRBuilder, args: Sequence[ir.Value]) -> None:
        text, position, length = args
        with builder.if_then(builder.icmp_signed(">=", position, length)):
            builder.ret(_struct(builder, _PAIR, _i64(_BREAK), _i64(0)))
        found = builder.call(character_function(module), [text, position, length])
        kind = builder.call(_kind_function(module), [builder.extract_value(found, 0)])
        builder.ret(_struct(builder, _PAIR, kind, builder.extract_value(found, 1)))

    return _internal(module, "bmc_peek", _PAIR, [POINTER, I64, I64], write)


def next_word_function(module: ir.Module) -> ir.Function:
    """`{i64 start, i64 stop} bmc_next_word(text*, i64 position, i64 length)`: the first word that begins at or behind a position;
    length, length where there is none."""

    def write(builder: ir.IRBuilder, args: Sequence[ir.Value]) -> None:
        text, position, length = args
        peek = _peek_function(module)
        letter, apostrophe = _i64(_LETTER), _i64(_APOSTROPHE)

        def look(at: ir.Value) -> tuple[ir.Value, ir.Value]:
            found = builder.call(peek, [text, at, length])
            return builder.extract_value(found, 0), builder.extract_value(found, 1)

        def before_word(carried: list[ir.Value]) -> ir.Value:
            kind, _ = look(carried[0])
            outside = builder.icmp_signed("!=", kind, letter)
            return builder.and_(outside, builder.icmp_signed("<", carried[0], length))

        def skip(carried: list[ir.Value]) -> Sequence[ir.Value]:
            return (builder.add(carried[0], look(carried[0])[1]),)

        (start,) = while_true(builder, (position,), before_word, skip)

        def advance(carried: list[ir.Value]) -> Sequence[ir.Value]:
            """Over a letter, or an apostrophe with a letter behind it; by 0 at the end of the word."""
            at, _ = carried
            kind, size = look(at)
            after = builder.add(at, size)
            behind, _ = look(after)
            joins = builder.and_(builder.icmp_signed("==", kind, apostrophe), builder.icmp_signed("==", behind, letter))
            goes_on = builder.or_(builder.icmp_signed("==", kind, letter), joins)
            return builder.select(goes_on, after, at), builder.select(goes_on, size, _i64(0))

        stop, _ = while_true(builder, (start, _i64(1)), lambda c: builder.icmp_signed("!=", c[1], _i64(0)), advance)
        builder.ret(_struct(builder, _PAIR, start, stop))

    return _internal(module, "bmc_next_word", _PAIR, [POINTER, I64, I64], write)
