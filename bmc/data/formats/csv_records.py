"""Cuts csv text into parts that hold whole records, and parts into records.

In: a stream of bytes. Out: `Part`s of a few MB, whatever the file's size. Guaranteed: a part ends where a record ends, with the
line break; a record is never longer than a limit, so memory is bounded; `csv.reader` alone says where a record ends: the quick
way with quotes is taken where every quote stands at the edge of a cell, so that counting them gives the same.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import numpy as np
from numpy.typing import NDArray

from bmc.data import data_errors
from bmc.data.files.opening import Stream
from bmc.errors import BmcError
from bmc.frontend.unit import ColumnSpec
from bmc.record import record

__all__ = ["LONGEST_RECORD", "Layout", "Part", "header_of", "lines_in", "long_cells", "parts_of", "records_of"]

LONGEST_RECORD = 64 << 20
"""Bytes of one record: a longer one is taken for a quote that is never closed."""

_QUOTE, _FEED, _RETURN = 0x22, 0x0A, 0x0D


@record(frozen=True)
class Part:
    """Whole records. `line`: the number, from 1, of the first line in the file. `last`: the file ends here."""

    text: bytes | bytearray
    line: int
    last: bool


@record(frozen=True)
class Layout:
    """What there is to know before a part can be read. `header`: the names of the file's columns; `decimal`: what stands before the
    decimals of a number."""

    name: str
    columns: tuple[ColumnSpec, ...]
    na: tuple[str, ...]
    separator: str
    header: tuple[str, ...]
    decimal: str = "."


def parts_of(stream: Stream, separator: str, size: int) -> Iterator[Part]:
    """The parts of a csv text, each of about `size` bytes. Raises BmcError: a quote is never closed, a record is too long."""
    name, line, rest = stream.name, 1, bytearray()
    wanted = size
    while True:
        # Read behind what is left of the part before, in place: a part is not copied.
        asked, begun = max(wanted, len(rest) + 1), len(rest)
        text = bytearray(asked)
        text[:begun] = rest
        with memoryview(text) as whole:
            more, last = stream.fill(whole[begun:])
        del text[begun + more :]
        if not text:
            if stream.live:
                yield Part(b"", line, last=True)
            return
        end = len(text)
        if last:
            opened = _open_record(text, separator)
            if opened is not None:
                place = f"line {line + lines_in(text[:opened])}"
                raise BmcError(data_errors.malformed(name, place, "a quote is never closed"))
        else:
            end = _last_end(text, separator)
        if end:
            rest, wanted = text[end:], size
            del text[end:]
            after = line + lines_in(text)
            yield Part(text, line, last)
            line = after
        else:
            if len(text) >= LONGEST_RECORD:
                raise BmcError(data_errors.long_record(name, line, LONGEST_RECORD, quoted=b'"' in text))
            rest, wanted = text, min(2 * len(text) + 1, max(LONGEST_RECORD, size))
        if last:
            return


def lines_in(text: bytes | bytearray) -> int:
    """How many lines end in a text: with a line feed, a carriage return, or both."""
    if not text:
        return 0
    lines = int(np.count_nonzero(np.frombuffer(text, np.uint8) == _FEED))  # a third of the time of `count`
    return lines + (text.count(b"\r") - text.count(b"\r\n") if b"\r" in text else 0)


def _last_end(text: bytes | bytearray, separator: str) -> int:
    """Where the last whole record of a text ends, behind its line break; 0 if none does."""
    quotes = _edge_quotes(text, separator)
    return _scanned(text, separator) if quotes is None else _last_break(text, quotes)


def _last_break(text: bytes | bytearray, quotes: NDArray[np.int64]) -> int:
    """Behind the last line break outside quotes, which open and close in turn; 0 if there is none."""
    stop, before = len(text), len(quotes)
    if before % 2:
        stop, before = int(quotes[-1]), before - 1
    while True:
        start = int(quotes[before - 1]) + 1 if before else 0
        # A carriage return at the very end may be the half of a line break.
        found = max(text.rfind(b"\n", start, stop), text.rfind(b"\r", start, min(stop, len(text) - 1)))
        if found >= 0 or not before:
            return found + 1
        stop, before = int(quotes[before - 2]), before - 2


def _edge_quotes(text: bytes | bytearray, separator: str) -> NDArray[np.int64] | None:
    """Where the quotes of a text are, provided that each opens a cell, closes one, or is doubled inside quotes; None where one does
    not."""
    if _QUOTE not in text:
        return np.zeros(0, np.int64)
    data = np.frombuffer(text, np.uint8)
    quotes = np.flatnonzero(data == _QUOTE)
    edge = np.zeros(256, np.bool_)
    edge[[_FEED, _RETURN, ord(separator)]] = True
    opening, closing = quotes[0::2], quotes[1::2]
    before = _at_edge(data, opening - 1, edge)
    after = _at_edge(data, closing + 1, edge)
    doubled = closing[: len(opening) - 1] + 1 == opening[1:]  # one closes and the next opens: both are one quote of a text
    before[1:] |= doubled
    after[: len(doubled)] |= doubled
    return quotes if before.all() and after.all() else None


def _at_edge(data: NDArray[np.uint8], at: NDArray[np.int64], edge: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether the byte at each place is at the edge of a cell; so is what lies outside the text."""
    inside = (at >= 0) & (at < len(data))
    return np.asarray(edge[data[np.where(inside, at, 0)]] | ~inside)


