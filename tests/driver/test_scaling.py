"""Scaling of columns by statistics of the training rows, by the whole path, against scikit-learn and numpy.

Statistics are of the same f32 cells, fitted in f64 and stored in f32 (half a unit in the last place, 6e-8); a few f32 operations on
values up to some 1e2 follow: 1e-5 of the largest leaves room for that and for nothing else.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import bmc
from tests.columns import program, transformed

preprocessing: Any = pytest.importorskip("sklearn.preprocessing")

DRAWN = np.round(np.random.default_rng(1).lognormal(size=400) * 3, 1).astype(np.float32)
"""With ties, as rounded amounts have them."""
ROWS = np.array([*DRAWN[:20], DRAWN.min(), DRAWN.max(), -50.0, 0.0, 1e4, 2.0, 5.0], np.float32)
"""Among them what lies outside of all training rows, and on the borders."""


def fitted(transformer: Any) -> np.ndarray[Any, Any]:
    made: np.ndarray[Any, Any] = transformer.fit(DRAWN[:, None].astype(float)).transform(ROWS[:, None].astype(float))
    return made[:, 0]


def test_scales_are_those_of_scikit_learn() -> None:
    cases = {
        "standardize(x)": preprocessing.StandardScaler(),
        "robust(x)": preprocessing.RobustScaler(),
        "robust(x, low = 0.1, high = 0.8)": preprocessing.RobustScaler(quantile_range=(10, 80)),
        "minmax(x)": preprocessing.MinMaxScaler(),
        "minmax(x, low = -1.0, high = 3.0)": preprocessing.MinMaxScaler((-1, 3)),
        "to_uniform(x, n = 50)": preprocessing.QuantileTransformer(n_quantiles=51),
        "to_normal(x, n = 50)": preprocessing.QuantileTransformer(n_quantiles=51, output_distribution="normal"),
    }
    lines = "\n".join(f"a{i} = {call}" for i, call in enumerate(cases))
    found = transformed("x: f32", lines, [f"a{i}" for i in range(len(cases))], {"x": DRAWN.tolist()}, {"x": ROWS.tolist()})
    for i, (call, transformer) in enumerate(cases.items()):
        want = fitted(transformer)
        np.testing.assert_allclose(found[f"a{i}"], want, atol=1e-5 * max(1, np.abs(want).max()), err_msg=call)


def test_bins_and_limits() -> None:
    lines = """a = bucketize(x, [2, 5.0, 9])
      b = x |> bucketize(bins = 7)
      c = x |> bucketize(bins = 7) |> onehot
      d = winsorize(x, low = 0.05, high = 0.9)
      e = n |> bucketize([0, 3])"""
    columns = {"x": DRAWN.tolist(), "n": [0] * len(DRAWN)}
    rows = {"x": ROWS.tolist(), "n": [i % 5 - 1 for i in range(len(ROWS))]}
    found = transformed("x: f32\n n: i32", lines, ["a", "b", "c", "d", "e"], columns, rows)
    np.testing.assert_array_equal(found["a"], np.digitize(ROWS, [2, 5, 9]))
    bins = preprocessing.KBinsDiscretizer(7, encode="ordinal", strategy="quantile")
    np.testing.assert_array_equal(found["b"], fitted(bins))
    assert found["c"].shape == (len(ROWS), 7)
    np.testing.assert_array_equal(found["c"].argmax(1), found["b"])
    low, high = np.quantile(DRAWN.astype(float), [0.05, 0.9])
    np.testing.assert_allclose(found["d"], np.clip(ROWS, low, high), rtol=1e-6)
    np.testing.assert_array_equal(found["e"], np.digitize(rows["n"], [0, 3]))


def test_made_of_several_columns_or_by_formula() -> None:
    lines = """a = polynomial(concat(x, u, v))
      b = hour |> cyclic(24)
      c = signed_log(u)"""
    rng = np.random.default_rng(4)
    columns = {name: rng.normal(size=9).astype(np.float32).tolist() for name in "xuv"} | {"hour": list(range(0, 27, 3))}
    found = transformed("x: f32\n u: f32\n v: f32\n hour: i32", lines, ["a", "b", "c"], columns)
    side = np.stack([np.array(columns[name], np.float32) for name in "xuv"], 1)
    np.testing.assert_allclose(found["a"], preprocessing.PolynomialFeatures(2, include_bias=False).fit_transform(side), rtol=1e-6)
    angle = np.array(columns["hour"]) * np.float32(2 * np.pi / 24)
    np.testing.assert_allclose(found["b"], np.stack([np.sin(angle), np.cos(angle)], 1), atol=1e-6)
    np.testing.assert_allclose(found["c"], np.sign(side[:, 1]) * np.log1p(np.abs(side[:, 1])), rtol=1e-6)


def test_gaps_stay_and_count_for_no_statistic() -> None:
    cells = [1.0, None, 2.0, 4.0, None, 8.0, 16.0]
    calls = ["robust(x)", "minmax(x)", "to_uniform(x, n = 4)", "winsorize(x)", "number(bucketize(x, bins = 2))"]
    lines = "\n".join(f"a{i} = {call} |> fill(-7)\n b{i} = {call.replace('(x', '(whole')}" for i, call in enumerate(calls))
    text = program("x: f32?\n whole: f32", lines, [f"{k}{i}" for i in range(len(calls)) for k in "ab"])
    full = [c for c in cells if c is not None]
    gappy = bmc.compile(text).train({"D": {"x": cells, "whole": [1.0] * 7, "zero": [0.0] * 7}})
    dense = bmc.compile(text).train({"D": {"x": full, "whole": full, "zero": [0.0] * 5}})
    found = gappy.predict({"x": [None, 3.0], "whole": [0.0, 0.0]})
    want = dense.predict({"x": [3.0], "whole": [3.0]})
    for i, call in enumerate(calls):
        assert found[f"a{i}"].tolist() == [-7.0, want[f"b{i}"][0]], call


def test_the_way_back_of_a_scaled_target() -> None:
    text = """data D {
  source = csv("d.csv")
  columns { v: f32 }
  y = v |> log1p |> SCALE
}
model M(y: f32[B]) -> (out: f32[B]) {
  param w: float = zeros
  return y + w
}
train M on D { loss = mse(out, y); steps = 1; optimizer = sgd(lr = 0.0); predict = [back = undo(out, y)] }
"""
    for scale in ("robust", "minmax(low = -1.0, high = 1.0)"):
        model = bmc.compile(text.replace("SCALE", scale)).train({"D": {"v": DRAWN.tolist()}})
        np.testing.assert_allclose(model.predict({"v": DRAWN.tolist()})["back"], DRAWN, rtol=2e-5)


def test_a_constant_column_is_shifted_only() -> None:
    lines = "\n".join(f"a{i} = {f}(x)" for i, f in enumerate(("standardize", "robust", "minmax", "to_uniform", "winsorize")))
    found = transformed("x: f32", lines, [f"a{i}" for i in range(5)], {"x": [3.0] * 6}, {"x": [3.0, 4.0]})
    assert [found[f"a{i}"].tolist() for i in range(3)] == [[0.0, 1.0]] * 3
    assert found["a3"].tolist() == [0.0, 1.0]
    assert found["a4"].tolist() == [3.0, 3.0]


def test_groups_by_their_own_mean_and_deviation() -> None:
    rng = np.random.default_rng(5)
    shop = [f"s{int(i)}" for i in rng.integers(0, 4, 200)]
    cells = [None if i % 9 == 0 else float(rng.normal() * (1 + int(s[1])) + 10 * int(s[1])) for i, s in enumerate(shop)]
    shop += ["lone"] * 3
    cells += [7.0] * 3
    rows = {"shop": ["s0", "s3", "lone", "unheard", "s1"], "x": [1.5, 30.0, 8.0, 8.0, None]}
    lines = "a = x |> standardize(by = shop |> category(max = 9)) |> fill(-99)"
    found = transformed("shop: str\n x: f32?", lines, ["a"], {"shop": shop, "x": cells}, rows)["a"]
    known = {s: [c for c, t in zip(cells, shop, strict=True) if t == s and c is not None] for s in set(shop)}
    every = [c for c in cells if c is not None]

    def scaled(value: float, mean: Any, std: Any) -> float:
        return float((value - mean) / std)

    want = [
        scaled(1.5, np.mean(known["s0"]), np.std(known["s0"])),
        scaled(30, np.mean(known["s3"]), np.std(known["s3"])),
        scaled(8, 7, np.std(every)),
        scaled(8, np.mean(every), np.std(every)),
        -99,
    ]
    np.testing.assert_allclose(found, want, atol=1e-5)


def test_large_numbers_are_subtracted_in_their_own_type() -> None:
    """As docs/transforms.md says: f32 cannot tell 10^9 and 10^9 + 1 apart, the columns can."""
    rows = {"n": (10**15 + np.arange(10)).tolist(), "t": (1e9 + np.arange(10.0)).tolist()}
    lines = """a = number(n - fit(min(n))) |> standardize
      b = (t - fit(min(t))) |> standardize
      c = t |> standardize"""
    found = transformed("n: i64\n t: f64", lines, ["a", "b", "c"], rows, rows)
    want = (np.arange(10) - 4.5) / np.arange(10).std()
    for name in ("a", "b"):
        np.testing.assert_allclose(found[name], want, atol=1e-6)
    assert not found["c"].any()
