"""Reads numpy's npz, and columns in memory.

In: a file's bytes, or arrays and lists by column name. Out: `RawTable`. Guaranteed: nothing is unpickled, no code of the file runs.
"""

from __future__ import annotations

import io
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bmc.data import data_errors
from bmc.data.convert import Converted, WrongType, from_array, from_values
from bmc.data.raw import RawTable, place_of_row
from bmc.errors import BmcError
from bmc.frontend.unit import ColumnSpec
from bmc_runtime.table import Column

__all__ = ["DAMAGE", "read_memory", "read_npz"]

DAMAGE = (
    ValueError, TypeError, KeyError, OverflowError, MemoryError, EOFError, OSError, SyntaxError, RuntimeError, struct.error,
    tokenize.TokenError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
"""What numpy raises for files that are not as it wrote them: their headers are Python literals."""


def read_npz(data: bytes, name: str, columns: Sequence[ColumnSpec], na: Sequence[str]) -> RawTable:
    """The columns of an npz file: arrays `[N, *cell]` by name. Raises BmcError when the file or an array is wrong."""
    arrays: dict[str, Any] = {}
    try:
        file = np.load(io.BytesIO(data), allow_pickle=False)
    except DAMAGE as error:
        reason = "this is not an npz file" if isinstance(error, ValueError) else f"this npz file cannot be read: {error}"
        raise BmcError(data_errors.malformed(name, "", reason)) from None
    if not isinstance(file, np.lib.npyio.NpzFile):
        raise BmcError(data_errors.malformed(name, "", "this is a single array, not an npz file"))
    _require(columns, name, list(file.files))
    for spec in columns:
        try:
            arrays[spec.header] = file[spec.header]
        except DAMAGE as error:
            if isinstance(error, ValueError) and "pickle" in str(error):
                raise BmcError(data_errors.wrong_type(spec, name, "Python objects, which are not loaded")) from None
            reason = f"its array {spec.header!r} is damaged ({str(error)[:80]})"
            raise BmcError(data_errors.malformed(name, "", reason)) from None
    return _table(arrays, name, columns, na, 0 if columns else max((_rows_of(file, key) for key in file.files), default=0))


def read_memory(values: Mapping[str, Any], name: str, columns: Sequence[ColumnSpec], na: Sequence[str]) -> RawTable:
    """Columns in memory: numpy arrays, lists of Python values, anything that numpy takes as an array. None and NaN are missing."""
    _require(columns, name, [str(key) for key in values])
    rows = 0 if columns else max((len(value) for value in values.values() if np.ndim(value)), default=0)
    return _table({spec.header: values[spec.header] for spec in columns}, name, columns, na, rows)


def _rows_of(file: Any, key: str) -> int:
    """The rows of an array that is not wanted itself; 0 where it cannot be read."""
    try:
        array = file[key]
    except DAMAGE:
        return 0
    return len(array) if array.ndim else 0


def _require(columns: Sequence[ColumnSpec], name: str, present: Sequence[str]) -> None:
    for spec in columns:
        if spec.header not in present:
            raise BmcError(data_errors.no_such_column(spec, name, present))


def _table(values: Mapping[str, Any], name: str, columns: Sequence[ColumnSpec], na: Sequence[str], rows: int) -> RawTable:
    """`rows`: how many there are if no column is wanted: a generator that draws from noise alone gives one row for each."""
    found: dict[str, Converted] = {}
    for spec in columns:
        value = values[spec.header]
        try:
            found[spec.name] = _convert(spec, value, frozenset(na))
        except WrongType as error:
            raise BmcError(data_errors.wrong_type(spec, name, error.found)) from None
    lengths = [(spec.header, len(found[spec.name].column)) for spec in columns]
    if len({rows for _, rows in lengths}) > 1:
        raise BmcError(data_errors.different_lengths(name, lengths))
    return RawTable(found, lengths[0][1] if lengths else rows, place_of_row)


def _convert(spec: ColumnSpec, value: Any, na: frozenset[str]) -> Converted:
    if isinstance(value, Column):
        return from_values(spec, value.to_python(), na)
    if isinstance(value, list | tuple):
        return from_values(spec, value, na)
    try:
        array = np.asarray(value)
    except (TypeError, ValueError):
        raise WrongType(type(value).__name__, spec) from None
    if array.ndim == 0:
        raise WrongType(f"one {type(value).__name__} in place of a list of rows", spec)
    return from_array(spec, np.ascontiguousarray(array), None, na)
