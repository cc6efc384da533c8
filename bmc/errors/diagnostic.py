"""What a stage says about a user's program, as data.

In: a code of the catalogue, a message, spans with labels. Out: `Diagnostic`, rendered elsewhere as text or JSON.
Two kinds of exception reach the top: `BmcError`, the user's, with one or more diagnostics; and `CompilerBug`, ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from bmc.record import record
from bmc.source import Span

__all__ = ["BmcError", "CompilerBug", "Diagnostic", "Label", "Level", "Suggestion"]

Level = Literal["error", "warning", "note"]


@record(frozen=True)
class Label:
    """A span with the words printed under its carets. The first primary label of a diagnostic gives its position."""

    span: Span
    text: str = ""
    primary: bool = False


@record(frozen=True)
class Suggestion:
    """A change that would mend the source: replace `span` by `replacement`. `certain`: a tool may make it without asking, since
    nothing else can well have been meant."""

    message: str
    span: Span | None = None
    replacement: str = ""
    certain: bool = False


@record(frozen=True)
class Diagnostic:
    """One finding. `code` is `E` or `W` and four digits, an entry of `bmc.errors.catalogue`."""

    code: str
    message: str
    labels: tuple[Label, ...] = ()
    notes: tuple[str, ...] = ()
    suggestions: tuple[Suggestion, ...] = ()
    level: Level = "error"

    @property
    def span(self) -> Span | None:
        for label in self.labels:
            if label.primary:
                return label.span
        return self.labels[0].span if self.labels else None


class BmcError(Exception):
    """The user's program, command line or data is wrong. Carries every diagnostic of the run, errors first found first."""

    def __init__(self, diagnostics: Diagnostic | Sequence[Diagnostic]) -> None:
        items = (diagnostics,) if isinstance(diagnostics, Diagnostic) else tuple(diagnostics)
        self.diagnostics: tuple[Diagnostic, ...] = items
        super().__init__("; ".join(f"{d.code}: {d.message}" for d in items))


@dataclass
class CompilerBug(Exception):
    """A promise of the compiler is broken: says in which stage, and carries the IR text that reproduces it."""

    stage: str
    message: str
    reproduction: str = field(default="")

    def __str__(self) -> str:
        return f"{self.stage}: {self.message}"
