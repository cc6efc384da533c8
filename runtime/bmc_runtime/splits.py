"""Which rows belong to which split, and which rows are copies.

In: columns, and the settings of the split. Out: for each row the number of its split, -1 for none. Guaranteed: `by_hash` depends
on a row's values alone, so equal rows fall into one split whatever file and order they come in; the others on its place or time.
Splits by source need nothing of this: each source is a table of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from bmc_runtime.hashing import Hasher, Words, hash_column, hash_rows, mix
from bmc_runtime.table import Column, Indices, Table, Valid, text_column

__all__ = [
    "Assignment", "FirstSeen", "apart", "by_column", "by_fold", "by_hash", "by_order", "by_time", "first_of_equals", "shares",
]  # fmt: skip

Assignment = NDArray[np.int8]

_UNIT_BITS = 53
_BLOCK_ROWS = 1 << 14


def shares(fractions: Sequence[float], whole: int) -> list[int]:
    """Ends of the shares of 0..whole-1. Fractions that sum to 1 but for rounding take everything."""
    if any(not 0 <= f <= 1 for f in fractions) or sum(fractions) > 1 + 1e-9:
        raise ValueError(f"fractions {tuple(fractions)} must be within 0..1, and so must be their sum")
    ends, total = [], 0.0
    for fraction in fractions:
        total += fraction
        ends.append(whole if abs(total - 1) <= 1e-9 else min(whole, round(total * whole)))
    return ends


def by_hash(columns: Mapping[str, Column], fractions: Sequence[float], seed: int, hashed: Hasher = hash_rows) -> Assignment:
    """Split i gets a row with probability `fractions[i]`, by the hash (`bmc_runtime.hashing`) of its cells in `columns`."""
    top = hashed(columns, seed) >> np.uint64(64 - _UNIT_BITS)
    ends = np.array(shares(fractions, 1 << _UNIT_BITS), np.uint64)
    return _from_ends(np.searchsorted(ends, top, side="right"), len(fractions))


def by_fold(
    columns: Mapping[str, Column], folds: int, fold: int, valid: Sequence[float], seed: int, hashed: Hasher = hash_rows
) -> Assignment:
    """Each row is in one of `folds` equally likely parts, by its hash. Those of part `fold` are in the last split; of the others
    the share `valid[0]`, if there is one, in split 1, by another hash, and the rest in split 0. So the last splits of all folds are
    a partition of the rows. ValueError for more than 1,024 folds."""
    if not 0 <= fold < folds <= 1 << 10:
        raise ValueError(f"there is no fold {fold} of {folds}")
    hashes = hashed(columns, seed)
    shift = np.uint64(64 - _UNIT_BITS)
    part = ((hashes >> shift) * np.uint64(folds)) >> np.uint64(_UNIT_BITS)
    assigned = np.zeros(len(hashes), np.int8)
    if valid:
        (end,) = shares(valid, 1 << _UNIT_BITS)
        assigned[mix(hashes) >> shift < np.uint64(end)] = 1
    assigned[part == np.uint64(fold)] = 2 if valid else 1
    return assigned


def by_column(column: Column, values: Sequence[Sequence[str | int]]) -> Assignment:
    """Split i gets the rows whose cell is one of `values[i]`; an empty one those that no other split gets, but never missing cells.
    Texts are equal where two independent 64-bit hashes are. A window belongs to a split if all of its cells do."""
    if column.runs is not None:
        found = np.empty(len(column), np.int8)
        for start in range(0, len(column), _BLOCK_ROWS):
            part = column.between(start, start + _BLOCK_ROWS)
            cells = part.dense()
            buffers = tuple(buffer for buffer in part.keep if buffer.dtype == np.uint8) if part.dtype == "str" else ()
            inside = by_column(Column(part.dtype, cells.reshape(-1), None, buffers), values).reshape(cells.shape)
            if part.runs is not None and part.runs.present is not None:
                inside[~part.runs.present.dense().reshape(inside.shape).astype(np.bool_)] = -1
            found[start : start + _BLOCK_ROWS] = np.where((inside == inside[:, :1]).all(axis=1), inside[:, 0], -1)
        return found
    assigned = np.full(len(column), next((i for i, listed in enumerate(values) if not listed), -1), np.int8)
    hashes = [hash_column(column, seed) for seed in (1, 2)] if column.dtype == "str" else []
    for split, listed in enumerate(values):
        for value in listed:
            assigned[_equal(column, hashes, value)] = split
    if column.valid is not None:
        assigned[~column.valid] = -1
    return assigned


def _equal(column: Column, hashes: Sequence[Words], value: str | int) -> Valid:
    """Where a column has a value."""
    if isinstance(value, int):
        equal: Valid = column.data == value
        return equal
    literal = text_column([value])
    one, two = (hashes[i] == hash_column(literal, seed) for i, seed in enumerate((1, 2)))
    both: Valid = one & two
    return both


def by_order(rows: int, fractions: Sequence[float]) -> Assignment:
    """Rows in their order: the first `fractions[0]` of them into split 0, and so on."""
    ends = np.array(shares(fractions, rows), np.int64)
    return _from_ends(np.searchsorted(ends, np.arange(rows, dtype=np.int64), side="right"), len(fractions))


def apart(assigned: Assignment, table: Table) -> Assignment:
    """The same for rows that are windows, in their order: those at the beginning of a split that share items with the last window
    of the split before are in no split, so that nothing that a model trained on is in what it is judged by."""
    windows = [column for column in table.columns.values() if column.runs is not None and column.runs.size is not None]
    if not windows or len(assigned) == 0:
        return assigned
    column, found = windows[0], assigned.copy()
    starts: Indices = column.data["address"].astype(np.int64)  # type: ignore[call-overload]
    size = column.longest * column.step_bytes
    for row in np.flatnonzero(np.diff(assigned)) + 1:
        last = starts[row - 1]
        while row < len(found) and last <= starts[row] < last + size:
            found[row] = -1
            row += 1
    return found


def by_time(column: Column, boundaries: Sequence[int]) -> Assignment:
    """Split i + 1 begins with the value `boundaries[i]` (ascending). A window belongs to the split that all of its times belong to,
    and to none if there is no such split. ValueError when a time is missing."""
    if list(boundaries) != sorted(boundaries):
        raise ValueError("the boundaries of splits by time must ascend")
    if column.valid is not None and not bool(column.valid.all()):
        raise ValueError("a row without a time belongs to no split")
    bounds = np.array(boundaries, np.int64)
    if column.runs is None:
        return np.searchsorted(bounds, column.data.astype(np.int64), side="right").astype(np.int8)
    found = np.empty(len(column), np.int8)
    for start in range(0, len(column), _BLOCK_ROWS):
        times = column.between(start, start + _BLOCK_ROWS).dense().astype(np.int64)
        first, last = (np.searchsorted(bounds, edge(axis=1), side="right") for edge in (times.min, times.max))
        found[start : start + _BLOCK_ROWS] = np.where(first == last, first, -1)
    return found


def first_of_equals(columns: Mapping[str, Column]) -> Valid:
    """True for the first of rows that are equal in `columns`, as `FirstSeen` has it."""
    return FirstSeen().among(columns)


class FirstSeen:
    """Which rows are equal to none before them, of blocks that come one after the other. Equality is that of two independent
    64-bit hashes: of a million different rows the chance that any two count as equal is below 10^-26. It remembers 16 bytes of each
    row that was the first of its kind."""

    def __init__(self, hashed: Hasher = hash_rows) -> None:
        self._hashed = hashed
        # Sorted by the first hash, then the second; each list more than twice as long as the next, so that there are few.
        self._seen: list[tuple[Words, Words]] = []

    def among(self, columns: Mapping[str, Column]) -> Valid:
        """True for the rows of the next block that no row before them equals, in this block or an earlier one."""
        one, two = self._hashed(columns, 1), self._hashed(columns, 2)
        order = np.lexsort((two, one))  # stable: equals stay in the order of rows
        sorted_one, sorted_two = one[order], two[order]
        new = np.ones(len(one), np.bool_)
        new[1:] = (sorted_one[1:] != sorted_one[:-1]) | (sorted_two[1:] != sorted_two[:-1])
        for known in self._seen:
            places = np.flatnonzero(new)
            new[places] = ~_holds(known, sorted_one[places], sorted_two[places])
        first = np.zeros(len(one), np.bool_)
        first[order[new]] = True
        self._remember(sorted_one[new], sorted_two[new])
        return first

    def _remember(self, one: Words, two: Words) -> None:
        while self._seen and len(self._seen[-1][0]) <= 2 * len(one):
            last_one, last_two = self._seen.pop()
            one, two = np.concatenate([last_one, one]), np.concatenate([last_two, two])
            order = np.lexsort((two, one))
            one, two = one[order], two[order]
        self._seen.append((one, two))


def _holds(known: tuple[Words, Words], one: Words, two: Words) -> Valid:
    """Which of the pairs (one[i], two[i]) are in `known`, which is sorted."""
    all_one, all_two = known
    places = np.searchsorted(all_one, one, side="left")
    found = np.zeros(len(one), np.bool_)
    open_ = np.arange(len(one))
    while len(open_):  # more than once only where different rows share their first hash
        at = places[open_]
        inside = at < len(all_one)
        open_, at = open_[inside], at[inside]
        same = all_one[at] == one[open_]
        open_, at = open_[same], at[same]
        equal = all_two[at] == two[open_]
        found[open_[equal]] = True
        open_ = open_[~equal]
        places[open_] += 1
    return found


def _from_ends(found: NDArray[np.int64], splits: int) -> Assignment:
    if splits > 127:
        raise ValueError(f"{splits} splits: at most 127 are possible")
    assigned = found.astype(np.int8)
    assigned[found == splits] = -1
    return assigned
