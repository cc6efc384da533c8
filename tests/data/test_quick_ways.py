"""Quick ways through JSON lines and Python values give what the rules give, or nothing."""

from __future__ import annotations

import json
from datetime import date, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bmc.data.cells import alike, convert
from bmc.data.formats import jsonl_format
from bmc.data.formats.jsonl_arrow import read_with_arrow
from bmc.frontend.unit import ColumnSpec
from bmc.source import SourceFile, Span
from bmc_runtime.table import Column

_SPAN = Span(SourceFile("m.bm", ""), 0, 0)
_KINDS = {"date": ("i32", "date"), "timestamp": ("i64", "timestamp")}


def declared(kind: str) -> ColumnSpec:
    dtype, what = _KINDS.get(kind.rstrip("?"), (kind.rstrip("?"), "plain"))
    return ColumnSpec("a", "a", dtype, what, kind.endswith("?"), (), _SPAN)  # type: ignore[arg-type]


def same(left: Column, right: Column) -> bool:
    if left.dtype != right.dtype or (left.valid is None) != (right.valid is None):
        return False
    masks = left.valid is None or right.valid is None or bool((left.valid == right.valid).all())
    return masks and (left.to_python() == right.to_python() if left.dtype == "str" else left.data.tobytes() == right.data.tobytes())


_TYPES = st.sampled_from(["f32", "f64?", "i32", "i64?", "u8?", "bool", "bool?", "str", "str?", "date", "date?", "timestamp?"])
_TIMES = st.one_of(
    st.datetimes().map(str), st.datetimes().map(lambda t: t.isoformat()), st.dates().map(str),
    st.datetimes().map(lambda t: str(t)[:19]),
    st.from_regex(r"[0-9]{4}-[01][0-9]-[0-3][0-9]([T ][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\.[0-9]{1,7})?)?", fullmatch=True),
)  # fmt: skip
_VALUES = {
    "f": st.one_of(st.floats(), st.integers(-(2**70), 2**70)),
    "i": st.integers(-(2**64), 2**64),
    "u": st.integers(-2, 258),
    "b": st.booleans(),
    "s": st.text(max_size=4),
    "d": _TIMES,
    "t": _TIMES,
}


@settings(max_examples=400, deadline=None)
@given(_TYPES, st.data())
def test_values_that_are_alike(kind: str, data: Any) -> None:
    spec = declared(kind)
    usual = _VALUES[kind[0]]
    values = data.draw(st.lists(st.one_of(usual, usual, st.none()) if data.draw(st.booleans()) else usual, min_size=1, max_size=6))
    values = values * (alike._FEWEST if data.draw(st.booleans()) else 1)
    na = frozenset(data.draw(st.sampled_from([(), ("",), ("a", "2024-02-29")])))
    quick = alike.column_of(spec, values, na)
    if quick is None:
        return

    def missing(value: Any) -> bool:
        return convert.is_missing(value) or (isinstance(value, str) and value in na)

    slow = convert._from_cells(spec, values, convert.value_parser(spec), missing)
    assert not slow.bad
    assert same(quick, slow.column)


@pytest.mark.parametrize(("kind", "values"), [
    ("f64", [1, 2.5]), ("f32?", [1.5, None, float("nan")]), ("i64", [2**63 - 1, -(2**63)]), ("u8", [0, 255]),
    ("bool?", [True, None]),
    ("str?", ["é", None, "x"]), ("date", ["0001-01-01", "2024-02-29"]), ("timestamp?", ["2024-02-29T12:30:00.25", None]),
])  # fmt: skip
def test_the_quick_way_is_taken(kind: str, values: list[Any]) -> None:
    assert alike.column_of(declared(kind), values * alike._FEWEST, frozenset()) is not None


_LITERAL = st.one_of(
    st.sampled_from(["-0", "0", "-0.0", "1e400", "NaN", "Infinity", "null", "true", "01", "1.", "-", "{}", "[]"]),
    st.sampled_from(['"\\ud800"', '"\\udc00"', '"\\u0000"', '"\\ud83d\\ude00"', '"\\/"', '"a\tb"']),
    st.floats().map(json.dumps), st.integers(-(2**70), 2**70).map(json.dumps), st.text(max_size=5).map(json.dumps),
    st.text(max_size=5).map(lambda text: json.dumps(text, ensure_ascii=False)),
    _TIMES.map(json.dumps), st.booleans().map(json.dumps),
)  # fmt: skip
_LINE = st.one_of(
    _LITERAL.map(lambda cell: f'{{"a": {cell}}}'),
    _LITERAL.map(lambda cell: f'{{"b": 1, "a": {cell}}}'),
    st.sampled_from(["{}", '{"b": 1}', '{"a": 1, "a": 2}', '{"a": 1}{"a": 2}', '{"a":', "1}", "", ' {"a": 1}', '{"a": 1} ', "[]"]),
)


@settings(max_examples=600, deadline=None)
@given(_TYPES, st.lists(_LINE, min_size=1, max_size=4), st.booleans(), st.sampled_from([(), ("",), ("1",)]))
@example("f64", ['{"a": -0}'], True, ())
@example("f64", ['{"a": 1}{"a": 2}', '{"a":', "3}"], True, ())
@example("str", ['{"a": "\\udc00"}'], True, ())
def test_arrow_takes_of_json_only_what_the_rules_take(kind: str, lines: list[str], ended: bool, na: tuple[str, ...]) -> None:
    spec = declared(kind)
    text = ("\n".join(lines) + ("\n" if ended else "")).encode("utf-8", "surrogatepass")
    try:
        text.decode()
    except UnicodeDecodeError:
        return
    quick = read_with_arrow(text, 5, [spec], na)
    if quick is None:
        return
    slow = jsonl_format._by_line(jsonl_format._Lines(text, 5), "t.jsonl", [spec], na).raw
    assert not slow.broken
    assert not slow.columns["a"].bad
    assert slow.rows == quick.rows
    assert [slow.place(row) for row in range(slow.rows)] == [quick.place(row) for row in range(slow.rows)]
    assert same(quick.columns["a"].column, slow.columns["a"].column)


def test_arrow_reads_ordinary_lines() -> None:
    text = "".join(json.dumps({"a": i / 7, "z": "é"}) + "\n" for i in range(9)).encode()
    found = read_with_arrow(text, 1, [declared("f64")], ())
    assert found is not None
    assert found.columns["a"].column.data.tolist() == [i / 7 for i in range(9)]
    days = "".join(json.dumps({"a": str(date(2024, 1, i + 1))}) + "\n" for i in range(9)).encode()
    found = read_with_arrow(days, 1, [declared("date")], ())
    assert found is not None
    assert int(found.columns["a"].column.data[0]) == (datetime(2024, 1, 1) - datetime(1970, 1, 1)).days
    assert np.all(np.diff(found.columns["a"].column.data) == 1)
