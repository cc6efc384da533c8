"""Metrics of a whole split against their definitions, computed here in numpy.

More rows than one chunk of evaluation, and a number that no vector width divides. Metrics are computed in f64 from the same
f64 cells: 1e-12 leaves room for the order of 2,500 additions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.training.trials import Trial

ROWS, CLASSES = 2_501, 4

PROGRAM = """
data D {
  source = npz("absent.npz")
  columns { a: f64; one: f64; label: i32; hit: bool; part: i32; target: f64 }
  x = concat(a, a, a, a)
  s = one
  y = label |> category(4)
  k = hit
  b = part
  t = target
}
model M()(x: float[B, 4], s: float[B]) -> (logits: float[B, 4], score: float[B]) {
  param scale: float = ones
  return x * scale, s * scale
}
train M on D {
  loss = cross_entropy(logits, y)
  metrics = [accuracy(logits, y), confusion(logits, y), macro = f1(logits, y), f1 = f1(score, k), auc(score, k),
    auc_of_integers = auc(score, b), f1_of_integers = f1(score, b),
    r2(score, t), rmse(score, t), mae(score, t), mse(score, t), nll = cross_entropy(logits, y)]
  batch = 8
  steps = 1
}
"""


def arrays_of(rows: int = ROWS, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, CLASSES)).round(1)  # equal scores happen: the first of the largest counts
    k = rng.random(rows) < 0.3
    s = (rng.normal(size=rows) + k).round(1)  # and many scores are tied
    y = np.where(rng.random(rows) < 0.5, x.argmax(1), rng.integers(0, CLASSES - 1, rows))
    return {"x": x, "s": s, "y": y, "k": k, "b": k.astype(np.int32), "t": s + rng.normal(size=rows)}


@pytest.fixture(scope="module")
def trial() -> Trial:
    trial = Trial(PROGRAM, "f64")
    trial.start()
    return trial


@pytest.fixture(scope="module")
def found(trial: Trial) -> dict[str, Any]:
    return trial.evaluate(arrays_of())


def pair_auc(score: Any, hit: Any) -> float:
    """The definition: of all pairs of a hit and a miss, those where the hit scores higher; ties count half."""
    up, down = score[hit][:, None], score[~hit][None, :]
    return float(np.mean((up > down) + 0.5 * (up == down)))


def binary_f1(guess: Any, truth: Any) -> float:
    both = np.sum(guess & truth)
    precision, recall = both / np.sum(guess), both / np.sum(truth)
    return float(2 * precision * recall / (precision + recall))


def test_classification(found: dict[str, Any]) -> None:
    arrays = arrays_of()
    guess, y = arrays["x"].argmax(1), arrays["y"]
    assert found["accuracy"] == pytest.approx(np.mean(guess == y), rel=1e-12)
    table = np.zeros((CLASSES, CLASSES))
    np.add.at(table, (y, guess), 1)
    np.testing.assert_array_equal(found["confusion"], table)
    each = [binary_f1(guess == c, y == c) if np.any((guess == c) & (y == c)) else 0.0 for c in range(CLASSES)]
    assert found["macro"] == pytest.approx(np.mean(each), rel=1e-12)
    shifted = arrays["x"] - arrays["x"].max(1, keepdims=True)
    picked = np.log(np.exp(shifted).sum(1)) - shifted[np.arange(ROWS), y]
    assert found["nll"] == pytest.approx(picked.mean(), rel=1e-12)
    assert found["loss"] == pytest.approx(picked.mean(), rel=1e-12)


def test_two_classes(found: dict[str, Any]) -> None:
    arrays = arrays_of()
    assert len(np.unique(arrays["s"])) < ROWS / 10
    for name in ("auc", "auc_of_integers"):
        assert found[name] == pytest.approx(pair_auc(arrays["s"], arrays["k"]), rel=1e-12)
    for name in ("f1", "f1_of_integers"):
        assert found[name] == pytest.approx(binary_f1(arrays["s"] > 0, arrays["k"]), rel=1e-12)


def test_regression(found: dict[str, Any]) -> None:
    arrays = arrays_of()
    off, t = arrays["s"] - arrays["t"], arrays["t"]
    assert found["mse"] == pytest.approx(np.mean(off**2), rel=1e-12)
    assert found["rmse"] == pytest.approx(np.sqrt(np.mean(off**2)), rel=1e-12)
    assert found["mae"] == pytest.approx(np.mean(np.abs(off)), rel=1e-12)
    assert found["r2"] == pytest.approx(1 - np.sum(off**2) / np.sum((t - t.mean()) ** 2), rel=1e-12)


def test_classes_that_do_not_occur(trial: Trial) -> None:
    """Macro F1 is over the classes that are there or are guessed."""
    arrays = arrays_of(3)
    arrays["x"] = np.eye(4)[[0, 1, 1]]
    arrays["y"] = np.array([0, 1, 0])
    # class 0: precision 1, recall 1/2; class 1: precision 1/2, recall 1; classes 2 and 3 do not occur
    assert trial.evaluate(arrays)["macro"] == pytest.approx(2 / 3, rel=1e-12)
