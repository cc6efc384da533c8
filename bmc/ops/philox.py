"""Reference of the random numbers: Philox4x32-10 on numpy arrays, word for word what code generation emits.

J. Salmon, M. Moraes, R. Dror, D. Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011. Words of the 128-bit
counter, low first: block of the row (element // 4, bit 31 marks the second stream), row within the effective batch,
step, low half of the site. Words of the key: low half of the seed, high half of the seed exclusive-or the high half of
the site. Element e takes word e mod 4 of its block. numpy comes as an argument.
"""

from __future__ import annotations

import hashlib
from typing import Any

__all__ = ["normal", "philox_block", "site_hash", "uniform"]

_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10
_LOW_WORD = 0xFFFFFFFF
_SECOND_STREAM = 1 << 31


def site_hash(site: str) -> int:
    """64 bits that stand for a key path: the first 8 bytes of its BLAKE2b, little-endian."""
    return int.from_bytes(hashlib.blake2b(site.encode(), digest_size=8).digest(), "little")


def philox_block(np: Any, counter: tuple[Any, Any, Any, Any], key: tuple[int, int]) -> tuple[Any, Any, Any, Any]:
    """The four words of each block. Counter words are uint64 arrays below 2**32 that broadcast together."""
    low_word, half = np.uint64(_LOW_WORD), np.uint64(32)
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(_ROUNDS):
        product_0, product_1 = c0 * np.uint64(_MULTIPLIERS[0]), c2 * np.uint64(_MULTIPLIERS[1])
        c0, c2 = (product_1 >> half) ^ c1 ^ np.uint64(k0), (product_0 >> half) ^ c3 ^ np.uint64(k1)
        c1, c3 = product_1 & low_word, product_0 & low_word
        k0, k1 = (k0 + _KEY_STEPS[0]) & _LOW_WORD, (k1 + _KEY_STEPS[1]) & _LOW_WORD
    return c0, c1, c2, c3


def _words(np: Any, seed: int, step: int, row: Any, element: Any, site: int, stream: int) -> Any:
    """The word of each (row, element), as uint64. `row` and `element` are int64 arrays that broadcast together."""
    row, element = np.broadcast_arrays(row, element)
    block = (element >> 2 & (_SECOND_STREAM - 1) | stream).astype(np.uint64)
    rows = (row & _LOW_WORD).astype(np.uint64)
    counter = (block, rows, np.full_like(block, step & _LOW_WORD), np.full_like(block, site & _LOW_WORD))
    words = philox_block(np, counter, (seed & _LOW_WORD, (seed >> 32 ^ site >> 32) & _LOW_WORD))
    return np.choose(element & 3, words)


def uniform(np: Any, dtype: str, seed: int, step: int, row: Any, element: Any, site: int) -> Any:
    """Uniforms in [0, 1): multiples of 2**-24 (f32) or 2**-53 (f64)."""
    first = _words(np, seed, step, row, element, site, 0)
    if dtype == "f32":
        return ((first >> np.uint64(8)).astype(np.float32) * np.float32(2.0**-24)).astype(np.float32)
    second = _words(np, seed, step, row, element, site, _SECOND_STREAM)
    return (first << np.uint64(21) | second >> np.uint64(11)).astype(np.float64) * 2.0**-53


def normal(np: Any, dtype: str, seed: int, step: int, row: Any, element: Any, site: int) -> Any:
    """Standard normals by Box and Muller: sqrt(-2 log u) sin(2 pi v), u = (first word + 1/2) / 2**32, v = second word
    / 2**32.
    """
    first = _words(np, seed, step, row, element, site, 0)
    second = _words(np, seed, step, row, element, site, _SECOND_STREAM).astype(np.int64)
    real = np.float32 if dtype == "f32" else np.float64
    u = ((first.astype(np.float64) + 0.5) * 2.0**-32).astype(real).astype(np.float64)
    # sin(2 pi v) of the exact distance to the nearest half turn, so that zeros keep their relative accuracy.
    turn = np.where(second >= 1 << 31, second - (1 << 32), second)
    folded = np.where(turn > 1 << 30, (1 << 31) - turn, np.where(turn < -(1 << 30), -(1 << 31) - turn, turn))
    return np.asarray(np.sqrt(-2.0 * np.log(u)) * np.sin(folded * (2.0 * np.pi * 2.0**-32)), dtype=real)
