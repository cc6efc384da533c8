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
