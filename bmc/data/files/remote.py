"""Data on other file systems, through Arrow: `s3://`, `gs://`, `abfs://`, `hdfs://`, and what fsspec knows as `fsspec+NAME://`.

In: a URI, which may be a pattern. Out: the URIs of files, files to read. Guaranteed: nothing here is reached for a path of this
machine, `file://` ones included; what is wrong is a diagnostic that names the URI. Imports Arrow: import this module only where
there is such a URI.
"""

from __future__ import annotations

import posixpath
import re
from fnmatch import fnmatchcase
from typing import IO, Any

from pyarrow import fs

from bmc.data import data_errors
from bmc.errors import BmcError
from bmc.source import Span

__all__ = ["matches_of", "open_remote"]

_WILD = re.compile(r"[*\[]")
"""A question mark begins the settings of a file system: `s3://bucket/a.csv?region=eu-central-1`."""

_PATIENCE = "retry_limit_seconds=30"
"""Google's storage is otherwise asked again for minutes."""


def _system(uri: str, span: Span | None) -> tuple[Any, str]:
    """The file system of a URI, and the path there. Raises BmcError."""
    scheme = uri.partition("://")[0]
    patient = f"{uri}?{_PATIENCE}" if scheme in ("gs", "gcs") and "?" not in uri else uri
    try:
        found: tuple[Any, str] = fs.FileSystem.from_uri(patient)
    except (OSError, ValueError, ImportError, TypeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        if "Unrecognized filesystem" in reason:
            reason = f"there is no file system {scheme!r}; known are s3, gs, abfs, hdfs, file and fsspec+NAME"
        raise BmcError(data_errors.cannot_read(uri, reason, span)) from None
    return found


def matches_of(pattern: str, span: Span | None) -> list[str]:
    """The URIs of the files that a pattern finds, in the order of their paths. `**` stands for any folders. Raises BmcError: the
    file system cannot be asked."""
    whole, sign, settings = pattern.partition("?")
    wild = _WILD.search(whole.partition("://")[2])
    if wild is None:
        return [pattern]
    fixed = whole[: whole.index("://") + 3 + wild.start()].rpartition("/")[0]
    system, base = _system(fixed + sign + settings, span)
    inner = whole[len(fixed) + 1 :]
    try:
        selector = fs.FileSelector(base, allow_not_found=True, recursive="/" in inner)
        infos = system.get_file_info(selector)
    except (OSError, ValueError) as error:
        raise BmcError(data_errors.cannot_read(pattern, _first_line(error), span)) from None
    found = []
    for info in infos:
        path = (posixpath.relpath(info.path, base) if base else info.path).lstrip("/")
        if info.is_file and _fits(path.split("/"), inner.split("/")):
            found.append(f"{fixed}/{path}{sign}{settings}")
    return sorted(found)


def _fits(names: list[str], pattern: list[str]) -> bool:
    """Whether a path is one that a pattern stands for, folder by folder."""
    if not pattern:
        return not names
    if pattern[0] == "**":
        return any(_fits(names[skipped:], pattern[1:]) for skipped in range(len(names) + 1))
    return bool(names) and fnmatchcase(names[0], pattern[0]) and _fits(names[1:], pattern[1:])


def open_remote(uri: str, span: Span | None) -> tuple[IO[bytes], int | None]:
    """A file to seek in, and its size. Raises BmcError."""
    system, path = _system(uri, span)
    try:
        info = system.get_file_info(path)
        if info.type.name == "NotFound":
            raise BmcError(data_errors.no_such_data(uri, span))
        if not info.is_file:
            raise BmcError(data_errors.is_a_directory(uri, span))
        return system.open_input_file(path), info.size
    except FileNotFoundError:
        raise BmcError(data_errors.no_such_data(uri, span)) from None
    except (OSError, ValueError) as error:
        raise BmcError(data_errors.cannot_read(uri, _first_line(error), span)) from None


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:300]
