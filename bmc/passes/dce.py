"""Removes operations whose results nobody uses.

In: a function. Out: the same without them. Guaranteed: effects, results and all parameters stay, in order. Linear
in the operations.
"""

from __future__ import annotations

from dataclasses import replace

from bmc.ir import Function, Operation
from bmc.ops.table import definition
from bmc.passes.trim import trimmed

__all__ = ["dce"]


def dce(function: Function) -> Function:
    """`function` itself if everything is used."""
    used = {result.value for result in function.results}
    kept: list[Operation] = []
    changed = False
    for op in reversed(function.ops):
        if definition(op.name).effect or any(value in used for value in op.results):
            small = trimmed(op, used)
            changed = changed or small is not op
            used.update(small.operands)
            kept.append(small)
    return replace(function, ops=tuple(reversed(kept))) if changed or len(kept) < len(function.ops) else function
