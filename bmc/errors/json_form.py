"""Diagnostics as JSON, one object a line, after rustc's schema.

In: a `Diagnostic`. Out: one line of JSON without its newline. Guaranteed: the schema is that of `SCHEMA`; a change that
breaks a reader raises its number. All text is valid Unicode (a lone surrogate becomes U+FFFD).

Keys: `schema` (integer), `code`, `level` (error, warning, note, help), `message`, `spans`, `children`, `rendered`.
A span: `file_name`, `byte_start`, `byte_end` (offsets in the UTF-8 file, end exclusive), `line_start`, `line_end`,
`column_start`, `column_end` (1-based, in code points, end exclusive), `is_primary`, `label` (string or null),
`suggested_replacement` (string or null), `suggestion_applicability` (`MachineApplicable`: `bmc check --fix` makes it;
`MaybeIncorrect`: for a person to judge; null without a replacement). A child is a note or a help: `level`, `message`,
`spans`, no `code`.
"""

from __future__ import annotations

import json
from typing import TypeAlias

from bmc.errors.diagnostic import Diagnostic
from bmc.errors.render import render
from bmc.source import Span

__all__ = ["SCHEMA", "diagnostic_json", "diagnostic_object"]

SCHEMA = 1

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


def _span(
    span: Span, primary: bool, label: str | None, replacement: str | None = None, applicability: str | None = None
) -> dict[str, Json]:
    line_start, column_start = span.file.position(span.start)
    line_end, column_end = span.file.position(span.end)
    return {
        "file_name": _unicode(span.file.name),
        "byte_start": span.file.byte_offset(span.start),
        "byte_end": span.file.byte_offset(span.end),
        "line_start": line_start,
        "line_end": line_end,
        "column_start": column_start,
        "column_end": column_end,
        "is_primary": primary,
        "label": None if label is None else _unicode(label),
        "suggested_replacement": None if replacement is None else _unicode(replacement),
        "suggestion_applicability": applicability,
    }


def _unicode(text: str) -> str:
    return text.encode("utf-8", "replace").decode() if not text.isascii() else text


def diagnostic_object(diagnostic: Diagnostic) -> dict[str, Json]:
    """The object of one diagnostic, made of what `json` can write."""
    children: list[Json] = [{"level": "note", "message": _unicode(note), "spans": []} for note in diagnostic.notes]
    for suggestion in diagnostic.suggestions:
        spans: list[Json] = []
        if suggestion.span is not None:
            applicability = "MachineApplicable" if suggestion.certain else "MaybeIncorrect"
            spans.append(_span(suggestion.span, True, None, suggestion.replacement, applicability))
        children.append({"level": "help", "message": _unicode(suggestion.message), "spans": spans})
    return {
        "schema": SCHEMA,
        "code": diagnostic.code,
        "level": diagnostic.level,
        "message": _unicode(diagnostic.message),
        "spans": [_span(label.span, label.primary, label.text or None) for label in diagnostic.labels],
        "children": children,
        "rendered": _unicode(render(diagnostic)),
    }


def diagnostic_json(diagnostic: Diagnostic) -> str:
    """One line for one diagnostic."""
    return json.dumps(diagnostic_object(diagnostic), ensure_ascii=False)
