"""Take out of a scan's turns the products that no carry changes: one product of all turns instead of one for each.

In: a function. Out: the same, in which a contraction of slices with an invariant stands before its scan, together with
the element-wise operations and the reordering of axes that lead to it, and its slices are a sequence of the scan.
Guaranteed: the same bits, since each element is the same chain of operations. Linear in operations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from bmc.ir import Function, Operation, Region, Value
from bmc.ops.build import Builder
from bmc.ops.contract import ContractAttrs
from bmc.ops.lowering import Contraction, Elementwise, Lowering
from bmc.ops.scan_parts import ScanAttrs, parts
from bmc.ops.shape import BroadcastAttrs, TransposeAttrs
from bmc.ops.table import definition

__all__ = ["hoist"]


def hoist(function: Function) -> Function:
    """`function` itself where there is nothing to take out."""
    ops: list[Operation] = []
    for op in function.ops:
        ops.extend(_hoisted(op) if isinstance(op.attrs, ScanAttrs) else [op])
    if len(ops) == len(function.ops):
        return function
    return replace(function, ops=tuple(ops))


def _hoisted(op: Operation) -> list[Operation]:
    """The scan, behind what was taken out of it."""
    assert isinstance(op.attrs, ScanAttrs)
    attrs = op.attrs
    (region,) = op.regions
    before = _Before(op)
    taken: dict[Value, Value] = {}
    for inner in region.ops:
        if before.follow(inner) and isinstance(definition(inner.name).lowering, Contraction):
            taken[inner.result] = before.stacked(inner.result)
    if not taken:
        return [op]
    b = before.b
    carries, sequences, invariants = parts(region.params, attrs.carries, attrs.sequences)
    first, stacks, whole = parts(op.operands, attrs.carries, attrs.sequences)
    kept = tuple(inner for inner in region.ops if not any(v in taken for v in inner.results))
    turned = Region((*carries, *sequences, *taken, *invariants), kept, region.results)
    wider = ScanAttrs(attrs.carries, attrs.sequences + len(taken), attrs.reverse, attrs.length)
    operands = (*first, *stacks, *taken.values(), *whole)
    return [*b.ops, Operation(op.name, operands, wider, op.results, (turned,), op.location)]


class _Before:
    """Values of all turns, built in front of a scan on demand. `origin`: the operation of a turn whose result can be
    built so.
    """

    def __init__(self, op: Operation) -> None:
        assert isinstance(op.attrs, ScanAttrs)
        self.length = op.attrs.length
        (region,) = op.regions
        _, params, whole = parts(region.params, op.attrs.carries, op.attrs.sequences)
        _, stacks, invariants = parts(op.operands, op.attrs.carries, op.attrs.sequences)
        self.built: dict[Value, Value] = dict(zip(params, stacks, strict=True))
        self.fixed: Mapping[Value, Value] = dict(zip(whole, invariants, strict=True))
        self.origin: dict[Value, Operation] = {}
        self.b = Builder(op.location)

    def follow(self, op: Operation) -> bool:
        """Whether the result of `op` can be built; if so it is noted."""
        known = all(value in self.built or value in self.origin or value in self.fixed for value in op.operands)
        lowering = definition(op.name).lowering
        if not known or not _extends(op, lowering):
            return False
        if isinstance(lowering, Contraction) and not (self._turns(op.operands[0]) and op.operands[1] in self.fixed):
            return False
        self.origin[op.result] = op
        return True

    def _turns(self, value: Value) -> bool:
        """Whether the value may differ from turn to turn."""
        return value not in self.fixed

    def stacked(self, value: Value) -> Value:
        """`value` of all turns, along a leading axis. Operands are built before what reads them, without recursion."""
        work = [value]
        while work:
            current = work[-1]
            if current in self.built:
                work.pop()
                continue
            made = self.origin.get(current)
            reads = () if made is None else made.operands[:1] if isinstance(made.attrs, ContractAttrs) else made.operands
            missing = [v for v in reads if v not in self.built]
            if missing:
                work.extend(missing)
                continue
            self.built[current] = self._invariant(current) if made is None else self._built(made)
            work.pop()
        return self.built[value]

    def _invariant(self, value: Value) -> Value:
        shape = value.type.shape
        return self.b.broadcast(self.fixed[value], (self.length, *shape), range(1, len(shape) + 1))

    def _built(self, op: Operation) -> Value:
        operands = [self.built[v] for v in op.operands if v in self.built]
        with self.b.at(op.location):
            match op.attrs:
                case ContractAttrs(lhs_contract=axes, rhs_contract=other):
                    later = tuple(axis + 1 for axis in axes)
                    return self.b.contract(operands[0], self.fixed[op.operands[1]], (), later, (), other)
                case TransposeAttrs(permutation=order):
                    return self.b.transpose(operands[0], (0, *(axis + 1 for axis in order)))
                case BroadcastAttrs(shape=shape, axes=axes):
                    return self.b.broadcast(operands[0], (self.length, *shape), (0, *(axis + 1 for axis in axes)))
                case _:
                    return self.b.emit(op.name, *operands, attrs=op.attrs)


def _extends(op: Operation, lowering: Lowering) -> bool:
    """Whether `op` has a form for all turns at once."""
    if isinstance(lowering, Elementwise):
        return bool(op.operands) and not lowering.indexed and not lowering.scalars and len(op.results) == 1
    if isinstance(op.attrs, ContractAttrs):
        return not op.attrs.lhs_batch
    return isinstance(op.attrs, TransposeAttrs | BroadcastAttrs)
