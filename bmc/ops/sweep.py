"""The reverse sweep over a list of operations: cotangents of some values from cotangents of others.

In: operations in order of execution, cotangents of some of their values. Out: those of the values asked for, built
behind. Guaranteed: every new operation has the location of the forward operation that it belongs to, marked as
gradient; one sweep is linear in the operations, and asks only those through which the one depends on the other.

Method: A. Griewank, A. Walther, "Evaluating Derivatives", 2008, chapter 3: cotangents are accumulated in the reverse
of execution order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from bmc.errors import CompilerBug
from bmc.ir import Operation, Value
from bmc.ops.registry import NotDifferentiable, Operator

if TYPE_CHECKING:
    from bmc.ops.build import Builder

__all__ = ["path_between", "sweep"]

Definition = Callable[[str], Operator]


def sweep(
    definition: Definition,
    b: Builder,
    ops: Sequence[Operation],
    seeds: Mapping[Value, Value],
    values: Sequence[Value],
    path: Sequence[Operation] | None = None,
) -> list[Value | None]:
    """The cotangents of `values`, built by `b`; None where no seed depends on the value. `seeds`: the cotangents of
    values that nothing else is asked of. `path`: what `path_between` gave, where it was asked before.
    """
    path = path_between(definition, ops, set(seeds), values) if path is None else path
    active = set(values)
    for op in path:
        active.update(op.results)
    cotangents = {value: seed for value, seed in seeds.items() if value in active}
    for op in reversed(path):
        incoming = [cotangents.get(value) for value in op.results]
        if any(cotangent is not None for cotangent in incoming):
            with b.at(op.location.as_gradient()):
                _step(definition, b, op, incoming, active, cotangents)
    return [cotangents.get(value) for value in values]


def path_between(definition: Definition, ops: Sequence[Operation], targets: set[Value], values: Sequence[Value]) -> list[Operation]:
    """The operations through which `targets` depend on `values`, in order."""
    reached = set(values)
    forward: list[Operation] = []
    for op in ops:
        if any(operand in reached for operand in op.operands) and _differentiable(definition, op):
            reached.update(op.results)
            forward.append(op)
    needed = set(targets)
    path: list[Operation] = []
    for op in reversed(forward):
        if any(value in needed for value in op.results):
            needed.update(op.operands)
            path.append(op)
    path.reverse()
    return path


def _differentiable(definition: Definition, op: Operation) -> bool:
    rule = definition(op.name).grad
    if not isinstance(rule, NotDifferentiable):
        return True
    if rule.misplaced:
        raise CompilerBug("autodiff", f"a loss depends on {op.name}: {rule.reason}")
    return False


def _step(
    definition: Definition,
    b: Builder,
    op: Operation,
    incoming: Sequence[Value | None],
    active: set[Value],
    cotangents: dict[Value, Value],
) -> None:
    """Add to the cotangents of the operands of `op` what its rule gives, without what the rule computes for operands
    that nobody asks for.
    """
    rule = definition(op.name).grad
    if isinstance(rule, NotDifferentiable):
        raise CompilerBug("autodiff", f"{op.name} is not differentiable: {rule.reason}")
    mark = len(b.ops)
    outgoing = rule(b, op, incoming)
    wanted: list[tuple[Value, Value]] = []
    for operand, cotangent in zip(op.operands, outgoing, strict=True):
        if cotangent is not None and operand in active:
            if cotangent.type != operand.type:
                raise CompilerBug(
                    "autodiff", f"the gradient rule of {op.name} gives {cotangent.type} for an operand {operand.type}"
                )
            wanted.append((operand, cotangent))
    needed = {cotangent for _, cotangent in wanted}
    kept: list[Operation] = []
    for made in reversed(b.ops[mark:]):
        if any(value in needed for value in made.results):
            needed.update(made.operands)
            kept.append(made)
    b.ops[mark:] = reversed(kept)
    for operand, cotangent in wanted:
        so_far = cotangents.get(operand)
        cotangents[operand] = cotangent if so_far is None else b.add(so_far, cotangent)
