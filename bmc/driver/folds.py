"""Training on every fold of a split: cross-validation.

In: a unit whose data block says `split = folds(n)`, options. Out: for each fold what the model that was not trained on it reaches
on it. Guaranteed: fold k is what `fold = k` in the program gives, bit for bit; no model is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import sqrt

from bmc.driver.trained import Evaluation
from bmc.driver.workflow import Observer, TrainOptions, train
from bmc.frontend.unit import Unit
from bmc.record import record, replace

__all__ = ["Spread", "fold_count", "spread", "train_folds"]


@record(frozen=True)
class Spread:
    """Mean and standard deviation (n - 1) of a number over folds."""

    mean: float
    std: float


def fold_count(unit: Unit) -> int:
    """How many folds the split has; 0 where it has none."""
    return unit.data.split.folds[0] if unit.data is not None and unit.data.split.method == "folds" else 0


def train_folds(unit: Unit, options: TrainOptions, observer: Callable[[int], Observer | None]) -> Iterator[Evaluation]:
    """The evaluation of the test of each fold, as soon as its model is trained; `observer` gives who watches that of a fold. It
    ends early when a run is interrupted. Raises BmcError as `train` does, and ValueError where the split has no folds."""
    count = fold_count(unit)
    if unit.data is None or not count:
        raise ValueError("the data block has no `split = folds(n)`")
    for fold in range(count):
        split = replace(unit.data.split, folds=(count, fold))
        chosen = replace(unit, data=replace(unit.data, split=split))
        _, report = train(chosen, replace(options, output=None, resume=False), observer(fold))
        if report.interrupted:
            return
        yield report.evaluations["test"]


def spread(evaluations: Sequence[Evaluation]) -> dict[str, Spread]:
    """Of the loss and of each metric of one number, by name. ValueError for less than two folds."""
    if len(evaluations) < 2:
        raise ValueError("a spread is that of two folds or more")
    found = {"loss": [e.loss for e in evaluations]}
    for name, value in evaluations[0].metrics.items():
        if isinstance(value, (int, float)):
            found[name] = [float(e.metrics[name]) for e in evaluations]
    made = {}
    for name, values in found.items():
        mean = sum(values) / len(values)
        made[name] = Spread(mean, sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1)))
    return made
