"""Memory for native code: numpy arrays on 64-byte boundaries, and their addresses.

The address of an array is looked up once, when it enters a call table: asking numpy for it costs microseconds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["ALIGNMENT", "DTYPES", "SCRATCH_BYTES", "Array", "address_of", "aligned_bytes", "allocate", "dtype_name", "itemsize"]

Array = NDArray[np.generic]

ALIGNMENT = 64

SCRATCH_BYTES = 4 << 20
"""What a native step may use as scratch; see `bmc_runtime.plan`."""

DTYPES = {
    "bool": np.dtype(np.bool_),
    "u8": np.dtype(np.uint8),
    "i32": np.dtype(np.int32),
    "i64": np.dtype(np.int64),
    "f32": np.dtype(np.float32),
    "f64": np.dtype(np.float64),
    # A view of text: address and length.
    "str": np.dtype([("address", np.int64), ("length", np.int64)]),
}


def dtype_name(array: Array) -> str:
    """The dtype of plans that an array has. KeyError: it has none."""
    for name, dtype in DTYPES.items():
        if dtype == array.dtype:
            return name
    raise KeyError(str(array.dtype))


def itemsize(dtype: str) -> int:
    """Bytes of one cell."""
    return DTYPES[dtype].itemsize


def aligned_bytes(size: int) -> NDArray[np.uint8]:
    """`size` zero bytes that start on a 64-byte boundary."""
    raw = np.zeros(size + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + size]


def allocate(dtype: str, shape: Sequence[int]) -> Array:
    """A zeroed, aligned, row-major array."""
    kind = DTYPES[dtype]
    count = int(np.prod(shape, dtype=np.int64))
    return aligned_bytes(count * kind.itemsize).view(kind)[:count].reshape(tuple(shape))


def address_of(array: Array) -> int:
    """The address of the first cell of a row-major array."""
    if not array.flags.c_contiguous:
        raise ValueError("native code reads row-major arrays only")
    return int(array.ctypes.data)
