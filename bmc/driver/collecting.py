"""From blocks of rows to one table for each split: `where`, `distinct` and the split decided block by block.

In: a data block's specification, blocks in the order of reading, the compiled function `where`. Out: a table for each split,
`train` first, in memory or in a work file. Guaranteed: which rows a split has, and their order, do not depend on how rows were cut
into blocks.

A split by order needs the number of all rows: its tables are ranges of one that has them all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np

from bmc.data import MOST_ROWS, Block
from bmc.driver import run_errors
from bmc.driver.preparing import Libraries, steps_of_columns
from bmc.errors import BmcError
from bmc.frontend.unit import DataSpec, SplitSpec
from bmc_runtime.binding import BoundFunction
from bmc_runtime.collecting import Collector, Files, Workspace
from bmc_runtime.mapping import map_rows
from bmc_runtime.memory import Array
from bmc_runtime.splits import Assignment, FirstSeen, apart, by_column, by_fold, by_hash, by_order, by_time, shares
from bmc_runtime.table import Indices, Table, Valid
from bmc_runtime.workfile import work_folder

__all__ = ["RowFilter", "collect", "joined", "kept_rows"]


class RowFilter:
    """Which rows `where` and `distinct` keep, of blocks that come one after the other."""

    def __init__(self, data: DataSpec, libraries: Libraries, store: Mapping[str, Array]) -> None:
        self._data = data
        self._where = BoundFunction(libraries("where"), "where", store) if data.where else None
        self._seen = FirstSeen(libraries("data").hash_rows) if data.distinct is not None else None
        self._names = data.distinct or tuple(column.name for column in data.columns)

    def keep(self, table: Table) -> Valid | None:
        """The mask of the rows that stay; None: all do."""
        kept: Valid | None = None
        if self._where is not None:
            found = map_rows(self._where, table.inputs(), table.rows, steps_of_columns(self._data, table))["where"]
            kept = found.astype(np.bool_)
        if self._seen is not None:
            candidates = table if kept is None else table.take(kept)
            first = self._seen.among({name: candidates.columns[name] for name in self._names})
            if kept is None:
                return first
            kept[kept] = first
        return kept


def kept_rows(data: DataSpec, table: Table, libraries: Libraries, store: Mapping[str, Array]) -> Table:
    """The rows of a table that `where` and `distinct` keep."""
    kept = RowFilter(data, libraries, store).keep(table)
    return table if kept is None else table.take(kept)


def collect(
    data: DataSpec, blocks: Iterable[Block], libraries: Libraries, store: Mapping[str, Array], space: Workspace
) -> dict[str, Table]:
    """The tables of each split, by name, `train` first. Raises BmcError: the work file cannot be made or written."""
    spec = data.split
    by_source = spec.method == "sources"
    filters: dict[str | None, RowFilter] = {}
    files: dict[str | None, Files] = {}
    made: dict[str, Collector] = {}
    assign = _assignment(spec, data, libraries)

    def append(name: str, table: Table, ids: Indices) -> None:
        if name not in made:
            made[name] = space.collector()
        with _on_disk():
            made[name].append(table, ids)

    for block in blocks:
        if block.split not in filters:
            filters[block.split] = RowFilter(data, libraries, store)
        came_from = files.setdefault(block.split if by_source else None, Files())
        ids = came_from.ids(block.file, block.first_row, block.table.rows)
        if by_source and block.split not in spec.names:
            continue
        table, kept = block.table, filters[block.split].keep(block.table)
        if kept is not None:
            table, ids = _chosen(table, ids, kept)
        if by_source or assign is None:
            append(str(block.split) if by_source else spec.names[0], table, ids)
            continue
        assigned = assign(table)
        for number, name in enumerate(spec.names):
            append(name, *_chosen(table, ids, assigned == number))
    with _on_disk():
        tables = {
            name: made[name].finish(files[name if by_source else None].all()) for name in dict.fromkeys(spec.names) if name in made
        }
    if spec.method == "order" and tables:
        return _in_order(spec, tables[spec.names[0]])
    return tables


def joined(tables: Sequence[Table], space: Workspace) -> Table:
    """The rows of all tables, one table after the other. Raises BmcError: the work file cannot be made or written."""
    files: list[tuple[str, int]] = []
    collector, before = space.collector(), 0
    with _on_disk():
        for table in tables:
            for start in range(0, max(table.rows, 1), MOST_ROWS):
                part = table.between(start, start + MOST_ROWS)
                collector.append(part, part.origin.ids + before)
            files += table.origin.files
            before += sum(rows for _, rows in table.origin.files)
        return collector.finish(files)


def _chosen(table: Table, ids: Indices, mask: Valid) -> tuple[Table, Indices]:
    if mask.all():
        return table, ids
    numbers = np.flatnonzero(mask)
    columns = {name: column.take(numbers) for name, column in table.columns.items()}
    chosen = ids[numbers]
    return Table(columns, len(chosen), notes=table.notes), chosen


def _assignment(spec: SplitSpec, data: DataSpec, libraries: Libraries) -> Callable[[Table], Assignment] | None:
    """What gives the rows of a block their splits, from their cells alone; None where cells have no say."""
    if spec.method in ("none", "sources", "order"):
        return None
    if spec.method == "column":
        return lambda table: by_column(table.columns[spec.key[0]], spec.values)
    if spec.method == "time":
        return lambda table: by_time(table.columns[spec.key[0]], spec.boundaries)
    hashed = libraries("data").hash_rows
    names = spec.key or tuple(column.name for column in data.columns)
    if spec.method == "hash":
        return lambda table: by_hash({name: table.columns[name] for name in names}, spec.fractions, spec.seed, hashed)
    return lambda table: by_fold({name: table.columns[name] for name in names}, *spec.folds, spec.fractions, spec.seed, hashed)


def _in_order(spec: SplitSpec, table: Table) -> dict[str, Table]:
    """The ranges of a table that splits by order are; of windows without those that reach into the range before."""
    if any(column.runs is not None and column.runs.size is not None for column in table.columns.values()):
        assigned = apart(by_order(table.rows, spec.fractions), table)
        return {name: table.take(assigned == i) for i, name in enumerate(spec.names)}
    ends = [0, *shares(spec.fractions, table.rows)]
    return {name: table.between(ends[i], ends[i + 1]) for i, name in enumerate(spec.names)}


@contextmanager
def _on_disk() -> Iterator[None]:
    """What the system says of the work file as an error of the user's."""
    try:
        yield
    except OSError as error:
        raise BmcError(run_errors.no_work_file(work_folder(), error.strerror or str(error))) from None
