"""Gaps filled by values and by statistics of the training rows, by the whole path: what was fitted serves rows never seen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from statistics import mode

import numpy as np
import pytest

import bmc
from bmc.errors.render import render_all
from tests.columns import program, transformed

NUMBERS = [4.0, None, 1.0, 2.5, None, 10.0, 1.0]
THERE = [n for n in NUMBERS if n is not None]


def test_numbers_by_statistics_of_the_training_rows() -> None:
    lines = """a = x |> fill(median)
      b = x |> fill(mean)
      c = x |> fill(min)
      d = x |> fill(-1)
      e = x |> fill(third)
      gone = is_missing(x)"""
    text = "fn third(x: float[B]) -> float { return quantile(x, 0.75) }\n"
    model = bmc.compile(text + program("x: f32?", lines, ["a", "b", "c", "d", "e", "gone"])).train(
        {"D": {"x": NUMBERS, "zero": [0.0] * len(NUMBERS)}}
    )
    found = model.predict({"x": [None, 7.0, float("nan")]})
    for name, want in (("a", 2.5), ("b", 3.7), ("c", 1.0), ("d", -1.0), ("e", 4.0)):
        assert found[name].tolist() == [np.float32(want), 7.0, np.float32(want)], name
    assert found["gone"].tolist() == [True, False, True]


def test_whole_numbers_dates_texts_and_truth_keep_their_type() -> None:
    train = {
        "n": [7, 3, 3, None, 9],
        "d": ["2020-01-05", "2020-01-01", None, "2020-01-03", "2020-01-05"],
        "t": ["2020-01-01 00:00:01", None, "2020-01-01 00:00:02", "2020-01-01 00:00:04", "2020-01-01 00:00:02"],
        "s": ["b", None, "c", "b", "a"],
        "f": [True, True, False, None, True],
    }
    lines = """n_mode = n |> fill(mode)
      n_least = n |> fill(min)
      n_median = n |> fill(median)
      d_mode = d |> fill(mode) |> day
      d_median = d |> fill(median) |> day
      d_given = d |> fill("2021-07-08") |> day_of_year
      t_mean = t |> fill(mean) |> second
      t_mode = t |> fill(mode) |> second
      s_mode = s |> fill(mode) |> category(["a", "b", "c"])
      f_mode = f |> fill(mode) |> number"""
    names = [line.split(" = ")[0].strip() for line in lines.split("\n")]
    gaps = {name: [None, values[0]] for name, values in train.items()}
    found = transformed("n: i32?\n d: date?\n t: timestamp?\n s: str?\n f: bool?", lines, names, train, gaps)
    assert found["n_mode"].tolist() == [mode([7, 3, 3, 9]), 7]
    assert found["n_mode"].dtype == np.int32
    assert found["n_least"].tolist() == [3, 7]
    assert found["n_least"].dtype == np.int32
    assert found["n_median"].tolist() == [5.0, 7.0]
    assert found["n_median"].dtype == np.float32
    assert found["d_mode"].tolist() == [5, 5]
    assert found["d_median"].tolist() == [4, 5]
    assert found["d_given"].tolist() == [189, 5]
    assert found["t_mean"].tolist() == [2, 1]  # of 1, 2, 4 and 2
    assert found["t_mode"].tolist() == [2, 1]
    assert found["s_mode"].tolist() == ["b", "b"]
    assert found["f_mode"].tolist() == [1.0, 1.0]


def test_another_column_in_the_place_of_gaps() -> None:
    """Where that has a gap, too, one stays."""
    train = {
        "a": [1.0, None, None], "b": [7.0, 8.0, None], "d": ["2020-01-01", None, None], "e": ["2021-02-02", "2021-02-03", None],
    }  # fmt: skip
    lines = "x = a |> fill(b) |> fill(-1)\n gone = is_missing(fill(a, b))\n m = d |> fill(e) |> fill(max) |> month"
    found = transformed("a: f32?\n b: f32?\n d: date?\n e: date?", lines, ["x", "gone", "m"], train)
    assert found["x"].tolist() == [1.0, 8.0, -1.0]
    assert found["gone"].tolist() == [False, False, True]
    assert found["m"].tolist() == [1, 2, 2]
    for wrong in ("d |> fill(a)", "a |> fill(d)", "t |> fill(d)"):
        with pytest.raises(bmc.BmcError, match="as the column is"):
            bmc.compile(program("a: f32?\n d: date?\n t: timestamp?", f"x = {wrong} |> is_missing", ["x"]))


def test_each_place_of_an_array_by_its_own() -> None:
    text = program("x: f32[2]?", "a = x |> fill(mean)", ["a"]).replace('csv("d.csv")', 'npz("d.npz")')
    cells = np.array([[1, 10], [np.nan, 0], [3, 20]], np.float32)
    model = bmc.compile(text).train({"D": {"x": cells, "zero": np.zeros(3, np.float32)}})
    assert model.predict({"x": cells})["a"].tolist() == [[1.0, 10.0], [2.0, 15.0], [3.0, 20.0]]


def test_previous_carries_steps_of_windows_on_and_leaves_the_beginning(tmp_path: Path) -> None:
    text = program("x: f32?", "late = x |> fill(previous) |> fill(-1)\n same = previous(x) |> fill(-1)", ["late", "same"])
    text = text.replace('csv("d.csv")', 'csv("d.csv") |> windows(5)').replace("z = zero", "z = zero[:, 0]")
    rng = np.random.default_rng(3)
    series = [None if rng.random() < 0.6 else float(i) for i in range(40)]
    windows = [series[i : i + 5] for i in range(36)]
    path = tmp_path / "d.csv"
    path.write_text("x,zero\n" + "".join(f"{'' if v is None else v},0\n" for v in series))
    model = bmc.compile(text).train({"D": str(path)})
    found = model.predict(str(path))
    # Windows in memory have gaps of their own, too.
    for given in (windows, np.array([[np.nan if v is None else v for v in w] for w in windows], np.float32)):
        assert model.predict({"x": given})["late"].tobytes() == found["late"].tobytes()
    for window, late, same in zip(windows, found["late"].tolist(), found["same"].tolist(), strict=True):
        last, want = -1.0, []
        for cell in window:
            last = last if cell is None else cell
            want.append(last)
        assert late == same == want


def test_a_row_is_not_filled_by_the_row_before(golden: Callable[[str, str], None]) -> None:
    with pytest.raises(bmc.BmcError) as caught:
        bmc.compile(program("x: f32?", "a = x |> fill(previous)", ["a"]))
    golden("previous_of_rows", render_all(caught.value.diagnostics))


def test_what_does_not_fill(golden: Callable[[str, str], None]) -> None:
    columns = "x: f32?\n d: date?\n s: str?\n n: i32?"
    wrong = {"a": 'x |> fill("0")', "b": "d |> fill(3)", "c": "s |> fill(1)", "e": "n |> fill(0.5)", "f": "s |> fill(median)"}
    lines = "\n ".join(f"{name} = {made}" for name, made in {**wrong, "g": 'n |> fill("0")'}.items())
    with pytest.raises(bmc.BmcError) as caught:
        bmc.compile(program(columns, lines, ["a", "b", "c", "e", "f", "g"]))
    golden("does_not_fill", render_all(caught.value.diagnostics))
