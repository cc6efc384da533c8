"""Exact sums: superaccumulators, and the statistics that are made of them.

A superaccumulator is an integer so wide that every finite double is a multiple of its unit: adding to it is exact, so the sum does
not depend on the order of the addends, and it is rounded once, when all rows have been seen. It is kept as 64-bit words that
count 32 bits each, word k with weight 2 ** (32 k) units: an addend touches three words, carries are passed on now and then.

Units: 2 ** -1074 for sums, 2 ** -2148 for sums of squares, which are exact too. So mean and variance are quotients of integers,
and Python divides integers with one correct rounding. NaN and infinities are counted beside, by IEEE 754's rules for sums.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bmc_runtime.memory import DTYPES, Array
from bmc_runtime.reducers.contract import Attributes, Kernels, columns_of, kept_shape
from bmc_runtime.table import Bytes

__all__ = ["SQUARE_WORDS", "SUM_WORDS", "ExactSum", "GroupMoments", "RowMoments", "Sums", "mean_of", "sum_of", "variance_of"]

Words = NDArray[np.int64]

SUM_WORDS = 68
"""The largest double begins at bit 2045 of a sum; it and its carries need no more."""

SQUARE_WORDS = 136

_UNIT = 1074
_WORD = 32

_MOST_ADDED = 1 << 29
"""Cells that may be added before carries are passed on: each adds less than 2 ** 32 to a word of 63 bits."""

_FEW_SLOTS = 64
"""Below so many sums, carries are passed on by Python's integers rather than by arrays of one cell for each sum."""

KEPT, NANS, HIGHS, LOWS = range(4)
"""The columns of `tallies`: cells counted, NaN, inf and -inf among them."""


@dataclass
class Sums:
    """`words` `[S, SUM_WORDS]`, `squares` `[S, SQUARE_WORDS]` or None, `tallies` `[S, 4]`. `added`: cells since carries were passed
    on, at most. `shape`: of the cells that are kept apart."""

    words: Words
    squares: Words | None
    tallies: Words
    shape: tuple[int, ...]
    added: int = 0

    @staticmethod
    def none(slots: int, squares: bool, shape: tuple[int, ...]) -> Sums:
        return Sums(
            np.zeros((slots, SUM_WORDS), np.int64),
            np.zeros((slots, SQUARE_WORDS), np.int64) if squares else None,
            np.zeros((slots, 4), np.int64),
            shape,
        )

    def add(self, x: Array, keep: Array, slots: Array | None, kernels: Kernels) -> None:
        """Cells `[F, n]` of floats. A block has fewer than may be added between carries."""
        self.make_room(x.shape[1])
        kernels.add_exactly(x, keep, slots, self.words, self.squares, self.tallies)

    def merged(self, other: Sums) -> Sums:
        self.make_room(other.added + 1)  # carried words count as one cell
        self.words += other.words
        self.tallies += other.tallies
        if self.squares is not None and other.squares is not None:
            self.squares += other.squares
        return self

    def make_room(self, cells: int) -> None:
        """Pass carries on unless `cells` more may be added."""
        if self.added + cells > _MOST_ADDED:
            _carry(self.words)
            if self.squares is not None:
                _carry(self.squares)
            self.added = 1
        self.added += cells

    def totals(self) -> list[int]:
        """The sums in units of 2 ** -1074."""
        return _integers(self.words)

    def square_totals(self) -> list[int]:
        """The sums of squares in units of 2 ** -2148."""
        return _integers(self.squares) if self.squares is not None else []


def _carry(words: Words) -> None:
    """Every word but the last into 0 .. 2 ** 32 - 1; the last keeps the sign."""
    for k in range(words.shape[1] - 1):
        carried = words[:, k] >> _WORD
        words[:, k] -= carried << _WORD
        words[:, k + 1] += carried


def _integers(words: Words) -> list[int]:
    if len(words) < _FEW_SLOTS:
        return [sum(word << (_WORD * k) for k, word in enumerate(row) if word) for row in words.tolist()]
    whole = words.copy()
    _carry(whole)
    low, tops = whole[:, :-1].astype("<u4"), whole[:, -1].tolist()
    shift = _WORD * low.shape[1]
    return [int.from_bytes(row.tobytes(), "little") + (top << shift) for row, top in zip(low, tops, strict=True)]


def _quotient(dividend: int, divisor: int) -> float:
    """Rounded once, to nearest; beyond the range of doubles infinite."""
    try:
        return dividend / divisor
    except OverflowError:
        return math.inf if dividend > 0 else -math.inf


def _special(tallies: Sequence[int]) -> float | None:
    """The sum where not all cells are finite."""
    _, nans, highs, lows = tallies
    if nans or (highs and lows):
        return math.nan
    return math.inf if highs else -math.inf if lows else None


def sum_of(total: int, tallies: Sequence[int]) -> float:
    special = _special(tallies)
    return _quotient(total, 1 << _UNIT) if special is None else special


