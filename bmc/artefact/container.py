"""The file format that artefacts and checkpoints share: a zip of a few stored members and a manifest with their hashes.

In: members by name and a manifest; or a file. Out: a file; or these. Guaranteed: the same members give the same bytes (fixed times,
order and attributes; nothing is compressed, since compressors differ). A file is accepted only as it would be written: any other
layout, name, size or hash is damage. So nothing expands, nothing overlaps, and reading takes time and memory of the file's size.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import stat
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bmc.artefact import artefact_errors
from bmc.errors import BmcError
from bmc.record import record
from bmc_runtime.atomic import write_bytes

__all__ = ["MAX_BYTES", "Container", "Damage", "Json", "read_container", "write_container"]

Json = Any

MAX_BYTES = (1 << 32) - (1 << 20)
"""Below where a zip changes its format."""

MANIFEST = "manifest.json"
_MAX_MANIFEST = 16 << 20
_MAX_MEMBERS = 1024
_MAX_DEPTH = 32
_DATE = (1980, 1, 1, 0, 0, 0)
_ATTRIBUTES = (stat.S_IFREG | 0o644) << 16
_LOCAL_HEADER, _CENTRAL_HEADER, _END = 30, 46, 22


class Damage(ValueError):
    """What is read cannot have been written by us; says why."""


@record(frozen=True)
class Container:
    """`manifest` without its list of members."""

    manifest: Mapping[str, Json]
    members: Mapping[str, bytes]

    def json(self, name: str) -> Json:
        """A member that is JSON. Damage if there is none, or if it is not JSON."""
        return parse_json(self.member(name), name)

    def member(self, name: str) -> bytes:
        if name not in self.members:
            raise Damage(f"it has no {name}")
        return self.members[name]


# ---------------------------------------------------------------------------------------------------------------------
# Writing


def write_container(path: str | Path, what: str, version: int, manifest: Mapping[str, Json], members: Mapping[str, bytes]) -> None:
    """Writes members and manifest, atomically. `what` is "artefact" or "checkpoint". Raises BmcError."""
    content = pack(what, version, manifest, members)
    if len(content) > MAX_BYTES:
        raise BmcError(artefact_errors.too_large(str(path), what, len(content), MAX_BYTES))
    try:
        write_bytes(path, content)
    except OSError as error:
        raise BmcError(artefact_errors.cannot_write(str(path), error.strerror or str(error))) from None


def pack(what: str, version: int, manifest: Mapping[str, Json], members: Mapping[str, bytes]) -> bytes:
    """The bytes of a container. The manifest comes first, members in the order of their names."""
    listed = {name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in sorted(members.items())}
    head = {"format": f"bmc {what}", "version": version, **manifest, "members": listed}
    everything = {MANIFEST: dump_json(head), **dict(sorted(members.items()))}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in everything.items():
            info = zipfile.ZipInfo(name, _DATE)
            info.create_system = 3
            info.external_attr = _ATTRIBUTES
            archive.writestr(info, data)
    return buffer.getvalue()


def dump_json(value: Json) -> bytes:
    """The canonical text of a JSON value: sorted keys, one line a key of the outermost object."""
    if not isinstance(value, Mapping):
        return (json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8")
    lines = [
        f"  {json.dumps(key, ensure_ascii=False)}: {json.dumps(value[key], sort_keys=True, ensure_ascii=False, allow_nan=False)}"
        for key in value
    ]
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode("utf-8")


# ---------------------------------------------------------------------------------------------------------------------
# Reading


def read_container(path: str | Path, what: str, version: int) -> Container:
    """Reads a file that `write_container` made. Raises BmcError for anything else."""
    name = str(path)
    data = _bytes_of(Path(path), what)
    try:
        members = _members(data)
    except _NotZip as error:
        raise BmcError(artefact_errors.not_an_artefact(name, what, str(error))) from None
    except Damage as error:
        raise BmcError(artefact_errors.damaged(name, what, str(error))) from None
    try:
        head = parse_json(members.pop(MANIFEST), MANIFEST)
    except Damage as error:
        raise BmcError(artefact_errors.damaged(name, what, str(error))) from None
    if not isinstance(head, dict) or head.get("format") != f"bmc {what}":
        found = head.get("format") if isinstance(head, dict) else None
        reason = f"it is a {found!r}" if isinstance(found, str) and len(found) < 40 else "its manifest is of another kind"
        raise BmcError(artefact_errors.not_an_artefact(name, what, reason))
    found = head.get("version")
    if isinstance(found, int) and found > version:
        raise BmcError(artefact_errors.newer_format(name, what, found, version))
    if found != version:
        raise BmcError(artefact_errors.damaged(name, what, "its manifest has no version"))
    try:
        _check_members(head.pop("members", None), members)
    except Damage as error:
        raise BmcError(artefact_errors.damaged(name, what, str(error))) from None
    return Container(head, members)


def parse_json(data: bytes, name: str) -> Json:
    """JSON of bounded depth without repeated keys. Damage otherwise."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise Damage(f"{name} is not UTF-8") from None
    if _depth(text) > _MAX_DEPTH:
        raise Damage(f"{name} is nested too deeply")
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Damage(f"{name} is not JSON" if not isinstance(error, Damage) else str(error)) from None


