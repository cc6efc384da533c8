"""What the elaborator says of convolutions and poolings: shapes of every padding, and mistakes that name their cause."""

from __future__ import annotations

import pytest

from bmc.errors.render import render_all
from bmc.frontend.elaborate import check
from bmc.source import SourceFile


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        ("conv2d(8, 3)", "B, H - 2, W - 2, 8"),
        ('conv2d(8, 3, pad = "same")', "B, H, W, 8"),
        ('conv2d(8, 3, stride = 2, pad = "same")', "B, (H + 1) // 2, (W + 1) // 2, 8"),
        ("conv2d(8, [3, 1], pad = [[2, 0], 0])", "B, H, W, 8"),
        ("conv2d(8, 3, dilation = 2)", "B, H - 4, W - 4, 8"),
        ("depthwise2d(3, pad = 1)", "B, H, W, 4"),
        ("maxpool(2)", "B, H // 2, W // 2, 4"),
        ("upsample(3)", "B, H * 3, W * 3, 4"),
        ("groupnorm(2)", "B, H, W, 4"),
        ("global_avgpool", "B, 4"),
    ],
)
def test_shapes_with_open_dims(layer: str, shape: str) -> None:
    found = findings(f"model M(x: f32[B, H, W, 4]) -> (y: f32[{shape}]) {{\n  return x |> {layer}\n}}\n")
    assert found == ""


@pytest.mark.parametrize("pad", ['"causal"', "[6, 0]", "[[6, 0]]"])
def test_one_axis_takes_the_pair_of_its_ends(pad: str) -> None:
    source = f"model M(x: f32[B, T, 4]) -> (y: f32[B, T, 8]) {{\n  return x |> conv1d(8, 4, dilation = 2, pad = {pad})\n}}\n"
    assert findings(source) == ""


@pytest.mark.parametrize(
    ("layer", "inputs", "words"),
    [
        ("conv2d(8, 5)", "f32[B, 3, 32, 16]", ["a window of 5 cells does not fit into dim 1", "[B, 3, 32, 16]"]),
        ("conv2d(8, 3)", "f32[B, 32, 32]", ["x", "dims"]),
        ("conv2d(8, 3)", "u8[B, 32, 32, 3]", ["float[B, H, W, C]", "number"]),
        ('conv2d(8, 3, pad = "full")', "f32[B, 32, 32, 3]", ['"same"']),
        ("conv2d(8, 3, groups = 2)", "f32[B, 32, 32, 3]", ["groups divide the channels"]),
        ("conv2d(8, [3, 3, 3])", "f32[B, 32, 32, 3]", ["a list of 2"]),
        ("maxpool(0)", "f32[B, 32, 32, 3]", ["at least 1"]),
        ("maxpool(40)", "f32[B, 32, 32, 3]", ["a window of 40 cells does not fit"]),
    ],
)
def test_mistakes_are_named(layer: str, inputs: str, words: list[str]) -> None:
    found = findings(f"model M(x: {inputs}) -> (y: f32[B, ...]) {{\n  return x |> {layer}\n}}\n")
    for word in words:
        assert word in found, found


def findings(source: str) -> str:
    return render_all(check([SourceFile("m.bm", source)]).diagnostics)
