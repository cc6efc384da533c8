"""From tables to arrays that a model reads: splits, `where`, fitted statistics, the data block's outputs.

In: a unit's data specification, raw tables, the compiled functions `where`, `fit.*` and `data`. Out: `Split`s for training and
evaluation; fitted values land in the store. Guaranteed: statistics see the training split alone; the order is where, distinct,
split, fit, outputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping

import numpy as np

from bmc.driver import run_errors
from bmc.driver.provenance import column_behind, shown_cell
from bmc.errors import BmcError
from bmc.frontend.unit import AUGMENT, DataSpec, Unit
from bmc_runtime.binding import BoundFunction, Library
from bmc_runtime.buckets import Buckets, padded_sizes
from bmc_runtime.feeding import Feed, Forgetting, OutsideBound
from bmc_runtime.mapping import map_rows
from bmc_runtime.memory import DTYPES, Array
from bmc_runtime.plan import evaluate_dim
from bmc_runtime.split import Split
from bmc_runtime.table import Column, Indices, Table

__all__ = ["MOST_OUTPUTS", "Libraries", "buckets_of", "check_bound", "data_outputs", "outside_bound", "steps_of_columns"]

Libraries = Callable[[str], Library]
"""The library that has a function, by the function's name."""


def buckets_of(
    data: DataSpec, table: Table, libraries: Libraries, store: Mapping[str, Array], among: Collection[str] | None = None
) -> Buckets | None:
    """How long the rows of a table are, where outputs are padded in buckets. `among`: the run-time dims that matter."""
    specs = [b for b in data.buckets if among is None or b.symbol in among]
    sizes = {spec.symbol: np.empty(table.rows, np.int32) for spec in specs}
    forgetting, dims = Forgetting(table), steps_of_columns(data, table) if specs else {}
    for spec in specs:
        function = BoundFunction(libraries(spec.function), spec.function, store)
        for start in range(0, table.rows, _ROWS_AT_ONCE):
            part = table.between(start, start + _ROWS_AT_ONCE)
            inputs = part.inputs()
            lengths: Indices = map_rows(function, inputs, part.rows, dims)[spec.symbol]  # type: ignore[assignment]
            sizes[spec.symbol][start : start + part.rows] = padded_sizes(lengths, spec.bucket, spec.most)
            forgetting.after(sum(column.data.nbytes for column in part.columns.values()))
    return Buckets(sizes, {b.symbol: b.most for b in specs}) if specs else None


def steps_of_columns(data: DataSpec, table: Table) -> dict[str, int]:
    """The run-time dims of a table by symbol: the steps of the longest row of its ragged columns, and the most of outputs that are
    padded in buckets."""
    found: dict[str, int] = {bucket.symbol: bucket.most for bucket in data.buckets}
    for column in data.columns:
        if column.ragged and column.name in table.columns:
            found[column.ragged] = max(found.get(column.ragged, 0), table.columns[column.name].longest)
    return found


_ROWS_AT_ONCE = 1 << 16

MOST_OUTPUTS = 128 << 20
"""How many bytes of outputs are computed once and held; more are computed batch by batch."""


def data_outputs(
    unit: Unit, data: DataSpec, name: str, table: Table, libraries: Libraries, store: Mapping[str, Array],
    most: int = MOST_OUTPUTS,
) -> Split:
    """The outputs of the data block for all rows of a table. Raises BmcError when an integer lies outside its declared bound.

    Where columns are windows, training draws at random, or the outputs are more than `most` bytes, they are not computed here but
    batch by batch (`Split.feed`).
    """
    function = BoundFunction(libraries("data"), "data", store)
    augmented = BoundFunction(libraries(AUGMENT), AUGMENT, store) if data.augmented and name == "train" else None
    fed = augmented is not None or any(c.runs is not None and c.runs.size is not None for c in table.columns.values())
    if fed or _output_bytes(data, function, table) > most:
        below = {spec.name: spec.below for spec in data.outputs if spec.below is not None}
        feed = Feed(function, augmented, table, below, steps_of_columns(data, table))
        buckets = None if fed else buckets_of(data, table, libraries, store)
        return Split(name, table.rows, {}, table.origin.counts(), buckets, feed)
    outputs = map_rows(function, table.inputs(), table.rows, steps_of_columns(data, table))
    for spec in data.outputs:
        if spec.below is not None and len(outputs.get(spec.name, ())) == table.rows:
            behind = column_behind(unit.module.function("data"), spec.name, table)
            check_bound(spec.name, spec.below, outputs[spec.name], table, None, behind)
    return Split(name, table.rows, outputs, table.origin.counts(), buckets_of(data, table, libraries, store))


def _output_bytes(data: DataSpec, function: BoundFunction, table: Table) -> int:
    """How many bytes the outputs of all rows would take."""
    dims = {**steps_of_columns(data, table), function.plan.row or "B": table.rows}
    found = (b for b in function.plan.buffers if b.kind == "output")
    return sum(math.prod(evaluate_dim(d, dims) for d in b.shape) * DTYPES[b.dtype].itemsize for b in found)


def outside_bound(unit: Unit, error: OutsideBound) -> BmcError:
    """What a feed found while a split was trained on or evaluated."""
    assert unit.data is not None
    below = next(spec.below for spec in unit.data.outputs if spec.name == error.name)
    assert below is not None
    file, line = error.table.origin.locate(error.row)
    cell = _cell(column_behind(unit.module.function("data"), error.name, error.table), error.row)
    return BmcError(run_errors.outside_bound(error.name, below, error.value, file, line + 1, of_text=True, cell=cell))


def check_bound(
    name: str,
    below: int,
    values: Array,
    table: Table | None,
    errors: dict[int, str] | None = None,
    behind: tuple[str, Column] | None = None,
) -> None:
    """Refuse the first row of `values` `[N, ...]` that has an integer outside 0..below-1: a text that its category does not list, a
    label too large. `table`: where the rows come from, None for arrays of the caller's. With `errors`, what is wrong with a row by
    its number, all such rows are added to it instead, unless something is wrong with them already. `behind`: the column that the
    values are made of, if that is known."""
    numbers = values.astype(np.int64)
    wrong = (numbers < 0) | (numbers >= below)
    for row in np.flatnonzero(wrong.any(axis=tuple(range(1, wrong.ndim)))).tolist():
        value = int(numbers[row][wrong[row]].flat[0])
        if errors is None:
            file, line = table.origin.locate(row) if table is not None else ("", row)
            raise BmcError(run_errors.outside_bound(name, below, value, file, line + 1, table is not None, _cell(behind, row)))
        errors.setdefault(row, run_errors.what_is_outside(name, below, value, cell=_cell(behind, row)))


def _cell(behind: tuple[str, Column] | None, row: int) -> tuple[str, str] | None:
    shown = shown_cell(behind[1], row) if behind is not None else None
    return (behind[0], shown) if behind is not None and shown is not None else None
