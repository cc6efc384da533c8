"""Expand composed operators into those that they consist of.

In: a function. Out: the same, where each operation whose lowering is `Expanded("expand", into)` has become what `into`
builds, at the location of the operation, in the regions of scans too. Guaranteed: linear in the operations; nothing composed
is left, for what a rule builds is not composed.
"""

from __future__ import annotations

from dataclasses import replace

from bmc.ir import Function, Operation, Value
from bmc.ops.build import Builder
from bmc.ops.lowering import Expanded
from bmc.ops.table import definition

__all__ = ["expand"]


def expand(function: Function) -> Function:
    """`function` itself if nothing in it is composed."""
    made: list[Operation] = []
    instead: dict[Value, Value] = {}
    for op in function.ops:
        operands = tuple(instead.get(value, value) for value in op.operands)
        current = replace(op, operands=operands) if operands != op.operands else op
        lowering = definition(op.name).lowering
        if isinstance(lowering, Expanded) and lowering.by == "expand" and lowering.into is not None:
            builder = Builder(op.location)
            instead[op.result] = lowering.into(builder, current)
            made.extend(builder.ops)
        else:
            made.append(current)
    if not instead:
        return function
    results = tuple(replace(result, value=instead.get(result.value, result.value)) for result in function.results)
    return replace(function, ops=tuple(made), results=results)
