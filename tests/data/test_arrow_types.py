"""What each type of Arrow becomes, or that it is refused."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bmc.data import read_rows
from bmc.errors import BmcError

LONG = "long enough to lie out of line"
RUNS = pa.RunEndEncodedArray.from_arrays(pa.array([2, 3], pa.int32()), pa.array([7, 8]))
MICROS = 1_700_000_000_123_456


def read(path: Path, columns: list[Any], array: Any) -> list[Any]:
    table = pa.table({columns[0].header: array})
    with pa.ipc.new_file(path, table.schema) as out:
        out.write_table(table)
    return read_rows(path, columns, form="arrow").table.columns[columns[0].name].to_python()


@pytest.mark.parametrize(("declaration", "array", "wanted"), [
    ("sex: str?", pa.array(["a", None, LONG], pa.string_view()), ["a", None, LONG]),
    ("sex: str?", pa.array(["a", None, "a"]).dictionary_encode(), ["a", None, "a"]),
    ("bill: f32?", pa.array([5.5, None]).dictionary_encode(), [5.5, None]),
    ("bill: f32?", pa.nulls(2), [None, None]),
    ("age: i32", RUNS, [7, 7, 8]),
    ("far: f64?", pa.array([Decimal("1.1"), None]), [1.1, None]),
    ("far: f64?", pa.array([Decimal("12345678901234567.89")]), [12345678901234567.89]),
    ("id: i64", pa.array([Decimal(2**53 + 1)], pa.decimal128(20, 0)), [2**53 + 1]),
    ("seen: timestamp?", pa.array([MICROS * 1000 + 789], pa.timestamp("ns")), [MICROS]),
    ("seen: timestamp?", pa.array([1_700_000_000, None], pa.timestamp("s", "Europe/Berlin")), [1_700_000_000_000_000, None]),
    ("born: date", pa.array([86_400_000], pa.date64()), [1]),
    ("born: date", pa.array(["1970-01-03"], pa.string_view()), [2]),
    ("bill: f32?", pa.array(np.array([1.5, np.nan], np.float16)), [1.5, None]),
    ("maybe: bool?", pa.array([1, 0, None], pa.uint8()), [True, False, None]),
    ("pair: f32[2]?", pa.array([[1, 2], None], pa.list_(pa.float64(), 2)), [[1, 2], None]),
    ("n: i32[T]", pa.array([[1], [2, 3]], pa.large_list(pa.int64())), [[1], [2, 3]]),
])  # fmt: skip
def test_what_types_become(declare: Any, tmp_path: Path, declaration: str, array: Any, wanted: list[Any]) -> None:
    assert read(tmp_path / "t.arrow", declare.columns(declaration), array) == wanted
    sliced = pa.concat_arrays([array, array]).slice(1, len(array))
    assert read(tmp_path / "t.arrow", declare.columns(declaration), sliced) == [*wanted, *wanted][1 : len(array) + 1]


def test_old_times_of_parquet(declare: Any, tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"seen": pa.array([MICROS], pa.timestamp("us"))}), path, use_deprecated_int96_timestamps=True)
    assert read_rows(path, declare.columns("seen: timestamp?")).table.columns["seen"].to_python() == [MICROS]


@pytest.mark.parametrize(("declaration", "array", "said"), [
    ("seen: timestamp?", pa.array([2**62], pa.timestamp("s")), "is a time outside the years 1 to 9999"),
    ("born: date", pa.array([-(2**31)], pa.date32()), "is a time outside the years 1 to 9999"),
    ("age: i32", pa.array([Decimal("1.5")]), "is not an integer"),
    ("id: i64", pa.array([2**64 - 1], pa.uint64()), "is not an integer from"),
    ("mass: f32", pa.array([{"u": 1.0}]), "holds struct"),
    ("mass: f32", pa.array([[("k", 1.0)]], pa.map_(pa.string(), pa.float64())), "holds map"),
    ("seen: timestamp?", pa.array([5], pa.time64("us")), "holds time64"),
    ("n: i32[T]", pa.array([[1], [2, 3]], pa.list_view(pa.int64())), "holds list_view"),
    ("id: i64", pa.array([5], pa.duration("s")), "holds duration"),
    ("name: str", pa.array([b"0" * 16], pa.uuid()), "holds extension"),
])  # fmt: skip
def test_what_is_refused(declare: Any, tmp_path: Path, declaration: str, array: Any, said: str) -> None:
    with pytest.raises(BmcError, match=said):
        read(tmp_path / "t.arrow", declare.columns(declaration), array)
