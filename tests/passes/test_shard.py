"""Sums over rows become partials and totals, and shards give what the whole batch gives."""

from __future__ import annotations

import random

import numpy as np
import pytest

from bmc.ir import Function, Parameter, Poly, Result, TensorType, Value
from bmc.ops.build import Builder
from bmc.ops.evaluate import evaluate
from bmc.passes.fuse import fuse_phases
from bmc.passes.plan_memory import plan_memory
from bmc.passes.shard import RowsDoNotSplit, shard
from bmc.passes.split_phases import split_phases
from bmc.passes.verify import verify
from tests.graphs import Options, random_graph, random_inputs
from tests.passes.executor import run_plan
from tests.passes.steps import mlp_step

B = Poly.symbol("B")
X = TensorType("f64", (B, 3))


def _function(b: Builder, x: Value, *outputs: Value) -> Function:
    results = tuple(Result(v, "output", f"out.{i}") for i, v in enumerate(outputs))
    return Function("f", (Parameter(x, "input", "x"),), tuple(b.ops), results, "B")


def test_each_way_of_summing_rows_gets_a_total() -> None:
    b, x = Builder(), Value(X, "x")
    outputs = (
        b.reduce("reduce_sum", x, (0,)),
        b.reduce("reduce_sum", x, (0, 1)),
        b.contract(x, x, (), (0,), (), (0,)),
        b.dim_value(B * 3, "f64"),
        b.reduce("reduce_sum", x, (1,)),
    )
    sharded = shard(_function(b, x, *outputs), True)
    verify(sharded, "shard")
    assert [op.name for op in sharded.ops] == [
        "reduce_sum", "shard_sum", "reduce_sum", "shard_sum", "contract", "shard_sum", "dim_value", "shard_sum", "reduce_sum",
    ]  # fmt: skip


def test_one_shard_changes_nothing() -> None:
    step = mlp_step([4, 4, 2])
    assert shard(step, False) is step


@pytest.mark.parametrize("name", ["reduce_max", "sort"])
def test_what_does_not_split_names_the_operation(name: str) -> None:
    b, x = Builder(), Value(X, "x")
    made = b.sort(b.transpose(x, (1, 0)))[0] if name == "sort" else b.reduce(name, x, (0,))
    function = _function(b, x, made)
    with pytest.raises(RowsDoNotSplit) as caught:
        shard(function, True)
    assert caught.value.op.name == name


def test_a_dim_that_is_no_multiple_of_the_rows_does_not_split() -> None:
    for dim in (B + 1, B * B):
        b, x = Builder(), Value(X, "x")
        with pytest.raises(RowsDoNotSplit):
            shard(_function(b, x, b.dim_value(dim, "f64")), True)


@pytest.mark.parametrize("shards", [1, 2, 8])
def test_a_training_step_on_shards(shards: int) -> None:
    step = mlp_step([5, 6, 6, 4], dtype="f64", clip=True)
    rng = np.random.default_rng(3)
    rows = 19
    inputs = {}
    for param in step.params:
        shape = tuple(rows if dim == B else dim for dim in param.value.type.shape)
        if param.role == "moment":
            inputs[param.key] = rng.uniform(0, 0.1, shape)
        elif param.key == "y":
            inputs[param.key] = rng.integers(0, 4, shape).astype(np.int32)
        elif param.role == "control":
            inputs[param.key] = np.array([1, 7, 0, 100, 0, rows, 0, 0], np.int64)
        else:
            inputs[param.key] = rng.normal(0, 0.5, shape)
    want = evaluate(step, inputs, {"B": rows}, np)
    sharded = shard(step, shards > 1)
    planned = plan_memory(sharded, fuse_phases(sharded, split_phases(sharded)))
    got = run_plan(sharded, planned, inputs, {"B": rows}, shards)
    assert got.keys() == want.keys()
    for key, value in want.items():
        # Sums of 19 terms in another order: the gradients differ by at most 19 roundings of 2**-53 relative to the sum of
        # magnitudes, which cancellation and Adam's quotient (of numbers from 1e-2 up) amplify by less than 1e3.
        np.testing.assert_allclose(got[key], value, rtol=19 * 2**-53 * 1e3, atol=19 * 2**-53 * 1e3, err_msg=key)


@pytest.mark.parametrize("shards", [2, 8])
def test_random_graphs_on_shards(shards: int) -> None:
    for seed in range(25):
        function = _leading_rows(random_graph(random.Random(seed), Options(mixing="sum", smooth=True)))
        bindings = {"B": (5, 8, 13, 1)[seed % 4]}
        inputs = random_inputs(function, bindings, seed)
        want = evaluate(function, inputs, bindings, np)
        sharded = shard(function, True)
        planned = plan_memory(sharded, fuse_phases(sharded, split_phases(sharded)))
        got = run_plan(sharded, planned, inputs, bindings, shards)
        for key, value in want.items():
            # Sums of at most 13 rows in another order, then at most 60 smooth operators on values up to 8: each may amplify an
            # error of a few 2**-53 some times over; 1e-9 is far below what a row that is missing or counted twice would make.
            np.testing.assert_allclose(got[key], value, rtol=1e-9, atol=1e-9, err_msg=f"{seed} {key}")


def _leading_rows(function: Function) -> Function:
    """Without outputs whose rows are not the leading dim: a plan cannot cut these into shards."""
    results = tuple(r for r in function.results if not any("B" in str(dim) for dim in r.value.type.shape[1:]))
    return Function(function.name, function.params, function.ops, results, function.row)
