"""Expressions whose shape is open until they are bound, and `arange`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bmc.frontend.bodies import coercion
from bmc.frontend.bodies.core import Core, Turns
from bmc.frontend.bodies.dims import Failure
from bmc.frontend.bodies.primitive import Arguments, Primitive
from bmc.frontend.bodies.trace import CONTROL
from bmc.frontend.bodies.values import Datum, Generator, Tensor, describe
from bmc.frontend.errors import type_errors
from bmc.ir import Dim, TensorType, Value
from bmc.ir.dims import divide_exact
from bmc.ir.types import is_float, is_integer
from bmc.record import replace

__all__ = ["PRIMITIVES", "draw"]


def draw(core: Core, name: str, of_type: TensorType, site: str) -> Value:
    """Random numbers of a site: with the row dim in front a draw for each row, otherwise one for the step. Inside of scans: for
    each turn."""
    return _drawn(core, name, of_type, site, core.turns_here())


def _drawn(core: Core, name: str, of_type: TensorType, site: str, scans: Sequence[Turns]) -> Value:
    """Within `scans`: a slice of what all turns draw, which is drawn in front of the scan, the turns behind the rows."""
    trace = core.trace
    shape = of_type.shape
    if scans:
        turns = scans[-1]
        at = int(bool(shape) and trace.has_rows(shape[0]))
        longer = of_type.with_shape((*shape[:at], turns.length, *shape[at:]))
        stack = trace.transpose(_drawn(core, name, longer, site, scans[:-1]), (at, *(i for i in range(len(shape) + 1) if i != at)))
        turns.draws.append((Value(of_type, site), stack))
        return turns.draws[-1][0]
    control = trace.parameter("control", "control", CONTROL["control"])
    rows = trace.row is not None and bool(shape) and trace.has_rows(shape[0])
    made_shape: tuple[Dim, ...] = shape
    if rows and trace.row is not None:
        row = trace.dim_of_rows()
        per_row = divide_exact(shape[0], row)
        if per_row is None:
            where = trace.builder.location.spans[0]  # what is being built; at the top of a block no call is under way
            raise Failure(type_errors.bad_size(where, f"a dim of {shape[0]} does not belong to rows one by one"))
        made_shape = shape if per_row == 1 else (row, per_row, *shape[1:])
    value = trace.op(name, control, dtype=of_type.dtype, shape=made_shape, site=site, rows=rows)
    return trace.reshape(value, shape)


def _constant(value: float) -> Callable[[Arguments], Datum]:
    def expand(arguments: Arguments) -> Datum:
        def make(core: Core, of_type: TensorType, site: str) -> Tensor:
            if of_type.dtype == "str":
                raise Failure(type_errors.operand_type(arguments.span, arguments.name, str(of_type)))
            number: float | int | bool = bool(value) if of_type.dtype == "bool" else value
            return core.full(
                number if is_float(of_type.dtype) or of_type.dtype == "bool" else int(value), of_type.dtype, of_type.shape
            )

        return Generator(arguments.name, make, False, arguments.span)

    return expand


def _random(name: str, arguments: Arguments, finish: Callable[[Core, Value], Value]) -> Generator:
    def make(core: Core, of_type: TensorType, site: str) -> Tensor:
        if not is_float(of_type.dtype):
            raise Failure(type_errors.operand_type(arguments.span, arguments.name, str(of_type), "random numbers are floats"))
        return core.tensor(finish(core, draw(core, name, of_type, site)))

    return Generator(arguments.name, make, True, arguments.span)


def _scale_shift(core: Core, value: Value, scale: float, shift: float) -> Value:
    trace = core.trace
    if scale != 1:
        value = trace.op("mul", value, trace.constant(scale, value.type.dtype, value.type.shape))
    if shift != 0:
        value = trace.op("add", value, trace.constant(shift, value.type.dtype, value.type.shape))
    return value


def _float_or_dim(arguments: Arguments, name: str) -> float:
    return float(arguments.number(name))


def _normal(arguments: Arguments) -> Datum:
    mean, std = _float_or_dim(arguments, "mean"), _float_or_dim(arguments, "std")
    return _random("random_normal", arguments, lambda core, value: _scale_shift(core, value, std, mean))


def _uniform(arguments: Arguments) -> Datum:
    low, high = _float_or_dim(arguments, "low"), _float_or_dim(arguments, "high")
    return _random("random_uniform", arguments, lambda core, value: _scale_shift(core, value, high - low, low))


def _bernoulli(arguments: Arguments) -> Datum:
    """A uniform draw below p; p is a number, or a tensor that broadcasts to the shape."""
    p = arguments["p"]
    if not isinstance(p, Tensor) and not 0 <= arguments.number("p") <= 1:
        raise arguments.wrong("p", "a probability, from 0 to 1")

    def make(core: Core, of_type: TensorType, site: str) -> Tensor:
        if of_type.dtype == "str":
            raise Failure(type_errors.operand_type(arguments.span, "bernoulli", str(of_type)))
        trace, chance = core.trace, arguments.floats("p")
        dtype = core.float_type if chance.weak else chance.dtype
        drawn = core.tensor(draw(core, "random_uniform", TensorType(dtype, of_type.shape), site))
        if coercion.broadcast_shape([chance.shape, of_type.shape]) != of_type.shape:
            raise Failure(
                type_errors.broadcast_mismatch(
                    arguments.span, "within", chance.type, of_type, arguments.where("p"), arguments.span, ()
                )
            )
        bound = trace.broadcast(trace.cast(chance.value, dtype), of_type.shape)
        made = core.tensor(trace.cast(trace.op("compare", drawn.value, bound, predicate="lt"), of_type.dtype))
        return replace(made, below=2, below_origin=arguments.span) if is_integer(of_type.dtype) else made

    return Generator("bernoulli", make, True, arguments.span)


def _randint(arguments: Arguments) -> Datum:
    """The integral part of a uniform draw of 53 bits, scaled: no number is likelier than another by more than 2**-21."""
    low, high = arguments.integer("low"), arguments.integer("high")
    if not -(2**31) <= low < high <= 2**31 - 1:
        raise arguments.wrong("high", f"a whole number above `low`, {low}, and below 2 ** 31")

    def make(core: Core, of_type: TensorType, site: str) -> Tensor:
        _require_whole(arguments, of_type)
        trace = core.trace
        drawn = draw(core, "random_uniform", TensorType("f64", of_type.shape), site)
        scaled = trace.op("mul", drawn, trace.constant(high - low, "f64", of_type.shape))
        value = trace.op("floor", scaled)
        if low:
            value = trace.op("add", value, trace.constant(low, "f64", of_type.shape))
        made = core.tensor(trace.cast(value, of_type.dtype))
        return replace(made, below=high, below_origin=arguments.where("high")) if low >= 0 else made

    return Generator("randint", make, True, arguments.span)


def _require_whole(arguments: Arguments, of_type: TensorType) -> None:
    if not is_integer(of_type.dtype):
        raise Failure(type_errors.operand_type(arguments.span, arguments.name, str(of_type), "its draws are whole numbers"))


def _categorical(arguments: Arguments) -> Datum:
    """Positions in the running sum of the weights, which need not sum to 1: where a uniform draw times the sum falls.

    Sums and draws are f64, so that rare cells of a large table keep their share.
    """

    def make(core: Core, of_type: TensorType, site: str) -> Tensor:
        weights = arguments.floats("weights")
        where = arguments.where("weights")
        if weights.rank == 0:
            raise Failure(type_errors.operand_type(where, "categorical", describe(weights), "the last dim has the weights"))
        _require_whole(arguments, of_type)
        trace, lead = core.trace, weights.rank - 1
        if of_type.shape[:lead] != weights.shape[:-1]:
            raise Failure(
                type_errors.broadcast_mismatch(
                    arguments.span, "for each row of", of_type, weights.type, arguments.span, where, ()
                )
            )
        wide = trace.cast(weights.value, "f64")
        if trace.training:
            wide = trace.op("stop_gradient", wide)
        ends = trace.op("cumsum", wide, axis=lead)
        size = weights.shape[-1]
        total = trace.reshape(trace.slice(ends, lead, size - 1, size), weights.shape[:-1])
        total = trace.op("broadcast", total, shape=of_type.shape, axes=tuple(range(lead)))
        drawn = draw(core, "random_uniform", TensorType("f64", of_type.shape), site)
        # A product below the sum falls before the last end; of weights that are all 0 the last is drawn.
        place = trace.op("search_sorted", ends, trace.op("mul", drawn, total))
        last = trace.broadcast(trace.cast(trace.dim(size - 1, "i64"), "i32"), of_type.shape)
        made = core.tensor(trace.cast(trace.op("minimum", place, last), of_type.dtype))
        return replace(made, below=size, below_origin=weights.origin(lead) or arguments.span)

    return Generator("categorical", make, True, arguments.span)


def _arange(arguments: Arguments) -> Datum:
    """With a length: the whole numbers below it, weak. Without: a generator of one dim."""
    if not arguments.given("n"):

        def make(core: Core, of_type: TensorType, site: str) -> Tensor:
            if len(of_type.shape) != 1 or of_type.dtype in ("bool", "str"):
                raise Failure(type_errors.operand_type(arguments.span, "arange", str(of_type), "it counts along one dim"))
            made = core.tensor(core.trace.op("iota", dtype=of_type.dtype, shape=of_type.shape, axis=0))
            return replace(made, below=of_type.shape[0], below_origin=arguments.span)

        return Generator("arange", make, False, arguments.span)
    size = arguments.dim("n")
    if isinstance(size, int) and size < 0:
        raise Failure(type_errors.bad_size(arguments.where("n"), f"there are no {size} numbers"))
    value = arguments.core.trace.op("iota", dtype="i32", shape=(size,), axis=0)
    made = arguments.core.tensor(value, origins=(arguments.where("n"),), weak=True)
    return replace(made, below=size, below_origin=arguments.where("n"))


PRIMITIVES = (
    Primitive("zeros", "", "0 in every cell", _constant(0.0), "generator"),
    Primitive("ones", "", "1 in every cell; true for bools", _constant(1.0), "generator"),
    Primitive("normal", "mean = 0.0, std = 1.0", "draws of the normal distribution", _normal, "generator"),
    Primitive("uniform", "low = 0.0, high = 1.0", "draws between low and high", _uniform, "generator"),
    Primitive("bernoulli", "p", "true (or 1) with the probability p, a number or a tensor", _bernoulli, "generator"),
    Primitive("randint", "low, high", "whole numbers from `low`, below `high`, all as likely", _randint, "generator"),
    Primitive(
        "categorical",
        "weights",
        "whole numbers below the last dim of the weights, each as likely as its weight, which need not sum to 1; leading dims of"
        " the weights are those of the shape: `draw: i32[B, 8] = categorical(w)` with w[V] or w[B, V]",
        _categorical,
        "generator",
    ),
    Primitive("arange", "n = none", "0, 1, 2, ... below n, or as many as the shape has", _arange, "generator"),
)
