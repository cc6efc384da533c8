"""Tensors as numpy arrays, for reference evaluation. numpy comes as an argument: this layer never imports it.

A `str` tensor is an array of objects that are Python strings: their order by code point is the order of their UTF-8
bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from bmc.ops.registry import Reference

__all__ = ["dtype_of", "empty", "numpy_dtype", "quiet", "single"]

_NUMPY = {
    "bool": "bool",
    "u8": "uint8",
    "i32": "int32",
    "i64": "int64",
    "f32": "float32",
    "f64": "float64",
    "str": "object",
}
_DTYPES = {name: dtype for dtype, name in _NUMPY.items()}


def numpy_dtype(np: Any, dtype: str) -> Any:
    return np.dtype(_NUMPY[dtype])


def empty(np: Any, dtype: str, shape: Sequence[int]) -> Any:
    """An array to be filled."""
    return np.empty(tuple(shape), numpy_dtype(np, dtype))


def dtype_of(array: Any) -> str:
    """The dtype of the IR of a numpy array; KeyError for one that has no counterpart."""
    return _DTYPES[array.dtype.name]


def quiet(np: Any) -> Any:
    """A context in which IEEE's special results raise no warnings."""
    return np.errstate(all="ignore")


def single(function: Callable[..., Any]) -> Reference:
    """A reference of one result from `function(np, *arrays)`; the result keeps the dtype of the first operand."""

    def reference(np: Any, attrs: Any, arrays: Sequence[Any]) -> Sequence[Any]:
        with quiet(np):
            return (np.asarray(function(np, *arrays), dtype=arrays[0].dtype),)

    return reference
