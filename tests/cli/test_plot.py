"""`bmc plot` and `bmc train --plot`."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("matplotlib")


def test_training_and_plotting_draw_the_same(run, penguins) -> None:
    done = run("train", penguins, "-o", "p.bmz", "--set", "epochs=3", "--plot")
    assert (done.code, done.out.splitlines()[-1]) == (0, "wrote p.png")
    assert run("plot", "p.bmz", "-o", "a.png").out == "wrote a.png\n"
    assert Path("a.png").read_bytes() == Path("p.png").read_bytes()
    Path("p.png").unlink()
    assert run("plot", "p.bmz").out == "wrote p.png\n"
    done = run("plot", "p.bmz", "-o", "pictures", "--split", "train")
    assert done.out.split() == ["wrote", "pictures/loss.png", "wrote", "pictures/accuracy.png", "wrote", "pictures/confusion.png"]
    done = run("plot", "p.bmz", "--split", "nothing")
    assert (done.code, "no split" in done.err) == (2, True)


def test_a_library_that_is_missing_is_said_before_training(run, penguins, monkeypatch) -> None:
    monkeypatch.setattr("bmc.driver.plotting.plot.find_spec", lambda _: None)
    done = run("train", penguins, "-o", "p.bmz", "--plot")
    assert done.code == 3
    assert "bmc-lang[plot]" in done.err
    assert not Path("p.bmz").exists()
    assert run("plot", "p.bmz", "-o", "a.gif").code == 2


def test_without_data_only_curves_are_drawn(run, penguins) -> None:
    assert run("train", penguins, "-o", "p.bmz", "--set", "epochs=2").code == 0
    (penguins.parent / "penguins.csv").rename(penguins.parent / "away.csv")
    done = run("plot", "p.bmz", "-o", "pictures")
    assert "only curves" in done.err
    assert done.out.split() == ["wrote", "pictures/loss.png", "wrote", "pictures/accuracy.png"]
    done = run("plot", "p.bmz", "-o", "pictures", "--data", f"Penguins={penguins.parent / 'away.csv'}")
    assert "pictures/confusion.png" in done.out
