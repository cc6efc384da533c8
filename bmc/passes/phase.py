"""Phases: the parts of a function that an executor runs one after another.

A phase is one step of the plan. `native` phases are code, run once or for each shard of the rows; a `sum` phase adds
up what the shards computed; a `host` phase is one reducer of the runtime. Between phases values live in buffers, so a
phase states what it reads from outside and what others read of it.
"""

from __future__ import annotations

from typing import Literal

from bmc.ir import Operation, Value
from bmc.record import record

__all__ = ["Phase", "PhaseKind"]

PhaseKind = Literal["native", "sum", "host"]


@record(frozen=True, eq=False)
class Phase:
    """`ops` in execution order. `inputs`: values made outside, function parameters included, in order of first use.
    `outputs`: values that later phases or the function's results need, in order of definition. In a `sum` phase the
    operands of the `shard_sum` operations are the shards' partials, the results their totals.
    """

    symbol: str
    kind: PhaseKind
    per_shard: bool
    ops: tuple[Operation, ...]
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
