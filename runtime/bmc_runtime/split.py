"""The rows of one split as training and evaluation read them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bmc_runtime.buckets import Buckets
from bmc_runtime.feeding import Feed
from bmc_runtime.memory import Array
from bmc_runtime.order import EpochOrder, Order

__all__ = ["Split"]


@dataclass(frozen=True)
class Split:
    """Rows of one split: the data block's outputs by key, [rows, ...] each; `counts`: how many rows come from each file.
    `buckets`: how long the rows are, where they are padded in buckets. `feed`: what computes the outputs batch by batch, where they
    are not in `data`."""

    name: str
    rows: int
    data: Mapping[str, Array]
    counts: tuple[int, ...]
    buckets: Buckets | None = None
    feed: Feed | None = None

    def order(self, seed: int, epoch: int, per_step: int) -> Order:
        """The rows in the order in which an epoch takes them."""
        order = EpochOrder(seed, epoch, self.counts)
        return order if self.buckets is None else self.buckets.order(order, per_step, seed, epoch)
