"""`bmc explain CODE`"""

from __future__ import annotations

import click

from bmc.cli.output import result
from bmc.errors.catalogue import all_entries, explain, explanation_text
from bmc.errors.nearest_name import nearest

__all__ = ["command"]


@click.command()
@click.argument("code", required=False)
def command(code: str | None) -> None:
    """What the error CODE means, with an example of what is wrong and what is right.

    Without CODE, all codes are listed.
    """
    if code is None:
        result("\n".join(f"{entry.code}  {entry.title}" for entry in all_entries()))
        return
    entry = explain(code)
    if entry is None:
        near = nearest(code.upper(), [e.code for e in all_entries()])
        raise click.UsageError(f"There is no code {code!r}." + (f" Did you mean {near}?" if near else ""))
    result(explanation_text(entry))
