"""Models, layers and functions: what they compute, and what their parameters are called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bmc.ir import Poly

FEATURES = np.random.default_rng(0).normal(size=(7, 4))


def keys(unit: Any) -> list[str]:
    return [w.key for w in unit.weights]


def model(body: str, inputs: str = "x: f32[B, 4]", outputs: str = "y: f32[B, ...]", rest: str = "") -> str:
    return f"{rest}\nmodel M({inputs}) -> ({outputs}) {{\n{body}\n}}\n"


def result(run_of: Callable[..., Any], body: str, inputs: dict[str, Any] | None = None, **parts: str) -> Any:
    """The output of a model of one body, in f64."""
    run = run_of(model(body, **parts), float_type="f64")
    run("init")
    return run("predict", {"x": FEATURES, **(inputs or {})})["y"]


def test_dense_is_a_product_and_a_bias(run_of: Callable[..., Any]) -> None:
    run = run_of(model("return x |> dense(3) as fc", outputs="y: f32[B, 3]"), float_type="f64")
    run("init")
    assert {k: v.shape for k, v in run.store.items()} == {"fc.w": (4, 3), "fc.b": (3,)}
    bound = np.sqrt(6 / 7)
    assert np.abs(run.store["fc.w"]).max() <= bound
    assert np.abs(run.store["fc.w"]).max() > 0.5 * bound  # 12 uniform draws: all below half has probability 2 ** -12
    run.store["fc.b"] = np.array([1.0, 2.0, 3.0])
    np.testing.assert_allclose(run("predict", {"x": FEATURES})["y"], FEATURES @ run.store["fc.w"] + [1, 2, 3], rtol=1e-13)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("x * 2 + 1", lambda x: x * 2 + 1),
        ("-x ** 2", lambda x: -(x**2)),
        ("2 ** x", lambda x: 2.0**x),
        ("x / (1 + abs(x))", lambda x: x / (1 + np.abs(x))),
        ("x // 0.5", lambda x: np.floor_divide(x, 0.5)),
        ("x % 0.5", lambda x: np.mod(x, 0.5)),
        ("select(x > 0 and not (x > 1), x, -1)", lambda x: np.where((x > 0) & ~(x > 1), x, -1)),
        ("x[:, 0]", lambda x: x[:, 0]),
        ("x[:, -2:]", lambda x: x[:, -2:]),
        ("x[:, ::2]", lambda x: x[:, ::2]),
        ("x[:, ::-1]", lambda x: x[:, ::-1]),
        ("x[..., none, 1:3]", lambda x: x[..., None, 1:3]),
        ("sum(x, axis = -1)", lambda x: x.sum(-1)),
        ("mean(x, axis = 1, keep = true)", lambda x: x.mean(1, keepdims=True)),
        ("std(x, axis = 1)", lambda x: x.std(1)),
        ("var(x, axis = 1, ddof = 1)", lambda x: x.var(1, ddof=1)),
        ("max(x, axis = -1) - min(x, axis = -1)", lambda x: np.ptp(x, -1)),
        ("max(x, 0) + min(x, 0.5)", lambda x: np.maximum(x, 0) + np.minimum(x, 0.5)),
        ("norm(x, axis = -1)", lambda x: np.linalg.norm(x, axis=-1)),
        ("number(argmax(x))", lambda x: x.argmax(-1).astype(float)),
        ("number(any(x > 1, axis = 1)) + number(all(x > -1, axis = 1))", lambda x: (x > 1).any(1) * 1.0 + (x > -1).all(1)),
        ("cumsum(x)", lambda x: x.cumsum(-1)),
        ("clip(x, -0.5, 0.5)", lambda x: x.clip(-0.5, 0.5)),
        ("concat(x, x[:, 0], 2 * x)", lambda x: np.concatenate([x, x[:, :1], 2 * x], 1)),
        ("stack(x, -x, axis = 1)", lambda x: np.stack([x, -x], 1)),
        ("transpose(reshape(x, [-1, 2, 2]))", lambda x: x.reshape(-1, 2, 2).transpose(0, 2, 1)),
        ('rearrange(x, "b (h w) -> b w h", h = 2)', lambda x: x.reshape(-1, 2, 2).transpose(0, 2, 1)),
        ('einsum("b i, b j -> b i j", x, x)', lambda x: np.einsum("bi,bj->bij", x, x)),
        ('einsum("b i, b i -> b", x, x)', lambda x: np.einsum("bi,bi->b", x, x)),
        ('einsum("b i -> b", x)', lambda x: x.sum(1)),
        ("softmax(x)", lambda x: np.exp(x) / np.exp(x).sum(-1, keepdims=True)),
        ("log_softmax(x)", lambda x: x - np.log(np.exp(x).sum(-1, keepdims=True))),
        ("logsumexp(x)", lambda x: np.log(np.exp(x).sum(-1))),
        ("relu(x) - leaky(x, 0.1)", lambda x: np.maximum(x, 0) - np.where(x > 0, x, 0.1 * x)),
        ("silu(x) + softplus(x)", lambda x: x / (1 + np.exp(-x)) + np.log1p(np.exp(x))),
        ("elu(x)", lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0)))),
        ("x + arange(4)", lambda x: x + np.arange(4)),
        ("x - [1, 2, 3, 4.5]", lambda x: x - np.array([1, 2, 3, 4.5])),
        ("take([10.0, 20.0, 30.0, 40.0], argmax(x))", lambda x: np.array([10.0, 20, 30, 40])[x.argmax(-1)]),
        ("take(x, argmax(x), axis = -1)", lambda x: x.max(-1)),
        ("x + x |> relu", lambda x: np.maximum(2 * x, 0)),
        ("x * [2, 3][1] + zip([1, 5], [2, 6])[1][0]", lambda x: x * 3 + 5),
        ("normalize(x, mean = 1.0, std = 2.0)", lambda x: (x - 1) / 2),
    ],
)
def test_an_expression_means_what_numpy_computes(
    run_of: Callable[..., Any], expression: str, expected: Callable[[Any], Any]
) -> None:
    # Reductions of 4 cells and one or two transcendental functions: a few units of 2 ** -53.
    np.testing.assert_allclose(result(run_of, f"return {expression}"), expected(FEATURES), rtol=1e-14, atol=1e-14)


def test_layernorm_and_rmsnorm(run_of: Callable[..., Any]) -> None:
    y = result(run_of, "return x |> layernorm as n")
    expected = (FEATURES - FEATURES.mean(1, keepdims=True)) / np.sqrt(FEATURES.var(1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(y, expected, rtol=1e-12)
    y = result(run_of, "return x |> rmsnorm as n")
    np.testing.assert_allclose(y, FEATURES / np.sqrt((FEATURES**2).mean(1, keepdims=True) + 1e-5), rtol=1e-12)


def test_keys_are_paths_of_names(unit_of: Callable[..., Any]) -> None:
    text = """
