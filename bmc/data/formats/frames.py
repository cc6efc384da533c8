"""Rows as Python programs have them: data frames, tables of Arrow, lists of records.

In: an object of another library. Out: columns by header, of arrays, lists or Arrow's columns. Guaranteed: no library is needed:
who offers Arrow's interface for tables (pandas, polars, pyarrow, DuckDB, ...) is read by it, whoever it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["cells_of_arrow", "columns_in"]


def columns_in(value: Any) -> Mapping[str, Any] | None:
    """The columns of a table in memory; None if it is none."""
    if isinstance(value, Mapping):
        return {str(name): cells for name, cells in value.items()}
    if isinstance(value, np.ndarray) and value.dtype.names is not None:
        return {name: value[name] for name in value.dtype.names}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes) and all(isinstance(row, Mapping) for row in value):
        names = dict.fromkeys(str(name) for row in value for name in row)
        return {name: [row.get(name) for row in value] for name in names}
    if not hasattr(value, "columns") and not hasattr(value, "schema"):
        return None
    if hasattr(value, "__arrow_c_stream__") or hasattr(value, "__arrow_c_array__"):
        return _by_arrow(value)
    return _by_name(value)


def _by_arrow(value: Any) -> Mapping[str, Any] | None:
    import pyarrow as pa  # noqa: PLC0415 - importing Arrow takes a tenth of a second

    try:
        if not hasattr(value, "__arrow_c_stream__"):
            return dict(zip(value.schema.names, pa.record_batch(value).columns, strict=True))
        table = pa.table(value)
        return dict(zip(table.column_names, table.columns, strict=True))
    except (pa.ArrowException, TypeError):
        # Columns of pandas may hold anything: each cell is then judged by itself.
        return _by_name(value)


def _by_name(value: Any) -> Mapping[str, Any] | None:
    """A frame whose columns are had by their names."""
    try:
        names = list(value.columns)
        return {str(name): list(value[name]) for name in names}
    except (TypeError, KeyError, AttributeError):
        return None


def cells_of_arrow(column: Any) -> Any:
    """A column that offers Arrow's interface as `pyarrow.ChunkedArray`; None where it has no type of Arrow."""
    import pyarrow as pa  # noqa: PLC0415 - importing Arrow takes a tenth of a second

    try:
        return pa.chunked_array(column) if hasattr(column, "__arrow_c_stream__") else pa.chunked_array([pa.array(column)])
    except (pa.ArrowException, TypeError):
        return None
