"""Activations and losses of the library against PyTorch, in f64 and f32: values and gradients of all that flows in.

Inputs are normal draws, which hit no kink; 0, which programs do hit, is tried by itself. PyTorch's softplus is linear above 20,
where ours is not; inputs stay below. Its gradient of hardsigmoid has 1/6 in f32, so that is written out.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.training.twins import Case, Group, compare, group_of

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

F: Any = torch.nn.functional
Tensor = Any

ROWS, WIDTH = 6, 5
V = (ROWS, WIDTH)


def one(name: str, twin: Any, shape: tuple[int, ...] = V) -> Case:
    return Case(name if "{v}" in name else f"{name}({{v}})", {"v": V}, shape, twin)


ACTIVATIONS: dict[str, Case] = {
    "relu": one("relu", torch.relu),
    "leaky": one("leaky({v}, slope = 0.3)", lambda v: F.leaky_relu(v, 0.3)),
    "elu": one("elu({v}, alpha = 0.5)", lambda v: F.elu(v, 0.5)),
    "celu": one("celu({v}, alpha = 0.5)", lambda v: F.celu(v, 0.5)),
    "selu": one("selu", F.selu),
    "gelu": one("gelu", F.gelu),
    "gelu_tanh": one("gelu_tanh", lambda v: F.gelu(v, approximate="tanh")),
    "silu": one("silu", F.silu),
    "softplus": one("softplus", F.softplus),
    "log_sigmoid": one("log_sigmoid", F.logsigmoid),
    "mish": one("mish", F.mish),
    "softsign": one("softsign", F.softsign),
    "relu6": one("relu6(6 * {v})", lambda v: F.relu6(6 * v)),
    "hardtanh": one("hardtanh({v}, low = -0.5, high = 0.7)", lambda v: F.hardtanh(v, -0.5, 0.7)),
    "hardsigmoid": one("hardsigmoid(4 * {v})", lambda v: F.relu6(4 * v + 3) / 6),
    "hardswish": one("hardswish(4 * {v})", lambda v: F.hardswish(4 * v)),
    "glu": Case("glu({v})", {"v": (3, 8)}, (3, 4), F.glu),
    "softmax": one("softmax", lambda v: torch.softmax(v, -1)),
    "softmax_rows": one("softmax({v}, axis = 0)", lambda v: torch.softmax(v, 0)),
    "log_softmax": one("log_softmax", lambda v: torch.log_softmax(v, -1)),
    "logsumexp": one("logsumexp", lambda v: torch.logsumexp(v, -1), (ROWS,)),
}

LABELS = [0, 3, 1, 4, 3, 2]
ONES = [1, 0, 0, 1, 1, 0]
SHARES = [0.5, 1.0, 2.0, 0.25, 1.5]
Y, SAME = torch.tensor(LABELS), torch.tensor(ONES, dtype=torch.float64)
labels = f"y: i32[{ROWS}] = {LABELS}\n"
same = f"y: i32[{ROWS}] = {ONES}\n"
TWO, PAIR, ROW = {"v": V, "t": V}, {"a": V, "b": V}, (ROWS,)


def weights(like: Tensor) -> Tensor:
    return torch.tensor(SHARES, dtype=like.dtype)


def entropy(v: Tensor, **settings: Any) -> Tensor:
    return F.cross_entropy(v, Y, reduction="none", **settings)


def focal(v: Tensor, gamma: float, shares: Tensor | None = None) -> Tensor:
    lp = torch.log_softmax(v, -1)[range(ROWS), Y]
    return -((1 - lp.exp()) ** gamma) * lp * (1 if shares is None else shares[Y])


def binary_focal(v: Tensor, gamma: float, alpha: float | None) -> Tensor:
    """As torchvision's sigmoid_focal_loss."""
    t = SAME
    cost = F.binary_cross_entropy_with_logits(v, t, reduction="none")
    pt = torch.sigmoid(v) * t + (1 - torch.sigmoid(v)) * (1 - t)
    cost = cost * (1 - pt) ** gamma
    return cost if alpha is None else cost * (alpha * t + (1 - alpha) * (1 - t))


def divergence(first: Any, second: Any) -> Tensor:
    return torch.distributions.kl_divergence(first, second)


def normal(mu: Tensor, lv: Tensor) -> Any:
    return torch.distributions.Normal(mu, torch.exp(0.5 * lv))


STANDARD: Any = torch.distributions.Normal(0.0, 1.0)


def contrastive(a: Tensor, b: Tensor) -> Tensor:
    d = F.pairwise_distance(a, b)
    return SAME * d**2 + (1 - SAME) * torch.relu(1.5 - d) ** 2


