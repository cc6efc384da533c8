"""What is drawn: initial weights have the moments of their formulas, dropout keeps the share that it says.

Draws depend on the seed alone, so these tests cannot fail by chance later. Bounds are 5 standard deviations of the estimate.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.training.trials import Trial

IN, OUT = 300, 200
UNIFORM = {
    "glorot": ("glorot", (6 / (IN + OUT)) ** 0.5),
    "glorot_gain": ("glorot(gain = 2)", 2 * (6 / (IN + OUT)) ** 0.5),
    "he_uniform": ("he_uniform", (6 / IN) ** 0.5),
    "plain": ("uniform(low = -0.5, high = 0.5)", 0.5),
}
NORMAL = {
    "glorot_normal": ("glorot_normal", (2 / (IN + OUT)) ** 0.5),
    "he": ("he", (2 / IN) ** 0.5),
    "lecun": ("lecun", (1 / IN) ** 0.5),
    "std": ("normal(std = 0.02)", 0.02),
}


def program(seed: int) -> str:
    params = [f"  param w_{n}: float[{IN}, {OUT}] = {text}" for n, (text, _) in {**UNIFORM, **NORMAL}.items()]
    total = " + ".join(f"sum(w_{name})" for name in (*UNIFORM, *NORMAL))
    return f"""
data D {{
  source = npz("absent.npz")
  columns {{ a: f32 }}
  x = a
}}
model M()(x: float[B]) -> (out: float[B]) {{
{chr(10).join(params)}
  state dropped: float[64, 50] = zeros
  one: float[64, 50] = ones
  dropped = one |> dropout(0.3)
  state rows: float[50] = zeros
  wide: float[B, 50] = broadcast_of(x)
  rows = mean(wide |> dropout(0.5), axis = 0)
  return x * ({total})
}}
fn broadcast_of(x: float[B]) -> float[B, 50] {{
  ones_row: float[50] = ones
  return unsqueeze(x, -1) * ones_row
}}
train M on D {{
  loss = out
  predict = [same = x]
  optimizer = sgd(lr = 0)
  batch = 40
  steps = 2
  seed = {seed}
}}
"""


@pytest.fixture(scope="module")
def trial() -> Trial:
    trial = Trial(program(1), "f32")
    trial.start()
    return trial


def flat(trial: Trial, name: str) -> Any:
    return trial.session.store[f"w_{name}"].astype(np.float64).reshape(-1)


@pytest.mark.parametrize("name", UNIFORM)
def test_uniform_initial_weights(name: str, trial: Trial) -> None:
    w, bound = flat(trial, name), UNIFORM[name][1]
    assert 0.999 * bound < np.abs(w).max() <= bound * (1 + 2**-22)
    variance = bound**2 / 3
    assert abs(w.mean()) < 5 * (variance / w.size) ** 0.5
    # the variance of a square of a uniform is 4/45 bound^4
    assert abs((w**2).mean() - variance) < 5 * (4 / 45 / w.size) ** 0.5 * bound**2


@pytest.mark.parametrize("name", NORMAL)
def test_normal_initial_weights(name: str, trial: Trial) -> None:
    w, std = flat(trial, name), NORMAL[name][1]
    assert abs(w.mean()) < 5 * std / w.size**0.5
    assert abs((w**2).mean() - std**2) < 5 * (2 / w.size) ** 0.5 * std**2
    # the fourth moment is 3 std^4, and its variance 96 std^8
    assert abs((w**4).mean() - 3 * std**4) < 5 * (96 / w.size) ** 0.5 * std**4


def test_every_weight_has_its_own_draws(trial: Trial) -> None:
    names = [*UNIFORM, *NORMAL]
    together = np.corrcoef([flat(trial, name) for name in names]) - np.eye(len(names))
    assert np.abs(together).max() < 5 / (IN * OUT) ** 0.5
    other = Trial(program(2), "f32")
    other.start()
    assert abs(np.corrcoef(flat(trial, "he"), flat(other, "he"))[0, 1]) < 5 / (IN * OUT) ** 0.5


def test_dropout() -> None:
    trial = Trial(program(3), "f32")
    trial.train({"x": np.ones(40)})
    first = trial.session.store["dropped"].copy()
    assert set(np.unique(first)) == {np.float32(0), np.float32(1) / np.float32(0.7)}
    assert abs((first == 0).mean() - 0.3) < 5 * (0.3 * 0.7 / first.size) ** 0.5
    # Each row has draws of its own: a mean over 40 rows of 0 or 2 takes many values around 1.
    means = trial.session.store["rows"]
    assert len(np.unique(means)) > 5
    assert abs(means.mean() - 1) < 5 / (50 * 40) ** 0.5
