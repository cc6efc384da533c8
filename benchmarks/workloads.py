"""The workloads: multilayer perceptrons with relu and sparse cross-entropy, their first weights and their batches.

Every contender gets the same arrays. Inputs are normal, labels come from a random linear teacher, so that there is
something to learn; weights and biases are uniform in ±1/sqrt(fan in), as PyTorch's linear layers begin.
"""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Weights = dict[str, NDArray[np.float32]]
"""Key -> array: `fc1.w` [inputs, units], `fc1.b` [units], `fc2.w`, ... as the keys in the .bm files."""

Batch = tuple[NDArray[np.float32], NDArray[np.int32]]
"""x [batch, inputs] and y [batch]"""


@dataclass(frozen=True)
class Adam:
    """Adam as in Kingma and Ba 2015, with the defaults that all libraries share."""

    lr: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8


@dataclass(frozen=True)
class Momentum:
    """m = momentum * m + g; w = w - lr * m."""

    lr: float = 0.01
    momentum: float = 0.9


@dataclass(frozen=True)
class Workload:
    """A perceptron, its optimizer, its batch size, and the .bm file that says the same."""

    name: str
    widths: tuple[int, ...]
    optimizer: Adam | Momentum
    batch: int
    source: Path

    @property
    def flops(self) -> int:
        """Of the products of one step: forward, and twice that backward, less the first layer's gradient of x."""
        products = [2 * self.batch * i * o for i, o in pairwise(self.widths)]
        return 3 * sum(products) - products[0]

    def weights(self) -> Weights:
        rng = np.random.default_rng(1)
        weights: Weights = {}
        for n, (inputs, units) in enumerate(pairwise(self.widths), start=1):
            bound = inputs**-0.5
            weights[f"fc{n}.w"] = rng.uniform(-bound, bound, (inputs, units)).astype(np.float32)
            weights[f"fc{n}.b"] = rng.uniform(-bound, bound, units).astype(np.float32)
        return weights

    def batches(self, count: int = 8) -> list[Batch]:
        rng = np.random.default_rng(2)
        teacher = rng.normal(size=(self.widths[0], self.widths[-1]))
        batches: list[Batch] = []
        for _ in range(count):
            x = rng.normal(size=(self.batch, self.widths[0])).astype(np.float32)
            batches.append((x, np.argmax(x @ teacher, axis=1).astype(np.int32)))
        return batches


HERE = Path(__file__).parent


def w1(batch: int) -> Workload:
    """MLP 100-64-64-10 with Adam: small, so that a step is nearly all overhead."""
    return Workload("W1", (100, 64, 64, 10), Adam(), batch, HERE / "w1.bm")


def w2() -> Workload:
    """MLP 784-1024-1024-10 with momentum at batch 256: wide, so that a step is nearly all products."""
    return Workload("W2", (784, 1024, 1024, 10), Momentum(), 256, HERE / "w2.bm")
