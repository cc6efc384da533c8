"""The order in which an epoch visits the training rows.

In: seed, epoch, the number of training rows of each file. Out: a permutation, as a whole or a part at a time. Guaranteed: a pure
function of these three, on every machine and version of numpy: nothing is drawn from a stream, a row's place follows from hashes of
counters.

Files are cut into blocks of consecutive rows and the blocks are permuted; then rows are permuted within windows of that sequence.
So a reader that streams needs one window in memory, and data that fits a window is permuted uniformly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from bmc_runtime.hashing import Words, mix, mix_one
from bmc_runtime.table import Indices

__all__ = ["BLOCK", "WINDOW", "EpochOrder", "FixedOrder", "Order", "epoch_order"]

BLOCK = 1024
"""Consecutive rows that stay together when blocks are permuted."""

WINDOW_BITS = 16
WINDOW = 1 << WINDOW_BITS
"""Rows among which a row is permuted."""

_BLOCKS, _ROWS = 1, 2
_LOW = np.uint64(WINDOW - 1)


class Order(Protocol):
    """The rows of an epoch in the order in which steps take them, a part at a time."""

    def __len__(self) -> int: ...

    def between(self, first: int, stop: int) -> Indices:
        """The rows at places [first, stop)."""


@dataclass(frozen=True, eq=False)
class FixedOrder:
    """Rows in an order that is there whole."""

    rows: Indices

    def __len__(self) -> int:
        return len(self.rows)

    def between(self, first: int, stop: int) -> Indices:
        return self.rows[first:stop]


class EpochOrder:
    """The rows 0..sum(counts)-1 in the order of epoch `epoch`; `counts` are the rows of each file. In memory are 16 bytes for each
    block, whatever is asked for."""

    def __init__(self, seed: int, epoch: int, counts: Sequence[int]) -> None:
        self._total = sum(counts)
        if self._total < 0 or any(n < 0 for n in counts):
            raise ValueError("a number of rows is negative")
        first_rows, sizes = _blocks(counts)
        permuted = np.argsort(_keys(_stream(seed, epoch, _BLOCKS), 0, len(sizes)), kind="stable")
        sizes = sizes[permuted]
        self._ends = np.cumsum(sizes)
        self._moves = first_rows[permuted] - (self._ends - sizes)
        self._rows = _stream(seed, epoch, _ROWS)

    def __len__(self) -> int:
        return self._total

    def between(self, first: int, stop: int) -> Indices:
        stop = min(stop, self._total)
        found = np.empty(max(stop - first, 0), np.int64)
        for start in range(first // WINDOW * WINDOW, stop, WINDOW):
            left, right = max(first, start), min(stop, start + WINDOW)
            found[left - first : right - first] = self._window(start)[left - start : right - start]
        return found

    def _window(self, start: int) -> Indices:
        """The rows of the window that begins at place `start`."""
        stop = min(start + WINDOW, self._total)
        places = np.arange(start, stop, dtype=np.int64)
        # 48 bits of hash above the place in the window: sorting one array of distinct integers gives the permutation.
        keys = _keys(self._rows, start, stop)
        keys &= ~_LOW
        keys |= places.view(np.uint64) & _LOW
        keys.sort()
        keys &= _LOW
        one, last = (int(np.searchsorted(self._ends, place, side="right")) for place in (start, stop - 1))
        ends = np.minimum(self._ends[one : last + 1], stop)
        places += np.repeat(self._moves[one : last + 1], np.diff(ends, prepend=start))
        return np.take(places, keys.view(np.int64))


def epoch_order(seed: int, epoch: int, counts: Sequence[int]) -> Indices:
    """All of an epoch's order at once."""
    order = EpochOrder(seed, epoch, counts)
    return order.between(0, len(order))


def _blocks(counts: Sequence[int]) -> tuple[Indices, Indices]:
    """First rows and sizes of the blocks of all files; the last block of a file may be small."""
    first_rows, sizes, before = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], 0
    for rows in counts:
        starts = np.arange(0, rows, BLOCK, dtype=np.int64)
        first_rows.append(before + starts)
        sizes.append(np.minimum(rows - starts, BLOCK))
        before += rows
    return np.concatenate(first_rows), np.concatenate(sizes)


def _stream(seed: int, epoch: int, purpose: int) -> int:
    return mix_one(mix_one(mix_one(seed) ^ epoch) ^ purpose)


def _keys(stream: int, start: int, stop: int) -> Words:
    return mix(np.arange(start, stop, dtype=np.uint64) + np.uint64(stream))
