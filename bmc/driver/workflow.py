"""Training from a unit to a trained model: the whole run on one page, the same for the command line and for Python.

    read → where, distinct, split → fit → outputs → initialise or resume → steps and epochs → evaluation of every split → artefact

In: a unit, options. Out: `TrainedModel` and `TrainingReport`. Guaranteed: the artefact appears whole or not at all; a run that is
interrupted, or whose loss is not finite, leaves its last good checkpoint beside it; the result is a function of source, data
and seed.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import field
from pathlib import Path
from time import perf_counter
from types import FrameType
from typing import Protocol

import numpy as np

from bmc.data import Given, files_of, fingerprint, read_blocks
from bmc.driver import run_errors
from bmc.driver.checkpoints import CheckpointWriter, checkpoint_path, program_identity, require_resumable, restore
from bmc.driver.diagnosing import explain_not_finite
from bmc.driver.gathering import row_inputs
from bmc.driver.limits import explained_limits
from bmc.driver.preparing import outside_bound
from bmc.driver.session import Session, SessionOptions
from bmc.driver.trained import Evaluation, TrainedModel, evaluation_of
from bmc.errors import BmcError, Diagnostic
from bmc.frontend.unit import Unit
from bmc.record import record
from bmc_runtime.binding import NotFinite
from bmc_runtime.feeding import OutsideBound
from bmc_runtime.memory import Array, allocate
from bmc_runtime.pool import WorkerLost
from bmc_runtime.split import Split
from bmc_runtime.training import Progress, TrainingRun

__all__ = ["Observer", "Silent", "TrainOptions", "TrainingReport", "prepare", "require_apart", "train"]


class Observer(Protocol):
    """Who is told how training goes: a progress bar, a log, a caller in Python."""

    def on_read(self, done: int, total: int | None) -> None:
        """While the data is read: how many bytes of all files have been, and how many there are, if anybody knows."""

    def on_fit(self, done: int, rows: int) -> None:
        """While statistics are fitted: how many rows have been read in all passes, and how many there are in one."""

    def on_start(self, unit: Unit, rows: Mapping[str, int], steps: int, resumed_at: int) -> None:
        """Before the first step: the rows of each split, steps in all, and the step at which a resumed run goes on (else 0)."""

    def on_note(self, text: str) -> None:
        """Of how rows were made from the data: series too short for a window, say."""

    def on_step(self, progress: Progress, loss: float, rows: int, total_steps: int) -> None:
        """After each step."""

    def on_epoch(self, progress: Progress, evaluations: Mapping[str, Evaluation]) -> None:
        """After each epoch, with the splits evaluated; the training loss is the last of `progress.history`."""

    def on_end(self, report: TrainingReport) -> None:
        """At the end, interrupted or not."""


class Silent:
    """An observer that does nothing."""

    def on_read(self, done: int, total: int | None) -> None: ...

    def on_fit(self, done: int, rows: int) -> None: ...

    def on_start(self, unit: Unit, rows: Mapping[str, int], steps: int, resumed_at: int) -> None: ...

    def on_note(self, text: str) -> None: ...

    def on_step(self, progress: Progress, loss: float, rows: int, total_steps: int) -> None: ...

    def on_epoch(self, progress: Progress, evaluations: Mapping[str, Evaluation]) -> None: ...

    def on_end(self, report: TrainingReport) -> None: ...


@record(frozen=True)
class TrainOptions:
    """`output`: the artefact's path, None for none (then there are no checkpoints either). `base`: where relative data paths
    begin, for evaluation later. `overrides`: those of `--set`, for the record; the unit has them already."""

    output: Path | None = None
    data: Mapping[str, Given] = field(default_factory=dict)
    workers: int = 1
    resume: bool = False
    base: str | None = None
    overrides: Mapping[str, str] = field(default_factory=dict)
    session: SessionOptions | None = None


@record(frozen=True)
class TrainingReport:
    """`evaluations` of every split (but not the training rows of a long corpus), with the weights that were kept. `best_epoch`
    counts from 1; 0 when epochs were not compared. `rows_per_second` of the steps alone; `seconds` of everything."""

    evaluations: Mapping[str, Evaluation]
    epochs: int
    steps: int
    best_epoch: int
    rows_per_second: float
    seconds: float
    interrupted: bool
    artefact: Path | None
    checkpoint: Path | None


class _Listener:
    """Between the runtime and the observer."""

    def __init__(self, unit: Unit, observer: Observer, writer: CheckpointWriter | None, rows: Mapping[str, int]) -> None:
        self._unit, self._observer, self._writer, self._counts = unit, observer, writer, rows
        self.on_step = observer.on_step

    def on_epoch(self, progress: Progress, results: Mapping[str, Mapping[str, Array]]) -> None:
        found = {name: evaluation_of(self._unit, name, self._counts[name], values) for name, values in results.items()}
        self._observer.on_epoch(progress, found)

    def on_checkpoint(self, run: TrainingRun) -> None:
        if self._writer is not None:
            self._writer.write(run)


def prepare(session: Session, data: Mapping[str, Given], observer: Observer | None = None) -> dict[str, Split]:
    """Read, cut, fit, and compute the data block's outputs. Raises BmcError."""
    unit, watcher = session.unit, observer if observer is not None else Silent()
    if unit.data is None or unit.training is None:
        raise BmcError(run_errors.nothing_to_train(unit.name))
    tables = session.tables(read_blocks(unit.data, data, progress=watcher.on_read))
    for text in dict.fromkeys(text for table in tables.values() for text in table.notes):
        watcher.on_note(text)
    if "train" not in tables or tables["train"].rows == 0:
        counts = {name: table.rows for name, table in tables.items()}
        raise BmcError(run_errors.split_without_rows("train", unit.data.sources[0].span, counts, unit.data.split.method))
    passed, rows = 0, tables["train"].rows

    def fitted(count: int) -> None:
        nonlocal passed
        passed += count
        watcher.on_fit(passed, rows)

    session.fit(tables["train"], watcher.on_note, fitted)
    # A table whose outputs are held is not needed any more.
    return {name: session.outputs(name, tables.pop(name)) for name in list(tables)}


