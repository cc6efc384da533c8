"""Training steps: rows gathered, micro-batches accumulated, weights updated, all in native calls.

In: the functions `batch` (gather) and `train`, the training split's arrays, the settings of a run, perhaps a pool of workers. Out:
`Stepper.step(first, ...)`, one update. Python's part of a step does not grow with the model: a fixed number of calls for
each micro-batch and shard.

Accumulation: the steps up to the last sum over shards run for every micro-batch; their totals are added in ascending order, and the
steps after it (the update) run once on what was added.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bmc_runtime.ahead import Ahead
from bmc_runtime.binding import Addition, Binding, BoundFunction, Library
from bmc_runtime.feeding import Loader
from bmc_runtime.memory import Array, address_of, allocate
from bmc_runtime.messages import Command
from bmc_runtime.order import WINDOW, FixedOrder, Order
from bmc_runtime.plan import FunctionPlan, evaluate_dim
from bmc_runtime.pool import WorkerPool, at_stage, partials_of
from bmc_runtime.sharing import SharedBlock
from bmc_runtime.split import Split
from bmc_runtime.table import Indices

__all__ = ["MOST_LAID_OUT", "Sizes", "Stepper", "dims_of_all", "held_order", "shared_inputs"]

BATCH, TRAIN = "batch", "train"


Sizes = tuple[tuple[str, int], ...]
"""Run-time dims that differ from batch to batch."""

MOST_LAID_OUT = 64
"""Batches of how many different sizes are kept laid out."""

_HELD_WINDOWS = 4


def held_order(rows: int, per_step: int) -> int:
    """How many rows of an epoch's order are held at a time."""
    return min(rows, max(_HELD_WINDOWS * WINDOW, 2 * per_step))


def dims_of_all(dims: Mapping[str, int]) -> dict[str, int]:
    """The run-time dims of the whole split, by the names that the function `batch` has for them."""
    return {f"{symbol}_all": size for symbol, size in dims.items()}


def shared_inputs(plan: FunctionPlan, shared: Mapping[str, Array], rows: int, dims: Mapping[str, int]) -> dict[str, Array]:
    """What the main process computes for a batch of so many rows, at the beginning of memory that is shared for the largest."""
    found: dict[str, Array] = {}
    known = {**dims, plan.row or "B": rows}
    for buffer in plan.buffers:
        if buffer.kind == "input" and buffer.key in shared:
            shape = tuple(evaluate_dim(d, known) for d in buffer.shape)
            found[buffer.key] = shared[buffer.key].reshape(-1)[: math.prod(shape)].reshape(shape)
    return found


@dataclass
class _Micro:
    """One micro-batch size: where its rows go, and the step on them."""

    rows: int
    gather: Binding | Loader | Ahead
    train: Binding
    into: list[Addition]
    loss: Array


