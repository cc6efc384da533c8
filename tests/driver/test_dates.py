"""Parts of dates and timestamps, by the whole path, against Python's calendar."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta

import numpy as np
import pytest

import bmc
from bmc.errors.render import render_all
from tests.columns import program, transformed

PARTS = ("year", "month", "day", "day_of_year", "quarter", "week", "weekday")
TIMES = ("hour", "minute", "second")


def days() -> list[date]:
    """The ends of months and years, leap years of both rules, and the edges of the calendar."""
    found = [date(1, 1, 1), date(9999, 12, 31), date(1969, 12, 31), date(1970, 1, 1)]
    for year in (1600, 1899, 1900, 1904, 1999, 2000, 2001, 2019, 2020, 2021, 2024, 2100):
        found += [date(year, month, 1) - timedelta(days=k) for month in range(1, 13) for k in (0, 1)]
    return found


def part(day: date, name: str) -> int:
    if name == "day_of_year":
        return day.timetuple().tm_yday
    if name == "quarter":
        return (day.month + 2) // 3
    if name == "week":
        return day.isocalendar().week
    return day.weekday() if name == "weekday" else int(getattr(day, name))


def test_parts_of_dates_are_those_of_the_calendar() -> None:
    known = days()
    lines = "\n".join(f"p_{name} = {name}(d)" for name in PARTS) + "\nrest = is_weekend(d)"
    names = [*(f"p_{name}" for name in PARTS), "rest"]
    found = transformed("d: date", lines, names, {"d": [d.isoformat() for d in known]}, alone=False)
    for name in PARTS:
        assert found[f"p_{name}"].tolist() == [part(d, name) for d in known], name
    assert found["rest"].tolist() == [d.weekday() >= 5 for d in known]


def test_parts_of_timestamps() -> None:
    start = datetime(1969, 12, 30, 22, 59, 58)
    moments = [start + timedelta(seconds=3671 * k, microseconds=k) for k in range(60)]
    lines = "\n".join(f"p_{name} = {name}(t)" for name in (*PARTS, *TIMES))
    names = [f"p_{name}" for name in (*PARTS, *TIMES)]
    found = transformed("t: timestamp", lines, names, {"t": [m.isoformat(" ") for m in moments]})
    for name in PARTS:
        assert found[f"p_{name}"].tolist() == [part(m, name) for m in moments], name
    for name in TIMES:
        assert found[f"p_{name}"].tolist() == [getattr(m, name) for m in moments], name


def test_differences_and_mixed_kinds() -> None:
    columns = {
        "a": ["2024-02-28", "2024-03-01", "2023-12-31"],
        "b": ["2024-03-01", "2024-02-28", "2024-01-01"],
        "t": ["2024-02-28 18:00:00", "2024-02-29 00:00:00.5", "2023-12-31 00:00:00"],
    }
    lines = """n = days_since(b, a)
      f = days_since(t, "2024-02-28")
      h = hours_between(a, t)
      s = seconds_between(t, a)
      w = days_between(a, t)
      later = t > a
      raw = b - a"""
    found = transformed("a: date\n b: date\n t: timestamp", lines, ["n", "f", "h", "s", "w", "later", "raw"], columns)
    assert found["n"].tolist() == found["raw"].tolist() == [2, -2, 1]
    assert found["f"].tolist() == [0, 1, -59]
    assert found["h"].tolist() == np.array([18, -24 + 0.5 / 3600, 0], np.float32).tolist()
    assert found["s"].tolist() == [-18 * 3600, 24 * 3600 - 0.5, 0]
    assert found["w"].tolist() == (np.array([18 * 3600, -24 * 3600 + 0.5, 0], np.float32) / np.float32(86400)).tolist()
    assert found["later"].tolist() == [True, False, False]


def test_parts_have_bounds_and_gaps() -> None:
    """`onehot` takes the bound of each part; a gap in the date is one in the part."""
    lines = """x = concat(month(d |> fill("2020-02-29")) |> onehot, hour(t) |> fill(12) |> onehot)
      gone = is_missing(week(d))"""
    columns = {"d": ["2021-12-01", None, "2020-01-31"], "t": ["2021-01-01 23:00:00", "2021-01-01", None]}
    found = transformed("d: date?\n t: timestamp?", lines, ["x", "gone"], columns)
    assert found["x"].shape == (3, 13 + 24)
    assert found["x"].argmax(axis=1).tolist() == [12, 2, 1]
    assert found["x"][:, 13:].argmax(axis=1).tolist() == [23, 0, 12]
    assert found["gone"].tolist() == [False, True, False]


def test_columns_may_be_called_as_the_functions_are() -> None:
    """A tensor is never called, so the function is meant; what the file says of the name goes on being the column."""
    lines = """year = year(day) + number_of(year)
      month = day |> month
      again = month(day) + month
      first = mode |> category(["a", "b"])"""
    text = "fn number_of(x: i32[B]) -> i32[B] { return x }\n"
    columns = {"day": ["2024-05-06", "2023-01-02"], "year": [1, 2], "mode": ["b", "a"], "zero": [0.0, 0.0]}
    model = bmc.compile(text + program("day: date\n year: i32\n mode: str", lines, ["year", "month", "again", "first"])).train(
        {"D": columns}
    )
    found = model.predict(columns)
    assert found["year"].tolist() == [2025, 2025]
    assert found["month"].tolist() == [5, 1]
    assert found["again"].tolist() == [10, 2]
    assert found["first"].tolist() == ["b", "a"]


def test_a_date_is_no_number(golden: Callable[[str, str], None]) -> None:
    lines = "where day > 5 and day < other and day != other\n a = day |> standardize\n b = hour(day)\n c = day == x"
    with pytest.raises(bmc.BmcError) as caught:
        bmc.compile(program("day: date\n other: timestamp\n x: f32", lines, ["a", "b", "c"]))
    golden("no_number", render_all(caught.value.diagnostics))