def mean_of(total: int, tallies: Sequence[int]) -> float:
    special = _special(tallies)
    if special is not None:
        return special
    return _quotient(total, tallies[KEPT] << _UNIT) if tallies[KEPT] else math.nan


def variance_of(total: int, squares: int, tallies: Sequence[int], ddof: int) -> float:
    """(n x squares - total ** 2) / (n x (n - ddof)): exact up to the division."""
    count = tallies[KEPT]
    if _special(tallies) is not None or count <= ddof or not count:
        return math.nan
    return _quotient(count * squares - total * total, (count * (count - ddof)) << 2 * _UNIT)


@dataclass(frozen=True)
class ExactSum:
    """`exact_sum(x)`: of floats `Sums`, of integers an array."""

    inputs: int = 1

    def add(
        self, state: Sums | Array | None, inputs: Sequence[Array], attributes: Attributes, question: object, kernels: Kernels
    ) -> Sums | Array:
        (x,) = inputs
        shape = kept_shape(x, attributes["axes"])
        if x.dtype.kind != "f":
            found = np.asarray(x.sum(axis=tuple(attributes["axes"]), dtype=np.int64))
            return found if state is None else self.merge(state, found)
        columns = columns_of(x, attributes["axes"])
        if state is None:
            state = Sums.none(len(columns), squares=False, shape=shape)
        assert isinstance(state, Sums)
        state.add(columns, np.ones(columns.shape, np.bool_), None, kernels)
        return state

    def merge(self, left: Sums | Array, right: Sums | Array) -> Sums | Array:
        if isinstance(left, Sums) and isinstance(right, Sums):
            return left.merged(right)
        assert not isinstance(left, Sums)
        assert not isinstance(right, Sums)
        return np.asarray(np.add(left, right))

    def ask(self, state: object, attributes: Attributes, question: object) -> None:
        return None

    def finish(
        self, state: Sums | Array, outputs: Sequence[Array], attributes: Attributes, question: object
    ) -> tuple[Bytes, ...]:
        (result,) = outputs
        if isinstance(state, Sums):
            made = map(sum_of, state.totals(), state.tallies.tolist())
            result[...] = np.fromiter(made, np.float64, len(state.tallies)).reshape(result.shape)
        else:
            result[...] = state
        return ()


@dataclass(frozen=True)
class RowMoments:
    """`row_moments(x, keep)`: one pass, for the variance is made of exact sums."""

    inputs: int = 2

    def add(
        self, state: Sums | None, inputs: Sequence[Array], attributes: Attributes, question: object, kernels: Kernels
    ) -> Sums:
        x, keep = (columns_of(array, attributes["axes"]) for array in inputs)
        if state is None:
            state = Sums.none(len(x), squares=True, shape=kept_shape(inputs[0], attributes["axes"]))
        state.add(x, keep, None, kernels)
        return state

    def merge(self, left: Sums, right: Sums) -> Sums:
        return left.merged(right)

    def ask(self, state: object, attributes: Attributes, question: object) -> None:
        return None

    def finish(self, state: Sums, outputs: Sequence[Array], attributes: Attributes, question: object) -> tuple[Bytes, ...]:
        count, mean, variance = outputs
        totals, squares, tallies = state.totals(), state.square_totals(), state.tallies.tolist()
        ddof = int(attributes["ddof"])
        count[...] = state.tallies[:, KEPT].reshape(count.shape)
        mean[...] = _filled(mean, [mean_of(t, k) for t, k in zip(totals, tallies, strict=True)])
        variance[...] = _filled(variance, [variance_of(t, s, k, ddof) for t, s, k in zip(totals, squares, tallies, strict=True)])
        return ()


@dataclass(frozen=True)
class GroupMoments:
    """`group_moments(x, keep, codes)`: `row_moments` of each group, and its sum."""

    inputs: int = 3

    def add(
        self, state: Sums | None, inputs: Sequence[Array], attributes: Attributes, question: object, kernels: Kernels
    ) -> Sums:
        x, keep, codes = inputs
        size = int(attributes["size"])
        if state is None:
            state = Sums.none(size, squares=True, shape=(size,))
        cells, mask, slots = (np.ascontiguousarray(array).reshape(1, -1) for array in (x, keep, codes))
        state.add(cells, mask, slots.astype(DTYPES["i32"]), kernels)
        return state

    def merge(self, left: Sums, right: Sums) -> Sums:
        return left.merged(right)

    def ask(self, state: object, attributes: Attributes, question: object) -> None:
        return None

    def finish(self, state: Sums, outputs: Sequence[Array], attributes: Attributes, question: object) -> tuple[Bytes, ...]:
        _, total, _, _ = outputs
        count, mean, variance = outputs[0], outputs[2], outputs[3]
        RowMoments().finish(state, (count, mean, variance), attributes, question)
        total[...] = [sum_of(t, k) for t, k in zip(state.totals(), state.tallies.tolist(), strict=True)]
        return ()


def _filled(pattern: Array, values: Sequence[float]) -> Array:
    return np.array(values, np.float64).reshape(pattern.shape)
