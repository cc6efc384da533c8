"""What a whole training reaches, beside PyTorch: same data and split, same net, optimizer, batch and number of steps.

    python benchmarks/quality.py [vae] [gpt] [--seeds N]

PyTorch begins with the program's first weights, since what a net reaches depends on where it begins (with its own modules' defaults
the VAE ends 1 % lower); it shuffles and draws noise in its own way, so that figures differ by chance: the means over the seeds are
compared. Bound (exit status 1 if missed): our loss on the rows that were held out is at most 1 % above PyTorch's.
"""

import math
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from time import perf_counter

import torch

import bmc
from bmc.driver.load import find_source, load_unit
from bmc.driver.session import Session
from bmc.driver.workflow import prepare
from bmc_runtime.split import Split
from quality_twins import GPT, VAE, Twin

MODELS = Path(__file__).parents[1] / "models"
AT_MOST = 1.01


@dataclass(frozen=True)
class Study:
    """`split`: where the loss is compared. `lr`: of each step out of so many. `clip`: the greatest norm of all gradients."""

    source: Path
    split: str
    twin: Callable[[], Twin]
    optimizer: Callable[[torch.nn.Module], torch.optim.Optimizer]
    lr: Callable[[int, int], float]
    clip: float | None = None


STUDIES = {
    "vae": Study(
        MODELS / "vae" / "vae.bm",
        "test",
        lambda: VAE(784, 400, 20),
        lambda net: torch.optim.Adam(net.parameters(), 1e-3),
        lambda step, steps: cosine(2e-3, 0, step, steps),
    ),
    "gpt": Study(
        MODELS / "shakespeare" / "shakespeare.bm",
        "valid",
        lambda: GPT(128, 64, 128, 4, 4),
        lambda net: torch.optim.AdamW(net.parameters(), 2e-3, betas=(0.9, 0.95), weight_decay=0.1),
        lambda step, steps: cosine(2e-3, 100, step, steps),
        clip=1.0,
    ),
}


def arrays_of(split: Split) -> dict[str, torch.Tensor]:
    """The outputs of the data block for all rows; those of windows are made only when they are asked for."""
    arrays = dict(split.data) if split.feed is None else {**split.data, **split.feed.whole(split.feed.keys)}
    return {key: torch.from_numpy(array.copy()) for key, array in arrays.items()}


def cosine(peak: float, warmup: int, step: int, steps: int) -> float:
    """The library's schedule of that name."""
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))


def batches(rows: Mapping[str, torch.Tensor], batch: int, steps: int, seed: int) -> Iterator[dict[str, torch.Tensor]]:
    """Shuffled anew in each epoch; the last batch of an epoch is what is left."""
    draw = torch.Generator().manual_seed(seed)
    count, done = len(next(iter(rows.values()))), 0
    while done < steps:
        order = torch.randperm(count, generator=draw)
        for first in range(0, count, batch):
            if done < steps:
                done += 1
                yield {key: array[order[first : first + batch]] for key, array in rows.items()}


def of_pytorch(
    net: Twin, study: Study, splits: Mapping[str, Mapping[str, torch.Tensor]], batch: int, steps: int, seed: int
) -> float:
    """The loss on what was held out, after training."""
    torch.manual_seed(seed)
    optimizer = study.optimizer(net)
    for step, rows in enumerate(batches(splits["train"], batch, steps, seed)):
        for group in optimizer.param_groups:
            group["lr"] = study.lr(step, steps)
        optimizer.zero_grad()
        net.loss(rows).backward()
        if study.clip is not None:
            torch.nn.utils.clip_grad_norm_(net.parameters(), study.clip)
        optimizer.step()
    net.eval()
    held = splits[study.split]
    count = len(next(iter(held.values())))
    parts = [{key: array[first : first + batch] for key, array in held.items()} for first in range(0, count, batch)]
    with torch.no_grad():
        return sum(float(net.loss(part)) * len(next(iter(part.values()))) for part in parts) / count


def compare(name: str, study: Study, seeds: range) -> bool:
    """Print both; True if the bound holds."""
    unit = load_unit(find_source(str(study.source)))
    session = Session(unit)
    prepared = prepare(session, {})
    splits = {name: arrays_of(split) for name, split in prepared.items()}
    training = unit.training
    assert training is not None
    steps = training.steps or (training.epochs or 0) * -(-prepared["train"].rows // training.batch)
    ours, theirs = [], []
    for seed in seeds:
        start = perf_counter()
        model = bmc.compile(study.source, overrides={"seed": seed}).train()
        ours.append(float(model.evaluate(study.split).loss))
        middle = perf_counter()
        session.initialise(seed)
        net = study.twin()
        net.begin(session.store)
        theirs.append(of_pytorch(net, study, splits, training.batch, steps, seed))
        end = perf_counter()
        print(
            f"{name}, seed {seed}, {steps} steps of {training.batch}: loss on {study.split}: "
            f"bmc {ours[-1]:.5g} ({middle - start:.0f} s), PyTorch {theirs[-1]:.5g} ({end - middle:.0f} s)",
            flush=True,
        )
    ratio = fmean(ours) / fmean(theirs)
    print(f"{name}: {ratio:.4f} of PyTorch's loss, at most {AT_MOST}: {'kept' if ratio <= AT_MOST else 'MISSED'}")
    return ratio <= AT_MOST


def main() -> int:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[[], *STUDIES], help="which (all by default)")
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="trainings of each (default 1)")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    results = [compare(name, STUDIES[name], range(1, chosen.seeds + 1)) for name in chosen.names or STUDIES]
    return 0 if all(results) else 1


if __name__ == "__main__":
    raise SystemExit(main())
