"""When a kernel may write a result over one of its operands.

It may when each element of the operand is read for the element of the result at the same index alone, and all reading
at an index comes before the writing there. A kernel of folds sweeps full elements several times, so only its values
of the kept shape qualify.
"""

from __future__ import annotations

from bmc.ir import Operation, Value
from bmc.ops.lowering import Contraction, Elementwise, Fused, Opaque, Reduction
from bmc.passes.fusion.traits import lowering_of, whole_operands

__all__ = ["may_overwrite"]


def may_overwrite(op: Operation, operand: Value, result: Value) -> bool:
    """Whether `op` computes the right `result` when that shares memory with `operand`."""
    kind = lowering_of(op)
    if isinstance(kind, Opaque) and kind.overwrites is not None:
        return [k for k, value in enumerate(op.operands) if value is operand] == [kind.overwrites]
    if not isinstance(kind, Fused) or operand.type.shape != result.type.shape:
        return False
    (region,) = op.regions
    places = [k for k, value in enumerate(op.operands) if value is operand]
    params = {region.params[k] for k in places}
    for inner in region.ops:
        if params.isdisjoint(inner.operands):
            continue
        lowering = lowering_of(inner)
        if not isinstance(lowering, Elementwise) or not params.isdisjoint(whole_operands(inner)):
            return False
    folds = [inner for inner in region.ops if isinstance(lowering_of(inner), Reduction)]
    if folds:
        return operand.type.shape != folds[0].operands[0].type.shape
    products = [inner for inner in region.ops if isinstance(lowering_of(inner), Contraction)]
    return not products or operand.type.shape == products[0].result.type.shape
