"""Data on other file systems: what is read of them is what is read of files here."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import fs

from bmc.data import fingerprint, read_blocks, read_rows, read_source
from bmc.data.files import remote
from bmc.errors import BmcError

Put = Callable[[str, str | bytes], Path]


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """The test's folder as `s3://bucket`; the URIs that were asked for."""
    asked: list[str] = []

    def from_uri(uri: str) -> tuple[Any, str]:
        asked.append(uri)
        scheme, _, rest = uri.partition("://")
        if scheme != "s3":
            return fs.FileSystem.from_uri(uri)  # type: ignore[no-any-return]
        if not rest.startswith("bucket"):
            raise OSError("ACCESS_DENIED: no credentials\nand much more")
        return fs.SubTreeFileSystem(str(tmp_path), fs.LocalFileSystem()), rest.partition("?")[0].removeprefix("bucket").lstrip("/")

    known = SimpleNamespace(FileSystem=SimpleNamespace(from_uri=from_uri), FileSelector=fs.FileSelector)
    monkeypatch.setattr(remote, "fs", known)
    return asked


def test_tables_are_read_of_other_file_systems(declare: Any, put: Put, bucket: list[str]) -> None:
    put("1.csv", "mass\n1\n")
    put("2.csv.gz", gzip.compress(b"mass\n2\n"))
    put("deep/er/3.csv", "mass\n3\n")
    pq.write_table(pa.table({"mass": [4.0]}), declare.folder / "4.parquet")
    columns = declare.columns("mass: f32")
    for given, wanted in (
        ("s3://bucket/1.csv", [1]), ("s3://bucket/*.csv", [1]), ("s3://bucket/[12].csv*?region=x", [1, 2]),
        ("s3://bucket/**/*.csv", [1, 3]), ("s3://bucket/4.parquet?region=x", [4]),
    ):  # fmt: skip
        spec = declare.data(columns, declare.source(given.partition("?")[0].rpartition(".")[2].removesuffix("*"), given))
        (table,) = read_source(spec).values()
        assert table.columns["mass"].to_python() == wanted, given
    assert [block.file for block in read_blocks(declare.data(columns, declare.source("csv", "s3://bucket/*.csv")))] == [
        "s3://bucket/1.csv"
    ]
    assert read_rows("s3://bucket/2.csv.gz", columns).table.columns["mass"].to_python() == [2]
    local = declare.data(columns, declare.source("csv", "1.csv"))
    assert fingerprint(declare.data(columns, declare.source("csv", "s3://bucket/1.csv"))) == fingerprint(local)
    assert "s3://bucket?region=x" in bucket, "what is set for a file is set for the search"


def test_uris_of_this_machine_are_paths(declare: Any, put: Put, bucket: list[str]) -> None:
    path = put("a b?.csv", "mass\n1\n")
    uri = f"file://{path}".replace(" ", "%20")
    assert read_rows(uri, declare.columns("mass: f32")).table.columns["mass"].to_python() == [1]
    (table,) = read_source(declare.data(declare.columns("mass: f32"), declare.source("csv", uri))).values()
    assert table.origin.files == ((str(path), 1),)
    assert not bucket


def test_what_is_refused(declare: Any, put: Put, bucket: list[str], golden: Callable[[str, str], None]) -> None:
    put("bad.csv", "mass\nx\n")
    (declare.folder / "folder.csv").mkdir()
    texts: list[str] = []
    for title, kind, uri in (
        ("no file", "csv", "s3://bucket/none.csv"), ("no match", "csv", "s3://bucket/none*.csv"),
        ("no folder", "csv", "s3://bucket/none/*.csv"), ("a folder", "csv", "s3://bucket/folder.csv"),
        ("no credentials", "csv", "s3://other/a.csv"), ("an unknown system", "csv", "s4://bucket/a.csv"),
        ("a bad cell", "csv", "s3://bucket/bad.csv"), ("a corpus", "text", "s3://bucket/a.txt"),
    ):  # fmt: skip
        columns = declare.columns("mass: f32")
        with declare.refused(texts, title):
            read_source(declare.data(columns, declare.source(kind, uri)))
    golden("remote", "\n".join(texts))
    with pytest.raises(BmcError, match="E0733"):
        read_rows("s3://bucket/a", declare.columns("mass: f32"))
