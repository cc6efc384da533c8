"""Functions of one element: mathematics, conversions, choices."""

from __future__ import annotations

import math
from collections.abc import Callable

from bmc.frontend.bodies import arithmetic, coercion
from bmc.frontend.bodies.dims import Failure
from bmc.frontend.bodies.primitive import Arguments, Primitive
from bmc.frontend.bodies.values import Datum, LayerInstance, Tensor, describe, is_number
from bmc.frontend.errors import type_errors
from bmc.ir.types import is_float, is_integer
from bmc.record import replace

__all__ = ["PRIMITIVES"]


def _real(name: str, static: Callable[[float], float]) -> Callable[[Arguments], Datum]:
    """A function of floats; integers and static numbers become floats."""

    def expand(arguments: Arguments) -> Datum:
        value = arguments["x"]
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            try:
                return static(value)
            except (ValueError, OverflowError):
                raise Failure(type_errors.bad_size(arguments.span, f"{name}({value}) is not a number")) from None
        tensor = arguments.tensor("x")
        if tensor.dtype in ("bool", "str"):
            raise Failure(type_errors.operand_type(arguments.where("x"), name, describe(tensor)))
        if not is_float(tensor.dtype):
            weak = tensor.weak and tensor.rank == 0
            tensor = replace(coercion.to_dtype(arguments.core, tensor, "f64" if weak else arguments.core.float_type), weak=weak)
        return replace(arithmetic.elementwise(arguments.core, name, tensor), weak=tensor.weak)

    return expand


def _any_number(name: str, static: Callable[[float], float]) -> Callable[[Arguments], Datum]:
    def expand(arguments: Arguments) -> Datum:
        value = arguments["x"]
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return static(value)
        tensor = arguments.tensor("x")
        if tensor.dtype in ("bool", "str"):
            raise Failure(type_errors.operand_type(arguments.where("x"), name, describe(tensor)))
        if is_integer(tensor.dtype) and name in ("floor", "ceil", "round", "trunc"):
            return tensor
        return replace(arithmetic.elementwise(arguments.core, name, tensor), weak=tensor.weak)

    return expand


def _number(arguments: Arguments) -> Datum:
    value = arguments["x"]
    if isinstance(value, (bool, int, float)):
        return float(value)
    tensor = arguments.tensor("x")
    if tensor.dtype == "str":
        raise Failure(
            type_errors.operand_type(
                arguments.where("x"),
                "number",
                describe(tensor),
                "declare the column as `f32` if it holds numbers; `category` makes integers of text",
            )
        )
    return replace(coercion.to_dtype(arguments.core, tensor, arguments.core.float_type), categories=None)


def _integer(arguments: Arguments) -> Datum:
    value = arguments["x"]
    if isinstance(value, (bool, int, float)):
        return int(value)
    tensor = arguments.tensor("x")
    if tensor.dtype == "str":
        raise Failure(type_errors.operand_type(arguments.where("x"), "integer", describe(tensor)))
    made = coercion.to_dtype(arguments.core, tensor, "i32")
    return replace(made, below=2, below_origin=arguments.span) if tensor.dtype == "bool" else made


def extreme(arguments: Arguments, name: str, left: str, right: str) -> Datum:
    """maximum or minimum of two operands."""
    a, b = arguments[left], arguments[right]
    if is_number(a) and is_number(b) and isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return max(a, b) if name == "maximum" else min(a, b)
    core = arguments.core
    spans = [arguments.where(left), arguments.where(right)]
    operands, weak = coercion.unify(core, [a, b], spans, name, arguments.span)
    value = core.trace.op(name, operands[0].value, operands[1].value)
    result = Tensor(
        value,
        core.trace,
        coercion.join_valid(core, operands),
        weak,
        origins=coercion.combined_origins(operands, operands[0].shape),
        lengths=coercion.join_lengths(operands, arguments.span),
    )
    bounds = [b + 1 for b in (a, b) if isinstance(b, int)] + [t.below for t in operands if isinstance(t.below, int)]
    if name == "minimum" and bounds and is_integer(operands[0].dtype):
        return replace(result, below=min(bounds), below_origin=arguments.span)
    return result


