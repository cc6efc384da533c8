"""`bmc stats`: what a program costs, before it runs.

In: a unit. Out: parameters, FLOPs, bytes and the memory plan, by layer. Guaranteed: FLOPs are those of products (2 for each
multiplication and addition) in the functions as compiled, gradients included; bytes are those that the runtime allocates.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bmc.codegen.target import host_target
from bmc.driver.gathering import batch_function
from bmc.driver.lower import Lowered, Options, lower_function
from bmc.driver.session import shards_of
from bmc.frontend.unit import Unit, WeightSpec
from bmc.ir import Dim, Function, Operation, Value
from bmc.ir.dims import evaluate as evaluate_dim
from bmc.ir.dims import symbols
from bmc.ops.lowering import Contraction, Reshape, View
from bmc.ops.table import definition
from bmc_runtime.memory import itemsize
from bmc_runtime.plan import evaluate_dim as evaluate_expression

__all__ = ["FunctionCost", "LayerCost", "Stats", "stats_of"]


@dataclass(frozen=True)
class LayerCost:
    """`row_flops`: of products that read the layer's weights, for one row of `predict` (or `train`). `named`: no default name
    in its key."""

    key: str
    weights: tuple[WeightSpec, ...]
    parameters: int
    row_flops: int
    named: bool


@dataclass(frozen=True)
class FunctionCost:
    """`rows`: for how many rows the numbers are. `arena`: bytes of temporary memory, over all shards. `kernels`: native kernels
    called."""

    name: str
    rows: int
    flops: int
    arena: int
    kernels: int


@dataclass(frozen=True)
class Stats:
    """`parameter_bytes`: weights; `state_bytes`: states and moments."""

    unit: Unit
    layers: tuple[LayerCost, ...]
    functions: tuple[FunctionCost, ...]
    parameters: int
    trainable: int
    parameter_bytes: int
    state_bytes: int
    shards: int
    target: str


def stats_of(unit: Unit) -> Stats:
    """The costs of a unit; dims that only data fixes count as 1."""
    shards, accumulate = shards_of(unit)
    batch = unit.training.batch if unit.training is not None else 1
    lowered = _lowered(unit, shards > 1 or accumulate > 1)
    functions = tuple(_function_cost(item, batch if item.name in ("train", "batch") else 1, shards) for item in lowered)
    flops = _flops_by_weight(next(f for f in unit.module.functions if f.name == "predict"))
    groups: dict[str, list[WeightSpec]] = {}
    for weight in unit.weights:
        groups.setdefault(weight.key.rpartition(".")[0], []).append(weight)
    layers = tuple(
        LayerCost(
            key, tuple(weights), sum(_size(w.type.shape) for w in weights), sum(flops.get(w.key, 0) for w in weights),
            all(w.named for w in weights),
        )
        for key, weights in groups.items()
    )  # fmt: skip
    state_types = [s.type for s in unit.states] + [m.type for m in unit.moments]
    return Stats(
        unit,
        layers,
        functions,
        sum(layer.parameters for layer in layers),
        sum(_size(w.type.shape) for w in unit.weights if w.trainable or unit.training is None),
        sum(_size(w.type.shape) * itemsize(w.type.dtype) for w in unit.weights),
        sum(_size(t.shape) * itemsize(t.dtype) for t in state_types),
        shards,
        host_target().triple,
    )


def _lowered(unit: Unit, sharded: bool) -> list[Lowered]:
    wanted = [f for f in unit.module.functions if f.name in ("train", "predict")]
    wanted += [batch_function(f) for f in wanted if f.name == "train"]
    return [item for f in wanted for item in lower_function(f, Options(sharded))]


def _size(shape: Sequence[Dim]) -> int:
    return math.prod(_sizes(shape))


def _sizes(shape: Sequence[Dim]) -> tuple[int, ...]:
    """Sizes, 1 for those that are open."""
    return tuple(d if isinstance(d, int) else 1 for d in shape)


def _bound(function: Function, rows: int) -> dict[str, int]:
    found = {s: 1 for value in function.values() for dim in value.type.shape for s in symbols(dim)}
    if function.row is not None:
        found[function.row] = rows
    return found


def _contraction_flops(op: Operation, bindings: Mapping[str, int]) -> int:
    left = op.operands[0].type.shape
    summed = [left[axis] for axis in op.attrs.lhs_contract]  # type: ignore[attr-defined]
    return 2 * math.prod(evaluate_dim(d, bindings) for d in (*op.result.type.shape, *summed))


def _is_product(op: Operation) -> bool:
    return isinstance(definition(op.name).lowering, Contraction)


def _function_cost(item: Lowered, rows: int, shards: int) -> FunctionCost:
    bindings = _bound(item.graph, rows)
    flops = sum(_contraction_flops(op, bindings) for op in item.graph.ops if _is_product(op))
    plan = item.memory.plan
    parts = shards if item.name == "train" else 1
    local = {**bindings, **({plan.row: -(-rows // parts)} if plan.row else {})}
    arena = parts * evaluate_expression(plan.shard_arena, local) + evaluate_expression(plan.once_arena, bindings)
    kernels = sum(not isinstance(definition(op.name).lowering, Reshape) for phase in item.memory.native for op in phase.ops)
    return FunctionCost(item.name, rows, flops, arena, kernels)


def _flops_by_weight(function: Function) -> dict[str, int]:
    """FLOPs of one row of the products that read each weight, directly or through views of it."""
    bindings = _bound(function, 1)
    source: dict[Value, str] = {p.value: p.key for p in function.params if p.role == "weight"}
    found: dict[str, int] = {}
    for op in function.ops:
        if isinstance(definition(op.name).lowering, View | Reshape) and op.operands[0] in source:
            source[op.result] = source[op.operands[0]]
        elif _is_product(op):
            for key in {source[v] for v in op.operands if v in source}:
                found[key] = found.get(key, 0) + _contraction_flops(op, bindings)
    return found