def cosine_loss(a: Tensor, b: Tensor) -> Tensor:
    """PyTorch's own adds 1e-12 to lengths."""
    c = F.cosine_similarity(a, b)
    return torch.where(SAME > 0, 1 - c, torch.relu(c - 0.1))


def info_nce(v: Tensor) -> Tensor:
    i = torch.arange(ROWS)
    return (F.cross_entropy(v / 0.5, i, reduction="none") + F.cross_entropy(v.T / 0.5, i, reduction="none")) / 2


def dice(v: Tensor) -> Tensor:
    p = torch.sigmoid(v)
    t = SAME[:, None].expand_as(v)
    return 1 - (2 * (p * t).sum(-1) + 1) / (p.sum(-1) + t.sum(-1) + 1)


LOSSES: dict[str, Case] = {
    "mse": Case("mse({v}, {t})", TWO, V, lambda v, t: F.mse_loss(v, t, reduction="none")),
    "mae": Case("mae({v}, {t})", TWO, V, lambda v, t: F.l1_loss(v, t, reduction="none")),
    "huber": Case("huber({v}, {t}, delta = 0.7)", TWO, V, lambda v, t: F.huber_loss(v, t, reduction="none", delta=0.7)),
    "smooth_l1": Case("smooth_l1({v}, {t}, beta = 0.7)", TWO, V, lambda v, t: F.smooth_l1_loss(v, t, reduction="none", beta=0.7)),
    "log_cosh": Case("log_cosh({v}, {t})", TWO, V, lambda v, t: torch.log(torch.cosh(v - t))),
    "pinball": Case("pinball({v}, {t}, q = 0.9)", TWO, V, lambda v, t: torch.where(t > v, 0.9 * (t - v), 0.1 * (v - t))),
    "cross_entropy": Case(labels + "cross_entropy({v}, y)", {"v": V}, ROW, entropy),
    "smoothing": Case(labels + "cross_entropy({v}, y, smoothing = 0.2)", {"v": V}, ROW, lambda v: entropy(v, label_smoothing=0.2)),
    "class_weights": Case(
        labels + f"cross_entropy({{v}}, y, weights = {SHARES})", {"v": V}, ROW, lambda v: entropy(v, weight=weights(v))
    ),
    "weights_smoothing": Case(
        labels + f"cross_entropy({{v}}, y, smoothing = 0.2, weights = {SHARES})",
        {"v": V},
        ROW,
        lambda v: entropy(v, weight=weights(v), label_smoothing=0.2),
    ),
    "ignore": Case(labels + "cross_entropy({v}, y, ignore = 3)", {"v": V}, ROW, lambda v: entropy(v, ignore_index=3)),
    "ignore_smoothing": Case(
        labels + "cross_entropy({v}, y, ignore = 3, smoothing = 0.2)",
        {"v": V},
        ROW,
        lambda v: entropy(v, ignore_index=3, label_smoothing=0.2),
    ),
    "distribution": Case(
        f"cross_entropy({{v}}, softmax({{t}}), weights = {SHARES})",
        TWO,
        ROW,
        lambda v, t: F.cross_entropy(v, torch.softmax(t, -1), weight=weights(v), reduction="none"),
    ),
    "nll": Case(labels + "nll({v}, y)", {"v": V}, ROW, lambda v: F.nll_loss(v, Y, reduction="none")),
    "bce": Case(
        "bce({v}, sigmoid({t}))",
        TWO,
        V,
        lambda v, t: F.binary_cross_entropy_with_logits(v, torch.sigmoid(t), reduction="none"),
    ),
    "bce_positive": Case(
        same + "bce(sum({v}, 1), y, positive = 3.0)",
        {"v": V},
        ROW,
        lambda v: F.binary_cross_entropy_with_logits(v.sum(1), SAME, reduction="none", pos_weight=torch.tensor(3.0)),
    ),
    "bce_positive_each": Case(
        f"bce({{v}}, sigmoid({{t}}), positive = {SHARES})",
        TWO,
        V,
        lambda v, t: F.binary_cross_entropy_with_logits(v, torch.sigmoid(t), reduction="none", pos_weight=weights(v)),
    ),
    "focal": Case(labels + "focal({v}, y)", {"v": V}, ROW, lambda v: focal(v, 2.0)),
    "focal_weights": Case(
        labels + f"focal({{v}}, y, gamma = 1.5, weights = {SHARES})", {"v": V}, ROW, lambda v: focal(v, 1.5, weights(v))
    ),
    "binary_focal": Case(
        same + "binary_focal(sum({v}, 1), y, alpha = 0.25)", {"v": V}, ROW, lambda v: binary_focal(v.sum(1), 2.0, 0.25)
    ),
    "hinge": Case(same + "hinge(sum({v}, 1), y)", {"v": V}, ROW, lambda v: torch.relu(1 - (2 * SAME - 1) * v.sum(1))),
    "dice": Case(same + "dice({v}, broadcast(unsqueeze(y, 1), {v}))", {"v": V}, ROW, dice),
    "poisson": Case(
        same + "poisson(sum({v}, 1), y)",
        {"v": V},
        ROW,
        lambda v: F.poisson_nll_loss(v.sum(1), SAME, reduction="none"),
    ),
    "gaussian_nll": Case(
        "gaussian_nll({m}, {t}, {s})",
        {"m": V, "t": V, "s": V},
        V,
        lambda m, t, s: F.gaussian_nll_loss(m, t, s.exp(), reduction="none"),
    ),
    "kl_normal": Case("kl_normal({v}, {t})", TWO, ROW, lambda v, t: divergence(normal(v, t), STANDARD).sum(-1)),
    "kl_normals": Case(
        "kl_normals({a}, {b}, {c}, {d})",
        {"a": V, "b": V, "c": V, "d": V},
        ROW,
        lambda a, b, c, d: divergence(normal(a, b), normal(c, d)).sum(-1),
    ),
    "kl_categorical": Case(
        "kl_categorical({v}, {t})",
        TWO,
        ROW,
        lambda v, t: divergence(torch.distributions.Categorical(logits=v), torch.distributions.Categorical(logits=t)),
    ),
    "distance": Case("distance({a}, {b})", PAIR, ROW, F.pairwise_distance),
    "norm": Case("norm({a} * 2, axis = -1)", {"a": V}, ROW, lambda a: torch.linalg.vector_norm(2 * a, dim=-1)),
    "norm_of_nothing": Case(
        "norm({a} * 0, axis = -1) + sum({a}, axis = 1)",
        {"a": V},
        ROW,
        lambda a: torch.linalg.vector_norm(0 * a, dim=-1) + a.sum(1),
    ),
    "std": Case("std({a}, axis = -1)", {"a": V}, ROW, lambda a: a.std(-1, unbiased=False)),
    "cosine_similarity": Case("cosine_similarity({a}, {b})", PAIR, ROW, F.cosine_similarity),
    "cosine_loss": Case(
        same + "cosine_loss({a}, {b}, y, margin = 0.1)",
        PAIR,
        ROW,
        cosine_loss,
    ),
    "contrastive": Case(same + "contrastive({a}, {b}, y, margin = 1.5)", PAIR, ROW, contrastive),
    "triplet": Case(
        "triplet({a}, {b}, {c}, margin = 0.8)",
        {"a": V, "b": V, "c": V},
        ROW,
        lambda a, b, c: F.triplet_margin_loss(a, b, c, margin=0.8, reduction="none"),
    ),
    "info_nce": Case("info_nce({v}, temperature = 0.5)", {"v": (ROWS, ROWS)}, ROW, info_nce),
}


