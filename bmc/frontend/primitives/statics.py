"""Functions of static values: lists, ranks, and what the compiler knows of a tensor."""

from __future__ import annotations

from collections.abc import Callable

from bmc.frontend.bodies.dims import Failure
from bmc.frontend.bodies.primitive import Arguments, Primitive
from bmc.frontend.bodies.provenance import squashed_by
from bmc.frontend.bodies.values import Datum, ListValue, Plateau, Tensor, TupleValue, describe
from bmc.frontend.errors import type_errors
from bmc.ir.types import is_integer

__all__ = ["PRIMITIVES"]


def _zip(arguments: Arguments) -> Datum:
    lists = []
    for bound in arguments.rest:
        if not isinstance(bound.value, (ListValue, TupleValue)):
            raise Failure(type_errors.wrong_value(bound.span, "zip", "lists", describe(bound.value)))
        lists.append(bound.value.items)
    if len({len(items) for items in lists}) > 1:
        lengths = " and ".join(str(len(items)) for items in lists)
        raise Failure(type_errors.bad_size(arguments.span, f"`zip` takes lists of one length, not {lengths}"))
    return ListValue(tuple(TupleValue(items) for items in zip(*lists, strict=True)))


def _range(arguments: Arguments) -> Datum:
    count = arguments.integer("n")
    if not 0 <= count <= 100_000:
        raise Failure(type_errors.bad_size(arguments.where("n"), f"a list of {count} numbers"))
    return ListValue(tuple(range(count)))


def _rank(arguments: Arguments) -> Datum:
    return arguments.tensor("x").rank


def _is_integers(arguments: Arguments) -> Datum:
    value = arguments["x"]
    if isinstance(value, Tensor):
        return is_integer(value.dtype)
    return isinstance(value, int) and not isinstance(value, bool)


def _is_bools(arguments: Arguments) -> Datum:
    value = arguments["x"]
    return value.dtype == "bool" if isinstance(value, Tensor) else isinstance(value, bool)


def _is_made_by(name: str) -> Callable[[Arguments], Datum]:
    def expand(arguments: Arguments) -> Datum:
        value = arguments["x"]
        return isinstance(value, Tensor) and squashed_by(value) == name

    return expand


def _size(arguments: Arguments) -> Datum:
    value = arguments["x"]
    if isinstance(value, (ListValue, TupleValue)):
        return len(value.items)
    tensor = arguments.tensor("x")
    return tensor.shape[arguments.axis("axis", tensor.rank, describe(tensor))]


def _shape(arguments: Arguments) -> Datum:
    return ListValue(tuple(arguments.tensor("x").shape))


def _plateau(arguments: Arguments) -> Datum:
    factor, delta = float(arguments.number("factor")), float(arguments.number("delta"))
    if not 0 < factor < 1:
        raise arguments.wrong("factor", "a number between 0 and 1")
    peak, least = float(arguments.number("peak")), float(arguments.number("least"))
    return Plateau(
        peak,
        factor,
        arguments.integer("patience"),
        delta,
        least / peak if peak else 0.0,  # a rate, as in other schedules; the runtime bounds the factor
        arguments.text("on"),
        arguments.span,
    )


PRIMITIVES = (
    Primitive(
        "plateau",
        'peak, factor = 0.1, patience = 10, delta = 0.0, least = 0.0, on = "valid.loss"',
        "a learning rate: `peak`, times `factor` whenever the metric has not improved by more than `delta` for `patience` epochs,"
        " down to `least`",
        _plateau,
    ),
    Primitive("zip", "*lists", "a list of tuples, one of each list", _zip),
    Primitive("range", "n", "the list 0, 1, ... below n", _range),
    Primitive("rank", "x", "the number of dims", _rank),
    Primitive("size", "x, axis = 0", "a dim of a tensor, or the length of a list", _size),
    Primitive("shape", "x", "the dims of a tensor, as a list", _shape),
    Primitive("is_integers", "x", "whether x has whole numbers", _is_integers),
    Primitive("is_softmax", "x", "whether x is what softmax gave: to warn of a second one", _is_made_by("softmax")),
    Primitive("is_sigmoid", "x", "whether x is what sigmoid gave: to warn of a second one", _is_made_by("sigmoid")),
    Primitive("is_bools", "x", "whether x has conditions", _is_bools),
)
