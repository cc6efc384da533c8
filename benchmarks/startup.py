"""Start-up: process start to the first trained step of W1, with an empty and a filled cache, and `bmc check`.

    python benchmarks/startup.py [--peers | --peers-only] [--rounds N]

Wall time from before the process is started to its exit, files in the system's cache, contenders interleaved.
Bounds (exit status 1 if missed): 1.5 s with an empty cache, 0.5 s with a filled one, 0.25 s for each `bmc check`.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

HERE = Path(__file__).parent
MAKE = {
    "bmc": "from bmc_steps import bmc_step as make",
    "jax": "from peers_jax import JaxStep as make",
    "torch": "from functools import partial; from peers_torch import TorchStep; make = partial(TorchStep, fused=False)",
}
FIRST_STEP = """
from workloads import w1
workload = w1(32)
contender = make(workload, workload.weights(), workload.batches(1))
contender.step()
assert contender.loss() > 0
"""


@dataclass(frozen=True)
class Start:
    """One kind of process: its command, whether each run gets an empty cache, and the seconds it may take."""

    name: str
    command: tuple[str, ...]
    empty_cache: bool
    at_most: float | None


def first_step(library: str, name: str, empty_cache: bool, at_most: float | None) -> Start:
    return Start(name, (sys.executable, "-c", MAKE[library] + FIRST_STEP), empty_cache, at_most)


def check(file: Path) -> Start:
    command = (sys.executable, "-c", "from bmc.cli import main; main()", "check", str(file))
    return Start(f"bmc check {file.name}", command, empty_cache=False, at_most=0.25)


def seconds(start: Start, filled: Path) -> float:
    """Wall time of one process; CalledProcessError, with its messages printed, if it fails."""
    with tempfile.TemporaryDirectory() as empty:
        # Installed packages have their byte code beside them; a checkout on a machine that writes none gets it here.
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environment["PYTHONPYCACHEPREFIX"] = str(filled / "bytecode")
        environment["XDG_CACHE_HOME"] = empty if start.empty_cache else str(filled)
        begin = perf_counter()
        done = subprocess.run(start.command, cwd=HERE, env=environment, capture_output=True, text=True, check=False)
        elapsed = perf_counter() - begin
    # check answers 1 for an example that uses what is not there yet: its time counts all the same
    if done.returncode != 0 and not (start.name.startswith("bmc check") and done.returncode == 1):
        print(done.stderr, file=sys.stderr)
        done.check_returncode()
    return elapsed


def measure(starts: Sequence[Start], rounds: int) -> bool:
    """Print the median and the lowest time of each, after a round to warm up; True if every median keeps its bound."""
    with tempfile.TemporaryDirectory() as filled:
        times = [[seconds(start, Path(filled)) for start in starts] for _ in range(rounds + 1)][1:]
    kept = True
    print(f"{'':40}{'median s':>10}{'lowest s':>10}{'bound s':>10}")
    for start, own in zip(starts, zip(*times, strict=True), strict=True):
        median = statistics.median(own)
        missed = start.at_most is not None and median > start.at_most
        bound = "" if start.at_most is None else f"{start.at_most:10.2f}{'  MISSED' if missed else ''}"
        print(f"{start.name:40}{median:10.3f}{min(own):10.3f}{bound}")
        kept = kept and not missed
    return kept


def main() -> int:
    """Measure what the command line asks for; 0 if the bounds hold."""
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--peers", action="store_true", help="JAX and PyTorch too")
    group.add_argument("--peers-only", action="store_true", help="leave bmc out")
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    starts: list[Start] = []
    if not chosen.peers_only:
        starts += [
            first_step("bmc", "bmc, first step, empty cache", empty_cache=True, at_most=1.5),
            first_step("bmc", "bmc, first step, filled cache", empty_cache=False, at_most=0.5),
        ]
        sources = [*HERE.parent.glob("models/*/*.bm"), *HERE.parent.glob("tests/examples/*.bm")]
        starts += [check(file) for file in sorted(sources)]
    if chosen.peers or chosen.peers_only:
        starts += [
            first_step("jax", "jax.jit, first step", empty_cache=False, at_most=None),
            first_step("torch", "torch eager, first step", empty_cache=False, at_most=None),
        ]
    return 0 if measure(starts, chosen.rounds) else 1


if __name__ == "__main__":
    raise SystemExit(main())
