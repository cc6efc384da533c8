"""64-bit hashes of rows by the values that their cells have, and the mixing function that hashes and orders share.

In: columns. Out: one word for each row. Guaranteed: equal rows have equal hashes, whatever file, order or batch they are in, on
every machine; the definition below is part of the language (splits depend on it) and does not change.

| what | hash |
|---|---|
| word x | `mix(x)`: the output of splitmix64 in state x (Steele, Lea, Flood 2014) |
| bytes of length n | `mix((n ^ T) + sum over k of mix(w[k] ^ mix(k + 1) ^ s))`: w the little-endian words of the bytes, zeros \
appended up to a multiple of 8; s = `mix(seed)` |
| text | its UTF-8 bytes; T = 3 |
| number (bool, u8, i32, i64) | `mix(x ^ mix(1))`, x in 64 bits, two's complement |
| number (f32, f64) | `mix(bits ^ mix(2))`, bits of the f64 of that value, -0.0 as 0.0, every NaN as 0x7ff8000000000000 |
| cell of several u8, bool | its bytes; T = 4 |
| cell of several others | `mix(sum over k of mix(h[k] ^ mix(k + 1) ^ s))`, h[k] the hash of its kth number or text |
| ragged cell of n steps, each of m numbers or texts | `mix((n ^ mix(6)) + sum over k of mix(h[k] ^ mix(k + 1) ^ s))`, k counting \
all n * m of them |
| missing cell | `mix(5)` |
| row | `mix(sum over columns of mix(h ^ t ^ s))`, t the hash of the column's name as text with seed 0 |

Sums are modulo 2^64. A row's hash does not depend on the order of the columns. Hashes with
different seeds are independent: s is in every sum, where different rows could meet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bmc_runtime.memory import Array
from bmc_runtime.table import Bytes, Column, text_column

__all__ = ["Hasher", "Words", "column_hashes", "column_word", "hash_column", "hash_rows", "mix", "mix_one"]

Words = NDArray[np.uint64]

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_INTEGER, _FLOAT, _TEXT, _BYTES, _MISSING, _RAGGED = 1, 2, 3, 4, 5, 6
_NAN = np.uint64(0x7FF8000000000000)
_BLOCK_BYTES = 1 << 22
"""Texts are hashed in blocks of about this size: the index arrays are several times as large."""


def mix_one(x: int) -> int:
    """`mix` of one integer, modulo 2^64."""
    x = (x + _GOLDEN) & _MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
    return x ^ (x >> 31)


def mix(x: Words) -> Words:
    """The word that splitmix64 gives from state x, for each: a bijection whose output bits all depend on all input bits."""
    z = x + np.uint64(_GOLDEN)
    t = z >> np.uint64(30)
    z ^= t
    z *= np.uint64(0xBF58476D1CE4E5B9)
    np.right_shift(z, np.uint64(27), out=t)
    z ^= t
    z *= np.uint64(0x94D049BB133111EB)
    np.right_shift(z, np.uint64(31), out=t)
    z ^= t
    return z


Hasher = Callable[[Mapping[str, Column], int], Words]
"""`[N]`: the hash of each row of columns by name, with a seed: `hash_rows`, or the same by native code."""


def hash_rows(columns: Mapping[str, Column], seed: int) -> Words:
    """`[N]`: the hash of each row of these columns by name. ValueError without a column."""
    if not columns:
        raise ValueError("rows without columns have no hash")
    total: Words | None = None
    for name, column in columns.items():
        hashed = column_hashes(name, column, seed)
        total = hashed if total is None else total + hashed
    assert total is not None
    return mix(total)


def column_hashes(name: str, column: Column, seed: int) -> Words:
    """`[N]`: what each cell of a column adds to the hash of its row."""
    return mix(hash_column(column, seed) ^ np.uint64(column_word(name, seed)))


def column_word(name: str, seed: int) -> int:
    """What stands for a column's name in the hashes of its cells."""
    (word,) = hash_column(text_column([name]), 0)
    return int(word) ^ mix_one(seed)


def hash_column(column: Column, seed: int) -> Words:
    """`[N]`: the hash of each cell."""
    rows, salt = len(column), np.uint64(mix_one(seed))
    if column.runs is not None:
        return _masked(_hash_runs(column, seed, salt), column)
    if column.dtype == "str":
        flat = _hash_texts(column.data.reshape(-1), column.keep, salt)
    elif column.cell and column.dtype in ("u8", "bool"):
        width = int(np.prod(column.cell))
        raw = np.ascontiguousarray(column.data).reshape(rows, width).view(np.uint8)
        return _masked(_hash_cells_of_bytes(raw, salt), column)
    else:
        flat = _hash_numbers(column)
    if column.cell:
        flat = _hash_cells(flat.reshape(rows, int(np.prod(column.cell))), salt)
    return _masked(flat, column)


