"""The native parts of reducers, which a program has for the reducers that it uses.

In: a plan's steps; a loaded program. Out: the symbols that code generation writes, and `NativeKernels` that call them.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

import numpy as np

from bmc_runtime.memory import DTYPES, Array, address_of, dtype_name
from bmc_runtime.plan import Step
from bmc_runtime.reducers.distinct import texts_of

__all__ = ["COUNT", "DIGITS", "GROUPS", "MOMENTS", "SUMS", "NativeKernels", "symbols_of"]

COUNT = "bmc_count"
"""Beginning of `bmc_count_whole`, `_words` and `_chars`: `void(cells*, keep*, i64 cells, table*, i64 mask, i64 most, place*)`. A
hash table of (address, length, count) takes in texts until `most` entries are used; place: the cell and the byte in it to go on at,
and the entries used."""

SUMS, MOMENTS, GROUPS, DIGITS = "bmc_sums", "bmc_moments", "bmc_groups", "bmc_digits"
"""Beginnings of symbols; behind them stands `_f32` or `_f64`. What they do: `Kernels`."""

_TABLE = 1 << 16
_ENTRY = np.dtype([("address", np.int64), ("length", np.int64), ("count", np.int64)])

_USED: Final[Mapping[str, str]] = {"exact_sum": SUMS, "row_moments": MOMENTS, "group_moments": GROUPS, "quantiles": DIGITS}

_P, _N = ctypes.c_void_p, ctypes.c_int64
_ARGUMENTS: Final[Mapping[str, tuple[Any, ...]]] = {
    COUNT: (_P, _P, _N, _P, _N, _N, _P),
    DIGITS: (_P, _P, _N, _N, _P, _N, _P, _P, _N, _N),
    **dict.fromkeys((SUMS, MOMENTS, GROUPS), (_P, _P, _P, _N, _N, _N, _P, _P, _P)),
}


def symbols_of(steps: Iterable[Step]) -> list[str]:
    """What the reducers among some steps call."""
    found: set[str] = set()
    for step in steps:
        if step.kind == "host":
            dtype = str(step.attributes["types"][0][0])
            if dtype == "str":
                found.add(f"{COUNT}_{step.attributes.get('unit', 'whole')}")
            elif step.symbol in _USED and dtype in ("f32", "f64"):
                found.add(f"{_USED[step.symbol]}_{dtype}")
    return sorted(found)


class NativeKernels:
    """`Kernels` of a program. KeyError: it has none of what is called."""

    def __init__(self, symbols: Iterable[str], address: Callable[[str], int]) -> None:
        self._address = address  # holds the code that the functions lie in
        self._functions = {
            symbol: ctypes.CFUNCTYPE(None, *_ARGUMENTS[symbol.rpartition("_")[0]])(address(symbol))
            for symbol in symbols
        }

    def count_parts(self, cells: Array, keep: Array, unit: str) -> Iterator[list[tuple[bytes, int]]]:
        """See `Kernels`. Texts of a table that is full are handed out, and it begins anew."""
        if keep.shape != cells.shape:
            raise ValueError(f"texts of {list(cells.shape)} cannot be counted where {list(keep.shape)} hold")
        flat, mask = np.ascontiguousarray(cells).reshape(-1), np.ascontiguousarray(keep)
        function, place = self._functions[f"{COUNT}_{unit}"], np.zeros(3, np.int64)
        while place[0] < len(flat):
            table = np.zeros(_TABLE, _ENTRY)
            place[2] = 0
            function(
                address_of(flat), address_of(mask), len(flat), address_of(table), _TABLE - 1, _TABLE // 2, address_of(place)
            )  # fmt: skip
            used = table[table["count"] > 0]
            yield list(zip(texts_of(used), used["count"].tolist(), strict=True))

    def add_exactly(self, x: Array, keep: Array, slots: Array | None, words: Array, squares: Array | None, tallies: Array) -> None:
        """See `Kernels`."""
        columns, cells = _checked(x, keep)
        grouped = slots is not None and slots.dtype == DTYPES["i32"] and slots.size == cells and columns == 1
        if not (grouped or (slots is None and len(tallies) == columns)):
            raise ValueError("cells do not fit the sums that they are added to")
        kind = GROUPS if slots is not None else MOMENTS if squares is not None else SUMS
        self._functions[f"{kind}_{dtype_name(x)}"](
            address_of(x), address_of(keep), 0 if slots is None else address_of(slots), columns, cells, len(tallies),
            address_of(words), 0 if squares is None else address_of(squares), address_of(tallies),
        )  # fmt: skip

    def count_digits(self, x: Array, keep: Array, prefixes: Array, counts: Array, tallies: Array, shift: int, bits: int) -> None:
        """See `Kernels`."""
        columns, cells = _checked(x, keep)
        if counts.shape != (columns, prefixes.shape[1], 1 << bits) or len(tallies) != columns or len(prefixes) != columns:
            raise ValueError("cells do not fit the counts of their digits")
        self._functions[f"{DIGITS}_{dtype_name(x)}"](
            address_of(x), address_of(keep), columns, cells, address_of(prefixes), prefixes.shape[1], address_of(counts),
            address_of(tallies), shift, bits,
        )  # fmt: skip


def _checked(x: Array, keep: Array) -> tuple[int, int]:
    """How many columns, and cells of each. ValueError: native code cannot read them."""
    if x.ndim != 2 or keep.shape != x.shape or keep.dtype.itemsize != 1:
        raise ValueError(f"cells of {list(x.shape)} do not go with a mask of {list(keep.shape)}")
    if not (x.flags.c_contiguous and keep.flags.c_contiguous):
        raise ValueError("cells must be row-major")
    return x.shape[0], x.shape[1]
