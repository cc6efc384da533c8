"""Reads JSON lines. In: a file's bytes. Out: `RawTable`. A line holds an object; a name that it lacks is a missing cell."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from bmc.data import data_errors
from bmc.data.convert import Converted, from_values
from bmc.data.raw import BrokenRow, RawTable
from bmc.errors import BmcError
from bmc.frontend.unit import ColumnSpec

__all__ = ["read_jsonl"]


def read_jsonl(data: bytes, name: str, columns: Sequence[ColumnSpec], na: Sequence[str]) -> RawTable:
    """The columns of the objects, one a line; empty lines do not count. Raises BmcError when the text is not UTF-8, or when a
    column is in no record. Lines that are no objects are in `broken`."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BmcError(data_errors.not_utf8(name, data.count(b"\n", 0, error.start) + 1, data[error.start])) from None
    records: list[dict[str, Any]] = []
    numbers: list[int] = []
    broken: list[BrokenRow] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            reason = "" if isinstance(record, dict) else "the line is not an object"
        except (ValueError, RecursionError) as error:
            reason = f"the line is not JSON: {getattr(error, 'msg', 'nested too deeply')}"
        if reason:
            broken.append(BrokenRow(len(records), reason))
            record = {}
        records.append(record)
        numbers.append(number)
    if records and len(broken) < len(records):
        present = dict.fromkeys(key for record in records for key in record)
        for spec in columns:
            if spec.header not in present and not spec.nullable:
                raise BmcError(data_errors.no_such_column(spec, name, list(present)))
    bad_rows = {cell.row for cell in broken}
    found: dict[str, Converted] = {}
    for spec in columns:
        converted = from_values(spec, [record.get(spec.header) for record in records], frozenset(na))
        found[spec.name] = Converted(converted.column, tuple(c for c in converted.bad if c.row not in bad_rows))
    return RawTable(found, len(records), lambda row: f"line {numbers[row]}", tuple(broken))
