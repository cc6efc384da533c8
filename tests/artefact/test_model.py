"""Artefacts come back as they were written, byte for byte the same each time, and are refused when anything does not fit."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bmc.artefact import Artefact, read_artefact, require_same_parameters, write_artefact
from bmc.artefact.container import pack
from bmc.artefact.model import VERSION
from bmc.artefact.tensors import encode
from bmc.errors import BmcError
from bmc.frontend.unit import StateSpec, Unit, WeightSpec
from bmc.ir import Module, TensorType
from bmc.source import SourceFile, Span
from bmc_runtime.reducers.distinct import texts_of

SPAN = Span(SourceFile("m.bm", "w"), 0, 1)


def unit(weights: dict[str, TensorType], states: dict[str, TensorType]) -> Unit:
    return Unit(
        "M", "M", "f32", Module(()),
        tuple(WeightSpec(key, kind, True, "adam", "*", True, SPAN) for key, kind in weights.items()),
        tuple(StateSpec(key, kind, SPAN) for key, kind in states.items()),
        (), None, None, None, None, (), (),
    )  # fmt: skip


def test_round_trip(artefact: Artefact, tmp_path: Path) -> None:
    path = tmp_path / "m.bmz"
    write_artefact(path, artefact)
    back = read_artefact(path)
    assert [(s.name, s.text) for s in back.sources] == [(s.name, s.text) for s in artefact.sources]
    assert (back.unit, back.float_type, back.data, back.compiler) == ("M", "f32", "ab" * 32, "0.1.0")
    assert back.overrides == (("hidden", "64"), ("seed", "3"))
    for stored, original in ((back.weights, artefact.weights), (back.states, artefact.states)):
        assert sorted(stored) == sorted(original)
        for key, array in original.items():
            assert (stored[key].dtype, stored[key].shape) == (array.dtype, array.shape)
            assert stored[key].tobytes() == array.tobytes()
    assert texts_of(back.fitted["x.onehot.table"]) == texts_of(artefact.fitted["x.onehot.table"])
    assert back.fitted["x.onehot.order"].tolist() == [1, 0, 2, 3]
    assert int(back.fitted["x.onehot.count"]) == 4
    assert back.history == ({"epoch": 0, "loss": 0.1, "accuracy": None}, {"epoch": 1, "loss": 1e-30, "valid": {"loss": 0.5}})


def test_the_same_bytes_in_another_folder_and_order(artefact: Artefact, tmp_path: Path) -> None:
    written = []
    for place in ("one", "two/deeper"):
        folder = tmp_path / place
        folder.mkdir(parents=True)
        sources = tuple(
            s if s.name.startswith("<") else SourceFile(str(folder / Path(s.name).relative_to(tmp_path)), s.text)
            for s in artefact.sources
        )
        weights = dict(reversed(list(artefact.weights.items())))
        moved = replace(artefact, sources=sources, weights=weights, overrides=artefact.overrides[::-1])
        write_artefact(folder / f"{len(place)}.bmz", moved)
        written.append((folder / f"{len(place)}.bmz").read_bytes())
    assert written[0] == written[1]
    assert str(tmp_path).encode() not in written[0]


def test_is_what_others_can_read(artefact: Artefact, tmp_path: Path) -> None:
    write_artefact(tmp_path / "m.bmz", artefact)
    with zipfile.ZipFile(tmp_path / "m.bmz") as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [
            "manifest.json", "fitted.safetensors", "history.json", "sources/000.bm", "sources/001.bm", "sources/002.bm",
            "weights.safetensors",
        ]  # fmt: skip
        manifest = json.loads(archive.read("manifest.json"))
    assert manifest["format"] == "bmc artefact"
    assert manifest["weights"] == {"fc.b": "f32[0]", "fc.w": "f32[3, 4]", "scale": "f32[]"}
    assert manifest["folder"] == "models"
    assert [name for name, _ in manifest["sources"]] == ["m.bm", "../shared/layers.bm", "<lib>/layers.bm"]


def test_sources_are_named_as_seen_from_the_file(
    artefact: Artefact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_artefact(tmp_path / "m.bmz", artefact)
    monkeypatch.chdir(tmp_path)
    assert [s.name for s in read_artefact("m.bmz").sources] == ["models/m.bm", "shared/layers.bm", "<lib>/layers.bm"]


def test_a_failed_write_leaves_the_old_file(artefact: Artefact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.bmz"
    write_artefact(path, artefact)
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BmcError, match=r"E0747.*No space left"):
        write_artefact(path, replace(artefact, unit="Other"))
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["m.bmz"]


def test_matches_the_unit_or_says_where_not(artefact: Artefact, golden: Callable[[str, str], None]) -> None:
    weights = {key: TensorType("f32", array.shape) for key, array in artefact.weights.items()}
    states = {"bn.mean": TensorType("f64", (3,)), "seen": TensorType("bool", (2,))}
    same = replace(artefact, fitted={})
    require_same_parameters("m.bmz", same, unit(weights, states))
    changed = {**weights, "fc.w": TensorType("f32", (4, 3)), "fc2.w": TensorType("f32", (1,))}
    del changed["scale"]
    with pytest.raises(BmcError) as caught:
        require_same_parameters("m.bmz", same, unit(changed, {}))
    (diagnostic,) = caught.value.diagnostics
    golden("other_parameters", "\n".join([f"{diagnostic.code}: {diagnostic.message}", *diagnostic.notes]) + "\n")


def rewritten(path: Path, change: Callable[[dict[str, object], dict[str, bytes]], None]) -> None:
    """The artefact with manifest and members changed, and all hashes right."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    manifest = json.loads(members.pop("manifest.json"))
    for key in ("format", "version", "members"):
        del manifest[key]
    change(manifest, members)
    path.write_bytes(pack("artefact", VERSION, manifest, members))


