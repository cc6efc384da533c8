"""Tables are the same in memory and in a work file, however their rows came."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bmc_runtime.collecting import Files, Workspace
from bmc_runtime.hashing import hash_rows
from bmc_runtime.splits import FirstSeen
from bmc_runtime.table import Column, Table, ragged_column, text_column
from bmc_runtime.workfile import DiskArray, DiskBytes, Mapped, WorkFile, mapped_under

WORDS = ["", "a", "bb", "é中", "a longer text, of some bytes", None]


def table_of(rows: int, seed: int) -> Table:
    """Rows of every kind of column; texts of any length, missing ones too."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 4, rows)
    present = rng.random(rows) < 0.7
    columns = {
        "f": Column("f32", rng.normal(size=rows).astype(np.float32), present),
        "i": Column("i64", rng.integers(-9, 9, (rows, 3))),
        "t": text_column([WORDS[k] for k in rng.integers(0, len(WORDS), rows)], nullable=True),
        "r": ragged_column("f64", rng.normal(size=(int(counts.sum()), 2)), counts),
    }
    return Table(columns, rows)


def collected(blocks: Sequence[Table], limit: int, folder: Path) -> Table:
    space, files = Workspace(limit, str(folder)), Files()
    collector, place = space.collector(), 0
    for block in blocks:
        collector.append(block, files.ids("a.csv", place, block.rows))
        place += block.rows
    return collector.finish(files.all())


def cut(table: Table, sizes: Sequence[int]) -> list[Table]:
    blocks, start = [], 0
    for size in [*sizes, table.rows]:
        if start < table.rows or not blocks:
            blocks.append(table.take(np.arange(start, min(start + size, table.rows))))
        start += size
    return blocks


def same(one: Table, two: Table) -> None:
    assert list(one.columns) == list(two.columns)
    for name, column in one.columns.items():
        assert column.to_python() == two.columns[name].to_python()
        assert column.layout == two.columns[name].layout
    assert one.origin.files == two.origin.files
    assert one.origin.ids.tolist() == two.origin.ids.tolist()
    assert hash_rows(one.columns, 3).tolist() == hash_rows(two.columns, 3).tolist()  # texts lie in what the columns keep


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 60), st.lists(st.integers(0, 20), max_size=6), st.sampled_from([0, 500, 2000, 1 << 30]), st.integers(0, 99))
def test_blocks_and_limits_change_nothing(
    tmp_path_factory: pytest.TempPathFactory, rows: int, sizes: list[int], limit: int, seed: int
) -> None:
    table = table_of(rows, seed)
    folder = tmp_path_factory.mktemp("work")
    same(collected(cut(table, sizes), limit, folder), collected([table], 1 << 30, folder))
    assert not list(folder.iterdir())


def test_a_table_above_the_limit_lies_in_a_file(tmp_path: Path) -> None:
    table = collected(cut(table_of(1000, 1), [100] * 10), 1000, tmp_path)
    for column in table.columns.values():
        assert mapped_under(column.data) is not None
        assert all(mapped_under(buffer) is not None for buffer in column.keep)
    assert mapped_under(table.origin.ids) is not None
    in_memory = collected([table_of(1000, 1)], 1 << 30, tmp_path)
    assert all(mapped_under(column.data) is None for column in in_memory.columns.values())


def test_texts_far_apart_are_moved_without_what_lies_between(tmp_path: Path) -> None:
    words = text_column([f"word {i} " + "x" * 100 for i in range(1000)])
    kept = words.take(np.arange(0, 1000, 50))
    table = collected([Table({"t": kept}, len(kept))] * 3, 0, tmp_path)
    assert table.columns["t"].to_python() == kept.to_python() * 3
    assert len({int(cell["address"]) for cell in table.columns["t"].data}) == 60


def test_a_file_that_begins_again_is_another(tmp_path: Path) -> None:
    files = Files()
    assert files.ids("a", 0, 2).tolist() == [0, 1]
    assert files.ids("a", 2, 1).tolist() == [2]
    assert files.ids("a", 0, 2).tolist() == [3, 4]
    assert files.ids("b", 0, 1).tolist() == [5]
    assert files.all() == (("a", 3), ("a", 2), ("b", 1))


def test_arrays_of_many_regions(tmp_path: Path) -> None:
    file = WorkFile(str(tmp_path))
    array, texts = DiskArray(file), DiskBytes(file)
    rng, whole, places = np.random.default_rng(0), [], []
    for _ in range(40):  # 8 MB: regions of 1, 2, 4 and 8 MiB, filled across their ends
        part = rng.integers(0, 1 << 40, 25_000)
        array.append(part)
        places.append((texts.append(part[:1000]), part[:1000]))
        whole.append(part)
    assert np.array_equal(array.finish().view(np.int64), np.concatenate(whole))
    buffers = texts.finish()
    for address, part in places:
        (buffer,) = (b for b in buffers if b.ctypes.data <= address < b.ctypes.data + len(b))
        start = address - buffer.ctypes.data
        assert np.array_equal(buffer[start : start + 8000].view(np.int64), part)
    assert isinstance(mapped_under(array.finish()[5:]), Mapped)


def test_a_work_file_has_no_name_while_it_is_written(tmp_path: Path) -> None:
    file = WorkFile(str(tmp_path))
    array = DiskArray(file)
    array.append(np.arange(1000))
    assert file.disk_bytes >= 8000
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        collected([table_of(10, 0)], 0, tmp_path / "none")


@pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="a limit of the system's that the test needs")
def test_a_full_disk_is_an_error_where_it_is_written(tmp_path: Path) -> None:
    program = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "import numpy as np; from bmc_runtime.workfile import DiskArray, WorkFile\n"
        "array = DiskArray(WorkFile(sys.argv[1]))\n"
        "try: array.append(np.zeros(10_000))\n"
        "except OSError as error: print(error.strerror)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout == "File too large\n"


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 8), max_size=60), st.lists(st.integers(0, 9), max_size=6))
def test_the_first_of_equals_whatever_the_blocks(values: list[int], sizes: list[int]) -> None:
    table = Table({"x": Column("i64", np.array(values, np.int64))}, len(values))
    seen, kept = FirstSeen(), []
    for block in cut(table, sizes):
        mask = seen.among(block.columns)
        kept += block.columns["x"].data[mask].tolist()
    assert kept == list(dict.fromkeys(values))
