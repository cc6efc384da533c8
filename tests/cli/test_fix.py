"""`bmc check --fix` on files: what is written, printed and returned."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bmc.cli import main

RIGHT = "model M(x: f32[B, 4]) -> f32[B, 3] {\n  return x |> dense(8) as up |> relu |> dense(3) as out\n}\n"


def run(*args: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(args)
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_certain_changes_are_made_and_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "m.bm"
    path.write_bytes(RIGHT.replace("relu", "ReLU").replace("return", "retrun").replace("\n", "\r\n").encode())
    assert run("check", "--fix", str(path)) == 0
    out, err = capsys.readouterr()
    assert path.read_bytes().decode() == RIGHT.replace("\n", "\r\n")
    assert [line.partition("  [")[0] for line in err.splitlines()] == [
        f"fixed {path}:2: `retrun` is now `return`",
        f"fixed {path}:2: `ReLU` is now `relu`",
    ]
    assert "no errors" in out


def test_what_is_left_is_reported_as_without(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "m.bm"
    path.write_text(RIGHT.replace("relu", "ReLU").replace("f32[B, 3]", "f32[B, 5]"), encoding="utf-8")
    assert run("check", "--fix", "--json", str(path)) == 1
    out, _ = capsys.readouterr()
    assert [json.loads(line)["code"] for line in out.splitlines()] == ["E0301"]
    assert path.read_text(encoding="utf-8") == RIGHT.replace("f32[B, 3]", "f32[B, 5]")


def test_a_right_file_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "m.bm"
    path.write_text(RIGHT, encoding="utf-8")
    path.chmod(0o444)
    before = path.stat()
    assert run("check", "--fix", str(path)) == 0
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == (before.st_mtime_ns, before.st_ino)


def test_standard_input_is_no_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("check", "--fix", "-") == 2
    assert "standard input" in capsys.readouterr().err
