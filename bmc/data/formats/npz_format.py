"""Reads numpy's npz, files with an array for each column, and columns in memory.

In: files, or arrays and lists by column name. Out: `RawTable`s. Guaranteed: nothing is unpickled, no code of the file runs; of
files memory holds some rows at a time, also where they are compressed.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import IO, Any

import numpy as np

from bmc.data import data_errors
from bmc.data.blocks import MOST_ROWS
from bmc.data.cells.convert import Converted, WrongType, from_array, from_values
from bmc.data.files.opening import open_file
from bmc.data.formats.array_formats import DAMAGE, ArrayReader, array_bytes, npy_header, open_idx, open_npy
from bmc.data.formats.frames import cells_of_arrow
from bmc.data.formats.raw import RawTable, RowsFrom, place_of_row
from bmc.errors import BmcError
from bmc.frontend.unit import ColumnSpec
from bmc.source import Span
from bmc_runtime.table import Column

__all__ = ["read_arrays", "read_memory", "read_npz"]

_MOST_BYTES = 16 << 20
"""Of the rows that are read together."""

_NPY = b"\x93NUMPY"


def read_npz(
    file: IO[bytes], name: str, columns: Sequence[ColumnSpec], na: Sequence[str], most: int = MOST_ROWS
) -> Iterator[RawTable]:
    """The columns of an npz file: arrays `[N, *cell]` by name. Raises BmcError when the file or an array is wrong."""
    first = file.read(len(_NPY))
    if first == _NPY:
        raise BmcError(data_errors.malformed(name, "", "this is a single array, not an npz file"))
    if not first.startswith(b"PK"):
        raise BmcError(data_errors.malformed(name, "", "this is not an npz file"))
    with ExitStack() as opened:
        try:
            archive = opened.enter_context(zipfile.ZipFile(file))
        except DAMAGE as error:
            raise BmcError(data_errors.malformed(name, "", f"this npz file cannot be read: {error}")) from None
        members = {member.removesuffix(".npy"): member for member in archive.namelist()}
        _require(columns, name, list(members))
        arrays: dict[str, ArrayReader] = {}
        for spec in columns:
            arrays[spec.header] = _member(opened, archive, members[spec.header], name, spec)
        if not columns:
            yield RawTable({}, max((_rows_of(archive, member) for member in members.values()), default=0), place_of_row)
            return
        lengths = [(spec.header, arrays[spec.header].rows) for spec in columns]
        if len({rows for _, rows in lengths}) > 1:
            raise BmcError(data_errors.different_lengths(name, lengths))
        yield from _rows(arrays, {spec.header: name for spec in columns}, name, columns, na, most, of="array")


def _member(opened: ExitStack, archive: zipfile.ZipFile, member: str, name: str, spec: ColumnSpec) -> ArrayReader:
    try:
        file = opened.enter_context(archive.open(member))
        dtype, shape, columns_first = npy_header(file)
        if dtype.hasobject:
            raise BmcError(data_errors.wrong_type(spec, name, "Python objects, which are not loaded"))
        if not shape:
            raise BmcError(data_errors.wrong_type(spec, name, "one value in place of a list of rows"))
        wanted, left = array_bytes(dtype, shape), archive.getinfo(member).file_size
        if wanted > left:
            raise EOFError(f"{list(shape)} of {dtype.name} is {wanted} bytes, it has {left}")
        return ArrayReader(file, dtype, shape, columns_first=columns_first)
    except DAMAGE as error:
        raise BmcError(_damaged(name, spec.header, error)) from None


def _damaged(name: str, header: str, error: Exception) -> Any:
    return data_errors.malformed(name, "", f"its array {header!r} is damaged ({str(error)[:80]})")


def read_arrays(
    files: Mapping[str, str], kind: str, columns: Sequence[ColumnSpec], na: Sequence[str], span: Span | None, most: int = MOST_ROWS
) -> Iterator[RawTable]:
    """Columns from files, of which each holds one array, by header. Raises BmcError when a file, or an array, is wrong."""
    with ExitStack() as opened:
        arrays: dict[str, ArrayReader] = {}
        for header, place in files.items():
            file = opened.enter_context(open_file(place, span))
            arrays[header] = open_idx(file, place) if kind == "idx" else open_npy(file, place)
        first = next(iter(files.values()))
        _require(columns, first, list(arrays))
        lengths = [(place, arrays[header].rows) for header, place in files.items()]
        if len({rows for _, rows in lengths}) > 1:
            raise BmcError(data_errors.different_lengths(first, lengths))
        yield from _rows(arrays, files, first, columns, na, most, of="file")


def _rows(
    arrays: Mapping[str, ArrayReader], files: Mapping[str, str], name: str, columns: Sequence[ColumnSpec], na: Sequence[str],
    most: int, *, of: str,
) -> Iterator[RawTable]:  # fmt: skip
    """The rows of arrays that have equally many, some at a time."""
    total = next(iter(arrays.values())).rows
    row_bytes = sum(array.row_bytes for array in arrays.values())
    step = max(1, min(most, _MOST_BYTES // max(row_bytes, 1)))
    for before in range(0, max(total, 1), step):
        found: dict[str, Converted] = {}
        for spec in columns:
            place = files[spec.header]
            try:
                part = arrays[spec.header].take(step)
            except DAMAGE as error:
                if of == "array":
                    raise BmcError(_damaged(name, spec.header, error)) from None
                raise BmcError(data_errors.malformed(place, "", f"it is damaged ({str(error)[:80]})")) from None
            try:
                found[spec.name] = from_array(spec, np.ascontiguousarray(part), None, frozenset(na))
            except WrongType as error:
                raise BmcError(data_errors.wrong_type(spec, place, error.found)) from None
        own = {spec.name: files[spec.header] for spec in columns}
        yield RawTable(found, min(step, total - before), RowsFrom(before), (), own)


def read_memory(values: Mapping[str, Any], name: str, columns: Sequence[ColumnSpec], na: Sequence[str]) -> RawTable:
    """Columns in memory: numpy arrays, lists of Python values, anything that numpy takes as an array. None and NaN are missing."""
    _require(columns, name, [str(key) for key in values])
    rows = 0 if columns else max((len(value) for value in values.values() if np.ndim(value)), default=0)
    found: dict[str, Converted] = {}
    for spec in columns:
        try:
            found[spec.name] = _convert(spec, values[spec.header], frozenset(na))
        except WrongType as error:
            raise BmcError(data_errors.wrong_type(spec, name, error.found)) from None
    lengths = [(spec.header, len(found[spec.name].column)) for spec in columns]
    if len({rows for _, rows in lengths}) > 1:
        raise BmcError(data_errors.different_lengths(name, lengths))
    # Where no column is wanted: a generator that draws from noise alone gives one row for each.
    return RawTable(found, lengths[0][1] if lengths else rows, place_of_row)


def _rows_of(archive: zipfile.ZipFile, member: str) -> int:
    """The rows of an array that is not wanted itself; 0 where it cannot be read."""
    try:
        with archive.open(member) as file:
            dtype, shape, _ = npy_header(file)
            return shape[0] if shape and 0 < array_bytes(dtype, shape) <= archive.getinfo(member).file_size else 0
    except DAMAGE:
        return 0


def _require(columns: Sequence[ColumnSpec], name: str, present: Sequence[str]) -> None:
    for spec in columns:
        if spec.header not in present:
            raise BmcError(data_errors.no_such_column(spec, name, present))


def _convert(spec: ColumnSpec, value: Any, na: frozenset[str]) -> Converted:
    if isinstance(value, Column):
        return from_values(spec, value.to_python(), na)
    if isinstance(value, list | tuple):
        return from_values(spec, value, na)
    if hasattr(value, "__arrow_c_stream__") or hasattr(value, "__arrow_c_array__"):
        from bmc.data.cells.arrow_columns import from_arrow  # noqa: PLC0415 - importing Arrow takes a tenth of a second

        chunks = cells_of_arrow(value)
        return from_arrow(spec, chunks, tuple(na)) if chunks is not None else from_values(spec, list(value), na)
    try:
        array = np.asarray(value)
    except (TypeError, ValueError):
        raise WrongType(type(value).__name__, spec) from None
    if array.ndim == 0:
        raise WrongType(f"one {type(value).__name__} in place of a list of rows", spec)
    return from_array(spec, np.ascontiguousarray(array), None, na)
