"""Draws of whole numbers: each value comes up as often as it should, and never where it must not.

Draws depend on the seed alone, so these tests cannot fail by chance later. Bounds are 5 standard deviations of the count of a
binomial distribution.
"""

from __future__ import annotations

import numpy as np

from tests.surface import call

N = 4000


def within(counts: np.ndarray, shares: np.ndarray, total: int) -> None:
    spread = np.sqrt(total * shares * (1 - shares))
    np.testing.assert_array_less(np.abs(counts - total * shares), 5 * spread + 1e-9)


def test_categorical_draws_by_weights_that_need_not_sum_to_one() -> None:
    draw = call({"x": "float[B]", "w": "float[7]"}, "d: i32[B, 3] = categorical(w)\n  return d", {"d": "i32[B, 3]"}, "f32")
    weights = np.array([0, 3, 1, 0, 0.5, 10, 0])
    (found,) = draw({"x": np.zeros(N), "w": weights}, B=N)
    counts = np.bincount(found.ravel(), minlength=7)
    assert counts.size == 7
    within(counts, weights / weights.sum(), 3 * N)
    # Rows and places draw on their own.
    assert abs(np.corrcoef(found[:, 0], found[:, 1])[0, 1]) < 5 / N**0.5


def test_categorical_takes_weights_of_each_row() -> None:
    draw = call({"w": "float[B, 4]"}, "d: i32[B, 2] = categorical(w)\n  return d", {"d": "i32[B, 2]"}, "f64")
    weights = np.eye(4)[np.arange(N) % 4] * 7
    (found,) = draw({"w": weights}, B=N)
    assert (found == (np.arange(N) % 4)[:, None]).all()


def test_rare_cells_of_a_large_table_keep_their_share() -> None:
    """10,000 words with weights as skip-gram has them: the rarer half together, and none beyond the table."""
    body = "d: i32[B, 50] = categorical(w ** 0.75)\n  return d"
    draw = call({"x": "float[B]", "w": "float[10000]"}, body, {"d": "i32[B, 50]"}, "f32")
    freq = 1e6 / np.arange(1, 10001)
    (found,) = draw({"x": np.zeros(N), "w": freq}, B=N)
    shares = freq**0.75 / np.sum(freq**0.75)
    assert found.min() >= 0
    assert found.max() < 10000
    for first, stop in ((0, 1), (1, 100), (100, 5000), (5000, 10000), (9000, 10000)):
        within(np.sum((found >= first) & (found < stop)), shares[first:stop].sum(), 50 * N)


def test_weights_that_are_all_zero_draw_the_last() -> None:
    draw = call({"w": "float[B, 4]"}, "d: i32[B] = categorical(w)\n  return d", {"d": "i32[B]"})
    assert (draw({"w": np.zeros((5, 4))}, B=5)[0] == 3).all()


def test_bernoulli_and_randint() -> None:
    body = """a: bool[B, 4] = bernoulli(0.3)
  b: float[B, 4] = bernoulli(p)
  c: i32[B, 4] = randint(-2, 3)
  e: i32[B] = bernoulli(0)
  return a, b, c, e"""
    outputs = {"a": "bool[B, 4]", "b": "float[B, 4]", "c": "i32[B, 4]", "e": "i32[B]"}
    draw = call({"x": "float[B]", "p": "float[4]"}, body, outputs, "f32")
    chances = np.array([0, 0.1, 0.9, 1])
    a, b, c, e = draw({"x": np.zeros(N), "p": chances}, B=N)
    within(a.sum(0), np.full(4, 0.3), N)
    within(b.sum(0), chances, N)
    assert set(np.unique(b)) == {0, 1}
    within(np.bincount(c.ravel() + 2, minlength=5), np.full(5, 0.2), 4 * N)
    assert not e.any()
