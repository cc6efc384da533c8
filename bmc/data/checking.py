"""What is wrong with the rows of a file, as diagnostics.

In: `RawTable`s. Out: those without a bad cell; or, for prediction, what is wrong with each row. Guaranteed: the first bad cells
of a file are named by file, line or row, value and the declaration of their column, whatever the size of its parts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from operator import itemgetter

import numpy as np

from bmc.data import data_errors
from bmc.data.cells.convert import BadCell
from bmc.data.formats.raw import BrokenRow, RawTable
from bmc.errors import BmcError, Diagnostic
from bmc.frontend.unit import ColumnSpec

__all__ = ["checked", "errors_of"]

_SHOWN_ERRORS = 3

_LOOKED_ON = 16
"""Parts of a file that are read behind the first with a bad cell, to say how many more there are."""

_Finding = tuple[int, Callable[[], Diagnostic]]


def checked(parts: Iterable[RawTable], name: str, columns: Sequence[ColumnSpec], na: Sequence[str]) -> Iterator[RawTable]:
    """The parts of a file. Raises BmcError for its first bad cells."""
    waiting = iter(parts)
    for raw in waiting:
        found = _findings(raw, name, columns, na)
        if found:
            _refuse(found, waiting, name, columns, na)
        yield raw


def _refuse(
    found: list[_Finding], rest: Iterator[RawTable], name: str, columns: Sequence[ColumnSpec], na: Sequence[str]
) -> None:
    shown = [make() for _, make in found[:_SHOWN_ERRORS]]
    count, whole = len(found), False
    try:
        for raw in islice(rest, _LOOKED_ON):
            later = _findings(raw, name, columns, na)
            shown += [make() for _, make in later[: _SHOWN_ERRORS - len(shown)]]
            count += len(later)
        whole = next(rest, None) is None
    except BmcError:
        pass  # something else is wrong further down: first things first
    if count > len(shown):
        shown[-1] = data_errors.more_errors(shown[-1], count - len(shown), whole=whole)
    raise BmcError(shown)


def errors_of(raw: RawTable, name: str, columns: Sequence[ColumnSpec], na: Sequence[str]) -> list[tuple[int, Diagnostic]]:
    """What is wrong, with the number of its row, in the order of rows."""
    return [(row, make()) for row, make in _findings(raw, name, columns, na)]


def _findings(raw: RawTable, name: str, columns: Sequence[ColumnSpec], na: Sequence[str]) -> list[_Finding]:
    """As `errors_of`; diagnostics are made when they are wanted, as there may be one for each cell."""
    found: list[_Finding] = []
    for broken in raw.broken:
        if broken.why:
            found.append((broken.row, partial(_malformed, raw, name, broken.row, broken.why)))
        else:
            found.append((broken.row, partial(_ragged_row, raw, name, broken)))
    for spec in columns:
        file = raw.files.get(spec.name, name)
        for cell in raw.columns[spec.name].bad:
            found.append((cell.row, partial(_bad_cell, raw, file, spec, cell, na)))
    known = {row for row, _ in found}
    found += [(row, make) for row, make in _unequal_steps(raw, name, columns) if row not in known]
    return sorted(found, key=itemgetter(0)) if found else found


def _unequal_steps(raw: RawTable, name: str, columns: Sequence[ColumnSpec]) -> Iterator[_Finding]:
    """Rows in which ragged columns of one dim differ in their number of steps."""
    first: dict[str, ColumnSpec] = {}
    for spec in columns:
        if not spec.ragged:
            continue
        other = first.setdefault(spec.ragged, spec)
        one, two = raw.columns[other.name].column.steps, raw.columns[spec.name].column.steps
        for row in np.flatnonzero(one != two).tolist():
            reason = f"{other.header!r} has {one[row]} steps and {spec.header!r} {two[row]}, but both are called {spec.ragged}"
            yield row, partial(_malformed, raw, name, row, reason)


def _malformed(raw: RawTable, name: str, row: int, why: str) -> Diagnostic:
    return data_errors.malformed(name, raw.place(row), why)


def _ragged_row(raw: RawTable, name: str, broken: BrokenRow) -> Diagnostic:
    return data_errors.ragged_row(name, raw.place(broken.row), broken.cells, broken.wanted)


def _bad_cell(raw: RawTable, name: str, spec: ColumnSpec, cell: BadCell, na: Sequence[str]) -> Diagnostic:
    place = raw.place(cell.row)
    if cell.missing:
        return data_errors.missing_cell(spec, name, place, na)
    return data_errors.cannot_convert(spec, name, place, cell.value, cell.why)
