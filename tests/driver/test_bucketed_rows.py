"""Rows padded in buckets: two run-time dims at once, batch and length, in one compilation."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bmc
from bmc.driver import lower
from bmc.driver.workflow import Silent

PROGRAM = """data A {
  source = jsonl("a.jsonl")
  columns {
    series: f32[T, 2]
    text: str
    label: str
  }
  x = series |> standardize |> pad(max = 40, bucket = 8)
  len = min(length(series), 40)
  let ids = text |> words |> vocab(max = 12)
  tok = ids |> pad(max = 12, bucket = 4)
  count = min(length(ids), 12)
  y = label |> category(["n", "p"])
  split = by_hash(train = 0.7, valid = 0.3)
}
layer Last(H)(x: float[B, T, D], len: i32[B]) -> float[B, H] {
  h: float[B, H] = zeros
  keep = arange(T) < unsqueeze(len, 1)
  scan(axis = 1) v, m in x, keep {
    h = select(unsqueeze(m, -1), tanh((v |> dense(H) as i) + (h |> dense(H) as r)), h)
  }
  return h
}
model M(x: f32[B, T, 2], len: i32[B], tok: i32[B, S], count: i32[B]) -> (logits: f32[B, 2], steps: f32[B, T]) {
  seen = arange(S) < unsqueeze(count, 1) |> number |> unsqueeze(-1)
  bag = sum((tok |> embedding(12, 4) as emb) * seen, axis = 1)
  h = (x, len) |> Last(8) as rnn
  return concat(h, bag) |> dense(2) as fc, x |> dense(1) as each |> squeeze(-1)
}
train M on A {
  loss = cross_entropy(logits, y)
  metrics = [accuracy(logits, y)]
  predict = [logits = logits, steps = steps]
  batch = 16
  epochs = 4
  optimizer = adam(lr = 0.02)
}
"""


def columns(rows: int) -> dict[str, list[Any]]:
    rng = np.random.default_rng(rows)
    series = [rng.normal(size=(int(n), 2)).astype(np.float32) for n in rng.integers(0, 60, rows)]
    labels = ["p" if len(s) and s[-1, 0] > 0 else "n" for s in series]
    text = [". " + " ".join(rng.choice(list("abcdefghijklmno"), int(n))) for n in rng.integers(0, 16, rows)]
    return {"series": series, "text": text, "label": labels}


def some(data: dict[str, list[Any]], rows: slice) -> dict[str, list[Any]]:
    return {name: values[rows] for name, values in data.items() if name != "label"}


@pytest.fixture
def compilations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every object that is compiled, with an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    found: list[str] = []
    compile_object = lower.compile_object

    def counted(text: str, *arguments: Any) -> Any:
        found.append(text)
        return compile_object(text, *arguments)

    monkeypatch.setattr(lower, "compile_object", counted)
    return found


def test_one_compilation_serves_all_lengths(compilations: list[str]) -> None:
    data = columns(300)
    model = bmc.compile(PROGRAM).train(data)
    before = len(compilations)
    assert before == 3  # fitting, data and training; the lengths; evaluation
    whole = model.predict(some(data, slice(None)))
    assert len(compilations) == 4
    lengths = {len(s) for s in data["series"]}
    assert len(lengths) > 40  # all of them within the objects that there are
    for chosen in (slice(0, 1), slice(5, 6), slice(100, 103), slice(299, 300)):
        part = model.predict(some(data, chosen))
        for name, values in part.items():
            assert values.tobytes() == whole[name][chosen].tobytes()
    model.evaluate("valid")
    assert len(compilations) == 4
    assert whole["steps"].shape == (300, 40)
    for row, series in enumerate(data["series"]):
        assert not whole["steps"][row][min(-(-max(len(series), 1) // 8) * 8, 40) :].any()


def test_a_masked_model_gives_the_bits_of_static_padding(compilations: list[str]) -> None:
    """What lies behind a row's end does not reach the logits, so that the padding cannot be seen in them."""
    data = columns(120)
    model = bmc.compile(PROGRAM).train(data)
    static = bmc.compile(PROGRAM.replace(", bucket = 8", "").replace(", bucket = 4", "")).train(data)
    store = static._trained.session.store
    for key, array in model._trained.session.store.items():
        store[key][...] = array
    one, other = (m.predict(some(data, slice(None)))["logits"] for m in (model, static))
    assert one.tobytes() == other.tobytes()
    evaluations = [m._trained.evaluate("valid", {"A": data}) for m in (model, static)]
    assert evaluations[0].loss == evaluations[1].loss
    assert evaluations[0].metrics == evaluations[1].metrics


def test_with_images_that_training_changes(compilations: list[str]) -> None:
    """Outputs that are drawn anew in each step are as wide as they may be; evaluation and prediction are as ever."""
    text = """data A {
  source = jsonl("a.jsonl")
  columns {
    image: f32[4, 4, 1]
    text: str
    y: f32
  }
  x = image |> random_flip
  let ids = text |> words |> hash(50)
  tok = ids |> pad(max = 12, bucket = 4)
  z = y * 2
  split = by_hash(train = 0.8, valid = 0.2)
}
model M(x: f32[B, 4, 4, 1], tok: i32[B, S]) -> (p: f32[B]) {
  return (x |> flatten |> dense(1) as a |> squeeze(1)) + (tok |> embedding(50, 4) |> mean(axis = [1, 2]))
}
train M on A {
  loss = mse(p, z)
  predict = p
  batch = 8
  epochs = 2
}
"""
    rng = np.random.default_rng(0)
    data = {**columns(60), "image": list(rng.normal(size=(60, 4, 4, 1)).astype(np.float32)), "y": rng.normal(size=60).tolist()}
    given = {name: data[name] for name in ("image", "text", "y")}
    model = bmc.compile(text).train(given)
    whole = model.predict(given)["prediction"]
    assert model.predict({name: values[7:8] for name, values in given.items()})["prediction"].tobytes() == whole[7:8].tobytes()


@pytest.mark.parametrize("settings", ["shards = 4", "shards = 2\n  accumulate = 2"])
def test_workers_do_not_change_bits(settings: str, compilations: list[str]) -> None:
    """The length of a batch is that of its longest row wherever its shards run."""
    data = columns(150)
    program = bmc.compile(PROGRAM.replace("epochs = 4", f"epochs = 2\n  {settings}"))
    one, two = (program.train(data, workers=workers).weights for workers in (1, 2))
    assert {key: value.tobytes() for key, value in one.items()} == {key: value.tobytes() for key, value in two.items()}


def test_a_run_that_was_interrupted_goes_on_with_the_same_bits(tmp_path: Path, compilations: list[str]) -> None:
    data = columns(150)
    program = bmc.compile(PROGRAM)
    whole = program.train(data).weights

    class Stop(Silent):
        """Interrupts after the 9th step, within an epoch."""

        def on_epoch(self, *_: Any) -> None: ...
        def on_end(self, *_: Any) -> None: ...
        def on_step(self, progress: Any, *_: Any) -> None:
            if progress.step == 9:
                signal.raise_signal(signal.SIGINT)

    output = tmp_path / "m.bmz"
    with pytest.raises(KeyboardInterrupt):
        program.train(data, output=output, observer=Stop())
    resumed = program.train(data, output=output, resume=True).weights
    assert {key: value.tobytes() for key, value in whole.items()} == {key: value.tobytes() for key, value in resumed.items()}
