"""What is said of rows holds in an experiment: other rows changed, taken away, or computed alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from bmc.ir import Function, Value
from bmc.ops.registry import RowMix
from bmc.passes.rows import mixing_op, row_states
from tests.graphs import ROW, Options, graphs, random_inputs
from tests.passes.meaning import read, results

PARAMS = 'param %x: f32[B, 4] = input "x" param %w: f32[4, 4] = weight "w" param %c: i64[8] = control "control"'


def function(body: str) -> Function:
    return read(f'function "f" rows B {{ {PARAMS} {body} output "y" = %y }}')


def state(body: str) -> tuple[int | None, str | None, RowMix | None]:
    """(axis, name of the first mixing operation, how it mixes) of the result."""
    f = function(body)
    found = row_states(f)[f.results[0].value]
    return found.axis, found.mixed_by.name if found.mixed_by is not None else None, found.mix


DOT = "contract(%x, %w, lhs_batch = [], lhs_contract = [1], rhs_batch = [], rhs_contract = [0]) : f32[B, 4]"
MEAN = "%s = reduce_sum(%x, axes = [0]) : f32[4] %b = broadcast(%s, shape = [B, 4], axes = [1]) : f32[B, 4]"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (f"%y = {DOT}", (0, None, None)),
        ("%y = exp(%w) : f32[4, 4]", (None, None, None)),
        ("%y = transpose(%x, permutation = [1, 0]) : f32[4, B]", (1, None, None)),
        ("%y = reduce_sum(%x, axes = [1]) : f32[B]", (0, None, None)),
        ("%y = reduce_sum(%x, axes = [0]) : f32[4]", (None, "reduce_sum", RowMix.SUM)),
        ("%y = reduce_max(%x, axes = [0]) : f32[4]", (None, "reduce_max", RowMix.OTHER)),
        (f"{MEAN} %y = sub(%x, %b) : f32[B, 4]", (0, "reduce_sum", RowMix.SUM)),
        (f"{MEAN} %m = reduce_max(%x, axes = [0]) : f32[4] %y = mul(%m, %s) : f32[4]", (None, "reduce_sum", RowMix.SUM)),
        ('%y = dim_value(dim = B, dtype = "f32") : f32[]', (None, "dim_value", RowMix.SUM)),
        ('%y = constant(value = 1.0, dtype = "f32", shape = [B, 4]) : f32[B, 4]', (0, None, None)),
        ('%y = iota(dtype = "i32", shape = [B], axis = 0) : i32[B]', (None, "iota", RowMix.OTHER)),
        ('%y = iota(dtype = "i32", shape = [B, 4], axis = 1) : i32[B, 4]', (0, None, None)),
        ("%y = reshape(%x, shape = [4*B]) : f32[4*B]", (None, "reshape", RowMix.OTHER)),
        (
            "%y = contract(%x, %x, lhs_batch = [], lhs_contract = [1], rhs_batch = [], rhs_contract = [1]) : f32[B, B]",
            (None, "contract", RowMix.OTHER),
        ),
        (
            "%y = contract(%x, %x, lhs_batch = [], lhs_contract = [0], rhs_batch = [], rhs_contract = [0]) : f32[4, 4]",
            (None, "contract", RowMix.SUM),
        ),
    ],
)
def test_states(body: str, expected: tuple[int | None, str | None, RowMix | None]) -> None:
    assert state(body) == expected


def test_kernels_are_seen_through() -> None:
    body = """%y = kernel(%x, kind = "reduce", name = "k") : f32[4] region(%p: f32[B, 4]) {
      %s = reduce_sum(%p, axes = [0]) : f32[4]
      yield %s
    }"""
    assert state(body) == (None, "kernel", RowMix.SUM)


def test_mixing_op_is_the_first() -> None:
    f = function(f"{MEAN} %d = sub(%x, %b) : f32[B, 4] %q = reduce_max(%d, axes = [0]) : f32[4] %y = exp(%q) : f32[4]")
    assert mixing_op(f, f.results[0].value) is f.ops[0]
    plain = function(f"%y = {DOT}")
    assert mixing_op(plain, plain.results[0].value) is None


def test_without_a_row_dim_nothing_has_rows() -> None:
    f = read('function "f" { param %x: f32[3] = input "x" %y = reduce_sum(%x, axes = [0]) : f32[] output "y" = %y }')
    assert all(s.axis is None and not s.mixed for s in row_states(f).values())


def take(array: Any, axis: int | None, rows: slice) -> Any:
    return array if axis is None else array[(slice(None),) * axis + (rows,)]


@settings(max_examples=60, deadline=None)
@given(graphs(Options(mixing="any")))
def test_unmixed_rows_do_not_depend_on_others(function: Function) -> None:
    """Rows 0..3 of 5, and the rest replaced: what is not mixed is the same on the rows that were kept; bit for bit, since the
    reference treats each row alike, but for sums, whose order numpy chooses by the shape: within 1e-9 of f64 values below 1e7,
    far below what another row in the sum would change."""
    states = row_states(function)
    inputs = random_inputs(function, {ROW: 5})
    others = random_inputs(function, {ROW: 5}, seed=1)
    kept = slice(0, 3)
    changed = {}
    for param in function.params:
        axis = states[param.value].axis
        changed[param.key] = inputs[param.key] if axis is None else np.concatenate([inputs[param.key][kept], others[param.key][3:]])
    first, second = results(function, inputs=inputs), results(function, inputs=changed)
    for result in function.results:
        found = states[result.value]
        if not found.mixed:
            np.testing.assert_allclose(
                take(first[result.key], found.axis, kept), take(second[result.key], found.axis, kept), 1e-9, 1e-9
            )


def depends_on_rows(function: Function, value: Value) -> bool:
    return row_states(function)[value].mixed


@settings(max_examples=40, deadline=None)
@given(graphs(Options(mixing="none")))
def test_graphs_that_keep_rows_apart_are_known_to(function: Function) -> None:
    assert not any(depends_on_rows(function, result.value) for result in function.results)
