"""The operator that looks for a literal in texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from bmc.ir import Poly, TensorType
from bmc.ops.incremental import PLAIN
from bmc.ops.lowering import Opaque
from bmc.ops.registry import NotDifferentiable, Operator, Sample, TypeRuleError
from bmc.ops.rules import require_dtype, rows_elementwise
from bmc.record import record
from bmc_runtime.characters import lower

__all__ = ["OPERATORS", "FindAttrs"]


@record(frozen=True)
class FindAttrs:
    """`value`: the literal. `place`: where in the text it has to stand: anywhere, at its start or end, or as one of the pieces that
    the byte `separator` cuts it into. `lower`: each text is looked at in lower case."""

    value: str
    place: Literal["anywhere", "start", "end", "piece"]
    separator: str = ""
    lower: bool = False


def _infer(types: Sequence[TensorType], attrs: FindAttrs) -> tuple[TensorType, ...]:
    require_dtype(types, 0, ("str",))
    if (attrs.place == "piece") != (len(attrs.separator.encode()) == 1):
        raise TypeRuleError(f"pieces are cut by one byte, not by {attrs.separator!r}")
    return (types[0].with_dtype("bool"),)


def _found(text: str, attrs: FindAttrs) -> bool:
    text = lower(text) if attrs.lower else text
    if attrs.place == "piece":
        return attrs.value in text.split(attrs.separator)
    if attrs.place == "start":
        return text.startswith(attrs.value)
    return text.endswith(attrs.value) if attrs.place == "end" else attrs.value in text


def _find(np: Any, attrs: FindAttrs, arrays: Sequence[Any]) -> Sequence[Any]:
    (x,) = arrays
    return (np.array([_found(cell, attrs) for cell in np.ravel(x).tolist()], bool).reshape(x.shape),)


_TEXTS = ("", "a", "ab", "aab", "Abba|b", "b|ab", "b|abé|", "|", "é中", "É", "xÉ", "ababab|AB", "İa")


def _draw(np: Any, rng: Any, shapes: Sequence[tuple[int, ...]]) -> Sequence[Any]:
    places = np.ravel(rng.integers(0, len(_TEXTS), size=shapes[0]))
    return [np.array([_TEXTS[i] for i in places], dtype=object).reshape(shapes[0])]


_B = Poly.symbol("B")

OPERATORS = (
    Operator(
        name="str_find",
        incremental=PLAIN,
        doc="Whether the literal stands in each text, byte for byte: anywhere, at its start, at its end, or as one of the pieces "
        "that `separator` cuts it into.",
        arity=1,
        attrs=FindAttrs,
        infer=_infer,
        grad=NotDifferentiable("text has no gradient"),
        rows=rows_elementwise,
        lowering=Opaque("str_find"),
        reference=_find,
        samples=lambda: [
            Sample((TensorType("str", shape),), FindAttrs(value, place, "|" if place == "piece" else "", lowered), draw=_draw)
            for shape, value in (((_B,), "ab"), ((2, 3), "é"), ((), ""), ((_B,), "b"))
            for place in ("anywhere", "start", "end", "piece")
            for lowered in (False, True)
        ],
    ),
)
