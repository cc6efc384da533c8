"""Headers of other models' files: what is read, and that whatever is hostile is refused without a large allocation."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from bmc.artefact.container import pack
from bmc.frontend.transfer.headers import read_stored
from bmc.frontend.transfer.stored import Stored, Unreadable

WHOLE = {"fc.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "n": np.zeros((), np.int64), "h": np.zeros(0, np.float16)}


def written(header: Any, body: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + body


def entry(dtype: Any = "F32", shape: Any = (2,), offsets: Any = (0, 8)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def read(path: Path, content: bytes) -> Stored:
    path.write_bytes(content)
    return read_stored(str(path))


def test_what_the_library_writes_is_read(tmp_path: Path) -> None:
    content = save(WHOLE, metadata={"format": "pt"})
    found = read(tmp_path / "a", content)
    assert {k: str(t) for k, t in found.tensors.items()} == {"fc.weight": "f32[2, 3]", "n": "i64[]", "h": "f16[0]"}
    tensor = found.tensors["fc.weight"]
    assert content[tensor.begin : tensor.end] == WHOLE["fc.weight"].tobytes()


def test_a_manifest_is_read(tmp_path: Path) -> None:
    manifest = {"weights": {"w": "f32[2, 3]"}, "states": {"m": "f32[]"}, "fitted": {"x.t": "str[4]"}, "made": {"x": "a |> b"}}
    found = read(tmp_path / "a", pack("artefact", 1, manifest, {}))
    assert {k: str(t) for k, t in found.tensors.items()} == {"w": "f32[2, 3]", "m": "f32[]"}
    assert (str(found.fitted["x.t"]), found.made) == ("str[4]", {"x": "a |> b"})


HOSTILE = {
    "empty": b"",
    "short": b"\1\0\0",
    "a length beyond the file": written({}, length=1 << 40),
    "a length beyond any": written({}, length=(1 << 64) - 1),
    "no JSON": written(b"{"),
    "no UTF-8": written(b'{"\xff": 1}'),
    "no object": written([]),
    "nested": written(b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "repeated": written(b'{"a": {"dtype": "U8", "shape": [], "data_offsets": [0, 1]}, "a": {}}', b"\0"),
    "no dtype": written({"a": {"shape": [2], "data_offsets": [0, 8]}}, bytes(8)),
    "an unknown dtype": written({"a": entry(dtype="F33")}, bytes(8)),
    "a list as a dtype": written({"a": entry(dtype=["F32"])}, bytes(8)),
    "a negative dim": written({"a": entry(shape=[-2])}, bytes(8)),
    "a dim that is true": written({"a": entry(shape=[True, 2])}, bytes(8)),
    "a dim that is a fraction": written({"a": entry(shape=[2.0])}, bytes(8)),
    "huge dims": written({"a": entry(shape=[1 << 61, 1 << 61])}, bytes(8)),
    "dims whose product wraps": written({"a": entry(shape=[1 << 32, 1 << 31, 2])}, bytes(8)),
    "offsets backwards": written({"a": entry(offsets=[8, 0])}, bytes(8)),
    "one offset": written({"a": entry(offsets=[8])}, bytes(8)),
    "bytes of another shape": written({"a": entry(shape=[3])}, bytes(8)),
    "offsets beyond the file": written({"a": entry(offsets=[8, 16])}, bytes(8)),
    "cut off": written({"a": entry()}, bytes(7)),
    "bytes over": written({"a": entry()}, bytes(9)),
    "tensors that overlap": written({"a": entry(), "b": entry(offsets=[4, 12])}, bytes(12)),
    "a gap": written({"a": entry(), "b": entry(offsets=[12, 20])}, bytes(20)),
    "a pickle": b"\x80\x02}q\0.......",
    "another zip": b"PK\3\4 and so on",
    "a checkpoint": pack("checkpoint", 1, {"weights": {}}, {}),
    "a type of 999 dims": pack("artefact", 1, {"weights": {"w": f"f32[{', '.join('9' * 999)}]"}, "states": {}, "fitted": {}}, {}),
    "a manifest of numbers": pack("artefact", 1, {"weights": {"w": 3}, "states": {}, "fitted": {}}, {}),
    "a manifest without states": pack("artefact", 1, {"weights": {}}, {}),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_header_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(Unreadable):
        read(tmp_path / "a", HOSTILE[name])


def test_what_is_no_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(Unreadable, match="no file"):
            read_stored(str(place))


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="folder"):
        read_stored(str(tmp_path))


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_flipped_byte_is_refused_or_read_within_the_file(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    content = bytearray(save(WHOLE))
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    try:
        found = read(tmp_path_factory.getbasetemp() / "flipped", bytes(content))
    except Unreadable:
        return
    assert all(0 <= t.begin <= t.end <= len(content) for t in found.tensors.values())
