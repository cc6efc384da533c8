"""`bmc fmt FILE`"""

from __future__ import annotations

import click

from bmc.cli.exits import DONE, SOURCE
from bmc.cli.output import note, result
from bmc.driver import run_errors
from bmc.errors import BmcError
from bmc.frontend.syntax.format import format_source
from bmc.frontend.syntax.read_source import read_source
from bmc_runtime.atomic import write_bytes

__all__ = ["command"]


@click.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@click.option("--check", is_flag=True, help="Change nothing; exit 1 if a file is not formatted.")
def command(files: tuple[str, ...], check: bool) -> int:
    """Format sources the one way there is, in place; `-` reads standard input and prints.

    Comments are kept, the meaning never changes, and formatting twice changes nothing more.
    """
    unformatted = 0
    for path in files:
        file = read_source(path)
        text = format_source(file)
        if check:
            if text != file.text:
                unformatted += 1
                note(f"{file.name}: not formatted")
        elif path == "-":
            if text:
                result(text)
        elif text != file.text:
            _replace(path, text)
    return SOURCE if unformatted else DONE


def _replace(path: str, text: str) -> None:
    try:
        write_bytes(path, text.encode("utf-8"))
    except OSError as error:
        raise BmcError(run_errors.cannot_write(path, error.strerror or str(error))) from None
