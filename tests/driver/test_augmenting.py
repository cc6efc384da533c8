"""Images mirrored and moved: what training steps see, and that nothing else sees it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import bmc
from bmc.driver.load import load_unit, text_source
from bmc.driver.session import Session
from bmc.driver.trainer import split_of

PROGRAM = """data A {
  source = npz("a.npz")
  columns { image: u8[5, 4, 2]; y: i32 }
  x = image |> AUGMENT |> number
  label = y |> category(3)
}
model M(x: f32[B, H, W, C]) -> (logits: f32[B, 3]) {
  return x / 255 |> reshape([-1, H * W * C]) |> dense(3) as fc
}
train M on A {
  loss = cross_entropy(logits, label)
  inputs = [x = x]
  predict = [logits = logits, seen = x]
  batch = 64
  epochs = 3
  MORE
}
"""
RNG = np.random.default_rng(2)
IMAGES = RNG.integers(1, 256, (256, 5, 4, 2), dtype=np.uint8)
DATA: dict[str, Any] = {"image": IMAGES, "y": RNG.integers(0, 3, 256).astype(np.int32)}


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


def text(augment: str, more: str = "") -> str:
    return PROGRAM.replace("AUGMENT", augment).replace("MORE", more)


def seen(augment: str, seed: int = 0, step: int = 0) -> np.ndarray:
    """What step `step` would see of all images."""
    session = Session(load_unit(text_source(text(augment))))
    split = split_of(session, DATA)
    assert split.feed is not None
    rows = np.arange(len(IMAGES))
    return split.feed.chosen(rows, seed, step, 10, 0)["x"].copy()


def test_each_image_is_mirrored_or_not() -> None:
    for augment, mirrored in (("random_flip", IMAGES[:, :, ::-1]), ("random_flip(vertical = true)", IMAGES[:, ::-1])):
        found = seen(augment)
        as_is = (found == IMAGES).all(axis=(1, 2, 3))
        assert (as_is ^ (found == mirrored).all(axis=(1, 2, 3))).all()
        # A fair coin for each of 256 rows: 128 with a standard deviation of 8; five of them leave 1 in 10^6.
        assert abs(int(as_is.sum()) - 128) < 40
        again = seen(augment, step=1)
        assert not np.array_equal(again, found)
        assert np.array_equal(seen(augment), found)
        assert not np.array_equal(seen(augment, seed=1), found)


def moved(images: np.ndarray, pad: int, height: int, width: int) -> np.ndarray:
    """All parts that there are, [places, N, height, width, C]."""
    padded = np.pad(images, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    places = [(i, j) for i in range(padded.shape[1] - height + 1) for j in range(padded.shape[2] - width + 1)]
    return np.stack([padded[:, i : i + height, j : j + width] for i, j in places])


@pytest.mark.parametrize(
    ("augment", "pad", "size"),
    [
        ("random_shift(1)", 1, (5, 4)),
        ("random_shift(0)", 0, (5, 4)),
        ("random_crop(3)", 0, (3, 3)),
        ("random_crop([4, 3], pad = 1)", 1, (4, 3)),
    ],
)
def test_every_place_is_taken_equally_often(augment: str, pad: int, size: tuple[int, int]) -> None:
    found, wanted = seen(augment), moved(IMAGES, pad, *size)
    assert found.shape[1:3] == size
    hits = (wanted == found).all(axis=(2, 3, 4))
    assert (hits.sum(axis=0) == 1).all()  # every image is one of its parts, and one only
    counts, mean = hits.sum(axis=1), len(IMAGES) / len(wanted)
    # Binomial: five standard deviations (and one, for few rows a place) leave less than 1 in 10^5 for each of some 40 places.
    assert (np.abs(counts - mean) <= 5 * mean**0.5 + 1).all()


def test_nothing_but_training_sees_it() -> None:
    program = bmc.compile(text("random_flip |> random_shift(2)"))
    model = program.train(DATA)
    assert np.array_equal(model.predict({"image": IMAGES})["seen"], IMAGES)
    crop = bmc.compile(text("random_crop(3)")).train(DATA)
    assert np.array_equal(crop.predict({"image": IMAGES})["seen"], IMAGES[:, 1:4, 0:3])
    plain = bmc.compile(text("random_shift(0)")).train(DATA)
    assert not np.array_equal(plain.weights["fc.w"], model.weights["fc.w"])


def test_augmented_training_is_a_function_of_the_seed() -> None:
    """Not of the workers, nor of how a step is cut into micro-batches."""
    programs = [text("random_flip |> random_shift(2)", more) for more in ("shards = 2", "shards = 2\n  accumulate = 2")]
    programs[1] = programs[1].replace("batch = 64", "batch = 32")
    found = [bmc.compile(programs[0]).train(DATA, workers=n).weights["fc.w"] for n in (1, 2)]
    assert found[0].tobytes() == found[1].tobytes()
    halves = bmc.compile(programs[1]).train(DATA).weights["fc.w"]
    # The same draws; only sums are grouped otherwise: 12 steps of a learning rate of 1e-3 in f32.
    assert np.allclose(found[0], halves, rtol=0, atol=1e-4)


def test_only_what_draws_is_computed_again() -> None:
    assert "augment" in {f.name for f in load_unit(text_source(text("random_flip"))).module.functions}
    assert "augment" not in {f.name for f in load_unit(text_source(text("number"))).module.functions}
