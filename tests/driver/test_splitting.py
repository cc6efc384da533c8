"""Splits that the data block names, by the whole path: which rows each split has."""

from __future__ import annotations

from pathlib import Path

import pytest

import bmc
from tests.columns import program

ROWS = 400


def columns() -> dict[str, list[object]]:
    parts = ["train", "valid", "test", "train", None]
    return {
        "x": [float(i) for i in range(ROWS)],
        "part": [parts[i % 5] for i in range(ROWS)],
        "k": [i % 4 for i in range(ROWS)],
        "zero": [0.0] * ROWS,
    }


def split(text: str, **overrides: object) -> bmc.Program:
    declared = "x: f32\n part: str?\n k: i32"
    return bmc.compile("let FOLD = 0\n" + program(declared, f"{text}\n out = x", ["out"]), overrides=overrides)


def rows_of(model: bmc.Model, name: str) -> int:
    return model.evaluate(name).rows


def test_by_the_names_in_a_column() -> None:
    model = split("split = by_column(part)").train(columns())
    assert [rows_of(model, name) for name in ("train", "valid", "test")] == [160, 80, 80]


def test_by_the_values_of_a_column() -> None:
    model = split("split = by_column(k, valid = 1, test = [2, 3])").train(columns())
    assert [rows_of(model, name) for name in ("train", "valid", "test")] == [100, 100, 200]


def test_folds_follow_a_let_that_is_set() -> None:
    """Each row is tested in one fold; `key` keeps rows of one key together."""
    tested = 0
    for fold in range(4):
        model = split("split = folds(4, fold = FOLD, valid = 0.1, seed = 2)", FOLD=fold).train(columns())
        tested += rows_of(model, "test")
        assert rows_of(model, "train") + rows_of(model, "valid") + rows_of(model, "test") == ROWS
    assert tested == ROWS
    keyed = {**columns(), "k": [i % 20 for i in range(ROWS)]}
    assert rows_of(split("split = folds(2, key = k)").train(keyed), "test") % (ROWS // 20) == 0


def test_the_column_of_the_split_is_not_needed_to_predict() -> None:
    model = split("split = by_column(part)").train(columns())
    assert model.predict({"x": [1.0]})["out"].tolist() == [1.0]


def test_a_fold_that_is_not_there_is_refused() -> None:
    with pytest.raises(bmc.BmcError, match="there is no fold 4"):
        split("split = folds(4, fold = FOLD)", FOLD=4)


def test_windows_belong_to_the_split_of_all_their_items(tmp_path: Path) -> None:
    """12 days in each of 4 places, of which 6 train: 4 windows of 3 days on each side, those between in none."""
    rows = [f"{s * 100 + d},{'train' if d < 6 else 'test'},{s},0,2024-01-{d + 1:02}" for s in range(4) for d in range(12)]
    (tmp_path / "d.csv").write_text("\n".join(["x,part,k,zero,day", *rows]) + "\n")
    for text, train, test in (
        ("by_column(part)", 16, 16),
        ("by_column(k, test = 3)", 30, 10),
        ("folds(4, fold = 1, key = k)", 30, 10),
    ):
        made = program("x: f32\n part: str\n k: i32\n day: date", f"out = x\n split = {text}", ["out"])
        made = made.replace('csv("d.csv")', 'csv("d.csv") |> windows(3, by = k, order = day)').replace("z = zero", "z = zero[:, 0]")
        model = bmc.compile(made).train({"D": str(tmp_path / "d.csv")})
        assert (rows_of(model, "train"), rows_of(model, "test")) == (train, test), text
