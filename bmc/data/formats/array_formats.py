"""Reads files that hold one array each: numpy's npy and the idx of the MNIST files.

In: a file. Out: an `ArrayReader`, which gives the rows from front to back. Guaranteed: nothing is unpickled; sizes are checked
before memory is asked for; memory holds the rows that are asked for, whatever the file's size.

An idx file begins with two zero bytes, a type and the number of dims; then come the dims, 32 bits each, then the values, all
big-endian: http://yann.lecun.com/exdb/mnist describes it.
"""

from __future__ import annotations

import io
import math
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from bmc.data import data_errors
from bmc.errors import BmcError

__all__ = ["DAMAGE", "ArrayReader", "array_bytes", "npy_header", "open_idx", "open_npy"]

DAMAGE = (
    ValueError, TypeError, KeyError, OverflowError, MemoryError, EOFError, OSError, SyntaxError, RuntimeError, struct.error,
    tokenize.TokenError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
"""What numpy raises for files that are not as it wrote them: their headers are Python literals."""

_MOST_EMPTY_ROWS = 1 << 31
_MOST_HEADER = 1 << 16

_IDX_TYPES: Mapping[int, str] = MappingProxyType({0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"})


class ArrayReader:
    """An array in a file whose values begin where the file stands: `dtype[rows, *cell]`."""

    def __init__(self, file: IO[bytes], dtype: np.dtype[Any], shape: tuple[int, ...], *, columns_first: bool = False) -> None:
        self._file, self.dtype, self.shape = file, dtype, shape
        self._whole: NDArray[Any] | None = None
        if columns_first and len(shape) > 1:
            # Column by column (Fortran's order): its rows do not lie together.
            self._whole = np.frombuffer(self._bytes(array_bytes(dtype, shape)), dtype).reshape(shape[::-1]).T
        self._at = 0

    @property
    def rows(self) -> int:
        return self.shape[0]

    @property
    def row_bytes(self) -> int:
        return math.prod(self.shape[1:]) * self.dtype.itemsize

    def take(self, rows: int) -> NDArray[Any]:
        """The next rows, fewer only at the end. One of DAMAGE when the file ends before."""
        rows = min(rows, self.rows - self._at)
        self._at += rows
        if self._whole is not None:
            return self._whole[self._at - rows : self._at]
        if not rows or not self.row_bytes:
            return np.zeros((rows, *self.shape[1:]), self.dtype)
        return np.frombuffer(self._bytes(rows * self.row_bytes), self.dtype).reshape(rows, *self.shape[1:])

    def _bytes(self, size: int) -> bytearray:
        found = bytearray()
        while len(found) < size and (part := self._file.read(min(size - len(found), 1 << 24))):
            found += part
        if len(found) < size:
            raise EOFError(f"it ends {size - len(found)} bytes too early")
        return found


def array_bytes(dtype: np.dtype[Any], shape: tuple[int, ...]) -> int:
    """The bytes of an array. ValueError: it pretends to have rows that take no place."""
    size = math.prod(shape) * dtype.itemsize
    if not size and shape and shape[0] > _MOST_EMPTY_ROWS:
        raise ValueError(f"it has {shape[0]} rows without a value")
    return size


def npy_header(file: IO[bytes]) -> tuple[np.dtype[Any], tuple[int, ...], bool]:
    """Type, shape, and whether columns come first, of an array as numpy writes it. One of DAMAGE."""
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise ValueError(f"there is no version {version[0]}.{version[1]} of the format")
    first = file.read(2 if version == (1, 0) else 4)
    size = int.from_bytes(first, "little")
    if size > _MOST_HEADER:
        raise ValueError(f"its header has {size} bytes")
    header = io.BytesIO(first + file.read(size))
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, columns_first, dtype = read(header)
    return dtype, shape, columns_first


def open_npy(file: IO[bytes], name: str) -> ArrayReader:
    """The array of an npy file. Raises BmcError."""
    try:
        dtype, shape, columns_first = npy_header(file)
        if dtype.hasobject:
            raise ValueError("it holds Python objects, which are not loaded")
        if shape:
            _require_bytes(file, name, "npy", dtype, shape)
            return ArrayReader(file, dtype, shape, columns_first=columns_first)
    except DAMAGE as error:
        raise BmcError(data_errors.malformed(name, "", f"this is not an npy file that can be read: {str(error)[:80]}")) from None
    raise BmcError(data_errors.malformed(name, "", "this npy file holds a single value, which has no rows"))


def open_idx(file: IO[bytes], name: str) -> ArrayReader:
    """The array of an idx file. Raises BmcError."""
    first = file.read(4)
    dtype = _IDX_TYPES.get(first[2]) if len(first) == 4 and first[:2] == b"\0\0" else None
    rank = first[3] if dtype is not None else 0
    dims = file.read(4 * rank)
    if dtype is None or rank == 0 or len(dims) < 4 * rank:
        raise BmcError(data_errors.malformed(name, "", "this is not an idx file"))
    shape = struct.unpack(f">{rank}I", dims)
    _require_bytes(file, name, "idx", np.dtype(dtype), shape)
    return ArrayReader(file, np.dtype(dtype), shape)


def _require_bytes(file: IO[bytes], name: str, kind: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    """What the header says must be there. Raises BmcError."""
    start = file.tell()
    found, wanted = file.seek(0, 2) - start, array_bytes(dtype, shape)
    file.seek(start)
    if found != wanted:
        reason = f"an {kind} file of {list(shape)} has {wanted} bytes of values, this one {found}"
        raise BmcError(data_errors.malformed(name, "", reason))
