"""Reads files that hold one array each: numpy's npy and the idx of the MNIST files.

In: a file's bytes for each column. Out: `RawTable`. Guaranteed: nothing is unpickled; sizes are checked before memory is asked for.

An idx file begins with two zero bytes, a type and the number of dims; then come the dims, 32 bits each, then the values, all
big-endian: http://yann.lecun.com/exdb/mnist describes it.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bmc.data import data_errors
from bmc.data.npz_format import DAMAGE, read_memory
from bmc.data.raw import RawTable
from bmc.errors import BmcError
from bmc.frontend.unit import ColumnSpec

__all__ = ["read_arrays", "read_idx", "read_npy"]

_IDX_TYPES: Mapping[int, str] = MappingProxyType({0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"})


def read_arrays(
    contents: Mapping[str, tuple[str, bytes]], name: str, kind: str, columns: Sequence[ColumnSpec], na: Sequence[str]
) -> RawTable:
    """Columns from (path, bytes) by header. Raises BmcError when a file, or an array, is wrong."""
    read = read_idx if kind == "idx" else read_npy
    arrays = {header: read(data, path) for header, (path, data) in contents.items()}
    return read_memory(arrays, name, columns, na)


def read_npy(data: bytes, name: str) -> NDArray[Any]:
    """The array of an npy file. Raises BmcError."""
    try:
        array = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    except DAMAGE as error:
        raise BmcError(data_errors.malformed(name, "", f"this is not an npy file that can be read: {str(error)[:80]}")) from None
    if array.ndim == 0:
        raise BmcError(data_errors.malformed(name, "", "this npy file holds a single value, which has no rows"))
    return array


def read_idx(data: bytes, name: str) -> NDArray[Any]:
    """The array of an idx file. Raises BmcError."""
    dtype = _IDX_TYPES.get(data[2]) if len(data) >= 4 and data[:2] == b"\0\0" else None
    rank = data[3] if dtype is not None else 0
    if dtype is None or rank == 0 or len(data) < 4 + 4 * rank:
        raise BmcError(data_errors.malformed(name, "", "this is not an idx file"))
    shape = struct.unpack_from(f">{rank}I", data, 4)
    wanted = np.dtype(dtype).itemsize
    for size in shape:
        wanted *= size
    found = len(data) - 4 - 4 * rank
    if found != wanted:
        reason = f"an idx file of {list(shape)} has {wanted} bytes of values, this one {found}"
        raise BmcError(data_errors.malformed(name, "", reason))
    return np.frombuffer(data, dtype, offset=4 + 4 * rank).reshape(shape)