@pytest.fixture(scope="module", params=["f64", "f32"])
def activations(request: pytest.FixtureRequest) -> Group:
    return group_of(ACTIVATIONS, request.param)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation(name: str, activations: Group) -> None:
    compare(activations, name)


def at_zero(case: Case) -> Case:
    """The value and the gradient where every input is exactly 0, as where weights begin with zeros or a relu is shut."""
    twin = case.twin
    text = case.text
    for name in case.inputs:
        text = text.replace(f"{{{name}}}", f"({{{name}}} - stop_gradient({{{name}}}))")
    return replace(case, text=text, twin=lambda *inputs: twin(*(v - v.detach() for v in inputs)))


AT_ZERO = {name: at_zero(case) for name, case in (ACTIVATIONS | LOSSES).items()}


@pytest.fixture(scope="module", params=["f64", "f32"])
def zeros(request: pytest.FixtureRequest) -> Group:
    return group_of(AT_ZERO, request.param)


@pytest.mark.parametrize("name", AT_ZERO)
def test_the_gradient_at_zero(name: str, zeros: Group) -> None:
    compare(zeros, name)


@pytest.fixture(scope="module", params=["f64", "f32"])
def losses(request: pytest.FixtureRequest) -> Group:
    return group_of(LOSSES, request.param)


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss(name: str, losses: Group) -> None:
    compare(losses, name)
