"""Reads csv text, part by part.

In: a stream of bytes. Out: `RawTable`s, one for each part of the file. Guaranteed: `bmc.data.cells.rules` alone says what a cell
means. Small files, and parts that Arrow refuses, go through these rules cell by cell; the rest is read by Arrow
(`bmc.data.formats.csv_arrow`), with the same result. Memory holds a few parts at a time, whatever the file's size.

Records end with a line break outside quotes; empty lines do not count; a quote doubled inside quotes is a quote. The header is the
first record. Arrow is imported for files above `SMALL` bytes only: importing it takes longer than reading these.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from bmc.data import data_errors
from bmc.data.cells.convert import Converted, from_texts
from bmc.data.files.opening import Stream
from bmc.data.formats.csv_records import Layout, Part, header_of, lines_in, parts_of, records_of
from bmc.data.formats.raw import BrokenRow, RawTable
from bmc.errors import BmcError
from bmc.frontend.unit import ColumnSpec
from bmc.source import Span

__all__ = ["PART_BYTES", "SMALL", "read_csv"]

SMALL = 128 * 1024
PART_BYTES = 4 << 20
_BOM = b"\xef\xbb\xbf"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


Reader = Callable[[Part], RawTable]


def read_csv(
    stream: Stream,
    columns: Sequence[ColumnSpec],
    na: Sequence[str],
    separator: str = ",",
    span: Span | None = None,
    decimal: str = ".",
    part_bytes: int = PART_BYTES,
) -> Iterator[RawTable]:
    """The columns of a csv text. Raises BmcError when the text or its header is wrong; bad cells are in the result.

    `separator` is one character; `span` that of the source's declaration; `decimal` stands before the decimals of numbers.
    """
    name = stream.name
    _check_first_bytes(stream, span)
    small = not stream.live and len(stream.peek(SMALL + 1)) <= SMALL
    parts = parts_of(stream, separator, part_bytes)
    first = next(parts, None)
    if first is None:
        raise BmcError(data_errors.empty_file(name, "header", span))
    _check_text(first, name)
    found = header_of(first, separator)
    while found is None:
        first = next(parts, None)
        if first is None:
            raise BmcError(data_errors.empty_file(name, "header", span))
        _check_text(first, name)
        found = header_of(first, separator)
    header, first = found
    _check_header(header, name, columns, separator)
    layout = Layout(name, tuple(columns), tuple(na), separator, tuple(header), decimal)
    if small:
        yield from (_by_record(layout, part) for part in _chained(first, parts, name))
        return
    if stream.live:
        yield from _as_they_come(layout, _chained(first, parts, name))
        return
    from bmc.data.files.ahead import read_ahead  # noqa: PLC0415 - see the module's docstring
    from bmc.data.formats.csv_arrow import ArrowReader  # noqa: PLC0415

    yield from read_ahead(_chained(first, parts, name), _with_arrow(layout, ArrowReader(layout).read))


def _chained(first: Part, rest: Iterator[Part], name: str) -> Iterator[Part]:
    if first.text or first.last:
        yield first
    for part in rest:
        _check_text(part, name)
        yield part


def _as_they_come(layout: Layout, parts: Iterator[Part]) -> Iterator[RawTable]:
    """The parts of what someone is still writing: none waits for the next."""
    read: Reader | None = None
    for part in parts:
        if len(part.text) <= SMALL:
            yield _by_record(layout, part)
            continue
        if read is None:
            from bmc.data.formats.csv_arrow import ArrowReader  # noqa: PLC0415 - see the module's docstring

            read = _with_arrow(layout, ArrowReader(layout).read)
        yield read(part)


def _with_arrow(layout: Layout, read: Callable[[Part], RawTable | None]) -> Reader:
    return lambda part: read(part) or _by_record(layout, part)


def _check_first_bytes(stream: Stream, span: Span | None) -> None:
    first = stream.peek(4)
    if not first:
        raise BmcError(data_errors.empty_file(stream.name, "bytes", span))
    if first.startswith(_UTF_16):
        raise BmcError(data_errors.utf_16(stream.name, span))
    if first.startswith(_BOM):
        stream.read(len(_BOM))


def _check_text(part: Part, name: str) -> None:
    nul = part.text.find(b"\0")
    if nul >= 0:
        raise BmcError(data_errors.nul_byte(name, part.line + lines_in(part.text[:nul])))
    if not part.text.isascii():
        try:
            part.text.decode("utf-8")
        except UnicodeDecodeError as error:
            line = part.line + lines_in(part.text[: error.start])
            raise BmcError(data_errors.not_utf8(name, line, part.text[error.start])) from None


def _check_header(header: Sequence[str], name: str, columns: Sequence[ColumnSpec], separator: str) -> None:
    counts = Counter(header)
    for spec in columns:
        if spec.header not in counts:
            raise BmcError(data_errors.no_such_column(spec, name, header, separator))
        if counts[spec.header] > 1:
            raise BmcError(data_errors.duplicate_header(spec, name))
        if spec.cell or spec.ragged:
            raise BmcError(data_errors.wrong_type(spec, name, "one value a cell, as csv does"))


def _by_record(layout: Layout, part: Part) -> RawTable:
    records = records_of(part.text, layout.separator)
    lines = [part.line + line for line, _ in records]
    wanted = len(layout.header)
    broken = tuple(
        BrokenRow(row, cells=len(cells), wanted=wanted) for row, (_, cells) in enumerate(records) if len(cells) != wanted
    )
    bad_rows = {cell.row for cell in broken}
    missing = frozenset(layout.na)
    places = {header: at for at, header in enumerate(layout.header)}
    found: dict[str, Converted] = {}
    for spec in layout.columns:
        at = places[spec.header]
        texts = [cells[at] if row not in bad_rows else "" for row, (_, cells) in enumerate(records)]
        converted = from_texts(spec, texts, missing, layout.decimal)
        found[spec.name] = Converted(converted.column, tuple(c for c in converted.bad if c.row not in bad_rows))
    return RawTable(found, len(records), lambda row: f"line {lines[row]}", broken)
