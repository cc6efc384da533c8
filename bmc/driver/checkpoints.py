"""Checkpoints of a run, beside its artefact.

In: a run between two steps. Out: a file, and the run's progress and arrays back from it. Guaranteed: writing costs at most a
twentieth of a run's time (but the first, and the one of an interrupted run, are always written); a checkpoint of another
program or other data is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import Any

from bmc.artefact import Checkpoint, read_checkpoint, require_same_run, write_checkpoint
from bmc.driver.session import Session
from bmc.frontend.unit import Unit
from bmc.version import version
from bmc_runtime.memory import Array
from bmc_runtime.training import Progress, TrainingRun, Watch

__all__ = ["CheckpointWriter", "checkpoint_path", "program_identity", "require_resumable", "restore"]

_SHARE = 20
"""One part in this many of a run may go into checkpoints."""


def checkpoint_path(artefact: Path) -> Path:
    """`m.bmz` → `m.bmz.ckpt`"""
    return artefact.parent / f"{artefact.name}.ckpt"


def program_identity(unit: Unit, session: Session) -> str:
    """A hash of all that a run's bits depend on but its data: sources as overridden, block, float type, compiler, FMA class,
    files that it starts from."""
    digest = hashlib.sha256()
    for part in (version(), unit.name, unit.float_type, str(session.target.fused), str(session.shards)):
        digest.update(part.encode() + b"\0")
    for source in unit.sources:
        digest.update(source.text.encode("utf-8", "surrogatepass") + b"\0")
    for name, content in sorted((session.start.hashes if session.start is not None else {}).items()):
        digest.update(f"{name}\0{content}\0".encode())
    return digest.hexdigest()


class CheckpointWriter:
    """Writes the checkpoints of one run to `path`."""

    def __init__(self, path: Path, program: str, data: str, keep: Sequence[Any]) -> None:
        self.path, self._program, self._data, self._keep = path, program, data, tuple(keep)
        self._cost, self._last = 0.0, -1.0

    def write(self, run: TrainingRun) -> None:
        """Write, unless too little time has gone by. Raises BmcError."""
        start = perf_counter()
        if self._last >= 0 and not run.interrupted and start - self._last < _SHARE * self._cost:
            return
        best = run.best if run.progress.best_epoch >= 0 else {}
        progress = asdict(run.progress)
        write_checkpoint(self.path, Checkpoint(self._program, self._data, run.store, best, progress, self._keep))
        self._last = perf_counter()
        self._cost = self._last - start

    def remove(self) -> None:
        """After the end of the run nothing is left to resume."""
        self.path.unlink(missing_ok=True)


def require_resumable(path: Path, program: str, data: str) -> None:
    """Raises BmcError when the checkpoint is another run's."""
    require_same_run(path, read_checkpoint(path), program, data)


def restore(path: Path, session: Session, program: str, data: str) -> tuple[Progress, Mapping[str, Array]]:
    """Fill the session's store, and give the progress and the best weights so far. Raises BmcError when the checkpoint is
    another run's."""
    checkpoint = read_checkpoint(path)
    require_same_run(path, checkpoint, program, data)
    for key, array in checkpoint.store.items():
        session.store[key][...] = array
    session.keep = list(checkpoint.keep)
    values = dict(checkpoint.progress)
    for name in ("stop", "plateau", "best"):
        values[name] = Watch(**values[name])
    return Progress(**values), checkpoint.best
