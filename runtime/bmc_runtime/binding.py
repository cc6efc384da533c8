"""A function of a program, bound to memory: everything that a call needs is laid out before the first call.

In: a `FunctionPlan`, loaded code, the store of persistent arrays. Out: a `Binding` for given dims (those of the whole batch, of
the last smaller one): arenas are sized, every address stands in a call table, and running a step is a few native calls through
cached function pointers. Guaranteed: running allocates nothing.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from bmc_runtime.hashing import Hasher, hash_rows
from bmc_runtime.memory import DTYPES, SCRATCH_BYTES, Array, address_of, aligned_bytes, allocate
from bmc_runtime.plan import Buffer, FunctionPlan, Program, Step, evaluate_dim
from bmc_runtime.reducers.kernels import NativeKernels, symbols_of
from bmc_runtime.reducers.running import REDUCERS, Reductions, RowBlocks, run_reducer
from bmc_runtime.row_hashes import HASH_ROWS, NativeHasher, hashes_rows
from bmc_runtime.shards import shard_bounds, tree_pairs
from bmc_runtime.table import Column

__all__ = ["Addition", "BeyondLimit", "Binding", "BoundFunction", "Call", "Library", "Loaded", "Loader", "NotFinite"]


class Loaded(Protocol):
    """Native code in this process."""

    def address(self, symbol: str) -> int: ...


Loader = Callable[[bytes, Sequence[str]], Loaded]
"""`loader(object code, symbols)`: the JIT's, or one that opens a shared library."""

_ENTRY = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)


class BeyondLimit(ValueError):
    """A run-time dim is larger, or smaller, than a slice of the function allows. `text`: the demand; `dims`: what they are."""

    def __init__(self, text: str, dims: Mapping[str, int]) -> None:
        super().__init__(f"{text}, with {' and '.join(f'{name} = {size}' for name, size in sorted(dims.items()))}")
        self.text, self.dims = text, dict(dims)


class NotFinite(ArithmeticError):
    """A guarded value (the loss) was NaN or infinite; nothing was updated."""


_ADD = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)

ADDITIONS = {dtype: f"bmc_add_{dtype}" for dtype in ("i32", "i64", "f32", "f64")}
"""Symbols of every program: `void(left*, right*, i64 count)`, left += right."""


COPY_RUNS = "bmc_copy_runs"
"""Symbol of every program: `void(target*, runs*, i64 rows, i64 row bytes, i64 step bytes)`: each run (address, steps) to the next
row of the target, the rest of the row zero."""

_COPY = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)


GATHER_ROWS = "bmc_gather_rows"
"""Symbol of every program: `void(columns*, i64 columns, index*, i64 rows)`: cell `index[i]` of each column to place i of its
batch; a column is (address of its cells, address of the batch's, bytes of a cell)."""

_GATHER = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64)


class Library:
    """A program's native steps as callables, and the scratch block that they share."""

    def __init__(self, program: Program, loader: Loader) -> None:
        self.program = program
        symbols = [s.symbol for f in program.functions.values() for s in f.steps if s.kind == "native"]
        reducing = symbols_of(s for f in program.functions.values() for s in f.steps)
        hashing = [HASH_ROWS] if hashes_rows(program.functions) else []
        self._loaded = loader(program.object_code, [*symbols, *ADDITIONS.values(), COPY_RUNS, GATHER_ROWS, *reducing, *hashing])
        self.additions = {dtype: _ADD(self._loaded.address(symbol)) for dtype, symbol in ADDITIONS.items()}
        self.entries = {symbol: _ENTRY(self._loaded.address(symbol)) for symbol in symbols}
        self._copy_runs = _COPY(self._loaded.address(COPY_RUNS))
        self.gather_rows = _GATHER(self._loaded.address(GATHER_ROWS))
        self.hash_rows: Hasher = NativeHasher(self._loaded.address) if hashing else hash_rows
        self.kernels = NativeKernels(reducing, self._loaded.address)
        self.scratch = aligned_bytes(SCRATCH_BYTES)

    def fill(self, target: Array, column: Column) -> None:
        """Make a column of runs dense: `target` is `[N, steps, *step]`, longer runs are cut off. ValueError: another shape."""
        if column.runs is None or target.shape[:1] != column.data.shape or target.shape[2:] != column.runs.step:
            raise ValueError(f"runs of {column.dtype} do not fit {target.dtype}{list(target.shape)}")
        self.copy_runs(target, column.data, column.step_bytes)

    def copy_runs(self, target: Array, runs: Array, step_bytes: int) -> None:
        """The same for runs as they lie in memory, `[N]`; nothing is checked."""
        if target.size:
            row_bytes = target.nbytes // len(target)
            self._copy_runs(address_of(target), address_of(runs), len(runs), row_bytes, step_bytes)


