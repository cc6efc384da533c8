"""What a reducer of fitting is: `partial(block) → merge → finish`, over one pass of the rows or several.

Guaranteed of each: the result is a function of the rows as a multiset, so it has the same bits for one block of rows or many, in
any order; states and questions can be pickled, so that blocks may be reduced anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from bmc_runtime.memory import Array
from bmc_runtime.table import Bytes

__all__ = ["Attributes", "Kernels", "Reducer", "columns_of", "kept_shape"]

Attributes = Mapping[str, Any]


class Kernels(Protocol):
    """The native code of a program that reducers are made of."""

    def count_parts(self, cells: Array, keep: Array, unit: str) -> Iterator[list[tuple[bytes, int]]]:
        """How often each text occurs where a mask of the cells' shape holds, or each of their words or characters (`unit` whole,
        words, chars): counts that add up, so many at a time that they take little memory."""

    def add_exactly(self, x: Array, keep: Array, slots: Array | None, words: Array, squares: Array | None, tallies: Array) -> None:
        """Add the cells of x `[F, n]` (f32 or f64) where `keep` holds to superaccumulators: those of x[f] to that of place f, or
        with `slots` i32 `[n]` (then F is 1) each to that of its slot, where there is one. See `bmc_runtime.reducers.sums`."""

    def count_digits(self, x: Array, keep: Array, prefixes: Array, counts: Array, tallies: Array, shift: int, bits: int) -> None:
        """Count the digits of ordered bits in each x[f] of x `[F, n]`. See `bmc_runtime.reducers.quantiles`."""


class Reducer(Protocol):
    """One reducer. `inputs`: how many arrays it reads. A question is what a pass over the rows is asked: None at first."""

    @property
    def inputs(self) -> int: ...

    def add(self, state: Any, inputs: Sequence[Array], attributes: Attributes, question: Any, kernels: Kernels) -> Any:
        """The state of a block of rows added to `state`, which may be used up; the state of the block alone where that is None."""

    def merge(self, left: Any, right: Any) -> Any:
        """The state of two sets of rows together; the left one may be used up. Both answer the same question."""

    def ask(self, state: Any, attributes: Attributes, question: Any) -> Any:
        """What the next pass over the rows is asked, given the state of all rows; None where there need be no other."""

    def finish(self, state: Any, outputs: Sequence[Array], attributes: Attributes, question: Any) -> tuple[Bytes, ...]:
        """Fills the outputs. Gives the buffers that texts in them point into: they must live as long as the outputs."""


def columns_of(x: Array, axes: Sequence[int]) -> Array:
    """x as `[cells kept, cells reduced]`, row-major: each statistic reads what lies side by side."""
    kept = [i for i in range(x.ndim) if i not in axes]
    width = int(np.prod([x.shape[i] for i in kept], dtype=np.int64))
    count = x.size // width if width else 0
    return np.ascontiguousarray(np.transpose(x, (*kept, *axes)).reshape(width, count))


def kept_shape(x: Array, axes: Sequence[int]) -> tuple[int, ...]:
    return tuple(size for i, size in enumerate(x.shape) if i not in axes)
