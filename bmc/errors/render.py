"""Diagnostics as text for people, in the manner of rustc.

In: a `Diagnostic`. Out: text that ends with a newline. Guaranteed: every label is shown, on the line it starts on, grouped
by file in the order of the labels, the primary label's file first; columns count what a terminal shows (tabs are widened to
stops of 4, wide East Asian characters take two columns, control characters are shown as `?`, so that a source cannot send
escape sequences to the terminal); lines longer than a screen are cut around their carets. Never raises.

    error[E0304]: these dims differ
      --> a.bm:3:11
       |
     1 | fn f(x: float[B, 3]) -> float[B, 4] {
       |                  - 3 here
     3 |   return x
       |          ^ 4 expected
       |
       = note: ...
       = help: ...
"""

from __future__ import annotations

import unicodedata

from bmc.errors.diagnostic import Diagnostic, Label
from bmc.record import record
from bmc.source import SourceFile, Span

__all__ = ["render", "render_all"]

_WIDEST = 140  # columns of source shown of one line
_TAB = 4
_COLORS = {"error": "\x1b[1;31m", "warning": "\x1b[1;33m", "note": "\x1b[1;36m"}
_BLUE, _BOLD, _RESET = "\x1b[1;34m", "\x1b[1m", "\x1b[0m"


@record(frozen=True)
class _Marks:
    """A label on its line: columns [start, end) of the line as shown."""

    start: int
    end: int
    text: str
    primary: bool


def _shown(character: str, column: int) -> str:
    if character == "\t":
        return " " * (_TAB - column % _TAB)
    category = unicodedata.category(character)
    return "?" if category in ("Cc", "Cs") or character in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069" else character


def _columns(shown: str) -> int:
    if shown.isascii():
        return len(shown)
    return sum(_width(c) for c in shown)


