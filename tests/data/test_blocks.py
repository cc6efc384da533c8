"""The rows of a data block as a stream: the same as all at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

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
