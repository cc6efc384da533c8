"""Statistics of the training rows by group: `count_by`, `sum_by`, `mean_by`, `var_by`, `std_by`.

Groups are whole numbers below a size, as `category` and `bucketize` give them. Gaps, of the numbers or of the groups, count
nowhere; a group that no row belongs to has 0 everywhere, so `count_by` tells it from others.
"""

from __future__ import annotations

from collections.abc import Callable

from bmc.frontend.bodies import coercion
from bmc.frontend.bodies.dims import Failure
from bmc.frontend.bodies.primitive import Arguments, Primitive
from bmc.frontend.bodies.values import Datum, Tensor, describe
from bmc.frontend.errors import data_errors, type_errors
from bmc.ir import Value
from bmc.ir.types import is_float, is_integer
from bmc.record import replace

__all__ = ["PRIMITIVES"]

_COUNT, _SUM, _MEAN, _VARIANCE = range(4)


def _codes(arguments: Arguments) -> tuple[Tensor, int]:
    """The groups as i32, and how many there are."""
    core, codes, where = arguments.core, arguments.tensor("by"), arguments.where("by")
    if core.fitting is None:
        raise Failure(data_errors.fit_outside(arguments.span))
    if not is_integer(codes.dtype):
        raise Failure(
            type_errors.operand_type(where, arguments.name, describe(codes), "groups are whole numbers, as `category` gives them")
        )
    known = codes.below if isinstance(codes.below, int) else None
    size = arguments.integer("size") if arguments.given("size") else known
    if size is None:
        wrong = type_errors.wrong_value(where, "by", "whole numbers of a known bound, or `size = n`", describe(codes))
        raise Failure(replace(wrong, notes=("`x |> category(max = 100)` makes some, of any text and whole numbers",)))
    if size < 1:
        raise arguments.wrong("size", "a number of at least 1")
    if known is not None and known > size:
        raise Failure(type_errors.label_bound(where, "by", known, size, codes.below_origin, arguments.where("size")))
    return codes, size


def _code_values(arguments: Arguments, codes: Tensor) -> Value:
    """As i32. Narrowing wraps: what does not fit must not become a group."""
    trace = arguments.core.trace
    if codes.dtype != "i64":
        return trace.cast(codes.value, "i32")
    low = trace.op("maximum", codes.value, trace.constant(-1, "i64", codes.shape))
    return trace.cast(trace.op("minimum", low, trace.constant(2**31 - 1, "i64", codes.shape)), "i32")


def _by(which: int, root: bool = False) -> Callable[[Arguments], Datum]:
    def expand(arguments: Arguments) -> Datum:
        core, trace = arguments.core, arguments.core.trace
        codes, size = _codes(arguments)
        if which == _COUNT:
            x = core.tensor(trace.constant(1.0, "f32", codes.shape))
        else:
            x = arguments.tensor("x")
            if x.dtype == "str":
                raise Failure(type_errors.operand_type(arguments.where("x"), arguments.name, describe(x)))
            if not is_float(x.dtype):
                x = coercion.to_dtype(core, x, "f64" if is_integer(x.dtype) else core.float_type)
        if x.shape != codes.shape:
            raise Failure(
                type_errors.broadcast_mismatch(
                    arguments.span, "grouped by", x.type, codes.type, arguments.where("x"), arguments.where("by"), ()
                )
            )
        keep = trace.constant(True, "bool", codes.shape)
        for valid in (x.valid, codes.valid):
            keep = keep if valid is None else trace.op("logical_and", keep, valid)
        ddof = arguments.integer("ddof") if which == _VARIANCE else 0
        found = trace.ops("group_moments", x.value, keep, _code_values(arguments, codes), size=size, ddof=ddof)
        value = trace.cast(found[which], "f64")
        if which in (_MEAN, _VARIANCE):
            least = trace.constant(ddof, "i64", value.type.shape)
            enough = trace.op("compare", found[_COUNT], least, predicate="gt")
            value = trace.op("select", enough, value, trace.constant(0.0, "f64", value.type.shape))
        if root:
            value = trace.op("sqrt", value)
        origin = arguments.where("size") if arguments.given("size") else codes.below_origin
        return core.tensor(trace.cast(value, core.float_type), origins=(origin,))

    return expand


_OF = "x, by, size = none"

PRIMITIVES = (
    Primitive("count_by", "by, size = none", "how many of the training rows each group has, within `fit`", _by(_COUNT)),
    Primitive("sum_by", _OF, "the sum of x in each group of the training rows, within `fit`; 0 of none", _by(_SUM)),
    Primitive("mean_by", _OF, "the mean of x in each group of the training rows, within `fit`; 0 of none", _by(_MEAN)),
    Primitive(
        "var_by", f"{_OF}, ddof = 0", "the variance of x in each group of the training rows, within `fit`; 0 of none",
        _by(_VARIANCE),
    ),
    Primitive(
        "std_by", f"{_OF}, ddof = 0", "the standard deviation of x in each group of the training rows, within `fit`; 0 of none",
        _by(_VARIANCE, root=True),
    ),
)  # fmt: skip
