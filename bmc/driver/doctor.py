"""`bmc doctor`: whether this installation works.

In: nothing. Out: findings, each good or bad, with what it means. Guaranteed: a program is compiled, trained for a few steps and
compared with the numbers that it must give.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata

import numpy as np

from bmc.codegen.cache import ObjectCache
from bmc.codegen.target import host_target
from bmc.driver.load import load_unit, text_source
from bmc.driver.session import SessionOptions
from bmc.driver.trainer import Trainer
from bmc.errors import BmcError, CompilerBug
from bmc.version import version

__all__ = ["Finding", "examine"]

_DEPENDENCIES = ("llvmlite", "numpy", "lark", "click", "rich", "pyarrow", "safetensors")

_EXTRAS = (("pillow", "images", "folders of pictures"), ("matplotlib", "plot", "bmc plot"))
"""Packages that only some programs need: name, the extra that brings it, what for."""

_PROGRAM = """
data Line {
  source = npz("line.npz")
  columns { a: f32; b: f32 }
  x = unsqueeze(a, -1)
  y = b
}
model M(x: f32[B, 1]) -> (p: f32[B]) { return x |> dense(1) as d |> squeeze(-1) }
train M on Line {
  loss = mse(p, y)
  optimizer = sgd(lr = 0.5)
  batch = 4
  shards = 1
  epochs = 1
}
"""


@dataclass(frozen=True)
class Finding:
    """`good`: True, False, or None for what is neither."""

    what: str
    detail: str
    good: bool | None = None


def examine() -> Iterator[Finding]:
    """What there is, and what works."""
    yield Finding("bmc", version())
    yield Finding("Python", f"{platform.python_version()} on {platform.platform()}")
    for name in _DEPENDENCIES:
        try:
            yield Finding(name, metadata.version(name), True)
        except metadata.PackageNotFoundError:
            yield Finding(name, "not installed", False)
    for name, extra, purpose in _EXTRAS:
        try:
            yield Finding(name, metadata.version(name), True)
        except metadata.PackageNotFoundError:
            yield Finding(name, f"not installed; {purpose} needs it: the extra `{extra}`")
    target = host_target()
    wide = [f for f in ("avx512f", "avx2", "fma", "neon", "sve") if f"+{f}" in target.features.split(",")]
    yield Finding("target", f"{target.triple}, {' '.join(wide) or 'baseline'}, {'fma' if target.fused else 'nofma'} class")
    yield Finding("processors", str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()))
    cache = ObjectCache()
    usable = cache.usable
    detail = str(cache.folder) if usable else f"{cache.folder} cannot be used: every run compiles anew"
    yield Finding("cache", detail, usable)
    yield _trains()


def _trains() -> Finding:
    """One step of gradient descent on p = w a + b from w = b = 0: with a = (0, 1, 2, 3), b = 2 a the gradients are -14 and -6."""
    a = np.arange(4, dtype=np.float32)
    zeros = {"d.w": np.zeros((1, 1), np.float32), "d.b": np.zeros(1, np.float32)}
    try:
        unit = load_unit(text_source(_PROGRAM))
        trainer = Trainer(unit, {"a": a, "b": 2 * a}, zeros, shuffle=False, options=SessionOptions(None))
        trainer.step()
    except (BmcError, CompilerBug, OSError, RuntimeError, ValueError) as error:
        return Finding("training", f"a small program fails: {error}", False)
    found = [float(trainer.loss), float(trainer.weights["d.w"][0, 0]), float(trainer.weights["d.b"][0])]
    good = bool(np.allclose(found, [14.0, 7.0, 3.0], rtol=1e-6))
    detail = "a small program trains as it must" if good else f"a small program gives {found}, not [14, 7, 3]"
    return Finding("training", detail, good)
