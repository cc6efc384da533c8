"""Functions of the order of cells along an axis: sorting, the largest few, running sums, ranks.

The operators order the last axis; another axis is brought there and back.
"""

from __future__ import annotations

from collections.abc import Callable

from bmc.frontend.bodies import coercion
from bmc.frontend.bodies.dims import Failure
from bmc.frontend.bodies.primitive import Arguments, Primitive
from bmc.frontend.bodies.values import Datum, Tensor, TupleValue, describe
from bmc.frontend.errors import type_errors
from bmc.ir import Value
from bmc.ir.types import is_float, is_integer
from bmc.record import replace

__all__ = ["PRIMITIVES"]


def _ordered(arguments: Arguments) -> Tensor:
    """The operand, whose cells can be compared and are all there."""
    x = arguments.tensor("x")
    if x.dtype in ("bool", "str") or x.rank == 0:
        raise Failure(type_errors.operand_type(arguments.where("x"), arguments.name, describe(x), "it orders numbers along a dim"))
    if x.valid is not None:
        raise Failure(type_errors.may_be_missing(arguments.where("x"), describe(x), f"`{arguments.name}`", x.origin(0)))
    return x


def _swapped(arguments: Arguments, value: Value, axis: int) -> Value:
    """`axis` and the last axis exchanged."""
    rank = value.type.rank
    order = list(range(rank))
    order[axis], order[-1] = order[-1], order[axis]
    return arguments.core.trace.transpose(value, order)


def _sort(which: int) -> Callable[[Arguments], Datum]:
    """which: 0 for the values, 1 for the positions."""

    def expand(arguments: Arguments) -> Datum:
        x = _ordered(arguments)
        axis = arguments.axis("axis", x.rank, describe(x))
        inner = _swapped(arguments, x.value, axis)
        found = arguments.core.trace.ops("sort", inner, descending=arguments.flag("descending"))[which]
        made = replace(x, value=_swapped(arguments, found, axis), behind=None)
        if which:
            return replace(made.plain(), below=x.shape[axis], below_origin=x.origin(axis))
        return made

    return expand


def _top_k(arguments: Arguments) -> Datum:
    x = _ordered(arguments)
    count = arguments.positive("k")
    axis = arguments.axis("axis", x.rank, describe(x))
    size = x.shape[axis]
    if not isinstance(size, int) or count > size:
        known = "" if isinstance(size, int) else ", whose number of cells is known only at run time"
        raise Failure(
            type_errors.bad_size(arguments.where("k"), f"there are no {count} largest along axis {axis} of {describe(x)}{known}")
        )
    values, places = arguments.core.trace.ops("top_k", _swapped(arguments, x.value, axis), count=count)
    origins = list(x.origins or (None,) * x.rank)
    origins[axis] = arguments.where("k")
    best = replace(x, value=_swapped(arguments, values, axis), origins=tuple(origins), behind=None)
    index = replace(best.plain(), value=_swapped(arguments, places, axis), below=size, below_origin=x.origin(axis))
    return TupleValue((best, index), ("values", "places"))


def _cumsum(arguments: Arguments) -> Datum:
    x = arguments.tensor("x")
    if x.dtype == "str" or x.rank == 0:
        raise Failure(type_errors.operand_type(arguments.where("x"), "cumsum", describe(x), "it adds numbers along a dim"))
    if x.valid is not None:
        raise Failure(type_errors.may_be_missing(arguments.where("x"), describe(x), "`cumsum`", x.origin(0)))
    axis = arguments.axis("axis", x.rank, describe(x))
    if x.dtype in ("bool", "u8"):
        x = coercion.to_dtype(arguments.core, x, "i32")
    trace, size = arguments.core.trace, x.shape[axis]

    def flipped(value: Value) -> Value:
        if not arguments.flag("reverse") or size == 0:
            return value
        return trace.slice(value, axis, size - 1, -1, -1)

    return replace(x.plain(), value=flipped(trace.op("cumsum", flipped(x.value), axis=axis)))


