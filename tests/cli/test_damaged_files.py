"""No input file, however damaged, ends in a traceback or a hang: each file of a zoo, made here, ends in an error that names it."""

from __future__ import annotations

import gzip
import io
import json
import os
import resource
import socket
import struct
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bmc.cli import main
from tests.cli.conftest import Run

PROGRAM = """data D {{
  source = {source}
  columns {{ {columns} }}
  x = stack(a, number(t == "text 1"), axis = 1)
  y = y
}}
model M(x: f32[B, 2]) -> (out: f32[B]) {{ return x |> dense(1) |> squeeze }}
train M on D {{ loss = mse(out, y); optimizer = sgd(lr = 0.0000001); epochs = 1; batch = 8 }}
"""
OF_TEXT = """data D {
  source = bytes("dd") |> windows(4)
  columns { c: u8 }
  x = number(c)
}
model M(x: f32[B, 4]) -> (out: f32[B]) { return x |> dense(1) |> squeeze }
train M on D { loss = mse(out, x[:, 0]); optimizer = sgd(lr = 0.1); epochs = 1; batch = 8 }
"""
ROWS = [(i + 0.5, f"text {i}", i) for i in range(400)]
CSV = "a,t,y\n" + "".join(f"{a},{t},{y}\n" for a, t, y in ROWS)
LARGE = "a,t,y\n" + "".join(f"{i}.5,text {i},{i}\n" for i in range(12_000))
LINES = "".join(json.dumps({"a": a, "t": t, "y": y}) + "\n" for a, t, y in ROWS)


def npz(**more: Any) -> bytes:
    arrays = {"a": np.arange(400.0), "t": np.array([t for _, t, _ in ROWS]), "y": np.arange(400.0)}
    sink = io.BytesIO()
    np.savez_compressed(sink, **{**arrays, **more})
    return sink.getvalue()


def arrow_table(**more: Any) -> pa.Table:
    return pa.table({"a": [r[0] for r in ROWS], "t": [r[1] for r in ROWS], "y": [float(r[2]) for r in ROWS], **more})


def parquet(table: pa.Table | None = None, **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(arrow_table() if table is None else table, sink, **options)
    return sink.getvalue()


def ipc(table: pa.Table | None = None) -> bytes:
    sink = io.BytesIO()
    table = arrow_table() if table is None else table
    with pa.ipc.new_file(sink, table.schema) as out:
        out.write_table(table)
    return sink.getvalue()


def half(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flipped(content: bytes, at: float) -> bytes:
    place = int(len(content) * at)
    return content[:place] + bytes(b ^ 0x55 for b in content[place : place + 40]) + content[place + 40 :]


def npy_in_npz(shape: str) -> bytes:
    """An npz whose array `a` says that it has another shape than it has."""
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}}}".encode()
    array = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(64)
    source, sink = zipfile.ZipFile(io.BytesIO(npz())), io.BytesIO()
    with zipfile.ZipFile(sink, "w") as out:
        for name in source.namelist():
            out.writestr(name, array if name == "a.npy" else source.read(name))
    return sink.getvalue()


