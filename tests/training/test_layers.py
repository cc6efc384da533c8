"""Layers of the library against PyTorch, in f64 and f32: values and gradients of inputs and parameters."""

from __future__ import annotations

from typing import Any

import pytest

from tests.training.twins import Case, Group, compare, group_of

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

F: Any = torch.nn.functional
Tensor = Any


def channels_first(x: Tensor) -> Tensor:
    return x.movedim(-1, 1)


def channels_last(x: Tensor) -> Tensor:
    return x.movedim(1, -1)


def linear(x: Tensor, w: Any, key: str) -> Tensor:
    y = x @ w[f"{key}.w"] if key else x @ w["w"]
    bias = f"{key}.b" if key else "b"
    return y + w[bias] if bias in w else y


def norm(kind: str, **settings: Any) -> Any:
    def twin(x: Tensor, w: Any = None) -> Tensor:
        g, b = (w["g"] if w is not None and "g" in w else None), (w["b"] if w is not None and "b" in w else None)
        if kind == "layer":
            return F.layer_norm(x, x.shape[-1:], g, b)
        if kind == "rms":
            return F.rms_norm(x, x.shape[-1:], g, eps=1e-5)
        first = channels_first(x)
        if kind == "group":
            g = torch.ones(x.shape[-1], dtype=x.dtype) if g is None else g  # PyTorch takes both or none
            return channels_last(F.group_norm(first, settings["groups"], g, b))
        if kind == "instance":
            return channels_last(F.instance_norm(first, weight=g, bias=b))
        return channels_last(F.batch_norm(first, None, None, g, b, training=True))

    return twin


def highway(x: Tensor, w: Any) -> Tensor:
    t = torch.sigmoid(x @ w["gate"] + w["open"])
    return t * torch.relu(linear(x, w, "plain")) + (1 - t) * x


def residual(x: Tensor, w: Any) -> Tensor:
    return x + linear(x, w, "inner")


def sinusoids(steps: int, width: int) -> Tensor:
    even = torch.arange(0, width, 2, dtype=torch.float64)
    angle = torch.arange(steps, dtype=torch.float64)[:, None] * 10_000.0 ** (-even / width)
    table = torch.zeros(steps, width, dtype=torch.float64)
    table[:, 0::2], table[:, 1::2] = angle.sin(), angle.cos()
    return table


def rotated(x: Tensor, base: float = 10_000.0) -> Tensor:
    steps, width = x.shape[-2:]
    angle = torch.arange(steps, dtype=x.dtype)[:, None] * base ** (-2.0 * torch.arange(width // 2, dtype=x.dtype) / width)
    # As complex numbers, which is another way to write it.
    turned = torch.complex(x[..., : width // 2], x[..., width // 2 :]) * torch.polar(torch.ones_like(angle), angle)
    return torch.cat([turned.real, turned.imag], -1)


FLAT, STEPS, IMAGE = (5, 6), (3, 4, 6), (2, 4, 5, 6)

LAYERS: dict[str, Case] = {
    "dense": Case("{x} |> dense(7) as l", {"x": FLAT}, (5, 7), lambda x, w: linear(x, w, "")),
    "dense_steps": Case("{x} |> dense(7, bias = false) as l", {"x": STEPS}, (3, 4, 7), lambda x, w: linear(x, w, "")),
    "gated": Case("{x} |> gated(7) as l", {"x": FLAT}, (5, 7), lambda x, w: F.glu(linear(x, w, "both"))),
    "gated_tanh": Case(
        "{x} |> gated(4, act = tanh, bias = false) as l",
        {"x": STEPS},
        (3, 4, 4),
        lambda x, w: linear(x, w, "both")[..., :4] * torch.tanh(linear(x, w, "both")[..., 4:]),
    ),
    "residual": Case("{x} |> residual(dense(6)) as l", {"x": STEPS}, STEPS, residual),
    "highway": Case("{x} |> highway() as l", {"x": FLAT}, FLAT, highway),
    "prelu": Case("{x} |> prelu() as l", {"x": STEPS}, STEPS, lambda x, w: F.prelu(x, w["a"])),
    "prelu_each": Case("{x} |> prelu(each = true) as l", {"x": FLAT}, FLAT, lambda x, w: F.prelu(x, w["a"])),
    "layernorm": Case("{x} |> layernorm() as l", {"x": STEPS}, STEPS, norm("layer")),
    "layernorm_scale": Case("{x} |> layernorm(shift = false) as l", {"x": FLAT}, FLAT, norm("layer")),
    "layernorm_bare": Case("{x} |> layernorm(scale = false, shift = false) as l", {"x": FLAT}, FLAT, norm("layer")),
    "rmsnorm": Case("{x} |> rmsnorm() as l", {"x": STEPS}, STEPS, norm("rms")),
    "groupnorm": Case("{x} |> groupnorm(3) as l", {"x": IMAGE}, IMAGE, norm("group", groups=3)),
    "groupnorm_one": Case("{x} |> groupnorm(1) as l", {"x": IMAGE}, IMAGE, norm("group", groups=1)),
    "groupnorm_steps": Case("{x} |> groupnorm(2) as l", {"x": STEPS}, STEPS, norm("group", groups=2)),
    "groupnorm_flat": Case("{x} |> groupnorm(2, scale = false) as l", {"x": FLAT}, FLAT, norm("group", groups=2)),
    "instancenorm": Case("{x} |> instancenorm() as l", {"x": IMAGE}, IMAGE, norm("instance")),
    "instancenorm_bare": Case("{x} |> instancenorm(scale = false, shift = false) as l", {"x": STEPS}, STEPS, norm("instance")),
    "batchnorm": Case("{x} |> batchnorm() as l", {"x": IMAGE}, IMAGE, norm("batch")),
    "batchnorm_flat": Case("{x} |> batchnorm() as l", {"x": FLAT}, FLAT, norm("batch")),
    "batchnorm_bare": Case("{x} |> batchnorm(scale = false, shift = false) as l", {"x": STEPS}, STEPS, norm("batch")),
    "learned_positions": Case("{x} |> learned_positions(9) as l", {"x": STEPS}, STEPS, lambda x, w: x + w["table"][:4]),
    "sinusoidal": Case("{x} |> sinusoidal", {"x": STEPS}, STEPS, lambda x: x + sinusoids(4, 6)),
    "rotary": Case("{x} |> rotary", {"x": (2, 3, 5, 6)}, (2, 3, 5, 6), rotated),
    "rotary_base": Case("rotary({x}, base = 100.0)", {"x": STEPS}, STEPS, lambda x: rotated(x, 100.0)),
}


@pytest.fixture(scope="module", params=["f64", "f32"])
def layers(request: pytest.FixtureRequest) -> Group:
    return group_of(LAYERS, request.param)


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer(name: str, layers: Group) -> None:
    compare(layers, name)
