"""What a unit takes from other models: tensors of `init`, fitted values of `fitted`.

In: a unit whose headers were checked. Out: `Start`: arrays as the program wants them, and hashes of the files. Guaranteed: files
are read before any data is; what is read is what the headers said, or BmcError at the entry; f16, bf16 and the other float type are
rounded once, to nearest.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence

import numpy as np

from bmc.artefact import Artefact, read_artefact
from bmc.errors import BmcError
from bmc.frontend.errors import transfer_errors
from bmc.frontend.transfer.headers import read_stored
from bmc.frontend.transfer.stored import StoredTensor, Unreadable
from bmc.frontend.unit import LoadedSpec, StoredSpec, Unit
from bmc.ir import TensorType
from bmc.record import record
from bmc_runtime.memory import DTYPES, Array
from bmc_runtime.table import Bytes

__all__ = ["Start", "missing_files", "read_start"]


@record(frozen=True, eq=False)
class Start:
    """`values`: first values of weights and states; `fitted`: those of fitted values, whose texts lie in `keep`. `hashes`: SHA-256
    of each file by its name in the source."""

    values: Mapping[str, Array]
    fitted: Mapping[str, Array]
    keep: tuple[Bytes, ...]
    hashes: Mapping[str, str]


def _files(unit: Unit) -> list[StoredSpec]:
    base = unit.data.base if unit.data is not None else None
    return [*unit.stored, *([base] if base is not None else [])]


def missing_files(unit: Unit) -> list[StoredSpec]:
    """Files that the unit starts from and that are not there, each once."""
    return list({spec.path: spec for spec in _files(unit) if not os.path.exists(spec.path)}.values())


def read_start(unit: Unit) -> Start:
    """Read all that `init` and `fitted` name. Raises BmcError."""
    missing = missing_files(unit)
    if missing:
        raise BmcError([transfer_errors.stored_missing(s.span, s.shown, s.path) for s in missing])
    types = {**{w.key: w.type for w in unit.weights}, **{s.key: s.type for s in unit.states}}
    values: dict[str, Array] = {}
    fitted: dict[str, Array] = {}
    keep: tuple[Bytes, ...] = ()
    hashes: dict[str, str] = {}
    for spec in {s.path: s for s in _files(unit)}.values():
        wanted = [item for item in unit.loaded if item.file.path == spec.path]
        base = unit.data.base if unit.data is not None else None
        reused = unit.data.reused if unit.data is not None and base is not None and base.path == spec.path else ()
        hashes[spec.shown] = _hash(spec)
        if not wanted and not reused:
            continue
        if _is_artefact(spec):
            artefact = _artefact(spec)
            tensors = {**artefact.weights, **artefact.states}
            found = {item.source: _of(tensors, item.source, spec) for item in wanted}
            fitted.update({key: _of(artefact.fitted, key, spec) for key in reused})
            keep += artefact.keep
        else:
            found = _safetensors(spec, wanted)
        for item in wanted:
            values[item.key] = _shaped(found[item.source], item, types[item.key])
    return Start(values, fitted, keep, hashes)


def _changed(spec: StoredSpec) -> BmcError:
    return BmcError(transfer_errors.stored_unreadable(spec.span, spec.shown, "it has changed since its header was read"))


def _hash(spec: StoredSpec) -> str:
    try:
        with open(spec.path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BmcError(transfer_errors.stored_unreadable(spec.span, spec.shown, error.strerror or str(error))) from None


def _is_artefact(spec: StoredSpec) -> bool:
    with open(spec.path, "rb") as file:
        return file.read(4) == b"PK\x03\x04"


def _artefact(spec: StoredSpec) -> Artefact:
    """The whole file, with its hashes checked."""
    try:
        return read_artefact(spec.path)
    except BmcError as error:
        raise BmcError(transfer_errors.stored_unreadable(spec.span, spec.shown, error.diagnostics[0].message)) from None


def _of(arrays: Mapping[str, Array], key: str, spec: StoredSpec) -> Array:
    if key not in arrays:
        raise _changed(spec)
    return arrays[key]


def _safetensors(spec: StoredSpec, wanted: Sequence[LoadedSpec]) -> dict[str, Array]:
    try:
        stored = read_stored(spec.path)
        with open(spec.path, "rb") as file:
            found: dict[str, Array] = {}
            for item in wanted:
                tensor = stored.tensors.get(item.source)
                if tensor is None:
                    raise _changed(spec)
                file.seek(tensor.begin)
                found[item.source] = _tensor(file.read(tensor.end - tensor.begin), tensor, spec)
            return found
    except Unreadable as error:
        raise BmcError(transfer_errors.stored_unreadable(spec.span, spec.shown, str(error))) from None
    except OSError as error:
        raise BmcError(transfer_errors.stored_unreadable(spec.span, spec.shown, error.strerror or str(error))) from None


def _tensor(content: bytes, tensor: StoredTensor, spec: StoredSpec) -> Array:
    if len(content) != tensor.end - tensor.begin:
        raise _changed(spec)
    if tensor.dtype == "bf16":  # the upper half of an f32
        return (np.frombuffer(content, "<u2").astype(np.uint32) << 16).view(np.float32).reshape(tensor.shape)
    dtype = np.dtype("<f2") if tensor.dtype == "f16" else DTYPES.get(tensor.dtype)
    if dtype is None:
        raise _changed(spec)
    array = np.frombuffer(content, dtype)
    if tensor.dtype == "bool" and array.size and int(array.view(np.uint8).max()) > 1:
        reason = "a condition of it is neither 0 nor 1"
        raise BmcError(transfer_errors.stored_unreadable(spec.span, spec.shown, reason))
    return array.reshape(tensor.shape)


def _shaped(array: Array, item: LoadedSpec, kind: TensorType) -> Array:
    shape = tuple(dim for dim in kind.shape if isinstance(dim, int))
    if array.ndim != len(item.permutation) or array.size != np.prod(shape, dtype=np.int64):
        raise _changed(item.file)
    with np.errstate(over="ignore"):  # beyond the range of f32: an infinity, which the first loss will show
        return np.ascontiguousarray(array.transpose(item.permutation)).reshape(shape).astype(DTYPES[kind.dtype])