LIST = pa.array([[1.0]] * 400)
FILES: Mapping[str, tuple[str, Callable[[], bytes]]] = MappingProxyType({
    "empty": ("d.csv", lambda: b""),
    "header only": ("d.csv", lambda: b"a,t,y\n"),
    "line breaks only": ("d.csv", lambda: b"\n\r\n\n"),
    "NUL bytes": ("d.csv", lambda: CSV.encode() + b"1,\0\0,2\n"),
    "NUL bytes far down": ("d.csv", lambda: LARGE.encode() + b"1,\0\0,2\n"),
    "nothing but NUL": ("d.csv", lambda: bytes(1 << 20)),
    "Latin-1": ("d.csv", lambda: LARGE.encode() + "1,caf\xe9,2\n".encode("latin-1")),
    "UTF-16": ("d.csv", lambda: LARGE.encode("utf-16")),
    "UTF-16 without a mark": ("d.csv", lambda: LARGE.encode("utf-16-le")),
    "half a character": ("d.csv", lambda: CSV.encode() + "1,é".encode()[:-1]),
    "ragged": ("d.csv", lambda: CSV.encode() + b"1,x\n"),
    "ragged far down": ("d.csv", lambda: LARGE.encode() + b"1,x,2,3\n"),
    "ends in a record": ("d.csv", lambda: LARGE.encode()[:-12]),
    "open quote": ("d.csv", lambda: b'a,t,y\n1,"x,2\n' + LARGE.encode()),
    "open quote at the end": ("d.csv", lambda: LARGE.encode() + b'1,"x'),
    "quotes everywhere": ("d.csv", lambda: b"a,t,y\n" + b'"' * 300_001),
    "a cell of 80 MiB": ("d.csv", lambda: b'a,t,y\n1,"' + b"x" * (80 << 20) + b'",2\n'),
    "a line of 80 MiB": ("d.csv", lambda: b"a,t,y\n" + b"x" * (80 << 20)),
    "10,000 columns": ("d.csv", lambda: (",".join(f"c{i}" for i in range(10_000)) + "\n").encode() + b"1," * 9_999 + b"1\n"),
    "binary": ("d.csv", lambda: np.random.default_rng(0).bytes(300_000)),
    "a picture of text": ("d.csv", lambda: b"\x89PNG\r\n\x1a\n" + bytes(1000)),
    "parquet called csv": ("d.csv", parquet),
    "gzip called csv": ("d.csv", lambda: gzip.compress(CSV.encode())),
    "other columns": ("d.csv", lambda: CSV.replace("a,t,y", "b,t,y").encode()),
    "columns twice": ("d.csv", lambda: CSV.replace("a,t,y", "a,a,y").encode()),
    "no gzip": ("d.csv.gz", CSV.encode),
    "half a gzip": ("d.csv.gz", lambda: half(gzip.compress(LARGE.encode()))),
    "broken gzip": ("d.csv.gz", lambda: flipped(gzip.compress(LARGE.encode()), 0.5)),
    "a bomb": ("d.csv.gz", lambda: gzip.compress(b"a,t,y\n1,2," + bytes(300 << 20), 1)),
    "a bomb of text": ("d.csv.gz", lambda: gzip.compress(b"a,t,y\n1,2," + b"9" * (200 << 20), 1)),
    "a bomb of lines": ("d.jsonl.gz", lambda: gzip.compress(b'{"a":' + b"[" * (200 << 20), 1)),
    "jsonl: half": ("d.jsonl", lambda: LINES.encode()[:-9]),
    "jsonl: a list": ("d.jsonl", lambda: b"[1, 2]\n"),
    "jsonl: a whole file": ("d.jsonl", lambda: json.dumps([{"a": 1}] * 10, indent=1).encode()),
    "jsonl: objects inside": ("d.jsonl", lambda: LINES.encode() + b'{"a": {"b": 1}, "t": "", "y": 1}\n'),
    "jsonl: NaN": ("d.jsonl", lambda: LINES.encode() + b'{"a": NaN, "t": "", "y": 1}\n'),
    "jsonl: a huge number": ("d.jsonl", lambda: LINES.encode() + b'{"a": ' + b"9" * 5000 + b', "t": "", "y": 1}\n'),
    "jsonl: lone surrogate": ("d.jsonl", lambda: LINES.encode() + b'{"a": 1, "t": "\\ud800", "y": 1}\n'),
    "jsonl: deep": ("d.jsonl", lambda: b'{"a":' * 100_000),
    "jsonl: not UTF-8": ("d.jsonl", lambda: LINES.encode() + b'{"t": "\xff"}\n'),
    "jsonl: NUL": ("d.jsonl", lambda: bytes(1000)),
    "jsonl: UTF-16": ("d.jsonl", lambda: LINES.encode("utf-16")),
    "jsonl: a line of 80 MiB": ("d.jsonl", lambda: b'{"t": "' + b"x" * (80 << 20) + b'"}\n'),
    "npz: half": ("d.npz", lambda: half(npz())),
    "npz: flipped": ("d.npz", lambda: flipped(npz(), 0.3)),
    "npz: directory flipped": ("d.npz", lambda: flipped(npz(), 0.97)),
    "npz: pickled": ("d.npz", lambda: npz(a=np.array([object()] * 400, object))),
    "npz: shape": ("d.npz", lambda: npy_in_npz("(400000000000,)")),
    "npz: rows of nothing": ("d.npz", lambda: npy_in_npz("(9223372036854775807, 0)")),
    "npz: negative": ("d.npz", lambda: npy_in_npz("(-1,)")),
    "npz: code": ("d.npz", lambda: npy_in_npz("__import__('os').abort()")),
    "npz: lengths": ("d.npz", lambda: npz(a=np.zeros(3))),
    "npz: complex": ("d.npz", lambda: npz(a=np.zeros(400, complex))),
    "npz: structured": ("d.npz", lambda: npz(a=np.zeros(400, [("u", "f4"), ("v", "i4")]))),
    "parquet: half": ("d.parquet", lambda: half(parquet())),
    "parquet: flipped data": ("d.parquet", lambda: flipped(parquet(write_page_checksum=True), 0.2)),
    "parquet: flipped footer": ("d.parquet", lambda: flipped(parquet(), 0.9)),
    "parquet: footer length": ("d.parquet", lambda: parquet()[:-8] + b"\xff\xff\xff\x7fPAR1"),
    "parquet: nested": ("d.parquet", lambda: parquet(arrow_table(a=pa.array([{"u": 1.0}] * 400)))),
    "parquet: lists": ("d.parquet", lambda: parquet(arrow_table(a=LIST))),
    "parquet: nulls": ("d.parquet", lambda: parquet(arrow_table(a=pa.nulls(400)))),
    "parquet: binary": ("d.parquet", lambda: parquet(arrow_table(t=pa.array([b"\xff"] * 400)))),
    "parquet: text for a number": ("d.parquet", lambda: parquet(arrow_table(a=pa.array(["1"] * 400)))),
    "parquet: times": ("d.parquet", lambda: parquet(arrow_table(a=pa.array([1] * 400, pa.timestamp("ns", "Asia/Tokyo"))))),
    "parquet: no rows": ("d.parquet", lambda: parquet(arrow_table().slice(0, 0))),
    "arrow: half": ("d.arrow", lambda: half(ipc())),
    "arrow: flipped": ("d.arrow", lambda: flipped(ipc(), 0.985)),
    "arrow: text": ("d.arrow", CSV.encode),
    "ts: text": ("d.ts", CSV.encode),
    "ts: NUL": ("d.ts", lambda: bytes(1000)),
})  # fmt: skip


