"""An artefact and a checkpoint with everything that they may hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bmc.artefact import Artefact, Checkpoint
from bmc.source import SourceFile
from bmc_runtime.table import text_column

WORDS = ["Biscoe", "", "Dream é", "中"]


@pytest.fixture
def artefact(tmp_path: Path) -> Artefact:
    text = text_column(WORDS)
    return Artefact(
        sources=(
            SourceFile(str(tmp_path / "models" / "m.bm"), "# é\nmodel M(x: f32[B, F]) -> (y: f32[B]) { return sum(x, -1) }\n"),
            SourceFile(str(tmp_path / "shared" / "layers.bm"), ""),
            SourceFile("<lib>/layers.bm", "# library\n"),
        ),
        unit="M",
        overrides=(("seed", "3"), ("hidden", "64")),
        float_type="f32",
        weights={
            "fc.w": np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4),
            "fc.b": np.zeros((0,), np.float32),
            "scale": np.array(np.float32(2.5)),
        },
        states={"bn.mean": np.arange(3, dtype=np.float64), "seen": np.array([True, False])},
        fitted={
            "x.onehot.table": text.data,
            "x.onehot.order": np.array([1, 0, 2, 3], np.int32),
            "x.onehot.count": np.array(4, np.int32),
        },
        keep=text.keep,
        history=({"epoch": 0, "loss": 0.1, "accuracy": float("nan")}, {"epoch": 1, "loss": 1e-30, "valid": {"loss": 0.5}}),
        data="ab" * 32,
        compiler="0.1.0",
    )


@pytest.fixture
def checkpoint() -> Checkpoint:
    text = text_column(WORDS)
    return Checkpoint(
        program="p" * 64,
        data="d" * 64,
        store={"fc.w": np.ones((2, 2), np.float32), "fc.w@m": np.zeros((2, 2), np.float32), "table": text.data},
        best={"fc.w": np.full((2, 2), 0.5, np.float32)},
        progress={
            "step": 12, "stop": {"best": float("nan"), "waited": 0}, "limits": [float("inf"), -float("inf"), 0.1, -0.0, 5e-324],
            "history": [{"split": "valid", "loss": 0.25}], "none": None,
        },
        keep=text.keep,
    )  # fmt: skip
