"""What `bmc train` shows while it runs.

In: the events of a run (`bmc.driver.workflow.Observer`). Out: on a terminal a bar with loss, metrics, rows a second and time
left; else one line an epoch, at most one a second; at the end a table on standard output. Guaranteed: showing costs a step one
call and a look at the clock.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Mapping
from time import perf_counter
from typing import TYPE_CHECKING

from bmc.cli.log import LogWriter
from bmc.cli.output import coloured, note, result
from bmc.cli.table import text_table
from bmc.driver.chosen import settings_lines
from bmc.driver.trained import Evaluation
from bmc.driver.workflow import Observer, TrainingReport
from bmc.frontend.unit import Unit
from bmc_runtime.training import Progress

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

__all__ = ["TrainDisplay"]

_EVERY = 0.1
"""Seconds between two changes of the bar."""

_WINDOW = 20
"""Changes of the bar over which rows a second are counted."""

_LINES_EVERY = 1.0
"""Seconds between two lines where there is no terminal."""

_READ_AFTER, _READ_EVERY = 1.0, 10.0
"""Seconds before a bar shows that data is read; seconds between two lines of that where there is no terminal."""


class TrainDisplay(Observer):
    """Shows a run; `log` is written along."""

    def __init__(self, log: LogWriter | None) -> None:
        self._log = log
        self._terminal = coloured(sys.stderr)
        self._bar: Bar | None = None
        self._task: TaskID | None = None
        self._shown = 0.0
        self._stage, self._stage_began = "", 0.0
        self._began = 0.0
        self._total = 0
        self._rows = 0
        self._text = ""
        self._line = ""
        self._marks: deque[tuple[float, int]] = deque(maxlen=_WINDOW)

    def on_start(self, unit: Unit, rows: Mapping[str, int], steps: int, resumed_at: int) -> None:
        self.stop()  # the bar of reading
        self._began, self._total, self._shown = perf_counter(), steps, 0.0
        self._marks.append((self._began, 0))
        for line in settings_lines(unit, rows["train"]):
            note(line)
        note("rows: " + ", ".join(f"{name} {count}" for name, count in rows.items()))
        if resumed_at:
            note(f"resumed at step {resumed_at} of {steps}")
        if self._terminal:
            self._start_bar(steps, resumed_at)

    def on_note(self, text: str) -> None:
        note(text)

    def on_read(self, done: int, total: int | None) -> None:
        seconds = self._is_due("read")
        if seconds is None:
            return
        rate = f"{_bytes(done / seconds)}/s"
        if self._terminal:
            self._show("reading", done, total, _bytes(done), rate)
        else:
            of = f" of {_bytes(total)} ({100 * done / total:.0f} %)" if total else ""
            note(f"read {_bytes(done)}{of}, {rate}")

    def on_fit(self, done: int, rows: int) -> None:
        seconds = self._is_due("fit")
        if seconds is None:
            return
        number, inside = divmod(max(done - 1, 0), rows)
        rate = f"{done / seconds:,.0f} rows/s"
        if self._terminal:
            self._show("fitting", inside + 1, rows, f"pass {number + 1}", rate)
        else:
            note(f"fitting, pass {number + 1}: {100 * (inside + 1) / rows:.0f} %, {rate}")

    def _is_due(self, stage: str) -> float | None:
        """Since when, in seconds, a stage before training is going on, if it is time to show it."""
        now = perf_counter()
        if self._stage != stage:
            self._stage, self._stage_began = stage, now
            self._shown = now
            return None
        if now - self._shown < (_EVERY if self._bar is not None else _READ_AFTER if self._terminal else _READ_EVERY):
            return None
        self._shown = now
        return now - self._stage_began

    def _show(self, stage: str, done: int, total: int | None, amount: str, rate: str) -> None:
        if self._bar is None:
            self._start_stage()
        if self._bar is not None and self._task is not None:
            self._bar.update(
                self._task, description=stage, completed=done, total=total, rate=rate, amount=amount, refresh=True
            )  # fmt: skip

    def _start_stage(self) -> None:
        from rich.console import Console  # noqa: PLC0415 - as below
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

        columns = (
            TextColumn("{task.description}"), BarColumn(bar_width=24), TextColumn("{task.fields[amount]}"),
            TextColumn("{task.fields[rate]}"), TimeRemainingColumn(),
        )  # fmt: skip
        self._bar = Progress(*columns, console=Console(stderr=True), transient=True, auto_refresh=False)
        self._bar.start()
        self._task = self._bar.add_task("", total=None, amount="", rate="")

    def _start_bar(self, steps: int, resumed_at: int) -> None:
        from rich.console import Console  # noqa: PLC0415 - a tenth of a second, and only where there is a terminal
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

        columns = (
            TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
        )  # fmt: skip
        self._bar = Progress(*columns, console=Console(stderr=True), transient=True, auto_refresh=False)
        self._bar.start()
        self._task = self._bar.add_task("epoch 1", total=steps, completed=resumed_at, rate="")

    def on_step(self, progress: Progress, loss: float, rows: int, total_steps: int) -> None:
        self._rows += rows
        if self._bar is None or self._task is None:
            return
        now = perf_counter()
        if now - self._shown < _EVERY:
            return
        self._shown = now
        text = f"epoch {progress.epoch + 1}  loss {progress.loss_sum / progress.loss_steps:.4g}{self._text}"
        self._marks.append((now, self._rows))
        since, before = self._marks[0]
        rate = f"{(self._rows - before) / max(now - since, 1e-9):,.0f} rows/s"
        self._bar.update(self._task, completed=progress.step, description=text, rate=rate, refresh=True)

    def on_epoch(self, progress: Progress, evaluations: Mapping[str, Evaluation]) -> None:
        if self._log is not None:
            self._log.epoch(progress, evaluations)
        shown = [f"{name} {part}" for name, e in evaluations.items() for part in _scalars(e)]
        self._text = "".join(f"  {part}" for part in shown)
        loss = float(progress.history[-1]["train.loss"])
        rate = self._rows / max(perf_counter() - self._began, 1e-9)
        head = f"epoch {progress.epoch + 1}  step {progress.step}  train loss {loss:.4g}"
        self._line = "  ".join([head, *shown, f"{rate:,.0f} rows/s"])
        now = perf_counter()
        if self._bar is None and (now - self._shown >= _LINES_EVERY or progress.step >= self._total):
            self._shown, line, self._line = now, self._line, ""
            note(line)

    def stop(self) -> None:
        """Take the bar away; also after a failure."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def on_end(self, report: TrainingReport) -> None:
        self.stop()
        if self._line and not self._terminal:
            note(self._line)
        if self._log is not None:
            self._log.final(report)
        if report.interrupted:
            where = f"; --resume goes on from {report.checkpoint}" if report.checkpoint else ""
            note(f"interrupted after step {report.steps}{where}")
            return
        result(_table(report))


