"""Fitted values: the same bits whatever the blocks, their order and the number of files, and what numpy says."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

import bmc
from bmc.codegen.cache import ObjectCache
from bmc.data import read_blocks
from bmc.driver.load import load_unit, text_source
from bmc.driver.session import Session, SessionOptions
from bmc.errors import BmcError
from bmc_runtime.memory import DTYPES
from bmc_runtime.reducers.distinct import texts_of
from bmc_runtime.table import Column, Table, text_column

ROWS = 700

PROGRAM = """fn whitened(x: float[B, F]) -> float[B, F] {
  middle = fit(mean(x, axis = 0))
  pairs = fit(transpose(x - middle) @ (x - middle))
  far = fit(max(abs(x - middle), axis = 0))
  return (x - middle) / far + 0 * x @ pairs
}
data D {
  source = csv("*.csv")
  columns { a: f32?; b: f32; n: i32; when: date?; s: str }
  a1 = a |> fill(median) |> standardize
  a2 = a |> fill(mean) |> robust
  both = concat(a |> fill(min), b) |> whitened
  n1 = number(n) |> minmax
  n2 = n |> category(max = 5)
  bins = b |> bucketize(bins = 7)
  s1 = s |> category(max = 4)
  s2 = take(fit(mean_by(b, s1)), s1)
  s3 = s |> words |> vocab(max = 6) |> pad(max = 3)
  day = when |> fill(mode) |> days_since("2020-01-01") |> number |> standardize
  t = b
}
model M(a1: f32[B], a2: f32[B], both: f32[B, 2], n1: f32[B], n2: i32[B], bins: i32[B], s1: i32[B], s2: f32[B], s3: i32[B, 3],
        day: f32[B]) -> (out: f32[B]) {
  param w: float = zeros
  return (a1 + a2 + sum(both, axis = 1) + n1 + number(n2) + number(bins) + number(s1) + s2 + sum(number(s3), axis = 1) + day) * w
}
train M on D {
  loss = mse(out, t)
  steps = 1
}
"""


def rows() -> dict[str, list[Any]]:
    rng = np.random.default_rng(4)
    a = rng.standard_normal(ROWS) * 10.0 ** rng.integers(-3, 4, ROWS)
    words = ["red", "green hat", "the blue hat", "a", "NO", "Red"]
    return {
        "a": [None if rng.random() < 0.1 else float(np.float32(v)) for v in a],
        "b": [float(np.float32(v)) for v in rng.gamma(2.0, size=ROWS)],
        "n": rng.integers(-3, 6, ROWS).tolist(),
        "when": [None if rng.random() < 0.1 else int(v) for v in rng.integers(18_000, 18_020, ROWS)],
        "s": [words[i] for i in rng.integers(0, len(words), ROWS)],
    }


def table(values: dict[str, list[Any]], order: np.ndarray[Any, Any], float_type: str = "f32") -> Table:
    columns: dict[str, Column] = {}
    for name, cells in values.items():
        picked = [cells[i] for i in order]
        if name == "s":
            columns[name] = text_column(picked)
            continue
        there = np.array([v is not None for v in picked])
        dtype = float_type if name in "ab" else "i32"
        data = np.array([0 if v is None else v for v in picked], DTYPES[dtype])
        kind = "date" if name == "when" else "plain"
        columns[name] = Column(dtype, data, None if name in "bn" else there, kind=kind)
    return Table(columns, len(order))


def fitted(given: Table, session: Session, monkeypatch: pytest.MonkeyPatch, block: int) -> dict[str, Any]:
    """Every fitted value, as bytes or texts."""
    monkeypatch.setattr("bmc_runtime.fitting.BLOCK_ROWS", block)
    for spec in session.data.fitted:
        session.store[spec.key][...] = np.zeros((), session.store[spec.key].dtype)
    session.fit(given)
    found = {}
    for spec in session.data.fitted:
        array = session.store[spec.key]
        found[spec.key] = texts_of(array) if spec.type.dtype == "str" else array.tobytes()
    return found


def session_of(float_type: Literal["f32", "f64"]) -> Session:
    return Session(load_unit(text_source(PROGRAM, float_type=float_type)), SessionOptions(ObjectCache()))


@pytest.mark.parametrize("float_type", ["f32", "f64"])
def test_neither_blocks_nor_their_order_matter(float_type: Literal["f32", "f64"], monkeypatch: pytest.MonkeyPatch) -> None:
    session, values = session_of(float_type), rows()
    rng = np.random.default_rng(0)
    straight = np.arange(ROWS)
    whole = fitted(table(values, straight, float_type), session, monkeypatch, ROWS)
    assert len(whole) > 20
    for block, order in ((7, straight), (64, rng.permutation(ROWS)), (1024, straight[::-1]), (1, rng.permutation(ROWS))):
        assert fitted(table(values, order, float_type), session, monkeypatch, block) == whole


def test_nor_does_the_number_of_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = rows()
    lines = [
        ",".join("" if v is None else repr(v) if isinstance(v, float) else str(v) for v in cells)
        for cells in zip(values["a"], values["b"], values["n"], _dates(values["when"]), values["s"], strict=True)
    ]
    monkeypatch.chdir(tmp_path)
    found = []
    for files in (1, 50):
        for old in tmp_path.glob("*.csv"):
            old.unlink()
        for i in range(files):
            part = lines[i::files]
            (tmp_path / f"{i:02}.csv").write_text("\n".join(["a,b,n,when,s", *part]) + "\n")
        session = session_of("f32")
        read = session.tables(read_blocks(session.data, {}))["train"]
        assert read.rows == ROWS
        found.append(fitted(read, session, monkeypatch, 1 << 14))
    assert found[0] == found[1]


def _dates(days: list[int | None]) -> list[str | None]:
    return [None if d is None else str(np.datetime64(d, "D")) for d in days]


def test_numpy_says_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """In f64: statistics of exact sums, rounded once, against numpy's of the same numbers."""
    session, values = session_of("f64"), rows()
    fitted(table(values, np.arange(ROWS), "f64"), session, monkeypatch, 100)
    store = session.store
    a = np.array([np.nan if v is None else v for v in values["a"]])
    b = np.array(values["b"])
    filled = np.where(np.isnan(a), np.nanmedian(a), a)
    # numpy sums pairwise: each of log2(700) < 10 additions rounds, and so do the mean that it subtracts and each square.
    few = 32 * 2.0**-53
    scale = np.abs(filled).mean()
    assert float(store["a1.fill.median"]) == np.nanmedian(a)
    assert abs(float(store["a1.standardize.mean"]) - filled.mean()) <= few * scale
    np.testing.assert_allclose(float(store["a1.standardize.std"]), filled.std(), rtol=few)
    both = np.stack([np.where(np.isnan(a), np.nanmin(a), a), b], axis=1)
    centred = both - both.mean(axis=0)
    np.testing.assert_allclose(store["both.whitened.far"], np.abs(centred).max(axis=0), rtol=few)
    # Each product is off by what its mean is off; the sum of their sizes bounds what cancels.
    slack = ROWS * few * (np.abs(both).T @ np.abs(both)).max()
    np.testing.assert_allclose(store["both.whitened.pairs"], centred.T @ centred, atol=slack)


