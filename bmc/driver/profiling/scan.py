"""One column of a table, cell by cell: what its cells could be.

In: texts (of csv) or values (of formats that have types), block by block. Out: counts that `bmc.driver.profiling.profile` judges.
Guaranteed: the rules of `bmc.data.cells.rules` say what a text may be; memory is bounded by `MOST_DISTINCT` texts and 8 bytes a
row.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bmc.data.cells.rules import CellError, Parser, is_missing, text_parser
from bmc.frontend.unit import ColumnKind, ColumnSpec
from bmc.source import SourceFile, Span

__all__ = ["HEAD", "KINDS", "MOST_DISTINCT", "ColumnScan", "column_spec"]

HEAD = 20_000
"""Cells kept as they come, to compare columns."""

MOST_DISTINCT = 50_000

_MOST_FAILING = 20
"""So many different texts that are no number, and the column is none."""

KINDS: Mapping[str, tuple[str, ColumnKind]] = MappingProxyType(
    {"bool": ("bool", "plain"), "int": ("i64", "plain"), "float": ("f64", "plain"), "date": ("i32", "date"),
     "timestamp": ("i64", "timestamp"), "text": ("str", "plain")}
)  # fmt: skip
"""What a text may be, narrowest first → how such a column is declared."""

_NATIVE: Mapping[type, str] = MappingProxyType(
    {bool: "bool", int: "int", float: "float", str: "text", datetime: "timestamp", date: "date"}
)


def column_spec(header: str, kind: str, nullable: bool = True, cell: tuple[int, ...] = ()) -> ColumnSpec:
    """A column that is declared nowhere yet."""
    file = SourceFile("<profile>", header)
    dtype, of = KINDS[kind]
    return ColumnSpec(header, header, dtype, of, nullable, cell, Span(file, 0, len(header)))


def _parsers(decimal: str) -> dict[str, Parser]:
    return {kind: text_parser(column_spec("", kind), decimal) for kind in KINDS if kind != "text"}


@dataclass
class ColumnScan:
    """`missing`: cells that are empty or null. `counts`: cells by text, of the first `MOST_DISTINCT` texts (`capped`: there are
    more). `failing`: for each kind that the column may still be, the texts that are not. `natives`: the types the file gave.
    `words`: of cells that are no numbers."""

    header: str
    decimal: str = "."
    rows: int = 0
    missing: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    capped: bool = False
    failing: dict[str, Counter[str]] = field(default_factory=lambda: {kind: Counter() for kind in KINDS if kind != "text"})
    natives: set[str] = field(default_factory=set)
    numbers: list[NDArray[np.float64]] = field(default_factory=list)
    head: list[str | None] = field(default_factory=list)
    words: int = 0
    ascending: bool = True
    _last: float = -math.inf
    _parsers: dict[str, Parser] = field(init=False)

    def __post_init__(self) -> None:
        self._parsers = _parsers(self.decimal)

    def number(self, text: str | None) -> float:
        """The number that a text is, NaN if it is none."""
        try:
            return math.nan if not text else float(self._parsers["float"](text))
        except CellError:
            return math.nan

    def add_texts(self, texts: Sequence[str | None]) -> None:
        """The next cells, as text."""
        self.natives.add("cell")
        self._add(texts)

    def add_values(self, values: Sequence[Any]) -> None:
        """The next cells, as Python values."""
        texts: list[str | None] = []
        for value in values:
            if is_missing(value):
                texts.append(None)
                continue
            native = _NATIVE.get(type(value), "nested")
            self.natives.add(native)
            texts.append(str(value).lower() if native == "bool" else str(value))
        self._add(texts)

    def _add(self, texts: Sequence[str | None]) -> None:
        self.rows += len(texts)
        if len(self.head) < HEAD:
            self.head.extend(texts[: HEAD - len(self.head)])
        found: Counter[str | None] = Counter(texts)
        self.missing += found.pop(None, 0) + found.pop("", 0)
        known: Counter[str] = Counter({text: n for text, n in found.items() if text is not None})
        counts = self.counts
        for text, n in known.items():
            if text in counts or len(counts) < MOST_DISTINCT:
                counts[text] += n
            else:
                self.capped = True
        numbers: dict[str, float] = {}
        for kind in list(self.failing):
            self._judge(kind, known, numbers)
        if "float" in self.failing:
            self._add_numbers(texts, numbers)
        else:
            self.words += sum(n * (text.count(" ") + 1) for text, n in known.items())

    def _judge(self, kind: str, known: Mapping[str, int], numbers: dict[str, float]) -> None:
        """Whether the texts are of the kind; `numbers` gets those that are floats."""
        failing, parse = self.failing[kind], self._parsers[kind]
        for text, n in known.items():
            try:
                value = parse(text)
            except CellError:
                failing[text] += n
                if len(failing) > _MOST_FAILING:
                    del self.failing[kind]
                    return
            else:
                if kind == "float":
                    numbers[text] = value

    def _add_numbers(self, texts: Sequence[str | None], numbers: Mapping[str, float]) -> None:
        row = np.fromiter((numbers.get(text, math.nan) if text else math.nan for text in texts), np.float64, len(texts))
        there = row[np.isfinite(row)]
        if self.ascending and len(there):
            self.ascending = bool(there[0] > self._last) and bool(np.all(there[1:] > there[:-1]))
            self._last = float(there[-1])
        self.numbers.append(there)
