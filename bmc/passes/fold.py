"""Computes at compile time what is known and exactly rounded.

In: a function. Out: the same, with constants in place of element-wise operations on constants, of views and
reshapes of constants, and of the values of known dims. Guaranteed: the same bits at run time, since an operator's
own lowering rule is run on numbers (see `exact_elements`); what is not exactly rounded stays. One sweep, linear in
the operations.
"""

from __future__ import annotations

from dataclasses import replace

from bmc.ir import Function, Operation, Value
from bmc.ops.lowering import Elementwise, Reshape, View
from bmc.ops.sources import ConstantAttrs
from bmc.ops.table import definition
from bmc.passes.exact_elements import ExactElements, Known, NotExact

__all__ = ["fold"]


def fold(function: Function) -> Function:
    """`function` itself if nothing is known."""
    known: dict[Value, ConstantAttrs] = {}
    elements = ExactElements()
    ops: list[Operation] = []
    changed = False
    for op in function.ops:
        constant = op.attrs if isinstance(op.attrs, ConstantAttrs) else _constant(op, known, elements)
        if constant is not None:
            known[op.result] = constant
            if constant is not op.attrs:
                op = Operation("constant", (), constant, op.results, (), op.location)
                changed = True
        ops.append(op)
    return replace(function, ops=tuple(ops)) if changed else function


def _constant(op: Operation, known: dict[Value, ConstantAttrs], elements: ExactElements) -> ConstantAttrs | None:
    """The constant that the only result of `op` is, if it is one to the last bit."""
    lowering = definition(op.name).lowering
    if len(op.results) != 1 or not all(value in known for value in op.operands):
        return None
    operands = [known[value] for value in op.operands]
    shape = op.result.type.shape
    if isinstance(lowering, (View, Reshape)):
        return replace(operands[0], shape=shape)
    if not isinstance(lowering, Elementwise) or lowering.scalars:
        return None
    try:
        element = lowering.emit(elements, op.attrs, *[elements.constant(c.dtype, c.value) for c in operands])
    except NotExact:
        return None
    assert isinstance(element, Known)
    return ConstantAttrs(element.value, element.dtype, shape)
