"""`bmc check FILE`"""

from __future__ import annotations

import click

from bmc.cli.exits import exit_code
from bmc.cli.options import overrides_of, set_option
from bmc.cli.output import print_diagnostics, result
from bmc.driver.load import check_source, find_source
from bmc.errors import BmcError
from bmc.errors.json_form import diagnostic_json

__all__ = ["command"]


@click.command()
@click.argument("source", metavar="FILE|-")
@click.option("--json", "as_json", is_flag=True, help="One diagnostic a line on standard output, after rustc's schema.")
@set_option
def command(source: str, as_json: bool, settings: tuple[str, ...]) -> int:
    """Check every block of a source: names, types, shapes, columns, missing values, settings.

    No data is read, except the header of a csv file where it exists.
    """
    try:
        diagnostics = check_source(find_source(source, overrides_of(settings)))
    except BmcError as error:
        diagnostics = error.diagnostics
    if as_json:
        for diagnostic in diagnostics:
            result(diagnostic_json(diagnostic))
    else:
        print_diagnostics(diagnostics)
    errors = any(d.level == "error" for d in diagnostics)
    if not errors and not as_json:
        result(f"{source}: no errors")
    return exit_code(diagnostics)
