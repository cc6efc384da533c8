"""Reads JSON lines, part by part.

In: a stream of bytes. Out: `RawTable`s, one for each part; or the objects as they are. A line holds an object; a name that it lacks
is a missing cell; of a name that stands twice the last counts. Memory holds one part, whatever the file's size; a line has a limit.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

from bmc.data import data_errors
from bmc.data.cells.convert import Converted, from_values
from bmc.data.files.opening import Stream
from bmc.data.formats.raw import BrokenRow, RawTable
from bmc.errors import BmcError
from bmc.frontend.unit import ColumnSpec
from bmc.record import record
from bmc.source import Span

__all__ = ["LONGEST_LINE", "PART_BYTES", "SMALL", "objects_of", "read_jsonl"]

PART_BYTES = 4 << 20
SMALL = 128 * 1024
LONGEST_LINE = 64 << 20
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_BOM = b"\xef\xbb\xbf"


def read_jsonl(
    stream: Stream, columns: Sequence[ColumnSpec], na: Sequence[str], span: Span | None = None, part_bytes: int = PART_BYTES
) -> Iterator[RawTable]:
    """The columns of the objects, one a line; empty lines do not count. Raises BmcError when the text is not UTF-8, or when a
    column is in no record of the first part that has any. Lines that are no objects are in `broken`."""
    _begin(stream, span)
    parts = _parts(stream, part_bytes)
    if stream.live or len(stream.peek(SMALL + 1)) <= SMALL:
        found: Iterator[_Found] = (_by_line(part, stream.name, columns, na) for part in parts)
    else:
        # Importing these takes longer than reading a small file.
        from bmc.data.files.ahead import read_ahead  # noqa: PLC0415
        from bmc.data.formats.jsonl_arrow import read_with_arrow  # noqa: PLC0415

        def read(part: _Lines) -> _Found:
            _check_text(part, stream.name)
            quick = read_with_arrow(part.text, part.line, columns, na)
            return _by_line(part, stream.name, columns, na) if quick is None else _Found(quick)

        found = read_ahead(parts, read)
    looked = stream.live  # a line that comes later may have the name
    for table in found:
        if not looked and table.raw.rows > len(table.raw.broken):
            looked = True
            for spec in columns:
                if table.names is not None and spec.header not in table.names and not spec.nullable:
                    raise BmcError(data_errors.no_such_column(spec, stream.name, table.names))
        yield table.raw


def objects_of(stream: Stream) -> Iterator[dict[str, Any]]:
    """The objects as Python has them. Raises BmcError at the first line that is none."""
    _begin(stream, None)
    for part in _parts(stream, PART_BYTES):
        for number, line in enumerate(_decoded(part, stream.name).split("\n"), part.line):
            if line and not line.isspace():
                made, reason = _parsed(line)
                if reason:
                    raise BmcError(data_errors.malformed(stream.name, f"line {number}", reason))
                yield made


def _begin(stream: Stream, span: Span | None) -> None:
    first = stream.peek(3)
    if first.startswith(_UTF_16):
        raise BmcError(data_errors.utf_16(stream.name, span))
    if first == _BOM:
        stream.read(len(_BOM))


@record(frozen=True)
class _Lines:
    """Whole lines, and the number of the first."""

    text: bytes
    line: int


@record(frozen=True)
class _Found:
    """`names`: those of the columns in the lines; None: every column that must be there is."""

    raw: RawTable
    names: Sequence[str] | None = None


def _parts(stream: Stream, size: int) -> Iterator[_Lines]:
    rest, line, wanted = b"", 1, size
    while True:
        more, last = stream.some(max(wanted - len(rest), 1))
        text = rest + more if rest else more
        end = len(text) if last else text.rfind(b"\n") + 1
        if end or last:
            yield _Lines(text[:end], line)
            line += text.count(b"\n", 0, end)
            rest, wanted = text[end:], size
        elif not last:
            if len(text) >= LONGEST_LINE:
                raise BmcError(data_errors.long_record(stream.name, line, LONGEST_LINE, quoted=False))
            rest, wanted = text, min(2 * len(text) + 1, max(LONGEST_LINE, size))
        if last:
            return


def _check_text(part: _Lines, name: str) -> None:
    if not part.text.isascii():
        _decoded(part, name)


def _decoded(part: _Lines, name: str) -> str:
    try:
        return part.text.decode("utf-8")
    except UnicodeDecodeError as error:
        line = part.line + part.text.count(b"\n", 0, error.start)
        raise BmcError(data_errors.not_utf8(name, line, part.text[error.start])) from None


_parse = json.JSONDecoder().decode


def _parsed(line: str) -> tuple[dict[str, Any], str]:
    """The object that a line is, or why it is none."""
    try:
        made = _parse(line)
    except RecursionError:
        return {}, "the line is not JSON: nested too deeply"
    except ValueError as error:
        return {}, f"the line is not JSON: {getattr(error, 'msg', 'a number has thousands of digits')}"
    return (made, "") if isinstance(made, dict) else ({}, "the line is not an object")


def _by_line(part: _Lines, name: str, columns: Sequence[ColumnSpec], na: Sequence[str]) -> _Found:
    """The rows of whole lines, and the names in them."""
    text = _decoded(part, name)
    records: list[dict[str, Any]] = []
    numbers: list[int] = []
    broken: list[BrokenRow] = []
    for number, line in enumerate(text.split("\n"), part.line):
        if not line or line.isspace():
            continue
        made, reason = _parsed(line)
        if reason:
            broken.append(BrokenRow(len(records), reason))
        records.append(made)
        numbers.append(number)
    bad_rows = {cell.row for cell in broken}
    found: dict[str, Converted] = {}
    for spec in columns:
        try:
            values = list(map(itemgetter(spec.header), records))  # most often each record has each name
        except KeyError:
            values = [record.get(spec.header) for record in records]
        converted = from_values(spec, values, frozenset(na))
        found[spec.name] = Converted(converted.column, tuple(c for c in converted.bad if c.row not in bad_rows))
    table = RawTable(found, len(records), lambda row: f"line {numbers[row]}", tuple(broken))
    return _Found(table, list(dict.fromkeys(chain.from_iterable(records))))
