"""Predictions come back from every format with the same bits, and files appear whole."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from pyarrow import feather

from bmc.data import prediction_writer, read_rows, write_predictions
from bmc.data.cells import cell_texts
from bmc.data.writing import arrow_texts
from bmc.errors import BmcError
from bmc_runtime.table import Column, text_column

RNG = np.random.default_rng(4)
NUMBERS = RNG.integers(0, 2**32, 500, dtype=np.uint32).view(np.float32)
FLOATS = np.concatenate([NUMBERS[np.isfinite(NUMBERS)], np.array([0.1, -0.0, 1e-45, 3.4028235e38, 16777216, 1e22], np.float32)])
WORDS = ["plain", 'quo"te', "com,ma", "new\nline", "é中", "", " ", "\\"]


def columns() -> dict[str, Any]:
    rows = len(FLOATS)
    return {
        "mass": FLOATS,
        "far": np.concatenate([RNG.integers(0, 2**62, rows - 1).view(np.float64), [0.1]]),
        "age": RNG.integers(-(2**31), 2**31, rows).astype(np.int32),
        "id": RNG.integers(-(2**63), 2**63 - 1, rows),
        "ok": RNG.integers(0, 2, rows).astype(np.bool_),
        "name": [WORDS[i % len(WORDS)] for i in range(rows)],
    }


@pytest.mark.parametrize("kind", ["csv", "jsonl", "npz", "parquet"])
def test_every_format_gives_the_bits_back(declare: Any, tmp_path: Path, kind: str) -> None:
    written = columns()
    path = tmp_path / f"out.{kind}"
    write_predictions(path, written)
    specs = declare.columns("mass: f32", "far: f64?", "age: i32", "id: i64", "ok: bool", "name: str")
    table = read_rows(path, specs, na=()).table
    assert table.columns["name"].to_python() == written["name"]
    for name in ("mass", "far", "age", "id", "ok"):
        assert table.columns[name].data.tobytes() == written[name].tobytes(), name
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_text_of_csv_and_json(tmp_path: Path) -> None:
    table: Mapping[str, Any] = {
        "p": np.array([0.1, 1.0, np.nan, np.inf], np.float32),
        "pair": np.array([[0.1, 2], [3, 4], [5, 6], [7, np.inf]]),
        "maybe": Column("i32", np.array([1, 0, 3, 4], np.int32), np.array([True, False, True, True])),
        "word": ["a", None, "c", '"'],
        "ok": np.array([True, False, True, False]),
    }
    write_predictions(tmp_path / "t.csv", table)
    assert (tmp_path / "t.csv").read_text(encoding="utf-8") == (
        "p,pair.0,pair.1,maybe,word,ok\n0.1,0.1,2.0,1,a,true\n1.0,3.0,4.0,,,false\nnan,5.0,6.0,3,c,true\ninf,7.0,inf,4,\"\"\"\",false\n"
    )
    write_predictions(tmp_path / "t.jsonl", table)
    lines = [json.loads(line) for line in (tmp_path / "t.jsonl").read_text(encoding="utf-8").splitlines()]
    assert lines[0] == {"p": 0.1, "pair": [0.1, 2.0], "maybe": 1, "word": "a", "ok": True}
    assert lines[1] == {"p": 1.0, "pair": [3.0, 4.0], "maybe": None, "word": None, "ok": False}
    assert lines[2]["p"] is None
    assert lines[3] == {"p": None, "pair": [7.0, None], "maybe": 4, "word": '"', "ok": False}


def test_cells_and_gaps_of_typed_formats(tmp_path: Path) -> None:
    image = np.arange(12, dtype=np.float32).reshape(2, 2, 3)
    gap = Column("f32", np.array([1, 0], np.float32), np.array([True, False]))
    write_predictions(tmp_path / "t.npz", {"image": image, "gap": gap})
    with np.load(tmp_path / "t.npz") as arrays:
        assert (arrays["image"] == image).all()
        assert arrays["gap"].tolist()[0] == 1
        assert np.isnan(arrays["gap"][1])
    text = text_column(["a", "b", "c", "d"])
    words = Column("str", text.data.reshape(2, 2), None, text.keep)
    write_predictions(tmp_path / "t.parquet", {"image": image, "gap": gap, "words": words})
    found = pq.read_table(tmp_path / "t.parquet").to_pydict()
    assert found == {"image": image.tolist(), "gap": [1.0, None], "words": [["a", "b"], ["c", "d"]]}


def test_standard_output(monkeypatch: pytest.MonkeyPatch) -> None:
    class Output:
        buffer = io.BytesIO()

    monkeypatch.setattr(sys, "stdout", Output)
    write_predictions(None, {"p": np.array([1, 2])})
    write_predictions(None, {"p": np.array([3])}, "jsonl")
    assert Output.buffer.getvalue() == b'p\n1\n2\n{"p": 3}\n'


def test_long_tables_are_written_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = {"i": np.arange(100), "w": [f"é{i}" for i in range(100)]}
    for kind in ("csv", "jsonl"):
        write_predictions(tmp_path / f"whole.{kind}", table)
        monkeypatch.setattr("bmc.data.writing.write._BLOCK_ROWS", 7)
        write_predictions(tmp_path / f"blocks.{kind}", table)
        assert (tmp_path / f"whole.{kind}").read_bytes() == (tmp_path / f"blocks.{kind}").read_bytes()
        monkeypatch.undo()


def hard_floats(dtype: type[np.floating[Any]]) -> np.ndarray[Any, Any]:
    """Every layout that a float may have, and random bits of each exponent."""
    bits = RNG.integers(0, 2 ** (8 * np.dtype(dtype).itemsize), 20_000, dtype=f"u{np.dtype(dtype).itemsize}").view(dtype)
    some = [0, 1, 3.5, 100, 1e-4, 9.9999e-5, 1e-5, 2.5e-5, 1e-6, 3e-6, 1.25e-6, 1e-7, 1e-10, 12345678, 999999999, 1e9, 1e10, 1e15]
    special = np.array([*some, 1e16, 1e17, 1e21, 1e22, 1e-45, 5e-324, np.inf, np.nan, 0.1, 0.001, 0.0001234]).astype(dtype)
    usual = np.exp(RNG.normal(-4, 8, 20_000)).astype(dtype)
    return np.concatenate([special, -special, bits, usual, RNG.random(20_000).astype(dtype)])


@pytest.mark.filterwarnings("ignore:invalid value")  # signalling NaNs among random bits
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floats_of_arrow_are_those_of_cells(dtype: type[np.floating[Any]]) -> None:
    values = hard_floats(dtype)
    texts = cell_texts.float_texts(values)
    lines = arrow_texts.csv_lines([Column("f32" if dtype is np.float32 else "f64", values)]).decode("ascii").splitlines()
    assert lines == texts
    back = np.array([float(text) for text in texts]).astype(dtype)
    assert bool(((back == values) | np.isnan(values)).all())
    assert [repr(float(text)) for text in texts] == texts


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_large_blocks_are_written_as_small_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    rows = 1500
    gaps = RNG.random(rows) < 0.7
    words = text_column([WORDS[i % len(WORDS)] for i in range(rows)])
    table: dict[str, Any] = {
        "p": hard_floats(np.float32)[:rows],
        "wide": hard_floats(np.float64)[: rows * 6].reshape(rows, 2, 3),
        "n": RNG.integers(-(2**63), 2**63 - 1, rows),
        "ok": RNG.integers(0, 2, rows).astype(np.bool_),
        "few": Column("str", words.data[np.arange(rows) % 8], None, words.keep),
        "many": text_column([None if gap else f"{i}é{WORDS[i % len(WORDS)]}" for i, gap in enumerate(gaps)]),
        "day": Column("i32", (np.arange(rows) * 2400 - 719_162).astype(np.int32), gaps, kind="date"),
        "at": Column("i64", np.arange(rows) * RNG.integers(-(2**40), 2**40, rows) // 5 * 5, None, kind="timestamp"),
        "full": Column("i64", np.arange(rows) * 86_400_000_000, gaps, kind="timestamp"),
        "maybe": Column("f64", RNG.random(rows), gaps),
        'a "name", quoted': Column("u8", np.arange(rows).astype(np.uint8)),
    }
    for some in (table, {"few": table["few"]}):
        monkeypatch.setattr("bmc.data.writing.write._by_arrow", lambda cells: False)
        write_predictions(tmp_path / "cells", some, kind)
        monkeypatch.setattr("bmc.data.writing.write._by_arrow", lambda cells: cells > 0)
        write_predictions(tmp_path / "arrow", some, kind)
        assert (tmp_path / "arrow").read_bytes() == (tmp_path / "cells").read_bytes()


@pytest.mark.parametrize("kind", ["csv", "jsonl", "npz", "parquet", "arrow"])
def test_blocks_are_written_as_one_table(tmp_path: Path, kind: str) -> None:
    """Bytes that do not depend on blocks; of parquet and arrow, whose groups do, values and types."""
    rows, gaps = 100, np.arange(100) % 7 > 0
    table = {
        "p": Column("f32", RNG.random((rows, 2)).astype(np.float32), gaps),
        "w": text_column([None if i % 5 == 0 else "é" * (i % 11) for i in range(rows)]),
        "at": Column("i64", np.arange(rows), gaps, kind="timestamp"),
        "n": Column("i64", np.arange(rows), gaps),
    }
    write_predictions(tmp_path / f"whole.{kind}", table)
    with prediction_writer(tmp_path / f"blocks.{kind}") as writer:
        for start, stop in ((0, 1), (1, 1), (1, 40), (40, 41), (41, rows)):
            writer.write({name: column.between(start, stop) for name, column in table.items()})
    assert writer.rows == rows
    if kind in ("parquet", "arrow"):
        read = pq.read_table if kind == "parquet" else feather.read_table
        assert read(tmp_path / f"blocks.{kind}").equals(read(tmp_path / f"whole.{kind}"))
        assert str(read(tmp_path / f"whole.{kind}").schema.field("p").type) in ("list<element: float>", "list<item: float>")
    else:
        assert (tmp_path / f"blocks.{kind}").read_bytes() == (tmp_path / f"whole.{kind}").read_bytes()


def test_long_texts_of_npz_take_memory_for_some(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An array of texts is as wide as the longest; nobody holds it whole."""
    texts = ["é" * (i % 50) for i in range(300)]
    write_predictions(tmp_path / "whole.npz", {"w": texts, "n": np.arange(300)})
    monkeypatch.setattr("bmc.data.writing.write_npz._COPIED", 400)
    write_predictions(tmp_path / "parts.npz", {"w": texts, "n": np.arange(300)})
    assert (tmp_path / "parts.npz").read_bytes() == (tmp_path / "whole.npz").read_bytes()
    with np.load(tmp_path / "parts.npz") as arrays:
        assert arrays["w"].tolist() == texts


