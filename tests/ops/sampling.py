"""Samples of all operators as test cases, and arrays for them."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bmc.ir import Operation, TensorType, Value
from bmc.ir.dims import evaluate as evaluate_dim
from bmc.ops.arrays import numpy_dtype
from bmc.ops.build import Builder
from bmc.ops.evaluate import evaluate_ops
from bmc.ops.lowering import Expanded
from bmc.ops.registry import Operator, Sample
from bmc.ops.table import operators

BINDINGS = {"B": 5, "T": 4}


@dataclasses.dataclass(frozen=True)
class Case:
    record: Operator
    sample: Sample
    number: int

    def __str__(self) -> str:
        return f"{self.record.name}-{self.number}"

    def build(self) -> Operation:
        """The sample as an operation on fresh values."""
        return Builder().operation(self.record.name, [Value(t) for t in self.sample.operands], self.sample.attrs)


@functools.cache
def cases() -> tuple[Case, ...]:
    """Every sample of every operator whose operation stands without a region."""
    records = [record for record in operators().values() if record.region_types is None]
    return tuple(Case(record, sample, i) for record in records for i, sample in enumerate(record.samples()))


def has_value(case: Case) -> bool:
    """Whether the operator can be evaluated by itself: not those that a pass must expand, but for the identity
    `shard_sum`.
    """
    lowering = case.record.lowering
    return not isinstance(lowering, Expanded) or lowering.by == "expand" or case.record.name == "shard_sum"


def draw(sample: Sample, bindings: Mapping[str, int], seed: int = 0) -> list[Any]:
    """Operands as the sample describes them."""
    rng = np.random.default_rng(seed)
    shapes = [tuple(evaluate_dim(dim, bindings) for dim in t.shape) for t in sample.operands]
    if sample.draw is not None:
        return list(sample.draw(np, rng, shapes))
    return [_draw_one(rng, sample, i, t, shape) for i, (t, shape) in enumerate(zip(sample.operands, shapes, strict=True))]


def _draw_one(rng: Any, sample: Sample, operand: int, tensor_type: TensorType, shape: tuple[int, ...]) -> Any:
    dtype = numpy_dtype(np, tensor_type.dtype)
    if tensor_type.dtype == "bool":
        return rng.integers(0, 2, size=shape).astype(bool)
    if tensor_type.dtype in ("f32", "f64"):
        return np.asarray(rng.uniform(*sample.domain.get(operand, (-2.0, 2.0)), size=shape)).astype(dtype)
    low = 0 if tensor_type.dtype == "u8" or operand in sample.below else -9
    return np.asarray(rng.integers(low, sample.below.get(operand, 10), size=shape)).astype(dtype)


def run(op: Operation, arrays: Sequence[Any], bindings: Mapping[str, int]) -> list[Any]:
    """The results of one operation; evaluation checks their dtypes and shapes against the type rule."""
    values: dict[Value, Any] = dict(zip(op.operands, arrays, strict=True))
    evaluate_ops([op], values, bindings, np)
    return [values[value] for value in op.results]


def in_double(case: Case) -> Case:
    """The case with f64 for f32."""
    operands = tuple(t.with_dtype("f64") if t.dtype == "f32" else t for t in case.sample.operands)
    return dataclasses.replace(case, sample=dataclasses.replace(case.sample, operands=operands))
