"""Writes predictions, block by block.

In: columns by name, `[N]` or `[N, *cell]`, of one block after the other. Out: csv, parquet, arrow, npz or jsonl, by the name of the
file. Guaranteed: the file appears whole or not at all; numbers in text are the shortest that read back to the same bits of their
dtype; one row out for each row in; what is written does not depend on how rows are cut into blocks, the groups of parquet and arrow
aside; standard output has each block when `write` returns, but those of parquet and npz.

A csv has one column for each value of a cell: `NAME.0`, `NAME.1`, ... Missing cells are empty in csv, null in jsonl and parquet;
npz has none, so NaN, NaT, 0 or empty text stand there. Dates and times that are passed through are ISO text in csv and jsonl, and
of their own types elsewhere. NaN and infinities are null in JSON, which has no word for them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Protocol

import numpy as np

from bmc.data import data_errors
from bmc.data.cells.cell_texts import json_texts, plain_texts, quoted
from bmc.data.files.naming import format_of
from bmc.data.writing.write_npz import NpzBlocks
from bmc.errors import BmcError
from bmc_runtime.atomic import atomic_writer
from bmc_runtime.memory import DTYPES, Array
from bmc_runtime.table import Column, text_column

__all__ = ["WRITTEN", "PredictionWriter", "prediction_writer", "write_predictions"]

WRITTEN = ("csv", "parquet", "npz", "jsonl", "arrow")
"""Formats of predictions."""

_NAMES = {dtype: name for name, dtype in DTYPES.items() if name != "str"}
_BLOCK_ROWS = 1 << 16

_WORTH_IMPORTING = 100_000
"""Cells of a block from which on writing them one by one takes longer than importing Arrow."""

_WORTH_ARROW = 1_000
"""The same once it is imported."""


class _Blocks(Protocol):
    """What each format does with a block, and at the end."""

    def write(self, columns: Mapping[str, Column]) -> None: ...

    def finish(self) -> None: ...


class PredictionWriter:
    """The columns of all blocks are called and typed as those of the first. `rows`: how many were written."""

    def __init__(self, stream: IO[bytes], form: str, path: str, *, at_once: bool) -> None:
        self._stream, self._form, self._path, self._at_once = stream, form, path, at_once
        self._blocks = _blocks_of(stream, form, at_once)
        self.rows = 0

    def write(self, columns: Mapping[str, Column | Array | Sequence[str | None]]) -> None:
        """Write a block. Raises BmcError: the format has no such cells. OSError."""
        table = {name: _column(values) for name, values in columns.items()}
        if self._form in ("csv", "npz"):
            table = {name: _cells_of_one_shape(name, column, self._path) for name, column in table.items()}
        if len({len(column) for column in table.values()}) > 1:
            raise ValueError("columns differ in their number of rows")
        rows = len(next(iter(table.values()))) if table else 0
        for start in range(0, max(rows, 1), _BLOCK_ROWS):
            stop = min(start + _BLOCK_ROWS, rows)
            self._blocks.write(table if stop - start == rows else {name: c.between(start, stop) for name, c in table.items()})
        self.rows += rows
        if self._at_once:
            self._stream.flush()

    def finish(self) -> None:
        """After the last block."""
        self._blocks.finish()
        self._stream.flush()


@contextmanager
def prediction_writer(path: str | Path | None, form: str | None = None) -> Iterator[PredictionWriter]:
    """Writes to `path`, or to standard output (None, csv). `form` says the format where the name does not. Raises BmcError."""
    form = form or ("csv" if path is None else format_of(path))
    if form not in WRITTEN:
        raise BmcError(data_errors.unknown_format(str(path), WRITTEN))
    if path is None:
        writer = PredictionWriter(sys.stdout.buffer, form, "<stdout>", at_once=True)
        yield writer
        writer.finish()
        return
    try:
        with atomic_writer(path) as stream:
            writer = PredictionWriter(stream, form, str(path), at_once=False)
            yield writer
            writer.finish()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise BmcError(data_errors.cannot_write(str(path), error.strerror or str(error))) from None


def write_predictions(
    path: str | Path | None, columns: Mapping[str, Column | Array | Sequence[str | None]], form: str | None = None
) -> None:
    """Writes one block as `prediction_writer` does. Raises BmcError."""
    with prediction_writer(path, form) as writer:
        writer.write(columns)


def _blocks_of(stream: IO[bytes], form: str, at_once: bool) -> _Blocks:
    if form == "csv":
        return _CsvBlocks(stream)
    if form == "jsonl":
        return _JsonBlocks(stream)
    if form == "npz":
        return NpzBlocks(stream)
    from bmc.data.writing.write_arrow import ArrowBlocks  # noqa: PLC0415 - importing Arrow takes a tenth of a second

    return ArrowBlocks(stream, "stream" if form == "arrow" and at_once else form)


def _column(values: Column | Array | Sequence[str | None]) -> Column:
    if isinstance(values, Column):
        return values
    if isinstance(values, np.ndarray):
        dtype = _NAMES.get(values.dtype)
        if dtype is None:
            raise ValueError(f"a column of {values.dtype} cannot be written")
        return Column(dtype, values)
    return text_column(values)


def _cells_of_one_shape(name: str, column: Column, path: str) -> Column:
    """A column of windows as one of cells. Raises BmcError for a ragged one."""
    if column.runs is None:
        return column
    if column.runs.size is None:
        why = f"rows of {name!r} differ in length, which jsonl, parquet and arrow can hold"
        raise BmcError(data_errors.cannot_write(path, why))
    return Column(column.dtype, column.dense(), column.valid, column.keep, column.kind)


def _spread(columns: Mapping[str, Column]) -> dict[str, Column]:
    """Columns `[N]` only: those of cells become several."""
    flat: dict[str, Column] = {}
    for name, column in columns.items():
        if not column.cell:
            flat[name] = column
            continue
        values = column.data.reshape(len(column), int(np.prod(column.cell)))
        for i in range(values.shape[1]):
            flat[f"{name}.{i}"] = Column(column.dtype, np.ascontiguousarray(values[:, i]), column.valid, column.keep, column.kind)
    return flat


def _by_arrow(cells: int) -> bool:
    return cells >= (_WORTH_ARROW if "pyarrow" in sys.modules else _WORTH_IMPORTING)


class _CsvBlocks:
    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self._begun = stream, False

    def write(self, columns: Mapping[str, Column]) -> None:
        flat = _spread(columns)
        if not self._begun:
            self._stream.write(",".join(map(quoted, flat)).encode("utf-8") + b"\n")
            self._begun = True
        rows = len(next(iter(flat.values()))) if flat else 0
        if _by_arrow(rows * len(flat)):
            from bmc.data.writing.arrow_texts import csv_lines  # noqa: PLC0415 - importing Arrow takes a tenth of a second

            self._stream.write(csv_lines(list(flat.values())))
            return
        cells = [_csv_texts(column) for column in flat.values()]
        if len(cells) == 1:
            cells = [[text or '""' for text in cells[0]]]  # an empty line would be no row
        lines = map(",".join, zip(*cells, strict=True))
        self._stream.write("".join(f"{line}\n" for line in lines).encode("utf-8"))

    def finish(self) -> None:
        """Nothing is left to write."""


def _csv_texts(column: Column) -> list[str]:
    texts = plain_texts(column)
    return list(map(quoted, texts)) if column.dtype == "str" else texts


class _JsonBlocks:
    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def write(self, columns: Mapping[str, Column]) -> None:
        rows = len(next(iter(columns.values()))) if columns else 0
        cells = sum(int(np.prod(column.data.shape, dtype=np.int64)) for column in columns.values())
        if rows and _by_arrow(cells) and not any(column.runs or 0 in column.cell for column in columns.values()):
            from bmc.data.writing.arrow_texts import json_lines  # noqa: PLC0415 - importing Arrow takes a tenth of a second

            self._stream.write(json_lines(columns))
            return
        names = [json.dumps(name, ensure_ascii=False) for name in columns]
        block = [json_texts(column) for column in columns.values()]
        lines = []
        for values in zip(*block, strict=True):
            lines.append("{" + ", ".join(f"{name}: {cell}" for name, cell in zip(names, values, strict=True)) + "}\n")
        self._stream.write("".join(lines).encode("utf-8"))

    def finish(self) -> None:
        """Nothing is left to write."""
