"""Make constants of what is the same number in every cell of every slice that the turns of a scan are given.

In: a function. Out: the same, in which a sequence or an invariant of a scan that is a constant, or a view of one, is a
constant of the turn, and the turn is simplified: a mask that keeps every step is no mask. Before gradients, so that
theirs have no trace of it either. Guaranteed: the same bits, but for the sign of zeros, of what is not a gradient; a
gradient may add up what comes together in another order, so the pass is not optional. Linear in operations.
"""

from __future__ import annotations

from dataclasses import replace

from bmc.ir import Function, Operation, Region, Value
from bmc.ops.build import Builder
from bmc.ops.lowering import Reshape, View
from bmc.ops.scan_parts import ScanAttrs
from bmc.ops.sources import ConstantAttrs
from bmc.ops.table import definition
from bmc.passes.canonicalise import canonicalise
from bmc.passes.fold import fold
from bmc.passes.turns import turn_after

__all__ = ["specialise"]


def specialise(function: Function) -> Function:
    """`function` itself where no scan is given a constant."""
    known: dict[Value, ConstantAttrs] = {}
    ops: list[Operation] = []
    changed = False
    for op in function.ops:
        if isinstance(op.attrs, ConstantAttrs):
            known[op.result] = op.attrs
        elif isinstance(definition(op.name).lowering, View | Reshape) and op.operands[0] in known:
            known[op.result] = known[op.operands[0]]
        elif isinstance(op.attrs, ScanAttrs):
            narrow = _specialised(op, op.attrs, known)
            changed = changed or narrow is not op
            op = narrow
        ops.append(op)
    return replace(function, ops=tuple(ops)) if changed else function


def _specialised(op: Operation, attrs: ScanAttrs, known: dict[Value, ConstantAttrs]) -> Operation:
    (region,) = op.regions
    given = list(zip(region.params, op.operands, strict=True))
    constant = {param for param, value in given[attrs.carries :] if value in known}
    if not constant:
        return op
    b = Builder(op.location)
    inside = {param: b.full(known[value].value, param.type) for param, value in given if param in constant}
    ops = tuple(
        replace(inner, operands=tuple(inside.get(v, v) for v in inner.operands)) if constant & set(inner.operands) else inner
        for inner in region.ops
    )
    kept = [pair for pair in given if pair[0] not in constant]
    results = tuple(inside.get(v, v) for v in region.results)
    turn = Region(tuple(param for param, _ in kept), (*b.ops, *ops), results)
    last = attrs.carries + attrs.sequences
    sequences = sum(1 for param, _ in given[attrs.carries : last] if param not in constant)
    narrow = replace(attrs, sequences=sequences)
    scan = Operation(op.name, tuple(value for _, value in kept), narrow, op.results, (turn,), op.location)
    return turn_after(turn_after(scan, op.name, fold), op.name, canonicalise)
