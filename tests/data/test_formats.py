"""The same values give the same bits, from csv by either reader, from parquet, npz, JSON lines and memory."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bmc.data import read_rows
from bmc.data.files.opening import Stream
from bmc.data.formats import csv_format
from bmc.data.formats.csv_arrow import ArrowReader
from bmc.data.formats.csv_records import Layout, Part
from bmc.frontend.unit import ColumnSpec
from bmc_runtime.table import Column, Table

Put = Callable[[str, str | bytes], Path]
DECLARATIONS = (
    "name: str", "sex: str?", "mass: f32", "bill: f32?", "age: i32", "small: u8?", "id: i64", "ok: bool", "maybe: bool?",
    "far: f64?", "born: date", "seen: timestamp?",
)  # fmt: skip
CSV = """name,sex,mass,bill,age,small,id,ok,maybe,far,born,seen
Ada,female,0.1,39.1,3,0,9007199254740993,true,1,0.1,2024-02-29,2024-02-29 12:30:00.5
"Bo, ""the"" bird",NA,16777217,NA,-2147483648,,-9223372036854775808,0,,1e-310,1969-12-31,
é中,male,1e-45,nan,2147483647,255,0,False,false,nan,1970-01-01,1969-12-31T23:59:59.999999
"two
lines",,3.4028236e38,-0,0,7,1,1,true,-0.0,9999-12-31,0001-01-01
"""
NS_DAY = 86_400_000_000


def values() -> dict[str, list[Any]]:
    """The table above as Python has it; times as numbers."""
    return {
        "name": ["Ada", 'Bo, "the" bird', "é中", "two\nlines"],
        "sex": ["female", None, "male", None],
        "mass": [0.1, 16777217, 1e-45, 3.4028236e38],
        "bill": [39.1, None, math.nan, -0.0],
        "age": [3, -(2**31), 2**31 - 1, 0],
        "small": [0, None, 255, 7],
        "id": [9007199254740993, -(2**63), 0, 1],
        "ok": [True, False, False, True],
        "maybe": [True, None, False, True],
        "far": [0.1, 1e-310, None, -0.0],
        "born": ["2024-02-29", "1969-12-31", "1970-01-01", "9999-12-31"],
        "seen": ["2024-02-29 12:30:00.5", None, "1969-12-31 23:59:59.999999", "0001-01-01"],
    }


def bits(table: Table) -> dict[str, Any]:
    """All that a table holds, to compare; text by value."""
    found: dict[str, Any] = {}
    for name, column in table.columns.items():
        mask = None if column.valid is None else column.valid.tolist()
        content = column.to_python() if column.dtype == "str" else column.data.tobytes()
        found[name] = (column.dtype, column.data.shape, mask, content)
    return found


def read(path: Any, columns: list[ColumnSpec]) -> Table:
    return read_rows(path, columns, na=("", "NA")).table


@pytest.fixture
def expected(declare: Any, put: Put) -> dict[str, Any]:
    return bits(read(put("birds.csv", CSV), declare.columns(*DECLARATIONS)))


def test_csv_is_what_it_says(declare: Any, put: Put) -> None:
    columns = read(put("birds.csv", CSV), declare.columns(*DECLARATIONS)).columns
    wanted = values()
    assert columns["name"].to_python() == wanted["name"]
    assert columns["sex"].to_python() == wanted["sex"]
    assert columns["mass"].data.tolist() == [np.float32(0.1), 2.0**24, 2.0**-149, np.inf]
    assert columns["bill"].to_python() == [np.float32(39.1).item(), None, None, 0.0]
    assert np.signbit(columns["bill"].data[3])  # type: ignore[arg-type]
    assert columns["id"].to_python() == wanted["id"]
    assert columns["small"].to_python() == wanted["small"]
    assert columns["maybe"].to_python() == wanted["maybe"]
    assert columns["born"].to_python() == [19_782, -1, 0, 2_932_896]
    assert columns["seen"].to_python() == [(19_782 * 86_400 + 45_000) * 10**6 + 500_000, None, -1, -719_162 * NS_DAY]


def test_both_readers_of_csv(declare: Any, put: Put, expected: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    columns = declare.columns(*DECLARATIONS)
    first, _, rest = CSV.partition("\n")
    layout = Layout("birds.csv", tuple(columns), ("", "NA"), ",", tuple(first.split(",")))
    assert ArrowReader(layout).read(Part(rest.encode(), 2, True)) is not None
    monkeypatch.setattr(csv_format, "SMALL", 0)
    assert bits(read(put("birds.csv", CSV), columns)) == expected


def test_csv_variants(declare: Any, put: Put, expected: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    columns = declare.columns(*DECLARATIONS)
    variants = {
        "bom.csv": b"\xef\xbb\xbf" + CSV.encode(),
        "blank.csv": ("\n" + CSV.replace("é中", "\n\né中") + "\n\n").encode(),
        "open.csv": CSV.rstrip("\n").encode(),
    }
    for small in (csv_format.SMALL, 0):
        monkeypatch.setattr(csv_format, "SMALL", small)
        for name, content in variants.items():
            assert bits(read(put(name, content), columns)) == expected, (name, small)
        windows = bits(read(put("windows.csv", CSV.replace("\n", "\r\n")), columns))
        assert windows.pop("name")[3] == ["Ada", 'Bo, "the" bird', "é中", "two\r\nlines"]
        assert windows == {key: value for key, value in expected.items() if key != "name"}
        tabs = "\n".join(["mass\tsex", "1\tmale", "2\tNA"])
        assert read(put("t.tsv", tabs), declare.columns("mass: f32", "sex: str?")).columns["sex"].to_python() == ["male", None]


def test_jsonl(declare: Any, put: Put, expected: dict[str, Any]) -> None:
    wanted = values()
    lines = []
    for row in range(4):
        record = {name: wanted[name][row] for name in wanted}
        if row == 3:
            del record["sex"]  # a name that is not there is a missing cell
        lines.append(json.dumps(record, ensure_ascii=row % 2 == 0))
    path = put("birds.jsonl", "\n\n".join(lines))
    assert bits(read(path, declare.columns(*DECLARATIONS))) == expected


def test_memory(declare: Any, expected: dict[str, Any]) -> None:
    wanted = values()
    columns = declare.columns(*DECLARATIONS)
    assert bits(read(wanted, columns)) == expected
    arrays: Mapping[str, Any] = {
        **wanted,
        "name": np.array(wanted["name"]),
        "sex": np.array(wanted["sex"], object),
        "mass": np.array(wanted["mass"], np.float64),
        "bill": np.array([39.1, np.nan, np.nan, -0.0]),
        "age": np.array(wanted["age"], ">i8"),
        "small": np.array([0, np.nan, 255, 7]),
        "id": np.array(wanted["id"]),
        "maybe": np.array([1.0, np.nan, 0.0, 1.0], np.float16),
        "far": np.array([0.1, 1e-310, np.nan, -0.0]),
        "born": np.array(wanted["born"], "M8[D]"),
        "seen": np.array([text or "NaT" for text in wanted["seen"]], "M8[us]"),
    }
    assert bits(read(arrays, columns)) == expected
    mixed = {**arrays, "name": tuple(wanted["name"]), "born": np.array(wanted["born"], "M8[s]"), "age": [3.0, *wanted["age"][1:]]}
    assert bits(read(mixed, columns)) == expected


def test_npz(declare: Any, tmp_path: Path, expected: dict[str, Any]) -> None:
    wanted = values()
    plain: dict[str, Any] = {
        "name": np.array(wanted["name"]),
        "sex": np.array([text or "NA" for text in wanted["sex"]]),
        "mass": np.array(wanted["mass"]),
        "bill": np.array([39.1, np.nan, np.nan, -0.0]),
        "age": np.array(wanted["age"]),
        "small": np.array([0, np.nan, 255, 7], np.float32),
        "id": np.array(wanted["id"]),
        "ok": np.array(wanted["ok"]),
        "maybe": np.array([1, np.nan, 0, 1]),
        "far": np.array([0.1, 1e-310, np.nan, -0.0]),
        "born": np.array(wanted["born"], "M8[D]"),
        "seen": np.array([text or "" for text in wanted["seen"]]),
    }
    np.savez(tmp_path / "birds.npz", allow_pickle=False, **plain)
    assert bits(read(tmp_path / "birds.npz", declare.columns(*DECLARATIONS))) == expected


def parquet_table(small: Any, text: Any) -> pa.Table:
    wanted = values()
    return pa.table({
        "name": pa.array(wanted["name"], text),
        "sex": pa.array([*wanted["sex"][:3], "NA"], text),
        "mass": pa.array(wanted["mass"], pa.float64()),
        "bill": pa.array([39.1, None, math.nan, -0.0], pa.float64()),
        "age": pa.array(wanted["age"], pa.int64()),
        "small": pa.array(wanted["small"], small),
        "id": pa.array(wanted["id"], pa.int64()),
        "ok": pa.array(wanted["ok"]),
        "maybe": pa.array(wanted["maybe"]),
        "far": pa.array(wanted["far"], pa.float64()),
        "born": pa.array(np.array(wanted["born"], "M8[D]")),
        "seen": pa.array(np.array([t or "NaT" for t in wanted["seen"]], "M8[us]"), pa.timestamp("us", "UTC")),
    })  # fmt: skip


@pytest.mark.parametrize("small", [pa.uint8(), pa.int64(), pa.float32(), pa.decimal128(5, 1)])
@pytest.mark.parametrize("text", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_parquet(declare: Any, tmp_path: Path, expected: dict[str, Any], small: Any, text: Any) -> None:
    pq.write_table(parquet_table(small, text), tmp_path / "birds.parquet", row_group_size=3)
    assert bits(read(tmp_path / "birds.parquet", declare.columns(*DECLARATIONS))) == expected


def test_dates_and_times_of_parquet(declare: Any, tmp_path: Path) -> None:
    moments = np.array(["2024-02-29 12:30:00", "1969-12-31 23:59:59"], "M8[s]")
    for unit in ("s", "ms", "us", "ns"):
        seen = pa.array(moments.astype(f"M8[{unit}]"), pa.timestamp(unit))
        pq.write_table(pa.table({"seen": seen, "born": pa.array(["2024-02-29", "1970-01-02"])}), tmp_path / "t.parquet")
        found = read(tmp_path / "t.parquet", declare.columns("seen: timestamp?", "born: date")).columns
        assert found["seen"].data.tolist() == (moments.astype("M8[us]").astype(np.int64)).tolist()
        assert found["born"].data.tolist() == [19_782, 1]


def test_cells_of_several_values(declare: Any, tmp_path: Path, put: Put) -> None:
    image = np.arange(24, dtype=np.uint8).reshape(4, 2, 3)
    pair = np.array([[1.5, 2], [np.nan, 0], [-0.0, 1e-46], [3, 4]])
    columns = declare.columns("image: u8[2, 3]", "pair: f32[2]?", "words: str[2]")
    words = [["a", "b"], ["", "é"], ["c", "d"], ["e", "f"]]
    np.savez(tmp_path / "c.npz", allow_pickle=False, image=image, pair=pair, words=np.array(words))
    expected = bits(read(tmp_path / "c.npz", columns))
    assert expected["pair"][2] == [True, False, True, True]
    assert expected["image"][:2] == ("u8", (4, 2, 3))
    assert expected["words"][3] == words
    pairs: list[Any] = [[1.5, 2.0], None, [-0.0, 1e-46], [3, 4]]
    in_memory = {"image": image.astype(np.int64), "pair": pairs, "words": words}
    assert bits(read(in_memory, columns)) == expected
    records = [{"image": image[i].tolist(), "pair": pairs[i], "words": words[i]} for i in range(4)]
    assert bits(read(put("c.jsonl", "\n".join(map(json.dumps, records))), columns)) == expected
    flat = pa.FixedSizeListArray.from_arrays(pa.array(image.ravel()), 6)
    for images in (flat, pa.array([i.ravel().tolist() for i in image]), pa.array(image.tolist())):
        pq.write_table(pa.table({"image": images, "pair": pa.array(pairs), "words": pa.array(words)}), tmp_path / "c.parquet")
        assert bits(read(tmp_path / "c.parquet", columns)) == expected


_NUMBERS = st.one_of(
    st.floats(allow_nan=False).map(repr),
    st.integers(-(2**70), 2**70).map(str),
    st.decimals(-1000, 1000, places=6).map(str),
    st.from_regex(r"[+-]?[0-9]{0,4}\.?[0-9]{0,25}(e[+-]?[0-9]{1,3})?", fullmatch=True),
)
_WILD = st.text("0123456789+-.eExX_naif \tNA\"',;:TZ/", max_size=12)
_TIME = r"20[0-9]{2}-0[1-9]-[0-2]9[T ][0-2][0-9](:[0-6][0-9](:[0-6][0-9](\.[0-9]{1,9})?)?)?(Z|[+]01:00)?"
_TIMES = st.one_of(
    st.datetimes().map(str), st.dates().map(str), st.datetimes().map(lambda t: t.isoformat(timespec="milliseconds")),
    st.from_regex(r"[0-9]{4}-[01][0-9]-[0-3][0-9]", fullmatch=True), st.from_regex(_TIME, fullmatch=True),
)  # fmt: skip
_DRAWN = ("bill: f32?", "far: f64?", "small: u8?", "id: i64", "seen: timestamp?", "born: date", "sex: str?", "maybe: bool?")


def quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def same(left: Column, right: Column) -> bool:
    if (left.valid is None) != (right.valid is None) or left.dtype != right.dtype:
        return False
    masks = left.valid is None or right.valid is None or bool((left.valid == right.valid).all())
    return masks and (left.to_python() == right.to_python() if left.dtype == "str" else left.data.tobytes() == right.data.tobytes())


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_arrow_takes_only_what_the_rules_take_and_gives_the_same(data: Any) -> None:
    """Random cells, mostly of the column's kind: where Arrow reads a file, the rules read the same from it."""
    declaration = data.draw(st.sampled_from(_DRAWN))
    spec = _declared(declaration)
    kind = {"seen": _TIMES, "born": _TIMES, "maybe": st.sampled_from(["true", "0", "False", "TRUE"])}.get(spec.name, _NUMBERS)
    cells = data.draw(st.lists(st.one_of(kind, kind, kind, _WILD) if data.draw(st.booleans()) else kind, min_size=1, max_size=4))
    content = "x," + spec.header + "\n" + "".join(f"1,{quoted(cell)}\n" for cell in cells)
    layout = Layout("t.csv", (spec,), ("", "NA"), ",", ("x", spec.header))
    fast = ArrowReader(layout).read(Part(content.partition("\n")[2].encode(), 2, True))
    stream = Stream("t.csv", io.BytesIO(content.encode()), None, size=None)
    (slow,) = csv_format.read_csv(stream, [spec], ("", "NA"))
    if fast is not None:
        left, right = fast.columns[spec.name], slow.columns[spec.name]
        assert [(cell.row, cell.missing) for cell in left.bad] == [(cell.row, cell.missing) for cell in right.bad]
        assert same(left.column, right.column)


def _declared(declaration: str) -> ColumnSpec:
    from bmc.source import SourceFile, Span

    name, _, kind = declaration.partition(": ")
    base = kind.rstrip("?")
    dtype, column_kind = {"date": ("i32", "date"), "timestamp": ("i64", "timestamp")}.get(base, (base, "plain"))
    return ColumnSpec(name, name, dtype, column_kind, kind.endswith("?"), (), Span(SourceFile("m.bm", ""), 0, 0))  # type: ignore[arg-type]
