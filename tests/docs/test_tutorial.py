"""The tutorial is true: its files are written, its commands run, its outputs compared, in the order of the page.

A fence behind "Write this as `NAME`" is a file. `sh` is run line by line. `text` is what the command before it printed: errors and
the findings of `check` exactly, of trainings and predictions the words, since the last digits depend on the processor.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "tutorial.md"
_FENCE = re.compile(r"(?:Write\s+this\s+as\s+`(?P<name>[^`]+)`:\n\n)?^```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.M | re.S)
_NUMBER = re.compile(r"\d[\d,.]*(e-?\d+)?")
_EXACT = ("bmc check", "bmc predict hires.bmz bad.csv", "python3 ")


def _words(text: str) -> list[str]:
    """The lines without numbers and padding, whose widths follow the numbers."""
    return [re.sub(r"[\s-]+", " ", _NUMBER.sub("0", line)).strip() for line in text.splitlines()]


@pytest.mark.slow
def test_every_command_does_what_the_page_shows(tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool, call in (("bmc", ' -c "from bmc.cli import main; main()"'), ("python", "")):
        (tools / tool).write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)}{call} "$@"\n')
        (tools / tool).chmod(0o755)
    path = os.pathsep.join(str(p) for p in (ROOT, ROOT / "runtime", ROOT / "grammar"))
    environment = {**os.environ, "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": path, "PYTHONUTF8": "1"}
    printed, failed, first, commands = "", False, "", 0
    for fence in _FENCE.finditer(PAGE.read_text(encoding="utf-8")):
        name, kind, text = fence["name"], fence["kind"], fence["text"]
        if name is not None:
            (tmp_path / name).write_text(text, encoding="utf-8")
        elif kind == "sh":
            assert not failed, f"{first} failed, and the page shows no error:\n{printed}"
            first, printed = text.strip().splitlines()[-1], ""
            for line in text.strip().splitlines():
                run = subprocess.run(
                    ["sh", "-c", line], cwd=tmp_path, env=environment, capture_output=True, timeout=240, check=False
                )
                failed = run.returncode != 0
                printed += (run.stdout + run.stderr).decode().replace("\r\n", "\n")
                commands += 1
        elif kind == "text":
            if failed:
                assert "error[" in text, printed
                failed = False
            if first.startswith(_EXACT):
                assert text.strip() in printed.strip()
            else:
                shown = _words(printed)
                assert [line for line in _words(text) if not any(line in other for other in shown)] == []
    assert not failed, printed
    assert commands >= 15
