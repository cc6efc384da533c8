"""Arrays of the caller's as compiled functions read them.

In: values by name, the types wanted. Out: aligned arrays of these types, and what they say about run-time dims. Guaranteed: an
integer keeps its value; shapes agree with their types and with one another. Else BmcError (E0809), before native code sees them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bmc.driver import run_errors
from bmc.errors import BmcError, Diagnostic
from bmc.ir import Function, Poly, TensorType
from bmc.ir.dims import Dim, evaluate, symbols
from bmc.ops.extents import open_extents
from bmc_runtime.memory import DTYPES, Array, allocate

__all__ = ["array_of", "dims_of", "require_sizes"]


def array_of(name: str, value: Any, wanted: TensorType) -> Array:
    """`value` as an aligned array of the type, sizes known at run time aside: those are for `dims_of`. Raises BmcError: it is no
    array, has another kind of numbers, another rank or another fixed size, or an integer that the type cannot hold."""
    try:
        array = np.asarray(value)
    except (ValueError, OverflowError) as error:
        raise BmcError(run_errors.columns_do_not_fit(f"{name!r} is no array: {error}")) from None
    to = DTYPES[wanted.dtype]
    fits = array.ndim == wanted.rank and np.can_cast(array.dtype, to, "same_kind")
    if not fits or any(isinstance(dim, int) and dim != size for dim, size in zip(wanted.shape, array.shape, strict=True)):
        raise BmcError(_another_type(name, array, wanted))
    if to.kind in "iu" and not np.can_cast(array.dtype, to, "safe"):
        _require_range(name, array, wanted.dtype)
    made = allocate(wanted.dtype, array.shape)
    made[...] = array
    return made


def _require_range(name: str, array: NDArray[Any], dtype: str) -> None:
    """Numpy would wrap these values without a word."""
    limits = np.iinfo(DTYPES[dtype].name)
    for value in (array.min(), array.max()) if array.size else ():
        if not limits.min <= int(value) <= limits.max:
            row = f", in row {int(np.argwhere(array == value)[0][0]) + 1}" if array.ndim else ""
            notes = (f"{dtype} has {limits.min} to {limits.max}",)
            raise BmcError(run_errors.columns_do_not_fit(f"{name!r} has the value {int(value)}, outside {dtype}{row}", notes))


def dims_of(arrays: Sequence[tuple[str, Array, TensorType]]) -> dict[str, int]:
    """The run-time dims that arrays of `array_of` fix, by symbol: where a type has the symbol alone. Raises BmcError when two sizes
    disagree, when a size is not what a polynomial of the dims gives, or when nothing fixes a symbol."""
    dims: dict[str, int] = {}
    fixed_by: dict[str, str] = {}
    for name, array, wanted in arrays:
        for dim, size in zip(wanted.shape, array.shape, strict=True):
            if isinstance(dim, Poly) and dim == Poly.symbol(str(dim)):
                fixed_by.setdefault(str(dim), name)
                dims.setdefault(str(dim), size)
    for name, array, wanted in arrays:
        for dim, size in zip(wanted.shape, array.shape, strict=True):
            if missing := sorted(symbols(dim) - set(dims)):
                notes = (f"{name!r} is {wanted}", f"an input with the size {missing[0]} alone would fix it")
                raise BmcError(run_errors.columns_do_not_fit(f"no input fixes the size {missing[0]}", notes))
            if size != _size_of(dim, dims):
                known = [f"{symbol} is {dims[symbol]} by {fixed_by[symbol]!r}" for symbol in sorted(symbols(dim))]
                raise BmcError(_another_type(name, array, wanted, *known))
    return dims


def require_sizes(function: Function, dims: Mapping[str, int]) -> None:
    """Refuse run-time dims with which a value of the function would have less than no cells (`x[:, 2:]` of one column), or a slice
    would end behind what it is taken of (`pos[:T]` of a shorter table). Raises BmcError."""
    found = {dim for op in function.ops for dim in open_extents(op)}
    for dim in sorted(found, key=str):
        if missing := sorted(symbols(dim) - set(dims)):
            raise BmcError(run_errors.columns_do_not_fit(f"no input fixes the size {missing[0]}"))
        size = _size_of(dim, dims)
        if size is None or size < 0:
            known = " and ".join(f"{symbol} = {dims[symbol]}" for symbol in sorted(symbols(dim)))
            reason = f"the inputs are too {_wrong(dim, dims)}: with {known} there is no size {dim}"
            raise BmcError(run_errors.columns_do_not_fit(reason))


def _wrong(dim: Dim, dims: Mapping[str, int]) -> str:
    """Which way run-time dims would have to change for a size that is negative."""
    larger = _size_of(dim, {symbol: 2 * size + 1 for symbol, size in dims.items()})
    return "large" if larger is not None and larger < (_size_of(dim, dims) or 0) else "small"


def _size_of(dim: Dim, dims: Mapping[str, int]) -> int | None:
    """The value of a dim, None if it divides by zero."""
    try:
        return evaluate(dim, dims)
    except ZeroDivisionError:
        return None


def _another_type(name: str, array: NDArray[Any], wanted: TensorType, *notes: str) -> Diagnostic:
    return run_errors.columns_do_not_fit(f"{name!r} is {array.dtype}{list(array.shape)}, not {wanted}", notes)
