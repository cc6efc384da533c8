"""Picking cells by integer tensors and adding them up by them: `take`, `scatter_add`, and one-hot rows.

Integers carry their upper bound, which is checked against the axis that they pick from.
"""

from __future__ import annotations

from bmc.frontend.bodies import coercion
from bmc.frontend.bodies.dims import Failure
from bmc.frontend.bodies.primitive import Arguments, Primitive
from bmc.frontend.bodies.values import Datum, ListValue, Parts, Tensor, describe
from bmc.frontend.errors import layer_errors, type_errors
from bmc.frontend.primitives.finding import counts_of_codes
from bmc.ir import Value
from bmc.ir.types import is_integer
from bmc.record import replace
from bmc.source import Span

__all__ = ["PRIMITIVES", "check_bound", "onehot_of"]


def check_bound(arguments: Arguments, index: Tensor, name: str, table: Tensor, axis: int) -> None:
    """Indices must lie within the axis they pick from, as far as both are known."""
    where = arguments.where(name)
    if not is_integer(index.dtype):
        raise Failure(type_errors.integers_reach(where, describe(index)))
    size = table.shape[axis]
    if isinstance(index.below, int) and isinstance(size, int):
        if index.below > size:
            raise Failure(type_errors.label_bound(where, name, index.below, size, index.below_origin, table.origin(axis)))
    elif index.below is None and arguments.core.trace.name in ("train", "eval", "data"):
        arguments.core.report(type_errors.unbounded_labels(where))


def _take(arguments: Arguments) -> Datum:
    """By axis: rows of a table (axis 0), or a cell of each row (axis -1, one index for each)."""
    core = arguments.core
    table = arguments["x"]
    if isinstance(table, ListValue):
        items = [i for i in table.items if isinstance(i, (int, float)) and not isinstance(i, bool)]
        if len(items) != len(table.items) or not items:
            raise arguments.wrong("x", "a tensor or a list of numbers")
        dtype = core.float_type if any(isinstance(i, float) for i in items) else "i32"
        rows = [core.trace.constant(i, dtype, (1,)) for i in items]
        x = core.tensor(core.trace.op("concat", *rows, axis=0))
    else:
        x = arguments.tensor("x")
    index = arguments.tensor("i")
    axis = arguments.axis("axis", x.rank, describe(x))
    check_bound(arguments, index, "i", x, axis)
    if index.dtype == "u8":
        index = coercion.to_dtype(core, index, "i32")
    if x.rank == 0:
        raise Failure(type_errors.operand_type(arguments.where("x"), "take", describe(x)))
    if index.valid is not None or x.valid is not None:
        if x.valid is not None or x.rank != 1:
            where, tensor = ("x", x) if x.valid is not None else ("i", index)
            raise Failure(type_errors.may_be_missing(arguments.where(where), describe(tensor), "`take`", tensor.origin(0)))
        return _picked_cells(arguments, x, index)
    origins = index.origins or (None,) * index.rank
    own = x.origins or (None,) * x.rank
    if axis == x.rank - 1 and x.rank > 1 and index.rank >= x.rank - 1 and index.shape[: x.rank - 1] == x.shape[:-1]:
        made = core.tensor(core.trace.op("take_along", x.value, index.value), origins=origins)
    else:
        order = (axis, *(i for i in range(x.rank) if i != axis))
        picked: Value = core.trace.op("gather", core.trace.transpose(x.value, order), index.value)
        rest = tuple(own[i] for i in order[1:])
        made = core.tensor(picked, origins=(*origins, *rest))
        if axis:  # the axes of the index stand where the axis stood
            inner = tuple(range(index.rank))
            before = tuple(index.rank + i for i in range(axis))
            after = tuple(index.rank + i for i in range(axis, x.rank - 1))
            made = core.tensor(core.trace.transpose(picked, (*before, *inner, *after)))
    return replace(made, below=x.below, below_origin=x.below_origin) if is_integer(x.dtype) else made


def _picked_cells(arguments: Arguments, x: Tensor, index: Tensor) -> Tensor:
    """Cells of a table by an index with gaps, which stay."""
    made = arguments.core.tensor(arguments.core.trace.op("gather", x.value, index.value), origins=index.origins)
    return replace(made, valid=index.valid)


