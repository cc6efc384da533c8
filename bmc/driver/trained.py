"""A model with its weights, ready to evaluate and to predict: what training gives and what a `.bmz` holds.

In: a unit with filled weights and statistics, or the path of a `.bmz`. Out: loss and metrics, predictions, a `.bmz`.
Guaranteed: opening opens no path that the file names; a raw row goes through the same compiled preprocessing as in training,
alone or among others.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bmc.artefact import Artefact, read_artefact, require_same_parameters, write_artefact
from bmc.data import Given, read_blocks
from bmc.driver import run_errors
from bmc.driver.generation import GenerateOptions, Prompted, Texts, continuation, prompt_of, texts_of
from bmc.driver.load import FloatType, SourceText, growing_note, load_unit
from bmc.driver.locating import located, remember
from bmc.driver.predicting import Predictions, PredictOptions, joined, predict_blocks
from bmc.driver.session import Session, SessionOptions
from bmc.driver.vocabulary import Vocabulary, vocabulary_of
from bmc.errors import BmcError, Diagnostic
from bmc.frontend.unit import DataSpec, Unit
from bmc.record import record
from bmc.source import SourceFile
from bmc.version import version
from bmc_runtime.memory import Array
from bmc_runtime.table import Table

__all__ = ["ALL", "Evaluation", "Generated", "TrainedModel", "open_model", "unit_in"]

ALL = "all"
"""The name by which `evaluate` takes the rows of every split together."""


@record(frozen=True)
class Evaluation:
    """Loss and metrics of a split: numbers, and nested lists for tables such as `confusion`."""

    split: str
    rows: int
    loss: float
    metrics: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        """The object that `bmc eval --json` prints; numbers that are not finite become null."""
        return {"split": self.split, "rows": self.rows, "loss": _plain(self.loss), "metrics": _plain(dict(self.metrics))}


@record(frozen=True, eq=False)
class Generated:
    """`numbers`: for each position the integers of all rows, computed when asked for. `texts`: what they stand for, if anything."""

    numbers: Iterator[Array]
    texts: Texts | None
    warnings: tuple[Diagnostic, ...] = ()

    def pieces(self) -> Iterator[bytes]:
        """The first row as UTF-8, position by position; as numbers where they stand for nothing else."""
        for found in self.numbers:
            number = int(found[0])
            yield f" {number}".encode() if self.texts is None else self.texts.piece(number)


@dataclass(eq=False)
class TrainedModel:
    """`unit`: the program, as overridden. `data_identity`: the fingerprint of the data. `path`: the `.bmz` it was opened from.
    `base` is where relative data paths began, `given` what replaced sources, both where it was trained in this process.
    `started_from`: hashes of the files of other models, by their names in the source."""

    unit: Unit
    session: Session
    history: Sequence[Mapping[str, Any]]
    data_identity: str
    overrides: tuple[tuple[str, str], ...] = ()
    path: Path | None = None
    identity: str = ""
    base: str | None = None
    given: Mapping[str, Given] = field(default_factory=dict)
    started_from: Mapping[str, str] = field(default_factory=dict)

    # --- evaluation --------------------------------------------------------------------------------------------
    def evaluate(self, split: str = "test", data: Mapping[str, Given] | None = None) -> Evaluation:
        """Loss and metrics of one split, or of `ALL` rows. `data` replaces sources by name. Raises BmcError."""
        return self.evaluate_table(split, self.table_of(self.splits(data), split))

    def table_of(self, splits: Mapping[str, Table], split: str) -> Table:
        """The rows of one split, or of `ALL`. Raises BmcError when there is no such split."""
        if split != ALL and split not in splits:
            raise BmcError(run_errors.no_such_split(split, [*splits, ALL]))
        return self.session.joined(list(splits.values())) if split == ALL else splits[split]

    def splits(self, data: Mapping[str, Given] | None = None, more: Iterable[str] = ()) -> dict[str, Table]:
        """The raw rows of each split; `more`: columns besides those that the program uses. Raises BmcError."""
        spec, given = self._sources(data or {})
        return self.session.tables(read_blocks(spec, given, {*spec.used, *more}))

    def evaluate_table(self, split: str, table: Table) -> Evaluation:
        """The same for raw rows that are cut already. Raises BmcError when there are none."""
        if table.rows == 0:
            raise BmcError(run_errors.split_without_rows(split, None))
        outputs = self.session.outputs(split, table)
        found = self.session.evaluate(outputs, self._steps())
        return evaluation_of(self.unit, split, table.rows, found)

    def _steps(self) -> int:
        """How many steps the training took: where schedules of the loss stand."""
        return int(self.history[-1]["step"]) if self.history else 0

    def _sources(self, data: Mapping[str, Given]) -> tuple[DataSpec, dict[str, Given]]:
        spec = self.session.data
        names = {source.name for source in spec.sources}
        if self.path is None:
            return spec, {**self.given, **data}
        if set(data) >= names or not set(data) <= names:
            return spec, dict(data)
        return located(spec, self.identity, str(self.path.parent), data)

    # --- prediction --------------------------------------------------------------------------------------------
    def predict_blocks(self, given: Sequence[Given], options: PredictOptions | None = None) -> Iterator[Predictions]:
        """One row out for each raw row in, whichever rows stand beside it, block by block. `given`: paths (or patterns), `-`, or
        columns in memory, one after the other. Raises BmcError."""
        return predict_blocks(self.session, given, options or PredictOptions(), self._steps())

    def predict(self, given: Given, options: PredictOptions | None = None) -> Predictions:
        """All blocks as one. Raises BmcError."""
        return joined(self.predict_blocks([given], options))

    # --- vocabularies ------------------------------------------------------------------------------------------
    def vocabulary(self, output: str) -> Vocabulary:
        """What the integers of a data output stand for. Raises BmcError: there is no such output, or its integers are numbers."""
        known = {spec.name: vocabulary_of(spec, self.session.store) for spec in self.session.data.outputs}
        found = known.get(output)
        if found is None:
            raise BmcError(run_errors.no_such_choice("vocabulary", output, [name for name, made in known.items() if made]))
        return found

    # --- generation --------------------------------------------------------------------------------------------
    def generate(self, given: Prompted, options: GenerateOptions) -> Generated:
        """What follows a prompt. Raises BmcError before the first position."""
        prompt = prompt_of(self.session, given)
        numbers = continuation(self.session, prompt, options)
        note = growing_note(self.unit) if options.keep else None
        warnings = prompt.warnings if note is None else (*prompt.warnings, note)
        return Generated(numbers, texts_of(self.session), warnings)

    # --- saving ------------------------------------------------------------------------------------------------
    @property
    def weights(self) -> dict[str, Array]:
        """Weights and states by key."""
        keys = [w.key for w in self.unit.weights] + [s.key for s in self.unit.states]
        return {key: self.session.store[key] for key in keys}

    def save(self, path: str | Path) -> None:
        """Write a `.bmz`, atomically. Raises BmcError."""
        unit, store = self.unit, self.session.store
        fitted = unit.data.fitted if unit.data is not None else ()
        artefact = Artefact(
            sources=_beside(unit.sources, Path(path)),
            unit=unit.name,
            overrides=self.overrides,
            float_type=unit.float_type,
            weights={w.key: store[w.key] for w in unit.weights},
            states={s.key: store[s.key] for s in unit.states},
            fitted={f.key: store[f.key] for f in fitted},
            history=tuple(self.history),
            data=self.data_identity,
            compiler=version(),
            made={f.key.partition(".")[0]: f.made for f in fitted},
            started_from=self.started_from,
        )
        write_artefact(path, artefact)
        if self.base is not None:
            remember(_identity(Path(path)), self.base, self.given)


def unit_in(path: str | Path) -> Unit:
    """The program in a `.bmz`. Raises BmcError."""
    return _unit_of(read_artefact(path))


def _unit_of(artefact: Artefact) -> Unit:
    float_type: FloatType = "f64" if artefact.float_type == "f64" else "f32"
    return load_unit(SourceText(artefact.sources[0], artefact.unit, artefact.sources[1:], {}, float_type, on_disk=False))


def open_model(path: str | Path, options: SessionOptions | None = None) -> TrainedModel:
    """The model in a `.bmz`. Raises BmcError when the file is damaged or not one."""
    artefact = read_artefact(path)
    unit = _unit_of(artefact)
    require_same_parameters(path, artefact, unit)
    session = Session(unit, options)
    for arrays in (artefact.weights, artefact.states, artefact.fitted):
        for key, array in arrays.items():
            session.store[key][...] = array
    session.keep = list(artefact.keep)
    return TrainedModel(
        unit, session, artefact.history, artefact.data, artefact.overrides, Path(path), _identity(Path(path)),
        started_from=artefact.started_from,
    )  # fmt: skip


def evaluation_of(unit: Unit, split: str, rows: int, found: Mapping[str, Array]) -> Evaluation:
    """The results of the function `eval` under the names of the file."""
    assert unit.training is not None
    metrics = {m.name: found[m.name].tolist() for m in unit.training.metrics}
    return Evaluation(split, rows, float(found["loss"]), metrics)


def _identity(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _beside(sources: Sequence[SourceFile], path: Path) -> tuple[SourceFile, ...]:
    """The sources named as if they stood beside the artefact, so that it does not depend on where they stand."""
    home = os.path.dirname(sources[0].name)
    named = []
    for source in sources:
        name = source.name
        if not name.startswith("<"):
            name = os.path.normpath(os.path.join(path.parent, os.path.relpath(name, home or os.curdir)))
        named.append(SourceFile(name, source.text))
    return tuple(named)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
