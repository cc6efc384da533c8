"""train, eval, predict, inspect, stats and doctor, from the command line, on the penguins."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import bmc
from bmc_runtime import atomic

QUICK = ("--set", "epochs=4")


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_train_eval_predict(run, penguins, tmp_path) -> None:
    done = run("train", penguins, "-o", "p.bmz", "--log", "log.jsonl", "--set", "epochs=30")
    assert done.code == 0, done.err
    assert "epoch 30  step 450" in done.err
    assert done.out.splitlines()[-1] == "wrote p.bmz"
    header, _, train, valid, test = done.out.splitlines()[:5]
    assert header.split() == ["split", "rows", "loss", "accuracy"]
    assert [line.split()[:2] for line in (train, valid, test)] == [["train", "228"], ["valid", "42"], ["test", "74"]]
    assert not Path("p.bmz.ckpt").exists()

    log = [json.loads(line) for line in Path("log.jsonl").read_text().splitlines()]
    assert log[0] == {"step": 15, "epoch": 1, "split": "train", "loss": log[0]["loss"]}
    assert set(log[1]) == {"step", "epoch", "split", "loss", "accuracy"}
    assert len(log) == 30 * 2 + 3
    assert [line["split"] for line in log if line.get("final")] == ["train", "valid", "test"]

    done = run("eval", "p.bmz", "--json")
    found = json.loads(done.out)
    assert set(found) == {"split", "rows", "loss", "metrics"}
    assert (found["split"], found["rows"]) == ("test", 74)
    assert found["loss"] == log[-1]["loss"]
    assert found["metrics"]["accuracy"] == log[-1]["accuracy"] >= 0.95
    assert run("eval", "p.bmz", "--split", "nothing").code == 2
    assert "all" in run("eval", "p.bmz", "--split", "all").out

    done = run("predict", "p.bmz", penguins.parent / "new.csv")
    rows = list(csv.DictReader(io.StringIO(done.out)))
    assert done.code == 0
    assert list(rows[0]) == ["species", "probability"]
    assert len(rows) == len((penguins.parent / "new.csv").read_text().splitlines()) - 1
    assert {row["species"] for row in rows} <= {"Adelie", "Chinstrap", "Gentoo"}
    only = run("predict", "p.bmz", penguins.parent / "new.csv", "--only", "species").out
    assert only.splitlines()[:2] == ["species", rows[0]["species"]]

    done = run("inspect", "p.bmz")
    assert "overrides epochs=30" in done.out
    assert "fc1.w" in done.out
    assert re.search(r"epochs += 30\n", run("inspect", "p.bmz", "--sources").out)


def test_bad_rows_stop_or_become_a_column(run, penguins) -> None:
    assert run("train", penguins, "-o", "p.bmz", *QUICK).code == 0
    lines = (penguins.parent / "new.csv").read_text().splitlines()
    header = lines[0].split(",")
    cells = lines[2].split(",")
    cells[header.index("body_mass_g")] = "heavy"
    Path("bad.csv").write_text("\n".join([lines[0], lines[1], ",".join(cells), *lines[3:]]) + "\n")
    done = run("predict", "p.bmz", "bad.csv", "-o", "out.csv")
    assert done.code == 3
    assert "bad.csv, line 3: 'heavy'" in done.err
    assert not Path("out.csv").exists()
    done = run("predict", "p.bmz", "bad.csv", "--on-error", "column")
    rows = list(csv.DictReader(io.StringIO(done.out)))
    assert done.code == 0
    assert [bool(row["error"]) for row in rows] == [i == 1 for i in range(len(rows))]
    assert rows[1]["species"] == ""
    good = list(csv.DictReader(io.StringIO(run("predict", "p.bmz", penguins.parent / "new.csv").out)))
    assert [r["probability"] for r in rows if not r["error"]] == [r["probability"] for i, r in enumerate(good) if i != 1]


def test_the_same_file_in_other_folders_and_with_more_workers(run, penguins, tmp_path, monkeypatch) -> None:
    """Bits depend on source, data and seed; shards are set in the file, workers are not."""
    settings = (*QUICK, "--set", "shards=4")
    assert run("train", penguins, "-o", "one.bmz", *settings).code == 0
    other = tmp_path / "elsewhere" / "deep"
    other.mkdir(parents=True)
    monkeypatch.chdir(other)
    for workers in (2, 4):
        assert run("train", penguins, "-o", f"{workers}.bmz", *settings, "--workers", workers).code == 0
        assert sha(Path(f"{workers}.bmz")) == sha(tmp_path / "one.bmz")


def test_resume_after_a_kill_gives_the_same_file(run, penguins, cache_folder) -> None:
    settings = ("--set", "epochs=300")
    assert run("train", penguins, "-o", "whole.bmz", *settings).code == 0
    command = [sys.executable, "-c", "from bmc.cli import main; main()", "train", str(penguins), "-o", "part.bmz", *settings]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _wait_for(Path("part.bmz.ckpt"), process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not Path("part.bmz").exists(), "the run ended before it could be killed"
    done = run("train", penguins, "-o", "part.bmz", *settings, "--resume")
    assert "resumed at step" in done.err
    assert sha(Path("part.bmz")) == sha(Path("whole.bmz"))


def test_an_interrupt_ends_with_a_checkpoint(run, penguins) -> None:
    settings = ("--set", "epochs=5000")
    command = [sys.executable, "-c", "from bmc.cli import main; main()", "train", str(penguins), "-o", "part.bmz", *settings]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    _wait_for(Path("part.bmz.ckpt"), process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert out == ""
    assert "interrupted after step" in err
    assert "Traceback" not in err
    assert Path("part.bmz.ckpt").exists()
    assert not Path("part.bmz").exists()


def _wait_for(path: Path, process: subprocess.Popen) -> None:  # type: ignore[type-arg]
    for _ in range(600):
        if path.exists():
            return
        assert process.poll() is None
        time.sleep(0.05)
    raise AssertionError(f"{path} does not appear")


def test_a_checkpoint_of_another_run_is_refused(run, penguins) -> None:
    command = [
        sys.executable, "-c", "from bmc.cli import main; main()", "train", str(penguins), "-o", "p.bmz", "--set", "epochs=5000",
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _wait_for(Path("p.bmz.ckpt"), process)
    process.kill()
    process.wait()
    done = run("train", penguins, "-o", "p.bmz", "--set", "epochs=5000", "--set", "hidden=8", "--resume")
    assert done.code == 3
    assert "E0745" in done.err


def test_a_loss_that_is_not_finite_is_located(run, penguins) -> None:
    text = penguins.read_text().replace("cross_entropy(logits, y)\n  optimizer", "cross_entropy(log(logits), y)\n  optimizer")
    penguins.write_text(text)
    done = run("train", penguins, "-o", "p.bmz", *QUICK)
    assert done.code == 3
    assert "E0802" in done.err
    assert "step 1 (epoch 1)" in done.err
    assert "`log` gives" in done.err
    assert "cross_entropy(log(logits), y)" in done.err
    assert not Path("p.bmz").exists()


def test_a_failed_write_leaves_the_old_file(run, penguins, monkeypatch) -> None:
    assert run("train", penguins, "-o", "p.bmz", *QUICK).code == 0
    before = sha(Path("p.bmz"))

    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(atomic.os, "fsync", full)
    done = run("train", penguins, "-o", "p.bmz", "--set", "epochs=5")
    assert done.code == 3
    assert "No space left" in done.err
    assert sha(Path("p.bmz")) == before
    assert sorted(p.name for p in Path.cwd().iterdir()) == ["p.bmz", "penguins"]


def test_data_that_is_not_at_hand_is_asked_for(run, penguins, monkeypatch, tmp_path) -> None:
    assert run("train", penguins, "-o", "p.bmz", *QUICK).code == 0
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))
    done = run("eval", "p.bmz")
    assert done.code == 3
    assert "--data Penguins=PATH" in done.err
    assert run("eval", "p.bmz", "--data", f"Penguins={penguins.parent / 'penguins.csv'}").code == 0


def test_stats_counts_by_hand(run, penguins) -> None:
    """12 features, 32 units, 3 classes: 12 x 32 + 32 and 32 x 3 + 3 parameters, 2 x 12 x 32 and 2 x 32 x 3 FLOPs a row."""
    lines = [line.split() for line in run("stats", penguins).out.splitlines()]
    # Forward and both gradients, but the first layer's of x.
    assert ["fc1", "dense", "f32[B,", "32]", "416", "1,664", "768", "1,536"] in lines
    assert ["fc2", "dense", "f32[B,", "3]", "99", "396", "192", "576"] in lines
    assert ["total", "515", "2,060", "960", "2,112"] in lines
    # 16 rows: 16 x (3 x 960 - 768).
    assert ["train", "16", "33,792"] in [line[:3] for line in lines]


def test_stats_notes_default_names(run, tmp_path) -> None:
    (tmp_path / "m.bm").write_text("model M(x: f32[B, 3]) -> (y: f32[B, 2]) {\n  return x |> dense(4) |> dense(2) as out\n}\n")
    done = run("stats", "m.bm")
    assert done.code == 0
    assert "default names" in done.err
    assert "dense" in done.err


def test_doctor_trains_a_small_program(run) -> None:
    done = run("doctor")
    assert done.code == 0, done.out
    assert "a small program trains as it must" in done.out
    assert "pillow" in done.out
    assert "matplotlib" in done.out


@pytest.mark.parametrize("stage", ["ast", "graph", "grad", "fused", "memory", "llvm", "asm"])
def test_dump_prints_every_stage(run, penguins, stage) -> None:
    done = run("dump", penguins, "--stage", stage)
    assert done.code == 0
    assert len(done.out.splitlines()) > 100


def test_an_output_that_cannot_be_written_is_said_before_training(run, penguins, tmp_path) -> None:
    for output in ("nowhere/p.bmz", tmp_path):
        done = run("train", penguins, "-o", output)
        assert done.code == 3
        assert "E0801" in done.err
        assert "epoch" not in done.err.split("error[")[0]


def test_rows_that_do_not_split_are_an_error_of_the_source(run, penguins) -> None:
    text = penguins.read_text().replace("cross_entropy(logits, y)\n  opt", "cross_entropy(logits, y) * max(logits)\n  opt")
    penguins.write_text(text)
    done = run("train", penguins, "-o", "p.bmz", "--set", "shards=2", *QUICK)
    assert done.code == 1, done.err
    assert "E0814" in done.err
    assert "max(logits)" in done.err
    assert "shards = 1" in done.err


def test_samples_need_no_column_and_come_one_for_each_row(run, tmp_path) -> None:
    """A prediction of noise alone reads nothing of the rows but how many there are."""
    Path("d.csv").write_text("a,b\n" + "".join(f"{i},{i % 3}\n" for i in range(12)))
    Path("m.bm").write_text(
        """data D {
  source = csv("d.csv")
  columns { a: f32; b: f32 }
  x = stack([a, b], axis = -1)
}
model M(x: f32[B, 2]) -> (code: f32[B, 2], drawn: f32[B, 2]) {
  z: f32[B, 2] = normal()
  dec = dense(2)
  return dec(x), dec(z)
}
train M on D { loss = mse(code, x); predict = [drawn = drawn]; epochs = 1 }
"""
    )
    assert run("train", "m.bm").code == 0
    Path("rows.csv").write_text("b\n7\nnot a number\n9\n")
    lines = run("predict", "m.bmz", "rows.csv").out.splitlines()
    assert lines[0] == "drawn.0,drawn.1"
    assert len(lines) == 1 + 3
    assert len(set(lines)) == 4
    assert run("predict", "m.bmz", "rows.csv", "--seed", 0).out.splitlines() == lines, "the seed of training"
    others = run("predict", "m.bmz", "rows.csv", "--seed", 5).out.splitlines()
    assert not set(others[1:]) & set(lines[1:])
    assert bmc.load("m.bmz").predict("rows.csv", seed=5)["drawn"].shape == (3, 2)
    assert run("predict", "m.bmz", "rows.csv", "--seed", 2**64).code == 2
    Path("rows.csv").write_text("c\n7\n")
    assert run("predict", "m.bmz", "rows.csv").out.splitlines() == lines[:2], "whatever a row has, it is a row"