layer Twice(n)(x: float[B, D]) -> float[B, D] { return x |> dense(n) |> dense(D) as last }
model M(x: f32[B, 4]) -> (y: f32[B, 4]) {
  param scale: f32[] = 2.0
  shared = dense(4)
  x = x |> Twice(3) |> Twice(5) as named |> Twice(3)
  repeat 2 as blk { x = x |> dense(4) as fc }
  repeat u in [4, 4] { x = x |> dense(u) }
  return shared(shared(x)) * scale
}
"""
    unit = unit_of(text)
    assert [k for k in keys(unit) if not k.endswith(".b")] == [
        "scale",
        "Twice.dense.w",
        "Twice.last.w",
        "named.dense.w",
        "named.last.w",
        "Twice_2.dense.w",
        "Twice_2.last.w",
        "blk.0.fc.w",
        "blk.1.fc.w",
        "repeat.0.dense.w",
        "repeat.1.dense.w",
        "shared.w",
    ]
    assert {w.key for w in unit.weights if not w.named} == {
        f"{p}.{n}" for p in ("Twice.dense", "Twice.last", "named.dense", "Twice_2.dense", "Twice_2.last") for n in "wb"
    } | {f"repeat.{i}.dense.{n}" for i in range(2) for n in "wb"}


def test_tied_weights_are_one_parameter(run_of: Callable[..., Any]) -> None:
    text = """
model M(i: i32[B]) -> (y: f32[B, 5]) {
  e = embedding(5, 3)
  return e(i) @ transpose(e.w)
}
"""
    run = run_of(text, float_type="f64")
    run("init")
    assert list(run.store) == ["e.w"]
    w = run.store["e.w"]
    np.testing.assert_allclose(run("predict", {"i": np.array([4, 0])})["y"], w[[4, 0]] @ w.T, rtol=1e-13)


def test_hyper_parameters_take_functions_layers_and_generators(run_of: Callable[..., Any]) -> None:
    text = """
