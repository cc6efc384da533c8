"""Reads large csv texts with Arrow.

In: checked text and columns. Out: columns, or None where Arrow refuses the text, or might take what `bmc.data.cells` refuses: the
caller then reads record by record. Guaranteed: what comes out is what the rules give. Arrow takes a subset of what they take
(decimal numbers, ISO dates, timestamps without a zone) but for hexadecimal integers and the year 0, which are looked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import csv as arrow_csv

from bmc.data.arrow_columns import from_arrow
from bmc.data.convert import Converted
from bmc.data.raw import RawTable, place_of_row
from bmc.frontend.unit import ColumnSpec

__all__ = ["read_with_arrow"]

_BLOCK_BYTES = 1 << 22
_FIRST = {"date": -719_162, "timestamp": -719_162 * 86_400_000_000}
"""0001-01-01."""


def read_with_arrow(data: bytes, columns: Sequence[ColumnSpec], na: Sequence[str], separator: str) -> RawTable | None:
    """The columns, whose headers are all there once."""
    if any(spec.dtype in ("u8", "i32", "i64") for spec in columns) and (b"0x" in data or b"0X" in data):
        return None
    try:
        table = arrow_csv.read_csv(
            pa.BufferReader(data),
            read_options=arrow_csv.ReadOptions(block_size=_BLOCK_BYTES),
            parse_options=arrow_csv.ParseOptions(delimiter=separator, newlines_in_values=b'"' in data),
            convert_options=arrow_csv.ConvertOptions(
                include_columns=list(dict.fromkeys(spec.header for spec in columns)),
                column_types={spec.header: _arrow_type(spec) for spec in columns},
                null_values=list(na),
                strings_can_be_null=True,
                true_values=["true", "True", "TRUE", "1"],
                false_values=["false", "False", "FALSE", "0"],
            ),
        )
    except pa.ArrowInvalid:
        return None
    found: dict[str, Converted] = {}
    for spec in columns:
        converted = from_arrow(spec, table.column(spec.header), ())
        if any(not cell.missing for cell in converted.bad) or _before_year_1(spec, converted):
            return None
        found[spec.name] = converted
    return RawTable(found, table.num_rows, place_of_row)


def _before_year_1(spec: ColumnSpec, converted: Converted) -> bool:
    """Arrow has a year 0, the calendar of the rules has none."""
    first = _FIRST.get(spec.kind)
    return first is not None and len(converted.column) > 0 and int(np.min(converted.column.data.astype(np.int64))) < first


def _arrow_type(spec: ColumnSpec) -> Any:
    if spec.kind == "date":
        return pa.date32()
    if spec.kind == "timestamp":
        return pa.timestamp("us")
    if spec.dtype == "str":
        return pa.large_string()
    if spec.dtype == "bool":
        return pa.bool_()
    return pa.float64() if spec.dtype in ("f32", "f64") else pa.int64()
