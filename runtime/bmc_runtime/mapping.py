"""Running a function over many rows, a chunk at a time: preprocessing, evaluation, prediction.

In: a function that keeps rows apart, arrays of all rows. Out: arrays of all rows. Chunks read and write the whole arrays in place:
only addresses move. What a row becomes does not depend on the chunk that it falls into.

Columns of runs are made dense chunk by chunk. The number of steps of a ragged one is a run-time dim: that of the longest row of a
chunk, or of all rows where an output has the dim.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from bmc_runtime.binding import Binding, BoundFunction
from bmc_runtime.buckets import Buckets
from bmc_runtime.feeding import Feed
from bmc_runtime.memory import DTYPES, Array, address_of, allocate
from bmc_runtime.plan import Buffer, FunctionPlan, evaluate_dim
from bmc_runtime.table import Column, Indices, RowInput

__all__ = ["CHUNK_ROWS", "map_groups", "map_rows", "rows_of", "run_whole", "steps_of", "within_arena"]

CHUNK_ROWS = 1024

_DENSE_BYTES = 1 << 24
"""About how much of a column of runs is made dense at a time."""

_ARENA_BYTES = 1 << 26
"""About how much working memory a chunk may take: a row of a language model takes some MB of it."""


def steps_of(buffers: Mapping[str, Buffer], inputs: Mapping[str, RowInput]) -> dict[str, int]:
    """The run-time dims that ragged columns and arrays fix, by symbol: the steps of the longest row. `buffers`: those of inputs."""
    found: dict[str, int] = {}
    for key, buffer in buffers.items():
        value = inputs[key]
        sizes = (value.longest,) if isinstance(value, Column) else value.shape[1:]
        for dim, size in zip(buffer.shape[1:], sizes, strict=False):
            if isinstance(dim, str):
                found[dim] = max(found.get(dim, 0), size)
    return found


def map_rows(
    function: BoundFunction,
    inputs: Mapping[str, RowInput],
    rows: int,
    dims: Mapping[str, int],
    chunk: int = CHUNK_ROWS,
    seed: int = 0,
    step: int = 0,
    steps: int | None = None,
    feed: Feed | None = None,
    first_row: int = 0,
) -> dict[str, Array]:
    """The outputs of `function` for all rows. `inputs`: by key, [rows, ...] where per row. Outputs without rows come as they are.
    `first_row`: the number of the first of these rows among all, which what is drawn at random depends on.
    `step` of `steps` (by default the last): where schedules stand. `dims`: run-time dims; those that ragged columns fix chunk by
    chunk count where an output has them, or where no column that is read does. `feed`: what makes the inputs that `inputs` does
    not have.
    """
    plan = function.plan
    row = plan.row
    if row is None:
        return run_whole(function, inputs, dims, seed, step, steps)
    wanted = {b.key: b for b in plan.buffers if b.kind == "input" and b.key in inputs}
    made = {b.key: b for b in plan.buffers if b.kind == "output"}
    runs = {key: value for key, value in inputs.items() if key in wanted and isinstance(value, Column)}
    open_dims = steps_of({key: wanted[key] for key in runs}, inputs)
    everything = {**open_dims, **dims, row: rows}
    widths = {**open_dims, **dims}
    fixed = widths if _have(made.values(), widths) else {name: size for name, size in dims.items() if name not in open_dims}
    fed = _fed(plan, inputs, feed)
    results = {key: allocate(b.dtype, tuple(evaluate_dim(d, everything) for d in b.shape)) for key, b in made.items()}
    widest = max((column.longest * column.step_bytes for column in runs.values()), default=0)
    chunk = within_arena(plan, everything, max(1, min(chunk, rows, _DENSE_BYTES // max(widest, 1))))
    bindings: dict[tuple[tuple[str, int], ...], Binding] = {}
    for first in range(0, rows, chunk):
        count = min(chunk, rows - first)
        parts = {key: column.between(first, first + count) for key, column in runs.items()}
        sizes = {**steps_of({key: wanted[key] for key in parts}, parts), **fixed, row: count}
        known = tuple(sorted(sizes.items()))
        if known not in bindings:
            if len(bindings) >= _MOST_BINDINGS:
                bindings.clear()
            # Per-row arrays are moved to each chunk's rows below; what is laid out here is only their shape.
            read = {key: _laid_out(inputs[key], b, count, sizes) for key, b in wanted.items()}
            written = {key: results[key][:count] if b.rows else results[key] for key, b in made.items()}
            bindings[known] = function.bind(sizes, read, outputs=written)
        binding = bindings[known]
        for key, b in wanted.items():
            value = inputs[key]
            if isinstance(value, Column):
                function.library.fill(binding.inputs[key], parts[key])
            elif b.rows:
                binding.point(key, _row_address(value, first))
        if fed and feed is not None:
            computed = feed.between(first, first + count)
            for key in fed:
                binding.point(key, address_of(computed[key]))
        for key, b in made.items():
            if b.rows:
                binding.point_output(key, _row_address(results[key], first))
        binding.set_control(seed, step, first_row + first, step if steps is None else steps, 0, rows)
        binding.run()
    return results


def within_arena(plan: FunctionPlan, dims: Mapping[str, int], chunk: int) -> int:
    """`chunk` rows, or as many fewer as fit into `_ARENA_BYTES`; at least one."""

    def arena(rows: int) -> int:
        sizes = {**dims, plan.row or "B": rows}
        return evaluate_dim(plan.shard_arena, sizes) + evaluate_dim(plan.once_arena, sizes)

    while chunk > 1 and arena(chunk) > _ARENA_BYTES:
        chunk = (chunk + 1) // 2
    return chunk


def map_groups(
    function: BoundFunction,
    pick: Callable[[Indices, Mapping[str, int]], Mapping[str, RowInput]],
    rows: int,
    dims: Mapping[str, int],
    buckets: Buckets,
    seed: int = 0,
    step: int = 0,
    steps: int | None = None,
    most: int | None = None,
) -> dict[str, Array]:
    """As `map_rows`, with rows padded in buckets: each row runs among rows of its own dims. `pick(rows, dims)` gives the inputs of
    some rows, of at most `most` at a time. In the results cells behind a row's own size are 0."""
    plan = function.plan
    widest = {**dims, **buckets.most, plan.row or "B": rows}
    outputs = [b for b in plan.buffers if b.kind == "output"]
    results = {b.key: np.zeros(tuple(evaluate_dim(d, widest) for d in b.shape), DTYPES[b.dtype]) for b in outputs}
    for chosen, sizes in buckets.groups(most):
        found = map_rows(function, pick(chosen, sizes), len(chosen), {**dims, **sizes}, seed=seed, step=step, steps=steps)
        for buffer in outputs:
            part = found[buffer.key]
            if buffer.rows:
                inside: tuple[Any, ...] = (chosen, *(slice(size) for size in part.shape[1:]))
                results[buffer.key][inside] = part
            else:
                results[buffer.key][...] = part
    return results