class Stepper:
    """`split`: that of training. `dims`: run-time dims other than the row dim.

    `batch` rows are processed at a time, `accumulate` times, before an update. Where rows are padded in buckets, `dims` has the
    most; a batch is padded to its longest row.
    """

    def __init__(
        self,
        library: Library,
        store: Mapping[str, Array],
        split: Split,
        dims: Mapping[str, int],
        batch: int,
        accumulate: int,
        shards: int,
        seed: int,
        steps: int,
        pool: WorkerPool | None = None,
        block: SharedBlock | None = None,
    ) -> None:
        self._library = library
        self._train = BoundFunction(library, TRAIN, store, shards)
        self._gather = BoundFunction(library, BATCH, store)
        self._data, self._feed = split.data, split.feed
        self._dims = dict(dims)
        self._batch, self._accumulate = batch, accumulate
        self._seed, self._steps = seed, steps
        self._pool = pool
        self._rows = split.rows
        self._per_step = batch * accumulate
        held = held_order(split.rows, self._per_step)
        self._held: Indices = np.zeros(held, np.int64) if block is None else block.array("order")  # type: ignore[assignment]
        self._held_address = address_of(self._held)
        self._first = self._stop = 0
        self._order: Order = FixedOrder(np.zeros(0, np.int64))
        self._plain = pool is None and accumulate == 1
        self._partials = {} if block is None else partials_of(block)
        self._once = None if block is None else block.array("once")
        self._inputs = None if block is None else block.arrays("input/")
        self._buckets = split.buckets
        self._ahead: Ahead | None = None
        if self._feed is not None and self._feed.steady and pool is None and self._buckets is None:
            self._ahead = Ahead(self._feed, batch)
        self._micros: dict[tuple[int, Sizes], _Micro] = {}
        self._sums: dict[str, Array] = {}
        # Stages up to and with the last sum repeat for each micro-batch; without a sum there is one stage and no accumulation.
        kinds = [step.kind for step in self._train.plan.steps]
        self._before = len(kinds) - kinds[::-1].index("sum") if "sum" in kinds else len(kinds)
        if accumulate > 1 and "sum" not in kinds:
            raise ValueError("a program compiled for one shard cannot accumulate")

    @property
    def rows_per_step(self) -> int:
        return self._per_step

    def close(self) -> None:
        """End what computes batches ahead."""
        if self._ahead is not None:
            self._ahead.close()

    def set_factor(self, factor: float) -> None:
        """The factor that `plateau` puts on the learning rate from now on."""
        self._factor = factor
        for micro in self._micros.values():
            micro.train.set_factor(factor)

    _factor = 1.0

    def begin_epoch(self, order: Order) -> None:
        """The rows of the split in the order in which the next steps take them."""
        self._order, self._first, self._stop = order, 0, 0

    def _hold(self, first: int, rows: int) -> int:
        """Where the rows at `first` of the epoch's order lie in what is held of it."""
        if first < self._first or first + rows > self._stop:
            if self._ahead is not None:
                self._ahead.begin(self._held[:0])  # nobody reads what changes now
            self._first, self._stop = first, min(first + len(self._held), self._rows)
            part = self._order.between(self._first, self._stop)
            self._held[: len(part)] = part
            if self._feed is not None:
                self._feed.expect(part)
            if self._ahead is not None:
                self._ahead.begin(self._held[: len(part)])
        return first - self._first

    def step(self, first: int, step: int, epoch: int) -> float:
        """One update from the `rows_per_step` rows at `first` of the epoch's order (fewer at its end); gives the loss.

        NotFinite: the loss was not finite; no weight changed. WorkerLost: a worker is gone, and the step is to be repeated.
        """
        left = self._rows - first
        rows = self._per_step if left > self._per_step else left
        first = self._hold(first, rows)
        sizes = self._sizes(first, rows)
        known = self._micros.get((rows, sizes))
        if known is not None and self._plain:
            # What stands in this branch is all that a step of a small model costs beside native code.
            gather = known.gather
            if isinstance(gather, Binding):
                gather.point("index", self._held_address + first * 8)
                gather.run()
            elif isinstance(gather, Ahead):
                for key, address in gather.at(first):
                    known.train.point(key, address)
            else:
                gather.load(self._chosen(first, rows), self._seed, step, 0, self._steps, epoch, rows)
            known.train.set_control(self._seed, step, 0, self._steps, epoch, rows)
            known.train.run()
            return float(known.loss)
        if self._accumulate == 1:
            micro = self._micro(rows, sizes)
            self._begin(micro, Command(0, 1, first, rows, 0, rows, step, epoch, self._factor), self._before)
            micro.train.run(self._before)
            return float(micro.train.outputs["loss"])
        for array in self._sums.values():
            ctypes.memset(address_of(array), 0, array.nbytes)
        for done in range(0, rows, self._batch):
            count = min(self._batch, rows - done)
            micro = self._micro(count, sizes)
            self._begin(micro, Command(0, 1, first + done, count, done, rows, step, epoch, self._factor), self._before)
            for add, left, right, cells in micro.into:
                add(left, right, cells)
        micro.train.run(self._before)
        return float(micro.train.outputs["loss"])

    def _begin(self, micro: _Micro, command: Command, last: int) -> None:
        """Gather the rows and run the stages before `last`: those of each shard, and the sums over shards."""
        control = (self._seed, command.step, command.first_row, self._steps, command.epoch, command.all_rows)
        if isinstance(micro.gather, Binding):
            micro.gather.point("index", self._held_address + command.start * 8)
            micro.gather.run()
        elif isinstance(micro.gather, Ahead):
            for key, address in micro.gather.at(command.start):
                micro.train.point(key, address)
        else:
            micro.gather.load(self._chosen(command.start, command.rows), *control)
        micro.train.set_control(*control)
        if self._pool is None:
            micro.train.run(0, last)
            return
        gather = True  # the first stage may be one that runs once, such as the making of a constant
        for stage, planned in enumerate(self._train.plan.steps[:last]):
            if planned.kind == "native" and planned.per_shard:
                self._pool.stage(micro.train, at_stage(command, stage, gather))
                gather = False
            else:
                micro.train.run(stage, stage + 1)

    def _chosen(self, first: int, rows: int) -> Indices:
        """The rows of the split that stand at place `first` of what is held of the order."""
        return self._held[first : first + rows]

    def _sizes(self, first: int, rows: int) -> Sizes:
        """The run-time dims of the effective batch at place `first`: where rows are padded in buckets, those of its longest row."""
        return () if self._buckets is None else tuple(self._buckets.dims(self._chosen(first, rows)).items())

    def _micro(self, rows: int, sizes: Sizes) -> _Micro:
        found = self._micros.get((rows, sizes))
        if found is None:
            if len(self._micros) >= MOST_LAID_OUT:
                self._micros.clear()
            found = self._micros[rows, sizes] = self._lay_out(rows, sizes)
        return found

    def _gathering(self, rows: int, dims: Mapping[str, int]) -> Binding | Loader | Ahead:
        if self._ahead is not None:
            return self._ahead
        if self._feed is not None:
            return self._feed.loader(rows, shared_inputs(self._train.plan, self._inputs or {}, rows, dims), dims)
        row, plan = self._train.plan.row or "B", self._gather.plan
        sources = {f"{key}.all": array for key, array in self._data.items()}
        known = {**dims_of_all(self._dims), **dims, row: rows, "N": self._rows}
        return self._gather.bind({name: known[name] for name in {*plan.dims, row}}, sources)

    def _lay_out(self, rows: int, sizes: Sizes) -> _Micro:
        row = self._train.plan.row or "B"
        dims = {**self._dims, **dict(sizes)}
        gather = self._gathering(rows, dims)
        made = gather.outputs
        if isinstance(gather, Ahead):
            rowed = {b.key for b in self._train.plan.buffers if b.kind == "input" and b.rows}
            made = {key: array[:rows] if key in rowed else array for key, array in made.items()}
        inputs = {**self._data, **made}  # outputs of the data block without rows are there as they are
        train_dims = {name: {**dims, row: rows}[name] for name in {*self._train.plan.dims, row}}
        if self._accumulate == 1:
            train = self._train.bind(train_dims, inputs, None, self._partials, once=self._once)
            train.set_factor(self._factor)
            return _Micro(rows, gather, train, [], train.outputs["loss"])
        if not self._sums:
            # What the update reads is added up over the micro-batches, whichever sum it comes from.
            read = {index for step in self._train.plan.steps[self._before :] for index in step.arguments}
            for index in sorted(read):
                buffer = self._train.plan.buffers[index]
                if buffer.kind == "total":
                    self._sums[buffer.key] = allocate(buffer.dtype, tuple(int(d) for d in buffer.shape))
        train = self._train.bind(train_dims, inputs, self._sums, self._partials, once=self._once)
        train.set_factor(self._factor)
        additions = self._library.additions
        kinds = {buffer.key: buffer.dtype for buffer in self._train.plan.buffers if buffer.kind == "total"}
        into: list[Addition] = [
            (additions[kinds[key]], address_of(array), address_of(train.totals[key]), array.size)
            for key, array in self._sums.items()
        ]
        return _Micro(rows, gather, train, into, train.outputs["loss"])
