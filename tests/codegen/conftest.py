"""Fixtures that run emitted LLVM IR: no optimisation pipeline, code generation for this machine's features."""

import ctypes
from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
import pytest
from llvmlite import ir

Lookup = Callable[..., Callable[..., Any]]


class _Jit:
    """Compiles modules and keeps their code alive as long as the fixture."""

    def __init__(self) -> None:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        self._engines: list[llvm.ExecutionEngine] = []

    def __call__(self, module: ir.Module, *, exclude: tuple[str, ...] = ()) -> Lookup:
        """`lookup(name, *argument ctypes, restype=None)` of the module's functions; `exclude`: features by prefix."""
        features = llvm.get_host_cpu_features()
        for feature in features:
            if feature.startswith(exclude):
                features[feature] = False
        machine = llvm.Target.from_default_triple().create_target_machine(
            features=features.flatten(), opt=2, codemodel="small", reloc="pic"
        )
        parsed = llvm.parse_assembly(str(module))
        parsed.verify()
        engine = llvm.create_mcjit_compiler(parsed, machine)
        engine.finalize_object()
        self._engines.append(engine)

        def lookup(name: str, *arguments: Any, restype: Any = None) -> Callable[..., Any]:
            address = engine.get_function_address(name)
            if not address:
                raise LookupError(name)
            return ctypes.CFUNCTYPE(restype, *arguments)(address)

        return lookup


@pytest.fixture(scope="session")
def jit() -> _Jit:
    return _Jit()
