"""What each text and each Python value becomes, and what is refused."""

from __future__ import annotations

import datetime
import math
from typing import Any

import numpy as np
import pytest

from bmc.data.cells.rules import CellError, is_missing, text_parser, value_parser

DAY = datetime.date(2024, 2, 29)
NOON = datetime.datetime(2024, 2, 29, 12, 30, 0, 500_000)
DAYS = 19_782  # from 1970-01-01: 54 years of 365 days, 13 leap days before 2024, and 59 days of it
MICROS = (DAYS * 86_400 + 45_000) * 1_000_000 + 500_000

TEXTS: list[tuple[str, str, Any]] = [
    ("mass: f32", "1", 1.0), ("mass: f32", " +1.50\t", 1.5), ("mass: f32", ".5", 0.5), ("mass: f32", "1.", 1.0),
    ("mass: f32", "-1e-3", -0.001), ("mass: f32", "1E5", 1e5), ("mass: f32", "inf", math.inf),
    ("mass: f32", "-Infinity", -math.inf),    ("mass: f32", "1e400", math.inf), ("mass: f32", "-0", -0.0),
    ("age: i32", "007", 7), ("age: i32", "-2147483648", -(2**31)), ("age: i32", "3.0", 3), ("age: i32", "1e3", 1000),
    ("id: i64", "9223372036854775807", 2**63 - 1), ("id: i64", "+5", 5), ("small: u8?", "255", 255),
    ("ok: bool", "true", True), ("ok: bool", "0", False), ("ok: bool", "TRUE", True), ("ok: bool", "False", False),
    ("name: str", " a b ", " a b "), ("name: str", "", ""),
    ("born: date", "2024-02-29", DAYS), ("born: date", "1970-01-01", 0), ("born: date", "1969-12-31", -1),
    ("seen: timestamp?", "2024-02-29 12:30:00.5", MICROS), ("seen: timestamp?", "2024-02-29T12:30:00.500000999Z", MICROS),
    ("seen: timestamp?", "2024-02-29 14:30:00.5+02:00", MICROS), ("seen: timestamp?", "2024-02-29T04:00:00.5-0830", MICROS),
    ("seen: timestamp?", "1970-01-01", 0), ("seen: timestamp?", "1970-01-01 01", 3_600_000_000),
    ("seen: timestamp?", "1969-12-31 23:59:59.9", -100_000),
]  # fmt: skip


@pytest.mark.parametrize(("declaration", "text", "value"), TEXTS)
def test_texts(declare: Any, declaration: str, text: str, value: Any) -> None:
    found = text_parser(declare.column(declaration))(text)
    assert (type(found), repr(found)) == (type(value), repr(value))


def test_a_text_may_say_nan(declare: Any) -> None:
    assert math.isnan(text_parser(declare.column("mass: f32"))("NaN"))


@pytest.mark.parametrize(
    ("declaration", "text"),
    [
        ("mass: f32", text) for text in ("", " ", "abc", "1,5", "1_000", "0x1F", "1e", "--1", "١", "1 2", "infinite", "$3")
    ] + [
        ("age: i32", text) for text in ("", "1.5", "2147483648", "0x1F", "1_000", "nan", "inf", "1" * 5000, "1e30")
    ] + [
        ("small: u8?", "256"), ("small: u8?", "-1"), ("id: i64", "9223372036854775808"),
        ("ok: bool", "yes"), ("ok: bool", " true"), ("ok: bool", "2"), ("ok: bool", ""),
        ("born: date", "2023-02-29"), ("born: date", "2024-2-9"), ("born: date", "29.02.2024"), ("born: date", "0000-01-01"),
        ("born: date", "2024-02-29 12:00"),
        ("seen: timestamp?", "2024-02-29 24:00:00"), ("seen: timestamp?", "2024-02-29 12:60"), ("seen: timestamp?", "noon"),
        ("seen: timestamp?", "2024-02-29 12:00+25:00"), ("seen: timestamp?", "2024-02-29Z"),
    ],
)  # fmt: skip
def test_bad_texts(declare: Any, declaration: str, text: str) -> None:
    with pytest.raises(CellError, match=r"^(is|does|has) "):
        text_parser(declare.column(declaration))(text)


@pytest.mark.parametrize(
    ("declaration", "value", "found"),
    [
        ("mass: f32", 3, 3.0), ("mass: f32", 2.5, 2.5), ("age: i32", 3.0, 3), ("age: i32", -5, -5), ("ok: bool", 1, True),
        ("ok: bool", False, False), ("ok: bool", 0.0, False), ("name: str", "é", "é"), ("name: str", "é".encode(), "é"),
        ("born: date", DAY, DAYS), ("born: date", "2024-02-29", DAYS), ("born: date", datetime.datetime(2024, 2, 29), DAYS),
        ("seen: timestamp?", NOON, MICROS), ("seen: timestamp?", DAY, DAYS * 86_400_000_000),
        ("seen: timestamp?", NOON.replace(tzinfo=datetime.UTC), MICROS),
        ("seen: timestamp?", NOON.replace(tzinfo=datetime.timezone(datetime.timedelta(hours=1))), MICROS - 3_600_000_000),
    ],
)  # fmt: skip
def test_values(declare: Any, declaration: str, value: Any, found: Any) -> None:
    result = value_parser(declare.column(declaration))(value)
    assert (type(result), result) == (type(found), found)


@pytest.mark.parametrize(
    ("declaration", "value"),
    [
        ("mass: f32", "3"), ("mass: f32", True), ("mass: f32", 10**400), ("age: i32", True), ("age: i32", 1.5), ("age: i32", "1"),
        ("age: i32", 2**31), ("ok: bool", 2), ("ok: bool", "true"), ("name: str", 3), ("name: str", b"\xff"),
        ("name: str", "\ud800"), ("born: date", 5), ("born: date", NOON), ("seen: timestamp?", 5), ("mass: f32", [1.0]),
    ],
)  # fmt: skip
def test_bad_values(declare: Any, declaration: str, value: Any) -> None:
    with pytest.raises(CellError, match=r"^(is|does|has) "):
        value_parser(declare.column(declaration))(value)


def test_missing_values() -> None:
    missing = [None, math.nan, np.float64("nan"), type("NAType", (), {})()]
    assert all(map(is_missing, missing))
    assert not any(map(is_missing, [0, 0.0, "", "NA", False, [], math.inf]))
