"""Passes over the rows of a table: what fitting runs for all columns at once.

In: functions that keep rows apart but for reducers of the host, a table. Out: what their reducers found. Guaranteed: a pass takes
the memory of one block of rows, however many the table has; reducers see every row once a pass, and what they find does not
depend on the blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from bmc_runtime.binding import Binding, BoundFunction
from bmc_runtime.feeding import Forgetting
from bmc_runtime.mapping import steps_of, within_arena
from bmc_runtime.memory import Array, address_of, allocate
from bmc_runtime.plan import Buffer, evaluate_dim
from bmc_runtime.reducers.distinct import Distinctness
from bmc_runtime.reducers.running import REDUCERS, Reductions
from bmc_runtime.table import Bytes, Column, RowInput, Table

__all__ = ["BLOCK_ROWS", "RowPass", "pass_rows"]

BLOCK_ROWS = 1 << 16
"""Rows that pass at a time: a column of them fits the second level of a processor's cache, and calls cost little beside them."""

_BLOCK_BYTES = 1 << 23
"""About how much of a column passes at a time: wide cells pass in shorter blocks."""

_DENSE_BYTES = 1 << 24
"""About how much of a column of runs is made dense at a time."""

_MOST_BINDINGS = 8


class RowPass:
    """One function whose reducers rows pass by. `given`: its inputs that have no rows. `dims`: run-time dims that hold for all
    blocks; those of ragged columns follow from each block unless a result has them. `tables`: what is known of the cells of
    each table, by key, once there are results."""

    def __init__(self, function: BoundFunction, given: Mapping[str, Array], dims: Mapping[str, int]) -> None:
        self.function = function
        self.given = given
        self.dims = dims
        plan = function.plan
        self.reductions = Reductions(plan, function.library.kernels)
        self.tables: dict[str, Distinctness] = {}
        self._wanted = {b.key: b for b in plan.buffers if b.kind == "input" and b.key not in given}
        self._made = {b.key: b for b in plan.buffers if b.kind == "output"}
        self._bindings: dict[tuple[tuple[str, int], ...], Binding] = {}

    def add(self, inputs: Mapping[str, RowInput], rows: int) -> None:
        """A block of rows: all that the function reads of it, by key."""
        plan = self.function.plan
        ragged = steps_of({k: b for k, b in self._wanted.items() if isinstance(inputs[k], Column)}, inputs)
        held = {name: size for name, size in self.dims.items() if name not in ragged or self._in_results(name)}
        sizes = {**ragged, **held, plan.row or "B": rows}
        known = tuple(sorted(sizes.items()))
        if known not in self._bindings:
            if len(self._bindings) >= _MOST_BINDINGS:
                self._bindings.clear()
            self._bindings[known] = self._bound(inputs, sizes)
        binding = self._bindings[known]
        for key in self._wanted:
            value = inputs[key]
            if isinstance(value, Column):
                self.function.library.fill(binding.inputs[key], value)
            else:
                binding.inputs[key] = value
                binding.point(key, address_of(value))
        binding.set_control(0, 0, 0, 0, 0, rows)
        binding.run()

    def _bound(self, inputs: Mapping[str, RowInput], sizes: Mapping[str, int]) -> Binding:
        read: dict[str, Array] = dict(self.given)
        for key, buffer in self._wanted.items():
            value = inputs[key]
            read[key] = allocate(buffer.dtype, _shape(buffer, sizes)) if isinstance(value, Column) else value
        binding = self.function.bind(sizes, read, reductions=self.reductions)
        # What only reducers of the host read has no place in the tables of native calls.
        binding.inputs.update({key: read[key] for key in self._wanted})
        return binding

    def _in_results(self, symbol: str) -> bool:
        return any(repr(symbol) in repr(buffer.shape) for buffer in self._made.values())

    def rows_at_once(self, dims: Mapping[str, int], longest: Mapping[str, int], most: int) -> int:
        """How many rows may pass at a time. `longest`: bytes of the longest run of each column of runs."""
        widest = max((longest.get(key, 0) for key in self._wanted), default=0)
        return within_arena(self.function.plan, dims, max(1, min(most, _DENSE_BYTES // max(widest, 1))))

    def results(self) -> dict[str, Array]:
        """What the reducers found, by key, once all rows have passed. Fitted values among it are in the store."""
        plan, found = self.function.plan, {key: allocate(b.dtype, _shape(b, self.dims)) for key, b in self._made.items()}
        for position, step in self.reductions.steps.items():
            made = [plan.buffers[i] for i in step.arguments[REDUCERS[step.symbol].inputs :]]
            outputs = [found[b.key] if b.kind == "output" else self.function.store[b.key] for b in made]
            known = self.reductions.distinctness(position)
            if known is not None:
                self.tables[made[0].key] = known
            self.reductions.finish(position, outputs)
        return found

    @property
    def keep(self) -> list[Bytes]:
        return self.reductions.keep


def pass_rows(
    passes: Sequence[RowPass],
    table: Table,
    dims: Mapping[str, int],
    progress: Callable[[int], None] | None = None,
    block: int | None = None,
) -> None:
    """Let all rows of a table pass by the reducers of all `passes`, as often as one of them has something to learn. `progress` is
    told how many rows have passed, again and again. `block`: rows at a time, BLOCK_ROWS if not given."""
    widest = max((column.data.nbytes // max(table.rows, 1) for column in table.columns.values()), default=0)
    longest = {name: column.longest * column.step_bytes for name, column in table.columns.items() if column.runs is not None}
    forgetting = Forgetting(table)
    left = list(passes)
    while left:
        most = min(BLOCK_ROWS if block is None else block, max(table.rows, 1))
        most = max(1, min(most, _BLOCK_BYTES // max(widest, 1)))
        size = min(one.rows_at_once({**dims, **one.dims, one.function.plan.row or "B": most}, longest, most) for one in left)
        for first in range(0, table.rows, size):
            part = table.between(first, first + size)
            inputs = part.inputs()
            for one in left:
                one.add(inputs, part.rows)
            forgetting.after(sum(array.nbytes for array in inputs.values() if not isinstance(array, Column)))
            if progress is not None:
                progress(part.rows)
        left = [one for one in left if one.reductions.pass_over()]


def _shape(buffer: Buffer, dims: Mapping[str, int]) -> tuple[int, ...]:
    return tuple(evaluate_dim(d, dims) for d in buffer.shape)
