"""Columns through the outputs of a data block: trained on some rows, predicted for others, by the whole path.

In: declarations of columns, lines of a data block, rows. Out: what the outputs are for rows given to prediction, as arrays by name.
Guaranteed: training, evaluation and prediction have run; each row alone gave the bits that it gave among the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import bmc

__all__ = ["Columns", "program", "transformed"]

Columns = Mapping[str, Sequence[object]]


def program(columns: str, lines: str, outputs: Sequence[str], settings: str = "") -> str:
    """A data block of these columns and lines, and a model of one weight that passes its outputs on as predictions."""
    shown = ", ".join(outputs)
    return f"""data D {{
  source = csv("d.csv")
  columns {{
    {columns}
    zero: f32
  }}
  {lines}
  z = zero
}}
model M(z: f32[B]) -> (y: f32[B]) {{
  param w: float = zeros
  return z * w
}}
train M on D {{
  loss = mse(y, z)
  steps = 1
  {settings}
  predict = [{shown}]
}}
"""


def transformed(
    columns: str, lines: str, outputs: Sequence[str], train: Columns, rows: Columns | None = None, *, alone: bool = True
) -> dict[str, Any]:
    """The outputs for `rows` (those of training if not given) of a program fitted on `train`."""

    def with_zero(given: Columns) -> dict[str, Sequence[object]]:
        return {**given, "zero": [0.0] * len(next(iter(given.values())))}

    model = bmc.compile(program(columns, lines, outputs)).train({"D": with_zero(train)})
    asked = dict(train if rows is None else rows)
    found = model.predict(asked)
    for row in range(len(next(iter(asked.values()))) if alone else 0):
        single = model.predict({name: values[row : row + 1] for name, values in asked.items()})
        for name, values in single.items():
            among = found[name][row : row + 1]
            same = values.tolist() == among.tolist() if values.dtype == object else values.tobytes() == among.tobytes()
            if not same:
                raise AssertionError(f"row {row} of {name} is {values[0]} alone and {found[name][row]} among others")
    return dict(found)
