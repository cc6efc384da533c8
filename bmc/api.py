"""bmc in Python: `bmc.compile` and `bmc.load`. See docs/python.md.

In: paths, source texts, numpy arrays and column dictionaries. Out: `Program`, `Model`, `Trainer`. Guaranteed: the same code
runs as on the command line, with the same bits; every error of the user's is a `BmcError` that carries its diagnostics.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bmc.data import Given, columns_in
from bmc.driver import run_errors
from bmc.driver.alone import predict_alone
from bmc.driver.folds import fold_count, train_folds
from bmc.driver.generation import GenerateOptions
from bmc.driver.load import SourceText, check_source, find_source, load_unit, text_source
from bmc.driver.plotting.plot import plot
from bmc.driver.predicting import OnError, PredictOptions
from bmc.driver.trained import Evaluation, TrainedModel, open_model
from bmc.driver.trainer import Trainer
from bmc.driver.vocabulary import Vocabulary
from bmc.driver.workflow import Observer, TrainOptions, train
from bmc.errors import BmcError, Diagnostic
from bmc.frontend.unit import Unit
from bmc_runtime.table import Column

__all__ = ["Model", "Program", "Trainer", "compile", "load"]


class Program:
    """A checked program: one `train` block with its model and data, or one model alone. Made by `bmc.compile`.

    Attributes: `name`, the block's; `unit`, the IR and the specifications of data and training; `warnings`.
    """

    def __init__(self, source: SourceText, unit: Unit) -> None:
        self._source = source
        self.unit = unit

    @property
    def name(self) -> str:
        return self.unit.name

    @property
    def warnings(self) -> tuple[Diagnostic, ...]:
        return self.unit.warnings

    def check(self) -> tuple[Diagnostic, ...]:
        """Findings of every block of the file, those that this program does not use included; empty if all is well."""
        return check_source(self._source).diagnostics

    def train(
        self,
        data: Any = None,
        *,
        workers: int = 1,
        output: str | Path | None = None,
        resume: bool = False,
        observer: Observer | None = None,
    ) -> Model:
        """Train from the first step to the last; the model has the best epoch's weights if there is a split `valid`.

        `data`: nothing, for the files that the program names; columns by header (arrays or lists, `[N, ...]`), records, or a data
        frame, if it has one source; or for each source by name a path or such a table. `workers`: processes; the result does not
        depend on it. `output`: a `.bmz` to write, with checkpoints beside it, from which `resume` goes on. `observer` is told of
        steps and epochs.

        Raises BmcError: the data is wrong, the loss is not finite, a file cannot be written. KeyboardInterrupt after Ctrl-C, once a
        checkpoint is written.
        """
        unit = self.unit
        options = TrainOptions(
            Path(output) if output is not None else None, _sources_of(unit, data), workers, resume, self._base(),
            dict(self._source.overrides),
        )  # fmt: skip
        model, report = train(unit, options, observer)
        if report.interrupted:
            raise KeyboardInterrupt
        return Model(model)

    def train_folds(self, data: Any = None, *, workers: int = 1) -> list[Evaluation]:
        """Cross-validation: a model trained for each fold of `split = folds(n)`, evaluated on the rows that it did not see. `data`
        and `workers`: as for `train`.

        Raises BmcError as `train` does; ValueError where the split has no folds. KeyboardInterrupt after Ctrl-C.
        """
        options = TrainOptions(None, _sources_of(self.unit, data), workers, False, self._base(), dict(self._source.overrides))
        found = list(train_folds(self.unit, options, lambda fold: None))
        if len(found) < fold_count(self.unit):
            raise KeyboardInterrupt
        return found

    def trainer(
        self,
        data: Mapping[str, Any],
        weights: Mapping[str, Any] | None = None,
        batch: int | None = None,
        shuffle: bool = True,
    ) -> Trainer:
        """Training step by step, on arrays of the caller's.

        `data`: columns by header, `[N, ...]` each, all of them training rows; or the data block's outputs (or the model's
        inputs that they bind to) by name, as the model reads them. `weights`: first values by key, others are initialised.
        `batch` replaces the program's. `shuffle` False: rows in their order, over and over.

        Raises BmcError when columns or weights do not fit.
        """
        return Trainer(self.unit, data, weights, batch, shuffle)

    def predict(self, inputs: Mapping[str, Any], weights: Mapping[str, Any] | None = None) -> dict[str, NDArray[Any]]:
        """The outputs of a model that has no training: `inputs` by name, `[N, ...]` each; `weights` by key, others are initialised.

        Raises BmcError when inputs do not fit, or when the program has a train block: its predictions need trained weights.
        """
        if self.unit.training is not None:
            raise BmcError(run_errors.not_trained(self.name))
        return predict_alone(self.unit, inputs, weights or {})

    def dump(self, stage: str = "graph", *, after: str | None = None, with_locs: bool = False) -> str:
        """What a stage of the compiler makes of the program: ast, graph, grad, fused, memory, llvm, asm; `after` a pass by name.

        Raises BmcError for a stage or pass that does not exist.
        """
        return _dump(self._source, stage, after, with_locs)

    def _base(self) -> str:
        name = self._source.main.name
        return os.curdir if name.startswith("<") else os.path.dirname(name) or os.curdir


class Model:
    """A trained model: from `Program.train`, or from a `.bmz` by `bmc.load`.

    Attributes: `unit`; `history`, what each epoch reached: dicts with `epoch` (from 1), `step`, `train.loss`, `valid.loss`, ...
    """

    def __init__(self, trained: TrainedModel) -> None:
        self._trained = trained
        self.unit = trained.unit

    @property
    def history(self) -> list[dict[str, Any]]:
        return [dict(epoch) for epoch in self._trained.history]

    @property
    def weights(self) -> dict[str, NDArray[Any]]:
        """Copies of weights and states by key."""
        return {key: array.copy() for key, array in self._trained.weights.items()}

    def predict(
        self, rows: Any, *, only: str | None = None, seed: int | None = None, on_error: OnError = "stop"
    ) -> dict[str, NDArray[Any]]:
        """Predictions for raw rows: one out for each in, with the same bits in any batch.

        `rows`: columns by header (labels may be absent), a list of records, a data frame or table (pandas, polars, pyarrow, whoever
        offers Arrow's interface), or the path of a csv, parquet, arrow, npz or jsonl file. Gives arrays `[N, ...]` by the names of
        `predict`, then of `keep`; texts as arrays of `str` objects, dates and times as `datetime64`. `only`: one of them. `seed`:
        of what the model draws, by default that of its train block. `on_error`: what becomes of a row that cannot be read: "stop"
        and raise, "skip" it, or "column": None in every column, and why in the column `error`.

        Raises BmcError: a column is missing, a value cannot be read. ValueError: a seed that no train block may have.
        """
        _require_seed(seed)
        options = PredictOptions(only=only, on_error=on_error, seed=seed)
        found = self._trained.predict(_given(rows), options).with_errors(options)
        return {name: _array(column) for name, column in found.items()}

    def predict_blocks(
        self, rows: Any, *, only: str | None = None, seed: int | None = None, on_error: OnError = "stop"
    ) -> Iterator[dict[str, NDArray[Any]]]:
        """As `predict`, block by block, for what does not fit into memory: at least one block, which may be empty.

        Raises BmcError as `predict` does, once the blocks before are given.
        """
        _require_seed(seed)
        options = PredictOptions(only=only, on_error=on_error, seed=seed)
        for block in self._trained.predict_blocks([_given(rows)], options):
            yield {name: _array(column) for name, column in block.with_errors(options).items()}

    def evaluate(self, split: str = "test", data: Any = None) -> Evaluation:
        """Loss and metrics of a split ("all": of every row): `.rows`, `.loss`, `.metrics["accuracy"]`.

        `data` as for `Program.train`. Raises BmcError: there is no such split, the data is not at hand.
        """
        return self._trained.evaluate(split, _sources_of(self.unit, data))

    def vocabulary(self, output: str) -> Vocabulary:
        """What the integers of the data output `output` stand for: `decode(integers)` gives text, `encode(text)` integers.

        Raises BmcError when there is no such output, or when its integers are numbers like others.
        """
        return self._trained.vocabulary(output)

    def generate(
        self,
        prompt: str | bytes | Sequence[int] | NDArray[Any],
        tokens: int = 200,
        *,
        seed: int = 0,
        cache: bool = True,
        **settings: float | None,
    ) -> str | bytes | NDArray[Any]:
        """What follows a prompt, `tokens` positions of it, by the `next` of the train block.

        A text gives a text, bytes give bytes; integers `[length]` give an array of integers, and several rows of them,
        `[rows, length]`, are continued each on its own. `settings`: `temperature`, `top_k`, `top_p` instead of those in the file,
        None for no limit. `cache = False` computes the whole prefix anew for each position, which gives the same.

        Raises BmcError: the model has no `next`, the prompt is empty or does not fit, the positions end. ValueError: a seed
        that no train block may have.
        """
        _require_seed(seed)
        found = self._trained.generate(prompt, GenerateOptions(tokens, seed, settings, cache))
        if isinstance(prompt, str | bytes):
            raw = b"".join(found.pieces())
            return raw if isinstance(prompt, bytes) else raw.decode("utf-8", "replace")
        numbers = np.array(list(found.numbers), np.int64).reshape(tokens, -1).T
        return numbers if np.ndim(prompt) == 2 else numbers[0]

    def plot(self, path: str | Path, split: str | None = None, data: Any = None) -> list[Path]:
        """Draw loss, metrics, confusion or predicted numbers, and images, as `bmc plot` does; the files written.

        `path`: of a picture (.png, .pdf), or of a folder. Raises BmcError: matplotlib is missing, there is no such split.
        """
        return plot(self._trained, Path(path), split, _sources_of(self.unit, data)).files

    def save(self, path: str | Path) -> None:
        """Write a `.bmz`, whole or not at all. The same model gives the same bytes. Raises BmcError."""
        self._trained.save(path)

    def dump(self, stage: str = "graph", *, after: str | None = None, with_locs: bool = False) -> str:
        """As `Program.dump`, of the sources that the model was trained from."""
        unit = self.unit
        source = SourceText(unit.sources[0], unit.name, unit.sources[1:], {}, unit.float_type, on_disk=False)
        return _dump(source, stage, after, with_locs)


def compile(  # noqa: A001 - `bmc.compile` is what one looks for
    source: str | Path,
    train: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    f64: bool = False,
) -> Program:
    """Check and elaborate a program.

    `source`: the path of a `.bm` file (a `Path`, or a `str` of one line without braces; `FILE:NAME` picks a block), or a source
    text. `train`: the name of the train block or model, where there are several. `overrides`: values of lets, hyper-parameters
    and keys of the train block, as Python values or texts of the language. `f64`: compile in double precision.

    Raises BmcError with all that is wrong: `error.diagnostics`, each with `code`, `message`, `labels` (spans), `notes`,
    `suggestions`.
    """
    texts = {key: _text_of(value) for key, value in (overrides or {}).items()}
    if isinstance(source, str) and ("\n" in source or "{" in source):
        found = text_source(source, texts, "f64" if f64 else "f32", train)
    else:
        found = find_source(str(source), texts, "f64" if f64 else "f32", train)
    return Program(found, load_unit(found))


def load(path: str | Path) -> Model:
    """The model in a `.bmz` file. No path that the file names is opened, no code in it runs.

    Raises BmcError when the file is damaged, hostile, or not one.
    """
    return Model(open_model(path))


def _dump(source: SourceText, stage: str, after: str | None, with_locs: bool) -> str:
    from bmc.driver.dumping import dump_source  # noqa: PLC0415 - all of code generation, which a cached program does not need

    return dump_source(source, stage, after, with_locs)


def _text_of(value: Any) -> str:
    """A Python value in the language: `True` is `true`, a list its items, a str is taken as it is."""
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    if value is None:
        return "none"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_text_of(item) for item in value)}]"
    if isinstance(value, (float, np.floating)):
        return repr(float(value))
    return str(value)


def _sources_of(unit: Unit, data: Any) -> dict[str, Given]:
    """What replaces each source, by name. Columns alone stand for the only source."""
    if data is None or (isinstance(data, Mapping) and not data):
        return {}
    names = list(dict.fromkeys(source.name for source in unit.data.sources)) if unit.data is not None else []
    if isinstance(data, Mapping) and set(data) <= set(names):
        tables = {name: value if isinstance(value, str | Path) else _table(value) for name, value in data.items()}
        if all(table is not None for table in tables.values()):
            return {name: table for name, table in tables.items() if table is not None}
    if len(names) == 1:
        return {names[0]: _given(data)}
    notes = (f"give them by source: {', '.join(names)}",)
    raise BmcError(run_errors.columns_do_not_fit("it is not clear which source these columns are", notes))


def _table(value: Any) -> Mapping[str, Any] | None:
    """A table in memory, None for what is a column."""
    return None if isinstance(value, list | tuple | np.ndarray) else columns_in(value)


def _given(value: Any) -> Given:
    """A path, or columns by header. Raises BmcError: it is neither."""
    if isinstance(value, str | Path):
        return value
    found = columns_in(value)
    if found is None:
        what = f"rows are columns by header, records, a data frame or a path, not {type(value).__name__}"
        raise BmcError(run_errors.columns_do_not_fit(what))
    return found


def _array(column: Column) -> NDArray[Any]:
    if column.kind != "plain" and column.valid is None:
        return column.times()
    if column.dtype != "str" and column.valid is None:
        return column.data
    values = np.empty(len(column), object)
    for row, value in enumerate(column.to_python()):  # which is a list where a cell has several values
        values[row] = value
    return values


def _require_seed(seed: int | None) -> None:
    if seed is not None and not 0 <= seed < 2**62:
        raise ValueError(f"a seed is a whole number from 0 to 2**62 - 1, not {seed}")
