"""Tables of distinct values, by falling count.

`distinct(x, keep)` with `limit`, and for texts `unit` and `lower`: the values of x `[N, ...]` where `keep` (of texts: they, or
their words or characters, as they are or in lower case), each once, by falling count, equal counts by bytes (of numbers: by
value; -0 is 0, and NaN is no value), at most `limit`. It fills `table` `[limit]` (empty text or 0 in places left over), `order`
i32 `[limit]` (the places that sort the table, then -1) and `count` i32 `[]`.
"""

from __future__ import annotations

import ctypes
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from typing import Any
from zlib import crc32

import numpy as np

from bmc_runtime.characters import lower
from bmc_runtime.memory import DTYPES, Array
from bmc_runtime.reducers.contract import Attributes, Kernels
from bmc_runtime.table import Bytes, text_column

__all__ = ["Counted", "Distinct", "Distinctness", "Rest", "texts_of"]

Counts = Counter[Any]


def texts_of(cells: Array) -> list[bytes]:
    """The texts that the views of a `str` array point to."""
    flat = cells.reshape(-1)
    addresses, lengths = flat["address"].tolist(), flat["length"].tolist()  # type: ignore[call-overload]
    return list(map(_text_at, addresses, lengths))


def _text_at(address: int, length: int) -> bytes:
    return ctypes.string_at(address, length) if length else b""


@dataclass
class Counted:
    """How often each value (bytes or number) of one part of `parts` occurs: those whose `_part` is `part`."""

    counts: Counts
    parts: int
    part: int


@dataclass(frozen=True)
class Rest:
    """A further pass: the values of part `part` of `parts`. `best`: (count, value) of those counted before, at most `limit`;
    `values` and `cells`: how many there were."""

    parts: int
    part: int
    best: tuple[tuple[int, Any], ...]
    values: int
    cells: int


@dataclass(frozen=True)
class Distinctness:
    """How many different values `cells` have, and how many of the cells are in the table."""

    values: int
    cells: int
    kept: int


@dataclass(frozen=True)
class Distinct:
    """Values are counted in one pass while there are at most `most` of them. If there are more, a part of them by a hash is counted
    to the end of the pass, and the others in further passes: a part that has been counted gives its most frequent ones."""

    inputs: int = 2
    most: int = 1 << 19

    def add(
        self, state: Counted | None, inputs: Sequence[Array], attributes: Attributes, question: Rest | None, kernels: Kernels
    ) -> Counted:
        if state is None:
            state = Counted(Counter(), 1, 0) if question is None else Counted(Counter(), question.parts, question.part)
        x, keep = inputs
        if x.dtype == DTYPES["str"]:
            lowered = bool(attributes.get("lower", False))
            for found in kernels.count_parts(x, keep, str(attributes.get("unit", "whole"))):
                self._take(state, ((_lowered(text), count) for text, count in found) if lowered else found, question)
        else:
            cells = x[keep.astype(np.bool_)]
            if cells.dtype.kind == "f":
                cells = cells[~np.isnan(cells)] + 0  # one zero
            values, counts = np.unique(cells, return_counts=True)
            self._take(state, zip(values.tolist(), counts.tolist(), strict=True), question)
        return state

    def _take(self, state: Counted, found: Iterable[tuple[Any, int]], question: Rest | None) -> None:
        counts = state.counts
        if state.parts == 1:
            for value, count in found:
                counts[value] += count
        else:
            for value, count in found:
                if _part(value, state.parts) == state.part:
                    counts[value] += count
        while question is None and len(state.counts) > self.most:
            self._halve(state)

    def _halve(self, state: Counted) -> None:
        state.parts *= 2
        state.counts = Counter({v: c for v, c in state.counts.items() if _part(v, state.parts) == state.part})

    def merge(self, left: Counted, right: Counted) -> Counted:
        while left.parts < right.parts:
            self._halve(left)
        while right.parts < left.parts:
            self._halve(right)
        left.counts.update(right.counts)
        while left.part == 0 and len(left.counts) > self.most:
            self._halve(left)
        return left

    def ask(self, state: Counted, attributes: Attributes, question: Rest | None) -> Rest | None:
        if state.part + 1 == state.parts:
            return None
        known = self.values(state, attributes, question)
        return Rest(state.parts, state.part + 1, _best(state, attributes, question), known.values, known.cells)

    def values(self, state: Counted, attributes: Attributes, question: Rest | None) -> Distinctness:
        """How many values there are, and of how many cells."""
        before = (question.values, question.cells) if question is not None else (0, 0)
        kept = sum(count for count, _ in _best(state, attributes, question))
        return Distinctness(before[0] + len(state.counts), before[1] + sum(state.counts.values()), kept)

    def finish(
        self, state: Counted, outputs: Sequence[Array], attributes: Attributes, question: Rest | None
    ) -> tuple[Bytes, ...]:
        # One of one place may be stored as rank 0.
        table, order, count = outputs[0].reshape(-1), outputs[1].reshape(-1), outputs[2]
        limit = int(attributes["limit"])
        ranked = [value for _, value in _best(state, attributes, question)]
        used = len(ranked)
        order[...] = -1
        order[:used] = sorted(range(used), key=ranked.__getitem__)
        count[...] = used
        if table.dtype == DTYPES["str"]:
            column = text_column([*ranked, *[b""] * (limit - used)])
            table[...] = column.data
            return column.keep
        table[...] = 0
        table[:used] = ranked
        return ()


def _best(state: Counted, attributes: Attributes, question: Rest | None) -> tuple[tuple[int, Any], ...]:
    """(count, value) of the most frequent, with those of earlier passes; equal counts by value."""
    before = question.best if question is not None else ()
    every = [*before, *((count, value) for value, count in state.counts.items())]
    return tuple(nsmallest(int(attributes["limit"]), every, key=lambda pair: (-pair[0], pair[1])))


def _part(value: Any, parts: int) -> int:
    """Which of `parts`, a power of two, a value belongs to: the same in every process."""
    # The checksum alone keeps structure of its texts; the upper bits of a product do not.
    mixed = crc32(value if isinstance(value, bytes) else repr(value).encode()) * 0x9E3779B97F4A7C15
    return (mixed >> 40) & (parts - 1)


def _lowered(text: bytes) -> bytes:
    if text.isascii():
        return text.lower()
    return lower(text.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
