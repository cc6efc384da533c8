"""Source text and positions in it: what every later stage points back to.

In: the text of a `.bm` or `.bmir` file. Out: `SourceFile` and `Span`, which are immutable and cheap to share.
Guaranteed: offsets are code points into `SourceFile.text`; lines and columns are 1-based; byte offsets are those of the
UTF-8 encoding of the text.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property

from bmc.record import record

__all__ = ["SourceFile", "Span"]


@record(frozen=True, eq=False)
class SourceFile:
    """A named text. `name` is what diagnostics print: a path as the user gave it, `<stdin>`, or a library name."""

    name: str
    text: str

    @cached_property
    def line_starts(self) -> tuple[int, ...]:
        """Offsets at which lines begin; a line ends at `\\n` only."""
        starts = [0]
        starts.extend(i + 1 for i, c in enumerate(self.text) if c == "\n")
        return tuple(starts)

    def position(self, offset: int) -> tuple[int, int]:
        """1-based (line, column) of a code point offset."""
        line = bisect_right(self.line_starts, offset) - 1
        return line + 1, offset - self.line_starts[line] + 1

    def line(self, number: int) -> str:
        """The text of 1-based line `number`, without its newline."""
        start = self.line_starts[number - 1]
        end = self.line_starts[number] - 1 if number < len(self.line_starts) else len(self.text)
        return self.text[start:end].rstrip("\r")

    def byte_offset(self, offset: int) -> int:
        """UTF-8 byte offset of a code point offset."""
        return len(self.text[:offset].encode("utf-8", "surrogatepass"))


@dataclass(frozen=True)
class Span:
    """The half-open range [start, end) of a source file."""

    file: SourceFile
    start: int
    end: int

    def to(self, other: Span) -> Span:
        """The smallest span that covers both; spans of different files yield `self`."""
        if other.file is not self.file:
            return self
        return Span(self.file, min(self.start, other.start), max(self.end, other.end))

    @property
    def text(self) -> str:
        return self.file.text[self.start : self.end]

    @property
    def line(self) -> int:
        return self.file.position(self.start)[0]

    @property
    def column(self) -> int:
        return self.file.position(self.start)[1]

    def __str__(self) -> str:
        line, column = self.file.position(self.start)
        return f"{self.file.name}:{line}:{column}"
