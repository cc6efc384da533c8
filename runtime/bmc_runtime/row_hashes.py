"""Hashes of rows by native code: what `hashing.py` defines, some twenty times as fast.

In: the address of a program's HASH_ROWS; columns. Out: `NativeHasher`, a `Hasher`. Guaranteed: the same bits as `hash_rows`, which
hashes what native code does not know: cells of several values, windows, ragged columns.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import numpy as np

from bmc_runtime.hashing import Words, column_hashes, column_word, mix, mix_one
from bmc_runtime.memory import Array, address_of
from bmc_runtime.table import Column

__all__ = ["HASH_ROWS", "NativeHasher", "hashes_rows"]

HASH_ROWS = "bmc_hash_rows"
"""Symbol of programs that read tables: `void(columns*, i64 columns, i64 rows, i64 salt, totals*)`: a column is (address of its
cells, kind, address of its mask or 0, word of its name)."""

_KINDS: Final[Mapping[str, int]] = {"bool": 0, "u8": 0, "i32": 1, "i64": 2, "f32": 3, "f64": 4, "str": 5}

_HASH = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint64, ctypes.c_void_p)


def hashes_rows(functions: Iterable[str]) -> bool:
    """Whether a program with these functions has HASH_ROWS."""
    return any(name in ("data", "where") for name in functions)


class NativeHasher:
    """A `Hasher`. `address`: that of a symbol in loaded code, which it keeps alive."""

    def __init__(self, address: Callable[[str], int]) -> None:
        self._address = address
        self._hash = _HASH(address(HASH_ROWS))

    def __call__(self, columns: Mapping[str, Column], seed: int) -> Words:
        """`[N]`: the hash of each row of these columns by name. ValueError without a column."""
        if not columns:
            raise ValueError("rows without columns have no hash")
        rows = len(next(iter(columns.values())))
        total = np.zeros(rows, np.uint64)
        held: list[Array] = []
        records: list[tuple[int, int, int, int]] = []
        for name, column in columns.items():
            if len(column) != rows:
                raise ValueError(f"column {name!r} has {len(column)} rows, others {rows}")
            if column.runs is not None or column.cell or column.dtype not in _KINDS:
                total += column_hashes(name, column, seed)
                continue
            data = np.ascontiguousarray(column.data)
            mask = None if column.valid is None else np.ascontiguousarray(column.valid)
            held += [data] if mask is None else [data, mask]
            records.append(
                (address_of(data), _KINDS[column.dtype], 0 if mask is None else address_of(mask), column_word(name, seed))
            )
        if records and rows:
            table = np.array(records, np.uint64)
            self._hash(address_of(table), len(records), rows, mix_one(seed), address_of(total))
        return mix(total)
