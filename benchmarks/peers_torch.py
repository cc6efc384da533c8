"""PyTorch's half: an eager step with torch.optim, its default optimizer loop or the fused one."""

from collections.abc import Sequence
from itertools import cycle, pairwise

import torch

from workloads import Adam, Batch, Weights, Workload


class TorchStep:
    """torch eager, a training step on the next batch. `fused` picks torch.optim's single-kernel update."""

    def __init__(self, workload: Workload, weights: Weights, batches: Sequence[Batch], fused: bool) -> None:
        torch.set_num_threads(1)
        self.name = "torch eager, fused optimizer" if fused else "torch eager"
        layers: list[torch.nn.Module] = []
        for n, (inputs, units) in enumerate(pairwise(workload.widths), start=1):
            linear = torch.nn.Linear(inputs, units)
            with torch.no_grad():
                linear.weight.copy_(torch.from_numpy(weights[f"fc{n}.w"].T))
                linear.bias.copy_(torch.from_numpy(weights[f"fc{n}.b"]))
            layers += [linear, torch.nn.ReLU()]
        self._model = torch.nn.Sequential(*layers[:-1])
        self._optimizer: torch.optim.Optimizer
        how = workload.optimizer
        if isinstance(how, Adam):
            betas = (how.beta1, how.beta2)
            self._optimizer = torch.optim.Adam(self._model.parameters(), how.lr, betas, how.eps, fused=fused or None)
        else:
            self._optimizer = torch.optim.SGD(self._model.parameters(), how.lr, how.momentum, fused=fused or None)
        self._batches = cycle([(torch.from_numpy(x), torch.from_numpy(y).long()) for x, y in batches])
        self._last = torch.zeros(())

    def step(self) -> None:
        x, y = next(self._batches)
        self._optimizer.zero_grad(set_to_none=True)
        self._last = torch.nn.functional.cross_entropy(self._model(x), y)
        self._last.backward()
        self._optimizer.step()

    def loss(self) -> float:
        return float(self._last.detach())
