"""What the file of another model holds, from its header: a `.bmz` of bmc's, or safetensors of anybody's.

In: a path. Out: names, dtypes and shapes of its tensors. Guaranteed: no tensor is read, nothing of the file is executed; a
header that is hostile or broken (too long, nested, contradictory, pointing outside the file) is `Unreadable`, and never an
allocation of the size that it claims. Imported only where such a file is at hand: a check without one should not pay for zip.
"""

from __future__ import annotations

import json
import math
import os
import re
import stat
import struct
import zipfile
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from bmc.frontend.transfer.stored import Stored, StoredTensor, Unreadable

__all__ = ["read_stored"]

_MAX_HEADER = 100_000_000
"""The limit of the safetensors format."""

_MAX_DEPTH = 8
_MAX_MANIFEST = 16 << 20

_DTYPES: Mapping[str, tuple[str, int]] = MappingProxyType(
    {
        "F64": ("f64", 8), "F32": ("f32", 4), "F16": ("f16", 2), "BF16": ("bf16", 2), "I64": ("i64", 8), "I32": ("i32", 4),
        "I16": ("i16", 2), "I8": ("i8", 1), "U64": ("u64", 8), "U32": ("u32", 4), "U16": ("u16", 2), "U8": ("u8", 1),
        "BOOL": ("bool", 1), "F8_E4M3": ("f8_e4m3", 1), "F8_E5M2": ("f8_e5m2", 1),
    }
)  # fmt: skip
"""dtype of safetensors → (ours, bytes of a cell)"""

_TYPE = re.compile(r"([a-z]+\d*)\[((?:\d+(?:, \d+)*)?)\]")


def read_stored(path: str) -> Stored:
    """The header of a file. Raises OSError, Unreadable."""
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode):  # a pipe would be waited for, a device may never end
        raise Unreadable("it is a folder" if stat.S_ISDIR(mode) else "it is no file")
    with open(path, "rb") as file:
        start = file.read(8)
        if start[:4] == b"PK\x03\x04":
            return _bmz(path)
        size = os.fstat(file.fileno()).st_size
        if start[:2] in (b"\x80\x02", b"\x80\x04", b"\x80\x05"):
            raise Unreadable("it is a pickle, which can run anything: write it with `safetensors.torch.save_file`")
        if len(start) < 8:
            raise Unreadable("it is too short")
        length: int = struct.unpack("<Q", start)[0]
        if length > min(_MAX_HEADER, size - 8):
            raise Unreadable("it is neither a .bmz nor safetensors")
        return Stored("safetensors", _safetensors(file.read(length), 8 + length, size), {}, {})


# --- safetensors -------------------------------------------------------------------------------------------------------
def _safetensors(header: bytes, first: int, size: int) -> dict[str, StoredTensor]:
    """The format: https://github.com/huggingface/safetensors#format."""
    found: dict[str, StoredTensor] = {}
    for name, entry in _object(header).items():
        if name == "__metadata__":
            continue
        if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
            raise Unreadable(f"its entry {_short(name)} is broken")
        if not isinstance(entry["dtype"], str) or entry["dtype"] not in _DTYPES:
            raise Unreadable(f"{_short(name)} has a dtype that is not known")
        dtype, width = _DTYPES[entry["dtype"]]
        shape, offsets = _whole(entry["shape"], name), _whole(entry["data_offsets"], name)
        if len(offsets) != 2 or len(shape) > 16 or offsets[1] - offsets[0] != math.prod(shape) * width:
            raise Unreadable(f"the bytes of {_short(name)} are not those of its shape")
        found[name] = StoredTensor(dtype, shape, first + offsets[0], first + offsets[1])
    at = first
    for tensor in sorted(found.values(), key=lambda t: (t.begin, t.end)):
        if tensor.begin != at:
            raise Unreadable("its tensors overlap or leave gaps")
        at = tensor.end
    if at != size:
        raise Unreadable("it is cut off" if at > size else "it holds more than its tensors")
    return found


def _short(name: str) -> str:
    return repr(name if len(name) <= 60 else name[:57] + "...")


def _whole(value: Any, name: str) -> tuple[int, ...]:
    if not isinstance(value, list) or not all(type(v) is int and 0 <= v < 1 << 62 for v in value):
        raise Unreadable(f"its entry {_short(name)} is broken")
    return tuple(value)


def _object(data: bytes) -> dict[str, Any]:
    """A JSON object without repeated keys, of bounded depth."""
    try:
        text = data.decode("utf-8")
        depth = deepest = 0
        for character in re.findall(r"[\[{\]}]", text):  # those in texts included: an upper bound
            depth += 1 if character in "[{" else -1
            deepest = max(deepest, depth)
        if deepest > _MAX_DEPTH:
            raise Unreadable("its header is nested too deeply")
        value = json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise error if isinstance(error, Unreadable) else Unreadable("its header is no JSON") from None
    if not isinstance(value, dict):
        raise Unreadable("its header is no JSON object")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Unreadable("a name of its header is repeated")
    return found


# --- .bmz --------------------------------------------------------------------------------------------------------------
def _bmz(path: str) -> Stored:
    """From the manifest; whether the members are what it says is checked when they are read."""
    try:
        with zipfile.ZipFile(path) as archive:
            info = archive.getinfo("manifest.json")
            if info.file_size > _MAX_MANIFEST or info.compress_type != zipfile.ZIP_STORED:
                raise Unreadable("its manifest is not bmc's")
            manifest = _object(archive.read(info))
    except KeyError:
        raise Unreadable("it is a zip file without a manifest of bmc's") from None
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, OverflowError) as error:
        raise Unreadable(f"its zip is broken ({error})") from None
    if manifest.get("format") != "bmc artefact":
        raise Unreadable("it is no model of bmc's")
    tensors = {**_types(manifest.get("weights")), **_types(manifest.get("states"))}
    made = manifest.get("made", {})
    if not isinstance(made, dict) or not all(isinstance(text, str) for text in made.values()):
        raise Unreadable("its manifest is broken")
    return Stored("bmz", tensors, _types(manifest.get("fitted")), made)


def _types(texts: Any) -> dict[str, StoredTensor]:
    if not isinstance(texts, dict):
        raise Unreadable("its manifest is broken")
    found: dict[str, StoredTensor] = {}
    for key, text in texts.items():
        match = _TYPE.fullmatch(text) if isinstance(text, str) and len(text) < 400 else None
        if match is None:
            raise Unreadable("its manifest is broken")
        found[key] = StoredTensor(match[1], tuple(int(d) for d in match[2].split(", ") if d))
    return found
