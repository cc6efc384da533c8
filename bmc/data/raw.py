"""What each reader of a format gives: converted columns, and where their rows stand in the file."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bmc.data.convert import Converted
from bmc.record import record

__all__ = ["BrokenRow", "RawTable", "place_of_row"]


@record(frozen=True)
class BrokenRow:
    """A record that cannot be taken apart, or (`cells`, `wanted`) one with too few or too many cells."""

    row: int
    why: str = ""
    cells: int = 0
    wanted: int = 0


@record(frozen=True, eq=False)
class RawTable:
    """`columns` by name. `place(row)` says where row `row` stands: `line 7` of text, `row 7` (from 1) of others. `broken`: rows
    that could not be taken apart at all; their cells are empty."""

    columns: Mapping[str, Converted]
    rows: int
    place: Callable[[int], str]
    broken: tuple[BrokenRow, ...] = ()


def place_of_row(row: int) -> str:
    """For formats without lines."""
    return f"row {row + 1}"
