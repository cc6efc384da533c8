"""`sample`: its draws against the definition in numpy, number by number."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bmc.frontend.elaborate import elaborate
from bmc.ir import Function
from bmc.ops import philox
from bmc.source import SourceFile
from tests.native import NativeFunction

V, ROWS = 23, 600


def function(call: str, float_type: str = "f32") -> Function:
    source = f"model M(x: float[B, {V}]) -> (i: i32[B]) {{ return {call} }}\n"
    unit, found = elaborate([SourceFile("m.bm", source)], None, {}, "f64" if float_type == "f64" else "f32")
    assert unit is not None, found
    return unit.module.function("predict")


def drawn(call: str, scores: Any, seed: int = 11, step: int = 3, float_type: str = "f32") -> Any:
    control = np.array([seed, step, 0, 0, 0, len(scores), 0, 0], np.int64)
    return NativeFunction.compile(function(call, float_type)).run({"x": scores, "control": control}, {"B": len(scores)})["i"]


def defined(scores: Any, temperature: float, top_k: int, top_p: float, seed: int = 11, step: int = 3) -> Any:
    """The definition: order, first k, fewest with the share p, one by its probability."""
    rows, first = np.arange(len(scores))[:, None], np.zeros((1, 1), np.int64)
    uniform = philox.uniform(np, "f64", seed, step, rows, first, philox.site_hash("sample"))
    found = []
    for row, u in zip(scores.astype(np.float64), uniform[:, 0], strict=True):
        order = np.argsort(-row, kind="stable")
        chance = np.exp((row[order] - row[order[0]]) / temperature)
        chance[top_k:] = 0
        before = np.cumsum(chance) - chance
        chance[before >= top_p * chance.sum()] = 0
        found.append(order[np.searchsorted(np.cumsum(chance), u * chance.sum(), side="right")])
    return np.array(found)


def scores(seed: int = 0, float_type: str = "f32") -> Any:
    made = np.random.default_rng(seed).normal(size=(ROWS, V)) * 2
    made[: ROWS // 4] = made[: ROWS // 4].round()  # equal scores
    return made.astype(np.float64 if float_type == "f64" else np.float32)


@pytest.mark.parametrize("float_type", ["f32", "f64"])
@pytest.mark.parametrize(
    ("arguments", "temperature", "top_k", "top_p"),
    [
        ("", 1.0, V, 1.0),
        (", temperature = 0.7", 0.7, V, 1.0),
        (", temperature = 3, top_k = 5", 3.0, 5, 1.0),
        (", top_p = 0.6", 1.0, V, 0.6),
        (", temperature = 0.8, top_k = 9, top_p = 0.9", 0.8, 9, 0.9),
        (", top_k = 1", 1.0, 1, 1.0),
        (", top_k = 1000", 1.0, V, 1.0),
    ],
)
def test_draws_are_those_of_the_definition(arguments: str, temperature: float, top_k: int, top_p: float, float_type: str) -> None:
    """Exponentials differ in last digits from numpy's, so a draw at the edge between two integers may fall on the other side: with
    23 edges and 600 draws of 53 bits, one in about 10**11."""
    x = scores(float_type=float_type)
    np.testing.assert_array_equal(drawn(f"sample(x{arguments})", x, float_type=float_type), defined(x, temperature, top_k, top_p))


def test_a_temperature_of_0_takes_the_first_of_the_greatest() -> None:
    x = scores()
    np.testing.assert_array_equal(drawn("sample(x, temperature = 0)", x), x.argmax(axis=1))


def test_frequencies_are_the_probabilities() -> None:
    """With 60,000 draws the frequency of probability p lies within 5 sqrt(p (1 - p) / n) of p but for one time in a million."""
    row = np.random.default_rng(1).normal(size=V).astype(np.float32)
    found = drawn("sample(x)", np.repeat(row[None], 60_000, axis=0))
    expected = np.exp(row) / np.exp(row).sum()
    frequency = np.bincount(found, minlength=V) / len(found)
    assert (np.abs(frequency - expected) <= 5 * np.sqrt(expected * (1 - expected) / len(found))).all()


def test_another_seed_step_or_row_draws_anew() -> None:
    x = np.zeros((ROWS, V), np.float32)
    first = drawn("sample(x)", x)
    assert len(set(first.tolist())) == V  # rows: the chance that 600 draws miss one of 23 is below 1e-10
    assert (drawn("sample(x)", x, seed=12) != first).any()
    assert (drawn("sample(x)", x, step=4) != first).any()
    np.testing.assert_array_equal(drawn("sample(x)", x), first)


def test_scores_that_are_no_numbers_never_lead_outside() -> None:
    x = np.zeros((6, V), np.float32)
    x[0], x[1], x[2, :-1], x[3, 4], x[4, 5] = np.nan, -np.inf, -np.inf, np.nan, np.inf
    found = drawn("sample(x)", x)
    assert ((found >= 0) & (found < V)).all()
    assert found[2] == V - 1
    assert found[3] != 4
