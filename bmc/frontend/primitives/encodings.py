"""Several columns as one integer, lists of values, and what only training steps see.

In: text, integers, dates, truth values of a data block. Out: integers with a bound, conditions. Guaranteed: a hash of several
columns depends on their values and their order alone.
"""

from __future__ import annotations

from bmc.frontend.bodies import arithmetic, coercion
from bmc.frontend.bodies.dims import Failure
from bmc.frontend.bodies.primitive import Arguments, Primitive
from bmc.frontend.bodies.values import Bound, Datum, ListValue, Parts, Tensor, describe
from bmc.frontend.errors import data_errors, type_errors
from bmc.ir import Value
from bmc.ir.types import is_float
from bmc.record import replace
from bmc.source import Span

__all__ = ["PRIMITIVES"]

_WORD = 2**31 - 1
"""What each column is hashed below: two of them fit a whole number of 64 bits."""


def _hashed(arguments: Arguments, bound: Bound, like: Tensor | None) -> tuple[Value, Tensor]:
    """The hash of each cell below `_WORD`, and the tensor that it is of."""
    trace = arguments.core.trace
    given = bound.value
    whole = isinstance(given, Parts) and given.unit == "whole" and given.codes is None
    x = given.text if isinstance(given, Parts) and whole else coercion.scalar(arguments.core, given, bound.span)
    if x.valid is not None:
        raise Failure(type_errors.may_be_missing(bound.span, describe(x), "`cross`", x.origin(0)))
    if is_float(x.dtype) or (like is not None and x.shape != like.shape):
        note = "it takes text and whole numbers of one shape; `bucketize` makes whole numbers of fractions"
        raise Failure(type_errors.operand_type(bound.span, "cross", describe(x), note))
    if x.dtype == "str":
        return trace.op("str_hash", x.value, n=_WORD, lower=isinstance(given, Parts) and given.lower), x
    cells = x.value if x.dtype in ("i32", "i64") else trace.cast(x.value, "i32")
    return trace.op("int_hash", cells, n=_WORD), x


def _cross(arguments: Arguments) -> Datum:
    """The hash of the hash so far times 2^31 and the hash of the next column."""
    trace = arguments.core.trace
    columns, limit = arguments.rest, arguments.values["n"]
    if limit.value is None and columns and isinstance(columns[-1].value, int):
        columns, limit = columns[:-1], columns[-1]
    size = _WORD if limit.value is None else limit.value
    if not isinstance(size, int) or isinstance(size, bool) or not 1 <= size <= _WORD:
        raise Failure(type_errors.wrong_value(limit.span, "n", f"a whole number from 1 to {_WORD}", describe(size)))
    if len(columns) < 2:
        wanted = "at least two columns in front of it: `cross(a, b, n = 1000)`"
        raise Failure(type_errors.wrong_value(limit.span, "n", wanted, describe(limit.value)))
    value, first = _hashed(arguments, columns[0], None)
    for place, bound in enumerate(columns[1:], 2):
        other, _ = _hashed(arguments, bound, first)
        high, low = trace.cast(value, "i64"), trace.cast(other, "i64")
        pair = trace.op("add", trace.op("mul", high, trace.constant(2**31, "i64", first.shape)), low)
        value = trace.op("int_hash", pair, n=size if place == len(columns) else _WORD)
    made = arguments.core.tensor(value, origins=first.origins)
    return made if limit.value is None else replace(made, below=size, below_origin=limit.span)


def _is_in(arguments: Arguments) -> Datum:
    """What is missing is in no list."""
    core, trace = arguments.core, arguments.core.trace
    given, listed = arguments["x"], arguments["values"]
    lowered = isinstance(given, Parts) and given.unit == "whole"
    x = given.text if isinstance(given, Parts) and lowered else arguments.tensor("x")
    items = listed.items if isinstance(listed, ListValue) else ()
    dates = x.kind != "plain"
    wanted = str if x.dtype == "str" or dates else (int, float) if is_float(x.dtype) else int
    alike = all(isinstance(i, wanted) and not isinstance(i, bool) for i in items)
    if not items or not alike or x.dtype == "bool":
        kind = "dates" if dates else "texts" if x.dtype == "str" else "numbers" if is_float(x.dtype) else "whole numbers"
        raise arguments.wrong("values", f"a list of {kind} for {describe(x)}")
    found: Value | None = None
    for item in items:
        if dates:
            number = arithmetic.date_number(str(item), x.kind, arguments.where("values"))
            equal = trace.op("compare", x.value, trace.constant(number, x.dtype, x.shape), predicate="eq")
        elif isinstance(item, str):
            equal = trace.op("str_equal", x.value, value=item, lower=lowered)
        else:
            assert isinstance(item, (int, float))
            equal = trace.op("compare", x.value, trace.constant(item, x.dtype, x.shape), predicate="eq")
        found = equal if found is None else trace.op("logical_or", found, equal)
    assert found is not None
    if x.valid is not None:
        found = trace.op("logical_and", found, x.valid)
    made = core.tensor(found, origins=x.origins)
    return replace(made, lengths=x.lengths)


def _when_training(arguments: Arguments) -> Datum:
    """The way of `random_flip`: the function `augment` computes one, the function `data` the other."""
    core, trace = arguments.core, arguments.core.trace
    if trace.name != "data" or core.fitting is None:
        raise Failure(data_errors.augment_outside(arguments.span, arguments.name))
    x, otherwise = arguments.tensor("x"), arguments.tensor("otherwise")
    spans: list[Span] = [arguments.where("x"), arguments.where("otherwise")]
    if x.type != otherwise.type or (x.valid is None) != (otherwise.valid is None):
        raise Failure(type_errors.broadcast_mismatch(arguments.span, "instead of", x.type, otherwise.type, spans[0], spans[1], ()))
    value = _own(arguments, x.value)
    trace.plain[value] = otherwise.value
    valid = None
    if x.valid is not None and otherwise.valid is not None:
        valid = _own(arguments, x.valid)
        trace.plain[valid] = otherwise.valid
    trace.seen_through[value] = otherwise.value
    return replace(otherwise, value=value, valid=valid)


def _own(arguments: Arguments, value: Value) -> Value:
    """A value that nothing else uses, so that what stands for it does so here alone."""
    return arguments.core.trace.op("reshape", value, shape=value.type.shape)


PRIMITIVES = (
    Primitive(
        "cross",
        "*xs, n = none",
        "a hash below n of several columns together, each text or whole numbers: `cross(city, weekday(day), n = 5000)`; without n "
        "a hash that tells all apart, for what is fitted: `cross(city, weekday(day)) |> onehot(max = 32)`",
        _cross,
    ),
    Primitive(
        "is_in",
        "x, values",
        'whether x is one of a list: `is_in(country, ["fr", "be"])`; what is missing is not',
        _is_in,
        ragged=True,
    ),
    Primitive(
        "when_training",
        "x, otherwise",
        "x in training steps; elsewhere (fits, evaluation, prediction) `otherwise`",
        _when_training,
    ),
)
