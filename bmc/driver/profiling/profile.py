"""What a table holds, column by column.

In: a file. Out: `Profile`: of each column its type, gaps, the texts that stand for gaps, range, quantiles, a histogram, its most
frequent values, and what it looks like: constant, an identity, prose. Guaranteed: counts are exact over the rows that were read,
`complete` says whether those are all; at most `most_rows` are.
"""

from __future__ import annotations

import glob
import math
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bmc.data.cells.rules import INTEGER_BOUNDS
from bmc.driver.profiling.opening import open_table
from bmc.driver.profiling.scan import ColumnScan
from bmc.record import record, replace

__all__ = ["MOST_ROWS", "SCHEMA", "ColumnProfile", "Numbers", "Profile", "Role", "profile_of"]

MOST_ROWS = 1_000_000
MOST_CELLS = 10_000_000
SCHEMA = 1
"""Of `Profile.as_json`; a change that breaks a reader raises it."""

_BINS = 16
_TOP = 5
_LARGE = 1e140
"""Greater numbers count as this one where they are added up: their squares would not be finite."""

_QUANTILES = (0.01, 0.25, 0.5, 0.75, 0.99)

_GAPS = frozenset({"na", "n/a", "n.a.", "#n/a", "nan", "null", "?", "-", "--", ".", ""})
"""Texts that hardly mean anything else, in lower case, without spaces around."""

_GAPS_AMONG_NUMBERS = _GAPS | {"none", "nil", "missing", "unknown", "not available", "tbd", "..", "inf?", "error", "#value!"}
_SENTINELS = (99.0, 999.0, 9999.0, 99999.0, 999999.0)

Role = Literal[
    "number", "flag", "date", "timestamp", "category", "prose", "identity", "constant", "empty", "nested", "foreign", "array"
]  # fmt: skip
"""`foreign`: numbers or dates that are written as no rule reads them."""

_IDENTITY_NAME = re.compile(r"(^|[^a-z])(id|uuid|guid|index|idx|key|nr|no|number|row|rownum|unnamed: 0)$|^id")
_FOREIGN_DATE = re.compile(r"\d{1,4}[./-]\d{1,2}[./-]\d{1,4}([ T]\d{1,2}:\d{2}.*)?")
_FOREIGN_NUMBER = re.compile(r"[^\dA-Za-z]{0,3}-?\d{1,3}([., '’]\d{3})*([.,]\d+)?\s*(%|€|\$|£|[A-Za-z]{1,3})?")
_PROSE_WORDS = 3.5
_MOST_CATEGORIES = 1000


@record(frozen=True)
class Numbers:
    """Of the cells that are finite numbers. `quantiles`: of 1, 25, 50, 75 and 99 %. `histogram`: counts of equal bins from the 1 %
    to the 99 % quantile, the ends included in the outermost."""

    least: float
    greatest: float
    mean: float
    std: float
    quantiles: tuple[float, ...]
    histogram: tuple[int, ...]
    whole: bool

    @property
    def skewed(self) -> bool:
        """Not negative, and the greatest hundredth is far from the middle: a logarithm evens it out."""
        low, median, high = self.quantiles[1], self.quantiles[2], self.quantiles[4]
        return self.least >= 0 and high > 0 and (high - median) > 6 * max(median - min(low, self.quantiles[0]), 1e-12 * high)

    @property
    def beyond_f32(self) -> bool:
        """Numbers so large and so near each other that the middle half of them falls on less than 64 values of an f32."""
        step = max(abs(self.least), abs(self.greatest)) * 2.0**-24
        return self.greatest > self.least and step >= 1 and self.quantiles[3] - self.quantiles[1] < 64 * step


