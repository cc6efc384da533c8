"""Checkpoints: where a training run stands, so that `--resume` goes on with the same bits.

In: the arrays of the store, those of the best epoch, fitted values, and the run's progress as plain data. Out: one file, and back.
Guaranteed: written atomically; order and noise are functions of the step, so nothing else is needed; a checkpoint names the program
and the data that it belongs to, and `require_same_run` refuses others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bmc.artefact import artefact_errors
from bmc.artefact.container import Damage, Json, dump_json, read_container, write_container
from bmc.artefact.tensors import decode, encode, signature
from bmc.errors import BmcError
from bmc_runtime.memory import Array
from bmc_runtime.table import Bytes

__all__ = ["VERSION", "Checkpoint", "read_checkpoint", "require_same_run", "write_checkpoint"]

VERSION = 1
_WHAT = "checkpoint"
_STORE, _BEST, _PROGRESS = "store.safetensors", "best.safetensors", "progress.json"


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """`program`: a hash of source, overrides and compiler; `data`: the data's fingerprint. `store`: weights, states, moments and
    fitted values; `best`: weights and states of the best epoch, empty before there is one; `keep`: buffers of texts.
    `progress`: plain data (dict, list, str, int, float, bool, None); floats keep their bits, NaN and infinities included."""

    program: str
    data: str
    store: Mapping[str, Array]
    best: Mapping[str, Array]
    progress: Mapping[str, Any]
    keep: tuple[Bytes, ...] = ()


def write_checkpoint(path: str | Path, checkpoint: Checkpoint) -> None:
    """Writes the file, atomically. Raises BmcError."""
    manifest = {
        "program": checkpoint.program,
        "data": checkpoint.data,
        "store": signature(checkpoint.store),
        "best": signature(checkpoint.best),
    }
    members = {
        _STORE: encode(checkpoint.store),
        _BEST: encode(checkpoint.best),
        _PROGRESS: dump_json({key: _plain(value) for key, value in sorted(checkpoint.progress.items())}),
    }
    write_container(path, _WHAT, VERSION, manifest, members)


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Reads and checks the file. Raises BmcError when it is not a whole checkpoint."""
    container = read_container(path, _WHAT, VERSION)
    try:
        store, best = decode(container.member(_STORE), _STORE), decode(container.member(_BEST), _BEST)
        manifest = container.manifest
        if (manifest.get("store"), manifest.get("best")) != (signature(store.arrays), signature(best.arrays)):
            raise Damage("its arrays are not what the manifest says")
        progress = container.json(_PROGRESS)
        program, data = manifest.get("program"), manifest.get("data")
        if not isinstance(progress, dict) or not isinstance(program, str) or not isinstance(data, str):
            raise Damage("its manifest is incomplete")
        values = {key: _original(value) for key, value in progress.items()}
        return Checkpoint(program, data, store.arrays, best.arrays, values, (*store.keep, *best.keep))
    except Damage as error:
        raise BmcError(artefact_errors.damaged(str(path), _WHAT, str(error))) from None


def require_same_run(path: str | Path, checkpoint: Checkpoint, program: str, data: str) -> None:
    """Raises BmcError when the checkpoint belongs to another program or other data."""
    if checkpoint.program != program:
        raise BmcError(artefact_errors.other_run(str(path), "its source, settings or compiler differ"))
    if checkpoint.data != data:
        raise BmcError(artefact_errors.other_run(str(path), "its data differ"))


def _plain(value: Any) -> Json:
    """JSON has no NaN and no infinity: they become `{"float": "nan"}`."""
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise ValueError("keys of progress must be text")
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    if value is None or isinstance(value, str | int | float):
        return value
    raise ValueError(f"progress cannot hold a {type(value).__name__}")


def _original(value: Json) -> Any:
    if isinstance(value, dict):
        if set(value) == {"float"} and value["float"] in ("nan", "inf", "-inf"):
            return float(value["float"])
        return {key: _original(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_original(item) for item in value]
    return value
