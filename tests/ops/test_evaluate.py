"""Reference evaluation: bindings, regions, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from bmc.ir import Function, Parameter, Poly, Region, Result, TensorType, Value
from bmc.ops.build import Builder
from bmc.ops.evaluate import bind_attrs, bindings_of, evaluate
from bmc.ops.kernel import KernelAttrs
from bmc.ops.shape import ReshapeAttrs, SliceAttrs

B, T = Poly.symbol("B"), Poly.symbol("T")


def _function(b: Builder, x: Value, **results: Value) -> Function:
    outputs = tuple(Result(value, "output", key) for key, value in results.items())
    return Function("f", (Parameter(x, "input", "x"),), tuple(b.ops), outputs, "B")


def test_symbols_are_bound_in_shapes_and_attributes() -> None:
    x = Value(TensorType("f64", (B, T)))
    b = Builder()
    flat = b.reshape(x, (B * T,))
    last = b.slice(x, (0, T - 1), (B, T))
    function = _function(b, x, flat=flat, last=last)
    array = np.arange(6.0).reshape(2, 3)
    assert bindings_of(function, {"x": array}) == {"B": 2, "T": 3}
    found = evaluate(function, {"x": array}, {"B": 2, "T": 3}, np)
    assert found["flat"].tolist() == [0, 1, 2, 3, 4, 5]
    assert found["last"].tolist() == [[2], [5]]
    assert bind_attrs(ReshapeAttrs((B, 4)), {"B": 3}) == ReshapeAttrs((3, 4))
    same = SliceAttrs((0,), (3,), (1,))
    assert bind_attrs(same, {}) is same


def test_a_symbol_without_a_value_is_named() -> None:
    x = Value(TensorType("f64", (B, T)))
    with pytest.raises(KeyError, match="T"):
        evaluate(_function(Builder(), x), {"x": np.zeros((2, 3))}, {"B": 2}, np)


def test_inputs_must_have_the_type_of_their_parameter() -> None:
    x = Value(TensorType("f32", (B, 3)))
    function = _function(Builder(), x)
    for wrong in (np.zeros((2, 3)), np.zeros((2, 4), dtype=np.float32), np.zeros((3, 3), dtype=np.float32)):
        with pytest.raises(ValueError, match="input 'x'"):
            evaluate(function, {"x": wrong}, {"B": 2}, np)
    with pytest.raises(KeyError):
        evaluate(function, {}, {"B": 2}, np)


def test_kernels_mean_what_their_region_means() -> None:
    x = Value(TensorType("f64", (B, 4)))
    param = Value(x.type)
    inner = Builder()
    total = inner.reduce("reduce_sum", inner.exp(param), [1])
    region = Region((param,), tuple(inner.ops), (total, inner.ops[0].result))
    b = Builder()
    op = b.operation("kernel", [x], KernelAttrs("reduce", "exp_sum"), (region,))
    array = np.random.default_rng(0).normal(size=(3, 4))
    function = _function(b, x, total=op.results[0], powers=op.results[1])
    found = evaluate(function, {"x": array}, {"B": 3}, np)
    np.testing.assert_array_equal(found["powers"], np.exp(array))
    np.testing.assert_array_equal(found["total"], np.exp(array).sum(1))


def test_gradients_must_be_expanded_first() -> None:
    x = Value(TensorType("f64", (3,)))
    b = Builder()
    (dx,) = b.operation("gradient", (b.reduce("reduce_sum", x, (0,)), x)).results
    with pytest.raises(NotImplementedError, match="autodiff"):
        evaluate(_function(b, x, dx=dx), {"x": np.zeros(3)}, {}, np)


def test_depth_is_no_limit() -> None:
    x = Value(TensorType("f64", ()))
    b = Builder()
    value = x
    for _ in range(5000):
        value = b.neg(value)
    assert evaluate(_function(b, x, y=value), {"x": np.float64(2.0)}, {}, np)["y"] == 2.0
