"""Rewrites operations into simpler ones that give the same bits.

In: a function. Out: the same, simplified by the rule in each operator's record (`Operator.simplify`, in
bmc/ops/simplify.py) and by those below, which hold for whole classes of operators. Operations that are not needed
any more are left to `dce`. Guaranteed: one sweep in order of execution; what a rule makes is simplified in turn, at
most `_REWRITES` times for each operation, so that time is linear.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from bmc.ir import Function, Operation, Value
from bmc.ops.build import Builder
from bmc.ops.lowering import AxisMap, Reshape, View
from bmc.ops.table import definition

__all__ = ["canonicalise"]

_REWRITES: Final = 16


class _Sweep:
    def __init__(self) -> None:
        self.ops: list[Operation] = []
        self._instead: dict[Value, Value] = {}
        self._defining: dict[Value, Operation] = {}

    def now(self, value: Value) -> Value:
        """The value that stands for an old one."""
        return self._instead.get(value, value)

    def place(self, op: Operation) -> None:
        """Simplify one operation, and append what is left of it."""
        work: list[Operation | tuple[Value, Value]] = [op]
        rewrites = 0
        while work:
            item = work.pop()
            if isinstance(item, tuple):
                old, new = item
                self._instead[old] = self.now(new)
                continue
            operands = tuple([self.now(value) for value in item.operands])
            if operands != item.operands:
                item = replace(item, operands=operands)
            builder = Builder(item.location)
            simpler = self._simplified(builder, item) if rewrites < _REWRITES else None
            if simpler is None:
                self.ops.append(item)
                self._defining.update((value, item) for value in item.results)
            else:
                rewrites += 1
                made, simpler = _named(builder.ops, simpler, item.result.name)
                work.append((item.result, simpler))
                work.extend(reversed(made))

    def _simplified(self, builder: Builder, op: Operation) -> Value | None:
        record = definition(op.name)
        if isinstance(record.lowering, (View, Reshape)) and _moves_nothing(op, record.lowering):
            return op.operands[0]
        return record.simplify(builder, op, self._defining.get) if record.simplify is not None else None


def _moves_nothing(op: Operation, lowering: View | Reshape) -> bool:
    """Whether every cell of the result is the cell of the operand at the same index."""
    operand, result = op.operands[0].type, op.result.type
    if operand != result:
        return False
    identity = [AxisMap(axis) for axis in range(operand.rank)]
    return isinstance(lowering, Reshape) or list(lowering.index(op.attrs, operand, result)) == identity


def _named(ops: list[Operation], value: Value, hint: str) -> tuple[list[Operation], Value]:
    """Hand the replaced value's name on to the new one."""
    if not hint or not ops or value not in ops[-1].results or value.name:
        return ops, value
    renamed = Value(value.type, hint)
    results = tuple(renamed if result is value else result for result in ops[-1].results)
    return [*ops[:-1], replace(ops[-1], results=results)], renamed


def canonicalise(function: Function) -> Function:
    """`function` itself if nothing is simpler."""
    sweep = _Sweep()
    for op in function.ops:
        sweep.place(op)
    if len(sweep.ops) == len(function.ops) and all(map(lambda a, b: a is b, sweep.ops, function.ops)):
        return function
    results = tuple(replace(result, value=sweep.now(result.value)) for result in function.results)
    return replace(function, ops=tuple(sweep.ops), results=results)
