"""Medians and quantiles, exact in bounded memory: a radix search.

The bits of a float, turned so that they ascend as unsigned integers do, are looked at digit by digit from the top. A pass counts
the digits; the cell of a certain place in the order then lies in one bucket, and the next pass counts the following digits of that
bucket's cells alone. 32-bit cells of a column take two passes of 16 bits, doubles four. The counts of a pass fit 32 MiB, so that
wide cells take shorter digits and more passes. -0.0 counts as 0.0; a NaN makes the result NaN.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bmc_runtime.memory import DTYPES, Array
from bmc_runtime.reducers.contract import Attributes, Kernels, columns_of
from bmc_runtime.table import Bytes

__all__ = ["Digits", "Narrowing", "Quantiles"]

_MOST_BITS = 16
_MOST_COUNTS = 1 << 22


@dataclass(frozen=True)
class Narrowing:
    """A pass: cells whose bits above digit and `shift` are one of `prefixes` u64 `[F, R]` are counted by the `bits` behind. `slots`
    `[F, K]`: which prefix each place of the order lies under, `ranks` its number among the cells there, `shares` `[F, Q]` how far
    from the lower to the upper cell of each pair of places the quantile lies, NaN of a column without one."""

    shift: int
    bits: int
    prefixes: NDArray[np.uint64]
    slots: NDArray[np.int64]
    ranks: NDArray[np.int64]
    shares: NDArray[np.float64]


@dataclass
class Digits:
    """`counts` `[F, R, 2 ** bits]`; `tallies` `[F, 2]`: cells counted, NaN among them. `width`: bits of a cell."""

    counts: NDArray[np.int64]
    tallies: NDArray[np.int64]
    width: int


def _bits_for(width: int, columns: int, prefixes: int) -> int:
    room = _MOST_COUNTS // max(1, columns * prefixes)
    return max(1, min(width, _MOST_BITS, room.bit_length() - 1))


@dataclass(frozen=True)
class Quantiles:
    """`quantiles(x, keep)`."""

    inputs: int = 2

    def add(
        self,
        state: Digits | None,
        inputs: Sequence[Array],
        attributes: Attributes,
        question: Narrowing | None,
        kernels: Kernels,
    ) -> Digits:
        x, keep = (columns_of(array, attributes["axes"]) for array in inputs)
        width, columns = 8 * x.dtype.itemsize, len(x)
        if question is None:
            bits = _bits_for(width, columns, 1)
            shift, prefixes = width - bits, np.zeros((columns, 1), np.uint64)
        else:
            shift, bits, prefixes = question.shift, question.bits, question.prefixes
        if state is None:
            counts = np.zeros((columns, prefixes.shape[1], 1 << bits), np.int64)
            state = Digits(counts, np.zeros((columns, 2), np.int64), width)
        kernels.count_digits(x, keep, prefixes, state.counts, state.tallies, shift, bits)
        return state

    def merge(self, left: Digits, right: Digits) -> Digits:
        left.counts += right.counts
        left.tallies += right.tallies
        return left

    def ask(self, state: Digits, attributes: Attributes, question: Narrowing | None) -> Narrowing | None:
        """Each place of the order goes to the bucket that it lies in."""
        columns, _, buckets = state.counts.shape
        bits = buckets.bit_length() - 1
        known = question if question is not None else self._places(state, attributes, state.width - bits, bits)
        if question is not None and question.shift == 0:
            return None
        if question is None and known.shift == 0:  # cells of one digit
            raise ValueError("cells have more bits than a digit")
        return _narrowed(state, known, columns)

    def _places(self, state: Digits, attributes: Attributes, shift: int, bits: int) -> Narrowing:
        """The places of the order that are looked for, numpy's default definition: q x (number - 1), and the cells around it."""
        shares = np.full((len(state.tallies), len(attributes["q"])), math.nan)
        ranks = np.zeros((len(state.tallies), 2 * len(attributes["q"])), np.int64)
        for f, (count, nans) in enumerate(state.tallies.tolist()):
            for i, q in enumerate(attributes["q"]):
                if count and not nans:
                    place = (count - 1) * q
                    below = math.floor(place)
                    shares[f, i] = place - below
                    ranks[f, 2 * i : 2 * i + 2] = below, math.ceil(place)
        return Narrowing(shift, bits, np.zeros((len(ranks), 1), np.uint64), np.zeros(ranks.shape, np.int64), ranks, shares)

    def finish(
        self, state: Digits, outputs: Sequence[Array], attributes: Attributes, question: Narrowing | None
    ) -> tuple[Bytes, ...]:
        assert question is not None
        (result,) = outputs
        columns = len(state.tallies)
        last = _narrowed(state, question, columns)
        cells = _floats(np.take_along_axis(last.prefixes, last.slots, axis=1), state.width)
        low, high = cells[:, ::2], cells[:, 1::2]
        with np.errstate(invalid="ignore", over="ignore"):
            made = np.where(low == high, low, low + question.shares * (high - low))
        result[...] = np.where(np.isnan(question.shares), math.nan, made).reshape(result.shape)
        return ()


def _narrowed(state: Digits, known: Narrowing, columns: int) -> Narrowing:
    """The same places with the digit that was counted behind their prefixes."""
    found = np.zeros(known.slots.shape, np.uint64)
    ranks = known.ranks.copy()
    for f in range(columns):
        if np.isnan(known.shares[f, 0]):
            continue
        for slot in np.unique(known.slots[f]).tolist():
            under = known.slots[f] == slot
            ends = np.cumsum(state.counts[f, slot])
            bucket = np.searchsorted(ends, known.ranks[f, under], side="right")
            ranks[f, under] -= ends[bucket] - state.counts[f, slot, bucket]
            found[f, under] = (known.prefixes[f, slot] << np.uint64(known.bits)) | bucket.astype(np.uint64)
    distinct = [np.unique(row) for row in found]
    most = max((len(row) for row in distinct), default=1)
    # Places left over repeat no prefix: no cell has all ones in front, that would be a NaN.
    prefixes = np.full((columns, max(most, 1)), np.iinfo(np.uint64).max, np.uint64)
    slots = np.zeros(found.shape, np.int64)
    for f, row in enumerate(distinct):
        prefixes[f, : len(row)] = row
        slots[f] = np.searchsorted(row, found[f])
    bits = _bits_for(known.shift, columns, prefixes.shape[1]) if known.shift else 0
    return Narrowing(known.shift - bits, bits, prefixes, slots, ranks, known.shares)


def _floats(keys: NDArray[np.uint64], width: int) -> NDArray[np.float64]:
    """The cells that ordered bits stand for."""
    top = np.uint64(1) << np.uint64(width - 1)
    mask = np.uint64((1 << width) - 1)
    plain = np.where(keys & top, keys ^ top, ~keys & mask)
    if width == 32:
        return plain.astype(np.uint32).view(DTYPES["f32"]).astype(np.float64)
    return np.ascontiguousarray(plain).view(DTYPES["f64"])
