"""The examples that `bmc explain` shows are true: the wrong one gives its code before any other error, the right one is right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from bmc.driver.load import check_source, text_source
from bmc.errors import BmcError, Diagnostic
from bmc.errors.catalogue import all_entries
from bmc.errors.catalogue.contexts import CONTEXTS
from bmc.errors.catalogue.entry import Entry

EXAMPLES = [entry for entry in all_entries() if entry.within]
OF_RUNS = {"E0722", "E0725", "E0729", "E0817", "E0830", "E0831", "E0833", "E0834", "E0836", "E0841", "E0842", "E0850"}
"""Whose examples are commands, or data that only a run reads; the tests of those stages have them."""


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files that examples name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sales.csv").write_text("unit price,sold\n1.5,2\n", encoding="utf-8")
    np.savez(tmp_path / "pictures.npz", image=np.zeros((3, 784), np.uint8))
    (tmp_path / "broken.npz").write_bytes((tmp_path / "pictures.npz").read_bytes()[:-60])
    tensors = {"enc.weight": np.zeros((8, 4), np.float32), "enc.bias": np.zeros(8, np.float32)}
    save_file(tensors, tmp_path / "net.safetensors")


def found(entry: Entry, example: str) -> tuple[Diagnostic, ...]:
    try:
        return check_source(text_source(CONTEXTS[entry.within].replace("@@", example) + "\n")).diagnostics
    except BmcError as error:
        return error.diagnostics


@pytest.mark.parametrize("entry", EXAMPLES, ids=lambda entry: entry.code)
def test_the_wrong_example_gives_its_code(entry: Entry) -> None:
    said = [d for d in found(entry, entry.wrong) if d.level == "error" or d.code == entry.code]
    assert said
    assert said[0].code == entry.code, [d.message for d in said]


@pytest.mark.parametrize("entry", EXAMPLES, ids=lambda entry: entry.code)
def test_the_right_example_is_right(entry: Entry) -> None:
    assert [d.message for d in found(entry, entry.right) if d.level == "error" or d.code == entry.code] == []


def test_every_example_of_a_source_is_checked() -> None:
    assert {entry.code for entry in all_entries() if entry.wrong and not entry.within} == OF_RUNS
    assert {entry.within for entry in EXAMPLES} == set(CONTEXTS)
