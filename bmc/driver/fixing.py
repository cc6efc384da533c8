"""`bmc check --fix`: makes the changes that diagnostics are certain of.

In: a source. Out: the text after the changes, what was changed, and what is still wrong. Guaranteed: a change stays only where it
takes its error away; the text has no more errors after them all than before; the same source gives the same text.
"""

from __future__ import annotations

from collections.abc import Sequence

from bmc.driver.load import SourceText, check_source
from bmc.errors import BmcError, Diagnostic, Suggestion
from bmc.frontend.elaborate import Checked
from bmc.record import record, replace
from bmc.source import SourceFile, Span

__all__ = ["Change", "Fixed", "count_errors", "fixed"]

_ROUNDS = 50
"""One change may uncover the next mistake; a file that needs more than these is left to its author."""


@record(frozen=True)
class Change:
    """`before` on line `line`, as it was then, became `after`."""

    line: int
    before: str
    after: str
    code: str
    message: str


@record(frozen=True)
class Fixed:
    """`text` is the source after `changes`; `checked` is what is found in it."""

    text: str
    changes: tuple[Change, ...]
    checked: Checked


def fixed(source: SourceText) -> Fixed:
    """The source after every change that is certain."""
    best = now = Fixed(source.main.text, (), _checked(source))
    given_up: set[tuple[str, int]] = set()
    for _ in range(_ROUNDS):
        step = _step(source, now.checked, given_up)
        if step is None:
            break
        source, checked, made = step
        now = Fixed(source.main.text, (*now.changes, *made), checked)
        if count_errors(checked) <= count_errors(best.checked):
            best = now
    return best


def _checked(source: SourceText) -> Checked:
    try:
        return check_source(source)
    except BmcError as error:
        return Checked((), error.diagnostics, (source.main,))


def _step(
    source: SourceText, checked: Checked, given_up: set[tuple[str, int]]
) -> tuple[SourceText, Checked, list[Change]] | None:
    """All certain changes at once, or else the first that helps alone."""
    offers = [o for o in _offers(source.main, checked.diagnostics) if (o[0].code, o[1].start) not in given_up]
    for chosen in ([offers] if len(offers) > 1 else []) + [[offer] for offer in offers]:
        changed = replace(source, main=SourceFile(source.main.name, _applied(source.main.text, chosen)))
        after = _checked(changed)
        if _better(checked, after) and not _still_there(after, chosen):
            return changed, after, [_change(d, s, fix) for d, s, fix in chosen]
        if len(chosen) == 1:
            given_up.add((chosen[0][0].code, chosen[0][1].start))
    return None


def _offers(main: SourceFile, diagnostics: Sequence[Diagnostic]) -> list[tuple[Diagnostic, Span, Suggestion]]:
    """The certain change of each diagnostic that has just one, where none is within another."""
    found: list[tuple[Diagnostic, Span, Suggestion]] = []
    for diagnostic in diagnostics:
        certain = [s for s in diagnostic.suggestions if s.certain and s.span is not None and s.span.file.name == main.name]
        if len(certain) == 1 and certain[0].span is not None:
            found.append((diagnostic, certain[0].span, certain[0]))
    found.sort(key=lambda offer: (offer[1].start, offer[1].end))
    apart: list[tuple[Diagnostic, Span, Suggestion]] = []
    for offer in found:
        if not apart or offer[1].start > apart[-1][1].end:
            apart.append(offer)
    return apart


def _applied(text: str, chosen: Sequence[tuple[Diagnostic, Span, Suggestion]]) -> str:
    for _, span, suggestion in reversed(chosen):
        text = text[: span.start] + suggestion.replacement + text[span.end :]
    return text


def _better(before: Checked, after: Checked) -> bool:
    """No more errors; or fewer of syntax, which hide the others."""
    hiding = [sum(d.code.startswith("E01") for d in checked.diagnostics) for checked in (before, after)]
    return hiding[0] > hiding[1] or count_errors(after) <= count_errors(before)


def count_errors(checked: Checked) -> int:
    return sum(d.level == "error" for d in checked.diagnostics)


def _still_there(after: Checked, chosen: Sequence[tuple[Diagnostic, Span, Suggestion]]) -> bool:
    """Whether an error is where one was to be taken away: at the text that was written, or of the same kind from there on."""
    shift = 0
    for diagnostic, span, suggestion in chosen:
        start = span.start + shift
        end = start + len(suggestion.replacement)
        shift += end - start - (span.end - span.start)
        for error in after.diagnostics:
            where = error.span
            if error.level != "error" or where is None or where.file.name != span.file.name:
                continue
            if (error.code == diagnostic.code and where.start == start) or (where.start == start and where.end == end):
                return True
    return False


def _change(diagnostic: Diagnostic, span: Span, suggestion: Suggestion) -> Change:
    return Change(span.line, span.text, suggestion.replacement, diagnostic.code, diagnostic.message)
