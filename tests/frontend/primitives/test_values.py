"""Functions of cells, reductions, notation, shapes and choices against PyTorch: values and gradients by every input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.frontend.primitives.against_torch import Case, check
from tests.surface import Surface, call

torch: Any = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

POSITIVE = np.random.default_rng(5).uniform(0.2, 3, size=(2, 3, 4))

# An operator errs by at most 5 units (operators.md), and its gradient is a product of at most four such.
ELEMENTS = [
    *(
        Case(f"{name}({{x}})", {"x": [3, 4]}, lambda x, name=name: getattr(torch, name)(x), margin=40)
        for name in ("exp", "expm1", "sin", "cos", "tanh", "sigmoid", "erf", "abs", "sign", "floor", "ceil", "trunc")
    ),
    *(
        Case(f"{name}({{x}})", {"x": [3, 4]}, lambda x, name=name: getattr(torch, name)(x), margin=40, arrays={"x": POSITIVE})
        for name in ("log", "log1p", "sqrt", "rsqrt")
    ),
    Case("{x} ** 3 + {x} ** 0.5", {"x": [3, 4]}, lambda x: x**3 + x**0.5, margin=40, arrays={"x": POSITIVE}),
    Case("{x} / ({y} * {y} + 1) - {y}", {"x": [3, 4], "y": [4]}, lambda x, y: x / (y * y + 1) - y, ["y"], margin=40),
    Case("maximum({x}, {y}) * minimum({x}, 0.5)", {"x": [3, 4], "y": [3, 1]},
         lambda x, y: torch.maximum(x, y) * x.clamp(max=0.5), margin=20),
    Case("clip({x}, -0.5, 1)", {"x": [3, 4]}, lambda x: x.clamp(-0.5, 1), margin=20),
    Case("select({x} > {y}, {x} * 2, {y})", {"x": [3, 4], "y": [4]}, lambda x, y: torch.where(x > y, x * 2, y), ["y"], margin=20),
    Case("{x} % 0.75", {"x": [3, 4]}, lambda x: torch.remainder(x, 0.75), margin=40),
]  # fmt: skip

# Sums of at most 24 numbers; a variance squares differences of such, and divides.
REDUCTIONS = [
    Case("sum({x}, axis = [1, 3])", {"x": [3, 4, 2]}, lambda x: x.sum((1, 3))),
    Case("mean({x}, axis = -2, keep = true)", {"x": [3, 4, 2]}, lambda x: x.mean(-2, keepdim=True), margin=20),
    Case("var({x}, axis = [1, 2], ddof = 1)", {"x": [3, 4, 2]}, lambda x: x.var((1, 2), unbiased=True), margin=200),
    Case("std({x}, axis = 1)", {"x": [3, 4, 2]}, lambda x: x.std(1, unbiased=False), margin=200),
    Case("norm({x}, axis = -1)", {"x": [3, 4, 2]}, lambda x: x.norm(dim=-1), margin=100),
    Case("max({x}, axis = [1, 2])", {"x": [3, 4, 2]}, lambda x: x.amax((1, 2)), margin=4),
    Case("min({x}, axis = 3)", {"x": [3, 4, 2]}, lambda x: x.amin(3), margin=4),
    Case("cumsum({x}, axis = 2)", {"x": [3, 4, 2]}, lambda x: x.cumsum(2)),
]  # fmt: skip

NOTATION = [
    Case('einsum("b i j, j k -> b k i", {x}, {w})', {"x": [3, 4], "w": [4, 5]},
         lambda x, w: torch.einsum("bij,jk->bki", x, w), ["w"]),
    Case('einsum("b i j, b k j -> b i k", {x}, {y})', {"x": [3, 4], "y": [5, 4]},
         lambda x, y: torch.einsum("bij,bkj->bik", x, y)),
    Case('einsum("b i, b j -> b i j", {x}, {y})', {"x": [3], "y": [4]}, lambda x, y: torch.einsum("bi,bj->bij", x, y)),
    Case('einsum("b i j -> b j", {x})', {"x": [3, 4]}, lambda x: x.sum(1)),
    Case('einsum("... i, i o -> ... o", {x}, {w})', {"x": [3, 2, 4], "w": [4, 5]}, lambda x, w: x @ w, ["w"]),
    Case('einsum("... i j, ... j k -> ... i k", {x}, {y})', {"x": [2, 3, 4], "y": [2, 4, 5]}, lambda x, y: x @ y),
    Case('einsum("b t h e, b s h e, b s h f -> b h t f", {x}, {y}, {z})', {"x": [3, 2, 4], "y": [5, 2, 4], "z": [5, 2, 3]},
         lambda x, y, z: torch.einsum("bthe,bshe,bshf->bhtf", x, y, z), margin=200),
    Case('rearrange({x}, "b (h w) c -> b c h w", h = 2)', {"x": [6, 5]},
         lambda x: x.reshape(-1, 2, 3, 5).permute(0, 3, 1, 2)),
    Case('rearrange({x}, "b ... c -> b c ...")', {"x": [2, 3, 4]}, lambda x: x.permute(0, 3, 1, 2)),
    Case('rearrange({x}, "b h w c -> b (h w c)")', {"x": [2, 3, 4]}, lambda x: x.reshape(-1, 24)),
    Case("{x} @ {w}", {"x": [3, 4], "w": [4, 2]}, lambda x, w: x @ w, ["w"]),
    Case("{x} @ transpose({y})", {"x": [3, 4], "y": [5, 4]}, lambda x, y: x @ y.transpose(1, 2)),
]  # fmt: skip

SHAPES = [
    Case("pad_edges({x}, 1, 2, axis = 1, value = 0.5)", {"x": [3, 4]},
         lambda x: torch.nn.functional.pad(x, (0, 0, 1, 2), value=0.5), margin=4),
    Case("concat({x}, {y}, {x}, axis = 1)", {"x": [3, 4], "y": [2, 4]}, lambda x, y: torch.cat([x, y, x], 1)),
    Case("stack({x}, {y}, axis = 2)", {"x": [3, 4], "y": [3, 4]}, lambda x, y: torch.stack([x, y], 2)),
    Case("{x}[:, 1:, ::-2] * {x}[:, :1, 1:3]", {"x": [3, 4]}, lambda x: x[:, 1:].flip(2)[:, :, ::2] * x[:, :1, 1:3], margin=20),
    Case("split({x}, [1, 3])[1] * split({x}, 4, axis = 2)[0]", {"x": [4, 4]}, lambda x: x[:, :, 1:] * x[:, :, :1], margin=20),
    Case("reshape({x}, [B, 2, -1]) + unsqueeze(squeeze({y}, 1), 1)", {"x": [4, 3], "y": [1, 6]},
         lambda x, y: x.reshape(-1, 2, 6) + y),
    Case("transpose({x}, [0, 3, 1, 2]) + transpose({y})", {"x": [2, 3, 4], "y": [4, 3, 2]},
         lambda x, y: x.permute(0, 3, 1, 2) + y.transpose(-1, -2)),
    Case("{x}[:, :, none] + {y}", {"x": [3, 4], "y": [3, 1, 4]}, lambda x, y: x[:, :, None] + y),
]  # fmt: skip


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("group", [ELEMENTS, REDUCTIONS, NOTATION, SHAPES], ids=["elements", "reductions", "notation", "shapes"])
def test_a_group_agrees_with_pytorch(group: list[Case], dtype: str) -> None:
    check(torch, group, dtype)


INDEX = np.array([[2, 0, 2, 4], [1, 1, 1, 0], [3, 4, 0, 2]])


@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_choices_agree_with_pytorch(dtype: str) -> None:
    """Rows and cells by index, and sums by index; each is the other's gradient. Sums of at most 12 numbers below 4."""
    body = """a = take(w, i)
  b = take(x, i, axis = -1)
  c = take(x, i[0], axis = 1)
  d = scatter_add(x[:, :4], i, 6, axis = -1)
  e = scatter_add(x[:, :4], i, 6)
  return a, b, c, d, e"""
    inputs = {"x": "float[B, 5]", "w": "float[5, 2]", "i": "i32[B, 4]"}
    outputs = {"a": "float[B, 4, 2]", "b": "float[B, 4]", "c": "float[B, 4]", "d": "float[B, 6]", "e": "float[6]"}
    rng = np.random.default_rng(0)
    given = {k: rng.normal(size=s).astype(np.float32).astype(np.float64) for k, s in (("x", (3, 5)), ("w", (5, 2)))}
    leaves = {k: torch.tensor(v, requires_grad=True) for k, v in given.items()}
    x, w, i = leaves["x"], leaves["w"], torch.tensor(INDEX)
    wanted = {
        "a": w[i],
        "b": x.gather(1, i),
        "c": x[:, i[0]],
        "d": torch.zeros(3, 6, dtype=torch.float64).scatter_add(1, i, x[:, :4]),
        "e": torch.zeros(6, dtype=torch.float64).index_add(0, i.reshape(-1), x[:, :4].reshape(-1)),
    }
    by = {k: rng.normal(size=tuple(v.shape)).astype(np.float32).astype(np.float64) for k, v in wanted.items()}
    sum((v * torch.tensor(by[k])).sum() for k, v in wanted.items()).backward()
    found = Surface(inputs, body, outputs, dtype).run({**given, "i": INDEX}, by, B=3)
    bound = 40 * 4 * 2.0 ** (-24 if dtype == "f32" else -52)
    for key, value in wanted.items():
        np.testing.assert_allclose(found[f"y.{key}"], value.detach().numpy(), rtol=0, atol=bound, err_msg=key)
    for key, leaf in leaves.items():
        np.testing.assert_allclose(found[f"grad.{key}"], leaf.grad.numpy(), rtol=0, atol=bound, err_msg=key)


