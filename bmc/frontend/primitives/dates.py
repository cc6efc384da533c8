"""Dates and timestamps as numbers: days, seconds of the day, time between two of them.

In: columns of the kinds `date` and `timestamp`, gaps included. Out: plain integers and floats, in which the gaps stay.
Guaranteed: the calendar is the proleptic Gregorian one, times are UTC; years, months and the like are written in the language
(`dates.bm`).
"""

from __future__ import annotations

from bmc.frontend.bodies import arithmetic, coercion
from bmc.frontend.bodies.dims import Failure
from bmc.frontend.bodies.primitive import Arguments, Primitive
from bmc.frontend.bodies.values import Datum, Tensor, describe
from bmc.frontend.errors import type_errors
from bmc.ir import Value
from bmc.record import replace

__all__ = ["PRIMITIVES"]

_SECOND = 1_000_000
_DAY_SECONDS = 86_400


def _moment(arguments: Arguments, name: str) -> Tensor:
    """A date or timestamp. Raises Failure for anything else."""
    x = arguments.tensor(name)
    if x.kind == "plain":
        note = "it takes a date or timestamp column"
        raise Failure(type_errors.operand_type(arguments.where(name), arguments.name, describe(x), note))
    return x


def _floor_div(arguments: Arguments, value: Value, by: int) -> Value:
    trace = arguments.core.trace
    return trace.op("floor_div", value, trace.constant(by, value.type.dtype, value.type.shape))


def _day_numbers(arguments: Arguments, name: str) -> Tensor:
    """Days since 1970-01-01, i32."""
    x = _moment(arguments, name)
    if x.kind == "date":
        return x.plain()
    days = _floor_div(arguments, x.value, _DAY_SECONDS * _SECOND)
    return replace(x.plain(), value=arguments.core.trace.cast(days, "i32"))


def _days(arguments: Arguments) -> Datum:
    return _day_numbers(arguments, "x")


def _second_of_day(arguments: Arguments) -> Datum:
    x = _moment(arguments, "x")
    if x.kind == "date":
        note = "a date has no time of day; declare the column as `timestamp`"
        raise Failure(type_errors.operand_type(arguments.where("x"), arguments.name, describe(x), note))
    trace = arguments.core.trace
    seconds = _floor_div(arguments, x.value, _SECOND)
    within = trace.op("rem", seconds, trace.constant(_DAY_SECONDS, "i64", x.shape))
    return replace(x.plain(), value=trace.cast(within, "i32"), below=_DAY_SECONDS, below_origin=arguments.span)


def _weekday(arguments: Arguments) -> Datum:
    """1970-01-01 was a Thursday."""
    days = _day_numbers(arguments, "x")
    trace = arguments.core.trace
    shifted = trace.op("add", days.value, trace.constant(3, "i32", days.shape))
    value = trace.op("rem", shifted, trace.constant(7, "i32", days.shape))
    return replace(days, value=value, below=7, below_origin=arguments.span)


def _days_since(arguments: Arguments) -> Datum:
    days = _day_numbers(arguments, "x")
    start = arguments["start"]
    if isinstance(start, Tensor):
        first = _day_numbers(arguments, "start")
        return arithmetic.binary(arguments.core, "-", days, first, arguments.where("x"), arguments.where("start"), arguments.span)
    first_day = arithmetic.date_number(arguments.text("start"), "date", arguments.where("start"))
    trace = arguments.core.trace
    return replace(days, value=trace.op("sub", days.value, trace.constant(first_day, "i32", days.shape)))


def _seconds_between(arguments: Arguments) -> Datum:
    """The difference is taken in whole microseconds and rounded once."""
    core = arguments.core
    spans = [arguments.where("start"), arguments.where("end")]
    both = [arithmetic.microseconds(core, _moment(arguments, name), arguments.where(name)) for name in ("start", "end")]
    start, end = coercion.meet(core, both, spans, arguments.name, arguments.span)
    trace = core.trace
    whole = trace.cast(trace.op("sub", end.value, start.value), "f64")
    seconds = trace.op("div", whole, trace.constant(float(_SECOND), "f64", end.shape))
    origins = coercion.combined_origins([start, end], end.shape)
    return Tensor(trace.cast(seconds, core.float_type), trace, coercion.join_valid(core, [start, end]), origins=origins)


PRIMITIVES = (
    Primitive("days", "x", "whole days since 1970-01-01 of a date or timestamp", _days),
    Primitive("second_of_day", "x", "whole seconds since midnight (UTC) of a timestamp, below 86,400", _second_of_day),
    Primitive("weekday", "x", "0 for Monday to 6 for Sunday, of a date or timestamp", _weekday),
    Primitive(
        "days_since", "x, start", 'whole days from a date such as "2015-01-01", or from the date in another column', _days_since
    ),
    Primitive("seconds_between", "start, end", "seconds from one date or timestamp to another, as floats", _seconds_between),
)
