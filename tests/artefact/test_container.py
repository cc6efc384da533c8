"""Damaged and hostile files end in a diagnostic: no traceback, no expansion, nothing written, nothing executed."""

from __future__ import annotations

import io
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from bmc.artefact import Artefact, read_artefact, read_checkpoint, write_artefact
from bmc.artefact.container import pack
from bmc.artefact.model import VERSION
from bmc.errors import BmcError


@pytest.fixture
def whole(artefact: Artefact, tmp_path: Path) -> bytes:
    write_artefact(tmp_path / "whole.bmz", artefact)
    return (tmp_path / "whole.bmz").read_bytes()


def text_of(path: Path, content: bytes | None = None) -> str:
    """The diagnostic, with the folder taken out."""
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BmcError) as caught:
        read_artefact(path)
    (diagnostic,) = caught.value.diagnostics
    return "\n".join([f"{diagnostic.code}: {diagnostic.message}", *diagnostic.notes]).replace(str(path.parent) + "/", "")


def content_of(artefact: Artefact) -> object:
    """What a reader gets, to compare."""
    arrays = {**artefact.weights, **artefact.states, **artefact.fitted}
    plain = {key: array.tobytes() for key, array in arrays.items() if array.dtype.names is None}
    return [(s.name, s.text) for s in artefact.sources], plain, artefact.history, artefact.overrides, artefact.unit


def test_every_truncation_is_found(whole: bytes, tmp_path: Path) -> None:
    for size in [*range(0, 200, 7), *range(200, len(whole), 97), len(whole) - 1]:
        assert text_of(tmp_path / "m.bmz", whole[:size]).startswith(("E0741", "E0742"))


def test_every_flipped_bit_is_found_or_harmless(whole: bytes, tmp_path: Path) -> None:
    """Harmless: a field that the zip stores twice and of which readers use one copy."""
    path = tmp_path / "whole.bmz"
    original = content_of(read_artefact(path))
    rng = random.Random(5)
    found = 0
    for _ in range(1500):
        at, bit = rng.randrange(len(whole)), rng.randrange(8)
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :])
        try:
            content = content_of(read_artefact(path))
        except BmcError:
            found += 1
        else:
            assert content == original
    assert found > 1300


def test_random_bytes_end_in_a_diagnostic(whole: bytes, tmp_path: Path) -> None:
    rng = random.Random(6)
    for _ in range(300):
        noise = rng.randbytes(rng.randrange(400))
        start = rng.randrange(len(whole))
        for content in (noise, b"PK\x03\x04" + noise, whole[:start] + noise + whole[start + len(noise) :]):
            if content != whole:
                assert text_of(tmp_path / "m.bmz", content).startswith("E07")


def zipped(members: list[tuple[str, bytes]], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in members:
            archive.writestr(zipfile.ZipInfo(name), data, compression)
    return buffer.getvalue()


def test_what_is_said(whole: bytes, tmp_path: Path, golden: Callable[[str, str], None]) -> None:
    members = {"history.json": b"[]\n"}
    cases = {
        "empty": b"",
        "text": b"model M() { }\n",
        "truncated": whole[: len(whole) // 2],
        "no manifest": zipped([]) or b"",
        "another zip": zipped([("report.docx", b"x")]),
        "bomb": zipped([("manifest.json", b"{}"), ("weights.safetensors", b"\0" * 50_000_000)], zipfile.ZIP_DEFLATED),
        "traversal": pack("artefact", VERSION, {}, {"sources/../../evil": b""}),
        "absolute": pack("artefact", VERSION, {}, {"/etc/passwd": b""}),
        "hidden": pack("artefact", VERSION, {}, {".profile": b""}),
        "junk behind": whole + b"junk",
        "a checkpoint": pack("checkpoint", VERSION, {}, members),
        "a newer one": pack("artefact", VERSION + 1, {}, members),
        "no version": pack("artefact", "two", {}, members),  # type: ignore[arg-type]
        "nothing in it": pack("artefact", VERSION, {}, {}),
        "wrong hash": pack("artefact", VERSION, {}, {"history.json": b"[1]"}).replace(b"[1]", b"[2]"),
    }
    lines = [f"-- {name}\n{text_of(tmp_path / 'm.bmz', content)}\n" for name, content in cases.items()]
    lines.append(f"-- missing\n{text_of(tmp_path / 'missing.bmz')}\n")
    (tmp_path / "folder.bmz").mkdir()
    lines.append(f"-- a folder\n{text_of(tmp_path / 'folder.bmz')}\n")
    lines.append(f"-- a file as folder\n{text_of(tmp_path / 'm.bmz' / 'x.bmz')}\n")
    golden("refusals", "\n".join(lines))


def test_a_repeated_name_is_refused(whole: bytes, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        content = zipped([("manifest.json", b"{}"), ("manifest.json", b"{}")])
    assert "repeated" in text_of(tmp_path / "m.bmz", content)


def test_overlapping_members_are_refused(whole: bytes, tmp_path: Path) -> None:
    """The second central entry points at the first member: the trick of quadratic zip bombs."""
    at = whole.rindex(b"PK\x01\x02")
    forged = whole[: at + 42] + b"\0\0\0\0" + whole[at + 46 :]
    assert "E0742" in text_of(tmp_path / "m.bmz", forged)


def test_bombs_are_refused_before_they_expand(tmp_path: Path) -> None:
    import tracemalloc

    content = zipped([("manifest.json", b"{}"), ("weights.safetensors", b"\0" * 200_000_000)], zipfile.ZIP_DEFLATED)
    tracemalloc.start()
    assert "not stored" in text_of(tmp_path / "m.bmz", content)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # the file is 200 KB; reading it takes a few copies of that, not the 200 MB that it expands to
    assert peak < 20 * len(content)


def test_an_artefact_is_no_checkpoint(whole: bytes, tmp_path: Path) -> None:
    with pytest.raises(BmcError, match="E0741"):
        read_checkpoint(tmp_path / "whole.bmz")
