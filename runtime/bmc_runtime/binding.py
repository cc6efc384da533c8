"""A function of a program, bound to memory: everything that a call needs is laid out before the first call.

In: a `FunctionPlan`, loaded code, the store of persistent arrays. Out: `BoundFunction`. A *binding* is made for each combination of
dims (the whole batch, the last smaller one) and shards: arenas are sized, every address stands in a call table, and running a step
is one native call through a cached function pointer. Guaranteed: a second run with the same dims allocates nothing.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from bmc_runtime.memory import DTYPES, SCRATCH_BYTES, Array, address_of, aligned_bytes, allocate
from bmc_runtime.plan import Buffer, FunctionPlan, Program, evaluate_dim
from bmc_runtime.shards import shard_bounds, tree_pairs

__all__ = ["BoundFunction", "Library", "Loaded", "Loader", "NotFinite"]


class Loaded(Protocol):
    """Native code in this process."""

    def address(self, symbol: str) -> int: ...


Loader = Callable[[bytes, Sequence[str]], Loaded]
"""`loader(object code, symbols)`: the JIT's, or one that opens a shared library."""

_ENTRY = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)


class NotFinite(ArithmeticError):
    """A guarded value (the loss) was NaN or infinite; nothing was updated."""


_ADD = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)

ADDITIONS = {dtype: f"bmc_add_{dtype}" for dtype in ("i32", "i64", "f32", "f64")}
"""Symbols of every program: `void(left*, right*, i64 count)`, left += right."""


class Library:
    """A program's native steps as callables, and the scratch block that they share."""

    def __init__(self, program: Program, loader: Loader) -> None:
        self.program = program
        symbols = [s.symbol for f in program.functions.values() for s in f.steps if s.kind == "native"]
        self._loaded = loader(program.object_code, [*symbols, *ADDITIONS.values()])
        self.additions = {dtype: _ADD(self._loaded.address(symbol)) for dtype, symbol in ADDITIONS.items()}
        self.entries = {symbol: _ENTRY(self._loaded.address(symbol)) for symbol in symbols}
        self.scratch = aligned_bytes(SCRATCH_BYTES)
        self.scratch_address = address_of(self.scratch)


@dataclass
class _Call:
    """One native call, ready to go."""

    entry: Callable[[int, int, int], int]
    table: Array
    table_address: int
    dims_address: int


@dataclass
class _Binding:
    dims: dict[str, int]
    bounds: list[tuple[int, int]]
    calls: list[list[_Call]]
    inputs: dict[str, Array]
    controls: list[dict[str, Array]]
    outputs: dict[str, Array]
    sums: list[list[tuple[Callable[[int, int, int], None], int, int, int]]]
    keep: list[Array]


