"""Raw rows to predict, block by block.

In: paths, standard input, or columns in memory; what columns are wanted. Out: `RowBlock`s in the order of the rows. Guaranteed:
rows and errors do not depend on how they are cut into blocks; standard input is read once.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Mapping, Sequence

from bmc.data.files.naming import Given, format_of, is_remote, local_path
from bmc.data.rows import Rows, read_rows, rows_in_parts
from bmc.errors import BmcError
from bmc.frontend.unit import ColumnSpec, SourceSpec
from bmc.record import record
from bmc_runtime.table import Origin, Table

__all__ = ["Reading", "RowBlock", "expanded", "read_row_blocks"]

_MOST_ROWS = 1 << 16


@record(frozen=True, eq=False)
class RowBlock:
    """Consecutive rows. `first_row`: the number of the first, from 0, over all inputs. `errors`: what is wrong with a row, by its
    number in the block; the cells of such rows are not to be used."""

    table: Table
    first_row: int
    errors: Mapping[int, str]


@record(frozen=True)
class Reading:
    """`columns`: what is wanted of the rows, nothing for rows that are counted alone. `declared`: all columns of the data block.
    `form`: the format where names do not say it. `keep_bad`: rows with bad cells are kept, and their errors reported."""

    columns: Sequence[ColumnSpec]
    declared: Sequence[ColumnSpec]
    source: SourceSpec
    form: str | None = None
    keep_bad: bool = False


def read_row_blocks(given: Sequence[Given], reading: Reading) -> Iterator[RowBlock]:
    """The rows of some inputs, one after the other; at least one block, which may be empty. Raises BmcError."""
    first = 0
    # Rows that are windows may be cut from the items of several files.
    for one in expanded(given) if reading.source.window is None else given:
        for rows in _rows_of(one, reading):
            for start in range(0, max(rows.table.rows, 1), _MOST_ROWS):
                table = _numbered(rows.table, rows.first_row).between(start, start + _MOST_ROWS)
                errors = {row - start: text for row, text in rows.errors.items() if start <= row < start + _MOST_ROWS}
                yield RowBlock(table, first, errors)
                first += table.rows


def _numbered(table: Table, first_row: int) -> Table:
    """A part of a file with the numbers that its rows have in the file."""
    if not first_row:
        return table
    ((file, rows),) = table.origin.files
    return Table(table.columns, rows, Origin(((file, first_row + rows),), table.origin.ids + first_row), table.notes)


def expanded(given: Sequence[Given]) -> list[Given]:
    """The files that patterns match, in the order of their names, in place of the patterns; all else as it is."""
    found: list[Given] = []
    for one in given:
        if isinstance(one, Mapping):
            found.append(one)
            continue
        pattern = local_path(str(one))
        matches: list[str] = []
        if is_remote(pattern):
            from bmc.data.files.remote import matches_of  # noqa: PLC0415 - importing Arrow takes a tenth of a second

            matches = matches_of(pattern, None)
        elif any(sign in pattern for sign in "*?[") and not os.path.lexists(pattern):
            matches = sorted(glob.glob(pattern, recursive=True))
        found.extend(matches or [one])
    return found


def _rows_of(given: Given, reading: Reading) -> Iterator[Rows]:
    columns, source, form = reading.columns, reading.source, reading.form
    table = isinstance(given, Mapping) or str(given) == "-" or format_of(given) is not None or form is not None
    if columns or (table and source.window is None):
        yield from rows_in_parts(given, columns, source, form=form, keep_bad=reading.keep_bad)
    else:
        yield _counted(given, reading)


def _counted(given: Given, reading: Reading) -> Rows:
    """Rows of which no cell is needed, as for samples that depend on noise alone: as many as any declared column has."""
    wrong: BmcError | None = None
    for column in reading.declared:
        try:
            found = read_rows(given, [column], reading.source, form=reading.form, keep_bad=True)
        except BmcError as error:
            wrong = wrong or error
        else:
            return Rows(found.table, {})
    assert wrong is not None  # a data block has columns
    raise wrong
