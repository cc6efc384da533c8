"""Operators on text cells, and the host reducer that makes tables of distinct values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from bmc.ir import Operation, Poly, TensorType
from bmc.ops.incremental import PLAIN, Incremental
from bmc.ops.index import LOOKED_UP, infer_lookup, look_up, lookup_rows
from bmc.ops.lowering import Host, Opaque
from bmc.ops.registry import NotDifferentiable, Operator, RowMix, Sample, TypeRuleError
from bmc.ops.rules import require_dtype, require_rank, rows_elementwise
from bmc.record import record
from bmc_runtime.characters import lower, words

__all__ = ["OPERATORS", "DistinctAttrs", "EqualAttrs", "LookupAttrs", "TextAttrs"]

_TEXT = NotDifferentiable("text has no gradient")
_WORDS = ("", "a", "ab", "b", "é", "zebra", "中")
_MIXED = ("A", "É", "aB", "Zebra", "ZEBRAS", "Ⱥ", "İ")
_SENTENCES = ("to be or not", "To be", "É’é — a", "", "b b")


@record(frozen=True)
class TextAttrs:
    """`value`: the literal."""

    value: str


@record(frozen=True)
class EqualAttrs:
    """`value`: the literal. `lower`: each text is compared in lower case."""

    value: str
    lower: bool = False


@record(frozen=True)
class LookupAttrs:
    """`lower`: each text is looked up in lower case."""

    lower: bool = False


@record(frozen=True)
class DistinctAttrs:
    """`limit`: the number of places of the table. Of texts `unit` and `lower` say what is counted: the whole text, or its parts, as
    they are or in lower case."""

    limit: int
    unit: Literal["whole", "words", "chars"] = "whole"
    lower: bool = False


def _infer_equal(types: Sequence[TensorType], attrs: EqualAttrs) -> tuple[TensorType, ...]:
    require_dtype(types, 0, ("str",))
    return (types[0].with_dtype("bool"),)


def _infer_select(types: Sequence[TensorType], attrs: TextAttrs) -> tuple[TensorType, ...]:
    require_dtype(types, 0, ("bool",))
    require_dtype(types, 1, ("str",))
    if types[0].shape != types[1].shape:
        raise TypeRuleError(f"shapes differ: {types[0]} and {types[1]}", 1, 0)
    return (types[1],)


def _infer_default(types: Sequence[TensorType], attrs: object) -> tuple[TensorType, ...]:
    require_dtype(types, 0, ("bool",))
    require_dtype(types, 1, ("str",))
    require_dtype(types, 2, ("str",))
    if types[0].shape != types[1].shape:
        raise TypeRuleError(f"shapes differ: {types[0]} and {types[1]}", 1, 0)
    if types[2].shape != (1,):
        raise TypeRuleError(f"{types[2]} is not one text in a row", 2)
    return (types[1],)


def _default_rows(op: Operation, axes: Sequence[int | None]) -> tuple[int | RowMix | None, ...]:
    condition, text, table = axes
    return (RowMix.OTHER,) if table is not None else rows_elementwise(op, (condition, text))


def _infer_distinct(types: Sequence[TensorType], attrs: DistinctAttrs) -> tuple[TensorType, ...]:
    x, keep = types
    require_dtype(types, 0, ("str", "i32", "i64", "f32", "f64"))
    require_rank(types, 0, 1)
    require_dtype(types, 1, ("bool",))
    if x.dtype != "str" and (attrs.unit != "whole" or attrs.lower):
        raise TypeRuleError(f"{x} has no {'lower case' if attrs.lower else attrs.unit}", 0)
    if keep.shape != x.shape:
        raise TypeRuleError(f"shapes differ: {x} and {keep}", 1, 0)
    if attrs.limit < 0:
        raise TypeRuleError(f"a table of {attrs.limit} places")
    return TensorType(x.dtype, (attrs.limit,)), TensorType("i32", (attrs.limit,)), TensorType("i32", ())


def _distinct_rows(op: Operation, axes: Sequence[int | None]) -> tuple[int | RowMix | None, ...]:
    state = None if all(axis is None for axis in axes) else RowMix.OTHER
    return (state,) * 3


def _parts(cell: Any, attrs: DistinctAttrs) -> Sequence[Any]:
    text = lower(cell) if attrs.lower else cell
    return [text] if attrs.unit == "whole" else words(text) if attrs.unit == "words" else list(text)


def _equal(np: Any, attrs: EqualAttrs, arrays: Sequence[Any]) -> Sequence[Any]:
    (x,) = arrays
    return (np.array([(lower(cell) if attrs.lower else cell) == attrs.value for cell in np.ravel(x)], bool).reshape(x.shape),)


def _look_up(np: Any, attrs: LookupAttrs, arrays: Sequence[Any]) -> Sequence[Any]:
    x, table, order = arrays
    if attrs.lower:
        x = np.array([lower(cell) for cell in np.ravel(x)], dtype=object).reshape(x.shape)
    return look_up(np, attrs, (x, table, order))


def _distinct(np: Any, attrs: DistinctAttrs, arrays: Sequence[Any]) -> Sequence[Any]:
    x, keep = arrays
    counts: dict[Any, int] = {}
    if x.dtype.kind == "f":
        x, keep = x + 0, keep & ~np.isnan(x)  # one zero, and what is no number is no value
    for cell, kept in zip(np.ravel(x).tolist(), np.ravel(keep).tolist(), strict=True):
        for part in _parts(cell, attrs) if kept else ():
            counts[part] = counts.get(part, 0) + 1
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


def _drawn(np: Any, rng: Any, known: Sequence[str], shape: tuple[int, ...]) -> Any:
    return np.array([known[i] for i in np.ravel(rng.integers(0, len(known), size=shape))], dtype=object).reshape(shape)


def _words(np: Any, rng: Any, shape: tuple[int, ...]) -> Any:
    return _drawn(np, rng, _WORDS, shape)


def _draw_text(np: Any, rng: Any, shapes: Sequence[tuple[int, ...]]) -> Sequence[Any]:
    return [_drawn(np, rng, (*_WORDS, *_MIXED), shapes[0])]


def _draw_select(np: Any, rng: Any, shapes: Sequence[tuple[int, ...]]) -> Sequence[Any]:
    return [rng.integers(0, 2, size=shapes[0]).astype(bool), _words(np, rng, shapes[1])]


def _draw_default(np: Any, rng: Any, shapes: Sequence[tuple[int, ...]]) -> Sequence[Any]:
    return [*_draw_select(np, rng, shapes), _words(np, rng, shapes[2])]


def _draw_lookup(np: Any, rng: Any, shapes: Sequence[tuple[int, ...]]) -> Sequence[Any]:
    table = [_WORDS[i] for i in rng.permutation(len(_WORDS))[: shapes[1][0]]]
    order = sorted(range(len(table)), key=lambda place: table[place])
    return [_words(np, rng, shapes[0]), np.array(table, dtype=object), np.array(order, dtype=np.int32)]


def _draw_mixed(np: Any, rng: Any, shapes: Sequence[tuple[int, ...]]) -> Sequence[Any]:
    """Texts of which some are in the table in lower case only."""
    _, table, order = _draw_lookup(np, rng, shapes)
    return [_drawn(np, rng, (*_WORDS, *_MIXED), shapes[0]), table, order]


def _draw_distinct(np: Any, rng: Any, shapes: Sequence[tuple[int, ...]]) -> Sequence[Any]:
    return [_words(np, rng, shapes[0]), rng.integers(0, 4, size=shapes[1]) > 0]


def _draw_sentences(np: Any, rng: Any, shapes: Sequence[tuple[int, ...]]) -> Sequence[Any]:
    return [_drawn(np, rng, _SENTENCES, shapes[0]), rng.integers(0, 4, size=shapes[1]) > 0]


_B = Poly.symbol("B")

OPERATORS = (
    Operator(
        name="str_equal",
        incremental=PLAIN,
        doc="Whether each text equals the literal, byte for byte.",
        arity=1,
        attrs=EqualAttrs,
        infer=_infer_equal,
        grad=_TEXT,
        rows=rows_elementwise,
        lowering=Opaque("str_equal"),
        reference=_equal,
        samples=lambda: [
            Sample((TensorType("str", shape),), EqualAttrs(value, lowered), draw=_draw_text)
            for shape in ((), (_B,), (2, 3))
            for value, lowered in (("ab", False), ("", False), ('é\n"', False), ("ab", True), ("é", True))
        ],
    ),
    Operator(
        name="str_select",
        incremental=PLAIN,
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
        name="str_default",
        incremental=Incremental(lambda op, axis: (axis, axis, None)),
        doc="The text where the condition holds, else the only cell of `table`.",
        arity=3,
        infer=_infer_default,
        grad=_TEXT,
        rows=_default_rows,
        lowering=Opaque("str_default"),
        reference=lambda np, attrs, arrays: (np.asarray(np.where(arrays[0], arrays[1], arrays[2][0]), dtype=object),),
        samples=lambda: [
            Sample((TensorType("bool", shape), TensorType("str", shape), TensorType("str", (1,))), draw=_draw_default)
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
        attrs=LookupAttrs,
        infer=lambda types, attrs: infer_lookup(("str",), types),
        grad=_TEXT,
        rows=lookup_rows,
        lowering=Opaque("str_lookup"),
        reference=_look_up,
        samples=lambda: [
            Sample(
                (TensorType("str", shape), TensorType("str", (size,)), TensorType("i32", (size,))),
                LookupAttrs(lowered),
                draw=_draw_mixed if lowered else _draw_lookup,
            )
            for lowered in (False, True)
            for shape, size in (((_B,), 4), ((2, 3), 1), ((), 0), ((20,), 7))
        ],
    ),
    Operator(
        name="distinct",
        doc="The values of x where `keep` holds (of texts: they, or their words or characters, as they are or in lower case), each "
        "once, by falling count, equal counts by bytes (of numbers, by value; -0 is 0, NaN none), at most `limit`: the table "
        "(empty text or 0 in places left over), the order that sorts it (-1 in places left over), and how many there are.",
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
            + [Sample((TensorType("i64", (_B, 2)), TensorType("bool", (_B, 2))), DistinctAttrs(4), below={0: 6})]
            + [
                Sample((TensorType(dtype, (_B,)), TensorType("bool", (_B,))), DistinctAttrs(3), smooth=False)
                for dtype in ("f32", "f64")
            ]
            + [
                Sample((TensorType("str", (_B,)), TensorType("bool", (_B,))), DistinctAttrs(5, unit, lowered), draw=_draw_sentences)
                for unit in ("whole", "words", "chars")
                for lowered in (False, True)
            ]
        ),
    ),
)
