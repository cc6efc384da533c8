"""Rows of different length through a whole model: what a row becomes does not depend on how long the others are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import bmc

PROGRAM = """data A {
  source = ts("a.ts")
  columns {
    series: f32[T, 2]
    label: str
  }
  x = sum(series, axis = 1) |> standardize
  y = label |> category(["n", "p"])
  split = by_hash(train = 0.8, valid = 0.2)
}
model M(x: f32[B, F]) -> (logits: f32[B, 2]) { return x |> dense(2) as fc }
train M on A {
  loss = cross_entropy(logits, y)
  predict = [logits = logits, sums = x]
  epochs = 30
}
"""


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


def series(rows: int) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    return [rng.normal(size=(int(rng.integers(0, 40)), 2)).astype(np.float32) for _ in range(rows)]


def as_ts(path: Path, rows: list[np.ndarray], labels: list[str]) -> None:
    lines = ["@classLabel true n p", "@data"]
    for row, label in zip(rows, labels, strict=True):
        lines.append(":".join(",".join(map(repr, dim)) for dim in row.T.tolist()) + f":{label}")
    path.write_text("\n".join(lines) + "\n")


def test_a_row_alone_is_as_among_others(tmp_path: Path) -> None:
    rows = series(1500)  # more than a chunk, and chunks of different longest rows
    labels = ["p" if row[:, 0].sum() > 0 else "n" for row in rows]
    as_ts(tmp_path / "a.ts", rows, labels)
    model = bmc.compile(PROGRAM).train({"A": str(tmp_path / "a.ts")})
    whole = model.predict({"series": rows})
    for chosen in (slice(0, 1), slice(700, 703), slice(1020, 1030)):
        part = model.predict({"series": rows[chosen]})
        for name in ("logits", "sums"):
            assert part[name].tobytes() == whole[name][chosen].tobytes()
    right = np.mean(whole["logits"].argmax(axis=1) == np.array([label == "p" for label in labels]))
    assert right > 0.9
