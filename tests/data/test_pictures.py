"""Folders of pictures, idx and npy files: what they hold, and what is refused."""

from __future__ import annotations

import gzip
import struct
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bmc.data import fingerprint, read_rows, read_source
from bmc.frontend.unit import ColumnSpec

Put = Callable[[str, str | bytes], Path]
RNG = np.random.default_rng(5)


def picture(path: Path, pixels: np.ndarray, mode: str | None = None, **options: Any) -> None:
    library = pytest.importorskip("PIL.Image")
    path.parent.mkdir(parents=True, exist_ok=True)
    made = library.fromarray(pixels)
    (made if mode is None else made.convert(mode)).save(path, **options)


def columns(declare: Any, cell: tuple[int, ...] = (2, 3, 3)) -> list[ColumnSpec]:
    image = replace(declare.column("image: u8[2, 3]"), cell=cell)
    return [image, replace(declare.column("label: str"), name="folder", header="folder")]


@pytest.mark.parametrize("part_bytes", [1 << 24, 40, 1])
def test_a_folder_is_a_table(declare: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part_bytes: int) -> None:
    monkeypatch.setattr("bmc.data.formats.pictures._MOST_BYTES", part_bytes)
    pixels = {name: RNG.integers(0, 256, (2, 3, 3), dtype=np.uint8) for name in ("b/1.png", "b/0.PNG", "a/c/x.png", "top.png")}
    for name, values in pixels.items():
        picture(tmp_path / "d" / name, values)
    (tmp_path / "d" / "a" / "notes.txt").write_text("no picture")
    (tmp_path / "d" / ".hidden").mkdir()
    source = declare.source("folder", "d")
    files = [*columns(declare), replace(declare.column("name: str"), header="file")]
    spec = declare.data(files, source)
    table = read_source(spec)[None]
    names = table.columns["name"].to_python()
    assert names == sorted(pixels, key=str.encode)
    assert table.columns["folder"].to_python() == ["a/c", "b", "b", ""]
    assert np.array_equal(table.columns["image"].data, np.stack([pixels[name] for name in names]))
    assert read_source(spec, {"Birds": str(tmp_path / "d" / "b")})[None].columns["folder"].to_python() == ["", ""]
    rows = read_rows(str(tmp_path / "d"), files, source).table
    assert rows.columns["image"].data.tobytes() == table.columns["image"].data.tobytes()
    before = fingerprint(spec)
    picture(tmp_path / "d" / "b" / "1.png", pixels["b/0.PNG"])
    assert fingerprint(spec) != before


def test_kinds_of_pictures(declare: Any, tmp_path: Path) -> None:
    grey = RNG.integers(0, 256, (2, 3), dtype=np.uint8)
    picture(tmp_path / "g" / "a.png", grey)
    picture(tmp_path / "g" / "b.png", grey > 100)
    for cell in ((2, 3), (2, 3, 1)):
        found = read_source(declare.data(columns(declare, cell), declare.source("folder", "g")))[None].columns["image"].data
        assert np.array_equal(found[0].reshape(2, 3), grey)
        assert np.array_equal(found[1].reshape(2, 3), np.where(grey > 100, 255, 0))
    colours = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]]] * 2, np.uint8)
    picture(tmp_path / "p" / "a.png", colours, "P", optimize=True)
    picture(tmp_path / "p" / "b.jpg", np.full((2, 3, 3), 128, np.uint8), quality=95)
    found = read_source(declare.data(columns(declare), declare.source("folder", "p")))[None].columns["image"].data
    assert found.shape == (2, 2, 3, 3)
    assert abs(int(found[1].mean()) - 128) <= 1


def idx(values: np.ndarray, code: int = 8) -> bytes:
    head = struct.pack(f">BBBB{values.ndim}I", 0, 0, code, values.ndim, *values.shape)
    return head + values.astype(values.dtype.newbyteorder(">")).tobytes()


def test_a_file_for_each_column(declare: Any, put: Put, tmp_path: Path) -> None:
    images, ages = RNG.integers(0, 256, (5, 2, 3), dtype=np.uint8), np.arange(5, dtype=np.int32)
    specs = [declare.column("image: u8[2, 3]"), declare.column("age: i32")]
    put("i.idx", idx(images))
    put("a.idx.gz", gzip.compress(idx(ages, 0x0C)))
    by_column = replace(declare.source("idx", "i.idx", "a.idx.gz"), files=(("image", "i.idx"), ("age", "a.idx.gz")))
    np.save(tmp_path / "i.npy", images)
    np.save(tmp_path / "a.npy", ages)
    arrays = replace(declare.source("npy", "i.npy", "a.npy"), files=(("image", "i.npy"), ("age", "a.npy")))
    for source in (by_column, arrays):
        spec = declare.data(specs, source)
        tables = [read_source(spec)[None], read_source(spec, {"Birds": str(tmp_path)})[None]]
        tables.append(read_rows(str(tmp_path), specs, source).table)
        for table in tables:
            assert np.array_equal(table.columns["image"].data, images)
            assert table.columns["age"].data.tolist() == ages.tolist()
    single = declare.data(specs[:1], declare.source("idx", "i.idx"))
    assert np.array_equal(read_source(single)[None].columns["image"].data, images)
    assert np.array_equal(read_source(single, {"Birds": str(tmp_path / "i.idx")})[None].columns["image"].data, images)
    assert len(fingerprint(declare.data(specs, by_column))) == 64


