"""bmc's half: the .bm file of a workload, compiled, with the weights and batches that the peers get."""

from collections.abc import Sequence

import numpy as np

import bmc
from workloads import Batch, Weights, Workload


class BmcStep:
    """bmc, a training step on the next batch. The batches are rows of the columns, taken in order and over again."""

    name = "bmc"

    def __init__(self, workload: Workload, weights: Weights, batches: Sequence[Batch]) -> None:
        program = bmc.compile(workload.source)
        columns = {
            "features": np.concatenate([x for x, _ in batches]),
            "label": np.concatenate([y for _, y in batches]),
        }
        self._trainer = program.trainer(data=columns, weights=weights, batch=workload.batch, shuffle=False)

    def step(self) -> None:
        self._trainer.step()

    def loss(self) -> float:
        return float(self._trainer.loss)


def bmc_step(workload: Workload, weights: Weights, batches: Sequence[Batch]) -> BmcStep:
    """A fresh contender for one workload: compiled, loaded, before its first step."""
    return BmcStep(workload, weights, batches)