def test_no_rows(tmp_path: Path) -> None:
    empty: Mapping[str, Any] = {"p": np.zeros(0, np.float32), "w": [], "pair": np.zeros((0, 2))}
    for kind in ("csv", "jsonl", "npz", "parquet"):
        write_predictions(tmp_path / f"t.{kind}", empty)
    assert (tmp_path / "t.csv").read_text(encoding="utf-8") == "p,w,pair.0,pair.1\n"


def test_refusals(declare: Any, tmp_path: Path, golden: Callable[[str, str], None]) -> None:
    texts: list[str] = []
    (tmp_path / "folder.csv").mkdir()
    for title, name in (("an unknown format", "t.xlsx"), ("no folder", "none/t.csv"), ("a folder", "folder.csv")):
        with declare.refused(texts, title):
            write_predictions(tmp_path / name, {"p": np.zeros(1)})
    golden("refusals", "\n".join(texts))


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("old", encoding="utf-8")

    class Broken(np.ndarray):  # type: ignore[type-arg]
        def tolist(self) -> Any:
            raise OSError(28, "No space left on device")

    with pytest.raises(BmcError, match=r"E0734.*No space left"):
        write_predictions(path, {"p": np.zeros(3).view(Broken)})
    assert path.read_text(encoding="utf-8") == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["t.csv"]


