"""The same bits: whatever may differ between two runs that mean the same, the weights do not.

What may differ: the process and its folder, the order in which the shards of a step run, the number of workers, the rows around a
row that is predicted, and whether the run was interrupted.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bmc.codegen.cache import ObjectCache
from bmc_runtime.table import Column, Table
from tests.training.trials import Losses, Trial

ROWS = 150

TEXT = """
data D {
  source = npz("absent.npz")
  columns { a: f32; b: f32; kind: i32; label: i32 }
  x = concat(a, b)
  tok = kind |> category(7)
  y = label |> category(3)
  w = exp(b)
}
model M(hidden = 24)(x: f32[B, 2], tok: i32[B]) -> (logits: f32[B, 3]) {
  x = concat(x, tok |> embedding(7, 5) as emb, axis = -1)
  h = x |> dense(hidden) as a |> layernorm() as norm |> gelu |> dropout(0.2)
  return h |> dense(3) as out
}
train M on D {
  loss = cross_entropy(logits, y)
  weight = w
  optimizer = adamw(lr = cosine(1e-2, warmup = 5))
  clip = norm(0.5)
  predict = [p = softmax(logits)]
  batch = 32
  shards = SHARDS
  accumulate = ACCUMULATE
  epochs = 3
  seed = 5
}
"""


def program(shards: int = 1, accumulate: int = 1) -> str:
    return TEXT.replace("SHARDS", str(shards)).replace("ACCUMULATE", str(accumulate))


def arrays_of(rows: int = ROWS) -> dict[str, Any]:
    rng = np.random.default_rng(11)
    b = rng.normal(size=rows)
    x = np.stack([rng.normal(size=rows), b], 1).astype(np.float32)
    return {"x": x, "tok": rng.integers(0, 7, rows), "y": (x[:, 0] > 0) + (x[:, 1] > 0), "w": np.exp(b).astype(np.float32)}


def trained(shards: int = 1, accumulate: int = 1, workers: int = 1, cache: ObjectCache | None = None) -> Trial:
    trial = Trial(program(shards, accumulate), "f32", cache)
    losses = trial.train(arrays_of(), workers=workers)
    assert losses[-1] < losses[0]
    return trial


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> ObjectCache:
    """What does not change between tests is compiled once."""
    return ObjectCache(tmp_path_factory.mktemp("objects"))


@pytest.fixture(scope="module")
def digest(cache: ObjectCache) -> Callable[[int, int], str]:
    """The digest of a run in one process, for each way of cutting the batch."""
    known: dict[tuple[int, int], str] = {}

    def found(shards: int, accumulate: int = 1) -> str:
        if (shards, accumulate) not in known:
            known[shards, accumulate] = trained(shards, accumulate, 1, cache).digest()
        return known[shards, accumulate]

    return found


CHILD = """
from tests.training.test_same_bits import trained
print(trained({shards}, {accumulate}).digest())
"""


@pytest.mark.parametrize(("shards", "accumulate"), [(1, 1), (2, 2)])
def test_another_process_in_another_folder(shards: int, accumulate: int, tmp_path: Path, digest: Callable[[int, int], str]) -> None:
    # Another seed of Python's hashes too: no set or dictionary order may reach the code.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "PYTHONHASHSEED": "77"}
    child = CHILD.format(shards=shards, accumulate=accumulate)
    done = subprocess.run([sys.executable, "-c", child], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == digest(shards, accumulate)


@pytest.mark.parametrize("shards", [1, 2, 8])
def test_order_of_shards(shards: int, digest: Callable[[int], str], monkeypatch: pytest.MonkeyPatch, cache: ObjectCache) -> None:
    """An executor may run the shards of a stage in any order. Here: a new order for each stage of each step."""
    from bmc_runtime.binding import Binding, NotFinite

    rng = np.random.default_rng(2)
    moved = 0

    def run(self: Binding, first: int = 0, last: int | None = None) -> None:
        nonlocal moved
        for calls, additions in self.stages[first:last]:
            order = rng.permutation(len(calls))
            moved += int((order != np.arange(len(calls))).any())
            for i in order:
                entry, table, dims = calls[i]
                if entry(table, dims, self.scratch):
                    raise NotFinite
            for add, left, right, count in additions:
                add(left, right, count)

    monkeypatch.setattr(Binding, "run", run)
    assert trained(shards, cache=cache).digest() == digest(shards)
    assert moved > 0 or shards == 1


@pytest.mark.parametrize(("shards", "accumulate", "workers"), [(2, 1, 2), (8, 1, 2), (8, 2, 4)])
def test_number_of_workers(
    shards: int, accumulate: int, workers: int, digest: Callable[[int, int], str], cache: ObjectCache
) -> None:
    assert trained(shards, accumulate, workers, cache).digest() == digest(shards, accumulate)


BATCH_STATISTICS = """
data D {
  source = npz("absent.npz")
  columns { a: f32; b: f32 }
  x = concat(a, b)
  y = b
}
layer bn(x: float[B, D]) -> float[B, D] {
  state mu: float[D] = zeros
  if training {
    m = mean(x, axis = 0)
    mu = 0.9 * mu + 0.1 * m
    return (x - m) / sqrt(mean((x - m) ** 2, axis = 0) + 1e-5)
  }
  return x - mu
}
model M(x: f32[B, 2]) -> (p: f32[B]) { return x |> dense(24) as a |> bn() as n |> relu |> dense(1) as out |> squeeze(-1) }
train M on D {
  loss = mse(p, y)
  batch = 20
  shards = 4
  accumulate = ACCUMULATE
  epochs = 2
}
"""


@pytest.mark.parametrize("accumulate", [1, 2])
def test_statistics_of_the_batch_reach_the_shards_of_every_worker(accumulate: int, cache: ObjectCache) -> None:
    """What runs once between two sums over shards (the mean of the batch) is read by shards that other processes run. The last
    batch of an epoch has 10 rows: 2 or 3 for each shard."""
    arrays = arrays_of()
    arrays["y"] = arrays["x"][:, 1]
    digests = []
    for workers in (1, 2):
        trial = Trial(BATCH_STATISTICS.replace("ACCUMULATE", str(accumulate)), "f32", cache)
        trial.train(arrays, workers=workers)
        assert np.abs(trial.session.store["n.mu"]).max() > 0
        digests.append(trial.digest())
    assert digests[0] == digests[1]


def test_workers_gather_where_something_runs_once_before_the_shards(cache: ObjectCache) -> None:
    """The table of class weights is made once, before any shard runs."""
    digests = []
    for workers in (1, 2):
        trial = Trial(program(2).replace("epochs = 3", "epochs = 3\n  class_weight = [1.0, 2.0, 0.5]"), "f32", cache)
        trial.train(arrays_of(), workers=workers)
        digests.append(trial.digest())
    assert digests[0] == digests[1]


@pytest.mark.parametrize("stop", [1, 7, 10])
def test_going_on_after_an_interruption(stop: int, digest: Callable[[int], str], cache: ObjectCache) -> None:
    """Interrupted in the middle of an epoch (7) or at its end (10); what goes on has the store and the progress, nothing else."""
    first = Trial(program(2), "f32", cache)
    first.start()
    listener = Losses(until=stop)
    run = first.session.run({"train": first.split(arrays_of())})
    listener.run = run
    progress = run.run(listener)
    assert progress.step == stop
    second = Trial(program(2), "f32", cache)
    for key, array in first.session.store.items():
        second.session.store[key][...] = array
    second.session.run({"train": second.split(arrays_of())}, progress=replace(progress)).run(Losses())
    assert second.digest() == digest(2)


def test_going_on_after_an_interruption_in_the_last_step(cache: ObjectCache) -> None:
    """The last epoch still ends: it is evaluated, compared and written down."""
    weights, histories = [], []
    for stop in (None, 15):
        trial = Trial(program(2), "f32", cache)
        trial.start()
        splits = {"train": trial.split(arrays_of()), "valid": replace(trial.split(arrays_of(40), "eval"), name="valid")}
        listener = Losses(until=stop)
        run = listener.run = trial.session.run(splits)
        progress = run.run(listener)
        if stop is not None:
            assert (progress.step, len(progress.history)) == (run.total_steps, 2)
            progress = trial.session.run(splits, progress=replace(progress), best=run.best).run(Losses())
        weights.append(trial.digest())
        histories.append(progress.history)
    assert histories[0] == histories[1]
    assert len(histories[0]) == 3
    assert weights[0] == weights[1]


def test_a_run_that_had_stopped_stays_stopped(cache: ObjectCache) -> None:
    """The checkpoint of its last epoch may outlive the process that would have written the model."""
    text = program().replace("y = label", "split = by_hash(train = 0.8, valid = 0.2)\n  y = label")
    text = text.replace("epochs = 3", "epochs = 9\n  stop = plateau(valid.loss, patience = 2, delta = 100.0)")
    trial = Trial(text, "f32", cache)
    trial.start()
    splits = {"train": trial.split(arrays_of()), "valid": replace(trial.split(arrays_of(40), "eval"), name="valid")}
    progress = trial.session.run(splits).run(Losses())
    assert len(progress.history) == 3
    again = trial.session.run(splits, progress=replace(progress)).run(Losses())
    assert len(again.history) == 3


def table_of(first: int, stop: int) -> Table:
    rng = np.random.default_rng(4)
    a, b = rng.normal(size=(2, 1000)).astype(np.float32)
    kind = rng.integers(0, 7, 1000).astype(np.int32)
    columns = {"a": Column("f32", a), "b": Column("f32", b), "kind": Column("i32", kind)}
    return Table({k: Column(c.dtype, np.ascontiguousarray(c.data[first:stop])) for k, c in columns.items()}, stop - first)


def test_rows_around_a_predicted_row() -> None:
    trial = trained()
    everything = trial.session.predict(table_of(0, 1000))["p"].data
    for first in (0, 5, 500, 991):
        alone = trial.session.predict(table_of(first, first + 1))["p"].data
        seven = trial.session.predict(table_of(first, first + 7))["p"].data
        np.testing.assert_array_equal(alone, everything[first : first + 1])
        np.testing.assert_array_equal(seven, everything[first : first + 7])
