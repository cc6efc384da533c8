"""Reads Parquet. In: a file's path. Out: `RawTable`. Imports Arrow: import this module only where a file needs it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import IO, Any

import pyarrow as pa
from pyarrow import parquet

from bmc.data import data_errors
from bmc.data.arrow_columns import from_arrow
from bmc.data.convert import Converted, WrongType
from bmc.data.raw import RawTable, place_of_row
from bmc.errors import BmcError
from bmc.frontend.unit import ColumnSpec
from bmc_runtime.table import Column

__all__ = ["read_parquet", "write_parquet"]


def read_parquet(data: bytes, name: str, columns: Sequence[ColumnSpec], na: Sequence[str]) -> RawTable:
    """The columns of a Parquet file. Raises BmcError when the file, its columns or their types are wrong."""
    try:
        file = parquet.ParquetFile(pa.BufferReader(data))
        present = file.schema_arrow.names
        for spec in columns:
            if spec.header not in present:
                raise BmcError(data_errors.no_such_column(spec, name, present))
            if present.count(spec.header) > 1:
                raise BmcError(data_errors.duplicate_header(spec, name))
        table = file.read(columns=list(dict.fromkeys(spec.header for spec in columns)))
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else "it is damaged"
        raise BmcError(data_errors.malformed(name, "", f"this is not a Parquet file that can be read: {reason}")) from None
    found: dict[str, Converted] = {}
    for spec in columns:
        try:
            found[spec.name] = from_arrow(spec, table.column(spec.header), tuple(na))
        except (WrongType, pa.ArrowException) as error:
            shown = error.found if isinstance(error, WrongType) else str(table.column(spec.header).type)
            raise BmcError(data_errors.wrong_type(spec, name, shown)) from None
    return RawTable(found, file.metadata.num_rows, place_of_row)


def write_parquet(target: IO[bytes], columns: dict[str, Column]) -> None:
    """Writes columns to a binary stream. Cells of several values become lists."""
    arrays = {name: _to_arrow(column) for name, column in columns.items()}
    sink = pa.BufferOutputStream()
    parquet.write_table(pa.table(arrays), sink, compression="zstd")
    target.write(sink.getvalue())


def _to_arrow(column: Column) -> Any:
    mask = None if column.valid is None else ~column.valid
    if column.dtype == "str":
        return pa.array(column.to_python(), pa.string() if not column.cell else None)
    if column.cell:
        return pa.array(column.to_python())
    if column.kind != "plain":
        return pa.array(column.times(), mask=mask)
    return pa.array(column.data, mask=mask)
