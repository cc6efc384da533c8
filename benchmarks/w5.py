"""W5, a training step of a variational autoencoder with Adam, batch 128: bmc beside PyTorch and JAX, on one core.

    python benchmarks/w5.py [--peers-only] [--rounds N]

Bound (exit status 1 if missed): no slower than PyTorch eager.
"""

from measure import on_one_core

on_one_core()  # before the libraries below load and size their thread pools

from collections.abc import Sequence  # noqa: E402
from itertools import cycle  # noqa: E402

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

from bmc_steps import bmc_step  # noqa: E402
from compare import LOSS_STEPS, LOSS_TOLERANCE, Bound, options, verdict  # noqa: E402
from measure import Contender, interleave, losses_agree, table  # noqa: E402
from peers_jax import jitted  # noqa: E402
from workloads import HERE, Adam, Weights, Workload  # noqa: E402

PIXELS, HIDDEN, CODE, BATCH = 784, 400, 20, 128
LAYERS = {"enc": (PIXELS, HIDDEN), "mu": (HIDDEN, CODE), "lv": (HIDDEN, CODE), "dec": (CODE, HIDDEN), "out": (HIDDEN, PIXELS)}

Pair = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Images and noise of a batch."""


class TorchVae:
    """The twin in PyTorch's own layers. `fused`: torch.optim's single-kernel update."""

    def __init__(self, weights: Weights, batches: Sequence[Pair], fused: bool) -> None:
        torch.set_num_threads(1)
        self.name = "torch eager, fused optimizer" if fused else "torch eager"
        self._layers = torch.nn.ModuleDict({key: torch.nn.Linear(*shape) for key, shape in LAYERS.items()})
        with torch.no_grad():
            for key in LAYERS:
                self._layers[key].weight.copy_(torch.from_numpy(weights[f"{key}.w"].T))
                self._layers[key].bias.copy_(torch.from_numpy(weights[f"{key}.b"]))
        how = Adam()
        betas = (how.beta1, how.beta2)
        self._optimizer = torch.optim.Adam(self._layers.parameters(), how.lr, betas, how.eps, fused=fused or None)
        self._batches = cycle([(torch.from_numpy(x), torch.from_numpy(eps)) for x, eps in batches])
        self._last = torch.zeros(())

    def _loss(self, x: torch.Tensor, eps: torch.Tensor) -> torch.Tensor:
        layers, functional = self._layers, torch.nn.functional
        h = torch.relu(layers["enc"](x))
        mu, lv = layers["mu"](h), layers["lv"](h)
        z = mu + torch.exp(0.5 * lv) * eps
        logits = layers["out"](torch.relu(layers["dec"](z)))
        rec = functional.binary_cross_entropy_with_logits(logits, x, reduction="sum")
        return (rec - 0.5 * torch.sum(1 + lv - mu * mu - torch.exp(lv))) / len(x)

    def step(self) -> None:
        self._optimizer.zero_grad(set_to_none=True)
        self._last = self._loss(*next(self._batches))
        self._last.backward()
        self._optimizer.step()

    def loss(self) -> float:
        return float(self._last.detach())


def _jax_loss(p: dict[str, jax.Array], x: jax.Array, eps: jax.Array) -> jax.Array:
    def dense(key: str, value: jax.Array) -> jax.Array:
        return value @ p[f"{key}.w"] + p[f"{key}.b"]

    h = jax.nn.relu(dense("enc", x))
    mu, lv = dense("mu", h), dense("lv", h)
    logits = dense("out", jax.nn.relu(dense("dec", mu + jnp.exp(0.5 * lv) * eps)))
    rec = jnp.sum(jnp.maximum(logits, 0) - logits * x + jnp.log1p(jnp.exp(-jnp.abs(logits))))
    return (rec - 0.5 * jnp.sum(1 + lv - mu**2 - jnp.exp(lv))) / len(x)


class JaxVae:
    """The whole step under one `jax.jit`."""

    name = "jax.jit"

    def __init__(self, weights: Weights, batches: Sequence[Pair]) -> None:
        self._step = jitted(Adam(), _jax_loss)
        self._params = {key: jnp.array(value) for key, value in weights.items()}
        self._moments = [jax.tree.map(jnp.zeros_like, self._params) for _ in range(2)]
        self._t = jnp.zeros((), jnp.float32)
        self._batches = cycle([(jnp.array(x), jnp.array(eps)) for x, eps in batches])
        self._last = jnp.zeros(())

    def step(self) -> None:
        x, eps = next(self._batches)
        self._params, self._moments, self._t, self._last = self._step(self._params, self._moments, self._t, x, eps)

    def loss(self) -> float:
        jax.block_until_ready(self._params)
        return float(self._last)


def weights() -> Weights:
    """Uniform in ±1/sqrt(fan in), as PyTorch's linear layers begin."""
    rng = np.random.default_rng(1)
    found: Weights = {}
    for key, (inputs, units) in LAYERS.items():
        bound = inputs**-0.5
        found[f"{key}.w"] = rng.uniform(-bound, bound, (inputs, units)).astype(np.float32)
        found[f"{key}.b"] = rng.uniform(-bound, bound, units).astype(np.float32)
    return found


def batches(count: int = 8) -> list[Pair]:
    """Images between 0 and 1 made of ten common patterns, and normal noise."""
    rng = np.random.default_rng(2)
    patterns = rng.normal(size=(10, PIXELS))
    made: list[Pair] = []
    for _ in range(count):
        x = 1 / (1 + np.exp(-rng.normal(size=(BATCH, 10)) @ patterns))
        made.append((x.astype(np.float32), rng.normal(size=(BATCH, CODE)).astype(np.float32)))
    return made


def main() -> int:
    """Compare; 0 if losses agree and the bound holds."""
    chosen = options(__doc__)
    workload = Workload("W5", (PIXELS, PIXELS), Adam(), BATCH, HERE / "w5.bm")
    sizes = [inputs * units for inputs, units in LAYERS.values()]
    flops = 2 * BATCH * (3 * sum(sizes) - sizes[0])
    print(f"W5, batch {BATCH}, {flops / 1e6:.4g} MFLOP a step, one core, f32")
    first, data = weights(), batches()
    contenders: list[Contender] = [TorchVae(first, data, False), TorchVae(first, data, True), JaxVae(first, data)]
    if not chosen.peers_only:
        contenders.append(bmc_step(workload, first, data, names=("image", "noise")))
    agree = losses_agree(contenders, LOSS_STEPS, LOSS_TOLERANCE)
    timings = interleave(contenders, chosen.rounds)
    print(table(timings))
    return 0 if verdict(timings, Bound("torch eager", at_most=1.0)) and agree else 1


if __name__ == "__main__":
    raise SystemExit(main())
