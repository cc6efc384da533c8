"""A hundred steps of the networks of the field, beside PyTorch: its first weights, its batches.

In f64 the losses must agree to 1e-8 relative: each step rounds to 1e-16, and a hundred steps of a smooth problem enlarge that by a
few orders of magnitude, while a formula that differs shows in the fourth digit. In f32 they may leave PyTorch's f64 losses by 3
times as far as PyTorch's own f32 losses do. Small sizes run always; those of the benchmarks' workloads are slow.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bmc_runtime.order import epoch_order
from tests.training.networks import (
    SEED,
    Network,
    TransformerSize,
    convolutional,
    encoder,
    language,
    recurrent,
    variational,
)
from tests.training.trials import Trial

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

SMALL = [
    convolutional(8, (6, 8), 16),
    recurrent("lstm", 12, 5, 16, 8),
    recurrent("gru", 12, 5, 16, 8),
    variational(36, 24, 4, 16, lr=1e-2),
    language(TransformerSize(17, 12, 16, 4, 4, 17), 4),
    encoder(TransformerSize(20, 12, 16, 2, 2, 1), 8),
]
FULL = [
    convolutional(28, (32, 64), 64),
    recurrent("lstm", 64, 32, 128, 32),
    recurrent("gru", 64, 32, 128, 32),
    variational(784, 400, 20, 128),
    language(TransformerSize(65, 64, 128, 4, 4, 65), 16),
    encoder(TransformerSize(100, 64, 64, 4, 2, 1), 32),
]


def twin_of(network: Network) -> Any:
    torch.manual_seed(1)
    return network.twin()


def torch_losses(network: Network, dtype: Any) -> list[float]:
    twin = twin_of(network).to(dtype)
    optimizer = network.optimizer(twin.parameters())
    arrays = {}
    for key, array in network.arrays().items():
        arrays[key] = torch.from_numpy(array).to(dtype if array.dtype.kind == "f" else torch.int64)
    found: list[float] = []
    for epoch in range(network.steps):
        order = torch.from_numpy(epoch_order(SEED, epoch, (network.rows,)))
        for first in range(0, network.rows, network.batch):
            if len(found) == network.steps:
                return found
            rows = order[first : first + network.batch]
            if network.rate is not None:
                for group in optimizer.param_groups:
                    group["lr"] = network.rate(len(found))
            loss = twin.loss({key: array[rows] for key, array in arrays.items()})
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            found.append(loss.item())
    return found


def our_losses(network: Network, float_type: str) -> list[float]:
    weights = {key: value.detach().numpy() for key, value in twin_of(network).weights().items()}
    trial = Trial(network.text, float_type)
    assert weights.keys() == {weight.key for weight in trial.unit.weights}
    return trial.train(network.arrays(), weights)


def agree(network: Network) -> None:
    exact = np.array(torch_losses(network, torch.float64))
    assert len(exact) == network.steps
    np.testing.assert_allclose(our_losses(network, "f64"), exact, rtol=1e-8)
    assert exact[-5:].mean() < 0.9 * exact[0]  # it does learn: losses that stand still would agree without right gradients
    theirs = np.max(np.abs(np.array(torch_losses(network, torch.float32)) - exact))
    ours = np.max(np.abs(np.array(our_losses(network, "f32")) - exact))
    assert ours <= 3 * theirs


@pytest.mark.parametrize("network", SMALL, ids=lambda network: network.name)
def test_small(network: Network) -> None:
    agree(network)


@pytest.mark.slow
@pytest.mark.parametrize("network", FULL, ids=lambda network: network.name)
def test_at_the_size_of_the_benchmarks(network: Network) -> None:
    agree(network)
