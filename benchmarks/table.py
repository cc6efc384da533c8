"""Tables larger than what one wants in memory: speed against Arrow, memory against a bound, the rate over time.

    python benchmarks/table.py                       1,000,000 rows of 20 columns; what fits into memory
    python benchmarks/table.py --gigabytes 2         a csv of 2 GB: memory, rate over time, disk taken

The file is made with a fixed seed, once, and kept in `--folder`. The contender is one pass of pyarrow's `open_csv` over the file
with the column types given, in the same run, before and after ours. Ours begins with the call of `train`, a compiled program in the
cache: starting Python, the program's and the library's, is `startup.py`'s subject.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv

HERE = Path(__file__).resolve().parent
ROWS_A_CHUNK = 100_000
MOST_TIMES, MOST_MEMORY = 3.0, 1 << 30
MOST_MEMORY_LARGE = 2 << 30

TYPES = {
    **{f"f{i}": pa.float64() for i in range(1, 9)},
    **{f"i{i}": pa.int64() for i in range(1, 5)},
    "day": pa.date32(), "at": pa.timestamp("us"), "red": pa.large_string(), "blue": pa.large_string(),
    "green": pa.large_string(), "b1": pa.bool_(), "b2": pa.bool_(), "y": pa.float64(),
}  # fmt: skip


def chunk(number: int) -> pa.Table:
    """Rows of mixed columns, a tenth of some cells missing; y follows from the others."""
    rng = np.random.default_rng(number)
    rows = ROWS_A_CHUNK
    columns: dict[str, pa.Array] = {}
    total = np.zeros(rows)
    for i in range(1, 9):
        values = np.round(rng.normal(i, 1 + i, rows), 4)
        total += values / i
        columns[f"f{i}"] = pa.array(values, mask=rng.random(rows) < 0.1 if i in (5, 6) else None)
    for i in range(1, 5):
        integers = rng.integers(0, 10 ** (2 * i - 1), rows)
        columns[f"i{i}"] = pa.array(integers, mask=rng.random(rows) < 0.1 if i == 4 else None)
    columns["day"] = pa.array(rng.integers(10_000, 20_000, rows).astype("M8[D]"))
    columns["at"] = pa.array((rng.integers(0, 10**9, rows) * 1_000_000).astype("M8[us]")).cast(pa.timestamp("s"))
    for name, words in (("red", 6), ("blue", 7), ("green", 30)):
        picked = rng.integers(0, words, rows)
        total += picked
        texts = np.array([f"{name}{k:02d}" for k in range(words)])
        columns[name] = pa.array(texts[picked], mask=rng.random(rows) < 0.1 if name == "green" else None)
    for name in ("b1", "b2"):
        columns[name] = pa.array(rng.random(rows) < 0.5)
    columns["y"] = pa.array(np.round(total + rng.normal(0, 1, rows), 4))
    return pa.table(columns)


def make(path: Path, rows: int | None, size: int | None) -> None:
    """A csv of so many rows, or of about so many bytes; chunks repeat after the hundredth, for time's sake."""
    temporary = path.with_suffix(".part")
    made: dict[int, bytes] = {}
    with temporary.open("wb") as file:
        number = 0
        while file.tell() < (size or 1 << 62) and number * ROWS_A_CHUNK < (rows or 1 << 62):
            kind = number % 20
            if kind not in made:
                sink = pa.BufferOutputStream()
                csv.write_csv(chunk(kind), sink, csv.WriteOptions(include_header=number == 0, quoting_style="none"))
                made[kind] = sink.getvalue().to_pybytes()
                if number == 0:
                    header, _, rest = made[0].partition(b"\n")
                    file.write(header + b"\n")
                    made[0] = rest
            file.write(made[kind])
            number += 1
    temporary.rename(path)


def arrow_pass(path: Path) -> float:
    """Seconds of one pass."""
    start = time.perf_counter()
    reader = csv.open_csv(path, convert_options=csv.ConvertOptions(column_types=TYPES, strings_can_be_null=True))
    rows = sum(batch.num_rows for batch in reader)
    assert rows > 0
    return time.perf_counter() - start


PROGRAM = """
import sys, time
import pyarrow.compute, pyarrow.csv  # as the contender has them
from pathlib import Path
from bmc.codegen.cache import ObjectCache
from bmc.driver.load import SourceText, load_unit, text_source
from bmc.driver.session import SessionOptions
from bmc.driver.workflow import Silent, TrainOptions, train
class Watch(Silent):
    first = rate = 0.0
    rows = 0
    read = 0
    def on_read(self, done, total):
        now = time.perf_counter()
        if done - self.read > 1 << 30:
            print(f"read {now - start:.1f} {done / 1e6:.0f} MB", flush=True)
            self.read = done
    def on_start(self, unit, rows, steps, at):
        self.first = self.last = time.perf_counter()
        print(f"fit {self.first - start:.3f}")
    def on_step(self, progress, loss, rows, total):
        self.rows += rows
        now = time.perf_counter()
        if now - self.last > 20:
            print(f"rate {now - start:.1f} {self.rows / (now - self.last):.0f}", flush=True)
            self.rows, self.last = 0, now
    def on_epoch(self, progress, evaluations):
        print(f"epoch {time.perf_counter() - start:.3f}")
        print(f"loss {progress.history[-1]}", flush=True)
unit = load_unit(text_source(Path(sys.argv[1]).read_text()))
start = time.perf_counter()
train(unit, TrainOptions(None, {unit.data.sources[0].name: sys.argv[2]}, session=SessionOptions(ObjectCache())), Watch())
print(f"all {time.perf_counter() - start:.3f}")
for line in Path("/proc/self/status").read_text().splitlines():
    if line.startswith(("VmHWM", "RssFile", "RssAnon")):
        print(line.replace(":", ""))
"""


def ours(path: Path) -> dict[str, list[str]]:
    """What a process of its own says of one epoch."""
    command = [sys.executable, "-c", PROGRAM, str(HERE / "table.bm"), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    print(done.stderr, end="", file=sys.stderr)
    if done.returncode:
        raise SystemExit(done.returncode)
    print("  " + done.stdout.replace("\n", "\n  ").rstrip())
    return {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("/var/tmp"))
    parser.add_argument("--gigabytes", type=float, default=None)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    name = "bmc_table.csv" if options.gigabytes is None else f"bmc_table_{options.gigabytes:g}GB.csv"
    path = options.folder / name
    if not path.exists():
        make(path, 1_000_000 if options.gigabytes is None else None, int((options.gigabytes or 0) * 1e9) or None)
    print(f"{path}: {path.stat().st_size / 1e6:,.0f} MB")
    missed = False
    for _ in range(options.rounds if options.gigabytes is None else 0):
        before = arrow_pass(path)
        found = ours(path)
        after = arrow_pass(path)
        arrow, memory = (before + after) / 2, int(found["VmHWM"][0]) << 10
        times = float(found["epoch"][0]) / arrow
        print(f"  open_csv {before:.2f} and {after:.2f} s; ours {times:.2f} times that; memory {memory / (1 << 20):,.0f} MiB")
        missed |= times > MOST_TIMES or memory > MOST_MEMORY
    if options.gigabytes is not None:
        memory = int(ours(path)["VmHWM"][0]) << 10
        print(f"  memory {memory / (1 << 20):,.0f} MiB")
        missed |= memory > MOST_MEMORY_LARGE
    raise SystemExit(1 if missed else 0)


if __name__ == "__main__":
    main()
