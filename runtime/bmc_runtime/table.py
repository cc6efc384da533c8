"""Rows in memory, column by column, as native code reads them.

In: arrays, Python values, or Arrow's offsets and bytes. Out: `Column` and `Table`, immutable. Guaranteed: a column's data is
row-major `[N, *cell]` of its dtype; cells that are missing hold zero (empty text), so that equal tables have equal bits; text
stays where it is, `keep` holds the buffers that it points into; each row knows the file and the row that it came from.

Cells of several steps that are not copied into `data`, because their number differs from row to row (ragged) or because cells
overlap (windows), are runs: `data` then holds 16 bytes a cell, address and number of steps, as for text.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bmc_runtime.memory import DTYPES, Array
from bmc_runtime.workfile import Mapped, mapped_under

__all__ = [
    "Bytes", "Column", "Indices", "Origin", "RowInput", "Runs", "Table", "Valid", "concat_tables", "join_columns", "ragged_column",
    "text_column", "text_from_offsets",
]  # fmt: skip

Bytes = NDArray[np.uint8]
Valid = NDArray[np.bool_]
Indices = NDArray[np.int64]

_COUNTED_AT_ONCE = 1 << 20

_TEXT = DTYPES["str"]
_RUN = DTYPES["str"]
"""A run is as a text is: an address, and how many there are."""


@dataclass(frozen=True)
class Runs:
    """Cells of a column that are runs of steps: `step` is the shape of one. `size`: how many steps every cell has (windows), or
    None where each has its own number (ragged). `present`: of windows, whether each cell of each is there, windows themselves."""

    step: tuple[int, ...] = ()
    size: int | None = None
    present: Column | None = None


@dataclass(frozen=True, eq=False)
class Column:
    """`data` is `[N, *cell]`; `valid` is `[N]`, and None where no cell can be missing. A `str` column's data are views
    (address, length) of texts that lie in the buffers `keep`, each within one of them. `kind`: what the integers of a column that
    leaves the program are counts of: "date", days since 1970-01-01; "timestamp", microseconds since then; else "plain".
    With `runs`, data `[N]` are (address, number of steps) of row-major steps `dtype[*runs.step]` that lie in `keep`."""

    dtype: str
    data: Array
    valid: Valid | None = None
    keep: tuple[NDArray[Any], ...] = ()
    kind: str = "plain"
    runs: Runs | None = None

    def __post_init__(self) -> None:
        if self.data.dtype != (DTYPES[self.dtype] if self.runs is None else _RUN):
            raise ValueError(f"a column of {self.dtype} cannot hold {self.data.dtype}")
        if self.data.ndim < 1 or (self.runs is not None and self.data.ndim > 1):
            raise ValueError("a column has at least the row axis, and one of runs no other")
        if self.valid is not None and (self.valid.shape != self.data.shape[:1] or self.valid.dtype != np.bool_):
            raise ValueError(f"valid is {self.valid.dtype}{list(self.valid.shape)}, the column has {len(self.data)} rows")

    def __len__(self) -> int:
        return len(self.data)

    @property
    def cell(self) -> tuple[int, ...]:
        """The shape of a cell; of a ragged column, that of the longest."""
        if self.runs is None:
            return self.data.shape[1:]
        return self.longest, *self.runs.step

    @property
    def layout(self) -> tuple[Any, ...]:
        """What columns must agree in to be joined."""
        if self.runs is None:
            return self.dtype, self.cell
        return self.dtype, "runs", self.runs.step, self.runs.size

    @property
    def steps(self) -> Indices:
        """`[N]`: how many steps each run has."""
        return self.data["length"] if self.runs is not None else np.zeros(len(self), np.int64)  # type: ignore[call-overload]

    @property
    def longest(self) -> int:
        """The number of steps of the longest run."""
        if self.runs is not None and self.runs.size is not None:
            return self.runs.size
        return int(self.steps.max(initial=0))

    @property
    def step_bytes(self) -> int:
        """Bytes of one step of a run."""
        step = self.runs.step if self.runs is not None else ()
        return int(np.prod(step, dtype=np.int64)) * DTYPES[self.dtype].itemsize

    def take(self, rows: Indices | Valid) -> Column:
        """The rows of these numbers, or those where a mask holds."""
        numbers = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        return self._picked(numbers, self.data.take(numbers, axis=0))

    def between(self, start: int, stop: int) -> Column:
        """Rows [start, stop) as views."""
        return self._picked(slice(start, stop), self.data[start:stop])

    def _picked(self, rows: Indices | Valid | slice, data: Array) -> Column:
        valid, runs = None if self.valid is None else self.valid[rows], self.runs
        if runs is not None and runs.present is not None:
            runs = replace(runs, present=runs.present._picked(rows, np.ascontiguousarray(runs.present.data[rows])))
        return Column(self.dtype, data, valid, self.keep, self.kind, runs)

    def dense(self, steps: int | None = None) -> Array:
        """`[N, *cell]`: runs one after the other, each padded with zeros to `steps` (by default the longest's)."""
        if self.runs is None:
            return self.data
        width = self.longest if steps is None else steps
        made = np.zeros((len(self), width, *self.runs.step), DTYPES[self.dtype])
        size, row_bytes, base = self.step_bytes, width * self.step_bytes, made.ctypes.data
        addresses, counts = self.data["address"].tolist(), self.data["length"].tolist()  # type: ignore[call-overload]
        for row, (address, count) in enumerate(zip(addresses, counts, strict=True)):
            ctypes.memmove(base + row * row_bytes, address, min(count, width) * size)
        return made

    def times(self) -> Array:
        """Days or microseconds as numpy has them: `datetime64`."""
        return self.data.astype(np.int64).view("M8[D]" if self.kind == "date" else "M8[us]")

    def to_python(self) -> list[Any]:
        """Python values: bool, int, float, str, date, datetime, nested lists of cells; None where missing."""
        if self.runs is not None:
            whole = Column(self.dtype, self.dense(), self.valid, self.keep, self.kind).to_python()
            counts = self.steps.tolist()
            return [None if value is None else value[:count] for value, count in zip(whole, counts, strict=True)]
        cells = _texts(self.data.reshape(-1)) if self.dtype == "str" else None
        if cells is None:
            values = (self.data if self.kind == "plain" else self.times()).tolist()
        else:
            holder = np.empty(len(cells), object)
            holder[:] = cells
            values = holder.reshape(self.data.shape).tolist()
        if self.valid is None:
            return list(values)
        return [value if ok else None for value, ok in zip(values, self.valid.tolist(), strict=True)]


@dataclass(frozen=True, eq=False)
class Origin:
    """Where rows come from. `files` are (name, number of rows) in the order of reading; `ids` `[N]` numbers rows over all files
    before any filter: together a row's identity."""

    files: tuple[tuple[str, int], ...]
    ids: Indices

    def locate(self, row: int) -> tuple[str, int]:
        """The file of row `row`, and its number there, from 0."""
        left = int(self.ids[row])
        for name, rows in self.files:
            if left < rows:
                return name, left
            left -= rows
        raise IndexError(f"row {row} is beyond the files that were read")

    def counts(self) -> tuple[int, ...]:
        """How many of these rows come from each file."""
        if len(self.files) == 1:
            return (len(self.ids),)
        ends = np.cumsum([rows for _, rows in self.files], dtype=np.int64)
        found, mapped = np.zeros(len(self.files), np.int64), mapped_under(self.ids)
        for start in range(0, len(self.ids), _COUNTED_AT_ONCE):
            part = self.ids[start : start + _COUNTED_AT_ONCE]
            found += np.bincount(np.searchsorted(ends, part, side="right"), minlength=len(self.files))
            if isinstance(mapped, Mapped):
                mapped.forget()
        return tuple(found.tolist())


@dataclass(frozen=True, eq=False)
class Table:
    """Columns by name, `rows` each. `notes`: what a user should be told of how the rows were made."""

    columns: Mapping[str, Column]
    rows: int
    origin: Origin = field(default_factory=lambda: Origin((), np.zeros(0, np.int64)))
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, column in self.columns.items():
            if len(column) != self.rows:
                raise ValueError(f"column {name!r} has {len(column)} rows, the table {self.rows}")
        if len(self.origin.ids) != self.rows:
            if self.origin.files:
                raise ValueError(f"the origin of {len(self.origin.ids)} rows cannot be that of {self.rows}")
            object.__setattr__(self, "origin", Origin((("", self.rows),), np.arange(self.rows, dtype=np.int64)))

    def take(self, rows: Indices | Valid) -> Table:
        """The rows of these numbers in this order, or those where a mask holds."""
        numbers = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows  # once for all columns
        ids = self.origin.ids[numbers]
        columns = {name: column.take(numbers) for name, column in self.columns.items()}
        return Table(columns, len(ids), Origin(self.origin.files, ids))

    def between(self, start: int, stop: int) -> Table:
        """Rows [start, stop) as views."""
        start, stop, _ = slice(start, stop).indices(self.rows)
        ids = self.origin.ids[start:stop]
        columns = {name: column.between(start, stop) for name, column in self.columns.items()}
        return Table(columns, len(ids), Origin(self.origin.files, ids))

    def select(self, names: Iterable[str]) -> Table:
        """Only these columns, in this order. KeyError when there is no such column."""
        return Table({name: self.columns[name] for name in names}, self.rows, self.origin)

    def inputs(self, *, spread: bool = True) -> dict[str, RowInput]:
        """What functions of rows read: the data of each column by its name, and of nullable ones the mask `NAME.valid`. Columns of
        runs come as they are, ragged ones with the numbers of their steps, `NAME.length`. Without `spread` nothing is made that has
        a cell for each row: masks are those of rows, numbers of steps i64 as they lie in the column."""
        found: dict[str, RowInput] = {}
        for name, column in self.columns.items():
            found[name] = column.data if column.runs is None else column
            if column.valid is not None:
                found[f"{name}.valid"] = _spread(column.valid, column.data) if spread and column.runs is None else column.valid
            if column.runs is not None and column.runs.present is not None:
                found[f"{name}.valid"] = column.runs.present
            if column.runs is not None and column.runs.size is None:
                found[f"{name}.length"] = column.steps.astype(np.int32) if spread else column.steps
        return found


RowInput = Array | Column
"""What a function of rows reads by one key: an array of all rows, or a column of runs."""


def text_column(values: Sequence[str | bytes | None], nullable: bool | None = None) -> Column:
    """A `str` column of these texts. None is a missing cell; `nullable` None: the column has a mask if any is missing."""
    encoded = [b"" if v is None else v.encode("utf-8") if isinstance(v, str) else v for v in values]
    buffer = np.frombuffer(b"".join(encoded), np.uint8)
    offsets = np.zeros(len(encoded) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, encoded), np.int64, len(encoded)), out=offsets[1:])
    missing = any(v is None for v in values)
    if missing and nullable is False:
        raise ValueError("a text is missing in a column that is not nullable")
    valid = np.fromiter((v is not None for v in values), np.bool_, len(values)) if missing or nullable else None
    return text_from_offsets(offsets, buffer, valid)


