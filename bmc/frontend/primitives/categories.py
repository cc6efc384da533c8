"""Categories of text and integers, one-hot features."""

from __future__ import annotations

from bmc.frontend.bodies import coercion
from bmc.frontend.bodies.dims import Failure
from bmc.frontend.bodies.primitive import Arguments, Primitive
from bmc.frontend.bodies.values import Categories, Datum, ListValue, Parts, Tensor, describe
from bmc.frontend.data import fitting
from bmc.frontend.errors import type_errors
from bmc.frontend.primitives.choosing import onehot_of
from bmc.ir.types import is_integer
from bmc.record import replace

__all__ = ["PRIMITIVES"]


def _require_cells(arguments: Arguments, x: Tensor) -> None:
    if x.valid is not None:
        raise Failure(type_errors.may_be_missing(arguments.where("x"), describe(x), f"`{arguments.name}`", x.origin(0)))


def _labels(arguments: Arguments, value: ListValue, x: Tensor) -> tuple[str | int, ...]:
    wanted = str if x.dtype == "str" else int
    items = [i for i in value.items if isinstance(i, wanted) and not isinstance(i, bool)]
    if len(items) != len(value.items) or not items or len(set(items)) != len(items):
        raise arguments.wrong("n", f"different {'texts' if wanted is str else 'whole numbers'} for {describe(x)}")
    return tuple(items)


def _category(arguments: Arguments) -> Datum:
    core, trace = arguments.core, arguments.core.trace
    given = arguments["x"]
    lowered = isinstance(given, Parts) and given.unit == "whole"
    x = given.text if isinstance(given, Parts) and lowered else arguments.tensor("x")
    _require_cells(arguments, x)
    if x.dtype not in ("str", "u8", "i32", "i64"):
        raise Failure(
            type_errors.operand_type(arguments.where("x"), arguments.name, describe(x), "categories are text or whole numbers")
        )
    if arguments.given("max"):
        size = arguments.integer("max")
        if arguments.given("n") or size < 2:
            raise arguments.wrong("max", "a number of at least 2, alone: the last slot means other")
        whole = given if isinstance(given, Parts) else x
        return fitting.fitted_categories(core, whole, size, arguments.where("max"), arguments.span)
    listed = arguments["n"]
    if isinstance(listed, ListValue):
        labels = _labels(arguments, listed, x)
        index = trace.constant(-1, "i32", x.shape)
        for i, label in enumerate(labels):
            if isinstance(label, str):
                equal = trace.op("str_equal", x.value, value=label, lower=lowered)
            else:
                equal = trace.op("compare", x.value, trace.constant(label, x.dtype, x.shape), predicate="eq")
            index = trace.op("select", equal, trace.constant(i, "i32", x.shape), index)
        made = core.tensor(index, origins=x.origins)
        return replace(made, below=len(labels), below_origin=arguments.where("n"), categories=Categories(len(labels), labels))
    if not arguments.given("n"):
        raise Failure(type_errors.wrong_value(arguments.span, arguments.name, "`n`, a list, or `max = n`", "nothing"))
    size = arguments.integer("n")
    if size < 1:
        raise arguments.wrong("n", "a number of at least 1")
    if x.dtype == "str":
        raise Failure(
            type_errors.operand_type(
                arguments.where("x"),
                f"{arguments.name}({size})",
                describe(x),
                f"integers from 0 to {size - 1}; for text write `max = {size}` or list the categories",
            )
        )
    value = x.value
    if x.dtype == "i64":  # narrowing wraps: 2 ** 32 must not become a 0 that looks right
        value = trace.op("maximum", value, trace.constant(-(2**31), "i64", x.shape))
        value = trace.op("minimum", value, trace.constant(2**31 - 1, "i64", x.shape))
    made = coercion.to_dtype(core, replace(x, value=value), "i32")
    return replace(made, below=size, below_origin=arguments.where("n"), categories=Categories(size))


def _onehot(arguments: Arguments) -> Datum:
    given = arguments["x"]
    x = given.text if isinstance(given, Parts) and given.unit == "whole" else arguments.tensor("x")
    if is_integer(x.dtype) and isinstance(x.below, int) and not arguments.given("n") and not arguments.given("max"):
        _require_cells(arguments, x)
        return onehot_of(arguments, coercion.to_dtype(arguments.core, x, "i32"), x.below, arguments.span)
    if is_integer(x.dtype) and isinstance(arguments["n"], int) and isinstance(x.below, int) and x.below > arguments.integer("n"):
        size = arguments.integer("n")
        wrong = type_errors.label_bound(arguments.where("x"), "x", x.below, size, x.below_origin, arguments.where("n"))
        raise Failure(replace(wrong, notes=(*wrong.notes, "`onehot` without a number has a place for each: `x |> onehot`")))
    index = _category(arguments)
    assert isinstance(index, Tensor)
    assert isinstance(index.below, int)
    where = arguments.where("max" if arguments.given("max") else "n")
    return onehot_of(arguments, index, index.below, where)


PRIMITIVES = (
    Primitive(
        "category",
        "x, n = none, max = none",
        'whole numbers from 0: `category(12)` of integers, `category(["a", "b"])` in that order, '
        "`category(max = 32)` fitted: the most frequent first, the last slot for all others",
        _category,
    ),
    Primitive(
        "onehot", "x, n = none, max = none", "as `category`, then 1 at that place of a new last dim and 0 elsewhere", _onehot
    ),
)
