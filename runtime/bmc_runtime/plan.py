"""The plan of a program: what the runtime must allocate, and which native functions it calls in which order.

In: JSON made by the compiler (`Program.from_json`). Out: frozen dataclasses. Guaranteed by construction: buffer indices are in
range. The compiler builds the same classes, so that there is one definition of the format.

Dims in plans are polynomials with floor division in prefix form: an int, a symbol's name, or
`["+", a, b, ...]`, `["*", a, b, ...]`, `["//", a, b]`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

__all__ = ["ABI", "Buffer", "BufferKind", "DimExpression", "FunctionPlan", "Limit", "Program", "Step", "evaluate_dim"]

ABI = 1

DimExpression = Any  # int | str | list: recursive, as JSON has it

BufferKind = Literal["weight", "state", "moment", "fitted", "input", "control", "output", "arena", "partial", "total"]
"""Where a buffer lives. weight, state, moment, fitted: persistent, by key. input: given by the caller for this call, by key (a
per-row input is offset to the shard's first row). control: `control`, `control_f`. output: made for the caller, by key
(per-row outputs are offset likewise). arena: scratch at `offset` of the arena of its `scope`. partial: one for each
shard, summed over the shards into the total of the same key. total: the sum, read by once-steps and by later per-shard
steps."""


@dataclass(frozen=True)
class Buffer:
    """shape and offset are dim expressions; offset is in bytes, a multiple of 64. rows: the leading dim is the row dim."""

    kind: BufferKind
    key: str
    dtype: str
    shape: tuple[DimExpression, ...]
    rows: bool = False
    scope: Literal["shard", "once"] = "shard"
    offset: DimExpression = 0


@dataclass(frozen=True)
class Step:
    """native: call `symbol` with the addresses of `arguments`, once or for each shard. sum: tree-sum partials into totals
    (arguments are pairs partial, total flattened). host: run the reducer `symbol` of `bmc_runtime.reducers` on arguments
    (inputs then outputs)."""

    kind: Literal["native", "sum", "host"]
    symbol: str
    arguments: tuple[int, ...]
    per_shard: bool = False
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Limit:
    """Dims must be such that left <= right; `text` says so in words."""

    left: DimExpression
    right: DimExpression
    text: str


@dataclass(frozen=True)
class FunctionPlan:
    """dims: symbols in native order; row: the row dim's symbol or None; arena sizes in bytes. limits: without them native code
    would read beyond its operands."""

    name: str
    dims: tuple[str, ...]
    row: str | None
    buffers: tuple[Buffer, ...]
    steps: tuple[Step, ...]
    shard_arena: DimExpression = 0
    once_arena: DimExpression = 0
    limits: tuple[Limit, ...] = ()


@dataclass(frozen=True)
class Program:
    """Object code (ELF, position independent) with the plans of its functions."""

    functions: Mapping[str, FunctionPlan]
    object_code: bytes
    abi: int = ABI

    def plan_json(self) -> dict[str, Any]:
        return {"abi": self.abi, "functions": {name: asdict(plan) for name, plan in self.functions.items()}}

    @staticmethod
    def from_json(plan: Mapping[str, Any], object_code: bytes) -> Program:
        """ValueError when the plan is of another ABI or malformed."""
        if plan.get("abi") != ABI:
            raise ValueError(f"plan has ABI {plan.get('abi')!r}, this runtime runs {ABI}")
        functions = {name: _function(item) for name, item in plan["functions"].items()}
        return Program(functions, object_code)


def _function(item: Mapping[str, Any]) -> FunctionPlan:
    buffers = tuple(Buffer(**{**b, "shape": tuple(b["shape"])}) for b in item["buffers"])
    steps = tuple(Step(**{**s, "arguments": tuple(s["arguments"])}) for s in item["steps"])
    for step in steps:
        if any(not 0 <= i < len(buffers) for i in step.arguments):
            raise ValueError(f"step {step.symbol!r} names a buffer that does not exist")
    limits = tuple(Limit(**limit) for limit in item["limits"])
    arenas = item["shard_arena"], item["once_arena"]
    return FunctionPlan(item["name"], tuple(item["dims"]), item["row"], buffers, steps, *arenas, limits)


def evaluate_dim(expression: DimExpression, bindings: Mapping[str, int]) -> int:
    """The value of a dim expression; KeyError for a symbol without a binding, ValueError for a malformed expression."""
    if isinstance(expression, int):
        return expression
    if isinstance(expression, str):
        return bindings[expression]
    if isinstance(expression, Sequence) and expression:
        operator, *rest = expression
        values = [evaluate_dim(item, bindings) for item in rest]
        if operator == "+":
            return sum(values)
        if operator == "*":
            total = 1
            for value in values:
                total *= value
            return total
        if operator == "//" and len(values) == 2 and values[1] != 0:
            return values[0] // values[1]
        if operator == "max" and values:
            return max(values)
    raise ValueError(f"malformed dim expression {expression!r}")
