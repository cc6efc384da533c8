"""Whether a pass keeps the meaning of a function: the reference evaluator before and after, on the same arrays.

Reference sums and products are computed by numpy, in an order that depends on where the axes stand. `exact(np)` is numpy with a
contraction that has no order (products are summed as fractions and rounded once) and with squares that are correctly rounded. So
rewrites can be compared bit for bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import numpy as np

from bmc.ir import Function, Operation
from bmc.ops.evaluate import evaluate
from bmc.ops.parse_text import parse_module
from bmc.passes.verify import verify
from bmc.source import SourceFile
from tests.graphs import ROW, random_inputs


def read(text: str) -> Function:
    """The only function of an IR text."""
    (function,) = parse_module(SourceFile("test.bmir", text)).functions
    verify(function)
    return function


def names(function: Function) -> list[str]:
    return [op.name for op in function.ops]


def defining(function: Function, key: str = "y") -> Operation | None:
    """The operation that defines the result `key`; None for a parameter."""
    value = next(result.value for result in function.results if result.key == key)
    return next((op for op in function.ops if value in op.results), None)


class _Exact:
    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    def power(self, x: Any, y: Any) -> Any:
        return np.where(y == 2, x * x, np.power(x, y))

    def einsum(self, a: Any, left: Any, b: Any, right: Any, out: Any) -> Any:
        """Rounded once. Cells to which anything infinite or NaN adds are what numpy makes of them, in whatever order."""
        x, y = a.astype(np.float64), b.astype(np.float64)
        known = [np.isfinite(cells) for cells in (x, y)]
        fraction = np.frompyfunc(Fraction, 1, 1)
        total = np.einsum(fraction(np.where(known[0], x, 0)), left, fraction(np.where(known[1], y, 0)), right, out)
        rounded = np.asarray(np.frompyfunc(_rounded, 1, 1)(total)).astype(a.dtype)
        if all(cells.all() for cells in known):
            return rounded
        ones = [np.ones(cells.shape) for cells in (x, y)]
        touched = np.einsum(~known[0], left, ones[1], right, out) + np.einsum(ones[0], left, ~known[1], right, out)
        with np.errstate(invalid="ignore", over="ignore"):
            return np.where(touched > 0, np.einsum(x, left, y, right, out).astype(a.dtype), rounded)


def _rounded(total: Fraction | int) -> float:
    try:
        return float(total)
    except OverflowError:
        return math.inf if total > 0 else -math.inf


def results(
    function: Function,
    rows: int = 5,
    seed: int = 0,
    inputs: Mapping[str, Any] | None = None,
    dims: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """What `function` computes, of random inputs if none are given. `dims`: the values of its other free dims."""
    known = {ROW: rows, **(dims or {})}
    arrays = dict(inputs) if inputs is not None else random_inputs(function, known, seed)
    return evaluate(function, arrays, known, _Exact())


def assert_same_meaning(before: Function, change: Callable[[Function], Function], rows: int = 5, zeros: bool = True) -> Function:
    """`change(before)`, which must be well formed and compute the same bits; `zeros`: the signs of zeros too."""
    after = change(before)
    verify(after)
    assert [(r.role, r.key) for r in after.results] == [(r.role, r.key) for r in before.results]
    assert [p.key for p in after.params] == [p.key for p in before.params]
    wanted, found = results(before, rows), results(after, rows)
    for key, array in wanted.items():
        np.testing.assert_array_equal(found[key], array, err_msg=key)
        if zeros and array.dtype.kind == "f":
            np.testing.assert_array_equal(np.signbit(found[key]), np.signbit(array), err_msg=key)
    return after
