"""Tables for training, evaluation and prediction.

In: what a data block declares (`DataSpec`), and what takes the place of its files (`--data NAME=PATH`, columns in memory); or the
name of a file with raw rows. Out: `Table`s. Guaranteed: files of a pattern are read in the order of their names; every cell obeys
`bmc.data.cells`; the first bad cells are errors that name file, line or row, value and the column's declaration.
"""

from __future__ import annotations

import glob
import gzip
import os
import stat
import sys
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np

from bmc.data import data_errors
from bmc.data.array_formats import read_arrays
from bmc.data.blocks import Block, Progress, blocks_of
from bmc.data.corpus import corpus_of, mapped
from bmc.data.csv_format import read_csv
from bmc.data.jsonl_format import read_jsonl
from bmc.data.npz_format import read_memory, read_npz
from bmc.data.pictures import read_folder
from bmc.data.raw import RawTable
from bmc.data.ts_format import read_ts
from bmc.data.windowing import Items, Windows, windows_of
from bmc.errors import BmcError, Diagnostic
from bmc.frontend.data.sources import IMAGES
from bmc.frontend.unit import ColumnSpec, DataSpec, SourceKind, SourceSpec
from bmc.record import record, replace
from bmc.source import Span
from bmc_runtime.table import Bytes, Origin, Table, concat_tables

__all__ = ["FORMATS", "Given", "Rows", "files_of", "format_of", "read_blocks", "read_rows", "read_source"]

Given = str | Path | Mapping[str, Any]
"""What a source may be replaced by: a path (or pattern), or columns in memory by header."""

FORMATS = ("csv", "parquet", "npz", "jsonl", "arrow", "ts", "npy", "idx", "text", "bytes", "folder")
"""Kinds of sources, and of raw rows to predict."""

_TABLES = ("csv", "parquet", "npz", "jsonl", "arrow", "ts")
"""Formats whose files hold columns by name, so that they may stand in for one another."""

_BINARY = ("npz", "parquet", "arrow")
"""Those of them that are no text, so that nobody means their bytes by a corpus to predict on."""

_FIRST_BYTES = ((b"PK\x03\x04", "npz"), (b"PAR1", "parquet"), (b"ARROW1", "arrow"), (b"\xff\xff\xff\xff", "arrow"))
"""Arrow's streams begin otherwise than its files."""

_SHOWN_ERRORS = 3
_IN_MEMORY = "columns in memory"
_STANDARD_INPUT = "<stdin>"


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
    given = _overrides(spec, overrides)
    specs = _wanted(spec, columns)
    tables: dict[str | None, list[Table]] = {}
    for source in spec.sources:
        tables.setdefault(source.split, []).extend(_tables_of(source, given.get(source.name), specs))
    return {split: concat_tables(parts) for split, parts in tables.items()}


def _overrides(spec: DataSpec, overrides: Mapping[str, Given] | None) -> dict[str, Given]:
    """What replaces sources, by name. Raises BmcError: there is no source of such a name."""
    names = list(dict.fromkeys(source.name for source in spec.sources))
    for name in overrides or {}:
        if name not in names:
            raise BmcError(data_errors.no_such_source(name, names))
    return dict(overrides or {})


def _wanted(spec: DataSpec, columns: Iterable[str] | None) -> list[ColumnSpec]:
    wanted = set(spec.used if columns is None else columns)
    return [column for column in spec.columns if column.name in wanted]


def read_blocks(
    spec: DataSpec,
    overrides: Mapping[str, Given] | None = None,
    columns: Iterable[str] | None = None,
    progress: Progress | None = None,
) -> Iterator[Block]:
    """The rows of a data block as a stream: the same rows as `read_source` gives, in the same order, in blocks of a few MB whatever
    the size of the files. Raises BmcError as it does, some blocks later."""
    given = _overrides(spec, overrides)
    specs = _wanted(spec, columns)
    for source in spec.sources:
        for table in _tables_of(source, given.get(source.name), specs):
            yield from blocks_of(source.split, table)


def files_of(source: SourceSpec, given: str | Path | None = None) -> list[Path]:
    """The files of a source in the order of reading; of pictures their folders. Raises BmcError when there are none."""
    if source.kind == "folder" and (given is None or Path(given).is_dir()):
        return folders_of(source, given)
    if source.kind in ("npy", "idx") and given is not None and Path(given).is_dir():
        return [path for paths in paths_by_column(source, given, []) for path in paths.values()]
    patterns = [str(given)] if given is not None else list(source.paths)
    found: list[Path] = []
    for pattern in patterns:
        path = Path(pattern) if given is not None else Path(source.folder) / pattern
        found.extend(match for match in _matches(path, source, given, folders=False) if match not in found)
    return found