class _NoMore(Exception):
    """The reader wants a line that is not there: its record goes on behind the text."""


def _scanned(text: bytes | bytearray, separator: str) -> int:
    """Where the last whole record ends, as the csv module finds it; 0 if none does."""
    done, seen = 0, 0

    def lines() -> Iterator[str]:
        nonlocal seen
        # Latin-1 has as many characters as there are bytes; separators, quotes and line breaks are ASCII.
        for line in io.TextIOWrapper(io.BytesIO(text), encoding="latin-1", newline=""):
            seen += len(line)
            if not line.endswith("\n") and (not line.endswith("\r") or seen == len(text)):
                raise _NoMore
            yield line
        raise _NoMore

    with long_cells(), suppress(_NoMore):
        for _ in csv.reader(lines(), delimiter=separator):
            done = seen
    return done


def _open_record(text: bytes | bytearray, separator: str) -> int | None:
    """Where the record begins whose quotes are still open at the end of a text; None if none are."""
    quotes = _edge_quotes(text, separator)
    if quotes is not None:
        return _last_break(text, quotes) if len(quotes) % 2 else None
    # With a line break behind it the last record is whole, unless quotes are open.
    closed = text if text.endswith(b"\n") else text + b"\n"
    end = _scanned(closed, separator)
    return None if end == len(closed) else end


# ---------------------------------------------------------------------------------------------------------------------
# Records


@contextmanager
def long_cells() -> Iterator[None]:
    """The csv module's limit of 128 KiB for a cell is a setting of the process: lift it for a while."""
    before = csv.field_size_limit(2**31 - 1)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def records_of(text: bytes | bytearray, separator: str) -> list[tuple[int, list[str]]]:
    """(number of its first line in the text, from 0; cells) of each record that is not empty. Text after a closing quote
    (`"a" b`) belongs to the cell."""
    found: list[tuple[int, list[str]]] = []
    start = 0
    with long_cells():
        reader = csv.reader(io.TextIOWrapper(io.BytesIO(text), encoding="utf-8", newline=""), delimiter=separator)
        for cells in reader:
            if cells:
                found.append((start, cells))
            start = reader.line_num
    return found


def header_of(part: Part, separator: str) -> tuple[list[str], Part] | None:
    """The first record of a text, and what follows it; None where there is no record."""
    at, lines = 0, 0

    def read() -> Iterator[str]:
        nonlocal at
        for line in io.TextIOWrapper(io.BytesIO(part.text), encoding="utf-8", newline=""):
            at += len(line.encode("utf-8"))
            yield line

    with long_cells():
        reader = csv.reader(read(), delimiter=separator)
        for cells in reader:
            lines = reader.line_num
            if cells:
                return cells, Part(part.text[at:], part.line + lines, part.last)
    return None
