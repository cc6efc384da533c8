"""JAX's half: the whole step in one `jax.jit` with donated buffers, which is its best mode on this kind of loop."""

from collections.abc import Callable, Sequence
from itertools import cycle
from typing import Any

import jax
import jax.numpy as jnp

from workloads import Adam, Batch, Momentum, Weights, Workload

Params = list[tuple[jax.Array, jax.Array]]
Step = Callable[..., tuple[Any, list[Any], jax.Array, jax.Array]]


def _loss(params: Params, x: jax.Array, y: jax.Array) -> jax.Array:
    for w, b in params[:-1]:
        x = jax.nn.relu(x @ w + b)
    w, b = params[-1]
    log_p = jax.nn.log_softmax(x @ w + b)
    return -jnp.mean(jnp.take_along_axis(log_p, y[:, None], axis=1))


def _update(
    optimizer: Adam | Momentum, t: jax.Array, grads: Any, params: Any, moments: list[Any]
) -> tuple[Any, list[Any]]:
    tree = jax.tree.map
    if isinstance(optimizer, Momentum):
        (m,) = moments
        m = tree(lambda m, g: optimizer.momentum * m + g, m, grads)
        return tree(lambda w, m: w - optimizer.lr * m, params, m), [m]
    m, v = moments
    beta1, beta2 = optimizer.beta1, optimizer.beta2
    m = tree(lambda m, g: beta1 * m + (1 - beta1) * g, m, grads)
    v = tree(lambda v, g: beta2 * v + (1 - beta2) * g * g, v, grads)
    scale1, scale2 = 1 / (1 - beta1**t), 1 / (1 - beta2**t)
    new = tree(lambda w, m, v: w - optimizer.lr * (m * scale1) / (jnp.sqrt(v * scale2) + optimizer.eps), params, m, v)
    return new, [m, v]


def jitted(optimizer: Adam | Momentum, loss_of: Callable[[Any, jax.Array, jax.Array], jax.Array]) -> Step:
    """A step of training as one compiled function: of the parameters' tree, their moments, the step and a batch."""

    def step(params: Any, moments: Any, t: jax.Array, x: jax.Array, y: jax.Array) -> tuple[Any, Any, jax.Array, jax.Array]:
        t = t + 1
        loss, grads = jax.value_and_grad(loss_of)(params, x, y)
        params, moments = _update(optimizer, t, grads, params, moments)
        return params, moments, t, loss

    compiled: Step = jax.jit(step, donate_argnums=(0, 1, 2))
    return compiled


class JaxStep:
    """jax.jit, a training step on the next batch."""

    name = "jax.jit"

    def __init__(self, workload: Workload, weights: Weights, batches: Sequence[Batch]) -> None:
        layers = range(1, len(workload.widths))
        self._params: Params = [(jnp.array(weights[f"fc{n}.w"]), jnp.array(weights[f"fc{n}.b"])) for n in layers]
        count = 2 if isinstance(workload.optimizer, Adam) else 1
        self._moments = [jax.tree.map(jnp.zeros_like, self._params) for _ in range(count)]
        self._t = jnp.zeros((), jnp.float32)
        self._batches = cycle([(jnp.array(x), jnp.array(y)) for x, y in batches])
        self._step = jitted(workload.optimizer, _loss)
        self._last = jnp.zeros(())

    def step(self) -> None:
        x, y = next(self._batches)
        self._params, self._moments, self._t, self._last = self._step(self._params, self._moments, self._t, x, y)

    def loss(self) -> float:
        jax.block_until_ready(self._params)
        return float(self._last)
