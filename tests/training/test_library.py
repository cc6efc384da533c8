"""Functions and layers of the library, forward and gradient, against PyTorch in f64.

One program holds them all: each reads a weight of its own and keeps its value in a state, and the gradient of a weighted sum
of all values is read from a step of sgd with a rate of 1. Both sides round each of a few dozen operations to 1e-16 of
magnitudes up to about 1e3: 1e-12 relative to the largest value leaves room for that and for nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.training.trials import Trial

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

functional: Any = torch.nn.functional
ROWS, COLUMNS = 5, 7


def causal(v: Any) -> Any:
    """Row i of 5 sees columns up to i + 2 of 7."""
    seen = torch.ones(ROWS, COLUMNS).tril(COLUMNS - ROWS).bool()
    return torch.softmax(v.masked_fill(~seen, -torch.inf), -1)


def huber(v: Any, t: Any) -> Any:
    return functional.huber_loss(v, t, reduction="none", delta=0.7)


def bce(v: Any, t: Any) -> Any:
    return functional.binary_cross_entropy_with_logits(v, torch.sigmoid(t), reduction="none")


def smooth(v: Any, t: Any) -> Any:
    return functional.cross_entropy(v, torch.softmax(t, -1), reduction="none", label_smoothing=0.3)


def kl_normal(v: Any, t: Any) -> Any:
    normal = torch.distributions.Normal
    return torch.distributions.kl_divergence(normal(v, torch.exp(t / 2)), normal(0.0, 1.0)).sum(-1)


def rmsnorm(v: Any) -> Any:
    return functional.rms_norm(v, (COLUMNS,), eps=1e-5)


def layernorm(v: Any) -> Any:
    return functional.layer_norm(v, (COLUMNS,))


# Of one weight v, or of v and a target t that has a gradient too. Softplus by logaddexp: PyTorch's own is linear above 20.
ONE: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "relu": ("relu(v)", torch.relu),
    "leaky": ("leaky(v)", lambda v: functional.leaky_relu(v, 0.01)),
    "leaky_slope": ("leaky(v, slope = 0.3)", lambda v: functional.leaky_relu(v, 0.3)),
    "elu": ("elu(v)", functional.elu),
    "elu_alpha": ("elu(v, alpha = 0.5)", lambda v: functional.elu(v, 0.5)),
    "gelu": ("gelu(v)", functional.gelu),
    "silu": ("silu(v)", functional.silu),
    "sigmoid": ("sigmoid(v)", torch.sigmoid),
    "tanh": ("tanh(v)", torch.tanh),
    "softplus": ("softplus(v)", lambda v: torch.logaddexp(v, torch.zeros_like(v))),
    "softmax": ("softmax(v)", lambda v: torch.softmax(v, -1)),
    "softmax_rows": ("softmax(v, axis = 0)", lambda v: torch.softmax(v, 0)),
    "log_softmax": ("log_softmax(v)", lambda v: torch.log_softmax(v, -1)),
    "log_softmax_rows": ("log_softmax(v, axis = 0)", lambda v: torch.log_softmax(v, 0)),
    "logsumexp": ("logsumexp(v)", lambda v: torch.logsumexp(v, -1)),
    "causal": ("softmax(causal_mask(v))", causal),
    "layernorm": ("v |> layernorm() as norm_a", layernorm),
    "layernorm_bare": ("v |> layernorm(scale = false, shift = false) as norm_b", layernorm),
    "rmsnorm": ("v |> rmsnorm() as norm_c", rmsnorm),
}
TWO: dict[str, tuple[str, Callable[[Any, Any], Any]]] = {
    "mse": ("mse(v, t)", lambda v, t: (v - t) ** 2),
    "mae": ("mae(v, t)", lambda v, t: (v - t).abs()),
    "huber": ("huber(v, t, delta = 0.7)", huber),
    "bce": ("bce(v, sigmoid(t))", bce),
    "cross_entropy": ("cross_entropy(v, softmax(t))", lambda v, t: -(torch.log_softmax(v, -1) * torch.softmax(t, -1)).sum(-1)),
    "smoothing": ("cross_entropy(v, softmax(t), smoothing = 0.3)", smooth),
    "kl_normal": ("kl_normal(v, t)", kl_normal),
}
FLAT = ("logsumexp", "cross_entropy", "smoothing", "kl_normal")
SHARP = ("cross_entropy", "smoothing", "kl_normal")
"""Not given huge values: exp(t), or a target of exactly 0."""


def program() -> str:
    lines, terms = [], []
    for name, (text, _) in {**ONE, **TWO}.items():
        shape = f"[{ROWS}]" if name in FLAT else f"[{ROWS}, {COLUMNS}]"
        lines.append(f"  param v_{name}: float[{ROWS}, {COLUMNS}] = zeros")
        lines.append(f"  param r_{name}: float{shape} = zeros")
        lines.append(f"  state out_{name}: float{shape} = zeros")
        second = f"t_{name}"
        if name in TWO:
            lines.append(f"  param {second}: float[{ROWS}, {COLUMNS}] = zeros")
        call = text.replace("(v", f"(v_{name}").replace("v |>", f"v_{name} |>")
        call = call.replace("t)", f"{second})") if name in TWO else call
        call = call.replace(", t,", f", {second},").replace(f"sof{second}max", "softmax")
        lines.append(f"  out_{name} = {call}")
        terms.append(f"sum(out_{name} * stop_gradient(r_{name}))")
    total = "\n    + ".join(terms)
    return f"""
