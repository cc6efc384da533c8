"""check, fmt, explain, and what is common to all commands: exit codes, help, crash reports."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bmc.cli.exits import exit_code
from bmc.cli.group import COMMANDS
from bmc.errors import Diagnostic

WRONG = "model M(x: f32[B, 3]) -> (y: f32[B, 2]) {\n  return x |> dnse(2)\n}\n"


def test_check_says_what_it_found(run, penguins) -> None:
    done = run("check", penguins)
    assert (done.code, done.err) == (0, "")
    assert "no errors" in done.out
    assert "Classifier on Penguins" in done.out


def test_check_prints_carets_on_standard_error_and_exits_1(run, tmp_path) -> None:
    (tmp_path / "m.bm").write_text(WRONG)
    done = run("check", "m.bm")
    assert done.code == 1
    assert done.out == ""
    assert "error[E0201]" in done.err
    assert "m.bm:2:15" in done.err
    assert "^^^^" in done.err


def test_check_json_is_one_diagnostic_a_line(run, tmp_path) -> None:
    (tmp_path / "m.bm").write_text(WRONG)
    done = run("check", "m.bm", "--json")
    assert done.code == 1
    (line,) = [json.loads(text) for text in done.out.splitlines()]
    assert set(line) == {"schema", "code", "level", "message", "spans", "children", "rendered"}
    span = line["spans"][0]
    assert WRONG.encode()[span["byte_start"] : span["byte_end"]] == b"dnse"
    assert (span["line_start"], span["column_start"]) == (2, 15)


def test_check_json_of_a_missing_file_is_json_too(run) -> None:
    done = run("check", "nothing.bm", "--json")
    assert done.code == 2
    assert json.loads(done.out)["code"] == "E0701"


def test_fmt_rewrites_in_place_and_check_tells(run, tmp_path) -> None:
    file = tmp_path / "m.bm"
    file.write_text("let   a=1   # why\n")
    assert run("fmt", "--check", file).code == 1
    assert file.read_text() == "let   a=1   # why\n"
    assert run("fmt", file).code == 0
    assert run("fmt", "--check", file).code == 0
    assert file.read_text().startswith("let a = 1")
    assert "# why" in file.read_text()


def test_explain_prints_an_entry_and_lists_all(run) -> None:
    assert run("explain", "e0201").out.startswith("E0201: ")
    assert len(run("explain").out.splitlines()) > 100
    assert run("explain", "E9999").code == 2


@pytest.mark.parametrize("args", [("nonsense",), ("check",), ("train", "x.bm", "--workers", "0"), ("train", "x.bm", "--set", "a")])
def test_a_wrong_command_line_is_2(run, args) -> None:
    done = run(*args)
    assert done.code == 2
    assert "Usage" in done.err


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_has_help(run, name) -> None:
    done = run(name, "--help")
    assert done.code == 0
    assert len(done.out.splitlines()) > 6


def test_an_unexpected_exception_is_a_crash_report(run, penguins, monkeypatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("what nobody thought of")

    monkeypatch.setattr("bmc.cli.commands.check.check_source", broken)
    done = run("check", penguins)
    assert done.code == 125
    assert "Traceback" not in done.err
    assert "what nobody thought of" in done.err
    assert f"bmc check {penguins}" in done.err
    report = re.search(r"report: (\S+)", done.err)
    assert report is not None
    assert "ZeroDivisionError" in Path(report[1]).read_text()


def test_exit_codes_tell_source_command_line_and_run_apart() -> None:
    def code(name: str) -> int:
        return exit_code([Diagnostic("W0601", "", level="warning"), Diagnostic(name, "")])

    assert [code(c) for c in ("E0101", "E0304", "E0604", "E0703", "E0751", "E0908")] == [1] * 6
    assert [code(c) for c in ("E0207", "E0208", "E0701", "E0812", "E0834")] == [2] * 5
    assert [code(c) for c in ("E0728", "E0742", "E0802", "E0811")] == [3] * 4
    assert exit_code([Diagnostic("W0601", "", level="warning")]) == 0


@pytest.mark.parametrize("command", ["check", "fmt --check", "explain E0201 --help", "explain E0201"])
def test_front_commands_import_neither_numpy_nor_llvmlite(command, penguins) -> None:
    target = "" if command.startswith("explain") else f", {str(penguins)!r}"
    code = (
        "import sys\n"
        "from bmc.cli import main\n"
        f"try: main([{', '.join(repr(word) for word in command.split())}{target}])\n"
        "except SystemExit as end: assert end.code == 0, end.code\n"
        "print(sorted({m.split('.')[0] for m in sys.modules} & {'numpy', 'llvmlite', 'pyarrow', 'rich', 'safetensors'}))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_closed_pipe_is_no_error() -> None:
    code = "from bmc.cli import main; main(['explain'])"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 0


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the system has no full device")
def test_a_full_disk_is_said() -> None:
    code = "from bmc.cli import main; main(['explain'])"
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 3
    assert "No space left" in done.stderr
    assert "Traceback" not in done.stderr
