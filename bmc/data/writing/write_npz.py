"""Predictions as npz, block by block.

In: a binary stream, blocks of columns. Out: the file in it. Guaranteed: memory for a block; what the columns hold waits in
temporary files, since the head of an array says how many rows there are.
"""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Mapping
from typing import IO

import numpy as np

from bmc_runtime.memory import Array
from bmc_runtime.table import Column

__all__ = ["NpzBlocks"]

_IN_MEMORY = 1 << 24
"""Bytes of a column above which they go to a temporary file."""

_COPIED = 1 << 22


class _Waiting:
    """The blocks of one column. `parts`: rows and dtype of each, which differ among texts alone."""

    def __init__(self, first: Array) -> None:
        self.cell = first.shape[1:]
        self.parts: list[tuple[int, np.dtype[np.generic]]] = []
        self.content = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - closed by `NpzBlocks.finish`

    def add(self, values: Array) -> None:
        self.parts.append((len(values), values.dtype))
        self.content.write(np.ascontiguousarray(values).tobytes())

    def write(self, target: IO[bytes]) -> None:
        rows = sum(count for count, _ in self.parts)
        widest = max((dtype for _, dtype in self.parts), key=lambda dtype: dtype.itemsize)
        head = {"descr": np.lib.format.dtype_to_descr(widest), "fortran_order": False, "shape": (rows, *self.cell)}
        np.lib.format.write_array_header_1_0(target, head)
        self.content.seek(0)
        width = int(np.prod(self.cell, dtype=np.int64))
        for count, dtype in self.parts:
            left, at_once = count, max(1, _COPIED // max(1, widest.itemsize * width))
            while left:
                some = min(left, at_once)
                block = np.frombuffer(self.content.read(some * width * dtype.itemsize), dtype) if dtype.itemsize * width else None
                target.write(block.astype(widest, copy=False).tobytes() if block is not None else b"")
                left -= some
        self.content.close()


class NpzBlocks:
    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._columns: dict[str, _Waiting] = {}

    def write(self, columns: Mapping[str, Column]) -> None:
        for name, column in columns.items():
            step = max(1, len(column)) if column.dtype != "str" else _rows_at_once(column)
            for start in range(0, max(len(column), 1), step):
                values = _plain(column.between(start, start + step))
                if name not in self._columns:
                    self._columns[name] = _Waiting(values)
                self._columns[name].add(values)

    def finish(self) -> None:
        with zipfile.ZipFile(self._stream, "w") as file:
            for name, waiting in self._columns.items():
                with file.open(f"{name}.npy", "w", force_zip64=True) as target:
                    waiting.write(target)


def _rows_at_once(column: Column) -> int:
    """How many texts make an array of `_COPIED` bytes, each as long as the longest."""
    longest = int(column.data["length"].max(initial=1))  # type: ignore[call-overload]
    return max(1, _COPIED // (4 * max(longest, 1) * max(1, int(np.prod(column.cell, dtype=np.int64)))))


def _plain(column: Column) -> Array:
    """As numpy has it: text as an array of `U`."""
    if column.dtype == "str":
        texts = ["" if value is None else value for value in Column("str", column.data.reshape(-1), None, column.keep).to_python()]
        return np.array(texts, np.str_).reshape(column.data.shape)
    if column.kind != "plain":
        times = column.times()
        if column.valid is not None:
            times[~column.valid] = np.datetime64("NaT")
        return times
    if column.valid is not None and column.dtype in ("f32", "f64"):
        data = column.data.copy()
        data[~column.valid] = np.nan
        return data
    return column.data
