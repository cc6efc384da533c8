"""Convolutions, transposed convolutions and poolings against PyTorch, over shapes, strides, padding, dilation and groups."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from tests.frontend.primitives.against_torch import Case, check
from tests.surface import Surface

torch: Any = pytest.importorskip("torch")
pytestmark = pytest.mark.torch
F = torch.nn.functional


def first(x: Any) -> Any:
    """Channels first."""
    return x.permute(0, x.dim() - 1, *range(1, x.dim() - 1))


def last(x: Any) -> Any:
    return x.permute(0, *range(2, x.dim()), 1)


def _padding(pairs: list[tuple[int, int]]) -> list[int]:
    return [end for pair in reversed(pairs) for end in pair]


def convolution(rng: random.Random) -> Case:
    places = rng.choice([1, 2, 2])
    groups = rng.choice([1, 1, 2, 3])
    channels, features = groups * rng.choice([1, 2, 4]), groups * rng.choice([1, 2, 5, 8])
    if rng.random() < 0.2:
        groups = features = channels  # depthwise
    taps = [rng.randint(1, 4) for _ in range(places)]
    stride, dilation = [rng.randint(1, 3) for _ in taps], [rng.randint(1, 2) for _ in taps]
    pads = [(rng.randint(0, 3), rng.randint(0, 3)) for _ in taps]
    dims = [rng.randint(d * (k - 1) + 1, 11) for d, k in zip(dilation, taps, strict=True)]
    kind = rng.choice(["pairs", "pairs", "same", "none", "causal"])
    if kind != "pairs":
        reach = [d * (k - 1) for d, k in zip(dilation, taps, strict=True)]
        pads = [{"same": (r // 2, r - r // 2), "none": (0, 0), "causal": (r, 0)}[kind] for r in reach]
    pad = {"pairs": str([list(p) for p in pads]), "same": '"same"', "none": "none", "causal": '"causal"'}[kind]

    def twin(x: Any, w: Any) -> Any:
        kernel = w.permute(places + 1, places, *range(places)).contiguous()
        apply = F.conv1d if places == 1 else F.conv2d
        return last(apply(F.pad(first(x), _padding(pads)), kernel, None, stride, 0, dilation, groups))

    text = f"convolve({{x}}, {{w}}, stride = {stride}, pad = {pad}, dilation = {dilation}, groups = {groups})"
    return Case(text, {"x": [*dims, channels], "w": [*taps, channels // groups, features]}, twin, ["w"])


def transposed(rng: random.Random) -> Case:
    places = rng.choice([1, 2, 2])
    groups = rng.choice([1, 1, 2])
    channels, features = groups * rng.choice([1, 2, 4]), groups * rng.choice([1, 3, 8])
    taps = [rng.randint(1, 4) for _ in range(places)]
    stride, dilation = [rng.randint(1, 3) for _ in taps], [rng.randint(1, 2) for _ in taps]
    dims = [rng.randint(3, 6) for _ in taps]
    pads = [rng.randint(0, min(3, (n - 1) * s // 2)) for n, s in zip(dims, stride, strict=True)]
    extra = [rng.randrange(s) for s in stride]

    def twin(x: Any, w: Any) -> Any:
        # PyTorch: [channels, features of a group, taps]; groups follow one another along channels.
        parts = torch.chunk(w, groups, dim=places + 1)
        kernel = torch.cat([p.permute(places, places + 1, *range(places)) for p in parts])
        apply = F.conv_transpose1d if places == 1 else F.conv_transpose2d
        made = apply(first(x), kernel, None, stride, 0, [s - 1 for s in stride], groups, dilation)
        cells = [slice(None), slice(None)]
        for n, s, d, k, p, e in zip(dims, stride, dilation, taps, pads, extra, strict=True):
            cells.append(slice(p, (n - 1) * s + d * (k - 1) + 1 - p + e))
        return last(made[tuple(cells)])

    options = f"stride = {stride}, pad = {pads}, dilation = {dilation}, groups = {groups}, extra = {extra}"
    text = f"convolve_transposed({{x}}, {{w}}, {options})"
    return Case(text, {"x": [*dims, channels], "w": [*taps, channels // groups, features]}, twin, ["w"])


def pooling(rng: random.Random) -> Case:
    places = rng.choice([1, 2, 2])
    size = [rng.randint(1, 4) for _ in range(places)]
    stride = [rng.randint(1, 4) for _ in size]
    pads = [rng.randint(0, k // 2) for k in size]
    largest = rng.random() < 0.5
    dilation = [rng.randint(1, 2) if largest else 1 for _ in size]
    dims = [rng.randint(d * (k - 1) + 1, 11) for d, k in zip(dilation, size, strict=True)]
    options = f"stride = {stride}, pad = {pads}"
    if largest:
        apply = F.max_pool1d if places == 1 else F.max_pool2d
        # Few different values: many are equal, of which the first has the gradient.
        x = np.random.default_rng(rng.randrange(1000)).integers(0, 4, size=(2, *dims, 3))
        text = f"{'maxpool1d' if places == 1 else 'maxpool'}({{x}}, {size}, {options}, dilation = {dilation})"
        # Each cell is one; a gradient adds at most one cotangent for each cell of a window.
        return Case(
            text, {"x": [*dims, 3]}, lambda x: last(apply(first(x), size, stride, pads, dilation)), margin=20, arrays={"x": x}
        )
    count = rng.random() < 0.5
    average = F.avg_pool1d if places == 1 else F.avg_pool2d
    name, shown = ("avgpool1d", size[0]) if places == 1 else ("avgpool", size)
    text = f"{name}({{x}}, {shown}, {options}, count_padding = {str(count).lower()})"
    # Sums of at most 16 cells, and a division.
    return Case(
        text, {"x": [*dims, 3]}, lambda x: last(average(first(x), size, stride, pads, count_include_pad=count)), margin=40
    )


MAKERS = {"convolution": convolution, "transposed": transposed, "pooling": pooling}


def cases_of(kind: str, count: int, seed: int) -> list[Case]:
    rng = random.Random(seed)
    return [MAKERS[kind](rng) for _ in range(count)]


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("kind", MAKERS)
def test_a_grid_agrees_with_pytorch(kind: str, dtype: str) -> None:
    check(torch, cases_of(kind, 16, 1), dtype)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("seed", range(2, 8))
def test_a_wide_grid_agrees_with_pytorch(kind: str, dtype: str, seed: int) -> None:
    check(torch, cases_of(kind, 20, seed), dtype, seed)


@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_upsampling_agrees_with_pytorch(dtype: str) -> None:
    def resized(mode: str, factor: Any) -> Any:
        more = {"align_corners": False} if mode == "bilinear" else {}
        return lambda x: last(F.interpolate(first(x), scale_factor=factor, mode=mode, **more))

    check(
        torch,
        [
            Case("upsample({x}, 2)", {"x": [3, 4, 2]}, resized("nearest", 2)),
            Case("upsample({x}, [1, 3])", {"x": [3, 4, 2]}, resized("nearest", (1, 3))),
            Case("upsample1d({x}, 3)", {"x": [4, 2]}, resized("nearest", 3)),
            # A cell of the result is a sum of four products of two shares; a gradient adds up to 36 of those.
            Case("upsample_bilinear({x}, 2)", {"x": [3, 4, 2]}, resized("bilinear", 2), margin=100),
            Case("upsample_bilinear({x}, [3, 2])", {"x": [5, 1, 3]}, resized("bilinear", (3, 2)), margin=100),
        ],
        dtype,
    )


def test_same_transposed_has_stride_times_as_many_places() -> None:
    """The transpose of `convolve` with the same options: <convolve(y), x> = <y, transposed(x)>."""
    rng = np.random.default_rng(0)
    for taps, stride, dim in ((3, 2, 4), (4, 2, 3), (2, 3, 3), (5, 1, 4)):
        x, w, y = rng.normal(size=(2, dim, 3)), rng.normal(size=(taps, 3, 4)), rng.normal(size=(2, dim * stride, 4))
        options = f'stride = {stride}, pad = "same"'
        body = f"return convolve_transposed(x, w, {options}), convolve(y, transpose(w), {options})"
        inputs = {"x": f"float[B, {dim}, 3]", "w": f"float[{taps}, 3, 4]", "y": f"float[B, {dim * stride}, 4]"}
        outputs = {"up": f"float[B, {dim * stride}, 4]", "down": f"float[B, {dim}, 3]"}
        found = Surface(inputs, body, outputs, gradients=False).run({"x": x, "w": w, "y": y}, B=2)
        np.testing.assert_allclose(np.sum(found["up"] * y), np.sum(found["down"] * x), rtol=1e-12)


def test_lengths_are_free() -> None:
    """One compilation for every size of image: convolution, its transpose, pooling and their gradients."""
    body = """h = x |> convolve(w, stride = 2, pad = 1)
  u = convolve_transposed(h, v, stride = 2, pad = 1, extra = 1)
  return maxpool(x, 3, stride = 2, pad = 1) + avgpool(x, 3, stride = 2, pad = 1), u, upsample_bilinear(x, 2)"""
    inputs = {"x": "float[B, H * 2, W * 2, 2]", "w": "float[3, 3, 2, 4]", "v": "float[3, 3, 4, 2]"}
    outputs = {"a": "float[B, PH, PW, 2]", "u": "float[B, UH, UW, 2]", "b": "float[B, BH, BW, 2]"}
    compiled = Surface(inputs, body, outputs)
    rng = np.random.default_rng(0)
    for h, w in ((2, 3), (4, 1), (5, 5)):
        given = {"x": rng.normal(size=(2, 2 * h, 2 * w, 2)), "w": rng.normal(size=(3, 3, 2, 4)), "v": rng.normal(size=(3, 3, 4, 2))}
        leaves = {k: torch.tensor(a, requires_grad=True) for k, a in given.items()}
        x = first(leaves["x"])
        up = F.conv_transpose2d(
            F.conv2d(x, leaves["w"].permute(3, 2, 0, 1), None, 2, 1), leaves["v"].permute(2, 3, 0, 1), None, 2, 1, 1
        )
        wanted = {
            "a": last(F.max_pool2d(x, 3, 2, 1) + F.avg_pool2d(x, 3, 2, 1)),
            "u": last(up),
            "b": last(F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)),
        }
        by = {k: rng.normal(size=tuple(v.shape)) for k, v in wanted.items()}
        sum((v * torch.tensor(by[k])).sum() for k, v in wanted.items()).backward()
        found = compiled.run(given, by, B=2, H=h, W=w)
        for key, value in wanted.items():
            np.testing.assert_allclose(found[f"y.{key}"], value.detach().numpy(), rtol=0, atol=1e-12)
        for key, leaf in leaves.items():
            np.testing.assert_allclose(found[f"grad.{key}"], leaf.grad.numpy(), rtol=0, atol=1e-11)


def test_convolutions_and_poolings_stand_in_scans() -> None:
    """A recurrence over images, as convolutional LSTMs have it, with its gradients."""
    body = """h: float[B, 4, 4, 3] = zeros
  scan(axis = 1) f in x {
    h = tanh(convolve(f, w, pad = "same") + convolve(h, v, pad = "same")) |> maxpool(3, stride = 1, pad = 1)
  }
  return h"""
    inputs = {"x": "float[B, 5, 4, 4, 2]", "w": "float[3, 3, 2, 3]", "v": "float[3, 3, 3, 3]"}
    rng = np.random.default_rng(0)
    given = {"x": rng.normal(size=(2, 5, 4, 4, 2)), "w": rng.normal(size=(3, 3, 2, 3)), "v": rng.normal(size=(3, 3, 3, 3))}
    by = rng.normal(size=(2, 4, 4, 3))
    leaves = {k: torch.tensor(a, requires_grad=True) for k, a in given.items()}
    h = torch.zeros(2, 3, 4, 4, dtype=torch.float64)
    for t in range(5):
        seen = F.conv2d(first(leaves["x"][:, t]), leaves["w"].permute(3, 2, 0, 1), padding=1)
        h = F.max_pool2d(torch.tanh(seen + F.conv2d(h, leaves["v"].permute(3, 2, 0, 1), padding=1)), 3, 1, 1)
    (last(h) * torch.tensor(by)).sum().backward()
    found = Surface(inputs, body, {"h": "float[B, 4, 4, 3]"}).run(given, {"h": by}, B=2)
    np.testing.assert_allclose(found["y.h"], last(h).detach().numpy(), rtol=0, atol=1e-12)
    for key, leaf in leaves.items():
        # Five turns of at most 45 products each, magnified by at most 10 a turn.
        np.testing.assert_allclose(found[f"grad.{key}"], leaf.grad.numpy(), rtol=0, atol=1e-10)
