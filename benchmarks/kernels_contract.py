"""Matrix products against numpy's OpenBLAS: one process, one thread, interleaved, best of many short rounds.

    python benchmarks/kernels_contract.py [--no-avx512] [SUBSTRING ...]     cases whose name contains a SUBSTRING

Each line: the case, GFLOP/s of ours and of OpenBLAS, and the ratio of the times (above 100 %: ours is faster). Both are
called from the same native loop, so that the cost of a call from Python (about 1 us) hides no difference. Results are
checked against numpy's before anything is timed. With --no-avx512 neither side uses AVX-512.
"""

import ctypes
import os
import pathlib
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

# Read when numpy loads the library.
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ.update({"OPENBLAS_CORETYPE": "Haswell"} if "--no-avx512" in sys.argv else {})

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir

from bmc.codegen.contract import ContractSpec, emit_contract, scratch_bytes, vector_bytes_of

ROUNDS = 25
ROUND_SECONDS = 0.004


@dataclass(frozen=True)
class Case:
    """One product: C[m, n] = A[m, k] B[k, n], with the forms in which A and B are stored."""

    name: str
    m: int
    n: int
    k: int
    a_transposed: bool = False
    b_transposed: bool = False


def dense(name: str, rows: int, inputs: int, outputs: int) -> list[Case]:
    """Forward, input gradient and weight gradient of a dense layer."""
    return [
        Case(f"{name} forward", rows, outputs, inputs),
        Case(f"{name} dx", rows, inputs, outputs, b_transposed=True),
        Case(f"{name} dw", inputs, outputs, rows, a_transposed=True),
    ]


CASES = [
    *[Case(f"square {size}", size, size, size) for size in (64, 128, 256, 512, 1024)],
    *dense("W1 32x100x64", 32, 100, 64),
    *dense("W1 32x64x64", 32, 64, 64),
    *dense("W1 32x64x10", 32, 64, 10),
    *dense("W1 256x100x64", 256, 100, 64),
    *dense("W1 256x64x10", 256, 64, 10),
    *dense("W2 256x784x1024", 256, 784, 1024),
    *dense("W2 256x1024x1024", 256, 1024, 1024),
    *dense("W2 256x1024x10", 256, 1024, 10),
    Case("row 1x100x64", 1, 64, 100),
    Case("row 1x64x10", 1, 10, 64),
    Case("row 1x1024x1024", 1, 1024, 1024),
    *[Case(f"batch {rows}x1024x1024", rows, 1024, 1024) for rows in (2, 4, 8, 16, 32, 64)],
    *dense("W6 1024x128x512", 1024, 128, 512),
    *dense("W4 32x128x512", 32, 128, 512),
    Case("attention 64x32x64 scores", 64, 64, 32, b_transposed=True),
    Case("attention 64x64x32 values", 64, 32, 64),
    Case("odd 250x333x777", 250, 777, 333),
    Case("deep 64x20000x288", 64, 288, 20000, a_transposed=True),
]


def aligned(count: int, dtype: type[np.generic]) -> np.ndarray:
    """A 64-byte aligned vector."""
    size = count * np.dtype(dtype).itemsize
    raw = np.zeros(size + 64, np.uint8)
    offset = -raw.ctypes.data % 64
    return raw[offset : offset + size].view(dtype)


def matrix(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    result = aligned(rows * columns, np.float32).reshape(rows, columns)
    result[:] = rng.standard_normal((rows, columns))
    return result


BLAS_ARGUMENTS = "iiilllfplplfpl"
OUR_ARGUMENTS = "ppppllllll"
IR_TYPES = {"i": ir.IntType(32), "l": ir.IntType(64), "f": ir.FloatType(), "p": ir.PointerType()}
C_TYPES: dict[str, Any] = {"i": ctypes.c_int32, "l": ctypes.c_int64, "f": ctypes.c_float, "p": ctypes.c_void_p}
ROW_MAJOR, PLAIN, TRANSPOSED = 101, 111, 112


def emit_repeat(module: ir.Module, callee: ir.Function) -> None:
    """`void NAME.repeat(i64 count, arguments...)`: call the function `count` times (at least once)."""
    parameters = [ir.IntType(64), *callee.function_type.args]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), parameters), f"{callee.name}.repeat")
    entry, loop, after = (function.append_basic_block(part) for part in ("entry", "loop", "after"))
    builder = ir.IRBuilder(entry)
    builder.branch(loop)
    builder.position_at_end(loop)
    left = builder.phi(ir.IntType(64))
    left.add_incoming(function.args[0], entry)
    builder.call(callee, function.args[1:])
    rest = builder.sub(left, ir.Constant(ir.IntType(64), 1))
    left.add_incoming(rest, loop)
    builder.cbranch(builder.icmp_signed(">", rest, ir.Constant(ir.IntType(64), 0)), loop, after)
    builder.position_at_end(after)
    builder.ret_void()


def blas_address() -> int:
    """cblas_sgemm (64-bit integers) of the OpenBLAS that numpy ships with."""
    folder = pathlib.Path(np.__file__).parent.parent / "numpy.libs"
    library = next(folder.glob("libscipy_openblas64_*"))
    address = ctypes.cast(ctypes.CDLL(str(library)).scipy_cblas_sgemm64_, ctypes.c_void_p).value
    assert address is not None
    return address


