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
    steps: int | None = None,
) -> dict[str, Array]:
    """The outputs of `function` for all rows. `inputs`: by key, [rows, ...] where per row. Outputs without rows come as they are.
    `step` of `steps` (by default the last): where schedules stand.
    """
    plan = function.plan
    row = plan.row
    if row is None:
        return run_whole(function, inputs, dims, seed, step, steps)
    everything = {**dims, row: rows}
    wanted = {b.key: b for b in plan.buffers if b.kind == "input" and b.key in inputs}
    made = {b.key: b for b in plan.buffers if b.kind == "output"}
    results = {key: allocate(b.dtype, tuple(evaluate_dim(d, everything) for d in b.shape)) for key, b in made.items()}
    bindings: dict[int, Binding] = {}
    for first in range(0, rows, chunk):
        count = min(chunk, rows - first)
        if count not in bindings:
            # Per-row arrays are moved to each chunk's rows below; what is laid out here is only their shape.
            read = {key: inputs[key][:count] if b.rows else inputs[key] for key, b in wanted.items()}
            written = {key: results[key][:count] if b.rows else results[key] for key, b in made.items()}
            bindings[count] = function.bind({**dims, row: count}, read, outputs=written)
        binding = bindings[count]
        for key, b in wanted.items():
            if b.rows:
                binding.point(key, _row_address(inputs[key], first))
        for key, b in made.items():
            if b.rows:
                binding.point_output(key, _row_address(results[key], first))
        binding.set_control(seed, step, first, step if steps is None else steps, 0, rows)
        binding.run()
    return results


def _row_address(array: Array, row: int) -> int:
    return address_of(array) + row * (array.nbytes // len(array))


def run_whole(
    function: BoundFunction,
    inputs: Mapping[str, Array],
    dims: Mapping[str, int],
    seed: int = 0,
    step: int = 0,
    steps: int | None = None,
) -> dict[str, Array]:
    """One call over everything: a function that mixes rows, or one without rows. Updates go to the store."""
    plan = function.plan
    used = {b.key for b in plan.buffers if b.kind == "input"}
    names = {*plan.dims, plan.row} if plan.row else set(plan.dims)
    binding = function.bind({name: dims[name] for name in names}, {k: a for k, a in inputs.items() if k in used})
    all_steps = step if steps is None else steps
    binding.set_control(seed, step, 0, all_steps, 0, dims.get(plan.row, 0) if plan.row else 0)
    binding.run()
    return binding.outputs
