"""`bmc predict MODEL.bmz INPUT`"""

from __future__ import annotations

import click

from bmc.cli.exits import DONE
from bmc.cli.options import seed_type
from bmc.cli.output import note
from bmc.data import FORMATS, write_predictions
from bmc.driver.trained import ERROR_COLUMN, open_model
from bmc_runtime.table import text_column

__all__ = ["command"]

_FORMATS = click.Choice(FORMATS)


@click.command()
@click.argument("model", metavar="MODEL.bmz")
@click.argument("rows", metavar="INPUT|-")
@click.option("-o", "--output", metavar="OUT", help="Where predictions go; by default standard output, as csv.")
@click.option("--only", metavar="NAME", help="One column of the predictions.")
@click.option(
    "--on-error", type=click.Choice(["stop", "column"]), default="stop", show_default=True,
    help=f"A row that cannot be read: stop and say why, or leave it empty and say why in the column {ERROR_COLUMN!r}.",
)  # fmt: skip
@click.option("--seed", type=seed_type, metavar="S", help="Of what the model draws; by default that of training.")
@click.option("--format", "form", type=_FORMATS, help="The format of INPUT where its name does not say it.")
def command(model: str, rows: str, output: str | None, only: str | None, on_error: str, seed: int | None, form: str | None) -> int:
    """Predict raw rows: csv, parquet, arrow, npz, jsonl or ts by the name of INPUT, a folder of pictures or one
    picture for a model of pictures, or `-` for standard input, by its first bytes.

    Labels may be absent. One row comes out for each row that goes in, in order.
    """
    found = open_model(model).predict(rows, form=form, only=only, keep_bad=on_error == "column", seed=seed)
    columns = dict(found.columns)
    if on_error == "column":
        columns[ERROR_COLUMN] = text_column([found.errors.get(row) for row in range(found.rows)])
    write_predictions(output, columns)
    if found.dropped:
        note(f"{found.dropped} of {found.rows} rows would be dropped by `where` in training")
    if found.errors:
        note(f"{len(found.errors)} of {found.rows} rows could not be read")
    if output is not None:
        note(f"wrote {found.rows} rows to {output}")
    return DONE
