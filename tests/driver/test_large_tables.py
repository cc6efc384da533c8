"""Tables that do not fit into memory: the same models, bit for bit, as from memory; forced here by limits of a few bytes."""

from __future__ import annotations

import csv
import random
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from bmc.codegen.cache import ObjectCache
from bmc.data import Block, read_blocks
from bmc.driver.load import load_unit, text_source
from bmc.driver.session import MemoryLimits, Session, SessionOptions
from bmc.driver.trained import open_model
from bmc.driver.workflow import Silent, TrainOptions, train
from bmc.errors import BmcError
from bmc.errors.render import render_all
from bmc.record import replace
from bmc_runtime.table import Table
from bmc_runtime.training import Progress
from tests.driver import test_bucketed_rows as bucketed

PROGRAM = """data A {
  source = csv("*.csv")
  columns { a: f32?; n: i64; when: date; word: str?; long: str; y: f32 }
  where n != 7
  DISTINCT
  x = concat(a |> fill(median) |> standardize, number(n) |> minmax, word |> fill("?") |> onehot(max = 5),
             long |> hash(16) |> onehot(16))
  t = y |> standardize
  SPLIT
}
model M(x: f32[B, F]) -> (out: f32[B]) { return x |> dense(8) as one |> relu |> dense(1) as two |> squeeze(-1) }
train M on A {
  loss = mse(out, t)
  metrics = [r2(out, t)]
  predict = [y = out]
  batch = 16
  epochs = 2
  MORE
}
"""

SPLITS = [
    "split = by_hash(train = 0.8, valid = 0.1, test = 0.1)",
    "split = by_order(train = 0.7, valid = 0.2, test = 0.1)",
    'split = by_time(when, valid = "2020-05-01", test = "2020-06-01")',
    "",
]

