"""A unit at work: integers as the labels that they stand for, and splits without rows that a run needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import bmc
from bmc.driver.load import load_unit, text_source
from bmc.driver.predicting import PredictOptions
from bmc.driver.trained import TrainedModel
from bmc.driver.workflow import TrainOptions, train
from bmc.errors.render import render_all

PROGRAM = """data A {
  source = csv("a.csv")
  columns { a: f32; k: KIND }
  x = unsqueeze(a, -1)
  y = k |> CATEGORY
  SPLIT
}
model M(x: f32[B, 1]) -> (logits: f32[B, 3]) { return x |> dense(3) as fc }
train M on A {
  loss = cross_entropy(logits, y)
  predict = [label = label_of(CODES, y)]
  epochs = 1
  MORE
}
"""


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


def program(category: str, kind: str = "i64", codes: str = "logits", split: str = "", more: str = "") -> bmc.Program:
    words = {"CATEGORY": category, "KIND": kind, "CODES": codes, "SPLIT": split, "MORE": more}
    text = PROGRAM
    for word, value in words.items():
        text = text.replace(word, value)
    return bmc.compile(text)


def labels(category: str, codes: list[int], known: list[Any]) -> np.ndarray:
    """What these codes stand for, one row for each."""
    kind = "str" if isinstance(known[0], str) else "i64"
    # The code of a row is its column a.
    model = program(category, kind, "integer(x[:, 0])").train({"a": [0.0] * len(known), "k": known})
    return model.predict({"a": [float(c) for c in codes]})["label"]


def test_codes_are_the_labels_of_their_places() -> None:
    assert labels("category([30, 10, 20])", [2, 0], [10, 20, 30]).tolist() == [20, 30]
    assert labels('category(["u", "v", "w"])', [2, 0], ["u", "v", "w"]).tolist() == ["w", "u"]
    # Fitted: the most frequent first, the last slot for all others.
    assert labels("category(max = 3)", [1, 0, 2], ["b", "b", "c", "d"]).tolist() == ["c", "b", "other"]


def test_codes_that_stand_for_nothing_are_no_label_of_another_place() -> None:
    assert labels("category([30, 10, 20])", [-1, 3, 1], [10, 20, 30]).tolist() == [None, None, 10]
    assert labels('category(["u", "v", "w"])', [-1, 3, 1], ["u", "v", "w"]).tolist() == ["other", "other", "v"]
    assert labels("category(max = 3)", [2, 0], [5, 5, 7, 9]).tolist() == [None, 5]
    assert labels("category([30, 10, 20])", [], [10, 20, 30]).tolist() == []


@pytest.mark.parametrize(("known", "expected"), [(["u", "v", "w"], [["w", "u"], ["v", "other"]]), ([10, 20, 30], None)])
def test_codes_of_several_for_each_row(known: list[Any], expected: list[list[str]] | None) -> None:
    kind = "str" if expected else "i64"
    written = "[" + ", ".join(f'"{k}"' if expected else str(k) for k in known) + "]"
    model = program(f"category({written})", kind, "integer(concat(x, x - 2, axis = -1))").train({"a": [0.0] * 3, "k": known})
    found = model.predict({"a": [2.0, 1.0]})["label"].tolist()
    assert found == (expected if expected else [[30, 10], None])


def test_an_integer_beyond_32_bits_is_no_small_category() -> None:
    with pytest.raises(bmc.BmcError, match="E0813"):
        program("category(3)").train({"a": [0.0, 1.0], "k": [1, 2**32]})


EMBEDDED = """data A {
  source = csv("a.csv")
  columns { t: str; b: f32 }
  x = t |> category(["u", "v", "w"])
  y = b
}
model M(x: i32[B]) -> (p: f32[B]) { return x |> embedding(3, 1) as e |> squeeze(-1) }
train M on A {
  loss = mse(p, y)
  epochs = 1
}
"""


@pytest.fixture(scope="module")
def embedded() -> TrainedModel:
    unit = load_unit(text_source(EMBEDDED))
    return train(unit, TrainOptions(data={"A": {"t": ["u", "v", "w"], "b": [1.0, 2.0, 3.0]}}))[0]


def test_a_raw_row_outside_its_category_is_refused(embedded: TrainedModel, golden: Callable[[str, str], None]) -> None:
    """An index that the table does not have would be clamped: the row would silently be predicted as another category."""
    with pytest.raises(bmc.BmcError) as caught:
        embedded.predict({"t": ["u", "maybe", "w"]})
    golden("predict_not_listed", render_all(caught.value.diagnostics))


def test_a_raw_row_outside_its_category_becomes_an_error_of_the_row(embedded: TrainedModel) -> None:
    found = embedded.predict({"t": ["u", "maybe", None, "w"]}, PredictOptions(on_error="column"))
    assert found.errors[1] == "`t` is 'maybe', which the category `x` does not list"
    assert sorted(found.errors) == [1, 2]
    assert "missing" in found.errors[2]
    alone = [embedded.predict({"t": [t]}).columns["p"].data[0] for t in ("u", "w")]
    assert found.columns["p"].to_python() == [alone[0], None, None, alone[1]]


def test_a_plateau_of_a_split_that_has_no_rows(golden: Callable[[str, str], None]) -> None:
    split, stop = "split = by_order(train = 0.9, valid = 0.1)", "stop = plateau(valid.loss)"
    with pytest.raises(bmc.BmcError) as caught:
        program("category(3)", split=split, more=stop).train({"a": [0.0, 1.0], "k": [1, 2]})
    golden("plateau_without_rows", render_all(caught.value.diagnostics))
