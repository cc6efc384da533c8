"""What each reader of a format gives: converted columns, and where their rows stand in the file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from bmc.data.cells.convert import Converted
from bmc.record import record

__all__ = ["BrokenRow", "RawTable", "RowsFrom", "place_of_row"]


@record(frozen=True)
class BrokenRow:
    """A record that cannot be taken apart, or (`cells`, `wanted`) one with too few or too many cells."""

    row: int
    why: str = ""
    cells: int = 0
    wanted: int = 0


@record(frozen=True, eq=False)
class RawTable:
    """Consecutive rows of one file, or all of them. `columns` by name. `place(row)` says where row `row` of these stands in the
    file: `line 7` of text, `row 7` (from 1) of others. `broken`: rows that could not be taken apart at all; their cells are empty.
    `files`: where each column has a file of its own, its name."""

    columns: Mapping[str, Converted]
    rows: int
    place: Callable[[int], str]
    broken: tuple[BrokenRow, ...] = ()
    files: Mapping[str, str] = MappingProxyType({})


def place_of_row(row: int) -> str:
    """For formats without lines."""
    return f"row {row + 1}"


class RowsFrom:
    """Places of rows of which `before` others of the file come before."""

    def __init__(self, before: int) -> None:
        self._before = before

    def __call__(self, row: int) -> str:
        return place_of_row(self._before + row)