fn half() -> float[I, O] { return normal(std = 0.0) }
layer Net(act, last = dense, init = ones)(x: float[B, D]) -> float[B, 2] {
  return x |> dense(3, init = init) as a |> act |> last(2, init = half, bias = false) as b
}
model M(x: f32[B, 4]) -> (y: f32[B, 2]) { return x |> Net(relu) as net }
"""
    run = run_of(text)
    run("init")
    assert list(run.store) == ["net.a.w", "net.a.b", "net.b.w"]
    assert (run.store["net.a.w"] == 1).all()
    assert (run.store["net.b.w"] == 0).all()


def test_static_if_and_none(run_of: Callable[..., Any]) -> None:
    text = """
layer Masked(x: float[B, D], keep: float[B] = none) -> float[B, D] {
  if keep != none and D == 4 { x = x * unsqueeze(keep, -1) } else if D == 3 { x = -x } else { x = x + 100 }
  return x
}
model M(x: f32[B, 4], k: f32[B]) -> (a: f32[B, 4], b: f32[B, 4], c: f32[B, 3]) {
  return (x, k) |> Masked, x |> Masked, x[:, :3] |> Masked
}
"""
    run = run_of(text, float_type="f64")
    out = run("predict", {"x": FEATURES, "k": np.arange(7.0)})
    np.testing.assert_array_equal(out["a"], FEATURES * np.arange(7.0)[:, None])
    np.testing.assert_array_equal(out["b"], FEATURES + 100)
    np.testing.assert_array_equal(out["c"], -FEATURES[:, :3])


def test_open_dims_stay_symbols(unit_of: Callable[..., Any]) -> None:
    unit = unit_of("model M(x: f32[N, T, 3]) -> (y: f32[N, 2 * T]) { return concat(x[:, :, 0], x[..., 1]) }\n")
    (output,) = unit.module.function("predict").results
    assert output.value.type.shape == (Poly.symbol("B"), 2 * Poly.symbol("T"))


def test_dims_are_solved_from_polynomials(run_of: Callable[..., Any]) -> None:
    text = """
fn halves(x: float[B, 2 * H], h: float[B, H]) -> float[B, H] { return x[:, :H] + x[:, H:] + h * H }
model M(x: f32[B, 4]) -> (y: f32[B, 2]) { return halves(x, 1) }
"""
    run = run_of(text, float_type="f64")
    np.testing.assert_array_equal(run("predict", {"x": FEATURES})["y"], FEATURES[:, :2] + FEATURES[:, 2:] + 2)


def test_a_users_name_shadows_the_librarys(run_of: Callable[..., Any], findings_of: Callable[..., str]) -> None:
    text = "fn relu(x: float[...]) -> float[...] { return x + 1 }\n" + model("return relu(x) - x + gelu(0 * x)")
    assert "W0201" in findings_of(text)
    run = run_of(text, float_type="f64")
    np.testing.assert_allclose(run("predict", {"x": FEATURES})["y"], np.ones((7, 4)), rtol=1e-13)


def test_initial_values_follow_their_distributions(run_of: Callable[..., Any]) -> None:
    body = "return " + " + ".join(
        f"(x |> dense(400, init = {init}, bias = false) as {init}_)"
        for init in ("glorot", "glorot_normal", "he", "he_uniform", "lecun")
    )
    run = run_of(model(body, inputs="x: f32[B, 250]"), float_type="f64")
    run("init")
    # 100,000 draws: the relative error of a standard deviation is about 1 / sqrt(2n) = 0.0022; 5 of these are allowed.
    for name, deviation in {
        "glorot_": np.sqrt(2 / 650),
        "glorot_normal_": np.sqrt(2 / 650),
        "he_": np.sqrt(2 / 250),
        "he_uniform_": np.sqrt(2 / 250),
        "lecun_": np.sqrt(1 / 250),
    }.items():
        w = run.store[f"{name}.w"]
        assert abs(w.std() / deviation - 1) < 0.012
        assert abs(w.mean()) < 5 * deviation / np.sqrt(w.size)


def test_a_deep_model_takes_linear_time(unit_of: Callable[..., Any]) -> None:
    import time

    def seconds(depth: int) -> float:
        body = f"repeat {depth} as r {{ x = x + (x |> dense(8) as fc |> relu) }}\n  return x"
        text = model(body, inputs="x: f32[B, 8]", outputs="y: f32[B, 8]")
        start = time.process_time()
        assert len(unit_of(text).weights) == 2 * depth
        return time.process_time() - start

    seconds(10)
    # Quadratic time would be 8 times as long a layer; 3 leaves room for a noisy machine.
    assert seconds(800) / 800 < 3 * seconds(100) / 100
