"""Columns and tables keep values, missing cells, text and the origin of rows through every operation."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from bmc_runtime.memory import DTYPES
from bmc_runtime.table import Column, Origin, Table, concat_tables, text_column, text_from_offsets

WORDS = ["", "a", "Grüße", "中文", "nul\0inside", "x" * 300]


def table(start: int, rows: int, name: str) -> Table:
    columns = {
        "n": Column("i64", np.arange(start, start + rows)),
        "w": text_column([f"w{i}" if i % 3 else None for i in range(start, start + rows)]),
    }
    return Table(columns, rows, Origin(((name, rows),), np.arange(rows)))


def test_text_survives() -> None:
    assert text_column(WORDS).to_python() == WORDS
    assert text_column([w.encode() for w in WORDS]).to_python() == WORDS
    assert text_column([]).to_python() == []
    assert text_column(["a", None]).to_python() == ["a", None]


def test_text_outlives_what_it_was_made_from() -> None:
    column = text_column([f"text number {i}" for i in range(1000)]).take(np.array([999, 3]))
    gc.collect()
    assert column.to_python() == ["text number 999", "text number 3"]


def test_masks_are_made_when_wanted() -> None:
    assert text_column(["a"]).valid is None
    nullable = text_column(["a"], nullable=True).valid
    assert nullable is not None
    assert nullable.all()
    with pytest.raises(ValueError, match="missing"):
        text_column([None], nullable=False)


def test_offsets_that_leave_the_buffer_are_refused() -> None:
    buffer = np.frombuffer(b"abcdef", np.uint8)
    assert text_from_offsets(np.array([1, 3, 3, 6], np.int32), buffer).to_python() == ["bc", "", "def"]
    for offsets in ([0, 7], [3, 2], [-1, 2]):
        with pytest.raises(ValueError, match="offsets"):
            text_from_offsets(np.array(offsets), buffer)


def test_missing_text_is_empty_whatever_lies_there() -> None:
    buffer = np.frombuffer(b"secret", np.uint8)
    column = text_from_offsets(np.array([0, 6, 6]), buffer, np.array([False, True]))
    assert column.data["length"].tolist() == [0, 0]  # type: ignore[call-overload]
    assert column.to_python() == [None, ""]


def test_a_column_refuses_what_it_is_not() -> None:
    with pytest.raises(ValueError, match="cannot hold"):
        Column("f32", np.zeros(3))
    with pytest.raises(ValueError, match="valid"):
        Column("f64", np.zeros(3), np.ones(2, np.bool_))
    with pytest.raises(ValueError, match="row axis"):
        Column("f64", np.float64(3.0).reshape(()))
    with pytest.raises(ValueError, match="2 rows"):
        Table({"x": Column("f64", np.zeros(2))}, 3)


def test_cells_keep_their_shape() -> None:
    column = Column("u8", np.arange(12, dtype=np.uint8).reshape(2, 3, 2))
    assert column.cell == (3, 2)
    assert column.take(np.array([1])).to_python() == [[[6, 7], [8, 9], [10, 11]]]
    pairs = np.array(WORDS[:4]).reshape(2, 2)
    text = text_column(WORDS[:4])
    assert Column("str", text.data.reshape(2, 2), None, text.keep).to_python() == pairs.tolist()


def test_take_between_and_concat_know_where_rows_come_from() -> None:
    both = concat_tables([table(0, 4, "a.csv"), table(10, 3, "b.csv")])
    assert both.columns["n"].to_python() == [0, 1, 2, 3, 10, 11, 12]
    assert both.columns["w"].to_python() == [None, "w1", "w2", None, "w10", "w11", None]
    assert both.origin.locate(5) == ("b.csv", 1)
    odd = both.take(np.array([6, 1]))
    assert odd.columns["n"].to_python() == [12, 1]
    assert [odd.origin.locate(i) for i in range(2)] == [("b.csv", 2), ("a.csv", 1)]
    assert odd.between(1, 5).origin.locate(0) == ("a.csv", 1)
    filtered = both.take(np.asarray(both.columns["n"].data > 2))  # type: ignore[operator]
    assert filtered.origin.counts() == (1, 3)
    again = concat_tables([filtered, odd])
    assert [again.origin.locate(i) for i in (0, 4)] == [("a.csv", 3), ("b.csv", 2)]


def test_taking_text_does_not_copy_it() -> None:
    column = text_column(WORDS)
    assert column.take(np.array([1, 2])).keep[0] is column.keep[0]
    assert column.data.dtype == DTYPES["str"]


def test_inputs_have_masks_of_nullable_columns_alone() -> None:
    assert list(table(0, 2, "a").inputs()) == ["n", "w", "w.valid"]
    assert list(table(0, 2, "a").select(["n"]).inputs()) == ["n"]


def test_different_columns_do_not_concatenate() -> None:
    ints, floats = Table({"x": Column("i32", np.zeros(1, np.int32))}, 1), Table({"x": Column("f32", np.zeros(1, np.float32))}, 1)
    with pytest.raises(ValueError, match="differs"):
        concat_tables([ints, floats])
