"""Maxima and minima over rows. A NaN makes the result NaN."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bmc_runtime.memory import Array
from bmc_runtime.reducers.contract import Attributes, Kernels
from bmc_runtime.table import Bytes

__all__ = ["Extreme"]


@dataclass
class _Best:
    """`values`: of the cells that are kept apart."""

    values: Array
    largest: bool


@dataclass(frozen=True)
class Extreme:
    """`extreme(x)`. Over no cells it gives the identity: -inf, inf, or the ends of the integers."""

    inputs: int = 1

    def add(
        self, state: _Best | None, inputs: Sequence[Array], attributes: Attributes, question: object, kernels: Kernels
    ) -> _Best:
        (x,) = inputs
        largest, axes = bool(attributes["largest"]), tuple(attributes["axes"])
        start: float | int
        if x.dtype.kind == "f":
            start = -np.inf if largest else np.inf
        else:
            ends = np.iinfo(x.dtype.str)
            start = int(ends.min if largest else ends.max)
        found = np.asarray((np.max if largest else np.min)(x, axis=axes, initial=start))
        # Which zero of equals a maximum gives depends on their order; here it is always the positive one.
        block = _Best(found + found.dtype.type(0) if x.dtype.kind == "f" else found, largest)
        return block if state is None else self.merge(state, block)

    def merge(self, left: _Best, right: _Best) -> _Best:
        join = np.maximum if left.largest else np.minimum
        return _Best(np.asarray(join(left.values, right.values)), left.largest)

    def ask(self, state: object, attributes: Attributes, question: object) -> None:
        return None

    def finish(self, state: _Best, outputs: Sequence[Array], attributes: Attributes, question: object) -> tuple[Bytes, ...]:
        outputs[0][...] = state.values
        return ()
