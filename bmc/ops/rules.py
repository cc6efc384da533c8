"""Type rules, row rules and gradient adapters that many operators share.

In: operand types, row axes, cotangents. Out: checked types, row axes of results, gradient rules. Every failure is a
`TypeRuleError` that names the operand at fault.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from bmc.ir import Dim, Operation, TensorType, Value
from bmc.ir.types import FLOATS, INTEGERS
from bmc.ops.element import ULP_BOUND
from bmc.ops.registry import ULP, GradRule, InferRule, RowMix, TypeRuleError

if TYPE_CHECKING:
    from bmc.ops.build import Builder

__all__ = [
    "CELLS", "NUMBERS", "batched", "distinct_axes", "elementwise", "is_negative", "normal_axis", "one_row_axis",
    "pointwise", "require_dtype", "require_rank", "rows_elementwise", "same_types", "ulp_of", "unless_zero",
]  # fmt: skip

NUMBERS = INTEGERS + FLOATS
CELLS = ("bool", *NUMBERS)
"""All dtypes but text."""


def require_dtype(types: Sequence[TensorType], operand: int, allowed: Sequence[str]) -> None:
    dtype = types[operand].dtype
    if dtype not in allowed:
        raise TypeRuleError(f"operand {operand} has dtype {dtype}; wanted: {', '.join(allowed)}", operand)


def require_rank(types: Sequence[TensorType], operand: int, least: int, most: int | None = None) -> None:
    rank = types[operand].rank
    if rank < least or (most is not None and rank > most):
        wanted = f"{least}" if least == most else f"at least {least}" if most is None else f"{least} to {most}"
        raise TypeRuleError(f"operand {operand} has rank {rank}; wanted: {wanted}", operand)


def same_types(types: Sequence[TensorType], first: int = 0) -> None:
    """All operands from `first` on have one dtype and one shape."""
    for i in range(first + 1, len(types)):
        if types[i].dtype != types[first].dtype:
            raise TypeRuleError(f"dtypes differ: {types[first].dtype} and {types[i].dtype}", i, first)
        if types[i].shape != types[first].shape:
            raise TypeRuleError(f"shapes differ: {types[first]} and {types[i]}", i, first)


def elementwise(allowed: Sequence[str]) -> InferRule:
    """The rule of operators on operands of one type, whose result has that type too."""

    def infer(types: Sequence[TensorType], attrs: Any) -> tuple[TensorType, ...]:
        require_dtype(types, 0, allowed)
        same_types(types)
        return (types[0],)

    return infer


def normal_axis(axis: int, rank: int) -> int:
    """An axis in 0 .. rank - 1. TypeRuleError outside."""
    if not 0 <= axis < rank:
        raise TypeRuleError(f"axis {axis} is outside rank {rank}")
    return axis


def distinct_axes(axes: Sequence[int], rank: int, what: str = "axes") -> None:
    for axis in axes:
        normal_axis(axis, rank)
    if len(set(axes)) != len(axes):
        raise TypeRuleError(f"{what} {tuple(axes)} repeat")


def is_negative(dim: Dim) -> bool:
    """Whether a dim is known to be below zero; a symbol counts from zero, so only integers are known."""
    return isinstance(dim, int) and dim < 0


def one_row_axis(axes: Sequence[int | None]) -> int | RowMix | None:
    """The row axis of a result whose axes are those of all operands."""
    found = {axis for axis in axes if axis is not None}
    if not found:
        return None
    return found.pop() if len(found) == 1 else RowMix.OTHER


def rows_elementwise(op: Operation, axes: Sequence[int | None]) -> tuple[int | RowMix | None, ...]:
    return tuple(one_row_axis(axes) for _ in op.results)


def batched(op: Operation, axes: Sequence[int | None], axis: int) -> tuple[int | RowMix | None, ...]:
    """Rows of an operator of one operand and equal axes that keeps rows apart unless they lie along `axis`."""
    state: int | RowMix | None = RowMix.OTHER if axes[0] == axis else axes[0]
    return tuple(state for _ in op.results)


def pointwise(rule: Callable[[Builder, Operation, Value], Sequence[Value | None]]) -> GradRule:
    """A gradient rule of one result from its rule for a cotangent that is not zero."""

    def grad(b: Builder, op: Operation, cotangents: Sequence[Value | None]) -> Sequence[Value | None]:
        (cotangent,) = cotangents
        return (None,) * len(op.operands) if cotangent is None else rule(b, op, cotangent)

    return grad


def unless_zero(b: Builder, cotangent: Value, gradient: Value) -> Value:
    """`gradient` where the cotangent is not zero, else 0.

    For functions whose derivative is infinite or NaN somewhere: a branch that `select` did not choose sends back
    zeros, which must not become 0 x infinity = NaN.
    """
    return b.select(b.compare("ne", cotangent, 0.0), gradient, b.full_like(gradient, 0.0))


def ulp_of(name: str) -> ULP:
    """The declared bound of a function of the element vocabulary."""
    return ULP(**ULP_BOUND[name])
