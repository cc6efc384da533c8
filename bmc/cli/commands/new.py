"""`bmc new NAME`"""

from __future__ import annotations

from pathlib import Path

import click

from bmc.cli.output import note, result
from bmc.driver.projects.making import TEMPLATES, make_project, project_of_table

__all__ = ["command"]


@click.command()
@click.argument("name", metavar="NAME")
@click.option("--template", type=click.Choice(TEMPLATES), default="tabular", show_default=True, help="What kind of data.")
@click.option("--data", metavar="FILE", help="A table of your own, copied into the folder: the program is drafted for it.")
@click.option("--target", metavar="COLUMN", help="With --data: the column to be learned; by default one is guessed.")
def command(name: str, template: str, data: str | None, target: str | None) -> None:
    """Begin a project: a folder NAME with a program, data to train it on, and a README with the next commands."""
    folder = Path(name)
    if target is not None and data is None:
        raise click.UsageError("--target is a column of --data FILE")
    if data is not None:
        project = project_of_table(folder, Path(data), target)
        if project.guessed:
            note(f"that {project.target!r} is to be learned is a guess; --target COLUMN says otherwise")
    for path in make_project(folder, template) if data is None else project.files:
        result(f"wrote {path}")
    note(f"next: cd {folder} && bmc train {folder.name}.bm")
