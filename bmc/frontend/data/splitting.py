"""How rows come to splits: `split = ...`, from syntax to a specification.

In: the expression of a data block. Out: a `SplitSpec`. Guaranteed: every way of splitting gives a row its split by what is in the
row (its values, a time, a column) or by its place in the sequence of rows.
"""

from __future__ import annotations

from collections.abc import Sequence

from bmc.errors import nearest
from bmc.frontend.bodies import arithmetic
from bmc.frontend.bodies.core import Core
from bmc.frontend.bodies.dims import Failure
from bmc.frontend.bodies.values import Datum, Environment, ListValue, Tensor, describe
from bmc.frontend.errors import data_errors, type_errors
from bmc.frontend.syntax import tree as syntax
from bmc.frontend.unit import SplitSpec
from bmc.ir.types import is_integer
from bmc.source import Span

__all__ = ["SPLITS", "columns_of", "read_split", "require_known_split"]

SPLITS = ("by_hash", "by_order", "by_time", "by_column", "folds")
_MOST_FOLDS = 1024
SPLIT_NAMES = ("train", "valid", "test")


def require_known_split(span: Span, name: str, names: Sequence[str]) -> None:
    """Splits may have any name, but not one that is nearly `train`, `valid` or `test`. Raises Failure."""
    near = None if name in SPLIT_NAMES else nearest(name, SPLIT_NAMES)
    if near is not None and near not in names:
        raise Failure(data_errors.misspelt_split(span, name, near))


def column_of(core: Core, expression: syntax.Expr, env: Environment) -> str:
    """The name of the column that an expression is. Raises Failure."""
    value = core.evaluate(expression, env)
    for parameter in core.trace.parameters.values():
        if isinstance(value, Tensor) and parameter.value is value.value and parameter.role == "input":
            return parameter.key
    columns = [p.key for p in core.trace.parameters.values() if p.role == "input" and not p.key.endswith((".valid", ".length"))]
    raise Failure(data_errors.no_column(expression.span, describe(value), columns))


def columns_of(core: Core, expression: syntax.Expr, env: Environment) -> tuple[str, ...]:
    items = expression.items if isinstance(expression, syntax.ListExpr) else (expression,)
    return tuple(column_of(core, i.value if isinstance(i, syntax.Keyed) else i, env) for i in items)


def read_split(core: Core, expression: syntax.Expr, env: Environment) -> SplitSpec:
    """`split = by_hash(...)` and the like. Raises Failure."""
    if not isinstance(expression, syntax.Call) or not isinstance(expression.callee, syntax.Name):
        if isinstance(expression, syntax.Name) and expression.text in env.names:
            raise Failure(data_errors.bad_split(expression.span, f"a column that says it is `by_column({expression.text})`"))
        raise Failure(data_errors.bad_split(expression.span, "it names no way of splitting"))
    method = expression.callee.text
    if method not in SPLITS:
        raise Failure(data_errors.bad_split(expression.callee.span, f"there is no `{method}`", SPLITS))
    if method == "by_time":
        return _by_time(core, expression, env)
    if method == "by_column":
        return _by_column(core, expression, env)
    if method == "folds":
        return _folds(core, expression, env)
    names: list[str] = []
    fractions: list[float] = []
    seed = 0
    key: tuple[str, ...] = ()
    for argument in expression.arguments:
        if argument.name is None:
            raise Failure(data_errors.bad_split(argument.span, "shares are written by name: `train = 0.8`"))
        name = argument.name.text
        if name == "key" and method == "by_hash":
            key = columns_of(core, argument.value, env)
            continue
        value = core.evaluate(argument.value, env)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            if isinstance(value, Tensor) and method == "by_hash":
                reason = f"the columns that are hashed are its key: `key = [{argument.value.span.text}]`"
                raise Failure(data_errors.bad_split(argument.span, reason))
            raise Failure(type_errors.wrong_value(argument.value.span, name, "a number", describe(value)))
        if name == "seed" and method == "by_hash":
            if not isinstance(value, int):
                raise Failure(type_errors.wrong_value(argument.value.span, name, "a whole number", describe(value)))
            seed = value
            continue
        require_known_split(argument.name.span, name, [a.name.text for a in expression.arguments if a.name is not None])
        names.append(name)
        fractions.append(float(value))
    if "train" not in names:
        raise Failure(data_errors.bad_split(expression.span, "it has no share `train`"))
    if any(f <= 0 for f in fractions) or sum(fractions) > 1 + 1e-9:
        raise Failure(data_errors.bad_fractions(expression.span, sum(fractions)))
    return SplitSpec("hash" if method == "by_hash" else "order", tuple(names), tuple(fractions), seed, key)


