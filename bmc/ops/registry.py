"""What an operator is: one `Operator` record that holds everything the compiler knows of it.

In: operator records from the modules of this folder. Out: `definition(name)` and `operators()`. Guaranteed: names are
unique and every record is complete; `Operator` refuses to be built otherwise, except that the tests are who ask for
samples, since making them would slow every start. A new operator is one record in one file: its type rule, gradient,
row rule, lowering, reference evaluation and samples stand together, and the tests iterate over all records.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Any

from bmc.ir import Dim, Operation, Poly, Region, TensorType, Value
from bmc.ir.dims import symbols
from bmc.ops.incremental import PLAIN, Incremental
from bmc.ops.lowering import Elementwise, Lowering
from bmc.record import record

if TYPE_CHECKING:
    from bmc.ops.build import Builder

__all__ = [
    "GradRule", "InferRule", "NoAttrs", "NotDifferentiable", "Operator", "Reference", "RowMix", "RowRule", "Sample",
    "SimplifyRule", "TypeRuleError", "ULP", "infer_results", "row_axes",
]  # fmt: skip


class TypeRuleError(Exception):
    """Operand types do not fit. `operand` is the index of the one at fault, `other` of the one it conflicts with."""

    def __init__(self, message: str, operand: int | None = None, other: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.operand = operand
        self.other = other


@record(frozen=True)
class NoAttrs:
    """Attributes of an operator that has none."""


class RowMix(enum.Enum):
    """How an operator combines rows when it does not keep them apart."""

    SUM = "sum"  # the result over all rows is the sum of the results over parts of the rows
    OTHER = "other"  # it cannot be split over the rows


@record(frozen=True)
class NotDifferentiable:
    """Gradient rule of operators through which no gradient flows, with the reason.

    `misplaced`: the operator belongs after differentiation, so that meeting it there is a bug.
    """

    reason: str
    misplaced: bool = False


InferRule = Callable[[Sequence[TensorType], Any], tuple[TensorType, ...]]
"""(operand types, attrs) -> result types; raises TypeRuleError."""

GradRule = Callable[["Builder", Operation, Sequence[Value | None]], Sequence[Value | None]]
"""(builder, forward op, cotangents of its results, None where zero) -> cotangents of its operands, None where zero."""

RowRule = Callable[[Operation, Sequence[int | None]], tuple["int | RowMix | None", ...]]
"""(op, axis of the row dim in each operand or None where it has no rows) -> the same for each result, or how it mixes
rows.

A rule speaks of rows that operands bring. Rows that begin at the operation itself (a constant of shape [B], a value
broadcast over rows, the value of the row dim) are seen by `row_axes`, which passes should ask.
"""

SimplifyRule = Callable[["Builder", Operation, Callable[[Value], "Operation | None"]], "Value | None"]
"""(builder, op, the operation that defines a value) -> what the only result is the same as, bit for bit; None:
nothing simpler.

