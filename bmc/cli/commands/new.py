"""`bmc new NAME`"""

from __future__ import annotations

from pathlib import Path

import click

from bmc.cli.output import note, result
from bmc.driver.projects.making import TEMPLATES, make_project

__all__ = ["command"]


@click.command()
@click.argument("name", metavar="NAME")
@click.option("--template", type=click.Choice(TEMPLATES), default="tabular", show_default=True, help="What kind of data.")
def command(name: str, template: str) -> None:
    """Begin a project: a folder NAME with a program, data to train it on, and a README with the next commands."""
    folder = Path(name)
    for path in make_project(folder, template):
        result(f"wrote {path}")
    note(f"next: cd {folder} && bmc train {folder.name}.bm")
