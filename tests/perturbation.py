"""How far rounding may move the results of a function: the yardstick for native code.

The function runs in f64, once exactly and several times with every operation's results moved at random within the operator's
error in the function's own dtype. Native code may deviate from the exact run by `FACTOR` times the largest deviation among those
runs.

The error of an element-wise operator is the one that it declares. That of a sum is derived from the sum itself: each addition
rounds its own partial sum s_k, so that a chain of additions errs by at most half a unit of sum |s_k| (N. Higham, "Accuracy and
Stability of Numerical Algorithms", 2002, section 3.3), which for numbers of both signs is far less than the number of addends
times the sum of their magnitudes.
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
from bmc.passes.expand import expand
from bmc.passes.turns import in_turns_too

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
    double = in_double(in_turns_too(expand)(function))
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
    """Moves each float result uniformly within the error of its operator in `dtype`."""

    given = drawn(dtype)

    def after(op: Operation, arrays: Sequence[Any], results: Sequence[Any]) -> Sequence[Any]:
        moved = []
        for value, array in zip(op.results, given(op, arrays, results), strict=True):
            if is_float(value.type.dtype) and _computes(op):
                with np.errstate(invalid="ignore"):
                    error = np.broadcast_to(_error(op, arrays, array, dtype), array.shape)
                # The -inf of a mask is exact.
                array = array + rng.uniform(-1, 1, size=array.shape) * UNIT[dtype] * np.where(np.isfinite(error), error, 0.0)
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


_ROUNDED = (
    "add", "sub", "mul", "div", "sqrt", "rem", "reduce_sum", "cumsum", "scatter_add", "scatter_along", "max_pool_grad", "cast",
    "constant", "dim_value",
)  # fmt: skip
_LANES = 16


def _error(op: Operation, arrays: Sequence[Any], result: Any, dtype: str) -> Any:
    """The largest error of a result, in units of `dtype`."""
    record = definition(op.name)
    attrs: Any = op.attrs
    if isinstance(record.lowering, Reduction):
        return 0.5 * _sum_error(arrays[0], attrs.axes) if record.lowering.combine == "add" else 0.0
    if isinstance(record.lowering, Contraction):
        return 0.5 * _product_error(arrays, attrs)
    if op.name == "cumsum":
        return 0.5 * np.cumsum(np.abs(result), axis=attrs.axis)
    if op.name == "scatter_add":
        return 0.5 * _scatter_error(arrays, result, 0)
    if op.name == "scatter_along":
        return 0.5 * _scatter_error(arrays, result, attrs.lead)
    if op.name == "max_pool_grad":  # a cell adds up at most one cotangent for each place that it has in a window
        (magnitude,) = record.reference(np, attrs, [arrays[0], arrays[1], np.abs(arrays[2])])
        return 0.5 * math.prod(attrs.sizes) * magnitude
    bound = getattr(record.ulp, dtype)
    if op.name == "fma":
        return bound * (np.abs(arrays[0] * arrays[1]) + np.abs(arrays[2]))
    if op.name == "rem":
        return bound * (np.abs(arrays[0]) + np.abs(result))
    return bound * np.abs(result)


def _sum_error(x: Any, axes: Sequence[int]) -> Any:
    """sum |s_k| of the additions: in one chain, or in lanes and then between them, whichever is more. Which of both it is
    depends on where the axes stand, which rewrites may change."""
    others = [axis for axis in range(x.ndim) if axis not in axes]
    count = math.prod(x.shape[axis] for axis in axes)
    rows = np.transpose(x, (*others, *axes)).reshape((*(x.shape[axis] for axis in others), count))
    chain = np.sum(np.abs(np.cumsum(rows, axis=-1)), axis=-1)
    padded = np.concatenate([rows, np.zeros((*rows.shape[:-1], -count % _LANES))], axis=-1)
    spread = padded.reshape((*rows.shape[:-1], padded.shape[-1] // _LANES, _LANES))
    total = np.sum(np.abs(np.cumsum(spread, axis=-2)), axis=(-2, -1))
    level = np.sum(spread, axis=-2)
    while level.shape[-1] > 1:
        half = level.shape[-1] // 2
        level = level[..., :half] + level[..., half:]
        total = total + np.sum(np.abs(level), axis=-1)
    return np.maximum(chain, total)


def _product_error(arrays: Sequence[Any], attrs: Any) -> Any:
    """sum |p_k| + |s_k| of one chain, since targets without fused products round these too."""
    a, b = arrays
    free_a = [i for i in range(a.ndim) if i not in (*attrs.lhs_batch, *attrs.lhs_contract)]
    free_b = [i for i in range(b.ndim) if i not in (*attrs.rhs_batch, *attrs.rhs_contract)]
    batch = [a.shape[i] for i in attrs.lhs_batch]
    dims = [a.shape[i] for i in free_a], [b.shape[i] for i in free_b]
    k = math.prod(a.shape[i] for i in attrs.lhs_contract)
    left = np.transpose(a, (*attrs.lhs_batch, *free_a, *attrs.lhs_contract)).reshape((*batch, math.prod(dims[0]), k))
    right = np.transpose(b, (*attrs.rhs_batch, *attrs.rhs_contract, *free_b)).reshape((*batch, k, math.prod(dims[1])))
    partial = np.zeros((*batch, math.prod(dims[0]), math.prod(dims[1])))
    total = np.zeros_like(partial)
    for i in range(k):
        product = left[..., :, i, None] * right[..., None, i, :]
        partial += product
        total += np.abs(product)
        total += np.abs(partial)
    return total.reshape((*batch, *dims[0], *dims[1]))


def _scatter_error(arrays: Sequence[Any], result: Any, lead: int) -> Any:
    """sum |s_k| at each place, in the order of the updates. `lead`: axes that index and result share."""
    index, updates = arrays
    total = np.zeros_like(result)
    for row in np.ndindex(index.shape[:lead]):
        sums, errors = np.zeros_like(result[row]), total[row]
        places = np.clip(index[row].reshape(-1).astype(np.int64), 0, sums.shape[0] - 1)
        for place, update in zip(places, updates[row].reshape((places.size, *sums.shape[1:])), strict=True):
            sums[place] += update
            errors[place] += np.abs(sums[place])
        total[row] = errors
    return total


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
