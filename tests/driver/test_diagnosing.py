"""Finding where a loss stopped being finite, on small graphs whose culprit is known."""

from __future__ import annotations

import numpy as np
import pytest

from bmc.driver.diagnosing import explain_not_finite
from bmc.driver.load import load_unit, text_source
from bmc.frontend.unit import Unit

PROGRAM = """
data D {
  source = npz("never-opened.npz")
  columns { a: f32[2]; b: f32 }
  x = a
  y = b
}
model M(x: f32[B, 2]) -> (p: f32[B]) { return x |> dense(1) as d |> squeeze(-1) }
train M on D {
  loss = LOSS
  optimizer = sgd(lr = 0.1)
}
"""


def explain(loss: str, **changed: np.ndarray) -> tuple[str, str, str]:
    """(text under the carets, their label, the notes) for a batch of ones and weights of one."""
    unit: Unit = load_unit(text_source(PROGRAM.replace("LOSS", loss)))
    train = unit.module.function("train")
    arrays: dict[str, np.ndarray] = {
        "x": np.ones((4, 2), np.float32), "y": np.ones(4, np.float32), "d.w": np.ones((2, 1), np.float32),
        "d.b": np.zeros(1, np.float32), "control": np.zeros(8, np.int64), "control_f": np.ones(4),
    }  # fmt: skip
    arrays |= changed
    given = {p.key: arrays[p.key] for p in train.params}
    spans = {w.key: w.span for w in unit.weights}
    found = explain_not_finite(train, given, {"B": 4}, spans, 6, 1)
    assert found.code == "E0802"
    assert "step 7 (epoch 2)" in found.message
    label = found.labels[0] if found.labels else None
    return (label.span.text if label else "", label.text if label else "", " ".join(found.notes))


@pytest.mark.parametrize(
    ("loss", "where", "operator"),
    [
        ("mse(log(p - 2), y)", "log(p - 2)", "log"),
        ("mse(sqrt(y - p * 3), y)", "sqrt(y - p * 3)", "sqrt"),
        ("mse(exp(p * 100), y)", "exp(p * 100)", "exp"),
        ("mse(p / (y - 1), y)", "p / (y - 1)", "div"),
    ],
)
def test_the_first_operation_that_is_not_finite_is_named(loss: str, where: str, operator: str) -> None:
    text, label, notes = explain(loss)
    assert text == where
    assert f"`{operator}` gives" in label
    assert "no weight was changed" in notes


def test_a_weight_that_is_infinite_already_is_named() -> None:
    _, label, notes = explain("mse(p, y)", **{"d.w": np.array([[1], [np.inf]], np.float32)})
    assert "`d.w` holds an infinity" in label
    assert "clip" in notes


def test_data_that_is_not_finite_is_named_with_its_row() -> None:
    x = np.ones((4, 2), np.float32)
    x[2, 1] = np.nan
    _, _, notes = explain("mse(p, y)", x=x)
    assert "`x` holds NaN, first in row 3 of the batch" in notes


def test_a_step_that_stays_finite_is_said_to() -> None:
    assert "stayed finite" in explain("mse(p, y)")[2]
