"""Options that several commands have.

In: texts of the command line. Out: click's decorators, and the values that they stand for. Raises click.UsageError.
"""

from __future__ import annotations

from collections.abc import Sequence

import click

from bmc.driver.load import parse_overrides

__all__ = ["data_of", "data_option", "f64_option", "overrides_of", "seed_type", "set_option"]

set_option = click.option(
    "--set", "settings", metavar="KEY=VALUE", multiple=True,
    help="Override a `let`, a hyper-parameter or a key of the train block; may be repeated.",
)  # fmt: skip
data_option = click.option(
    "--data", "data", metavar="NAME=PATH", multiple=True,
    help="Read a source from another place; NAME is the data block's name, or the split's where sources are named by split.",
)  # fmt: skip
f64_option = click.option("--f64", is_flag=True, help="Compile the same program in double precision.")

seed_type = click.IntRange(0, 2**62 - 1)
"""What a train block may say, too."""


def overrides_of(settings: Sequence[str]) -> dict[str, str]:
    """The mapping of `--set`."""
    try:
        return parse_overrides(settings)
    except ValueError as error:
        raise click.UsageError(f"--set {error}") from None


def data_of(data: Sequence[str]) -> dict[str, str]:
    """The mapping of `--data`."""
    try:
        return parse_overrides(data)
    except ValueError as error:
        raise click.UsageError(f"--data {error}".replace("KEY=VALUE", "NAME=PATH")) from None
