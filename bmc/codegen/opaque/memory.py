"""Scalar code over arrays: what kernels outside the loop machinery are written with.

`Arrays` wraps a builder in the entry block of a kernel's function: typed loads and stores by linear element index, loops, and
copies of runs of bytes. A `str` cell is two i64: address and length.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llvmlite import ir

from bmc.codegen.contract.loop import each, for_range
from bmc.codegen.lanes import Lanes
from bmc.codegen.typed import element_dtype
from bmc.codegen.value import BYTE, I64, POINTER, Value, memory_type, size_of
from bmc.ir import Dim

__all__ = ["Arrays", "cell_bytes", "i64"]

CHUNK = 32
CELL_BYTES = 16


def i64(value: int) -> ir.Constant:
    return ir.Constant(I64, value)


def cell_bytes(dtype: str) -> int:
    """Bytes of one element in memory; a `str` cell is a view of 16."""
    return CELL_BYTES if dtype == "str" else size_of(element_dtype(dtype))


class Arrays:
    def __init__(self, module: ir.Module, builder: ir.IRBuilder, dims: Callable[[Dim], ir.Value], fused: bool) -> None:
        self.module = module
        self.builder = builder
        self.dims = dims
        self.lanes = Lanes(builder, 1, fused)

    def size(self, dim: Dim) -> ir.Value:
        return self.dims(dim)

    def each(self, count: ir.Value, body: Callable[[ir.Value], None]) -> None:
        """`for i in range(count): body(i)`."""
        each(self.builder, i64(0), count, i64(1), body)

    def fold(
        self, count: ir.Value, start: Sequence[ir.Value], body: Callable[[ir.Value, list[ir.Value]], Sequence[ir.Value]]
    ) -> list[ir.Value]:
        """A loop that carries values."""
        return for_range(self.builder, i64(0), count, i64(1), start, body)

    def load(self, pointer: ir.Value, index: ir.Value, dtype: str) -> Value:
        return self.lanes.load(pointer, index, element_dtype(dtype))

    def store(self, value: Value, pointer: ir.Value, index: ir.Value) -> None:
        self.lanes.store(value, pointer, index)

    def integer(self, pointer: ir.Value, index: ir.Value, dtype: str) -> ir.Value:
        """An integer element as i64."""
        return self.lanes.cast(self.load(pointer, index, dtype), "i64").ir

    def clamp(self, index: ir.Value, count: ir.Value) -> ir.Value:
        """`index` moved into [0, count)."""
        builder = self.builder
        last = builder.sub(count, i64(1))
        below = builder.select(builder.icmp_signed("<", index, last), index, last)
        return builder.select(builder.icmp_signed(">", below, i64(0)), below, i64(0))

    def at_bytes(self, pointer: ir.Value, offset: ir.Value) -> ir.Value:
        return self.builder.gep(pointer, [offset], source_etype=BYTE)

    def element(self, pointer: ir.Value, index: ir.Value, dtype: str) -> ir.Value:
        """The address of element `index`."""
        if dtype == "str":
            return self.at_bytes(pointer, self.builder.mul(index, i64(CELL_BYTES)))
        return self.builder.gep(pointer, [index], source_etype=memory_type(element_dtype(dtype)))

    def text(self, pointer: ir.Value, index: ir.Value) -> tuple[ir.Value, ir.Value]:
        """Address (a pointer) and length (i64) of a `str` cell."""
        cell = self.element(pointer, index, "str")
        address = self.builder.load(cell, typ=POINTER)
        length = self.builder.load(self.at_bytes(cell, i64(8)), typ=I64)
        return address, length

    def copy(self, target: ir.Value, source: ir.Value, count: ir.Value) -> None:
        """Copy `count` bytes between places that do not overlap."""
        self.builder.call(_copy_function(self.module), [target, source, count])

    def zero(self, target: ir.Value, count: ir.Value) -> None:
        """Set `count` bytes to zero."""
        self.builder.call(_zero_function(self.module), [target, count])


def _copy_function(module: ir.Module) -> ir.Function:
    name = "bmc_copy"
    if name in module.globals:
        return module.globals[name]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [POINTER, POINTER, I64]), name)
    function.linkage = "internal"
    target, source, count = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))

    def move(kind: ir.Type) -> Callable[[ir.Value], None]:
        def one(offset: ir.Value) -> None:
            value = builder.load(builder.gep(source, [offset], source_etype=BYTE), align=1, typ=kind)
            builder.store(value, builder.gep(target, [offset], source_etype=BYTE), align=1)

        return one

    whole = builder.and_(count, i64(-CHUNK))
    words = builder.and_(count, i64(-4))
    each(builder, i64(0), whole, i64(CHUNK), move(ir.VectorType(BYTE, CHUNK)))
    each(builder, whole, words, i64(4), move(ir.IntType(32)))
    each(builder, words, count, i64(1), move(BYTE))
    builder.ret_void()
    return function


def _zero_function(module: ir.Module) -> ir.Function:
    name = "bmc_zero"
    if name in module.globals:
        return module.globals[name]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [POINTER, I64]), name)
    function.linkage = "internal"
    target, count = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))

    def clear(kind: ir.Type) -> Callable[[ir.Value], None]:
        def one(offset: ir.Value) -> None:
            builder.store(ir.Constant(kind, None), builder.gep(target, [offset], source_etype=BYTE), align=1)

        return one

    whole = builder.and_(count, i64(-CHUNK))
    each(builder, i64(0), whole, i64(CHUNK), clear(ir.VectorType(BYTE, CHUNK)))
    each(builder, whole, count, i64(1), clear(BYTE))
    builder.ret_void()
    return function
