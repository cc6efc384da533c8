"""Reads Parquet, and Arrow's own files and streams.

In: a file to seek in. Out: `RawTable`s, one for each batch of rows. Imports Arrow: import this module only where a file needs it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import IO, Any

import pyarrow as pa
from pyarrow import ipc, parquet

from bmc.data import data_errors
from bmc.data.blocks import MOST_ROWS
from bmc.data.cells.arrow_columns import from_arrow
from bmc.data.cells.convert import Converted, WrongType
from bmc.data.formats.raw import RawTable, RowsFrom
from bmc.errors import BmcError, Diagnostic
from bmc.frontend.unit import ColumnSpec

__all__ = ["read_arrow", "read_parquet"]

_MAGIC = b"ARROW1"

_DAMAGE = (pa.ArrowException, OSError, ValueError, MemoryError, OverflowError)
"""What Arrow raises for files that are not as it wrote them. Reading stops there, as what is left cannot be trusted."""


def read_parquet(
    file: IO[bytes], name: str, columns: Sequence[ColumnSpec], na: Sequence[str], most: int = MOST_ROWS
) -> Iterator[RawTable]:
    """The columns of a Parquet file, batch by batch. Raises BmcError when the file, its columns or their types are wrong."""
    try:
        reader = parquet.ParquetFile(file, pre_buffer=False, buffer_size=1 << 20, page_checksum_verification=True)
        headers = _headers(columns, name, reader.schema_arrow.names)
        _check_types(reader.schema_arrow, name, columns)
        before = 0
        # Where no column is wanted, rows are counted by the first.
        for batch in reader.iter_batches(batch_size=most, columns=headers or reader.schema_arrow.names[:1]):
            batch.validate(full=True)
            yield _table(batch, before, name, columns, na)
            before += batch.num_rows
        if not before:
            yield _no_rows(reader.schema_arrow, name, columns, na)
        if before != reader.metadata.num_rows:
            reason = f"its footer says {reader.metadata.num_rows} rows, it has {before}"
            raise BmcError(data_errors.malformed(name, "", reason))
    except _DAMAGE as error:
        raise BmcError(_damaged(name, "a Parquet file", error)) from None


def read_arrow(
    file: IO[bytes], name: str, columns: Sequence[ColumnSpec], na: Sequence[str], most: int = MOST_ROWS
) -> Iterator[RawTable]:
    """The columns of an Arrow file or stream ("Feather" of version 2 too), batch by batch. Raises BmcError as `read_parquet`
    does."""
    try:
        magic = file.read(len(_MAGIC))
        file.seek(0)
        batches: Iterator[Any]
        if magic == _MAGIC:
            whole = ipc.open_file(file)
            schema, batches = whole.schema, (whole.get_batch(i) for i in range(whole.num_record_batches))
        else:
            stream = ipc.open_stream(file)
            schema, batches = stream.schema, iter(stream)
        _headers(columns, name, schema.names)
        _check_types(schema, name, columns)
        before = 0
        for batch in batches:
            batch.validate(full=True)
            for start in range(0, batch.num_rows, most):
                part = batch.slice(start, most)
                yield _table(part, before, name, columns, na)
                before += part.num_rows
        if not before:
            yield _no_rows(schema, name, columns, na)
    except _DAMAGE as error:
        raise BmcError(_damaged(name, "an Arrow file or stream", error)) from None


def _headers(columns: Sequence[ColumnSpec], name: str, present: Sequence[str]) -> list[str]:
    for spec in columns:
        if spec.header not in present:
            raise BmcError(data_errors.no_such_column(spec, name, present))
        if list(present).count(spec.header) > 1:
            raise BmcError(data_errors.duplicate_header(spec, name))
    return list(dict.fromkeys(spec.header for spec in columns))


def _damaged(name: str, what: str, error: Exception) -> Diagnostic:
    reason = str(error).splitlines()[0] if str(error) else "it is damaged"
    return data_errors.malformed(name, "", f"this is not {what} that can be read: {reason}")


def _no_rows(schema: Any, name: str, columns: Sequence[ColumnSpec], na: Sequence[str]) -> RawTable:
    return _table(pa.RecordBatch.from_arrays([pa.array([], field.type) for field in schema], schema=schema), 0, name, columns, na)


def _check_types(schema: Any, name: str, columns: Sequence[ColumnSpec]) -> None:
    """Types that no cell of the columns can come from are wrong for a file without rows, too."""
    for spec in columns:
        try:
            from_arrow(spec, pa.array([], schema.field(spec.header).type), ())
        except (WrongType, pa.ArrowException):
            raise BmcError(data_errors.wrong_type(spec, name, str(schema.field(spec.header).type))) from None


def _table(batch: Any, before: int, name: str, columns: Sequence[ColumnSpec], na: Sequence[str]) -> RawTable:
    """`before`: how many rows of the file come before the batch."""
    found: dict[str, Converted] = {}
    for spec in columns:
        try:
            found[spec.name] = from_arrow(spec, batch.column(spec.header), tuple(na))
        except (WrongType, pa.ArrowException) as error:
            shown = error.found if isinstance(error, WrongType) else str(batch.column(spec.header).type)
            raise BmcError(data_errors.wrong_type(spec, name, shown)) from None
    return RawTable(found, batch.num_rows, RowsFrom(before))
