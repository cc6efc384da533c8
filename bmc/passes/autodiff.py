"""Expand `gradient` operations by reverse sweeps, then remove `stop_gradient`.

In: a function that may hold `gradient(loss, values...)`. Out: the same function with the cotangents computed by
ordinary operations, and without `stop_gradient`. Guaranteed: a value that does not reach the loss has a cotangent of
zeros; every new operation has the location of the forward operation that it belongs to, marked as gradient; one sweep
is linear in the operations before it, and asks only those through which the loss depends on the values.

`bmc/ops/sweep.py` is the sweep; operators that must keep something for it (`saves`) do so before. A gradient
of a gradient differentiates the operations that the inner one became.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from bmc.ir import Function, Operation, Value
from bmc.ops.build import Builder
from bmc.ops.sweep import path_between, sweep
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
            done = _saving(done, loss, values)
            cotangents = _cotangents(b, done, loss, values)
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


def _saving(ops: Sequence[Operation], loss: Value, values: Sequence[Value]) -> list[Operation]:
    """`ops`, in which those that the gradient goes through keep what it reads."""
    path = set(path_between(definition, ops, {loss}, values))
    saved: list[Operation] = []
    for op in ops:
        saves = definition(op.name).saves if op in path else None
        saved.append(op if saves is None else saves(Builder(op.location), op))
    return saved


def _cotangents(b: Builder, ops: Sequence[Operation], loss: Value, values: Sequence[Value]) -> list[Value]:
    """The cotangents of `values`, built by `b`."""
    path = path_between(definition, ops, {loss}, values)
    reached = loss in values or any(loss in op.results for op in path)
    seeds = {loss: b.full_like(loss, 1.0)} if reached else {}
    found = sweep(definition, b, ops, seeds, values, path)
    return [b.full_like(value, 0.0) if cotangent is None else cotangent for value, cotangent in zip(values, found, strict=True)]
