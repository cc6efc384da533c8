"""What is fitted: `fit`, medians and quantiles, and the way back: `undo`, `label_of`."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bmc.frontend.bodies import coercion
from bmc.frontend.bodies.dims import Failure
from bmc.frontend.bodies.primitive import Arguments, Primitive
from bmc.frontend.bodies.values import Datum, Tensor, describe
from bmc.frontend.data import fitting
from bmc.frontend.errors import type_errors
from bmc.frontend.primitives.steps import over_steps
from bmc.ir import Value
from bmc.ir.dims import product
from bmc.ir.types import is_float
from bmc.record import replace

__all__ = ["PRIMITIVES"]


def _fit(arguments: Arguments) -> Datum:
    value = arguments["e"]
    if not isinstance(value, Tensor):
        return value
    return fitting.fit(arguments.core, value, arguments.core.binding or "fit", arguments.span)


def _quantile_of(arguments: Arguments, x: Tensor, q: float) -> Tensor:
    """Linear interpolation between the order statistics around q * (n - 1), over all cells or down the rows (numpy's default).

    Columns of a matrix are taken one by one."""
    core, trace = arguments.core, arguments.core.trace
    if x.dtype in ("bool", "str"):
        raise Failure(type_errors.operand_type(arguments.where("x"), arguments.name, describe(x)))
    given = arguments.axes("axis", x.rank, describe(x))
    fitted = core.fitting is not None and trace.exact and any(trace.has_rows(x.shape[i]) for i in given)
    dtype = x.dtype if fitted and is_float(x.dtype) else "f64" if trace.exact else core.float_type
    tensor, axes = over_steps(core, coercion.to_dtype(core, x, dtype), given)
    others = [i for i in range(tensor.rank) if i not in axes]
    value = (_fitted_quantile if fitted else _sorted_quantile)(arguments, tensor, axes, q)
    weak = trace.exact and not others
    return Tensor(
        value if weak else trace.cast(value, core.float_type),
        core.trace,
        weak=weak,
        origins=tuple(tensor.origin(i) for i in others),
    )


def _fitted_quantile(arguments: Arguments, x: Tensor, axes: Sequence[int], q: float) -> Value:
    """Over the rows of a split, in bounded memory."""
    trace = arguments.core.trace
    valid = x.valid if x.valid is not None else trace.constant(True, "bool", x.shape)
    found = trace.op("quantiles", x.value, valid, axes=tuple(sorted(axes)), q=(q,))
    return trace.reshape(found, found.type.shape[:-1])


def _sorted_quantile(arguments: Arguments, x: Tensor, axes: Sequence[int], q: float) -> Value:
    """By sorting the cells."""
    trace, dtype = arguments.core.trace, x.dtype
    others = [i for i in range(x.rank) if i not in axes]
    count = product(x.shape[i] for i in axes)
    kept = tuple(x.shape[i] for i in others)

    def gathered(value: Value) -> Value:
        return trace.reshape(trace.transpose(value, (*others, *axes)), (*kept, count))

    data = gathered(x.value)
    if x.valid is None:
        number = trace.broadcast(trace.dim(count, dtype), kept)
    else:
        valid = gathered(x.valid)
        data = trace.op("select", valid, data, trace.constant(math.nan, dtype, data.type.shape))
        number = trace.reduce("reduce_sum", trace.cast(valid, dtype), [len(kept)])
    ordered, _ = trace.ops("sort", data, descending=False)
    one = trace.constant(1.0, dtype, kept)
    position = trace.op("mul", trace.op("sub", number, one), trace.constant(q, dtype, kept))
    below = trace.op("floor", position)
    share = trace.op("sub", position, below)
    low, high = (_at(arguments, ordered, trace.cast(p, "i32")) for p in (below, trace.op("ceil", position)))
    return trace.op("add", low, trace.op("mul", share, trace.op("sub", high, low)))


def _at(arguments: Arguments, ordered: Value, index: Value) -> Value:
    trace = arguments.core.trace
    return trace.op("gather" if ordered.type.rank == 1 else "take_along", ordered, index)


def _median(arguments: Arguments) -> Datum:
    return _quantile_of(arguments, arguments.tensor("x"), 0.5)


def _quantile(arguments: Arguments) -> Datum:
    q = arguments.number("q")
    if not 0 <= q <= 1:
        raise arguments.wrong("q", "a number from 0 to 1")
    return _quantile_of(arguments, arguments.tensor("x"), q)


def _undo(arguments: Arguments) -> Datum:
    return fitting.undo(
        arguments.core, arguments.tensor("x"), arguments["y"], arguments.where("x"), arguments.where("y"), arguments.span
    )


def _label_of(arguments: Arguments) -> Datum:
    """The category that a row of scores, or an integer, stands for."""
    core = arguments.core
    y = arguments["y"]
    if not isinstance(y, Tensor) or y.categories is None:
        raise arguments.wrong("y", "a data output made by `category`")
    x = arguments.tensor("x")
    if is_float(x.dtype):
        if x.rank == 0 or x.shape[-1] != y.categories.capacity:
            raise Failure(
                type_errors.label_bound(
                    arguments.span, "y", y.categories.capacity, x.shape[-1] if x.rank else 1, y.below_origin, x.origin(x.rank - 1)
                )
            )
        x = core.tensor(core.trace.op("argmax", x.value, axis=x.rank - 1), origins=x.origins[:-1])
    elif x.dtype in ("bool", "str"):
        raise Failure(type_errors.operand_type(arguments.where("x"), "label_of", describe(x)))
    return replace(x, categories=y.categories, below=y.categories.capacity)


PRIMITIVES = (
    Primitive("fit", "e", "e over the whole training split, stored with the model", _fit, ragged=True),
    Primitive("median", "x, axis = none", "the middle value; of rows within `fit` in bounded memory", _median, ragged=True),
    Primitive("quantile", "x, q, axis = none", "the value below which a share q lies, interpolated", _quantile, ragged=True),
    Primitive("undo", "x, y", "x taken back through what made the data output y of its column", _undo),
    Primitive("label_of", "x, y", "the category of y that scores or integers x stand for", _label_of),
)
