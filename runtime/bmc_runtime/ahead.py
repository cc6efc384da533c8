"""Batches made before they are wanted: the next rows are computed while the last ones are trained on.

In: what loads some thousand rows at a time into one of two places, the rows in the order in which steps take them. Out: the
addresses at which a batch lies. Guaranteed: the same bits as from loading batch by batch, since a row's outputs do not depend on
the rows beside it; what goes wrong while rows are computed is raised where they are wanted.

Native code runs without the interpreter's lock, so that a second core does this work; and a call for thousands of rows costs
Python what one for a batch does.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from bmc_runtime.feeding import Feed, Loader
from bmc_runtime.memory import SCRATCH_BYTES, Array, address_of, aligned_bytes
from bmc_runtime.table import Indices

__all__ = ["Ahead"]

_ROWS, _BYTES = 4096, 8 << 20
"""About how many rows are computed at a time, and how many bytes their outputs may take."""


class Ahead:
    """`batch`: rows that are wanted together stand at multiples of it. `outputs`: arrays of `size` rows, as a batch has them."""

    def __init__(self, feed: Feed, batch: int) -> None:
        row_bytes = feed.row_bytes
        self.size = batch * max(1, min(_ROWS // batch, _BYTES // max(row_bytes * batch, 1)))
        # One place is read while the other is filled.
        self._loaders = [feed.loader(self.size, scratch=aligned_bytes(SCRATCH_BYTES)) for _ in range(2)]
        self._addresses = [
            [(key, address_of(loader.outputs[key]), loader.outputs[key].nbytes // self.size) for key in feed.rowed]
            for loader in self._loaders
        ]
        self.outputs: dict[str, Array] = self._loaders[0].outputs
        self._thread = ThreadPoolExecutor(1, "bmc-ahead")
        self._rows: Indices = np.zeros(0, np.int64)
        self._ready = -1
        self._coming: tuple[int, Future[None]] | None = None

    def begin(self, rows: Indices) -> None:
        """From now on places are those of `rows`, which must stay as they are until the next call."""
        self._settle()
        self._rows, self._ready = rows, -1
        self._submit(0)

    def at(self, place: int) -> list[tuple[str, int]]:
        """Where the outputs of the rows from `place` on lie: keys and addresses, until the next call. OutsideBound: an integer of
        these rows, or of others nearby, is not below its bound."""
        part, inside = divmod(place, self.size)
        if part != self._ready:
            if self._coming is None or self._coming[0] != part:
                self._settle()
                self._submit(part)
            assert self._coming is not None
            coming, self._coming = self._coming[1], None
            coming.result()
            self._ready = part
            self._submit(part + 1)
        return [(key, address + inside * width) for key, address, width in self._addresses[part % 2]]

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _submit(self, part: int) -> None:
        if part * self.size < len(self._rows):
            self._coming = part, self._thread.submit(self._load, self._loaders[part % 2], part)

    def _settle(self) -> None:
        """Wait for what is under way, whose result nobody wants any more."""
        if self._coming is not None:
            self._coming[1].exception()
            self._coming = None

    def _load(self, loader: Loader, part: int) -> None:
        rows = self._rows[part * self.size : (part + 1) * self.size]
        if len(rows) < self.size:  # the last row again and again, so that one binding serves all parts
            rows = np.concatenate([rows, np.full(self.size - len(rows), rows[-1])])
        loader.load(rows, 0, 0, 0, 0, 0, self.size)
