"""Sorting, the largest few, running sums and their gradients, against PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.surface import Surface, call

torch: Any = pytest.importorskip("torch")
pytestmark = pytest.mark.torch
B = 3

BODIES = {
    "sort": ("sort(x)", lambda x: x.sort(-1).values),
    "sort_first": ("sort(x, axis = 1, descending = true)", lambda x: x.sort(1, descending=True).values),
    "top_k": ("top_k(x, 2)[0]", lambda x: x.topk(2, -1).values),
    "top_k_axis": ("top_k(x, 3, axis = 1)[0]", lambda x: x.topk(3, 1).values),
    "cumsum": ("cumsum(x, axis = 1)", lambda x: x.cumsum(1)),
    "cumsum_back": ("cumsum(x, reverse = true)", lambda x: x.flip(-1).cumsum(-1).flip(-1)),
    "take_along": (
        "take(x, argsort(x), axis = -1) * number(argsort(x, descending = true))",
        lambda x: x.sort(-1).values * x.argsort(-1, descending=True),
    ),
}


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("name", BODIES)
def test_values_and_gradients_are_those_of_pytorch(name: str, dtype: str) -> None:
    text, twin = BODIES[name]
    x = np.random.default_rng(1).normal(size=(B, 4, 5))
    leaf = torch.tensor(x, dtype=torch.float32 if dtype == "f32" else torch.float64, requires_grad=True)
    wanted = twin(leaf)
    by = np.random.default_rng(2).normal(size=tuple(wanted.shape))
    (wanted * torch.tensor(by).to(leaf.dtype)).sum().backward()
    shape = ", ".join(map(str, wanted.shape[1:]))
    found = Surface({"x": "float[B, 4, 5]"}, f"return {text}", {"y": f"float[B, {shape}]"}, dtype).run({"x": x}, {"y": by}, B=B)
    # Sums of at most 5 addends, whose magnitudes add up to less than 20: 5 roundings of half a unit of 16 each.
    bound = 5 * 0.5 * 16 * 2.0 ** (-23 if dtype == "f32" else -52)
    np.testing.assert_allclose(found["y.y"], wanted.detach().numpy(), rtol=0, atol=bound)
    np.testing.assert_allclose(found["grad.x"], leaf.grad.numpy(), rtol=0, atol=bound)


def test_positions_and_equals() -> None:
    """Equal cells keep their order; `top_k` is the start of a descending sort, NaN last."""
    body = "v, p = top_k(x, 4)\n  return argsort(x), argsort(x, descending = true), p, v"
    outputs = {"up": "i32[B, 6]", "down": "i32[B, 6]", "places": "i32[B, 4]", "best": "float[B, 4]"}
    x = np.array([[2, 1, 2, 1, 3, 2], [0, 0, 0, 0, 0, 0], [np.nan, 5, np.nan, -np.inf, np.inf, 5]])
    up, down, places, best = call({"x": "float[B, 6]"}, body, outputs)({"x": x}, B=3)
    assert up.tolist() == [[1, 3, 0, 2, 5, 4], [0, 1, 2, 3, 4, 5], [3, 1, 5, 4, 0, 2]]
    assert down.tolist() == [[4, 0, 2, 5, 1, 3], [0, 1, 2, 3, 4, 5], [4, 1, 5, 3, 0, 2]]
    np.testing.assert_array_equal(places, down[:, :4])
    np.testing.assert_array_equal(best, np.take_along_axis(x, places, 1))


def test_top_k_accuracy_counts_as_accuracy_does() -> None:
    body = """return top_k_accuracy(x, y, k = 1), top_k_accuracy(x, y, k = 2), top_k_accuracy(x, y, k = 4), accuracy(x, y)"""
    outputs = dict.fromkeys(("one", "two", "all", "same"), "float")
    rng = np.random.default_rng(0)
    x = rng.integers(0, 3, size=(500, 4)).astype(float)  # many equal scores
    y = rng.integers(0, 4, size=500)
    one, two, all_, same = call({"x": "float[B, 4]", "y": "i32[B]"}, body, outputs)({"x": x, "y": y}, B=500)
    order = np.argsort(-x, axis=1, kind="stable")
    assert one == same == np.mean(order[:, 0] == y)
    assert two == np.mean((order[:, :2] == y[:, None]).any(1))
    assert all_ == 1
