"""Predictions as Parquet and as Arrow's files and streams, block by block.

In: a binary stream, blocks of columns. Out: the file in it. Guaranteed: the types are those of the first block; memory for some
blocks. Imports Arrow: import this module only where a file needs it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

import numpy as np
import pyarrow as pa
from pyarrow import ipc, parquet

from bmc.data.writing.arrow_texts import arrow_text
from bmc_runtime.memory import Array
from bmc_runtime.table import Column, Valid

__all__ = ["ArrowBlocks"]

_GROUP_ROWS = 1 << 16
"""Rows of a Parquet group, or of a batch of a file. A stream has a batch for each block: someone waits for it."""


class ArrowBlocks:
    """`form`: "parquet", "arrow" for a file, "stream" for Arrow's stream, which needs no end to be read."""

    def __init__(self, stream: IO[bytes], form: str) -> None:
        self._sink, self._form = pa.PythonFile(_Counted(stream), mode="w"), form
        self._writer: Any = None
        self._waiting: list[Any] = []
        self._rows = 0

    def write(self, columns: Mapping[str, Column]) -> None:
        table = pa.table({name: _to_arrow(column) for name, column in columns.items()})
        if self._writer is None:
            self._writer = self._opened(table.schema)
        self._waiting.append(table)
        self._rows += table.num_rows
        if self._form == "stream" or self._rows >= _GROUP_ROWS:
            self._flush()

    def finish(self) -> None:
        self._flush()
        self._writer.close()

    def _opened(self, schema: Any) -> Any:
        if self._form == "parquet":
            return parquet.ParquetWriter(self._sink, schema, compression="zstd")
        return (ipc.new_stream if self._form == "stream" else ipc.new_file)(self._sink, schema)

    def _flush(self) -> None:
        if self._waiting:
            table = pa.concat_tables(self._waiting).combine_chunks()
            self._waiting, self._rows = [], 0
            if table.num_rows or self._form == "parquet":
                self._writer.write_table(table)


class _Counted:
    """A stream that knows how much was written to it: pipes do not."""

    closed = False

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self._written = stream, 0

    def write(self, data: bytes) -> int:
        self._stream.write(data)
        self._written += len(data)
        return len(data)

    def tell(self) -> int:
        return self._written

    def flush(self) -> None:
        self._stream.flush()

    def close(self) -> None:
        """The stream belongs to the caller."""


def _to_arrow(column: Column) -> Any:
    mask = None if column.valid is None else pa.array(~column.valid)
    if column.runs is not None:
        kind = _value_type(column)
        for _ in range(1 + len(column.runs.step)):
            kind = pa.list_(kind)
        return pa.array(column.to_python(), kind)
    if not column.cell:
        return _values(column.data, column, column.valid)
    found = _values(column.data.reshape(-1), column, None)
    for level in range(len(column.cell) - 1, -1, -1):
        lists = len(column) * int(np.prod(column.cell[:level], dtype=np.int64))
        offsets = pa.array(np.arange(lists + 1, dtype=np.int32) * column.cell[level], pa.int32())
        found = pa.ListArray.from_arrays(offsets, found, mask=mask if level == 0 else None)
    return found


def _value_type(column: Column) -> Any:
    if column.dtype == "str":
        return pa.string()
    if column.kind != "plain":
        return pa.date32() if column.kind == "date" else pa.timestamp("us")
    return pa.from_numpy_dtype(column.data.dtype if column.runs is None else column.between(0, 0).dense().dtype)


def _values(data: Array, column: Column, valid: Valid | None) -> Any:
    flat = Column(column.dtype, data, None, column.keep, column.kind)
    if column.dtype == "str":
        texts = arrow_text(flat).cast(pa.string())
        return texts if valid is None else pa.compute.if_else(pa.array(valid), texts, None)
    return pa.array(data if column.kind == "plain" else flat.times(), _value_type(column), mask=None if valid is None else ~valid)