@record(frozen=True)
class ColumnProfile:
    """`type`: as a `columns` block has it, without `?`; "" of what cannot be read. `missing`: empty cells, and those whose text is
    one of `gaps`. `distinct`: None where there are too many to count. `top`: the most frequent texts. `labels`: all texts, where
    they are few. `note`: what is odd. `head`: the first cells, as they come. `ends`: the first and last of dates, timestamps;
    `cuts`: the days before which eight and nine tenths of them lie.
    """

    header: str
    type: str
    role: Role
    rows: int
    missing: int
    gaps: tuple[tuple[str, int], ...]
    distinct: int | None
    top: tuple[tuple[str, int], ...]
    labels: tuple[str, ...]
    words: float
    numbers: Numbers | None
    note: str
    head: tuple[str | None, ...]
    ends: tuple[str, str] = ("", "")
    cuts: tuple[str, str] | None = None
    decimal: str = "."

    @property
    def head_numbers(self) -> NDArray[np.float64]:
        """The first cells as numbers, NaN where they are none."""
        scan = ColumnScan(self.header, self.decimal)
        known = {text: scan.number(text) for text in set(self.head)}
        return np.array([known[text] for text in self.head], np.float64)

    def as_json(self) -> dict[str, Any]:
        numbers = self.numbers
        return {
            "header": self.header, "type": self.type, "role": self.role, "missing": self.missing, "gaps": dict(self.gaps),
            "distinct": self.distinct, "top": [{"value": t, "count": n} for t, n in self.top], "note": self.note,
            "numbers": None if numbers is None else {
                "min": numbers.least, "max": numbers.greatest, "mean": numbers.mean, "std": numbers.std,
                "quantiles": dict(zip(("0.01", "0.25", "0.5", "0.75", "0.99"), numbers.quantiles, strict=True)),
                "histogram": list(numbers.histogram),
            },
        }  # fmt: skip


@record(frozen=True)
class Profile:
    """`unreadable`: headers that no block can name, with the reason. `complete`: whether all rows were read."""

    path: Path
    form: str
    options: tuple[tuple[str, str], ...]
    rows: int
    complete: bool
    columns: tuple[ColumnProfile, ...]
    unreadable: tuple[tuple[str, str], ...]

    def as_json(self) -> dict[str, Any]:
        """The object that `bmc data --json` prints."""
        return {
            "schema": SCHEMA, "file": str(self.path), "format": self.form, "rows": self.rows, "complete": self.complete,
            "columns": [column.as_json() for column in self.columns],
            "unreadable": [{"header": header, "reason": reason} for header, reason in self.unreadable],
        }  # fmt: skip

    @property
    def without_names(self) -> bool:
        """Whether the first line looks like cells: most names of the columns are numbers."""
        headers = [column.header for column in self.columns] + [header for header, _ in self.unreadable]
        scan = ColumnScan("", dict(self.options).get("decimal", "."))
        return self.form == "csv" and 2 * sum(math.isfinite(scan.number(header)) for header in headers) > len(headers)

    @property
    def gaps(self) -> tuple[str, ...]:
        """All texts that stand for gaps, of all columns."""
        return tuple(dict.fromkeys(text for column in self.columns for text, _ in column.gaps))


def profile_of(path: Path, most_rows: int | None = None) -> Profile:
    """The profile of a file; of files by pattern that of the first, for all of them: what it says of the rest is incomplete. Raises
    BmcError."""
    matches = [] if os.path.lexists(path) else sorted(glob.glob(str(path), recursive=True))
    found = [match for match in matches if os.path.isfile(match)]
    if not found:
        return _profile_of(path, most_rows)
    first = _profile_of(Path(found[0]), most_rows)
    return replace(first, path=path, complete=first.complete and len(found) == 1)