Call = tuple[Callable[[int, int, int], int], int, int]
"""A native step ready to go: entry, address of its table, address of its dims."""

Addition = tuple[Callable[[int, int, int], None], int, int, int]
"""left += right: function, address of left, of right, number of cells."""


@dataclass
class Binding:
    """A function laid out for certain dims. `inputs` and `outputs` are the arrays that calls read and write; `stages`
    alternate calls and the additions that follow them; `totals` are the sums over shards by key. `sizes`: of each call the
    run-time dims, in the order of `names`. `keep` and `library` hold what tables and calls know by address only.
    """

    dims: dict[str, int]
    bounds: list[tuple[int, int]]
    stages: list[tuple[list[Call], list[Addition]]]
    inputs: dict[str, Array]
    outputs: dict[str, Array]
    controls: list[dict[str, Array]]
    totals: dict[str, Array]
    scratch: int
    tables: list[Array]
    names: tuple[str, ...]
    sizes: list[Array]
    slots: dict[tuple[str, str], list[tuple[Array, int, int]]]
    keep: list[Array]
    library: Library

    def set_control(self, seed: int, step: int, first_row: int, steps: int, epoch: int, rows: int) -> None:
        """Fill `control` of every shard; the first row moves on from shard to shard."""
        for (start, _), arrays in zip(self.bounds, self.controls, strict=True):
            control = arrays.get("control")
            if control is not None:
                control[:6] = (seed, step, first_row + start, steps, epoch, rows)

    def set_factor(self, factor: float) -> None:
        """Fill the plateau factor of `control_f`."""
        for arrays in self.controls:
            if "control_f" in arrays:
                arrays["control_f"][0] = factor

    def set_dim(self, name: str, value: int) -> None:
        """Run with another value of a dim, no greater than that for which the binding was laid out, so that all fits where it lies.
        Not for the dim of rows, nor for one that an array of the caller has anywhere but in front. Nothing happens if the
        function has no such dim."""
        if name not in self.names:
            return
        if value > self.dims[name]:
            raise ValueError(f"the binding is laid out for {name} = {self.dims[name]}, not {value}")
        for sizes in self.sizes:
            sizes[self.names.index(name)] = value

    def point(self, key: str, address: int) -> None:
        """Let the input `key` lie at `address` from now on, instead of in the binding's own array."""
        self._point("input", key, address)

    def point_output(self, key: str, address: int) -> None:
        """The same for an output; inputs and outputs may have equal keys."""
        self._point("output", key, address)

    def _point(self, kind: str, key: str, address: int) -> None:
        for table, index, offset in self.slots.get((kind, key), ()):
            table[index] = address + offset

    def run_shards(self, stage: int, shards: range) -> None:
        """Run a per-shard stage on some of the shards, without the additions."""
        calls, _ = self.stages[stage]
        for shard in shards:
            entry, table, dims = calls[shard]
            if entry(table, dims, self.scratch):
                raise NotFinite

    def run(self, first: int = 0, last: int | None = None) -> None:
        """Run stages [first, last). NotFinite: a guard failed, and what follows it did not run."""
        scratch = self.scratch
        for calls, additions in self.stages[first:last]:
            for entry, table, dims in calls:
                if entry(table, dims, scratch):
                    raise NotFinite
            for add, left, right, count in additions:
                add(left, right, count)


