"""Columns whose cells are arrays, some of which are missing as a whole, through training and prediction."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import bmc

PROGRAM = """data Pairs {
  source = npz("never-opened.npz")
  columns { pair: f32[2]?; target: f32 }
  x = concat(pair |> fill(7), is_missing(pair) |> number)
  y = target
}
model M(x: f32[B, F]) -> (p: f32[B]) { return x |> dense(1) as d |> squeeze(-1) }
train M on Pairs {
  loss = mse(p, y)
  predict = [p = p, seen = x]
  epochs = 1
}
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_a_missing_cell_is_missing_in_each_of_its_numbers() -> None:
    pair = np.arange(12, dtype=np.float32).reshape(6, 2)
    pair[1] = np.nan
    pair[4, 0] = np.nan  # a cell is the whole array
    model = bmc.compile(PROGRAM).train({"pair": pair, "target": np.ones(6, np.float32)})
    gone = np.isnan(pair).any(1, keepdims=True)
    wanted = np.concatenate([np.where(gone, 7, pair), np.broadcast_to(gone, (6, 2))], 1)
    np.testing.assert_array_equal(model.predict({"pair": pair})["seen"], wanted)
