"""`bmc train FILE`"""

from __future__ import annotations

import os
from pathlib import Path

import click

from bmc.cli.exits import DONE, INTERRUPTED
from bmc.cli.log import LogWriter
from bmc.cli.options import data_of, data_option, f64_option, overrides_of, set_option
from bmc.cli.output import note, print_diagnostics, result
from bmc.cli.progress import TrainDisplay
from bmc.cli.table import text_table
from bmc.driver.checkpoints import checkpoint_path
from bmc.driver.folds import fold_count, spread, train_folds
from bmc.driver.load import find_source, load_unit
from bmc.driver.plotting.plot import plot, require_drawing
from bmc.driver.trained import Evaluation
from bmc.driver.workflow import Silent, TrainOptions, require_apart, train
from bmc.frontend.unit import Unit

__all__ = ["command"]


@click.command()
@click.argument("source", metavar="FILE[:NAME]")
@click.option("-o", "--output", metavar="OUT.bmz", help="Where the model goes; by default FILE with .bmz, in the current folder.")
@click.option("--model", "select", metavar="NAME", help="The train block, where the file has several; the same as FILE:NAME.")
@set_option
@data_option
@click.option("--workers", type=click.IntRange(1, 1024), default=1, show_default=True, help="Processes; the result is the same.")
@click.option("--resume", is_flag=True, help="Go on from the checkpoint OUT.bmz.ckpt of a run that ended early, if there is one.")
@click.option("--log", "log", metavar="FILE.jsonl", help="Write loss and metrics there, one JSON object a line.")
@click.option("--folds", "folds", is_flag=True, help="Train on each fold of `split = folds(n)`, and score it; no model is written.")
@click.option("--plot", "draws", is_flag=True, help="At the end draw what `bmc plot` does, into OUT.png beside the model.")
@f64_option
def command(
    source: str,
    output: str | None,
    select: str | None,
    settings: tuple[str, ...],
    data: tuple[str, ...],
    workers: int,
    resume: bool,
    log: str | None,
    folds: bool,
    draws: bool,
    f64: bool,
) -> int:
    """Train a model and write it, with all that prediction needs, to OUT.bmz.

    Ctrl-C ends the run after its step with a checkpoint; --resume then goes on with the same bits.
    """
    overrides = overrides_of(settings)
    found = find_source(source, overrides, "f64" if f64 else "f32", select)
    unit = load_unit(found)
    print_diagnostics(unit.warnings)
    base = os.curdir if found.main.name.startswith("<") else os.path.dirname(found.main.name) or os.curdir
    if folds:
        return _folds(unit, TrainOptions(None, dict(data_of(data)), workers, False, base, overrides))
    path = Path(output if output is not None else _default_output(found.main.name))
    picture = path.parent / f"{path.stem}.png"  # `with_suffix` refuses a path without a name, which `train` does with better words
    if draws:
        require_drawing(picture)
    if log is not None:
        require_apart(Path(log), unit, dict(data_of(data)))
    writer = LogWriter(log, append=resume) if log is not None else None
    display = TrainDisplay(writer)
    if resume and not os.path.exists(checkpoint_path(path)):
        note(f"there is no checkpoint {checkpoint_path(path)}: training begins anew")
    try:
        model, report = train(unit, TrainOptions(path, dict(data_of(data)), workers, resume, base, overrides), display)
    finally:
        display.stop()
        if writer is not None:
            writer.close()
    if draws and not report.interrupted:
        for file in plot(model, picture).files:
            result(f"wrote {file}")
    return INTERRUPTED if report.interrupted else DONE


def _folds(unit: Unit, options: TrainOptions) -> int:
    """A line for each fold, and their mean and standard deviation."""
    count = fold_count(unit)
    if not count:
        raise click.UsageError("--folds wants a data block with `split = folds(n)`")
    found: list[Evaluation] = []
    for evaluation in train_folds(unit, options, lambda fold: Silent()):
        note(f"fold {len(found)} of {count}: loss {evaluation.loss:.4g}, {evaluation.rows:,} rows")
        found.append(evaluation)
    if len(found) < count:
        return INTERRUPTED
    numbers = spread(found)
    rows = [
        [str(fold), f"{e.rows:,}", f"{e.loss:.6g}", *(f"{e.metrics[name]:.6g}" for name in numbers if name != "loss")]
        for fold, e in enumerate(found)
    ]
    rows.append(["mean", "", *(f"{of.mean:.6g}" for of in numbers.values())])
    rows.append(["std", "", *(f"{of.std:.6g}" for of in numbers.values())])
    result(text_table(["fold", "rows", *numbers], rows))
    return DONE


def _default_output(name: str) -> str:
    return "model.bmz" if name.startswith("<") else f"{Path(name).stem}.bmz"