class Compiled:
    """Products of one module, one for each pair of forms, and the loops that call them and the BLAS."""

    def __init__(self, specs: dict[str, ContractSpec], features: str) -> None:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        machine = llvm.Target.from_default_triple().create_target_machine(features=features, opt=2, codemodel="small", reloc="pic")
        start = time.perf_counter()
        module = ir.Module()
        products = [emit_contract(module, name, spec, None, ()) for name, spec in specs.items()]
        emitted = time.perf_counter()
        self.instructions = sum(len(block.instructions) for f in module.functions for block in f.blocks)
        parsed_module = llvm.parse_assembly(str(module))
        parsed = time.perf_counter()
        machine.emit_object(parsed_module)
        compiled = time.perf_counter()
        self.seconds = (emitted - start, parsed - emitted, compiled - parsed)
        for product in products:
            emit_repeat(module, product)
        blas_type = ir.FunctionType(ir.VoidType(), [IR_TYPES[letter] for letter in BLAS_ARGUMENTS])
        llvm.add_symbol("cblas_sgemm", blas_address())
        emit_repeat(module, ir.Function(module, blas_type, "cblas_sgemm"))
        self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly(str(module)), machine)
        self._engine.finalize_object()

    def repeat(self, name: str, arguments: str) -> Callable[..., None]:
        """`repeat(count, arguments...)` of one product or of `cblas_sgemm`."""
        address = int(self._engine.get_function_address(f"{name}.repeat"))
        return ctypes.CFUNCTYPE(None, ctypes.c_int64, *[C_TYPES[letter] for letter in arguments])(address)


def run(case: Case, compiled: Compiled, scratch: np.ndarray) -> tuple[float, float]:
    """GFLOP/s of ours and of OpenBLAS: each the best of interleaved rounds of a few milliseconds."""
    rng = np.random.default_rng(0)
    a = matrix(rng, case.k, case.m) if case.a_transposed else matrix(rng, case.m, case.k)
    b = matrix(rng, case.n, case.k) if case.b_transposed else matrix(rng, case.k, case.n)
    ours, theirs = matrix(rng, case.m, case.n), matrix(rng, case.m, case.n)
    ours_at, theirs_at, a_at, b_at = (array.ctypes.data for array in (ours, theirs, a, b))
    sizes = (case.m, case.n, case.k)
    arguments = (a_at, b_at, ours_at, scratch.ctypes.data, *sizes, a.shape[1], b.shape[1], case.n)
    forms = (ROW_MAJOR, *(TRANSPOSED if form else PLAIN for form in (case.a_transposed, case.b_transposed)))
    blas_arguments = (*forms, *sizes, 1.0, a_at, a.shape[1], b_at, b.shape[1], 0.0, theirs_at, case.n)
    repeat = compiled.repeat(f"product_{int(case.a_transposed)}{int(case.b_transposed)}", OUR_ARGUMENTS)
    repeat_blas = compiled.repeat("cblas_sgemm", BLAS_ARGUMENTS)

    def mine(count: int) -> None:
        repeat(count, *arguments)

    def openblas(count: int) -> None:
        repeat_blas(count, *blas_arguments)

    mine(1)
    openblas(1)
    # A sum's error is at most k roundings of partial sums below sum |a b|; both sides may err.
    logical_a, logical_b = a.T if case.a_transposed else a, b.T if case.b_transposed else b
    bound = 2 * case.k * 2.0**-24 * (np.abs(logical_a) @ np.abs(logical_b))
    if not (np.abs(ours - theirs) <= bound).all():
        raise AssertionError(f"{case.name}: {np.abs(ours - theirs).max()}")
    sides = (mine, openblas)
    flops = 2e-9 * case.m * case.n * case.k
    count = max(1, int(ROUND_SECONDS * 80 / flops))
    best = [float("inf"), float("inf")]
    for _ in range(ROUNDS):
        for number, side in enumerate(sides):
            start = time.perf_counter()
            side(count)
            best[number] = min(best[number], (time.perf_counter() - start) / count)
    return flops / best[0], flops / best[1]


def main() -> None:
    wanted = [word for word in sys.argv[1:] if not word.startswith("--")] or [""]
    found = llvm.get_host_cpu_features()
    for name in found:
        if "--no-avx512" in sys.argv and name.startswith("avx512"):
            found[name] = False
    features = found.flatten()
    width = vector_bytes_of(features)
    specs = {
        f"product_{int(a)}{int(b)}": ContractSpec("f32", a, b, vector_bytes=width) for a in (False, True) for b in (False, True)
    }
    compiled = Compiled(specs, features)
    emit, parse, generate = (1e3 * part for part in compiled.seconds)
    print(f"{width}-byte registers, 4 forms, {compiled.instructions} instructions")
    print(f"emit {emit:.1f} ms, parse {parse:.1f} ms, compile {generate:.1f} ms")
    scratch = aligned(max(scratch_bytes(spec) for spec in specs.values()), np.uint8)
    for case in CASES:
        if any(part in case.name for part in wanted):
            ours, theirs = run(case, compiled, scratch)
            print(f"{case.name:28} {ours:7.1f} {theirs:7.1f} {100 * ours / theirs:6.0f} %")


if __name__ == "__main__":
    main()
