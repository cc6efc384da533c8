"""A csv of any size trains in bounded memory: what the process holds at its peak does not grow with the rows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

PROGRAM = """data A {
  source = csv("a.csv")
  columns { a: f32; b: f32?; n: i64; day: date; word: str; long: str?; y: f32 }
  x = concat(a |> standardize, b |> fill(median) |> standardize, number(n) |> minmax, weekday(day) |> number,
             word |> onehot(max = 8), long |> fill("") |> hash(16) |> onehot(16))
  t = y |> standardize
  split = by_hash(train = 0.9, valid = 0.1, key = [a, n])
}
model M(x: f32[B, F]) -> (out: f32[B]) { return x |> dense(16) as one |> relu |> dense(1) as two |> squeeze(-1) }
train M on A {
  loss = mse(out, t)
  predict = [y = out]
  batch = 256
  epochs = 1
}
"""

RUN = """
import sys
from pathlib import Path
from bmc.codegen.cache import ObjectCache
from bmc.driver.load import load_unit, text_source
from bmc.driver.session import MemoryLimits, SessionOptions
from bmc.driver.workflow import TrainOptions, train
unit = load_unit(text_source(Path(sys.argv[1]).read_text()))
options = SessionOptions(ObjectCache(), limits=MemoryLimits(8 << 20, 8 << 20))
_, report = train(unit, TrainOptions(None, {"A": sys.argv[2]}, session=options))
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print(report.steps, int(status["VmHWM"].split()[0]) << 10)
"""

CHUNK = 50_000


def write(path: Path, rows: int) -> None:
    """About 67 bytes a row; the same 50,000 rows again and again, but for the number n."""
    rng = np.random.default_rng(0)
    words = [f"word{k}" for k in range(12)]
    numbers, more = rng.normal(size=CHUNK), rng.normal(size=CHUNK)
    days = (np.datetime64("2000-01-01") + rng.integers(0, 9000, CHUNK)).astype(str)
    chosen, texts = rng.integers(0, 12, CHUNK), rng.integers(0, 10**9, CHUNK)
    lines = [
        (f"{a:.5f},{'' if i % 10 == 0 else f'{b:.5f}'},", f",{day},{words[w]},a text of some length {t},{a + b:.5f}\n")
        for i, (a, b, day, w, t) in enumerate(zip(numbers, more, days, chosen, texts, strict=True))
    ]
    with path.open("w") as file:
        file.write("a,b,n,day,word,long,y\n")
        for start in range(0, rows, CHUNK):
            file.write("".join(f"{left}{start + i}{right}" for i, (left, right) in enumerate(lines)))


def peak(folder: Path, rows: int) -> int:
    """Bytes held at the peak by a process that trains on so many rows."""
    (folder / "m.bm").write_text(PROGRAM)
    path = folder / f"{rows}.csv"
    write(path, rows)
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(folder / "m.bm"), str(path)], capture_output=True, text=True, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    path.unlink()
    steps, held = map(int, done.stdout.split())
    assert steps == pytest.approx(0.9 * rows / 256, rel=0.02)
    return held


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("rows", [2_500_000, 25_000_000], ids=["200MB", "2GB"])
def test_memory_does_not_grow_with_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    """Held for each row are at most two numbers of 8 bytes for each of 1,024 rows, and the loss and outputs of the tenth that is
    evaluated: below 4 bytes a row. Pages of the work file are held up to 256 MiB, of which the small table has few; 64 MiB are what
    allocators differ by."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    small = peak(tmp_path, 400_000)
    large = peak(tmp_path, rows)
    assert large < small + (320 << 20) + 4 * rows
    assert large < 2 << 30
