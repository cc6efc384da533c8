"""`bmc check FILE`"""

from __future__ import annotations

import click

from bmc.cli.exits import DONE, exit_code
from bmc.cli.options import overrides_of, set_option
from bmc.cli.output import note, print_diagnostics, result
from bmc.driver import run_errors
from bmc.driver.fixing import fixed
from bmc.driver.load import SourceText, check_source, find_source
from bmc.errors import BmcError
from bmc.errors.json_form import diagnostic_json
from bmc.frontend.elaborate import Checked
from bmc.frontend.unit import Unit
from bmc_runtime.atomic import write_bytes

__all__ = ["command"]


@click.command()
@click.argument("source", metavar="FILE|-")
@click.option("--json", "as_json", is_flag=True, help="One diagnostic a line on standard output, after rustc's schema.")
@click.option("--fix", is_flag=True, help="Make the changes that diagnostics are certain of, and say which.")
@set_option
def command(source: str, as_json: bool, fix: bool, settings: tuple[str, ...]) -> int:
    """Check every block of a source: names, types, shapes, columns, missing values, settings.

    No data is read, except the header of a csv file where it exists.
    """
    if fix and source == "-":
        raise click.UsageError("--fix changes a file; the standard input is none")
    try:
        found = find_source(source, overrides_of(settings))
        checked = _fixed(found) if fix else check_source(found)
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


def _fixed(source: SourceText) -> Checked:
    """What is still wrong once the file has the changes that are certain."""
    mended = fixed(source)
    if mended.changes:
        try:
            write_bytes(source.main.name, mended.text.encode("utf-8"))
        except OSError as error:
            raise BmcError(run_errors.cannot_write(source.main.name, error.strerror or str(error))) from None
    for change in mended.changes:
        before, after = (" ".join(text.split()) for text in (change.before, change.after))
        what = f"`{before}` is now `{after}`" if before and after else f"wrote `{after}`" if after else f"removed `{before}`"
        note(f"fixed {source.main.name}:{change.line}: {what}  [{change.code}: {change.message}]")
    return mended.checked


def _line(unit: Unit) -> str:
    """What a unit is, in one line."""
    if unit.data is None or unit.prediction is None:
        return f"model {unit.model}: {len(unit.weights)} weights"
    outputs = ", ".join(column.name for column in unit.prediction.columns)
    return f"{unit.model} on {unit.data.name}: reads {len(unit.data.used)} columns, predicts {outputs}"
