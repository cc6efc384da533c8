"""Operators that read or write cells by computed indices: gather, scatter_add, take_along, scatter_along, and look-ups of
integers in tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bmc.ir import Dim, Operation, Poly, TensorType, Value
from bmc.ops.incremental import Incremental
from bmc.ops.lowering import Opaque
from bmc.ops.registry import NotDifferentiable, Operator, RowMix, Sample, TypeRuleError
from bmc.ops.rules import CELLS, NUMBERS, is_negative, one_row_axis, pointwise, require_dtype, require_rank
from bmc.record import record

if TYPE_CHECKING:
    from bmc.ops.build import Builder

__all__ = [
    "LOOKED_UP", "OPERATORS", "BincountAttrs", "ScatterAddAttrs", "ScatterAlongAttrs", "infer_lookup", "look_up", "lookup_rows",
]  # fmt: skip

INDICES = ("i32", "i64")


@record(frozen=True)
class ScatterAddAttrs:
    """`rows`: the leading dim of the result."""

    rows: Dim


@record(frozen=True)
class ScatterAlongAttrs:
    """`size`: the last dim of the result. `lead`: how many leading axes the result shares with the operands."""

    size: Dim
    lead: int


@record(frozen=True)
class BincountAttrs:
    """`size`: the leading dim of the result."""

    size: Dim


def _clamped(np: Any, index: Any, size: int) -> Any:
    return np.clip(index.astype(np.int64), 0, max(size - 1, 0))


# --- gather and scatter_add ---


def _infer_gather(types: Sequence[TensorType], attrs: object) -> tuple[TensorType, ...]:
    table, index = types
    require_dtype(types, 0, CELLS)
    require_rank(types, 0, 1)
    require_dtype(types, 1, INDICES)
    if table.shape[0] == 0:
        raise TypeRuleError("the table has no rows", 0)
    return (table.with_shape(index.shape + table.shape[1:]),)


def _gather_rows(op: Operation, axes: Sequence[int | None]) -> tuple[int | RowMix | None, ...]:
    table, index = axes
    if table == 0:
        return (RowMix.OTHER,)
    return (one_row_axis((index, None if table is None else op.operands[1].type.rank + table - 1)),)


def _gather_along(op: Operation, axis: int) -> Sequence[int | None]:
    rank = op.operands[1].type.rank
    return (None, axis) if axis < rank else (axis - rank + 1, None)


def _gather_grad(b: Builder, op: Operation, g: Value) -> Sequence[Value | None]:
    table, index = op.operands
    return b.scatter_add(index, g, table.type.shape[0]), None


def _infer_scatter_add(types: Sequence[TensorType], attrs: ScatterAddAttrs) -> tuple[TensorType, ...]:
    index, updates = types
    require_dtype(types, 0, INDICES)
    require_dtype(types, 1, NUMBERS)
    if updates.shape[: index.rank] != index.shape:
        raise TypeRuleError(f"updates {updates} do not begin with the dims of the index {index}", 1, 0)
    if attrs.rows == 0 or is_negative(attrs.rows):
        raise TypeRuleError("the result has no rows")
    return (updates.with_shape((attrs.rows, *updates.shape[index.rank :])),)


def _scatter_add_rows(op: Operation, axes: Sequence[int | None]) -> tuple[int | RowMix | None, ...]:
    rank = op.operands[0].type.rank
    index, updates = axes
    inner = None if updates is None or updates < rank else 1 + updates - rank
    summed = {axis for axis in (index, updates) if axis is not None and axis < rank}
    if inner is not None or len(summed) > 1:
        return (RowMix.OTHER if summed else inner,)
    return (RowMix.SUM if summed else None,)


def _scatter_add(np: Any, attrs: ScatterAddAttrs, arrays: Sequence[Any]) -> Sequence[Any]:
    index, updates = arrays
    result = np.zeros((attrs.rows, *updates.shape[index.ndim :]), dtype=updates.dtype)
    np.add.at(result, _clamped(np, index, result.shape[0]), updates)
    return (result,)


# --- bincount ---


def _infer_bincount(types: Sequence[TensorType], attrs: BincountAttrs) -> tuple[TensorType, ...]:
    require_dtype(types, 0, INDICES)
    if attrs.size == 0 or is_negative(attrs.size):
        raise TypeRuleError("there is nothing to count", 0)
    return (TensorType("i64", (attrs.size,)),)


def _bincount_rows(op: Operation, axes: Sequence[int | None]) -> tuple[int | RowMix | None, ...]:
    return (None if axes[0] is None else RowMix.SUM,)


def _bincount(np: Any, attrs: Any, arrays: Sequence[Any]) -> Sequence[Any]:
    return (np.bincount(_clamped(np, np.ravel(arrays[0]), attrs.size), minlength=attrs.size).astype(np.int64),)


# --- take_along ---


def _infer_take_along(types: Sequence[TensorType], attrs: object) -> tuple[TensorType, ...]:
    x, index = types
    require_dtype(types, 0, CELLS)
    require_rank(types, 0, 1)
    require_dtype(types, 1, INDICES)
    if index.shape[: x.rank - 1] != x.shape[:-1]:
        raise TypeRuleError(f"the index {index} does not begin with the leading dims of {x}", 1, 0)
    if x.shape[-1] == 0:
        raise TypeRuleError("the last axis has no cells", 0)
    return (x.with_shape(index.shape),)


def _take_along_rows(op: Operation, axes: Sequence[int | None]) -> tuple[int | RowMix | None, ...]:
    x, _ = axes
    last = op.operands[0].type.rank - 1
    return (RowMix.OTHER if x == last else one_row_axis(axes),)


def _take_along(np: Any, attrs: object, arrays: Sequence[Any]) -> Sequence[Any]:
    x, index = arrays
    lead = x.ndim - 1
    flat = (
        _clamped(np, index, x.shape[-1]).reshape((*x.shape[:-1], -1))
        if index.size
        else np.zeros((*x.shape[:-1], 0), dtype=np.int64)
    )
    return (np.take_along_axis(x, flat, axis=lead).reshape(index.shape),)


def _take_along_grad(b: Builder, op: Operation, g: Value) -> Sequence[Value | None]:
    """Each cell of x collects the cotangents of the indices that name it. Of one index a row, a comparison with every
    position, which fuses with what follows.
    """
    x, index = op.operands
    lead = x.type.rank - 1
    if index.type.rank > lead:
        return b.scatter_along(index, g, x.type.shape[-1], lead), None
    shape = (*index.type.shape, x.type.shape[-1])
    clamped = b.clamp_index(index, x.type.shape[-1])
    position = b.iota(index.type.dtype, shape, len(shape) - 1)
    axes = range(index.type.rank)
    hit = b.compare("eq", b.broadcast(clamped, shape, axes), position)
    spread = b.broadcast(g, shape, axes)
    return b.select(hit, spread, b.full_like(spread, 0.0)), None


# --- scatter_along ---


def _infer_scatter_along(types: Sequence[TensorType], attrs: ScatterAlongAttrs) -> tuple[TensorType, ...]:
    index, updates = types
    require_dtype(types, 0, INDICES)
    require_dtype(types, 1, NUMBERS)
    if updates.shape != index.shape:
        raise TypeRuleError(f"shapes differ: {index} and {updates}", 1, 0)
    if not 0 <= attrs.lead <= index.rank:
        raise TypeRuleError(f"{index} does not have {attrs.lead} leading axes", 0)
    if attrs.size == 0 or is_negative(attrs.size):
        raise TypeRuleError("the last axis of the result has no cells")
    return (updates.with_shape((*index.shape[: attrs.lead], attrs.size)),)


def _scatter_along_rows(op: Operation, axes: Sequence[int | None]) -> tuple[int | RowMix | None, ...]:
    axis = one_row_axis(axes)
    if isinstance(axis, int) and axis >= op.attrs.lead:  # type: ignore[attr-defined]
        return (RowMix.SUM,)
    return (axis,)


def _scatter_along(np: Any, attrs: ScatterAlongAttrs, arrays: Sequence[Any]) -> Sequence[Any]:
    index, updates = arrays
    lead = index.shape[: attrs.lead]
    result = np.zeros((*lead, attrs.size), dtype=updates.dtype)
    for row in np.ndindex(lead):
        np.add.at(result[row], _clamped(np, index[row].ravel(), result.shape[-1]), updates[row].ravel())
    return (result,)


# --- int_lookup ---


def infer_lookup(allowed: Sequence[str], types: Sequence[TensorType]) -> tuple[TensorType, ...]:
    """The type rule of look-ups: x in `table[n]`, which `order: i32[n]` sorts."""
    x, table, order = types
    require_dtype(types, 0, allowed)
    if table.dtype != x.dtype:
        raise TypeRuleError(f"dtypes differ: {x.dtype} and {table.dtype}", 1, 0)
    require_rank(types, 1, 1, 1)
    require_dtype(types, 2, ("i32",))
    if order.shape != table.shape:
        raise TypeRuleError(f"shapes differ: {table} and {order}", 2, 1)
    return (TensorType("i32", x.shape),)


def lookup_rows(op: Operation, axes: Sequence[int | None]) -> tuple[int | RowMix | None, ...]:
    return (axes[0] if axes[1] is None and axes[2] is None else RowMix.OTHER,)


LOOKED_UP = Incremental(lambda op, axis: (axis, None, None))
"""The incremental rule of look-ups."""


def look_up(np: Any, attrs: object, arrays: Sequence[Any]) -> Sequence[Any]:
    """Reference of look-ups. `order` ends at its first negative entry: a fitted table may have fewer entries than
    places.
    """
    x, table, order = arrays
    used: list[int] = []
    for place in order.tolist():
        if place < 0:
            break
        used.append(place)
    positions = {table[place]: place for place in reversed(used)}
    flat = [positions.get(cell, -1) for cell in np.ravel(x)]
    return (np.array(flat, dtype=np.int32).reshape(x.shape),)


def _draw_int_lookup(np: Any, rng: Any, shapes: Sequence[tuple[int, ...]]) -> Sequence[Any]:
    table = rng.permutation(3 * shapes[1][0])[: shapes[1][0]].astype(np.int64) - 2
    order = np.argsort(table, kind="stable").astype(np.int32)
    if shapes[1][0] > 3:
        order = np.concatenate([order[order != 3], [np.int32(-1)]]).astype(np.int32)
    return [rng.integers(-3, 3 * shapes[1][0], size=shapes[0]), table, order]


_B = Poly.symbol("B")
_T = Poly.symbol("T")


def _t(dtype: str, *shape: Dim) -> TensorType:
    return TensorType(dtype, shape)


OPERATORS = (
    Operator(
        name="gather",
        incremental=Incremental(_gather_along),
        doc="Rows of `table` by index: result[i.., r..] = table[index[i..], r..]. An index out of range is clamped.",
        arity=2,
        infer=_infer_gather,
        grad=pointwise(_gather_grad),
        rows=_gather_rows,
        lowering=Opaque("gather"),
        reference=lambda np, attrs, arrays: (arrays[0][_clamped(np, arrays[1], arrays[0].shape[0])],),
        samples=lambda: [
            Sample(types, below={1: 9})
            for types in (
                (_t("f32", 8, 3), _t("i32", _B)),
                (_t("f64", 8, 3), _t("i64", _B, _T)),
                (_t("f32", 4), _t("i32")),
                (_t("f64", 7, 2, 3), _t("i32", 0)),
                (_t("i32", 5), _t("i64", 3, 2)),
            )
        ],
    ),
    Operator(
        name="scatter_add",
        doc="result[index[i..], r..] = sum of updates[i.., r..] over i, in row-major order, starting from 0. An "
        "index out of range is clamped, "
        "as `gather` does: each is the other's gradient.",
        arity=2,
        attrs=ScatterAddAttrs,
        infer=_infer_scatter_add,
        grad=pointwise(lambda b, op, g: (None, b.gather(g, op.operands[0]))),
        rows=_scatter_add_rows,
        lowering=Opaque("scatter_add"),
        reference=_scatter_add,
        samples=lambda: [
            Sample(types, ScatterAddAttrs(rows), below={0: 9})
            for types, rows in (
                ((_t("i32", _B), _t("f32", _B, 3)), 8),
                ((_t("i64", _B, _T), _t("f64", _B, _T, 2)), 8),
                ((_t("i32", 5), _t("f32", 5)), 3),
                ((_t("i32"), _t("f64", 4)), 6),
                ((_t("i32", 0), _t("f64", 0, 2)), 3),
            )
        ],
    ),
    Operator(
        name="bincount",
        doc="How often each of 0 .. size - 1 occurs. An index out of range counts as the nearest.",
        arity=1,
        attrs=BincountAttrs,
        infer=_infer_bincount,
        grad=NotDifferentiable("the result is a number of cells"),
        rows=_bincount_rows,
        lowering=Opaque("bincount"),
        positions=lambda attrs: (0,),
        reference=_bincount,
        samples=lambda: [
            Sample((operand,), BincountAttrs(size), below={0: 9})
            for operand, size in (
                (_t("i32", _B), 8), (_t("i64", _B, _T), 5), (_t("i32", 3, 2), 12), (_t("i64"), 1), (_t("i32", 0), 2),
            )
        ],
    ),
    Operator(
        name="take_along",
        incremental=Incremental(lambda op, axis: (axis, axis) if axis < op.operands[0].type.rank - 1 else (None, axis)),
        doc="Cells of the last axis by index: result[l.., i..] = x[l.., index[l.., i..]], where l.. are all axes of "
        "x but the last; the index may "
        "have further axes or none. An index out of range is clamped.",
        arity=2,
        infer=_infer_take_along,
        grad=pointwise(_take_along_grad),
        rows=_take_along_rows,
        lowering=Opaque("take_along"),
        reference=_take_along,
        samples=lambda: [
            Sample(types, below={1: 6})
            for types in (
                (_t("f32", _B, 5), _t("i32", _B)),
                (_t("f64", _B, 3, 5), _t("i64", _B, 3)),
                (_t("f64", _B, 5), _t("i32", _B, 4)),
                (_t("f32", 5), _t("i32")),
                (_t("i32", 2, 4), _t("i32", 2, 0)),
            )
        ],
    ),
    Operator(
        name="scatter_along",
        doc="result[l.., j] = sum of updates[l.., i..] over the i.. with index[l.., i..] = j, in row-major order, starting from 0; "
        "l.. are `lead` axes. An index out of range is clamped, as `take_along` does: each is the other's gradient.",
        arity=2,
        attrs=ScatterAlongAttrs,
        infer=_infer_scatter_along,
        grad=pointwise(lambda b, op, g: (None, b.take_along(g, op.operands[0]))),
        rows=_scatter_along_rows,
        lowering=Opaque("scatter_along"),
        reference=_scatter_along,
        samples=lambda: [
            Sample((_t(index, *shape), _t(dtype, *shape)), ScatterAlongAttrs(size, lead), below={0: 7})
            for index, dtype in (("i32", "f32"), ("i64", "f64"))
            for shape, size, lead in (
                ((_B, 9), 6, 1),
                ((_B, 2, 5), 4, 2),
                ((_B, 3, 4), 8, 1),
                ((5,), 3, 0),
                ((2, 0), 3, 1),
                ((3,), 4, 1),
            )
        ],
    ),
    Operator(
        name="int_lookup",
        incremental=LOOKED_UP,
        doc="Position of each integer in `table`, -1 where absent. `order` sorts the table; it ends at its first "
        "negative entry, and entries of the "
        "table that it does not name are not found.",
        arity=3,
        infer=lambda types, attrs: infer_lookup(("i32", "i64"), types),
        grad=NotDifferentiable("the result is a position"),
        rows=lookup_rows,
        lowering=Opaque("int_lookup"),
        reference=look_up,
        samples=lambda: [
            Sample((_t("i64", *shape), _t("i64", size), _t("i32", size)), draw=_draw_int_lookup)
            for shape, size in (((_B,), 6), ((3, 2), 3), ((4,), 0))
        ],
    ),
)
