"""The native parts of all reducers, compiled once, for tests that run reducers without a program."""

from __future__ import annotations

from functools import cache

from bmc.codegen.jit import load_object
from bmc.codegen.phases import PhaseWriter, empty_module
from bmc.codegen.target import compile_object, host_target
from bmc_runtime.reducers.kernels import COUNT, DIGITS, GROUPS, MOMENTS, SUMS, NativeKernels

__all__ = ["native_kernels"]


@cache
def native_kernels() -> NativeKernels:
    target = host_target()
    symbols = [f"{COUNT}_{unit}" for unit in ("whole", "words", "chars")]
    symbols += [f"{kind}_{dtype}" for kind in (SUMS, MOMENTS, GROUPS, DIGITS) for dtype in ("f32", "f64")]
    module = empty_module(target.triple)
    PhaseWriter(module, target.fused, lambda op: op.name).write_reducing(symbols)
    return NativeKernels(symbols, load_object(compile_object(str(module), target), symbols).address)
