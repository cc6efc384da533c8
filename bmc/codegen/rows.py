"""The native function by which rows of raw columns become a batch: one call for all columns.

In: an LLVM module. Out: `bmc_gather_rows` in it. Guaranteed: cells of 1, 4, 8 and 16 bytes, which are nearly all, are moved by
loads and stores; no cell beyond those of the index is read.
"""

from __future__ import annotations

from llvmlite import ir

from bmc.codegen.contract.loop import each
from bmc.codegen.value import I64, POINTER

__all__ = ["GATHER_ROWS", "write_gather_rows"]

GATHER_ROWS = "bmc_gather_rows"
"""Exported `void(columns*, i64 columns, index*, i64 rows)`: a column is (address of its cells, address of the batch's, bytes of a
cell), three i64; cell `index[i]` goes to place i."""

_WORDS = {1: (ir.IntType(8), 1), 4: (ir.IntType(32), 1), 8: (I64, 1), 16: (I64, 2)}
"""By the bytes of a cell: how it is moved, and in how many parts."""


def write_gather_rows(module: ir.Module, copy: ir.Function) -> None:
    """`copy`: `llvm.memcpy`, for cells of other sizes."""
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [POINTER, I64, POINTER, I64]), GATHER_ROWS)
    columns, count, index, rows = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    byte, truth = ir.IntType(8), ir.IntType(1)

    def column(number: ir.Value) -> None:
        first = builder.mul(number, I64(3))
        source, target, width = (
            builder.load(builder.gep(columns, [builder.add(first, I64(k))], source_etype=I64), typ=I64) for k in range(3)
        )
        cells, batch = builder.inttoptr(source, POINTER), builder.inttoptr(target, POINTER)
        after, other = function.append_basic_block("after"), function.append_basic_block("other")
        choice = builder.switch(width, other)

        def place(i: ir.Value) -> ir.Value:
            return builder.load(builder.gep(index, [i], source_etype=I64), typ=I64)

        for size, (word, parts) in _WORDS.items():
            block = function.append_basic_block(f"bytes{size}")
            choice.add_case(I64(size), block)
            builder.position_at_end(block)

            def move(i: ir.Value, word: ir.Type = word, parts: int = parts) -> None:
                read, write = builder.mul(place(i), I64(parts)), builder.mul(i, I64(parts))
                for k in range(parts):
                    found = builder.load(builder.gep(cells, [builder.add(read, I64(k))], source_etype=word), typ=word)
                    builder.store(found, builder.gep(batch, [builder.add(write, I64(k))], source_etype=word))

            each(builder, I64(0), rows, I64(1), move)
            builder.branch(after)
        builder.position_at_end(other)

        def moved(i: ir.Value) -> None:
            read = builder.gep(cells, [builder.mul(place(i), width)], source_etype=byte)
            write = builder.gep(batch, [builder.mul(i, width)], source_etype=byte)
            builder.call(copy, [write, read, width, truth(0)])

        each(builder, I64(0), rows, I64(1), moved)
        builder.branch(after)
        builder.position_at_end(after)

    each(builder, I64(0), count, I64(1), column)
    builder.ret_void()
