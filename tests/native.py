"""Runs operations and functions natively on guarded memory, for comparison with the reference evaluator.

`compile_kernels` compiles many operations into one module; `NativeKernel.run` calls one of them on arrays that end (or
begin) at a page without access: touching one byte outside ends the process. Results start as garbage.
`NativeFunction` takes a whole function through the compiler's back half and the runtime's binding.
"""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from llvmlite import ir

from bmc.codegen.contract.spec import VectorBytes
from bmc.codegen.jit import Loaded, load_object
from bmc.codegen.kernel import emit_kernel, symbols_of
from bmc.codegen.opaque import OPAQUE_KERNELS
from bmc.codegen.target import Target, compile_object, host_target
from bmc.driver.compiled import Options
from bmc.driver.lower import Lowered, lower_function, write_llvm
from bmc.ir import Function, Operation, Region, TensorType, Value
from bmc.ir.dims import evaluate as evaluate_dim
from bmc.ops.kernel import KernelAttrs
from bmc.ops.lowering import Contraction, Opaque, Reduction
from bmc.ops.table import definition
from bmc_runtime.binding import BoundFunction, Library
from bmc_runtime.memory import DTYPES, SCRATCH_BYTES, allocate
from bmc_runtime.plan import Program

Edge = Literal["start", "end"]
GARBAGE = 0xA5
TARGET = host_target()
PLAIN = Options()
_PAGE = mmap.PAGESIZE
_LIBC = ctypes.CDLL(None, use_errno=True)


