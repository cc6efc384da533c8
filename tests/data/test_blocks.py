"""The rows of a data block as a stream: the same as all at once."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bmc.data import read_blocks, read_source
from bmc.frontend.unit import WindowSpec
from bmc.record import replace

Put = Callable[[str, str | bytes], Path]


def test_blocks_say_where_their_rows_stand(declare: Any, put: Put) -> None:
    put("1.csv", "mass\n" + "".join(f"{i}\n" for i in range(70_000)))
    put("2.csv", "mass\n-1\n-2\n")
    spec = declare.data(declare.columns("mass: f32"), declare.source("csv", "*.csv"))
    (whole,) = read_source(spec).values()
    seen = []
    for block in read_blocks(spec):
        assert 0 < block.table.rows <= 65_536
        for row in (0, block.table.rows - 1):
            place = block.file, block.first_row + row
            assert whole.origin.locate(len(seen) + row) == place
        seen += block.table.columns["mass"].to_python()
    assert seen == whole.columns["mass"].to_python()


def test_blocks_of_windows_span_no_two_files(declare: Any, put: Put) -> None:
    for name in ("1.csv", "2.csv"):
        put(name, "mass\n1\n2\n3\n")
    source = replace(declare.source("csv", "*.csv"), window=WindowSpec(size=2, stride=1))
    blocks = list(read_blocks(declare.data(declare.columns("mass: f32"), source)))
    assert [(Path(block.file).name, block.first_row, block.table.rows) for block in blocks] == [("1.csv", 0, 2), ("2.csv", 0, 2)]


def test_progress_is_of_all_files(declare: Any, put: Put, tmp_path: Path) -> None:
    text = "mass\n" + "".join(f"{i}.5\n" for i in range(200_000))
    put("1.csv", text)
    put("2.csv.gz", gzip.compress(text.encode()))
    pq.write_table(pa.table({"mass": [1.0] * 200_000}), tmp_path / "3.parquet", row_group_size=50_000)
    np.savez(tmp_path / "4.npz", mass=np.zeros(200_000))
    columns = declare.columns("mass: f32")
    for kind, pattern, ends in (("csv", "*.csv*", True), ("parquet", "3.parquet", False), ("npz", "4.npz", False)):
        heard: list[tuple[int, int | None]] = []
        blocks = read_blocks(declare.data(columns, declare.source(kind, pattern)), progress=lambda *now, h=heard: h.append(now))
        assert sum(block.table.rows for block in blocks) == (400_000 if kind == "csv" else 200_000)
        done = [first for first, _ in heard]
        (total,) = {whole for _, whole in heard}
        assert total == sum(path.stat().st_size for path in tmp_path.glob(pattern))
        assert done == sorted(done)
        assert len(set(done)) > 1
        assert done[-1] == total if ends else done[-1] <= total


def test_a_stream_may_be_left_in_the_middle(declare: Any, put: Put) -> None:
    """No thread and no file is left behind: workers are forked after reading."""
    put("1.csv", "mass\n" + ("1." + "0" * 60 + "\n") * 400_000)
    before = threading.active_count()
    blocks = read_blocks(declare.data(declare.columns("mass: f32"), declare.source("csv", "1.csv")))
    next(blocks)
    blocks.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before
