"""Programs of many kinds, as practitioners write them: each checks without a word, trains on made data, and predicts."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bmc
from bmc.frontend.elaborate import check
from bmc.frontend.syntax.format import format_source
from bmc.source import SourceFile

PROGRAMS = sorted(Path(__file__).parent.glob("*.bm"))
QUICK = ("conditional_vae", "ode", "tcn")
"""Those that are trained in every run of the tests; the others with the slow ones."""
MADE_UP = ("conv_gan", "triplet")
"""Whose loss says little: adversaries, and a margin that is soon kept."""
ROWS = 96


@pytest.fixture(autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


@cache
def columns() -> dict[str, Any]:
    """Images, tables, sequences and tokens that depend on a label of four, in noise."""
    rng = np.random.default_rng(0)
    label = rng.integers(0, 4, ROWS)
    a = rng.normal(size=(ROWS, 6)).astype(np.float32)
    a[:, 0] += label
    waves = np.sin(np.arange(24) / 3 * (1 + label[:, None]))[:, :, None]
    return {
        "image": (rng.integers(0, 120, (ROWS, 16, 16, 3)) + label[:, None, None, None] * 30).astype(np.uint8),
        "label": label.astype(np.int32),
        "a": a,
        "u": rng.integers(0, 20, ROWS).astype(np.int32),
        "v": rng.integers(0, 30, ROWS).astype(np.int32),
        "t": (a[:, 0] * 2 + a[:, 1]).astype(np.float32),
        "s": (rng.normal(size=(ROWS, 24, 3)) * 0.3 + waves).astype(np.float32),
        "tok": ((label[:, None] * 3 + rng.integers(0, 4, (ROWS, 12))) % 15).astype(np.int32),
        "tgt": ((label[:, None] * 3 + np.arange(10)) % 15).astype(np.int32),
    }


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_a_program_checks_and_is_formatted(path: Path) -> None:
    file = SourceFile(path.name, path.read_text(encoding="utf-8"))
    found = check([file])
    assert found.diagnostics == ()
    assert found.units
    assert format_source(file) == file.text


@pytest.mark.parametrize(
    "path", [pytest.param(p, id=p.stem, marks=() if p.stem in QUICK else pytest.mark.slow) for p in PROGRAMS]
)
def test_a_program_trains_and_predicts(path: Path) -> None:
    program = bmc.compile(path)
    model = program.train(columns())
    losses = [epoch["train.loss"] for epoch in model.history]
    assert np.isfinite(losses).all()
    if path.stem not in MADE_UP and "ramp(" not in path.read_text(encoding="utf-8"):
        assert losses[-1] < losses[0]
    row = 0 if "normal()" in path.read_text(encoding="utf-8") else 3  # draws are counted by row
    many = model.predict({key: array[:7] for key, array in columns().items()})
    one = model.predict({key: array[row : row + 1] for key, array in columns().items()})
    for name, values in many.items():
        np.testing.assert_array_equal(one[name][0], values[row], err_msg=name)
