"""`plateau` as a schedule and as a reason to stop, seen in the rate of each step.

The loss of a step is the weight itself, whose gradient is 1: so sgd lowers it by the rate, and the differences of the losses are
the rates. On the validation rows the loss is minus the weight: it is best after the first epoch and worse after each later one.
"""

from __future__ import annotations

import numpy as np
import pytest

from bmc_runtime.split import Split
from tests.training.trials import Losses, Trial

EPOCHS, STEPS = 12, 4


def program(optimizer: str, more: str = "") -> str:
    return f"""
data D {{
  source = npz("absent.npz")
  columns {{ a: f64 }}
  split = by_order(train = 0.7, valid = 0.3)
  x = a
}}
model M()(x: float[B]) -> (out: float[B]) {{
  param w: float = ones
  return w * x
}}
train M on D {{
  loss = out
  optimizer = {optimizer}
  batch = 2
  epochs = {EPOCHS}
  {more}
}}
"""


def run_of(text: str) -> tuple[list[float], Trial]:
    trial = Trial(text, "f64")
    trial.start()
    valid = trial.split({"x": -np.ones(3)})
    splits = {"train": trial.split({"x": np.ones(2 * STEPS)}), "valid": Split("valid", 3, valid.data, (3,))}
    listener = Losses()
    trial.session.run(splits).run(listener)
    return listener.values, trial


def test_rates_fall_after_so_many_epochs_without_improvement() -> None:
    losses, trial = run_of(program("sgd(lr = plateau(0.1, factor = 0.5, patience = 2, least = 0.015))"))
    assert len(losses) == EPOCHS * STEPS
    # Epoch 0 is the best. After epochs 2, 4, 6 two more have gone by: 0.5, 0.25; then the least rate.
    factors = [1.0] * 3 + [0.5] * 2 + [0.25] * 2 + [0.15] * (EPOCHS - 7)
    expected = 0.1 * np.repeat(factors, STEPS)
    np.testing.assert_allclose(-np.diff(losses), expected[:-1], rtol=1e-12)
    # The best epoch's weight is kept: that after the first four steps.
    assert trial.session.store["w"] == pytest.approx(1 - STEPS * 0.1, rel=1e-12)


def test_schedules_of_the_loss_stand_in_evaluation_where_they_stand_in_training() -> None:
    """The least rate of learning keeps the weight near 1, so the validation loss is the schedule's value, up to 1e-6."""
    text = program("sgd(lr = 1e-9)").replace("loss = out", "let fading = linear(1.0)\n  loss = out * fading")
    trial = Trial(text, "f64")
    trial.start()
    valid = trial.split({"x": np.ones(3)})
    splits = {"train": trial.split({"x": np.ones(2 * STEPS)}), "valid": Split("valid", 3, valid.data, (3,))}
    history = trial.session.run(splits).run(Losses()).history
    assert [entry["valid.loss"] for entry in history] == pytest.approx([1 - (e + 1) / EPOCHS for e in range(EPOCHS)], abs=1e-6)


@pytest.mark.parametrize("patience", [1, 3])
def test_stop(patience: int) -> None:
    losses, _ = run_of(program("sgd(lr = 0.1)", f"stop = plateau(valid.loss, patience = {patience})"))
    assert len(losses) == (1 + patience) * STEPS
    np.testing.assert_allclose(-np.diff(losses), 0.1, rtol=1e-12)
