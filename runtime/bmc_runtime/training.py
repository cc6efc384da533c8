"""A training run: epochs of steps, evaluation after each, the best weights kept, and where to go on after a crash.

In: a program, the arrays of the store, the splits, the settings. Out: the history, and the store at its best epoch. The run is a
pure function of its inputs: order and noise are functions of the step, so that a resumed run continues with the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from bmc_runtime.binding import Library
from bmc_runtime.evaluation import Evaluator
from bmc_runtime.memory import Array
from bmc_runtime.pool import WorkerPool, share
from bmc_runtime.split import Split
from bmc_runtime.stepping import Stepper, held_order

__all__ = ["Listener", "Plateau", "Progress", "RunSettings", "Stop", "TrainingRun", "epochs_by_rule", "shards_by_rule"]


@dataclass(frozen=True)
class Stop:
    split: str
    metric: str
    patience: int
    delta: float
    mode: Literal["min", "max"]


@dataclass(frozen=True)
class Plateau:
    split: str
    metric: str
    factor: float
    patience: int
    delta: float
    least: float
    mode: Literal["min", "max"]


@dataclass(frozen=True)
class RunSettings:
    """`epochs` or `steps` is given, not both; where neither is, `epochs_by_rule` says how long."""

    batch: int
    accumulate: int
    shards: int
    epochs: int | None
    steps: int | None
    seed: int
    stop: Stop | None = None
    plateau: Plateau | None = None

    def total_steps(self, rows: int) -> int:
        """Steps of a whole run over so many rows."""
        if self.steps is not None:
            return self.steps
        per_step = self.batch * self.accumulate
        epochs = self.epochs if self.epochs is not None else epochs_by_rule(rows, per_step)
        return epochs * max(1, -(-rows // per_step))


@dataclass
class Watch:
    """A value that should get better: its best so far, and for how many epochs it has not."""

    best: float = math.nan
    waited: int = 0

    def better(self, value: float, delta: float, mode: str) -> bool:
        """Take one epoch's value; True when it is better than the best by more than `delta`."""
        gain = self.best - value if mode == "min" else value - self.best
        if math.isnan(self.best) or gain > delta:
            self.best, self.waited = value, 0
            return True
        self.waited += 1
        return False


@dataclass
class Progress:
    """Everything besides weights, states and moments that a run needs to go on: a checkpoint holds it."""

    step: int = 0
    epoch: int = 0
    row: int = 0
    loss_sum: float = 0.0
    loss_steps: int = 0
    factor: float = 1.0
    best_epoch: int = -1
    stop: Watch = field(default_factory=Watch)
    plateau: Watch = field(default_factory=Watch)
    best: Watch = field(default_factory=Watch)
    history: list[dict[str, float | int | str]] = field(default_factory=list)


class Listener(Protocol):
    """Who wants to know how a run goes."""

    def on_step(self, progress: Progress, loss: float, rows: int, total_steps: int) -> None:
        """After each update."""

    def on_epoch(self, progress: Progress, results: Mapping[str, Mapping[str, Array]]) -> None:
        """After each epoch, with the evaluated splits' loss and metrics."""

    def on_checkpoint(self, run: TrainingRun) -> None:
        """When the run stands between two steps and may be saved: after each epoch, and when it is interrupted."""