def _scatter_add(arguments: Arguments) -> Datum:
    """The reverse of `take`: along axis 0 rows, or along the last axis a cell for each index."""
    core = arguments.core
    x, index, size = arguments.tensor("x"), arguments.tensor("i"), arguments.dim("size")
    if x.dtype == "str":
        raise Failure(type_errors.operand_type(arguments.where("x"), "scatter_add", describe(x), "it adds numbers"))
    if not is_integer(index.dtype):
        raise Failure(type_errors.integers_reach(arguments.where("i"), describe(index)))
    for name, tensor in (("x", x), ("i", index)):
        if tensor.valid is not None:
            raise Failure(type_errors.may_be_missing(arguments.where(name), describe(tensor), "`scatter_add`", tensor.origin(0)))
    axis = arguments.axis("axis", x.rank, describe(x))
    if isinstance(size, int) and size < 1:
        raise Failure(type_errors.bad_size(arguments.where("size"), f"there are no {size} places"))
    if isinstance(index.below, int) and isinstance(size, int) and index.below > size:
        raise Failure(
            type_errors.label_bound(arguments.where("i"), "i", index.below, size, index.below_origin, arguments.where("size"))
        )
    if x.dtype == "bool":
        x = coercion.to_dtype(core, x, "i32")
    if index.dtype == "u8":
        index = coercion.to_dtype(core, index, "i32")
    along_last = axis and axis == x.rank - 1 and index.shape == x.shape
    if not along_last and (axis or index.shape != x.shape[: index.rank]):
        wanted = "with axis 0 its dims begin those of x, with the last axis they are those of x"
        raise Failure(type_errors.operand_type(arguments.where("i"), "scatter_add", describe(index), wanted))
    origins = x.origins or (None,) * x.rank
    where = arguments.where("size")
    if along_last:
        value = core.trace.op("scatter_along", index.value, x.value, size=size, lead=axis)
        return core.tensor(value, origins=(*origins[:-1], where))
    value = core.trace.op("scatter_add", index.value, x.value, rows=size)
    return core.tensor(value, origins=(where, *origins[index.rank :]))


def onehot_of(arguments: Arguments, index: Tensor, size: int, origin: Span) -> Tensor:
    """`[..., size]`: 1.0 where the last index is the integer."""
    core, trace = arguments.core, arguments.core.trace
    shape = (*index.shape, size)
    wide = trace.op("broadcast", index.value, shape=shape, axes=tuple(range(index.rank)))
    places = trace.op("iota", dtype=index.dtype, shape=shape, axis=index.rank)
    equal = trace.op("compare", wide, places, predicate="eq")
    return core.tensor(trace.cast(equal, core.float_type), origins=(*(index.origins or (None,) * index.rank), origin))


def _within(arguments: Arguments) -> Datum:
    """The integers, after the check that they pick from the last dim of x."""
    index, x = arguments.tensor("i"), arguments.tensor("x")
    if x.rank == 0:
        raise Failure(type_errors.operand_type(arguments.where("x"), "within", describe(x)))
    check_bound(arguments, index, "i", x, x.rank - 1)
    return coercion.to_dtype(arguments.core, index, "i32") if index.dtype == "u8" else index


def _counts(arguments: Arguments) -> Datum:
    """How often each of `size` integers occurs; of words, in each row."""
    core, trace = arguments.core, arguments.core.trace
    given = arguments["x"]
    if isinstance(given, Parts) and given.codes is not None:
        if arguments.given("size") and arguments.integer("size") != given.codes.size:
            raise arguments.wrong("size", f"{given.codes.size}, which is how many there are, or nothing")
        return counts_of_codes(arguments, given, arguments.positive("max"))
    if isinstance(given, Parts):
        note = "`vocab(max = n)` or `hash(n)` makes integers of them, which can be counted"
        raise Failure(type_errors.operand_type(arguments.where("x"), arguments.name, describe(given), note))
    index = arguments.tensor("x")
    if not arguments.given("size"):
        raise Failure(layer_errors.missing_argument(arguments.span, arguments.name, "size", None))
    size = arguments.dim("size")
    if not is_integer(index.dtype):
        raise Failure(type_errors.integers_reach(arguments.where("x"), describe(index)))
    value = index.value if index.dtype in ("i32", "i64") else trace.cast(index.value, "i32")
    return core.tensor(trace.cast(trace.op("bincount", value, size=size), core.float_type), origins=(arguments.where("size"),))


PRIMITIVES = (
    Primitive("take", "x, i, axis = 0", "what the integers `i` pick from an axis of x", _take),
    Primitive(
        "scatter_add",
        "x, i, size, axis = 0",
        "the reverse of `take`: cells of x added up at the places `i` of an axis of that size, 0 where nothing comes",
        _scatter_add,
    ),
    Primitive("within", "i, x", "the integers `i`, checked to stay below the last dim of x", _within),
    Primitive(
        "counts",
        "x, size = none, max = 128",
        "how often each of the integers below `size` occurs; of words with a vocabulary how often each row has each, "
        "`note |> words |> vocab(max = 500) |> counts`, of its first `max`",
        _counts,
    ),
)
