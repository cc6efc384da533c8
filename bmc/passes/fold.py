"""Computes at compile time what is known and exactly rounded.

In: a function. Out: the same, with element-wise operations on constants, and values of known dims, replaced by constants. Guaranteed:
the same bits at run time, since an operator's own lowering rule is run on numbers (see `exact_elements`). Linear in the operations.
"""

from __future__ import annotations

from dataclasses import replace

from bmc.ir import Function, Operation, Value
from bmc.ops.lowering import Elementwise
from bmc.ops.sources import ConstantAttrs
from bmc.ops.table import definition
from bmc.passes.exact_elements import ExactElements, Known, NotExact

__all__ = ["fold"]


def fold(function: Function) -> Function:
    """`function` itself if nothing is known."""
    known: dict[Value, Known] = {}
    elements = ExactElements()
    ops: list[Operation] = []
    changed = False
    for op in function.ops:
        element = _element(op, known, elements)
        if element is not None:
            known[op.result] = element
            if not isinstance(op.attrs, ConstantAttrs):
                attrs = ConstantAttrs(element.value, element.dtype, op.result.type.shape)
                op = Operation("constant", (), attrs, op.results, (), op.location)
                changed = True
        ops.append(op)
    return replace(function, ops=tuple(ops)) if changed else function


def _element(op: Operation, known: dict[Value, Known], elements: ExactElements) -> Known | None:
    """The number in every cell of the only result of `op`, if it can be known to the last bit."""
    lowering = definition(op.name).lowering
    if not isinstance(lowering, Elementwise) or lowering.scalars or len(op.results) != 1 or op.result.type.dtype == "str":
        return None
    operands = [known.get(value) for value in op.operands]
    if None in operands:
        return None
    try:
        element = lowering.emit(elements, op.attrs, *operands)
    except NotExact:
        return None
    assert isinstance(element, Known)
    return element
