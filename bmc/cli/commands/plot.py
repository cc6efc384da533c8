"""`bmc plot MODEL.bmz`"""

from __future__ import annotations

from pathlib import Path

import click

from bmc.cli.options import data_of, data_option
from bmc.cli.output import note, result
from bmc.driver.plotting.plot import plot, require_drawing
from bmc.driver.trained import open_model

__all__ = ["command"]


@click.command()
@click.argument("model", metavar="MODEL.bmz")
@click.option("-o", "--output", metavar="FILE.png|DIR", help="A picture, or a folder of pictures; by default MODEL.png.")
@click.option("--split", metavar="NAME", help="The rows to show; by default test, else valid, else train.")
@data_option
def command(model: str, output: str | None, split: str | None, data: tuple[str, ...]) -> None:
    """Draw a model: loss and metrics by epoch, confusion of classes or predicted against true numbers, images.

    Needs matplotlib. The data is looked for as by `bmc eval`; without it only the curves are drawn.
    """
    path = Path(output if output is not None else f"{Path(model).stem}.png")
    require_drawing(path)
    drawn = plot(open_model(model), path, split, dict(data_of(data)))
    if drawn.missing is not None:
        note(f"only curves: {drawn.missing}")
    for file in drawn.files:
        result(f"wrote {file}")
