"""The examples that draw: a GAN and a VAE, trained, evaluated and sampled from the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
ROWS = 128
ROUNDED = 4 * 2**-24
"""Each row's sum is rounded to f32 once more; means over rows are f64."""


def digits() -> np.ndarray:
    """Bars at different places, 28 x 28."""
    made = np.random.default_rng(0)
    images = made.integers(0, 30, (ROWS, 28, 28))
    for image, at in zip(images, made.integers(4, 22, ROWS), strict=True):
        image[4:24, at : at + 3] += 200
    return images.astype(np.uint8)


def test_a_gan_learns_and_draws(run) -> None:
    shutil.copyfile(EXAMPLES / "gan.bm", "gan.bm")
    np.savez("digits.npz", image=digits().reshape(ROWS, 784))
    assert run("train", "gan.bm", "--set", "epochs=3", "--set", "batch=32").code == 0
    found = json.loads(run("eval", "gan.bmz", "--split", "train", "--json").out)
    assert set(found["metrics"]) == {"d", "g"}
    assert found["loss"] == pytest.approx(sum(found["metrics"].values()), rel=ROUNDED)
    # Samples depend on noise alone: as many as there are rows, each another, the same each time.
    np.savez("five.npz", image=np.zeros((5, 784), np.uint8))
    for name in ("a.npz", "b.npz"):
        assert run("predict", "gan.bmz", "five.npz", "-o", name).code == 0
    samples = np.load("a.npz")["sample"]
    assert samples.shape == (5, 784)
    assert len({s.tobytes() for s in samples}) == 5
    assert np.abs(samples).max() <= 1
    assert np.array_equal(samples, np.load("b.npz")["sample"])


def test_a_vae_learns_and_draws(run) -> None:
    shutil.copyfile(EXAMPLES / "vae.bm", "vae.bm")
    np.savez("mnist.npz", image=digits())
    done = run("train", "vae.bm", "--set", "steps=60", "--set", "batch=32", "--log", "log.jsonl")
    assert done.code == 0
    losses = [line["loss"] for line in map(json.loads, Path("log.jsonl").read_text().splitlines()) if line["split"] == "train"]
    assert losses[-1] < losses[0] / 2
    found = json.loads(run("eval", "vae.bmz", "--split", "valid", "--json").out)["metrics"]
    assert set(found) == {"rec", "kl", "elbo"}
    assert found["elbo"] == pytest.approx(-(found["rec"] + found["kl"]), rel=ROUNDED)
    assert run("predict", "vae.bmz", "mnist.npz", "-o", "out.npz").code == 0
    out = np.load("out.npz")
    assert {k: v.shape for k, v in out.items()} == {"recon": (ROWS, 784), "code": (ROWS, 16), "sample": (ROWS, 784)}
    assert len({s.tobytes() for s in out["sample"]}) == ROWS