def folders_of(source: SourceSpec, given: str | Path | None) -> list[Path]:
    """The folders of a source of pictures. Raises BmcError when there are none."""
    if given is not None:
        return [Path(given)]
    found: list[Path] = []
    for pattern in source.paths:
        found.extend(match for match in _matches(Path(source.folder) / pattern, source, given, folders=True) if match not in found)
    return found


def paths_by_column(source: SourceSpec, given: str | Path | None, headers: Sequence[str]) -> list[dict[str, Path]]:
    """The files of each column, by its header, as often as the patterns match. Raises BmcError: the columns have different numbers
    of files. `given` is a folder in which the files are called the same, or the only file."""
    patterns = dict(source.files)
    if not patterns:
        only = headers[0] if headers else ""
        return [{only: path} for path in files_of(replace(source, kind="npz"), given)]
    home = Path(source.folder) if given is None else Path(given)
    names = {header: pattern if given is None else os.path.basename(pattern) for header, pattern in patterns.items()}
    wanted = headers or list(patterns)
    found = {header: _matches(home / names[header], source, given, folders=False) for header in wanted}
    if len({len(paths) for paths in found.values()}) > 1:
        raise BmcError(data_errors.different_files(source, {header: len(paths) for header, paths in found.items()}))
    return [dict(zip(found, paths, strict=True)) for paths in zip(*found.values(), strict=True)]


def _matches(path: Path, source: SourceSpec, given: str | Path | None, *, folders: bool) -> list[Path]:
    if path.exists():
        matches = [path]
    else:
        matches = sorted(Path(match) for match in glob.glob(str(path), recursive=True) if Path(match).is_dir() == folders)
    if not matches:
        raise BmcError(data_errors.no_such_data(str(path), source.span if given is None else None))
    return matches


def format_of(path: str | Path) -> str | None:
    """The format that a file's name says, None if it says none."""
    suffix = Path(str(path).lower().removesuffix(".gz")).suffix.removeprefix(".")
    suffix = {"tsv": "csv", "pq": "parquet", "ndjson": "jsonl", "feather": "arrow", "ipc": "arrow"}.get(suffix, suffix)
    return suffix if suffix in (*_TABLES, "npy", "idx") else None


def format_of_bytes(data: bytes) -> str:
    """The format that the first bytes of a table show: csv unless they are those of another."""
    for first, form in _FIRST_BYTES:
        if data.startswith(first):
            return form
    return "jsonl" if data.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"{" else "csv"


def read_rows(
    given: Given,
    columns: Sequence[ColumnSpec],
    source: SourceSpec | None = None,
    *,
    na: Sequence[str] = ("",),
    separator: str | None = None,
    form: str | None = None,
    keep_bad: bool = False,
) -> Rows:
    """Rows to predict on: `given` is a path, `-` for standard input, or columns in memory.

    `source`: what training read, for the kinds whose names do not say what a file is, and whether rows are windows. `form`: the
    format where the name does not say it; standard input shows it by its first bytes. `keep_bad`: rows with bad cells are kept
    and their errors reported in the result, instead of raising BmcError for the first of them.
    """
    if source is not None:
        na, separator = source.na, dict(source.options).get("separator")
        given_kind = _kind_given(given, source, form)
        if given_kind == "folder" and source.window is None:
            place = Path(str(given))
            raw = _pictures(place, columns, source)
            return _rows(raw, str(place if place.is_dir() else place.parent), columns, na, keep_bad=keep_bad)
        if _holds_windows(given, source, form):
            columns = _of_windows(source, columns)
        elif given_kind is not None:
            tables = _tables_of(replace(source, kind=given_kind, files=source.files), given, columns)
            return Rows(concat_tables(tables), {})
    if isinstance(given, Mapping):
        name, raw = _IN_MEMORY, read_memory(given, _IN_MEMORY, columns, na)
    elif str(given) == "-":
        name, data = _STANDARD_INPUT, _standard_input()
        corpus = source is not None and source.kind in ("text", "bytes")
        if source is not None and corpus and (form == source.kind or (form is None and format_of_bytes(data) not in _BINARY)):
            return Rows(concat_tables(_rows_of([_corpus(np.frombuffer(data, np.uint8), name, source, columns)], source)), {})
        if source is not None and corpus:
            columns = _of_windows(source, columns)
        raw = _read(data, name, form or format_of_bytes(data), columns, na, separator or ",", None)
        if source is not None and source.window is not None and not corpus:
            return Rows(concat_tables(_rows_of([_checked(raw, name, columns, source)], source)), {})
    else:
        name = str(given)
        form = form or format_of(name)
        if form not in FORMATS:
            raise BmcError(data_errors.unknown_format(name, FORMATS))
        raw = _read(_bytes_of(Path(name), None), name, form, columns, na, separator or _separator_of(name), None)
    return _rows(raw, name, columns, na, keep_bad=keep_bad)


