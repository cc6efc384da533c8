"""A fixture that runs element code over arrays: one loop of vectors of a given width, nothing else."""

import ctypes
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from llvmlite import ir

from bmc.codegen.emitter import Emitter
from bmc.codegen.value import I64, POINTER, Value

NUMPY = {"bool": np.bool_, "u8": np.uint8, "i32": np.int32, "i64": np.int64, "f32": np.float32, "f64": np.float64}
DTYPE = {np.dtype(numpy): name for name, numpy in NUMPY.items()}

Body = Callable[..., Value]
Runner = Callable[..., Any]


def _loop(module: ir.Module, body: Body, width: int, fused: bool, operands: Sequence[str]) -> tuple[ir.Function, str]:
    """void f(operand*..., result*, i64 n): result[i] = body(operand[i]...), n a positive multiple of the width."""
    parameters = [POINTER] * (len(operands) + 1) + [I64]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), parameters), f"loop{len(module.functions)}")
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    entry = builder.block
    head = builder.append_basic_block("head")
    done = builder.append_basic_block("done")
    builder.branch(head)
    builder.position_at_end(head)
    position = builder.phi(I64)
    position.add_incoming(I64(0), entry)

    def index(axis: int) -> Value:
        assert axis == 0
        lanes = emitter.lane_numbers()
        return emitter.add(lanes, emitter.broadcast(position, "i64"))

    emitter = Emitter(builder, width, fused, index)
    result = body(emitter, *(emitter.load(function.args[k], position, d) for k, d in enumerate(operands)))
    emitter.store(result, function.args[-2], position)
    following = builder.add(position, I64(width))
    position.add_incoming(following, builder.block)
    builder.cbranch(builder.icmp_signed("<", following, function.args[-1]), head, done)
    builder.position_at_end(done)
    builder.ret_void()
    return function, result.dtype


@pytest.fixture(scope="session")
def compile_element(jit: Any) -> Callable[..., Runner]:
    """compile_element(body, *dtypes, width=8, fused=True) -> run(*arrays) -> array, all of one length."""

    def compile_element(body: Body, *operands: str, width: int = 8, fused: bool = True) -> Runner:
        module = ir.Module()
        function, result_dtype = _loop(module, body, width, fused, operands)
        lookup = jit(module, exclude=() if fused else ("fma",))
        native = lookup(function.name, *[ctypes.c_void_p] * (len(operands) + 1), ctypes.c_int64)

        def run(*arrays: Any) -> Any:
            count = len(arrays[0])
            padded = -(-count // width) * width
            contiguous = [np.resize(array, padded) for array in arrays]
            assert [DTYPE[array.dtype] for array in contiguous] == list(operands)
            result = np.zeros(padded, NUMPY[result_dtype])
            native(*(array.ctypes.data for array in contiguous), result.ctypes.data, padded)
            return result[:count]

        return run

    return compile_element
