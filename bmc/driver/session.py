"""A unit at work: compiled on demand, with the memory of its weights and statistics.

In: a `Unit`. Out: `Session`: initialise, prepare tables, train, evaluate, predict. Both faces of bmc, command line and Python, are
thin layers over it. Guaranteed: evaluation and prediction run the same compiled preprocessing on the same fitted values.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from bmc.codegen.cache import ObjectCache
from bmc.codegen.jit import load_object
from bmc.codegen.target import Target, host_target
from bmc.data import Block
from bmc.driver.collecting import collect, joined, kept_rows
from bmc.driver.compiled import Options, program_of
from bmc.driver.fitting import fit_statistics
from bmc.driver.limits import explained_limits
from bmc.driver.preparing import (
    MOST_OUTPUTS,
    buckets_of,
    check_bound,
    data_outputs,
    outside_bound,
    steps_of_columns,
)
from bmc.driver.provenance import column_behind
from bmc.driver.transfer import Start, read_start
from bmc.frontend.unit import ENCODE, NEXT, NEXT_STEP, DataSpec, PredictedColumn, PredictionSpec, TrainingSpec, Unit
from bmc.ir import Poly, TensorType
from bmc.passes.shard import unsplittable
from bmc.record import record
from bmc_runtime.binding import BoundFunction, Library
from bmc_runtime.collecting import IN_MEMORY, Workspace
from bmc_runtime.evaluation import Evaluator
from bmc_runtime.feeding import OutsideBound
from bmc_runtime.mapping import map_groups, map_rows, run_whole
from bmc_runtime.memory import Array, allocate, dtype_name
from bmc_runtime.plan import Program
from bmc_runtime.split import Split
from bmc_runtime.table import Column, Table, text_column
from bmc_runtime.training import Plateau, Progress, RunSettings, Stop, TrainingRun, shards_by_rule

__all__ = ["MemoryLimits", "Session", "SessionOptions", "shards_of", "static_shape"]

_LATE = {name: name for name in ("eval", "predict", "lengths", NEXT, NEXT_STEP, ENCODE)}
"""Functions compiled on their own, when first needed; all others are compiled together."""


def _group(function: str) -> str:
    """The program that a function, or a part of one, belongs to."""
    return _LATE.get(function) or _LATE.get(function.split(".", maxsplit=1)[0], "main")


@record(frozen=True)
class MemoryLimits:
    """In bytes. `rows`: how many of raw rows are held before they move to a work file; `outputs`: how many of a split's data
    outputs are held rather than computed batch by batch. No bit of a result depends on either."""

    rows: int = IN_MEMORY
    outputs: int = MOST_OUTPUTS


@record(frozen=True)
class SessionOptions:
    """`cache`: None for no cache on disk. `disabled`: optional passes left out."""

    cache: ObjectCache | None
    disabled: tuple[str, ...] = ()
    crash_directory: Path | None = None
    limits: MemoryLimits = MemoryLimits()


class Session:
    """`store`: every weight, state, moment and fitted value by key; training changes the arrays in place. `keep`: the buffers that
    fitted texts lie in. `start`: what other models give, once `begin_from_others` has read it."""

    def __init__(self, unit: Unit, options: SessionOptions | None = None, target: Target | None = None) -> None:
        self.unit = unit
        self.options = options if options is not None else SessionOptions(ObjectCache())
        self.target = target if target is not None else host_target()
        self.shards, self.accumulate = shards_of(unit)
        self._libraries: dict[str, Library] = {}
        self.store: dict[str, Array] = {}
        self.keep: list[Array] = []
        self.start: Start | None = None
        for key, kind in self._persistent():
            self.store[key] = allocate(kind.dtype, static_shape(kind))

    # --- compilation -------------------------------------------------------------------------------------------
    def program(self, function: str) -> Program:
        """The program that has a function (the `rows` and `finish` parts go with their whole)."""
        return self.library(function).program

    def library(self, function: str) -> Library:
        """The compiled code that has a function, compiled (or found in the cache) when first asked for."""
        group = _group(function)
        if group not in self._libraries:
            names = [f.name for f in self.unit.module.functions]
            chosen = [n for n in names if _group(n) == group]
            options = Options(self.shards > 1 or self.accumulate > 1, self.options.disabled, self.options.crash_directory)
            program = program_of(self.unit.module, self.target, options, self.options.cache, chosen)
            self._libraries[group] = Library(program, load_object)
        return self._libraries[group]

    def _persistent(self) -> list[tuple[str, TensorType]]:
        unit = self.unit
        found = [(w.key, w.type) for w in unit.weights]
        found += [(s.key, s.type) for s in unit.states]
        found += [(m.key, m.type) for m in unit.moments]
        if unit.data is not None:
            found += [(f.key, f.type) for f in unit.data.fitted]
        return found

    # --- data --------------------------------------------------------------------------------------------------
    @property
    def data(self) -> DataSpec:
        assert self.unit.data is not None
        return self.unit.data

    @property
    def training(self) -> TrainingSpec:
        assert self.unit.training is not None
        return self.unit.training

    @property
    def prediction(self) -> PredictionSpec:
        assert self.unit.prediction is not None
        return self.unit.prediction

    def tables(self, blocks: Iterable[Block]) -> dict[str, Table]:
        """The rows of each split, of blocks as they are read: filtered, cut, in memory or in a work file. Raises BmcError."""
        space = Workspace(self.options.limits.rows)
        return collect(self.data, blocks, self.library, self.store, space)

    def joined(self, tables: Sequence[Table]) -> Table:
        """The rows of all tables, one table after the other, in memory or in a work file. Raises BmcError."""
        return joined(tables, Workspace(self.options.limits.rows))

    def kept(self, table: Table) -> Table:
        """The rows that `where` and `distinct` keep."""
        return kept_rows(self.data, table, self.library, self.store)

    def fit(
        self, train: Table, note: Callable[[str], None] | None = None, progress: Callable[[int], None] | None = None
    ) -> None:
        """Fill the fitted values from the training split, those aside that another model gives. `note` is told what is odd,
        `progress` how many rows more have been read, once for each block of a pass."""
        given = self.start.fitted if self.start is not None else {}
        for key, array in given.items():
            self.store[key][...] = array
        self.keep = fit_statistics(self.data, train, self.library, self.store, given, progress, note)
        if self.start is not None:
            self.keep += self.start.keep

    def outputs(self, name: str, table: Table) -> Split:
        """The data block's outputs for all rows of a split."""
        return data_outputs(self.unit, self.data, name, table, self.library, self.store, self.options.limits.outputs)

    def dims(self, split: Split) -> dict[str, int]:
        """Run-time dims other than the row dim, from the arrays of a split."""
        function = self.unit.module.function("train" if self.unit.training else "predict")
        found: dict[str, int] = {}
        shapes = {key: array.shape for key, array in split.data.items()}
        if split.feed is not None:
            shapes = {key: shape for key, (_, shape) in split.feed.types(1).items()}
        for param in function.params:
            if param.role == "input" and param.key in shapes:
                for dim, size in zip(param.value.type.shape, shapes[param.key], strict=True):
                    if isinstance(dim, Poly) and str(dim) != function.row and dim == Poly.symbol(str(dim)):
                        found[str(dim)] = size
        return found

    # --- training ----------------------------------------------------------------------------------------------
    def begin_from_others(self) -> None:
        """Read what `init` and `fitted` name, before anything of the data is read. Raises BmcError."""
        if self.unit.stored or self.data.base is not None:
            self.start = read_start(self.unit)

    def initialise(self, seed: int) -> None:
        """Fill weights, states and moments with their initial values, those of other models where `init` says so."""
        function = BoundFunction(self.library("init"), "init", self.store)
        run_whole(function, {}, {}, seed)
        for key, array in (self.start.values if self.start is not None else {}).items():
            self.store[key][...] = array

    def settings(self) -> RunSettings:
        spec = self.training
        stop = spec.stop and Stop(spec.stop.split, spec.stop.metric, spec.stop.patience, spec.stop.delta, spec.stop.mode)
        plateau = spec.plateau and Plateau(
            spec.plateau.split, spec.plateau.metric, spec.plateau.factor, spec.plateau.patience, spec.plateau.delta,
            spec.plateau.least, spec.plateau.mode,
        )  # fmt: skip
        return RunSettings(
            spec.batch, spec.accumulate, self.shards, spec.epochs, spec.steps, spec.seed, stop or None, plateau or None
        )

    def run(
        self,
        splits: Mapping[str, Split],
        workers: int = 1,
        progress: Progress | None = None,
        best: Mapping[str, Array] | None = None,
    ) -> TrainingRun:
        """A training run over prepared splits, from the beginning or from a checkpoint's progress."""
        dims = self.dims(splits["train"])
        return TrainingRun(
            self.library("train"), self.evaluator(dims), self.store, splits, dims, self.settings(), progress, best,
            workers, "bmc.codegen.jit:load_object",
        )  # fmt: skip

    def evaluator(self, dims: Mapping[str, int]) -> Evaluator:
        return Evaluator(lambda: self.library("eval"), self.store, dims, self.training.seed)

    def evaluate(self, split: Split, step: int) -> dict[str, Array]:
        """Loss and metrics of a split with the weights of now, `step` steps old. Raises BmcError: an integer of a split that is
        computed batch by batch lies outside its bound."""
        try:
            with explained_limits(self.unit):
                return self.evaluator(self.dims(split))(split.data, split.rows, step, buckets=split.buckets, feed=split.feed)
        except OutsideBound as error:
            raise outside_bound(self.unit, error) from None

    def steps_of(self, table: Table) -> dict[str, int]:
        """The run-time dims that the ragged columns of a table fix."""
        return steps_of_columns(self.data, table)

    # --- prediction --------------------------------------------------------------------------------------------
    def predict(
        self, table: Table, seed: int = 0, errors: dict[int, str] | None = None, first_row: int = 0, step: int = 0
    ) -> dict[str, Column]:
        """The prediction columns for each row of a raw table, then the kept columns. `errors`: what is wrong with a row, by its
        number; rows with an integer outside its bound are added. Without it such a row raises BmcError, as in training.
        `first_row`: the number of the first row among all that are predicted; `step`: how many steps the weights have seen. What
        is drawn for a row depends on both, as in evaluation."""
        function = BoundFunction(self.library("predict"), "predict", self.store)
        dims = steps_of_columns(self.data, table)
        buckets = buckets_of(self.data, table, self.library, self.store, function.plan.dims)
        with explained_limits(self.unit):
            if buckets is None:
                found = map_rows(function, table.inputs(), table.rows, dims, seed=seed, step=step, first_row=first_row)
            else:
                found = map_groups(function, lambda rows, _: table.take(rows).inputs(), table.rows, dims, buckets, seed, step)
        for bound in self.prediction.bounded:
            if bound.below is not None:
                key = self.prediction.key_of_bounded(bound.name)
                behind = column_behind(self.unit.module.function("predict"), key, table)
                check_bound(bound.name, bound.below, found[key], table, errors, behind)
        columns: dict[str, Column] = {}
        for spec in self.prediction.columns:
            values = found[spec.name]
            if spec.kind == "label":
                columns[spec.name] = self.labels(values, spec)
            else:
                columns[spec.name] = Column(spec.type.dtype, values)
        kinds = {spec.name: spec.kind for spec in self.data.columns}
        for name in self.prediction.keep:
            columns.setdefault(name, replace(table.columns[name], kind=kinds[name]))
        return columns

    def labels(self, codes: Array, spec: PredictedColumn) -> Column:
        """Integers `[N, ...]` as what they stand for. Those that stand for nothing are `other` among texts, missing among numbers:
        what a row gets, and the type of the column, do not depend on the rows beside it."""
        names: list[str | int] = list(spec.labels)
        if spec.table is not None:
            known = self.store[spec.table]
            used = int(self.store[spec.count]) if spec.count is not None else len(known)
            column = Column(dtype_name(known), known[:used])
            names = column.to_python()
        places = codes.astype(np.int64)
        stands = (places >= 0) & (places < len(names))
        if names and all(isinstance(name, int) for name in names):
            numbers = np.where(stands, np.array(names, np.int64)[np.where(stands, places, 0)], 0)
            whole = np.asarray(stands.all(axis=tuple(range(1, stands.ndim))), np.bool_)
            return Column("i64", numbers, None if bool(whole.all()) else whole)
        known_texts = text_column([*map(str, names), spec.other])
        return Column("str", known_texts.data[np.where(stands, places, len(names))], None, known_texts.keep)


def shards_of(unit: Unit) -> tuple[int, int]:
    """(shards, micro-batches a step): as the file says, or by the runtime's rule."""
    training = unit.training
    if training is None:
        return 1, 1
    if training.shards:
        return training.shards, training.accumulate
    parameters = sum(math.prod(static_shape(w.type)) for w in unit.weights)
    # Each weight of a layer is used about once a row: 2 operations forward, 4 backward.
    flops = 6.0 * parameters * training.batch
    shards = shards_by_rule(training.batch, parameters, flops)
    if shards > 1 and unsplittable(unit.module.function("train")) is not None:
        shards = 1
    return shards, training.accumulate


def static_shape(kind: TensorType) -> tuple[int, ...]:
    """The shape of a type without free dims."""
    return tuple(int(d) for d in kind.shape if isinstance(d, int))
