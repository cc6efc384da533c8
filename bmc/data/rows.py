"""Raw rows to predict on: files of any format, standard input, columns in memory.

In: where the rows are, and the columns that a model reads. Out: rows as a stream, or at once. Guaranteed: every cell obeys
`bmc.data.cells.rules`; where bad rows are kept, what is wrong with each is said by its number.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import get_args

import numpy as np

from bmc.data import data_errors
from bmc.data.blocks import MOST_ROWS, Block, blocks_of
from bmc.data.checking import checked, errors_of
from bmc.data.files.naming import BINARY, FORMATS, TABLES, Given, format_of, local_path, separator_of
from bmc.data.files.opening import STANDARD_INPUT, Stream, standard_input
from bmc.data.formats.npz_format import read_memory
from bmc.data.formats.pictures import read_folder
from bmc.data.formats.raw import RawTable
from bmc.data.formats.reading import Written, format_of_bytes, parts_of_file, parts_of_stream
from bmc.data.read import IN_MEMORY, files_in, gathered, items_of_corpus, of_windows, table_of, tables_of, windowed
from bmc.data.windowing import Items
from bmc.errors import BmcError, Diagnostic
from bmc.frontend.data.sources import IMAGES
from bmc.frontend.unit import ColumnSpec, DataSpec, SourceKind, SourceSpec
from bmc.record import record, replace
from bmc_runtime.memory import Array
from bmc_runtime.table import Column, Table, concat_tables

__all__ = ["Rows", "rows_in_parts", "read_rows"]


@record(frozen=True, eq=False)
class Rows:
    """Raw rows for prediction. `errors`: what is wrong with a row, by its number in the table; the cells of such rows are not to be
    used. `first_row`: how many rows of the same input come before these."""

    table: Table
    errors: Mapping[int, str]
    first_row: int = 0


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
    """All rows of `rows_in_parts` at once."""
    blocks = list(rows_in_parts(given, columns, source, na=na, separator=separator, form=form, keep_bad=keep_bad))
    if len(blocks) == 1:
        return blocks[0]
    errors = {block.first_row + row: text for block in blocks for row, text in block.errors.items()}
    return Rows(concat_tables([block.table for block in blocks]), errors)


def rows_in_parts(
    given: Given,
    columns: Sequence[ColumnSpec],
    source: SourceSpec | None = None,
    *,
    na: Sequence[str] = ("",),
    separator: str | None = None,
    form: str | None = None,
    keep_bad: bool = False,
) -> Iterator[Rows]:
    """Rows to predict on, a few MB at a time, at least one block: `given` is a path, `-` for standard input, or columns in memory.

    `source`: what training read, for the kinds whose names do not say what a file is, and whether rows are windows. `form`: the
    format where the name does not say it; standard input shows it by its first bytes. `keep_bad`: rows with bad cells are kept
    and their errors reported in the result, instead of raising BmcError for the first of them.
    """
    written = Written(tuple(na), separator or "")
    if source is not None:
        written = Written.of(source)
        given_kind = _kind_given(given, source, form)
        if given_kind == "folder" and source.window is None:
            place = Path(local_path(str(given)))
            pictures = _pictures(place, columns, source)
            yield from _rows(pictures, str(place if place.is_dir() else place.parent), columns, written.na, keep_bad=keep_bad)
            return
        if _holds_windows(given, source, form):
            columns = of_windows(source, columns)
        elif given_kind in ("text", "bytes") or (given_kind is not None and isinstance(given, Mapping)):
            yield from _whole(tables_of(replace(source, kind=given_kind, files=source.files), given, columns))
            return
        elif given_kind is not None and not isinstance(given, Mapping):
            files = files_in(replace(source, kind=given_kind, files=source.files), given, columns)
            if source.window is not None:
                yield _windows(files, columns, source, keep_bad=keep_bad)
                return
            for name, parts in files:
                yield from _rows(parts, name, columns, written.na, keep_bad=keep_bad)
            return
    if isinstance(given, Mapping):
        yield from _rows([read_memory(given, IN_MEMORY, columns, written.na)], IN_MEMORY, columns, written.na, keep_bad=keep_bad)
    elif str(given) == "-":
        with standard_input() as stream:
            yield from _rows_of_stream(stream, columns, source, written, form, keep_bad=keep_bad)
    else:
        name = local_path(str(given))
        form = form or format_of(name)
        if form not in FORMATS:
            raise BmcError(data_errors.unknown_format(name, FORMATS))
        yield from _rows(parts_of_file(name, form, columns, written, None), name, columns, written.na, keep_bad=keep_bad)


def _rows_of_stream(
    stream: Stream, columns: Sequence[ColumnSpec], source: SourceSpec | None, written: Written, form: str | None, *, keep_bad: bool
) -> Iterator[Rows]:
    name = STANDARD_INPUT
    begun = stream.begin(64)
    if not begun and form != "jsonl":
        raise BmcError(data_errors.empty_file(name, "bytes", None))
    shown = format_of_bytes(begun)
    corpus = source is not None and source.kind in ("text", "bytes")
    if source is not None and corpus:
        if form == source.kind or (form is None and shown not in BINARY):
            content = np.frombuffer(stream.all(), np.uint8)
            yield from _whole(windowed([items_of_corpus(content, name, source, columns)], source))
            return
        columns = of_windows(source, columns)
    if source is not None and source.kind == "csv" and source.paths and not written.separator:
        written = replace(written, separator=separator_of(source.paths[0]))  # no name says it, so it is as in training
    if written.encoding and (form or shown) == "csv":
        stream.decode(written.encoding)
    parts = parts_of_stream(stream, form or shown, columns, written, None)
    if source is not None and source.window is not None and not corpus:
        yield _windows([(name, parts)], columns, source, keep_bad=keep_bad)
        return
    yield from _rows(parts, name, columns, written.na, keep_bad=keep_bad)


def _whole(tables: Sequence[Table]) -> Iterator[Rows]:
    yield Rows(concat_tables(tables), {})


def _rows(
    parts: Iterable[RawTable], name: str, columns: Sequence[ColumnSpec], na: Sequence[str], *, keep_bad: bool
) -> Iterator[Rows]:
    before = 0
    empty: Rows | None = None
    for raw in parts if keep_bad else checked(parts, name, columns, na):
        errors: dict[int, str] = {}
        if keep_bad:
            errors = {row: _in_short(diagnostic) for row, diagnostic in reversed(errors_of(raw, name, columns, na))}
        rows = Rows(table_of(raw, name), errors, before)
        before += raw.rows
        if raw.rows:
            yield rows
        else:
            empty = rows
    if not before and empty is not None:
        yield empty


def _in_short(diagnostic: Diagnostic) -> str:
    """One line: what is wrong with a cell, and with which."""
    cell = diagnostic.code == "E0728" and diagnostic.notes
    return f"{diagnostic.message}, {diagnostic.notes[0]}" if cell else diagnostic.message


_MARK = "\0"
"""What is wrong with an item, by its number in a list; 0 for nothing. No column is called so."""


def _windows(
    files: Iterable[tuple[str, Iterable[RawTable]]], columns: Sequence[ColumnSpec], source: SourceSpec, *, keep_bad: bool
) -> Rows:
    """Windows over the items of some files. With `keep_bad` a window has the error of the first of its items that has one. Raises
    BmcError: an item cannot be placed, for what is wrong with it, or there is no window."""
    reasons = [""]
    items: list[Items | Table] = []
    for name, parts in files:
        blocks: list[Block] = []
        before = 0
        for raw in parts if keep_bad else checked(parts, name, columns, source.na):
            table = table_of(raw, name)
            if keep_bad:
                marks = Column("i32", _marks(raw, name, columns, source, reasons))
                table = Table({**table.columns, _MARK: marks}, table.rows, table.origin)
            blocks.extend(blocks_of(None, table, before) if table.rows else [])
            before += table.rows
        if not before:
            raise BmcError(data_errors.empty_file(name, "rows", source.span))
        items.append(gathered(blocks))
    (found,) = windowed(items, source)
    if not keep_bad:
        return Rows(found, {})
    rest = {name: column for name, column in found.columns.items() if name != _MARK}
    errors = _of_windows(found.columns[_MARK], reasons) if len(reasons) > 1 else {}
    return Rows(Table(rest, found.rows, found.origin, found.notes), errors)


def _marks(raw: RawTable, name: str, columns: Sequence[ColumnSpec], source: SourceSpec, reasons: list[str]) -> Array:
    """The number of what is wrong with each item; `reasons` gets it. Raises BmcError: nobody knows where an item belongs."""
    keys = [spec for spec in columns if spec.name in DataSpec.cut_by(source)]
    unplaced = errors_of(raw, name, keys, source.na) if keys else []
    if unplaced:
        raise BmcError([diagnostic for _, diagnostic in unplaced[:3]])
    marks = np.zeros(raw.rows, np.int32)
    for row, diagnostic in errors_of(raw, name, columns, source.na):
        if not marks[row]:
            marks[row] = len(reasons)
            reasons.append(_in_short(diagnostic))
    return marks


def _of_windows(marks: Column, reasons: Sequence[str]) -> dict[int, str]:
    """What is wrong with each window."""
    found: dict[int, str] = {}
    for start in range(0, len(marks), MOST_ROWS):
        part = marks.between(start, start + MOST_ROWS).dense()
        for row in np.flatnonzero(part.any(axis=1)).tolist():
            found[start + row] = reasons[int(part[row][part[row] > 0][0])]
    return found


def _pictures(path: Path, columns: Sequence[ColumnSpec], source: SourceSpec) -> Iterator[RawTable]:
    """Pictures to predict on: those of a folder, or one."""
    if not os.path.exists(path):  # `Path.exists` raises where the name is too long
        raise BmcError(data_errors.no_such_data(str(path), None))
    if not path.is_dir() and path.suffix.lower().removeprefix(".") not in IMAGES:
        raise BmcError(data_errors.unknown_format(str(path), (*TABLES, "folder", *IMAGES)))
    endings = tuple(value for name, value in source.options if name == "ending")
    return read_folder(path, columns, endings, source.span)


def _kind_given(given: Given, source: SourceSpec, form: str | None) -> SourceKind | None:
    """As what kind of source rows to predict are read, None for those that are read as one table."""
    kind: SourceKind | None = next((kind for kind in get_args(SourceKind) if kind == form), None)
    if kind is not None and kind not in TABLES and kind != source.kind:
        raise BmcError(data_errors.unknown_format(str(given), (*TABLES, *([source.kind] if source.kind not in TABLES else []))))
    if isinstance(given, Mapping):
        return source.kind if source.window is not None else None
    if str(given) == "-":
        return None
    if kind is None:
        kind = source.kind if source.kind not in TABLES else None
        if format_of(given) in TABLES and kind not in ("text", "bytes"):
            kind = None
    if kind is None and source.window is not None:
        kind = next((found for found in get_args(SourceKind) if found == format_of(given)), source.kind)
    return kind if kind not in TABLES or source.window is not None else None


def _holds_windows(given: Given, source: SourceSpec, form: str | None) -> bool:
    """Whether a file for a model of text or bytes holds its columns, each row a line or a whole window: its name says a table, or
    `form` does. `form` may say as well that it is a text, whatever it is called."""
    if source.kind not in ("text", "bytes") or isinstance(given, Mapping):
        return False
    return str(given) != "-" and (form or format_of(given)) in TABLES
