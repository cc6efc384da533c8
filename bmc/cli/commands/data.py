"""`bmc data FILE`"""

from __future__ import annotations

import json
from pathlib import Path

import click

from bmc.cli.output import note, result
from bmc.cli.table import text_table
from bmc.driver.profiling.drafting import draft_of
from bmc.driver.profiling.profile import ColumnProfile, Profile, histogram_text, profile_of
from bmc.driver.profiling.scan import MOST_DISTINCT
from bmc.errors import BmcError

__all__ = ["command"]

_WIDEST = 28


@click.command()
@click.argument("file", metavar="FILE")
@click.option("--target", metavar="COLUMN", help="The column to be learned; by default one is guessed.")
@click.option("--rows", type=click.IntRange(1), help="Read so many; by default those of ten million cells, at most a million.")
@click.option("--json", "as_json", is_flag=True, help="Print the profile as one JSON object, and no draft.")
def command(file: str, target: str | None, rows: int | None, as_json: bool) -> None:
    """What a table holds, and a program to begin with.

    The profile goes to standard error, the program to standard output:

    \b
        bmc data flats.csv --target price > flats.bm
        bmc train flats.bm
    """
    profile = profile_of(Path(file), rows)
    if as_json:
        result(json.dumps(profile.as_json(), ensure_ascii=False, allow_nan=False))
        return
    _print(profile)
    try:
        draft = draft_of(profile, target)
    except BmcError:
        if target is None:
            note("\nno program is drafted: no column looks like one to be learned; --target COLUMN names one")
            return
        raise
    if draft.guessed:
        note(f"\nthat {draft.target!r} is to be learned is a guess; --target COLUMN says otherwise")
    result(draft.text)


def _print(profile: Profile) -> None:
    rows = f"{profile.rows:,} rows" if profile.complete else f"the first {profile.rows:,} rows (--rows reads more)"
    columns = len(profile.columns) + len(profile.unreadable)
    note(f"{profile.path}: {profile.form}, {rows}, {columns:,} columns\n")
    header = ["column", "type", "missing", "distinct", "values", "distribution"]
    note(text_table(header, [_row(column) for column in profile.columns], left=(1, 4, 5)))
    for column in profile.columns:
        if column.note:
            note(f"note: {column.header!r}: {column.note}")
        if column.gaps:
            shown = ", ".join(f"{text!r} ({count:,})" for text, count in column.gaps)
            note(f"note: in {column.header!r} {shown} {'seems' if len(column.gaps) == 1 else 'seem'} to stand for missing cells")
    if profile.without_names:
        note("note: most names of the columns are numbers: if the first line is a row, write a line of names above it")
    for name, reason in profile.unreadable:
        note(f"note: no program can read {f'the column {name!r}' if name else 'a column'}: {reason}")


def _row(column: ColumnProfile) -> list[str]:
    kind = (column.type or column.role) + ("?" if column.missing else "")
    missing = f"{column.missing / max(column.rows, 1):.1%}" if column.missing else ""
    if column.role == "array":
        return [_short(column.header), column.type, "", "", "", ""]
    distinct = f"over {MOST_DISTINCT:,}" if column.distinct is None else f"{column.distinct:,}"
    if column.numbers is not None and column.role != "constant":
        found = column.numbers
        least, greatest, median = (_number(value, found.whole) for value in (found.least, found.greatest, found.quantiles[2]))
        values = f"{least} to {greatest}, median {median}"
        return [_short(column.header), kind, missing, distinct, values, histogram_text(found.histogram)]
    if column.ends[0]:
        return [_short(column.header), kind, missing, distinct, f"{column.ends[0]} to {column.ends[1]}", ""]
    values = ", ".join(_short(text, 16) for text, _ in column.top[:3])
    there = max(column.rows - column.missing, 1)
    shares = [count / there for _, count in column.top[:3]]
    bars = " ".join(f"{share:.0%}" for share in shares) if shares and shares[0] >= 0.01 else ""
    return [_short(column.header), kind, missing, distinct, values, bars]


def _number(value: float, whole: bool) -> str:
    """Whole numbers in full, as far as a float has them all: identifiers differ in their last digits."""
    if whole and abs(value) < 2**53:
        return f"{value + 0.0:.1f}".removesuffix(".0")
    return f"{value + 0.0:.6g}"


def _short(text: str, most: int = _WIDEST) -> str:
    shown = "".join(c if c.isprintable() else "·" for c in text)
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"
