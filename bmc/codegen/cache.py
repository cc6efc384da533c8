"""Compiled programs on disk: a plan and object code under the hash of everything that they depend on.

In: a key text (the functions, the target, the compiler's own identity). Out: `(plan JSON, object code)` or None. The folder belongs
to the user alone (0700) and is not used otherwise: object code is run without a question. Every entry carries the hash of its
key and contents; one that does not match is as good as absent. Writing is atomic; a full disk costs the entry, not the run.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

__all__ = ["ObjectCache", "compiler_identity", "default_folder"]

_MAGIC = b"bmc1"


def default_folder() -> Path:
    """`$XDG_CACHE_HOME/bmc/objects`, by default under `~/.cache`."""
    root = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(root) / "bmc" / "objects"


@cache
def compiler_identity() -> str:
    """A hash that changes with any file of the compiler: names, sizes and times of its sources."""
    root = Path(__file__).resolve().parent.parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        state = path.stat()
        digest.update(f"{path.relative_to(root)} {state.st_size} {state.st_mtime_ns}\n".encode())
    return digest.hexdigest()


class ObjectCache:
    """Entries of one folder. A folder that cannot be made or that others could write to is ignored: every look-up misses."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder if folder is not None else default_folder()
        self.usable = self._prepare()

    def _prepare(self) -> bool:
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            state = self.folder.stat()
        except OSError:
            return False
        if not hasattr(os, "getuid"):
            return True
        return state.st_uid == os.getuid() and not stat.S_IMODE(state.st_mode) & 0o077

    def _path(self, key: str) -> Path:
        return self.folder / hashlib.sha256(_encoded(key)).hexdigest()

    def get(self, key: str) -> tuple[Mapping[str, Any], bytes] | None:
        """The entry of `key`, verified, or None."""
        if not self.usable:
            return None
        try:
            data = self._path(key).read_bytes()
        except OSError:
            return None
        digest, body = data[4:36], data[36:]
        if data[:4] != _MAGIC or _digest(key, body) != digest:
            return None
        length = int.from_bytes(body[:8], "little")
        return json.loads(body[8 : 8 + length]), body[8 + length :]

    def put(self, key: str, plan: Mapping[str, Any], object_code: bytes) -> None:
        """Store an entry; a disk that is full or read-only leaves the cache as it was."""
        if not self.usable:
            return
        text = json.dumps(plan, separators=(",", ":")).encode()
        body = len(text).to_bytes(8, "little") + text + object_code
        with contextlib.suppress(OSError):
            handle, name = tempfile.mkstemp(dir=self.folder)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(_MAGIC + _digest(key, body) + body)
                os.replace(name, self._path(key))
            except OSError:
                os.unlink(name)
                raise


def _encoded(key: str) -> bytes:
    return key.encode("utf-8", "surrogatepass")


def _digest(key: str, body: bytes) -> bytes:
    """Of the entry with its key, so that an entry under another's name is none."""
    return hashlib.sha256(hashlib.sha256(_encoded(key)).digest() + body).digest()