def train(unit: Unit, options: TrainOptions, observer: Observer | None = None) -> tuple[TrainedModel, TrainingReport]:
    """Train. Raises BmcError: bad data, a loss that is not finite, a worker lost, a file that cannot be written."""
    start = perf_counter()
    watcher: Observer = observer if observer is not None else Silent()
    if unit.data is None or unit.training is None:
        raise BmcError(run_errors.nothing_to_train(unit.name))
    if options.output is not None:
        _require_place(options.output)
        require_apart(options.output, unit, options.data)
    session = Session(unit, options.session)
    session.begin_from_others()
    if options.resume and options.output is not None and checkpoint_path(options.output).exists():
        # What cannot be resumed is said before anything of the data is read but the ends of its files.
        require_resumable(checkpoint_path(options.output), program_identity(unit, session), fingerprint(unit.data, options.data))
    splits = prepare(session, options.data, watcher)
    data_identity = fingerprint(unit.data, options.data)
    session.initialise(unit.training.seed)
    progress: Progress | None = None
    best: Mapping[str, Array] = {}
    writer: CheckpointWriter | None = None
    if options.output is not None:
        identity = program_identity(unit, session)
        writer = CheckpointWriter(checkpoint_path(options.output), identity, data_identity, session.keep)
        if options.resume and writer.path.exists():
            progress, best = restore(writer.path, session, identity, data_identity)
    rows = {name: split.rows for name, split in splits.items()}
    for watch in (unit.training.stop, unit.training.plateau):
        if watch is not None and not rows[watch.split]:
            where, method = unit.data.sources[0].span, unit.data.split.method
            raise BmcError(run_errors.split_without_rows(watch.split, where, rows, method))
    try:
        with explained_limits(unit):
            run = session.run(splits, options.workers, progress, best)
    except WorkerLost as error:
        raise BmcError(run_errors.worker_lost(str(error))) from None
    except OSError as error:
        raise BmcError(run_errors.worker_lost(f"the workers cannot be started: {error}")) from None
    first = run.progress.step
    watcher.on_start(unit, rows, run.total_steps, first)
    began = perf_counter()
    try:
        with _interruptible(run), explained_limits(unit):
            run.run(_Listener(unit, watcher, writer, rows))
    except NotFinite:
        raise BmcError(_explain(session, run)) from None
    except OutsideBound as error:
        raise outside_bound(unit, error) from None
    except WorkerLost as error:
        raise BmcError(run_errors.worker_lost(str(error))) from None
    finally:
        run.close()
    trained = perf_counter() - began
    model = TrainedModel(
        unit, session, run.progress.history, data_identity, tuple(options.overrides.items()), None, "", options.base, options.data,
        session.start.hashes if session.start is not None else {},
    )  # fmt: skip
    evaluations = {} if run.interrupted else _final(session, splits, run.progress.step, watcher)
    if options.output is not None and not run.interrupted:
        model.save(options.output)
        if writer is not None:
            writer.remove()
    done = run.progress
    report = TrainingReport(
        evaluations, done.epoch, done.step, done.best_epoch + 1, _rate(session, rows["train"], done.step - first, trained),
        perf_counter() - start, run.interrupted, None if run.interrupted else options.output,
        writer.path if run.interrupted and writer is not None else None,
    )  # fmt: skip
    watcher.on_end(report)
    return model, report


