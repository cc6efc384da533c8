"""The native function that hashes rows by the values of their cells: what splits by hash and `distinct` stand on.

In: an LLVM module. Out: `bmc_hash_rows` in it. Guaranteed: the hashes that `bmc_runtime/hashing.py` defines, bit for bit, for
columns of one number or text a cell; nothing is read beyond a text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llvmlite import ir

from bmc.codegen.contract.loop import each, for_range
from bmc.codegen.splitmix import mixed, mixed_constant, word
from bmc.codegen.value import BYTE, I64, POINTER

__all__ = ["HASH_ROWS", "write_hash_rows"]

HASH_ROWS = "bmc_hash_rows"
"""Exported `void(columns*, i64 columns, i64 rows, i64 salt, totals*)`: a column is (address of its cells, kind, address of its
mask or 0, word of its name), four i64; to the total of each row the mixed hash of each cell is added. `salt`: the seed, mixed."""

_INTEGER, _FLOAT, _TEXT, _MISSING = 1, 2, 3, 5
"""As the runtime's definition has them."""

_NAN = 0x7FF8000000000000
_FIELDS = 4


def write_hash_rows(module: ir.Module) -> None:
    """Emit HASH_ROWS."""
    text = _write_text_hash(module)
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [POINTER, I64, I64, I64, POINTER]), HASH_ROWS)
    columns, count, rows, salt, totals = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))

    def loaded(array: ir.Value, index: ir.Value, kind: ir.Type) -> ir.Value:
        return builder.load(builder.gep(array, [index], source_etype=kind), typ=kind)

    def number(bits: ir.Value, tag: int) -> ir.Value:
        return mixed(builder, builder.xor(bits, mixed_constant(tag)))

    def integer(cells: ir.Value, i: ir.Value, width: int, signed: bool) -> ir.Value:
        found = loaded(cells, i, ir.IntType(width))
        if width < 64:
            found = builder.sext(found, I64) if signed else builder.zext(found, I64)
        return number(found, _INTEGER)

    def fraction(cells: ir.Value, i: ir.Value, kind: ir.Type) -> ir.Value:
        found = loaded(cells, i, kind)
        if kind != ir.DoubleType():
            found = builder.fpext(found, ir.DoubleType())
        found = builder.fadd(found, ir.Constant(ir.DoubleType(), 0.0))  # -0.0 + 0.0 is 0.0
        bits = builder.select(builder.fcmp_unordered("uno", found, found), word(_NAN), builder.bitcast(found, I64))
        return number(bits, _FLOAT)

    def letters(cells: ir.Value, i: ir.Value) -> ir.Value:
        at = builder.shl(i, I64(1))
        address = builder.inttoptr(loaded(cells, at, I64), POINTER)
        return builder.call(text, [address, loaded(cells, builder.add(at, I64(1)), I64), salt])

    kinds: tuple[Callable[[ir.Value, ir.Value], ir.Value], ...] = (
        lambda cells, i: integer(cells, i, 8, signed=False),
        lambda cells, i: integer(cells, i, 32, signed=True),
        lambda cells, i: integer(cells, i, 64, signed=True),
        lambda cells, i: fraction(cells, i, ir.FloatType()),
        lambda cells, i: fraction(cells, i, ir.DoubleType()),
        letters,
    )

    def column(which: ir.Value) -> None:
        first = builder.mul(which, I64(_FIELDS))
        address, kind, mask, name = (loaded(columns, builder.add(first, I64(k)), I64) for k in range(_FIELDS))
        cells, present = builder.inttoptr(address, POINTER), builder.inttoptr(mask, POINTER)
        masked = builder.icmp_unsigned("!=", mask, I64(0))
        after = function.append_basic_block("after")
        choice = builder.switch(kind, after)
        for code, hashed in enumerate(kinds):
            block = function.append_basic_block(f"kind{code}")
            choice.add_case(I64(code), block)
            builder.position_at_end(block)

            def row(i: ir.Value, hashed: Callable[[ir.Value, ir.Value], ir.Value] = hashed) -> None:
                found = hashed(cells, i)
                # Without a mask some byte that is there is looked at, to no effect.
                flag = loaded(builder.select(masked, present, cells), builder.select(masked, i, I64(0)), BYTE)
                missing = builder.and_(masked, builder.icmp_unsigned("==", flag, BYTE(0)))
                found = builder.select(missing, mixed_constant(_MISSING), found)
                place = builder.gep(totals, [i], source_etype=I64)
                builder.store(builder.add(builder.load(place, typ=I64), mixed(builder, builder.xor(found, name))), place)

            each(builder, I64(0), rows, I64(1), row)
            builder.branch(after)
        builder.position_at_end(after)

    each(builder, I64(0), count, I64(1), column)
    builder.ret_void()


def _write_text_hash(module: ir.Module) -> ir.Function:
    """`i64(text*, i64 length, i64 salt)`: words of eight bytes, the last one filled up with zeros."""
    function = ir.Function(module, ir.FunctionType(I64, [POINTER, I64, I64]), f"{HASH_ROWS}.text")
    function.linkage = "internal"
    text, length, salt = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))

    def added(total: ir.Value, part: ir.Value, k: ir.Value) -> ir.Value:
        place = builder.xor(mixed(builder, builder.add(k, I64(1))), salt)
        return builder.add(total, mixed(builder, builder.xor(part, place)))

    def whole_word(k: ir.Value, carried: list[ir.Value]) -> Sequence[ir.Value]:
        at = builder.gep(text, [builder.shl(k, I64(3))], source_etype=BYTE)
        return (added(carried[0], builder.load(at, align=1, typ=I64), k),)

    def last_byte(j: ir.Value, carried: list[ir.Value]) -> Sequence[ir.Value]:
        byte = builder.load(builder.gep(text, [j], source_etype=BYTE), typ=BYTE)
        shift = builder.shl(builder.and_(j, I64(7)), I64(3))
        return (builder.or_(carried[0], builder.shl(builder.zext(byte, I64), shift)),)

    words = builder.lshr(length, I64(3))
    start = builder.xor(length, I64(_TEXT))
    (total,) = for_range(builder, I64(0), words, I64(1), (start,), whole_word)
    (rest,) = for_range(builder, builder.shl(words, I64(3)), length, I64(1), (I64(0),), last_byte)
    with_rest = added(total, rest, words)
    some = builder.icmp_unsigned("!=", builder.and_(length, I64(7)), I64(0))
    builder.ret(mixed(builder, builder.select(some, with_rest, total)))
    return function
