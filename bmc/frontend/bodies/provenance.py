"""Where a tensor comes from, as far as a diagnostic can say so: flattened cells, an input as it came, probabilities.

In: a tensor of a trace under construction. Out: what made it, or None. Guaranteed: asked only where something is wrong or looks so,
since it goes through the trace's operations; nothing that is compiled depends on it.
"""

from __future__ import annotations

from collections.abc import Iterator

from bmc.frontend.bodies.values import Tensor
from bmc.ir import Operation, Shape, Value
from bmc.ops.lowering import Elementwise, Reduction, Reshape, View
from bmc.ops.table import definition

__all__ = ["flattened_from", "is_input", "squashed_by"]


def _makers(tensor: Tensor) -> dict[Value, Operation]:
    return {value: op for op in tensor.trace.builder.ops for value in op.results}


def _back(tensor: Tensor, makers: dict[Value, Operation], *kinds: type) -> Iterator[Operation]:
    """The operations that made the tensor, the last one first, until one has no operand or is none of `kinds`, which comes last."""
    value = tensor.value
    while (op := makers.get(value)) is not None:
        yield op
        if not op.operands or not isinstance(definition(op.name).lowering, kinds):
            return
        value = op.operands[0]


def flattened_from(tensor: Tensor) -> Shape | None:
    """The shape whose dims behind the rows became the one dim that the tensor has behind its rows."""
    if tensor.rank != 2:
        return None
    for op in _back(tensor, _makers(tensor), Elementwise):
        if op.operands and isinstance(definition(op.name).lowering, Reshape):
            before = op.operands[0].type.shape
            return before if len(before) > 2 and before[0] == tensor.shape[0] else None
    return None


def is_input(tensor: Tensor) -> bool:
    """Whether it is an input of the model, or of each cell of one by itself."""
    value = tensor.value
    for op in _back(tensor, _makers(tensor), Elementwise):
        if not op.operands or not isinstance(definition(op.name).lowering, Elementwise):
            return False
        value = op.operands[0]
    return any(p.value is value and p.role == "input" for p in tensor.trace.parameters.values())


def squashed_by(tensor: Tensor) -> str | None:
    """`softmax` or `sigmoid` where its cells are the probabilities that one of these gave."""
    makers = _makers(tensor)
    for op in _back(tensor, makers, Reshape, View):
        if op.name == "sigmoid":
            return "sigmoid"
        if op.name == "div" and _is_sum_of(op.operands[0], op.operands[1], makers):
            return "softmax"
    return None


def _is_sum_of(cells: Value, total: Value, makers: dict[Value, Operation]) -> bool:
    """Whether `total` is the sum of the exponentials `cells`, repeated for each of them."""
    made = makers.get(cells)
    if made is None or made.name != "exp":
        return False
    while (op := makers.get(total)) is not None and op.operands and isinstance(definition(op.name).lowering, Reshape | View):
        total = op.operands[0]
    if op is None:
        return False
    lowering = definition(op.name).lowering
    return isinstance(lowering, Reduction) and lowering.combine == "add" and op.operands[0] is cells
