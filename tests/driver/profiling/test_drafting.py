"""Drafts are programs: for tables of many kinds they check, are in their one form, and train."""

from __future__ import annotations

import csv
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import bmc
from bmc.driver.profiling.drafting import draft_of
from bmc.driver.profiling.naming import names_of, quoted
from bmc.driver.profiling.profile import profile_of
from bmc.errors import BmcError
from bmc.errors.render import render
from bmc.frontend.syntax.format import format_source
from bmc.source import SourceFile

HEADERS = [
    "#", "Größe / cm", "1st floor m²", "class", "where", "x", "Y", "true", "fill", "a \"b\" \\c", "A", "a", "last, first", "日付",
    "note", "when", "paid", "price (€)", " spaced ", "standardize", "columns", "split",
]  # fmt: skip


def awkward(path: Path, rows: int = 200) -> None:
    made = random.Random(3)
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(HEADERS)
        for i in range(rows):
            cells: dict[str, object] = {header: made.choice(["1", "2", "x-y", "3.5"]) for header in HEADERS}
            cells |= {"#": i + 1, "Größe / cm": made.choice([f"{made.gauss(170, 9):.1f}", "n/a", ""]), "class": made.choice("ABC")}
            cells |= {"note": " ".join(made.choice(["ok", "late", "again", "no"]) for _ in range(made.randint(3, 9))) + f" {i}"}
            cells |= {"when": f"2024-0{made.randint(1, 9)}-11 1{made.randint(0, 9)}:00", "paid": made.choice(["true", "false", ""])}
            cells |= {"price (€)": f"{made.expovariate(0.01):.2f}", "日付": f"2024-03-{made.randint(10, 28)}", "A": made.random()}
            table.writerow([cells[header] for header in HEADERS])


@pytest.mark.parametrize("target", [None, "price (€)", "class", "paid", "where", "A"])
def test_a_draft_of_an_awkward_table_checks(tmp_path: Path, target: str | None) -> None:
    awkward(tmp_path / "t.csv")
    draft = draft_of(profile_of(tmp_path / "t.csv"), target)
    assert draft.guessed == (target is None)
    assert format_source(SourceFile("t.bm", draft.text)) == draft.text
    program = bmc.compile(draft.text)
    assert program.check() == ()
    assert "left out: `#`" in draft.text


def test_a_draft_trains(tmp_path: Path) -> None:
    awkward(tmp_path / "t.csv")
    (tmp_path / "t.bm").write_text(draft_of(profile_of(tmp_path / "t.csv"), "paid").text, encoding="utf-8")
    model = bmc.compile(tmp_path / "t.bm", overrides={"epochs": 2}).train()
    assert "valid.accuracy" in model.history[-1]


@pytest.mark.parametrize("labels", ["0.0 1.0", "1.0 2.0 3.0", "1e0 2 3.0"])
def test_classes_written_as_fractions_are_classes(tmp_path: Path, labels: str) -> None:
    """As tables have them whose integers met gaps on their way."""
    known = labels.split()
    rows = "".join(f"{i % 7},{known[i % len(known)]}\n" for i in range(120))
    (tmp_path / "t.csv").write_text("a,y\n" + rows)
    draft = draft_of(profile_of(tmp_path / "t.csv"), "y").text
    assert ("category(2)" if len(known) == 2 else "category([1, 2, 3])") in draft
    (tmp_path / "t.bm").write_text(draft, encoding="utf-8")
    assert "valid.accuracy" in bmc.compile(tmp_path / "t.bm", overrides={"epochs": 1}).train().history[-1]


