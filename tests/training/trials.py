"""Programs trained on arrays in memory, with the loss of every step: what the comparisons with PyTorch share.

In: the text of a program and arrays for its data outputs. Out: `Trial`, whose runs start from given weights. The data functions of
the program are not run, the arrays stand for what they give; everything after them is the way that `bmc train` goes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bmc.codegen.cache import ObjectCache
from bmc.driver.load import load_unit, text_source
from bmc.driver.session import Session, SessionOptions
from bmc_runtime.memory import DTYPES
from bmc_runtime.split import Split
from bmc_runtime.training import Progress, TrainingRun


@dataclass
class Losses:
    """A listener that keeps the loss of each step, and ends the run after step `until`."""

    until: int | None = None
    values: list[float] = field(default_factory=list)
    run: TrainingRun | None = None

    def on_step(self, progress: Progress, loss: float, rows: int, total_steps: int) -> None:
        self.values.append(loss)
        if self.run is not None and self.until == progress.step:
            self.run.interrupted = True

    def on_epoch(self, progress: Progress, results: Mapping[str, Mapping[str, Any]]) -> None:
        pass

    def on_checkpoint(self, run: TrainingRun) -> None:
        pass


class Trial:
    """A compiled program. `cache`: where object code is kept; by default nothing is read from or written to disk."""

    def __init__(self, text: str, float_type: Any = "f64", cache: ObjectCache | None = None) -> None:
        self.unit = load_unit(text_source(text, float_type=float_type))
        self.session = Session(self.unit, SessionOptions(cache))

    def split(self, arrays: Mapping[str, Any], function: str = "train") -> Split:
        """`arrays` by data output, cast to the types that the function wants; what it does not want is left out."""
        data = {}
        for param in self.unit.module.function(function).params:
            if param.role == "input":
                data[param.key] = np.ascontiguousarray(arrays[param.key], DTYPES[param.value.type.dtype])
        rows = len(next(iter(arrays.values())))
        return Split(function, rows, data, (rows,))

    def start(self, weights: Mapping[str, Any] | None = None) -> None:
        """Initial weights, states and moments; then `weights` instead, each of which the program must have."""
        self.session.initialise(self.session.training.seed)
        for key, array in (weights or {}).items():
            self.session.store[key][...] = array

    def train(
        self,
        arrays: Mapping[str, Any],
        weights: Mapping[str, Any] | None = None,
        extra: Mapping[str, Split] | None = None,
        workers: int = 1,
    ) -> list[float]:
        """The loss of each step of a whole run."""
        self.start(weights)
        listener = Losses()
        run = self.session.run({"train": self.split(arrays), **(extra or {})}, workers)
        try:
            run.run(listener)
        finally:
            run.close()
        return listener.values

    def evaluate(self, arrays: Mapping[str, Any]) -> dict[str, Any]:
        split = self.split(arrays, "eval")
        return self.session.evaluator({})(split.data, split.rows)

    def weights(self) -> dict[str, Any]:
        return {spec.key: self.session.store[spec.key].copy() for spec in self.unit.weights}

    def digest(self) -> str:
        """SHA-256 of everything that training changes."""
        digest = hashlib.sha256()
        for key in sorted(self.session.store):
            digest.update(key.encode() + np.ascontiguousarray(self.session.store[key]).tobytes())
        return digest.hexdigest()
