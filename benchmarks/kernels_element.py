"""Elementwise functions against numpy: one process, one thread, interleaved, best of many short rounds.

    python benchmarks/kernels_element.py [FUNCTION ...]

Each line: function and dtype, ns an element of ours and of numpy on 4096 elements that stay in the first-level cache,
the ratio (above 1: ours is faster), and the machine instructions of our loop for each vector of W elements.
"""

import ctypes
import sys
import time
from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir

from bmc.codegen.emitter import Emitter
from bmc.codegen.philox import Run
from bmc.codegen.value import I64, POINTER, Value
from bmc.ops.element import Dtype

COUNT = 4096
ROUNDS = 25
CALLS_A_ROUND = 20
WIDTH: dict[Dtype, int] = {"f32": 8, "f64": 4}
NUMPY: dict[str, Any] = {"f32": np.float32, "f64": np.float64}

Native = Callable[[int, int, int], None]


def sigmoid(x: Any, out: Any) -> None:
    np.negative(x, out=out)
    np.exp(out, out=out)
    np.add(out, 1, out=out)
    np.reciprocal(out, out=out)


REFERENCES: dict[str, Any] = {
    "exp": lambda x, out: np.exp(x, out=out),
    "expm1": lambda x, out: np.expm1(x, out=out),
    "log": lambda x, out: np.log(x, out=out),
    "log1p": lambda x, out: np.log1p(x, out=out),
    "tanh": lambda x, out: np.tanh(x, out=out),
    "sigmoid": sigmoid,
    "erf": None,
    "sin": lambda x, out: np.sin(x, out=out),
    "cos": lambda x, out: np.cos(x, out=out),
    "pow": lambda x, out: np.power(x, x, out=out),
    "uniform": lambda x, out: np.random.default_rng(0).random(dtype=x.dtype, out=out),
    "normal": lambda x, out: np.random.default_rng(0).standard_normal(dtype=x.dtype, out=out),
}


def apply(b: Emitter, name: str, x: Value, position: ir.Value) -> Value:
    if name == "pow":
        return b.pow(x, x)
    if name in ("uniform", "normal"):
        zero = b.constant("i64", 0)
        element = b.add(b.lane_numbers(), b.broadcast(position, "i64"))
        run = Run(element.ir, "i64", position)
        draw = b.uniform if name == "uniform" else b.normal
        return draw(x.dtype, zero, zero, zero, run, 0x0123456789ABCDEF)
    result: Value = getattr(b, name)(x)
    return result


def emit_loop(module: ir.Module, name: str, dtype: Dtype) -> str:
    """void NAME_DTYPE(x*, y*, i64 n): y = f(x) for n a multiple of the width."""
    symbol = f"{name}_{dtype}"
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [POINTER, POINTER, I64]), symbol)
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    head, done = builder.append_basic_block("head"), builder.append_basic_block("done")
    entry = builder.block
    builder.branch(head)
    builder.position_at_end(head)
    position = builder.phi(I64)
    position.add_incoming(I64(0), entry)
    b = Emitter(builder, WIDTH[dtype], fused=True)
    b.store(apply(b, name, b.load(function.args[0], position, dtype), position), function.args[1], position)
    following = builder.add(position, I64(b.width))
    position.add_incoming(following, builder.block)
    builder.cbranch(builder.icmp_signed("<", following, function.args[2]), head, done)
    builder.position_at_end(done)
    builder.ret_void()
    return symbol


def loop_instructions(assembly: str, symbol: str) -> int:
    """Instructions between the loop's label and its back edge, calls counted as one."""
    body = assembly.split(f"\n{symbol}:", 1)[1].split(".Lfunc_end", 1)[0].splitlines()
    backward = max(i for i, line in enumerate(body) if line.startswith("\tj") and ".LBB" in line)
    label = body[backward].split()[-1] + ":"
    start = next(i for i, line in enumerate(body) if line.startswith(label))
    return sum(1 for line in body[start : backward + 1] if line.startswith("\t") and not line.startswith("\t."))


def best(calls: dict[str, Callable[[], None]]) -> dict[str, float]:
    """The least seconds of a call of each, rounds of all interleaved."""
    least = dict.fromkeys(calls, float("inf"))
    for _ in range(ROUNDS):
        for name, call in calls.items():
            start = time.perf_counter()
            for _ in range(CALLS_A_ROUND):
                call()
            least[name] = min(least[name], (time.perf_counter() - start) / CALLS_A_ROUND)
    return least


def time_case(name: str, dtype: Dtype, native: Native) -> dict[str, float]:
    """Nanoseconds an element, of ours and of numpy where it has the function."""
    x = np.random.default_rng(1).uniform(-3, 3, COUNT).astype(NUMPY[dtype])
    if name in ("log", "log1p", "pow"):
        x = np.abs(x)
    y = np.empty_like(x)
    addresses = x.ctypes.data, y.ctypes.data
    calls: dict[str, Callable[[], None]] = {"ours": lambda: native(*addresses, COUNT)}
    reference = REFERENCES[name]
    if reference is not None:
        calls["numpy"] = lambda: reference(x, y)
    return {who: seconds / COUNT * 1e9 for who, seconds in best(calls).items()}


def main(wanted: list[str]) -> None:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    names = [name for name in REFERENCES if not wanted or name in wanted]
    module = ir.Module()
    symbols = {(name, dtype): emit_loop(module, name, dtype) for name in names for dtype in WIDTH}
    machine = llvm.Target.from_default_triple().create_target_machine(
        features=llvm.get_host_cpu_features().flatten(), opt=2, codemodel="small", reloc="pic"
    )
    parsed = llvm.parse_assembly(str(module))
    assembly = machine.emit_assembly(parsed)
    engine = llvm.create_mcjit_compiler(parsed, machine)
    engine.finalize_object()

    signature = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
    print(f"{'':14}{'ours':>8}{'numpy':>8}  ratio  instructions a vector   (ns an element)")
    for (name, dtype), symbol in symbols.items():
        native = signature(engine.get_function_address(symbol))
        nanoseconds = time_case(name, dtype, native)
        ours = nanoseconds["ours"]
        theirs = nanoseconds.get("numpy")
        against = f"{theirs:8.2f}{theirs / ours:7.1f}" if theirs is not None else f"{'-':>8}{'-':>7}"
        print(f"{name:8}{dtype:6}{ours:8.2f}{against}{loop_instructions(assembly, symbol):9}")


if __name__ == "__main__":
    main(sys.argv[1:])
