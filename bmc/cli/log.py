"""The JSONL log of a run: one object a line.

In: a run's epochs. Out: lines with `step` (updates done), `epoch` (from 1), `split`, `loss`, and the metrics by name; the line
of `train` after each epoch has the mean loss of its steps. At the end one line for each split with the weights that were kept,
marked `"final": true`. Numbers that are not finite are null. Each line is flushed when it is written; a resumed run appends.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bmc.driver import run_errors
from bmc.driver.trained import Evaluation
from bmc.driver.workflow import TrainingReport
from bmc.errors import BmcError
from bmc_runtime.training import Progress

__all__ = ["LogWriter"]


class LogWriter:
    """Raises BmcError when the file cannot be written."""

    def __init__(self, path: str, append: bool) -> None:
        self._path, self._failed = path, False
        try:
            self._file = Path(path).open("a" if append else "w", encoding="utf-8")  # noqa: SIM115 - open as long as the run
        except OSError as error:
            raise BmcError(run_errors.cannot_write(path, error.strerror or str(error))) from None

    def epoch(self, progress: Progress, evaluations: Mapping[str, Evaluation]) -> None:
        """The lines of an epoch that has just ended."""
        head = {"step": progress.step, "epoch": progress.epoch + 1}
        self._write({**head, "split": "train", "loss": _number(progress.history[-1]["train.loss"])})
        for evaluation in evaluations.values():
            self._write({**head, **_values(evaluation)})

    def final(self, report: TrainingReport) -> None:
        """The lines of the end."""
        for evaluation in report.evaluations.values():
            self._write({"step": report.steps, "epoch": report.epochs, **_values(evaluation), "final": True})

    def close(self) -> None:
        try:
            self._file.close()
        except OSError as error:
            # The line that could not be written is written once more, and has been reported.
            if not self._failed:
                raise BmcError(run_errors.cannot_write(self._path, error.strerror or str(error))) from None

    def _write(self, line: Mapping[str, Any]) -> None:
        try:
            self._file.write(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")
            self._file.flush()
        except OSError as error:
            self._failed = True
            raise BmcError(run_errors.cannot_write(self._path, error.strerror or str(error))) from None


def _values(evaluation: Evaluation) -> dict[str, Any]:
    plain = evaluation.as_json()
    return {"split": plain["split"], "loss": plain["loss"], **plain["metrics"]}


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None
