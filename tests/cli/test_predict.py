"""`bmc predict`: rows in, rows out, from every format into every format, whatever is wrong with the rows."""

from __future__ import annotations

import gzip
import io
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import feather
from pyarrow import parquet as pq

import bmc
from bmc.data import row_blocks

PROGRAM = """data Birds {
  source = csv("birds.csv", na = [""])
  columns {
    mass: f32
    wing: f32?
    age: i32
    tame: bool
    sex: str
    site: str
    ring: i64
    seen: date
    kind: str
  }
  where mass > 0
  x = concat(
    mass |> standardize, wing |> fill(mean) |> standardize, number(tame), number(age) / 10,
    site |> onehot(max = 4)
  )
  sex_code = sex |> category(["f", "m"])
  y = kind |> category(["auk", "gull"])
  split = by_hash(train = 0.7, test = 0.3)
}

model M(x: f32[B, F], sex_code: i32[B]) -> (logits: f32[B, 2]) {
  return concat(x, sex_code |> embedding(2, 2)) |> dense(8) |> relu |> dense(2)
}

train M on Birds {
  loss = cross_entropy(logits, y)
  optimizer = adam(lr = 0.01)
  metrics = [accuracy(logits, y)]
  predict = [kind = label_of(logits, y), p = softmax(logits)]
  keep = [ring, seen, site]
  batch = 16
  epochs = 2
  seed = 1
}
"""

HEADER = ("ring", "mass", "wing", "age", "tame", "sex", "site", "seen", "kind")
FEW = 150
"""Rows of the table; and rows to predict that make several blocks where a block is 64 rows."""


def birds() -> list[dict[str, Any]]:
    """The rows, as Python has them."""
    rng = np.random.default_rng(1)
    rows = []
    for i in range(FEW):
        auk = i % 2 == 0
        mass = float(np.float32(rng.normal(3 if auk else 1, 0.7)))
        wing = None if i % 7 == 3 else round(float(rng.normal(20, 3)), 2)
        site = ["north", "south", 'west, "old"', "é\n2"][i % 4]
        seen = date(2024, 1, 1) + timedelta(days=i)
        cells = (2**60 + i, mass, wing, i % 9, i % 3 == 0, "f" if i % 5 < 3 else "m", site, seen, "auk" if auk else "gull")
        rows.append(dict(zip(HEADER, cells, strict=True)))
    return rows


def csv_text(rows: list[dict[str, Any]], header: tuple[str, ...] = HEADER) -> str:
    def cell(value: Any) -> str:
        text = "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
        return '"' + text.replace('"', '""') + '"' if any(sign in text for sign in ',"\n') else text

    return "".join(",".join(map(cell, line)) + "\n" for line in [header, *([row[name] for name in header] for row in rows)])


