"""Initialisers that are more than scaled draws: the spread of what is cut, and the angles of `orthogonal`.

The mean of n draws of variance v lies within 5 roots of v / n of the true one, and the mean square within 5 roots of 2 v^2 / n,
which is more than these, flatter than a normal distribution, have: one seed in a million would not.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.training.trials import Trial

FAN_IN, FAN_OUT = 200, 300
COUNT = FAN_IN * FAN_OUT

# name: (text, variance, bound)
SPREAD: dict[str, tuple[str, float, float]] = {
    "lecun_uniform": ("lecun_uniform", 1 / FAN_IN, (3 / FAN_IN) ** 0.5),
    # A normal distribution cut at 2 deviations has 0.7737 of the variance: 1 - 2 * 2 * density(2) / (share within).
    "truncated_normal": ("truncated_normal(std = 0.5)", 0.25 * 0.77374, 1.0),
    "truncated_one": ("truncated_normal(std = 0.5, cut = 1.0)", 0.25 * 0.29112, 0.5),
}
ANGLES = {"wide": (7, 12, 1.0), "tall": (12, 7, 1.0), "square": (40, 40, 2.0)}


@pytest.fixture(scope="module")
def weights() -> dict[str, Any]:
    lines = [f"param w_{name}: float[{FAN_IN}, {FAN_OUT}] = {text}" for name, (text, _, _) in SPREAD.items()]
    lines += [f"param q_{name}: float[{i}, {o}] = orthogonal(gain = {gain})" for name, (i, o, gain) in ANGLES.items()]
    total = " + ".join(f"sum({line.split(':')[0].split()[1]})" for line in lines)
    body = "\n  ".join(lines)
    trial = Trial(
        'data D {\n  source = npz("absent.npz")\n  columns { a: f64 }\n  x = a\n}\n'
        f"model M()(x: float[B]) -> (total: float) {{\n  {body}\n  return {total}\n}}\n"
        "train M on D {\n  loss = total + x\n  batch = 2\n  steps = 1\n}\n"
    )
    trial.start()
    return trial.weights()


@pytest.mark.parametrize("name", SPREAD)
def test_the_spread(name: str, weights: dict[str, Any]) -> None:
    _, variance, bound = SPREAD[name]
    w = weights[f"w_{name}"]
    assert abs(w.mean()) <= 5 * (variance / COUNT) ** 0.5
    assert abs((w**2).mean() - variance) <= 5 * (2 / COUNT) ** 0.5 * variance
    assert np.abs(w).max() <= bound
    # And it is reached: the last hundredth of the way has at least 1 draw in 1000, so it is empty once in 1e26.
    assert np.abs(w).max() >= 0.99 * bound


@pytest.mark.parametrize("name", ANGLES)
def test_rows_or_columns_at_right_angles(name: str, weights: dict[str, Any]) -> None:
    i, o, gain = ANGLES[name]
    q = weights[f"q_{name}"] / gain
    gram = q @ q.T if i <= o else q.T @ q
    # Made orthogonal twice, what is left is the rounding of products over `max(i, o)` cells, in f64.
    np.testing.assert_allclose(gram, np.eye(min(i, o)), atol=8 * max(i, o) * 2.0**-52)


def test_directions_differ(weights: dict[str, Any]) -> None:
    """Random, not the unit matrix: no cell is near 1 in 40 dims (the chance is below 1e-9 for each of the 1600)."""
    assert np.abs(weights["q_square"] / 2).max() < 0.9