def rows_of(function: BoundFunction, data: Mapping[str, Array], rows: Indices, sizes: Mapping[str, int]) -> dict[str, RowInput]:
    """What a function reads of some rows of arrays that are as wide as the longest row needs: each array cut to `sizes`."""
    found: dict[str, RowInput] = {}
    for buffer in function.plan.buffers:
        if buffer.kind == "input" and buffer.key in data:
            array = data[buffer.key]
            if buffer.rows:
                cut = [slice(None) if isinstance(d, int) else slice(evaluate_dim(d, sizes)) for d in buffer.shape[1:]]
                array = np.ascontiguousarray(array[rows][(slice(None), *cut)])
            found[buffer.key] = array
    return found


_MOST_BINDINGS = 8


def _have(buffers: Iterable[Buffer], dims: Iterable[str]) -> bool:
    """Whether a buffer's shape has one of these dims."""
    texts = [repr(buffer.shape) for buffer in buffers]
    return any(repr(dim) in text for dim in dims for text in texts)


def _laid_out(value: RowInput, buffer: Buffer, rows: int, dims: Mapping[str, int]) -> Array:
    if isinstance(value, Column):
        return allocate(buffer.dtype, tuple(evaluate_dim(d, dims) for d in buffer.shape))
    return value[:rows] if buffer.rows else value


def _fed(plan: FunctionPlan, inputs: Mapping[str, RowInput], feed: Feed | None) -> list[str]:
    """The inputs of a function that a feed makes."""
    keys = {b.key for b in plan.buffers if b.kind == "input"} - inputs.keys()
    return [key for key in feed.keys if key in keys] if feed is not None else []


def _row_address(array: Array, row: int) -> int:
    return address_of(array) + row * (array.nbytes // len(array))


def run_whole(
    function: BoundFunction,
    inputs: Mapping[str, RowInput],
    dims: Mapping[str, int],
    seed: int = 0,
    step: int = 0,
    steps: int | None = None,
    feed: Feed | None = None,
) -> dict[str, Array]:
    """One call over everything: a function that mixes rows, or one without rows. Updates go to the store."""
    plan = function.plan
    fed = _fed(plan, inputs, feed)
    if fed and feed is not None:
        inputs = {**inputs, **feed.whole(fed)}
    used = {b.key: b for b in plan.buffers if b.kind == "input" and b.key in inputs}
    names = {*plan.dims, plan.row} if plan.row else set(plan.dims)
    known = {**steps_of(used, inputs), **dims}
    # What reducers of the host alone read is made dense block by block.
    native = {plan.buffers[i].key for s in plan.steps if s.kind == "native" for i in s.arguments if plan.buffers[i].kind == "input"}
    lazy = {key: value for key in used if key not in native and isinstance(value := inputs[key], Column)}
    read = {key: _dense(function, inputs[key], b, known) for key, b in used.items() if key not in lazy}
    binding = function.bind({name: known[name] for name in names}, read, runs=lazy)
    all_steps = step if steps is None else steps
    binding.set_control(seed, step, 0, all_steps, 0, dims.get(plan.row, 0) if plan.row else 0)
    binding.run()
    return binding.outputs


def _dense(function: BoundFunction, value: RowInput, buffer: Buffer, dims: Mapping[str, int]) -> Array:
    if not isinstance(value, Column):
        return value
    made = allocate(buffer.dtype, tuple(evaluate_dim(d, dims) for d in buffer.shape))
    function.library.fill(made, value)
    return made