EVERYTHING, NOTHING = MemoryLimits(), MemoryLimits(0, 0)


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three files of 100 rows, some of them twice."""
    draw = random.Random(0)
    words = ["", "red", "green", "blue", "x"]
    rows = [
        [
            "" if draw.random() < 0.1 else f"{draw.gauss(0, 1):.3f}",
            draw.randrange(12),
            f"2020-0{draw.randrange(1, 8)}-1{draw.randrange(9)}",
            draw.choice(words),
            "text " * draw.randrange(9) + str(draw.randrange(40)),
            f"{draw.gauss(0, 1):.3f}",
        ]
        for _ in range(270)
    ]
    rows += rows[::9]
    for number in range(3):
        with (tmp_path / f"{number}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["a", "n", "when", "word", "long", "y"])
            writer.writerows(rows[number::3])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def trained(
    folder: Path, name: str, limits: MemoryLimits, split: str, more: str = "", distinct: str = "", workers: int = 1
) -> bytes:
    text = PROGRAM.replace("SPLIT", split).replace("MORE", more).replace("DISTINCT", distinct)
    unit = load_unit(text_source(text))
    path = folder / name
    train(unit, TrainOptions(path, workers=workers, session=SessionOptions(ObjectCache(), limits=limits)))
    return path.read_bytes()


@pytest.mark.parametrize("split", SPLITS)
def test_a_model_is_the_same_from_memory_and_from_files(files: Path, split: str) -> None:
    one = trained(files, "a.bmz", EVERYTHING, split)
    assert trained(files, "b.bmz", NOTHING, split) == one
    assert trained(files, "c.bmz", MemoryLimits(0, 1 << 30), split) == one
    assert trained(files, "d.bmz", MemoryLimits(1 << 30, 0), split) == one


@pytest.mark.parametrize("more", ["accumulate = 2", "shards = 2", "shards = 4\n  accumulate = 2"])
def test_accumulation_and_shards(files: Path, more: str) -> None:
    one = trained(files, "a.bmz", EVERYTHING, SPLITS[0], more)
    assert trained(files, "b.bmz", NOTHING, SPLITS[0], more) == one
    if "shards" in more:
        assert trained(files, "c.bmz", NOTHING, SPLITS[0], more, workers=2) == one


def test_copies_are_dropped_wherever_they_stand(files: Path) -> None:
    distinct = "distinct"
    one = trained(files, "a.bmz", EVERYTHING, SPLITS[0], distinct=distinct)
    assert trained(files, "b.bmz", NOTHING, SPLITS[0], distinct=distinct) == one
    assert trained(files, "c.bmz", EVERYTHING, SPLITS[0]) != one


def session_of(folder: Path, split: str, distinct: str, limits: MemoryLimits) -> Session:
    text = PROGRAM.replace("SPLIT", split).replace("MORE", "").replace("DISTINCT", distinct)
    return Session(load_unit(text_source(text)), SessionOptions(ObjectCache(), limits=limits))


def shown(tables: dict[str, Table]) -> dict[str, object]:
    return {
        name: ([column.to_python() for column in table.columns.values()], [table.origin.locate(row) for row in range(table.rows)])
        for name, table in tables.items()
    }


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("distinct", ["", "distinct"])
def test_splits_do_not_depend_on_blocks(files: Path, split: str, distinct: str) -> None:
    whole = session_of(files, split, distinct, EVERYTHING)
    blocks = list(read_blocks(whole.data))
    expected = shown(whole.tables(blocks))
    for size, limits in ((1, NOTHING), (7, MemoryLimits(4000, 0)), (64, NOTHING), (64, EVERYTHING)):
        cut = [
            Block(b.split, b.file, b.first_row + start, b.table.between(start, min(start + size, b.table.rows)))
            for b in blocks
            for start in range(0, b.table.rows, size)
        ]
        assert shown(session_of(files, split, distinct, limits).tables(cut)) == expected


def test_no_folder_for_the_work_file(files: Path, monkeypatch: pytest.MonkeyPatch, golden: Callable[[str, str], None]) -> None:
    monkeypatch.setenv("BMC_SPILL", "none/such")
    with pytest.raises(BmcError) as caught:
        trained(files, "a.bmz", NOTHING, SPLITS[0])
    golden("no_work_file", render_all(caught.value.diagnostics))


class Interrupting(Silent):
    """As Ctrl-C in the third step."""

    def on_step(self, progress: Progress, loss: float, rows: int, total_steps: int) -> None:
        if progress.step == 3:
            signal.raise_signal(signal.SIGINT)


def test_an_interrupted_run_goes_on(files: Path) -> None:
    """With the same bits; and other data is refused before it is read: a bad cell of it is not what is complained about."""
    whole = trained(files, "a.bmz", EVERYTHING, SPLITS[0])
    unit = load_unit(text_source(PROGRAM.replace("SPLIT", SPLITS[0]).replace("MORE", "").replace("DISTINCT", "")))
    options = TrainOptions(files / "b.bmz", session=SessionOptions(ObjectCache(), limits=NOTHING))
    _, report = train(unit, options, Interrupting())
    assert report.interrupted
    kept = (files / "1.csv").read_bytes()
    (files / "1.csv").write_bytes(kept + b"no number,1,2020-01-01,red,a,1\n")
    with pytest.raises(BmcError) as caught:
        train(unit, replace(options, resume=True))
    assert "its data differ" in caught.value.diagnostics[0].message
    (files / "1.csv").write_bytes(kept)
    train(unit, replace(options, resume=True))
    assert (files / "b.bmz").read_bytes() == whole


def test_evaluation_of_each_split_and_of_all_rows(files: Path) -> None:
    path = files / "a.bmz"
    trained(files, "a.bmz", EVERYTHING, SPLITS[0])
    one, other = (open_model(path, SessionOptions(ObjectCache(), limits=limits)) for limits in (EVERYTHING, NOTHING))
    given = {one.session.data.sources[0].name: str(files / "*.csv")}
    for split in ("train", "valid", "test", "all"):
        assert one.evaluate(split, given) == other.evaluate(split, given)


@pytest.mark.parametrize("more", ["", "accumulate = 2", "shards = 4"])
def test_rows_padded_in_buckets(tmp_path: Path, more: str) -> None:
    """Ragged columns and texts of different length: batches are as wide as from memory, and in the same order."""
    data = bucketed.columns(200)
    found = []
    ways = [(EVERYTHING, 1), (NOTHING, 1), (NOTHING, 2 if "shards" in more else 1)]
    for number, (limits, workers) in enumerate(ways):
        unit = load_unit(text_source(bucketed.PROGRAM.replace("epochs = 4", f"epochs = 2\n  {more}")))
        session = SessionOptions(ObjectCache(), limits=limits)
        options = TrainOptions(tmp_path / f"{number}.bmz", {"A": data}, workers, session=session)
        _, report = train(unit, options)
        found.append(((tmp_path / f"{number}.bmz").read_bytes(), report.evaluations))
    assert found[1:] == found[:1] * 2
