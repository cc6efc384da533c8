"""Tables of a few rows as text.

In: a header, rows of texts. Out: aligned lines: the first column and those of `left` to the left, the others to the right.
(Importing rich for four lines would cost more than the whole of a `check`.)
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

__all__ = ["text_table"]


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]], left: Collection[int] = ()) -> str:
    """Lines without a final newline. Every row has the header's length."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    lines = []
    for row in (header, *rows):
        cells = enumerate(zip(row, widths, strict=True))
        lines.append("  ".join(c.ljust(width) if i in (0, *left) else c.rjust(width) for i, (c, width) in cells).rstrip())
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)