def _clip(arguments: Arguments) -> Datum:
    core = arguments.core
    value = arguments["x"]
    low, high = arguments.number("low"), arguments.number("high")
    if isinstance(value, (int, float)):
        return min(max(value, low), high)
    tensor = arguments.tensor("x")
    if is_integer(tensor.dtype) and (low != int(low) or high != int(high)):
        tensor = coercion.to_dtype(core, tensor, core.float_type)
    if tensor.dtype in ("bool", "str"):
        raise Failure(type_errors.operand_type(arguments.where("x"), "clip", describe(tensor)))
    trace = core.trace
    cast = float if is_float(tensor.dtype) else int
    above = trace.op("maximum", tensor.value, trace.constant(cast(low), tensor.dtype, tensor.shape))
    inside = trace.op("minimum", above, trace.constant(cast(high), tensor.dtype, tensor.shape))
    made = replace(tensor.plain(), value=inside)
    return replace(made, below=int(high) + 1, below_origin=arguments.span) if is_integer(tensor.dtype) else made


def _select(arguments: Arguments) -> Datum:
    spans = [arguments.where(n) for n in ("c", "a", "b")]
    return arithmetic.select(arguments.core, arguments["c"], arguments["a"], arguments["b"], spans, arguments.span)


def _stop_gradient(arguments: Arguments) -> Datum:
    value = arguments["x"]
    if isinstance(value, LayerInstance):
        return LayerInstance(value.closure, value.hyper, value.span, frozen=True, original=value.original or value)
    tensor = arguments.tensor("x")
    if not arguments.core.trace.training or not is_float(tensor.dtype):
        return tensor
    return replace(tensor, value=arguments.core.trace.op("stop_gradient", tensor.value))


def _is_missing(arguments: Arguments) -> Datum:
    tensor = arguments.tensor("x")
    core = arguments.core
    if tensor.valid is None:
        return replace(core.full(False, "bool", tensor.shape), lengths=tensor.lengths)
    missing = core.tensor(core.trace.op("logical_not", tensor.valid), origins=tensor.origins)
    return replace(missing, lengths=tensor.lengths)


def _is(arguments: Arguments) -> Datum:
    """The operator of the function's name."""
    return arithmetic.elementwise(arguments.core, arguments.name, arguments.floats("x"))


def _below(arguments: Arguments) -> Datum:
    """The exclusive upper bound of integers, as a static number."""
    tensor = arguments.tensor("x")
    if isinstance(tensor.below, int):
        return tensor.below
    raise Failure(type_errors.wrong_value(arguments.where("x"), "x", "integers with a known bound", describe(tensor)))


PRIMITIVES = (
    *(
        Primitive(name, "x", doc, _real(name, static), ragged=True)
        for name, doc, static in (
            ("exp", "e to the x", math.exp),
            ("expm1", "exp(x) - 1, exact near 0", math.expm1),
            ("log", "natural logarithm", math.log),
            ("log1p", "log(1 + x), exact near 0", math.log1p),
            ("sqrt", "square root", math.sqrt),
            ("rsqrt", "1 / sqrt(x)", lambda x: 1 / math.sqrt(x)),
            ("sin", "sine of radians", math.sin),
            ("cos", "cosine of radians", math.cos),
            ("tanh", "hyperbolic tangent", math.tanh),
            ("erf", "error function", math.erf),
            ("sigmoid", "1 / (1 + exp(-x))", lambda x: 1 / (1 + math.exp(-x))),
        )
    ),
    *(
        Primitive(name, "x", doc, _any_number(name, static), ragged=True)
        for name, doc, static in (
            ("abs", "absolute value", abs),
            ("sign", "-1, 0 or 1", lambda x: (x > 0) - (x < 0)),
            ("floor", "the whole number below", math.floor),
            ("ceil", "the whole number above", math.ceil),
            ("round", "the nearest whole number, halves to even", round),
            ("trunc", "towards 0", math.trunc),
        )
    ),
    Primitive("number", "x", "as floats: true is 1", _number, ragged=True),
    Primitive("integer", "x", "as i32: floats towards 0, true is 1", _integer, ragged=True),
    Primitive("clip", "x, low, high", "x, but at least `low` and at most `high`", _clip, ragged=True),
    Primitive("maximum", "x, y", "the larger of two", lambda a: extreme(a, "maximum", "x", "y"), ragged=True),
    Primitive("minimum", "x, y", "the smaller of two", lambda a: extreme(a, "minimum", "x", "y"), ragged=True),
    Primitive("select", "c, a, b", "a where c, else b", _select, ragged=True),
    Primitive(
        "stop_gradient",
        "x",
        "x, through which no gradient flows; of a layer: the layer, not learning here",
        _stop_gradient,
        ragged=True,
    ),
    Primitive("is_missing", "x", "true where a cell is missing", _is_missing, ragged=True),
    Primitive("is_nan", "x", "true where x is not a number", _is, ragged=True),
    Primitive("is_finite", "x", "true where x is a number, and not infinite", _is, ragged=True),
    Primitive("below", "x", "the number that these integers stay below, known at compile time", _below, ragged=True),
)
