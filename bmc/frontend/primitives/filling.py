"""What stands in the place of missing cells: a value, a statistic of the training rows, or the step before.

In: tensors with gaps. Out: tensors without (but for `previous`, which leaves those that nothing stands before). Guaranteed: a
cell that is there stays as it is, in its own type: whole numbers become floats only where the statistic is a fraction; no row's
value comes from another row of those that are predicted.
"""

from __future__ import annotations

from collections.abc import Mapping

from bmc.frontend.bodies import arithmetic, coercion
from bmc.frontend.bodies.dims import Failure
from bmc.frontend.bodies.primitive import Arguments, Primitive
from bmc.frontend.bodies.values import Bound, Closure, Constructed, Datum, Tensor, describe
from bmc.frontend.data import fitting
from bmc.frontend.errors import type_errors
from bmc.ir import Value
from bmc.ir.types import is_float, is_integer
from bmc.record import replace

__all__ = ["PRIMITIVES"]

_STATISTICS = "a statistic such as `median`, `mean` or `mode`"


def _fill(arguments: Arguments) -> Datum:
    x = arguments.tensor("x")
    given = arguments["with"]
    if given is _PREVIOUS:
        return _before(arguments, x)
    filler: Tensor | None = None
    if isinstance(given, (Closure, Primitive, Constructed)):
        filler = _statistic(arguments, x, given)
    elif isinstance(given, Tensor):
        filler = arguments.tensor("with")
    if x.valid is None:
        return x
    if filler is not None:
        return _filled_by(arguments, x, filler)
    return _filled_with(arguments, x, given)


def _filled(x: Tensor, value: Value, known: bool) -> Tensor:
    """`known`: what fills is one of the values that x could have, so that the bound of x still holds."""
    x.trace.seen_through[value] = x.value
    made = replace(x, value=value, valid=None, categories=None)
    return made if known else replace(made, below=None, below_origin=None)


def _filled_with(arguments: Arguments, x: Tensor, given: Datum) -> Tensor:
    """A value that is written out."""
    trace, wrong = arguments.core.trace, arguments.wrong
    assert x.valid is not None
    if x.dtype == "str":
        if not isinstance(given, str):
            raise wrong("with", "a text, or `mode`")
        return replace(x, value=trace.op("str_select", x.valid, x.value, value=given), valid=None)
    number: float
    if x.kind != "plain":
        if not isinstance(given, str):
            raise wrong("with", 'a date like "2023-01-31", or a statistic such as `median` or `mode`')
        number = arithmetic.date_number(given, x.kind, arguments.where("with"))
    elif x.dtype == "bool":
        if not isinstance(given, bool):
            raise wrong("with", "true or false, or `mode`")
        number = given
    elif isinstance(given, bool) or not isinstance(given, (int, float)):
        raise wrong("with", f"a number, or {_STATISTICS}")
    elif isinstance(given, float) and not is_float(x.dtype):
        raise wrong("with", f"a whole number, since the column is {x.dtype}")
    else:
        number = given
    known = isinstance(number, int) and isinstance(x.below, int) and 0 <= number < x.below
    value = trace.op("select", x.valid, x.value, trace.constant(number, x.dtype, x.shape))
    return _filled(x, value, known)


def _filled_by(arguments: Arguments, x: Tensor, filler: Tensor) -> Tensor:
    """A statistic, or another tensor."""
    core, trace = arguments.core, arguments.core.trace
    assert x.valid is not None
    if x.dtype == "str" or filler.dtype == "str":
        if x.dtype != filler.dtype or filler.shape != (1,):
            raise arguments.wrong("with", "a text, or `mode`")
        return replace(x, value=trace.op("str_default", x.valid, x.value, filler.value), valid=None)
    if filler.kind != x.kind:
        what = "a date" if x.kind == "date" else "a timestamp" if x.kind == "timestamp" else "a number"
        raise arguments.wrong("with", f"{what}, as the column is")
    if coercion.broadcast_shape([x.shape, filler.shape]) != x.shape:
        raise Failure(
            type_errors.wrong_value(arguments.where("with"), "with", f"one number, or those of {describe(x)}", describe(filler))
        )
    if filler.dtype != x.dtype and not is_float(x.dtype) and not (is_integer(filler.dtype) and is_integer(x.dtype)):
        x = coercion.to_dtype(core, x, core.float_type)
    there = x.valid
    assert there is not None
    value = trace.op("select", there, x.value, trace.broadcast(trace.cast(filler.value, x.dtype), x.shape))
    made = _filled(x, value, x.below is not None and filler.below == x.below)
    if filler.valid is None:
        return made
    return replace(made, valid=trace.op("logical_or", there, trace.broadcast(filler.valid, x.shape)))


