"""The example sources are the language at its best: `check` has nothing to say, and `fmt` nothing to change."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted([*ROOT.glob("models/*/*.bm"), *ROOT.glob("benchmarks/*.bm")])


def bmc(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from bmc.cli import main; main()", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_checks_without_a_diagnostic(source: Path) -> None:
    done = bmc("check", str(source), "--json")
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_is_formatted(source: Path) -> None:
    done = bmc("fmt", str(source), "--check")
    assert done.returncode == 0, done.stdout + done.stderr


def test_finds_the_sources() -> None:
    assert {"w1", "w2", "w3", "diamonds", "cnn", "digits", "penguins", "mnist", "vae"} <= {path.stem for path in SOURCES}
