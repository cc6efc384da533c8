"""Attributes of `scan` and `loop`, and their operands, parameters and results by part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from bmc.ir import Dim
from bmc.record import record

__all__ = ["LoopAttrs", "ScanAttrs", "parts"]

Item = TypeVar("Item")


@record(frozen=True)
class ScanAttrs:
    """`carries`, `sequences`: how many operands are such. `reverse`: from the last slice to the first; yields lie where
    their slice lies all the same. `length`: the number of turns.
    """

    carries: int
    sequences: int
    reverse: bool
    length: Dim


@record(frozen=True)
class LoopAttrs:
    """As of `scan`. `workspace`: its bytes. `places`: the offset there of each result of each operation of the region, in
    order, reshapes left out; -1: it lies in the stack of a yield. A new carry that is no yield has two places, one
    behind the other, for even and for odd turns.
    """

    carries: int
    sequences: int
    reverse: bool
    length: Dim
    workspace: Dim
    places: tuple[Dim, ...]


def parts(items: Sequence[Item], carries: int, sequences: int) -> tuple[Sequence[Item], Sequence[Item], Sequence[Item]]:
    """Operands, or parameters, of a scan: carries, sequences, invariants."""
    return items[:carries], items[carries : carries + sequences], items[carries + sequences :]
