"""Cells as csv and JSON have them, a column at a time.

In: a column. Out: a text for each of its cells. Guaranteed: a float is the shortest decimal that reads back to the same bits of its
own type, laid out as Python does: with a point from 1e-4 to 1e16, with an exponent outside; `bmc.data.writing.arrow_texts` writes
the same bytes for large blocks.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bmc_runtime.memory import Array
from bmc_runtime.table import Column

__all__ = ["float_texts", "json_texts", "nested", "plain_texts", "quoted"]

_QUOTED = frozenset('",\r\n')


def float_texts(values: Array) -> list[str]:
    """`[N]` of f32 or f64. `tolist()` alone would give an f32 the digits of an f64, and `astype(str)` a layout of its own; at most
    nine digits are also the shortest of the f64 that they make."""
    if values.dtype == np.float64:
        return list(map(repr, values.tolist()))
    return [repr(float(text)) for text in values.astype(np.str_).tolist()]


def plain_texts(column: Column) -> list[str]:
    """Each value of a `[N]` column, without quotes; "" where it is missing."""
    if column.dtype == "str":
        texts = ["" if value is None else value for value in column.to_python()]
    elif column.dtype == "bool":
        texts = ["true" if value else "false" for value in column.data.tolist()]
    elif column.kind == "date":
        days: NDArray[np.datetime64] = column.data.astype("M8[D]")
        texts = np.datetime_as_string(days).tolist()
    elif column.kind == "timestamp":
        texts = [str(value) for value in Column(column.dtype, column.data, None, (), column.kind).to_python()]
    elif column.dtype in ("f32", "f64"):
        texts = float_texts(column.data)
    else:
        texts = list(map(str, column.data.tolist()))
    if column.valid is not None:
        texts = [text if ok else "" for text, ok in zip(texts, column.valid.tolist(), strict=True)]
    return texts


def quoted(text: str) -> str:
    """A text as a cell of csv."""
    return text if _QUOTED.isdisjoint(text) else f'"{text.replace(chr(34), chr(34) * 2)}"'


def json_texts(column: Column) -> list[str]:
    """Each cell of a column as JSON, lists of cells of several values; null where it is missing, and for NaN and infinities."""
    if column.runs is not None:
        parts = [column.between(i, i + 1) for i in range(len(column))]
        cells = [json_texts(Column(c.dtype, c.dense(), None, c.keep, c.kind))[0] if c.longest else "[]" for c in parts]
    else:
        flat = Column(column.dtype, column.data.reshape(-1), None, column.keep, column.kind)
        cells = nested(_json_values(flat), column.cell)
    if column.valid is None:
        return cells
    return [cell if ok else "null" for cell, ok in zip(cells, column.valid.tolist(), strict=True)]


def _json_values(flat: Column) -> list[str]:
    if flat.dtype == "str":
        return [json.dumps(value, ensure_ascii=False) for value in flat.to_python()]
    values = plain_texts(flat)
    if flat.kind != "plain":
        return [f'"{text}"' for text in values]
    if flat.dtype in ("f32", "f64"):
        finite = np.isfinite(flat.data).tolist()
        values = [value if ok else "null" for value, ok in zip(values, finite, strict=True)]
    return values


def nested(values: Sequence[Any], cell: tuple[int, ...]) -> list[str]:
    """Texts of single values as those of cells: lists in lists."""
    values = list(values)
    for at in range(len(cell) - 1, -1, -1):
        size = cell[at]
        if size:
            values = ["[" + ", ".join(values[i : i + size]) + "]" for i in range(0, len(values), size)]
    return values
