"""Writes files so that nobody ever sees half of one.

In: a path and what to write. Out: the file. Guaranteed: the path holds either its old content or all of the new one, also after a
crash of the machine: written beside it under another name, flushed to disk, renamed.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

__all__ = ["atomic_writer", "write_bytes"]


@contextmanager
def atomic_writer(path: str | Path) -> Iterator[IO[bytes]]:
    """A binary stream whose content becomes the file `path` when the block ends well. Raises OSError.

    Pipes and devices (`/dev/stdout`) have no content to keep: they are written directly.
    """
    target = Path(path)
    try:
        special = not stat.S_ISREG(os.stat(target).st_mode)
    except FileNotFoundError:
        special = False
    if special:
        with target.open("wb") as stream:
            yield stream
        return
    target = Path(os.path.realpath(target))  # a link stays a link
    # The beginning of a name: systems limit names to 255 bytes, which the target's may have.
    temporary = target.with_name(f".{target.name[:32]}.{secrets.token_hex(6)}.tmp")
    try:
        # Inside: an interrupt may come as soon as the file is there.
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(target.parent)


def write_bytes(path: str | Path, content: bytes) -> None:
    """Writes the whole content. Raises OSError."""
    with atomic_writer(path) as stream:
        stream.write(content)


def _sync_folder(folder: Path) -> None:
    """Makes a rename durable, where the system can open folders."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
