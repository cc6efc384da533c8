"""Tables of distinct values, by falling count.

`distinct(x, keep)` with `limit`, and for texts `unit` and `lower`: the values of x `[N, ...]` where `keep` (of texts: they, or
their words or characters, as they are or in lower case), each once, by falling count, equal counts by bytes (of numbers: by
value), at most `limit`. It fills `table` `[limit]` (empty text or 0 in places left over), `order` i32 `[limit]` (the
places that sort the table, then -1) and `count` i32 `[]`.
"""

from __future__ import annotations

import ctypes
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bmc_runtime.characters import lower, words
from bmc_runtime.memory import DTYPES, Array
from bmc_runtime.reducers.contract import Attributes, Kernels
from bmc_runtime.table import Bytes, text_column

__all__ = ["Distinct", "Distinctness", "texts_of"]

Counts = Counter[Any]


def texts_of(cells: Array) -> list[bytes]:
    """The texts that the views of a `str` array point to."""
    flat = cells.reshape(-1)
    addresses, lengths = flat["address"].tolist(), flat["length"].tolist()  # type: ignore[call-overload]
    return list(map(_text_at, addresses, lengths))


def _text_at(address: int, length: int) -> bytes:
    return ctypes.string_at(address, length) if length else b""


def _count_parts(texts: Sequence[bytes], unit: str, lower_case: bool) -> Counts:
    """How often each word or character occurs. Bytes that are no UTF-8 stay what they are."""
    # A newline is in no word; it would be a character.
    joined = (b"\n" if unit == "words" else b"").join(texts).decode("utf-8", "surrogateescape")
    found: Counts = Counter(words(joined) if unit == "words" else joined)
    made: Counts = Counter({text.encode("utf-8", "surrogateescape"): count for text, count in found.items()})
    return _merged_cases(made) if lower_case else made


def _merged_cases(found: Counts) -> Counts:
    """The counts of the texts in lower case."""
    merged: Counts = Counter()
    for text, count in found.items():
        merged[lower(text.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")] += count
    return merged


@dataclass(frozen=True)
class Distinctness:
    """How many different values `cells` have, and how many of the cells are in the table."""

    values: int
    cells: int
    kept: int


@dataclass(frozen=True)
class Distinct:
    """State: how often each value (bytes, int or float) occurs."""

    inputs: int = 2

    def add(
        self, state: Counts | None, inputs: Sequence[Array], attributes: Attributes, question: object, kernels: Kernels
    ) -> Counts:
        found = self._block(inputs, attributes, kernels)
        return found if state is None else self.merge(state, found)

    def _block(self, inputs: Sequence[Array], attributes: Attributes, kernels: Kernels) -> Counts:
        x, keep = inputs
        if x.dtype == DTYPES["str"]:
            unit, lower_case = str(attributes.get("unit", "whole")), bool(attributes.get("lower", False))
            if unit == "whole":
                found = kernels.count_texts(x, keep)
                return _merged_cases(found) if lower_case else found
            return _count_parts(texts_of(x[keep.astype(np.bool_)]), unit, lower_case)
        values, counts = np.unique(x[keep.astype(np.bool_)], return_counts=True)
        return Counter(dict(zip(values.tolist(), counts.tolist(), strict=True)))

    def merge(self, left: Counts, right: Counts) -> Counts:
        left.update(right)
        return left

    def values(self, state: Counts, attributes: Attributes) -> Distinctness:
        """How many values there are, and of how many cells."""
        kept = sum(sorted(state.values(), reverse=True)[: int(attributes["limit"])])
        return Distinctness(len(state), sum(state.values()), kept)

    def ask(self, state: object, attributes: Attributes, question: object) -> None:
        return None

    def finish(self, state: Counts, outputs: Sequence[Array], attributes: Attributes, question: object) -> tuple[Bytes, ...]:
        # One of one place may be stored as rank 0.
        table, order, count = outputs[0].reshape(-1), outputs[1].reshape(-1), outputs[2]
        limit = int(attributes["limit"])
        ranked = sorted(state, key=lambda value: (-state[value], value))[:limit]
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
