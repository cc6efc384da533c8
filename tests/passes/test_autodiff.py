"""`autodiff`: sweeps against central differences over random graphs, and the promises of its documentation."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from bmc.errors import CompilerBug
from bmc.ir import Function, Location, Parameter, Poly, Result, TensorType, Value
from bmc.ops.build import Builder
from bmc.ops.evaluate import evaluate
from bmc.passes.autodiff import autodiff
from bmc.passes.verify import verify
from bmc.source import SourceFile, Span
from tests.graphs import Options, graphs, random_inputs

B = Poly.symbol("B")
BINDINGS = {"B": 3}


def _param(key: str, *shape: int | Poly, role: str = "weight") -> Parameter:
    return Parameter(Value(TensorType("f64", shape), key), role, key)  # type: ignore[arg-type]


def _function(params: list[Parameter], b: Builder, **results: Value) -> Function:
    return Function("train", tuple(params), tuple(b.ops), tuple(Result(v, "output", key) for key, v in results.items()), "B")


# Central differences with h = 1e-5 along one direction: the truncation error is h^2 / 6 |f'''| and the rounding error
# eps |L| / h, with
# |L| below 1e3 (every leaf goes through tanh before it is summed): 2e-8. |f'''| is unknown for a random graph, so the
# step is halved once:
# where the two differences agree to within 1e-5, three quarters of their distance from the limit are known to be
# truncation, and the
# extrapolated value (4 d(h/2) - d(h)) / 3 errs by O(h^4). Where they do not agree, a kink or a steep spot lies within
# the step, and
# nothing is compared.
STEP, AGREE, TOLERANCE = 1e-5, 1e-5, 1e-4


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(graphs(Options(dtype="f64", mixing="any", smooth=True, gradient=True, most=40)))
def test_gradients_of_random_graphs_are_slopes(function: Function) -> None:
    expanded = autodiff(function)
    verify(expanded)
    inputs = random_inputs(function, BINDINGS, seed=1)
    found = evaluate(expanded, inputs, BINDINGS, np)
    rng = np.random.default_rng(2)
    weights = [param.key for param in function.params if param.role == "weight"]
    directions = {key: rng.normal(size=inputs[key].shape) for key in weights}

    def loss(distance: float) -> float:
        moved = {**inputs, **{key: inputs[key] + distance * directions[key] for key in weights}}
        return float(evaluate(forward, moved, BINDINGS, np)["loss"])

    forward = _only_loss(expanded)
    coarse = (loss(STEP) - loss(-STEP)) / (2 * STEP)
    fine = (loss(STEP / 2) - loss(-STEP / 2)) / STEP
    slope = sum(float(np.sum(found[f"grad.{key}"] * directions[key])) for key in weights)
    if abs(coarse - fine) <= AGREE * max(1.0, abs(fine)):
        assert slope == pytest.approx((4 * fine - coarse) / 3, rel=TOLERANCE, abs=TOLERANCE)


def _only_loss(function: Function) -> Function:
    """The function cut down to what `loss` needs."""
    (result,) = (r for r in function.results if r.key == "loss")
    needed = {result.value}
    ops = []
    for op in reversed(function.ops):
        if any(value in needed for value in op.results):
            needed.update(op.operands)
            ops.append(op)
    return Function(function.name, function.params, tuple(reversed(ops)), (result,), function.row)


def test_a_layer_has_the_textbook_gradient() -> None:
    x, w = _param("x", B, 4, role="input"), _param("w", 4, 3)
    b = Builder()
    hidden = b.maximum(b.contract(x.value, w.value, (), (1,), (), (0,)), 0.0)
    loss = b.reduce("reduce_sum", b.mul(hidden, hidden), (0, 1))
    (dw,) = b.operation("gradient", (loss, w.value)).results
    function = autodiff(_function([x, w], b, dw=dw))
    assert all(op.name != "gradient" for op in function.ops)
    inputs = random_inputs(function, BINDINGS)
    expected = inputs["x"].T @ (2 * np.maximum(inputs["x"] @ inputs["w"], 0))
    np.testing.assert_allclose(evaluate(function, inputs, BINDINGS, np)["dw"], expected, rtol=1e-13)


def test_only_what_the_weights_need_is_built() -> None:
    """No cotangent of the input: one contraction backward, not two."""
    x, w = _param("x", B, 4, role="input"), _param("w", 4, 3)
    b = Builder()
    loss = b.reduce("reduce_sum", b.contract(x.value, w.value, (), (1,), (), (0,)), (0, 1))
    (dw,) = b.operation("gradient", (loss, w.value)).results
    names = [op.name for op in autodiff(_function([x, w], b, dw=dw)).ops]
    assert names == ["contract", "reduce_sum", "constant", "broadcast", "contract"]


def test_weights_that_do_not_reach_the_loss_get_zeros() -> None:
    w, unused, stopped, counted = _param("w", 2), _param("u", 3), _param("s", 2), _param("c", 2)
    b = Builder()
    from_stopped = b.mul(w.value, b.emit("stop_gradient", stopped.value))
    position = b.cast(b.argmax(counted.value, 0), "f64")
    loss = b.add(b.reduce("reduce_sum", from_stopped, (0,)), position)
    results = b.operation("gradient", (loss, w.value, unused.value, stopped.value, counted.value)).results
    function = autodiff(_function([w, unused, stopped, counted], b, **dict(zip("wusc", results, strict=True))))
    inputs = random_inputs(function, BINDINGS)
    found = evaluate(function, inputs, BINDINGS, np)
    np.testing.assert_array_equal(found["w"], inputs["s"])
    for key, size in (("u", 3), ("s", 2), ("c", 2)):
        np.testing.assert_array_equal(found[key], np.zeros(size))


def test_stop_gradient_is_removed_everywhere() -> None:
    x = _param("x", 2, role="input")
    b = Builder()
    stopped = b.emit("stop_gradient", b.emit("stop_gradient", x.value))
    function = autodiff(_function([x], b, direct=stopped, after=b.neg(stopped)))
    assert [op.name for op in function.ops] == ["neg"]
    assert function.results[0].value is x.value
    assert function.ops[0].operands == (x.value,)


def test_uses_of_a_value_accumulate() -> None:
    w = _param("w", 3)
    b = Builder()
    loss = b.reduce("reduce_sum", b.add(b.mul(w.value, w.value), b.sin(w.value)), (0,))
    (dw,) = b.operation("gradient", (loss, w.value)).results
    function = autodiff(_function([w], b, dw=dw))
    inputs = random_inputs(function, BINDINGS)
    expected = 2 * inputs["w"] + np.cos(inputs["w"])
    np.testing.assert_allclose(evaluate(function, inputs, BINDINGS, np)["dw"], expected, rtol=1e-14)


def test_gradients_by_inner_values_and_twice_by_one() -> None:
    w = _param("w", 3)
    b = Builder()
    inner = b.exp(w.value)
    loss = b.reduce("reduce_sum", b.mul(inner, inner), (0,))
    outer, first, second = b.operation("gradient", (loss, inner, w.value, w.value)).results
    function = autodiff(_function([w], b, outer=outer, first=first, second=second))
    inputs = random_inputs(function, BINDINGS)
    found = evaluate(function, inputs, BINDINGS, np)
    np.testing.assert_allclose(found["outer"], 2 * np.exp(inputs["w"]), rtol=1e-14)
    np.testing.assert_allclose(found["first"], 2 * np.exp(2 * inputs["w"]), rtol=1e-14)
    np.testing.assert_array_equal(found["first"], found["second"])


def test_a_gradient_of_a_gradient() -> None:
    """The penalty |d loss / d x|^2: its own gradient needs second derivatives."""
    w = _param("w", 3)
    b = Builder()
    inner = b.reduce("reduce_sum", b.emit("tanh", w.value), (0,))
    (slope,) = b.operation("gradient", (inner, w.value)).results
    loss = b.reduce("reduce_sum", b.mul(slope, slope), (0,))
    (dw,) = b.operation("gradient", (loss, w.value)).results
    function = autodiff(_function([w], b, dw=dw))
    inputs = random_inputs(function, BINDINGS)
    t = np.tanh(inputs["w"])
    # d/dw (1 - t^2)^2 = 2 (1 - t^2) (-2 t) (1 - t^2)
    np.testing.assert_allclose(evaluate(function, inputs, BINDINGS, np)["dw"], -4 * t * (1 - t**2) ** 2, rtol=1e-12)


def test_new_operations_point_to_the_forward_source_and_are_marked() -> None:
    w = _param("w", 3)
    file = SourceFile("m.bm", "exp(w)\nsum(h)\n")
    places = [Location((Span(file, 0, 6),)), Location((Span(file, 7, 13),))]
    b = Builder()
    with b.at(places[0]):
        h = b.exp(w.value)
    with b.at(places[1]):
        loss = b.reduce("reduce_sum", h, (0,))
        (dw,) = b.operation("gradient", (loss, w.value)).results
    function = autodiff(_function([w], b, dw=dw))
    made = function.ops[2:]
    assert made
    assert all(op.location.gradient for op in made)
    assert made[-1].name == "mul"
    assert made[-1].location.spans == places[0].spans
    assert not any(op.location.gradient for op in function.ops[:2])


def test_functions_without_gradients_stay() -> None:
    x = _param("x", B, 2, role="input")
    b = Builder()
    y = b.exp(x.value)
    function = autodiff(_function([x], b, y=y))
    assert function.ops == tuple(b.ops)


def test_a_sum_over_shards_before_differentiation_is_a_bug() -> None:
    w = _param("w")
    b = Builder()
    (dw,) = b.operation("gradient", (b.emit("shard_sum", w.value), w.value)).results
    with pytest.raises(CompilerBug, match="shard_sum"):
        autodiff(_function([w], b, dw=dw))


def test_a_normalised_exponential_does_not_differentiate_its_maximum() -> None:
    """The usual composition of a softmax: the maximum is stopped, so neither `reduce_max` nor equality comes back."""
    x = _param("x", B, 5)
    b = Builder()
    most = b.emit("stop_gradient", b.reduce("reduce_max", x.value, (1,)))
    powers = b.exp(b.sub(x.value, b.expand(most, (B, 5), (1,))))
    share = b.div(powers, b.expand(b.reduce("reduce_sum", powers, (1,)), (B, 5), (1,)))
    loss = b.reduce("reduce_sum", b.mul(share, share), (0, 1))
    (dx,) = b.operation("gradient", (loss, x.value)).results
    function = autodiff(_function([x], b, dx=dx))
    assert sum(op.name == "reduce_max" for op in function.ops) == 1
    inputs = random_inputs(function, BINDINGS)
    p = np.exp(inputs["x"]) / np.exp(inputs["x"]).sum(1, keepdims=True)
    expected = p * (2 * p - (2 * p * p).sum(1, keepdims=True))
    np.testing.assert_allclose(evaluate(function, inputs, BINDINGS, np)["dx"], expected, rtol=1e-11)


def test_time_is_linear_in_depth() -> None:
    """Four times the depth takes about four times as long; a quadratic sweep would take sixteen times."""

    def seconds(depth: int) -> float:
        w = _param("w", 2)
        b = Builder()
        v = w.value
        for _ in range(depth):
            v = b.add(b.sin(v), w.value)
        (dw,) = b.operation("gradient", (b.reduce("reduce_sum", v, (0,)), w.value)).results
        function = _function([w], b, dw=dw)
        best = float("inf")
        for _ in range(3):
            start = time.perf_counter()
            autodiff(function)
            best = min(best, time.perf_counter() - start)
        return best

    assert seconds(2000) < 9 * seconds(500)