def _average_ranks(arguments: Arguments) -> Datum:
    """Ranks from 1 of the cells of a vector; equal cells share the mean of their ranks."""
    core, trace = arguments.core, arguments.core.trace
    x = arguments.tensor("x")
    if x.rank != 1 or not (is_float(x.dtype) or is_integer(x.dtype)):
        raise Failure(type_errors.operand_type(arguments.where("x"), "ranks", describe(x), "it takes one dim"))
    dtype = "f64"
    values, order = trace.ops("sort", x.value, descending=False)
    places = trace.op("iota", dtype="i32", shape=x.shape, axis=0)
    padded_before = _shifted(arguments, values, first=True)
    starts = trace.op("logical_or", padded_before, trace.op("compare", places, trace.constant(0, "i32", x.shape), predicate="eq"))
    run = trace.op("cumsum", trace.cast(starts, "i32"), axis=0)
    run = trace.op("sub", run, trace.constant(1, "i32", x.shape))
    position = trace.op("add", trace.cast(places, dtype), trace.constant(1.0, dtype, x.shape))
    totals = trace.op("scatter_add", run, position, rows=x.shape[0])
    counts = trace.op("scatter_add", run, trace.constant(1.0, dtype, x.shape), rows=x.shape[0])
    mean = trace.op("gather", trace.op("div", totals, counts), run)
    ranks = trace.op("scatter_add", order, mean, rows=x.shape[0])
    return core.tensor(ranks, origins=x.origins)


def _shifted(arguments: Arguments, values: Value, *, first: bool) -> Value:
    """Whether each sorted cell differs from the one before it."""
    trace = arguments.core.trace
    size = values.type.shape[0]
    places = trace.op("iota", dtype="i32", shape=(size,), axis=0)
    before = trace.op("maximum", trace.op("sub", places, trace.constant(1, "i32", (size,))), trace.constant(0, "i32", (size,)))
    return trace.op("compare", values, trace.op("gather", values, before), predicate="ne" if first else "eq")


def _search(arguments: Arguments) -> Datum:
    """How many cells of an ascending table are at most x; gaps of x stay."""
    core = arguments.core
    table, x = arguments.tensor("table"), arguments.tensor("x")
    spans = [arguments.where("table"), arguments.where("x")]
    if table.rank != 1 or table.valid is not None:
        raise Failure(type_errors.operand_type(spans[0], "search", describe(table), "the table is one row of numbers, ascending"))
    if x.dtype in ("bool", "str"):
        raise Failure(type_errors.operand_type(spans[1], "search", describe(x), "it looks for numbers"))
    dtype = x.dtype if is_float(x.dtype) else core.float_type
    found = core.trace.op("search_sorted", core.trace.cast(table.value, dtype), core.trace.cast(x.value, dtype))
    size = table.shape[0]
    return Tensor(
        found,
        core.trace,
        x.valid,
        below=size + 1,
        below_origin=table.origin(0) or spans[0],
        origins=x.origins,
        lengths=x.lengths,
    )


PRIMITIVES = (
    Primitive(
        "sort", "x, axis = -1, descending = false", "cells in order along an axis; equals keep theirs, NaN goes last", _sort(0)
    ),
    Primitive("argsort", "x, axis = -1, descending = false", "where each cell of `sort` came from", _sort(1)),
    Primitive("top_k", "x, k, axis = -1", "the k largest along an axis, largest first, and where they are: two results", _top_k),
    Primitive("cumsum", "x, axis = -1, reverse = false", "running sum along an axis, from its end if `reverse`", _cumsum),
    Primitive("search", "table, x", "how many numbers of an ascending table are at most x", _search, ragged=True),
    Primitive("ranks", "x", "ranks from 1 along one dim, ties share their mean; f64", _average_ranks),
)
