"""Memory that several processes see: one file without a name, mapped by all of them, cut into arrays.

In: names, dtypes and shapes. Out: `SharedBlock`, whose arrays are at the same offsets in every process. Guaranteed: nobody but the
user can open the file (0600), and it disappears with the processes, however they end, once `unlink` was called.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bmc_runtime.memory import ALIGNMENT, DTYPES, Array

__all__ = ["Layout", "SharedBlock", "lay_out"]

Layout = dict[str, tuple[str, tuple[int, ...], int]]
"""By name: dtype, shape, offset in bytes."""


def lay_out(arrays: Mapping[str, tuple[str, Sequence[int]]]) -> tuple[Layout, int]:
    """Offsets for arrays given as (dtype, shape), and the size of the block."""
    layout: Layout = {}
    offset = 0
    for name, (dtype, shape) in arrays.items():
        layout[name] = (dtype, tuple(shape), offset)
        size = int(np.prod(shape, dtype=np.int64)) * DTYPES[dtype].itemsize
        offset += -(-max(size, 1) // ALIGNMENT) * ALIGNMENT
    return layout, max(offset, mmap.PAGESIZE)


class SharedBlock:
    def __init__(self, path: Path, layout: Layout, size: int) -> None:
        self.path, self.layout, self.size = path, layout, size
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), size)
        self._bytes = np.frombuffer(self._memory, np.uint8)

    @staticmethod
    def create(arrays: Mapping[str, tuple[str, Sequence[int]]]) -> SharedBlock:
        """A new zeroed block. OSError: no memory for it."""
        layout, size = lay_out(arrays)
        folder = "/dev/shm" if os.path.isdir("/dev/shm") else tempfile.gettempdir()
        handle, name = tempfile.mkstemp(prefix="bmc-", dir=folder)
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(handle, 0, size)  # a full memory file system must show here, not as a crash later
            else:
                os.ftruncate(handle, size)
        except OSError:
            os.unlink(name)
            raise
        finally:
            os.close(handle)
        return SharedBlock(Path(name), layout, size)

    def array(self, name: str) -> Array:
        """One array of the block. KeyError: there is none of that name."""
        dtype, shape, offset = self.layout[name]
        kind = DTYPES[dtype]
        count = int(np.prod(shape, dtype=np.int64))
        return self._bytes[offset : offset + count * kind.itemsize].view(kind).reshape(shape)

    def arrays(self, prefix: str) -> dict[str, Array]:
        """The arrays whose names begin with `prefix`, by the rest of the name."""
        return {name[len(prefix) :]: self.array(name) for name in self.layout if name.startswith(prefix)}

    def describe(self) -> dict[str, Any]:
        """What another process needs to open the block."""
        return {"path": str(self.path), "size": self.size, "layout": self.layout}

    @staticmethod
    def open(description: Mapping[str, Any]) -> SharedBlock:
        layout = {name: (d, tuple(s), int(o)) for name, (d, s, o) in description["layout"].items()}
        return SharedBlock(Path(description["path"]), layout, int(description["size"]))

    def unlink(self) -> None:
        """Take the file's name away; processes that have it open keep the memory."""
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()
