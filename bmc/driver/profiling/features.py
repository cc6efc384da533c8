"""What a column of a table becomes: expressions of a data block, by its type and its distribution.

In: profiles of columns. Out: for each the type to declare, expressions for the features of the model, and of prose an input of its
own with its part of the model. Guaranteed: columns with gaps are filled, and say where the gaps were if there are many;
whole numbers that an f32 cannot tell apart are identifiers, and hashed whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bmc.driver.profiling.naming import quoted
from bmc.driver.profiling.profile import ColumnProfile
from bmc.record import record

__all__ = ["Feature", "features_of", "filled"]

_TELLING_SHARE = 0.01
"""Of gaps, from which on whether a cell is missing may say something by itself."""

_MOST_ONEHOT = 64
_BUCKETS = 128
_VOCABULARY = 2000
_WIDTH = 16
_MOST_PROSE = 3
_DAYS_OF_MONTHS = 60


@record(frozen=True)
class Feature:
    """`parts`: of `x`. Of prose: `outputs` of the data block, `inputs` and `body` of the model, and the name of its result."""

    column: ColumnProfile
    type: str
    parts: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    body: tuple[str, ...] = ()
    result: str = ""


def filled(column: ColumnProfile, name: str, value: str) -> str:
    return f"{name} |> fill({value})" if column.missing else name


def features_of(columns: Sequence[ColumnProfile], names: Mapping[str, str], rows: int) -> list[Feature]:
    """In the order of the columns."""
    found: list[Feature] = []
    prose = 0
    for column in columns:
        name = names[column.header]
        if column.role == "prose":
            prose += 1
            made = _prose(column, name, prose) if prose <= _MOST_PROSE else _category(column, name)
        elif column.role == "number":
            made = _number(column, name)
        elif column.role == "flag":
            made = Feature(column, "bool", (f"number({filled(column, name, 'false')})",))
        elif column.role == "array":
            made = _array(column, name)
        elif column.role in ("date", "timestamp"):
            made = _time(column, name)
        else:
            made = _category(column, name)
        if column.missing >= _TELLING_SHARE * rows and column.role in ("number", "flag", "date", "timestamp"):
            made = Feature(made.column, made.type, (*made.parts, f"number(is_missing({name}))"))
        found.append(made)
    return found


def _number(column: ColumnProfile, name: str) -> Feature:
    if column.numbers is not None and column.numbers.whole and column.numbers.beyond_f32:
        return Feature(column, "i64", (f"{filled(column, name, '0')} |> hash({_BUCKETS}) |> onehot",))
    skewed = column.numbers is not None and column.numbers.skewed
    return Feature(column, "f32", (f"{filled(column, name, 'median')}{' |> log1p' if skewed else ''} |> standardize",))


def _array(column: ColumnProfile, name: str) -> Feature:
    """Bytes are taken for pixels, from 0 to 255."""
    kind, _, dims = column.type.partition("[")
    scaled = {"u8": f"{name} / 255", "f32": f"{name} |> standardize"}.get(kind, f"number({name}) |> standardize")
    return Feature(column, column.type, (f"flatten({scaled})" if "," in dims else scaled,))


def _time(column: ColumnProfile, name: str) -> Feature:
    first = quoted(column.ends[0].strip()[:10])
    when = filled(column, name, first)
    parts = [f"number(days_since({when}, {first})) |> standardize", f"weekday({when}) |> onehot(7)"]
    if column.distinct is None or column.distinct > _DAYS_OF_MONTHS:
        parts.append(f"onehot(month({when}) - 1, 12)")
    if column.role == "timestamp" and any(len(text) > 10 for text, _ in column.top):
        parts.append(f"onehot(hour({when}), 24)")
    return Feature(column, column.role, tuple(parts))


def _category(column: ColumnProfile, name: str) -> Feature:
    text = filled(column, name, quoted("missing"))
    if column.distinct is not None and column.distinct < _MOST_ONEHOT:
        return Feature(column, "str", (f"{text} |> onehot(max = {column.distinct + 1 + bool(column.missing)})",))
    return Feature(column, "str", (f"{text} |> hash({_BUCKETS}) |> onehot",))


def _prose(column: ColumnProfile, name: str, number: int) -> Feature:
    """The mean of what its words are taken for."""
    length = max(8, min(256, 8 * round(2 * column.words / 8)))
    dim = f"T{number}"
    text = filled(column, name, quoted(""))
    return Feature(
        column,
        "str",
        (),
        (
            f"let {name}_text = {text} |> lower |> words",
            f"{name}_word = {name}_text |> vocab(max = {_VOCABULARY}) |> pad(max = {length})",
            f"{name}_len = min(length({name}_text), {length})",
        ),
        (f"{name}_word: i32[B, {dim}]", f"{name}_len: i32[B]"),
        (
            f"{name}_e = {name}_word |> embedding({_VOCABULARY}, {_WIDTH}, init = normal(std = 0.1)) as {name}_words",
            f"{name}_e = select(unsqueeze(steps_of({name}_len, {dim}), -1), {name}_e, 0)",
            f"{name}_mean = sum({name}_e, axis = 1) / unsqueeze(number(maximum({name}_len, 1)), -1)",
        ),
        f"{name}_mean",
    )