class Guarded:
    """An array between two pages without access, which it touches at one edge."""

    def __init__(self, dtype: Any, shape: Sequence[int], edge: Edge = "end") -> None:
        count = int(np.prod(shape, dtype=np.int64))
        kind = np.dtype(dtype)
        bytes_ = count * kind.itemsize
        inner = -(-max(bytes_, 1) // _PAGE) * _PAGE
        self._memory = mmap.mmap(-1, inner + 2 * _PAGE)
        base = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        for page in (base, base + _PAGE + inner):
            if _LIBC.mprotect(ctypes.c_void_p(page), ctypes.c_size_t(_PAGE), 0):
                raise OSError(ctypes.get_errno(), "mprotect")
        start = _PAGE + (inner - bytes_ if edge == "end" else 0)
        self.address = base + start
        np.frombuffer(self._memory, np.uint8, bytes_, start)[:] = GARBAGE
        self.view = np.frombuffer(self._memory, kind, count, start).reshape(tuple(shape))

    @staticmethod
    def of(array: Any, edge: Edge = "end") -> Guarded:
        guarded = Guarded(array.dtype, array.shape, edge)
        guarded.view[...] = array
        return guarded


class GuardedText:
    """A `str` array: guarded cells, each of which views guarded bytes."""

    def __init__(self, texts: Any, edge: Edge) -> None:
        self._bytes = [Guarded.of(np.frombuffer(str(text).encode(), np.uint8), edge) for text in texts.reshape(-1)]
        self._cells = Guarded(DTYPES["str"], texts.shape, edge)
        flat = self._cells.view.reshape(-1)
        for i, held in enumerate(self._bytes):
            flat[i] = (held.address, held.view.size)
        self.address, self.view = self._cells.address, self._cells.view


def text_of(cells: Any) -> Any:
    """The texts that the views in `cells` point to, as Python strings."""
    texts = np.empty(cells.shape, object)
    flat = cells.reshape(-1)
    for i in range(flat.size):
        texts.reshape(-1)[i] = ctypes.string_at(int(flat[i]["address"]), int(flat[i]["length"])).decode()
    return texts


@dataclass(frozen=True)
class NativeKernel:
    op: Operation
    entry: Callable[..., None]
    keep: Loaded

    def run(
        self, arrays: Sequence[Any], bindings: Mapping[str, int], edge: Edge = "end", alias: Mapping[int, int] | None = None
    ) -> list[Any]:
        """The results. `alias`: results (by number) that lie where an operand lies."""
        held: list[Guarded | GuardedText] = [GuardedText(a, edge) if a.dtype == object else Guarded.of(a, edge) for a in arrays]
        places: list[Guarded | GuardedText] = []
        for number, value in enumerate(self.op.results):
            shape = tuple(evaluate_dim(dim, bindings) for dim in value.type.shape)
            if alias is not None and number in alias:
                places.append(held[alias[number]])
            else:
                places.append(Guarded(DTYPES[value.type.dtype], shape, edge))
        scratch = np.full(SCRATCH_BYTES + 64, 0xFF, np.uint8)  # as floats: NaN
        aligned = scratch.ctypes.data + -scratch.ctypes.data % 64
        self.entry(*(h.address for h in (*held, *places)), *(bindings[name] for name in symbols_of(self.op)), aligned)
        if alias is None:
            for before, after in zip(arrays, held, strict=True):
                if before.dtype != object:
                    np.testing.assert_array_equal(after.view, before, err_msg="a kernel changed its operand")
        return [text_of(p.view) if v.type.dtype == "str" else p.view.copy() for p, v in zip(places, self.op.results, strict=True)]


def compile_kernels(ops: Sequence[Operation], target: Target = TARGET, vector_bytes: VectorBytes = 32) -> list[NativeKernel]:
    """Native functions of kernel operations and of operations with kernels of their own, compiled together."""
    module = ir.Module("test")
    names = [f"k{number}" for number in range(len(ops))]
    for name, op in zip(names, ops, strict=True):
        lowering = definition(op.name).lowering
        if isinstance(lowering, Opaque):
            function = OPAQUE_KERNELS[lowering.kernel](module, name, op, target.fused)
        else:
            function = emit_kernel(module, name, op, target.fused, vector_bytes)
        function.linkage = ""
    loaded = load_object(compile_object(str(module), target), names)
    kernels = []
    for name, op in zip(names, ops, strict=True):
        pointers = [ctypes.c_void_p] * (len(op.operands) + len(op.results))
        kind = ctypes.CFUNCTYPE(None, *pointers, *[ctypes.c_int64] * len(symbols_of(op)), ctypes.c_void_p)
        kernels.append(NativeKernel(op, kind(loaded.address(name)), loaded))
    return kernels


def as_kernel(op: Operation) -> Operation:
    """An operation as something code generation takes: itself if it has a kernel of its own, else alone in a region."""
    lowering = definition(op.name).lowering
    if isinstance(lowering, Opaque):
        return op
    kind = "contract" if isinstance(lowering, Contraction) else "reduce" if isinstance(lowering, Reduction) else "map"
    return kernel(kind, op.operands, (op,), op.results)


def kernel(kind: str, params: Sequence[Value], ops: Sequence[Operation], results: Sequence[Value]) -> Operation:
    """A `kernel` operation on fresh values."""
    region = Region(tuple(params), tuple(ops), tuple(results))
    return Operation(
        "kernel", tuple(Value(p.type) for p in params), KernelAttrs(kind, "test"), tuple(Value(r.type) for r in results), (region,)
    )


def program_of_function(function: Function, options: Options = PLAIN, target: Target = TARGET) -> tuple[list[Lowered], Program]:
    lowered = lower_function(function, options)
    plans = {item.name: item.memory.plan for item in lowered}
    return lowered, Program(plans, compile_object(str(write_llvm(lowered, target)), target))


@dataclass(frozen=True)
class NativeFunction:
    """A function compiled and loaded."""

    function: Function
    library: Library

    @staticmethod
    def compile(function: Function, options: Options = PLAIN, target: Target = TARGET) -> NativeFunction:
        _, program = program_of_function(function, options, target)
        return NativeFunction(function, Library(program, load_object))

    def run(self, inputs: Mapping[str, Any], bindings: Mapping[str, int], shards: int = 1) -> dict[str, Any]:
        """The results by key, as the reference evaluator gives them. `inputs` are not changed."""
        store = {}
        for param in self.function.params:
            if param.role in ("weight", "state", "moment", "fitted"):
                array = allocate(param.value.type.dtype, inputs[param.key].shape)
                array[...] = inputs[param.key]
                store[param.key] = array
        bound = BoundFunction(self.library, self.function.name, store, shards)
        plan = bound.plan
        given = {key: np.ascontiguousarray(inputs[key]) for key in bound.keys("input")}
        names = {*plan.dims, *([plan.row] if plan.row else [])}
        binding = bound.bind({name: bindings[name] for name in names}, given)
        if "control" in inputs:
            seed, step, first_row, steps, epoch, rows = inputs["control"][:6].tolist()
            binding.set_control(seed, step, first_row, steps, epoch, rows)
        binding.run()
        found = {}
        for result in self.function.results:
            source = binding.outputs if result.role == "output" else store
            found[result.key] = source[result.key].copy()
        return found


def typed(dtype: str, *shape: Any) -> Value:
    """A fresh value."""
    return Value(TensorType(dtype, tuple(shape)))
