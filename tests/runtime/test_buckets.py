"""Rows by length: sizes, groups, and an order that is a pure function of seed, epoch and lengths."""

from __future__ import annotations

import numpy as np

from bmc_runtime.buckets import WINDOW_BATCHES, Buckets, padded_sizes
from bmc_runtime.order import EpochOrder, FixedOrder, epoch_order
from bmc_runtime.table import Indices


def made(rows: int, bucket: int = 8, most: int = 64) -> Buckets:
    lengths = np.random.default_rng(rows).integers(0, 100, rows)
    return Buckets({"T": padded_sizes(lengths, bucket, most)}, {"T": most})


def ordered(buckets: Buckets, order: Indices, per_step: int, epoch: int, seed: int = 1) -> Indices:
    return buckets.order(FixedOrder(order), per_step, seed, epoch).between(0, len(order))


def test_sizes_are_multiples_up_to_the_most() -> None:
    sizes = padded_sizes(np.array([0, 1, 8, 9, 59, 60, 61, 1000]), 8, 60)
    assert sizes.tolist() == [8, 8, 8, 16, 60, 60, 60, 60]


def test_groups_have_each_row_once_with_its_own_size() -> None:
    lengths = np.random.default_rng(0).integers(0, 40, (2, 100))
    buckets = Buckets({"T": padded_sizes(lengths[0], 8, 32), "S": padded_sizes(lengths[1], 16, 40)}, {"T": 32, "S": 40})
    seen = np.concatenate([rows for rows, _ in buckets.groups()])
    assert sorted(seen.tolist()) == list(range(100))
    for rows, dims in buckets.groups():
        assert all((buckets.sizes[name][rows] == size).all() for name, size in dims.items())
        assert buckets.dims(rows) == dims


def test_the_order_is_a_permutation_that_keeps_lengths_together() -> None:
    for rows, per_step in ((0, 4), (3, 4), (1000, 16), (5000, 8)):
        buckets = made(rows)
        order = epoch_order(1, 2, [rows])
        found = ordered(buckets, order, per_step, 2)
        assert sorted(found.tolist()) == list(range(rows))
        lazy = buckets.order(EpochOrder(1, 2, [rows]), per_step, 1, 2)
        for first, stop in ((0, rows), (rows // 3, rows // 2), (rows // 2, rows)):
            assert (found[first:stop] == lazy.between(first, stop)).all()
        whole = rows // per_step * per_step
        assert (found[whole:] == order[whole:]).all()
    batches, plain = (buckets.sizes["T"][o].reshape(-1, 8) for o in (found, order))
    padding, without = ((b.max(axis=1, keepdims=True) - b).sum() for b in (batches, plain))
    # Sorted windows of 512 rows hold 64 batches of 8 sizes: at most 7 batches of a window mix two sizes.
    assert padding <= 7 * -(-5000 // (8 * WINDOW_BATCHES)) * 8 * 56 / 8
    assert padding < without / 10
    assert (found != ordered(buckets, epoch_order(1, 3, [rows]), per_step, 3)).any()


def test_batches_of_a_window_are_not_in_order_of_length() -> None:
    buckets = made(512)
    sizes = buckets.sizes["T"][ordered(buckets, epoch_order(0, 0, [512]), 8, 0, seed=0)].reshape(-1, 8).max(axis=1)
    assert (np.diff(sizes) < 0).sum() > 10
