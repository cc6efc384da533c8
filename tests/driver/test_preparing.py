"""What is refused between reading rows and training on them, in full."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import bmc
from bmc.errors.render import render_all

PROGRAM = """data A {
  source = csv("a.csv")
  columns { a: f32?
    t: str }
  x = concat(a |> fill(median) |> standardize)
  y = t |> category(["n", "p"])
}
model M(x: f32[B, F]) -> (logits: f32[B, 2]) { return x |> dense(2) as fc }
train M on A {
  loss = cross_entropy(logits, y)
  epochs = 1
}
"""


def refusal(data: dict[str, list[object]]) -> str:
    with pytest.raises(bmc.BmcError) as caught:
        bmc.compile(PROGRAM).train(data=data)
    return render_all(caught.value.diagnostics)


def test_a_statistic_of_no_value(golden: Callable[[str, str], None]) -> None:
    golden("no_value", refusal({"a": [None] * 4, "t": ["p", "n", "p", "n"]}))


def test_a_statistic_of_an_infinite_value(golden: Callable[[str, str], None]) -> None:
    golden("infinite", refusal({"a": [1.0, float("inf"), 2.0], "t": ["p", "n", "p"]}))


def test_a_text_that_the_category_does_not_list(golden: Callable[[str, str], None]) -> None:
    golden("not_listed", refusal({"a": [1.0, 2.0, 3.0], "t": ["p", "maybe", "n"]}))
