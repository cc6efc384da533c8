"""Rows that are windows over consecutive items.

In: a table of items, a `WindowSpec`. Out: a table whose rows are windows, each column `[size, *cell]`. Guaranteed: no item is
copied for being in several windows: a window is 16 bytes, address and length, over the buffer of the items.

Without `by` and `order` the items of each file are windowed as they stand, and no window spans two files. With them the items of
all files are sorted, first by the first place at which the values of `by` occur, then by `order`, equal ones as they stand; the
items of one value of `by` are a series. A series of n items has `(n - size) // stride + 1` windows, none if it is shorter than one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from bmc.frontend.unit import WindowSpec
from bmc.record import record
from bmc_runtime.hashing import hash_rows
from bmc_runtime.memory import DTYPES
from bmc_runtime.table import Column, Indices, Origin, Runs, Table, concat_tables

__all__ = ["Items", "Windows", "windows_of"]


@record(frozen=True, eq=False)
class Items:
    """The items of one file: what windows are cut from. They have no rows of their own."""

    name: str
    columns: Mapping[str, Column]
    count: int


@record(frozen=True, eq=False)
class Windows:
    """`short`: how many of `series` series are shorter than a window."""

    table: Table
    series: int
    short: int


def windows_of(files: Sequence[Items], spec: WindowSpec) -> Windows:
    """The windows over the items of some files."""
    if not spec.by and not spec.order:
        found = [_cut(file.columns, np.array([0, file.count], np.int64), spec, file.name) for file in files]
        return Windows(concat_tables(found), len(files), sum(1 for file in files if file.count < spec.size))
    items = concat_tables([Table(file.columns, file.count) for file in files])
    places, bounds = _sorted(items, spec)
    # Windows of sorted items belong to no file alone: all files count as one.
    title = files[0].name if len(files) == 1 else f"{files[0].name} and {len(files) - 1} more"
    sizes = np.diff(bounds)
    return Windows(_cut(items.take(places).columns, bounds, spec, title), len(sizes), int((sizes < spec.size).sum()))


def _sorted(items: Table, spec: WindowSpec) -> tuple[Indices, Indices]:
    """The order of the items, and where each series begins and ends in it."""
    keys: list[NDArray[np.generic]] = []
    if spec.order:
        keys.append(items.columns[spec.order].data)
    series = np.zeros(items.rows, np.int64)
    if spec.by:
        hashes = hash_rows({name: items.columns[name] for name in spec.by}, 0)
        _, first, series = np.unique(hashes, return_index=True, return_inverse=True)
        series = np.argsort(np.argsort(first, kind="stable"), kind="stable")[series]  # numbered by first occurrence
        keys.append(series)
    places = np.lexsort(keys)
    bounds = np.concatenate([[0], np.flatnonzero(np.diff(series[places])) + 1, [items.rows]])
    return places.astype(np.int64), bounds.astype(np.int64)


def _cut(columns: Mapping[str, Column], bounds: Indices, spec: WindowSpec, title: str) -> Table:
    """Windows within each [bounds[i], bounds[i + 1])."""
    counts = np.maximum((np.diff(bounds) - spec.size) // spec.stride + 1, 0)
    before = np.cumsum(counts) - counts
    rows = int(counts.sum())
    starts = np.repeat(bounds[:-1] - before * spec.stride, counts) + np.arange(rows, dtype=np.int64) * spec.stride
    found = {name: _windows(column, starts, spec.size) for name, column in columns.items()}
    return Table(found, rows, Origin(((title, rows),), np.arange(rows, dtype=np.int64)))


def _windows(column: Column, starts: Indices, size: int) -> Column:
    present = None
    if column.valid is not None:
        present = _windows(Column("bool", column.valid), starts, size)
    cells = np.empty(len(starts), DTYPES["str"])
    data = column.data
    cells["address"] = data.ctypes.data + starts * (data.itemsize * int(np.prod(data.shape[1:], dtype=np.int64)))
    cells["length"] = size
    return Column(column.dtype, cells, None, (data, *column.keep), column.kind, Runs(column.cell, size, present))
