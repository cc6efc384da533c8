"""Where the names that a finding points at got their values.

In: a diagnostic, and the places where the names under it were bound. Out: the diagnostic with labels there. Guaranteed: its
position and the labels that it had stay; at most `_MOST` are added, each on a line that has none yet.
"""

from __future__ import annotations

from collections.abc import Sequence

from bmc.errors import Diagnostic, Label
from bmc.record import replace
from bmc.source import SourceFile, Span

__all__ = ["tells_of_values", "with_bindings"]

_MOST = 2
_RANGES = ("E0206", "E0210", "E03", "E0404", "E0407", "E0411", "E05", "E06")


def tells_of_values(code: str) -> bool:
    """Whether an error follows from what a value is, so that the mistake may be where it was bound."""
    return code.startswith(_RANGES)


def with_bindings(diagnostic: Diagnostic, file: SourceFile, sources: Sequence[tuple[str, Span]]) -> Diagnostic:
    """`diagnostic` with labels where the names of `sources` were bound."""
    lines = {label.span.line for label in diagnostic.labels if label.span.file is file}
    added: list[Label] = []
    for name, source in sources:
        if source.file is file and source.line not in lines and len(added) < _MOST:
            lines.add(source.line)
            added.append(Label(source, f"`{name}` comes from here"))
    return replace(diagnostic, labels=(*diagnostic.labels, *added)) if added else diagnostic
