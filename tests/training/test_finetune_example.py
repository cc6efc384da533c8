"""The example that starts from another one: a residual net trained on small pictures, then finetuned on larger ones."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

import bmc

EXAMPLES = Path(__file__).parent.parent / "examples"
Image = pytest.importorskip("PIL.Image")
pytestmark = pytest.mark.slow


def pictures(folder: Path, rows: int, side: int) -> None:
    """A folder for each of three kinds, which are the brighter of three colours."""
    made = np.random.default_rng(side)
    for number, kind in enumerate(made.integers(0, 3, rows)):
        image = made.integers(0, 90, (side, side, 3))
        image[:, :, kind] += 100
        (folder / f"kind {kind}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.astype(np.uint8)).save(folder / f"kind {kind}" / f"{number}.png")


def test_the_example_finetunes_the_other_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("resnet.bm", "finetune.bm"):
        shutil.copyfile(EXAMPLES / name, tmp_path / name)
    pictures(tmp_path / "cifar", 48, 32)
    pictures(tmp_path / "flowers", 12, 64)
    head = np.random.default_rng(1).normal(size=(10, 5)).astype(np.float32)
    save_file({"fc.weight": head}, tmp_path / "other.safetensors")

    small = {"epochs": 1, "batch": 8}
    bmc.compile(tmp_path / "resnet.bm", "r20", small).train(output=tmp_path / "base.bmz")
    began = bmc.load(tmp_path / "base.bmz").weights
    program = bmc.compile(tmp_path / "finetune.bm", overrides={"epochs": 1, "batch": 4})
    assert [d.code for d in program.check() if d.level == "error"] == []
    model = program.train(output=tmp_path / "fine.bmz").weights
    assert model["base.stem.w"].tobytes() == began["stem.w"].tobytes()  # frozen
    moved = [k for k, v in began.items() if model[f"base.{k}"].tobytes() != v.tobytes()]
    assert "stem.w" not in moved
    assert {"fc.w", "stage.0.down.c1.w", "stage.0.down.n1.running_mean"} <= set(moved)
    # adamw moves a weight by at most about lr a step, at 1e-5 and 1e-3, for 3 steps of 4 rows.
    assert np.abs(model["base.fc.w"] - began["fc.w"]).max() < 5 * 1e-5
    assert 1e-5 < np.abs(model["head.w"] - head).max() < 5 * 1e-3
    answers = bmc.load(tmp_path / "fine.bmz").predict({"image": np.zeros((3, 64, 64, 3), np.uint8)})
    assert answers["logits"].shape == (3, 5)
