"""What is known of an element without computing it: numbers, and indices along axes.

In: an operator's own lowering rule (`Elementwise.emit`), run on facts instead of elements. Out: a fact about the result. So no
operator is named here, and a new one has its facts by its rule. A fact may be asked under the assumption that the index along one
axis is greater than that along another: this is how a causal mask is known to be one.

`UNKNOWN` stands for any finite number. What holds of facts holds where nothing is infinite or NaN that is not known to be.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NoReturn

from bmc.record import record

__all__ = ["UNKNOWN", "Fact", "Index", "Known", "Pair", "fact_of"]

Pair = tuple[int, int]
"""(i, j): the index along axis j is greater than that along axis i."""

_EXACT = 1 << 24
"""Whole numbers up to here are exact in every dtype of floats."""


class _DtypeAsked(Exception):
    """A lowering rule wants to know of what dtype an element is, which facts do not say."""


class _Fact:
    @property
    def dtype(self) -> NoReturn:
        raise _DtypeAsked


@record(frozen=True)
class Known(_Fact):
    """This number, or truth value, wherever the assumption holds."""

    value: bool | int | float


@record(frozen=True)
class Index(_Fact):
    """A sum of indices: `terms` are (axis, factor), sorted, no factor 0; and a whole number."""

    terms: tuple[tuple[int, int], ...]
    offset: int


@record(frozen=True)
class _Unknown(_Fact):
    pass


UNKNOWN = _Unknown()
Fact = Known | Index | _Unknown


def _number(value: float) -> Fact:
    """A result of arithmetic, where it is exact whatever the dtype."""
    if math.isnan(value) or (not math.isinf(value) and (value != int(value) or abs(value) > _EXACT)):
        return UNKNOWN
    return Known(value)


def _as_index(fact: Fact) -> Index | None:
    if isinstance(fact, Index):
        return fact
    if isinstance(fact, Known) and not isinstance(fact.value, bool) and math.isfinite(fact.value) and fact.value == int(fact.value):
        return Index((), int(fact.value))
    return None


def _sum(x: Index, y: Index, sign: int) -> Index:
    factors = dict(x.terms)
    for axis, factor in y.terms:
        factors[axis] = factors.get(axis, 0) + sign * factor
    return Index(tuple(sorted((a, f) for a, f in factors.items() if f)), x.offset + sign * y.offset)


class _Elements:
    """Stands where lowering rules want a builder of elements. `pair`: the assumption, if any."""

    def __init__(self, pair: Pair | None = None) -> None:
        self.pair = pair

    def __getattr__(self, name: str) -> Callable[..., Fact]:
        """Functions of which nothing is known."""
        return lambda *arguments: UNKNOWN

    def constant(self, dtype: str, value: float) -> Fact:
        return Known(value)

    def index(self, axis: int) -> Fact:
        return Index(((axis, 1),), 0)

    def cast(self, x: Fact, dtype: str) -> Fact:
        if isinstance(x, Index):
            return x if dtype in ("i32", "i64", "f64") else UNKNOWN  # f32 rounds indices from 2**24 on, u8 wraps
        if isinstance(x, Known) and isinstance(x.value, bool):
            return Known(int(x.value)) if dtype != "bool" else x
        return x if dtype in ("f32", "f64") else UNKNOWN

    # --- arithmetic ---
    def _added(self, x: Fact, y: Fact, sign: int) -> Fact:
        if isinstance(x, Known) and isinstance(y, Known):
            return _number(x.value + sign * y.value)
        for fact, factor in ((x, 1), (y, sign)):
            if isinstance(fact, Known) and math.isinf(fact.value):
                return Known(factor * fact.value)
        left, right = _as_index(x), _as_index(y)
        return UNKNOWN if left is None or right is None else _sum(left, right, sign)

    def add(self, x: Fact, y: Fact) -> Fact:
        return self._added(x, y, 1)

    def sub(self, x: Fact, y: Fact) -> Fact:
        return self._added(x, y, -1)

    def neg(self, x: Fact) -> Fact:
        if isinstance(x, Known):
            return Known(-x.value)
        return _sum(Index((), 0), x, -1) if isinstance(x, Index) else UNKNOWN

    def mul(self, x: Fact, y: Fact) -> Fact:
        if isinstance(x, Known) and isinstance(y, Known):
            return _number(x.value * y.value)
        for fact, other in ((x, y), (y, x)):
            if isinstance(fact, Known) and fact.value == 0:
                return Known(0)
            number = _as_index(fact)
            if number is not None and not number.terms and isinstance(other, Index):
                by = number.offset
                return Index(tuple((axis, factor * by) for axis, factor in other.terms), other.offset * by)
        return UNKNOWN

    def div(self, x: Fact, y: Fact) -> Fact:
        if not isinstance(x, Known):
            return UNKNOWN
        if isinstance(y, Known):
            return _number(x.value / y.value) if y.value else UNKNOWN
        return Known(0) if x.value == 0 else UNKNOWN

    def fma(self, x: Fact, y: Fact, z: Fact) -> Fact:
        return self.add(self.mul(x, y), z)

    # --- functions, where they are known at all ---
    def exp(self, x: Fact) -> Fact:
        return Known(0) if isinstance(x, Known) and x.value == -math.inf else UNKNOWN

    def sigmoid(self, x: Fact) -> Fact:
        return self.exp(x)

    def maximum(self, x: Fact, y: Fact) -> Fact:
        return self._extreme(x, y, math.inf)

    def minimum(self, x: Fact, y: Fact) -> Fact:
        return self._extreme(x, y, -math.inf)

    def _extreme(self, x: Fact, y: Fact, extreme: float) -> Fact:
        """The operand that is `extreme` wins; one that is its negation loses."""
        for fact, other in ((x, y), (y, x)):
            if isinstance(fact, Known) and fact.value == extreme:
                return fact
            if isinstance(fact, Known) and fact.value == -extreme:
                return other
        if isinstance(x, Known) and isinstance(y, Known):
            return Known(max(x.value, y.value) if extreme > 0 else min(x.value, y.value))
        return UNKNOWN

    # --- conditions ---
    def compare(self, predicate: str, x: Fact, y: Fact) -> Fact:
        left, right = _as_index(x), _as_index(y)
        if left is None or right is None:
            return UNKNOWN
        return _compared(predicate, *self._range(_sum(left, right, -1)))

    def _range(self, of: Index) -> tuple[float, float]:
        """Bounds of a sum of indices under the assumption."""
        if not of.terms:
            return of.offset, of.offset
        if self.pair is not None:
            before, behind = self.pair
            for (axis, factor), (other, opposite) in (of.terms, of.terms[::-1]) if len(of.terms) == 2 else ():
                if (axis, other) == (behind, before) and factor == -opposite:
                    # factor * (behind - before), and behind - before is at least 1
                    bound = of.offset + factor
                    return (bound, math.inf) if factor > 0 else (-math.inf, bound)
        return -math.inf, math.inf

    def select(self, condition: Fact, x: Fact, y: Fact) -> Fact:
        if isinstance(condition, Known):
            return x if condition.value else y
        return x if x == y else UNKNOWN

    def logical_and(self, x: Fact, y: Fact) -> Fact:
        return self._logical(x, y, False)

    def logical_or(self, x: Fact, y: Fact) -> Fact:
        return self._logical(x, y, True)

    def _logical(self, x: Fact, y: Fact, wins: bool) -> Fact:
        known = [fact for fact in (x, y) if isinstance(fact, Known)]
        if any(bool(fact.value) == wins for fact in known):
            return Known(wins)
        return Known(not wins) if len(known) == 2 else UNKNOWN

    def logical_not(self, x: Fact) -> Fact:
        return Known(not x.value) if isinstance(x, Known) else UNKNOWN


def _compared(predicate: str, least: float, most: float) -> Fact:
    """Whether a number from `least` to `most` stands in that relation to 0."""
    outcomes: dict[str, tuple[bool, bool]] = {  # (surely so, surely not)
        "lt": (most < 0, least >= 0),
        "le": (most <= 0, least > 0),
        "gt": (least > 0, most <= 0),
        "ge": (least >= 0, most < 0),
        "eq": (least == most == 0, least > 0 or most < 0),
        "ne": (least > 0 or most < 0, least == most == 0),
    }
    so, never = outcomes[predicate]
    return Known(True) if so else Known(False) if never else UNKNOWN


def fact_of(emit: Callable[..., Any], attrs: object, facts: list[Fact], pair: Pair | None) -> Fact:
    """The fact of a lowering rule's only result."""
    try:
        found = emit(_Elements(pair), attrs, *facts)
    except _DtypeAsked:
        return UNKNOWN
    return found if isinstance(found, Known | Index | _Unknown) else UNKNOWN
