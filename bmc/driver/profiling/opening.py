"""A file of any format that holds a table, as blocks of raw cells.

In: a path. Out: its columns, and their cells block by block: texts of csv, values of formats that have types. Guaranteed: nothing
is declared beforehand; what no reader could read is an error that says so.
"""

from __future__ import annotations

import codecs
import gzip
import json
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO

import pyarrow as pa
from pyarrow import ipc, parquet

from bmc.data import data_errors
from bmc.data.files.naming import format_of
from bmc.data.files.opening import open_as_it_is, open_stream
from bmc.data.formats.array_formats import DAMAGE, ArrayReader, array_bytes, npy_header
from bmc.data.formats.csv_records import Part, header_of
from bmc.data.formats.jsonl_format import objects_of
from bmc.data.read import read_blocks
from bmc.driver.profiling.scan import column_spec
from bmc.errors import BmcError
from bmc.frontend.unit import DataSpec, SourceSpec, SplitSpec
from bmc.record import record, replace
from bmc.source import SourceFile, Span

__all__ = ["FORMATS", "Cells", "TableFile", "open_table"]

FORMATS = ("csv", "parquet", "arrow", "jsonl", "npz")
"""Those that hold a table with named columns."""

Cells = Mapping[str, Sequence[Any]]

_SEPARATORS = (",", ";", "\t", "|")
_BLOCK = 65_536
_LOOKED_AT = 1 << 20
"""Bytes by which the encoding and the marks of a csv file are told."""

_DAMAGE = (pa.ArrowException, *DAMAGE)


@record(frozen=True, eq=False)
class TableFile:
    """`headers`: of columns that can be read by their name; `unreadable`: others, with the reason. `options`: those of a `csv(...)`
    that reads it: `separator`, `decimal`, `encoding`. `arrays`: headers of columns each of whose cells is an array of numbers, with
    their types; they are not among the cells."""

    path: Path
    form: str
    headers: tuple[str, ...]
    unreadable: tuple[tuple[str, str], ...]
    options: tuple[tuple[str, str], ...] = ()
    arrays: tuple[tuple[str, str], ...] = ()

    @property
    def decimal(self) -> str:
        """What stands before the decimals of numbers."""
        return dict(self.options).get("decimal", ".")

    def blocks(self) -> Iterator[Cells]:
        """The cells by header. Raises BmcError: the file is damaged."""
        name = str(self.path)
        try:
            if self.form == "csv":
                yield from _csv_blocks(self)
            elif self.form == "jsonl":
                yield from _json_blocks(self)
            elif self.form == "npz":
                yield from _npz_blocks(self)
            else:
                yield from _arrow_blocks(self)
        except _DAMAGE as error:
            raise BmcError(data_errors.malformed(name, "", _first_line(error))) from None


def open_table(path: Path) -> TableFile:
    """The columns that a file has. Raises BmcError: there is none, it is no table, or it is damaged."""
    form = format_of(path)
    if form not in FORMATS:
        raise BmcError(data_errors.unknown_format(str(path), FORMATS))
    open_as_it_is(str(path), None).close()
    try:
        if form == "csv":
            return _open_csv(path)
        found = _table_file(path, form, _headers_of(path, form))
        return replace(found, arrays=_arrays_of(path)) if form == "npz" else found
    except _DAMAGE as error:
        raise BmcError(data_errors.malformed(str(path), "", _first_line(error))) from None


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or ["it is damaged"])[0]


def _table_file(path: Path, form: str, headers: Sequence[str], options: tuple[tuple[str, str], ...] = ()) -> TableFile:
    twice = {h for h in headers if list(headers).count(h) > 1} if len(set(headers)) < len(headers) else set()
    readable = tuple(h for h in headers if h and h not in twice)
    reasons = {h: "several columns are called so" if h in twice else "it has no name" for h in headers if h not in readable}
    return TableFile(path, form, readable, tuple(reasons.items()), options)


def _opened(path: Path) -> BinaryIO:
    return gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb")  # type: ignore[return-value]


# --- csv ----------------------------------------------------------------------------------------------------------------
def _open_csv(path: Path) -> TableFile:
    with _opened(path) as file:
        start = file.read(_LOOKED_AT)
    encoding = _encoding_of(start)
    text = start.decode(encoding or "utf-8-sig", errors="replace")
    first = next((line for line in text.splitlines() if line.strip()), "")
    if not first:
        raise BmcError(data_errors.empty_file(str(path), "header", None))
    separator = "\t" if ".tsv" in path.name.lower() else max(_SEPARATORS, key=first.count)
    decimal = "," if separator != "," and _decimals(text, separator, ",") > _decimals(text, separator, ".") else ""
    found = header_of(Part(text.encode("utf-8"), 1, last=True), separator)
    header = found[0] if found is not None else []
    written = (("separator", separator if separator != "," else ""), ("decimal", decimal), ("encoding", encoding))
    return _table_file(path, "csv", header, tuple((key, value) for key, value in written if value))


def _encoding_of(start: bytes) -> str:
    """"" for UTF-8. Bytes of an older encoding are taken for the one that most such files have."""
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError:
        return "cp1252"
    return ""