def _object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Damage("a key of its JSON is repeated")
    return found


def _no_constant(text: str) -> Json:
    raise Damage(f"its JSON holds {text}")


def _depth(text: str) -> int:
    """How deeply brackets nest, those in strings included: an upper bound."""
    depth = deepest = 0
    for character in text:
        if character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]}":
            depth -= 1
    return deepest


class _NotZip(ValueError):
    pass


def _bytes_of(path: Path, what: str) -> bytes:
    try:
        found = os.stat(path)
        if stat.S_ISDIR(found.st_mode):
            raise BmcError(artefact_errors.is_a_directory(str(path), what))
        if not stat.S_ISREG(found.st_mode):  # a pipe or device may never end
            raise BmcError(artefact_errors.not_an_artefact(str(path), what, "it is not a regular file"))
        if found.st_size > MAX_BYTES:
            raise BmcError(artefact_errors.not_an_artefact(str(path), what, "it is too large for one"))
        with path.open("rb") as file:
            data = file.read(found.st_size + 1)
    except (FileNotFoundError, NotADirectoryError):
        raise BmcError(artefact_errors.no_such_file(str(path), what)) from None
    except (OSError, ValueError) as error:  # ValueError: a path that holds a NUL
        raise BmcError(artefact_errors.cannot_read(str(path), getattr(error, "strerror", None) or str(error))) from None
    return data


def _members(data: bytes) -> dict[str, bytes]:
    """The members of a zip that has exactly our layout. _NotZip, Damage."""
    if not data.startswith(b"PK\x03\x04"):
        raise _NotZip("it is empty" if not data else "it is not a zip file")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos = archive.infolist()
            _check_layout(infos, len(data), archive.comment)
            return {info.filename: archive.read(info) for info in infos}
    except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError, RuntimeError, UnicodeError, OverflowError) as error:
        raise Damage(f"its zip is broken ({error})") from None


def _check_layout(infos: list[zipfile.ZipInfo], size: int, comment: bytes) -> None:
    names = [info.filename for info in infos]
    if MANIFEST not in names:
        raise _NotZip("it has no manifest")
    if len(infos) > _MAX_MEMBERS:
        raise Damage(f"it has {len(infos)} members")
    if len(set(names)) != len(names):
        raise Damage("a member's name is repeated")
    for name in names:
        if not _is_member_name(name):
            raise Damage(f"{name[:60]!r} cannot be a member's name")
    if names != [MANIFEST, *sorted(names[1:])]:
        raise Damage("its members are out of order")
    offset = 0
    for info in infos:
        plain = info.compress_type == zipfile.ZIP_STORED and info.compress_size == info.file_size and info.flag_bits == 0
        ours = info.date_time == _DATE and info.external_attr == _ATTRIBUTES and not info.extra and not info.comment
        if not plain or not ours:
            raise Damage(f"its member {info.filename} is not stored as bmc stores it")
        if info.header_offset != offset:
            raise Damage("its members overlap, or leave gaps")
        offset += _LOCAL_HEADER + len(info.filename) + info.file_size
        if info.filename.endswith(".json") and info.file_size > _MAX_MANIFEST:
            raise Damage(f"its {info.filename} is too large")
    offset += sum(_CENTRAL_HEADER + len(info.filename) for info in infos) + _END
    if offset != size or comment:
        raise Damage("it holds more than its members")


def _is_member_name(name: str) -> bool:
    folder, _, base = name.rpartition("/")
    allowed = "abcdefghijklmnopqrstuvwxyz0123456789-_."
    return folder in ("", "sources") and 0 < len(base) <= 64 and base[0] != "." and all(c in allowed for c in base)


def _check_members(listed: Json, members: Mapping[str, bytes]) -> None:
    if not isinstance(listed, dict) or set(listed) != set(members):
        raise Damage("its manifest lists other members than it has")
    for name, data in members.items():
        entry = listed[name]
        if entry != {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}:
            raise Damage(f"{name} is not what the manifest says")


def lines_of(value: Json, name: str) -> Iterator[Json]:
    """The items of a JSON list. Damage if it is none."""
    if not isinstance(value, list):
        raise Damage(f"{name} is not a list")
    yield from value
