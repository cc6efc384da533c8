"""The order in which an epoch visits the training rows.

In: seed, epoch, the number of training rows of each file. Out: a permutation. Guaranteed: a pure function of these three, on
every machine and version of numpy: nothing is drawn from a stream, a row's place follows from hashes of counters.

Files are cut into blocks of consecutive rows and the blocks are permuted; then rows are permuted within windows of that sequence.
So a reader that streams needs one window in memory, and data that fits a window is permuted uniformly.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bmc_runtime.hashing import Words, mix, mix_one

__all__ = ["BLOCK", "WINDOW", "epoch_order"]

BLOCK = 1024
"""Consecutive rows that stay together when blocks are permuted."""

WINDOW_BITS = 16
WINDOW = 1 << WINDOW_BITS
"""Rows among which a row is permuted."""

_BLOCKS, _ROWS = 1, 2
_LOW = np.uint64(WINDOW - 1)


def epoch_order(seed: int, epoch: int, counts: Sequence[int]) -> NDArray[np.int64]:
    """The rows 0..sum(counts)-1 in the order of epoch `epoch`; `counts` are the rows of each file."""
    total = sum(counts)
    if total < 0 or any(n < 0 for n in counts):
        raise ValueError("a number of rows is negative")
    first_rows, sizes = _blocks(counts)
    permuted = np.argsort(_keys(seed, epoch, _BLOCKS, len(sizes)), kind="stable")
    first_rows, sizes = first_rows[permuted], sizes[permuted]
    ends = np.cumsum(sizes)
    sequence = np.arange(total, dtype=np.int64) + np.repeat(first_rows - (ends - sizes), sizes)

    # 48 bits of hash above the place in the window: sorting one array of distinct integers gives the permutation.
    keys = _keys(seed, epoch, _ROWS, total)
    keys &= ~_LOW
    keys |= np.arange(total, dtype=np.uint64) & _LOW
    whole = total // WINDOW * WINDOW
    keys[:whole].reshape(-1, WINDOW).sort(axis=1)
    keys[whole:].sort()
    keys &= _LOW
    places = keys.view(np.int64)
    places += np.arange(total, dtype=np.int64) & ~np.int64(WINDOW - 1)
    return np.take(sequence, places)


def _blocks(counts: Sequence[int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First rows and sizes of the blocks of all files; the last block of a file may be small."""
    first_rows, sizes, before = [], [], 0
    for rows in counts:
        for at in range(0, rows, BLOCK):
            first_rows.append(before + at)
            sizes.append(min(BLOCK, rows - at))
        before += rows
    return np.array(first_rows, np.int64), np.array(sizes, np.int64)


def _keys(seed: int, epoch: int, purpose: int, count: int) -> Words:
    stream = mix_one(mix_one(mix_one(seed) ^ epoch) ^ purpose)
    return mix(np.arange(count, dtype=np.uint64) + np.uint64(stream))
