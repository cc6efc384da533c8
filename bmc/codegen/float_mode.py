"""The floating-point mode that code runs in: rounding to nearest, subnormals kept, whatever the calling thread had set.

In: the entry block of an exported function, the module's triple. Out: code that saves the mode and sets the default one, and
code that puts the caller's back. Other libraries do set flush-to-zero for their threads; bits must not depend on it.
"""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir

from bmc.codegen.value import I64, POINTER

__all__ = ["enter_default_mode"]

_I32 = ir.IntType(32)
_MXCSR_DEFAULT = 0x1F80
"""All exceptions masked, to nearest, no flush to zero, subnormal operands kept."""


def enter_default_mode(builder: ir.IRBuilder, triple: str) -> Callable[[], None]:
    """Set the default mode at the builder's position. Gives what emits the way back, before each return.

    Targets other than x86-64 and aarch64 get no code: wasm32 has this one mode only.
    """
    machine = triple.split("-", maxsplit=1)[0]
    if machine == "x86_64":
        return _x86(builder)
    if machine in ("aarch64", "arm64"):
        return _aarch64(builder)
    return lambda: None


def _x86(builder: ir.IRBuilder) -> Callable[[], None]:
    store = _intrinsic(builder, "llvm.x86.sse.stmxcsr", ir.VoidType(), [POINTER])
    load = _intrinsic(builder, "llvm.x86.sse.ldmxcsr", ir.VoidType(), [POINTER])
    before, default = builder.alloca(_I32), builder.alloca(_I32)
    builder.call(store, [before])
    builder.store(_I32(_MXCSR_DEFAULT), default)
    builder.call(load, [default])

    def restore() -> None:
        builder.call(load, [before])

    return restore


def _aarch64(builder: ir.IRBuilder) -> Callable[[], None]:
    get = _intrinsic(builder, "llvm.aarch64.get.fpcr", I64, [])
    put = _intrinsic(builder, "llvm.aarch64.set.fpcr", ir.VoidType(), [I64])
    before = builder.call(get, [])
    builder.call(put, [I64(0)])

    def restore() -> None:
        builder.call(put, [before])

    return restore


def _intrinsic(builder: ir.IRBuilder, name: str, result: ir.Type, parameters: list[ir.Type]) -> ir.Function:
    known = builder.module.globals.get(name)
    return known if known is not None else ir.Function(builder.module, ir.FunctionType(result, parameters), name)
