"""W3, a training step of a CNN on 28 x 28 images with batch norm and Adam, batch 64: bmc beside PyTorch, on one core.

    python benchmarks/w3.py [--peers-only] [--rounds N]

Bound (exit status 1 if missed): no slower than PyTorch eager.
"""

from measure import on_one_core

on_one_core()  # before the libraries below load and size their thread pools

from collections.abc import Sequence  # noqa: E402
from itertools import cycle  # noqa: E402

import numpy as np  # noqa: E402
import torch  # noqa: E402

from bmc_steps import bmc_step  # noqa: E402
from compare import LOSS_STEPS, Bound, options, verdict  # noqa: E402
from measure import Contender, interleave, table  # noqa: E402
from workloads import HERE, Adam, Batch, Weights, Workload  # noqa: E402

# Adam divides by what it measures, and the largest of equal cells may change: in f32 PyTorch's own losses are off from those
# in f64 by 2e-4 after 20 steps (with or without the convolutions' biases, whose gradients batch norm makes nearly 0).
DRIFT = 3.0
"""Times PyTorch's own largest distance from its losses in f64, over all steps: as far as ours may be."""


class TorchCnn:
    """The twin in PyTorch's own layers. `channels_last`: its other order of memory."""

    def __init__(
        self, weights: Weights, batches: Sequence[Batch], channels_last: bool, dtype: torch.dtype = torch.float32
    ) -> None:
        torch.set_num_threads(1)
        self.name = "torch eager, channels last" if channels_last else "torch eager"
        nn = torch.nn
        convolutions = [nn.Conv2d(1, 32, 3, padding=1), nn.Conv2d(32, 64, 3, padding=1)]
        head = nn.Linear(64 * 49, 10)
        with torch.no_grad():
            for n, layer in enumerate(convolutions, start=1):
                kernel = torch.from_numpy(weights[f"c{n}.w"]).reshape(3, 3, layer.in_channels, layer.out_channels)
                layer.weight.copy_(kernel.permute(3, 2, 0, 1))
                layer.bias.copy_(torch.from_numpy(weights[f"c{n}.b"]))
            # Our rows are in the order of channels last.
            rows = torch.from_numpy(weights["fc.w"]).reshape(7, 7, 64, 10).permute(3, 2, 0, 1)
            head.weight.copy_(rows.reshape(10, -1))
            head.bias.copy_(torch.from_numpy(weights["fc.b"]))
        blocks = [
            part
            for layer in convolutions
            for part in (layer, nn.BatchNorm2d(layer.out_channels), nn.ReLU(), nn.MaxPool2d(2))
        ]
        self._model = nn.Sequential(*blocks, nn.Flatten(), head)
        form = torch.channels_last if channels_last else torch.contiguous_format
        self._model = self._model.to(memory_format=form, dtype=dtype)
        self._optimizer = torch.optim.Adam(self._model.parameters(), 1e-3)
        images = [torch.from_numpy(x).to(dtype).permute(0, 3, 1, 2).contiguous(memory_format=form) for x, _ in batches]
        labels = [torch.from_numpy(y).long() for _, y in batches]
        self._batches = cycle(list(zip(images, labels, strict=True)))
        self._last = torch.zeros(())

    def step(self) -> None:
        x, y = next(self._batches)
        self._optimizer.zero_grad(set_to_none=True)
        self._last = torch.nn.functional.cross_entropy(self._model(x), y)
        self._last.backward()
        self._optimizer.step()

    def loss(self) -> float:
        return float(self._last.detach())


def weights() -> Weights:
    """Uniform in ±1/sqrt(fan in)."""
    rng = np.random.default_rng(1)
    found: Weights = {}
    for key, inputs, units in (("c1", 9, 32), ("c2", 288, 64), ("fc", 3136, 10)):
        bound = inputs**-0.5
        found[f"{key}.w"] = rng.uniform(-bound, bound, (inputs, units)).astype(np.float32)
        found[f"{key}.b"] = rng.uniform(-bound, bound, units).astype(np.float32)
    return found


def batches(batch: int, count: int = 8) -> list[Batch]:
    """Normal images; labels by a random linear teacher."""
    rng = np.random.default_rng(2)
    teacher = rng.normal(size=(784, 10))
    made: list[Batch] = []
    for _ in range(count):
        x = rng.normal(size=(batch, 28, 28, 1)).astype(np.float32)
        made.append((x, np.argmax(x.reshape(batch, -1) @ teacher, axis=1).astype(np.int32)))
    return made


def drifts(exact: TorchCnn, contenders: Sequence[Contender], steps: int) -> list[float]:
    """The largest relative distance of each contender's losses from the exact ones, over `steps` steps of all."""
    largest = [0.0] * len(contenders)
    for _ in range(steps):
        exact.step()
        for n, contender in enumerate(contenders):
            contender.step()
            largest[n] = max(largest[n], abs(contender.loss() / exact.loss() - 1))
    for contender, distance in zip(contenders, largest, strict=True):
        print(f"  losses of {steps} steps at most {distance:.1e} from those of PyTorch in f64  {contender.name}")
    return largest


def main() -> int:
    """Compare; 0 if losses agree and the bound holds."""
    chosen = options(__doc__)
    workload = Workload("W3", (784, 10), Adam(), 64, HERE / "w3.bm")
    print(f"W3, batch {workload.batch}, 1460 MFLOP a step, one core, f32")
    first, data = weights(), batches(workload.batch)
    contenders: list[Contender] = [TorchCnn(first, data, False), TorchCnn(first, data, True)]
    if not chosen.peers_only:
        contenders.append(bmc_step(workload, first, data))
    from_exact = drifts(TorchCnn(first, data, False, torch.float64), contenders, LOSS_STEPS)
    agree = max(from_exact) <= DRIFT * from_exact[0]
    timings = interleave(contenders, chosen.rounds)
    print(table(timings))
    return 0 if verdict(timings, Bound("torch eager", at_most=1.0)) and agree else 1


if __name__ == "__main__":
    raise SystemExit(main())
