"""Literals in texts, and cells that hold several categories at once.

In: text, whole or in parts. Out: conditions, and rows of 0 and 1. Guaranteed: what is missing holds nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from bmc.frontend.bodies.dims import Failure
from bmc.frontend.bodies.primitive import Arguments, Primitive
from bmc.frontend.bodies.values import Datum, ListValue, Parts, Tensor, describe
from bmc.frontend.errors import type_errors
from bmc.frontend.primitives.text import count_of_parts, padded_codes
from bmc.ir import Value
from bmc.record import replace

__all__ = ["PRIMITIVES", "counts_of_codes"]


def _text(arguments: Arguments) -> tuple[Tensor, bool]:
    """Whole texts, gaps included, and whether they are meant in lower case."""
    given = arguments["x"]
    whole = isinstance(given, Parts) and given.unit == "whole" and given.codes is None
    x = given.text if isinstance(given, Parts) and whole else None if isinstance(given, Parts) else arguments.tensor("x")
    if x is None or x.dtype != "str":
        note = "it takes whole texts"
        raise Failure(type_errors.operand_type(arguments.where("x"), arguments.name, describe(given), note))
    return x, whole


def _found(arguments: Arguments, x: Tensor, value: str, place: str, separator: str, lower: bool) -> Value:
    trace = arguments.core.trace
    found = trace.op("str_find", x.value, value=value, place=place, separator=separator, lower=lower)
    return found if x.valid is None else trace.op("logical_and", found, x.valid)


def _find(place: str) -> Callable[[Arguments], Datum]:
    def expand(arguments: Arguments) -> Datum:
        x, lower = _text(arguments)
        made = _found(arguments, x, arguments.text("value"), place, "", lower)
        return arguments.core.tensor(made, origins=x.origins)

    return expand


def _multihot(arguments: Arguments) -> Datum:
    """Of a list: whether each of its texts is one of the pieces. Of parts that are integers already: those that a row has."""
    given = arguments["x"]
    if isinstance(given, Parts) and given.codes is not None:
        counted = counts_of_codes(arguments, given, arguments.positive("max"))
        one = arguments.core.trace.constant(1.0, counted.dtype, counted.shape)
        return replace(counted, value=arguments.core.trace.op("minimum", counted.value, one))
    x, lower = _text(arguments)
    listed = arguments["values"]
    items = [i for i in listed.items if isinstance(i, str)] if isinstance(listed, ListValue) else []
    if not isinstance(listed, ListValue) or not items or len(items) != len(listed.items) or len(set(items)) != len(items):
        note = "a list of different texts; without one write `words |> vocab(max = n) |> multihot(max = 16)`"
        raise arguments.wrong("values", note)
    separator = arguments.text("by")
    if len(separator.encode()) != 1:
        raise arguments.wrong("by", "one character of ASCII, such as `|` or `,`")
    if any(separator in item for item in items):
        raise arguments.wrong("values", f'texts without the separator "{separator}"')
    core, trace = arguments.core, arguments.core.trace
    columns = [trace.reshape(_found(arguments, x, i, "piece", separator, lower), (*x.shape, 1)) for i in items]
    numbers = [trace.cast(column, core.float_type) for column in columns]
    made = numbers[0] if len(numbers) == 1 else trace.op("concat", *numbers, axis=x.rank)
    return core.tensor(made, origins=(*(x.origins or (None,) * x.rank), arguments.where("values")))


def counts_of_codes(arguments: Arguments, parts: Parts, most: int) -> Tensor:
    """The first `most` parts of each row added up at their places."""
    core, trace = arguments.core, arguments.core.trace
    codes = parts.codes
    assert codes is not None
    size = codes.size
    index = padded_codes(arguments, parts, codes, most)
    shape = index.type.shape
    count = trace.op("broadcast", count_of_parts(arguments, parts), shape=shape, axes=tuple(range(len(shape) - 1)))
    there = trace.op("compare", trace.op("iota", dtype="i32", shape=shape, axis=len(shape) - 1), count, predicate="lt")
    ones = trace.cast(there, core.float_type)
    sums = trace.op("scatter_along", index, ones, size=size, lead=len(shape) - 1)
    return core.tensor(sums, origins=(*(parts.text.origins or (None,) * parts.text.rank), codes.origin))


PRIMITIVES = (
    Primitive(
        "contains",
        "x, value",
        'whether a text has the literal in it; `lower(x) |> contains("km")` whatever the case',
        _find("anywhere"),
    ),
    Primitive("starts_with", "x, value", "whether a text begins with the literal", _find("start")),
    Primitive("ends_with", "x, value", "whether a text ends with the literal", _find("end")),
    Primitive(
        "multihot",
        'x, values = none, by = "|", max = 32',
        'cells that hold several categories: `multihot(genres, ["drama", "crime"], by = "|")` has 1 for each that is a piece of '
        "the text; of words with a vocabulary, `genres |> words |> vocab(max = 50) |> multihot`, of the first `max` of them",
        _multihot,
    ),
)
