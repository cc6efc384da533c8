"""Hash tables of texts and of their parts, which the reducers of fitting count with.

In: a module. Out: exported functions over blocks of cells. Guaranteed: a table that is full stops the count where it stands, so
that its owner can empty it and go on; nothing is allocated.
"""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir

from bmc.codegen.contract.loop import each, while_true
from bmc.codegen.opaque.memory import Arrays, i64
from bmc.codegen.opaque.text_parts import next_part, text_hash
from bmc.codegen.value import BYTE, I64, POINTER

__all__ = ["COUNT_PARTS", "write_count_parts"]

COUNT_PARTS = "bmc_count"
"""Beginning of the exported symbols; behind it stands `_whole`, `_words` or `_chars`."""

ENTRY = 24
"""Bytes of an entry: address, length and count; a count of 0 is an empty entry."""


def write_count_parts(module: ir.Module, symbol: str, fused: bool) -> None:
    """`void(cells*, keep*, i64 cells, table*, i64 mask, i64 most, i64 place[3]*)`: see the runtime's `NativeKernels.count_parts`.

    place: the cell and the byte in it at which to go on, and how many entries are used; counting stops where that reaches `most`.
    """
    unit = symbol.rpartition("_")[2]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [POINTER, POINTER, I64, POINTER, I64, I64, POINTER]), symbol)
    cells, keep, count, table, mask, most, place = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    code = Arrays(module, builder, lambda dim: i64(int(str(dim))), fused)

    enter = _entering(code)

    def state(k: int) -> ir.Value:
        return builder.gep(place, [i64(k)], source_etype=I64)

    def cell(carried: list[ir.Value]) -> Sequence[ir.Value]:
        index, position, used = carried
        flag = builder.load(builder.gep(keep, [index], source_etype=BYTE), typ=BYTE)
        address, stored = code.text(cells, index)
        kept = builder.icmp_unsigned("!=", flag, BYTE(0))
        length = builder.select(kept, stored, i64(0))
        if unit == "whole":
            fresh = builder.call(enter, [table, mask, address, length, builder.zext(kept, I64)])
            return builder.add(index, i64(1)), i64(0), builder.add(used, fresh)
        following = next_part(code, unit, address, length)

        def part(inner: list[ir.Value]) -> Sequence[ir.Value]:
            at, filled = inner
            start, stop = following(at)
            found = builder.zext(builder.icmp_signed("<", start, length), I64)
            fresh = builder.call(enter, [table, mask, code.at_bytes(address, start), builder.sub(stop, start), found])
            return stop, builder.add(filled, fresh)

        def goes_on(inner: list[ir.Value]) -> ir.Value:
            return builder.and_(builder.icmp_signed("<", inner[0], length), builder.icmp_signed("<", inner[1], most))

        reached, used = while_true(builder, (position, used), goes_on, part)
        done = builder.icmp_signed(">=", reached, length)
        return builder.add(index, builder.zext(done, I64)), builder.select(done, i64(0), reached), used

    def more(carried: list[ir.Value]) -> ir.Value:
        return builder.and_(builder.icmp_signed("<", carried[0], count), builder.icmp_signed("<", carried[2], most))

    begun = [builder.load(state(k), typ=I64) for k in range(3)]
    for k, value in enumerate(while_true(builder, begun, more, cell)):
        builder.store(value, state(k))
    builder.ret_void()


def _entering(code: Arrays) -> ir.Function:
    """`i64 bmc_enter(table*, i64 mask, text*, i64 length, i64 by)`: adds `by`, 0 or 1, to the count of a text; 1 where it was not
    in the table before and is now."""
    name = "bmc_enter"
    if name in code.module.globals:
        return code.module.globals[name]
    function = ir.Function(code.module, ir.FunctionType(I64, [POINTER, I64, POINTER, I64, I64]), name)
    function.linkage = "internal"
    table, mask, address, length, by = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    with builder.if_then(builder.icmp_signed("==", by, i64(0))):
        builder.ret(i64(0))
    own = Arrays(code.module, builder, code.dims, code.lanes.fused)
    same = _same_bytes(code.module)

    def entry(slot: ir.Value) -> tuple[ir.Value, ir.Value, ir.Value]:
        at = own.at_bytes(table, builder.mul(slot, i64(ENTRY)))
        return at, own.at_bytes(at, i64(8)), own.at_bytes(at, i64(16))

    def taken_by_another(carried: list[ir.Value]) -> ir.Value:
        known, size, number = entry(carried[0])
        used = builder.icmp_signed("!=", builder.load(number, typ=I64), i64(0))
        alike = builder.and_(used, builder.icmp_signed("==", builder.load(size, typ=I64), length))
        # Of other entries no byte is compared.
        equal = builder.call(same, [address, builder.load(known, typ=POINTER), builder.select(alike, length, i64(0))])
        return builder.and_(used, builder.not_(builder.and_(alike, equal)))

    first = builder.and_(text_hash(own, address, length), mask)
    (slot,) = while_true(builder, (first,), taken_by_another, lambda c: (builder.and_(builder.add(c[0], i64(1)), mask),))
    known, size, number = entry(slot)
    before = builder.load(number, typ=I64)
    builder.store(address, known)
    builder.store(length, size)
    builder.store(builder.add(before, i64(1)), number)
    builder.ret(builder.zext(builder.icmp_signed("==", before, i64(0)), I64))
    return function


def _same_bytes(module: ir.Module) -> ir.Function:
    """`i1 bmc_same_bytes(a*, b*, i64 length)`."""
    name = "bmc_same_bytes"
    if name in module.globals:
        return module.globals[name]
    function = ir.Function(module, ir.FunctionType(ir.IntType(1), [POINTER, POINTER, I64]), name)
    function.linkage = "internal"
    a, b, length = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))

    def compare(index: ir.Value) -> None:
        x, y = (builder.load(builder.gep(p, [index], source_etype=BYTE), typ=BYTE) for p in (a, b))
        with builder.if_then(builder.icmp_unsigned("!=", x, y)):
            builder.ret(ir.IntType(1)(0))

    each(builder, i64(0), length, i64(1), compare)
    builder.ret(ir.IntType(1)(1))
    return function
