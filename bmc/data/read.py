"""Tables for training and evaluation.

In: what a data block declares (`DataSpec`), and what takes the place of its files (`--data NAME=PATH`, columns in memory). Out:
rows as a stream of `Block`s, or as one `Table`. Guaranteed: files of a pattern are read in the order of their names; every cell
obeys `bmc.data.cells.rules`; the first bad cells are errors that name file, line or row, value and the column's declaration; memory
holds a few MB of a file at a time but for formats that have to be read as a whole (`.ts`, pictures, windows over columns).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bmc.data import data_errors
from bmc.data.blocks import Block, Progress, blocks_of
from bmc.data.checking import checked
from bmc.data.files.naming import TABLES, Given, files_of, folders_of, format_of, is_folder, is_remote, paths_by_column
from bmc.data.formats.corpus import corpus_of, mapped
from bmc.data.formats.npz_format import read_arrays, read_memory
from bmc.data.formats.pictures import read_folder
from bmc.data.formats.raw import RawTable
from bmc.data.formats.reading import Watch, Written, parts_of_file
from bmc.data.windowing import Items, Windows, windows_of
from bmc.errors import BmcError
from bmc.frontend.unit import ColumnSpec, DataSpec, SourceSpec, WindowSpec
from bmc.record import replace
from bmc_runtime.table import Bytes, Origin, Table, concat_tables

__all__ = [
    "IN_MEMORY", "files_in", "gathered", "items_of_corpus", "of_windows", "read_blocks", "read_source", "table_of", "tables_of",
    "windowed",
]  # fmt: skip

IN_MEMORY = "columns in memory"


def read_source(
    spec: DataSpec, overrides: Mapping[str, Given] | None = None, columns: Iterable[str] | None = None
) -> dict[str | None, Table]:
    """The tables of a data block, by the split that their source names (None where sources name none).

    `overrides` replaces sources by name; `columns` are names of the columns to read, by default `spec.used`. Raises BmcError.
    """
    splits: dict[str | None, list[Block]] = {}
    for block in read_blocks(spec, overrides, columns):
        splits.setdefault(block.split, []).append(block)
    return {split: gathered(blocks) for split, blocks in splits.items()}


def read_blocks(
    spec: DataSpec,
    overrides: Mapping[str, Given] | None = None,
    columns: Iterable[str] | None = None,
    progress: Progress | None = None,
) -> Iterator[Block]:
    """The rows of a data block as a stream: the same rows as `read_source` gives, in the same order, in blocks of a few MB whatever
    the size of the files. Raises BmcError as it does, some blocks later."""
    names = list(dict.fromkeys(source.name for source in spec.sources))
    given = dict(overrides or {})
    for name in given:
        if name not in names:
            raise BmcError(data_errors.no_such_source(name, names))
    wanted = set(spec.used if columns is None else columns)
    specs = [column for column in spec.columns if column.name in wanted]
    watch = _Progress(spec, given, progress) if progress is not None else None
    for source in spec.sources:
        yield from _blocks(source, given.get(source.name), specs, watch)


def gathered(blocks: Sequence[Block]) -> Table:
    """The blocks of one split as one table."""
    files: list[tuple[str, int]] = []
    for block in blocks:
        if block.first_row == 0:
            files.append((block.file, block.table.rows))
        else:
            files[-1] = (block.file, files[-1][1] + block.table.rows)
    whole = concat_tables([block.table for block in blocks])
    return Table(whole.columns, whole.rows, Origin(tuple(files), np.arange(whole.rows, dtype=np.int64)), whole.notes)


class _Progress:
    """How many bytes of all files have been read."""

    def __init__(self, spec: DataSpec, given: Mapping[str, Given], hear: Progress) -> None:
        self._hear, self._before = hear, 0
        places = [place for source in spec.sources for place in _places(source, given.get(source.name))]
        known = all(not is_remote(place) and os.path.isfile(place) for place in places)
        self._total = sum(os.path.getsize(place) for place in places) if known else None

    def of_file(self, place: str) -> Watch:
        """What hears of one more file, behind those that have been read."""
        before, size = self._before, os.path.getsize(place) if os.path.isfile(place) else 0
        self._before += size

        def watch(done: int) -> None:
            self._hear(before + (min(done, size) if size else done), self._total)

        return watch


def _places(source: SourceSpec, given: Given | None) -> list[str]:
    return [] if isinstance(given, Mapping) else files_of(source, given)


# ---------------------------------------------------------------------------------------------------------------------
# One source


def tables_of(source: SourceSpec, given: Given | None, columns: Sequence[ColumnSpec]) -> list[Table]:
    """The rows of a source at once. Raises BmcError."""
    return [gathered(list(_blocks(source, given, columns, None)))]


def _blocks(source: SourceSpec, given: Given | None, columns: Sequence[ColumnSpec], watch: _Progress | None) -> Iterator[Block]:
    if isinstance(given, Mapping):
        yield from blocks_of(source.split, _from_memory(source, given, columns))
        return
    corpus = source.kind in ("text", "bytes")
    if source.window is None and not corpus:
        for name, parts in files_in(source, given, columns, watch):
            yield from _rows(source, name, checked(parts, name, columns, source.na))
        return
    items: list[Items | Table]
    if corpus:
        span = source.span if given is None else None
        items = [items_of_corpus(mapped(place, span), place, source, columns) for place in files_of(source, given)]
    else:
        items = []
        for name, parts in files_in(source, given, columns, watch):
            items.append(gathered(list(_rows(source, name, checked(parts, name, columns, source.na)))))
    for table in windowed(items, source):
        yield from blocks_of(source.split, table)


def _rows(source: SourceSpec, name: str, parts: Iterable[RawTable]) -> Iterator[Block]:
    """The rows of one file. Raises BmcError: there is none."""
    before = 0
    for raw in parts:
        yield from blocks_of(source.split, table_of(raw, name), before)
        before += raw.rows
    if not before:
        raise BmcError(data_errors.empty_file(name, "rows", source.span))


def files_in(
    source: SourceSpec, given: str | Path | None, columns: Sequence[ColumnSpec], watch: _Progress | None = None
) -> Iterator[tuple[str, Iterable[RawTable]]]:
    """The name and the rows, bad ones too, of each file of a source that is no corpus. Raises BmcError."""
    span = source.span if given is None else None
    if source.kind == "folder" and (given is None or is_folder(given)):
        endings = tuple(value for name, value in source.options if name == "ending")
        for place in folders_of(source, given):
            yield place, read_folder(Path(place), columns, endings, source.span)
        return
    if source.kind in ("npy", "idx") and (given is None or is_folder(given) or format_of(given) not in TABLES):
        for places in paths_by_column(source, given, [column.header for column in columns]):
            name = next(iter(places.values()))
            yield name, read_arrays(places, source.kind, columns, source.na, span)
        return
    written = Written.of(source)
    for place in files_of(source, given):
        form = (format_of(place) if given is not None else None) or source.kind
        heard = watch.of_file(place) if watch is not None else None
        yield place, parts_of_file(place, form, columns, written, source.span, heard)


def windowed(parts: Iterable[Table | Items], source: SourceSpec) -> list[Table]:
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


def _items(part: Table | Items) -> Items:
    if isinstance(part, Items):
        return part
    return Items(part.origin.files[0][0], part.columns, part.rows)


def of_windows(source: SourceSpec, columns: Sequence[ColumnSpec]) -> list[ColumnSpec]:
    """The columns of rows that are windows already: `[N, size, *cell]`."""
    if source.window is None:
        return list(columns)
    return [replace(spec, cell=(source.window.size, *spec.cell)) for spec in columns]


def _from_memory(source: SourceSpec, given: Mapping[str, Any], columns: Sequence[ColumnSpec]) -> Table:
    """Columns in memory. Where rows are windows, they are given as such: `[N, size, *cell]`. Raises BmcError."""
    items = _items_of_windows(source, given, columns)
    if items is not None and source.window is not None:
        (right,) = checked([read_memory(items, IN_MEMORY, columns, source.na)], IN_MEMORY, columns, source.na)
        side_by_side = WindowSpec(source.window.size, source.window.size)
        return windows_of([_items(table_of(right, IN_MEMORY))], side_by_side).table
    columns = of_windows(source, columns)
    raw = read_memory(given, IN_MEMORY, columns, source.na)
    if raw.rows == 0:
        raise BmcError(data_errors.empty_file(IN_MEMORY, "rows", source.span))
    (right,) = checked([raw], IN_MEMORY, columns, source.na)
    return table_of(right, IN_MEMORY)


def _items_of_windows(source: SourceSpec, given: Mapping[str, Any], columns: Sequence[ColumnSpec]) -> dict[str, Any] | None:
    """The items of windows in memory one after the other, where some may be missing: of a window that is a cell all would be. None
    where no column has gaps, or what is given is no windows."""
    if source.window is None or not any(spec.nullable for spec in columns):
        return None
    found: dict[str, Any] = {}
    for spec in columns:
        cells = given.get(spec.header)
        if isinstance(cells, list | tuple):
            same = all(isinstance(cell, list | tuple | np.ndarray) and len(cell) == source.window.size for cell in cells)
            found[spec.header] = [item for cell in cells for item in cell] if same else None
        else:
            array = np.asarray(cells)
            same = array.ndim > 1 and array.shape[1] == source.window.size
            found[spec.header] = array.reshape(-1, *array.shape[2:]) if same else None
    return None if any(items is None or not len(items) for items in found.values()) else found


def items_of_corpus(content: Bytes, name: str, source: SourceSpec, columns: Sequence[ColumnSpec]) -> Table | Items:
    """What a text or bytes consist of. Raises BmcError."""
    column = corpus_of(content, name, "bytes" if source.kind == "bytes" else source.items or "lines")
    for spec in columns:
        if spec.dtype != column.dtype or spec.cell or spec.nullable:
            raise BmcError(data_errors.wrong_type(spec, name, "bytes" if source.kind == "bytes" else "text"))
    found = {spec.name: column for spec in columns}
    if source.window is not None:
        return Items(name, found, len(column))
    rows = len(column)
    return Table(found, rows, Origin(((name, rows),), np.arange(rows, dtype=np.int64)))


def table_of(raw: RawTable, name: str) -> Table:
    """Rows of a file, of which none is bad, as a table."""
    columns = {key: converted.column for key, converted in raw.columns.items()}
    return Table(columns, raw.rows, Origin(((name, raw.rows),), np.arange(raw.rows, dtype=np.int64)))
