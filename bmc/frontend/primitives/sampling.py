"""`sample`: one integer for each row of scores, drawn by a softmax that is sharpened and cut.

In: scores `[..., V]`, a temperature, what to keep of the distribution. Out: integers below V. Guaranteed: the draw is a function of
the scores, the seed, the step and the row; a temperature of 0 takes the first of the greatest scores and draws nothing. In `next`
the three numbers are inputs of the compiled function, so that they can be chosen anew for each text.

The scores in descending order, equal ones in their order; of these the first `top_k`; of these the fewest that together have the
probability `top_p`; of these one by its probability. Everything behind the order is f64.
"""

from __future__ import annotations

from bmc.frontend.bodies.dims import Failure
from bmc.frontend.bodies.primitive import Arguments, Primitive
from bmc.frontend.bodies.values import Datum, describe
from bmc.frontend.errors import type_errors
from bmc.frontend.primitives.generators import draw
from bmc.ir import TensorType, Value
from bmc.record import replace

__all__ = ["PRIMITIVES"]

_EVERYTHING = {"top_k": 0.0, "top_p": 1.0}
"""What keeps every score."""


def _settings(arguments: Arguments) -> dict[str, float]:
    """Temperature, top_k (0 for all) and top_p as numbers that make sense."""
    temperature = float(arguments.number("temperature"))
    if not 0 <= temperature < float("inf"):
        raise arguments.wrong("temperature", "a number, at least 0")
    top_k = float(arguments.positive("top_k")) if arguments.given("top_k") else _EVERYTHING["top_k"]
    top_p = float(arguments.number("top_p")) if arguments.given("top_p") else _EVERYTHING["top_p"]
    if not 0 < top_p <= 1:
        raise arguments.wrong("top_p", "a probability, above 0 and at most 1")
    return {"temperature": temperature, "top_k": top_k, "top_p": top_p}


def _scalars(arguments: Arguments, settings: dict[str, float]) -> dict[str, Value]:
    """The numbers as rank-0 f64 values: constants, or inputs where the trace takes settings."""
    trace = arguments.core.trace
    if trace.settings is None:
        return {name: trace.constant(value, "f64") for name, value in settings.items()}
    if trace.settings:
        raise Failure(type_errors.bad_size(arguments.span, "`next` draws once: there is a `sample` already"))
    trace.settings.update(settings)
    return {name: trace.parameter("input", name, TensorType("f64", ())) for name in settings}


def _sample(arguments: Arguments) -> Datum:
    core, trace = arguments.core, arguments.core.trace
    scores = arguments.floats("x")
    if scores.rank == 0:
        raise Failure(type_errors.operand_type(arguments.where("x"), "sample", describe(scores), "it takes scores along a dim"))
    shape = scores.shape
    lead, last = shape[:-1], len(shape) - 1
    given = _scalars(arguments, _settings(arguments))

    def wide(value: Value) -> Value:
        return trace.op("broadcast", value, shape=shape, axes=tuple(range(value.type.rank)))

    def zero_unless(condition: Value, value: Value) -> Value:
        return trace.op("select", condition, value, trace.constant(0.0, "f64", shape))

    none = trace.constant(0.0, "f64")
    draws = trace.op("compare", given["temperature"], none, predicate="gt")
    temperature = trace.op("select", draws, given["temperature"], trace.constant(1.0, "f64"))
    ordered, places = trace.ops("sort", scores.value, descending=True)
    ordered = trace.cast(ordered, "f64")
    greatest = trace.reshape(trace.slice(ordered, last, 0, 1), lead)
    chance = trace.op("exp", trace.op("div", trace.op("sub", ordered, wide(greatest)), wide(temperature)))
    rank = trace.op("iota", dtype="f64", shape=shape, axis=last)
    first = trace.op("compare", rank, wide(given["top_k"]), predicate="lt")
    all_of = trace.op("compare", wide(given["top_k"]), trace.constant(0.0, "f64", shape), predicate="eq")
    chance = zero_unless(trace.op("logical_or", first, all_of), chance)
    running = trace.op("cumsum", chance, axis=last)
    before = trace.op("sub", running, chance)
    enough = trace.op("mul", _last(arguments, running), trace.broadcast(given["top_p"], lead))
    chance = zero_unless(trace.op("compare", before, wide(enough), predicate="lt"), chance)
    running = trace.op("cumsum", chance, axis=last)
    count = trace.sites.get("sample", 0) + 1
    trace.sites["sample"] = count
    uniform = draw(core, "random_uniform", TensorType("f64", lead), "sample" if count == 1 else f"sample_{count}")
    chosen = trace.op("search_sorted", running, trace.op("mul", uniform, _last(arguments, running)))
    # Rounding may carry the draw up to the sum itself: it stays within what has a probability.
    possible = trace.cast(trace.op("compare", chance, trace.constant(0.0, "f64", shape), predicate="gt"), "i32")
    greatest_place = trace.op("sub", trace.reduce("reduce_sum", possible, [last]), trace.constant(1, "i32", lead))
    chosen = trace.op("minimum", trace.cast(chosen, "i32"), greatest_place)
    chosen = trace.op("select", trace.broadcast(draws, lead), chosen, trace.constant(0, "i32", lead))
    found = trace.op("take_along", places, chosen)
    made = core.tensor(found, origins=scores.origins[:-1])
    return replace(made, below=shape[-1], below_origin=scores.origin(last))


def _last(arguments: Arguments, running: Value) -> Value:
    """The last of running sums: the sum."""
    trace, last = arguments.core.trace, running.type.rank - 1
    size = running.type.shape[last]
    return trace.reshape(trace.slice(running, last, size - 1, size), running.type.shape[:-1])


PRIMITIVES = (
    Primitive(
        "sample", "x, temperature = 1.0, top_k = none, top_p = none",
        "one integer for each row of scores, drawn by softmax(x / temperature) from the `top_k` greatest and the share `top_p`",
        _sample,
    ),
)  # fmt: skip
