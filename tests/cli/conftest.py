"""Running `bmc` in this process, and small models to run it on."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from bmc.cli import main

PENGUINS = Path(__file__).parents[2] / "models" / "penguins"


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


Run = Callable[..., Done]


@pytest.fixture(scope="session")
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache of compiled code for all tests of this folder."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, cache_folder: Path, tmp_path: Path) -> Run:
    """`run("check", path)`, in an empty folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache_folder))
    monkeypatch.chdir(tmp_path)

    def call(*args: object) -> Done:
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            main([str(arg) for arg in args])
        assert isinstance(end.value.code, int)
        return Done(end.value.code, *capfd.readouterr())

    return call


@pytest.fixture
def penguins(tmp_path: Path) -> Path:
    """The penguins in a folder of their own."""
    folder = tmp_path / "penguins"
    shutil.copytree(PENGUINS, folder)
    return folder / "penguins.bm"
