"""Where words and characters lie in a buffer of UTF-8 text, without a turn of Python for each.

In: bytes. Out: starts and lengths. Guaranteed: the same words as `characters.words` gives of valid UTF-8; a byte that is no UTF-8
counts as a letter.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bmc_runtime.characters import APOSTROPHES, SEPARATORS
from bmc_runtime.table import Bytes

__all__ = ["Places", "char_places", "word_places"]

Places = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Starts and lengths, in bytes."""

_BREAK, _LETTER, _APOSTROPHE = 0, 1, 2


def char_places(text: Bytes) -> Places:
    """Each character: a byte that does not go on another, with those that go on it."""
    starts = np.flatnonzero((text & 0xC0) != 0x80)
    return starts, np.diff(starts, append=len(text))


def word_places(text: Bytes) -> Places:
    """Each word. A buffer that is cut within a word gives a part of it: cut at spaces."""
    kinds = _kinds_of_bytes(text)
    _apply_apostrophes(text, kinds)
    edges = np.diff((kinds == _LETTER).astype(np.int8), prepend=0, append=0)
    starts = np.flatnonzero(edges == 1)
    return starts, np.flatnonzero(edges == -1) - starts


def _kinds_of_bytes(text: Bytes) -> Bytes:
    """What the character that each byte belongs to is."""
    ascii_kinds = np.full(256, _LETTER, np.uint8)
    for first, last in SEPARATORS:
        if first < 0x80:
            ascii_kinds[first : min(last, 0x7F) + 1] = _BREAK
    ascii_kinds[APOSTROPHES[0]] = _APOSTROPHE
    kinds = ascii_kinds[text]
    leads = np.flatnonzero(text >= 0xC2)
    if len(leads):
        points, sizes = _code_points(text, leads)
        lasts = np.array([last for _, last in SEPARATORS])
        firsts = np.array([first for first, _ in SEPARATORS])
        at = np.minimum(np.searchsorted(lasts, points), len(lasts) - 1)
        found = np.where((points >= firsts[at]) & (points <= lasts[at]), _BREAK, _LETTER)
        found[np.isin(points, APOSTROPHES)] = _APOSTROPHE
        for offset in range(4):
            inside = sizes > offset
            kinds[leads[inside] + offset] = found[inside]
    return kinds


def _code_points(text: Bytes, leads: NDArray[np.int64]) -> Places:
    """(code point, bytes) of the characters that begin at `leads`; -1 and 1 where they are not whole."""
    head = text[leads].astype(np.int64)
    sizes = 2 + (head >= 0xE0) + (head >= 0xF0)
    points = head & (0x7F >> sizes)
    good = (leads + sizes <= len(text)) & (head < 0xF8)
    for offset in range(1, 4):
        inside = good & (sizes > offset)
        more = text[leads[inside] + offset].astype(np.int64)
        points[inside] = points[inside] << 6 | more & 0x3F
        good[inside] &= (more & 0xC0) == 0x80
    return np.where(good, points, -1), np.where(good, sizes, 1)


def _apply_apostrophes(text: Bytes, kinds: Bytes) -> None:
    """Apostrophes between two letters become letters, the others separate."""
    marked = kinds == _APOSTROPHE
    starts = np.flatnonzero(marked & ((text & 0xC0) != 0x80))
    sizes = np.where(text[starts] < 0x80, 1, 3)
    before = np.where(starts > 0, kinds[starts - 1], _BREAK)
    stops = starts + sizes
    after = np.where(stops < len(text), kinds[np.minimum(stops, max(len(text) - 1, 0))], _BREAK)
    between = (before == _LETTER) & (after == _LETTER)
    kinds[marked] = _BREAK
    for offset in range(3):
        inside = between & (sizes > offset)
        kinds[starts[inside] + offset] = _LETTER