def _profile_of(path: Path, most_rows: int | None) -> Profile:
    """Read the file, or its first `most_rows` rows: by default as many as have `MOST_CELLS` cells, at most `MOST_ROWS`. Raises
    BmcError."""
    table = open_table(path)
    if most_rows is None:
        most_rows = min(MOST_ROWS, max(MOST_CELLS // max(len(table.headers), 1), 10_000))
    scans = {header: ColumnScan(header, table.decimal) for header in table.headers}
    rows, complete = 0, True
    for block in table.blocks():
        if rows >= most_rows:
            complete = False
            break
        count = max((len(cells) for cells in block.values()), default=0)
        taken = min(count, most_rows - rows)
        for header, cells in block.items():
            if table.form == "csv":
                scans[header].add_texts(cells[:taken])
            else:
                scans[header].add_values(cells[:taken])
        rows += taken
        if taken < count:
            complete = False
            break
    arrays = dict(table.arrays)
    columns = tuple(_array(h, arrays[h], rows) if h in arrays else _judged(scan) for h, scan in scans.items())
    return Profile(path, table.form, table.options, rows, complete, columns, table.unreadable)


# --- one column -----------------------------------------------------------------------------------------------------------
def _array(header: str, kind: str, rows: int) -> ColumnProfile:
    """A column of arrays, of whose numbers nothing is said."""
    return ColumnProfile(header, kind, "array", rows, 0, (), None, (), (), 0.0, None, "", ())


def _judged(scan: ColumnScan) -> ColumnProfile:
    kind, gaps = _kind(scan)
    numbers = np.concatenate(scan.numbers) if scan.numbers else np.zeros(0)
    if kind in ("int", "float"):
        sentinels = _sentinels(scan, numbers)
        gaps.update(sentinels)
        numbers = numbers[~np.isin(numbers, [scan.number(text) for text in sentinels])] if sentinels else numbers
    counts = Counter({text: n for text, n in scan.counts.items() if text not in gaps})
    missing = scan.missing + sum(gaps.values())
    distinct = None if scan.capped else len(counts)
    found = _numbers(numbers) if kind in ("int", "float") and len(numbers) else None
    declared = _declared(kind, found)
    role, note = _role(scan, kind, counts, distinct, missing, found)
    labels = tuple(sorted(counts)) if distinct is not None and distinct <= _MOST_CATEGORIES else ()
    ends = (min(counts, default=""), max(counts, default="")) if kind in ("date", "timestamp") else ("", "")
    return ColumnProfile(
        scan.header, "" if role == "nested" else declared, role, scan.rows, missing, tuple(gaps.items()), distinct,
        tuple(counts.most_common(_TOP)), labels, scan.words / max(scan.rows - scan.missing, 1), found, note, tuple(scan.head), ends,
        _cuts(counts) if ends[0] else None, scan.decimal,
    )  # fmt: skip


def _kind(scan: ColumnScan) -> tuple[str, dict[str, int]]:
    """The narrowest kind of the column, and the texts in it that are gaps."""
    if "nested" in scan.natives:
        return "nested", {}
    cells = sum(scan.counts.values())
    if not cells:
        return "text", {}
    if scan.natives in ({"int", "float"}, {"float"}):
        return "float", {}
    if len(scan.natives) == 1 and not scan.natives & {"cell", "text"}:
        return next(iter(scan.natives)), {}
    narrow = ("date", "timestamp") if scan.natives == {"text"} else tuple(scan.failing)
    words = {text.lower() for text in scan.counts}
    for kind in narrow:
        if kind not in scan.failing or (kind == "bool" and not words & {"true", "false"}):
            continue
        failing = scan.failing[kind]
        odd = {text: n for text, n in failing.items() if text.strip().lower() not in _GAPS_AMONG_NUMBERS}
        few = len(odd) <= 2 and sum(odd.values()) <= 0.02 * cells and not any(c.isdigit() for text in odd for c in text)
        if sum(failing.values()) < cells and (not odd or few):
            return ("text", {}) if kind == "int" and _are_codes(scan.counts) else (kind, dict(failing))
    return "text", {text: n for text, n in scan.counts.items() if text.strip().lower() in _GAPS}


def _cuts(counts: Mapping[str, int]) -> tuple[str, str] | None:
    total, done = sum(counts.values()), 0
    found: list[str] = []
    for text in sorted(counts):
        while len(found) < 2 and done >= (0.8, 0.9)[len(found)] * total:
            found.append(text.strip()[:10])
        done += counts[text]
    return (found[0], found[1]) if len(found) == 2 and found[0] < found[1] else None


def _are_codes(counts: Mapping[str, int]) -> bool:
    """Digits of one length, some of which begin with zeros: 01067 is no number."""
    lengths = {len(text) for text in counts}
    zeros = sum(n for text, n in counts.items() if len(text) > 1 and text.startswith("0"))
    if not all(text.isdigit() for text in counts):  # 0.0 is one
        return False
    return len(lengths) == 1 and zeros >= max(2, 0.005 * sum(counts.values()))


def _sentinels(scan: ColumnScan, numbers: NDArray[np.float64]) -> dict[str, int]:
    """Numbers such as -999 that stand far from all others, and often."""
    if "cell" not in scan.natives or len(numbers) < 20:
        return {}
    found: dict[str, int] = {}
    for value in (v * sign for v in _SENTINELS for sign in (1, -1)):
        here = numbers == value
        count = int(here.sum())
        if count < max(2, 0.005 * len(numbers)) or count > 0.9 * len(numbers):
            continue
        others = numbers[~here & ~np.isin(np.abs(numbers), _SENTINELS)]
        if not len(others):
            continue
        low, high = float(others.min()), float(others.max())
        if value > high + 2 * (high - low) or value < low - 2 * max(high - low, 1.0):
            found.update({text: n for text, n in scan.counts.items() if scan.number(text) == value})
    return found


def _numbers(values: NDArray[np.float64]) -> Numbers:
    least, greatest = float(values.min()), float(values.max())
    whole = bool(np.all(values == np.floor(values)))
    values = np.clip(values, -_LARGE, _LARGE)
    quantiles = np.quantile(values, _QUANTILES)
    low, high = float(quantiles[0]), float(quantiles[-1])
    clipped = np.clip(values, low, high)
    # Bins are wider than the distance of neighbouring numbers, which is above 1 where they are large.
    least_high = low + 4 * _BINS * float(np.spacing(max(abs(low), abs(high))))
    bins, _ = np.histogram(clipped, _BINS, (low, max(high if high > low else low + 1, least_high)))
    return Numbers(
        least, greatest, float(values.mean()), float(values.std()), tuple(quantiles.tolist()), tuple(bins.tolist()), whole
    )


def _declared(kind: str, numbers: Numbers | None) -> str:
    if kind == "int":
        low, high = INTEGER_BOUNDS["i32"]
        return "i32" if numbers is None or (low <= numbers.least and numbers.greatest <= high) else "i64"
    return {"float": "f32", "text": "str", "nested": ""}.get(kind, kind)


def _role(
    scan: ColumnScan, kind: str, counts: Mapping[str, int], distinct: int | None, missing: int, numbers: Numbers | None
) -> tuple[Role, str]:
    there = scan.rows - missing
    if kind == "nested":
        return "nested", "cells are lists or objects"
    if there <= 0:
        return "empty", "no cell holds anything"
    if distinct == 1:
        return "constant", f"each cell is {next(iter(counts))!r}"
    unique = distinct is None or distinct >= 0.98 * there
    named = bool(_IDENTITY_NAME.search(scan.header.strip().lower()))
    if kind == "int":
        steps = numbers is not None and numbers.greatest - numbers.least < 2 * there
        if unique and there >= 20 and (named or (scan.ascending and steps and there == scan.rows)):
            return "identity", "each row has its own: it says which row it is"
    if kind in ("int", "float"):
        return "number", ""
    if kind in ("bool", "date", "timestamp"):
        return {"bool": "flag", "date": "date", "timestamp": "timestamp"}[kind], ""  # type: ignore[return-value]
    return _role_of_text(scan, counts, distinct, there, unique=unique)


def _role_of_text(
    scan: ColumnScan, counts: Mapping[str, int], distinct: int | None, there: int, *, unique: bool
) -> tuple[Role, str]:
    cells = max(scan.rows - scan.missing, 1)
    if _share(counts, _FOREIGN_DATE) > 0.95:
        return "foreign", "dates, but not as 2024-02-29"
    if (distinct is None or distinct > 20) and _share(counts, _FOREIGN_NUMBER) > 0.95:
        zeros = any(re.fullmatch(r"0\d+", text) for text in counts)
        if not zeros:
            return "foreign", "numbers, but with units, commas or spaces"
    if scan.words / cells >= _PROSE_WORDS and (distinct is None or distinct > 0.3 * there):
        return "prose", ""
    if unique and there >= 20:
        return "identity", "each row has its own: it says which row it is"
    return "category", ""


def _share(counts: Mapping[str, int], pattern: re.Pattern[str]) -> float:
    """Of the first thousand texts, how many the pattern is of."""
    first = [text for text, _ in zip(counts, range(1000), strict=False)]
    return sum(bool(pattern.fullmatch(text.strip())) for text in first) / max(len(first), 1)


def histogram_text(counts: tuple[int, ...]) -> str:
    """Eight heights of blocks, the highest for the most frequent bin."""
    most = max(counts, default=0)
    return "".join(_heights(counts, most)) if most else ""


_BLOCKS = " ▁▂▃▄▅▆▇█"


def _heights(counts: tuple[int, ...], most: int) -> Iterator[str]:
    for count in counts:
        yield _BLOCKS[0 if not count else max(1, round(8 * count / most))]


