"""What `bmc data` says of columns: types, gaps, what they look like; the same from each format."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import ipc, parquet

import bmc
from bmc.driver.profiling.drafting import draft_of
from bmc.driver.profiling.opening import open_table
from bmc.driver.profiling.profile import ColumnProfile, profile_of
from bmc.errors import BmcError

ROWS = 60


def column(tmp_path: Path, cells: list[str], header: str = "c") -> ColumnProfile:
    path = tmp_path / "t.csv"
    path.write_text(header + ",other\n" + "".join(f"{cell},1\n" for cell in cells), encoding="utf-8")
    return profile_of(path).columns[0]


def repeated(*cells: str) -> list[str]:
    return [cells[i % len(cells)] for i in range(ROWS)]


@pytest.mark.parametrize(
    ("cells", "kind", "role"),
    [
        (repeated("1", "2", "5"), "i32", "number"),
        (repeated("1", "2.5", "-3e2"), "f32", "number"),
        (repeated("3000000000", "1"), "i64", "number"),
        (repeated("0", "1"), "i32", "number"),
        (repeated("0.0", "1.0", "2.0"), "i32", "number"),
        (repeated("true", "False"), "bool", "flag"),
        (repeated("2024-02-29", "2023-01-01"), "date", "date"),
        (repeated("2024-02-29 10:00", "2023-01-01"), "timestamp", "timestamp"),
        (repeated("a", "b b", "c"), "str", "category"),
        (repeated("01067", "99999", "10115"), "str", "category"),
        ([f"{i} words in a row of them" for i in range(ROWS)], "str", "prose"),
        ([f"u-{i * 7}" for i in range(ROWS)], "str", "identity"),
        ([str(i + 1000) for i in range(ROWS)], "i32", "identity"),
        ([str((i * 37) % 101) for i in range(ROWS)], "i32", "number"),
        (repeated("7"), "i32", "constant"),
        (repeated("", " "), "str", "empty"),
        ([f"{i % 28 + 1:02d}.03.2024" for i in range(ROWS)], "str", "foreign"),
        ([f"{i}.{i:03d} EUR" for i in range(ROWS)], "str", "foreign"),
    ],
)
def test_types_and_roles(tmp_path: Path, cells: list[str], kind: str, role: str) -> None:
    found = column(tmp_path, cells)
    assert (found.type, found.role) == (kind, role)


def test_texts_that_stand_for_gaps(tmp_path: Path) -> None:
    found = column(tmp_path, [*repeated("1.5", "2.5", "n/a"), "", "?"])
    assert found.type == "f32"
    assert dict(found.gaps) == {"n/a": 20, "?": 1}
    assert found.missing == 22
    assert dict(column(tmp_path, [*(["4", "6", "5"] * 40), "pending"]).gaps) == {"pending": 1}  # one odd word of 121 cells
    assert column(tmp_path, repeated("4", "pending")).type == "str"
    assert dict(column(tmp_path, repeated("red", "NA", "none")).gaps) == {"NA": 20}


def test_a_number_far_from_all_others_is_a_gap(tmp_path: Path) -> None:
    found = column(tmp_path, [*(str(i % 30) for i in range(ROWS)), "-999", "-999", "-999.0"])
    assert dict(found.gaps) == {"-999": 2, "-999.0": 1}
    assert found.numbers is not None
    assert found.numbers.least == 0
    assert not column(tmp_path, [*(str(i * 40) for i in range(ROWS)), "999", "999"]).gaps


def test_numbers_are_exact(tmp_path: Path) -> None:
    values = np.random.default_rng(1).normal(size=500)
    found = column(tmp_path, [repr(float(v)) for v in values]).numbers
    assert found is not None
    assert (found.least, found.greatest) == (values.min(), values.max())
    assert found.quantiles == tuple(np.quantile(values, (0.01, 0.25, 0.5, 0.75, 0.99)).tolist())
    assert sum(found.histogram) == 500
    assert not found.skewed
    assert column(tmp_path, [repr(float(v)) for v in np.exp(2 * values)]).numbers.skewed  # type: ignore[union-attr]


def test_formats_agree(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    numbers, words = rng.normal(size=ROWS).round(3), [("x", "y")[i % 2] for i in range(ROWS)]
    flags, days = [bool(i % 3) for i in range(ROWS)], np.datetime64("2024-01-01") + np.arange(ROWS) % 9
    table = pa.table({"n": numbers, "w": words, "f": flags, "d": pa.array(days)})
    parquet.write_table(table, tmp_path / "t.parquet")
    with ipc.new_stream(tmp_path / "t.arrow", table.schema) as sink:
        sink.write_table(table)
    rows = [{"n": float(n), "w": w, "f": f, "d": str(d)} for n, w, f, d in zip(numbers, words, flags, days, strict=True)]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = "n;w;f;d\n" + "".join(f"{r['n']};{r['w']};{str(r['f']).lower()};{r['d']}\n" for r in rows)
    (tmp_path / "t.csv").write_text(text)
    (tmp_path / "z.csv.gz").write_bytes(gzip.compress(text.encode()))
    found = [profile_of(tmp_path / name) for name in ("t.parquet", "t.arrow", "t.jsonl", "t.csv", "z.csv.gz")]
    assert [dict(p.options) for p in found[3:]] == [{"separator": ";"}, {"separator": ";"}]
    for profile in found:
        assert profile.rows == ROWS
        assert [(c.type, c.role, c.distinct, c.numbers, c.labels) for c in profile.columns] == [
            (c.type, c.role, c.distinct, c.numbers, c.labels) for c in found[0].columns
        ]
    np.savez(tmp_path / "t.npz", n=numbers, w=np.array(words), f=np.array(flags))
    arrays = profile_of(tmp_path / "t.npz")
    assert [c.type for c in arrays.columns] == ["f32", "str", "bool"]


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16", "utf-8-sig"])
def test_marks_and_encodings_of_csv(tmp_path: Path, encoding: str) -> None:
    text = "größe;preis\n" + "".join(f"{i},5;{i % 7},25\n" for i in range(ROWS))
    (tmp_path / "t.csv").write_bytes(text.encode(encoding))
    found = profile_of(tmp_path / "t.csv")
    assert dict(found.options) == {"separator": ";", "decimal": ","} | ({} if encoding == "utf-8-sig" else {"encoding": encoding})
    assert [c.header for c in found.columns] == ["größe", "preis"]
    assert [c.type for c in found.columns] == ["f32", "f32"]
    assert found.columns[0].numbers is not None
    assert found.columns[0].numbers.greatest == 59.5
    assert found.columns[0].head_numbers[2] == 2.5
    draft = draft_of(found, "preis").text
    assert bmc.compile(draft, overrides={"epochs": 1}).train().history


def test_headers_that_no_block_can_name(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,a,,B b\n1,2,3,4\n")
    found = open_table(tmp_path / "t.csv")
    assert found.headers == ("B b",)
    assert [header for header, _ in found.unreadable] == ["a", ""]


def test_as_many_rows_as_are_asked_for(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n" + "1,2\n" * 100)
    assert [(p.rows, p.complete) for p in (profile_of(tmp_path / "t.csv", n) for n in (99, 100, 101))] == [
        (99, False), (100, True), (100, True)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("t.csv", b"", "E0724"),
        ("t.csv", b"a,b\n1,2,3\n", "E0726"),
        ("t.csv", b"a,b\n1,\x81\n", "E0725"),
        ("t.csv", b"a,b\n1,\0\n", "E0725"),
        ("t.jsonl", b"{\n", "E0727"),
        ("t.jsonl", b"[1]\n", "E0727"),
        ("t.parquet", b"PAR1 nothing", "E0727"),
        ("t.arrow", b"ARROW1 nothing", "E0727"),
        ("t.npz", b"PK\x03\x04", "E0727"),
        ("t.csv.gz", b"\x1f\x8b nothing", "E0727"),
        ("t.xls", b"", "E0733"),
    ],
)
def test_what_is_no_table(tmp_path: Path, name: str, content: bytes, code: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BmcError) as found:
        profile_of(tmp_path / name)
    assert found.value.diagnostics[0].code == code


def test_json(tmp_path: Path, golden: Callable[[str, str], None]) -> None:
    (tmp_path / "t.csv").write_text("day,n,w\n" + "".join(f"2024-01-0{i % 5 + 1},{i % 7},{'ab'[i % 2]}\n" for i in range(40)))
    made = profile_of(tmp_path / "t.csv").as_json()
    made["file"] = "t.csv"
    golden("json", json.dumps(made, indent=1) + "\n")
