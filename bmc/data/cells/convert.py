"""Whole columns from texts, Python values or numpy arrays, by the rules of `bmc.data.cells.rules`.

In: a `ColumnSpec` and raw cells. Out: `Converted`: the column, and every cell that broke a rule. Guaranteed: cells that are
missing or bad hold zero (empty text); a column that is not nullable has no mask.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bmc.data.cells.alike import column_of
from bmc.data.cells.rules import INTEGER_BOUNDS, CellError, Parser, is_missing, text_parser, type_text, value_parser
from bmc.frontend.unit import ColumnSpec
from bmc.record import record, replace
from bmc_runtime.memory import DTYPES, Array
from bmc_runtime.table import Column, Indices, Valid, ragged_column, text_column

__all__ = ["BadCell", "Converted", "WrongType", "from_array", "from_runs", "from_texts", "from_values", "with_mask"]


@record(frozen=True)
class BadCell:
    """`value` is the cell as the user sees it; `why` ends a sentence that begins with it. `missing`: there is no value."""

    row: int
    value: str
    why: str
    missing: bool = False


@record(frozen=True, eq=False)
class Converted:
    column: Column
    bad: tuple[BadCell, ...] = ()


class WrongType(ValueError):
    """No cell of the raw column could become one of the declared type. Says what there is, and what would do."""

    def __init__(self, found: str, spec: ColumnSpec) -> None:
        super().__init__(found)
        self.found = found
        self.wanted = type_text(spec)


def from_texts(spec: ColumnSpec, texts: Sequence[str], na: frozenset[str], decimal: str = ".") -> Converted:
    """Cells of a csv file, in whose numbers `decimal` stands before the decimals. WrongType when the column's cells are not
    scalars."""
    if spec.cell or spec.ragged:
        raise WrongType("text", spec)
    return _from_cells(spec, texts, text_parser(spec, decimal), na.__contains__)


def from_values(spec: ColumnSpec, values: Sequence[Any], na: frozenset[str] = frozenset()) -> Converted:
    """Python values; None, NaN and the texts `na` are missing. A cell of several numbers is a nested list of them, a ragged one a
    list of any number of such."""

    def missing(value: Any) -> bool:
        return is_missing(value) or (isinstance(value, str) and value in na)

    alike = column_of(spec, values, na)
    if alike is not None:
        return Converted(alike)
    if not spec.cell and not spec.ragged:
        return _from_cells(spec, values, value_parser(spec), missing)
    parse, shape = value_parser(spec), spec.cell

    def parse_cell(value: Any) -> list[Any]:
        flat: list[Any] = []
        if spec.ragged:
            _flatten_steps(value, shape, flat)
        else:
            _flatten(value, shape, flat)
        if any(map(is_missing, flat)):
            raise CellError("has a missing value inside")
        return [parse(item) for item in flat]

    return _from_cells(spec, values, parse_cell, missing)


def _flatten_steps(value: Any, step: tuple[int, ...], flat: list[Any]) -> None:
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if not isinstance(value, list | tuple):
        raise CellError("is not a list")
    for item in value:
        if step:
            _flatten(item, step, flat)
        else:
            flat.append(item)


def _flatten(value: Any, shape: tuple[int, ...], flat: list[Any]) -> None:
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if not isinstance(value, list | tuple) or len(value) != shape[0]:
        raise CellError(f"is not a list of {shape[0]}")
    if len(shape) == 1:
        flat.extend(value)
    else:
        for item in value:
            _flatten(item, shape[1:], flat)


def _from_cells(spec: ColumnSpec, cells: Sequence[Any], parse: Parser, missing: Callable[[Any], bool]) -> Converted:
    bad: list[BadCell] = []
    empty = _empty_cell(spec)
    parsed: list[Any] = []
    valid = np.ones(len(cells), np.bool_)
    for row, cell in enumerate(cells):
        if isinstance(cell, np.generic):
            cell = _plain(cell)
        try:
            value = None if missing(cell) else parse(cell)
        except CellError as error:
            bad.append(BadCell(row, _shown(cell), str(error)))
            valid[row] = False
            parsed.append(empty)
            continue
        if value is None or value != value:  # noqa: PLR0124 - a NaN is a missing cell
            valid[row] = False
            parsed.append(empty)
            if not spec.nullable:
                bad.append(BadCell(row, _shown(cell), "is a missing cell", missing=True))
        else:
            parsed.append(value)
    mask = valid if spec.nullable else None
    if spec.ragged:
        return Converted(_ragged(spec, parsed, mask), tuple(bad))
    if spec.dtype == "str":
        flat = text_column([item for cell in parsed for item in cell] if spec.cell else parsed)
        return Converted(Column("str", flat.data.reshape(len(cells), *spec.cell), mask, flat.keep), tuple(bad))
    wide = np.float64 if spec.dtype in ("f32", "f64") else DTYPES[spec.dtype]
    data = np.array(parsed, wide).reshape(len(cells), *spec.cell)
    return Converted(Column(spec.dtype, _rounded(data, spec.dtype), mask), tuple(bad))


def _plain(cell: np.generic) -> Any:
    """A number of numpy's, as it stands in lists, as Python's."""
    return cell.astype("M8[us]").item() if isinstance(cell, np.datetime64) else cell.item()


def _ragged(spec: ColumnSpec, cells: Sequence[Sequence[Any]], mask: Valid | None) -> Column:
    """The column of cells that are flat lists, each of whole steps."""
    width = int(np.prod(spec.cell, dtype=np.int64))
    counts: Indices = np.fromiter((len(cell) // max(width, 1) for cell in cells), np.int64, len(cells))
    flat = [item for cell in cells for item in cell]
    if spec.dtype == "str":
        texts = text_column(flat)
        column = ragged_column("str", texts.data.reshape(-1, *spec.cell), counts, mask)
        return replace(column, keep=(*column.keep, *texts.keep))
    wide = np.float64 if spec.dtype in ("f32", "f64") else DTYPES[spec.dtype]
    values = _rounded(np.array(flat, wide).reshape(-1, *spec.cell), spec.dtype)
    return ragged_column(spec.dtype, values, counts, mask)


def _empty_cell(spec: ColumnSpec) -> Any:
    if spec.ragged:
        return []
    empty: Any = "" if spec.dtype == "str" else 0
    return [empty] * int(np.prod(spec.cell)) if spec.cell else empty


def _shown(cell: Any) -> str:
    text = repr(cell)
    return text if len(text) <= 60 else text[:57] + "..."


def _rounded(values: NDArray[Any], dtype: str) -> Array:
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(values.astype(DTYPES[dtype], copy=False))


# ---------------------------------------------------------------------------------------------------------------------
# Arrays


def from_array(
    spec: ColumnSpec, array: NDArray[Any], present: Valid | None = None, na: frozenset[str] = frozenset()
) -> Converted:
    """`[N, *cell]`; `present` `[N]` says which cells there are (None: all); texts `na` are missing. WrongType when dtype or shape
    cannot do."""
    if spec.ragged:
        return _steps(spec, array, present, na)
    if array.ndim < 1 or array.shape[1:] != spec.cell:
        if array.dtype.kind != "O" or array.ndim != 1:
            raise WrongType(f"{_dtype_text(array)}{list(array.shape)}", spec)
        return from_values(spec, _with_none(array.tolist(), present), na)
    if array.dtype.kind == "O":
        return from_values(spec, _with_none(array.tolist(), present), na)
    if spec.dtype == "str" or array.dtype.kind in "US":
        if array.dtype.kind not in "US" or not (spec.dtype == "str" or spec.kind != "plain"):
            raise WrongType(_dtype_text(array), spec)
        return from_values(spec, _with_none(array.tolist(), present), na)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    found = _as_it_is(spec, array) if present is None else None
    if found is not None:
        return found
    if present is not None and array.ndim == 1 and array.dtype.kind in "iuf" and len(present) == len(array):
        found = _as_it_is(spec, np.where(present, array, array.dtype.type(0)))
        if found is not None:
            return with_mask(spec, found.column, present)
    present = np.ones(len(array), np.bool_) if present is None else present
    if spec.kind != "plain":
        return _times(spec, array, present)
    if array.dtype.kind not in ("biuf" if spec.dtype == "bool" else "iuf"):
        raise WrongType(_dtype_text(array), spec)
    if array.dtype.kind == "f":
        present = present & ~_any_of_cell(np.isnan(array))
        array = np.where(_spread(present, array), array, 0).astype(np.float64, copy=False)
    else:
        array = np.where(_spread(present, array), array, array.dtype.type(0))
    return _numbers(spec, array, present)


def _as_it_is(spec: ColumnSpec, array: NDArray[Any]) -> Converted | None:
    """The column of an array of which a glance shows that every cell is there and right; None for any other."""
    if not array.size or spec.kind != "plain" or spec.dtype == "bool":
        return None
    if spec.dtype in INTEGER_BOUNDS:
        low, high = INTEGER_BOUNDS[spec.dtype]
        right = array.dtype.kind in "iu" and int(array.min()) >= low and int(array.max()) <= high
    else:
        # The smallest cell is NaN where any is.
        right = array.dtype.kind in "iu" or (array.dtype.kind == "f" and not np.isnan(array.min()))
    if not right:
        return None
    wide = array if spec.dtype in INTEGER_BOUNDS else array.astype(np.float64, copy=False)
    return Converted(Column(spec.dtype, _rounded(wide, spec.dtype), np.ones(len(array), np.bool_) if spec.nullable else None))


def _steps(spec: ColumnSpec, array: NDArray[Any], present: Valid | None, na: frozenset[str]) -> Converted:
    """An array `[N, T, *cell]`, or objects, for a ragged column."""
    if array.dtype.kind == "O" and array.ndim == 1:
        return from_values(spec, _with_none(array.tolist(), present), na)
    if array.ndim < 2 or array.shape[2:] != spec.cell:
        raise WrongType(f"{_dtype_text(array)}{list(array.shape)}", spec)
    rows, steps = array.shape[:2]
    return from_runs(spec, array.reshape(rows * steps, *spec.cell), np.full(rows, steps, np.int64), present)


def from_runs(spec: ColumnSpec, values: NDArray[Any], counts: Indices, present: Valid | None = None) -> Converted:
    """A ragged column from steps one after the other `[sum of counts, *cell]`; row i has `counts[i]`. WrongType as `from_array`."""
    inner = replace(spec, ragged="", nullable=False)
    try:
        found = from_array(inner, values)
    except WrongType as error:
        raise WrongType(error.found, spec) from None
    ends = np.cumsum(counts, dtype=np.int64)
    bad: dict[int, BadCell] = {}
    for cell in found.bad:
        row = int(np.searchsorted(ends, cell.row, side="right"))
        step = f"step {cell.row - int(ends[row] - counts[row]) + 1}"
        shown = step if cell.missing else f"{step}: {cell.value}"
        bad.setdefault(row, BadCell(row, shown, "is missing" if cell.missing else cell.why))
    mask = np.ones(len(counts), np.bool_) if present is None else present
    column = ragged_column(spec.dtype, found.column.data, counts, mask if spec.nullable else None)
    column = replace(column, keep=(*column.keep, *found.column.keep))
    missing = () if spec.nullable or bool(mask.all()) else _missing_cells(mask)
    return Converted(column, tuple(sorted((*missing, *bad.values()), key=lambda cell: cell.row)))


def with_mask(spec: ColumnSpec, column: Column, present: Valid) -> Converted:
    """A column that is right but for missing cells (`present` `[N]`), which must hold zero: finds those that must not be."""
    bad = () if spec.nullable or bool(present.all()) else _missing_cells(present)
    return Converted(Column(column.dtype, column.data, present if spec.nullable else None, column.keep), bad)


def _numbers(spec: ColumnSpec, array: NDArray[Any], present: Valid) -> Converted:
    fits, why = np.ones(array.shape, np.bool_), ""
    if spec.dtype == "bool":
        fits, why = (array == 0) | (array == 1), "is not a truth value (true, false, 1 or 0)"
    elif spec.dtype in INTEGER_BOUNDS:
        low, high = INTEGER_BOUNDS[spec.dtype]
        if array.dtype.kind == "f":
            # 2^63 is a float, 2^63 - 1 is not: the upper bound is exclusive.
            integral = np.isfinite(array) & (array == np.floor(array))
            fits = integral & (array >= float(low)) & (array < float(high + 1))
        else:
            fits = (array >= low) & (array <= high)
        why = f"is not an integer from {low} to {high}"
    elif array.dtype.kind != "f":
        array = array.astype(np.float64)
    good = ~_any_of_cell(~fits)
    bad: list[BadCell] = []
    for row in np.flatnonzero(~good):
        shown = array[row] if array.ndim == 1 else array[row][~fits[row]].flat[0]
        bad.append(BadCell(int(row), _shown(shown.item()), why))
    data = _rounded(np.where(_spread(good, array), array, array.dtype.type(0)), spec.dtype)
    found = with_mask(spec, Column(spec.dtype, data), present)
    return Converted(found.column, tuple(sorted((*found.bad, *bad), key=lambda cell: cell.row)))


def _times(spec: ColumnSpec, array: NDArray[Any], present: Valid) -> Converted:
    if array.dtype.kind != "M":
        raise WrongType(_dtype_text(array), spec)
    if np.datetime_data(array.dtype)[0] in ("ps", "fs", "as"):  # some days have more of them than an integer can say
        array = array.astype("M8[us]")
    present = present & ~_any_of_cell(np.isnat(array))
    far = _beyond(array, present)
    beyond = [BadCell(int(row), f"{array[row].astype(np.int64)} as {array.dtype}", _NO_YEAR) for row in np.flatnonzero(far)]
    array = np.where(_spread(far, array), np.datetime64(0, "D").astype(array.dtype), array)
    unit = "D" if spec.kind == "date" else "us"
    times = np.where(_spread(present, array), array, np.datetime64(0, "us"))
    whole = times.astype(f"M8[{unit}]")
    found = with_mask(spec, Column(spec.dtype, _rounded(whole.astype(np.int64), spec.dtype)), present)
    off = _any_of_cell(whole != times) if spec.kind == "date" else np.zeros(len(array), np.bool_)
    late = [BadCell(int(row), str(times[row]), "is a timestamp, not a date") for row in np.flatnonzero(off)]
    return Converted(found.column, tuple(sorted((*found.bad, *late, *beyond), key=lambda cell: cell.row)))


_NO_YEAR = "is a time outside the years 1 to 9999"


def _beyond(array: NDArray[Any], present: Valid) -> Valid:
    """Cells in years that the calendar of dates does not have; as counts of microseconds they might be any others."""
    if np.datetime_data(array.dtype)[0] in ("ns", "ps", "fs", "as", "generic"):  # 1678 to 2262, or fewer
        return np.zeros(len(array), np.bool_)
    low, high = np.array(["0001-01-01", "10000-01-01"], "M8[D]").astype(array.dtype)
    return present & _any_of_cell((array < low) | (array >= high))


def _any_of_cell(mask: NDArray[np.bool_]) -> Valid:
    """`[N, *cell]` → `[N]`."""
    return mask if mask.ndim == 1 else np.asarray(mask.reshape(len(mask), int(np.prod(mask.shape[1:]))).any(axis=1))


def _spread(mask: Valid, like: NDArray[Any]) -> Valid:
    return mask.reshape(len(mask), *[1] * (like.ndim - 1))


def _missing_cells(present: Valid) -> tuple[BadCell, ...]:
    return tuple(BadCell(int(row), "None", "is a missing cell", missing=True) for row in np.flatnonzero(~present))


def _with_none(values: Iterable[Any], present: Valid | None) -> list[Any]:
    if present is None:
        return list(values)
    return [value if ok else None for value, ok in zip(values, present.tolist(), strict=True)]


def _dtype_text(array: NDArray[Any]) -> str:
    return {"U": "text", "S": "bytes", "O": "objects", "b": "bool", "M": "timestamps"}.get(array.dtype.kind, array.dtype.name)
