"""What a cell may hold: the rules that turn texts and Python values into cells of a declared column.

In: a `ColumnSpec`. Out: a function from one text, or one value, to a number or text. Guaranteed: the same cell from csv, jsonl,
parquet, npz or memory gives the same bits. The rules:

- Numbers become f64 and are rounded once to the column's dtype; integers and booleans must convert exactly (`3.0` is an integer).
- A float that is NaN is a missing cell, whatever its source.
- In text: decimal notation, `inf`, `nan`; `true`, `True`, `TRUE`, `1` and their opposites; dates `2024-02-29`; timestamps
  `2024-02-29 12:30:00.5`, seconds and time optional, `T` for the space, `Z` or an offset behind (UTC without one); digits below
  a microsecond are dropped. Spaces and tabs around numbers and dates do not count; text is taken as it is.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

from bmc.frontend.unit import ColumnSpec

__all__ = ["INTEGER_BOUNDS", "CellError", "Parser", "is_missing", "text_parser", "type_text", "value_parser"]

Parser = Callable[[Any], Any]

INTEGER_BOUNDS = {"u8": (0, 255), "i32": (-(2**31), 2**31 - 1), "i64": (-(2**63), 2**63 - 1)}

_FLOAT = re.compile(r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|(?i:inf|infinity|nan))")
_INTEGER = re.compile(r"[+-]?[0-9]+")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIMESTAMP = re.compile(
    r"(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[ T](?P<hour>[0-9]{2})(?::(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2})(?:\.(?P<fraction>[0-9]{1,9}))?)?)?"
    r"(?P<zone>Z|[+-][0-9]{2}:?[0-9]{2})?)?"
)
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "1": True, "false": False, "False": False, "FALSE": False, "0": False}
_EPOCH_DAY = date(1970, 1, 1)
_EPOCH = datetime(1970, 1, 1)
_MICROSECOND = timedelta(microseconds=1)
_LONGEST_INTEGER = 40
"""Python refuses to parse very long integers, and no dtype holds one."""


class CellError(ValueError):
    """Says why a cell cannot be what its column is declared to be, as the end of a sentence that begins with its value."""


def type_text(spec: ColumnSpec) -> str:
    """The column's type as a `columns` block has it."""
    name = spec.dtype if spec.kind == "plain" else spec.kind
    dims = [*([spec.ragged] if spec.ragged else []), *map(str, spec.cell)]
    cell = f"[{', '.join(dims)}]" if dims else ""
    return name + cell + ("?" if spec.nullable else "")


def text_parser(spec: ColumnSpec, decimal: str = ".") -> Parser:
    """Turns the text of a cell into a number or text; `decimal` stands before the decimals of a number. The parser raises
    CellError."""
    parse = _text_parser(spec)
    if decimal == "." or spec.kind != "plain" or spec.dtype in ("str", "bool"):
        return parse

    def with_point(text: str) -> Any:
        if "." in text:
            raise CellError(f"is not a number with {decimal!r} before its decimals")
        return parse(text.replace(decimal, "."))

    return with_point


def _text_parser(spec: ColumnSpec) -> Parser:
    if spec.kind == "date":
        return _parse_date
    if spec.kind == "timestamp":
        return _parse_timestamp
    if spec.dtype == "str":
        return str
    if spec.dtype == "bool":
        return _parse_boolean
    if spec.dtype in INTEGER_BOUNDS:
        return lambda text: _within(_parse_integer(text), spec.dtype)
    return _parse_float


def value_parser(spec: ColumnSpec) -> Parser:
    """Turns a Python value (of a JSON line, a list, an array of objects) into a number or text. The parser raises CellError."""
    if spec.kind == "date":
        return _date_of
    if spec.kind == "timestamp":
        return _timestamp_of
    if spec.dtype == "str":
        return _text_of
    if spec.dtype == "bool":
        return _boolean_of
    if spec.dtype in INTEGER_BOUNDS:
        return lambda value: _within(_integer_of(value), spec.dtype)
    return _float_of


