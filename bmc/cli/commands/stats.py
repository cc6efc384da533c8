"""`bmc stats FILE`"""

from __future__ import annotations

import json
from collections.abc import Sequence

import click

from bmc.cli.options import f64_option, overrides_of, set_option
from bmc.cli.output import note, result
from bmc.cli.table import text_table
from bmc.driver.load import find_source, load_unit
from bmc.driver.reports import Stats, open_dims, stats_of
from bmc.driver.trained import unit_in
from bmc.frontend.unit import Unit

__all__ = ["command"]


@click.command()
@click.argument("source", metavar="FILE[:NAME]|MODEL.bmz")
@set_option
@click.option("--dim", "dims", metavar="NAME=SIZE", multiple=True, help="The size of a dim that only data fixes, as a length T.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@f64_option
def command(source: str, settings: tuple[str, ...], dims: tuple[str, ...], as_json: bool, f64: bool) -> None:
    """Parameters, FLOPs, bytes and the memory plan of a program, layer by layer.

    FLOPs are those of products, 2 for each multiplication and addition: of one row, in prediction and with all gradients.
    """
    if source.endswith(".bmz"):
        if settings or f64:
            raise click.UsageError("--set and --f64 change sources; a model is as it was trained")
        unit = unit_in(source)
    else:
        unit = load_unit(find_source(source, overrides_of(settings), "f64" if f64 else "f32"))
    stats = stats_of(unit, _sizes(dims, unit))
    if as_json:
        result(json.dumps(stats.as_json(), ensure_ascii=False, allow_nan=False))
        return
    result(_layers(stats))
    functions = [[f.name, f"{f.rows:,}", f"{f.flops:,}", f"{f.arena:,}", str(f.kernels)] for f in stats.functions]
    result("\n" + text_table(["function", "rows", "FLOPs", "arena bytes", "kernels"], functions))
    state = f", states and moments {stats.state_bytes:,} bytes" if stats.state_bytes else ""
    result(f"\nweights {stats.parameter_bytes:,} bytes{state}; {stats.trainable:,} parameters are trained; {stats.shards} shard(s)")
    if unit.settings:
        result("\n" + "\n".join(f"{s.key} = {s.value}{'  (default)' if s.default else ''}" for s in unit.settings))
    open_ones = [name for name in open_dims(unit) if not any(d.startswith(f"{name}=") for d in dims)]
    if open_ones:
        note(f"note: {', '.join(open_ones)} counted as 1; --dim {open_ones[0]}=SIZE says otherwise")
    unnamed = [layer.key for layer in stats.layers if not layer.named]
    if unnamed:
        note(f"note: default names, which an edit may renumber: {', '.join(unnamed)}; `as NAME` names a layer")


def _sizes(dims: Sequence[str], unit: Unit) -> dict[str, int]:
    sizes: dict[str, int] = {}
    known = open_dims(unit)
    for text in dims:
        name, _, size = text.partition("=")
        if not size.isdecimal() or len(size) > 9:
            raise click.UsageError(f"--dim {text!r} is not of the form NAME=SIZE")
        if name not in known:
            others = f"open are: {', '.join(known)}" if known else "all sizes are known"
            raise click.UsageError(f"no dim {name!r} is open; {others}")
        sizes[name] = int(size)
    return sizes


def _layers(stats: Stats) -> str:
    trains = stats.unit.training is not None
    rows = []
    for layer in stats.layers:
        frozen = " (frozen)" if trains and layer.weights and not layer.trainable else ""
        outputs = ", ".join(layer.outputs)
        figures = [layer.parameters, layer.bytes, layer.predict_flops, *([layer.train_flops] if trains else [])]
        rows.append([(layer.key or "(model)") + frozen, layer.kind, outputs, *(f"{n:,}" for n in figures)])
    sums = [stats.parameters, stats.parameter_bytes, sum(layer.predict_flops for layer in stats.layers)]
    if trains:
        sums.append(sum(layer.train_flops for layer in stats.layers))
    rows.append(["total", "", "", *(f"{n:,}" for n in sums)])
    head = ["layer", "kind", "output", "parameters", "bytes", "FLOPs a row", *(["with gradients"] if trains else [])]
    return text_table(head, rows)
