"""`bmc dump FILE`"""

from __future__ import annotations

from pathlib import Path

import click

from bmc.cli.options import f64_option, overrides_of, set_option
from bmc.cli.output import note, result
from bmc.driver.dumping import STAGES, dump_ir, dump_source, pass_names, write_passes
from bmc.driver.load import SourceText, find_source
from bmc.frontend.syntax.read_source import read_source
from bmc.source import SourceFile

__all__ = ["command"]


@click.command()
@click.argument("source", metavar="FILE[:NAME]|TEXT.bmir|-")
@click.option("--stage", type=click.Choice(STAGES), default="graph", show_default=True, help="What to print.")
@click.option("--after", type=click.Choice(pass_names()), help="Print the IR after this pass instead.")
@click.option("--after-all", "directory", metavar="DIR", help="Write NN-pass.bmir there for every pass.")
@click.option("--with-locs", is_flag=True, help="With source locations.")
@set_option
@f64_option
def command(
    source: str, stage: str, after: str | None, directory: str | None, with_locs: bool, settings: tuple[str, ...], f64: bool
) -> None:
    """Print what a stage of the compiler makes of a program.

    IR text (.bmir), as --stage graph, grad or --after print it, is read back: compilation goes on from there.
    """
    found: SourceText | SourceFile
    if source.endswith(".bmir"):
        if settings or f64:
            raise click.UsageError("--set and --f64 change sources; IR text is compiled as it is")
        found = read_source(source)
    else:
        found = find_source(source, overrides_of(settings), "f64" if f64 else "f32")
    if directory is not None:
        paths = write_passes(found, Path(directory), with_locs)
        note(f"wrote {len(paths)} files to {directory}")
    elif isinstance(found, SourceText):
        result(dump_source(found, stage, after, with_locs))
    else:
        result(dump_ir(found, stage, after, with_locs))
