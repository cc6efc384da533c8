"""How rows are cut into shards, and the order in which the shards' partial sums are added.

The cut and the tree depend on the number of rows and shards alone, never on who computes what: this is what makes the result
independent of the number of workers.
"""

from __future__ import annotations

__all__ = ["shard_bounds", "tree_pairs"]


def shard_bounds(rows: int, shards: int) -> list[tuple[int, int]]:
    """[start, stop) of each shard: contiguous, sizes differing by at most one row. `shards` is a power of two."""
    if shards < 1 or shards & (shards - 1):
        raise ValueError(f"{shards} shards: the number must be a power of two")
    return [(rows * s // shards, rows * (s + 1) // shards) for s in range(shards)]


def tree_pairs(count: int) -> list[tuple[int, int]]:
    """(left, right) of each addition left += right of a balanced binary tree, in order; the total ends at 0.

    (0, 1), (2, 3), ..., then (0, 2), (4, 6), ...: `count` is a power of two.
    """
    pairs: list[tuple[int, int]] = []
    step = 1
    while step < count:
        pairs.extend((left, left + step) for left in range(0, count, 2 * step))
        step *= 2
    return pairs
