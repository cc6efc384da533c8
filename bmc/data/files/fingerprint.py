"""What data a model was trained on, in one hash.

In: the sources of a data block. Out: hexadecimal SHA-256 over names, sizes and the first and last MiB of each file, and over the
declared columns. Guaranteed: no folder and no time enters; columns in memory count by their bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bmc.data import data_errors
from bmc.data.cells.rules import type_text
from bmc.data.files.naming import Given, files_of, is_folder
from bmc.data.files.opening import open_as_it_is
from bmc.data.formats.pictures import picture_names
from bmc.errors import BmcError
from bmc.frontend.data.sources import IMAGES
from bmc.frontend.unit import DataSpec

__all__ = ["fingerprint"]

_ENDS = 1 << 20


def fingerprint(spec: DataSpec, overrides: Mapping[str, Given] | None = None) -> str:
    """Of the sources, or of what replaces them. Raises BmcError when a file cannot be read."""
    given = dict(overrides or {})
    parts: list[Any] = [[column.header, type_text(column)] for column in spec.columns]
    for source in spec.sources:
        replaced = given.get(source.name)
        if isinstance(replaced, Mapping):
            content: list[list[Any]] = [[str(key), _hash_memory(replaced[key])] for key in sorted(replaced, key=str)]
        else:
            found = files_of(source, replaced)
            content = [[os.path.basename(place), *_hash_place(place)] for place in found]
        parts.append([source.split, content])
    text = json.dumps(parts, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _hash_place(place: str) -> tuple[int, str]:
    return _hash_folder(Path(place)) if is_folder(place) else _hash_file(place)


def _hash_file(place: str) -> tuple[int, str]:
    """(size, hash of the first and last MiB)."""
    try:
        with open_as_it_is(place, None) as file:
            size = file.seek(0, 2)
            file.seek(0)
            digest = hashlib.sha256(file.read(_ENDS))
            if size > _ENDS:
                file.seek(max(_ENDS, size - _ENDS))
                digest.update(file.read(_ENDS))
    except OSError as error:
        raise BmcError(data_errors.cannot_read(place, error.strerror or str(error), None)) from None
    return size, digest.hexdigest()


def _hash_folder(folder: Path) -> tuple[int, str]:
    """(number of pictures, hash of the names, sizes and ends of each)."""
    digest = hashlib.sha256()
    names = picture_names(folder, IMAGES)
    for name in names:
        digest.update(json.dumps([name, *_hash_file(str(folder / name))]).encode("utf-8", "surrogatepass"))
    return len(names), digest.hexdigest()


def _hash_memory(values: Any) -> str:
    if isinstance(values, np.ndarray) and values.dtype.kind in "biufM":
        array = np.ascontiguousarray(values)
        header = f"{array.dtype.str}{list(array.shape)}".encode()
        return hashlib.sha256(header + array.tobytes()).hexdigest()
    return hashlib.sha256(repr(list(values)).encode("utf-8", "surrogatepass")).hexdigest()
