"""Batches from raw rows: the data block's outputs computed for the rows at hand, batch by batch, and never for a whole split.

In: a table, whose columns may be windows over files of any size; the functions `data` and perhaps `augment`, which is `data` with
its random sites at work. Out: `Feed`, whose batches are the inputs of a training step, an evaluation. Guaranteed: the same rows
give the same bits as `data` run over the whole table; random sites draw by seed, step and row, as those of the model do.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from bmc_runtime.binding import Binding, BoundFunction
from bmc_runtime.memory import DTYPES, Array, address_of, allocate
from bmc_runtime.order import BLOCK, WINDOW
from bmc_runtime.plan import Buffer, evaluate_dim
from bmc_runtime.table import Column, Indices, RowInput, Table
from bmc_runtime.workfile import Mapped, mapped_under

__all__ = ["Feed", "Forgetting", "Loader", "OutsideBound"]

_FORGET_BYTES = 1 << 26
"""After how many bytes of windows the pages of mapped files are given back: the system keeps them, the process does not."""

_SCATTERED_BYTES = 1 << 28
"""How much of work files rows that stand far apart may bring into memory: the system maps 16 pages around each."""

_PAGES_AROUND = 16 * mmap.PAGESIZE


class OutsideBound(ValueError):
    """An integer of the output `name` is not below its bound, in row `row` of `table`."""

    def __init__(self, name: str, value: int, row: int, table: Table) -> None:
        super().__init__(f"{name!r} is {value} in row {row}")
        self.name, self.value, self.row, self.table = name, value, row, table


class Loader:
    """Fills the outputs of a fixed number of rows. `outputs` are its arrays, the same for every batch. `scratch`: for one that runs
    in a thread of its own."""

    def __init__(
        self,
        function: BoundFunction,
        table: Table,
        rows: int,
        outputs: Mapping[str, Array] | None,
        below: Mapping[str, int],
        dims: Mapping[str, int],
        scratch: Array | None = None,
    ) -> None:
        self._library, self._table, self._forget = function.library, table, Forgetting(table)
        plan, inputs = function.plan, table.inputs(spread=False)
        self._below = [(b.key, below[b.key]) for b in plan.buffers if b.kind == "output" and b.rows and b.key in below]
        wanted = {b.key: b for b in plan.buffers if b.kind == "input"}
        dims = {**{name: dims[name] for name in plan.dims if name in dims}, plan.row or "B": rows}
        buffers = {key: allocate(b.dtype, tuple(evaluate_dim(d, dims) for d in b.shape)) for key, b in wanted.items()}
        self._binding: Binding = function.bind(dims, buffers, outputs=outputs)
        if scratch is not None:
            self._scratch, self._binding.scratch = scratch, address_of(scratch)
        self._runs: list[tuple[Column, Array]] = []
        self._others: list[tuple[Array, Array]] = []
        plain: list[tuple[Array, Array]] = []
        for key, buffer in buffers.items():
            value = inputs[key]
            if isinstance(value, Column):
                self._runs.append((value, buffer))
            elif value.shape[1:] == buffer.shape[1:] and value.dtype == buffer.dtype and value.flags.c_contiguous:
                plain.append((value, buffer))
            else:
                self._others.append((value, buffer))
        self._keep = plain  # what the addresses below belong to
        cells = [(address_of(s), address_of(t), t.nbytes // max(len(t), 1)) for s, t in plain]
        self._columns = np.array(cells, np.int64).reshape(-1, 3)
        self._columns_address = address_of(self._columns)
        self._bytes = sum(target.nbytes for _, target in (*plain, *self._runs))
        self.outputs: dict[str, Array] = self._binding.outputs

    def load(self, rows: Indices, seed: int, step: int, first_row: int, steps: int, epoch: int, all_rows: int) -> None:
        """Compute the outputs of these rows of the table. OutsideBound: an integer is not below its bound."""
        self._library.gather_rows(self._columns_address, len(self._columns), rows.ctypes.data, len(rows))
        for source, target in self._others:
            target[...] = source[rows].reshape(-1, *source.shape[1:], *(1,) * (target.ndim - source.ndim))
        for column, target in self._runs:
            self._library.copy_runs(target, column.data[rows], column.step_bytes)
        self._forget.after_rows(len(rows), self._bytes)
        self._binding.set_control(seed, step, first_row, steps, epoch, all_rows)
        self._binding.run()
        for name, bound in self._below:
            values: NDArray[np.integer] = self.outputs[name]  # type: ignore[assignment]
            if values.size and (int(values.min()) < 0 or int(values.max()) >= bound):
                wrong = (values < 0) | (values >= bound)
                place = int(np.flatnonzero(wrong.reshape(len(values), -1).any(axis=1))[0])
                raise OutsideBound(name, int(values[place][wrong[place]].flat[0]), int(rows[place]), self._table)


class Feed:
    """`plain` is the function `data`; `augmented` is `augment`, None where training changes nothing. `below`: exclusive bounds of
    outputs that are integers. `dims`: run-time dims that no column fixes: the most of outputs padded in buckets, which are as wide
    unless it is said how wide some rows are."""

    def __init__(
        self,
        plain: BoundFunction,
        augmented: BoundFunction | None,
        table: Table,
        below: Mapping[str, int],
        dims: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        self.table, self.rows = table, table.rows
        self._plain, self._augmented = plain, augmented
        wanted = {b.key: b for b in plain.plan.buffers if b.kind == "input"}
        self._below, self._dims = below, {**dims, **_longest(wanted, table.inputs(spread=False))}
        self._loaders: dict[int, Loader] = {}

    @property
    def keys(self) -> tuple[str, ...]:
        """The data outputs that it makes."""
        return self._plain.keys("output")

    def types(self, rows: int) -> dict[str, tuple[str, tuple[int, ...]]]:
        """dtype and shape of each output for a batch of so many rows."""
        plan = self._plain.plan
        dims = {**self._dims, plan.row or "B": rows}
        return {b.key: (b.dtype, tuple(evaluate_dim(d, dims) for d in b.shape)) for b in plan.buffers if b.kind == "output"}

    @property
    def steady(self) -> bool:
        """Whether a row's outputs are the same in every step."""
        return self._augmented is None

    @property
    def rowed(self) -> tuple[str, ...]:
        """The outputs that have rows."""
        return tuple(dict.fromkeys(b.key for b in self._plain.plan.buffers if b.kind == "output" and b.rows))

    @property
    def row_bytes(self) -> int:
        """How many bytes the outputs of a row take."""
        types = self.types(1)
        return sum(math.prod(types[key][1]) * DTYPES[types[key][0]].itemsize for key in self.rowed)

    def loader(
        self,
        rows: int,
        outputs: Mapping[str, Array] | None = None,
        dims: Mapping[str, int] = MappingProxyType({}),
        scratch: Array | None = None,
    ) -> Loader:
        """For training steps of so many rows. `outputs`: where they go, if these arrays exist already. `dims`: how wide these rows
        are, where rows are padded in buckets."""
        return Loader(self._augmented or self._plain, self.table, rows, outputs, self._below, {**self._dims, **dims}, scratch)

    def expect(self, rows: Indices) -> None:
        """Let the system fetch rows from the disk that training reads next, where the table lies there."""
        blocks = np.unique(rows // BLOCK)
        columns = self.table.columns.values()
        for array in (*(c.data for c in columns), *(c.valid for c in columns if c.valid is not None)):
            mapped = mapped_under(array)
            if isinstance(mapped, Mapped):
                start, width = array.ctypes.data - mapped.address, array.nbytes // max(len(array), 1)
                mapped.scattered()
                for block in blocks.tolist():
                    mapped.want(start + block * BLOCK * width, start + (block + 1) * BLOCK * width)

    def between(self, first: int, stop: int) -> dict[str, Array]:
        """The outputs of rows [first, stop) as evaluation reads them, in arrays that the next call overwrites."""
        count = stop - first
        if count not in self._loaders:
            if len(self._loaders) > 1:
                self._loaders.clear()
            self._loaders[count] = Loader(self._plain, self.table, count, None, self._below, self._dims)
        loader = self._loaders[count]
        loader.load(np.arange(first, stop, dtype=np.int64), 0, 0, first, 0, 0, self.rows)
        return loader.outputs

    def of_size(self, rows: Indices, dims: Mapping[str, int]) -> dict[str, Array]:
        """The outputs of some rows that are so wide, as evaluation reads them."""
        loader = Loader(self._plain, self.table, len(rows), None, self._below, {**self._dims, **dims})
        loader.load(rows, 0, 0, 0, 0, 0, self.rows)
        return loader.outputs

    def chosen(self, rows: Indices, seed: int, step: int, steps: int, epoch: int) -> dict[str, Array]:
        """The outputs of a training step's rows."""
        loader = self.loader(len(rows))
        loader.load(rows, seed, step, 0, steps, epoch, len(rows))
        return loader.outputs

    def whole(self, names: Sequence[str], chunk: int = 1024) -> dict[str, Array]:
        """Some outputs of all rows, as evaluation reads them."""
        made: dict[str, Array] = {}
        for first in range(0, self.rows, chunk):
            stop = min(first + chunk, self.rows)
            part = self.between(first, stop)
            for name in names:
                if name not in made:
                    made[name] = np.zeros((self.rows, *part[name].shape[1:]), part[name].dtype)
                made[name][first:stop] = part[name]
        return made


def _longest(buffers: Mapping[str, Buffer], inputs: Mapping[str, RowInput]) -> dict[str, int]:
    """The run-time dims of ragged columns: as long as the longest row of the table."""
    found: dict[str, int] = {}
    for key, buffer in buffers.items():
        value = inputs[key]
        if isinstance(value, Column) and isinstance(buffer.shape[1], str):
            found[buffer.shape[1]] = max(found.get(buffer.shape[1], 0), value.longest)
    return found


class Forgetting:
    """Gives back pages of the files that a table's columns are mapped from, once so many bytes were read."""

    def __init__(self, table: Table) -> None:
        found: dict[int, Mapped | mmap.mmap] = {}
        for column in table.columns.values():
            for array in (column.data, *(() if column.valid is None else (column.valid,)), *column.keep):
                mapped = mapped_under(array)
                if mapped is not None:
                    found[id(mapped)] = mapped
        self._maps = list(found.values())
        scattered = sum(isinstance(mapped, Mapped) for mapped in self._maps)
        # An epoch's order goes through windows, whose first rows touch all of their blocks already: rows between two times touch
        # one window more than they fill.
        windows = _SCATTERED_BYTES // (max(scattered, 1) * _PAGES_AROUND * (WINDOW // BLOCK)) - 1
        self._most_rows = max(1, windows) * WINDOW if scattered else 0
        self._read = self._rows = 0

    def after(self, count: int) -> None:
        """So many bytes were read, side by side."""
        self._read += count
        if self._read >= _FORGET_BYTES:
            self._forget()

    def after_rows(self, rows: int, count: int) -> None:
        """So many rows were read in an epoch's order, of so many bytes."""
        self._rows += rows
        if 0 < self._most_rows <= self._rows:
            self._forget()
        else:
            self.after(count)

    def _forget(self) -> None:
        self._read = self._rows = 0
        for mapped in self._maps:
            if isinstance(mapped, Mapped):
                mapped.forget()
            else:
                mapped.madvise(mmap.MADV_DONTNEED)