def is_missing(value: Any) -> bool:
    """None, NaN, NaT, and pandas' NA."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, float) and math.isnan(value)


def _parse_float(text: str) -> float:
    text = text.strip(" \t")
    if not _FLOAT.fullmatch(text):
        raise CellError("is not a number")
    return float(text)


def _parse_integer(text: str) -> int:
    text = text.strip(" \t")
    if _INTEGER.fullmatch(text):
        return int(text) if len(text) <= _LONGEST_INTEGER else 2**64
    if not _FLOAT.fullmatch(text):
        raise CellError("is not an integer")
    return _integral(float(text))


def _integral(value: float) -> int:
    if not math.isfinite(value) or value != math.floor(value):
        raise CellError("is not an integer")
    return int(value)


def _within(value: int, dtype: str) -> int:
    low, high = INTEGER_BOUNDS[dtype]
    if not low <= value <= high:
        raise CellError(f"does not fit {dtype}, which holds {low} to {high}")
    return value


def _parse_boolean(text: str) -> bool:
    found = _BOOLEANS.get(text)
    if found is None:
        raise CellError("is not a truth value (true, false, 1 or 0)")
    return found


def _parse_date(text: str) -> int:
    text = text.strip(" \t")
    if not _DATE.fullmatch(text):
        raise CellError("is not a date like 2024-02-29")
    try:
        return (date.fromisoformat(text) - _EPOCH_DAY).days
    except ValueError:
        raise CellError("is not a date of the calendar") from None


def _parse_timestamp(text: str) -> int:
    parts = _TIMESTAMP.fullmatch(text.strip(" \t"))
    if parts is None:
        raise CellError("is not a timestamp like 2024-02-29 12:30:00")
    day = _parse_date(parts["day"])
    hour, minute, second = (int(parts[name] or 0) for name in ("hour", "minute", "second"))
    micros = int((parts["fraction"] or "").ljust(6, "0")[:6])
    if hour > 23 or minute > 59 or second > 59:
        raise CellError("is not a time of day")
    total = ((day * 24 + hour) * 60 + minute) * 60 + second
    zone = parts["zone"]
    if zone and zone != "Z":
        hours, minutes = int(zone[1:3]), int(zone[-2:])
        if hours > 23 or minutes > 59:
            raise CellError("has an offset from UTC that does not exist")
        total -= (-1 if zone[0] == "-" else 1) * (hours * 60 + minutes) * 60
    return total * 1_000_000 + micros


def _float_of(value: Any) -> float:
    if isinstance(value, str):
        raise CellError("is text, not a number")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise CellError("is not a number")
    try:
        return float(value)
    except OverflowError:
        raise CellError("does not fit a float") from None


def _integer_of(value: Any) -> int:
    if isinstance(value, str):
        raise CellError("is text, not an integer")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise CellError("is not an integer")
    return value if isinstance(value, int) else _integral(value)


def _boolean_of(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float) and value in (0, 1):
        return bool(value)
    raise CellError("is not a truth value (true, false, 1 or 0)")


def _text_of(value: Any) -> str:
    if isinstance(value, str):
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            raise CellError("is not valid Unicode") from None
        return value
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            raise CellError("is not UTF-8") from None
    raise CellError("is not text")


def _date_of(value: Any) -> int:
    if isinstance(value, str):
        return _parse_date(value)
    if isinstance(value, datetime):
        if value.time() != datetime.min.time():
            raise CellError("is a timestamp, not a date")
        value = value.date()
    if isinstance(value, date):
        return (value - _EPOCH_DAY).days
    raise CellError("is not a date like 2024-02-29")


def _timestamp_of(value: Any) -> int:
    if isinstance(value, str):
        return _parse_timestamp(value)
    if isinstance(value, datetime):
        naive = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
        return (naive - _EPOCH) // _MICROSECOND
    if isinstance(value, date):
        return (value - _EPOCH_DAY).days * 86_400_000_000
    raise CellError("is not a timestamp like 2024-02-29 12:30:00")