def test_what_needs_all_rows_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sorting is not cut into passes: it works in memory, up to a size."""
    text = PROGRAM.replace("  t = b\n", "  t = b - fit(sort(b)[0])\n")
    session, given = Session(load_unit(text_source(text)), SessionOptions(ObjectCache())), table(rows(), np.arange(ROWS))
    session.fit(given)
    assert float(session.store["t.fit"]) == given.columns["b"].data.min()
    monkeypatch.setattr("bmc.driver.fitting.MOST_AT_ONCE", 5_000)
    with pytest.raises(BmcError) as caught:
        session.fit(given)
    assert [d.code for d in caught.value.diagnostics] == ["E0842"]


def test_sums_of_integers_do_not_wrap(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Bytes meet as i32, as in other arithmetic; over all rows integers are i64."""
    program = """data D {
      source = npz("none.npz")
      columns { u: u8[3]; n: i32; y: f32 }
      x = number(concat(sum(u, axis = 1, keep = true), cumsum(u, axis = 1), u[:, :1] ** 2))
      total = number(n) * 0 + number(fit(sum(n)))
      bytes = number(n) * 0 + number(fit(sum(u)))
      t = y
    }
    model M(x: f32[B, F], total: f32[B], bytes: f32[B]) -> (out: f32[B]) {
      return concat(x, total, bytes) |> dense(1) as one |> squeeze(-1)
    }
    train M on D { loss = mse(out, t)
      metrics = [number(sum(n_of))]
      steps = 1
    }
    """.replace("t = y\n", "t = y\n      n_of = n\n")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    most = 2**31 - 1
    data = {"u": np.full((4, 3), 200, np.uint8), "n": np.full(4, most, np.int32), "y": np.zeros(4, np.float32)}
    model = bmc.compile(program).train(data)
    (split,) = (model._trained.session.outputs("train", table) for table in model._trained.splits().values())
    np.testing.assert_array_equal(split.data["x"], np.tile(np.float32([600, 200, 400, 600, 40000]), (4, 1)))
    assert split.data["total"].tolist() == [np.float32(4 * most)] * 4
    assert split.data["bytes"].tolist() == [2400.0] * 4
    assert next(iter(model.evaluate("train").metrics.values())) == np.float32(4 * most)
