"""The loss of a `train` block, and its weights: a pair of sums.

In: the model traced over the data. Out: the weighted sum of the loss over the rows and the sum of the weights, to be divided once.
"""

from __future__ import annotations

from collections.abc import Sequence

from bmc.frontend.bodies import coercion
from bmc.frontend.bodies.dims import Failure
from bmc.frontend.bodies.elaborator import Elaborator
from bmc.frontend.bodies.values import Poison, Tensor, describe, example_call
from bmc.frontend.errors import train_errors, type_errors
from bmc.frontend.train.class_weight import class_weight
from bmc.frontend.train.settings import Settings
from bmc.frontend.train.traced import ModelPass, TrainBlock
from bmc.ir import Value
from bmc.ir.dims import product
from bmc.ir.types import is_float
from bmc.source import Span

__all__ = ["loss_of", "weighted_sums"]


def loss_of(core: Elaborator, settings: Settings, traced: ModelPass) -> tuple[Tensor, str]:
    """The loss and its text. Raises Failure."""
    entry = settings.entries.get("loss")
    if entry is None:
        raise Failure  # why none follows from the data has been reported
    value = core.evaluate(entry.value, traced.env)
    if isinstance(value, Poison):
        raise Failure
    if not isinstance(value, Tensor) or not is_float(value.dtype):
        raise Failure(train_errors.loss_type(entry.value.span, describe(value), example_call(value)))
    if value.valid is not None:
        raise Failure(type_errors.may_be_missing(entry.value.span, describe(value), "the loss", None))
    return value, entry.value.span.text


def _align(core: Elaborator, weight: Tensor, loss: Tensor, span: Span) -> Value:
    """A weight of leading dims spread over the rest of the loss's shape."""
    shape = weight.shape
    if weight.rank < loss.rank and shape == loss.shape[: weight.rank]:
        return core.trace.op("broadcast", weight.value, shape=loss.shape, axes=tuple(range(weight.rank)))
    if coercion.broadcast_shape([shape, loss.shape]) != loss.shape:
        raise Failure(type_errors.broadcast_mismatch(span, "times", loss.type, weight.type, span, span, ()))
    return core.trace.broadcast(weight.value, loss.shape)


def weighted_sums(
    core: Elaborator, block: TrainBlock, loss: Tensor, settings: Settings, traced: ModelPass, bound: Sequence[str]
) -> tuple[Value, Value]:
    """(sum of weight x loss, sum of weights), both rank 0. In f64 over a whole split."""
    trace = core.trace
    dtype = "f64" if trace.exact else core.float_type
    value = trace.cast(loss.value, dtype)
    axes = range(loss.rank)
    weights: list[Value] = []
    entry = settings.entries.get("weight")
    if entry is not None:
        given = core.evaluate(entry.value, traced.env)
        weight = coercion.scalar(core, given, entry.value.span)
        if weight.dtype in ("bool", "u8", "i32", "i64"):
            weight = coercion.to_dtype(core, weight, core.float_type)
        weights.append(trace.cast(_align(core, weight, loss, entry.value.span), dtype))
    classes = settings.entries.get("class_weight")
    if classes is not None:
        by_class = class_weight(core, block, traced, classes, bound, loss)
        weights.append(trace.cast(_align(core, by_class, loss, classes.value.span), dtype))
    if not weights:
        return trace.reduce("reduce_sum", value, axes), trace.dim(product(loss.shape), dtype)
    weight_value = weights[0] if len(weights) == 1 else trace.op("mul", weights[0], weights[1])
    total = trace.reduce("reduce_sum", trace.op("mul", value, weight_value), axes)
    return total, trace.reduce("reduce_sum", weight_value, axes)
