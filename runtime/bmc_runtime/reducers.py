"""Reductions of fitting that native code leaves to the host: tables of distinct values.

In: a reducer's name and attributes, the arrays that it reads and fills. Out: the filled arrays, and the buffers that their texts
lie in. Guaranteed: the result does not depend on how rows are cut into blocks: a reducer is `partial(block) → merge → finish`,
and `merge` is exact, associative and commutative.

`distinct(x, keep)` with `limit`, and for texts `unit` and `lower`: the values of x `[N, ...]` where `keep` (of texts: they, or
their words or characters, as they are or in lower case), each once, by falling count, equal counts by bytes (of integers: by
value), at most `limit`. It fills `table` `[limit]` (empty text or 0 in places left over), `order` i32 `[limit]` (the
places that sort the table, then -1) and `count` i32 `[]`.
"""

from __future__ import annotations

import ctypes
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from bmc_runtime.characters import lower, words
from bmc_runtime.memory import DTYPES, Array
from bmc_runtime.table import Bytes, text_column

__all__ = ["BLOCK_ROWS", "REDUCERS", "Reducer", "RowBlocks", "TextCounter", "count_texts", "run_reducer", "texts_of"]

BLOCK_ROWS = 1 << 16

Attributes = Mapping[str, Any]
Counts = Counter[Any]


TextCounter = Callable[[Array, Array], Counts]
"""How often each text of an array occurs where a mask of its shape holds."""


def count_texts(cells: Array, keep: Array) -> Counts:
    """A `TextCounter` without native code, cell by cell."""
    return Counter(texts_of(cells[keep.astype(np.bool_)]))


class Reducer(Protocol):
    """One reducer; its state between the three stages is its own affair, and can be pickled. `inputs`: how many arrays it reads."""

    @property
    def inputs(self) -> int: ...

    def partial(self, inputs: Sequence[Array], attributes: Attributes, count: TextCounter) -> Any:
        """The state of one block of rows: `inputs` are its rows. `count` counts texts."""

    def merge(self, left: Any, right: Any) -> Any:
        """The state of two blocks together; the left one may be used up."""

    def finish(self, state: Any, outputs: Sequence[Array], attributes: Attributes) -> tuple[Bytes, ...]:
        """Fills the outputs. Gives the buffers that texts in them point into: they must live as long as the outputs."""


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
class _Distinct:
    """State: how often each value (bytes or int) occurs."""

    inputs: int = 2

    def partial(self, inputs: Sequence[Array], attributes: Attributes, count: TextCounter) -> Counts:
        x, keep = inputs
        if x.dtype == DTYPES["str"]:
            unit, lower_case = str(attributes.get("unit", "whole")), bool(attributes.get("lower", False))
            if unit == "whole":
                return _merged_cases(count(x, keep)) if lower_case else count(x, keep)
            return _count_parts(texts_of(x[keep.astype(np.bool_)]), unit, lower_case)
        values, counts = np.unique(x[keep.astype(np.bool_)], return_counts=True)
        return Counter(dict(zip(values.tolist(), counts.tolist(), strict=True)))

    def merge(self, left: Counts, right: Counts) -> Counts:
        left.update(right)
        return left

    def finish(self, state: Counts, outputs: Sequence[Array], attributes: Attributes) -> tuple[Bytes, ...]:
        table, order, count = outputs[0].reshape(-1), outputs[1].reshape(-1), outputs[2]  # one of one place may be stored as rank 0
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


REDUCERS: Mapping[str, Reducer] = {"distinct": _Distinct()}


class RowBlocks(Protocol):
    """Rows that are made when they are asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice, /) -> Array: ...


def run_reducer(
    name: str,
    inputs: Sequence[Array | RowBlocks],
    outputs: Sequence[Array],
    attributes: Attributes,
    count: TextCounter = count_texts,
) -> tuple[Bytes, ...]:
    """Runs a reducer over all rows of `inputs` (each `[N, ...]`) in this process. Gives the buffers that must outlive the outputs.
    `count`: what counts texts, a program's native code. KeyError: there is no reducer of that name."""
    reducer = REDUCERS[name]
    rows = len(inputs[0])
    state = reducer.partial([array[:BLOCK_ROWS] for array in inputs], attributes, count)
    for start in range(BLOCK_ROWS, rows, BLOCK_ROWS):
        block = [array[start : start + BLOCK_ROWS] for array in inputs]
        state = reducer.merge(state, reducer.partial(block, attributes, count))
    return reducer.finish(state, outputs, attributes)
