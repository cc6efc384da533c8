"""bmc: a compiler for models. One small `.bm` file in, native training and prediction out.

    import bmc
    model = bmc.compile("m.bm").train()
    model.predict({"price": [1.5], "kind": ["a"]})
    model.save("m.bmz"); bmc.load("m.bmz")

Names are imported when they are first used: `bmc check` on the command line must not wait for numpy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bmc.api import Model, Program, Trainer, compile, load  # noqa: A004 - `bmc.compile` is what one looks for
    from bmc.errors import BmcError, Diagnostic

__all__ = ["BmcError", "Diagnostic", "Model", "Program", "Trainer", "compile", "load"]

_FROM = {"BmcError": "bmc.errors", "Diagnostic": "bmc.errors"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'bmc' has no attribute {name!r}")
    return getattr(import_module(_FROM.get(name, "bmc.api")), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
