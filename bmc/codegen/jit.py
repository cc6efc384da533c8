"""Loading object code into this process: the loader that the runtime is handed when it runs what was just compiled.

In: object code made by `bmc.codegen.target`. Out: addresses of its symbols, valid as long as the `Loaded` lives.
"""

from __future__ import annotations

from collections.abc import Sequence

import llvmlite.binding as llvm

__all__ = ["Loaded", "load_object"]


class Loaded:
    """Object code in memory. Holds LLVM's resource tracker: the code is gone when this object is."""

    def __init__(self, object_code: bytes, symbols: Sequence[str]) -> None:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        # RuntimeDyld, the default, maps code and constants each where there is room: in a process that holds much memory more than
        # 2 GB apart, which ends the process with a failed assertion. JITLink gives an object one piece of memory.
        self._jit = llvm.create_lljit_compiler(use_jit_link=True)
        builder = llvm.JITLibraryBuilder().add_object_img(object_code).add_current_process()
        for symbol in symbols:
            builder.export_symbol(symbol)
        self._tracker = builder.link(self._jit, "program")

    def address(self, symbol: str) -> int:
        """The address of one of the symbols asked for; KeyError for another."""
        return int(self._tracker[symbol])


def load_object(object_code: bytes, symbols: Sequence[str]) -> Loaded:
    """Load object code for this machine. RuntimeError when a symbol is not defined or the code is of another machine."""
    return Loaded(object_code, symbols)