def test_dates_and_times_are_written_as_such(declare: Any, tmp_path: Path) -> None:
    days = Column("i32", np.array([0, 19180, 0], np.int32), np.array([True, True, False]), kind="date")
    times = Column("i64", np.array([1_580_558_163_000_000, 1, 0]), kind="timestamp")
    for kind in ("csv", "jsonl", "npz", "parquet"):
        path = tmp_path / f"t.{kind}"
        write_predictions(path, {"day": days, "at": times})
        specs = [declare.column("born: date", "day"), declare.column("seen: timestamp?", "at")]
        table = read_rows(path, [replace(specs[0], nullable=True), specs[1]], na=("",)).table
        for name, column in (("born", days), ("seen", times)):
            back = table.columns[name]
            assert back.data.tobytes() == column.data.tobytes(), (kind, name)
            present = np.ones(3, np.bool_) if column.valid is None else column.valid
            assert back.valid is not None, (kind, name)
            assert back.valid.tolist() == present.tolist(), (kind, name)
    assert (tmp_path / "t.csv").read_text(encoding="utf-8") == (
        "day,at\n1970-01-01,2020-02-01 11:56:03\n2022-07-07,1970-01-01 00:00:00.000001\n,1970-01-01 00:00:00\n"
    )
    assert str(pq.read_schema(tmp_path / "t.parquet").field("day").type) == "date32[day]"
