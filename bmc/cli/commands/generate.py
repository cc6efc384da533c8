"""`bmc generate MODEL.bmz --prompt TEXT`"""

from __future__ import annotations

import os
import sys

import click

from bmc.cli.exits import DONE
from bmc.cli.options import overrides_of, seed_type
from bmc.cli.output import print_diagnostics
from bmc.driver.generation import GenerateOptions
from bmc.driver.trained import open_model

__all__ = ["command"]


@click.command()
@click.argument("model", metavar="MODEL.bmz")
@click.option("--prompt", required=True, metavar="TEXT", help="What to continue; numbers where the model is one of numbers.")
@click.option("--tokens", type=click.IntRange(min=1), default=200, show_default=True, metavar="N", help="Positions to add.")
@click.option(
    "--set", "settings", metavar="KEY=VALUE", multiple=True,
    help="temperature, top_k or top_p instead of that of the model; may be repeated.",
)  # fmt: skip
@click.option("--seed", type=seed_type, default=0, show_default=True, metavar="S", help="Another seed, another text.")
@click.option("--no-cache", is_flag=True, help="Compute the whole text anew for each position: the same, slowly.")
def command(model: str, prompt: str, tokens: int, settings: tuple[str, ...], seed: int, no_cache: bool) -> int:
    """Go on from a text: the prompt and what follows it, on standard output, as it is made.

    The prompt goes the way of the data of the model: bytes, characters, words or numbers.
    """
    options = GenerateOptions(tokens, seed, _numbers(settings), not no_cache)
    found = open_model(model).generate(prompt, options)
    print_diagnostics(found.warnings)
    _write(os.fsencode(prompt))
    for piece in found.pieces():
        _write(piece)
    _write(b"\n")
    return DONE


def _write(raw: bytes) -> None:
    sys.stdout.buffer.write(raw)
    sys.stdout.buffer.flush()


def _numbers(settings: tuple[str, ...]) -> dict[str, float | None]:
    made: dict[str, float | None] = {}
    for name, text in overrides_of(settings).items():
        try:
            made[name] = None if text == "none" else float(text.replace("_", ""))
        except ValueError:
            raise click.UsageError(f"--set {name}: {text!r} is no number") from None
    return made