def _spread(valid: Valid, data: NDArray[Any]) -> Valid:
    """The mask of whole cells, for each number of a cell: what programs read."""
    return np.ascontiguousarray(np.broadcast_to(valid.reshape(-1, *(1,) * (data.ndim - 1)), data.shape))


def text_from_offsets(offsets: NDArray[np.integer[Any]], buffer: Bytes, valid: Valid | None = None) -> Column:
    """A `str` column whose text i is `buffer[offsets[i]:offsets[i + 1]]`, as Arrow has it. Missing cells become empty.
    ValueError when the offsets leave the buffer."""
    starts = offsets.astype(np.int64)
    lengths = np.diff(starts)
    if len(starts) < 1 or bool((lengths < 0).any()) or int(starts[0]) < 0 or int(starts[-1]) > len(buffer):
        raise ValueError("offsets of texts must ascend within their buffer")
    data = np.empty(len(lengths), _TEXT)
    data["address"] = starts[:-1] + buffer.ctypes.data
    data["length"] = lengths
    if valid is not None:
        data["address"][~valid] = buffer.ctypes.data
        data["length"][~valid] = 0
    return Column("str", data, valid, (buffer,))


def ragged_column(
    dtype: str, values: Array, counts: Indices, valid: Valid | None = None, kind: str = "plain"
) -> Column:
    """A ragged column whose cell i is `counts[i]` steps, one after the other in `values` `[sum of counts, *step]`. Missing cells
    have no steps. ValueError when the counts are not those of the values."""
    if counts.sum(dtype=np.int64) != len(values) or bool((counts < 0).any()):
        raise ValueError(f"{len(values)} steps cannot be cut into runs of {counts.sum(dtype=np.int64)}")
    whole = np.ascontiguousarray(values, DTYPES[dtype])
    step = whole.shape[1:]
    width = int(np.prod(step, dtype=np.int64)) * DTYPES[dtype].itemsize
    data = np.empty(len(counts), _RUN)
    data["length"] = counts
    data["address"] = whole.ctypes.data + (np.cumsum(counts, dtype=np.int64) - counts) * width
    if valid is not None:
        data["length"][~valid] = 0
    return Column(dtype, data, valid, (whole,), kind, Runs(step))


