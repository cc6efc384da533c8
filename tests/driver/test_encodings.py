"""Categories as numbers of the training rows, several columns as one integer, lists of values: by the whole path.

Means are of a few hundred f32 cells, summed in f32 or better: 1e-5 of values around 1 is a hundred roundings.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bmc
from bmc.driver.workflow import Silent, TrainOptions, train
from bmc.errors.render import render_all
from bmc.frontend.elaborate import elaborate
from bmc.source import SourceFile
from tests.columns import program, transformed

RNG = np.random.default_rng(7)
ROWS = 240
SHOP = [f"s{int(i)}" for i in RNG.integers(0, 6, ROWS)]
PAID = RNG.normal(size=ROWS).astype(np.float32).tolist()
ID = [int(i) for i in RNG.integers(0, 10**12, ROWS)]
COLUMNS = {"shop": SHOP, "paid": PAID, "id": ID}
DECLARED = "shop: str\n paid: f32\n id: i64"


def mean_of(chosen: Any, prior: float, default: float) -> Any:
    return (np.sum(chosen) + prior * default) / (len(chosen) + prior)


def test_means_and_counts_of_the_training_rows() -> None:
    lines = """c = shop |> category(max = 20)
      a = count_encode(c)
      b = target_encode(c, paid)
      d = target_encode(c, paid > 0, prior = 2.0)"""
    found = transformed(DECLARED, lines, ["a", "b", "d"], COLUMNS, {"shop": ["s1", "s4", "unheard"]})
    shops, paid = np.array(SHOP), np.array(PAID, np.float64)
    for row, shop in enumerate(["s1", "s4", "unheard"]):
        mine = paid[shops == shop]
        assert found["a"][row] == len(mine)
        np.testing.assert_allclose(found["b"][row], mean_of(mine, 10, paid.mean()), atol=1e-5)
        np.testing.assert_allclose(found["d"][row], mean_of(mine > 0, 2, (paid > 0).mean()), atol=1e-5)


def test_training_steps_see_the_mean_of_other_parts_of_the_rows() -> None:
    """One step of a loss that is w times the encoding moves w by its mean over the rows."""
    lines = "e = shop |> category(max = 20) |> target_encode(paid, key = id)\n part = hash(id, 5)"
    text = program(DECLARED, lines, ["e", "part"])
    text = text.replace("M(z: f32[B])", "M(e: f32[B])").replace("return z * w", "return e * w").replace("mse(y, z)", "y")
    model = bmc.compile(text.replace("steps = 1", f"steps = 1; batch = {ROWS}; optimizer = sgd(lr = 1.0)")).train(
        {"D": {**COLUMNS, "zero": [0.0] * ROWS}}
    )
    found = model.predict(COLUMNS)
    shops, paid, part = np.array(SHOP), np.array(PAID, np.float64), found["part"]
    others = [mean_of(paid[(shops == s) & (part != p)], 10, paid.mean()) for s, p in zip(shops, part, strict=True)]
    whole = [mean_of(paid[shops == s], 10, paid.mean()) for s in shops]
    np.testing.assert_allclose(found["e"], whole, atol=1e-5)
    np.testing.assert_allclose(-model.weights["w"], np.mean(others), atol=1e-5)
    assert abs(np.mean(others) - np.mean(whole)) > 1e-3


def test_crosses_are_of_values_and_order() -> None:
    lines = """a = cross(shop, id, n = 1000)
      b = cross(id, shop, n = 1000)
      c = cross(shop, id, weekday(day), n = 50) |> onehot
      d = cross(lower(shop), id, n = 1000)"""
    columns: dict[str, list[object]] = {"shop": ["A", "B", "A", "a"], "id": [1, 1, 1, 1], "day": ["2024-01-01"] * 4}
    found = transformed("shop: str\n id: i64\n day: date", lines, ["a", "b", "c", "d"], columns)
    assert found["a"][0] == found["a"][2] != found["a"][1]
    assert found["a"][0] != found["b"][0]
    assert found["d"][0] == found["d"][3] == found["a"][3]
    assert found["c"].shape == (4, 50)
    spread = transformed("shop: str\n id: i64", "a = cross(shop, id, n = 16)", ["a"], {"shop": SHOP, "id": ID}, alone=False)["a"]
    counts = np.bincount(spread, minlength=16)
    # 240 draws below 16: each place gets 15, standard deviation 3.75; 5 of these are 19.
    assert counts.max() < 15 + 19
    assert len(counts) == 16


def test_values_in_a_list_also_choose_rows() -> None:
    columns = {"shop": ["a", None, "b", "A"], "n": [1, 2, 3, 4], "x": [0.5, 1.5, 2.5, 0.5], "day": ["2024-02-29", "2024-03-01"] * 2}
    lines = """a = is_in(shop, ["a", "b"])
      b = is_in(n, [2, 4])
      c = is_in(x, [0.5])
      d = is_in(day, ["2024-02-29"])
      where not is_in(n, [9]) and (is_in(shop, ["a", "b"]) or x > 1 or is_missing(shop))"""
    text = program("shop: str?\n n: i32\n x: f32\n day: date", lines, ["a", "b", "c", "d"])
    model = bmc.compile(text).train({"D": {**columns, "zero": [0.0] * 4}})
    found = model.predict(columns)
    assert found["a"].tolist() == [True, False, True, False]
    assert found["b"].tolist() == [False, True, False, True]
    assert found["c"].tolist() == [True, False, False, True]
    assert found["d"].tolist() == [True, False, True, False]
    assert model.evaluate("train").rows == 3


def test_what_does_not_cross(golden: Callable[[str, str], None]) -> None:
    calls = ["cross(shop, n = 10)", "cross(shop, x, n = 10)", "cross(shop, k, n = 10)", "is_in(shop, [1])", "is_in(day, [3])"]
    lines = "\n ".join(f"{name} = {call}" for name, call in zip("abcde", calls, strict=True))
    with pytest.raises(bmc.BmcError) as caught:
        bmc.compile(program("shop: str\n x: f32\n k: i32?\n day: date", lines, list("abcde")))
    golden("does_not_cross", render_all(caught.value.diagnostics))


def test_balanced_classes_are_those_of_scikit_learn(tmp_path: Path) -> None:
    """Fitted on the training rows alone, with a class that no row has. At w = 0 the loss is the same whatever the weights are; the
    gradient of class k is the weighted mean of 1/4 - (is it k)."""
    weights = pytest.importorskip("sklearn.utils.class_weight").compute_class_weight
    text = """data D {
  source = csv("d.csv")
  columns { k: str; one: f32; part: str }
  x = unsqueeze(one, 1)
  y = k |> category(["a", "b", "c", "never"])
  flag = k == "a"
  split = by_column(part)
}
model M(x: f32[B, 1]) -> (out: f32[B, 4]) {
  param w: float[1, 4] = zeros
  return x @ w
}
train M on D { loss = LOSS; class_weight = "balanced"; steps = 1; batch = 100; optimizer = sgd(lr = 1.0) }
"""
    k = ["a"] * 7 + ["b"] * 2 + ["c"] * 1 + ["b"] * 5
    columns = {"k": k, "one": [1.0] * 15, "part": ["train"] * 10 + ["test"] * 5}
    model = bmc.compile(text.replace("LOSS", "cross_entropy(out, y)")).train({"D": columns})
    train = np.array(k[:10])
    by_class = dict(zip("abc", weights("balanced", classes=np.array(["a", "b", "c"]), y=train), strict=True))
    row = np.array([by_class[c] for c in train])
    want = [-(np.sum(row * (0.25 - (train == c))) / row.sum()) for c in ["a", "b", "c", "never"]]
    np.testing.assert_allclose(model.weights["w"][0], want, atol=1e-6)
    model.save(tmp_path / "m.bmz")
    loaded = bmc.load(tmp_path / "m.bmz").evaluate("test", {"D": columns})
    assert loaded.metrics == model.evaluate("test").metrics
    model = bmc.compile(text.replace("LOSS", "bce(out[:, 0], flag)")).train({"D": columns})
    row = weights("balanced", classes=np.array([False, True]), y=train == "a")[(train == "a").astype(int)]
    np.testing.assert_allclose(model.weights["w"][0], [-np.sum(row * (0.5 - (train == "a"))) / row.sum(), 0, 0, 0], atol=1e-6)


def test_tables_that_are_too_small_are_told() -> None:
    """Four shops of six are not in a table of three places, of which the last means other; a text of rare words is no news."""

    class Notes(Silent):
        def __init__(self) -> None:
            self.texts: list[str] = []

        def on_note(self, text: str) -> None:
            self.texts.append(text)

    lines = """a = shop |> category(max = 3)
      b = shop |> onehot(max = 7)
      c = shop |> words |> vocab(max = 2) |> pad(max = 2)
      d = shop |> category(max = 6)"""
    text = program("shop: str", lines, list("abcd"))
    unit, _ = elaborate([SourceFile("m.bm", text)])
    assert unit is not None
    notes = Notes()
    train(unit, TrainOptions(data={"D": {"shop": SHOP, "zero": [0.0] * ROWS}}), notes)
    counts = sorted((SHOP.count(s) for s in set(SHOP)), reverse=True)
    share = f"{100 * sum(counts[2:]) / ROWS:.1f} %"
    assert min(counts) / ROWS > 0.1  # so that d, which leaves out one shop, is told, too
    want = f"`category(max = 3)`: 6 values, places for 2 of them: {share} of the training rows count as other"
    assert want in notes.texts
    assert len(notes.texts) == 2


def test_what_is_fitted_knows_the_training_rows_alone() -> None:
    parts = ["train", "train", "test", "train", "valid"]
    columns = {"g": ["a", "a", "a", "b", "b"], "v": [1.0, 3.0, 100.0, 5.0, 500.0], "part": parts}
    lines = """c = g |> category(max = 4)
      t = target_encode(c, v, prior = 1.0)
      n = count_encode(c)
      s = v |> standardize(by = c)
      q = v |> bucketize(bins = 2)
      split = by_column(part)"""
    found = transformed("g: str\n v: f32\n part: str", lines, ["t", "n", "s", "q"], columns, {"g": ["a", "b"], "v": [4.0, 9.0]})
    assert found["t"].tolist() == [np.float32((4 + 3) / 3), 4.0]  # the mean of 1, 3 and 5 is 3
    assert found["n"].tolist() == [2.0, 1.0]
    np.testing.assert_allclose(found["s"], [2.0, 4 / np.std([1, 3, 5])], rtol=1e-6)  # b is constant: by the deviation of all
    assert found["q"].tolist() == [1, 1]
