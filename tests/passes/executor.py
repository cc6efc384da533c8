"""Runs a memory plan with the reference evaluator on simulated memory: every value lives in the bytes that the plan
gives it.

What a wrong plan would destroy is destroyed here too. Partials are added along the balanced tree of the runtime.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bmc.ir import Function, Value
from bmc.ir.dims import evaluate as evaluate_dim
from bmc.ops.arrays import numpy_dtype
from bmc.ops.evaluate import evaluate_ops
from bmc.passes.plan_memory import MemoryPlan
from bmc_runtime.plan import evaluate_dim as evaluate_expression


def run_plan(
    function: Function, planned: MemoryPlan, inputs: Mapping[str, Any], bindings: Mapping[str, int], shards: int = 1
) -> dict[str, Any]:
    """The results by key; updates read from where the parameters live."""
    plan = planned.plan
    rows = bindings.get(function.row or "", 0)
    bounds = [(rows * s // shards, rows * (s + 1) // shards) for s in range(shards)] if function.row else [(0, 0)]
    local = [{**bindings, **({function.row: stop - start} if function.row else {})} for start, stop in bounds]
    once_arena = _garbage(evaluate_expression(plan.once_arena, bindings))
    arenas = [_garbage(evaluate_expression(plan.shard_arena, dims)) for dims in local]
    whole: dict[int, Any] = {}
    parts: dict[tuple[int, int], Any] = {}
    for index, buffer in enumerate(plan.buffers):
        shape = (
            None
            if buffer.kind in ("arena", "partial")
            else tuple(evaluate_expression(d, bindings) for d in buffer.shape)
        )
        if buffer.kind in ("weight", "state", "moment", "fitted", "input", "control"):
            keys = [p.key for p in function.params]
            whole[index] = (
                np.array(inputs[buffer.key], copy=True)
                if buffer.key in keys
                else np.zeros(shape, numpy_dtype(np, buffer.dtype))
            )
        elif shape is not None:
            whole[index] = _garbage_array(shape, numpy_dtype(np, buffer.dtype))
        elif buffer.kind == "partial":
            for s, dims in enumerate(local):
                part_shape = tuple(evaluate_expression(d, dims) for d in buffer.shape)
                parts[index, s] = _garbage_array(part_shape, numpy_dtype(np, buffer.dtype))

    def memory(index: int, value: Value, shard: int, per_shard: bool) -> Any:
        """A view of the bytes of `value`."""
        buffer = plan.buffers[index]
        if not per_shard and buffer.scope == "shard" and buffer.kind in ("arena", "partial"):
            raise AssertionError("a phase that runs once touches memory of a shard")
        dims = local[shard] if per_shard else bindings
        shape = tuple(evaluate_dim(d, dims) for d in value.type.shape)
        dtype = numpy_dtype(np, value.type.dtype)
        if buffer.kind == "arena":
            arena = arenas[shard] if buffer.scope == "shard" else once_arena
            offset = evaluate_expression(buffer.offset, local[shard] if buffer.scope == "shard" else bindings)
            size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
            assert offset % 64 == 0
            assert offset + size <= len(arena)
            return arena[offset : offset + size].view(dtype).reshape(shape)
        if buffer.kind == "partial":
            return parts[index, shard].reshape(shape)
        array = whole[index]
        if per_shard and buffer.rows:
            array = array[slice(*bounds[shard])]
        return array.reshape(shape)

    for phase, place in zip(planned.phases, planned.places, strict=True):
        if phase.kind == "sum":
            for op in phase.ops:
                partials = [parts[place[op.operands[0]], s] for s in range(shards)]
                step = 1
                while step < shards:
                    for left in range(0, shards, 2 * step):
                        partials[left] = partials[left] + partials[left + step]
                    step *= 2
                whole[place[op.result]][...] = partials[0].reshape(whole[place[op.result]].shape)
            continue
        for shard in range(shards) if phase.per_shard else (0,):
            dims = local[shard] if phase.per_shard else bindings
            for op in phase.ops:
                values: dict[Value, Any] = {}
                for value in op.operands:
                    array = memory(place[value], value, shard, phase.per_shard).copy()
                    if function.row and phase.per_shard and plan.buffers[place[value]].key == "control":
                        array[2] += bounds[shard][0]
                    values[value] = array
                evaluate_ops((op,), values, dims, np)
                for value in op.results:
                    memory(place[value], value, shard, phase.per_shard)[...] = values[value]
    found = {}
    for index, buffer in enumerate(plan.buffers):
        if any(r.key == buffer.key and (r.role == "update" or buffer.kind == "output") for r in function.results):
            found[buffer.key] = whole[index]
    return found


def _garbage(size: int) -> Any:
    raw = np.full(size + 64, 0xA5, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + size]


def _garbage_array(shape: tuple[int, ...], dtype: Any) -> Any:
    count = int(np.prod(shape, dtype=np.int64))
    if dtype.kind == "O":
        return np.full(shape, None, object)
    return _garbage(count * dtype.itemsize).view(dtype).reshape(shape)
