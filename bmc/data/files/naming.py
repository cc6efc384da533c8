"""Which files a source has, and what their names say.

In: a source's declaration, or what takes the place of its files. Out: places: paths of this machine, URIs of others. Guaranteed:
in the order of their names; no file is opened.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from bmc.data import data_errors
from bmc.errors import BmcError
from bmc.frontend.unit import SourceSpec
from bmc.record import replace

__all__ = [
    "BINARY", "FORMATS", "TABLES", "Given", "files_of", "folders_of", "format_of", "is_compressed", "is_folder", "is_remote",
    "local_path", "paths_by_column", "separator_of",
]  # fmt: skip

Given = str | Path | Mapping[str, Any]
"""What a source may be replaced by: a place (or pattern), or columns in memory by header."""

FORMATS = ("csv", "parquet", "npz", "jsonl", "arrow", "ts", "npy", "idx", "text", "bytes", "folder")
"""Kinds of sources, and of raw rows to predict."""

TABLES = ("csv", "parquet", "npz", "jsonl", "arrow", "ts")
"""Formats whose files hold columns by name, so that they may stand in for one another."""

BINARY = ("npz", "parquet", "arrow")
"""Those of them that are no text, so that nobody means their bytes by a corpus to predict on."""

_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


def is_remote(place: str) -> bool:
    """Whether this names a file on another file system than this machine's."""
    return _URI.match(place) is not None and not place.lower().startswith("file://")


def local_path(place: str) -> str:
    """The path that a `file://` URI is; any other place as it is."""
    if not place.lower().startswith("file://"):
        return place
    return unquote(urlsplit(place.replace("?", "%3F").replace("#", "%23")).path)


def is_folder(given: str | Path) -> bool:
    return not is_remote(str(given)) and os.path.isdir(local_path(str(given)))


def joined(folder: str | Path, place: str) -> str:
    """A place as a source in `folder` writes it: relative paths begin there."""
    return place if is_remote(place) else str(Path(folder) / local_path(place))


def files_of(source: SourceSpec, given: str | Path | None = None) -> list[str]:
    """The files of a source in the order of reading; of pictures their folders. Raises BmcError when there are none."""
    if source.kind == "folder" and (given is None or is_folder(given)):
        return folders_of(source, given)
    if source.kind in ("npy", "idx") and given is not None and is_folder(given):
        return [place for places in paths_by_column(source, given, []) for place in places.values()]
    patterns = [local_path(str(given))] if given is not None else [joined(source.folder, path) for path in source.paths]
    return list(dict.fromkeys(match for pattern in patterns for match in _matches(pattern, source, given, folders=False)))


def folders_of(source: SourceSpec, given: str | Path | None) -> list[str]:
    """The folders of a source of pictures. Raises BmcError when there are none."""
    if given is not None:
        return [local_path(str(given))]
    patterns = [joined(source.folder, path) for path in source.paths]
    return list(dict.fromkeys(match for pattern in patterns for match in _matches(pattern, source, given, folders=True)))


def paths_by_column(source: SourceSpec, given: str | Path | None, headers: Sequence[str]) -> list[dict[str, str]]:
    """The files of each column, by its header, as often as the patterns match. Raises BmcError: the columns have different numbers
    of files. `given` is a folder in which the files are called the same, or the only file."""
    patterns = dict(source.files)
    if not patterns:
        only = headers[0] if headers else ""
        return [{only: place} for place in files_of(replace(source, kind="npz"), given)]
    home = source.folder if given is None else local_path(str(given))
    names = {header: pattern if given is None else os.path.basename(pattern) for header, pattern in patterns.items()}
    wanted = headers or list(patterns)
    found = {header: _matches(joined(home, names[header]), source, given, folders=False) for header in wanted}
    if len({len(places) for places in found.values()}) > 1:
        raise BmcError(data_errors.different_files(source, {header: len(places) for header, places in found.items()}))
    return [dict(zip(found, places, strict=True)) for places in zip(*found.values(), strict=True)]


def _matches(place: str, source: SourceSpec, given: str | Path | None, *, folders: bool) -> list[str]:
    span = source.span if given is None else None
    if is_remote(place):
        if folders or source.kind in ("text", "bytes"):
            raise BmcError(data_errors.not_remote(place, source.kind, span))
        from bmc.data.files.remote import matches_of  # noqa: PLC0415 - importing Arrow takes a tenth of a second

        matches = matches_of(place, span)
    elif os.path.lexists(place):
        matches = [place]
    else:
        matches = sorted(match for match in glob.glob(place, recursive=True) if os.path.isdir(match) == folders)
    if not matches:
        raise BmcError(data_errors.no_such_data(place, span))
    return matches


def format_of(path: str | Path) -> str | None:
    """The format that a file's name says, None if it says none."""
    suffix = Path(_name_of(path).removesuffix(".gz")).suffix.removeprefix(".")
    suffix = {"tsv": "csv", "pq": "parquet", "ndjson": "jsonl", "feather": "arrow", "ipc": "arrow"}.get(suffix, suffix)
    return suffix if suffix in (*TABLES, "npy", "idx") else None


def is_compressed(place: str) -> bool:
    """Whether a file of this name is what `gzip` wrote."""
    return _name_of(place).endswith(".gz")


def separator_of(place: str) -> str:
    """What stands between the cells of a csv file of this name."""
    return "\t" if _name_of(place).removesuffix(".gz").endswith(".tsv") else ","


def _name_of(place: str | Path) -> str:
    """In small letters, and of a URI without the settings behind it."""
    name = str(place).lower()
    return name.partition("?")[0] if is_remote(name) else name