def concat_tables(tables: Sequence[Table]) -> Table:
    """The rows of all, one table after the other. They must have the same columns. ValueError otherwise."""
    if not tables:
        raise ValueError("no table to concatenate")
    if len(tables) == 1:
        return tables[0]
    first = tables[0]
    columns = {name: join_columns(name, [table.columns[name] for table in tables]) for name in first.columns}
    files = tuple(file for table in tables for file in table.origin.files)
    ids, before = [], 0
    for table in tables:
        ids.append(table.origin.ids + before)
        before += sum(rows for _, rows in table.origin.files)
    notes = tuple(note for table in tables for note in table.notes)
    return Table(columns, sum(table.rows for table in tables), Origin(files, np.concatenate(ids)), notes)


def join_columns(name: str, parts: Sequence[Column]) -> Column:
    """The rows of all parts of column `name`, one part after the other. ValueError: they are of different kinds."""
    if any(part.layout != parts[0].layout for part in parts):
        raise ValueError(f"column {name!r} differs between tables")
    return parts[0] if len(parts) == 1 else _joined(parts)


def _joined(parts: Sequence[Column]) -> Column:
    first = parts[0]
    valid, runs = None, first.runs
    if any(p.valid is not None for p in parts):
        valid = np.concatenate([np.ones(len(p), np.bool_) if p.valid is None else p.valid for p in parts])
    if runs is not None and runs.present is not None:
        runs = replace(runs, present=_joined([p.runs.present for p in parts if p.runs is not None and p.runs.present is not None]))
    keep = tuple({id(buffer): buffer for p in parts for buffer in p.keep}.values())
    return Column(first.dtype, np.concatenate([p.data for p in parts]), valid, keep, first.kind, runs)


def _texts(cells: Array) -> list[str]:
    addresses, lengths = cells["address"].tolist(), cells["length"].tolist()  # type: ignore[call-overload]
    return [ctypes.string_at(a, n).decode("utf-8", "replace") if n else "" for a, n in zip(addresses, lengths, strict=True)]