class BoundFunction:
    """Binds one function of a program.

    `store` maps keys to the arrays of weights, states, moments and fitted values; updates happen in place. `shards`: the
    rows of a call are cut into that many shards, whose partial sums are added in a fixed tree. `keep`: buffers that texts
    in the store point into once a host reducer has run.
    """

    def __init__(self, library: Library, name: str, store: Mapping[str, Array], shards: int = 1) -> None:
        self.library = library
        self.plan: FunctionPlan = library.program.functions[name]
        self.store = store
        self.shards = shards
        self.keep: list[Array] = []

    def keys(self, kind: str) -> tuple[str, ...]:
        """Keys of the buffers of one kind, in order."""
        return tuple(dict.fromkeys(b.key for b in self.plan.buffers if b.kind == kind))

    def bind(
        self,
        dims: Mapping[str, int],
        inputs: Mapping[str, Array] | None = None,
        totals: Mapping[str, Array] | None = None,
        partials: Mapping[tuple[str, int], Array] | None = None,
        outputs: Mapping[str, Array] | None = None,
        once: Array | None = None,
        runs: Mapping[str, Column] | None = None,
        reductions: Reductions | None = None,
    ) -> Binding:
        """Lay the function out for these dims (the row dim among them).

        `inputs`, `outputs`: arrays by key that exist already; others are made. `totals`: where steps after the last sum
        read the sums over shards from, instead of from this binding's own. `partials`: the shards' partial sums by key
        and shard, where they exist already. `once`: bytes for what steps that run once leave for later steps, where another
        process runs either. `runs`: columns for inputs that only reducers of the host read. `reductions`: what reducers of the
        host add the rows of each run to; their results are then not there after a run, but when all rows have passed.
        ValueError: an array does not fit.
        """
        given = {"input": inputs or {}, "output": outputs or {}}
        return _Layout(self, dict(dims), given, totals or {}, partials or {}, once, runs or {}, reductions).binding


@dataclass(frozen=True)
class _DenseBlocks:
    """`RowBlocks` of a column of runs."""

    library: Library
    column: Column
    dtype: str
    shape: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.column)

    def __getitem__(self, rows: slice) -> Array:
        start, stop, _ = rows.indices(len(self))
        made = allocate(self.dtype, (stop - start, *self.shape[1:]))
        self.library.fill(made, self.column.between(start, stop))
        return made


