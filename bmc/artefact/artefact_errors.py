"""Errors of artefacts and checkpoints, as named constructors.

In: file names and reasons. Out: `Diagnostic`s with codes E0740 to E0749 of `bmc.errors.catalogue.files`.
"""

from __future__ import annotations

from collections.abc import Sequence

from bmc.errors import Diagnostic

__all__ = [
    "cannot_read", "cannot_write", "damaged", "is_a_directory", "newer_format", "no_such_file", "not_an_artefact",
    "other_parameters", "other_run", "too_large",
]  # fmt: skip


def no_such_file(path: str, what: str) -> Diagnostic:
    """E0740: `what` is "artefact" or "checkpoint"."""
    return Diagnostic("E0740", f"there is no {what} {path!r}")


def is_a_directory(path: str, what: str) -> Diagnostic:
    """E0740"""
    return Diagnostic("E0740", f"{path!r} is a directory, not {_with_article(what)}")


def cannot_read(path: str, reason: str) -> Diagnostic:
    """E0740: `reason` is the system's."""
    return Diagnostic("E0740", f"cannot read {path!r}: {reason}")


def not_an_artefact(path: str, what: str, reason: str) -> Diagnostic:
    """E0741"""
    notes = ("`bmc train` makes artefacts",) if what == "artefact" else ()
    return Diagnostic("E0741", f"{path!r} is not {_with_article(what)}: {reason}", notes=notes)


def damaged(path: str, what: str, reason: str) -> Diagnostic:
    """E0742"""
    return Diagnostic("E0742", f"the {what} {path!r} is damaged: {reason}", notes=("nothing of it was used",))


def newer_format(path: str, what: str, version: int, known: int) -> Diagnostic:
    """E0743"""
    message = f"the {what} {path!r} has format {version}, this bmc knows {known}"
    return Diagnostic("E0743", message, notes=("it was made by a newer bmc",))


def too_large(path: str, what: str, size: int, limit: int) -> Diagnostic:
    """E0744: sizes in bytes."""
    return Diagnostic("E0744", f"the {what} {path!r} would have {size} bytes, at most {limit} are possible")


def other_run(path: str, differs: str) -> Diagnostic:
    """E0745"""
    return Diagnostic(
        "E0745",
        f"the checkpoint {path!r} belongs to another run: {differs}",
        notes=("--resume continues a run with the same source, settings and data; without it training starts anew",),
    )


def other_parameters(path: str, differences: Sequence[str]) -> Diagnostic:
    """E0746"""
    shown = tuple(differences[:5]) + ((f"and {len(differences) - 5} more",) if len(differences) > 5 else ())
    return Diagnostic("E0746", f"the values in {path!r} are not those of its model", notes=shown)


def cannot_write(path: str, reason: str) -> Diagnostic:
    """E0747: `reason` is the system's."""
    return Diagnostic("E0747", f"cannot write {path!r}: {reason}")


def _with_article(what: str) -> str:
    return f"an {what}" if what[0] in "aeiou" else f"a {what}"