def drop_weight(manifest: dict[str, object], members: dict[str, bytes]) -> None:
    members["weights.safetensors"] = encode({"fc.w": np.zeros((3, 4), np.float32)})


def other_dtype(manifest: dict[str, object], members: dict[str, bytes]) -> None:
    members["fitted.safetensors"] = encode({"x.onehot.order": np.zeros(4, np.int64), "x.onehot.count": np.array(4, np.int32)})


def half_text(manifest: dict[str, object], members: dict[str, bytes]) -> None:
    members["fitted.safetensors"] = encode({"x.onehot.table#bytes": np.zeros(4, np.uint8)})


def wild_offsets(manifest: dict[str, object], members: dict[str, bytes]) -> None:
    offsets = np.array([0, 1 << 60], np.int64)
    members["fitted.safetensors"] = encode({"t#bytes": np.zeros(4, np.uint8), "t#offsets": offsets})


def half_a_character(manifest: dict[str, object], members: dict[str, bytes]) -> None:
    parts = {"t#bytes": np.frombuffer("é".encode(), np.uint8), "t#offsets": np.array([0, 1, 2])}
    members["fitted.safetensors"] = encode(parts)


def absolute_source(manifest: dict[str, object], members: dict[str, bytes]) -> None:
    manifest["sources"] = [["/etc/passwd", "sources/000.bm"]]


def absolute_folder(manifest: dict[str, object], members: dict[str, bytes]) -> None:
    manifest["folder"] = "/etc"


def other_member(manifest: dict[str, object], members: dict[str, bytes]) -> None:
    manifest["sources"] = [["m.bm", "weights.safetensors"]]


def binary_source(manifest: dict[str, object], members: dict[str, bytes]) -> None:
    members["sources/000.bm"] = b"\xff\xfe"


def extra_member(manifest: dict[str, object], members: dict[str, bytes]) -> None:
    members["evil.so"] = b"\x7fELF"


def deep_json(manifest: dict[str, object], members: dict[str, bytes]) -> None:
    members["history.json"] = b"[" * 100_000 + b"]" * 100_000


def repeated_key(manifest: dict[str, object], members: dict[str, bytes]) -> None:
    members["history.json"] = b'[{"loss": 1, "loss": 2}]'


def not_a_number(manifest: dict[str, object], members: dict[str, bytes]) -> None:
    members["history.json"] = b'[{"loss": NaN}]'


def no_list(manifest: dict[str, object], members: dict[str, bytes]) -> None:
    members["history.json"] = b'{"loss": 1}'


def no_unit(manifest: dict[str, object], members: dict[str, bytes]) -> None:
    del manifest["unit"]


def odd_float(manifest: dict[str, object], members: dict[str, bytes]) -> None:
    manifest["float"] = "f16"


def no_sources(manifest: dict[str, object], members: dict[str, bytes]) -> None:
    manifest["sources"] = []


def odd_overrides(manifest: dict[str, object], members: dict[str, bytes]) -> None:
    manifest["overrides"] = {"seed": 3}


CHANGES = [
    drop_weight, other_dtype, half_text, wild_offsets, half_a_character, absolute_source, absolute_folder, other_member,
    binary_source, extra_member, deep_json, repeated_key, not_a_number, no_list, no_unit, odd_float, no_sources, odd_overrides,
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_whole_file_with_wrong_content_is_damaged(
    artefact: Artefact, tmp_path: Path, change: Callable[[dict[str, object], dict[str, bytes]], None]
) -> None:
    path = tmp_path / "m.bmz"
    write_artefact(path, artefact)
    rewritten(path, lambda manifest, members: None)
    read_artefact(path)
    rewritten(path, change)
    with pytest.raises(BmcError, match="E0742"):
        read_artefact(path)


def test_bools_are_0_or_1(artefact: Artefact, tmp_path: Path) -> None:
    path = tmp_path / "m.bmz"
    write_artefact(path, artefact)

    def change(manifest: dict[str, object], members: dict[str, bytes]) -> None:
        data = members["weights.safetensors"]
        seen = data.index(b'"seen"')
        start = int(json.loads(data[data.index(b"[", data.index(b"data_offsets", seen)) :].split(b"]")[0] + b"]")[0])
        at = 8 + int.from_bytes(data[:8], "little") + start
        assert data[at : at + 2] == b"\x01\x00"
        members["weights.safetensors"] = data[:at] + b"\x02" + data[at + 1 :]

    rewritten(path, change)
    with pytest.raises(BmcError, match="truth values"):
        read_artefact(path)
