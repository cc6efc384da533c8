"""A chain of 30,000 operations goes through all simplifying passes, the verifier and the row analysis in 3 seconds."""

from __future__ import annotations

import time
from collections.abc import Callable

from bmc.ir import Function, Parameter, Poly, Result, TensorType, Value
from bmc.ops.build import Builder
from bmc.passes.canonicalise import canonicalise
from bmc.passes.cse import cse
from bmc.passes.dce import dce
from bmc.passes.fold import fold
from bmc.passes.rows import row_states
from bmc.passes.verify import verify

PASSES: tuple[Callable[[Function], object], ...] = (fold, canonicalise, cse, dce, row_states, verify)


def layers(count: int) -> Function:
    """Eleven operations a layer, of which some fold, some simplify, some are equal and some are dead."""
    b = Builder()
    rows = Poly.symbol("B")
    x = Value(TensorType("f32", (rows, 64)), "x")
    w = Value(TensorType("f32", (64, 64)), "w")
    h = x
    for _ in range(count):
        one = b.mul(b.scalar(2.0, "f32"), 0.5)
        scaled = b.mul(h, b.broadcast(one, h.type.shape, ()))
        z = b.contract(scaled, b.transpose(w, (1, 0)), (), (1,), (), (1,))
        b.exp(z)
        h = b.add(b.maximum(z, 0.0), h)
    params = (Parameter(x, "input", "x"), Parameter(w, "weight", "w"))
    return Function("deep", params, tuple(b.ops), (Result(h, "output", "y"),), "B")


def seconds(function: Function) -> float:
    start = time.process_time()
    for p in PASSES:
        p(function)
    return time.process_time() - start


def test_thirty_thousand_operations() -> None:
    deep = layers(2728)
    assert len(deep.ops) > 30_000
    assert seconds(deep) < 3.0
    result = cse(canonicalise(fold(deep)))
    assert len(dce(result).ops) == 3 * 2728 + 1


def test_time_grows_with_the_operations() -> None:
    """Eight times the operations: twice eight times the time at most, which quadratic work would exceed by far."""
    small = min(seconds(layers(150)) for _ in range(3))
    assert seconds(layers(1200)) < 16 * small + 0.05
