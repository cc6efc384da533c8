"""The full text of each error of artefacts and checkpoints."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from bmc.artefact import Artefact, artefact_errors, write_artefact
from bmc.errors import BmcError, Diagnostic
from bmc.errors.render import render_all

DIFFERENCES = [f"`fc{i}.w` is f32[3, 4], the model has f32[4, 3]" for i in range(7)]

CASES: dict[str, Diagnostic] = {
    "E0740-missing": artefact_errors.no_such_file("out/m.bmz", "artefact"),
    "E0740-directory": artefact_errors.is_a_directory("out", "artefact"),
    "E0740-unreadable": artefact_errors.cannot_read("m.bmz", "Permission denied"),
    "E0741-artefact": artefact_errors.not_an_artefact("m.bmz", "artefact", "it is not a zip file"),
    "E0741-checkpoint": artefact_errors.not_an_artefact("m.ckpt", "checkpoint", "it is not a zip file"),
    "E0742-hash": artefact_errors.damaged("m.bmz", "artefact", "the hash of 'history.json' is another"),
    "E0743-newer": artefact_errors.newer_format("m.bmz", "artefact", 9, 1),
    "E0744-size": artefact_errors.too_large("m.bmz", "artefact", 5 << 30, 4 << 30),
    "E0745-source": artefact_errors.other_run("m.ckpt", "the source has changed"),
    "E0746-few": artefact_errors.other_parameters("m.bmz", DIFFERENCES[:2]),
    "E0746-many": artefact_errors.other_parameters("m.bmz", DIFFERENCES),
    "E0747-full": artefact_errors.cannot_write("m.bmz", "No space left on device"),
}


@pytest.mark.parametrize("name", CASES)
def test_the_text_of_an_error(name: str, golden: Callable[[str, str], None]) -> None:
    found = CASES[name]
    assert found.code == name.partition("-")[0]
    golden(name, render_all([found]))


def test_every_error_of_artefacts_has_a_case() -> None:
    tested = {name.partition("-")[0] for name in CASES}
    assert tested == set(re.findall(r'"(E07\d\d)"', inspect.getsource(artefact_errors)))


def test_an_artefact_beyond_the_limit_is_not_written(artefact: Artefact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bmc.artefact.container.MAX_BYTES", 100)
    with pytest.raises(BmcError, match="E0744"):
        write_artefact(tmp_path / "m.bmz", artefact)
    assert list(tmp_path.iterdir()) == []
