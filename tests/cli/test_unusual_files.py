"""Files and names that few people use: each is read as it is, or refused by name."""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Run

PROGRAM = """data D {
  source = npz("t.npz")
  columns {
    d: date
    w: timestamp
    a: f32
    t: str
    y: f32
  }
  x = stack(a, number(year(d)) - 2020.0, number(hour(w)), number(t == "u"), axis = 1)
  y = y
}
model M(x: f32[B, 4]) -> (out: f32[B]) { return x |> dense(1) |> squeeze }
train M on D {
  loss = mse(out, y)
  optimizer = sgd(lr = 0.0001)
  epochs = 1
  batch = 4
}
"""
CSV = "a,b,t\n" + "".join(f"{i}.5,{i * 7 % 11},{'uv'[i % 2]}\n" for i in range(40))


def arrays(**more: np.ndarray) -> dict[str, np.ndarray]:
    days = np.arange(8).astype("M8[D]") + np.timedelta64(18_262, "D")
    found = {"d": days, "w": days.astype("M8[us]"), "a": np.arange(8.0), "t": np.array(list("uvuvuvuv")), "y": np.arange(8.0)}
    return {**found, **more}


@pytest.mark.parametrize("more", [{}, {"a": np.arange(8, dtype=">f8")}, {"d": np.array(["2020-01-01"] * 8)}], ids=["M", "big", "U"])
def test_arrays_that_the_reader_takes_pass_the_check(more: dict[str, np.ndarray], run: Run, tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", **arrays(**more))
    (tmp_path / "m.bm").write_text(PROGRAM, encoding="utf-8")
    done = run("train", "m.bm")
    assert done.code == 0, done.err


@pytest.mark.parametrize("more", [{"d": np.arange(8)}, {"a": np.ones(8, np.bool_)}, {"t": np.arange(8.0)}], ids=["d", "a", "t"])
def test_arrays_that_the_reader_refuses_do_not(more: dict[str, np.ndarray], run: Run, tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", **arrays(**more))
    (tmp_path / "m.bm").write_text(PROGRAM, encoding="utf-8")
    done = run("check", "m.bm")
    assert (done.code, done.err.count("error[E0505]")) == (1, 1), done.err


@pytest.mark.parametrize("header", ["(" * 300 + ")" * 300, "{'descr': '<f8'}", "{'descr': 1, 'shape': 5}", "'a' + 1"])
def test_a_header_of_an_array_that_is_none(header: str, run: Run, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "t.npz", "w") as archive:
        for name in arrays():
            archive.writestr(f"{name}.npy", b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header.encode("ascii"))
    (tmp_path / "m.bm").write_text(PROGRAM, encoding="utf-8")
    done = run("check", "m.bm")
    assert done.code == 1, done.err
    assert "error[E0506]" in done.err


@pytest.mark.skipif(os.name != "posix", reason="pipes with names are files of POSIX")
def test_a_program_in_a_pipe(run: Run, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "p.bm")
    done = run("check", "p.bm")
    assert (done.code, "nothing is written to this pipe" in done.err) == (2, True), done.err
    text = PROGRAM.replace("t.npz", "not_there.npz")
    writer = threading.Thread(target=(tmp_path / "p.bm").write_text, args=(text,))
    writer.start()
    while not run("check", "p.bm").out.startswith("p.bm: no errors"):
        assert writer.is_alive()  # it had not opened the pipe
    writer.join()


@pytest.mark.parametrize("name", ["", ".", "..", "/", "x" * 300, "m.bm/x"])
def test_a_model_is_not_written_where_nothing_can_be(name: str, run: Run, tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", **arrays())
    (tmp_path / "m.bm").write_text(PROGRAM, encoding="utf-8")
    for more in ([], ["--resume"]):
        done = run("train", "m.bm", "-o", name, *more)
        assert done.code == 3, done.err
        assert "error[E0801]" in done.err


def test_names_of_any_length_that_the_system_has(run: Run, tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", **arrays())
    (tmp_path / "m.bm").write_text(PROGRAM, encoding="utf-8")
    model = "x" * 246 + ".bmz"
    assert run("train", "m.bm", "-o", model).code == 0
    done = run("predict", model, "t.npz", "-o", "y" * 251 + ".csv")
    assert done.code == 0, done.err


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_profile_of_lines_that_end_in_any_way(end: str, run: Run, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(CSV.replace("\n", end).encode("utf-8"))
    done = run("data", "t.csv")
    assert done.code == 0, done.err
    assert "t.csv: csv, 40 rows, 3 columns" in done.err


@pytest.mark.skipif(os.name != "posix", reason="pipes with names are files of POSIX")
def test_a_profile_of_what_is_no_file(run: Run, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "p.csv")
    (tmp_path / "f.csv").mkdir()
    (tmp_path / "l.csv").symlink_to("l.csv")
    long = "x" * 300 + ".csv"
    for name, why in [("p.csv", "is a pipe"), ("f.csv", "is a directory"), ("l.csv", "symbolic links"), (long, "too long")]:
        done = run("data", name)
        assert (done.code, why in done.err) == (3, True), done.err


def test_a_profile_of_an_archive_that_holds_no_arrays(run: Run, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "t.npz", "w") as archive:
        archive.writestr("a", "hello")
    done = run("data", "t.npz")
    assert (done.code, "error[E0727]" in done.err) == (3, True), done.err


def test_a_profile_of_arrays(run: Run, tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", **arrays(p=np.zeros((8, 3), np.float32), s=np.float32(1)))
    done = run("data", "t.npz")
    assert done.code == 0, done.err
    (tmp_path / "m.bm").write_text(done.out, encoding="utf-8")
    assert run("check", "m.bm").code == 0, done.out


@pytest.mark.parametrize("option", ["-o", "--log"])
@pytest.mark.parametrize("name", ["m.bm", "t.npz", "link"])
def test_nothing_is_written_over_the_program_and_its_data(option: str, name: str, run: Run, tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", **arrays())
    (tmp_path / "m.bm").write_text(PROGRAM, encoding="utf-8")
    (tmp_path / "link").symlink_to("t.npz")
    before = (tmp_path / name).read_bytes()
    done = run("train", "m.bm", option, name)
    assert (done.code, "error[E0801]" in done.err) == (3, True), done.err
    assert (tmp_path / name).read_bytes() == before


LINES = "".join(json.dumps({"t": "näh", "a": i * i % 7}, ensure_ascii=False) + "\n" for i in range(40))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (LINES.encode("latin-1"), "error[E0725]: t.jsonl, line 1: byte 0xe4 is not part of UTF-8 text"),
        (LINES.encode("utf-16"), "error[E0725]: t.jsonl begins as UTF-16 text does"),
        (LINES.encode("utf-8") + b"[" * 10_000, "error[E0727]: t.jsonl, line 41: the line is not JSON: nested too deeply"),
        (LINES.encode("utf-8") + b'{"a": ' + b"9" * 5_000 + b"}", "line 41: the line is not JSON: a number has thousands"),
        (b'{"a": "' + b"x" * (65 << 20), "error[E0727]: t.jsonl, line 1: the record that begins here has not ended after 64 MiB"),
    ],
    ids=["latin-1", "utf-16", "deep", "digits", "long"],
)
def test_a_profile_of_damaged_lines(content: bytes, said: str, run: Run, tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_bytes(content)
    done = run("data", "t.jsonl")
    assert (done.code, said in done.err) == (3, True), done.err[:500]


def test_a_profile_of_lines_behind_a_mark(run: Run, tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_bytes(b"\xef\xbb\xbf" + LINES.encode("utf-8"))
    done = run("data", "t.jsonl", "--json")
    assert done.code == 0, done.err
    assert [column["header"] for column in json.loads(done.out)["columns"]] == ["t", "a"]


def test_times_finer_than_the_calendar_takes(run: Run, tmp_path: Path) -> None:
    for unit in ("ps", "fs", "as"):
        np.savez(tmp_path / "t.npz", **arrays(d=np.zeros(8, f"M8[{unit}]"), w=np.ones(8, f"M8[{unit}]")))
        (tmp_path / "m.bm").write_text(PROGRAM, encoding="utf-8")
        done = run("train", "m.bm")
        assert done.code == 0, done.err


def test_a_profile_of_large_numbers(run: Run, tmp_path: Path) -> None:
    rows = [f"{2**63 + 5 + 2048 * (i % 2)},{-1.7e308 * (-1) ** i},{i % 3}" for i in range(40)]
    (tmp_path / "t.csv").write_text("\n".join(["n,f,y", *rows]), encoding="utf-8")
    done = run("data", "t.csv", "--json")
    assert done.code == 0, done.err
    assert [column["type"] for column in json.loads(done.out)["columns"]] == ["f32", "f32", "i32"]


COMMAND = [sys.executable, "-c", "import sys; from bmc.cli import main; sys.argv[0] = 'bmc'; main()"]


@pytest.mark.skipif(os.name != "posix", reason="closed standard streams and signals of POSIX")
@pytest.mark.parametrize("stream", [0, 1, 2])
def test_standard_streams_may_be_closed(stream: int, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(CSV, encoding="utf-8")
    given = [*COMMAND, "data", str(tmp_path / "t.csv"), "--target", "a"]
    done = subprocess.run(given, preexec_fn=lambda: os.close(stream), capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(os.name != "posix", reason="closed standard streams and signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_leaves_nothing_behind(number: signal.Signals, run: Run, tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", **arrays())
    (tmp_path / "m.bm").write_text(PROGRAM, encoding="utf-8")
    assert run("train", "m.bm", "-o", "m.bmz").code == 0
    out = tmp_path / "out"
    out.mkdir()
    given = [str(tmp_path / "m.bmz"), "-", "-o", str(out / "p.csv")]
    with subprocess.Popen([*COMMAND, "predict", *given], stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(b"d,w,a,t\n2020-01-01,2020-01-01,1,u\n")
        process.stdin.flush()
        until = time.monotonic() + 60
        while not os.listdir(out) and time.monotonic() < until:
            time.sleep(0.01)
        assert os.listdir(out)  # something is being written
        process.send_signal(number)
        assert process.wait(60) == 130
    assert not os.listdir(out)
