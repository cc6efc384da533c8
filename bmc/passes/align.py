"""Let the sequences of scans lie in the order of their turns from where they are made.

In: a function. Out: the same, in which the reordering of axes of a sequence stands before the product and the
element-wise operations that make it: of the input, which products gather anyway, not of the gates. It is not optional:
each element is the same chain of operations, but the gradient of a weight then sums in the order of the turns, in
which the cotangents lie in memory. Linear in operations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from bmc.ir import Function, Operation, Value
from bmc.ops.build import Builder
from bmc.ops.contract import ContractAttrs
from bmc.ops.lowering import Elementwise
from bmc.ops.scan_parts import ScanAttrs, parts
from bmc.ops.shape import BroadcastAttrs, TransposeAttrs
from bmc.ops.sources import ConstantAttrs
from bmc.ops.table import definition

__all__ = ["align"]

_BROADCAST: Final = (BroadcastAttrs, ConstantAttrs)
"""Operands that are made again in another order for nothing."""


def align(function: Function) -> Function:
    """`function` itself where nothing is out of order."""
    makers = {value: op for op in function.ops for value in op.results}
    readers: dict[Value, int] = {}
    for op in function.ops:
        for value in dict.fromkeys(op.operands):
            readers[value] = readers.get(value, 0) + 1
    for result in function.results:
        readers[result.value] = readers.get(result.value, 0) + 1
    earlier: dict[Operation, tuple[Operation, ...]] = {}
    for op in function.ops:
        if isinstance(op.attrs, ScanAttrs):
            for value in parts(op.operands, op.attrs.carries, op.attrs.sequences)[1]:
                maker = makers.get(value)
                if maker is not None and isinstance(maker.attrs, TransposeAttrs) and maker not in earlier:
                    chain = _chain(maker, makers, readers)
                    if chain:
                        earlier.update(_moved(maker, chain, makers))
    if not earlier:
        return function
    return replace(function, ops=tuple(new for op in function.ops for new in earlier.get(op, (op,))))


def _chain(transpose: Operation, makers: Mapping[Value, Operation], readers: Mapping[Value, int]) -> list[Operation]:
    """The operations behind which `transpose` stands and before which it may stand, the last one first. It ends with a
    product, or with another transpose; empty where neither is found.
    """
    assert isinstance(transpose.attrs, TransposeAttrs)
    chain: list[Operation] = []
    value = transpose.operands[0]
    while True:
        op = makers.get(value)
        if op is None or readers[value] != 1:
            return []
        chain.append(op)
        if isinstance(op.attrs, TransposeAttrs):
            # Two that cancel are nothing to be made: whoever simplifies takes what stands before them.
            return [] if len(chain) == 1 and _cancel(op.attrs.permutation, transpose.attrs.permutation) else chain
        if isinstance(op.attrs, ContractAttrs):
            return chain if _permutes_left(op, op.attrs, transpose.attrs.permutation) else []
        lowering = definition(op.name).lowering
        if not isinstance(lowering, Elementwise) or lowering.indexed or lowering.scalars or len(op.results) != 1:
            return []
        own = [v for v in op.operands if not (v in makers and isinstance(makers[v].attrs, _BROADCAST))]
        if len(own) != 1:
            return []
        value = own[0]


def _cancel(first: tuple[int, ...], then: tuple[int, ...]) -> bool:
    return all(first[axis] == i for i, axis in enumerate(then))


def _permutes_left(op: Operation, attrs: ContractAttrs, order: tuple[int, ...]) -> bool:
    """Whether `order` only permutes the free axes of the left operand."""
    free = op.operands[0].type.rank - len(attrs.lhs_contract)
    return not attrs.lhs_batch and order[free:] == tuple(range(free, len(order)))


def _moved(
    transpose: Operation, chain: list[Operation], makers: Mapping[Value, Operation]
) -> dict[Operation, tuple[Operation, ...]]:
    """What stands in the place of each operation of the chain and of `transpose`."""
    assert isinstance(transpose.attrs, TransposeAttrs)
    order = transpose.attrs.permutation
    b = Builder(transpose.location)
    first = chain[-1]
    source = first.operands[0]
    if isinstance(first.attrs, ContractAttrs):
        contracted = first.attrs.lhs_contract
        free = [axis for axis in range(source.type.rank) if axis not in contracted]
        moved = iter([free[axis] for axis in order[: len(free)]])
        value = b.transpose(source, [axis if axis in contracted else next(moved) for axis in range(source.type.rank)])
        value = b.contract(value, first.operands[1], (), contracted, (), first.attrs.rhs_contract)
    else:
        assert isinstance(first.attrs, TransposeAttrs)
        value = b.transpose(source, [first.attrs.permutation[axis] for axis in order])
    replaced = first.result
    for op in reversed(chain[:-1]):
        operands = [value if v is replaced else _again(b, makers[v], order) for v in op.operands]
        value = b.emit(op.name, *operands, attrs=op.attrs)
        replaced = op.result
    made = list(b.ops)
    last = made.pop()
    made.append(Operation(last.name, last.operands, last.attrs, transpose.results, last.regions, last.location))
    return {transpose: tuple(made)} | dict.fromkeys(chain, ())


def _again(b: Builder, maker: Operation, order: tuple[int, ...]) -> Value:
    """A broadcast, or a constant, with its axes in another order."""
    shape = tuple(maker.result.type.shape[axis] for axis in order)
    if isinstance(maker.attrs, BroadcastAttrs):
        return b.broadcast(maker.operands[0], shape, [order.index(axis) for axis in maker.attrs.axes])
    assert isinstance(maker.attrs, ConstantAttrs)
    return b.full(maker.attrs.value, maker.result.type.with_shape(shape))
