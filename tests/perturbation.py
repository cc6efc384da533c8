"""How far rounding may move the results of a function: the yardstick for native code.

The function runs in f64, once exactly and several times with every operation's results moved at random within the operator's
declared error in the function's own dtype. Native code may deviate from the exact run by `FACTOR` times the largest deviation among
those runs.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bmc.ir import Function, Operation, Parameter, Region, Result, Value
from bmc.ir.types import is_float
from bmc.ops.evaluate import After, evaluate
from bmc.ops.lowering import Contraction, Reduction
from bmc.ops.table import definition

RUNS = 8
FACTOR = 8.0
# One unit in the last place, relative to the number: at most 2**-23 of f32 and 2**-52 of f64.
UNIT = {"f32": 2.0**-23, "f64": 2.0**-52}


@dataclass(frozen=True)
class Yardstick:
    """By key of a float result: its exact value in f64, and how far it may be off anywhere."""

    exact: Mapping[str, Any]
    allowed: Mapping[str, float]


def yardstick(function: Function, inputs: Mapping[str, Any], bindings: Mapping[str, int], dtype: str, seed: int = 0) -> Yardstick:
    """The allowed deviations of `function`, whose floats are `dtype`, on these inputs."""
    double = in_double(function)
    widened = {key: array.astype(np.float64) if array.dtype == np.float32 else array for key, array in inputs.items()}
    exact = {key: array for key, array in evaluate(double, widened, bindings, np, drawn(dtype)).items() if array.dtype.kind == "f"}
    allowed = dict.fromkeys(exact, 0.0)
    for run in range(RUNS):
        moved = evaluate(double, widened, bindings, np, noise(np.random.default_rng((seed, run)), dtype))
        for key, array in exact.items():
            if array.size:
                allowed[key] = max(allowed[key], FACTOR * float(np.max(np.abs(moved[key] - array))))
    # A result that nothing moved may still be rounded once on its way out.
    for key, array in exact.items():
        if array.size:
            allowed[key] = max(allowed[key], UNIT[dtype] * float(np.max(np.abs(array))))
    return Yardstick(exact, allowed)


def noise(rng: Any, dtype: str) -> After:
    """Moves each float result uniformly within the declared error of its operator in `dtype`."""

    given = drawn(dtype)

    def after(op: Operation, arrays: Sequence[Any], results: Sequence[Any]) -> Sequence[Any]:
        record = definition(op.name)
        bound = getattr(record.ulp, dtype) * UNIT[dtype]
        moved = []
        for value, array in zip(op.results, given(op, arrays, results), strict=True):
            if is_float(value.type.dtype) and _computes(op):
                moves = rng.uniform(-bound, bound, size=array.shape) * _magnitude(op, arrays, array)
                array = np.where(np.isfinite(moves), array + moves, array)  # infinities are exact
            moved.append(array)
        return moved

    return after


def drawn(dtype: str) -> After:
    """Draws are exact by definition: a uniform one of f32 is that of f64, cut to 24 bits."""

    def after(op: Operation, arrays: Sequence[Any], results: Sequence[Any]) -> Sequence[Any]:
        if op.name != "random_uniform" or dtype != "f32":
            return results
        return [np.floor(array * 2.0**24) * 2.0**-24 for array in results]

    return after


def _computes(op: Operation) -> bool:
    """Whether results are new numbers, not copies of operands' cells."""
    return definition(op.name).ulp.f32 > 0.5 or op.name in _ROUNDED


_ROUNDED = ("add", "sub", "mul", "div", "sqrt", "rem", "reduce_sum", "cumsum", "scatter_add", "cast", "constant", "dim_value")


def _magnitude(op: Operation, arrays: Sequence[Any], result: Any) -> Any:
    """What the declared error is relative to: the result, or (declared for each addend) the addends' number times the sum of their
    magnitudes. Rounding n equal addends in one chain errs in one direction and does come near that.
    """
    lowering = definition(op.name).lowering
    attrs: Any = op.attrs
    if isinstance(lowering, Reduction):
        count = math.prod(arrays[0].shape[axis] for axis in attrs.axes) if lowering.combine == "add" else 1
        return count * np.sum(np.abs(arrays[0]), axis=attrs.axes)
    if isinstance(lowering, Contraction):
        (magnitude,) = definition(op.name).reference(np, attrs, [np.abs(array) for array in arrays])
        return math.prod(arrays[0].shape[axis] for axis in attrs.lhs_contract) * magnitude
    if op.name in ("cumsum", "scatter_add"):
        (magnitude,) = definition(op.name).reference(np, attrs, [np.abs(a) if a.dtype.kind == "f" else a for a in arrays])
        return (arrays[0].shape[attrs.axis] if op.name == "cumsum" else arrays[0].size) * magnitude
    if op.name == "fma":
        return np.abs(arrays[0] * arrays[1]) + np.abs(arrays[2])
    if op.name == "rem":
        return np.abs(arrays[0]) + np.abs(result)
    return np.abs(result)


def in_double(function: Function) -> Function:
    """The function with f64 for f32 everywhere."""
    values: dict[Value, Value] = {}
    params = tuple(Parameter(_value(p.value, values), p.role, p.key) for p in function.params)
    ops = tuple(_operation(op, values) for op in function.ops)
    results = tuple(Result(values[r.value], r.role, r.key) for r in function.results)
    return Function(function.name, params, ops, results, function.row)


def _value(value: Value, values: dict[Value, Value]) -> Value:
    values[value] = Value(value.type.with_dtype("f64") if value.type.dtype == "f32" else value.type, value.name)
    return values[value]


def _operation(op: Operation, values: dict[Value, Value]) -> Operation:
    attrs: Any = op.attrs
    if getattr(attrs, "dtype", None) == "f32":
        attrs = dataclasses.replace(attrs, dtype="f64")
    regions = []
    for region in op.regions:
        inner: dict[Value, Value] = {}
        params = tuple(_value(v, inner) for v in region.params)
        ops = tuple(_operation(o, inner) for o in region.ops)
        regions.append(Region(params, ops, tuple(inner[v] for v in region.results)))
    operands = tuple(values[v] for v in op.operands)
    return Operation(op.name, operands, attrs, tuple(_value(v, values) for v in op.results), tuple(regions), op.location)