def test_identifiers_that_floats_cannot_tell_apart_are_hashed_whole(tmp_path: Path) -> None:
    # Near 1e15 an f32 counts in steps of 67 million: as numbers all of these would be one.
    rows = "".join(f"{10**15 + i % 90},{'' if i % 9 == 0 else 10**12 + i % 70},{i * 10**9},{i % 3}\n" for i in range(400))
    (tmp_path / "t.csv").write_text("user,card,amount,y\n" + rows)
    draft = draft_of(profile_of(tmp_path / "t.csv"), "y").text
    assert "user: i64\n" in draft
    assert "user |> hash(128) |> onehot," in draft
    assert "card |> fill(0) |> hash(128) |> onehot," in draft
    assert "amount |> standardize," in draft or "left out: `amount`" in draft
    assert bmc.compile(draft).check() == ()


def test_a_draft_in_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, golden: Callable[[str, str], None]) -> None:
    monkeypatch.chdir(tmp_path)
    awkward(Path("t.csv"))
    golden("awkward", draft_of(profile_of(Path("t.csv")), "price (€)").text)


def test_what_tells_the_target_is_left_out(tmp_path: Path) -> None:
    rows = [(i % 97, (i % 97) * 1.19, "abc"[i % 3], "xyz"[i % 3]) for i in range(300)]
    (tmp_path / "t.csv").write_text("net,gross,kind,code\n" + "".join(f"{a},{b:.2f},{c},{d}\n" for a, b, c, d in rows))
    profile = profile_of(tmp_path / "t.csv")
    assert "left out: `net`, it tells 'gross'" in draft_of(profile, "gross").text
    assert "left out: `code`, it tells 'kind'" in draft_of(profile, "kind").text


@pytest.mark.parametrize(
    ("target", "code"), [("pric", "E0722"), ("#", "E0850"), ("note", "E0850"), ("when", "E0850")]
)
def test_a_target_that_is_none(tmp_path: Path, target: str, code: str) -> None:
    awkward(tmp_path / "t.csv")
    with pytest.raises(BmcError) as found:
        draft_of(profile_of(tmp_path / "t.csv"), target)
    assert found.value.diagnostics[0].code == code


def test_errors_in_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, golden: Callable[[str, str], None]) -> None:
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_text("id,price\n" + "".join(f"{i},{i % 7}.5\n" for i in range(30)))
    for name, target in (("E0722-target", "prise"), ("E0850-identity", "id")):
        with pytest.raises(BmcError) as found:
            draft_of(profile_of(Path("t.csv")), target)
        golden(name, render(found.value.diagnostics[0]) + "\n")
    Path("t.csv").write_text("id,name\n" + "".join(f"{i},n{i}\n" for i in range(30)))
    with pytest.raises(BmcError) as found:
        draft_of(profile_of(Path("t.csv")))
    golden("E0850-nothing", render(found.value.diagnostics[0]) + "\n")


def test_arrays_of_npz_are_inputs(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    arrays = {"image": rng.integers(0, 255, (60, 4, 4), np.uint8), "v": rng.normal(size=(60, 3)), "k": np.arange(60) % 3}
    np.savez(tmp_path / "t.npz", **arrays)
    draft = draft_of(profile_of(tmp_path / "t.npz"), "k").text
    assert "flatten(image / 255)," in draft
    assert "v: f32[3]" in draft
    assert bmc.compile(draft, overrides={"epochs": 1}).train().history


def test_nothing_to_learn_from(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,k\n" + "".join(f"{i},{i % 3}\n" for i in range(40)))
    with pytest.raises(BmcError, match="no column is left"):
        draft_of(profile_of(tmp_path / "t.csv"), "k")


def test_names_are_names_and_different() -> None:
    headers = ["A b", "a b", "a_b", "x", "1", "", "größe", "as", "日", "月", "fill"]
    names = list(names_of(headers, ["x"]).values())
    assert len(set(names)) == len(names)
    assert names == ["a_b_2", "a_b_3", "a_b", "x_", "c1", "column", "grosse", "as_", "column_2", "column_3", "fill_"]


def test_literals() -> None:
    assert quoted('a "b"\\\n\x01é') == '"a \\"b\\"\\\\\\n\\u{1}é"'