@pytest.fixture(autouse=True)
def limits() -> Iterator[None]:
    """What a damaged file may take: some seconds, and not its pretended size of memory."""
    begun, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert time.monotonic() - begun < 30, "a damaged file is refused quickly"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 600 << 10, "memory is bounded"


def program(folder: Path, source: str, columns: str = "a: f32; t: str; y: f32") -> Path:
    path = folder / "m.bm"
    path.write_text(PROGRAM.format(source=source, columns=columns), encoding="utf-8")
    return path


def kind_of(name: str) -> str:
    return name.removesuffix(".gz").rpartition(".")[2]


@pytest.mark.parametrize("title", FILES)
def test_damaged_files_are_refused_by_name(title: str, run: Run, tmp_path: Path) -> None:
    name, content = FILES[title]
    (tmp_path / name).write_bytes(content())
    done = run("train", program(tmp_path, f'{kind_of(name)}("{name}")'), "-o", tmp_path / "m.bmz")
    assert done.code in (1, 3), done  # found by the check, or by the run
    assert "error[E0" in done.err, done.err
    assert name in done.err, done.err
    assert "Traceback" not in done.err
    assert len(done.err) < 6000, "an error is read by a person"
    assert not (tmp_path / "m.bmz").exists()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    (folder / "d.csv").write_text(CSV, encoding="utf-8")
    with pytest.raises(SystemExit) as end:
        main(["train", str(program(folder, 'csv("d.csv")')), "-o", str(folder / "m.bmz")])
    assert end.value.code == 0
    return folder / "m.bmz"


@pytest.mark.parametrize("title", FILES)
def test_damaged_rows_are_predicted_or_refused_by_name(title: str, model: Path, run: Run, tmp_path: Path) -> None:
    name, content = FILES[title]
    (tmp_path / name).write_bytes(content())
    out = tmp_path / "out.csv"
    out.write_text("what was there", encoding="utf-8")
    done = run("predict", model, tmp_path / name, "-o", out)
    assert "Traceback" not in done.err
    if done.code == 0:
        assert title in ("header only", "line breaks only", "parquet: no rows"), done
    else:
        assert done.code in (1, 3), done
        assert "error[E0" in done.err, done.err
        assert name in done.err, done.err
        assert out.read_text(encoding="utf-8") == "what was there", "what was there is not lost"


def places(folder: Path) -> dict[str, Callable[[], Any]]:
    path = folder / "dd"

    def loop() -> None:
        path.symlink_to("ee")
        (folder / "ee").symlink_to("dd")

    def bound() -> socket.socket:
        made = socket.socket(socket.AF_UNIX)
        made.bind(str(path))
        return made

    return {
        "nothing": lambda: None,
        "a folder": path.mkdir,
        "a pipe without a writer": lambda: os.mkfifo(path),
        "a socket": bound,
        "a device without an end": lambda: path.symlink_to("/dev/zero"),
        "a loop of links": loop,
        "a link to nothing": lambda: path.symlink_to("gone"),
    }


@pytest.mark.skipif(os.name != "posix", reason="pipes, devices and sockets are files of POSIX")
@pytest.mark.parametrize("title", places(Path()))
@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet", "npz", "arrow", "npy", "text"])
def test_what_is_no_file_is_refused(title: str, kind: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the path of a socket is short
    held = places(Path())[title]()
    source = 'npy(a = "dd", t = "dd", y = "dd")' if kind == "npy" else f'{kind}("dd")'
    path = program(tmp_path, source)
    if kind == "text":
        path.write_text(OF_TEXT, encoding="utf-8")
    done = run("train", path.name)
    assert done.code in (1, 3), done  # found by the check, or by the run
    assert "error[E072" in done.err, done.err
    assert "'dd'" in done.err
    assert "Traceback" not in done.err
    del held
