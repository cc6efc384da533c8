"""The programs of docs/extending.md: each is trained, and what it declares does what its text says, computed here in numpy.

They run in f64. The two linear ones take all rows in each step, so that a dozen lines of numpy train them, too: 30 steps of sums
over 300 rows, rounded to 1e-16 each and not amplified by a convex problem with small steps, agree to 1e-10.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bmc

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"
SECTIONS = {
    section.partition("\n")[0]: re.findall(r"^```bm\n(.*?)^```$", section, re.M | re.S)
    for section in PAGE.read_text(encoding="utf-8").split("\n## ")[1:]
}
ROWS, EPOCHS = 300, 30


@pytest.fixture(autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


@cache
def points() -> tuple[Any, Any]:
    """Three clouds of unequal number, apart by a few deviations."""
    rng = np.random.default_rng(0)
    label = rng.choice(3, size=ROWS, p=[0.6, 0.3, 0.1])
    centres = np.array([[2.0, 0, 0, 1], [0, 2, 0, -1], [0, 0, 2, 0]])
    return (centres[label] + rng.normal(size=(ROWS, 4))).astype(np.float32).astype(np.float64), label


def trained(section: str) -> bmc.Model:
    (text,) = SECTIONS[section]
    x, label = points()
    return bmc.compile(text, f64=True).train({"features": x, "label": label})


def softmax(scores: Any) -> Any:
    e = np.exp(scores - scores.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def learned(model: bmc.Model, forward: Callable[[dict[str, Any], Any], Any]) -> None:
    """`forward` of the trained weights gives the model's loss and accuracy, which is far above that of guessing."""
    x, label = points()
    scores = forward(model.weights, x)
    found = model.evaluate("train")
    assert found.metrics["accuracy"] == pytest.approx((scores.argmax(1) == label).mean(), abs=1e-12)
    assert found.loss == pytest.approx(-np.log(softmax(scores)[range(ROWS), label]).mean(), rel=1e-10)
    assert found.metrics["accuracy"] > 0.85


def test_the_page_has_a_program_for_each_kind() -> None:
    assert list(SECTIONS) == ["A layer", "An activation", "A loss", "A metric", "A schedule", "An optimizer"]
    assert [len(programs) for programs in SECTIONS.values()] == [1] * 6


def test_a_layer() -> None:
    def weight_norm(w: dict[str, Any], key: str, x: Any) -> Any:
        v = w[f"{key}.v"]
        return x @ (v * w[f"{key}.length"] / np.sqrt((v * v).sum(0))) + w[f"{key}.b"]

    learned(trained("A layer"), lambda w, x: weight_norm(w, "last", np.maximum(weight_norm(w, "first", x), 0)))


def test_an_activation() -> None:
    def dense(w: dict[str, Any], key: str, x: Any) -> Any:
        return x @ w[f"{key}.w"] + w[f"{key}.b"]

    def forward(w: dict[str, Any], x: Any) -> Any:
        h = dense(w, "first", x)
        h = dense(w, "second", (h + np.sqrt(h * h + 1)) / 2)
        return dense(w, "last", h / (1 + np.exp(-w["act.steepness"] * h)))

    model = trained("An activation")
    learned(model, forward)
    assert np.abs(model.weights["act.steepness"] - 1).max() > 0.01, "it has learned"


def test_a_loss() -> None:
    model = trained("A loss")
    x, label = points()
    p = softmax(model.predict({"features": x})["logits"])[range(ROWS), label]
    found = model.evaluate("train")
    assert found.loss == pytest.approx(((1 - np.sqrt(p)) / 0.5).mean(), rel=1e-10)
    assert found.metrics["accuracy"] > 0.85


def test_a_metric() -> None:
    model = trained("A metric")
    x, label = points()
    right = model.predict({"features": x})["logits"].argmax(1) == label
    found = model.evaluate("train").metrics
    assert found["balanced_accuracy"] == pytest.approx(np.mean([right[label == k].mean() for k in range(3)]), rel=1e-12)
    assert found["balanced_accuracy"] != pytest.approx(found["accuracy"], rel=1e-3), "the classes are not of one size"


def descended(update: Callable[[int, str, Any, Any], Any]) -> dict[str, Any]:
    """Softmax regression from zeros, all rows in each step. `update(step, key, weight, gradient)`: the new weight."""
    x, label = points()
    w = {"last.w": np.zeros((4, 3)), "last.b": np.zeros(3)}
    for step in range(EPOCHS):
        d = (softmax(x @ w["last.w"] + w["last.b"]) - np.eye(3)[label]) / ROWS
        gradients = {"last.w": x.T @ d, "last.b": d.sum(0)}
        w = {key: update(step, key, w[key], gradients[key]) for key in w}
    return w


def same_weights(model: bmc.Model, wanted: dict[str, Any]) -> None:
    for key, array in wanted.items():
        np.testing.assert_allclose(model.weights[key], array, rtol=1e-10, atol=1e-10)


def test_a_schedule() -> None:
    def rate(step: int) -> float:
        return 0.05 + 0.45 * (1 - abs(2 * (step / 8 % 1) - 1))

    same_weights(trained("A schedule"), descended(lambda step, _, w, g: w - rate(step) * g))


def test_an_optimizer() -> None:
    means = {"last.w": np.zeros((4, 3)), "last.b": np.zeros(3)}

    def lion(_: int, key: str, w: Any, g: Any) -> Any:
        u = np.sign(0.9 * means[key] + 0.1 * g)
        means[key] = 0.99 * means[key] + 0.01 * g
        return w - 0.02 * (u + 0.1 * w)

    same_weights(trained("An optimizer"), descended(lion))
