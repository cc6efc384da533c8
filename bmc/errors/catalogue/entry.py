"""What the catalogue says about one code."""

from __future__ import annotations

from bmc.record import record

__all__ = ["Entry"]


@record(frozen=True)
class Entry:
    """`title` is a short sentence without a full stop; `explanation` a paragraph or two; `wrong` and `right` are small
    sources, the first of which causes the diagnostic; `within` names what stands around both (`contexts`), "" where they are
    commands or need a run. All are empty where no source shows it (a missing file)."""

    code: str
    title: str
    explanation: str
    wrong: str = ""
    right: str = ""
    within: str = ""
