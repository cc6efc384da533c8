"""Blocks of rows as csv and JSON lines, by Arrow: many times faster than cell by cell.

In: columns of a block. Out: bytes. Guaranteed: the bytes that `bmc.data.cells.cell_texts` gives. Arrow's digits of a float are the
shortest too; where its layout is another, it is changed here. Imports Arrow: import this module only for blocks that are worth it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import compute

from bmc.data.cells.cell_texts import float_texts
from bmc_runtime.memory import Array
from bmc_runtime.table import Column

__all__ = ["arrow_text", "csv_lines", "json_lines"]

_TEXT = pa.large_string()
_FEW = 4096
"""As many different texts, at most, are decoded one by one and looked up for each row."""


def csv_lines(columns: Sequence[Column]) -> bytes:
    """The rows of columns `[N]`."""
    cells = [_csv_cells(column) for column in columns]
    if len(cells) == 1:
        # An empty line would be no row.
        cells = [compute.if_else(compute.equal(cells[0], _literal("")), _literal('""'), cells[0])]
    return _lines(cells, ",", "", "\n")


def json_lines(columns: Mapping[str, Column]) -> bytes:
    """The rows as objects. No column is ragged."""
    cells = []
    for i, (name, column) in enumerate(columns.items()):
        before = _literal(("" if i == 0 else ", ") + json.dumps(name, ensure_ascii=False) + ": ")
        cells.append(compute.binary_join_element_wise(before, _json_cells(column), _literal("")))
    return _lines(cells, "", "{", "}\n")


def _lines(cells: list[Any], between: str, before: str, behind: str) -> bytes:
    joined = compute.binary_join_element_wise(*cells, _literal(between))
    whole = compute.binary_join_element_wise(_literal(before), joined, _literal(behind), _literal(""))
    return _content(whole)


def _literal(text: str) -> Any:
    return pa.scalar(text, _TEXT)


def _content(texts: Any) -> bytes:
    """All texts one after the other."""
    _, offsets, content = texts.buffers()
    if content is None or len(texts) == 0:
        return b""
    bounds = np.frombuffer(offsets, np.int64, len(texts) + 1 + texts.offset)[texts.offset :]
    return bytes(memoryview(content)[int(bounds[0]) : int(bounds[-1])])


def _csv_cells(column: Column) -> Any:
    texts = _plain(column)
    if column.dtype == "str":
        special = compute.match_substring_regex(texts, '[",\r\n]')
        if compute.any(special).as_py():
            inside = compute.replace_substring(texts, '"', '""')
            between_quotes = compute.binary_join_element_wise(_literal('"'), inside, _literal('"'), _literal(""))
            texts = compute.if_else(special, between_quotes, texts)
    if column.valid is None:
        return texts
    return compute.if_else(pa.array(column.valid), texts, _literal(""))


def _json_cells(column: Column) -> Any:
    flat = Column(column.dtype, column.data.reshape(-1), None, column.keep, column.kind)
    if column.dtype == "str":
        texts = _mapped(flat, lambda value: json.dumps(value, ensure_ascii=False))
    else:
        texts = _plain(flat)
        if column.kind != "plain":
            texts = compute.binary_join_element_wise(_literal('"'), texts, _literal('"'), _literal(""))
        elif column.dtype in ("f32", "f64"):
            texts = compute.if_else(pa.array(np.isfinite(flat.data)), texts, _literal("null"))
    for size in reversed(column.cell):
        offsets = np.arange(0, len(texts) + 1, size, dtype=np.int64)
        lists = compute.binary_join(pa.LargeListArray.from_arrays(offsets, texts), _literal(", "))
        texts = compute.binary_join_element_wise(_literal("["), lists, _literal("]"), _literal(""))
    if column.valid is None:
        return texts
    return compute.if_else(pa.array(column.valid), texts, _literal("null"))


def _plain(column: Column) -> Any:
    """Texts of a column `[N]`; those of missing cells are whatever they are."""
    if column.dtype == "str":
        return arrow_text(column)
    if column.dtype == "bool":
        return compute.if_else(pa.array(column.data), _literal("true"), _literal("false"))
    if column.kind == "date":
        return compute.cast(pa.array(column.times()), _TEXT)
    if column.kind == "timestamp":
        return compute.replace_substring(compute.cast(pa.array(column.times()), _TEXT), ".000000", "")
    if column.dtype in ("f32", "f64"):
        return _floats(column.data)
    return compute.cast(pa.array(column.data), _TEXT)


def _floats(values: Array) -> Any:
    """Arrow writes 1 for 1.0, 0.00001 for 1e-05, 1e-8 for 1e-08, and has an exponent from 1e10 on."""
    texts = compute.cast(pa.array(values), _TEXT)
    with np.errstate(invalid="ignore"):  # a signalling NaN
        size = np.abs(values.astype(np.float64))
        whole = (size < 1e9) & (size == np.floor(size))
    if whole.any():
        texts = compute.if_else(pa.array(whole), compute.binary_join_element_wise(texts, _literal(".0"), _literal("")), texts)
    small = (size > 0) & (size < 1e-4)
    if small.any():
        some = texts.filter(pa.array(small))
        some = compute.replace_substring_regex(some, r"^(-?)0\.0000([1-9])([0-9]+)$", r"\1\2.\3e-05")
        some = compute.replace_substring_regex(some, r"^(-?)0\.0000([1-9])$", r"\1\2e-05")
        some = compute.replace_substring_regex(some, r"^(-?)0\.00000([1-9])([0-9]+)$", r"\1\2.\3e-06")
        some = compute.replace_substring_regex(some, r"^(-?)0\.00000([1-9])$", r"\1\2e-06")
        some = compute.replace_substring_regex(some, r"e-([0-9])$", r"e-0\1")
        texts = compute.replace_with_mask(texts, pa.array(small), some)
    rest = ~(size < 1e9)
    if rest.any():
        texts = compute.replace_with_mask(texts, pa.array(rest), pa.array(float_texts(values[rest]), _TEXT))
    return texts


def arrow_text(column: Column) -> Any:
    """A `str` column `[N]` as an array of Arrow without gaps: "" where a cell is missing. No text is decoded where they lie one
    after the other, each once where there are few."""
    addresses, lengths = column.data["address"], column.data["length"]  # type: ignore[call-overload]
    if len(column) and bool((addresses[1:] == addresses[:-1] + lengths[:-1]).all()):
        offsets = np.zeros(len(column) + 1, np.int64)
        np.cumsum(lengths, out=offsets[1:])
        start = int(addresses[0])
        content = pa.foreign_buffer(start, int(offsets[-1]), column) if offsets[-1] else pa.py_buffer(b"")
        return pa.LargeStringArray.from_buffers(len(column), pa.py_buffer(offsets), content)
    return _mapped(column, str)


def _mapped(column: Column, change: Any) -> Any:
    """`change` of each text; of each different one once, where they are few."""
    keys, first, which = np.unique(column.data["address"], return_index=True, return_inverse=True)  # type: ignore[call-overload]
    if len(keys) <= _FEW:
        same = column.data["length"] == column.data["length"][first][which]  # type: ignore[call-overload]
        if same.all():
            some = [change("" if value is None else value) for value in column.take(first.astype(np.int64)).to_python()]
            return pa.array(some, _TEXT).take(pa.array(which))
    return pa.array([change("" if value is None else value) for value in column.to_python()], _TEXT)
