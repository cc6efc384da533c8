"""Take out of a scan's turns what is the same in all of them: computed, or put in order, once before the scan.

In: a function. Out: the same, in which operations of a turn that read invariants and constants alone stand before the
scan and their results are invariants, unless they only spread or move cells; and in which an invariant that is the
right operand of a product lies in the order in which products walk it, contracted axes first, rather than being
transposed in every turn. Guaranteed: the same bits. Linear in operations.
"""

from __future__ import annotations

from dataclasses import replace

from bmc.ir import Dim, Function, Operation, Region, Value
from bmc.ops.build import Builder
from bmc.ops.contract import ContractAttrs
from bmc.ops.lowering import Contraction, Elementwise, Lowering, Reduction, Reshape, View
from bmc.ops.scan_parts import ScanAttrs, parts
from bmc.ops.sources import ConstantAttrs
from bmc.ops.table import definition
from bmc.passes.memory.sizes import at_most

__all__ = ["lift"]


def lift(function: Function) -> Function:
    """`function` itself where every turn computes something of its own."""
    ops = _lifted_all(function.ops)
    return function if ops == function.ops else replace(function, ops=ops)


def _lifted_all(ops: tuple[Operation, ...]) -> tuple[Operation, ...]:
    lifted: list[Operation] = []
    for op in ops:
        lifted.extend(_lifted(op, op.attrs) if isinstance(op.attrs, ScanAttrs) else [op])
    return tuple(lifted)


def _lifted(op: Operation, attrs: ScanAttrs) -> list[Operation]:
    """The scan, behind what was taken out of it."""
    (region,) = op.regions
    before = _Before(op, attrs)
    kept: list[Operation] = []
    # Scans within a turn first: what they give out may be the same in all turns of this one, too.
    for inner in _lifted_all(region.ops):
        if not before.take(inner):
            kept.append(before.with_order(inner))
    if tuple(kept) == region.ops:
        return [op]
    given = before.given
    turn = Region((*region.params, *given), tuple(kept), region.results)
    return [*before.b.ops, Operation(op.name, (*op.operands, *given.values()), attrs, op.results, (turn,), op.location)]


class _Before:
    """What stands before a scan. `given`: new parameter of a turn -> its value before the scan."""

    def __init__(self, op: Operation, attrs: ScanAttrs) -> None:
        (region,) = op.regions
        params, values = (parts(x, attrs.carries, attrs.sequences)[2] for x in (region.params, op.operands))
        self.b = Builder(op.location)
        self.outside: dict[Value, Value] = dict(zip(params, values, strict=True))
        self.sizes: dict[Value, Dim] = {param: param.type.elements for param in params}
        """Of values that can be had outside: the cells of the largest invariant that they are made of."""
        self.origin: dict[Value, Operation] = {}
        """Of views and constants, which are made again outside only if something there reads them."""
        self.given: dict[Value, Value] = {}
        self.ordered: dict[tuple[Value, tuple[int, ...]], Value] = {}

    def take(self, op: Operation) -> bool:
        """Whether `op` stands outside now."""
        lowering = definition(op.name).lowering
        if isinstance(op.attrs, ConstantAttrs):
            self.origin[op.result] = op
            self.sizes[op.result] = 0
            return False
        if op.regions or len(op.results) != 1 or not op.operands or not all(v in self.sizes for v in op.operands):
            return False
        size: Dim = 0
        for value in op.operands:
            size = self.sizes[value] if at_most(size, self.sizes[value]) else size
        if isinstance(lowering, View | Reshape):
            self.origin[op.result] = op
            self.sizes[op.result] = size
            return False
        if not _computes(lowering) or not (isinstance(lowering, Contraction) or at_most(op.result.type.elements, size)):
            return False
        self._build(op)
        self.sizes[op.result] = op.result.type.elements
        self.given[op.result] = self.outside[op.result]
        return True

    def _build(self, op: Operation) -> None:
        """`op` outside, and the views and constants that it reads."""
        work = [op]
        while work:
            current = work[-1]
            missing = [self.origin[v] for v in current.operands if v not in self.outside]
            if missing:
                work.extend(missing)
                continue
            work.pop()
            if current.result not in self.outside:
                with self.b.at(current.location):
                    operands = (self.outside[v] for v in current.operands)
                    self.outside[current.result] = self.b.emit(current.name, *operands, attrs=current.attrs)

    def with_order(self, op: Operation) -> Operation:
        """A product with its right operand, if that is an invariant, in the order of batch, contracted and free axes."""
        attrs = op.attrs
        if not isinstance(attrs, ContractAttrs) or op.operands[1] not in self.outside:
            return op
        right = op.operands[1]
        first = (*attrs.rhs_batch, *attrs.rhs_contract)
        order = (*first, *(axis for axis in range(right.type.rank) if axis not in first))
        if order == tuple(range(right.type.rank)):
            return op
        turned = self.ordered.get((right, order))
        if turned is None:
            with self.b.at(op.location):
                outside = self.b.transpose(self.outside[right], order)
            turned = self.ordered[right, order] = Value(outside.type, right.name)
            self.given[turned] = outside
        batch = len(attrs.rhs_batch)
        walked = replace(attrs, rhs_batch=tuple(range(batch)), rhs_contract=tuple(range(batch, len(first))))
        return replace(op, operands=(op.operands[0], turned), attrs=walked)


def _computes(lowering: Lowering) -> bool:
    if isinstance(lowering, Elementwise):
        return not lowering.indexed and not lowering.scalars
    return isinstance(lowering, Contraction | Reduction)