data D {{
  source = npz("absent.npz")
  columns {{ a: f64 }}
  x = a
}}
model M()(x: float[B]) -> (total: float) {{
{chr(10).join(lines)}
  return ({total})
}}
train M on D {{
  loss = total + x
  optimizer = sgd(lr = 1)
  batch = 2
  steps = 1
}}
"""


def weights_of(huge: bool) -> dict[str, Any]:
    rng = np.random.default_rng(3)
    found: dict[str, Any] = {}
    for name in (*ONE, *TWO):
        v = rng.normal(size=(ROWS, COLUMNS)) * 2
        if huge and name not in SHARP:
            v[1, :3] = (700.0, -700.0, 40.0)
        found[f"v_{name}"] = v
        found[f"r_{name}"] = rng.normal(size=(ROWS,) if name in FLAT else (ROWS, COLUMNS))
        if name in TWO:
            found[f"t_{name}"] = rng.normal(size=(ROWS, COLUMNS))
    return found


@pytest.fixture(scope="module")
def trial() -> Trial:
    return Trial(program(), "f64")


@pytest.fixture(scope="module", params=[False, True], ids=["usual", "huge"])
def step(request: pytest.FixtureRequest, trial: Trial) -> tuple[dict[str, Any], dict[str, Any]]:
    """Weights before a step, and the store after it."""
    before = weights_of(request.param)
    trial.train({"x": np.zeros(2)}, before)
    return before, {key: array.copy() for key, array in trial.session.store.items()}


def close(found: Any, wanted: Any, scale: float = 0.0) -> None:
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12 * max(scale, float(np.max(np.abs(wanted)))))


@pytest.mark.parametrize("name", [*ONE, *TWO])
def test_value_and_gradient(name: str, step: tuple[dict[str, Any], dict[str, Any]]) -> None:
    before, after = step
    inputs = [torch.tensor(before[key], requires_grad=True) for key in (f"v_{name}", f"t_{name}") if key in before]
    function: Callable[..., Any] = ONE[name][1] if name in ONE else TWO[name][1]
    value = function(*inputs)
    close(after[f"out_{name}"], value.detach().numpy())
    (value * torch.tensor(before[f"r_{name}"])).sum().backward()
    for key, tensor in zip((f"v_{name}", f"t_{name}"), inputs, strict=False):
        # The gradient is what the step took away: rounded to the weight's own magnitude.
        close(before[key] - after[key], tensor.grad.numpy(), float(np.max(np.abs(before[key]))))
