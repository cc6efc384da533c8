"""The example that starts from another one: a residual net trained on small pictures, then finetuned on larger ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

import bmc

EXAMPLES = Path(__file__).parent.parent / "examples"
pytestmark = pytest.mark.slow


def pictures(rows: int, side: int, kinds: int) -> dict[str, Any]:
    """The brighter of a few colours is the kind."""
    made = np.random.default_rng(side)
    kind = made.integers(0, kinds, rows)
    images = made.integers(0, 90, (rows, side, side, 3))
    images[np.arange(rows), :, :, kind % 3] += 100
    return {"image": images.astype(np.uint8), "folder": np.array([f"kind {k}" for k in kind])}


def test_the_example_finetunes_the_other_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    base = (EXAMPLES / "resnet.bm").read_text().replace('folder("cifar", ["png"])', 'npz("cifar.npz")')
    base = base.replace(" |> random_flip |> random_shift(4)", "")
    fine = (EXAMPLES / "finetune.bm").read_text().replace('folder("flowers")', 'npz("flowers.npz")')
    (tmp_path / "resnet.bm").write_text(base)
    (tmp_path / "finetune.bm").write_text(fine)
    np.savez(tmp_path / "cifar.npz", **pictures(48, 32, 3))
    np.savez(tmp_path / "flowers.npz", **pictures(12, 64, 3))
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
    answers = bmc.load(tmp_path / "fine.bmz").predict({k: v for k, v in pictures(3, 64, 3).items() if k == "image"})
    assert answers["logits"].shape == (3, 5)
