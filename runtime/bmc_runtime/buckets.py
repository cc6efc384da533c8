"""Rows padded to their own length, rounded up: which length, which rows go together, in which order an epoch takes them.

In: how long each row is. Out: run-time dims of batches. Guaranteed: all of it is a function of the lengths (and of seed and epoch,
for the order): in evaluation and prediction a row's dims are its own, whatever rows stand beside it; in training they are those of
the longest row of the whole batch, never of a shard.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bmc_runtime.hashing import mix, mix_one
from bmc_runtime.order import Order
from bmc_runtime.table import Indices

__all__ = ["WINDOW_BATCHES", "Buckets", "Sizes", "padded_sizes"]

WINDOW_BATCHES = 64
"""Batches whose rows are sorted by length together: more make less padding, and rows meet more often the same others."""

_BATCHES = 3
"""Apart from the purposes of `order`."""


Sizes = NDArray[np.int32]


def padded_sizes(lengths: NDArray[np.integer[Any]], bucket: int, most: int) -> Sizes:
    """Lengths rounded up to multiples of `bucket`, at least one of them and at most `most`."""
    rounded = -(-lengths.astype(np.int64) // bucket) * bucket
    return np.minimum(np.maximum(rounded, bucket), most).astype(np.int32)


@dataclass(frozen=True, eq=False)
class Buckets:
    """`sizes`: by run-time dim, the padded length i32 `[N]` of each row. `most`: the largest that it may be."""

    sizes: Mapping[str, Sizes]
    most: Mapping[str, int]

    def dims(self, rows: Indices) -> dict[str, int]:
        """The run-time dims of a batch of these rows: those of the longest."""
        return {symbol: int(sizes[rows].max(initial=1)) for symbol, sizes in self.sizes.items()}

    def groups(self, most: int | None = None) -> Iterator[tuple[Indices, dict[str, int]]]:
        """All rows by their own dims: row numbers, ascending, and dims; at most `most` at a time."""
        names = list(self.sizes)
        table = np.stack([self.sizes[name] for name in names], axis=1)
        found, which = np.unique(table, axis=0, return_inverse=True)
        which = which.reshape(-1)
        for number, sizes in enumerate(found.tolist()):
            rows = np.flatnonzero(which == number)
            step = max(1, len(rows) if most is None else most)
            for start in range(0, len(rows), step):
                yield rows[start : start + step], dict(zip(names, sizes, strict=True))

    def order(self, order: Order, per_step: int, seed: int, epoch: int) -> Order:
        """An epoch's order changed so that rows of similar length share a batch of `per_step`: within a window the rows are sorted
        by length (equal ones stay in order) and its batches are permuted. What does not fill a batch stays at the end as it was."""
        return _ByLength(self, order, per_step, mix_one(mix_one(mix_one(seed) ^ epoch) ^ _BATCHES))


class _ByLength:
    def __init__(self, buckets: Buckets, order: Order, per_step: int, stream: int) -> None:
        self._buckets, self._order, self._per_step, self._stream = buckets, order, per_step, stream
        self._whole = len(order) // per_step * per_step

    def __len__(self) -> int:
        return len(self._order)

    def between(self, first: int, stop: int) -> Indices:
        window = self._per_step * WINDOW_BATCHES
        begin, end = first // window * window, min(-(-stop // window) * window, len(self._order))
        rows = self._order.between(begin, end).copy()
        key = np.zeros(len(rows), np.int64)
        for symbol, sizes in self._buckets.sizes.items():
            key = key * (self._buckets.most[symbol] + 1) + sizes[rows]
        for start in range(begin, min(end, self._whole), window):
            inside = slice(start - begin, min(start + window, self._whole) - begin)
            batches = rows[inside][np.argsort(key[inside], kind="stable")].reshape(-1, self._per_step)
            numbers = np.arange(start, start + len(batches), dtype=np.uint64) + np.uint64(self._stream)
            rows[inside] = batches[np.argsort(mix(numbers), kind="stable")].reshape(-1)
        return rows[first - begin : stop - begin]
