"""Columns of Python values that are all alike, at once.

In: a `ColumnSpec` of single cells and values. Out: the column, or None where a value is not of the one type that the column's
values usually have, or breaks a rule: `bmc.data.cells.convert` then takes them one by one. Guaranteed: what comes out is what the
rules give.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bmc.data.cells.rules import INTEGER_BOUNDS
from bmc.frontend.unit import ColumnSpec
from bmc_runtime.memory import DTYPES
from bmc_runtime.table import Column, Valid, text_column, text_from_offsets

__all__ = ["column_of"]

_FEWEST = 32
"""Rows below which one by one is as quick."""

_DAY = 10
_SECOND, _FRACTION = 19, 20
_MOST_FRACTION = 26

_NONE = type(None)


def column_of(spec: ColumnSpec, values: Sequence[Any], na: frozenset[str]) -> Column | None:
    """None and the texts `na` are missing cells."""
    if len(values) < _FEWEST or spec.cell or spec.ragged:
        return None
    kinds = set(map(type, values))
    if _NONE in kinds and not spec.nullable:
        return None
    kinds.discard(_NONE)
    present = np.fromiter((value is not None for value in values), np.bool_, len(values)) if spec.nullable else None
    if spec.kind != "plain" or spec.dtype == "str":
        if kinds != {str}:
            return None
        if na and not na.isdisjoint(values):
            if not spec.nullable:
                return None
            values = [None if value in na else value for value in values]
            present = np.fromiter((value is not None for value in values), np.bool_, len(values))
        return _texts(values, present) if spec.dtype == "str" else _times(spec, values, present)
    if spec.dtype == "bool":
        return _numbers(spec, values, present, np.bool_) if kinds == {bool} else None
    if spec.dtype in INTEGER_BOUNDS:
        return _numbers(spec, values, present, np.int64) if kinds == {int} else None
    return _numbers(spec, values, present, np.float64) if kinds and kinds <= {float, int} else None


def _filled(values: Sequence[Any], present: Valid | None, empty: Any) -> Sequence[Any]:
    return values if present is None or bool(present.all()) else [empty if value is None else value for value in values]


def _numbers(spec: ColumnSpec, values: Sequence[Any], present: Valid | None, wide: Any) -> Column | None:
    try:
        data = np.array(_filled(values, present, 0), wide)
    except (OverflowError, ValueError, TypeError):
        return None
    if wide is np.int64:
        low, high = INTEGER_BOUNDS[spec.dtype]
        if int(data.min()) < low or int(data.max()) > high:
            return None
    if wide is np.float64 and bool(np.isnan(data.min())):
        if present is None:
            return None
        missing = np.isnan(data)
        present, data = present & ~missing, np.where(missing, 0, data)
    with np.errstate(over="ignore"):
        return Column(spec.dtype, data.astype(DTYPES[spec.dtype], copy=False), present)


def _texts(values: Sequence[Any], present: Valid | None) -> Column | None:
    texts: Sequence[str] = _filled(values, present, "")
    whole = "".join(texts)
    if not whole.isascii():
        try:
            found = text_column(texts)
        except UnicodeEncodeError:
            return None
        return Column("str", found.data, present, found.keep)
    offsets = np.zeros(len(texts) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)), out=offsets[1:])
    return text_from_offsets(offsets, np.frombuffer(whole.encode("ascii"), np.uint8), present)


# ---------------------------------------------------------------------------------------------------------------------
# Dates and times


def _times(spec: ColumnSpec, values: Sequence[Any], present: Valid | None) -> Column | None:
    """Days `2024-02-29`, times `2024-02-29 12:30:00.5` with equally many digits, `Z` behind all or none: of any other form None."""
    first = next((value for value in values if value is not None), "")
    size = len(first)
    texts = _filled(values, present, first)
    whole = "".join(texts)
    if not whole.isascii() or len(whole) != size * len(texts) or any(len(text) != size for text in texts):
        return None
    utc = size > _SECOND and first[-1] == "Z"
    if utc:
        size -= 1
    if size != _DAY and (spec.kind == "date" or not (size == _SECOND or _FRACTION < size <= _MOST_FRACTION)):
        return None
    signs = np.frombuffer(whole.encode("ascii"), np.uint8).reshape(len(texts), len(first))
    if not _of_form(signs, size) or (utc and not bool((signs[:, size] == ord("Z")).all())):
        return None
    days = _days(signs)
    if days is None:
        return None
    if spec.kind == "date":
        data = days
    else:
        seconds = _seconds(signs, size)
        if seconds is None:
            return None
        data = (days * 86_400 + seconds) * 1_000_000 + _micros(signs, size)
    if present is not None:
        data = np.where(present, data, 0)
    return Column(spec.dtype, data.astype(DTYPES[spec.dtype], copy=False), present)


def _of_form(signs: NDArray[np.uint8], size: int) -> bool:
    """Whether digits and the signs between them stand where they belong."""
    between = {4: b"-", 7: b"-", 10: b" T", 13: b":", 16: b":", 19: b"."}
    for place in range(size):
        column = signs[:, place]
        if place in between:
            right = np.isin(column, np.frombuffer(between[place], np.uint8)).all()
        else:
            right = column.min() >= 0x30 and column.max() <= 0x39
        if not right:
            return False
    return True


def _number(signs: NDArray[np.uint8], start: int, stop: int) -> NDArray[np.int64]:
    found = np.zeros(len(signs), np.int64)
    for place in range(start, stop):
        found = found * 10 + (signs[:, place] - np.uint8(0x30))
    return found


def _days(signs: NDArray[np.uint8]) -> NDArray[np.int64] | None:
    """Days since 1970-01-01; None where a day is not in the calendar."""
    year, month, day = _number(signs, 0, 4), _number(signs, 5, 7), _number(signs, 8, 10)
    if year.min() < 1 or month.min() < 1 or month.max() > 12 or day.min() < 1:
        return None
    months = (year - 1970) * 12 + month - 1
    begin = months.astype("M8[M]").astype("M8[D]").astype(np.int64)
    after = (months + 1).astype("M8[M]").astype("M8[D]").astype(np.int64)
    if bool((begin + day > after).any()):
        return None
    return np.asarray(begin + day - 1, np.int64)


def _seconds(signs: NDArray[np.uint8], size: int) -> NDArray[np.int64] | None:
    if size == _DAY:
        return np.zeros(len(signs), np.int64)
    hour, minute, second = (_number(signs, start, start + 2) for start in (11, 14, 17))
    if hour.max() > 23 or minute.max() > 59 or second.max() > 59:
        return None
    return (hour * 60 + minute) * 60 + second


def _micros(signs: NDArray[np.uint8], size: int) -> NDArray[np.int64]:
    if size <= _FRACTION:
        return np.zeros(len(signs), np.int64)
    return _number(signs, _FRACTION, size) * np.int64(10 ** (_MOST_FRACTION - size))
