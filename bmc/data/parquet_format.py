"""Reads Parquet, and Arrow's own files and streams.

In: a file's bytes. Out: `RawTable`. Imports Arrow: import this module only where a file needs it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from pyarrow import ipc, parquet

from bmc.data import data_errors
from bmc.data.arrow_columns import from_arrow
from bmc.data.convert import Converted, WrongType
from bmc.data.raw import RawTable, place_of_row
from bmc.errors import BmcError, Diagnostic
from bmc.frontend.unit import ColumnSpec

__all__ = ["read_arrow", "read_parquet"]

_MAGIC = b"ARROW1"


def read_parquet(data: bytes, name: str, columns: Sequence[ColumnSpec], na: Sequence[str]) -> RawTable:
    """The columns of a Parquet file. Raises BmcError when the file, its columns or their types are wrong."""
    try:
        file = parquet.ParquetFile(pa.BufferReader(data))
        headers = _headers(columns, name, file.schema_arrow.names)
        return _table(file.read(columns=headers), file.metadata.num_rows, name, columns, na)
    except (pa.ArrowException, OSError) as error:
        raise BmcError(_damaged(name, "a Parquet file", error)) from None


def read_arrow(data: bytes, name: str, columns: Sequence[ColumnSpec], na: Sequence[str]) -> RawTable:
    """The columns of an Arrow file or stream ("Feather" of version 2 too). Raises BmcError as `read_parquet` does."""
    try:
        buffer = pa.BufferReader(data)
        reader = ipc.open_file(buffer) if data.startswith(_MAGIC) else ipc.open_stream(buffer)
        headers = _headers(columns, name, reader.schema.names)
        table = reader.read_all()
        table.validate(full=True)
        return _table(table.select(headers), table.num_rows, name, columns, na)
    except (pa.ArrowException, OSError) as error:
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


def _table(table: Any, rows: int, name: str, columns: Sequence[ColumnSpec], na: Sequence[str]) -> RawTable:
    found: dict[str, Converted] = {}
    for spec in columns:
        try:
            found[spec.name] = from_arrow(spec, table.column(spec.header), tuple(na))
        except (WrongType, pa.ArrowException) as error:
            shown = error.found if isinstance(error, WrongType) else str(table.column(spec.header).type)
            raise BmcError(data_errors.wrong_type(spec, name, shown)) from None
    return RawTable(found, rows, place_of_row)
