"""Columns whose rows differ in length: the same steps from parquet, Arrow, JSON lines, `.ts` and memory; and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import ipc

from bmc.data import read_rows, write_predictions
from bmc.frontend.unit import ColumnSpec
from bmc_runtime.table import Table

Put = Callable[[str, str | bytes], Path]
SERIES = [[[0.1, 2.0], [3.0, -4.5], [5.0, 1e30]], [[7.0, 8.0]], [], [[1.0, 0.0], [16777217.0, 2.0]]]
LABELS = ["a", "b", "c", "a"]


def columns(declare: Any) -> list[ColumnSpec]:
    return [declare.column("series: f32[T, 2]"), declare.column("label: str")]


def content(table: Table) -> list[Any]:
    series = table.columns["series"]
    return [series.steps.tolist(), series.dense(3).tobytes(), table.columns["label"].to_python()]


def test_every_format_gives_the_same_bits(declare: Any, put: Put, tmp_path: Path) -> None:
    specs = columns(declare)
    expected = content(read_rows({"series": SERIES, "label": LABELS}, specs).table)
    assert expected[0] == [3, 1, 0, 2]
    assert np.frombuffer(expected[1], np.float32)[0] == np.float32(0.1)
    nested = pa.table({"series": SERIES, "label": LABELS})
    fixed = pa.table({"series": pa.array(SERIES, pa.list_(pa.list_(pa.float64(), 2))), "label": LABELS})
    for number, table in enumerate((nested, fixed, fixed.slice(0, 4))):
        pq.write_table(table, tmp_path / f"{number}.parquet")
        with ipc.new_file(tmp_path / f"{number}.arrow", table.schema) as writer:
            writer.write_table(table)
        with ipc.new_stream(tmp_path / f"s{number}.arrow", table.schema) as stream:
            stream.write_table(table)
        for name in (f"{number}.parquet", f"{number}.arrow", f"s{number}.arrow"):
            assert content(read_rows(tmp_path / name, specs).table) == expected, name
    lines = "".join(json.dumps({"series": s, "label": t}) + "\n" for s, t in zip(SERIES, LABELS, strict=True))
    assert content(read_rows(put("a.jsonl", lines), specs).table) == expected
    text = "# made\n@classLabel true a b c\n@data\n0.1,3.0,5.0:2.0,-4.5,1e30:a\n7:8:b\n::c\n1, 16777217:0,2:a\n"
    assert content(read_rows(put("a.ts", text), specs).table) == expected
    objects = np.empty(4, object)
    objects[:] = [np.array(row).reshape(-1, 2) for row in SERIES]
    assert content(read_rows({"series": objects, "label": LABELS}, specs).table) == expected


def test_steps_of_one_number_and_of_text(declare: Any, put: Put) -> None:
    specs = [declare.column("tags: str[T]"), declare.column("n: i32[T]")]
    lines = '{"tags": ["x", "", "yé"], "n": [1, 0, 2]}\n{"tags": [], "n": []}\n'
    table = read_rows(put("a.jsonl", lines), specs).table
    assert table.columns["tags"].to_python() == [["x", "", "yé"], []]
    assert table.columns["n"].to_python() == [[1, 0, 2], []]


def test_rows_of_one_length_from_ts(declare: Any, put: Put) -> None:
    path = put("a.ts", "@targetLabel true\n@data\n1,2,3:2.5\n4,5,6:-1\n")
    table = read_rows(path, [declare.column("series: f64[3]"), declare.column("label: f32")]).table
    assert table.columns["series"].data.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert table.columns["label"].data.tolist() == [2.5, -1]
    ragged = read_rows(path, [declare.column("series: f64[T, 1]")]).table
    assert ragged.columns["series"].to_python()[1] == [[4], [5], [6]]


def test_what_is_written_reads_back(declare: Any, tmp_path: Path) -> None:
    specs = columns(declare)
    table = read_rows({"series": SERIES, "label": LABELS}, specs).table
    for name in ("p.jsonl", "p.parquet", "p.arrow"):
        write_predictions(tmp_path / name, table.columns)
        assert content(read_rows(tmp_path / name, specs).table) == content(table), name


def test_what_is_refused(declare: Any, put: Put, golden: Callable[[str, str], None], tmp_path: Path) -> None:
    said: list[str] = []
    specs = columns(declare)
    head = "@classLabel true a b\n@data\n"
    for title, text in {
        "dimensions of different length": "1,2:1,2,3:a\n1:2:b\n",
        "a dimension too few": "1:2:a\n1:b\n",
        "no number": "1,x:2,3:a\n",
        "a missing value inside": "1,?:2,3:a\n",
    }.items():
        path = put("a.ts", head + text)
        with declare.refused(said, title):
            read_rows(path, specs)
    for title, text in {
        "no @data": "@classLabel true\n",
        "values before @data": "@classLabel true\n1:2:a\n@data\n",
        "times": "@timestamps true\n@data\n(0,1):a\n",
        "no label": "@classLabel false\n@data\n1:2\n",
        "another number of dimensions": head + "1:2:3:a\n",
    }.items():
        path = put("a.ts", text)
        with declare.refused(said, title):
            read_rows(path, specs)
    for title, text in {
        "no list": '{"series": 3, "label": "a"}\n',
        "a step too wide": '{"series": [[1, 2], [1, 2, 3]], "label": "a"}\n',
        "null inside": '{"series": [[1, null]], "label": "a"}\n',
        "no list at all": '{"label": "a"}\n',
    }.items():
        path = put("a.jsonl", text)
        with declare.refused(said, title):
            read_rows(path, specs)
    pq.write_table(pa.table({"series": [[[1.0, float("nan")]]], "label": ["a"]}), tmp_path / "a.parquet")
    with declare.refused(said, "NaN inside"):
        read_rows(tmp_path / "a.parquet", specs)
    with declare.refused(said, "a number too large inside"):
        read_rows({"n": [[1], [2, 2**31]]}, [declare.column("n: i32[T]")])
    with declare.refused(said, "another width"):
        read_rows({"series": np.zeros((2, 3, 4), np.float32), "label": ["a", "b"]}, specs)
    lines = '{"tags": ["x"], "n": [1]}\n{"tags": ["x"], "n": [2, 3]}\n'
    with declare.refused(said, "two columns of one dim"):
        read_rows(put("b.jsonl", lines), [declare.column("tags: str[T]"), declare.column("n: i32[T]")])
    pq.write_table(pa.table({"series": [1.0], "label": ["a"]}), tmp_path / "a.parquet")
    with declare.refused(said, "numbers, not lists"):
        read_rows(tmp_path / "a.parquet", specs)
    put("a.arrow", b"ARROW1 and nothing else")
    with declare.refused(said, "a damaged Arrow file"):
        read_rows(tmp_path / "a.arrow", specs)
    table = read_rows({"series": SERIES, "label": LABELS}, specs).table
    with declare.refused(said, "rows of different length as csv"):
        write_predictions(tmp_path / "p.csv", table.columns)
    golden("ragged", "\n".join(said))
