"""The recurrent workloads, W4 and W4G: their weights and batches, and the twins of the net in PyTorch and JAX.

An LSTM, or a GRU, over 64 steps of 32 features with 128 units; its last state goes through a dense layer into ten
classes. PyTorch's own recurrent layers are given their sequences step by step or row by row, whichever they are told to.
"""

from collections.abc import Sequence
from itertools import cycle

import jax
import jax.numpy as jnp
import numpy as np
import torch

from bmc_steps import bmc_step
from compare import LOSS_STEPS, LOSS_TOLERANCE, Bound, verdict
from measure import Contender, interleave, losses_agree, table
from peers_jax import jitted
from workloads import HERE, Adam, Batch, Weights, Workload

LENGTH, FEATURES, UNITS, CLASSES, BATCH = 64, 32, 128, 10, 32
GATES = {"lstm": 4, "gru": 3}


def flops(cell: str) -> int:
    """Of the products of a step: the input's, the state's and the head's, forward and twice that backward, less the input's
    own gradient.
    """
    rows = 2 * BATCH * LENGTH * GATES[cell] * UNITS
    return 2 * rows * FEATURES + 3 * rows * UNITS + 3 * 2 * BATCH * UNITS * CLASSES


def weights(cell: str) -> Weights:
    """Uniform in ±1/sqrt(units), as PyTorch's recurrent layers begin."""
    rng = np.random.default_rng(1)
    bound = UNITS**-0.5
    width = GATES[cell] * UNITS
    shapes = {
        "rnn.ih.w": (FEATURES, width),
        "rnn.ih.b": (width,),
        "rnn.step.hh.w": (UNITS, width),
        "rnn.step.hh.b": (width,),
        "fc.w": (UNITS, CLASSES),
        "fc.b": (CLASSES,),
    }
    return {key: rng.uniform(-bound, bound, shape).astype(np.float32) for key, shape in shapes.items()}


def batches(count: int = 8) -> list[Batch]:
    """Normal series; labels by a random linear teacher of their means."""
    rng = np.random.default_rng(2)
    teacher = rng.normal(size=(FEATURES, CLASSES))
    made: list[Batch] = []
    for _ in range(count):
        x = rng.normal(size=(BATCH, LENGTH, FEATURES)).astype(np.float32)
        made.append((x, np.argmax(x.mean(axis=1) @ teacher, axis=1).astype(np.int32)))
    return made


class TorchRecurrent:
    """PyTorch's own layer. `batch_first`: sequences row by row; else they are given step by step, which it runs."""

    def __init__(self, cell: str, first: Weights, data: Sequence[Batch], fused: bool, batch_first: bool) -> None:
        torch.set_num_threads(1)
        self.name = "torch eager" + (", batch first" if batch_first else "") + (", fused optimizer" if fused else "")
        layer = torch.nn.LSTM if cell == "lstm" else torch.nn.GRU
        self._rnn, self._fc = layer(FEATURES, UNITS, batch_first=batch_first), torch.nn.Linear(UNITS, CLASSES)
        self._lstm = cell == "lstm"
        parameters = {
            "rnn.ih.w": self._rnn.weight_ih_l0,
            "rnn.ih.b": self._rnn.bias_ih_l0,
            "rnn.step.hh.w": self._rnn.weight_hh_l0,
            "rnn.step.hh.b": self._rnn.bias_hh_l0,
            "fc.w": self._fc.weight,
            "fc.b": self._fc.bias,
        }
        with torch.no_grad():
            for key, parameter in parameters.items():
                parameter.copy_(torch.from_numpy(first[key].T))
        how = Adam()
        betas = (how.beta1, how.beta2)
        self._optimizer = torch.optim.Adam(list(parameters.values()), how.lr, betas, how.eps, fused=fused or None)
        given = [torch.from_numpy(x if batch_first else np.ascontiguousarray(x.swapaxes(0, 1))) for x, _ in data]
        self._batches = cycle([(x, torch.from_numpy(y).long()) for x, (_, y) in zip(given, data, strict=True)])
        self._last = torch.zeros(())

    def step(self) -> None:
        x, y = next(self._batches)
        self._optimizer.zero_grad(set_to_none=True)
        _, state = self._rnn(x)
        last = state[0][0] if self._lstm else state[0]
        self._last = torch.nn.functional.cross_entropy(self._fc(last), y)
        self._last.backward()
        self._optimizer.step()

    def loss(self) -> float:
        return float(self._last.detach())


