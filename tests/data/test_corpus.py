"""Bytes, words, characters and lines of text, and windows over them and over sorted series."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bmc.data import read_rows, read_source
from bmc.data.formats import corpus
from bmc.data.formats.corpus import corpus_of
from bmc.data.windowing import Items, windows_of
from bmc.errors import BmcError
from bmc.frontend.unit import WindowSpec
from bmc_runtime import characters
from bmc_runtime.splits import apart, by_order, by_time
from bmc_runtime.table import Column, Table, text_column

Put = Callable[[str, str | bytes], Path]
TEXT = "It's a “so-called” test: don't stop.\nÜber 3 straße\r\n\n中文 ''x'' a'\n'b rock'n'roll"


def bytes_of(text: str) -> Any:
    return np.frombuffer(text.encode(), np.uint8)


def test_words_are_those_of_the_language() -> None:
    assert corpus_of(bytes_of(TEXT), "t", "words").to_python() == characters.words(TEXT)
    assert "rock'n'roll" in characters.words(TEXT)


@given(st.text(alphabet="ab'’ \n.é中\u00a0😀9", max_size=60))
def test_words_of_any_text(text: str) -> None:
    found = corpus_of(bytes_of(text), "t", "words").to_python() if text else []
    assert found == characters.words(text)


def test_words_do_not_depend_on_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    text = TEXT * 20
    for size in (1, 2, 3, 7, 64):
        monkeypatch.setattr(corpus, "_BLOCK", size)
        assert corpus_of(bytes_of(text), "t", "words").to_python() == characters.words(text)
        assert corpus_of(bytes_of(TEXT), "t", "chars").to_python() == list(TEXT)
        assert corpus_of(bytes_of(TEXT), "t", "lines").to_python() == TEXT.replace("\r\n", "\n").split("\n")


def test_lines() -> None:
    for text, lines in {"a\nb": ["a", "b"], "a\n\nb\n": ["a", "", "b"], "\ufeffa\r\n": ["a"], "\n": [""]}.items():
        assert corpus_of(bytes_of(text), "t", "lines").to_python() == lines


def test_text_that_is_not_utf8(monkeypatch: pytest.MonkeyPatch) -> None:
    for size in (1, 4, 1 << 20):
        monkeypatch.setattr(corpus, "_BLOCK", size)
        for damaged in (b"ab\nc\xffd", b"ab\n\xc3", b"ab\n\xe4\xb8x"):
            with pytest.raises(BmcError, match="line 2"):
                corpus_of(np.frombuffer(damaged, np.uint8), "t", "lines")
        corpus_of(bytes_of(TEXT), "t", "lines")


def items(count: int, name: str = "f") -> Items:
    return Items(name, {"n": Column("i32", np.arange(count, dtype=np.int32))}, count)


def test_windows_stand_in_the_buffer_of_their_items() -> None:
    files = [items(10, "a"), items(2, "b"), items(4, "c")]
    found = windows_of(files, WindowSpec(4, 3))
    assert found.table.columns["n"].to_python() == [[0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8, 9], [0, 1, 2, 3]]
    assert (found.series, found.short) == (3, 1)
    assert found.table.origin.files == (("a", 3), ("b", 0), ("c", 1))
    column = found.table.columns["n"]
    assert column.data["address"][0] == files[0].columns["n"].data.ctypes.data


def test_series_are_sorted_and_cut_apart() -> None:
    table = {
        "day": Column("i32", np.array([3, 1, 2, 9, 1, 2, 4, 3, 1], np.int32), kind="date"),
        "shop": text_column(["x", "y", "x", "x", "x", "y", "x", "y", "z"]),
        "sold": Column("f32", np.arange(9, dtype=np.float32), np.array([i != 2 for i in range(9)])),
    }
    parts = [Items(name, {k: c.between(a, b) for k, c in table.items()}, b - a) for name, a, b in (("a", 0, 4), ("b", 4, 9))]
    found = windows_of(parts, WindowSpec(2, 2, ("shop",), "day"))
    # x stands first in the files, then y; z is too short.
    assert found.table.columns["day"].dense().tolist() == [[1, 2], [3, 4], [1, 2]]
    assert found.table.columns["shop"].to_python() == [["x", "x"], ["x", "x"], ["y", "y"]]
    assert found.table.columns["sold"].dense().tolist() == [[4, 2], [0, 6], [1, 5]]
    present = found.table.inputs()["sold.valid"]
    assert isinstance(present, Column)
    assert present.to_python() == [[True, False], [True, True], [True, True]]
    assert (found.series, found.short) == (3, 1)
    taken = found.table.take(np.array([2, 0])).inputs()["sold.valid"]
    assert isinstance(taken, Column)
    assert taken.to_python() == [[True, True], [True, False]]


def test_no_item_is_on_two_sides_of_a_cut() -> None:
    for size, stride in ((4, 1), (5, 4), (3, 3), (2, 5)):
        table = windows_of([items(60)], WindowSpec(size, stride)).table
        assigned = apart(by_order(table.rows, [0.7, 0.3]), table)
        rows = np.array(table.columns["n"].to_python())
        assert not set(rows[assigned == 0].flat) & set(rows[assigned == 1].flat)
        assert (assigned == 0).sum() == round(0.7 * table.rows)
        # Nothing is left out but what would overlap.
        assert (assigned == -1).sum() == (-(-size // stride) - 1)
    days = windows_of([items(20)], WindowSpec(4, 1)).table.columns["n"]
    assert by_time(days, [10]).tolist() == [0] * 7 + [-1] * 3 + [1] * 7


def test_sources(declare: Any, put: Put) -> None:
    put("a.txt", "one two three four five")
    put("b.txt", "six seven")
    text = replace(declare.source("text", "?.txt"), items="words", window=WindowSpec(2, 1))
    column = declare.column("name: str")
    table = read_source(declare.data([column], text))[None]
    assert table.columns["name"].to_python()[-2:] == [["four", "five"], ["six", "seven"]]
    assert table.origin.counts() == (4, 1)
    lines = read_source(declare.data([column], declare.source("text", "a.txt")))[None]
    assert lines.columns["name"].to_python() == ["one two three four five"]
    raw = replace(declare.source("bytes", "a.txt"), window=WindowSpec(3, 10))
    small = replace(declare.column("small: u8?"), nullable=False)
    found = read_source(declare.data([small], raw))[None]
    assert [bytes(row) for row in found.columns["small"].to_python()] == [b"one", b"ree", b"ive"]
    held = read_source(declare.data([small], raw), {"Birds": {"small": np.array([[1, 2, 3]], np.uint8)}})[None]
    assert held.columns["small"].data.tolist() == [[1, 2, 3]]


def test_what_is_refused(declare: Any, put: Put, golden: Callable[[str, str], None]) -> None:
    said: list[str] = []
    put("a.txt", "short")
    put("e.txt", "")
    raw = replace(declare.source("bytes", "a.txt"), window=WindowSpec(9, 1))
    small = replace(declare.column("small: u8?"), nullable=False)
    with declare.refused(said, "a file shorter than a window"):
        read_source(declare.data([small], raw))
    with declare.refused(said, "an empty file"):
        read_source(declare.data([small], raw), {"Birds": str(declare.folder / "e.txt")})
    with declare.refused(said, "no file"):
        read_source(declare.data([small], raw), {"Birds": str(declare.folder / "none.txt")})
    with declare.refused(said, "windows of another length in memory"):
        read_source(declare.data([small], raw), {"Birds": {"small": np.zeros((2, 3), np.uint8)}})
    text = declare.data([declare.column("age: i32")], declare.source("text", "a.txt"))
    with declare.refused(said, "text in a column of numbers"):
        read_source(text)
    with declare.refused(said, "raw rows of another kind"):
        read_rows(str(declare.folder / "a.txt"), [declare.column("age: i32")], declare.source("csv", "a.csv"), form="text")
    golden("corpus", "\n".join(said))


def test_tables_of_windows_take_and_join() -> None:
    table = windows_of([items(9)], WindowSpec(3, 2)).table
    rows = table.columns["n"].to_python()
    assert Table(dict(table.columns), table.rows).take(np.array([2, 0])).columns["n"].to_python() == [rows[2], rows[0]]
