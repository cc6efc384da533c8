"""Steps as native functions: their calling convention, guards, additions, shared kernels, the floating-point mode."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from llvmlite import ir

from bmc.codegen.jit import Loaded, load_object
from bmc.codegen.kernel import symbols_of
from bmc.codegen.phases import ADD_SYMBOLS, PART, PhaseWriter, empty_module
from bmc.codegen.target import compile_object, level_target
from bmc.errors import CompilerBug
from bmc.ir import Operation, Poly, Value
from bmc.ops.build import Builder
from tests.native import TARGET, as_kernel, kernel, typed

B = Poly.symbol("B")
NUMBER = {"i32": np.int32, "i64": np.int64, "f32": np.float32, "f64": np.float64}
FLUSH_TO_ZERO, SUBNORMALS_ARE_ZERO = 0x8000, 0x0040
X86_64 = TARGET.triple.startswith("x86_64")


def writer(key: Callable[[Operation], str] = lambda op: str(id(op))) -> PhaseWriter:
    return PhaseWriter(empty_module(TARGET.triple), TARGET.fused, key)


def load(written: PhaseWriter, symbols: Sequence[str]) -> Loaded:
    return load_object(compile_object(str(written.module), TARGET), symbols)


def call(loaded: Loaded, symbol: str, arrays: Sequence[Any], dims: Sequence[int]) -> int:
    """By the convention of steps: a table of addresses, dims, scratch."""
    table = np.array([a.ctypes.data for a in arrays], np.int64)
    sizes, scratch = np.array([*dims, 0], np.int64), np.zeros((4 << 20) + 64, np.uint8)
    entry = ctypes.CFUNCTYPE(ctypes.c_int32, *[ctypes.c_void_p] * 3)(loaded.address(symbol))
    return int(entry(table.ctypes.data, sizes.ctypes.data, scratch.ctypes.data + -scratch.ctypes.data % 64))


def doubling(x: Value) -> Operation:
    b = Builder()
    inner = Value(x.type)
    result = b.add(inner, inner)
    made = kernel("map", (inner,), b.ops, (result,))
    return Operation("kernel", (x,), made.attrs, made.results, made.regions)


@pytest.mark.parametrize("dtype", ADD_SYMBOLS)
def test_additions(dtype: str) -> None:
    written = writer()
    written.write_additions()
    loaded = load(written, list(ADD_SYMBOLS.values()))
    add = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)(loaded.address(ADD_SYMBOLS[dtype]))
    for count in (0, 1, 7, 8, 9, 100):
        left = np.arange(count + 1).astype(NUMBER[dtype]) * 3
        right = (np.arange(count + 1) * 5 + 1).astype(NUMBER[dtype])
        wanted = left + right
        wanted[count] = left[count]
        add(left.ctypes.data, right.ctypes.data, count)
        np.testing.assert_array_equal(left, wanted)


def test_a_step_reads_its_table_and_its_dims() -> None:
    """Dims come in the order of the plan, of which kernels use some."""
    x = typed("f32", B, Poly.symbol("T"))
    first = doubling(x)
    second = doubling(first.result)
    written = writer()
    written.write("step", [first, second], {x: 2, first.result: 0, second.result: 1}, ["A", "T", "B"])
    arrays = [np.zeros((3, 5), np.float32), np.zeros((3, 5), np.float32), np.ones((3, 5), np.float32)]
    assert symbols_of(first) == ("B", "T")
    assert call(load(written, ["step"]), "step", arrays, [99, 5, 3]) == 0
    np.testing.assert_array_equal(arrays[1], 4)


@pytest.mark.parametrize("value", [1.0, -0.0, 1e38, np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_a_guard_stops_what_follows(dtype: str, value: float) -> None:
    loss, x = typed(dtype), typed(dtype, 4)
    guard = Builder().operation("guard_finite", (loss,))
    update = doubling(x)
    written = writer()
    table = {loss: 0, x: 1, update.result: 2}
    table.update(dict.fromkeys(guard.results, 3))
    written.write("step", [guard, update], table, [])
    arrays = [np.array(value, NUMBER[dtype]), np.ones(4, NUMBER[dtype]), np.zeros(4, NUMBER[dtype]), np.zeros((), NUMBER[dtype])]
    status = call(load(written, ["step"]), "step", arrays, [])
    assert status == (0 if np.isfinite(value) else 1)
    np.testing.assert_array_equal(arrays[2], 2 if np.isfinite(value) else 0)


def test_a_guard_in_an_early_part_stops_the_later_parts() -> None:
    x, loss = typed("f32", 4), typed("f32")
    guard = Builder().operation("guard_finite", (loss,))
    chain = [doubling(x)]
    for _ in range(PART + 3):
        chain.append(doubling(chain[-1].result))
    table = {x: 0, loss: 1, **dict.fromkeys(guard.results, 2), **{op.result: 3 + i for i, op in enumerate(chain)}}
    written = writer(lambda op: "one kernel for all")
    written.write("step", [chain[0], guard, *chain[1:]], table, [])
    loaded = load(written, ["step"])
    for value, doubled in ((0.0, len(chain)), (np.nan, 1)):
        arrays = [np.ones(4, np.float32), np.array(value, np.float32), np.zeros((), np.float32)]
        arrays += [np.zeros(4, np.float32) for _ in chain]
        assert call(loaded, "step", arrays, []) == int(np.isnan(value))
        assert [float(a[0]) for a in arrays[3:]] == [2.0 ** (i + 1) if i < doubled else 0.0 for i in range(len(chain))]


def test_operations_of_one_key_share_a_kernel() -> None:
    x = typed("f32", 4)
    first = doubling(x)
    second = doubling(first.result)
    counts = []
    for key in (lambda op: "same", lambda op: str(id(op))):
        written = writer(key)
        written.write("step", [first, second], {x: 0, first.result: 1, second.result: 2}, [])
        counts.append(sum(1 for f in written.module.functions if f.name.startswith("k")))
    assert counts == [1, 2]


def test_a_step_without_operations_is_good() -> None:
    written = writer()
    written.write("step", [], {}, [])
    assert call(load(written, ["step"]), "step", [], []) == 0


def test_what_passes_should_have_removed_is_a_bug() -> None:
    x = typed("f32", 4)
    b = Builder()
    b.emit("shard_sum", x)
    b.add(x, x)
    for op, text in zip(b.ops, ("split_phases removes it", "was not fused"), strict=True):
        with pytest.raises(CompilerBug, match=text):
            writer().write("step", [op], {x: 0, op.result: 1}, [])


# --- the floating-point mode ---


def mode_functions(module: ir.Module) -> None:
    """`void set_mode(i32)` and `i32 get_mode()` of this thread's MXCSR."""
    i32 = ir.IntType(32)
    load_mode = module.globals.get("llvm.x86.sse.ldmxcsr")
    store_mode = module.globals.get("llvm.x86.sse.stmxcsr")
    setter = ir.Function(module, ir.FunctionType(ir.VoidType(), [i32]), "set_mode")
    builder = ir.IRBuilder(setter.append_basic_block("entry"))
    slot = builder.alloca(i32)
    builder.store(setter.args[0], slot)
    builder.call(load_mode, [slot])
    builder.ret_void()
    getter = ir.Function(module, ir.FunctionType(i32, []), "get_mode")
    builder = ir.IRBuilder(getter.append_basic_block("entry"))
    slot = builder.alloca(i32)
    builder.call(store_mode, [slot])
    builder.ret(builder.load(slot, typ=i32))


