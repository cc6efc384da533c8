"""Cross-validation: every fold as `fold = k` has it, and what the command prints."""

from __future__ import annotations

from pathlib import Path
from statistics import mean, stdev

import numpy as np
import pytest

import bmc
from bmc.cli import main

PROGRAM = """let FOLD = 0
data D {
  source = csv("d.csv")
  columns { a: f32; t: f32 }
  x = unsqueeze(a |> standardize, 1)
  y = t |> standardize
  split = folds(3, fold = FOLD, valid = 0.2, seed = 4)
}
model M(x: f32[B, 1]) -> (p: f32[B]) { return x |> dense(1) as d |> squeeze(-1) }
train M on D { loss = mse(p, y); metrics = [rmse(p, y)]; epochs = 3; optimizer = adam(lr = 1e-1) }
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    rng = np.random.default_rng(9)
    a = rng.normal(size=150)
    rows = [f"{x:.4f},{3 * x + e:.4f}" for x, e in zip(a, rng.normal(size=150), strict=True)]
    (tmp_path / "d.csv").write_text("a,t\n" + "\n".join(rows) + "\n")
    (tmp_path / "m.bm").write_text(PROGRAM)
    return tmp_path / "m.bm"


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    return int(end.value.code or 0)


def test_each_fold_and_their_spread(program: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(program.parent)
    assert run("train", program, "--folds") == 0
    table = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert table[0] == ["fold", "rows", "loss", "rmse"]
    alone = [bmc.compile(program, overrides={"FOLD": k}).train().evaluate("test") for k in range(3)]
    assert sum(e.rows for e in alone) == 150
    want = [[str(k), str(e.rows), f"{e.loss:.6g}", f"{e.metrics['rmse']:.6g}"] for k, e in enumerate(alone)]
    assert table[2:5] == want
    losses = [e.loss for e in alone]
    assert table[5][:2] == ["mean", f"{mean(losses):.6g}"]
    assert table[6][:2] == ["std", f"{stdev(losses):.6g}"]
    assert not (program.parent / "m.bmz").exists()
    assert [(e.rows, e.loss, e.metrics) for e in bmc.compile(program).train_folds()] == [(e.rows, e.loss, e.metrics) for e in alone]


def test_a_split_without_folds(program: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = program.read_text().replace("folds(3, fold = FOLD, valid = 0.2, seed = 4)", "by_hash(train = 0.8, test = 0.2)")
    program.write_text(text)
    assert run("train", program, "--folds") == 2
    assert "split = folds(n)" in capsys.readouterr().err
    with pytest.raises(ValueError, match="split = folds"):
        bmc.compile(program).train_folds()
