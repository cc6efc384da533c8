"""Operators that cut text into words, characters and bytes, and that turn cells into integers by a hash.

What a word and lower case are, `bmc_runtime/characters.py` says.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from bmc.ir import Dim, Poly, TensorType
from bmc.ops.incremental import PLAIN
from bmc.ops.lowering import Opaque
from bmc.ops.registry import NotDifferentiable, Operator, Sample, TypeRuleError
from bmc.ops.rules import is_negative, require_dtype, rows_elementwise
from bmc.record import record
from bmc_runtime.characters import lower, words

__all__ = ["OPERATORS", "BytesAttrs", "CountAttrs", "IntHashAttrs", "PartsAttrs", "StrHashAttrs"]

_TEXT = NotDifferentiable("text has no gradient")
_MASK = (1 << 64) - 1


@record(frozen=True)
class PartsAttrs:
    """`unit`: what a part is. `size`: the number of places for parts."""

    unit: Literal["words", "chars"]
    size: Dim


@record(frozen=True)
class CountAttrs:
    """`unit`: what is counted. `lower`: in the text in lower case, where bytes may be more or fewer."""

    unit: Literal["words", "chars", "bytes"]
    lower: bool


@record(frozen=True)
class BytesAttrs:
    """`size`: the number of places for bytes. `lower`: those of the text in lower case."""

    size: Dim
    lower: bool


@record(frozen=True)
class StrHashAttrs:
    """`n`: the exclusive upper bound of the result. `lower`: the hash of the text in lower case."""

    n: int
    lower: bool


@record(frozen=True)
class IntHashAttrs:
    """`n`: the exclusive upper bound of the result."""

    n: int


def _extended(types: Sequence[TensorType], dtype: str, size: Dim) -> tuple[TensorType, ...]:
    require_dtype(types, 0, ("str",))
    if is_negative(size):
        raise TypeRuleError(f"there are no {size} places", 0)
    return (TensorType(dtype, (*types[0].shape, size)),)


def _infer_count(types: Sequence[TensorType], attrs: CountAttrs) -> tuple[TensorType, ...]:
    require_dtype(types, 0, ("str",))
    return (types[0].with_dtype("i32"),)


def _infer_hash(types: Sequence[TensorType], attrs: StrHashAttrs | IntHashAttrs) -> tuple[TensorType, ...]:
    require_dtype(types, 0, ("str",) if isinstance(attrs, StrHashAttrs) else ("i32", "i64"))
    if not 1 <= attrs.n < 2**31:
        raise TypeRuleError(f"no integer lies below {attrs.n}, or it does not fit i32")
    return (types[0].with_dtype("i32"),)


def _positions(attrs: PartsAttrs | BytesAttrs) -> tuple[int, ...]:
    """The new axis, whichever it is: on no other can rows begin at the operation."""
    return tuple(range(64))


# --- reference ---------------------------------------------------------------------------------------------------------
def _cut(unit: str, text: str) -> Sequence[str]:
    return words(text) if unit == "words" else list(text)


def _each(np: Any, x: Any, dtype: Any, function: Any) -> Any:
    return np.array([function(cell) for cell in np.ravel(x).tolist()], dtype).reshape(x.shape)


def _filled(np: Any, x: Any, size: int, dtype: Any, empty: object, function: Any) -> Any:
    """`[..., size]`: what `function` gives of each cell, at most `size` of them, and `empty` behind."""
    result = np.full((x.size, size), empty, dtype)
    for i, cell in enumerate(np.ravel(x).tolist()):
        for j, part in enumerate(function(cell)[:size]):
            result[i, j] = part
    return result.reshape((*x.shape, size))


def _lowered(text: str, attrs: Any) -> bytes:
    return (lower(text) if attrs.lower else text).encode()


def _count(np: Any, attrs: CountAttrs, arrays: Sequence[Any]) -> Sequence[Any]:
    def count(text: str) -> int:
        return len(_lowered(text, attrs)) if attrs.unit == "bytes" else len(_cut(attrs.unit, text))

    return (_each(np, arrays[0], np.int32, count),)


def _mixed(x: int) -> int:
    """splitmix64's output function, as in the hashing of rows."""
    x = (x + 0x9E3779B97F4A7C15) & _MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
    return x ^ (x >> 31)


def _str_hash(np: Any, attrs: StrHashAttrs, arrays: Sequence[Any]) -> Sequence[Any]:
    def one(text: str) -> int:
        state = 0xCBF29CE484222325
        for byte in _lowered(text, attrs):
            state = ((state ^ byte) * 0x100000001B3) & _MASK
        return _mixed(state) % attrs.n

    return (_each(np, arrays[0], np.int32, one),)


