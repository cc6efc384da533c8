"""Tables for training, evaluation and prediction.

In: what a data block declares (`DataSpec`), and what takes the place of its files (`--data NAME=PATH`, columns in memory); or the
name of a file with raw rows. Out: `Table`s. Guaranteed: files of a pattern are read in the order of their names; every cell obeys
`bmc.data.cells`; the first bad cells are errors that name file, line or row, value and the column's declaration.
"""

from __future__ import annotations

import glob
import os
import stat
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bmc.data import data_errors
from bmc.data.csv_format import read_csv
from bmc.data.jsonl_format import read_jsonl
from bmc.data.npz_format import read_memory, read_npz
from bmc.data.raw import RawTable
from bmc.data.ts_format import read_ts
from bmc.errors import BmcError, Diagnostic
from bmc.frontend.unit import ColumnSpec, DataSpec, SourceSpec
from bmc.record import record
from bmc.source import Span
from bmc_runtime.table import Origin, Table, concat_tables

__all__ = ["FORMATS", "Given", "Rows", "files_of", "format_of", "read_rows", "read_source"]

Given = str | Path | Mapping[str, Any]
"""What a source may be replaced by: a path (or pattern), or columns in memory by header."""

FORMATS = ("csv", "parquet", "npz", "jsonl", "arrow", "ts")
_SHOWN_ERRORS = 3
_IN_MEMORY = "columns in memory"


@record(frozen=True, eq=False)
class Rows:
    """Raw rows for prediction. `errors`: what is wrong with a row, by its number; the cells of such rows are not to be used."""

    table: Table
    errors: Mapping[int, str]


def read_source(
    spec: DataSpec, overrides: Mapping[str, Given] | None = None, columns: Iterable[str] | None = None
) -> dict[str | None, Table]:
    """The tables of a data block, by the split that their source names (None where sources name none).

    `overrides` replaces sources by name; `columns` are names of the columns to read, by default `spec.used`. Raises BmcError.
    """
    given = dict(overrides or {})
    names = list(dict.fromkeys(source.name for source in spec.sources))
    for name in given:
        if name not in names:
            raise BmcError(data_errors.no_such_source(name, names))
    wanted = set(spec.used if columns is None else columns)
    specs = [column for column in spec.columns if column.name in wanted]
    tables: dict[str | None, list[Table]] = {}
    for source in spec.sources:
        tables.setdefault(source.split, []).extend(_tables_of(source, given.get(source.name), specs))
    return {split: concat_tables(parts) for split, parts in tables.items()}


def files_of(source: SourceSpec, given: str | Path | None = None) -> list[Path]:
    """The files of a source in the order of reading. Raises BmcError when there are none."""
    patterns = [str(given)] if given is not None else list(source.paths)
    found: list[Path] = []
    for pattern in patterns:
        path = Path(pattern) if given is not None else Path(source.folder) / pattern
        if path.exists():
            matches = [path]
        else:
            matches = sorted(Path(match) for match in glob.glob(str(path), recursive=True) if not Path(match).is_dir())
        if not matches:
            raise BmcError(data_errors.no_such_data(str(path), source.span if given is None else None))
        found.extend(match for match in matches if match not in found)
    return found


def format_of(path: str | Path) -> str | None:
    """The format that a file's name says, None if it says none."""
    suffix = Path(path).suffix.lower().removeprefix(".")
    suffix = {"tsv": "csv", "pq": "parquet", "ndjson": "jsonl", "feather": "arrow", "ipc": "arrow"}.get(suffix, suffix)
    return suffix if suffix in FORMATS else None


def read_rows(
    given: Given,
    columns: Sequence[ColumnSpec],
    *,
    na: Sequence[str] = ("",),
    separator: str | None = None,
    form: str | None = None,
    keep_bad: bool = False,
) -> Rows:
    """Rows to predict on: `given` is a path, `-` for standard input, or columns in memory.

    `form`: the format where the name does not say it (csv for standard input). `keep_bad`: rows with bad cells are kept and their
    errors reported in the result, instead of raising BmcError for the first of them.
    """
    if isinstance(given, Mapping):
        name, raw = _IN_MEMORY, read_memory(given, _IN_MEMORY, columns, na)
    else:
        path = str(given)
        name = "<stdin>" if path == "-" else path
        form = form or ("csv" if path == "-" else format_of(path))
        if form not in FORMATS:
            raise BmcError(data_errors.unknown_format(path, FORMATS))
        data = sys.stdin.buffer.read() if path == "-" else _bytes_of(Path(path), None)
        raw = _read(data, name, form, columns, na, separator or _separator_of(path), None)
    errors: dict[int, str] = {}
    if keep_bad:
        errors = {row: diagnostic.message for row, diagnostic in reversed(_errors(raw, name, columns, na))}
    else:
        _refuse_bad(raw, name, columns, na)
    return Rows(_table(raw, name), errors)