def write_as(kind: str, rows: list[dict[str, Any]], path: Path) -> None:
    columns = {name: [row[name] for row in rows] for name in HEADER}
    if kind == "csv":
        path.write_text(csv_text(rows), encoding="utf-8")
    elif kind == "jsonl":
        path.write_text("".join(json.dumps(row, default=str) + "\n" for row in rows), encoding="utf-8")
    elif kind == "parquet":
        pq.write_table(pa.table(columns), path, row_group_size=40)
    elif kind == "arrow":
        feather.write_feather(pa.table(columns), path, chunksize=33)
    else:
        arrays = {name: np.array(cells) for name, cells in columns.items() if name not in ("wing", "seen")}
        wing = np.array([np.nan if cell is None else cell for cell in columns["wing"]])
        np.savez(path, **arrays, wing=wing, seen=np.array(columns["seen"], "M8[D]"))


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the birds."""
    folder = tmp_path_factory.mktemp("birds")
    (folder / "birds.csv").write_text(csv_text(birds()), encoding="utf-8")
    (folder / "birds.bm").write_text(PROGRAM, encoding="utf-8")
    bmc.compile(folder / "birds.bm").train(output=folder / "birds.bmz")
    return folder / "birds.bmz"


@pytest.fixture
def give(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    """Puts bytes on standard input."""

    def put(data: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))

    return put


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_blocks, "_MOST_ROWS", 64)


def good(done: Any) -> str:
    assert done.code == 0, done.err
    return done.out


def changed(row: Mapping[str, Any], **cells: Any) -> dict[str, Any]:
    return {**row, **cells}


# --- formats -------------------------------------------------------------------------------------------------------------
FORMATS = ("csv", "jsonl", "parquet", "arrow", "npz")


@pytest.mark.parametrize("kind", FORMATS)
def test_rows_of_each_format_give_the_same_bytes(run: Any, model: Path, small_blocks: None, give: Any, kind: str) -> None:
    write_as("csv", birds(), Path("rows.csv"))
    wanted = good(run("predict", model, "rows.csv"))
    assert wanted.count("\n") >= FEW + 1
    path = Path(f"some.{kind}")
    write_as(kind, birds(), path)
    assert good(run("predict", model, path)) == wanted
    give(path.read_bytes())
    assert good(run("predict", model, "-")) == wanted
    give(path.read_bytes())
    assert good(run("predict", model, "-", "--format", kind)) == wanted
    if kind in ("csv", "jsonl"):
        Path(f"some.{kind}.gz").write_bytes(gzip.compress(path.read_bytes()))
        assert good(run("predict", model, f"some.{kind}.gz")) == wanted


@pytest.mark.parametrize("kind", FORMATS)
def test_predictions_in_each_format_have_the_same_bits(run: Any, model: Path, monkeypatch: Any, kind: str) -> None:
    write_as("csv", birds(), Path("rows.csv"))
    good(run("predict", model, "rows.csv", "-o", f"whole.{kind}"))
    monkeypatch.setattr(row_blocks, "_MOST_ROWS", 7)
    good(run("predict", model, "rows.csv", "-o", f"blocks.{kind}"))
    found = bmc.load(model).predict("rows.csv")
    for name in ("whole", "blocks"):
        if kind in ("csv", "jsonl", "npz"):
            assert Path(f"{name}.{kind}").read_bytes() == Path(f"whole.{kind}").read_bytes()
        if kind == "npz":
            with np.load(f"{name}.npz") as arrays:
                assert arrays["p"].tobytes() == found["p"].tobytes()
                assert arrays["kind"].tolist() == found["kind"].tolist()
                assert arrays["ring"].tobytes() == found["ring"].tobytes()
        elif kind in ("parquet", "arrow"):
            table = (pq.read_table if kind == "parquet" else feather.read_table)(f"{name}.{kind}")
            assert np.array(table["p"].to_pylist(), np.float32).tobytes() == found["p"].tobytes()
            assert table["site"].to_pylist() == found["site"].tolist()
            assert table["seen"].to_pylist() == [row["seen"] for row in birds()]
    names = ("kind", "p", "ring", "seen", "site")
    assert tuple(found) == names
    assert not list(Path().glob(".*.tmp"))


def test_output_formats_of_standard_output(run: Any, model: Path) -> None:
    write_as("csv", birds(), Path("rows.csv"))
    good(run("predict", model, "rows.csv", "-o", "out.jsonl"))
    assert good(run("predict", model, "rows.csv", "--to", "jsonl")) == Path("out.jsonl").read_text(encoding="utf-8")
    good(run("predict", model, "rows.csv", "--to", "jsonl", "-o", "answers"))
    assert Path("answers").read_bytes() == Path("out.jsonl").read_bytes()
    assert run("predict", model, "rows.csv", "-o", "answers.xlsx").code == 2


def test_several_inputs_and_patterns_are_one_stream(run: Any, model: Path) -> None:
    rows = birds()
    write_as("csv", rows, Path("rows.csv"))
    wanted = good(run("predict", model, "rows.csv"))
    write_as("csv", rows[:50], Path("part-a.csv"))
    write_as("parquet", rows[50:51], Path("part-b.parquet"))
    write_as("jsonl", rows[51:], Path("part-c.jsonl"))
    assert good(run("predict", model, "part-*")) == wanted
    assert good(run("predict", model, "part-a.csv", "part-b.parquet", "part-c.jsonl")) == wanted
    assert good(run("predict", model, f"file://{Path().absolute()}/part-*")) == wanted
    assert run("predict", model, "none-*.csv").code == 3
    assert run("predict", model, "-", "-").code == 2


def test_the_output_is_never_what_is_read(run: Any, model: Path) -> None:
    write_as("csv", birds(), Path("rows.csv"))
    before = Path("rows.csv").read_bytes()
    Path("link.csv").symlink_to("rows.csv")
    for given, output in (("rows.csv", "rows.csv"), ("r*.csv", "link.csv"), ("./rows.csv", "rows.csv")):
        done = run("predict", model, given, "-o", output)
        assert (done.code, "it is read from" in done.err) == (3, True)
    assert run("predict", model, "rows.csv", "-o", model, "--to", "csv").code == 3
    assert Path("rows.csv").read_bytes() == before


# --- rows that are not as training saw them ------------------------------------------------------------------------------
def test_columns_by_name_whatever_else_there_is(run: Any, model: Path) -> None:
    rows = birds()[:9]
    Path("rows.csv").write_text(csv_text(rows), encoding="utf-8")
    wanted = good(run("predict", model, "rows.csv"))
    header = ("note", "site", "sex", "seen", "mass", "wing", "tame", "ring", "age")
    more = [changed(row, note="x,y") for row in rows]
    Path("other.csv").write_text(csv_text(more, header), encoding="utf-8")
    assert good(run("predict", model, "other.csv")) == wanted, "other order, a column more, no label"
    text = csv_text(rows)
    for name, content in {
        "crlf": text.replace("\n", "\r\n").replace("é\r\n2", "é\n2").encode(),
        "bom": b"\xef\xbb\xbf" + text.encode(),
        "no_end": text.rstrip("\n").encode(),
        "empty_lines": text.replace("\n2024", "\n2024").encode() + b"\n\n",
    }.items():
        Path(f"{name}.csv").write_bytes(content)
        assert good(run("predict", model, f"{name}.csv")) == wanted, name


def test_no_rows(run: Any, model: Path) -> None:
    head = "kind,p.0,p.1,ring,seen,site\n"
    Path("rows.csv").write_text(",".join(HEADER) + "\n", encoding="utf-8")
    assert good(run("predict", model, "rows.csv")) == head
    for kind in ("npz", "jsonl", "parquet", "arrow"):
        good(run("predict", model, "rows.csv", "-o", f"out.{kind}"))
    assert pq.read_table("out.parquet").num_rows == 0
    for read, kind in ((pq.read_table, "parquet"), (feather.read_table, "arrow")):
        assert read(f"out.{kind}").schema.names == ["kind", "p", "ring", "seen", "site"]
    done = run("predict", model, "rows.csv", "--on-error", "column")
    assert done.out == head[:-1] + ",error\n"
    Path("rows.jsonl").write_bytes(b"")
    assert good(run("predict", model, "rows.jsonl")) == head
    Path("rows.csv").write_bytes(b"")
    done = run("predict", model, "rows.csv")
    assert (done.code, "is empty" in done.err) == (3, True)


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "a gap": ({"mass": None}, "missing"),
    "text": ({"mass": "heavy"}, "'heavy' is not a number"),
    "a comma": ({"mass": "3,5"}, "'3,5' is not a number"),
    "a fraction": ({"age": "3.5"}, "'3.5' is not an integer"),
    "too large": ({"age": 2**31}, "-2147483648 to 2147483647"),
    "neither": ({"tame": "perhaps"}, "is not a truth value"),
    "another date": ({"seen": "01/02/2024"}, "is not a date like 2024-02-29"),
    "no date": ({"seen": "2024-02-30"}, "is not a date of the calendar"),
    "not listed": ({"sex": "x"}, "`sex` is 'x', which the category `sex_code` does not list"),
}


@pytest.mark.parametrize("title", BAD)
def test_bad_rows(run: Any, model: Path, small_blocks: None, title: str) -> None:
    cells, why = BAD[title]
    rows = birds()
    write_as("csv", rows, Path("good.csv"))
    lines = list(bmc.load(model).predict("good.csv")["ring"])
    rows[100] = changed(rows[100], **cells)
    write_as("csv", rows, Path("rows.csv"))

    stopped = run("predict", model, "rows.csv", "-o", "out.csv")
    assert stopped.code == 3
    assert why in stopped.err
    line = 2 + 100 + sum(row["site"] == "é\n2" for row in rows[:100])
    assert ("row 101 of rows.csv" if title == "not listed" else f"rows.csv, line {line}:") in stopped.err
    assert not Path("out.csv").exists()

    good(run("predict", model, "good.csv", "-o", "good.parquet"))
    whole = pq.read_table("good.parquet").to_pylist()
    kept = run("predict", model, "rows.csv", "--on-error", "column", "-o", "out.parquet")
    assert "1 of 150 rows could not be read" in kept.err
    found = pq.read_table("out.parquet").to_pylist()
    assert len(found) == FEW
    assert why in found[100].pop("error")
    assert set(found[100].values()) == {None}
    for i, row in enumerate(found):
        if i != 100:
            assert row == {**whole[i], "error": None}

    skipped = run("predict", model, "rows.csv", "--on-error", "skip", "-o", "out.parquet")
    assert "1 of 150 rows could not be read, and were left out" in skipped.err
    assert [row["ring"] for row in pq.read_table("out.parquet").to_pylist()] == lines[:100] + lines[101:]


def test_ragged_records_and_broken_lines(run: Any, model: Path) -> None:
    rows = csv_text(birds()[:3]).splitlines()
    Path("rows.csv").write_text("\n".join([rows[0], rows[1], rows[2] + ",more", rows[1]]) + "\n", encoding="utf-8")
    done = run("predict", model, "rows.csv")
    assert done.code == 3
    assert "line 3 has 10 cells, the header has 9" in done.err
    assert good(run("predict", model, "rows.csv", "--on-error", "skip")).count("\n") == 3
    write_as("jsonl", birds()[:3], Path("rows.jsonl"))
    lines = Path("rows.jsonl").read_text(encoding="utf-8").splitlines()
    Path("rows.jsonl").write_text(f"{lines[0]}\n{lines[1][:-9]}\n{lines[2]}\n", encoding="utf-8")
    assert "line 2" in run("predict", model, "rows.jsonl").err
    assert good(run("predict", model, "rows.jsonl", "--on-error", "skip")).count("\n") == 3


def test_unseen_values_and_gaps_that_training_knows(run: Any, model: Path) -> None:
    """Where a slot is for others, an unseen text takes it; a gap in `f32?` is filled."""
    rows = [changed(birds()[0], site="nowhere", wing=None), changed(birds()[0], site="elsewhere", wing=None)]
    write_as("csv", rows, Path("rows.csv"))
    one, other = good(run("predict", model, "rows.csv")).splitlines()[1:]
    assert one.split(",")[:3] == other.split(",")[:3]


def test_missing_columns(run: Any, model: Path) -> None:
    rows = [changed(row, Mass=row["mass"]) for row in birds()[:3]]
    Path("rows.csv").write_text(csv_text(rows, ("ring", "Mass", *HEADER[2:])), encoding="utf-8")
    done = run("predict", model, "rows.csv")
    assert done.code == 3
    assert "has no column 'mass'" in done.err
    assert "'Mass'" in done.err


def test_rows_that_training_would_drop_are_counted(run: Any, model: Path, small_blocks: None) -> None:
    rows = [changed(row, mass=-1.0 if i % 50 == 3 else abs(row["mass"])) for i, row in enumerate(birds())]
    write_as("csv", rows, Path("rows.csv"))
    assert "3 of 150 rows would be dropped by `where`" in run("predict", model, "rows.csv").err
    rows = [changed(row, mass="x" if i % 50 == 4 else row["mass"]) for i, row in enumerate(rows)]
    write_as("csv", rows, Path("rows.csv"))
    noted = run("predict", model, "rows.csv", "--on-error", "skip").err
    assert "3 of 150 rows would be dropped" in noted
    assert "3 of 150 rows could not be read" in noted


# --- streams -------------------------------------------------------------------------------------------------------------
def started(*args: Any) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", "from bmc.cli import main; main()", "predict", *map(str, args)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.fixture
def deadline() -> Iterator[Callable[[subprocess.Popen[bytes]], None]]:
    """Ends a process that waits for what never comes."""
    timers: list[threading.Timer] = []

    def watch(process: subprocess.Popen[bytes]) -> None:
        timers.append(threading.Timer(60, process.kill))
        timers[-1].start()

    yield watch
    for timer in timers:
        timer.cancel()


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_answers_come_while_rows_are_still_written(run: Any, model: Path, deadline: Any, kind: str) -> None:
    write_as(kind, birds()[:4], Path(f"rows.{kind}"))
    wanted = good(run("predict", model, f"rows.{kind}")).encode().splitlines(keepends=True)[:4]
    given = Path(f"rows.{kind}").read_bytes().splitlines(keepends=True)
    process = started(model, "-")
    deadline(process)
    assert process.stdin is not None
    assert process.stdout is not None
    for i in range(3):
        if i == 0 and kind == "csv":
            process.stdin.write(given.pop(0))
        line = given.pop(0)
        for part in (line[:20], line[20:]):
            process.stdin.write(part)
            process.stdin.flush()
        if i == 0:
            assert process.stdout.readline() == wanted.pop(0)
        assert process.stdout.readline() == wanted.pop(0)
    process.stdin.close()
    assert process.wait() == 0


def test_a_reader_that_goes_away_ends_it_quietly(model: Path, tmp_path: Path, deadline: Any) -> None:
    (tmp_path / "rows.csv").write_text(csv_text(birds() * 60), encoding="utf-8")
    process = started(model, tmp_path / "rows.csv")
    deadline(process)
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline().startswith(b"kind,")
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 0


def test_an_interrupt_leaves_nothing_behind(model: Path, tmp_path: Path, deadline: Any) -> None:
    process = started(model, "-", "-o", tmp_path / "out.csv")
    deadline(process)
    assert process.stdin is not None
    assert process.stderr is not None
    process.stdin.write(csv_text(birds()[:3]).encode())
    process.stdin.flush()
    while not list(tmp_path.glob(".out.csv.*")):  # it has begun to write
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert process.stderr.read() == b"\ninterrupted\n"
    assert process.wait() == 130
    assert list(tmp_path.iterdir()) == []


# --- windows, texts, samples ---------------------------------------------------------------------------------------------
SERIES = """data Sales {
  source = csv("sales.csv", na = [""]) |> windows(4, by = shop, order = day)
  columns { shop: str; day: date; sold: f32 }
  past = sold[:, :3]
  next = sold[:, 3]
}
model M(past: f32[B, 3]) -> (ahead: f32[B]) { return past |> dense(1) |> squeeze(-1) }
train M on Sales { loss = mse(ahead, next); predict = [ahead = ahead]; keep = [day]; epochs = 1 }
"""


def sales(rows: int, bad: Mapping[int, str] | None = None) -> str:
    """Two shops, day by day in turn."""
    days = [(i // 2, "ab"[i % 2], (bad or {}).get(i, str(i % 13))) for i in range(rows)]
    return "shop,day,sold\n" + "".join(f"{shop},{date(2024, 1, 1) + timedelta(days=day)},{sold}\n" for day, shop, sold in days)


def test_windows_with_a_bad_item(run: Any, monkeypatch: Any) -> None:
    Path("sales.csv").write_text(sales(40), encoding="utf-8")
    Path("sales.bm").write_text(SERIES, encoding="utf-8")
    assert run("train", "sales.bm").code == 0
    whole = good(run("predict", "sales.bmz", "sales.csv")).splitlines()
    assert len(whole) == 1 + 2 * 17
    Path("bad.csv").write_text(sales(40, {0: "none", 20: "x"}), encoding="utf-8")  # items 0 and 10 of shop a
    assert "bad.csv, line 2: 'none' is not a number" in run("predict", "sales.bmz", "bad.csv").err
    found = good(run("predict", "sales.bmz", "bad.csv", "--on-error", "column")).splitlines()
    wrong = [0, 7, 8, 9, 10]
    for row in range(2 * 17):
        if row in wrong:
            cells = found[1 + row].split(",", 1)
            assert cells[0] == ""
            assert f"bad.csv, line {2 if row == 0 else 22}: " in cells[1]
        else:
            assert found[1 + row] == whole[1 + row] + ","
    skipped = good(run("predict", "sales.bmz", "bad.csv", "--on-error", "skip")).splitlines()
    assert skipped == [whole[0], *(line for row, line in enumerate(whole[1:]) if row not in wrong)]
    Path("unplaced.csv").write_text(sales(40).replace("2024-01-05", "2024-02-30"), encoding="utf-8")
    done = run("predict", "sales.bmz", "unplaced.csv", "--on-error", "column")
    assert done.code == 3
    assert "'2024-02-30' is not a date of the calendar" in done.err


LINES = """data Lines {
  source = text("lines.txt")
  columns { line: str }
  n = number(length(line |> words)) |> unsqueeze(-1)
}
model M(n: f32[B, 1]) -> (x: f32[B, 1]) { return n |> dense(1) }
train M on Lines { loss = mse(x, n); predict = [n = n]; epochs = 1 }
"""


def test_a_table_for_a_model_of_texts_is_a_table(run: Any, give: Any) -> None:
    texts = ["a b c", "one, two", "alone"]
    Path("lines.txt").write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    Path("lines.bm").write_text(LINES, encoding="utf-8")
    assert run("train", "lines.bm").code == 0
    wanted = good(run("predict", "lines.bmz", "lines.txt"))
    assert wanted == "n.0\n3.0\n2.0\n1.0\n"
    Path("rows.csv").write_text('id,line\n1,a b c\n2,"one, two"\n3,alone\n', encoding="utf-8")
    Path("rows.jsonl").write_text("".join(json.dumps({"line": text}) + "\n" for text in texts), encoding="utf-8")
    for name in ("rows.csv", "rows.jsonl"):
        assert good(run("predict", "lines.bmz", name)) == wanted
        assert good(run("predict", "lines.bmz", name, "--format", "text")).count("\n") == 1 + Path(name).read_text().count("\n")
    give(Path("lines.txt").read_bytes())
    assert good(run("predict", "lines.bmz", "-")) == wanted
    give(Path("rows.csv").read_bytes())
    assert good(run("predict", "lines.bmz", "-", "--format", "csv")) == wanted


NOISE = """data D {
  source = csv("d.csv")
  columns { a: f32; b: f32 }
  x = stack([a, b], axis = -1)
}
model M(x: f32[B, 2]) -> (code: f32[B, 2], drawn: f32[B, 2]) {
  z: f32[B, 2] = normal()
  dec = dense(2)
  return dec(x), dec(z)
}
train M on D { loss = mse(code, x); predict = [drawn = drawn]; epochs = 1 }
"""


def test_samples_are_drawn_by_row(run: Any, give: Any, monkeypatch: Any) -> None:
    """One for each row of standard input, which is read once; the same however rows come."""
    Path("d.csv").write_text("a,b\n" + "1,2\n3,4\n" * 70, encoding="utf-8")
    Path("m.bm").write_text(NOISE, encoding="utf-8")
    assert run("train", "m.bm").code == 0
    wanted = good(run("predict", "m.bmz", "d.csv"))
    assert len(set(wanted.splitlines())) == 141
    monkeypatch.setattr(row_blocks, "_MOST_ROWS", 64)
    assert good(run("predict", "m.bmz", "d.csv")) == wanted
    give(Path("d.csv").read_bytes())
    assert good(run("predict", "m.bmz", "-")) == wanted
    Path("half.csv").write_text("a,b\n" + "1,2\n" * 70, encoding="utf-8")
    assert good(run("predict", "m.bmz", "half.csv", "half.csv")) == wanted


@pytest.mark.slow
def test_memory_does_not_grow_with_the_input(model: Path, tmp_path: Path) -> None:
    """Twice as much to read may take no more than a tenth more memory: what a process takes wavers by some MB."""
    rows = csv_text(birds())
    header, body = rows.split("\n", 1)
    peaks = {}
    for times in (2_000, 4_000):
        path = tmp_path / f"{times}.csv"
        with path.open("w", encoding="utf-8") as file:
            file.write(header + "\n")
            for _ in range(times):
                file.write(body)
        command = "import resource; from bmc.cli import main\ntry: main()\n"
        command += "finally: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        arguments = ["predict", str(model), str(path), "-o", str(tmp_path / f"{times}.csv.gz.npz")]
        done = subprocess.run([sys.executable, "-c", command, *arguments], capture_output=True, text=True, check=True)
        peaks[times] = int(done.stdout)
        assert f"wrote {times * FEW} rows" in done.stderr
    assert peaks[4_000] < 1.1 * peaks[2_000]