def _int_hash(np: Any, attrs: IntHashAttrs, arrays: Sequence[Any]) -> Sequence[Any]:
    return (_each(np, arrays[0], np.int32, lambda x: _mixed((x & _MASK) ^ _mixed(1)) % attrs.n),)


_TEXTS = (
    "", "one", "Two words", " don't 'stop' ", "a''b 3.5", "ÀÉ—Ж’ж ẞ", "İstanbul ȺȾ", "中文，字", "“so”…", "🙂 ok", "x\0y\tz\n",
    "K Ω",
)  # fmt: skip


def _draw(np: Any, rng: Any, shapes: Sequence[tuple[int, ...]]) -> Sequence[Any]:
    picked = [_TEXTS[i] for i in rng.integers(0, len(_TEXTS), size=shapes[0]).ravel()]
    return [np.array(picked, dtype=object).reshape(shapes[0])]


_B, _T = Poly.symbol("B"), Poly.symbol("T")
_SHAPES: tuple[tuple[Dim, ...], ...] = ((_B,), (2, 3), ())
_SIZES: tuple[Dim, ...] = (_T, 0, 7)
_UNITS: tuple[Literal["words", "chars"], ...] = ("words", "chars")
_COUNTED: tuple[tuple[Literal["words", "chars", "bytes"], bool], ...] = (
    ("words", False), ("chars", False), ("bytes", False), ("bytes", True),
)  # fmt: skip


OPERATORS = (
    Operator(
        name="str_parts",
        doc="The words or the characters of each text along a new last axis: views into it, the first `size` of them, and empty "
        "texts behind.",
        arity=1,
        attrs=PartsAttrs,
        infer=lambda types, attrs: _extended(types, "str", attrs.size),
        grad=_TEXT,
        rows=rows_elementwise,
        lowering=Opaque("str_parts"),
        positions=_positions,
        reference=lambda np, attrs, arrays: (_filled(np, arrays[0], attrs.size, object, "", lambda text: _cut(attrs.unit, text)),),
        samples=lambda: [
            Sample((TensorType("str", shape),), PartsAttrs(unit, size), draw=_draw)
            for unit in _UNITS
            for shape, size in zip(_SHAPES, _SIZES, strict=True)
        ],
    ),
    Operator(
        name="str_count",
        doc="How many words, characters or bytes each text has.",
        arity=1,
        attrs=CountAttrs,
        infer=_infer_count,
        grad=_TEXT,
        rows=rows_elementwise,
        lowering=Opaque("str_count"),
        reference=_count,
        samples=lambda: [
            Sample((TensorType("str", shape),), CountAttrs(unit, lowered), draw=_draw)
            for unit, lowered in _COUNTED
            for shape in _SHAPES
        ],
    ),
    Operator(
        name="str_bytes",
        doc="The UTF-8 bytes of each text along a new last axis: the first `size` of them, and 0 behind.",
        arity=1,
        attrs=BytesAttrs,
        infer=lambda types, attrs: _extended(types, "i32", attrs.size),
        grad=_TEXT,
        rows=rows_elementwise,
        lowering=Opaque("str_bytes"),
        positions=_positions,
        reference=lambda np, attrs, arrays: (
            _filled(np, arrays[0], attrs.size, np.int32, 0, lambda text: list(_lowered(text, attrs))),
        ),
        samples=lambda: [
            Sample((TensorType("str", shape),), BytesAttrs(size, lowered), draw=_draw)
            for lowered in (False, True)
            for shape, size in zip(_SHAPES, _SIZES, strict=True)
        ],
    ),
    Operator(
        name="str_hash",
        incremental=PLAIN,
        doc="An integer below `n` for each text: FNV-1a of its bytes in 64 bits, mixed by splitmix64, modulo n.",
        arity=1,
        attrs=StrHashAttrs,
        infer=_infer_hash,
        grad=_TEXT,
        rows=rows_elementwise,
        lowering=Opaque("str_hash"),
        reference=_str_hash,
        samples=lambda: [
            Sample((TensorType("str", shape),), StrHashAttrs(n, lowered), draw=_draw)
            for lowered in (False, True)
            for shape, n in zip(_SHAPES, (1000, 2**31 - 1, 1), strict=True)
        ],
    ),
    Operator(
        name="int_hash",
        incremental=PLAIN,
        doc="An integer below `n` for each integer: splitmix64 of it, twice, modulo n.",
        arity=1,
        attrs=IntHashAttrs,
        infer=_infer_hash,
        grad=NotDifferentiable("the result is an integer"),
        rows=rows_elementwise,
        lowering=Opaque("int_hash"),
        reference=_int_hash,
        samples=lambda: [
            Sample((TensorType(dtype, shape),), IntHashAttrs(n))
            for dtype in ("i64", "i32")
            for shape, n in zip(_SHAPES, (1000, 2**31 - 1, 1), strict=True)
        ],
    ),
)
