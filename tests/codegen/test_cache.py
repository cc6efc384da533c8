"""The object cache: what it gives back, what it refuses to trust, and what its keys depend on."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bmc.codegen import cache as cache_module
from bmc.codegen.cache import ObjectCache, compiler_identity, default_folder
from bmc.codegen.target import level_target
from bmc.driver import compiled
from bmc.driver.compiled import Options, program_of
from bmc.ir import Module
from tests.native import TARGET
from tests.passes.steps import mlp_step

PLAN = {"abi": 1, "functions": {"é": [1, 2]}}
CODE = b"\x7fELF" + bytes(range(256))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "objects"


def entry_of(folder: Path) -> Path:
    (entry,) = folder.iterdir()
    return entry


def test_an_entry_comes_back(folder: Path) -> None:
    ObjectCache(folder).put("key", PLAN, CODE)
    assert ObjectCache(folder).get("key") == (PLAN, CODE)
    assert ObjectCache(folder).get("another key") is None


def test_the_folder_belongs_to_the_user_alone(folder: Path) -> None:
    ObjectCache(folder).put("key", PLAN, CODE)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(entry_of(folder).stat().st_mode) == 0o600


@pytest.mark.parametrize("position", [0, 4, 40, 45, -1])
def test_a_damaged_entry_is_as_good_as_absent(folder: Path, position: int) -> None:
    ObjectCache(folder).put("key", PLAN, CODE)
    data = bytearray(entry_of(folder).read_bytes())
    data[position] ^= 1
    entry_of(folder).write_bytes(data)
    assert ObjectCache(folder).get("key") is None
    ObjectCache(folder).put("key", PLAN, CODE)
    assert ObjectCache(folder).get("key") == (PLAN, CODE)


@pytest.mark.parametrize("length", [0, 3, 36, 43, 100])
def test_a_truncated_entry_is_as_good_as_absent(folder: Path, length: int) -> None:
    ObjectCache(folder).put("key", PLAN, CODE)
    entry_of(folder).write_bytes(entry_of(folder).read_bytes()[:length])
    assert ObjectCache(folder).get("key") is None


def test_an_entry_under_another_name_is_none(folder: Path) -> None:
    cache = ObjectCache(folder)
    cache.put("key", PLAN, CODE)
    first = entry_of(folder)
    cache.put("other", PLAN, b"other code")
    (second,) = (path for path in folder.iterdir() if path != first)
    second.write_bytes(first.read_bytes())
    assert cache.get("other") is None


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o755, 0o707])
def test_a_folder_that_others_can_enter_is_ignored(folder: Path, mode: int) -> None:
    ObjectCache(folder).put("key", PLAN, CODE)
    folder.chmod(mode)
    cache = ObjectCache(folder)
    assert cache.get("key") is None
    cache.put("other", PLAN, CODE)
    assert len(list(folder.iterdir())) == 1


def test_a_folder_of_another_user_is_ignored(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ObjectCache(folder).put("key", PLAN, CODE)
    monkeypatch.setattr(cache_module.os, "getuid", lambda: folder.stat().st_uid + 1)
    assert ObjectCache(folder).get("key") is None


def test_a_folder_that_cannot_be_made_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    cache = ObjectCache(tmp_path / "file" / "objects")
    cache.put("key", PLAN, CODE)
    assert cache.get("key") is None


def full_disk(*_: Any, **__: Any) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("step", ["mkstemp", "fdopen", "replace"])
def test_a_full_or_read_only_disk_costs_the_entry_alone(folder: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """Simulated: whoever may do anything (root) writes into read-only folders too."""
    cache = ObjectCache(folder)
    cache.put("kept", PLAN, CODE)
    owner = cache_module.tempfile if step == "mkstemp" else cache_module.os
    with monkeypatch.context() as patch:
        patch.setattr(owner, step, full_disk)
        cache.put("key", PLAN, CODE)
    assert cache.get("key") is None
    assert cache.get("kept") == (PLAN, CODE)
    assert len(list(folder.iterdir())) == 1


def test_a_read_only_folder_is_still_read(folder: Path) -> None:
    ObjectCache(folder).put("key", PLAN, CODE)
    folder.chmod(0o500)
    try:
        cache = ObjectCache(folder)
        assert cache.get("key") == (PLAN, CODE)
        cache.put("other", PLAN, CODE)  # root may write all the same; nobody fails
    finally:
        folder.chmod(0o700)


def test_the_default_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "bmc" / "objects"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_folder() == tmp_path / ".cache" / "bmc" / "objects"


def test_the_identity_follows_the_sources(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    source = tmp_path / "codegen" / "cache.py"
    source.parent.mkdir()
    source.write_text("")
    (tmp_path / "pass.py").write_text("1")
    os.utime(tmp_path / "pass.py", ns=(0, 0))
    monkeypatch.setattr(cache_module, "__file__", str(source))
    seen = set()
    for change in (
        lambda: None,
        lambda: (tmp_path / "pass.py").write_text("12"),
        lambda: os.utime(tmp_path / "pass.py", ns=(5, 5)),
        lambda: (tmp_path / "new.py").write_text(""),
    ):
        change()
        compiler_identity.cache_clear()
        seen.add(compiler_identity())
    compiler_identity.cache_clear()
    assert len(seen) == 4


# --- keys of programs ---


class Recording(ObjectCache):
    """Notes the keys asked for and what was stored."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.keys: list[str] = []
        self.stored = 0

    def get(self, key: str) -> tuple[Mapping[str, Any], bytes] | None:
        self.keys.append(key)
        return super().get(key)

    def put(self, key: str, plan: Mapping[str, Any], object_code: bytes) -> None:
        self.stored += 1
        super().put(key, plan, object_code)


def test_a_program_is_compiled_once(folder: Path) -> None:
    cache, module = Recording(folder), Module((mlp_step([3, 2]),))
    first = program_of(module, TARGET, Options(), cache)
    assert program_of(module, TARGET, Options(), cache) == first
    assert cache.stored == 1


def test_what_code_depends_on_is_in_its_key(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache, module = Recording(folder), Module((mlp_step([3, 2]),))
    program_of(module, TARGET, Options(), cache)
    program_of(module, level_target("v2"), Options(), cache)
    program_of(module, replace(TARGET, features=TARGET.features + ",+dummy"), Options(), cache)
    program_of(module, TARGET, Options(sharded=True), cache)
    program_of(module, TARGET, Options(disabled=("cse",)), cache)
    program_of(Module((mlp_step([3, 3]),)), TARGET, Options(), cache)
    program_of(Module((mlp_step([3, 2], dtype="f64"),)), TARGET, Options(), cache)
    monkeypatch.setattr(compiled, "compiler_identity", lambda: "another compiler")
    program_of(module, TARGET, Options(), cache)
    assert len(set(cache.keys)) == cache.stored == 8
