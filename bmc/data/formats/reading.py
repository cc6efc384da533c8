"""One way into all formats whose files hold columns by name.

In: the name of a file, or standard input, the format, what the source says of it. Out: its rows as `RawTable`s, a few MB at a time
but for `.ts` files. Guaranteed: modules that import Arrow are imported where a file needs them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import IO

from bmc.data import data_errors
from bmc.data.files.naming import separator_of
from bmc.data.files.opening import Stream, open_file, open_stream, seekable
from bmc.data.formats.csv_format import read_csv
from bmc.data.formats.jsonl_format import read_jsonl
from bmc.data.formats.npz_format import read_npz
from bmc.data.formats.raw import RawTable
from bmc.data.formats.ts_format import read_ts
from bmc.errors import BmcError
from bmc.frontend.unit import ColumnSpec, SourceSpec
from bmc.record import record
from bmc.source import Span

__all__ = ["Watch", "Written", "format_of_bytes", "parts_of_file", "parts_of_stream"]

_FIRST_BYTES = ((b"PK\x03\x04", "npz"), (b"PAR1", "parquet"), (b"ARROW1", "arrow"), (b"\xff\xff\xff\xff", "arrow"))
"""Arrow's streams begin otherwise than its files."""

_TEXTS = ("csv", "jsonl", "ts")

Watch = Callable[[int], None]
"""Hears how many bytes of a file have been read."""


@record(frozen=True)
class Written:
    """How a file is written: texts that mean a missing cell; of csv what stands between cells ("": what the file's name says), the
    encoding ("": UTF-8), and what stands before the decimals of numbers."""

    na: tuple[str, ...] = ("",)
    separator: str = ""
    encoding: str = ""
    decimal: str = "."

    @staticmethod
    def of(source: SourceSpec) -> Written:
        options = dict(source.options)
        return Written(source.na, options.get("separator", ""), options.get("encoding", ""), options.get("decimal", "."))


def format_of_bytes(data: bytes) -> str:
    """The format that the first bytes of a table show: csv unless they are those of another."""
    for first, form in _FIRST_BYTES:
        if data.startswith(first):
            return form
    return "jsonl" if data.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"{" else "csv"


def parts_of_file(
    place: str, form: str, columns: Sequence[ColumnSpec], written: Written, span: Span | None, watch: Watch | None = None
) -> Iterator[RawTable]:
    """The rows of a file. Raises BmcError."""
    if form in _TEXTS:
        with open_stream(place, span, written.encoding if form == "csv" else "") as stream:
            yield from parts_of_stream(stream, form, columns, written, span, watch)
    else:
        with open_file(place, span) as file:
            yield from _parts_of_binary(file, place, form, columns, written.na, span, watch)


def parts_of_stream(
    stream: Stream, form: str, columns: Sequence[ColumnSpec], written: Written, span: Span | None, watch: Watch | None = None
) -> Iterator[RawTable]:
    """The rows of what is open already. Raises BmcError."""
    first = stream.begin(64)
    if not first and form != "jsonl":  # no lines, no rows
        raise BmcError(data_errors.empty_file(stream.name, "bytes", span))
    if form not in _TEXTS:
        with seekable(stream, span) as file:
            yield from _parts_of_binary(file, stream.name, form, columns, written.na, span, watch)
        return
    _refuse_other_kinds(first, stream.name, form)
    parts: Iterator[RawTable]
    if form == "csv":
        separator = written.separator or separator_of(stream.name)
        parts = read_csv(stream, columns, written.na, separator, span, written.decimal)
    elif form == "jsonl":
        parts = read_jsonl(stream, columns, written.na, span)
    else:
        parts = iter((read_ts(stream.all(), stream.name, columns, written.na),))
    for raw in parts:
        if watch is not None:
            watch(stream.done)
        yield raw


def _refuse_other_kinds(first: bytes, name: str, form: str) -> None:
    """Raises BmcError: the first bytes are those of a file that is no text."""
    other = next((kind for start, kind in _FIRST_BYTES if first.startswith(start)), "")
    if first.startswith(b"\x1f\x8b"):
        raise BmcError(data_errors.malformed(name, "", "this file is compressed by gzip, and its name does not end in .gz"))
    if other and (not first.isascii() or 0 in first):
        raise BmcError(data_errors.malformed(name, "", f"this is no {form} text, it begins like a file of {other}"))


def _parts_of_binary(
    file: IO[bytes], name: str, form: str, columns: Sequence[ColumnSpec], na: Sequence[str], span: Span | None, watch: Watch | None
) -> Iterator[RawTable]:
    if not file.read(1):
        raise BmcError(data_errors.empty_file(name, "bytes", span))
    file.seek(0)
    if form == "npz":
        parts = read_npz(file, name, columns, na)
    else:
        # Importing Arrow takes a tenth of a second.
        from bmc.data.formats.parquet_format import read_arrow, read_parquet  # noqa: PLC0415

        parts = (read_arrow if form == "arrow" else read_parquet)(file, name, columns, na)
    most = 0
    for raw in parts:
        if watch is not None and not file.closed:
            # Columns lie one after the other: where the last one was read from says about how far we are.
            most = max(most, file.tell())
            watch(most)
        yield raw