class BoundFunction:
    """Runs one function of a program.

    `store` maps keys to the arrays of weights, states, moments and fitted values; updates happen in place. `shards`: the
    rows of a call are cut into that many shards, whose partial sums are added in a fixed tree.
    """

    def __init__(self, library: Library, name: str, store: Mapping[str, Array], shards: int = 1) -> None:
        self.library = library
        self.plan: FunctionPlan = library.program.functions[name]
        self.store = store
        self.shards = shards
        self._bindings: dict[tuple[tuple[str, int], ...], _Binding] = {}

    @property
    def input_keys(self) -> tuple[str, ...]:
        return tuple(b.key for b in self.plan.buffers if b.kind == "input")

    def bind(self, dims: Mapping[str, int]) -> _Binding:
        """Lay out memory for these dims (the row dim among them), or find it again."""
        key = tuple(sorted(dims.items()))
        found = self._bindings.get(key)
        if found is None:
            found = self._bindings[key] = self._lay_out(dict(dims))
        return found

    def inputs(self, dims: Mapping[str, int]) -> dict[str, Array]:
        """The arrays that the next call with these dims reads its inputs from: fill them in place."""
        return self.bind(dims).inputs

    def control(self, dims: Mapping[str, int], key: str, values: Sequence[float]) -> None:
        """Set a control array of every shard. Entry 2 of `control` is moved on to the shard's first row."""
        binding = self.bind(dims)
        for (first, _), arrays in zip(binding.bounds, binding.controls, strict=True):
            if key in arrays:
                arrays[key][: len(values)] = values
                if key == "control":
                    arrays[key][2] += first

    def run(self, dims: Mapping[str, int]) -> dict[str, Array]:
        """Run all steps; gives the outputs by key, valid until the next call with these dims. NotFinite: a guard failed."""
        binding = self.bind(dims)
        scratch = self.library.scratch_address
        for step, calls, sums in zip(self.plan.steps, binding.calls, binding.sums, strict=True):
            for call in calls:
                if call.entry(call.table_address, call.dims_address, scratch):
                    raise NotFinite(step.symbol)
            for add, left, right, count in sums:
                add(left, right, count)
        return binding.outputs

    def _lay_out(self, dims: dict[str, int]) -> _Binding:
        plan = self.plan
        rows = dims[plan.row] if plan.row is not None else 0
        bounds = shard_bounds(rows, self.shards) if plan.row is not None else [(0, 0)]
        shard_dims = [{**dims, plan.row: stop - start} if plan.row else dims for start, stop in bounds]
        keep: list[Array] = []
        binding = _Binding(dims, bounds, [], {}, [{} for _ in bounds], {}, [], keep)
        once_arena = aligned_bytes(evaluate_dim(plan.once_arena, dims))
        # A function with one per-shard step needs one arena for all shards; others keep values between steps.
        per_shard_steps = sum(1 for s in plan.steps if s.kind == "native" and s.per_shard)
        largest = max(evaluate_dim(plan.shard_arena, d) for d in shard_dims)
        if per_shard_steps > 1:
            arenas = [aligned_bytes(evaluate_dim(plan.shard_arena, d)) for d in shard_dims]
        else:
            arenas = [aligned_bytes(largest)] * len(bounds)
        keep.extend([once_arena, *arenas])

        whole: dict[int, Array] = {}
        local: dict[tuple[int, int], Array] = {}

        def array_of(index: int) -> Array:
            """The array of a buffer that all shards share."""
            if index not in whole:
                whole[index] = self._shared(plan.buffers[index], binding)
            return whole[index]

        def address(index: int, shard: int, per_shard: bool) -> int:
            buffer = plan.buffers[index]
            if buffer.kind == "arena":
                arena = arenas[shard] if buffer.scope == "shard" else once_arena
                bound = shard_dims[shard] if buffer.scope == "shard" else dims
                return address_of(arena) + evaluate_dim(buffer.offset, bound)
            if buffer.kind == "partial":
                return address_of(partial(index, shard))
            if buffer.kind == "control":
                return address_of(self._control(buffer, shard, binding))
            if buffer.kind == "total" and index not in whole:
                raise ValueError(f"total {buffer.key!r} is read before it is summed")
            array = array_of(index)
            start = address_of(array)
            if per_shard and buffer.rows and len(array):
                start += bounds[shard][0] * (array.nbytes // len(array))
            return start

        def partial(index: int, shard: int) -> Array:
            if (index, shard) not in local:
                buffer = plan.buffers[index]
                local[index, shard] = allocate(buffer.dtype, _shape(buffer, shard_dims[shard]))
            return local[index, shard]

        for step in plan.steps:
            calls: list[_Call] = []
            sums: list[tuple[Callable[[int, int, int], None], int, int, int]] = []
            if step.kind == "native":
                for shard in range(len(bounds)) if step.per_shard else (0,):
                    table = np.array([address(i, shard, step.per_shard) for i in step.arguments] or [0], np.int64)
                    bound = shard_dims[shard] if step.per_shard else dims
                    sizes = np.array([bound[name] for name in plan.dims] or [0], np.int64)
                    keep.append(sizes)
                    entry = self.library.entries[step.symbol]
                    calls.append(_Call(entry, table, address_of(table), address_of(sizes)))
            elif step.kind == "sum":
                for source, target in zip(step.arguments[::2], step.arguments[1::2], strict=True):
                    parts = [partial(source, s) for s in range(len(bounds))]
                    whole[target] = parts[0]
                    add = self.library.additions[plan.buffers[source].dtype]
                    for left, right in tree_pairs(len(parts)):
                        sums.append((add, address_of(parts[left]), address_of(parts[right]), parts[left].size))
            else:
                raise ValueError(f"host step {step.symbol!r} outside fitting")
            binding.calls.append(calls)
            binding.sums.append(sums)
        keep.extend(local.values())
        return binding

    def _shared(self, buffer: Buffer, binding: _Binding) -> Array:
        if buffer.kind in ("weight", "state", "moment", "fitted"):
            return self._stored(buffer, binding.dims)
        array = allocate(buffer.dtype, _shape(buffer, binding.dims))
        binding.keep.append(array)
        if buffer.kind == "input":
            binding.inputs[buffer.key] = array
        elif buffer.kind == "output":
            binding.outputs[buffer.key] = array
        return array

    def _stored(self, buffer: Buffer, dims: Mapping[str, int]) -> Array:
        array = self.store[buffer.key]
        shape = _shape(buffer, dims)
        if array.shape != shape or array.dtype != DTYPES[buffer.dtype]:
            raise ValueError(f"{buffer.key!r} is {array.dtype}{list(array.shape)}, the program wants {buffer.dtype}{list(shape)}")
        return array

    def _control(self, buffer: Buffer, shard: int, binding: _Binding) -> Array:
        arrays = binding.controls[shard]
        if buffer.key not in arrays:
            arrays[buffer.key] = allocate(buffer.dtype, _shape(buffer, binding.dims))
        return arrays[buffer.key]


def _shape(buffer: Buffer, dims: Mapping[str, int]) -> tuple[int, ...]:
    return tuple(evaluate_dim(d, dims) for d in buffer.shape)


