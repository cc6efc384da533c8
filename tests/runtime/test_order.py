"""The order of an epoch is a permutation, a pure function of its arguments, and never moves a row out of its window."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from bmc_runtime.order import BLOCK, WINDOW, EpochOrder, epoch_order


@pytest.mark.parametrize("counts", [[], [0], [1], [5, 0, 3], [BLOCK], [BLOCK + 1, 7], [WINDOW], [WINDOW + 1], [150_000, 1, 20_001]])
def test_is_a_permutation(counts: list[int]) -> None:
    order = epoch_order(1, 0, counts)
    assert order.dtype == np.int64
    assert np.array_equal(np.sort(order), np.arange(sum(counts)))


def test_depends_on_seed_and_epoch_and_nothing_else() -> None:
    first = epoch_order(1, 0, [1000])
    assert np.array_equal(first, epoch_order(1, 0, [1000]))
    for other in (epoch_order(2, 0, [1000]), epoch_order(1, 1, [1000]), epoch_order(0, 1, [1000])):
        assert not np.array_equal(first, other)


@pytest.mark.parametrize("counts", [[0], [5, 0, 3], [BLOCK + 1, 7], [WINDOW + 1], [150_000, 1, 20_001]])
def test_parts_are_those_of_the_whole(counts: list[int]) -> None:
    whole, order = epoch_order(4, 2, counts), EpochOrder(4, 2, counts)
    rows = sum(counts)
    assert len(order) == rows
    inside = (rows // 3, rows // 2)
    for first, stop in ((0, rows), (0, 1), (rows // 3, rows // 3), inside, (rows - 5, rows), (WINDOW - 1, WINDOW + 1)):
        if 0 <= first <= stop <= rows:
            assert np.array_equal(order.between(first, stop), whole[first:stop])


def test_is_what_it_was(golden: Callable[[str, str], None]) -> None:
    """A changed order would change the bits of every trained model."""
    large = epoch_order(3, 2, [40_000, 60_000])
    lines = [" ".join(map(str, epoch_order(7, 1, [20, 12]))), " ".join(map(str, large[::5000]))]
    golden("orders", "\n".join(lines) + "\n")


def test_rows_stay_in_a_window_of_whole_blocks() -> None:
    rows = 4 * WINDOW
    order = epoch_order(5, 3, [rows])
    for start in range(0, rows, WINDOW):
        blocks, members = np.unique(order[start : start + WINDOW] // BLOCK, return_counts=True)
        assert len(blocks) == WINDOW // BLOCK
        assert (members == BLOCK).all()


def test_each_place_is_equally_likely() -> None:
    """Chi-squared of where row 0 of 16 lands in 4,000 epochs: 15 degrees of freedom, below 44.3 but for one case in 10,000."""
    places = [int(np.flatnonzero(epoch_order(11, epoch, [16]) == 0)[0]) for epoch in range(4000)]
    counts = np.bincount(places, minlength=16)
    assert ((counts - 250.0) ** 2 / 250.0).sum() < 44.3


def test_negative_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        epoch_order(1, 0, [5, -1])
