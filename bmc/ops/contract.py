"""Sums of products over paired axes: matrix products, inner and outer products, batched or not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bmc.ir import Operation, Poly, Shape, TensorType, Value
from bmc.ir.types import FLOATS
from bmc.ops.incremental import Incremental
from bmc.ops.lowering import Contraction
from bmc.ops.registry import ULP, Operator, RowMix, Sample, TypeRuleError
from bmc.ops.rules import distinct_axes, pointwise, require_dtype
from bmc.ops.simplify import simplify_contract
from bmc.record import record

if TYPE_CHECKING:
    from bmc.ops.build import Builder

__all__ = ["OPERATORS", "ContractAttrs", "free_axes"]


@record(frozen=True)
class ContractAttrs:
    """Axes in pairs: `lhs_batch[i]` goes with `rhs_batch[i]` and stays, `lhs_contract[i]` with `rhs_contract[i]` and
    is summed.
    """

    lhs_batch: tuple[int, ...]
    lhs_contract: tuple[int, ...]
    rhs_batch: tuple[int, ...]
    rhs_contract: tuple[int, ...]


def free_axes(rank: int, *used: Sequence[int]) -> tuple[int, ...]:
    """The axes that no list uses, ascending."""
    taken = {axis for axes in used for axis in axes}
    return tuple(axis for axis in range(rank) if axis not in taken)


def _infer(types: Sequence[TensorType], attrs: ContractAttrs) -> tuple[TensorType, ...]:
    a, b = types
    require_dtype(types, 0, FLOATS)
    if a.dtype != b.dtype:
        raise TypeRuleError(f"dtypes differ: {a.dtype} and {b.dtype}", 1, 0)
    if len(attrs.lhs_batch) != len(attrs.rhs_batch) or len(attrs.lhs_contract) != len(attrs.rhs_contract):
        raise TypeRuleError("the axes of a contraction do not pair", 1, 0)
    distinct_axes(attrs.lhs_batch + attrs.lhs_contract, a.rank, "axes of the left operand")
    distinct_axes(attrs.rhs_batch + attrs.rhs_contract, b.rank, "axes of the right operand")
    for left, right in zip(attrs.lhs_batch + attrs.lhs_contract, attrs.rhs_batch + attrs.rhs_contract, strict=True):
        if a.shape[left] != b.shape[right]:
            raise TypeRuleError(f"dims differ: axis {left} of {a} and axis {right} of {b}", 1, 0)
    batch = tuple(a.shape[axis] for axis in attrs.lhs_batch)
    left_free = tuple(a.shape[axis] for axis in free_axes(a.rank, attrs.lhs_batch, attrs.lhs_contract))
    right_free = tuple(b.shape[axis] for axis in free_axes(b.rank, attrs.rhs_batch, attrs.rhs_contract))
    return (a.with_shape(batch + left_free + right_free),)


def _rows(op: Operation, axes: Sequence[int | None]) -> tuple[int | RowMix | None, ...]:
    attrs: ContractAttrs = op.attrs  # type: ignore[assignment]
    a, b = op.operands
    left_free = free_axes(a.type.rank, attrs.lhs_batch, attrs.lhs_contract)
    right_free = free_axes(b.type.rank, attrs.rhs_batch, attrs.rhs_contract)
    batch = len(attrs.lhs_batch)
    found: set[int | RowMix] = set()
    paired: set[int] = set()
    for axis, batched, contracted, free, first_free in (
        (axes[0], attrs.lhs_batch, attrs.lhs_contract, left_free, batch),
        (axes[1], attrs.rhs_batch, attrs.rhs_contract, right_free, batch + len(left_free)),
    ):
        if axis is None:
            continue
        if axis in batched:
            found.add(batched.index(axis))
        elif axis in contracted:
            found.add(RowMix.SUM)
            paired.add(contracted.index(axis))
        else:
            found.add(first_free + free.index(axis))
    if not found:
        return (None,)
    # Rows that meet anything but the same rows of the other operand are combined with all of them.
    if len(found) > 1 or len(paired) > 1:
        return (RowMix.OTHER,)
    return (found.pop(),)


def _along(op: Operation, axis: int) -> Sequence[int | None]:
    """A batch axis of both operands, else a free axis of one."""
    attrs: ContractAttrs = op.attrs  # type: ignore[assignment]
    batch = len(attrs.lhs_batch)
    if axis < batch:
        return attrs.lhs_batch[axis], attrs.rhs_batch[axis]
    left = free_axes(op.operands[0].type.rank, attrs.lhs_batch, attrs.lhs_contract)
    right = free_axes(op.operands[1].type.rank, attrs.rhs_batch, attrs.rhs_contract)
    place = axis - batch
    return (left[place], None) if place < len(left) else (None, right[place - len(left)])


def _grad(b: Builder, op: Operation, g: Value) -> Sequence[Value | None]:
    """With C[batch, m.., n..] = sum over k.. of A and B: dA = sum over n of dC and B, dB = sum over m of A and dC.

    Each is one contraction whose operand order is the one that needs no transpose, where there is one.
    """
    attrs: ContractAttrs = op.attrs  # type: ignore[assignment]
    lhs, rhs = op.operands
    left_free = free_axes(lhs.type.rank, attrs.lhs_batch, attrs.lhs_contract)
    right_free = free_axes(rhs.type.rank, attrs.rhs_batch, attrs.rhs_contract)
    batch = tuple(range(len(attrs.lhs_batch)))
    g_left = tuple(range(len(batch), len(batch) + len(left_free)))
    g_right = tuple(range(len(batch) + len(left_free), g.type.rank))
    return (
        _one_side(
            b,
            g,
            rhs,
            lhs.type.rank,
            batch,
            g_right,
            attrs.rhs_batch,
            right_free,
            attrs.rhs_contract,
            attrs.lhs_batch,
            left_free,
            attrs.lhs_contract,
        ),
        _one_side(
            b,
            g,
            lhs,
            rhs.type.rank,
            batch,
            g_left,
            attrs.lhs_batch,
            left_free,
            attrs.lhs_contract,
            attrs.rhs_batch,
            right_free,
            attrs.rhs_contract,
        ),
    )


def _one_side(
    b: Builder,
    g: Value,
    other: Value,
    rank: int,
    g_batch: tuple[int, ...],
    g_summed: tuple[int, ...],
    other_batch: tuple[int, ...],
    other_free: tuple[int, ...],
    other_contract: tuple[int, ...],
    batch: tuple[int, ...],
    free: tuple[int, ...],
    contract: tuple[int, ...],
) -> Value:
    """The cotangent of the operand of `rank` with axes `batch`, `free`, `contract`, from `g` and the other operand."""
    # The other operand's contracted axes come out in ascending order; `inner` are this operand's axes in that order.
    inner = tuple(contract[other_contract.index(axis)] for axis in sorted(other_contract))
    g_first = batch + free + inner
    other_first = batch + inner + free
    if other_first == tuple(range(rank)) and g_first != other_first:
        return b.contract(other, g, other_batch, other_free, g_batch, g_summed)
    made = b.contract(g, other, g_batch, g_summed, other_batch, other_free)
    return b.transpose(made, [g_first.index(axis) for axis in range(rank)])


def _reference(np: Any, attrs: ContractAttrs, arrays: Sequence[Any]) -> Sequence[Any]:
    a, b = arrays
    names = iter(range(a.ndim + b.ndim))
    left = [next(names) for _ in range(a.ndim)]
    right = [next(names) for _ in range(b.ndim)]
    for i, j in zip(attrs.lhs_batch + attrs.lhs_contract, attrs.rhs_batch + attrs.rhs_contract, strict=True):
        right[j] = left[i]
    out = [left[i] for i in attrs.lhs_batch]
    out += [left[i] for i in free_axes(a.ndim, attrs.lhs_batch, attrs.lhs_contract)]
    out += [right[i] for i in free_axes(b.ndim, attrs.rhs_batch, attrs.rhs_contract)]
    return (np.asarray(np.einsum(a, left, b, right, out), dtype=a.dtype),)


def _samples() -> Sequence[Sample]:
    rows, t = Poly.symbol("B"), Poly.symbol("T")
    cases: tuple[tuple[Shape, Shape, ContractAttrs], ...] = (
        ((rows, 6), (6, 4), ContractAttrs((), (1,), (), (0,))),
        ((rows, 6), (4, 6), ContractAttrs((), (1,), (), (1,))),
        ((rows, 6), (rows, 4), ContractAttrs((), (0,), (), (0,))),
        ((5,), (5,), ContractAttrs((), (0,), (), (0,))),
        ((3,), (4,), ContractAttrs((), (), (), ())),
        ((2, 3), (), ContractAttrs((), (), (), ())),
        ((rows, 4), (rows, 4), ContractAttrs((0,), (1,), (0,), (1,))),
        ((rows, 2, t, 3), (rows, 2, 5, 3), ContractAttrs((0, 1), (3,), (0, 1), (3,))),
        ((rows, t, 2, 3), (rows, 5, 2, 3), ContractAttrs((0, 2), (3,), (0, 2), (3,))),
        ((2, 3, 4), (4, 3, 5), ContractAttrs((), (1, 2), (), (1, 0))),
        ((3, 0), (0, 2), ContractAttrs((), (1,), (), (0,))),
        ((rows, t, 6), (6, 4), ContractAttrs((), (2,), (), (0,))),
    )
    return [Sample((TensorType(dtype, a), TensorType(dtype, b)), attrs) for a, b, attrs in cases for dtype in FLOATS]


OPERATORS = (
    Operator(
        name="contract",
        simplify=simplify_contract,
        doc="The sum of products over paired axes. Result axes: batch, free of a, free of b.",
        arity=2,
        attrs=ContractAttrs,
        infer=_infer,
        grad=pointwise(_grad),
        rows=_rows,
        lowering=Contraction(),
        incremental=Incremental(_along),
        reference=_reference,
        samples=_samples,
        # One rounding of the product and one of the sum for each addend.
        ulp=ULP(1.0, 1.0),
    ),
)