class TrainingRun:
    """`store`: weights, states, moments and fitted values by key; training changes it in place (with workers, its arrays are
    replaced by shared ones). `loader`: the name (`module:function`) of the loader by which workers load the program.
    """

    def __init__(
        self,
        library: Library,
        evaluate: Evaluator,
        store: dict[str, Array],
        splits: Mapping[str, Split],
        dims: Mapping[str, int],
        settings: RunSettings,
        progress: Progress | None = None,
        best: Mapping[str, Array] | None = None,
        workers: int = 1,
        loader: str = "",
    ) -> None:
        self.store, self.splits, self.settings = store, splits, settings
        self.progress = progress or Progress()
        train = splits["train"]
        per_step = settings.batch * settings.accumulate
        self.steps_per_epoch = max(1, -(-train.rows // per_step))
        self.total_steps = settings.total_steps(train.rows)
        self.pool, block = None, None
        if workers > 1 and settings.shards > 1:
            inputs = {} if train.feed is None else train.feed.types(settings.batch)
            block = share(
                store, train.data, inputs, held_order(train.rows, per_step), library.program, settings.shards, dims,
                settings.batch, train.buckets,
            )  # fmt: skip
            try:
                self.pool = WorkerPool(
                    workers, settings.shards, library.program, loader, block, dims, settings.seed, self.total_steps
                )
            finally:
                block.unlink()
        self.stepper = Stepper(
            library, store, train, dims, settings.batch, settings.accumulate, settings.shards, settings.seed,
            self.total_steps, self.pool, block,
        )  # fmt: skip
        self.stepper.set_factor(self.progress.factor)
        self.evaluate = evaluate
        self.persistent = [b.key for b in library.program.functions["train"].buffers if b.kind in ("weight", "state")]
        self.best: dict[str, Array] = dict(best or {})
        self.interrupted = False

    def run(self, listener: Listener) -> Progress:
        """Train to the end, or until `interrupted` is set. Afterwards the store holds the best epoch's weights, if epochs were
        compared.

        NotFinite: the loss was not finite; `progress.step` is the step that failed, and the store is as before it.
        """
        progress, settings = self.progress, self.settings
        train = self.splits["train"]
        rows, per_step = train.rows, self.stepper.rows_per_step
        while not self._finished():
            self.stepper.begin_epoch(train.order(settings.seed, progress.epoch, per_step))
            while progress.row < rows and progress.step < self.total_steps:
                loss = self.stepper.step(progress.row, progress.step, progress.epoch)
                count = min(self.stepper.rows_per_step, rows - progress.row)
                progress.row += count
                progress.step += 1
                progress.loss_sum += loss
                progress.loss_steps += 1
                listener.on_step(progress, loss, count, self.total_steps)
                if self.interrupted:
                    listener.on_checkpoint(self)
                    return progress
            self._end_epoch(listener)
        if self.best and progress.best_epoch >= 0:
            for key, array in self.best.items():
                self.store[key][...] = array
        return progress

    def close(self) -> None:
        """End the workers, if there are any, and what computes batches ahead."""
        self.stepper.close()
        if self.pool is not None:
            self.pool.close()

    def _finished(self) -> bool:
        """Whether nothing is left to do. Asked of the progress alone, so that a run which was interrupted in its last epoch still
        ends that epoch when it goes on, and one that had stopped stays stopped."""
        progress, stop = self.progress, self.settings.stop
        if progress.row > 0:
            return False
        return progress.step >= self.total_steps or (stop is not None and progress.stop.waited >= max(stop.patience, 1))

    def _end_epoch(self, listener: Listener) -> None:
        """Evaluate and compare."""
        progress = self.progress
        results: dict[str, Mapping[str, Array]] = {}
        for name, split in self.splits.items():
            if name not in ("train", "test") and split.rows:
                results[name] = self.evaluate(
                    split.data, split.rows, progress.step, self.total_steps, split.buckets, split.feed
                )
        train_loss = progress.loss_sum / max(progress.loss_steps, 1)
        entry: dict[str, float | int | str] = {"epoch": progress.epoch + 1, "step": progress.step, "train.loss": train_loss}
        for name, values in results.items():
            entry.update({f"{name}.{key}": float(v) for key, v in values.items() if v.ndim == 0})
        progress.history.append(entry)
        self._compare(entry)
        listener.on_epoch(progress, results)
        self._schedules(entry)
        progress.epoch += 1
        progress.row, progress.loss_sum, progress.loss_steps = 0, 0.0, 0
        listener.on_checkpoint(self)

    def _compare(self, entry: Mapping[str, float | int | str]) -> None:
        """Keep the weights when the validation loss is the lowest so far. Without such a split the last epoch's weights stay."""
        value = entry.get("valid.loss")
        if isinstance(value, float) and self.progress.best.better(value, 0.0, "min"):
            self.progress.best_epoch = self.progress.epoch
            self.best = {key: self.store[key].copy() for key in self.persistent}

    def _schedules(self, entry: Mapping[str, float | int | str]) -> None:
        settings, progress = self.settings, self.progress
        plateau, stop = settings.plateau, settings.stop
        if plateau is not None:
            value = _value(entry, plateau.split, plateau.metric)
            if not progress.plateau.better(value, plateau.delta, plateau.mode) and progress.plateau.waited >= plateau.patience:
                progress.plateau.waited = 0
                progress.factor = max(progress.factor * plateau.factor, plateau.least)
                self.stepper.set_factor(progress.factor)
        if stop is not None:
            value = _value(entry, stop.split, stop.metric)
            progress.stop.better(value, stop.delta, stop.mode)


def _value(entry: Mapping[str, float | int | str], split: str, metric: str) -> float:
    value = entry.get(f"{split}.{metric}")
    if not isinstance(value, float):
        raise ValueError(f"there is no {metric} of split {split} to watch")
    return value


LEAST_EPOCHS = 10
LEAST_STEPS = 2000


def epochs_by_rule(rows: int, per_step: int) -> int:
    """How many epochs when the file does not say: enough for a small table to be learned, and for each row of a large one."""
    per_epoch = max(1, -(-rows // per_step))
    return max(LEAST_EPOCHS, -(-LEAST_STEPS // per_epoch))


def shards_by_rule(batch: int, parameters: int, flops: float) -> int:
    """How many shards a batch is cut into when the file does not say: a power of two up to 8.

    Another shard costs one worker a pass over the gradients (12 bytes a parameter, at 16 GB/s); the rule keeps what all of them
    cost under 5 % of the step's arithmetic (at 40 GFLOP/s) and a shard at 16 rows or more. Steps under 1 ms are not cut.
    """
    seconds = flops / 40e9
    shards = 1
    while shards < 8 and batch // (shards * 2) >= 16 and seconds > 1e-3:
        if (shards * 2 - 1) * 12 * parameters / 16e9 > 0.05 * seconds:
            break
        shards *= 2
    return shards
