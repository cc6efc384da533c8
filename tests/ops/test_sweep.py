"""The reverse sweep: what reaches a value by slices that are side by side is put together, anything else is added."""

from __future__ import annotations

import numpy as np
import pytest

from bmc.ir import Poly, TensorType, Value
from bmc.ops.build import Builder
from bmc.ops.evaluate import evaluate_ops
from bmc.ops.sweep import sweep
from bmc.ops.table import definition

B = Poly.symbol("B")


@pytest.mark.parametrize(
    ("cuts", "put_together"),
    [
        ([(0, 2), (2, 5), (5, 6)], True),
        ([(5, 6), (0, 2), (2, 5)], True),
        ([(0, 2), (2, 5)], False),
        ([(0, 4), (2, 6)], False),
        ([(0, 6)], False),
        ([(0, 3), (3, 6), (0, 6)], False),
    ],
    ids=["in order", "out of order", "a gap", "an overlap", "whole", "twice"],
)
def test_slices_side_by_side(cuts: list[tuple[int, int]], put_together: bool) -> None:
    x = Value(TensorType("f64", (B, 6)), "x")
    forward = Builder()
    pieces = [forward.slice_axis(x, 1, start, stop) for start, stop in cuts]
    powers = [forward.mul(piece, piece) for piece in pieces]
    seeds = {power: Value(power.type, "seed") for power in powers}
    b = Builder()
    (found,) = sweep(definition, b, forward.ops, seeds, [x])
    assert found is not None
    assert any(op.name == "concat" and op.result is found for op in b.ops) == put_together
    array = np.random.default_rng(0).normal(size=(3, 6))
    values = {x: array, **{seed: np.ones((3, stop - start)) for seed, (start, stop) in zip(seeds.values(), cuts, strict=True)}}
    evaluate_ops([*forward.ops, *b.ops], values, {"B": 3}, np)
    times = np.array([sum(start <= k < stop for start, stop in cuts) for k in range(6)])
    np.testing.assert_array_equal(values[found], 2 * array * times)


def test_what_no_seed_depends_on_has_none() -> None:
    x, y = (Value(TensorType("f64", (2,)), name) for name in "xy")
    forward = Builder()
    power = forward.mul(x, x)
    assert sweep(definition, Builder(), forward.ops, {power: Value(power.type)}, [y]) == [None]
