"""The yardstick: numpy in f32 stays within it, a wrong operator does not."""

from __future__ import annotations

import random

import numpy as np

from bmc.ir import Function, Parameter, Result, TensorType, Value
from bmc.ops.build import Builder
from bmc.ops.evaluate import evaluate
from bmc.passes.autodiff import autodiff
from tests.graphs import Options, random_graph, random_inputs
from tests.perturbation import yardstick


def test_evaluation_in_f32_stays_within_the_yardstick() -> None:
    for seed in range(40):
        function = autodiff(
            random_graph(random.Random(seed), Options(dtype="f32", mixing="any", smooth=True, gradient=seed % 2 == 0))
        )
        bindings = {"B": 1 + seed % 7}
        inputs = random_inputs(function, bindings, seed)
        measure = yardstick(function, inputs, bindings, "f32", seed)
        found = evaluate(function, inputs, bindings, np)
        for key, exact in measure.exact.items():
            if exact.size:
                deviation = float(np.max(np.abs(found[key].astype(np.float64) - exact)))
                assert deviation <= measure.allowed[key], (seed, key, deviation, measure.allowed[key])


def test_an_error_of_a_hundred_units_is_seen() -> None:
    x = Value(TensorType("f32", (100,)))
    b = Builder()
    y = b.exp(x)
    function = Function("f", (Parameter(x, "input", "x"),), tuple(b.ops), (Result(y, "output", "y"),))
    inputs = random_inputs(function, {})
    measure = yardstick(function, inputs, {}, "f32")
    wrong = measure.exact["y"] * (1 + 100 * 2.0**-23)
    assert np.max(np.abs(wrong - measure.exact["y"])) > measure.allowed["y"]


def test_a_sum_that_misses_an_addend_is_seen() -> None:
    """Of thousands of numbers of both signs; a bound by the number of addends and their magnitudes would let 30 go missing."""
    x = Value(TensorType("f32", (4096,)))
    b = Builder()
    y = b.reduce("reduce_sum", x, (0,))
    function = Function("f", (Parameter(x, "input", "x"),), tuple(b.ops), (Result(y, "output", "y"),))
    inputs = random_inputs(function, {})
    measure = yardstick(function, inputs, {}, "f32")
    assert abs(float(inputs["x"][7])) > measure.allowed["y"]
    chain = np.float32(0)
    for cell in inputs["x"]:
        chain = np.float32(chain + cell)
    assert abs(float(chain) - float(measure.exact["y"])) < measure.allowed["y"]


def test_a_product_that_misses_an_addend_is_seen() -> None:
    x, w = Value(TensorType("f32", (3, 2048))), Value(TensorType("f32", (2048, 2)))
    b = Builder()
    y = b.contract(x, w, (), (1,), (), (0,))
    params = Parameter(x, "input", "x"), Parameter(w, "weight", "w")
    function = Function("f", params, tuple(b.ops), (Result(y, "output", "y"),))
    inputs = random_inputs(function, {})
    measure = yardstick(function, inputs, {}, "f32")
    missing = np.abs(inputs["x"][:, 5, None] * inputs["w"][5])
    assert float(missing.max()) > measure.allowed["y"]
    found = evaluate(function, inputs, {}, np)["y"]
    assert float(np.max(np.abs(found - measure.exact["y"]))) < measure.allowed["y"]
