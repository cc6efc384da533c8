"""What an operator is: one `Operator` record that holds everything the compiler knows of it.

In: operator records from the modules of this folder. Out: `definition(name)` and `operators()`. Guaranteed: names are unique
and every record is complete; `Operator` refuses to be built otherwise. A new operator is one record in one file: its type rule,
gradient, row rule, lowering, reference evaluation and samples stand together, and the tests iterate over all records.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bmc.ir import Operation, TensorType, Value
from bmc.ops.lowering import Lowering

if TYPE_CHECKING:
    from bmc.ops.build import Builder

__all__ = ["NoAttrs", "NotDifferentiable", "Operator", "RowMix", "RowRule", "Sample", "TypeRuleError", "ULP"]


class TypeRuleError(Exception):
    """Operand types do not fit. `operand` is the index of the one at fault, `other` of the one it conflicts with."""

    def __init__(self, message: str, operand: int | None = None, other: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.operand = operand
        self.other = other


@dataclass(frozen=True)
class NoAttrs:
    """Attributes of an operator that has none."""


class RowMix(enum.Enum):
    """How an operator combines rows when it does not keep them apart."""

    SUM = "sum"  # the result over all rows is the sum of the results over parts of the rows
    OTHER = "other"  # it cannot be split over the rows


@dataclass(frozen=True)
class NotDifferentiable:
    """Gradient rule of operators through which no gradient flows, with the reason."""

    reason: str


InferRule = Callable[[Sequence[TensorType], Any], tuple[TensorType, ...]]
"""(operand types, attrs) -> result types; raises TypeRuleError."""

GradRule = Callable[["Builder", Operation, Sequence[Value | None]], Sequence[Value | None]]
"""(builder, forward op, cotangents of its results, None where zero) -> cotangents of its operands, None where zero."""

RowRule = Callable[[Operation, Sequence[int | None]], tuple["int | None | RowMix", ...]]
"""(op, axis of the row dim in each operand or None where it has no rows) -> the same for each result, or how it mixes rows."""

Reference = Callable[[Any, Any, Sequence[Any]], Sequence[Any]]
"""(numpy, attrs, operand arrays) -> result arrays, computed in the operands' dtype. Used by tests and `--reference` only."""


@dataclass(frozen=True)
class ULP:
    """Largest error of one result element, in units in the last place of the exact result of the same inputs.

    For reductions and contractions: per addend, relative to the sum of the addends' magnitudes.
    """

    f32: float = 0.5
    f64: float = 0.5


@dataclass(frozen=True)
class Sample:
    """One instance for the tests: operand types (symbols allowed: bound to several sizes by the tests) and attributes.

    `domain` gives the open interval from which float operands are drawn, by operand index (default (-2, 2)); `below` the exclusive
    upper bound of integer operands, an int or the text of a dim.
    """

    operands: tuple[TensorType, ...]
    attrs: object = NoAttrs()
    domain: Mapping[int, tuple[float, float]] = field(default_factory=dict)
    below: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Operator:
    """Everything about one operator.

    arity: number of operands, or (least, most) with None for no limit.
    attrs: its attribute dataclass (frozen; fields are ints, floats, bools, strs, dims, dtypes and tuples of those).
    inverse: for element-wise operators of one row-dependent operand: (builder, op, operand index, result) -> that operand,
      given the result; `undo` walks these.
    effect: it must run even when nobody uses its results.
    """

    name: str
    doc: str
    arity: int | tuple[int, int | None]
    infer: InferRule
    grad: GradRule | NotDifferentiable
    rows: RowRule
    lowering: Lowering
    reference: Reference
    samples: Callable[[], Sequence[Sample]]
    attrs: type = NoAttrs
    ulp: ULP = ULP()
    inverse: Callable[[Builder, Operation, int, Value], Value] | None = None
    effect: bool = False

    def __post_init__(self) -> None:
        if not self.doc.strip():
            raise TypeError(f"operator {self.name} has no documentation")
        if not self.name.isidentifier():
            raise TypeError(f"{self.name!r} is not an operator name")
        if not self.samples():
            raise TypeError(f"operator {self.name} has no samples")