def _rows(raw: RawTable, name: str, columns: Sequence[ColumnSpec], na: Sequence[str], *, keep_bad: bool) -> Rows:
    errors: dict[int, str] = {}
    if keep_bad:
        errors = {row: diagnostic.message for row, diagnostic in reversed(_errors(raw, name, columns, na))}
    else:
        _refuse_bad(raw, name, columns, na)
    return Rows(_table(raw, name), errors)


def _pictures(path: Path, columns: Sequence[ColumnSpec], source: SourceSpec) -> RawTable:
    """Pictures to predict on: those of a folder, or one."""
    if not path.exists():
        raise BmcError(data_errors.no_such_data(str(path), None))
    if not path.is_dir() and path.suffix.lower().removeprefix(".") not in IMAGES:
        raise BmcError(data_errors.unknown_format(str(path), (*_TABLES, "folder", *IMAGES)))
    endings = tuple(value for name, value in source.options if name == "ending")
    return read_folder(path, columns, endings, source.span)


def _kind_given(given: Given, source: SourceSpec, form: str | None) -> SourceKind | None:
    """As what kind of source rows to predict are read, None for those that are read as one table."""
    kind: SourceKind | None = next((kind for kind in get_args(SourceKind) if kind == form), None)
    if kind is not None and kind not in _TABLES and kind != source.kind:
        raise BmcError(data_errors.unknown_format(str(given), (*_TABLES, *([source.kind] if source.kind not in _TABLES else []))))
    if isinstance(given, Mapping):
        return source.kind if source.window is not None else None
    if str(given) == "-":
        return None
    if kind is None:
        kind = source.kind if source.kind not in _TABLES else None
        if format_of(given) in _TABLES and kind not in ("text", "bytes"):
            kind = None
    if kind is None and source.window is not None:
        kind = next((found for found in get_args(SourceKind) if found == format_of(given)), source.kind)
    return kind if kind not in _TABLES or source.window is not None else None


def _holds_windows(given: Given, source: SourceSpec, form: str | None) -> bool:
    """Whether a file for a model of text or bytes is no text, but holds its columns: each row a line, or a whole window."""
    if source.kind not in ("text", "bytes") or isinstance(given, Mapping):
        return False
    return str(given) != "-" and (form or format_of(given)) in _BINARY


def _of_windows(source: SourceSpec, columns: Sequence[ColumnSpec]) -> list[ColumnSpec]:
    """The columns of rows that are windows already: `[N, size, *cell]`."""
    if source.window is None:
        return list(columns)
    return [replace(spec, cell=(source.window.size, *spec.cell)) for spec in columns]


def _tables_of(source: SourceSpec, given: Given | None, columns: Sequence[ColumnSpec]) -> list[Table]:
    if isinstance(given, Mapping):
        return [_from_memory(source, given, columns)]
    return _rows_of(_files(source, given, columns), source)


def _rows_of(parts: Iterable[Table | Items], source: SourceSpec) -> list[Table]:
    """The rows that the parts of a source are, or the windows over them. Raises BmcError: there is no window."""
    if source.window is None:
        return [part for part in parts if isinstance(part, Table)]
    windows = windows_of([_items(part) for part in parts], source.window)
    if windows.table.rows == 0:
        raise BmcError(data_errors.no_window(source, windows.series))
    return [replace(windows.table, notes=_short(windows))]


def _short(windows: Windows) -> tuple[str, ...]:
    if not windows.short:
        return ()
    return (f"{windows.short} of {windows.series} series are shorter than a window, and give none",)


def _from_memory(source: SourceSpec, given: Mapping[str, Any], columns: Sequence[ColumnSpec]) -> Table:
    """Columns in memory. Where rows are windows, they are given as such: `[N, size, *cell]`."""
    columns = _of_windows(source, columns)
    return _checked(read_memory(given, _IN_MEMORY, columns, source.na), _IN_MEMORY, columns, source)


def _items(part: Table | Items) -> Items:
    if isinstance(part, Items):
        return part
    return Items(part.origin.files[0][0], part.columns, part.rows)


