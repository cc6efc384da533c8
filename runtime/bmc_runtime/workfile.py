"""Memory that lies in a file without a name: as much as the disk holds, gone when the process is, however it ends.

In: a folder, bytes in the order in which they come. Out: `WorkFile`, which hands out regions and maps them; `DiskArray`, an array
that grows; `DiskBytes`, bytes whose addresses are known as soon as they are written. Guaranteed: nothing is left behind after the
process ends (the file has no name from the start, or loses it at once); a full disk shows as `OSError` where it is written to,
never as a signal later, since what is mapped has been written; mapped memory is read only.

Bytes are written by calls and read through maps: what is written takes no memory of the process, and what was read is given back
with `forget`.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["DiskArray", "DiskBytes", "Mapped", "WorkFile", "mapped_under", "work_folder"]

Region = tuple[int, int]
"""Offset in the file, and size; both multiples of a page."""

_LEAST_REGION = 1 << 20
_MOST_REGION = 1 << 26
"""Regions double from the least to the most: few of them, since the system counts maps, and small columns stay small."""

_MOST_WRITTEN = 1 << 30
"""Some systems write at most 2 GiB a call."""


def work_folder() -> str:
    """Where work files lie: `BMC_SPILL`, else `TMPDIR`, else /var/tmp, which is on disk where /tmp may be memory, else what the
    system has for temporary files. FileNotFoundError: there is none."""
    for name in (os.environ.get("BMC_SPILL"), os.environ.get("TMPDIR")):
        if name:
            return name
    return "/var/tmp" if os.access("/var/tmp", os.W_OK | os.X_OK) else tempfile.gettempdir()


class _System:
    """The calls of the system that Python does not offer: maps side by side, advice about any range."""

    def __init__(self) -> None:
        library = ctypes.CDLL(None, use_errno=True)
        self._mmap: Callable[..., int | None] = library.mmap
        self._mmap.restype = ctypes.c_void_p
        self._mmap.argtypes = [
            ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_int64,
        ]  # fmt: skip
        self.munmap: Callable[[int, int], int] = library.munmap
        self.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
        self.madvise: Callable[[int, int, int], int] = library.madvise
        self.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]

    def map(self, address: int | None, size: int, protection: int, flags: int, handle: int, offset: int) -> int:
        found = self._mmap(address, size, protection, flags, handle, offset)
        if found is None or found == ctypes.c_void_p(-1).value:
            code = ctypes.get_errno()
            raise OSError(code, f"a work file cannot be mapped: {os.strerror(code)}")
        return found


_MAP_FIXED = 0x10
"""The same on Linux, macOS and the BSDs; `mmap` does not name it."""


class Mapped:
    """A range of addresses at which regions of a file lie side by side; numpy reads it as bytes. It is unmapped when no array
    refers to it any more."""

    def __init__(self, system: _System, handle: int, regions: Sequence[Region]) -> None:
        self._system = system
        self.size = sum(size for _, size in regions)
        first = regions[0]
        self.address = 0
        if len(regions) == 1:
            self.address = system.map(None, first[1], mmap.PROT_READ, mmap.MAP_SHARED, handle, first[0])
            return
        # The whole range first, so that nothing else comes to lie within it.
        self.address = system.map(None, self.size, mmap.PROT_READ, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
        place = self.address
        for offset, size in regions:
            system.map(place, size, mmap.PROT_READ, mmap.MAP_SHARED | _MAP_FIXED, handle, offset)
            place += size

    @property
    def __array_interface__(self) -> dict[str, Any]:
        return {"shape": (self.size,), "typestr": "|u1", "data": (self.address, True), "version": 3}

    def forget(self) -> None:
        """Take the pages out of this process's memory; the system may keep them."""
        self._system.madvise(self.address, self.size, mmap.MADV_DONTNEED)

    def want(self, start: int, stop: int) -> None:
        """Bytes [start, stop) are read soon."""
        start -= start % mmap.PAGESIZE
        self._system.madvise(self.address + start, min(stop, self.size) - start, mmap.MADV_WILLNEED)

    def scattered(self) -> None:
        """Reads jump: what lies behind a page is not read ahead."""
        self._system.madvise(self.address, self.size, mmap.MADV_RANDOM)

    def __del__(self) -> None:
        if self.address:
            self._system.munmap(self.address, self.size)


