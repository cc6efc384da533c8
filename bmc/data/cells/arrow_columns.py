"""Columns of ours from columns of Arrow.

In: a `ColumnSpec` and a `pyarrow.ChunkedArray`. Out: `Converted`, by the rules of `bmc.data.cells.rules`. Guaranteed: text is not
copied but for joining chunks. Imports Arrow: import this module only where a file needs it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import compute

from bmc.data.cells.convert import Converted, WrongType, from_array, from_runs, from_values, with_mask
from bmc.data.cells.rules import INTEGER_BOUNDS
from bmc.frontend.unit import ColumnSpec
from bmc_runtime.table import Valid, text_from_offsets

__all__ = ["from_arrow"]


def from_arrow(spec: ColumnSpec, chunks: Any, na: tuple[str, ...]) -> Converted:
    """`na`: texts that mean a missing cell. WrongType when the Arrow type cannot become the column's."""
    array = chunks
    if isinstance(chunks, pa.ChunkedArray):
        array = chunks.chunk(0) if chunks.num_chunks == 1 else pa.concat_arrays(chunks.chunks) if chunks.num_chunks else None
    if array is None:
        array = pa.array([], chunks.type)
    array = _decoded(array)
    kind = array.type
    if pa.types.is_null(kind):
        return from_values(spec, [None] * len(array))
    if spec.ragged:
        return _ragged(spec, array)
    if spec.cell:
        return _cells(spec, array)
    present = _present(array)
    if _is_text(kind):
        if spec.dtype == "str":
            if na:
                present &= ~_present_in(array, na)
            return _text(spec, array, present)
        if spec.kind == "plain":
            raise WrongType(str(kind), spec)
        return from_values(spec, array.to_pylist(), frozenset(na))
    if spec.kind != "plain":
        return _times(spec, array, present)
    if pa.types.is_decimal(kind):
        return _decimals(spec, array)
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        raise WrongType(str(kind), spec)
    return _plain(spec, array, present)


def _decoded(array: Any) -> Any:
    """The same values in the plain form of their kind."""
    while True:
        kind = array.type
        if pa.types.is_dictionary(kind):
            array = array.dictionary_decode()
        elif pa.types.is_run_end_encoded(kind):
            array = compute.run_end_decode(array)
        elif pa.types.is_string_view(kind):
            array = array.cast(pa.large_string())
        elif isinstance(kind, pa.BaseExtensionType):
            array = array.storage
        else:
            return array


def _decimals(spec: ColumnSpec, array: Any) -> Converted:
    """Decimal numbers, through their digits: Arrow's own way to floats does not round once."""
    if spec.dtype in INTEGER_BOUNDS:
        whole = array.to_pylist()
        return from_values(spec, [int(v) if v is not None and v == v.to_integral_value() else v and float(v) for v in whole])
    return _plain(spec, array.cast(pa.string()).cast(pa.float64()), _present(array))