def _width(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _layout(line: str) -> tuple[str, list[int]]:
    """The line as shown, and the column at which each of its characters starts, and the last one ends."""
    if line.isascii() and line.isprintable():
        return line, list(range(len(line) + 1))
    parts: list[str] = []
    starts: list[int] = []
    column = 0
    for character in line:
        starts.append(column)
        shown = _shown(character, column)
        parts.append(shown)
        column += _columns(shown)
    starts.append(column)
    return "".join(parts), starts


def _clip(line: str, focus: int) -> tuple[str, int]:
    """A long line cut to what is around character `focus`, and how many characters were cut in front."""
    if len(line) <= _WIDEST:
        return line, 0
    start = max(0, min(focus - _WIDEST // 3, len(line) - _WIDEST))
    return line[start : start + _WIDEST], start


def _marks(label: Label, line_start: int, cut: int, starts: list[int]) -> _Marks:
    def column(offset: int) -> int:
        return starts[max(0, min(offset - line_start - cut, len(starts) - 1))]

    start = column(label.span.start)
    end = column(label.span.end)
    return _Marks(start, max(end, start + 1), label.text, label.primary)


def _caret_lines(marks: list[_Marks]) -> list[tuple[str, bool]]:
    """The lines under a source line, each with whether it belongs to the primary label: carets first, with the text of the
    rightmost label beside them if no other label is right of it; then the other texts, from right to left, hung on bars."""
    marks = sorted(marks, key=lambda m: (m.start, m.end))
    width = max(m.end for m in marks)
    row = [" "] * width
    for mark in sorted(marks, key=lambda m: m.primary):
        row[mark.start : mark.end] = ("^" if mark.primary else "-") * (mark.end - mark.start)
    beside = marks[-1]
    hung = [m for m in marks[:-1] if m.text]
    if any(m.end > beside.start for m in marks[:-1]):
        hung = [m for m in marks if m.text]
        lines = ["".join(row)]
    else:
        lines = ["".join(row) + (f" {beside.text}" if beside.text else "")]
    if hung:
        bars = sorted({m.start for m in hung})
        lines.append(_bars(bars))
        for position, mark in reversed(list(enumerate(hung))):
            left = _bars([b for b in bars if b < mark.start])
            lines.append(left.ljust(mark.start) + mark.text)
            remaining = sorted({m.start for m in hung[:position]})
            if remaining and remaining[-1] == mark.start:
                continue
            bars = remaining
    return [(line.rstrip(), any(m.primary for m in marks)) for line in lines]


def _bars(columns: list[int]) -> str:
    row = [" "] * (columns[-1] + 1) if columns else []
    for column in columns:
        row[column] = "|"
    return "".join(row)


def _last_line(span: Span) -> int:
    return span.file.position(max(span.start, span.end - 1))[0]


class _Painter:
    def __init__(self, color: bool) -> None:
        self._color = color

    def __call__(self, style: str, text: str) -> str:
        return f"{style}{text}{_RESET}" if self._color and text else text


def _snippet(file: SourceFile, labels: list[Label], gutter: int, arrow: str, level: str, paint: _Painter) -> list[str]:
    bar = " " * (gutter + 1) + paint(_BLUE, "|")
    first = next((label for label in labels if label.primary), labels[0])
    out = [" " * gutter + paint(_BLUE, arrow) + f" {_safe(str(first.span))}", bar]
    by_line: dict[int, list[Label]] = {}
    for label in labels:
        by_line.setdefault(label.span.line, []).append(label)
    previous: int | None = None
    for number in sorted(by_line):
        if previous is not None and number > previous + 1:
            if number == previous + 2:
                out.append(_source_line(file, number - 1, gutter, paint))
            else:
                out.append(paint(_BLUE, "..."))
        here = by_line[number]
        line = file.line(number)
        line_start = file.line_starts[number - 1]
        focus = min(label.span.start for label in here) - line_start
        clipped, cut = _clip(line, focus)
        shown, starts = _layout(clipped)
        out.append(paint(_BLUE, str(number).rjust(gutter) + " |") + (" " + shown if shown else ""))
        marks = [_marks(_with_extent(label), line_start, cut, starts) for label in here]
        for text, primary in _caret_lines(marks):
            out.append(bar + " " + paint(_COLORS[level] if primary else _BLUE, text))
        previous = number
    return out


def _with_extent(label: Label) -> Label:
    """A label that goes over several lines says so, since carets are put under its first line only. Its text is made safe."""
    last = _last_line(label.span)
    extent = f" (to line {last})" if last != label.span.line else ""
    return Label(label.span, (_safe(label.text).replace("\n", " ") + extent).strip(), label.primary)


def _source_line(file: SourceFile, number: int, gutter: int, paint: _Painter) -> str:
    shown, _ = _layout(_clip(file.line(number), 0)[0])
    return paint(_BLUE, str(number).rjust(gutter) + " |") + (" " + shown if shown else "")


def _safe(text: str) -> str:
    """Text of a message: newlines stay, other control characters do not reach the terminal."""
    if text.isprintable():
        return text
    return "".join(c if c == "\n" else _shown(c, 0) for c in text)


def _aside(kind: str, text: str, gutter: int, paint: _Painter) -> list[str]:
    lead = " " * (gutter + 1) + paint(_BLUE, "=") + " " + paint(_BOLD, f"{kind}:") + " "
    lines = _safe(text).split("\n")
    indent = " " * (gutter + 3 + len(kind) + 2)
    return [lead + lines[0], *(indent + line for line in lines[1:])]


def render(diagnostic: Diagnostic, color: bool = False) -> str:
    """The text of one diagnostic; `color` adds ANSI escapes."""
    paint = _Painter(color)
    level = diagnostic.level
    head = paint(_COLORS[level], f"{level}[{diagnostic.code}]") + paint(_BOLD, f": {_safe(diagnostic.message)}")
    out = [head]
    labels = sorted(diagnostic.labels, key=lambda label: not label.primary)
    gutter = max([len(str(label.span.line)) for label in labels], default=1)
    files: list[SourceFile] = []
    for label in labels:
        if label.span.file not in files:
            files.append(label.span.file)
    for file in files:
        here = [label for label in diagnostic.labels if label.span.file is file]
        out += _snippet(file, here, gutter, "-->" if file is files[0] else ":::", level, paint)
    asides = [("note", note) for note in diagnostic.notes]
    asides += [("help", s.message) for s in diagnostic.suggestions]
    if labels and asides:
        out.append(" " * (gutter + 1) + paint(_BLUE, "|"))
    for kind, text in asides:
        out += _aside(kind, text, gutter, paint)
    return "\n".join(line.rstrip() for line in out) + "\n"


def render_all(diagnostics: tuple[Diagnostic, ...] | list[Diagnostic], color: bool = False) -> str:
    """All of them, an empty line between two, and a line that counts the errors."""
    text = "\n".join(render(d, color) for d in diagnostics)
    errors = sum(d.level == "error" for d in diagnostics)
    if errors:
        text += f"\n{errors} error{'s' if errors > 1 else ''}\n"
    return text
