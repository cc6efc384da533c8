"""Reading: what is accepted, and the full text of each refusal."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from bmc.errors import BmcError
from bmc.errors.render import render
from bmc.frontend.syntax.read_source import MAX_BYTES, read_source


@pytest.fixture(autouse=True)
def _in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def refusal(path: str) -> str:
    with pytest.raises(BmcError) as caught:
        read_source(path)
    (diagnostic,) = caught.value.diagnostics
    return render(diagnostic)


def test_reads_utf8_as_it_is() -> None:
    Path("a.bm").write_bytes("\ufefflet é = 1\r\n".encode())
    source = read_source("a.bm")
    assert (source.name, source.text) == ("a.bm", "\ufefflet é = 1\r\n")


def test_reads_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"let a = 1")))
    source = read_source("-")
    assert (source.name, source.text) == ("<stdin>", "let a = 1")


def test_refusals(golden: Callable[[str, str], None]) -> None:
    Path("latin.bm").write_bytes("# fine\nlet größe = 1\n".encode("latin-1"))
    Path("nul.bm").write_bytes(b"let a = 1\nlet \0 = 2\n")
    Path("large.bm").write_bytes(b"#" * (MAX_BYTES + 1))
    Path("full.bm").write_bytes(b"#" * MAX_BYTES)
    Path("model.bmz").write_bytes(b"PK\x03\x04" + bytes(2 * MAX_BYTES))
    Path("folder.bm").mkdir()
    assert len(read_source("full.bm").text) == MAX_BYTES
    for path in ("none.bm", "latin.bm/none.bm", "folder.bm", "latin.bm", "nul.bm", "large.bm", "model.bmz", "a\0b"):
        golden(path.replace("/", "-").replace("\0", "NUL"), refusal(path))


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="needs the device")
def test_endless_devices_end() -> None:
    assert "E0705" in refusal("/dev/zero")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the super-user may read everything")
def test_unreadable_file() -> None:
    Path("secret.bm").write_text("let a = 1")
    Path("secret.bm").chmod(0)
    assert "E0706" in refusal("secret.bm")
