"""Reads text and bytes of any size: the items of a corpus, which windows are cut from, and the lines of a text.

In: a path, what the items are. Out: a table with one column. Guaranteed: bytes are read from the file where they lie, mapped into
memory and never copied as a whole; text is UTF-8 and stays where it is, an item is 16 bytes, address and length.

A line ends with a line feed, which with a carriage return before it does not belong to the line; what follows the last one is a
line if it is not empty. `words` are those of the function `words` of the language, `chars` are code points.
"""

from __future__ import annotations

import mmap
from codecs import getincrementaldecoder
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bmc.data import data_errors
from bmc.data.files.opening import open_as_it_is
from bmc.errors import BmcError
from bmc.source import Span
from bmc_runtime.characters import APOSTROPHES, SEPARATORS
from bmc_runtime.memory import DTYPES
from bmc_runtime.table import Bytes, Column, Indices

__all__ = ["corpus_of", "mapped"]

_BLOCK = 1 << 22
"""Bytes of text that are looked at together: the arrays for finding words in them are some twenty times as large."""


def mapped(place: str, span: Span | None) -> Bytes:
    """The bytes of a file as they lie in it. Raises BmcError: there is no such file, or it is empty."""
    with open_as_it_is(place, span) as file:
        if file.seek(0, 2) == 0:
            raise BmcError(data_errors.empty_file(place, "bytes", span))
        try:
            return np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)
        except OSError as error:
            raise BmcError(data_errors.cannot_read(place, error.strerror or str(error), span)) from None


def corpus_of(content: Bytes, name: str, items: Literal["bytes", "lines", "words", "chars"]) -> Column:
    """The column of a corpus. Raises BmcError when text is not UTF-8."""
    if items == "bytes":
        return Column("u8", content, None, (content,))
    start = 3 if content[:3].tobytes() == b"\xef\xbb\xbf" else 0
    _require_utf8(content, name)
    if items == "lines":
        return _column(content, *_lines(content, start))
    find = _words if items == "words" else _chars
    starts, stops = [], []
    for first, last in _blocks(content, start):
        begin, end = find(content[first:last])
        starts.append(begin + first)
        stops.append(end + first)
    none = np.zeros(0, np.int64)
    return _column(content, np.concatenate([none, *starts]), np.concatenate([none, *stops]))


def _column(content: Bytes, starts: Indices, stops: Indices) -> Column:
    data = np.empty(len(starts), DTYPES["str"])
    data["address"] = content.ctypes.data + starts
    data["length"] = stops - starts
    return Column("str", data, None, (content,))


def _require_utf8(content: Bytes, name: str) -> None:
    decoder = getincrementaldecoder("utf-8")()
    for first in range(0, len(content), _BLOCK):
        part = content[first : first + _BLOCK]
        before = len(decoder.getstate()[0])
        if part.max() < 0x80 and not before:
            continue
        try:
            decoder.decode(part.tobytes(), first + _BLOCK >= len(content))
        except UnicodeDecodeError as error:
            at = first - before + error.start
            line = int(np.count_nonzero(content[:at] == 0x0A)) + 1
            raise BmcError(data_errors.not_utf8(name, line, int(content[at]))) from None


def _lines(content: Bytes, start: int) -> tuple[Indices, Indices]:
    parts = range(0, len(content), _BLOCK)
    ends = np.concatenate([np.flatnonzero(content[at : at + _BLOCK] == 0x0A) + at for at in parts])
    if len(content) > start and (not len(ends) or ends[-1] != len(content) - 1):
        ends = np.append(ends, len(content))
    starts = np.concatenate([[start], ends[:-1] + 1]) if len(ends) else ends
    with_return = (ends > starts) & (content[np.maximum(ends - 1, 0)] == 0x0D)
    return starts.astype(np.int64), (ends - with_return).astype(np.int64)


def _blocks(content: Bytes, start: int) -> list[tuple[int, int]]:
    """Parts of a text that end behind a space or line feed, where there is one: no word goes on behind it."""
    found = []
    while start < len(content):
        stop = min(start + _BLOCK, len(content))
        while stop < len(content):
            gaps = np.flatnonzero(content[start:stop] <= 0x20)
            if len(gaps):
                stop = start + int(gaps[-1]) + 1
                break
            stop = min(stop + _BLOCK, len(content))
        found.append((start, stop))
        start = stop
    return found


def _points(text: Bytes) -> tuple[NDArray[np.uint32], Indices]:
    """The code points of a text, and where each begins; one more for its end."""
    if not len(text) or int(text.max()) < 0x80:
        return text.astype(np.uint32), np.arange(len(text) + 1, dtype=np.int64)
    starts = np.flatnonzero((text & 0xC0) != 0x80)
    points = np.frombuffer(text.tobytes().decode("utf-8").encode("utf-32-le"), np.uint32)
    return points, np.append(starts, len(text))


def _chars(text: Bytes) -> tuple[Indices, Indices]:
    _, starts = _points(text)
    return starts[:-1], starts[1:]


def _words(text: Bytes) -> tuple[Indices, Indices]:
    points, starts = _points(text)
    inside = np.zeros(len(points) + 2, np.bool_)
    bounds = np.array([edge for first, last in SEPARATORS for edge in (first, last + 1)], np.uint32)
    # Between an odd number of edges and the next lies a separator.
    inside[1:-1] = np.searchsorted(bounds, points, side="right") % 2 == 0
    apostrophe = np.zeros_like(inside)
    apostrophe[1:-1] = np.isin(points, np.array(APOSTROPHES, np.uint32))
    inside[1:-1] |= apostrophe[1:-1] & inside[:-2] & inside[2:] & ~apostrophe[:-2] & ~apostrophe[2:]
    steps = np.diff(inside.astype(np.int8))
    return starts[np.flatnonzero(steps == 1)], starts[np.flatnonzero(steps == -1)]
