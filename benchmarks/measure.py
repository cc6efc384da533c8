"""How we time: one core, one process, contenders interleaved in short slices, medians, and ratios within a round.

The machines we measure on are shared. Absolute times wander by half from minute to minute, so slices are short (20 ms),
every round gives each contender one slice in a rotated order, and the figure to trust is the ratio: the median over the
rounds of (contender / reference within the same round).
"""

import os
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Protocol

ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
}


class Contender(Protocol):
    """A prepared training loop: weights and batches are in place, nothing is left to compile after the first steps."""

    name: str

    def step(self) -> None:
        """One training step on the next batch; it need not have finished on return."""

    def loss(self) -> float:
        """Loss of the last step; waits until it has finished."""


@dataclass(frozen=True)
class Timing:
    """Seconds a step of one contender: the lowest slice's, the median slice's; the ratio to the first contender."""

    name: str
    lowest: float
    median: float
    ratio: float


def on_one_core() -> None:
    """Run this script on one core with one thread in every library: set both and start Python anew, unless they hold.

    Thread counts are read when libraries load, and pools are sized by the cores that a process may use, so both must
    hold before the first import.
    """
    cores = os.sched_getaffinity(0)
    if len(cores) == 1 and all(os.environ.get(name) == value for name, value in ONE_THREAD.items()):
        return
    os.sched_setaffinity(0, {max(cores)})
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], os.environ | ONE_THREAD)


def interleave(contenders: Sequence[Contender], rounds: int = 40, slice_seconds: float = 0.02) -> list[Timing]:
    """Times of each contender, the first one being the reference of the ratios.

    Every contender warms up while the number of its steps in a slice is found, so none is timed while it compiles.
    """
    steps = [_steps_in(contender, slice_seconds) for contender in contenders]
    slices: list[list[float]] = [[] for _ in contenders]
    for round_ in range(rounds):
        for turn in range(len(contenders)):
            i = (round_ + turn) % len(contenders)
            slices[i].append(_seconds_a_step(contenders[i], steps[i]))
    return [
        Timing(
            contender.name,
            min(own),
            statistics.median(own),
            statistics.median(a / b for a, b in zip(own, slices[0], strict=True)),
        )
        for contender, own in zip(contenders, slices, strict=True)
    ]


def _seconds_a_step(contender: Contender, steps: int) -> float:
    start = perf_counter()
    for _ in range(steps):
        contender.step()
    contender.loss()
    return (perf_counter() - start) / steps


def _steps_in(contender: Contender, seconds: float) -> int:
    """Number of steps that take about `seconds`, at least 1; warms the contender up on the way."""
    steps = 1
    while (each := _seconds_a_step(contender, steps)) * steps < seconds / 2:
        steps *= 2
    return max(1, round(seconds / each))


def losses_agree(contenders: Sequence[Contender], steps: int, tolerance: float) -> bool:
    """Take `steps` steps with each fresh contender, print the losses; True if they agree to `tolerance`, relatively."""
    losses = []
    for contender in contenders:
        for _ in range(steps):
            contender.step()
        losses.append(contender.loss())
        print(f"  loss after {steps} steps {losses[-1]:.7f}  {contender.name}")
    return max(losses) - min(losses) <= tolerance * abs(losses[0])


def table(timings: Sequence[Timing]) -> str:
    """One line each: median, lowest, ratio to the first."""
    lines = [f"  {'':28}{'median µs':>12}{'lowest µs':>12}{'ratio':>9}"]
    lines += [f"  {t.name:28}{t.median * 1e6:12.1f}{t.lowest * 1e6:12.1f}{t.ratio:9.2f}" for t in timings]
    return "\n".join(lines)
