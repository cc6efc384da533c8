"""`bmc eval MODEL.bmz`"""

from __future__ import annotations

import json

import click

from bmc.cli.options import data_of, data_option
from bmc.cli.output import result
from bmc.cli.progress import matrix_text
from bmc.cli.table import text_table
from bmc.driver.trained import ALL, open_model

__all__ = ["command"]


@click.command("eval")
@click.argument("model", metavar="MODEL.bmz")
@click.option("--split", default="test", show_default=True, metavar="NAME", help=f"The split to evaluate; {ALL!r} for every row.")
@data_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object: split, rows, loss, metrics.")
def command(model: str, split: str, data: tuple[str, ...], as_json: bool) -> None:
    """Loss and metrics of a trained model on a split of its data.

    The data is looked for where it lay in training, beside the model, and in the current folder; --data says another place.
    """
    found = open_model(model).evaluate(split, dict(data_of(data)))
    if as_json:
        result(json.dumps(found.as_json(), ensure_ascii=False, allow_nan=False))
        return
    scalars = {name: value for name, value in found.metrics.items() if isinstance(value, (int, float))}
    values = [f"{found.rows:,}", f"{found.loss:.6g}", *(f"{value:.6g}" for value in scalars.values())]
    result(text_table(["split", "rows", "loss", *scalars], [[found.split, *values]]))
    for name, value in found.metrics.items():
        if name not in scalars:
            result(f"{name}:\n{matrix_text(value)}")
