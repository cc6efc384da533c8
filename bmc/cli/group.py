"""The commands by name, each imported when it is asked for.

In: a command's name. Out: its click command. Guaranteed: listing the commands imports none of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType

import click

from bmc.errors.nearest_name import nearest

__all__ = ["COMMANDS", "bmc"]

COMMANDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "new": ("new", "Begin a project with a program and data to train it on."),
        "data": ("data", "What a table holds, and a program to begin with."),
        "check": ("check", "Check types, shapes and columns, before any data is read."),
        "train": ("train", "Train a model and write it to a .bmz file."),
        "eval": ("evaluate", "Loss and metrics of a trained model on a split."),
        "predict": ("predict", "Predict raw rows of a table."),
        "plot": ("plot", "Draw loss, metrics, confusion and images of a model."),
        "generate": ("generate", "Go on from a text, by the `next` of a model."),
        "fmt": ("fmt", "Format a source, in place."),
        "explain": ("explain", "What an error code means, with an example."),
        "dump": ("dump", "Print what a stage of the compiler makes of a source."),
        "stats": ("stats", "Parameters, FLOPs, bytes and memory, per layer."),
        "inspect": ("inspect", "What a .bmz file holds."),
        "doctor": ("doctor", "Whether this installation works, and what it finds."),
    }
)
"""Name → (module of `bmc.cli.commands`, one line of help)."""


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        found = import_module(f"bmc.cli.commands.{entry[0]}").command
        assert isinstance(found, click.Command)
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0] if args else ""
        if name and not name.startswith("-") and name not in COMMANDS:
            near = nearest(name, COMMANDS)
            hint = f" Did you mean {near!r}?" if near else f" There are: {', '.join(COMMANDS)}."
            ctx.fail(f"No such command {name!r}.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


def _print_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if not wanted or ctx.resilient_parsing:
        return
    click.echo(f"bmc {import_module('bmc.version').version()}")
    ctx.exit()


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=_print_version, help="Print the version.")
def bmc() -> None:
    """A compiler for models: one small .bm file in, native training and prediction out.

    \b
    Exit codes: 0 done; 1 the source is wrong; 2 the command line is wrong;
    3 the data or the run failed; 125 a bug of bmc; 130 interrupted.
    """
