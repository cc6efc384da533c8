"""bmc's half: the .bm file of a workload, compiled, with the weights and batches that the peers get."""

from collections.abc import Sequence
from typing import Any

import numpy as np

import bmc
from workloads import Weights, Workload

Pairs = Sequence[tuple[Any, Any]]
"""Both columns of each batch."""


class BmcStep:
    """bmc, a training step on the next batch. The batches are rows of the columns, taken in order and over again."""

    name = "bmc"

    def __init__(self, workload: Workload, weights: Weights, batches: Pairs, names: tuple[str, str]) -> None:
        program = bmc.compile(workload.source)
        columns = {name: np.concatenate([pair[i] for pair in batches]) for i, name in enumerate(names)}
        self._trainer = program.trainer(data=columns, weights=weights, batch=workload.batch, shuffle=False)

    def step(self) -> None:
        self._trainer.step()

    def loss(self) -> float:
        return float(self._trainer.loss)


def bmc_step(workload: Workload, weights: Weights, batches: Pairs, names: tuple[str, str] = ("features", "label")) -> BmcStep:
    """A fresh contender for one workload: compiled, loaded, before its first step. `names`: of the columns of a batch."""
    return BmcStep(workload, weights, batches, names)