def _require_place(output: Path) -> None:
    """An artefact that cannot be written is said before the training, not after it. Raises BmcError."""
    folder = output.parent
    try:
        if not folder.is_dir():
            raise BmcError(run_errors.cannot_write(str(output), f"there is no folder {str(folder)!r}"))
        if output.is_dir():
            raise BmcError(run_errors.cannot_write(str(output), "it is a folder"))
    except (OSError, ValueError) as error:  # a name that is too long, or holds a NUL
        raise BmcError(run_errors.cannot_write(str(output), getattr(error, "strerror", None) or str(error))) from None
    if not os.access(folder, os.W_OK):
        raise BmcError(run_errors.cannot_write(str(output), f"the folder {str(folder)!r} is not writable"))


def require_apart(output: Path, unit: Unit, data: Mapping[str, Given]) -> None:
    """Nothing is written over the program or its data: a mistake would cost them. Raises BmcError."""
    if not os.path.exists(output):
        return
    for source in unit.sources:
        if os.path.isfile(source.name) and os.path.samefile(output, source.name):
            raise BmcError(run_errors.cannot_write(str(output), "it is the program, or part of it"))
    for read in unit.data.sources if unit.data is not None else ():
        given = data.get(read.name)
        for place in () if isinstance(given, Mapping) else files_of(read, given):
            if os.path.isfile(place) and os.path.samefile(output, place):
                raise BmcError(run_errors.cannot_write(str(output), f"the data {read.name!r} is read from it"))


def _rate(session: Session, rows: int, steps: int, seconds: float) -> float:
    """Rows a second, counting the last step of an epoch for what it has."""
    per_epoch = -(-rows // (session.training.batch * session.accumulate))
    return steps / per_epoch * rows / seconds if seconds > 0 else 0.0


_MOST_FED_ROWS = 1 << 16
"""A training split of more rows is not evaluated at the end where it is computed batch by batch: that would be an epoch more."""


def _final(session: Session, splits: Mapping[str, Split], step: int, observer: Observer) -> dict[str, Evaluation]:
    found = {}
    for name, split in splits.items():
        if name == "train" and split.feed is not None and split.rows > _MOST_FED_ROWS:
            observer.on_note(f"train, with {split.rows:,} rows, is not evaluated as a whole; `bmc eval --split train` does that")
        elif split.rows:
            results = session.evaluate(split, step)
            found[name] = evaluation_of(session.unit, name, split.rows, results)
    return found


@contextmanager
def _interruptible(run: TrainingRun) -> Iterator[None]:
    """Ctrl-C ends the run after its step; a second one ends it at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        if run.interrupted:
            raise KeyboardInterrupt
        run.interrupted = True

    asked = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        asked.append(signal.SIGHUP)  # the terminal is gone
    before = {number: signal.signal(number, stop) for number in asked}
    try:
        yield
    finally:
        for number, handler in before.items():
            with suppress(TypeError):  # a handler that was not set from Python
                signal.signal(number, handler)


def _explain(session: Session, run: TrainingRun) -> Diagnostic:
    """The failed step once more, operation by operation."""
    function, progress, settings = session.unit.module.function("train"), run.progress, run.settings
    split = run.splits["train"]
    order = split.order(settings.seed, progress.epoch, settings.batch * settings.accumulate)
    chosen = order.between(progress.row, min(progress.row + settings.batch * settings.accumulate, split.rows))
    control, control_f = allocate("i64", (8,)), allocate("f64", (4,))
    control[:6] = (settings.seed, progress.step, 0, run.total_steps, progress.epoch, len(chosen))
    control_f[0] = progress.factor
    values: Mapping[str, Array]
    if split.feed is not None:
        values = split.feed.chosen(chosen, settings.seed, progress.step, run.total_steps, progress.epoch)
    else:
        rows = {param.key for param in row_inputs(function)}
        values = {key: np.ascontiguousarray(array[chosen]) if key in rows else array for key, array in split.data.items()}
    arrays: dict[str, Array] = {}
    for param in function.params:
        if param.role == "control":
            arrays[param.key] = control if param.key == "control" else control_f
        elif param.role == "input":
            arrays[param.key] = values[param.key]
        else:
            arrays[param.key] = run.store[param.key]
    dims = {**session.dims(split), function.row or "B": len(chosen)}
    spans = {w.key: w.span for w in session.unit.weights}
    return explain_not_finite(function, arrays, dims, spans, progress.step, progress.epoch)
