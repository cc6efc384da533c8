"""`bmc stats`: what a program costs, before it runs.

In: a unit. Out: parameters, FLOPs, bytes and the memory plan, by layer and by function. Guaranteed: FLOPs are those of products (2
for each multiplication and addition): of a layer as written, of a function as compiled, gradients included; bytes are those that
the runtime allocates.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bmc.codegen.target import host_target
from bmc.driver.flops import bindings_for, products, total, with_gradients
from bmc.driver.gathering import batch_function
from bmc.driver.lower import Lowered, Options, lower_function
from bmc.driver.session import shards_of
from bmc.frontend.unit import Unit, WeightSpec
from bmc.ir import Dim, Value
from bmc.ops.lowering import Reshape
from bmc.ops.table import definition
from bmc_runtime.memory import itemsize
from bmc_runtime.plan import evaluate_dim as evaluate_expression

__all__ = ["SCHEMA", "FunctionCost", "LayerCost", "Stats", "open_dims", "stats_of"]

SCHEMA = 1
"""Of `Stats.as_json`; a change that breaks a reader raises it."""


@dataclass(frozen=True)
class LayerCost:
    """`outputs`: their types. `predict_flops` and `train_flops`: of the products of its own body for one row, forward alone and
    with gradients; those of layers within it stand with them. `named`: no default name in its key. `bytes`: of its parameters."""

    key: str
    kind: str
    outputs: tuple[str, ...]
    weights: tuple[WeightSpec, ...]
    states: tuple[str, ...]
    parameters: int
    trainable: int
    bytes: int
    predict_flops: int
    train_flops: int
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


    def as_json(self) -> dict[str, Any]:
        """The object that `bmc stats --json` prints."""
        layers = [
            {
                "key": layer.key, "kind": layer.kind, "outputs": list(layer.outputs),
                "weights": {w.key: str(w.type) for w in layer.weights}, "states": list(layer.states),
                "parameters": layer.parameters, "trainable": layer.trainable, "bytes": layer.bytes,
                "predict_flops": layer.predict_flops, "train_flops": layer.train_flops, "named": layer.named,
            }
            for layer in self.layers
        ]  # fmt: skip
        functions = [
            {"name": f.name, "rows": f.rows, "flops": f.flops, "arena_bytes": f.arena, "kernels": f.kernels} for f in self.functions
        ]
        return {
            "schema": SCHEMA, "unit": self.unit.name, "model": self.unit.model, "float": self.unit.float_type,
            "shards": self.shards, "layers": layers, "functions": functions, "parameters": self.parameters,
            "trainable": self.trainable, "parameter_bytes": self.parameter_bytes, "state_bytes": self.state_bytes,
            "settings": [{"key": s.key, "value": s.value, "default": s.default} for s in self.unit.settings],
        }  # fmt: skip


def stats_of(unit: Unit, dims: Mapping[str, int] | None = None) -> Stats:
    """The costs of a unit. `dims`: sizes of dims that only data fixes; the others count as 1."""
    sizes = dims or {}
    shards, accumulate = shards_of(unit)
    batch = unit.training.batch if unit.training is not None else 1
    lowered = _lowered(unit, shards > 1 or accumulate > 1)
    functions = tuple(_function_cost(i, batch if i.name in ("train", "batch") else 1, shards, sizes) for i in lowered)
    layers = tuple(_layers(unit, sizes))
    state_types = [s.type for s in unit.states] + [m.type for m in unit.moments]
    return Stats(
        unit,
        layers,
        functions,
        sum(_size(w.type.shape) for w in unit.weights),
        sum(_size(w.type.shape) for w in unit.weights if w.trainable or unit.training is None),
        sum(_size(w.type.shape) * itemsize(w.type.dtype) for w in unit.weights),
        sum(_size(t.shape) * itemsize(t.dtype) for t in state_types),
        shards,
        host_target().triple,
    )


def open_dims(unit: Unit) -> list[str]:
    """Names of dims that only data fixes."""
    function = unit.module.function("predict")
    return sorted(set(bindings_for(function, 1, {})) - {function.row})


def _layers(unit: Unit, sizes: Mapping[str, int]) -> list[LayerCost]:
    """Layers with parameters, states or products of their own, in the order in which they are applied."""
    groups: dict[str, list[WeightSpec]] = {}
    for weight in unit.weights:
        groups.setdefault(weight.key.rpartition(".")[0], []).append(weight)
    states: dict[str, list[str]] = {}
    for state in unit.states:
        states.setdefault(state.key.rpartition(".")[0], []).append(state.key)
    predict = unit.module.function("predict")
    forward = products(predict, bindings_for(predict, 1, sizes))
    both: dict[Value, int] = {}
    if unit.training is not None:
        train = unit.module.function("train")
        trained = {w.key for w in unit.weights if w.trainable}
        learned = {p.value for p in train.params if p.role == "weight" and p.key in trained}
        both = with_gradients(train, learned, bindings_for(train, 1, sizes))
    found: list[LayerCost] = []
    for layer in unit.layers:
        weights = tuple(groups.get(layer.key, ()))
        of_predict = sum(forward.get(v, 0) for v in layer.predict)
        of_train = sum(both.get(v, 0) for v in layer.train)
        if not weights and layer.key not in states and not of_predict and not of_train:
            continue
        found.append(
            LayerCost(
                layer.key, layer.kind, tuple(map(str, layer.outputs)), weights, tuple(states.get(layer.key, ())),
                sum(_size(w.type.shape) for w in weights), sum(_size(w.type.shape) for w in weights if w.trainable),
                sum(_size(w.type.shape) * itemsize(w.type.dtype) for w in weights), of_predict, of_train,
                all(w.named for w in weights),
            )
        )  # fmt: skip
    return found


def _lowered(unit: Unit, sharded: bool) -> list[Lowered]:
    wanted = [f for f in unit.module.functions if f.name in ("train", "predict")]
    wanted += [batch_function(f) for f in wanted if f.name == "train"]
    return [item for f in wanted for item in lower_function(f, Options(sharded))]


def _size(shape: Sequence[Dim]) -> int:
    return math.prod(_sizes(shape))


def _sizes(shape: Sequence[Dim]) -> tuple[int, ...]:
    """Sizes, 1 for those that are open."""
    return tuple(d if isinstance(d, int) else 1 for d in shape)


def _function_cost(item: Lowered, rows: int, shards: int, sizes: Mapping[str, int]) -> FunctionCost:
    bindings = bindings_for(item.graph, rows, sizes)
    plan = item.memory.plan
    parts = shards if item.name == "train" else 1
    local = {**bindings, **({plan.row: -(-rows // parts)} if plan.row else {})}
    arena = parts * evaluate_expression(plan.shard_arena, local) + evaluate_expression(plan.once_arena, bindings)
    kernels = sum(not isinstance(definition(op.name).lowering, Reshape) for phase in item.memory.native for op in phase.ops)
    return FunctionCost(item.name, rows, total(item.graph, bindings), arena, kernels)
