"""`bmc stats FILE`"""

from __future__ import annotations

import click

from bmc.cli.options import f64_option, overrides_of, set_option
from bmc.cli.output import note, result
from bmc.cli.table import text_table
from bmc.driver.load import find_source, load_unit
from bmc.driver.reports import stats_of

__all__ = ["command"]


@click.command()
@click.argument("source", metavar="FILE[:NAME]")
@set_option
@f64_option
def command(source: str, settings: tuple[str, ...], f64: bool) -> None:
    """Parameters, FLOPs, bytes and the memory plan of a program, layer by layer.

    FLOPs are those of products: 2 for each multiplication and addition.
    """
    unit = load_unit(find_source(source, overrides_of(settings), "f64" if f64 else "f32"))
    stats = stats_of(unit)
    rows = []
    for layer in stats.layers:
        shapes = ", ".join(f"{w.key.rpartition('.')[2]} {w.type}" for w in layer.weights)
        frozen = "" if any(w.trainable for w in layer.weights) or unit.training is None else " (frozen)"
        rows.append([(layer.key or "(model)") + frozen, f"{layer.parameters:,}", f"{layer.row_flops:,}", shapes])
    rows.append(["total", f"{stats.parameters:,}", f"{sum(layer.row_flops for layer in stats.layers):,}", ""])
    result(text_table(["layer", "parameters", "FLOPs a row", "weights"], rows))
    functions = [[f.name, f"{f.rows:,}", f"{f.flops:,}", f"{f.arena:,}", str(f.kernels)] for f in stats.functions]
    result("\n" + text_table(["function", "rows", "FLOPs", "arena bytes", "kernels"], functions))
    state = f", states and moments {stats.state_bytes:,} bytes" if stats.state_bytes else ""
    result(f"\nweights {stats.parameter_bytes:,} bytes{state}; {stats.trainable:,} parameters are trained; {stats.shards} shard(s)")
    if unit.settings:
        result("\n" + "\n".join(f"{s.key} = {s.value}{'  (default)' if s.default else ''}" for s in unit.settings))
    unnamed = [layer.key for layer in stats.layers if not layer.named]
    if unnamed:
        note(f"note: default names, which an edit may renumber: {', '.join(unnamed)}; `as NAME` names a layer")
