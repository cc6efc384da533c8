"""Costs of programs, counted by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from bmc.driver.load import find_source, load_unit, text_source
from bmc.driver.plan_text import dim_text
from bmc.driver.reports import stats_of

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_layers_and_flops_of_a_model_alone() -> None:
    """[B, 3] x [3, 5] and [B, 5] x [5, 2]: 2 x 3 x 5 and 2 x 5 x 2 FLOPs a row."""
    unit = load_unit(text_source("model M(x: f32[B, 3]) -> (y: f32[B, 2]) { return x |> dense(5) as a |> relu |> dense(2) }"))
    stats = stats_of(unit)
    assert [(layer.key, layer.parameters, layer.predict_flops, layer.named) for layer in stats.layers] == [
        ("a", 20, 30, True), ("dense", 12, 20, False),
    ]  # fmt: skip
    assert (stats.parameters, stats.trainable, stats.parameter_bytes, stats.state_bytes) == (32, 32, 128, 0)
    (predict,) = stats.functions
    assert (predict.name, predict.rows, predict.flops) == ("predict", 1, 50)


def test_f64_takes_twice_the_bytes() -> None:
    source = "model M(x: float[B, 3]) -> (y: float[B, 2]) { return x |> dense(2) as a }"
    assert stats_of(load_unit(text_source(source, float_type="f64"))).parameter_bytes == 2 * 4 * 8


@pytest.mark.parametrize("name", ["w1", "w3", "w4g", "w5", "w6"])
def test_the_layers_of_a_net_have_all_flops_of_the_compiled_step(name: str) -> None:
    """A product has a gradient of its own size by each operand that learns, and so have convolutions of stride 1: counting by
    layer, before autodiff, comes to what is compiled."""
    stats = stats_of(load_unit(find_source(str(BENCHMARKS / f"{name}.bm"))))
    by_name = {f.name: f for f in stats.functions}
    assert sum(layer.predict_flops for layer in stats.layers) == by_name["predict"].flops
    assert sum(layer.train_flops for layer in stats.layers) * by_name["train"].rows == by_name["train"].flops


def test_products_within_a_scan_count_for_each_turn() -> None:
    text = """model M(x: f32[B, T, 3]) -> (y: f32[B, 4]) {
  h: f32[B, 4] = zeros
  scan(axis = 1) t in x { h = tanh(concat(t, h) |> dense(4) as cell) }
  return h
}"""
    unit = load_unit(text_source(text))
    flops = 2 * 7 * 4
    assert [layer.predict_flops for layer in stats_of(unit).layers] == [flops]
    assert [layer.predict_flops for layer in stats_of(unit, {"T": 9}).layers] == [9 * flops]


def test_a_layer_applied_twice_is_one_with_the_products_of_both() -> None:
    text = "model M(x: f32[B, 4]) -> (y: f32[B, 4]) {\n  e = dense(4)\n  return e(e(x))\n}"
    (layer,) = stats_of(load_unit(text_source(text))).layers
    assert (layer.key, layer.kind, layer.parameters, layer.predict_flops, layer.outputs) == ("e", "dense", 20, 64, ("f32[B, 4]",))


def test_dims_are_written_as_formulas() -> None:
    assert dim_text(64) == "64"
    assert dim_text(["+", 64, ["*", 4, "B"]]) == "64 + 4*B"
    assert dim_text(["*", 4, ["+", "B", 1]]) == "4*(B + 1)"
    assert dim_text(["//", ["+", "B", 1], 2]) == "(B + 1) // 2"
