"""Statistics of the training rows by group, by the whole path."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import bmc
from bmc.errors.render import render_all
from tests.columns import program, transformed

TRAIN: dict[str, list[object]] = {
    "x": [1.0, 2.0, None, 4.0, 0.1, 7.0, 0.2],
    "s": ["a", "b", "a", "a", "b", "c", "b"],
    "k": [0, 3, 0, 0, 3, 1, 3],
}

ENCODE = """fn encoded(x: float[B], by: i32[B], prior = 1.0) -> float[B] {
  total = fit(sum_by(x, by))
  number = fit(count_by(by))
  all = fit(mean(x))
  return take((total + prior * all) / (number + prior), by)
}
fn apart(x: float[B], by: i32[B]) -> float[B] {
  middle = fit(mean_by(x, by))
  scale = fit(std_by(x, by))
  there = take(select(scale > 0, scale, 1), by)
  return (x - take(middle, by)) / there
}
"""


def test_each_statistic() -> None:
    """Groups of a fitted category: a second pass over the rows. Of group 2 in `k` there are no rows."""
    lines = """code = s |> category(max = 4)
      n = take(fit(count_by(code)), code)
      total = take(fit(sum_by(x, code)), code)
      middle = take(fit(mean_by(x, code)), code)
      spread = take(fit(std_by(x, code, ddof = 1)), code)
      kinds = take(fit(var_by(x, k |> category(4))), k |> category(4))"""
    names = ["n", "total", "middle", "spread", "kinds"]
    asked = {"x": [None] * 4, "s": ["a", "b", "c", "never seen"], "k": [0, 1, 2, 3]}
    found = transformed("x: f32?\n s: str\n k: i32", lines, names, TRAIN, asked)
    b = np.array([2.0, 0.1, 0.2], np.float32).astype(float)
    assert found["n"].tolist() == [3, 3, 1, 0]
    assert found["total"].tolist() == [5.0, np.float32(b.sum()), 7.0, 0.0]
    assert found["middle"].tolist() == [2.5, np.float32(b.mean()), 7.0, 0.0]
    # Exact up to one rounding of the variance, of its root, and to f32; numpy's own f64 errs less than that.
    np.testing.assert_allclose(found["spread"], [np.std([1, 4], ddof=1), b.std(ddof=1), 0, 0], rtol=2**-23)
    np.testing.assert_allclose(found["kinds"], [np.var([1, 4]), 0, 0, b.var()], rtol=2**-23)


def test_encoding_and_scaling_by_group() -> None:
    lines = """code = s |> category(max = 4)
      target = x |> fill(0) |> encoded(code)
      scaled = x |> fill(0) |> apart(code)"""
    text = ENCODE + program("x: f32?\n s: str", lines, ["target", "scaled"])
    model = bmc.compile(text).train({"D": {"x": TRAIN["x"], "s": TRAIN["s"], "zero": [0.0] * 7}})
    found = model.predict({"x": [3.0] * 2, "s": ["c", "z"]})
    values = np.array([0 if v is None else v for v in TRAIN["x"]], np.float32).astype(float)
    mean = np.float32(values.mean())
    np.testing.assert_allclose(found["target"], [(7 + mean) / 2, mean], rtol=2**-22)  # two roundings in f32
    assert found["scaled"].tolist() == [-4.0, 3.0]


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("no_size", "a = take(fit(mean_by(x, k)), k |> category(4))"),
        ("not_integers", "a = take(fit(mean_by(x, x)), k |> category(4))"),
        ("size_too_small", "a = take(fit(count_by(k |> category(4), size = 3)), k |> category(4))"),
    ],
)
def test_what_is_refused(name: str, line: str, golden: Callable[[str, str], None]) -> None:
    with pytest.raises(bmc.BmcError) as caught:
        bmc.compile(program("x: f32\n k: i32", line, ["a"]))
    golden(name, render_all(caught.value.diagnostics))
