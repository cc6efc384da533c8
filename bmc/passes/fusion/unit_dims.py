"""Taking out the dims of 1 that `keep` leaves behind a reduction.

`mean(x, -1, keep)` is `[B]` reshaped to `[B, 1]`, and what follows works on `[B, 1]` until it is broadcast to `[B,
N]`. Since a reshape is a barrier between kernels, element-wise operations on such values are moved before the
reshape, to `[B]`, and the broadcast reads `[B]`. In: operations. Out: operations with the same values under the same
names, and dead ones among them. Only what comes from a reduction moves: other dims of 1, such as the single column of
a product, stay where they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bmc.ir import Operation, Shape, TensorType, Value
from bmc.ops.lowering import Elementwise, Reduction, Reshape
from bmc.ops.shape import BroadcastAttrs, ReshapeAttrs
from bmc.ops.sources import ConstantAttrs
from bmc.passes.fusion.traits import lowering_of

__all__ = ["without_unit_dims"]


def without_unit_dims(ops: Sequence[Operation]) -> list[Operation]:
    work = _Squeezing({v: op for op in ops for v in op.results})
    for op in ops:
        work.visit(op)
    return work.ops


def _bare(shape: Shape) -> Shape:
    return tuple(dim for dim in shape if dim != 1)


class _Squeezing:
    """`bare[v]`: a value with the elements of v and without its dims of 1. `reduced`: values that come from a
    reduction.
    """

    def __init__(self, producer: dict[Value, Operation]) -> None:
        self.producer = producer
        self.ops: list[Operation] = []
        self.bare: dict[Value, Value] = {}
        self.same: dict[Value, Value] = {}
        self.reduced: set[Value] = set()

    def visit(self, op: Operation) -> None:
        lowering = lowering_of(op)
        if isinstance(lowering, Reshape) and self._reshape(op):
            return
        if isinstance(lowering, Elementwise) and any(v in self.bare for v in op.operands) and not lowering.scalars:
            self._elementwise(op)
            return
        operands = tuple(self.same.get(v, v) for v in op.operands)
        if isinstance(op.attrs, BroadcastAttrs) and op.operands[0] in self.bare:
            source = op.operands[0].type.shape
            axes = tuple(axis for axis, dim in zip(op.attrs.axes, source, strict=True) if dim != 1)
            operands, attrs = (self.bare[op.operands[0]],), replace(op.attrs, axes=axes)
            self.ops.append(Operation(op.name, operands, attrs, op.results, op.regions, op.location))
            return
        made = (
            op
            if operands == op.operands
            else Operation(op.name, operands, op.attrs, op.results, op.regions, op.location)
        )
        self.ops.append(made)
        if isinstance(lowering, Reduction) or (
            isinstance(lowering, Elementwise) and any(v in self.reduced for v in operands)
        ):
            self.reduced.update(op.results)

    def _reshape(self, op: Operation) -> bool:
        """Note a reshape that only adds or takes dims of 1; whether it is dealt with."""
        operand = self.same.get(op.operands[0], op.operands[0])
        source = self.bare.get(operand, operand if operand in self.reduced else None)
        if source is None or source.type.shape != _bare(op.result.type.shape) or 1 in source.type.shape:
            return False
        self._put_back(op, (source,), (op.result,))
        if source.type == op.result.type:
            self.same[op.result] = source
        else:
            self.bare[op.result] = source
        return True

    def _elementwise(self, op: Operation) -> None:
        shape = _bare(op.results[0].type.shape)
        operands = tuple(self._without(v, shape, op) for v in op.operands)
        attrs = replace(op.attrs, shape=shape) if isinstance(op.attrs, ConstantAttrs) else op.attrs
        results = tuple(Value(TensorType(v.type.dtype, shape), v.name) for v in op.results)
        self.ops.append(Operation(op.name, operands, attrs, results, op.regions, op.location))
        self.reduced.update(results)
        self._put_back(op, results, op.results)
        self.bare.update(zip(op.results, results, strict=True))

    def _without(self, value: Value, shape: Shape, reader: Operation) -> Value:
        """`value` without its dims of 1: a new constant, or a reshape."""
        if value in self.bare:
            return self.bare[value]
        result = Value(TensorType(value.type.dtype, shape), value.name)
        maker = self.producer.get(value)
        if maker is not None and isinstance(maker.attrs, ConstantAttrs):
            attrs = replace(maker.attrs, shape=shape)
            self.ops.append(Operation(maker.name, (), attrs, (result,), (), maker.location))
        else:
            source = self.same.get(value, value)
            self.ops.append(Operation("reshape", (source,), ReshapeAttrs(shape), (result,), (), reader.location))
        self.bare[value] = result
        return result

    def _put_back(self, op: Operation, sources: Sequence[Value], results: Sequence[Value]) -> None:
        """The values under their own shapes, for those who need these."""
        for source, result in zip(sources, results, strict=True):
            self.ops.append(
                Operation("reshape", (source,), ReshapeAttrs(result.type.shape), (result,), (), op.location)
            )
