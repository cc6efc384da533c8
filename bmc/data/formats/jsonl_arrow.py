"""Reads parts of large files of JSON lines with Arrow.

In: whole lines, checked UTF-8. Out: columns, or None where Arrow refuses the text, or might take what Python's `json` refuses or
reads otherwise: the caller then reads line by line. Guaranteed: what comes out is what the rules give. Arrow takes objects
wherever they stand, so each line must be one: it begins with `{`, ends with `}`, and there are as many objects as lines. It reads
`-0` as a float that is negative, which is looked for, as is what it may nest.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import json as arrow_json

from bmc.data.cells.arrow_columns import from_arrow
from bmc.data.cells.convert import Converted, WrongType
from bmc.data.formats.raw import RawTable
from bmc.frontend.unit import ColumnSpec

__all__ = ["read_with_arrow"]

_NEGATIVE_ZERO = re.compile(rb"-0[^.0-9eE]")


def read_with_arrow(text: bytes, line: int, columns: Sequence[ColumnSpec], na: Sequence[str]) -> RawTable | None:
    """The columns of objects, one a line, of which the first is line `line`."""
    lines = text.count(b"\n") + (not text.endswith(b"\n"))
    if not columns or any(spec.cell or spec.ragged for spec in columns) or not _one_object_a_line(text, lines):
        return None
    if _NEGATIVE_ZERO.search(text):
        return None
    schema = pa.schema({spec.header: _arrow_type(spec) for spec in columns})
    try:
        table = arrow_json.read_json(
            pa.BufferReader(text),
            read_options=arrow_json.ReadOptions(use_threads=False, block_size=len(text) + 1),
            parse_options=arrow_json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore"),
        )
        if table.num_rows != lines:
            return None
        table.validate(full=True)  # half of a pair of surrogates is no text
    except pa.ArrowException:
        return None
    found: dict[str, Converted] = {}
    for spec in columns:
        try:
            found[spec.name] = from_arrow(spec, table.column(spec.header), tuple(na))
        except WrongType:
            return None
        if found[spec.name].bad:
            return None
    return RawTable(found, lines, lambda row: f"line {line + row}")


def _one_object_a_line(text: bytes, lines: int) -> bool:
    """Whether every line begins and ends as an object does, and none has another inside."""
    if b"[" in text or text.count(b"{") != lines or b"\r" in text:
        return False
    data = np.frombuffer(text, np.uint8)
    ends = np.flatnonzero(data == 0x0A)
    if not text.endswith(b"\n"):
        ends = np.append(ends, len(text))
    begins = np.append(0, ends[:-1] + 1)
    return len(ends) == lines and bool((ends > begins).all() and (data[begins] == 0x7B).all() and (data[ends - 1] == 0x7D).all())


def _arrow_type(spec: ColumnSpec) -> Any:
    if spec.dtype == "str" or spec.kind != "plain":
        return pa.string()
    if spec.dtype == "bool":
        return pa.bool_()
    return pa.float64() if spec.dtype in ("f32", "f64") else pa.int64()
