"""Computes equal things once: common subexpression elimination.

In: a function. Out: the same, where of several operations with one operator, the same operands and the same
attributes the first is left, with the locations of all. Guaranteed: attributes are compared exactly (-0.0 is not
0.0, 1 is not true), so random draws of different sites stay apart; operations with an effect or a region are left
alone. Linear in the operations.
"""

from __future__ import annotations

from dataclasses import replace

from bmc.ir import Function, Location, Operation, Value
from bmc.ir.text import attributes_text
from bmc.ops.table import definition

__all__ = ["cse"]


def cse(function: Function) -> Function:
    """`function` itself if nothing is computed twice."""
    first: dict[tuple[str, tuple[Value, ...], str], int] = {}
    merged: dict[int, list[Location]] = {}
    instead: dict[Value, Value] = {}
    ops: list[Operation] = []
    for op in function.ops:
        operands = tuple([instead.get(value, value) for value in op.operands])
        if operands != op.operands:
            op = replace(op, operands=operands)
        if definition(op.name).effect or op.regions:
            ops.append(op)
            continue
        position = first.setdefault((op.name, operands, attributes_text(op.attrs)), len(ops))
        if position == len(ops):
            ops.append(op)
        else:
            instead.update(zip(op.results, ops[position].results, strict=True))
            merged.setdefault(position, []).append(op.location)
    if not instead:
        return function
    for position, locations in merged.items():
        ops[position] = replace(ops[position], location=_joined([ops[position].location, *locations]))
    results = tuple(replace(result, value=instead.get(result.value, result.value)) for result in function.results)
    return replace(function, ops=tuple(ops), results=results)


def _joined(locations: list[Location]) -> Location:
    """All spans, each once, in order; `Location.joined` one by one would take time quadratic in their number."""
    spans = dict.fromkeys(span for location in locations for span in location.spans)
    return Location(tuple(spans), all(location.gradient for location in locations))
