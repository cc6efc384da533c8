"""`bmc check FILE`"""

from __future__ import annotations

import click

from bmc.cli.exits import DONE, exit_code
from bmc.cli.options import overrides_of, set_option
from bmc.cli.output import print_diagnostics, result
from bmc.driver.load import check_source, find_source
from bmc.errors import BmcError
from bmc.errors.json_form import diagnostic_json
from bmc.frontend.unit import Unit

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
        checked = check_source(find_source(source, overrides_of(settings)))
        diagnostics, units = checked.diagnostics, checked.units
    except BmcError as error:
        diagnostics, units = error.diagnostics, ()
    if as_json:
        for diagnostic in diagnostics:
            result(diagnostic_json(diagnostic))
    else:
        print_diagnostics(diagnostics)
    if not as_json and exit_code(diagnostics) == DONE:
        result(f"{source}: no errors" + "".join(f"\n  {_line(unit)}" for unit in units))
    return exit_code(diagnostics)


def _line(unit: Unit) -> str:
    """What a unit is, in one line."""
    if unit.data is None or unit.prediction is None:
        return f"model {unit.model}: {len(unit.weights)} weights"
    outputs = ", ".join(column.name for column in unit.prediction.columns)
    return f"{unit.model} on {unit.data.name}: reads {len(unit.data.used)} columns, predicts {outputs}"
