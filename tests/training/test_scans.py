"""What a scan carries beside tensors: numbers, states, and random draws of its own in each turn; native runs against numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bmc.ops import philox
from bmc.passes.autodiff import autodiff
from bmc_runtime.order import epoch_order
from tests.training.trials import Trial

ROWS, STEPS = 6, 5


def program(layer: str, body: str, outputs: str = "out: float[B]", shards: int = 1) -> str:
    return f"""
data D {{
  source = npz("absent.npz")
  columns {{ a: f64[{STEPS}, 2] }}
  x = a
}}
{layer}
model M()(x: float[B, T, 2]) -> ({outputs}) {{
  param w: float[2] = ones
  {body}
}}
train M on D {{
  loss = out
  optimizer = sgd(lr = 1)
  batch = {ROWS}
  steps = 1
  shards = {shards}
}}
"""


def arrays() -> Any:
    return np.random.default_rng(0).normal(size=(ROWS, STEPS, 2))


def in_order() -> Any:
    """The rows as the only batch has them, by which draws are counted."""
    return arrays()[epoch_order(0, 0, (ROWS,))]


def stepped(text: str) -> tuple[float, Trial, Any]:
    """The loss of one step, the trial behind it, and the gradient of w."""
    trial = Trial(text)
    losses = trial.train({"x": arrays()})
    return losses[0], trial, 1 - trial.session.store["w"]


def test_numbers_bound_before_are_carried() -> None:
    """A count, a sum that starts as 0, a maximum that starts at -inf, a condition."""
    body = """n = 0
  total = 0
  best = -inf
  any_large = false
  scan(axis = 1) t in x {
    n = n + 1
    total = total + sum(t * w, axis = -1) * n
    best = maximum(best, sum(t * w, axis = -1))
    any_large = any_large or t[:, 0] > 1
  }
  return total + best + number(any_large) + 100 * n"""
    loss, _, gradient = stepped(program("", body))
    x = arrays()
    s = x.sum(-1)
    turns = np.arange(1, STEPS + 1)
    wanted = (s * turns).sum(1) + s.max(1) + (x[:, :, 0] > 1).any(1) + 100 * STEPS
    assert loss == pytest.approx(wanted.mean(), rel=1e-12)
    each = (x * turns[:, None]).sum(1) + x[np.arange(ROWS), s.argmax(1)]
    np.testing.assert_allclose(gradient, each.mean(0), rtol=1e-12)


COUNT = """layer Count()(x: float[B, 2]) -> float[B, 2] {
  state n: float = zeros
  state scale: float[2] = ones
  n = n + 1
  return x * n * scale
}"""


def test_a_state_that_changes_in_a_scan_goes_on_from_turn_to_turn() -> None:
    body = """h: float[B, 2] = zeros
  count = Count()
  scan(axis = 1) t in x { h = h + (t * w |> count) }
  return sum(h |> count, axis = -1)"""
    loss, trial, gradient = stepped(program(COUNT, body))
    turns = np.arange(1, STEPS + 1)
    h = (arrays() * turns[:, None]).sum(1)
    assert loss == pytest.approx((h * (STEPS + 1)).sum(-1).mean(), rel=1e-12)
    np.testing.assert_allclose(gradient, (h * (STEPS + 1)).mean(0), rtol=1e-12)
    assert trial.session.store["count.n"] == STEPS + 1
    np.testing.assert_array_equal(trial.session.store["count.scale"], [1, 1])


def test_a_state_in_nested_scans() -> None:
    body = """h: float[B] = zeros
  scan(axis = 1) t in x {
    scan(axis = 1) u in t { h = h + sum(unsqueeze(u * w[0], -1) |> Count1() as count, axis = -1) }
  }
  return h"""
    loss, trial, _ = stepped(program(COUNT.replace("Count", "Count1").replace("2]", "D]"), body))
    turns = np.arange(1, 2 * STEPS + 1).reshape(STEPS, 2)
    assert loss == pytest.approx((arrays() * turns).sum((1, 2)).mean(), rel=1e-12)
    assert trial.session.store["count.n"] == 2 * STEPS


def uniforms(site: str, shape: tuple[int, ...]) -> Any:
    """The draws of a site in step 0: rows behind one another, the cells of a row in order."""
    positions = np.arange(int(np.prod(shape[1:])))[None, :]
    rows = np.arange(shape[0])[:, None]
    drawn = philox.uniform(np, "f64", 0, 0, rows, positions, philox.site_hash(site))
    return drawn.reshape(shape)


def test_each_turn_draws_anew() -> None:
    body = """h: float[B, 2] = zeros
  scan(axis = 1) t in x {
    u: float[B, 2] = uniform()
    h = h + u * t * w
  }
  return sum(h, axis = -1)"""
    loss, _, gradient = stepped(program("", body))
    drawn = uniforms("u", (ROWS, STEPS, 2))
    assert len(np.unique(drawn)) == drawn.size
    each = (drawn * in_order()).sum(1)
    assert loss == pytest.approx(each.sum(-1).mean(), rel=1e-12)
    np.testing.assert_allclose(gradient, each.mean(0), rtol=1e-12)


def test_each_turn_of_nested_scans_draws_anew() -> None:
    body = """h: float[B] = zeros
  scan(axis = 1) t in x {
    scan(axis = 1) v in t {
      u: float[B] = uniform()
      h = h + u * v * w[0]
    }
  }
  return h"""
    loss, _, _ = stepped(program("", body))
    drawn = uniforms("u", (ROWS, STEPS, 2))
    assert loss == pytest.approx((drawn * in_order()).sum((1, 2)).mean(), rel=1e-12)


def test_dropout_in_a_scan_drops_other_cells_in_each_turn() -> None:
    body = """h: float[B, 2] = zeros
  scan(axis = 1) t in x { h = h + (t * w |> dropout(0.5) as drop) }
  return sum(h, axis = -1)"""
    loss, _, _ = stepped(program("", body))
    kept = uniforms("drop.u", (ROWS, STEPS, 2)) >= 0.5
    assert 0 < kept.sum() < kept.size
    assert loss == pytest.approx((2 * kept * in_order()).sum((1, 2)).mean(), rel=1e-12)


ADDITIVE = """q: float[B] = zeros
  m = x[:, :3] * w
  scan(axis = 1) t in x { q = q + sum(tanh(m + unsqueeze(t, 1) + unsqueeze(unsqueeze(q, -1), -1)), axis = [1, 2]) / 6 }
  return q"""


@pytest.mark.parametrize("shards", [1, 2])
def test_what_every_turn_reads_of_each_row_gets_the_sum_of_all_turns(shards: int) -> None:
    """Additive attention in small: `m` goes into each turn through a curve, so its gradient is no product."""
    torch = pytest.importorskip("torch")
    loss, trial, gradient = stepped(program("", ADDITIVE, shards=shards))
    x, w = torch.tensor(arrays()), torch.ones(2, dtype=torch.float64, requires_grad=True)
    q, m = torch.zeros(ROWS, dtype=torch.float64), x[:, :3] * w
    for t in range(STEPS):
        q = q + torch.tanh(m + x[:, t, None] + q[:, None, None]).sum((1, 2)) / 6
    q.mean().backward()
    assert loss == pytest.approx(float(q.mean()), rel=1e-12)
    np.testing.assert_allclose(gradient, w.grad.numpy(), rtol=1e-11)
    # One such gradient of [B, 3, 2] is kept, not one for each turn.
    (backward,) = (op for op in autodiff(trial.unit.module.function("train")).ops if op.name == "scan" and op.location.gradient)
    stacks = [str(value.type) for value in backward.results[backward.attrs.carries :]]
    assert "f64[B, 3, 2]" in [str(value.type) for value in backward.results]
    assert not any(text.startswith(f"f64[{STEPS}, B, 3, 2]") for text in stacks), stacks


def test_scans_without_turns_and_carries_without_cells() -> None:
    """In turns of a scan that has some, and around it."""
    body = """h: float[B, 2] = zeros
  empty: float[B, 0] = zeros
  other: float[B, 0] = zeros
  scan(axis = 1) t in x {
    inner: float[B, 2] = t * w
    scan(axis = 1) u in x[:, :0] {
      scan(axis = 1) v in x { inner = tanh(inner * u + v) }
    }
    before = empty
    empty = other
    other = before * 2
    h = h + inner
  }
  return sum(h, axis = -1) + sum(empty, axis = -1)"""
    loss, _, gradient = stepped(program("", body))
    assert loss == pytest.approx(arrays().sum((1, 2)).mean(), rel=1e-12)
    np.testing.assert_allclose(gradient, arrays().sum(1).mean(0), rtol=1e-12)
