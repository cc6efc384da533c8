"""Series of different length in a data block: what reductions leave out, what `pad` makes of them, in both precisions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import bmc

PROGRAM = """data A {
  source = parquet("a.parquet")
  columns {
    s: f32[T, 3]
    k: i32[T]
    t: f32
  }
  where length(s) > 0 and any(k > 2, axis = 1)
  x = s |> standardize |> pad(max = 6)
  z = (s * 2 + 1) |> minmax |> log1p |> pad(max = 30, bucket = 5)
  steps = length(s)
  average = mean(s, axis = 1)
  deviation = std(s, axis = 1, ddof = 1)
  largest = max(s, axis = 1)
  least = min(k, axis = 1)
  each = sum(s, axis = 2) |> pad(max = 30)
  every = all(k > 0, axis = 1)
  middle = (s - fit(median(s, axis = 0))) |> pad(max = 30)
  hashed = k |> hash(9) |> pad(max = 4)
  y = t
}
model M(x: f32[B, 6, 3]) -> (p: f32[B]) {
  return sum(x, axis = [1, 2]) |> unsqueeze(1) |> dense(1) as fc |> squeeze(1)
}
train M on A {
  loss = mse(p, y)
  predict = [
    x = x, z = z, steps = steps, average = average, deviation = deviation, largest = largest, least = least, each = each,
    every = every, middle = middle, hashed = hashed
  ]
  epochs = 1
}
"""


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


def rows(count: int) -> dict[str, list[Any]]:
    rng = np.random.default_rng(8)
    lengths = [int(n) for n in rng.integers(2, 28, count)]
    series = [rng.normal(3, 2, (n, 3)).astype(np.float32) for n in lengths]
    numbers = [np.maximum(rng.integers(-3, 9, n), -2).astype(np.int32) for n in lengths]
    for some in numbers:
        some[0] = 5  # `where` keeps every row
    return {"s": series, "k": numbers, "t": [float(n) for n in rng.normal(size=count)]}


@pytest.mark.parametrize("f64", [False, True])
def test_steps_behind_the_end_do_not_count(f64: bool) -> None:
    data = rows(1100)  # more than a chunk
    model = bmc.compile(PROGRAM, f64=f64).train(data)
    found = model.predict(data)
    dtype = np.float64 if f64 else np.float32
    whole = np.concatenate(data["s"]).astype(np.float64)
    mean, std = whole.mean(axis=0), whole.std(axis=0)
    low, high = (whole * 2 + 1).min(axis=0), (whole * 2 + 1).max(axis=0)
    middle = np.median(whole, axis=0)
    # Sums of at most 28 terms and a few operations more, each within half a unit in the last place of numbers below 30.
    near = {"rtol": 0, "atol": 60 * 30 * np.finfo(dtype).eps}
    for row in range(0, 1100, 37):
        s, k = data["s"][row].astype(np.float64), data["k"][row]
        n = len(s)
        cut = min(n, 6)
        np.testing.assert_allclose(found["x"][row][:cut], ((s - mean) / std)[:cut], **near)
        assert not found["x"][row][cut:].any()
        np.testing.assert_allclose(found["z"][row][:n], np.log1p((s * 2 + 1 - low) / (high - low)), **near)
        assert not found["z"][row][n:].any()
        assert found["steps"][row] == n
        np.testing.assert_allclose(found["average"][row], s.mean(axis=0), **near)
        np.testing.assert_allclose(found["deviation"][row], s.std(axis=0, ddof=1), **near)
        assert (found["largest"][row] == s.max(axis=0)).all()
        assert found["least"][row] == k.min()
        np.testing.assert_allclose(found["each"][row][:n], s.sum(axis=1), **near)
        assert not found["each"][row][n:].any()
        assert found["every"][row] == (k > 0).all()
        np.testing.assert_allclose(found["middle"][row][:n], s - middle, **near)
        assert (found["hashed"][row][n:] == 0).all()
    alone = {name: values[40:41] for name, values in data.items()}
    for name, values in model.predict(alone).items():
        assert values.tobytes() == found[name][40:41].tobytes()


def test_the_same_from_a_file(tmp_path: Path) -> None:
    data = rows(60)
    pq.write_table(
        pa.table({name: [np.asarray(v).tolist() for v in values] for name, values in data.items()}), tmp_path / "a.parquet"
    )
    one, other = (bmc.compile(PROGRAM).train({"A": given}) for given in (str(tmp_path / "a.parquet"), data))
    for name, values in one.predict(str(tmp_path / "a.parquet")).items():
        assert values.tobytes() == other.predict(data)[name].tobytes()
