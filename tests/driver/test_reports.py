"""Costs of programs, counted by hand."""

from __future__ import annotations

from bmc.driver.load import load_unit, text_source
from bmc.driver.plan_text import dim_text
from bmc.driver.reports import stats_of


def test_layers_and_flops_of_a_model_alone() -> None:
    """[B, 3] x [3, 5] and [B, 5] x [5, 2]: 2 x 3 x 5 and 2 x 5 x 2 FLOPs a row."""
    unit = load_unit(text_source("model M(x: f32[B, 3]) -> (y: f32[B, 2]) { return x |> dense(5) as a |> relu |> dense(2) }"))
    stats = stats_of(unit)
    assert [(layer.key, layer.parameters, layer.row_flops, layer.named) for layer in stats.layers] == [
        ("a", 20, 30, True), ("dense", 12, 20, False),
    ]  # fmt: skip
    assert (stats.parameters, stats.trainable, stats.parameter_bytes, stats.state_bytes) == (32, 32, 128, 0)
    (predict,) = stats.functions
    assert (predict.name, predict.rows, predict.flops) == ("predict", 1, 50)


def test_f64_takes_twice_the_bytes() -> None:
    source = "model M(x: float[B, 3]) -> (y: float[B, 2]) { return x |> dense(2) as a }"
    assert stats_of(load_unit(text_source(source, float_type="f64"))).parameter_bytes == 2 * 4 * 8


def test_dims_are_written_as_formulas() -> None:
    assert dim_text(64) == "64"
    assert dim_text(["+", 64, ["*", 4, "B"]]) == "64 + 4*B"
    assert dim_text(["*", 4, ["+", "B", 1]]) == "4*(B + 1)"
    assert dim_text(["//", ["+", "B", 1], 2]) == "(B + 1) // 2"