def _bytes(count: float) -> str:
    """A number of bytes as people say it."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.4g} GB"


def _scalars(evaluation: Evaluation) -> list[str]:
    values = {"loss": evaluation.loss, **{k: v for k, v in evaluation.metrics.items() if isinstance(v, (int, float))}}
    return [f"{name} {value:.4g}" for name, value in values.items()]


def _table(report: TrainingReport) -> str:
    names = list(next(iter(report.evaluations.values())).metrics) if report.evaluations else []
    evaluations = report.evaluations.values()
    scalars = [n for n in names if all(isinstance(e.metrics[n], (int, float)) for e in evaluations)]
    rows = [
        [e.split, f"{e.rows:,}", f"{e.loss:.6g}", *(f"{e.metrics[name]:.6g}" for name in scalars)] for e in evaluations
    ]
    lines = [text_table(["split", "rows", "loss", *scalars], rows)]
    for name in names:
        if name not in scalars and report.evaluations:
            last = list(evaluations)[-1]
            lines.append(f"{name} ({last.split}):\n{matrix_text(last.metrics[name])}")
    kept = f"; kept epoch {report.best_epoch}, the best on valid" if report.best_epoch else ""
    lines.append(
        f"{report.epochs} epochs, {report.steps:,} steps{kept}; {report.rows_per_second:,.0f} rows/s, {report.seconds:.1f} s"
    )
    if report.artefact is not None:
        lines.append(f"wrote {report.artefact}")
    return "\n".join(lines)


def _cell(value: object) -> str:
    return f"{value:g}" if isinstance(value, (int, float)) else str(value)


def matrix_text(values: object) -> str:
    """A table of numbers, columns aligned."""
    rows = values if isinstance(values, list) and values and isinstance(values[0], list) else [values]
    cells = [[_cell(value) for value in (row if isinstance(row, list) else [row])] for row in rows]
    width = max((len(cell) for row in cells for cell in row), default=0)
    return "\n".join("  " + " ".join(cell.rjust(width) for cell in row) for row in cells)
