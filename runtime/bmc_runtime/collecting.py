"""Tables from rows that come block by block: in memory while they are few, else in a work file.

In: blocks of rows with the same columns. Out: `Table`s. Guaranteed: a table has the same cells, rows and origins whether it lies
in memory or in a file, and however its rows were cut into blocks; above a limit what is held in memory is a block, not the rows
before it.

Rows are parsed once: what an epoch reads again and again are arrays, as native code wants them, from memory or from the system's
cache of the file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bmc_runtime.memory import DTYPES, Array
from bmc_runtime.table import Column, Indices, Origin, Table, join_columns
from bmc_runtime.workfile import DiskArray, DiskBytes, WorkFile, mapped_under, work_folder

__all__ = ["IN_MEMORY", "Collector", "Files", "Workspace"]

IN_MEMORY = 256 << 20
"""How many bytes of rows are held in memory before they move to a file."""

_DENSE_SHARE = 2
"""Texts are copied with what lies between them where they are at least one byte in so many."""


class Workspace:
    """Where the tables of one run collect their rows. They move to the work file together, when they exceed `limit` in sum.
    `file`: there once they have moved."""

    def __init__(self, limit: int = IN_MEMORY, folder: str | None = None) -> None:
        self._limit, self._folder = limit, folder
        self._collectors: list[Collector] = []
        self._held = 0
        self._known: set[int] = set()
        self.file: WorkFile | None = None

    def collector(self) -> Collector:
        """A new table, empty so far."""
        made = Collector(self)
        self._collectors.append(made)
        return made

    def took(self, parts: Sequence[Column]) -> None:
        """Count columns that a collector holds in memory. OSError: the work file cannot be made or written."""
        if self.file is not None:
            return
        for column in parts:
            self._held += column.data.nbytes + (0 if column.valid is None else column.valid.nbytes)
            for buffer in column.keep:
                place = buffer.ctypes.data
                if place not in self._known and mapped_under(buffer) is None:
                    self._known.add(place)
                    self._held += buffer.nbytes
        if self._held > self._limit:
            self.file = WorkFile(self._folder if self._folder is not None else work_folder())
            for collector in self._collectors:
                collector.spill(self.file)
            self._known.clear()


@dataclass
class Files:
    """The files that rows come from, in the order of reading: what gives each row its number over all of them."""

    names: list[str] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    _before: int = 0

    def ids(self, file: str, first_row: int, rows: int) -> Indices:
        """The numbers of a block's rows. A file that begins again is another one."""
        if not self.names or self.names[-1] != file or first_row < self.rows[-1]:
            self._before += self.rows[-1] if self.rows else 0
            self.names.append(file)
            self.rows.append(0)
        self.rows[-1] = first_row + rows
        return np.arange(self._before + first_row, self._before + first_row + rows, dtype=np.int64)

    def all(self) -> tuple[tuple[str, int], ...]:
        """Each file with its number of rows."""
        return tuple(zip(self.names, self.rows, strict=True))


class Collector:
    """One table in the making."""

    def __init__(self, space: Workspace) -> None:
        self._space = space
        self._parts: dict[str, list[Column]] = {}
        self._ids: list[Indices] = []
        self._notes: list[str] = []
        self._disk: dict[str, _DiskColumn] = {}
        self._disk_ids: DiskArray | None = None
        self.rows = 0

    def append(self, table: Table, ids: Indices) -> None:
        """Add rows; `ids`: their numbers over all files. ValueError: their columns are not those of the rows before. OSError: the
        work file cannot be written."""
        self._notes.extend(table.notes)
        if self._disk_ids is None and self._space.file is not None:
            self.spill(self._space.file)
        self.rows += table.rows
        if self._space.file is not None:
            self._write(table.columns, ids, self._space.file)
            return
        for name, column in table.columns.items():
            self._parts.setdefault(name, []).append(column)
        self._ids.append(ids)
        self._space.took(list(table.columns.values()))

    def spill(self, file: WorkFile) -> None:
        """Move what is held to the work file; what is appended later goes there at once."""
        self._disk_ids = DiskArray(file)
        parts, blocks = self._parts, self._ids
        self._parts, self._ids = {}, []
        while blocks:  # the memory of a block goes as its rows are written
            self._write({name: held.pop(0) for name, held in parts.items()}, blocks.pop(0), file)

    def _write(self, columns: Mapping[str, Column], ids: Indices, file: WorkFile) -> None:
        for name, column in columns.items():
            if name not in self._disk:
                self._disk[name] = _DiskColumn(column, file)
            self._disk[name].append(column)
        if self._disk_ids is not None:
            self._disk_ids.append(ids)

    def finish(self, files: Sequence[tuple[str, int]]) -> Table:
        """The table; `files`: all that rows were read from, with their numbers of rows. The collector is empty afterwards."""
        columns: dict[str, Column] = {}
        if self._disk_ids is not None:
            columns = {name: made.finish() for name, made in self._disk.items()}
            ids: Indices = self._disk_ids.finish().view(np.int64)
        else:
            for name in list(self._parts):
                columns[name] = join_columns(name, self._parts.pop(name))  # column by column, so that only one is there twice
            ids = self._ids[0] if len(self._ids) == 1 else np.concatenate([np.zeros(0, np.int64), *self._ids])
        notes, rows = tuple(self._notes), self.rows
        self._disk, self._disk_ids, self._ids, self._notes, self.rows = {}, None, [], [], 0
        return Table(columns, rows, Origin(tuple(files), ids), notes)


