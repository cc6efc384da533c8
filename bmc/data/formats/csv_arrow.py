"""Reads parts of large csv texts with Arrow.

In: checked parts, and what is known of the file. Out: columns, or None where Arrow refuses the part, or might take what
`bmc.data.cells.rules` refuses: the caller then reads record by record. Guaranteed: what comes out is what the rules give. Arrow
takes a
subset of what they take (decimal numbers, ISO dates, timestamps without a zone) but for hexadecimal integers and the year 0, which
are looked for. A column whose cells Arrow refuses is taken as text and read by the rules, the others stay with Arrow.
"""

from __future__ import annotations

import re
from typing import Any

import pyarrow as pa
from pyarrow import compute
from pyarrow import csv as arrow_csv

from bmc.data.cells.alike import column_of
from bmc.data.cells.arrow_columns import from_arrow
from bmc.data.cells.convert import Converted, from_texts
from bmc.data.cells.rules import INTEGER_BOUNDS
from bmc.data.formats.csv_records import Layout, Part, records_of
from bmc.data.formats.raw import RawTable
from bmc.frontend.unit import ColumnSpec

__all__ = ["ArrowReader"]

_FIRST = {"date": -719_162, "timestamp": -719_162 * 86_400_000_000}
"""0001-01-01."""

_EXACT = 2**53
"""From here on a float is not every integer."""

_REFUSED = re.compile(r"CSV column #(\d+)")
_HEXADECIMAL = re.compile(rb"[xX]")


class ArrowReader:
    """Reads the parts of one file, several at a time. It remembers which columns hold what Arrow does not take as their type:
    integers written as `3.0` are taken as floats, all else as text."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        places = {header: at for at, header in enumerate(layout.header)}
        self._places = {spec.name: places[spec.header] for spec in layout.columns}
        self._integers = frozenset(spec.name for spec in layout.columns if spec.dtype in INTEGER_BOUNDS and spec.kind == "plain")
        self._as_float: frozenset[str] = frozenset()
        self._as_text: frozenset[str] = frozenset()
        self._missing = frozenset(layout.na)

    def read(self, part: Part) -> RawTable | None:
        """The columns of a part; None where it is to be read record by record."""
        layout = self._layout
        if self._integers and _may_be_hexadecimal(part.text, layout.separator):
            return None
        while True:
            as_float, as_text = self._as_float, self._as_text
            try:
                table = self._parsed(part.text, as_float, as_text)
            except pa.ArrowInvalid as error:
                refused = self._refused(str(error)) - as_text
                if not refused:
                    return None
                self._take_otherwise(refused, as_float)
                continue
            found: dict[str, Converted] = {}
            again: set[str] = set()
            for spec in layout.columns:
                column = table.column(str(self._places[spec.name]))
                if spec.name in as_text:
                    found[spec.name] = self._of_texts(spec, column)
                    continue
                found[spec.name] = from_arrow(spec, column, ())
                # A NaN is no integer, but among floats a gap.
                nan = spec.name in as_float and bool(compute.any(compute.is_nan(column)).as_py())
                if nan or self._is_doubtful(spec, found[spec.name], as_float):
                    again.add(spec.name)
            if not again:
                return RawTable(found, table.num_rows, _Lines(part, layout.separator))
            self._take_otherwise(again, as_float)

    def _take_otherwise(self, names: set[str], as_float: frozenset[str]) -> None:
        self._as_float |= {name for name in names if name in self._integers and name not in as_float}
        self._as_text |= {name for name in names if name not in self._integers or name in as_float}

    def _is_doubtful(self, spec: ColumnSpec, converted: Converted, as_float: frozenset[str]) -> bool:
        """Whether the rules might give something else: they have to be asked."""
        if any(not cell.missing for cell in converted.bad):
            return True
        data = converted.column.data
        if not len(data):
            return False
        if spec.name in as_float:
            return int(data.min()) <= -_EXACT or int(data.max()) >= _EXACT
        # Arrow has a year 0, the calendar of the rules has none.
        return spec.kind in _FIRST and int(data.min()) < _FIRST[spec.kind]

    def _parsed(self, text: bytes | bytearray, as_float: frozenset[str], as_text: frozenset[str]) -> Any:
        layout = self._layout
        types = {str(self._places[spec.name]): _arrow_type(spec) for spec in layout.columns}
        types |= {str(self._places[name]): pa.float64() for name in as_float}
        types |= {str(self._places[name]): pa.large_string() for name in as_text}
        # Where no column is wanted the rows are counted by the first.
        included = types or {"0": pa.large_string()}
        return arrow_csv.read_csv(
            pa.BufferReader(pa.py_buffer(text)),
            read_options=arrow_csv.ReadOptions(
                use_threads=False, block_size=max(len(text), 1) + 1, column_names=[str(at) for at in range(len(layout.header))]
            ),
            parse_options=arrow_csv.ParseOptions(delimiter=layout.separator, newlines_in_values=b'"' in text),
            convert_options=arrow_csv.ConvertOptions(
                include_columns=list(included),
                column_types=included,
                null_values=list(layout.na),
                strings_can_be_null=True,
                true_values=["true", "True", "TRUE", "1"],
                false_values=["false", "False", "FALSE", "0"],
                decimal_point=layout.decimal,
                check_utf8=False,  # the whole text has been checked
            ),
        )

    def _of_texts(self, spec: ColumnSpec, column: Any) -> Converted:
        """A column that was taken as text, by the rules."""
        texts = column.to_pylist()
        alike = column_of(spec, texts, frozenset()) if spec.kind != "plain" else None
        if alike is not None:
            return Converted(alike)
        none = self._layout.na[0] if self._layout.na else ""  # Arrow's nulls are texts that mean a missing cell
        texts = [none if text is None else text for text in texts]
        return from_texts(spec, texts, self._missing, self._layout.decimal)

    def _refused(self, message: str) -> set[str]:
        """The columns whose cells an error of Arrow is about; none where it is about the text."""
        found = _REFUSED.search(message)
        at = int(found[1]) if found else -1
        return {name for name, place in self._places.items() if place == at}


def _may_be_hexadecimal(text: bytes | bytearray, separator: str) -> bool:
    """Whether a cell begins with 0x, which Arrow takes for an integer."""
    if not any(sign in text for sign in (b"x", b"X")):
        return False
    before = b"\n\r\"" + separator.encode()
    for found in _HEXADECIMAL.finditer(text):
        at = found.start() - 2
        if at < -1 or text[at + 1] != 0x30:
            continue
        while at >= 0 and text[at] in b" \t+-":
            at -= 1
        if at < 0 or text[at] in before:
            return True
    return False


def _arrow_type(spec: ColumnSpec) -> Any:
    if spec.kind == "date":
        return pa.date32()
    if spec.kind == "timestamp":
        return pa.timestamp("us")
    if spec.dtype == "str":
        return pa.large_string()
    if spec.dtype == "bool":
        return pa.bool_()
    return pa.float64() if spec.dtype in ("f32", "f64") else pa.int64()


class _Lines:
    """Finds the line of a row when an error needs it."""

    def __init__(self, part: Part, separator: str) -> None:
        self._part, self._separator = part, separator
        self._lines: list[int] | None = None

    def __call__(self, row: int) -> str:
        if self._lines is None:
            self._lines = [self._part.line + line for line, _ in records_of(self._part.text, self._separator)]
        return f"line {self._lines[row]}"
