"""One workload, all contenders: the same weights and batches, losses compared, then timed side by side."""

from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence
from dataclasses import dataclass

from bmc_steps import bmc_step
from measure import Contender, Timing, interleave, losses_agree, table
from peers_jax import JaxStep
from peers_torch import TorchStep
from workloads import Workload

LOSS_STEPS = 20
# Rounding differs between libraries by a few 1e-7 in each sum; Adam divides a gradient by its own size, so where one is
# nearly zero a rounding can move a weight by lr. Over 20 steps that stays far below 1e-4 of the loss (measured between
# JAX and PyTorch: 5e-7); a wrong formula does not.
LOSS_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Bound:
    """bmc's time a step is at most `at_most` times that of the contender `peer`."""

    peer: str
    at_most: float


def options(description: str | None) -> Namespace:
    """The command line that the scripts share: `peers_only`, `rounds`."""
    parser = ArgumentParser(description=description, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--peers-only", action="store_true", help="leave bmc out")
    parser.add_argument("--rounds", type=int, default=40, help="slices of 20 ms for each contender (default 40)")
    return parser.parse_args()


def compare(workload: Workload, chosen: Namespace, bound: Bound) -> bool:
    """Print losses and times of the workload; True if the losses agree and bmc keeps the bound."""
    print(f"{workload.name}, batch {workload.batch}, {workload.flops / 1e6:.4g} MFLOP a step, one core, f32")
    weights, batches = workload.weights(), workload.batches()
    contenders: list[Contender] = [
        JaxStep(workload, weights, batches),
        TorchStep(workload, weights, batches, fused=False),
        TorchStep(workload, weights, batches, fused=True),
    ]
    if not chosen.peers_only:
        contenders.append(bmc_step(workload, weights, batches))
    agree = losses_agree(contenders, LOSS_STEPS, LOSS_TOLERANCE)
    if not agree:
        print(f"  the losses differ by more than {LOSS_TOLERANCE:g} of the first")
    contenders.sort(key=lambda contender: contender.name != bound.peer)
    timings = interleave(contenders, chosen.rounds)
    print(table(timings))
    return verdict(timings, bound) and agree


def verdict(timings: Sequence[Timing], bound: Bound) -> bool:
    """Print whether bmc, if it was timed, keeps the bound."""
    kept = True
    for timing in timings:
        if timing.name == "bmc":
            kept = timing.ratio <= bound.at_most
            said = "kept" if kept else "MISSED"
            print(f"  bound: {timing.ratio:.2f} of {bound.peer}'s time, at most {bound.at_most:g}: {said}")
    return kept
