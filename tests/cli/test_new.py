"""`bmc new`: each template is a project that trains as it is, and learns something."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from bmc.driver.projects.making import TEMPLATES

LEARNED = {"tabular": ("r2", 0.9), "image": ("accuracy", 0.85), "sequence": ("accuracy", 0.9), "text": ("accuracy", 0.95)}
RAW = {"tabular": ("new.csv", 4), "image": ("shapes.npz", 900), "sequence": ("waves.npz", 600), "text": ("new.csv", 3)}


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_project_checks_trains_and_predicts(run, monkeypatch, tmp_path, template: str) -> None:
    done = run("new", "first", "--template", template)
    assert done.code == 0
    assert done.err == "next: cd first && bmc train first.bm\n"
    assert {f"wrote first/{p.name}" for p in Path("first").iterdir()} == set(done.out.splitlines())
    monkeypatch.chdir(tmp_path / "first")
    assert run("fmt", "--check", "first.bm").code == 0
    assert run("check", "first.bm").code == 0
    assert "NAME" not in Path("first.bm").read_text()
    assert run("train", "first.bm").code == 0
    metric, least = LEARNED[template]
    assert json.loads(run("eval", "first.bmz", "--json").out)["metrics"][metric] > least
    rows, count = RAW[template]
    assert len(list(csv.DictReader(io.StringIO(run("predict", "first.bmz", rows).out)))) == count


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_project_is_the_same_each_time(run, template: str) -> None:
    for place in ("a/first", "b/first"):
        assert run("new", place, "--template", template).code == 0
    for path in Path("a/first").iterdir():
        assert path.read_bytes() == (Path("b/first") / path.name).read_bytes()


def test_nothing_is_overwritten(run) -> None:
    Path("here").mkdir()
    assert run("new", "here").code == 0  # an empty folder is taken
    before = {p.name: p.read_bytes() for p in Path("here").iterdir()}
    done = run("new", "here", "--template", "text")
    assert (done.code, "E0819" in done.err) == (2, True)
    assert {p.name: p.read_bytes() for p in Path("here").iterdir()} == before
    for name in ("a b", "x;y", ".."):
        assert run("new", name).code == 2
    assert run("new", "x", "--template", "video").code == 2


def test_a_project_for_a_table_at_hand(run, monkeypatch, tmp_path) -> None:
    rows = "".join(f"{30 + i % 50},{i % 4 + 1},{300 + 7 * (i % 50)}\n" for i in range(150))
    Path("my flats.csv").write_text("size,rooms,rent\n" + rows)
    done = run("new", "rents", "--data", "my flats.csv", "--target", "rent")
    assert done.code == 0
    assert {f"wrote rents/{p.name}" for p in Path("rents").iterdir()} == set(done.out.splitlines())
    monkeypatch.chdir(tmp_path / "rents")
    assert run("train", "rents.bm", "--set", "epochs=2").code == 0
    assert run("predict", "rents.bmz", "my flats.csv").out.startswith("rent,")


def test_a_target_is_a_column_of_a_table(run) -> None:
    assert run("new", "rents", "--target", "rent").code == 2
