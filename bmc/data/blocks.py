"""What streams of rows are made of.

In: tables of whole files, or parts of files. Out: `Block`s of at most `MOST_ROWS` rows. Guaranteed: rows are views, none is
copied for being in a block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from bmc.record import record
from bmc_runtime.table import Table

__all__ = ["MOST_ROWS", "Block", "Progress", "blocks_of"]

MOST_ROWS = 65_536

Progress = Callable[[int, int | None], None]
"""Hears, now and then, how many bytes of all files have been read, and how many there are (None where nobody knows)."""


@record(frozen=True, eq=False)
class Block:
    """Consecutive rows of one file. `split`: what the source names (None where sources name none); `file`: as errors name it;
    `first_row`: the number in the file of the first row, from 0. The origin of `table` counts within the block: what follows a
    file through its blocks is `file` and `first_row`."""

    split: str | None
    file: str
    first_row: int
    table: Table


def blocks_of(split: str | None, table: Table, first_row: int = 0, most: int = MOST_ROWS) -> Iterator[Block]:
    """The rows of a table as it was read, file by file. `first_row` is the number of the first row in the first of its files."""
    begin, notes = 0, table.notes
    for file, rows in table.origin.files:
        for start in range(begin, begin + rows, most):
            part = table.between(start, min(start + most, begin + rows))
            yield Block(split, file, first_row + start - begin, Table(part.columns, part.rows, notes=notes))
            notes = ()
        begin, first_row = begin + rows, 0
