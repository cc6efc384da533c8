"""Cutting fits into passes over the rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from bmc.ir import Function, Parameter, Poly, Result, TensorType, Value
from bmc.ops.build import Builder
from bmc.ops.evaluate import evaluate
from bmc.ops.index import BincountAttrs
from bmc.ops.lowering import Host
from bmc.ops.order import SortAttrs
from bmc.ops.statistics import QuantilesAttrs, RowMomentsAttrs
from bmc.ops.table import definition
from bmc.passes.cut_levels import cut_levels
from bmc.passes.rows import operation_rows, row_states
from bmc.passes.verify import verify

B = Poly.symbol("B")
ROWS = 12

Body = Callable[[Builder, Value, Value], Value]


def fit(body: Body) -> Function:
    """A fit of x f64[B, 3] and codes i32[B]."""
    b = Builder()
    x, codes = Value(TensorType("f64", (B, 3)), "x"), Value(TensorType("i32", (B,)), "codes")
    made = body(b, x, codes)
    params = (Parameter(x, "input", "x"), Parameter(codes, "input", "codes"))
    return Function("fit.a", params, tuple(b.ops), (Result(made, "update", "a"),), "B")


def mean(b: Builder, x: Value, codes: Value) -> Value:
    count = b.broadcast_to(b.dim_value(B, "f64"), (3,))
    return b.div(b.reduce("reduce_sum", x, (0,)), count)


def variance(b: Builder, x: Value, codes: Value) -> Value:
    """In two levels: the mean, then differences from it."""
    centred = b.sub(x, b.broadcast(mean(b, x, codes), x.type.shape, (1,)))
    return b.reduce("reduce_sum", b.mul(centred, centred), (0,))


def scaled_range(b: Builder, x: Value, codes: Value) -> Value:
    """The largest of what has been scaled by the smallest."""
    least = b.reduce("reduce_min", x, (0, 1))
    return b.reduce("reduce_max", b.div(x, b.broadcast(least, x.type.shape, ())), (0,))


def products(b: Builder, x: Value, codes: Value) -> Value:
    return b.contract(x, x, (), (0,), (), (0,))


def weighted(b: Builder, x: Value, codes: Value) -> Value:
    """Sums of rows by numbers of their own: a product with a vector."""
    return b.contract(b.cast(codes, "f64"), x, (), (0,), (), (0,))


def counts(b: Builder, x: Value, codes: Value) -> Value:
    return b.emit("bincount", codes, attrs=BincountAttrs(4))


def sums(b: Builder, x: Value, codes: Value) -> Value:
    return b.scatter_add(codes, b.reshape(b.slice_axis(x, 1, 0, 1), (B,)), 4)


CASES: list[tuple[Body, int]] = [(mean, 1), (variance, 2), (scaled_range, 2), (products, 1), (weighted, 1), (counts, 1), (sums, 1)]


@pytest.mark.parametrize(("body", "levels"), CASES, ids=lambda v: getattr(v, "__name__", None))
def test_levels_compute_what_the_whole_did(body: Body, levels: int) -> None:
    """On small integers with a mean of 5, whose sums and products nothing rounds: bits are equal."""
    function = fit(body)
    parts = cut_levels(function)
    assert parts is not None
    assert [p.name for p in parts[:levels]] == [f"fit.a.rows.{i}" for i in range(levels)]
    rng = np.random.default_rng(0)
    half = rng.integers(1, 9, (ROWS // 2, 3)).astype(float)
    inputs = {"x": np.concatenate([half, 10 - half]), "codes": rng.integers(0, 4, ROWS).astype(np.int32)}
    known = dict(inputs)
    for part in parts:
        verify(part, "cut_levels")
        _keeps_rows_apart(part)
        given = {p.key: known[p.key] for p in part.params}
        known.update(evaluate(part, given, {"B": ROWS, "B_all": ROWS}, np))
    (wanted,) = evaluate(function, inputs, {"B": ROWS}, np).values()
    np.testing.assert_array_equal(known["a"], wanted)


def _keeps_rows_apart(part: Function) -> None:
    states = row_states(part)
    for op in part.ops:
        found = operation_rows(op, [states[v].axis for v in op.operands], part.row)
        assert isinstance(definition(op.name).lowering, Host) or all(f is None or isinstance(f, int) for f in found)
    assert part.row is not None or not any(d == B for v in part.values() for d in v.type.shape)


def test_what_sorts_all_rows_is_not_cut() -> None:
    def middle(b: Builder, x: Value, codes: Value) -> Value:
        turned = b.transpose(x, (1, 0))
        return b.slice_axis(b.operation("sort", [turned], SortAttrs(False)).results[0], 1, 0, 1)

    assert cut_levels(fit(middle)) is None


def test_a_reducer_alone_has_no_finish() -> None:
    parts = cut_levels(fit(counts))
    assert parts is not None
    assert [p.name for p in parts] == ["fit.a.rows.0"]
    assert [(r.role, r.key) for r in parts[0].results if r.role == "update"] == [("update", "a")]


def test_quantiles_of_the_same_cells_share_a_reducer() -> None:
    def several(b: Builder, x: Value, codes: Value) -> Value:
        keep = b.full(True, x.type.with_dtype("bool"))
        found = [b.emit("quantiles", x, keep, attrs=QuantilesAttrs((0,), q)) for q in ((0.5,), (0.1, 0.9), (0.5,))]
        return b.concat(found, 1)

    function = fit(several)
    parts = cut_levels(function)
    assert parts is not None
    assert [op.attrs for op in parts[0].ops if op.name == "quantiles"] == [QuantilesAttrs((0,), (0.1, 0.5, 0.9))]
    x = np.random.default_rng(1).standard_normal((ROWS, 3))
    cut = evaluate(parts[0], {"x": x}, {"B": ROWS}, np)
    (found,) = evaluate(parts[1], cut, {}, np).values()
    (wanted,) = evaluate(function, {"x": x, "codes": np.zeros(ROWS, np.int32)}, {"B": ROWS}, np).values()
    np.testing.assert_array_equal(found, wanted)


def test_what_no_result_needs_is_not_passed() -> None:
    def first(b: Builder, x: Value, codes: Value) -> Value:
        keep = b.full(True, x.type.with_dtype("bool"))
        b.emit("quantiles", x, keep, attrs=QuantilesAttrs((0,), (0.5,)))
        return b.operation("row_moments", [x, keep], RowMomentsAttrs((0,), 0)).results[1]

    parts = cut_levels(fit(first))
    assert parts is not None
    assert [op.name for op in parts[0].ops if isinstance(definition(op.name).lowering, Host)] == ["row_moments"]
