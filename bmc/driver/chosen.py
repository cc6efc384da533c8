"""The settings of a run that nobody wrote, as source to paste.

In: a unit, and how many rows it trains on. Out: lines of text. Guaranteed: pasted into the block (or, of a block in which nothing
is written, in its place) they make the program that was run, with the same bits.
"""

from __future__ import annotations

from bmc.driver.session import shards_of
from bmc.frontend.unit import Unit
from bmc_runtime.training import epochs_by_rule

__all__ = ["chosen_settings", "settings_lines"]

_WITHOUT_EFFECT = {"accumulate": "1", "shards": "1"}


def chosen_settings(unit: Unit, rows: int) -> dict[str, str]:
    """Key → source text of what was chosen for so many training rows."""
    training = unit.training
    if training is None:
        return {}
    found = {}
    for line in unit.settings:
        text = line.value
        if not line.default:
            continue
        if line.key == "epochs":
            text = str(epochs_by_rule(rows, training.batch * training.accumulate))
        elif line.key == "shards":
            text = str(shards_of(unit)[0])
        if _WITHOUT_EFFECT.get(line.key) != text:
            found[line.key] = text
    return found


def settings_lines(unit: Unit, rows: int) -> list[str]:
    """What is printed before training."""
    training = unit.training
    chosen = chosen_settings(unit, rows)
    if training is None or not chosen:
        return []
    width = max(map(len, chosen))
    lines = [f"  {key.ljust(width)} = {text}" for key, text in chosen.items()]
    if training.header:
        return ["chosen by default, as source to paste in the place of the empty block:", f"{training.header} {{", *lines, "}"]
    data = "" if unit.data is None else f" on {unit.data.name}"
    return [f"chosen by default, as source to paste into `train {unit.model}{data}`:", *lines]
