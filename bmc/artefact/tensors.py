"""Arrays in safetensors.

In: arrays by key; those of text are views (address, length). Out: bytes, and back. Guaranteed: the same arrays give the same bytes;
what is read has a dtype of ours, `bool`s are 0 or 1 and text is UTF-8 within its buffer.

The text array `KEY` `[n]` is stored as `KEY#bytes` u8 `[total]` and `KEY#offsets` i64 `[n + 1]`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from bmc.artefact.container import Damage
from bmc.record import record
from bmc_runtime.memory import DTYPES, Array, dtype_name
from bmc_runtime.reducers.distinct import texts_of
from bmc_runtime.table import Bytes, text_from_offsets

__all__ = ["Tensors", "decode", "encode", "signature"]

_BYTES, _OFFSETS = "#bytes", "#offsets"
_NUMBERS = {dtype: name for name, dtype in DTYPES.items() if name != "str"}


@record(frozen=True, eq=False)
class Tensors:
    """`keep`: the buffers that texts lie in; they must live as long as the arrays."""

    arrays: Mapping[str, Array]
    keep: tuple[Bytes, ...] = ()


def signature(arrays: Mapping[str, Array]) -> dict[str, str]:
    """`dtype[shape]` of each array, by key, sorted."""
    return {key: f"{dtype_name(arrays[key])}{list(arrays[key].shape)}" for key in sorted(arrays)}


def encode(arrays: Mapping[str, Array]) -> bytes:
    """Row-major, little-endian."""
    tensors: dict[str, Array] = {}
    for key in sorted(arrays):
        array = arrays[key]
        if array.dtype == DTYPES["str"]:
            if array.ndim != 1:
                raise ValueError(f"text of shape {list(array.shape)} cannot be stored")
            texts = texts_of(array)
            offsets = np.zeros(len(texts) + 1, np.int64)
            np.cumsum([len(text) for text in texts], out=offsets[1:])
            tensors[key + _BYTES] = np.frombuffer(b"".join(texts), np.uint8)
            tensors[key + _OFFSETS] = offsets
        else:
            tensors[key] = np.ascontiguousarray(array).reshape(array.shape)
    return bytes(save(tensors))


def decode(data: bytes, name: str) -> Tensors:
    """The arrays of `encode`. Damage when they cannot be its."""
    try:
        stored = load(data)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise Damage(f"{name} cannot be read ({error})") from None
    arrays: dict[str, Array] = {}
    keep: list[Bytes] = []
    for key, array in stored.items():
        if array.dtype not in _NUMBERS:
            raise Damage(f"{key!r} in {name} has the dtype {array.dtype}")
        if array.dtype == np.bool_ and array.size and int(array.view(np.uint8).max()) > 1:
            raise Damage(f"{key!r} in {name} holds something else than truth values")
        if key.endswith(_BYTES):
            base = key.removesuffix(_BYTES)
            text = _text(base, array, stored.get(base + _OFFSETS), name)
            arrays[base] = text.arrays[base]
            keep.extend(text.keep)
        elif key.endswith(_OFFSETS):
            if key.removesuffix(_OFFSETS) + _BYTES not in stored:
                raise Damage(f"{key!r} in {name} has no text")
        else:
            arrays[key] = array
    return Tensors(dict(sorted(arrays.items())), tuple(keep))


def _text(key: str, content: Array, offsets: Array | None, name: str) -> Tensors:
    if offsets is None or offsets.dtype != np.int64 or offsets.ndim != 1 or content.dtype != np.uint8 or content.ndim != 1:
        raise Damage(f"the text {key!r} in {name} is incomplete")
    buffer = content.view(np.uint8)
    positions = offsets.view(np.int64)
    try:
        column = text_from_offsets(positions, buffer)
        for text in texts_of(column.data):
            text.decode("utf-8")
    except ValueError as error:  # UnicodeDecodeError is one
        raise Damage(f"the text {key!r} in {name} is broken ({error})") from None
    if int(positions[0]) != 0 or int(positions[-1]) != len(buffer):
        raise Damage(f"the text {key!r} in {name} leaves bytes over")
    return Tensors({key: column.data}, column.keep)
