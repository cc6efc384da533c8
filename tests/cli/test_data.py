"""`bmc data`: the profile beside the program, which checks and trains."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest


def flats(path: Path) -> None:
    made = random.Random(1)
    lines = ["flat no;floor area;city;price"]
    for i in range(300):
        area, city = made.randint(20, 150), made.choice(["Rīga", "Graz", "Brno"])
        lines.append(f"{i};{area if made.random() > 0.05 else '-'};{city};{area * {'Rīga': 2, 'Graz': 3, 'Brno': 1.5}[city]:.1f}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_a_profile_and_a_program(run, golden: Callable[[str, str], None]) -> None:
    flats(Path("flats.csv"))
    done = run("data", "flats.csv", "--target", "price")
    assert done.code == 0
    golden("profile", done.err)
    golden("program", done.out)
    Path("flats.bm").write_text(done.out, encoding="utf-8")
    assert run("check", "flats.bm").code == 0
    assert run("train", "flats.bm").code == 0
    evaluated = json.loads(run("eval", "flats.bmz", "--json").out)
    assert evaluated["metrics"]["r2"] > 0.9


def test_files_by_pattern(run) -> None:
    """The first of them is looked at, and the program reads all."""
    flats(Path("flats-1.csv"))
    text = Path("flats-1.csv").read_text(encoding="utf-8")
    Path("flats-2.csv").write_text(text.replace("Graz", "Linz"), encoding="utf-8")
    done = run("data", "flats-*.csv", "--target", "city")
    assert done.code == 0
    assert "flats-*.csv: csv, the first 300 rows" in done.err
    assert "category(max = 4)" in done.out
    Path("all.bm").write_text(done.out, encoding="utf-8")
    assert run("train", "all.bm", "--set", "epochs=1").code == 0
    assert sum(json.loads(run("eval", "all.bmz", "--split", s, "--json").out)["rows"] for s in ("train", "valid", "test")) == 600


def test_json_has_no_program(run) -> None:
    flats(Path("flats.csv"))
    done = run("data", "flats.csv", "--json")
    assert [c["header"] for c in json.loads(done.out)["columns"]] == ["flat no", "floor area", "city", "price"]
    assert done.err == ""


def test_whole_numbers_are_shown_in_full(run) -> None:
    lines = (f"{10**15 + i},{'0.5' if i == 7 else '-0.0'},{i % 2}\n" for i in (1, 7, 12, 1))
    Path("ids.csv").write_text("user,z,y\n" + "".join(lines), encoding="utf-8")
    shown = run("data", "ids.csv", "--target", "y").err
    assert "1000000000000001 to 1000000000000012, median 1000000000000004" in shown
    assert "0 to 0.5, median 0 " in shown


def test_a_guess_is_called_one(run) -> None:
    flats(Path("flats.csv"))
    done = run("data", "flats.csv")
    assert "that 'price' is to be learned is a guess" in done.err
    assert "is a guess: `--target COLUMN`" in done.out


@pytest.mark.parametrize("name", ["none.csv", "folder.csv"])
def test_what_is_no_file(run, name: str) -> None:
    Path("folder.csv").mkdir()
    done = run("data", name)
    assert done.code == 3
    assert "error[E072" in done.err