def test_integers_and_conditions() -> None:
    """Floor division and remainder go with the sign of the divisor, as in Python; a zero divisor gives 0."""
    i, j = np.array([[7, -7, 5, 2]]), np.array([[2, 2, -3, 0]])
    body = """return i // j, i % j, i * j - j, -i, abs(i), i ** 2, max(i, axis = -1), sum(i > j, axis = 1), scatter_add(i, k, 3)"""
    outputs = {**dict.fromkeys("abcdef", "i32[B, 4]"), "g": "i32[B]", "h": "i32[B]", "s": "i32[3]"}
    inputs = {"i": "i32[B, 4]", "j": "i32[B, 4]", "k": "i32[B, 4]"}
    found = call(inputs, body, outputs)({"i": i, "j": j, "k": [[0, 2, 2, 0]]}, B=1)
    wanted = [[3, -4, -2, 0], [1, 1, -1, 0], [12, -16, -12, 0], [-7, 7, -5, -2], [7, 7, 5, 2], [49, 49, 25, 4]]
    assert [f.tolist() for f in found] == [*([w] for w in wanted), [7], [3], [9, 0, -2]]
    body = "return i > j and j > 0, i > j or j > 0, not (i > j), i != j, any(i > j, axis = 1), all(i > j), i == j or i <= j"
    outputs = {**dict.fromkeys("abcd", "bool[B, 4]"), "e": "bool[B]", "f": "bool", "g": "bool[B, 4]"}
    found = call({"i": "i32[B, 4]", "j": "i32[B, 4]"}, body, outputs)({"i": i, "j": j}, B=1)
    more = (i > j)[0]
    assert [np.ravel(f).tolist() for f in found] == [
        (more & (j > 0)[0]).tolist(), (more | (j > 0)[0]).tolist(), (~more).tolist(), [True] * 4, [True], [False], (~more).tolist(),
    ]  # fmt: skip