def mapped_under(array: NDArray[Any]) -> Mapped | mmap.mmap | None:
    """The map that an array's memory belongs to, None for memory of another kind."""
    base: object = array
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, memoryview):  # numpy 2 holds a mapping of Python's by a view of it
        base = base.obj
    return base if isinstance(base, Mapped | mmap.mmap) else None


class WorkFile:
    """One file for any number of arrays: a process may have few files open."""

    def __init__(self, folder: str) -> None:
        """OSError: the folder is not there, or cannot be written to."""
        self._system = _System()
        self._end = 0
        self._handle = _nameless(folder)

    def reserve(self, size: int) -> Region:
        """A region of at least `size` bytes. It takes no room on the disk before it is written to."""
        whole = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
        region = self._end, whole
        self._end += whole
        return region

    def write(self, offset: int, content: memoryview) -> None:
        """OSError: the disk is full, or fails."""
        done = 0
        while done < len(content):
            done += os.pwrite(self._handle, content[done : done + _MOST_WRITTEN], offset + done)

    def map(self, regions: Sequence[Region]) -> Mapped:
        """Regions side by side. Only what was written may be read."""
        return Mapped(self._system, self._handle, regions)

    @property
    def disk_bytes(self) -> int:
        """What the file takes of the disk."""
        return os.fstat(self._handle).st_blocks * 512

    def __del__(self) -> None:
        if getattr(self, "_handle", -1) >= 0:
            os.close(self._handle)


def _nameless(folder: str) -> int:
    nameless = getattr(os, "O_TMPFILE", 0)
    if nameless:
        try:
            return os.open(folder, nameless | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except (IsADirectoryError, OSError) as error:
            if isinstance(error, FileNotFoundError | NotADirectoryError | PermissionError):
                raise
            # a file system that does not know them: a file that loses its name at once
    handle, name = tempfile.mkstemp(prefix="bmc-", dir=folder)
    os.unlink(name)
    return handle


class DiskArray:
    """An array of bytes that grows at its end."""

    def __init__(self, file: WorkFile) -> None:
        self._file = file
        self._regions: list[Region] = []
        self._left = 0
        self.size = 0

    def append(self, array: NDArray[Any]) -> None:
        """OSError: the disk is full."""
        content = _bytes_of(array)
        self.size += len(content)
        while len(content):
            if not self._left:
                last = self._regions[-1][1] if self._regions else _LEAST_REGION // 2
                self._regions.append(self._file.reserve(min(max(last * 2, _LEAST_REGION), _MOST_REGION)))
                self._left = self._regions[-1][1]
            offset, size = self._regions[-1]
            part = content[: self._left]
            self._file.write(offset + size - self._left, part)
            self._left -= len(part)
            content = content[len(part) :]

    def finish(self) -> NDArray[np.uint8]:
        """All bytes, side by side in memory."""
        if not self.size:
            return np.zeros(0, np.uint8)
        return np.asarray(self._file.map(self._regions))[: self.size]


class DiskBytes:
    """Bytes that others point to: each piece that is appended has its address from then on."""

    def __init__(self, file: WorkFile) -> None:
        self._file = file
        self._maps: list[tuple[Mapped, Region]] = []
        self._used = 0

    def append(self, content: NDArray[Any]) -> int:
        """The address at which the content lies from now on, in one piece. OSError: the disk is full."""
        view = _bytes_of(content)
        if not self._maps or self._used + len(view) > self._maps[-1][1][1]:
            last = self._maps[-1][1][1] if self._maps else _LEAST_REGION // 2
            region = self._file.reserve(max(min(max(last * 2, _LEAST_REGION), _MOST_REGION), len(view)))
            self._maps.append((self._file.map([region]), region))
            self._used = 0
        mapped, (offset, _) = self._maps[-1]
        self._file.write(offset + self._used, view)
        address = mapped.address + self._used
        self._used += len(view)
        return address

    def finish(self) -> tuple[NDArray[np.uint8], ...]:
        """The buffers that what was appended lies in."""
        return tuple(np.asarray(mapped) for mapped, _ in self._maps)


def _bytes_of(array: NDArray[Any]) -> memoryview:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