def _by_time(core: Core, expression: syntax.Call, env: Environment) -> SplitSpec:
    positional = [a for a in expression.arguments if a.name is None]
    if len(positional) != 1:
        raise Failure(
            data_errors.bad_split(
                expression.span,
                'by_time takes one date column, then the first day of each later split: `by_time(day, test = "2024-01-01")`; '
                "shares of rows in the order of the file are `by_order(train = 0.8, test = 0.2)`",
            )
        )
    column = column_of(core, positional[0].value, env)
    value = core.evaluate(positional[0].value, env)
    kind = value.kind if isinstance(value, Tensor) else "plain"
    if kind == "plain":
        raise Failure(data_errors.bad_split(positional[0].span, f"`{column}` is no date or timestamp"))
    names, boundaries = ["train"], []
    for argument in expression.arguments:
        if argument.name is None:
            continue
        day = core.evaluate(argument.value, env)
        if not isinstance(day, str):
            raise Failure(
                type_errors.wrong_value(argument.value.span, argument.name.text, 'a date like "2023-01-31"', describe(day))
            )
        names.append(argument.name.text)
        boundaries.append(arithmetic.date_number(day, kind, argument.value.span))
    if boundaries != sorted(set(boundaries)) or not boundaries or "train" in names[1:]:
        raise Failure(data_errors.bad_split(expression.span, "the first days of later splits ascend"))
    return SplitSpec("time", tuple(names), key=(column,), boundaries=tuple(boundaries))


_NAMED = ("train", "valid", "test")


def _by_column(core: Core, expression: syntax.Call, env: Environment) -> SplitSpec:
    """A column that says it: by the names of the splits, or by the values that are listed for each. Without values for `train`,
    what is listed for no other split trains."""
    positional = [a for a in expression.arguments if a.name is None]
    if len(positional) != 1:
        raise Failure(
            data_errors.bad_split(expression.span, "by_column takes one column, then the values of each split: `test = 3`")
        )
    column = column_of(core, positional[0].value, env)
    tensor = core.evaluate(positional[0].value, env)
    if (
        not isinstance(tensor, Tensor)
        or tensor.kind != "plain"
        or not (is_integer(tensor.dtype) or tensor.dtype in ("str", "bool"))
    ):
        raise Failure(data_errors.bad_split(positional[0].span, f"`{column}` is no column of text, whole numbers or truth values"))
    names: list[str] = []
    values: list[tuple[str | int, ...]] = []
    for argument in expression.arguments:
        if argument.name is None:
            continue
        listed = _cells(core.evaluate(argument.value, env), tensor, argument.value.span)
        if any(v in earlier for v in listed for earlier in values):
            raise Failure(data_errors.bad_split(argument.span, "a value belongs to one split"))
        names.append(argument.name.text)
        values.append(listed)
    if not names:
        if tensor.dtype != "str":
            raise Failure(data_errors.bad_split(expression.span, "the values of a split are listed: `test = 3`"))
        return SplitSpec("column", _NAMED, key=(column,), values=tuple((name,) for name in _NAMED))
    if "train" not in names:  # all others
        names, values = ["train", *names], [(), *values]
    return SplitSpec("column", tuple(names), key=(column,), values=tuple(values))


def _cells(value: Datum, column: Tensor, span: Span) -> tuple[str | int, ...]:
    """The values that are listed for a split, as cells of the column."""
    items = value.items if isinstance(value, ListValue) else (value,)
    if column.dtype == "str":
        texts = tuple(i for i in items if isinstance(i, str))
        found: tuple[str | int, ...] = texts
    else:
        found = tuple(int(i) for i in items if isinstance(i, int) and isinstance(i, bool) == (column.dtype == "bool"))
    if len(found) != len(items) or not found or len(set(found)) != len(found):
        wanted = {"str": "texts", "bool": "true or false"}.get(column.dtype, "whole numbers")
        raise Failure(type_errors.wrong_value(span, "this", f"one or several different {wanted}", describe(value)))
    return found


def _folds(core: Core, expression: syntax.Call, env: Environment) -> SplitSpec:
    """`folds(5, fold = 0)`: one fold is the test, the rest trains, a share of it validates."""
    numbers: dict[str, float] = {"fold": 0, "valid": 0.0, "seed": 0}
    key: tuple[str, ...] = ()
    count: int | None = None
    for argument in expression.arguments:
        name = "n" if argument.name is None else argument.name.text
        if name == "key":
            key = columns_of(core, argument.value, env)
            continue
        if name not in ("n", *numbers) or (name == "n" and count is not None):
            raise Failure(data_errors.unknown_split_argument(argument.span, name, ["fold", "valid", "seed", "key"]))
        value = core.evaluate(argument.value, env)
        share = name == "valid"
        if isinstance(value, bool) or not isinstance(value, (int, float) if share else int):
            wanted = "a number" if share else "a whole number"
            raise Failure(type_errors.wrong_value(argument.value.span, name, wanted, describe(value)))
        if name == "n":
            count = int(value)
        else:
            numbers[name] = float(value) if share else int(value)
    if count is None or not 2 <= count <= _MOST_FOLDS:
        raise Failure(
            data_errors.bad_split(expression.span, f"folds takes how many there are, from 2 to {_MOST_FOLDS}: `folds(5)`")
        )
    fold, valid = int(numbers["fold"]), numbers["valid"]
    if not 0 <= fold < count:
        raise Failure(
            data_errors.bad_split(expression.span, f"{count} folds are numbered from 0 to {count - 1}, there is no fold {fold}")
        )
    if not 0 <= valid < 1:
        raise Failure(data_errors.bad_fractions(expression.span, valid))
    names = ("train", "valid", "test") if valid else ("train", "test")
    return SplitSpec("folds", names, (valid,) if valid else (), int(numbers["seed"]), key, folds=(count, fold))
