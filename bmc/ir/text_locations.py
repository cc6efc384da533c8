"""Source locations in IR text: `@ 0:3:5-3:17`, file number, then line:column of the start and of the end.

In: the locations of operations, or the texts of them. Out: the texts, or locations whose files have the positions
that the texts name. Guaranteed: writing what was read gives the same text. IR text does not carry the sources: a
file that the reader is not given is stood in for by blanks of the same lines and columns, so positions stay right
and only the words are missing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from bmc.ir.graph import Location
from bmc.source import SourceFile, Span

__all__ = ["LOCATION_PATTERN", "FileTable", "LocationReader", "PositionsTooLarge"]

_SPAN: Final = r"[0-9]{1,9}:[0-9]{1,9}:[0-9]{1,9}-[0-9]{1,9}:[0-9]{1,9}"
LOCATION_PATTERN: Final = rf"@(?: gradient)?(?: {_SPAN}(?:, {_SPAN})*)?"
_NUMBERS: Final = re.compile(r"[0-9]+")
_MAX_BLANKS: Final = 1 << 24

Position = tuple[int, int]


class PositionsTooLarge(Exception):
    """The positions in a text would need a stand-in of more than 16 Mi characters, or name line or column 0."""


class FileTable:
    """Numbers source files in the order in which locations name them."""

    def __init__(self) -> None:
        self._numbers: dict[SourceFile, int] = {}

    @property
    def files(self) -> Sequence[SourceFile]:
        return tuple(self._numbers)

    def text(self, location: Location) -> str:
        """`@ 0:3:5-3:17, 1:2:1-2:4`, `@ gradient 0:3:5-3:17`, or nothing for a location that says nothing."""
        if not location.spans and not location.gradient:
            return ""
        parts = []
        for span in location.spans:
            number = self._numbers.setdefault(span.file, len(self._numbers))
            (line, column), (last_line, last_column) = span.file.position(span.start), span.file.position(span.end)
            parts.append(f"{number}:{line}:{column}-{last_line}:{last_column}")
        return "@" + (" gradient" if location.gradient else "") + (" " + ", ".join(parts) if parts else "")


def _spans(text: str) -> list[tuple[int, Position, Position]]:
    numbers = [int(n) for n in _NUMBERS.findall(text)]
    return [(numbers[i], (numbers[i + 1], numbers[i + 2]), (numbers[i + 3], numbers[i + 4])) for i in range(0, len(numbers), 5)]


def _has(file: SourceFile, position: Position) -> bool:
    line, column = position
    if not 1 <= line <= len(file.line_starts) or column < 1:
        return False
    end = file.line_starts[line] if line < len(file.line_starts) else len(file.text) + 1
    return file.line_starts[line - 1] + column <= end


def _blanks(name: str, positions: Sequence[Position]) -> SourceFile:
    columns: dict[int, int] = {}
    for line, column in positions:
        if line < 1 or column < 1:
            raise PositionsTooLarge
        columns[line] = max(columns.get(line, 0), column)
    last = max(columns, default=0)
    if last + sum(columns.values()) > _MAX_BLANKS:
        raise PositionsTooLarge
    return SourceFile(name, "\n".join(" " * (columns.get(line, 1) - 1) for line in range(1, last + 1)))


class LocationReader:
    """Turns location texts into locations. `texts`: all of one module, since a stand-in must have every position in it.

    `names` gives the files' names by number; a file of `sources` is taken by name if it has all the positions.
    Raises PositionsTooLarge, and KeyError (the number) when a text names a file that `names` does not have.
    """

    def __init__(self, texts: Iterable[str], names: Mapping[int, str], sources: Mapping[str, SourceFile]) -> None:
        self._read: dict[str, Location] = {}
        parsed = {text: _spans(text) for text in texts}
        positions: dict[int, list[Position]] = {number: [] for number in names}
        for spans in parsed.values():
            for number, start, end in spans:
                positions[number] += (start, end)
        files = {}
        for number, name in names.items():
            known = sources.get(name)
            fits = known is not None and all(_has(known, p) for p in positions[number])
            files[number] = known if known is not None and fits else _blanks(name, positions[number])
        for text, spans in parsed.items():
            made = tuple(
                Span(files[number], _offset(files[number], start), _offset(files[number], end)) for number, start, end in spans
            )
            self._read[text] = Location(made, text.startswith("@ gradient"))

    def location(self, text: str) -> Location:
        """The location of one of the texts given at first."""
        return self._read[text]


def _offset(file: SourceFile, position: Position) -> int:
    line, column = position
    return file.line_starts[line - 1] + column - 1
