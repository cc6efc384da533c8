"""Cutting functions over a whole split where rows begin to mix."""

from __future__ import annotations

import random

import numpy as np

from bmc.ir import Function, Parameter, Poly, Result, TensorType, Value
from bmc.ops.build import Builder
from bmc.ops.evaluate import evaluate
from bmc.ops.order import SortAttrs
from bmc.ops.shape import SliceAttrs, TransposeAttrs
from bmc.passes.rows import row_states
from bmc.passes.split_rows import split_rows
from bmc.passes.verify import verify
from tests.graphs import Options, random_graph, random_inputs

B = Poly.symbol("B")


def _accuracy() -> tuple[Function, Value]:
    b = Builder()
    x, y = Value(TensorType("f32", (B, 4)), "x"), Value(TensorType("i32", (B,)), "y")
    w = Value(TensorType("f32", (4, 3)), "w")
    logits = b.contract(x, w, (), (1,), (), (0,))
    right = b.compare("eq", b.argmax(logits, 1), y)
    mean = b.div(b.reduce("reduce_sum", b.cast(right, "f64"), (0,)), b.dim_value(B, "f64"))
    norm = b.reduce("reduce_sum", b.mul(w, w), (0, 1))
    params = (Parameter(x, "input", "x"), Parameter(y, "input", "y"), Parameter(w, "weight", "w"))
    results = (Result(mean, "output", "accuracy"), Result(norm, "output", "norm"))
    return Function("eval", params, tuple(b.ops), results, "B"), right


def test_the_frontier_is_the_smallest_value_before_the_sum() -> None:
    function, right = _accuracy()
    rows, finish = split_rows(function)
    verify(rows, "split_rows")
    verify(finish, "split_rows")
    assert (rows.name, rows.row, finish.name, finish.row) == ("eval.rows", "B", "eval.finish", None)
    # A byte a row, rather than the f64 that is summed or the three logits.
    assert [(r.key, r.value) for r in rows.results] == [("cut.0", right)]
    assert [p.key for p in finish.params] == ["cut.0", "w"]
    assert [p.key for p in rows.params] == ["x", "y", "w"]


def test_where_nothing_mixes_there_is_no_cut() -> None:
    b, x = Builder(), Value(TensorType("f32", (B, 4)), "x")
    out = b.exp(x)
    function = Function("f", (Parameter(x, "input", "x"),), tuple(b.ops), (Result(out, "output", "out"),), "B")
    rows, finish = split_rows(function)
    assert [r.key for r in rows.results] == ["out"]
    assert (finish.params, finish.ops, finish.results) == ((), (), ())


def test_both_sides_compute_what_the_whole_did() -> None:
    for seed in range(40):
        function = random_graph(random.Random(seed), Options(mixing="any"))
        if any(state.axis not in (None, 0) for state in row_states(function).values()):
            continue
        bindings = {"B": 6}
        inputs = random_inputs(function, bindings, seed)
        want = evaluate(function, inputs, bindings, np)
        rows, finish = split_rows(function)
        verify(rows, "split_rows")
        verify(finish, "split_rows")
        assert not any(state.mixed for state in row_states(rows).values())
        batches = []
        for start, stop in ((0, 4), (4, 6)):
            # Random draws take the first row of the batch from the control parameter, as the runtime sets it.
            part = {
                p.key: inputs[p.key][start:stop] if p.value.type.shape[:1] == (B,) else inputs[p.key]
                for p in rows.params
            }
            if "control" in part:
                part["control"] = part["control"] + np.array([0, 0, start, 0, 0, 0, 0, 0])
            batches.append(evaluate(rows, part, {"B": stop - start}, np))
        joined = {key: np.concatenate([batch[key] for batch in batches]) for key in (batches[0] if batches else {})}
        given = {p.key: joined[p.key] if p.key in joined else inputs[p.key] for p in finish.params}
        found = {**joined, **evaluate(finish, given, bindings, np)}
        for key, value in want.items():
            # The same operations on the same rows; contractions of numpy may order their sums by the number of rows.
            np.testing.assert_allclose(found[key], value, rtol=1e-12, atol=1e-12, err_msg=f"{seed} {key}")


def test_rows_stand_in_front_of_the_frontier() -> None:
    """The median of each column sorts the transposed matrix: what batches fill has rows in front all the same."""
    b = Builder()
    x = Value(TensorType("f32", (B, 3)), "x")
    ordered = b.operation("sort", [b.operation("transpose", [x], TransposeAttrs((1, 0))).result], SortAttrs(False)).results[0]
    first = b.operation("slice", [ordered], SliceAttrs((0, 0), (3, 1), (1, 1))).result
    function = Function("fit.m", (Parameter(x, "input", "x"),), tuple(b.ops), (Result(first, "update", "m"),), "B")
    rows, finish = split_rows(function)
    verify(rows, "split_rows")
    verify(finish, "split_rows")
    assert [r.value.type.shape for r in rows.results] == [(B, 3)]
    data = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    parts = [evaluate(rows, {"x": data[part]}, {"B": n}, np) for part, n in ((slice(0, 2), 2), (slice(2, 5), 3))]
    cut = np.concatenate([part["cut.0"] for part in parts])
    np.testing.assert_array_equal(evaluate(finish, {"cut.0": cut}, {"B": 5}, np)["m"], data.min(axis=0)[:, None])
