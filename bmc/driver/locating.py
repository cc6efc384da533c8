"""Where the data of a trained model lies.

A model file holds no absolute path, so that the same training gives the same bytes anywhere. This machine remembers, beside its
cache of compiled code, where the data of the models that it trained lay; it is a hint: a model that comes from elsewhere has
none.

In: a model file's hash, the sources of its data block. Out: the sources with folders in which their files exist, or BmcError E0811.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from bmc.codegen.cache import default_folder
from bmc.data import Given, files_of, is_remote
from bmc.driver import run_errors
from bmc.errors import BmcError
from bmc.frontend.unit import DataSpec, SourceSpec
from bmc_runtime.atomic import write_bytes

__all__ = ["located", "remember"]

_MOST_BYTES = 1 << 20


def _place(identity: str) -> Path:
    return default_folder().parent / "places" / f"{identity}.json"


def remember(identity: str, base: str, overrides: Mapping[str, Given]) -> None:
    """Note for the model of this hash that relative paths began at `base`, and which paths replaced sources. Best effort: without a
    writable cache nothing is noted."""
    paths = {name: _absolute(str(given)) for name, given in overrides.items() if isinstance(given, (str, Path))}
    text = json.dumps({"base": os.path.abspath(base), "data": paths}, ensure_ascii=True, sort_keys=True)
    place = _place(identity)
    with contextlib.suppress(OSError):
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_bytes(place, text.encode())


def _absolute(place: str) -> str:
    return place if is_remote(place) else os.path.abspath(place)


def _recall(identity: str) -> tuple[str | None, dict[str, str]]:
    try:
        with _place(identity).open("rb") as file:
            found = json.loads(file.read(_MOST_BYTES))
    except (OSError, ValueError):
        return None, {}
    if not isinstance(found, dict) or not isinstance(found.get("base"), str) or not isinstance(found.get("data"), dict):
        return None, {}
    return found["base"], {str(name): str(path) for name, path in found["data"].items()}


def located(data: DataSpec, identity: str, beside: str, overrides: Mapping[str, Given]) -> tuple[DataSpec, dict[str, Given]]:
    """The data block with folders where its files are, and what replaces sources. `beside`: the model file's folder."""
    base, paths = _recall(identity)
    given: dict[str, Given] = {name: path for name, path in paths.items() if is_remote(path) or os.path.exists(path)}
    given.update(overrides)
    folders = [folder for folder in (base, beside, os.curdir) if folder is not None]
    sources = [source if source.name in given else _found(source, folders, beside) for source in data.sources]
    return replace(data, sources=tuple(sources)), given


def _found(source: SourceSpec, folders: list[str], beside: str) -> SourceSpec:
    inner = os.path.relpath(source.folder or os.curdir, beside or os.curdir)
    for folder in folders:
        candidate = replace(source, folder=os.path.normpath(os.path.join(folder, inner)))
        try:
            files_of(candidate)
        except BmcError:
            continue
        return candidate
    shown = [os.path.abspath(folder) for folder in folders]
    raise BmcError(run_errors.data_not_at_hand(source.name, ", ".join(source.paths), list(dict.fromkeys(shown))))