@pytest.mark.skipif(not X86_64, reason="reads the MXCSR of x86-64")
@pytest.mark.parametrize("mode", [FLUSH_TO_ZERO | SUBNORMALS_ARE_ZERO, 0x6000], ids=["flush to zero", "round to zero"])
def test_the_mode_of_the_calling_thread_changes_no_bit(mode: int) -> None:
    x = typed("f32", 40)
    b = Builder()
    inner = Value(x.type)
    result = b.mul(inner, b.full(1 / 3, inner.type))
    made = kernel("map", (inner,), b.ops, (result,))
    op = Operation("kernel", (x,), made.attrs, made.results, made.regions)
    written = writer()
    written.write_additions()
    written.write("step", [op], {x: 0, op.result: 1}, [])
    mode_functions(written.module)
    loaded = load(written, ["step", "set_mode", "get_mode", ADD_SYMBOLS["f32"]])
    setter = ctypes.CFUNCTYPE(None, ctypes.c_uint32)(loaded.address("set_mode"))
    getter = ctypes.CFUNCTYPE(ctypes.c_uint32)(loaded.address("get_mode"))
    add = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)(loaded.address(ADD_SYMBOLS["f32"]))
    values = np.concatenate([np.linspace(1e-40, 1e-38, 20), np.linspace(1, 2, 20)]).astype(np.float32)
    plain, other = np.zeros(40, np.float32), np.zeros(40, np.float32)
    assert call(loaded, "step", [values, plain], []) == 0
    wanted = values * np.float32(1 / 3)
    total = values + wanted
    before = getter()
    try:
        setter(before | mode)
        status = call(loaded, "step", [values, other], [])
        add(other.ctypes.data, values.ctypes.data, 40)
        after = getter()
    finally:
        setter(before)
    assert status == 0
    assert after & 0xFFC0 == (before | mode) & 0xFFC0
    np.testing.assert_array_equal(plain, wanted)
    np.testing.assert_array_equal(other, total)


@pytest.mark.parametrize("level", ["v2", "v3", "v4"])
def test_levels_of_x86_64_compile(level: str) -> None:
    target = level_target(level)
    written = PhaseWriter(empty_module(target.triple), target.fused, lambda op: str(id(op)))
    written.write_additions()
    x = typed("f32", 40)
    op = as_kernel(Builder().operation("exp", (x,)))
    written.write("step", [op], dict(zip((*op.operands, *op.results), range(2), strict=True)), [])
    assembly = compile_object(str(written.module), target, assembly=True).decode()
    assert "ldmxcsr" in assembly
    assert ("vfmadd" in assembly) == target.fused
    assert ("ymm" in assembly) == (level != "v2")
