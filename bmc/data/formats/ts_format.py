"""Reads `.ts` files: series with a label, as the UEA and UCR archives of time series and sktime have them.

In: a file's bytes. Out: `RawTable` with the columns `series`, one step a row of its cell, and `label`, the class (`@classLabel`)
or number (`@targetLabel`) at the end of each line. Guaranteed: a number means what it means in csv; `?` and NaN are missing.

A line is `1.0,2.0,3.0:4.0,5.0,6.0:label`: the values of one dimension with commas, dimensions with colons. Lines that begin with
`#` are comments, those with `@` the header, which ends with `@data`. A series of one dimension is `series: f32[T]` or
`f32[T, 1]`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bmc.data import data_errors
from bmc.data.cells.convert import Converted, WrongType, from_array, from_runs, from_texts, from_values
from bmc.data.cells.rules import CellError, Parser, text_parser
from bmc.data.formats.raw import BrokenRow, RawTable
from bmc.errors import BmcError
from bmc.frontend.unit import ColumnSpec
from bmc.record import record, replace

__all__ = ["read_ts"]

SERIES, LABEL = "series", "label"

_PLAIN = re.compile(r"[-+0-9.eE, \t]+")
"""Text that Python's `float` takes as `bmc.data.cells.rules` does, if at all."""


@record(frozen=True)
class _Header:
    """Whether lines end with a label, and the line (from 1) behind `@data`."""

    labelled: bool
    first: int


class _BrokenLine(ValueError):
    """Says why a line is no series."""


def read_ts(data: bytes, name: str, columns: Sequence[ColumnSpec], na: Sequence[str]) -> RawTable:
    """The columns of a `.ts` file. Raises BmcError when the file, its header or the columns are wrong; lines that are no series are
    in `broken`."""
    try:
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise BmcError(data_errors.not_utf8(name, data.count(b"\n", 0, error.start) + 1, data[error.start])) from None
    header = _header(lines, name)
    present = [SERIES, LABEL] if header.labelled else [SERIES]
    for spec in columns:
        if spec.header not in present:
            raise BmcError(data_errors.no_such_column(spec, name, present))
    parts, numbers = [], []
    for number, line in enumerate(lines[header.first :], header.first + 1):
        if line.strip() and not line.startswith("#"):
            parts.append([part.strip() for part in line.split(":")])
            numbers.append(number)
    labels = [part.pop() if header.labelled else "" for part in parts]
    found: dict[str, Converted] = {}
    broken: dict[int, BrokenRow] = {}
    for spec in columns:
        try:
            if spec.header == LABEL:
                found[spec.name] = from_texts(spec, labels, frozenset(na))
            else:
                found[spec.name] = _series(spec, parts, broken)
        except WrongType as error:
            raise BmcError(data_errors.wrong_type(spec, name, error.found)) from None
    for key, converted in found.items():
        found[key] = Converted(converted.column, tuple(cell for cell in converted.bad if cell.row not in broken))
    ordered = tuple(broken[row] for row in sorted(broken))
    return RawTable(found, len(parts), lambda row: f"line {numbers[row]}", ordered)


def _header(lines: Sequence[str], name: str) -> _Header:
    labelled = False
    for number, line in enumerate(lines, 1):
        word, *values = line.split() or [""]
        word, value = word.lower(), values[0].lower() if values else ""
        if word == "@data":
            return _Header(labelled, number)
        if word in ("@classlabel", "@targetlabel"):
            labelled = labelled or value == "true"
        elif word == "@timestamps" and value == "true":
            raise BmcError(data_errors.malformed(name, f"line {number}", "series with a time at each value are not read"))
        elif word and not word.startswith(("#", "@")):
            raise BmcError(data_errors.malformed(name, f"line {number}", "this .ts file has values before its line `@data`"))
    raise BmcError(data_errors.malformed(name, "", "this .ts file has no line `@data`"))


def _series(spec: ColumnSpec, rows: Sequence[Sequence[str]], broken: dict[int, BrokenRow]) -> Converted:
    """The column of the series; `broken` gets the rows that are none."""
    cell = spec.cell if spec.ragged else spec.cell[1:]
    if spec.dtype == "str" or spec.kind != "plain" or len(cell) > 1 or not (spec.ragged or spec.cell):
        raise WrongType("series of numbers, as f32[T, dimensions]", spec)
    wide = max((len(row) for row in rows), default=1)
    if (cell or (1,)) != (wide,):
        raise WrongType(f"series of {wide} dimension{'s' if wide > 1 else ''}", spec)
    parse = text_parser(replace(spec, dtype="f64", cell=(), ragged=""))
    arrays: list[NDArray[np.float64]] = []
    for row, dimensions in enumerate(rows):
        try:
            values = [_numbers(text, parse) for text in dimensions]
            lengths = {len(numbers) for numbers in values}
            if len(values) != wide:
                raise _BrokenLine(f"the line has {len(values)} dimensions, others have {wide}")
            if len(lengths) != 1:
                raise _BrokenLine("the dimensions of one series differ in length")
        except (CellError, _BrokenLine) as error:
            broken[row] = BrokenRow(row, str(error))
            values = [[] for _ in range(wide)]
        arrays.append(np.array(values, np.float64).T.reshape(-1, *cell))
    counts = np.array([len(array) for array in arrays], np.int64)
    whole = np.concatenate(arrays) if arrays else np.zeros((0, *cell))
    if spec.ragged:
        return from_runs(spec, whole, counts)
    if bool((counts == spec.cell[0]).all()):
        return from_array(spec, whole.reshape(len(rows), *spec.cell))
    return from_values(spec, [array.tolist() for array in arrays])


def _numbers(text: str, parse: Parser) -> list[float]:
    """The values of one dimension. CellError for one that is no number."""
    texts = text.split(",") if text else []
    if _PLAIN.fullmatch(text):
        try:
            return [float(item) for item in texts]
        except ValueError:
            pass  # found and named below
    found: list[float] = []
    for item in texts:
        if item.strip() == "?":
            found.append(float("nan"))
            continue
        try:
            found.append(parse(item))
        except CellError as error:
            raise CellError(f"{item!r} {error}") from None
    return found
