"""Parts of dates and timestamps, by the whole path, against Python's calendar."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import numpy as np

from tests.columns import transformed

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