def _tables_of(source: SourceSpec, given: Given | None, columns: Sequence[ColumnSpec]) -> list[Table]:
    if isinstance(given, Mapping):
        return [_checked(read_memory(given, _IN_MEMORY, columns, source.na), _IN_MEMORY, columns, source)]
    separator = dict(source.options).get("separator")
    tables = []
    for path in files_of(source, given):
        form = (format_of(path) if given is not None else None) or source.kind
        data = _bytes_of(path, source.span if given is None else None)
        raw = _read(data, str(path), form, columns, source.na, separator or _separator_of(path), source.span)
        tables.append(_checked(raw, str(path), columns, source))
    return tables


def _checked(raw: RawTable, name: str, columns: Sequence[ColumnSpec], source: SourceSpec) -> Table:
    if raw.rows == 0:
        raise BmcError(data_errors.empty_file(name, "rows", source.span))
    _refuse_bad(raw, name, columns, source.na)
    return _table(raw, name)


def _separator_of(path: str | Path) -> str:
    return "\t" if str(path).lower().endswith(".tsv") else ","


def _bytes_of(path: Path, span: Span | None) -> bytes:
    try:
        if stat.S_ISDIR(os.stat(path).st_mode):
            raise BmcError(data_errors.is_a_directory(str(path), span))
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise BmcError(data_errors.no_such_data(str(path), span)) from None
    except (OSError, ValueError) as error:  # ValueError: a path that holds a NUL
        raise BmcError(data_errors.cannot_read(str(path), getattr(error, "strerror", None) or str(error), span)) from None


def _read(
    data: bytes, name: str, form: str, columns: Sequence[ColumnSpec], na: Sequence[str], separator: str, span: Span | None
) -> RawTable:
    if not data:
        raise BmcError(data_errors.empty_file(name, "bytes", span))
    if form == "csv":
        return read_csv(data, name, columns, na, separator, span)
    if form == "npz":
        return read_npz(data, name, columns, na)
    if form == "jsonl":
        return read_jsonl(data, name, columns, na)
    if form == "ts":
        return read_ts(data, name, columns, na)
    # Importing Arrow takes a tenth of a second.
    from bmc.data.parquet_format import read_arrow, read_parquet  # noqa: PLC0415

    return read_arrow(data, name, columns, na) if form == "arrow" else read_parquet(data, name, columns, na)


def _table(raw: RawTable, name: str) -> Table:
    columns = {key: converted.column for key, converted in raw.columns.items()}
    return Table(columns, raw.rows, Origin(((name, raw.rows),), np.arange(raw.rows, dtype=np.int64)))


def _errors(raw: RawTable, name: str, columns: Sequence[ColumnSpec], na: Sequence[str]) -> list[tuple[int, Diagnostic]]:
    """What is wrong, in the order of rows."""
    found: list[tuple[int, Diagnostic]] = []
    for broken in raw.broken:
        if broken.why:
            found.append((broken.row, data_errors.malformed(name, raw.place(broken.row), broken.why)))
        else:
            found.append((broken.row, data_errors.ragged_row(name, raw.place(broken.row), broken.cells, broken.wanted)))
    for spec in columns:
        for cell in raw.columns[spec.name].bad:
            place = raw.place(cell.row)
            if cell.missing:
                found.append((cell.row, data_errors.missing_cell(spec, name, place, na)))
            else:
                found.append((cell.row, data_errors.cannot_convert(spec, name, place, cell.value, cell.why)))
    return sorted(found, key=lambda item: item[0])


def _refuse_bad(raw: RawTable, name: str, columns: Sequence[ColumnSpec], na: Sequence[str]) -> None:
    found = [diagnostic for _, diagnostic in _errors(raw, name, columns, na)]
    if not found:
        return
    shown = found[:_SHOWN_ERRORS]
    if len(found) > len(shown):
        shown[-1] = data_errors.more_errors(shown[-1], len(found) - len(shown))
    raise BmcError(shown)
