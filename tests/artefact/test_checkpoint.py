"""Checkpoints keep every bit of a run, and belong to one run."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bmc.artefact import Checkpoint, read_checkpoint, require_same_run, write_checkpoint
from bmc.errors import BmcError
from bmc_runtime.reducers.distinct import texts_of


def test_round_trip(checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "run.ckpt"
    write_checkpoint(path, checkpoint)
    back = read_checkpoint(path)
    assert (back.program, back.data) == (checkpoint.program, checkpoint.data)
    assert {k: v.tobytes() for k, v in back.best.items()} == {k: v.tobytes() for k, v in checkpoint.best.items()}
    for key in ("fc.w", "fc.w@m"):
        assert back.store[key].dtype == checkpoint.store[key].dtype
        assert back.store[key].tobytes() == checkpoint.store[key].tobytes()
    assert texts_of(back.store["table"]) == texts_of(checkpoint.store["table"])
    assert math.isnan(back.progress["stop"].pop("best"))
    assert back.progress["stop"] == {"waited": 0}
    original = checkpoint.progress["limits"]
    assert struct.pack("<5d", *back.progress["limits"]) == struct.pack("<5d", *original)
    assert back.progress["history"] == checkpoint.progress["history"]
    assert back.progress["none"] is None


def test_there_may_be_no_best_yet(checkpoint: Checkpoint, tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "c", replace(checkpoint, best={}))
    assert read_checkpoint(tmp_path / "c").best == {}


def test_belongs_to_one_run(checkpoint: Checkpoint, golden: Callable[[str, str], None]) -> None:
    require_same_run("run.ckpt", checkpoint, checkpoint.program, checkpoint.data)
    texts = []
    for program, data in (("x", checkpoint.data), (checkpoint.program, "x")):
        with pytest.raises(BmcError) as caught:
            require_same_run("run.ckpt", checkpoint, program, data)
        (diagnostic,) = caught.value.diagnostics
        texts.append("\n".join([f"{diagnostic.code}: {diagnostic.message}", *diagnostic.notes]))
    golden("other_run", "\n".join(texts) + "\n")


def test_damage_is_found(checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "c"
    write_checkpoint(path, checkpoint)
    content = path.read_bytes()
    path.write_bytes(content[:-30])
    with pytest.raises(BmcError, match="E0742"):
        read_checkpoint(path)


@pytest.mark.parametrize("value", [np.float32(1), {3: 4}, {"x": {1, 2}}])
def test_progress_is_plain_data(checkpoint: Checkpoint, tmp_path: Path, value: object) -> None:
    with pytest.raises(ValueError, match="progress"):
        write_checkpoint(tmp_path / "c", replace(checkpoint, progress={"x": value}))
