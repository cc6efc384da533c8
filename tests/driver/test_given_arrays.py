"""Arrays of the caller's: what does not fit ends in a diagnostic, before native code reads it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bmc.driver.alone import predict_alone
from bmc.driver.given_arrays import array_of, dims_of
from bmc.driver.load import load_unit, text_source
from bmc.driver.trainer import Trainer
from bmc.errors import BmcError
from bmc.errors.render import render_all
from bmc.ir import Poly, TensorType

PROGRAM = """
data D {
  source = npz("never-opened.npz")
  columns { a: f32[2]; k: i32 }
  x = a
  y = k |> category(3)
}
model M(x: f32[B, 2], label: i32[B]) -> (loss: f32[B]) { return cross_entropy(x |> dense(3) as d, label) }
train M on D { inputs = [label = y]; loss = mean(loss); optimizer = sgd(lr = 0.1); batch = 4; shards = 1; epochs = 2 }
"""
PADDED = "model M(x: f32[B, T], z: f32[B, 2*T]) -> (y: f32[B]) { return sum(x, axis = 1) + sum(z, axis = 1) }"
DIVIDED = """model M(x: f32[B, T // S], s: f32[B, S], t: f32[B, T]) -> (y: f32[B]) {
  return sum(x, axis = 1) + sum(s, axis = 1) + sum(t, axis = 1)
}"""
CUT = "model M(x: f32[B, T]) -> (y: f32[B]) { return sum(x[:, 2:], axis = 1) }"
TABLE = """model M(x: f32[B, T]) -> (y: f32[B]) {
  param pos: f32[4] = ones
  return sum(x * pos[:T], axis = 1)
}"""
BUCKETS = """data D {
  source = parquet("never-opened.parquet")
  columns { s: f32[T, 2]; t: f32 }
  x = s |> pad(max = 8, bucket = 2)
  y = t
}
model M(x: f32[B, T, 2]) -> (p: f32[B]) {
  param pos: f32[8, 2] = ones
  return sum(x * pos[:T], axis = [1, 2])
}
train M on D { loss = mse(p, y) }
"""
PICKED = "model M(x: i32[B]) -> (y: f32[B, 4]) { return x |> embedding(10, 4) as e }"
X = np.ones((4, 2), np.float32)


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


def trainer(**data: Any) -> Trainer:
    return Trainer(load_unit(text_source(PROGRAM)), data)


def predicted(program: str, **inputs: Any) -> list[float]:
    return predict_alone(load_unit(text_source(program)), inputs, {})["y"].tolist()


def zeros(*shape: int) -> Any:
    return np.zeros(shape, np.float32)


# name: what the diagnostic is of. The name starts with its code.
CASES: dict[str, Callable[[], object]] = {
    "E0813-output": lambda: trainer(x=X, y=[0, 1, 2, 3]),
    "E0813-input": lambda: trainer(x=X, label=[0, 3, 2, 0]),
    "E0813-negative": lambda: trainer(x=X, y=[0, -1, 2, 0]),
    "E0809-wraps": lambda: trainer(x=X, y=np.array([0, 1, 2**32, 0])),
    "E0809-wraps-below": lambda: trainer(x=X, label=np.array([0, -(2**32), 2, 0])),
    "E0809-unsigned": lambda: trainer(x=X, y=np.array([0, 1, 2, 2**32], np.uint64)),
    "E0809-objects": lambda: trainer(x=X, y=[0, 1, 2**70, 0]),
    "E0809-shape": lambda: trainer(x=zeros(4, 3), y=[0, 1, 2, 0]),
    "E0809-rows": lambda: trainer(x=X, y=[0, 1, 2]),
    "E0809-scalar": lambda: trainer(x=X, y=1),
    "E0809-alone-wraps": lambda: predicted(PICKED, x=np.array([1, 2**33])),
    "E0809-alone-polynomial": lambda: predicted(PADDED, x=zeros(2, 3), z=zeros(2, 7)),
    "E0809-alone-rows": lambda: predicted(PADDED, x=zeros(2, 3), z=zeros(3, 6)),
    "E0809-alone-unfixed": lambda: predicted("model M(x: f32[B, 2*T]) -> (y: f32[B]) { return sum(x, axis = 1) }", x=zeros(2, 6)),
    "E0809-alone-division-by-zero": lambda: predicted(DIVIDED, x=zeros(2, 3), s=zeros(2, 0), t=zeros(2, 6)),
    "E0809-alone-too-small": lambda: predicted(CUT, x=zeros(2, 1)),
    "E0809-alone-too-large": lambda: predicted(TABLE, x=zeros(2, 6)),
    "E0809-too-large": lambda: Trainer(load_unit(text_source(BUCKETS)), {"x": zeros(4, 9, 2), "y": zeros(4)}),
    "E0809-alone-missing": lambda: predicted(PADDED, x=zeros(2, 3)),
    "E0809-alone-unknown": lambda: predicted(PADDED, x=zeros(2, 3), z=zeros(2, 6), w=1),
}


@pytest.mark.parametrize("name", CASES)
def test_the_text_of_what_does_not_fit(name: str, golden: Callable[[str, str], None]) -> None:
    with pytest.raises(BmcError) as caught:
        CASES[name]()
    found = caught.value.diagnostics
    assert [d.code for d in found] == [name.partition("-")[0]]
    golden(name, render_all(found))


def test_what_fits_is_taken() -> None:
    """The sums are of a few ones: exact."""
    assert predicted(PADDED, x=np.ones((2, 3)), z=np.ones((2, 6))) == [9, 9]
    assert predicted(DIVIDED, x=np.ones((1, 3)), s=np.ones((1, 2)), t=np.ones((1, 7))) == [12]
    assert predicted(CUT, x=np.ones((2, 2))) == [0, 0]
    losses = []
    for dtype in (np.uint8, np.int32, np.int64, np.uint64):
        for name in ("y", "label"):
            given = trainer(x=X, **{name: np.array([0, 1, 2, 0], dtype)})
            given.step()
            losses.append(given.loss)
    assert len(set(losses)) == 1


@pytest.mark.parametrize(("dtype", "least", "most"), [("i32", -(2**31), 2**31 - 1), ("u8", 0, 255), ("i64", -(2**63), 2**63 - 1)])
def test_integers_keep_their_values_to_the_limits(dtype: str, least: int, most: int) -> None:
    wanted = TensorType(dtype, (2,))
    given = np.array([least, most], np.uint64 if least == 0 else np.int64)
    assert array_of("a", given, wanted).tolist() == [least, most]
    beyond = np.array([0, most + 1], np.uint64)
    with pytest.raises(BmcError, match=rf"'a' has the value {most + 1}, outside {dtype}, in row 2"):
        array_of("a", beyond, wanted)


def test_dims_are_those_of_symbols_alone() -> None:
    t = Poly.symbol("T")
    arrays = [("z", zeros(7), TensorType("f32", (2 * t + 1,))), ("x", zeros(2, 3), TensorType("f32", (Poly.symbol("B"), t)))]
    assert dims_of(arrays) == {"B": 2, "T": 3}
