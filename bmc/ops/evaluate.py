"""Reference evaluation: the meaning of a graph, by the reference of each operator. For tests and `--reference` only.

In: a function (or operations and their operands), arrays, the values of symbolic dims; numpy as an argument. Out:
arrays. Guaranteed: every array has the dtype and shape of its value's type, in and out; one loop over the operations,
no recursion but into regions.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Any

from bmc.ir import Function, Operation, Poly, Region, Value
from bmc.ir.dims import evaluate as evaluate_dim
from bmc.ops.arrays import dtype_of, empty
from bmc.ops.lowering import Loop
from bmc.ops.registry import Operator
from bmc.ops.scan_parts import parts
from bmc.ops.table import definition

__all__ = ["After", "bind_attrs", "bindings_of", "evaluate", "evaluate_ops"]

After = Callable[[Operation, Sequence[Any], Sequence[Any]], Sequence[Any]]
"""(operation without regions, operand arrays, result arrays) -> the result arrays to go on with."""


def bindings_of(function: Function, inputs: Mapping[str, Any]) -> dict[str, int]:
    """The symbolic dims that the shapes of the inputs give away: those that are a dim of a parameter by themselves."""
    bindings: dict[str, int] = {}
    for param in function.params:
        if param.key not in inputs:
            continue
        for dim, size in zip(param.value.type.shape, inputs[param.key].shape, strict=False):
            if isinstance(dim, Poly) and dim == Poly.symbol(str(dim)):
                bindings.setdefault(str(dim), int(size))
    return bindings


def bind_attrs(attrs: Any, bindings: Mapping[str, int]) -> Any:
    """The attributes with all symbolic dims replaced by their values. KeyError names a symbol without one."""
    changes = {}
    for field in dataclasses.fields(attrs):
        before = getattr(attrs, field.name)
        after = _bind(before, bindings)
        if after is not before:
            changes[field.name] = after
    return dataclasses.replace(attrs, **changes) if changes else attrs


def _bind(value: Any, bindings: Mapping[str, int]) -> Any:
    if isinstance(value, Poly):
        return evaluate_dim(value, bindings)
    if isinstance(value, tuple) and any(isinstance(item, (Poly, tuple)) for item in value):
        return tuple(_bind(item, bindings) for item in value)
    return value


def evaluate(
    function: Function, inputs: Mapping[str, Any], bindings: Mapping[str, int], np: Any, after: After | None = None
) -> dict[str, Any]:
    """The results of `function` by key, outputs and updates alike. `inputs` are arrays by parameter key. `after`
    sees, and may replace, the results of each operation.

    KeyError: an input or a binding is missing. ValueError: an array does not have the type of its parameter, or a
    rule breaks its promise. NotImplementedError: the graph holds an operator that a pass must expand before
    (`gradient`).
    """
    values: dict[Value, Any] = {}
    for param in function.params:
        values[param.value] = _checked(f"input {param.key!r}", param.value, inputs[param.key], bindings)
    evaluate_ops(function.ops, values, bindings, np, after)
    return {result.key: values[result.value] for result in function.results}


def evaluate_ops(
    ops: Sequence[Operation], values: MutableMapping[Value, Any], bindings: Mapping[str, int], np: Any, after: After | None = None
) -> None:
    """Run operations in order; `values` holds the array of each value and receives the results."""
    for op in ops:
        arrays = [values[operand] for operand in op.operands]
        results = _run(definition(op.name), op, arrays, bindings, np, after)
        if after is not None and not op.regions:
            results = after(op, arrays, results)
        for i, (value, array) in enumerate(zip(op.results, results, strict=True)):
            values[value] = _checked(f"result {i} of {op.name}", value, array, bindings)


def _run(
    record: Operator, op: Operation, arrays: Sequence[Any], bindings: Mapping[str, int], np: Any, after: After | None
) -> Sequence[Any]:
    if not op.regions:
        return record.reference(np, bind_attrs(op.attrs, bindings), arrays)
    (region,) = op.regions
    if isinstance(record.lowering, Loop):
        return _turns(op, region, arrays, bindings, np, after)
    inner: dict[Value, Any] = dict(zip(region.params, arrays, strict=True))
    evaluate_ops(region.ops, inner, bindings, np, after)
    return [inner[value] for value in region.results]


def _turns(
    op: Operation, region: Region, arrays: Sequence[Any], bindings: Mapping[str, int], np: Any, after: After | None
) -> Sequence[Any]:
    """A scan by its definition; the workspace of a loop holds nothing that anyone may read."""
    attrs: Any = bind_attrs(op.attrs, bindings)
    carries, sequences, invariants = parts(arrays, attrs.carries, attrs.sequences)
    stacked: list[Any] = []
    for value in op.results[attrs.carries : len(region.results)]:
        shape = tuple(evaluate_dim(dim, bindings) for dim in value.type.shape)
        stacked.append(empty(np, value.type.dtype, shape))
    for turn in range(attrs.length):
        t = attrs.length - 1 - turn if attrs.reverse else turn
        inner: dict[Value, Any] = dict(zip(region.params, (*carries, *(s[t] for s in sequences), *invariants), strict=True))
        evaluate_ops(region.ops, inner, bindings, np, after)
        results = [inner[value] for value in region.results]
        carries = results[: attrs.carries]
        for stack, value in zip(stacked, results[attrs.carries :], strict=True):
            stack[t] = value
    workspace = [np.zeros(attrs.workspace, np.uint8) for _ in op.results[len(region.results) :]]
    return [*carries, *stacked, *workspace]


def _checked(what: str, value: Value, array: Any, bindings: Mapping[str, int]) -> Any:
    shape = tuple(evaluate_dim(dim, bindings) for dim in value.type.shape)
    if tuple(array.shape) != shape or dtype_of(array) != value.type.dtype:
        raise ValueError(f"{what}: an array {array.dtype}{list(array.shape)} is no {value.type} with {dict(bindings)}")
    return array