def _hash_runs(column: Column, seed: int, salt: np.uint64) -> Words:
    """Windows as cells of several numbers; ragged cells with the numbers of their steps."""
    assert column.runs is not None
    result = np.empty(len(column), np.uint64)
    width = max(1, column.longest * column.step_bytes)
    count = max(1, _BLOCK_BYTES // width)
    for start in range(0, len(column), count):
        part = column.between(start, start + count)
        if column.runs.size is not None:
            whole = Column(column.dtype, part.dense(), None, _buffers_of_texts(column))
            result[start : start + count] = hash_column(whole, seed)
            continue
        dense = part.dense().reshape(len(part), -1)
        steps = part.steps.astype(np.int64)
        inside = np.arange(dense.shape[1], dtype=np.int64) < (steps * int(np.prod(column.runs.step, dtype=np.int64)))[:, None]
        flat = hash_column(Column(column.dtype, dense.reshape(-1), None, _buffers_of_texts(column)), seed).reshape(dense.shape)
        mixed = np.where(inside, mix(flat ^ _positions(dense.shape[1], salt)), np.uint64(0))
        counts = steps.view(np.uint64) ^ np.uint64(mix_one(_RAGGED))
        result[start : start + count] = mix(counts + mixed.sum(axis=1, dtype=np.uint64))
    return result


def _buffers_of_texts(column: Column) -> tuple[NDArray[Any], ...]:
    """The buffers that texts of a column of runs lie in, among those of the runs themselves."""
    return tuple(buffer for buffer in column.keep if buffer.dtype == np.uint8) if column.dtype == "str" else ()


def _masked(hashes: Words, column: Column) -> Words:
    if column.valid is not None:
        hashes = np.where(column.valid, hashes, np.uint64(mix_one(_MISSING)))
    return hashes


def _hash_numbers(column: Column) -> Words:
    flat = column.data.reshape(-1)
    if column.dtype in ("f32", "f64"):
        values = flat.astype(np.float64) + 0.0  # -0.0 + 0.0 is 0.0
        bits = values.view(np.uint64)
        bits[np.isnan(values)] = _NAN
        return mix(bits ^ np.uint64(mix_one(_FLOAT)))
    return mix(flat.astype(np.int64).view(np.uint64) ^ np.uint64(mix_one(_INTEGER)))


def _positions(count: int, salt: np.uint64) -> Words:
    return mix(np.arange(1, count + 1, dtype=np.uint64)) ^ salt


def _hash_cells(hashes: Words, salt: np.uint64) -> Words:
    """`[N, K]` → `[N]`."""
    return mix(mix(hashes ^ _positions(hashes.shape[1], salt)).sum(axis=1, dtype=np.uint64))


def _hash_cells_of_bytes(raw: Bytes, salt: np.uint64) -> Words:
    """`[N, width]` → `[N]`."""
    rows, width = raw.shape
    words = -(-width // 8)
    result = np.empty(rows, np.uint64)
    step = max(1, _BLOCK_BYTES // max(width, 1))
    for start in range(0, rows, step):
        padded = np.zeros((min(step, rows - start), words * 8), np.uint8)
        padded[:, :width] = raw[start : start + step]
        block = padded.view("<u8").astype(np.uint64, copy=False)
        sums = mix(block ^ _positions(words, salt)).sum(axis=1, dtype=np.uint64)
        result[start : start + step] = mix(sums + np.uint64(width ^ _BYTES))
    return result


def _hash_texts(cells: Array, keep: tuple[NDArray[Any], ...], salt: np.uint64) -> Words:
    addresses: NDArray[np.int64] = cells["address"]  # type: ignore[call-overload]
    lengths: NDArray[np.int64] = cells["length"]  # type: ignore[call-overload]
    result = mix((lengths ^ _TEXT).view(np.uint64))  # right for empty texts
    buffers = sorted((buffer for buffer in keep if len(buffer)), key=lambda buffer: buffer.ctypes.data)
    filled = np.flatnonzero(lengths > 0)
    # Each text lies in the last buffer that begins before it.
    owners = np.searchsorted([buffer.ctypes.data for buffer in buffers], addresses[filled], side="right") - 1
    stops = np.array([buffer.ctypes.data + len(buffer) for buffer in buffers], np.int64)
    if len(filled) and (int(owners.min()) < 0 or bool((addresses[filled] + lengths[filled] > stops[owners]).any())):
        raise ValueError("a text lies outside the buffers that its column keeps")
    by_owner = filled[np.argsort(owners, kind="stable")]
    bounds = np.searchsorted(np.sort(owners), np.arange(len(buffers) + 1))
    for number, buffer in enumerate(buffers):
        base = buffer.ctypes.data
        inside = by_owner[bounds[number] : bounds[number + 1]]
        ends = np.cumsum(lengths[inside])
        start = 0
        while start < len(inside):
            limit = int(ends[start] - lengths[inside[start]]) + _BLOCK_BYTES
            stop = max(start + 1, int(np.searchsorted(ends, limit, side="right")))
            chosen = inside[start:stop]
            result[chosen] = _hash_slices(buffer, addresses[chosen] - base, lengths[chosen], salt)
            start = stop
    return result


def _hash_slices(buffer: Bytes, starts: NDArray[np.int64], lengths: NDArray[np.int64], salt: np.uint64) -> Words:
    """Hashes of the texts `buffer[starts[i]:starts[i] + lengths[i]]`, none of them empty."""
    words = (lengths + 7) // 8
    word_ends = np.cumsum(words)
    first_words = word_ends - words
    padded = np.zeros(int(word_ends[-1]) * 8, np.uint8)
    within = np.arange(int(lengths.sum()), dtype=np.int64) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    padded[np.repeat(first_words * 8, lengths) + within] = buffer[np.repeat(starts, lengths) + within]
    block = padded.view("<u8").astype(np.uint64, copy=False)
    places = np.arange(len(block), dtype=np.int64) - np.repeat(first_words, words)
    mixed = mix(block ^ mix((places + 1).view(np.uint64)) ^ salt)
    sums = np.add.reduceat(mixed, first_words)
    return mix(sums + (lengths ^ _TEXT).view(np.uint64))
