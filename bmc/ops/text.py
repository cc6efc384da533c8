"""Operators on text cells, and the host reducer that makes tables of distinct values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bmc.ir import Operation, Poly, TensorType
from bmc.ops.index import LOOKED_UP, infer_lookup, look_up, lookup_rows
from bmc.ops.lowering import Host, Opaque
from bmc.ops.registry import NotDifferentiable, Operator, RowMix, Sample, TypeRuleError
from bmc.ops.rules import require_dtype, require_rank, rows_elementwise
from bmc.record import record

__all__ = ["OPERATORS", "DistinctAttrs", "TextAttrs"]

_TEXT = NotDifferentiable("text has no gradient")
_WORDS = ("", "a", "ab", "b", "é", "zebra", "中")


@record(frozen=True)
class TextAttrs:
    """`value`: the literal."""

    value: str


@record(frozen=True)
class DistinctAttrs:
    """`limit`: the number of places of the table."""

    limit: int


def _infer_equal(types: Sequence[TensorType], attrs: TextAttrs) -> tuple[TensorType, ...]:
    require_dtype(types, 0, ("str",))
    return (types[0].with_dtype("bool"),)


def _infer_select(types: Sequence[TensorType], attrs: TextAttrs) -> tuple[TensorType, ...]:
    require_dtype(types, 0, ("bool",))
    require_dtype(types, 1, ("str",))
    if types[0].shape != types[1].shape:
        raise TypeRuleError(f"shapes differ: {types[0]} and {types[1]}", 1, 0)
    return (types[1],)


def _infer_distinct(types: Sequence[TensorType], attrs: DistinctAttrs) -> tuple[TensorType, ...]:
    x, keep = types
    require_dtype(types, 0, ("str", "i32", "i64"))
    require_rank(types, 0, 1, 1)
    require_dtype(types, 1, ("bool",))
    if keep.shape != x.shape:
        raise TypeRuleError(f"shapes differ: {x} and {keep}", 1, 0)
    if attrs.limit < 0:
        raise TypeRuleError(f"a table of {attrs.limit} places")
    return TensorType(x.dtype, (attrs.limit,)), TensorType("i32", (attrs.limit,)), TensorType("i32", ())


def _distinct_rows(op: Operation, axes: Sequence[int | None]) -> tuple[int | RowMix | None, ...]:
    state = None if all(axis is None for axis in axes) else RowMix.OTHER
    return (state,) * 3


def _distinct(np: Any, attrs: DistinctAttrs, arrays: Sequence[Any]) -> Sequence[Any]:
    x, keep = arrays
    counts: dict[Any, int] = {}
    for cell, kept in zip(x.tolist(), keep.tolist(), strict=True):
        if kept:
            counts[cell] = counts.get(cell, 0) + 1
    ranked = sorted(counts, key=lambda cell: (-counts[cell], cell))[: attrs.limit]
    table = np.full((attrs.limit,), "" if x.dtype == object else 0, dtype=x.dtype)
    order = np.full((attrs.limit,), -1, dtype=np.int32)
    for place, cell in enumerate(ranked):
        table[place] = cell
    order[: len(ranked)] = sorted(range(len(ranked)), key=lambda place: ranked[place])
    return table, order, np.array(len(ranked), dtype=np.int32)


def _literal(np: Any, attrs: TextAttrs) -> Any:
    """As an object: numpy's own strings lose NULs at their end."""
    return np.array(attrs.value, dtype=object)


def _words(np: Any, rng: Any, shape: tuple[int, ...]) -> Any:
    return np.array([_WORDS[i] for i in rng.integers(0, len(_WORDS), size=shape).ravel()], dtype=object).reshape(shape)


def _draw_text(np: Any, rng: Any, shapes: Sequence[tuple[int, ...]]) -> Sequence[Any]:
    return [_words(np, rng, shapes[0])]


def _draw_select(np: Any, rng: Any, shapes: Sequence[tuple[int, ...]]) -> Sequence[Any]:
    return [rng.integers(0, 2, size=shapes[0]).astype(bool), _words(np, rng, shapes[1])]


def _draw_lookup(np: Any, rng: Any, shapes: Sequence[tuple[int, ...]]) -> Sequence[Any]:
    table = [_WORDS[i] for i in rng.permutation(len(_WORDS))[: shapes[1][0]]]
    order = sorted(range(len(table)), key=lambda place: table[place])
    return [_words(np, rng, shapes[0]), np.array(table, dtype=object), np.array(order, dtype=np.int32)]


def _draw_distinct(np: Any, rng: Any, shapes: Sequence[tuple[int, ...]]) -> Sequence[Any]:
    return [_words(np, rng, shapes[0]), rng.integers(0, 4, size=shapes[1]) > 0]


_B = Poly.symbol("B")

OPERATORS = (
    Operator(
        name="str_equal",
        doc="Whether each text equals the literal, byte for byte.",
        arity=1,
        attrs=TextAttrs,
        infer=_infer_equal,
        grad=_TEXT,
        rows=rows_elementwise,
        lowering=Opaque("str_equal"),
        reference=lambda np, attrs, arrays: (np.asarray(arrays[0] == _literal(np, attrs), dtype=bool),),
        samples=lambda: [
            Sample((TensorType("str", shape),), TextAttrs(value), draw=_draw_text)
            for shape in ((), (_B,), (2, 3))
            for value in ("ab", "", 'é\n"')
        ],
    ),
    Operator(
        name="str_select",
        doc="The text where the condition holds, else the literal.",
        arity=2,
        attrs=TextAttrs,
        infer=_infer_select,
        grad=_TEXT,
        rows=rows_elementwise,
        lowering=Opaque("str_select"),
        reference=lambda np, attrs, arrays: (np.asarray(np.where(arrays[0], arrays[1], _literal(np, attrs)), dtype=object),),
        samples=lambda: [
            Sample((TensorType("bool", shape), TensorType("str", shape)), TextAttrs("missing"), draw=_draw_select)
            for shape in ((), (_B,), (2, 3))
        ],
    ),
    Operator(
        name="str_lookup",
        incremental=LOOKED_UP,
        doc="Position of each text in `table`, -1 where absent. `order` sorts the table by bytes; it ends at its "
        "first negative entry, and entries "
        "of the table that it does not name are not found.",
        arity=3,
        infer=lambda types, attrs: infer_lookup(("str",), types),
        grad=_TEXT,
        rows=lookup_rows,
        lowering=Opaque("str_lookup"),
        reference=look_up,
        samples=lambda: [
            Sample(
                (TensorType("str", shape), TensorType("str", (size,)), TensorType("i32", (size,))), draw=_draw_lookup
            )
            for shape, size in (((_B,), 4), ((2, 3), 1), ((), 0))
        ],
    ),
    Operator(
        name="distinct",
        doc="The values of x where `keep` holds, each once, by falling count, equal counts by bytes (of integers, "
        "by value), at most `limit`: the "
        "table (empty text or 0 in places left over), the order that sorts it (-1 in places left over), and how "
        "many there are.",
        arity=2,
        attrs=DistinctAttrs,
        infer=_infer_distinct,
        grad=_TEXT,
        rows=_distinct_rows,
        lowering=Host("distinct"),
        reference=_distinct,
        samples=lambda: (
            [
                Sample((TensorType("str", (_B,)), TensorType("bool", (_B,))), DistinctAttrs(limit), draw=_draw_distinct)
                for limit in (0, 3, 20)
            ]
            + [Sample((TensorType("i64", (_B,)), TensorType("bool", (_B,))), DistinctAttrs(4), below={0: 6})]
        ),
    ),
)
