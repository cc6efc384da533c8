"""Where the names that a finding points at got their values.

In: a diagnostic, and for each place where a name was read, where its value came from. Out: the diagnostic with labels there.
Guaranteed: its position and the labels that it had stay; at most `_MOST` are added, each on a line that has none yet.
"""

from __future__ import annotations

from collections.abc import Mapping

from bmc.errors import Diagnostic, Label
from bmc.record import replace
from bmc.source import SourceFile, Span

__all__ = ["with_bindings"]

_MOST = 2
_RANGES = ("E0206", "E0210", "E03", "E0404", "E0407", "E0411", "E05", "E06")
"""Errors that follow from what a value is."""


def with_bindings(diagnostic: Diagnostic, file: SourceFile, bound_at: Mapping[tuple[int, int], Span]) -> Diagnostic:
    """An error whose labels are under names says where these were bound, too: often the mistake is there. So does one that is
    under an expression or a call of a few names."""
    if diagnostic.level != "error" or not diagnostic.code.startswith(_RANGES):
        return diagnostic
    lines = {label.span.line for label in diagnostic.labels if label.span.file is file}
    sources = [
        (label.span.text, bound_at[label.span.start, label.span.end])
        for label in diagnostic.labels
        if label.span.file is file and (label.span.start, label.span.end) in bound_at
    ]
    whole = diagnostic.span
    if not sources and whole is not None and whole.file is file:
        inside = {
            file.text[start:end]: source for (start, end), source in bound_at.items() if whole.start <= start and end <= whole.end
        }
        sources = list(inside.items()) if len(inside) <= _MOST else []
    added: list[Label] = []
    for name, source in sources:
        if source.file is file and source.line not in lines and len(added) < _MOST:
            lines.add(source.line)
            added.append(Label(source, f"`{name}` comes from here"))
    return replace(diagnostic, labels=(*diagnostic.labels, *added)) if added else diagnostic
