"""Errors of profiling, as named constructors.

In: names, reasons. Out: `Diagnostic`s with the codes E0722 and E0850 of `bmc.errors.catalogue`.
"""

from __future__ import annotations

from collections.abc import Sequence

from bmc.errors import Diagnostic, Suggestion, nearest

__all__ = ["no_target", "unfit_target"]

_SHOWN = 12


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:_SHOWN])) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


def no_target(file: str, name: str, headers: Sequence[str]) -> Diagnostic:
    """E0722"""
    near = nearest(name, headers)
    suggestions = (Suggestion(f"there is a column {near!r}"),) if near else ()
    return Diagnostic("E0722", f"{file} has no column {name!r}", (), (f"{file} has {_listed(headers)}",), suggestions)


def unfit_target(name: str | None, reason: str, fit: Sequence[str]) -> Diagnostic:
    """E0850: `name` None: no column of the table can be learned."""
    what = f"{name!r} cannot be what is learned" if name is not None else "there is nothing to learn in this table"
    notes = (f"these can: {_listed(fit)}",) if fit else ()
    return Diagnostic("E0850", f"{what}: {reason}", (), notes)
