"""Predictions for raw rows, block by block.

In: a session with weights and statistics, raw rows. Out: `Predictions`, one for each block, a row out for each row in. Guaranteed:
bounded memory; what a row becomes depends neither on the rows beside it nor on how rows are cut into blocks.

Where predictions have a size that rows of different length fix, all rows make one block: the longest says how wide they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from bmc.data import Given, Reading, RowBlock, read_row_blocks
from bmc.driver import run_errors
from bmc.driver.session import Session
from bmc.errors import BmcError
from bmc.frontend.unit import Unit
from bmc.ir import Poly
from bmc.record import record
from bmc_runtime.binding import BoundFunction
from bmc_runtime.mapping import map_rows
from bmc_runtime.memory import itemsize
from bmc_runtime.table import Column, Table, concat_tables, text_column

__all__ = ["ERROR_COLUMN", "OnError", "PredictOptions", "Predictions", "joined", "predict_blocks", "spec_seed"]

ERROR_COLUMN = "error"

OnError = Literal["stop", "column", "skip"]

_BLOCK_BYTES = 1 << 24
"""About how much the predictions of a block take."""

_LEAST_ROWS = 64


@record(frozen=True)
class PredictOptions:
    """`form`: the format of inputs whose names do not say it. `only`: the name of one predicted column. `on_error`: what becomes of
    a row that cannot be read, or holds a category that is not listed. `seed`: of what the model draws, None for that of its train
    block."""

    form: str | None = None
    only: str | None = None
    on_error: OnError = "stop"
    seed: int | None = None


@record(frozen=True, eq=False)
class Predictions:
    """`columns` in the order of `predict`, then `keep`. `rows`: how many were read; `dropped`: how many of them `where` would drop,
    None where it cannot be told. `errors`: what is wrong with a row, by its number among those read; such rows have no predictions,
    or (`skip`) are not in the columns."""

    columns: Mapping[str, Column]
    rows: int
    dropped: int | None
    errors: Mapping[int, str]

    def with_errors(self, options: PredictOptions) -> Mapping[str, Column]:
        """The columns, and where the options say so the one of errors."""
        if options.on_error != "column":
            return self.columns
        return {**self.columns, ERROR_COLUMN: text_column([self.errors.get(row) for row in range(self.rows)])}


def predict_blocks(session: Session, given: Sequence[Given], options: PredictOptions, step: int) -> Iterator[Predictions]:
    """Predictions for the rows of some inputs, one after the other; at least one block, which may be empty. `step`: how many steps
    the weights have seen: schedules and draws are those of an evaluation. Raises BmcError: a name is wrong, before anything is
    read; a row cannot be read, after what stands before its block."""
    prediction, data = session.prediction, session.data
    names = [column.name for column in prediction.columns]
    if options.only is not None and options.only not in names:
        raise BmcError(run_errors.no_such_choice("prediction", options.only, names))
    chosen = [*names, *prediction.keep] if options.only is None else [options.only]
    if options.on_error == "column" and ERROR_COLUMN in chosen:
        raise BmcError(run_errors.error_column_taken(ERROR_COLUMN))
    source = data.sources[0]
    in_memory = all(isinstance(one, Mapping) for one in given)
    wanted = {*prediction.needs, *prediction.keep, *(() if in_memory else data.cut_by(source))}
    columns = [column for column in data.columns if column.name in wanted]
    reading = Reading(columns, data.columns, source, options.form, keep_bad=options.on_error != "stop")
    blocks = read_row_blocks(given, reading)
    for block in [_whole(blocks)] if _as_one(session) else _cut(blocks, _rows_of_block(session)):
        yield _predicted(session, block, options, step)


def _predicted(session: Session, block: RowBlock, options: PredictOptions, step: int) -> Predictions:
    errors = dict(block.errors)
    seed = spec_seed(session.unit) if options.seed is None else options.seed
    found = session.predict(block.table, seed, None if options.on_error == "stop" else errors, block.first_row, step)
    if options.only is not None:
        found = {options.only: found[options.only]}
    dropped = _dropped(session, block.table, errors)
    if errors and options.on_error == "skip":
        kept = np.ones(block.table.rows, np.bool_)
        kept[list(errors)] = False
        found = {name: column.take(kept) for name, column in found.items()}
    elif errors:
        found = {name: _without(column, errors) for name, column in found.items()}
    return Predictions(found, block.table.rows, dropped, dict(sorted(errors.items())))


def joined(blocks: Iterable[Predictions]) -> Predictions:
    """Blocks as one, with the errors of all rows by their numbers."""
    parts = list(blocks)
    if len(parts) == 1:
        return parts[0]
    table = concat_tables([Table(part.columns, len(next(iter(part.columns.values())))) for part in parts])
    errors, before, dropped = {}, 0, [part.dropped for part in parts if part.dropped is not None]
    for part in parts:
        errors.update({before + row: text for row, text in part.errors.items()})
        before += part.rows
    return Predictions(table.columns, before, sum(dropped) if len(dropped) == len(parts) else None, errors)


def spec_seed(unit: Unit) -> int:
    """The seed of the train block."""
    return unit.training.seed if unit.training is not None else 0


# --- blocks --------------------------------------------------------------------------------------------------------------
def _as_one(session: Session) -> bool:
    """Whether the predictions of a row are as wide as the longest of all rows."""
    data, prediction = session.data, session.prediction
    if data.buckets or any(column.ragged for column in data.columns if column.name in prediction.keep):
        return True
    row = session.unit.module.function("predict").row
    return any(isinstance(dim, Poly) and str(dim) != row for column in prediction.columns for dim in column.type.shape)


def _whole(blocks: Iterator[RowBlock]) -> RowBlock:
    parts = list(blocks)
    errors = {part.first_row + row: text for part in parts for row, text in part.errors.items()}
    return RowBlock(concat_tables([part.table for part in parts]), 0, errors)


def _rows_of_block(session: Session) -> int:
    """How many rows have predictions of about `_BLOCK_BYTES`."""
    bytes_of_row = sum(
        itemsize(column.type.dtype) * int(np.prod([dim for dim in column.type.shape if isinstance(dim, int)], dtype=np.int64))
        for column in session.prediction.columns
    )
    return max(_LEAST_ROWS, _BLOCK_BYTES // max(bytes_of_row, 1))


def _cut(blocks: Iterator[RowBlock], most: int) -> Iterator[RowBlock]:
    """Blocks of at most `most` rows."""
    for block in blocks:
        if block.table.rows <= most:
            yield block
            continue
        for start in range(0, block.table.rows, most):
            errors = {row - start: text for row, text in block.errors.items() if start <= row < start + most}
            yield RowBlock(block.table.between(start, start + most), block.first_row + start, errors)


# --- rows ----------------------------------------------------------------------------------------------------------------
def _dropped(session: Session, table: Table, errors: Mapping[int, str]) -> int | None:
    """How many good rows `where` would drop, if all that it reads is there."""
    if not session.data.where or table.rows == 0:
        return 0
    function = session.unit.module.function("where")
    inputs = table.inputs()
    if not {p.key for p in function.params if p.role == "input"} <= set(inputs):
        return None
    bound = BoundFunction(session.library("where"), "where", session.store)
    kept = map_rows(bound, inputs, table.rows, session.steps_of(table))["where"].astype(np.bool_)
    kept[list(errors)] = True
    return int((~kept).sum())


def _without(column: Column, rows: Iterable[int]) -> Column:
    """The column with the cells of some rows missing."""
    valid = np.ones(len(column), np.bool_) if column.valid is None else column.valid.copy()
    valid[list(rows)] = False
    return replace(column, valid=valid)
