"""Slots of one arena: which values share memory, by greedy best fit over the order of execution.

A slot is as large as its largest value. A value takes a free slot of its own size, else the smallest free one that is
provably no smaller, else it enlarges the largest free one if that is provably smaller than it, else it gets a slot of
its own.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass, field

from bmc.ir import Dim
from bmc.passes.memory.sizes import aligned, at_most

__all__ = ["Arena"]

SEARCHED = 8
"""Sizes in symbols that are tried for one value at most: it keeps planning linear."""


@dataclass
class Arena:
    """`sizes[s]`: bytes of slot s, final once every value is placed."""

    sizes: list[Dim] = field(default_factory=list)
    _free: dict[Dim, list[int]] = field(default_factory=dict)
    _known: list[int] = field(default_factory=list)
    _open: list[Dim] = field(default_factory=list)

    def take(self, size: Dim) -> int:
        """A slot for a value of `size` bytes."""
        size = aligned(size)
        exact = self._free.get(size)
        if exact:
            return self._pop(size)
        fitting = self._fitting(size)
        if fitting is not None:
            return self._pop(fitting)
        smaller = self._smaller(size)
        if smaller is not None:
            slot = self._pop(smaller)
            self.sizes[slot] = size
            return slot
        self.sizes.append(size)
        return len(self.sizes) - 1

    def give(self, slot: int) -> None:
        """The value in `slot` is dead."""
        size = self.sizes[slot]
        if size not in self._free:
            self._free[size] = []
            if isinstance(size, int):
                insort(self._known, size)
            else:
                self._open.append(size)
        self._free[size].append(slot)

    def offsets(self) -> tuple[list[Dim], Dim]:
        """The offset of each slot and the bytes of the whole arena."""
        offsets: list[Dim] = []
        end: Dim = 0
        for size in self.sizes:
            offsets.append(end)
            end = end + size
        return offsets, end

    def _pop(self, size: Dim) -> int:
        slots = self._free[size]
        slot = slots.pop()
        if not slots:
            del self._free[size]
            if isinstance(size, int):
                self._known.remove(size)
            else:
                self._open.remove(size)
        return slot

    def _fitting(self, size: Dim) -> Dim | None:
        if isinstance(size, int):
            place = bisect_left(self._known, size)
            return self._known[place] if place < len(self._known) else None
        return next((other for other in self._open[-SEARCHED:] if at_most(size, other)), None)

    def _smaller(self, size: Dim) -> Dim | None:
        if isinstance(size, int):
            return self._known[-1] if self._known else None
        for other in self._open[-SEARCHED:]:
            if at_most(other, size):
                return other
        return None
