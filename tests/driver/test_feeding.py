"""Batches computed as they are wanted are those of a split computed as a whole, for any number of workers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import bmc

PROGRAM = """let N = 9
data Text {
  source = bytes("a.bin") |> windows(N, stride = 4)
  columns { byte: u8 }
  x = byte[:, :8] / 255 |> standardize
  y = integer(byte[:, 8]) // 64
  SPLIT
}
model M(x: f32[B, F]) -> (logits: f32[B, 4]) { return x |> dense(16) as a |> relu |> dense(4) as b }
train M on Text {
  loss = cross_entropy(logits, y)
  metrics = [accuracy(logits, y)]
  predict = [logits = logits]
  batch = 32
  epochs = 2
  MORE
}
"""


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


def program(split: str = "", more: str = "") -> bmc.Program:
    return bmc.compile(PROGRAM.replace("SPLIT", split).replace("MORE", more))


@pytest.fixture
def content(tmp_path: Path) -> bytes:
    found = (np.arange(4003) ** 2 % 251).astype(np.uint8).tobytes()
    (tmp_path / "a.bin").write_bytes(found)
    return found


def windows(content: bytes) -> np.ndarray:
    return np.lib.stride_tricks.sliding_window_view(np.frombuffer(content, np.uint8), 9)[::4]


def same(one: bmc.Model, two: bmc.Model) -> bool:
    return all(one.weights[key].tobytes() == two.weights[key].tobytes() for key in one.weights)


def test_windows_of_a_file_train_as_their_rows_do(content: bytes, tmp_path: Path) -> None:
    """From the file batch by batch; from an array of all windows, whose outputs are computed before the first step."""
    path = str(tmp_path / "a.bin")
    for more in ("", "accumulate = 2; batch = 16; shards = 2"):
        more = more.replace("; batch = 16; ", "\n  ").replace(";", "\n")
        fed = program(more=more).train({"Text": path})
        whole = program(more=more).train({"byte": windows(content).copy()})
        assert same(fed, whole)
    assert np.array_equal(fed.predict(path)["logits"], fed.predict({"byte": windows(content)[:]})["logits"])
    one = fed.predict({"byte": windows(content)[5:6]})["logits"]
    assert one.tobytes() == fed.predict(path)["logits"][5:6].tobytes()


def test_tables_of_windows_are_predicted_as_such(content: bytes, tmp_path: Path) -> None:
    """The windows are the rows of an npz file: its own bytes are none of the corpus."""
    path = str(tmp_path / "a.bin")
    model = program().train({"Text": path})
    np.savez(tmp_path / "rows.npz", byte=windows(content)[:7])
    found = model.predict(str(tmp_path / "rows.npz"))["logits"]
    assert found.tobytes() == model.predict(path)["logits"][:7].tobytes()


def test_workers_change_nothing(content: bytes, tmp_path: Path) -> None:
    split = "split = by_order(train = 0.8, valid = 0.2)"
    found = [program(split, "shards = 2").train({"Text": str(tmp_path / "a.bin")}, workers=n) for n in (1, 2)]
    assert same(*found)
    assert found[0].history == found[1].history


def test_an_integer_beyond_its_bound_is_found_in_its_row(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(bytes([1] * 92 + [255] + [1] * 40))
    text = PROGRAM.replace("SPLIT", "").replace("MORE", "").replace(" // 64", " |> category(4)")
    with pytest.raises(bmc.BmcError, match=r"row 22.*\`y\` is 255|255"):
        bmc.compile(text).train({"Text": str(tmp_path / "a.bin")})
