"""Artefacts (`.bmz`): a trained model with all that is needed to compile it again and run it.

In: sources, overrides, weights, states, fitted values, history. Out: one file, and back. Guaranteed: the same content gives the
same bytes; no absolute path and no time enters; what is read has passed every check, and no path that it names was opened.

| member | what |
|---|---|
| `manifest.json` | format, compiler, unit, overrides, names of sources, dtypes and shapes, hashes of data and members |
| `sources/N.bm` | the closure of sources, the main one first |
| `weights.safetensors` | weights and states by key |
| `fitted.safetensors` | fitted values by key |
| `history.json` | what each epoch reached |
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from bmc.artefact import artefact_errors
from bmc.artefact.container import Container, Damage, Json, dump_json, lines_of, read_container, write_container
from bmc.artefact.tensors import decode, encode, signature
from bmc.errors import BmcError
from bmc.frontend.unit import Unit
from bmc.ir import TensorType
from bmc.source import SourceFile
from bmc_runtime.memory import Array
from bmc_runtime.table import Bytes

__all__ = ["VERSION", "Artefact", "read_artefact", "require_same_parameters", "write_artefact"]

VERSION = 1
_WHAT = "artefact"
_WEIGHTS, _FITTED, _HISTORY = "weights.safetensors", "fitted.safetensors", "history.json"
_MAX_SOURCES = 256
_MAX_SOURCE_BYTES = 4 << 20
_MAX_NAME = 1024


@dataclass(frozen=True, eq=False)
class Artefact:
    """`sources`: the closure, the main file first. `unit`: the name of its train block. `overrides`: (key, value) of `--set`.
    `keep`: the buffers in which fitted texts lie. `history`: for each epoch what was measured, without times. `data`: the
    fingerprint of the data. `compiler`: its version. `made`: for each output with fitted values what it is made by, as written.
    `started_from`: SHA-256 of the files that training started from, by their names in the source."""

    sources: tuple[SourceFile, ...]
    unit: str
    overrides: tuple[tuple[str, str], ...]
    float_type: str
    weights: Mapping[str, Array]
    states: Mapping[str, Array]
    fitted: Mapping[str, Array]
    keep: tuple[Bytes, ...] = ()
    history: tuple[Mapping[str, Any], ...] = ()
    data: str = ""
    compiler: str = ""
    made: Mapping[str, str] = field(default_factory=dict)
    started_from: Mapping[str, str] = field(default_factory=dict)


def write_artefact(path: str | Path, artefact: Artefact) -> None:
    """Writes the file, atomically. Numbers of the history that are not finite become null. Raises BmcError.

    Names of sources are stored relative to the folder of the main one, and that folder relative to the file's own.
    """
    members: dict[str, bytes] = {}
    names: list[list[str]] = []
    main = Path(artefact.sources[0].name)
    for number, source in enumerate(artefact.sources):
        member = f"sources/{number:03d}.bm"
        members[member] = source.text.encode("utf-8")
        names.append([_portable(source.name, main.parent), member])
    both = {**artefact.weights, **artefact.states}
    if len(both) != len(artefact.weights) + len(artefact.states):
        raise ValueError("a weight and a state have the same key")
    members[_WEIGHTS] = encode(both)
    members[_FITTED] = encode(artefact.fitted)
    members[_HISTORY] = _history_text(artefact.history)
    manifest = {
        "compiler": artefact.compiler,
        "unit": artefact.unit,
        "float": artefact.float_type,
        "overrides": dict(sorted(artefact.overrides)),
        "folder": "" if _is_virtual(main.name) else _portable(str(main.parent), Path(path).parent),
        "sources": names,
        "weights": signature(artefact.weights),
        "states": signature(artefact.states),
        "fitted": signature(artefact.fitted),
        "data": artefact.data,
        "made": dict(sorted(artefact.made.items())),
        "started_from": dict(sorted(artefact.started_from.items())),
    }
    write_container(path, _WHAT, VERSION, manifest, members)


def read_artefact(path: str | Path) -> Artefact:
    """Reads and checks the file. Sources are named as if they stood where they stood when the artefact was written beside them.
    Raises BmcError when the file is not a whole artefact."""
    container = read_container(path, _WHAT, VERSION)
    try:
        return _artefact(container, Path(path).parent)
    except Damage as error:
        raise BmcError(artefact_errors.damaged(str(path), _WHAT, str(error))) from None


def require_same_parameters(path: str | Path, artefact: Artefact, unit: Unit) -> None:
    """Compares keys, dtypes and shapes with those of the unit compiled from its sources. Raises BmcError."""
    fitted = unit.data.fitted if unit.data is not None else ()
    pairs: Sequence[tuple[str, Mapping[str, Array], Mapping[str, TensorType]]] = (
        ("weight", artefact.weights, {w.key: w.type for w in unit.weights}),
        ("state", artefact.states, {s.key: s.type for s in unit.states}),
        ("fitted value", artefact.fitted, {f.key: f.type for f in fitted}),
    )
    differences: list[str] = []
    for what, stored, wanted in pairs:
        differences.extend(_differences(what, signature(stored), {key: _type_text(kind) for key, kind in wanted.items()}))
    if differences:
        raise BmcError(artefact_errors.other_parameters(str(path), differences))


def _differences(what: str, stored: Mapping[str, str], wanted: Mapping[str, str]) -> Iterator[str]:
    for key in sorted({*stored, *wanted}):
        if key not in stored:
            yield f"the {what} {key!r} of the model is missing"
        elif key not in wanted:
            yield f"there is no {what} {key!r} in the model"
        elif stored[key] != wanted[key]:
            yield f"the {what} {key!r} is {stored[key]}, the model has {wanted[key]}"


def _type_text(kind: TensorType) -> str:
    return f"{kind.dtype}[{', '.join(map(str, kind.shape))}]"


def _is_virtual(name: str) -> bool:
    """Names that are no paths: `<stdin>`, `<lib>/layers.bm`."""
    return name.startswith("<")


def _portable(name: str, folder: Path) -> str:
    """A path relative to a folder, with `/`; names that are no paths stay."""
    if _is_virtual(name):
        return name
    return PurePosixPath(Path(os.path.relpath(name, folder))).as_posix()


def _history_text(history: Sequence[Mapping[str, Any]]) -> bytes:
    """One epoch a line."""
    epochs = [dump_json([_finite(epoch)])[1:-2].decode("utf-8") for epoch in history]
    return ("[\n" + ",\n".join(epochs) + "\n]\n").encode("utf-8") if epochs else b"[]\n"


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


# ---------------------------------------------------------------------------------------------------------------------
# Reading


def _artefact(container: Container, folder: Path) -> Artefact:
    manifest = container.manifest
    sources = tuple(_sources(container, folder))
    stored = decode(container.member(_WEIGHTS), _WEIGHTS)
    fitted = decode(container.member(_FITTED), _FITTED)
    weights, states = _text_map(manifest, "weights"), _text_map(manifest, "states")
    if {**weights, **states} != signature(stored.arrays) or set(weights) & set(states):
        raise Damage(f"{_WEIGHTS} does not hold what the manifest says")
    if _text_map(manifest, "fitted") != signature(fitted.arrays):
        raise Damage(f"{_FITTED} does not hold what the manifest says")
    known = {f"sources/{i:03d}.bm" for i in range(len(sources))} | {_WEIGHTS, _FITTED, _HISTORY}
    if set(container.members) != known:
        raise Damage("it has members that are not used")
    history = tuple(lines_of(container.json(_HISTORY), _HISTORY))
    if not all(isinstance(epoch, dict) for epoch in history):
        raise Damage(f"{_HISTORY} does not hold epochs")
    float_type = _text(manifest, "float")
    if float_type not in ("f32", "f64"):
        raise Damage(f"its float type is {float_type[:20]!r}")
    return Artefact(
        sources=sources,
        unit=_text(manifest, "unit"),
        overrides=tuple(sorted(_text_map(manifest, "overrides").items())),
        float_type=float_type,
        weights={key: stored.arrays[key] for key in weights},
        states={key: stored.arrays[key] for key in states},
        fitted=fitted.arrays,
        keep=(*stored.keep, *fitted.keep),
        history=history,
        data=_text(manifest, "data"),
        compiler=_text(manifest, "compiler"),
        made=_text_map(manifest, "made") if "made" in manifest else {},
        started_from=_text_map(manifest, "started_from") if "started_from" in manifest else {},
    )


def _sources(container: Container, folder: Path) -> Iterator[SourceFile]:
    home = _text(container.manifest, "folder")
    if home and not _is_relative(home):
        raise Damage("its folder is not a relative path")
    entries = list(lines_of(container.manifest.get("sources"), "its list of sources"))
    if not 1 <= len(entries) <= _MAX_SOURCES:
        raise Damage(f"it has {len(entries)} sources")
    for number, entry in enumerate(entries):
        if not (isinstance(entry, list) and len(entry) == 2 and all(isinstance(part, str) for part in entry)):
            raise Damage("its list of sources is broken")
        name, member = entry
        if member != f"sources/{number:03d}.bm" or not (_is_virtual(name) or _is_relative(name)) or len(name) > _MAX_NAME:
            raise Damage(f"its source {number} has no proper name")
        content = container.member(member)
        if len(content) > _MAX_SOURCE_BYTES:
            raise Damage(f"its source {name} is too large")
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError:
            raise Damage(f"its source {name} is not UTF-8") from None
        if "\0" in text:
            raise Damage(f"its source {name} holds a NUL")
        yield SourceFile(name if _is_virtual(name) else os.path.normpath(folder / home / name), text)


def _is_relative(name: str) -> bool:
    plain = "\0" not in name and "\\" not in name and len(name) <= _MAX_NAME
    return bool(name) and plain and not PurePosixPath(name).is_absolute()


def _text(manifest: Mapping[str, Json], key: str) -> str:
    value = manifest.get(key)
    if not isinstance(value, str):
        raise Damage(f"its manifest has no {key}")
    return value


def _text_map(manifest: Mapping[str, Json], key: str) -> dict[str, str]:
    value = manifest.get(key)
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise Damage(f"its manifest has no {key}")
    return value