def _decimals(text: str, separator: str, mark: str) -> int:
    """How many cells are numbers with decimals behind `mark`."""
    edge = f"[{re.escape(separator)}\"\n\r]"
    return len(re.findall(rf"{edge}\s*-?\d+{re.escape(mark)}\d+\s*(?={edge})", text))


def _csv_blocks(file: TableFile) -> Iterator[Cells]:
    """By the reader of training: what it refuses is refused here, with the same words."""
    call = SourceFile("<command line>", f"csv({json.dumps(str(file.path), ensure_ascii=False)})")
    place = Span(call, 0, len(call.text))
    source = SourceSpec(file.path.stem, "csv", (str(file.path.absolute()),), "", ("",), None, file.options, place)
    columns = tuple(column_spec(header, "text") for header in file.headers)
    split = SplitSpec("none", ("train",))
    spec = DataSpec(file.path.stem, (source,), columns, file.headers, split, (), (), (), False, None)
    for block in read_blocks(spec):
        yield {name: column.to_python() for name, column in block.table.columns.items()}


# --- formats that have types ------------------------------------------------------------------------------------------------
def _headers_of(path: Path, form: str) -> list[str]:
    if form == "parquet":
        with _opened(path) as file:
            return list(parquet.read_schema(pa.PythonFile(file)).names)
    if form == "arrow":
        with _opened(path) as file:
            return list(_arrow_reader(file).schema.names)
    if form == "npz":
        with ExitStack() as opened:
            return list(_array_readers(opened, path))
    found: dict[str, None] = {}
    for number, line in enumerate(_json_lines(path)):
        found.update(dict.fromkeys(line))
        if number >= _BLOCK:
            break
    return list(found)


def _arrow_reader(file: BinaryIO) -> Any:
    magic = file.read(6)
    file.seek(0)
    return ipc.open_file(file) if magic == b"ARROW1" else ipc.open_stream(file)


def _arrow_blocks(table: TableFile) -> Iterator[Cells]:
    with _opened(table.path) as file:
        if table.form == "parquet":
            for batch in parquet.ParquetFile(pa.PythonFile(file)).iter_batches(_BLOCK):
                yield {h: batch.column(h).to_pylist() for h in table.headers}
            return
        reader = _arrow_reader(file)
        batches = reader if not hasattr(reader, "num_record_batches") else (
            reader.get_batch(i) for i in range(reader.num_record_batches)
        )  # fmt: skip
        for batch in batches:
            for start in range(0, batch.num_rows, _BLOCK):
                part = batch.slice(start, _BLOCK)
                yield {h: part.column(h).to_pylist() for h in table.headers}


_ARRAY_TYPES: Mapping[str, str] = MappingProxyType({"u1": "u8", "i4": "i32", "i8": "i64", "f4": "f32", "f8": "f32"})


def _arrays_of(path: Path) -> tuple[tuple[str, str], ...]:
    """Columns of an npz file whose cells are arrays, with their types."""
    with ExitStack() as opened:
        shapes = {h: (array.dtype.str[1:], array.shape[1:]) for h, array in _array_readers(opened, path).items()}
    return tuple(
        (header, f"{_ARRAY_TYPES[kind]}[{', '.join(map(str, cell))}]")
        for header, (kind, cell) in shapes.items()
        if cell and kind in _ARRAY_TYPES
    )


def _array_readers(opened: ExitStack, path: Path) -> dict[str, ArrayReader]:
    """The arrays of an npz file by name. One of DAMAGE: it holds something else."""
    archive = opened.enter_context(zipfile.ZipFile(opened.enter_context(_opened(path))))
    found: dict[str, ArrayReader] = {}
    for member in archive.namelist():
        file = opened.enter_context(archive.open(member))
        dtype, shape, columns_first = npy_header(file)
        name = member.removesuffix(".npy")
        if dtype.hasobject:
            raise ValueError(f"its array {name!r} holds Python objects, which are not loaded")
        if array_bytes(dtype, shape) > archive.getinfo(member).file_size:
            raise EOFError(f"its array {name!r} is cut off")
        found[name] = ArrayReader(file, dtype, shape, columns_first=columns_first)
    return found


def _npz_blocks(table: TableFile) -> Iterator[Cells]:
    with ExitStack() as opened:
        readers = _array_readers(opened, table.path)
        found = {h: readers[h] for h in table.headers if h not in dict(table.arrays) and readers[h].shape}
        rows = max((array.rows for array in found.values()), default=0)
        for _ in range(0, rows, _BLOCK):
            yield {h: array.take(_BLOCK).tolist() for h, array in found.items()}


def _json_lines(path: Path) -> Iterator[dict[str, Any]]:
    with open_stream(str(path), None) as stream:
        yield from objects_of(stream)


def _json_blocks(table: TableFile) -> Iterator[Cells]:
    records: list[dict[str, Any]] = []
    for line in _json_lines(table.path):
        records.append(line)
        if len(records) == _BLOCK:
            yield {h: [r.get(h) for r in records] for h in table.headers}
            records = []
    if records:
        yield {h: [r.get(h) for r in records] for h in table.headers}