def test_pictures_to_predict(declare: Any, put: Put, tmp_path: Path, golden: Callable[[str, str], None]) -> None:
    """One picture is a row; a picture that cannot be read is an error of its row, as a cell of a table is."""
    source = declare.source("folder", "d")
    wanted = [*columns(declare), replace(declare.column("name: str"), header="file")]
    pixels = RNG.integers(0, 256, (2, 2, 3, 3), dtype=np.uint8)
    for name, values in (("a.png", pixels[0]), ("b.png", pixels[1, :, :2]), ("c.PNG", pixels[1])):
        picture(tmp_path / "p" / name, values)
    one = read_rows(str(tmp_path / "p" / "c.PNG"), wanted, source).table
    assert np.array_equal(one.columns["image"].data, pixels[1:])
    assert (one.columns["folder"].to_python(), one.columns["name"].to_python()) == ([""], ["c.PNG"])
    found = read_rows(str(tmp_path / "p"), wanted, source, keep_bad=True)
    assert list(found.errors) == [1]
    assert "2 high and 2 wide" in found.errors[1]
    assert np.array_equal(found.table.columns["image"].data[[0, 2]], pixels)
    said: list[str] = []
    for title, path in (
        ("a picture that is not there", tmp_path / "none.png"),
        ("no picture by its name", put("notes.txt", "text")),
        ("a bad picture", tmp_path / "p" / "b.png"),
    ):
        with declare.refused(said, title):
            read_rows(str(path), wanted, source)
    golden("predict", "\n".join(said).replace(f"{tmp_path}/", ""))


def test_what_is_refused(declare: Any, put: Put, tmp_path: Path, golden: Callable[[str, str], None]) -> None:
    said: list[str] = []
    data = declare.data(columns(declare), declare.source("folder", "d"))

    def try_file(title: str, write: Callable[[Path], object]) -> None:
        path = tmp_path / "d" / "a.png"
        path.parent.mkdir(exist_ok=True)
        write(path)
        with declare.refused(said, title):
            read_source(data)

    pixels = RNG.integers(0, 256, (2, 3, 3), dtype=np.uint8)
    try_file("another size", lambda path: picture(path, pixels.transpose(1, 0, 2)))
    try_file("a grey picture", lambda path: picture(path, pixels[..., 0]))
    try_file("transparency", lambda path: picture(path, np.zeros((2, 3, 4), np.uint8)))
    try_file("no picture", lambda path: path.write_text("text"))
    picture(tmp_path / "whole.png", pixels)
    try_file("half a picture", lambda path: path.write_bytes((tmp_path / "whole.png").read_bytes()[:-30]))
    (tmp_path / "d" / "a.png").unlink()
    with declare.refused(said, "an empty folder"):
        read_source(data)
    with declare.refused(said, "no folder"):
        read_source(declare.data(columns(declare), declare.source("folder", "none")))
    picture(tmp_path / "d" / "a.png", pixels)
    with pytest.MonkeyPatch.context() as patch, declare.refused(said, "no Pillow"):
        patch.setitem(sys.modules, "PIL", None)
        read_source(data)
    image = [declare.column("image: u8[2, 3]")]
    for title, content in {
        "no idx file": b"PNG.....",
        "an idx file cut off": idx(np.zeros((5, 2, 3), np.uint8))[:-3],
        "an idx file that claims too much": struct.pack(">BBBB3I", 0, 0, 8, 3, 2**31, 2**31, 2**31),
        "an idx file of another shape": idx(np.zeros((5, 3, 2), np.uint8)),
    }.items():
        put("i.idx", content)
        with declare.refused(said, title):
            read_source(declare.data(image, declare.source("idx", "i.idx")))
    put("i.npy", b"\x93NUMPY and nothing else")
    with declare.refused(said, "a damaged npy file"):
        read_source(declare.data(image, declare.source("npy", "i.npy")))
    np.save(tmp_path / "i.npy", np.array([{}, {}], object), allow_pickle=True)
    with declare.refused(said, "Python objects"):
        read_source(declare.data(image, declare.source("npy", "i.npy")))
    put("a1.idx", idx(np.zeros((5, 2, 3), np.uint8)))
    put("a2.idx", idx(np.zeros((5, 2, 3), np.uint8)))
    put("b1.idx", idx(np.zeros(5, np.uint8)))
    files = replace(declare.source("idx", "a?.idx", "b?.idx"), files=(("image", "a?.idx"), ("age", "b?.idx")))
    with declare.refused(said, "a file too few"):
        read_source(declare.data([*image, declare.column("age: i32")], files))
    put("a.csv.gz", b"no gzip")
    with declare.refused(said, "no gzip file"):
        read_rows(str(tmp_path / "a.csv.gz"), image)
    golden("pictures", "\n".join(said))