def _files(source: SourceSpec, given: str | Path | None, columns: Sequence[ColumnSpec]) -> Iterator[Table | Items]:
    """What each file of a source has. Raises BmcError."""
    span = source.span if given is None else None
    separator = dict(source.options).get("separator")
    if source.kind == "folder" and (given is None or Path(given).is_dir()):
        for path in folders_of(source, given):
            endings = tuple(value for name, value in source.options if name == "ending")
            yield _checked(read_folder(path, columns, endings, source.span), str(path), columns, source)
        return
    if source.kind in ("npy", "idx") and (given is None or Path(given).is_dir() or format_of(given) not in _TABLES):
        for paths in paths_by_column(source, given, [column.header for column in columns]):
            name = str(next(iter(paths.values()))) if len(paths) == 1 else os.path.dirname(str(next(iter(paths.values())))) or "."
            contents = {header: (str(path), _bytes_of(path, span)) for header, path in paths.items()}
            yield _checked(read_arrays(contents, name, source.kind, columns, source.na), name, columns, source)
        return
    for path in files_of(source, given):
        if source.kind in ("text", "bytes"):
            yield _corpus(mapped(path, span), str(path), source, columns)
            continue
        form = (format_of(path) if given is not None else None) or source.kind
        data = _bytes_of(path, span)
        raw = _read(data, str(path), form, columns, source.na, separator or _separator_of(path), source.span)
        yield _checked(raw, str(path), columns, source)


def _corpus(content: Bytes, name: str, source: SourceSpec, columns: Sequence[ColumnSpec]) -> Table | Items:
    column = corpus_of(content, name, "bytes" if source.kind == "bytes" else source.items or "lines")
    for spec in columns:
        if spec.dtype != column.dtype or spec.cell or spec.nullable:
            raise BmcError(data_errors.wrong_type(spec, name, "bytes" if source.kind == "bytes" else "text"))
    found = {spec.name: column for spec in columns}
    if source.window is not None:
        return Items(name, found, len(column))
    rows = len(column)
    return Table(found, rows, Origin(((name, rows),), np.arange(rows, dtype=np.int64)))


def _checked(raw: RawTable, name: str, columns: Sequence[ColumnSpec], source: SourceSpec) -> Table:
    if raw.rows == 0:
        raise BmcError(data_errors.empty_file(name, "rows", source.span))
    _refuse_bad(raw, name, columns, source.na)
    return _table(raw, name)


def _separator_of(path: str | Path) -> str:
    return "\t" if str(path).lower().removesuffix(".gz").endswith(".tsv") else ","


def _bytes_of(path: Path, span: Span | None) -> bytes:
    try:
        if stat.S_ISDIR(os.stat(path).st_mode):
            raise BmcError(data_errors.is_a_directory(str(path), span))
        return _expanded(path, path.read_bytes(), span)
    except (FileNotFoundError, NotADirectoryError):
        raise BmcError(data_errors.no_such_data(str(path), span)) from None
    except (OSError, ValueError) as error:  # ValueError: a path that holds a NUL
        raise BmcError(data_errors.cannot_read(str(path), getattr(error, "strerror", None) or str(error), span)) from None


def _standard_input() -> bytes:
    data = sys.stdin.buffer.read()
    if data.startswith(b"\x1f\x8b"):
        data = _unzipped(_STANDARD_INPUT, data, None)
    if not data:
        raise BmcError(data_errors.empty_file(_STANDARD_INPUT, "bytes", None))
    return data


def _expanded(path: Path, data: bytes, span: Span | None) -> bytes:
    """The content of a file that is compressed by gzip, as its name says."""
    return _unzipped(str(path), data, span) if path.suffix.lower() == ".gz" else data


def _unzipped(name: str, data: bytes, span: Span | None) -> bytes:
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise BmcError(data_errors.cannot_read(name, f"it is no gzip file, or damaged: {error}", span)) from None


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
    known = {row for row, _ in found}
    found += [(row, diagnostic) for row, diagnostic in _unequal_steps(raw, name, columns) if row not in known]
    return sorted(found, key=lambda item: item[0])


def _unequal_steps(raw: RawTable, name: str, columns: Sequence[ColumnSpec]) -> Iterator[tuple[int, Diagnostic]]:
    """Rows in which ragged columns of one dim differ in their number of steps."""
    first: dict[str, ColumnSpec] = {}
    for spec in columns:
        if not spec.ragged:
            continue
        other = first.setdefault(spec.ragged, spec)
        one, two = raw.columns[other.name].column.steps, raw.columns[spec.name].column.steps
        for row in np.flatnonzero(one != two).tolist():
            reason = f"{other.header!r} has {one[row]} steps and {spec.header!r} {two[row]}, but both are called {spec.ragged}"
            yield row, data_errors.malformed(name, raw.place(row), reason)


def _refuse_bad(raw: RawTable, name: str, columns: Sequence[ColumnSpec], na: Sequence[str]) -> None:
    found = [diagnostic for _, diagnostic in _errors(raw, name, columns, na)]
    if not found:
        return
    shown = found[:_SHOWN_ERRORS]
    if len(found) > len(shown):
        shown[-1] = data_errors.more_errors(shown[-1], len(found) - len(shown))
    raise BmcError(shown)