class _Layout:
    def __init__(
        self,
        function: BoundFunction,
        dims: dict[str, int],
        given: Mapping[str, Mapping[str, Array]],
        totals: Mapping[str, Array],
        partials: Mapping[tuple[str, int], Array],
        once: Array | None,
        runs: Mapping[str, Column],
        reductions: Reductions | None,
    ) -> None:
        self.function, self.plan, self.dims, self.runs, self.reductions = function, function.plan, dims, runs, reductions
        self.given, self.given_totals, self.given_partials = given, totals, partials
        plan = self.plan
        for limit in plan.limits:
            if evaluate_dim(limit.left, dims) > evaluate_dim(limit.right, dims):
                raise BeyondLimit(limit.text, {name: size for name, size in dims.items() if name != plan.row})
        bounds = [(0, 0)]
        if plan.row is not None:
            bounds = shard_bounds(dims[plan.row], function.shards)
        self.shard_dims = [{**dims, plan.row: stop - start} if plan.row else dims for start, stop in bounds]
        scratch = function.library.scratch
        self.binding = Binding(
            dims,
            bounds,
            [],
            {},
            {},
            [{} for _ in bounds],
            {},
            address_of(scratch),
            [],
            plan.dims,
            [],
            {},
            [scratch],
            function.library,
        )
        size = evaluate_dim(plan.once_arena, dims)
        if once is not None and len(once) < size:
            raise ValueError(f"the arena of {plan.name!r} is {len(once)} bytes, the program wants {size}")
        self.once_arena = aligned_bytes(size) if once is None else once
        # With one per-shard step nothing outlives it in the arena: all shards may take turns in one.
        sizes = [evaluate_dim(plan.shard_arena, d) for d in self.shard_dims]
        if sum(1 for s in plan.steps if s.kind == "native" and s.per_shard) > 1:
            self.arenas = [aligned_bytes(size) for size in sizes]
        else:
            self.arenas = [aligned_bytes(max(sizes))] * len(bounds)
        self.binding.keep.extend([self.once_arena, *self.arenas])
        self.whole: dict[int, Array] = {}
        self.local: dict[tuple[int, int], Array] = {}
        self._steps()
        # Tables hold addresses only: the binding must hold the arrays.
        self.binding.keep.extend([*self.whole.values(), *self.local.values()])

    def _steps(self) -> None:
        plan, binding = self.plan, self.binding
        last_sum = max((i for i, s in enumerate(plan.steps) if s.kind == "sum"), default=-1)
        for position, step in enumerate(plan.steps):
            if step.kind == "native":
                calls = []
                for shard in range(len(binding.bounds)) if step.per_shard else (0,):
                    calls.append(self._call(step, shard, after_sums=position > last_sum))
                binding.stages.append((calls, []))
            elif step.kind == "sum":
                additions: list[Addition] = []
                for source, target in zip(step.arguments[::2], step.arguments[1::2], strict=True):
                    additions.extend(self._additions(source, target))
                binding.stages.append(([], additions))
            else:
                binding.stages.append(([(self._host(position, step), 0, 0)], []))

    def _call(self, step: Step, shard: int, after_sums: bool) -> Call:
        plan, binding = self.plan, self.binding
        table = np.zeros(max(len(step.arguments), 1), np.int64)
        for position, index in enumerate(step.arguments):
            buffer = plan.buffers[index]
            table[position], offset = self._address(index, shard, step.per_shard, after_sums)
            if buffer.kind in ("input", "output"):
                binding.slots.setdefault((buffer.kind, buffer.key), []).append((table, position, offset))
        bound = self.shard_dims[shard] if step.per_shard else self.dims
        sizes = np.array([bound[name] for name in plan.dims] or [0], np.int64)
        binding.sizes.append(sizes)
        binding.tables.append(table)
        return self.function.library.entries[step.symbol], address_of(table), address_of(sizes)

    def _host(self, position: int, step: Step) -> Callable[[int, int, int], int]:
        """A reducer of the host as a call like a native one. Its outputs are the last of its arguments."""
        types = [(dtype, tuple(evaluate_dim(d, self.dims) for d in shape)) for dtype, shape in step.attributes["types"]]
        count = REDUCERS[step.symbol].inputs
        places = list(zip(step.arguments, types, strict=True))
        if self.reductions is not None:
            return self._passing(position, places[:count], self.reductions)
        inputs = [self._rows(index, *kind) for index, kind in places[:count]]
        outputs = [self._array(index, *kind) for index, kind in places[count:]]

        def call(_table: int, _dims: int, _scratch: int) -> int:
            self.function.keep.extend(run_reducer(step.symbol, inputs, outputs, step.attributes, self.function.library.kernels))
            return 0

        return call

    def _passing(
        self, position: int, places: Sequence[tuple[int, tuple[str, tuple[int, ...]]]], reductions: Reductions
    ) -> Callable[[int, int, int], int]:
        """A reducer that rows pass by: each call adds those that lie in the binding's inputs."""
        buffers, known = self.plan.buffers, self.binding.inputs
        laid_out = {index: self._array(index, *kind) for index, kind in places if buffers[index].kind != "input"}

        def call(_table: int, _dims: int, _scratch: int) -> int:
            if reductions.wants(position):
                found = [laid_out[index] if index in laid_out else known[buffers[index].key] for index, _ in places]
                reductions.add(position, found)
            return 0

        return call

    def _rows(self, index: int, dtype: str, shape: tuple[int, ...]) -> Array | RowBlocks:
        column = self.runs.get(self.plan.buffers[index].key)
        if self.plan.buffers[index].kind != "input" or column is None:
            return self._array(index, dtype, shape)
        return _DenseBlocks(self.function.library, column, dtype, shape)

    def _array(self, index: int, dtype: str, shape: tuple[int, ...]) -> Array:
        """The memory of an argument of a step that runs once, as an array."""
        buffer = self.plan.buffers[index]
        if buffer.kind != "arena":
            self._address(index, 0, per_shard=False, after_sums=False)
            return self.whole[index]
        arena = self.once_arena if buffer.scope == "once" else self.arenas[0]
        start, size = evaluate_dim(buffer.offset, self.dims), int(np.prod(shape, dtype=np.int64)) * DTYPES[dtype].itemsize
        return arena[start : start + size].view(DTYPES[dtype]).reshape(shape)

    def _additions(self, source: int, target: int) -> list[Addition]:
        """Sum the partials into the first shard's, which is the total."""
        parts = [self._partial(source, s) for s in range(len(self.binding.bounds))]
        buffer = self.plan.buffers[target]
        self.whole[target] = self.binding.totals[buffer.key] = parts[0]
        add = self.function.library.additions[buffer.dtype]
        pairs = tree_pairs(len(parts))
        return [(add, address_of(parts[left]), address_of(parts[right]), parts[left].size) for left, right in pairs]

    def _address(self, index: int, shard: int, per_shard: bool, after_sums: bool) -> tuple[int, int]:
        """Where argument `index` of a step lies, and how much of that is the shard's offset."""
        buffer = self.plan.buffers[index]
        if buffer.kind == "arena":
            local = buffer.scope == "shard"
            arena = self.arenas[shard] if local else self.once_arena
            return address_of(arena) + evaluate_dim(buffer.offset, self.shard_dims[shard] if local else self.dims), 0
        if buffer.kind == "partial":
            return address_of(self._partial(index, shard)), 0
        if buffer.kind == "control":
            return address_of(self._control(buffer, shard)), 0
        if buffer.kind == "total" and after_sums and buffer.key in self.given_totals:
            return address_of(self.given_totals[buffer.key]), 0
        if index not in self.whole:
            self.whole[index] = self._shared(buffer)
        array = self.whole[index]
        offset = 0
        if per_shard and buffer.rows and len(array):
            offset = self.binding.bounds[shard][0] * (array.nbytes // len(array))
        return address_of(array) + offset, offset

    def _partial(self, index: int, shard: int) -> Array:
        if (index, shard) not in self.local:
            buffer = self.plan.buffers[index]
            shape = _shape(buffer, self.shard_dims[shard])
            given = self.given_partials.get((buffer.key, shard))
            self.local[index, shard] = allocate(buffer.dtype, shape) if given is None else _fitting(buffer, shape, given)
        return self.local[index, shard]

    def _shared(self, buffer: Buffer) -> Array:
        """The array of a buffer that all shards share."""
        shape = _shape(buffer, self.dims)
        if buffer.kind in ("weight", "state", "moment", "fitted"):
            return _fitting(buffer, shape, self.function.store[buffer.key])
        if buffer.kind == "total":
            raise ValueError(f"total {buffer.key!r} is read before it is summed")
        known = self.binding.inputs if buffer.kind == "input" else self.binding.outputs
        if buffer.key not in known:
            if buffer.key in self.given[buffer.kind]:
                known[buffer.key] = _fitting(buffer, shape, self.given[buffer.kind][buffer.key])
            else:
                known[buffer.key] = allocate(buffer.dtype, shape)
        return known[buffer.key]

    def _control(self, buffer: Buffer, shard: int) -> Array:
        arrays = self.binding.controls[shard]
        if buffer.key not in arrays:
            arrays[buffer.key] = allocate(buffer.dtype, _shape(buffer, self.dims))
            if buffer.key == "control_f":
                arrays[buffer.key][0] = 1.0
        return arrays[buffer.key]


def _shape(buffer: Buffer, dims: Mapping[str, int]) -> tuple[int, ...]:
    return tuple(evaluate_dim(d, dims) for d in buffer.shape)


def _fitting(buffer: Buffer, shape: tuple[int, ...], array: Array) -> Array:
    if array.shape != shape or array.dtype != DTYPES[buffer.dtype]:
        wanted = f"{DTYPES[buffer.dtype]}{list(shape)}"
        raise ValueError(f"{buffer.key!r} is {array.dtype}{list(array.shape)}, the program wants {wanted}")
    return array