Looks at the operation and those that define its operands, no deeper: `canonicalise` asks again after each rewrite.
"""

Reference = Callable[[Any, Any, Sequence[Any]], Sequence[Any]]
"""(numpy, attrs, operand arrays) -> result arrays, computed in the operands' dtype. Used by tests and `--reference`
only.
"""


@record(frozen=True)
class ULP:
    """Largest error of one result element, in units in the last place of the exact result of the same inputs.

    For reductions and contractions: per addend, relative to the sum of the addends' magnitudes.
    """

    f32: float = 0.5
    f64: float = 0.5


@record(frozen=True)
class Sample:
    """One instance for the tests: operand types (symbols allowed: bound to several sizes by the tests) and attributes.

    `domain` gives the open interval from which float operands are drawn, by operand index (default (-2, 2)); `below`
    the exclusive upper bound of integer operands. `draw(numpy, random generator, shapes)` makes the operands itself,
    where ranges do not describe them. `smooth`: the float operands lie, almost surely, where the operator is
    differentiable.
    """

    operands: tuple[TensorType, ...]
    attrs: object = NoAttrs()
    domain: Mapping[int, tuple[float, float]] = field(default_factory=dict)
    below: Mapping[int, int] = field(default_factory=dict)
    draw: Callable[[Any, Any, Sequence[tuple[int, ...]]], Sequence[Any]] | None = None
    smooth: bool = True


@record(frozen=True, eq=False)
class Operator:
    """Everything about one operator.

    arity: number of operands, or (least, most) with None for no limit.
    attrs: its attribute dataclass (frozen; fields are ints, floats, bools, strs, dims, dtypes and tuples of those).
    inverse: for element-wise operators of one row-dependent operand: (builder, op, operand index, result) -> that
      operand, given the result; `undo` walks these.
    effect: it must run even when nobody uses its results.
    region_types: the result types of an operator that carries regions: (operand types, attrs, regions) -> result types.
    measures: the dim whose value over the whole batch the result is: (attrs) -> dim.
    positions: the axes along which the result depends on the index itself: (attrs) -> axes. Rows cannot be told apart
      by them.
    simplify: what `canonicalise` may put in its place.
    saves: the same operation with further results behind its own, which its gradient reads: (an empty builder, op)
      -> op.
    incremental: how positions along an axis come from positions of operands; element-wise operators have the plain rule
      by themselves. None: the result is computed whole.
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
    region_types: Callable[[Sequence[TensorType], Any, Sequence[Region]], tuple[TensorType, ...]] | None = None
    measures: Callable[[Any], Dim] | None = None
    positions: Callable[[Any], tuple[int, ...]] | None = None
    simplify: SimplifyRule | None = None
    saves: Callable[[Builder, Operation], Operation] | None = None
    incremental: Incremental | None = None

    def __post_init__(self) -> None:
        if not self.doc.strip():
            raise TypeError(f"operator {self.name} has no documentation")
        if not self.name.isidentifier():
            raise TypeError(f"{self.name!r} is not an operator name")
        if not hasattr(self.attrs, "__match_args__"):
            raise TypeError(f"the attributes of operator {self.name} are no dataclass")

    @property
    def by_position(self) -> Incremental | None:
        """The incremental rule, that of its lowering class included."""
        lowering = self.lowering
        if self.incremental is None and isinstance(lowering, Elementwise) and not lowering.indexed and not lowering.scalars:
            return PLAIN
        return self.incremental

    def check_arity(self, count: int) -> None:
        """Raise TypeRuleError unless the operator takes `count` operands."""
        least, most = self.arity if isinstance(self.arity, tuple) else (self.arity, self.arity)
        if count < least or (most is not None and count > most):
            wanted = f"{least}" if least == most else f"{least} or more" if most is None else f"{least} to {most}"
            raise TypeRuleError(f"{self.name} takes {wanted} operands, not {count}")


def infer_results(
    record: Operator, types: Sequence[TensorType], attrs: object, regions: Sequence[Region] = ()
) -> tuple[TensorType, ...]:
    """Result types of one operation: arity, attribute class, then the operator's own rule. TypeRuleError where they
    do not fit.
    """
    record.check_arity(len(types))
    if not isinstance(attrs, record.attrs):
        raise TypeRuleError(f"{record.name} has attributes {record.attrs.__name__}, not {type(attrs).__name__}")
    if record.region_types is not None:
        return record.region_types(types, attrs, regions)
    if regions:
        raise TypeRuleError(f"{record.name} has no region")
    return record.infer(types, attrs)


def row_axes(
    record: Operator, op: Operation, axes: Sequence[int | None], row: str | None
) -> tuple[int | RowMix | None, ...]:
    """The row rule of `op`, completed by the rows that begin at it; `row` is the symbol of the row dim (None: no rows
    at all).

    A result without row operands whose shape holds the row dim once has its rows there: all alike, but as many as the
    batch has. A result that holds it twice, or within a polynomial, or that depends on the position of a row, mixes
    rows.
    """
    found = tuple(record.rows(op, axes))
    if row is None:
        return found
    completed: list[int | RowMix | None] = []
    for state, value in zip(found, op.results, strict=True):
        if state is None:
            places = [i for i, dim in enumerate(value.type.shape) if row in symbols(dim)]
            if len(places) > 1 or (places and value.type.shape[places[0]] != Poly.symbol(row)):
                state = RowMix.OTHER
            elif places:
                positional = record.positions is not None and places[0] in record.positions(op.attrs)
                state = RowMix.OTHER if positional else places[0]
            elif record.measures is not None and row in symbols(record.measures(op.attrs)):
                state = RowMix.SUM
        completed.append(state)
    return tuple(completed)