def _is_text(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _present(array: Any) -> Valid:
    """Which cells there are. Bits are taken apart here, as Arrow would import pandas to make an array of truth values."""
    if array.null_count == 0:
        return np.ones(len(array), np.bool_)
    bits = array.buffers()[0]
    return np.zeros(len(array), np.bool_) if bits is None else _bits(bits, array.offset, len(array))


def _bits(buffer: Any, offset: int, count: int) -> Valid:
    """`count` truth values of a buffer of bits, from bit `offset`."""
    first = offset // 8
    packed = np.frombuffer(buffer, np.uint8, (offset + count + 7) // 8 - first, first)
    return np.unpackbits(packed, bitorder="little")[offset % 8 : offset % 8 + count].view(np.bool_)


def _present_in(array: Any, texts: tuple[str, ...]) -> Valid:
    found = compute.is_in(array, value_set=pa.array(texts, array.type))
    return _bits(found.buffers()[1], found.offset, len(found)) if len(found) else np.zeros(0, np.bool_)


def _plain(spec: ColumnSpec, array: Any, present: Valid) -> Converted:
    try:
        if pa.types.is_boolean(array.type):
            values = _bits(array.buffers()[1], array.offset, len(array)) if len(array) else np.zeros(0, np.bool_)
        else:
            values = _values(array)
        return from_array(spec, values, present if array.null_count else None)
    except WrongType:
        raise WrongType(str(array.type), spec) from None


def _values(array: Any) -> np.ndarray[Any, Any]:
    """The values of a primitive array; those of nulls are whatever lies there."""
    dtype = np.dtype(array.type.to_pandas_dtype())
    buffer = array.buffers()[1]
    if buffer is None:
        return np.zeros(0, dtype)
    return np.frombuffer(buffer, dtype, len(array) + array.offset)[array.offset :]


def _text(spec: ColumnSpec, array: Any, present: Valid) -> Converted:
    _, offsets, content = array.buffers()
    width = np.int64 if pa.types.is_large_string(array.type) else np.int32
    if offsets is None or not len(offsets):
        positions: np.ndarray[Any, Any] = np.zeros(1, width)
    else:
        positions = np.frombuffer(offsets, width, len(array) + 1 + array.offset)[array.offset :]
    buffer = np.frombuffer(content, np.uint8) if content is not None and len(content) else np.zeros(0, np.uint8)
    return with_mask(spec, text_from_offsets(positions, buffer, None if present.all() else present), present)


def _times(spec: ColumnSpec, array: Any, present: Valid) -> Converted:
    kind = array.type
    if pa.types.is_date32(kind):
        times = _values(array.view(pa.int32())).astype(np.int64).view("M8[D]")
    elif pa.types.is_date64(kind):
        times = _values(array.view(pa.int64())).view("M8[ms]")
    elif pa.types.is_timestamp(kind):
        times = _values(array.view(pa.int64())).view(f"M8[{kind.unit}]")
    else:
        raise WrongType(str(kind), spec)
    return from_array(spec, times, present)


def _cells(spec: ColumnSpec, array: Any) -> Converted:
    """Lists of equally many values, the shape of a cell flattened or nested."""
    kind = array.type
    count = int(np.prod(spec.cell))
    if pa.types.is_fixed_size_list(kind) and kind.list_size == count and array.null_count == 0:
        flat = array.flatten()
        if flat.null_count == 0 and (pa.types.is_integer(flat.type) or pa.types.is_floating(flat.type)):
            return from_array(spec, _values(flat).reshape(len(array), *spec.cell))
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)):
        raise WrongType(str(kind), spec)
    return from_values(spec, [_shaped(value, spec.cell) for value in array.to_pylist()])


def _ragged(spec: ColumnSpec, array: Any) -> Converted:
    """Lists of steps; a step of several numbers is a list, nested or of fixed size."""
    kind = array.type
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
        raise WrongType(str(kind), spec)
    steps, flat = kind.value_type, array.flatten()
    width = int(np.prod(spec.cell, dtype=np.int64))
    if pa.types.is_fixed_size_list(steps) and steps.list_size == width and flat.null_count == 0:
        flat = flat.flatten()
    elif spec.cell:
        flat = None
    if flat is not None and flat.null_count == 0 and (pa.types.is_integer(flat.type) or pa.types.is_floating(flat.type)):
        present = _present(array)
        counts = np.where(present, compute.list_value_length(array).fill_null(0).to_numpy(zero_copy_only=False), 0)
        return from_runs(spec, _values(flat).reshape(-1, *spec.cell), counts.astype(np.int64), present)
    return from_values(spec, array.to_pylist())


def _shaped(value: Any, shape: tuple[int, ...]) -> Any:
    """A flat list in the shape of a cell; anything else as it is, for the rules to judge."""
    if len(shape) < 2 or not isinstance(value, list) or len(value) != int(np.prod(shape)) or isinstance(value[0], list):
        return value
    items = np.empty(len(value), object)
    items[:] = value
    return items.reshape(shape).tolist()
