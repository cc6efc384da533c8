"""Columns of runs: rows of different length, and windows, read from where their steps lie."""

from __future__ import annotations

import gc
from dataclasses import replace

import numpy as np
import pytest

from bmc_runtime.hashing import hash_column, hash_rows
from bmc_runtime.table import Column, Runs, Table, concat_tables, ragged_column, text_column

STEPS = np.arange(24, dtype=np.float32).reshape(12, 2)
COUNTS = np.array([3, 0, 5, 4])


def ragged() -> Column:
    return ragged_column("f32", STEPS.copy(), COUNTS)


def windows(size: int, stride: int, cells: Column) -> Column:
    """Windows over all cells of a column, as a reader makes them."""
    starts = np.arange(0, len(cells) - size + 1, stride)
    data = np.empty(len(starts), [("address", np.int64), ("length", np.int64)])
    data["address"], data["length"] = cells.data.ctypes.data + starts * cells.data.itemsize, size
    return Column(cells.dtype, data, None, (cells.data, *cells.keep), cells.kind, Runs((), size))


def test_rows_keep_their_steps() -> None:
    column = ragged()
    gc.collect()
    assert column.to_python() == [STEPS[:3].tolist(), [], STEPS[3:8].tolist(), STEPS[8:].tolist()]
    assert column.longest == 5
    assert column.take(np.array([3, 1])).to_python() == [STEPS[8:].tolist(), []]
    assert column.between(2, 3).to_python() == [STEPS[3:8].tolist()]
    dense = column.dense(6)
    assert dense.shape == (4, 6, 2)
    assert np.array_equal(dense[0, :3], STEPS[:3])
    assert not dense[1].any()
    assert not dense[0, 3:].any()
    assert np.array_equal(column.dense(4)[2], STEPS[3:7])  # longer ones are cut


def test_tables_of_runs_are_joined() -> None:
    one = Table({"x": ragged()}, 4)
    both = concat_tables([one, Table({"x": ragged().take(np.array([2]))}, 1)])
    gc.collect()
    assert both.columns["x"].to_python() == [*ragged().to_python(), STEPS[3:8].tolist()]
    assert set(both.inputs()) == {"x", "x.length"}
    assert both.inputs()["x.length"].tolist() == [3, 0, 5, 4, 5]
    with pytest.raises(ValueError, match="differs"):
        concat_tables([one, Table({"x": ragged_column("f32", STEPS[:, 0], COUNTS)}, 4)])


def test_counts_must_be_those_of_the_steps() -> None:
    with pytest.raises(ValueError, match="runs"):
        ragged_column("f32", STEPS, np.array([3, 8]))


def test_a_hash_knows_where_a_row_ends() -> None:
    """Values, numbers of steps, nothing else: not the rows beside it, and not how long the longest is."""
    column = ragged()
    whole = hash_column(column, 7)
    for row in range(4):
        assert hash_column(column.between(row, row + 1), 7)[0] == whole[row]
    zeros = ragged_column("i32", np.zeros(6), np.array([1, 2, 3, 0]))
    assert len(set(hash_column(zeros, 0).tolist())) == 4
    texts = text_column(["a", "", "b", "a"])
    words = ragged_column("str", texts.data, np.array([2, 2]))
    words = replace(words, keep=(*words.keep, *texts.keep))
    assert words.to_python() == [["a", ""], ["b", "a"]]
    assert len(set(hash_column(words, 0).tolist())) == 2


def test_windows_hash_as_cells_of_their_values() -> None:
    """A window is the cell that it shows, whether or not it is copied."""
    for cells in (Column("u8", np.arange(50, dtype=np.uint8)), Column("f32", np.arange(50, dtype=np.float32))):
        seen = windows(7, 3, cells)
        copied = Column(cells.dtype, seen.dense())
        assert np.array_equal(hash_rows({"a": seen}, 3), hash_rows({"a": copied}, 3))
        assert seen.to_python() == copied.to_python()
    words = text_column([f"w{i}" for i in range(9)])
    seen = windows(3, 2, words)
    assert seen.to_python()[1] == ["w2", "w3", "w4"]
    assert np.array_equal(hash_column(seen, 1), hash_column(Column("str", seen.dense(), None, words.keep), 1))
