"""Running a function over many rows, a chunk at a time: preprocessing, evaluation, prediction.

In: a function that keeps rows apart, arrays of all rows. Out: arrays of all rows. Chunks read and write the whole arrays in place:
only addresses move. What a row becomes does not depend on the chunk that it falls into.
"""

from __future__ import annotations

from collections.abc import Mapping

from bmc_runtime.binding import Binding, BoundFunction
from bmc_runtime.memory import Array, address_of, allocate
from bmc_runtime.plan import evaluate_dim

__all__ = ["CHUNK_ROWS", "map_rows", "run_whole"]

CHUNK_ROWS = 1024


def map_rows(
    function: BoundFunction,
    inputs: Mapping[str, Array],
    rows: int,
    dims: Mapping[str, int],
    chunk: int = CHUNK_ROWS,
    seed: int = 0,
    step: int = 0,
) -> dict[str, Array]:
    """The outputs of `function` for all rows. `inputs`: by key, [rows, ...] where per row. Outputs without rows come as they are.
    `step`: where schedules stand.
    """
    plan = function.plan
    row = plan.row
    if row is None:
        return run_whole(function, inputs, dims, seed, step)
    everything = {**dims, row: rows}
    buffers = {b.key: b for b in plan.buffers if b.kind in ("input", "output")}
    results = {
        key: allocate(b.dtype, tuple(evaluate_dim(d, everything) for d in b.shape))
        for key, b in buffers.items()
        if b.kind == "output"
    }
    bindings: dict[int, Binding] = {}
    for first in range(0, rows, chunk):
        count = min(chunk, rows - first)
        if count not in bindings:
            fixed = {k: a for k, a in (*inputs.items(), *results.items()) if k in buffers and not buffers[k].rows}
            # Per-row arrays are moved to each chunk's rows below; what is laid out here is only their shape.
            shaped = {k: a[:count] for k, a in (*inputs.items(), *results.items()) if k in buffers and buffers[k].rows}
            bindings[count] = function.bind({**dims, row: count}, {**fixed, **shaped})
        binding = bindings[count]
        for key, array in (*inputs.items(), *results.items()):
            if key in buffers and buffers[key].rows and len(array):
                binding.point(key, address_of(array) + first * (array.nbytes // len(array)))
        binding.set_control(seed, step, first, step, 0, rows)
        binding.run()
    if rows == 0:
        return {key: allocate(buffers[key].dtype, array.shape) for key, array in results.items()}
    return results


def run_whole(
    function: BoundFunction, inputs: Mapping[str, Array], dims: Mapping[str, int], seed: int = 0, step: int = 0
) -> dict[str, Array]:
    """One call over everything: a function that mixes rows, or one without rows. Updates go to the store."""
    plan = function.plan
    used = {b.key for b in plan.buffers if b.kind == "input"}
    names = {*plan.dims, plan.row} if plan.row else set(plan.dims)
    binding = function.bind({name: dims[name] for name in names}, {k: a for k, a in inputs.items() if k in used})
    binding.set_control(seed, step, 0, step, 0, dims.get(plan.row, 0) if plan.row else 0)
    binding.run()
    return binding.outputs
