"""Writes predictions.

In: columns by name, `[N]` or `[N, *cell]`. Out: csv, parquet, arrow, npz or jsonl, by the name of the file. Guaranteed: the file
appears whole or not at all; numbers in text are the shortest that read back to the same bits of their dtype; one row out for each
row in.

A csv has one column for each value of a cell: `NAME.0`, `NAME.1`, ... Missing cells are empty in csv, null in jsonl and parquet;
npz has none, so NaN, NaT, 0 or empty text stand there. Dates and times that are passed through are ISO text in csv and jsonl, and
of their own types elsewhere. NaN and infinities are null in JSON, which has no word for them.
"""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from bmc.data import data_errors
from bmc.data.read import format_of
from bmc.errors import BmcError
from bmc_runtime.atomic import atomic_writer
from bmc_runtime.memory import DTYPES, Array
from bmc_runtime.table import Column, text_column

__all__ = ["WRITTEN", "write_predictions"]

WRITTEN = ("csv", "parquet", "npz", "jsonl", "arrow")
"""Formats of predictions."""

_NAMES = {dtype: name for name, dtype in DTYPES.items() if name != "str"}
_BLOCK_ROWS = 1 << 16


def write_predictions(
    path: str | Path | None, columns: Mapping[str, Column | Array | Sequence[str | None]], form: str | None = None
) -> None:
    """Writes to `path`, or to standard output (None, csv). `form` says the format where the name does not. Raises BmcError."""
    form = form or ("csv" if path is None else format_of(path))
    if form not in WRITTEN:
        raise BmcError(data_errors.unknown_format(str(path), WRITTEN))
    table = {name: _column(values) for name, values in columns.items()}
    if form in ("csv", "npz"):
        table = {name: _cells_of_one_shape(name, column, str(path)) for name, column in table.items()}
    if len({len(column) for column in table.values()}) > 1:
        raise ValueError("columns differ in their number of rows")
    if path is None:
        _write(sys.stdout.buffer, form, table)
        sys.stdout.buffer.flush()
        return
    try:
        with atomic_writer(path) as stream:
            _write(stream, form, table)
    except OSError as error:
        raise BmcError(data_errors.cannot_write(str(path), error.strerror or str(error))) from None


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


def _write(stream: IO[bytes], form: str, columns: Mapping[str, Column]) -> None:
    if form == "csv":
        _write_csv(stream, columns)
    elif form == "jsonl":
        _write_jsonl(stream, columns)
    elif form == "npz":
        np.savez(stream, allow_pickle=False, **{name: _plain(column) for name, column in columns.items()})
    else:
        from bmc.data.parquet_format import write_arrow, write_parquet  # noqa: PLC0415 - importing Arrow takes a tenth of a second

        (write_arrow if form == "arrow" else write_parquet)(stream, dict(columns))


def _plain(column: Column) -> Array:
    """As numpy has it: text as an array of `U`."""
    if column.dtype == "str":
        texts = ["" if value is None else value for value in column.to_python()]
        return np.array(texts, dtype=np.str_).reshape(column.data.shape)
    if column.kind != "plain":
        times = column.times()
        if column.valid is not None:
            times[~column.valid] = np.datetime64("NaT")
        return times
    if column.valid is not None and column.dtype in ("f32", "f64"):
        data = column.data.copy()
        data[~column.valid] = np.nan
        return data
    return column.data


def _texts(column: Column) -> list[str]:
    """Each value of a `[N]` column as csv has it."""
    if column.dtype == "str":
        texts = ["" if value is None else value for value in column.to_python()]
    elif column.dtype == "bool":
        texts = ["true" if value else "false" for value in column.data.tolist()]
    elif column.kind != "plain":
        texts = [str(value) for value in column.to_python()]
    elif column.dtype in ("f32", "f64"):
        # numpy's shortest digits of that dtype; tolist() would give an f32 the digits of an f64
        texts = column.data.astype(np.str_).tolist()
    else:
        texts = list(map(str, column.data.tolist()))
    if column.valid is not None:
        texts = [text if ok else "" for text, ok in zip(texts, column.valid.tolist(), strict=True)]
    return texts


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


def _write_csv(stream: IO[bytes], columns: Mapping[str, Column]) -> None:
    flat = _spread(columns)
    rows = len(next(iter(flat.values()))) if flat else 0
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(flat)
    for start in range(0, rows, _BLOCK_ROWS):
        block = [_texts(column.between(start, start + _BLOCK_ROWS)) for column in flat.values()]
        writer.writerows(zip(*block, strict=True))
        stream.write(text.getvalue().encode("utf-8"))
        text.seek(0)
        text.truncate()
    stream.write(text.getvalue().encode("utf-8"))


def _write_jsonl(stream: IO[bytes], columns: Mapping[str, Column]) -> None:
    names = [json.dumps(name, ensure_ascii=False) for name in columns]
    rows = len(next(iter(columns.values()))) if columns else 0
    for start in range(0, rows, _BLOCK_ROWS):
        block = [_json_texts(column.between(start, start + _BLOCK_ROWS)) for column in columns.values()]
        lines = []
        for cells in zip(*block, strict=True):
            lines.append("{" + ", ".join(f"{name}: {cell}" for name, cell in zip(names, cells, strict=True)) + "}\n")
        stream.write("".join(lines).encode("utf-8"))


def _json_texts(column: Column) -> list[str]:
    if column.runs is not None:
        parts = [column.between(i, i + 1) for i in range(len(column))]
        return [_json_texts(Column(c.dtype, c.dense(), c.valid, c.keep, c.kind))[0] if c.longest else "[]" for c in parts]
    flat = Column(column.dtype, column.data.reshape(-1), None, column.keep, column.kind)
    if column.dtype == "str":
        values = [json.dumps(value, ensure_ascii=False) for value in flat.to_python()]
    elif column.kind != "plain":
        values = [f'"{text}"' for text in _texts(flat)]
    else:
        values = _texts(flat)
        if column.dtype in ("f32", "f64"):
            finite = np.isfinite(flat.data).tolist()
            values = [value if ok else "null" for value, ok in zip(values, finite, strict=True)]
    cells = _nested(values, column.cell)
    if column.valid is None:
        return cells
    return [cell if ok else "null" for cell, ok in zip(cells, column.valid.tolist(), strict=True)]


def _nested(values: list[Any], cell: tuple[int, ...]) -> list[str]:
    for size in reversed(cell):
        values = ["[" + ", ".join(values[i : i + size]) + "]" for i in range(0, len(values), size)]
    return values
