"""The graph: typed SSA over tensors. Immutable; passes build new graphs.

A `Function` has parameters, operations in execution order, and results. An `Operation` is generic: the name of an operator
of the registry, operand values, frozen attributes (the operator's own dataclass), result values, and regions for operators that
carry code. Values are compared by identity. Parameters say where their contents live (`role`, `key`), results say what they
become: an output, or the new contents of the parameter with the same key. Weights are named, never inlined.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from bmc.ir.types import TensorType
from bmc.record import record
from bmc.source import Span

__all__ = [
    "Function",
    "Location",
    "Module",
    "NOWHERE",
    "Operation",
    "Parameter",
    "ParameterRole",
    "Region",
    "Result",
    "ResultRole",
    "Value",
]


@dataclass(frozen=True, slots=True)
class Location:
    """Where an operation comes from: every source span that had a part in it, and whether it is of the backward graph."""

    spans: tuple[Span, ...] = ()
    gradient: bool = False

    def joined(self, other: Location) -> Location:
        spans = self.spans + tuple(s for s in other.spans if s not in self.spans)
        return Location(spans, self.gradient and other.gradient)

    def as_gradient(self) -> Location:
        return self if self.gradient else Location(self.spans, True)


NOWHERE = Location()


@dataclass(frozen=True, eq=False, slots=True)
class Value:
    """One tensor. `name` is a hint for readers of dumps; it need not be unique."""

    type: TensorType
    name: str = ""


@dataclass(frozen=True, eq=False, slots=True)
class Region:
    """Code inside an operation: the body of a fused kernel or of a scan. It sees its own parameters only."""

    params: tuple[Value, ...]
    ops: tuple[Operation, ...]
    results: tuple[Value, ...]


@dataclass(frozen=True, eq=False, slots=True)
class Operation:
    """One operator applied to values. `attrs` is an instance of the operator's attribute dataclass."""

    name: str
    operands: tuple[Value, ...]
    attrs: object
    results: tuple[Value, ...]
    regions: tuple[Region, ...] = ()
    location: Location = NOWHERE

    @property
    def result(self) -> Value:
        """The only result."""
        (value,) = self.results
        return value


ParameterRole = Literal["weight", "state", "moment", "fitted", "input", "control"]
"""weight: learned. state: carried by a layer. moment: an optimizer's state. fitted: a statistic or table of the data block.
input: a column or data output of this batch. control: seed, step, first row, and other scalars of the runtime."""

ResultRole = Literal["output", "update"]


@record(frozen=True, eq=False)
class Parameter:
    value: Value
    role: ParameterRole
    key: str


@record(frozen=True, eq=False)
class Result:
    """`update`: `value` becomes the contents of the parameter named `key` (weight, state, moment or fitted)."""

    value: Value
    role: ResultRole
    key: str


@record(frozen=True, eq=False)
class Function:
    """`row` is the symbol of the row dim: the leading dim of every per-row input. None: the function has no rows."""

    name: str
    params: tuple[Parameter, ...]
    ops: tuple[Operation, ...]
    results: tuple[Result, ...]
    row: str | None = None

    def param(self, key: str) -> Parameter:
        for param in self.params:
            if param.key == key:
                return param
        raise KeyError(key)

    def values(self) -> Iterator[Value]:
        for param in self.params:
            yield param.value
        for op in self.ops:
            yield from op.results


@record(frozen=True, eq=False)
class Module:
    """The functions compiled together. Function names are unique."""

    functions: tuple[Function, ...]

    def function(self, name: str) -> Function:
        for function in self.functions:
            if function.name == name:
                return function
        raise KeyError(name)
