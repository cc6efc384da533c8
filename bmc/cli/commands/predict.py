"""`bmc predict MODEL.bmz INPUT...`"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import cast

import click

from bmc.cli.exits import DONE
from bmc.cli.options import seed_type
from bmc.cli.output import note
from bmc.data import FORMATS, WRITTEN, expanded, prediction_writer
from bmc.data.data_errors import cannot_write
from bmc.driver.predicting import ERROR_COLUMN, OnError, PredictOptions
from bmc.driver.trained import open_model
from bmc.errors import BmcError

__all__ = ["command"]


@click.command()
@click.argument("model", metavar="MODEL.bmz")
@click.argument("rows", metavar="INPUT|- ...", nargs=-1, required=True)
@click.option("-o", "--output", metavar="OUT", help="Where predictions go; by default standard output, as csv.")
@click.option("--only", metavar="NAME", help="One column of the predictions.")
@click.option(
    "--on-error", type=click.Choice(["stop", "column", "skip"]), default="stop", show_default=True,
    help=f"A row that cannot be read: stop and say why, leave it empty and say why in a column {ERROR_COLUMN!r}, or leave it out.",
)  # fmt: skip
@click.option("--seed", type=seed_type, metavar="S", help="Of what the model draws; by default that of training.")
@click.option("--format", "form", type=click.Choice(FORMATS), help="The format of INPUT where its name does not say it.")
@click.option("--to", "to", type=click.Choice(WRITTEN), help="The format of the predictions where the name of OUT does not say it.")
def command(
    model: str, rows: Sequence[str], output: str | None, only: str | None, on_error: str, seed: int | None, form: str | None,
    to: str | None,
) -> int:  # fmt: skip
    """Predict raw rows: csv, parquet, arrow, npz, jsonl or ts by the name of INPUT, a folder of pictures or one
    picture for a model of pictures, or `-` for standard input, by its first bytes. A pattern, and several
    INPUTs, are read one after the other.

    Labels may be absent. One row comes out for each row that goes in, in order, as soon as its block is read.
    """
    if rows.count("-") > 1:
        raise click.UsageError("standard input can be read once")
    if output is not None:
        _require_another_file(output, [model, *map(str, expanded(rows))])
    options = PredictOptions(form, only, cast("OnError", on_error), seed)
    found = open_model(model).predict_blocks(rows, options)
    read, bad, dropped = 0, 0, 0
    with prediction_writer(output, to) as writer:
        for block in found:
            writer.write(block.with_errors(options))
            read, bad, dropped = read + block.rows, bad + len(block.errors), dropped + (block.dropped or 0)
    if dropped:
        note(f"{dropped} of {read} rows would be dropped by `where` in training")
    if bad:
        note(f"{bad} of {read} rows could not be read{', and were left out' if on_error == 'skip' else ''}")
    if output is not None:
        note(f"wrote {writer.rows} rows to {output}")
    return DONE


def _require_another_file(output: str, inputs: Sequence[str]) -> None:
    """Rows are not written over what they are read from: a mistake would cost the data."""
    for path in inputs:
        if path != "-" and os.path.isfile(path) and os.path.exists(output) and os.path.samefile(path, output):
            raise BmcError(cannot_write(output, "it is read from"))