Params = dict[str, jax.Array]


def _lstm_turn(p: Params, state: tuple[jax.Array, jax.Array], xt: jax.Array) -> tuple[tuple[jax.Array, jax.Array], None]:
    h, c = state
    i, f, g, o = jnp.split(xt + h @ p["rnn.step.hh.w"] + p["rnn.step.hh.b"], 4, axis=-1)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    return (jax.nn.sigmoid(o) * jnp.tanh(c), c), None


def _gru_turn(p: Params, state: tuple[jax.Array], xt: jax.Array) -> tuple[tuple[jax.Array], None]:
    (h,) = state
    rx, zx, nx = jnp.split(xt, 3, axis=-1)
    rh, zh, nh = jnp.split(h @ p["rnn.step.hh.w"] + p["rnn.step.hh.b"], 3, axis=-1)
    z = jax.nn.sigmoid(zx + zh)
    n = jnp.tanh(nx + jax.nn.sigmoid(rx + rh) * nh)
    return ((1 - z) * n + z * h,), None


class JaxRecurrent:
    """The whole step under one `jax.jit`: `lax.scan` over steps, the input's product before it."""

    name = "jax.jit"

    def __init__(self, cell: str, first: Weights, data: Sequence[Batch]) -> None:
        turn = _lstm_turn if cell == "lstm" else _gru_turn

        def loss(p: Params, x: jax.Array, y: jax.Array) -> jax.Array:
            xs = x @ p["rnn.ih.w"] + p["rnn.ih.b"]
            start = (jnp.zeros((x.shape[1], UNITS)),) * (2 if cell == "lstm" else 1)
            last, _ = jax.lax.scan(lambda state, xt: turn(p, state, xt), start, xs)
            log_p = jax.nn.log_softmax(last[0] @ p["fc.w"] + p["fc.b"])
            return -jnp.mean(jnp.take_along_axis(log_p, y[:, None], axis=1))

        self._step = jitted(Adam(), loss)
        self._params = {key: jnp.array(value) for key, value in first.items()}
        self._moments = [jax.tree.map(jnp.zeros_like, self._params) for _ in range(2)]
        self._t = jnp.zeros((), jnp.float32)
        self._batches = cycle([(jnp.array(x.swapaxes(0, 1)), jnp.array(y)) for x, y in data])
        self._last = jnp.zeros(())

    def step(self) -> None:
        x, y = next(self._batches)
        self._params, self._moments, self._t, self._last = self._step(self._params, self._moments, self._t, x, y)

    def loss(self) -> float:
        jax.block_until_ready(self._params)
        return float(self._last)


def compare_recurrent(name: str, cell: str, peers_only: bool, rounds: int) -> bool:
    """Print losses and times of the workload; True if losses agree and bmc takes no longer than PyTorch eager."""
    workload = Workload(name, (FEATURES, CLASSES), Adam(), BATCH, HERE / f"{name.lower()}.bm")
    print(f"{name}, batch {BATCH}, {flops(cell) / 1e6:.4g} MFLOP a step, one core, f32")
    first, data = weights(cell), batches()
    contenders: list[Contender] = [
        TorchRecurrent(cell, first, data, fused=False, batch_first=False),
        TorchRecurrent(cell, first, data, fused=False, batch_first=True),
        TorchRecurrent(cell, first, data, fused=True, batch_first=False),
        JaxRecurrent(cell, first, data),
    ]
    if not peers_only:
        contenders.append(bmc_step(workload, first, data))
    agree = losses_agree(contenders, LOSS_STEPS, LOSS_TOLERANCE)
    timings = interleave(contenders, rounds)
    print(table(timings))
    return verdict(timings, Bound("torch eager", at_most=1.0)) and agree