def _statistic(arguments: Arguments, x: Tensor, given: Closure | Primitive | Constructed) -> Tensor:
    """What a function makes of the training rows: of each cell's place its own number, as `standardize` does it. Raises Failure."""
    core, where = arguments.core, arguments.where("with")
    name = given.name if isinstance(given, (Closure, Primitive)) else given.closure.name
    given_to = [Bound(x, arguments.where("x"))]
    if x.rank > 1 and _takes_axis(given):
        keyword: Mapping[str, Bound] = {"axis": Bound(0, where)}
        made = core.apply(given, given_to, keyword, where)
    else:
        made = core.apply_value(given, given_to, where)
    if not isinstance(made, Tensor) or (made.dtype != "str" and made.shape not in ((), x.shape[1:])):
        raise Failure(type_errors.wrong_value(where, "with", "a statistic of one number", describe(made)))
    if x.kind != "plain" and is_float(made.dtype):  # as whole days or microseconds before it is stored: f32 has 24 bits
        whole = core.trace.cast(core.trace.op("floor", made.value), x.dtype)
        made = Tensor(whole, core.trace)
    fitted = fitting.fit(core, made, f"fill.{name}", where)
    return replace(fitted, kind=x.kind) if fitted.dtype == x.dtype else fitted


def _takes_axis(given: Closure | Primitive | Constructed) -> bool:
    if isinstance(given, Primitive):
        return any(name == "axis" for name, _ in given.parameters)
    return isinstance(given, Closure) and any(p.name.text == "axis" for p in given.declaration.inputs)


def _mode(arguments: Arguments) -> Datum:
    """The first entry of a table of distinct values, as `category(max = 2)` would have it."""
    core, trace = arguments.core, arguments.core.trace
    x = arguments.tensor("x")
    cells = x.value if x.dtype in ("str", "i32", "i64", "f32", "f64") else trace.cast(x.value, "i32")
    keep = trace.constant(True, "bool", x.shape) if x.valid is None else x.valid
    table, _, _ = trace.ops("distinct", cells, keep, limit=1, unit="whole", lower=False)
    if x.dtype == "str":
        return core.tensor(table)
    made = core.tensor(trace.cast(trace.reduce("reduce_max", table, [0]), x.dtype))
    return replace(made, below=x.below, below_origin=x.below_origin, kind=x.kind)


def _before(arguments: Arguments, x: Tensor) -> Tensor:
    """By doubling: after the step of k each gap has been looked for up to 2k - 1 places back."""
    trace = arguments.core.trace
    if x.valid is None:
        return x
    if x.rank < 2 or x.dtype == "str":
        note = (
            "text has no steps to carry on: write `fill` with a text"
            if x.dtype == "str"
            else "the row before is no part of a row: the prediction for one row would depend on others. "
            "Use a statistic such as `median`, or make rows of series: `|> windows(n, by = ..., order = ...)` behind the source"
        )
        raise Failure(type_errors.operand_type(arguments.where("x"), "previous", describe(x), note))
    steps = x.shape[1]
    if not isinstance(steps, int):
        note = "the number of its steps is not known before it runs"
        raise Failure(type_errors.operand_type(arguments.where("x"), "previous", describe(x), note))
    value, valid = x.value, x.valid
    back = 1
    while back < steps:
        earlier = _moved(arguments, value, back), _moved(arguments, valid, back)
        value = trace.op("select", valid, value, earlier[0])
        valid = trace.op("logical_or", valid, earlier[1])
        back *= 2
    trace.seen_through[value] = x.value
    return replace(x, value=value, valid=valid)


def _moved(arguments: Arguments, value: Value, by: int) -> Value:
    """The cells of axis 1 as they were `by` places before, zeros (that are missing) in front."""
    trace = arguments.core.trace
    kept = trace.slice(value, 1, 0, value.type.shape[1] - by)
    none, low = (0,) * value.type.rank, tuple(by if i == 1 else 0 for i in range(value.type.rank))
    if value.type.dtype == "bool":
        return trace.cast(trace.op("pad", trace.cast(kept, "i32"), low=low, high=none, interior=none, value=0), "bool")
    return trace.op("pad", kept, low=low, high=none, interior=none, value=0)


def _previous(arguments: Arguments) -> Datum:
    return _before(arguments, arguments.tensor("x"))


def _missing_like(arguments: Arguments) -> Datum:
    y, x = arguments.tensor("y"), arguments.tensor("x")
    if y.shape != x.shape:
        left, right = arguments.where("y"), arguments.where("x")
        raise Failure(type_errors.broadcast_mismatch(arguments.span, "with the gaps of", y.type, x.type, left, right, ()))
    return replace(y, valid=coercion.join_valid(arguments.core, [y, x]))


_PREVIOUS = Primitive(
    "previous",
    "x",
    "gaps in the steps of windows filled with the last step before them that is there; those at the beginning stay",
    _previous,
)

PRIMITIVES = (
    Primitive(
        "fill",
        "x, with",
        "a value, `previous`, or a statistic of the training rows (`median`, `mean`, `mode`, `min`, a function) in the place of "
        "missing cells; a column of arrays gets one for each of their places",
        _fill,
        ragged=True,
    ),
    _PREVIOUS,
    Primitive("missing_like", "y, x", "y, missing where x is", _missing_like, ragged=True),
    Primitive("mode", "x", "the most frequent value of text, numbers, dates or truth values; of equals the least", _mode),
)
