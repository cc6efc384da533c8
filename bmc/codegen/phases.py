"""The native functions of a plan's steps: straight lines of kernel calls.

In: the planned phases of one or more functions (operations in order, the buffer index of every value). Out: LLVM functions
`i32 symbol(void **table, const i64 *dims, void *scratch)`, and the kernels that they call, each kernel once however many layers
use it. Status 0: done; 1: a guarded value was not finite and the rest did not run. Guaranteed: whatever floating-point mode the
calling thread has, code runs in the default one, and the thread has its own back afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TypeAlias

from llvmlite import ir

from bmc.codegen.contract.loop import each
from bmc.codegen.contract.spec import VectorBytes
from bmc.codegen.float_mode import enter_default_mode
from bmc.codegen.kernel import emit_kernel, symbols_of
from bmc.codegen.kernel.code import WIDTH
from bmc.codegen.lanes import Lanes
from bmc.codegen.loop import emit_loop
from bmc.codegen.opaque import OPAQUE_KERNELS
from bmc.codegen.opaque.counting import COUNT_PARTS, write_count_parts
from bmc.codegen.opaque.statistics import write_statistics
from bmc.codegen.row_hashes import write_hash_rows
from bmc.codegen.rows import write_gather_rows
from bmc.codegen.sites import without_sites
from bmc.codegen.typed import float_dtype_of
from bmc.codegen.value import I64, POINTER, memory_type
from bmc.errors import CompilerBug
from bmc.ir import Operation, Value
from bmc.ops.element import Dtype
from bmc.ops.lowering import Expanded, Loop, Opaque, Reshape
from bmc.ops.table import definition

__all__ = ["ADD_SYMBOLS", "COPY_RUNS", "LlvmModule", "PhaseWriter", "empty_module"]

LlvmModule: TypeAlias = ir.Module

_ADDED: tuple[Dtype, ...] = ("i32", "i64", "f32", "f64")
ADD_SYMBOLS: Mapping[Dtype, str] = MappingProxyType({dtype: f"bmc_add_{dtype}" for dtype in _ADDED})
"""Exported `void(left*, right*, i64 count)`: left += right, for the sums over shards."""

COPY_RUNS = "bmc_copy_runs"
"""Exported `void(target*, runs*, i64 rows, i64 row bytes, i64 step bytes)`: each run (address, steps) to the next row of the
target, what is left of the row zero."""

PART = 64
"""Operations in one basic block: instruction selection is slow on very long ones."""

GUARD = "guard_finite"


def empty_module(triple: str) -> LlvmModule:
    """A module for one program."""
    module: LlvmModule = ir.Module("bmc")
    module.triple = triple
    return module


class PhaseWriter:
    """Writes phases into one module. `key` names equal kernels: operations of equal keys share one function."""

    def __init__(self, module: ir.Module, fused: bool, key: Callable[[Operation], str], vector_bytes: VectorBytes = 32) -> None:
        self.module = module
        self.fused = fused
        self.vector_bytes: VectorBytes = vector_bytes
        self.key = key
        self._kernels: dict[str, ir.Function] = {}

    def write_additions(self) -> None:
        """Emit the functions of ADD_SYMBOLS, COPY_RUNS and GATHER_ROWS: what every program has for the runtime."""
        for dtype, symbol in ADD_SYMBOLS.items():
            self._write_addition(dtype, symbol)
        self._write_copy()

    def write_hashing(self) -> None:
        """Emit HASH_ROWS, for programs that read tables."""
        write_hash_rows(self.module)

    def write_reducing(self, symbols: Sequence[str]) -> None:
        """Emit what the program's reducers call, by symbol."""
        for symbol in symbols:
            if symbol.startswith(f"{COUNT_PARTS}_"):
                write_count_parts(self.module, symbol, self.fused)
            else:
                write_statistics(self.module, symbol)

    def _write_copy(self) -> None:
        function = ir.Function(self.module, ir.FunctionType(ir.VoidType(), [POINTER, POINTER, I64, I64, I64]), COPY_RUNS)
        target, runs, rows, width, step = function.args
        truth, byte = ir.IntType(1), ir.IntType(8)
        copy_type = ir.FunctionType(ir.VoidType(), [POINTER, POINTER, I64, truth])
        fill_type = ir.FunctionType(ir.VoidType(), [POINTER, byte, I64, truth])
        copy = ir.Function(self.module, copy_type, "llvm.memcpy.p0.p0.i64")
        fill = ir.Function(self.module, fill_type, "llvm.memset.p0.i64")
        builder = ir.IRBuilder(function.append_basic_block("entry"))

        def row(i: ir.Value) -> None:
            at = builder.mul(i, I64(2))
            address = builder.load(builder.gep(runs, [at], source_etype=I64), typ=I64)
            steps = builder.load(builder.gep(runs, [builder.add(at, I64(1))], source_etype=I64), typ=I64)
            size = builder.mul(steps, step)
            size = builder.select(builder.icmp_signed("<", size, width), size, width)
            start = builder.gep(target, [builder.mul(i, width)], source_etype=byte)
            builder.call(copy, [start, builder.inttoptr(address, POINTER), size, truth(0)])
            rest = builder.gep(start, [size], source_etype=byte)
            builder.call(fill, [rest, byte(0), builder.sub(width, size), truth(0)])

        each(builder, I64(0), rows, I64(1), row)
        builder.ret_void()
        write_gather_rows(self.module, copy)

    def _write_addition(self, dtype: Dtype, symbol: str) -> None:
        function = ir.Function(self.module, ir.FunctionType(ir.VoidType(), [POINTER, POINTER, I64]), symbol)
        left, right, count = function.args
        builder = ir.IRBuilder(function.append_basic_block("entry"))
        restore = enter_default_mode(builder, self.module.triple)

        def add(lanes: Lanes, i: ir.Value) -> None:
            lanes.store(lanes.add(lanes.load(left, i, dtype), lanes.load(right, i, dtype)), left, i)

        whole, wide, scalar = builder.and_(count, I64(-WIDTH)), Lanes(builder, WIDTH, self.fused), Lanes(builder, 1, self.fused)
        each(builder, I64(0), whole, I64(WIDTH), lambda i: add(wide, i))
        each(builder, whole, count, I64(1), lambda i: add(scalar, i))
        restore()
        builder.ret_void()

    def write(self, symbol: str, ops: Sequence[Operation], table: Mapping[Value, int], dims: Sequence[str]) -> ir.Function:
        """Emit one step. `table` gives the index of each value's address; `dims` the order of the run-time dims."""
        kind = ir.FunctionType(ir.IntType(32), [POINTER, POINTER, POINTER])
        run = [op for op in ops if not isinstance(definition(op.name).lowering, Reshape)]
        parts = []
        for first in range(0, len(run), PART):
            part = ir.Function(self.module, kind, f"{symbol}.part{first // PART}")
            part.linkage = "internal"
            self._part(part, run[first : first + PART], table, dims)
            parts.append(part)
        function = ir.Function(self.module, kind, symbol)
        builder = ir.IRBuilder(function.append_basic_block("entry"))
        restore = enter_default_mode(builder, self.module.triple)
        good, failed = ir.IntType(32)(0), function.append_basic_block("failed")
        status: ir.Value = good
        for part in parts:
            status = builder.call(part, list(function.args))
            following = function.append_basic_block("next")
            builder.cbranch(builder.icmp_signed("==", status, good), following, failed)
            builder.position_at_end(following)
        restore()
        builder.ret(good)
        builder.position_at_end(failed)
        restore()
        builder.ret(ir.IntType(32)(1))
        return function

    def _part(self, function: ir.Function, ops: Sequence[Operation], table: Mapping[Value, int], dims: Sequence[str]) -> None:
        addresses, sizes, scratch = function.args
        builder = ir.IRBuilder(function.append_basic_block("entry"))
        known: dict[str, ir.Value] = {}

        def address(value: Value) -> ir.Value:
            slot = builder.gep(addresses, [I64(table[value])], source_etype=POINTER)
            return builder.load(slot, typ=POINTER)

        def size(name: str) -> ir.Value:
            if name not in known:
                slot = builder.gep(sizes, [I64(list(dims).index(name))], source_etype=I64)
                known[name] = builder.load(slot, typ=I64)
            return known[name]

        for op in ops:
            lowering = definition(op.name).lowering
            if isinstance(lowering, Opaque) and lowering.kernel == GUARD:
                self._guard(builder, function, op, address)
                continue
            shared, sites = without_sites(op)
            kernel = self._kernel(shared)
            pointers = [address(v) for v in (*op.operands, *op.results)]
            numbers = [I64(sites[name]) if name in sites else size(name) for name in symbols_of(shared)]
            builder.call(kernel, [*pointers, *numbers, scratch])
        builder.ret(ir.IntType(32)(0))

    def _guard(self, builder: ir.IRBuilder, function: ir.Function, op: Operation, address: Callable[[Value], ir.Value]) -> None:
        """Return 1 unless x - x is 0, as it is for finite x only; else pass the value on."""
        (operand,) = op.operands
        kind = memory_type(float_dtype_of(operand))
        value = builder.load(address(operand), typ=kind)
        finite = builder.fcmp_ordered("==", builder.fsub(value, value), ir.Constant(kind, 0.0))
        passed, failed = function.append_basic_block("finite"), function.append_basic_block("stopped")
        for result in op.results:
            builder.store(value, address(result))
        builder.cbranch(finite, passed, failed)
        builder.position_at_end(failed)
        builder.ret(ir.IntType(32)(1))
        builder.position_at_end(passed)

    def _kernel(self, op: Operation) -> ir.Function:
        key = self.key(op)
        found = self._kernels.get(key)
        if found is None:
            lowering = definition(op.name).lowering
            for inner in op.regions[0].ops if isinstance(lowering, Loop) else ():
                if not isinstance(definition(inner.name).lowering, Reshape):
                    self._kernel(inner)  # before the loop, which is named by the number of kernels so far
            name = f"k{len(self._kernels)}_{getattr(op.attrs, 'name', '') or op.name}"
            if isinstance(lowering, Loop):
                found = emit_loop(self.module, name, op, self.fused, self._kernel)
            elif op.regions:
                found = emit_kernel(self.module, name, op, self.fused, self.vector_bytes)
            elif isinstance(lowering, Opaque):
                found = OPAQUE_KERNELS[lowering.kernel](self.module, name, op, self.fused)
            elif isinstance(lowering, Expanded):
                raise CompilerBug("codegen", f"{op.name} reached code generation; {lowering.by} removes it")
            else:
                raise CompilerBug("codegen", f"{op.name} was not fused into a kernel")
            self._kernels[key] = found
        return found
