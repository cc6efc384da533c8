"""`bmc inspect MODEL.bmz`"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import click

from bmc.artefact import read_artefact
from bmc.cli.output import result
from bmc.cli.table import text_table
from bmc_runtime.memory import dtype_name

__all__ = ["command"]


@click.command()
@click.argument("model", metavar="MODEL.bmz")
@click.option("--sources", is_flag=True, help="Print the sources, as overridden.")
@click.option("--history", is_flag=True, help="Print what each epoch reached, one JSON object a line.")
def command(model: str, sources: bool, history: bool) -> None:
    """What a model file holds: versions, sources, settings, weights, fitted values, history.

    Nothing in it is compiled or run.
    """
    found = read_artefact(model)
    if history:
        result("\n".join(json.dumps(dict(epoch), ensure_ascii=False) for epoch in found.history))
        return
    if sources:
        for source in found.sources:
            result(f"# ---- {Path(source.name).name if not source.name.startswith('<') else source.name}\n{source.text}")
        return
    arrays = {**found.weights, **found.states}
    digest = hashlib.sha256()
    for key in sorted(arrays):
        digest.update(key.encode() + b"\0" + arrays[key].tobytes())
    lines = [
        f"unit      {found.unit} ({found.float_type})",
        f"compiler  bmc {found.compiler}",
        f"sources   {', '.join(Path(s.name).name if not s.name.startswith('<') else s.name for s in found.sources)}",
        f"overrides {', '.join(f'{k}={v}' for k, v in found.overrides) or 'none'}",
        f"data      {found.data}",
        *(f"began from {name} {content}" for name, content in found.started_from.items()),
        f"weights   {digest.hexdigest()}",
        f"history   {len(found.history)} epochs",
    ]
    result("\n".join(lines) + "\n")
    rows = [[key, dtype_name(a), str(list(a.shape)), f"{a.size:,}"] for key, a in arrays.items()]
    result(text_table(["weight or state", "dtype", "shape", "cells"], rows))
    if found.fitted:
        rows = [[key, dtype_name(a), str(list(a.shape)), f"{a.size:,}"] for key, a in found.fitted.items()]
        result("\n" + text_table(["fitted", "dtype", "shape", "cells"], rows))
