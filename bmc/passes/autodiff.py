"""Expand `gradient` operations by reverse sweeps, then remove `stop_gradient`.

In: a function that may hold `gradient(loss, values...)`. Out: the same function with the cotangents computed by
ordinary operations, and without `stop_gradient`. Guaranteed: a value that does not reach the loss has a cotangent of
zeros; every new operation has the location of the forward operation that it belongs to, marked as gradient; one sweep
is linear in the operations before it, and asks only those through which the loss depends on the values.

Method: A. Griewank, A. Walther, "Evaluating Derivatives", 2008, chapter 3: cotangents are accumulated in the reverse
of execution order. A gradient of a gradient differentiates the operations that the inner one became.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from bmc.errors import CompilerBug
from bmc.ir import Function, Operation, Value
from bmc.ops.build import Builder
from bmc.ops.registry import NotDifferentiable
from bmc.ops.table import definition

__all__ = ["autodiff"]


def autodiff(function: Function) -> Function:
    """`function` without `gradient` and `stop_gradient`. CompilerBug: the loss depends on an operator that only later
    passes make.
    """
    renamed: dict[Value, Value] = {}
    done: list[Operation] = []
    for op in function.ops:
        current = _with_operands(op, renamed)
        if current.name == "gradient":
            loss, *values = current.operands
            b = Builder(current.location.as_gradient())
            cotangents = _sweep(b, done, loss, values)
            done.extend(b.ops)
            renamed.update(zip(current.results, cotangents, strict=True))
        else:
            done.append(current)
    return _without_stops(function, done, renamed)


def _with_operands(op: Operation, renamed: dict[Value, Value]) -> Operation:
    if not any(operand in renamed for operand in op.operands):
        return op
    operands = tuple(renamed.get(operand, operand) for operand in op.operands)
    return Operation(op.name, operands, op.attrs, op.results, op.regions, op.location)


def _without_stops(function: Function, ops: Sequence[Operation], renamed: dict[Value, Value]) -> Function:
    kept: list[Operation] = []
    stopped: dict[Value, Value] = {}
    for op in ops:
        current = _with_operands(op, stopped)
        if current.name == "stop_gradient":
            stopped[current.result] = current.operands[0]
        else:
            kept.append(current)
    results = []
    for result in function.results:
        value = renamed.get(result.value, result.value)
        results.append(dataclasses.replace(result, value=stopped.get(value, value)))
    return dataclasses.replace(function, ops=tuple(kept), results=tuple(results))


def _sweep(b: Builder, ops: Sequence[Operation], loss: Value, values: Sequence[Value]) -> list[Value]:
    """The cotangents of `values`, built by `b`."""
    path = _path(ops, loss, values)
    active = set(values)
    for op in path:
        active.update(op.results)
    cotangents: dict[Value, Value] = {}
    if loss in active:
        cotangents[loss] = b.full_like(loss, 1.0)
    for op in reversed(path):
        incoming = [cotangents.get(value) for value in op.results]
        if any(cotangent is not None for cotangent in incoming):
            with b.at(op.location.as_gradient()):
                _step(b, op, incoming, active, cotangents)
    return [cotangents[value] if value in cotangents else b.full_like(value, 0.0) for value in values]


def _path(ops: Sequence[Operation], loss: Value, values: Sequence[Value]) -> list[Operation]:
    """The operations through which `loss` depends on `values`, in order."""
    reached = set(values)
    forward: list[Operation] = []
    for op in ops:
        if any(operand in reached for operand in op.operands) and _differentiable(op):
            reached.update(op.results)
            forward.append(op)
    needed = {loss}
    path: list[Operation] = []
    for op in reversed(forward):
        if any(value in needed for value in op.results):
            needed.update(op.operands)
            path.append(op)
    path.reverse()
    return path


def _differentiable(op: Operation) -> bool:
    rule = definition(op.name).grad
    if not isinstance(rule, NotDifferentiable):
        return True
    if rule.misplaced:
        raise CompilerBug("autodiff", f"a loss depends on {op.name}: {rule.reason}")
    return False


def _step(
    b: Builder, op: Operation, incoming: Sequence[Value | None], active: set[Value], cotangents: dict[Value, Value]
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