class _DiskColumn:
    """A column that grows in a work file. `pattern`: its first rows."""

    def __init__(self, pattern: Column, file: WorkFile) -> None:
        self._pattern = pattern
        self._file = file
        self._data = DiskArray(file)
        self._valid: DiskArray | None = None
        self._present: _DiskColumn | None = None
        self._content = DiskBytes(file)
        self._rows = 0
        self._points = pattern.runs is not None or pattern.dtype == "str"
        # Windows lie over buffers that are there whole: a map of a file, or items that were sorted in memory.
        self._stays = pattern.runs is not None and pattern.runs.size is not None
        self._keep: dict[int, NDArray[Any]] = {}

    def append(self, column: Column) -> None:
        if column.layout != self._pattern.layout:
            raise ValueError("rows of one table must have the same columns")
        data = column.data
        if self._stays:
            self._keep.update({buffer.ctypes.data: buffer for buffer in column.keep})
        elif self._points:
            data = self._moved(column)
        if column.valid is not None and self._valid is None:
            self._valid = DiskArray(self._file)
            self._valid.append(np.ones(self._rows, np.bool_))
        if self._valid is not None:
            self._valid.append(np.ones(len(column), np.bool_) if column.valid is None else column.valid)
        self._data.append(data)
        self._rows += len(column)
        if column.runs is not None and column.runs.present is not None:
            self._present = self._present or _DiskColumn(column.runs.present, self._file)
            self._present.append(column.runs.present)

    def _moved(self, column: Column) -> Array:
        """The cells of texts or runs, pointing to copies in the work file."""
        cells = np.array(column.data).reshape(-1)
        width = column.step_bytes if column.runs is not None else 1
        starts: Indices = cells["address"]  # type: ignore[call-overload]
        lengths: Indices = cells["length"] * width  # type: ignore[call-overload]
        buffers = sorted((b for b in column.keep if b.nbytes), key=lambda b: b.ctypes.data)
        if not buffers:
            return cells
        owners = np.searchsorted([b.ctypes.data for b in buffers], starts, side="right") - 1
        for number, buffer in enumerate(buffers):
            mine = np.flatnonzero((owners == number) & (lengths > 0))
            if not len(mine):
                continue
            base = buffer.ctypes.data
            if mapped_under(buffer) is not None:  # in a file already
                self._keep[base] = buffer
                continue
            content = buffer.reshape(-1).view(np.uint8)
            first, last = int(starts[mine].min()) - base, int((starts[mine] + lengths[mine]).max()) - base
            if last - first <= _DENSE_SHARE * int(lengths[mine].sum()):
                place = self._content.append(content[first:last])
                starts[mine] += place - base - first
            else:
                place = self._content.append(_slices(content, starts[mine] - base, lengths[mine]))
                starts[mine] = place + np.cumsum(lengths[mine]) - lengths[mine]
        starts[lengths == 0] = 0  # nobody reads there, and what they pointed to goes
        return cells

    def finish(self) -> Column:
        pattern, runs = self._pattern, self._pattern.runs
        dtype = DTYPES[pattern.dtype] if runs is None else DTYPES["str"]
        data = self._data.finish().view(dtype).reshape(self._rows, *pattern.data.shape[1:])
        valid = None if self._valid is None else self._valid.finish().view(np.bool_)
        if runs is not None and self._present is not None:
            runs = replace(runs, present=self._present.finish())
        return Column(pattern.dtype, data, valid, (*self._content.finish(), *self._keep.values()), pattern.kind, runs)


def _slices(content: NDArray[np.uint8], starts: Indices, lengths: Indices) -> NDArray[np.uint8]:
    """Pieces of a buffer, one after the other."""
    begins = np.cumsum(lengths) - lengths
    found: NDArray[np.uint8] = content[np.arange(int(lengths.sum()), dtype=np.int64) + np.repeat(starts - begins, lengths)]
    return found
