"""Reads csv text.

In: a file's bytes. Out: `RawTable`. Guaranteed: `bmc.data.cells` alone says what a cell means. Small files, and files that Arrow
refuses, go through these rules cell by cell; the rest is read by Arrow (`bmc.data.csv_arrow`), with the same result.

Records end with a line break outside quotes; empty lines do not count; a quote doubled inside quotes is a quote. The header is the
first record. Arrow is imported for files above `SMALL` bytes only: importing it takes longer than reading these.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from bmc.data import data_errors
from bmc.data.convert import Converted, from_texts
from bmc.data.raw import BrokenRow, RawTable
from bmc.errors import BmcError
from bmc.frontend.unit import ColumnSpec
from bmc.source import Span

__all__ = ["SMALL", "read_csv"]

SMALL = 128 * 1024


def read_csv(
    data: bytes, name: str, columns: Sequence[ColumnSpec], na: Sequence[str], separator: str = ",", span: Span | None = None
) -> RawTable:
    """The columns of a csv text. Raises BmcError when the text or its header is wrong; bad cells are in the result.

    `separator` is one character; `span` that of the source's declaration.
    """
    _check_text(data, name)
    header = _header(data, name, separator, span)
    for spec in columns:
        if spec.header not in header:
            raise BmcError(data_errors.no_such_column(spec, name, header))
        if header.count(spec.header) > 1:
            raise BmcError(data_errors.duplicate_header(spec, name))
        if spec.cell or spec.ragged:
            raise BmcError(data_errors.wrong_type(spec, name, "one value a cell, as csv does"))
    if len(data) > SMALL:
        from bmc.data.csv_arrow import read_with_arrow  # noqa: PLC0415 - see the module's docstring

        found = read_with_arrow(data, columns, na, separator)
        if found is not None:
            return RawTable(found.columns, found.rows, _Lines(data, name, separator))
    return _read_by_record(data, name, columns, na, separator, header)


def _check_text(data: bytes, name: str) -> None:
    nul = data.find(b"\0")
    if nul >= 0:
        raise BmcError(data_errors.nul_byte(name, data.count(b"\n", 0, nul) + 1))
    if not data.isascii():
        try:
            data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise BmcError(data_errors.not_utf8(name, data.count(b"\n", 0, error.start) + 1, data[error.start])) from None


@contextmanager
def _long_cells() -> Iterator[None]:
    """The csv module's limit of 128 KiB for a cell is a setting of the process: lift it for a while."""
    before = csv.field_size_limit(2**31 - 1)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _text(data: bytes) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(data), encoding="utf-8-sig", newline="")


def _header(data: bytes, name: str, separator: str, span: Span | None) -> list[str]:
    with _long_cells():
        for record in csv.reader(_text(data), delimiter=separator):
            if record:
                return record
    raise BmcError(data_errors.empty_file(name, "header", span))


# ---------------------------------------------------------------------------------------------------------------------
# Record by record


class _Unclosed(Exception):
    def __init__(self, line: int) -> None:
        super().__init__(line)
        self.line = line


def _records(data: bytes, separator: str, strict: bool) -> Iterator[tuple[int, list[str]]]:
    """(line of its start, cells) of each record that is not empty. _Unclosed when a quote is never closed."""
    reader = csv.reader(_text(data), delimiter=separator, strict=strict)
    start = 1
    while True:
        try:
            record = next(reader, None)
        except csv.Error as error:
            if "unexpected end of data" in str(error):
                raise _Unclosed(start) from None
            raise
        if record is None:
            return
        if record:
            yield start, record
        start = reader.line_num + 1


def _all_records(data: bytes, name: str, separator: str) -> list[tuple[int, list[str]]]:
    with _long_cells():
        try:
            return list(_records(data, separator, strict=True))
        except _Unclosed as unclosed:
            raise BmcError(data_errors.malformed(name, f"line {unclosed.line}", "a quote is never closed")) from None
        except csv.Error:
            # Text after a closing quote ('"a" b'): it belongs to the cell, as Arrow has it too.
            return list(_records(data, separator, strict=False))


def _read_by_record(
    data: bytes, name: str, columns: Sequence[ColumnSpec], na: Sequence[str], separator: str, header: Sequence[str]
) -> RawTable:
    records = _all_records(data, name, separator)[1:]
    lines = [line for line, _ in records]
    broken: list[BrokenRow] = []
    for row, (_, cells) in enumerate(records):
        if len(cells) != len(header):
            broken.append(BrokenRow(row, cells=len(cells), wanted=len(header)))
    bad_rows = {cell.row for cell in broken}
    missing = frozenset(na)
    found: dict[str, Converted] = {}
    for spec in columns:
        at = header.index(spec.header)
        texts = [cells[at] if row not in bad_rows else "" for row, (_, cells) in enumerate(records)]
        converted = from_texts(spec, texts, missing)
        found[spec.name] = Converted(converted.column, tuple(c for c in converted.bad if c.row not in bad_rows))
    return RawTable(found, len(records), lambda row: f"line {lines[row]}", tuple(broken))


class _Lines:
    """Finds the line of a row when an error needs it."""

    def __init__(self, data: bytes, name: str, separator: str) -> None:
        self._data, self._name, self._separator = data, name, separator
        self._lines: list[int] | None = None

    def __call__(self, row: int) -> str:
        if self._lines is None:
            self._lines = [line for line, _ in _all_records(self._data, self._name, self._separator)[1:]]
        return f"line {self._lines[row]}"
