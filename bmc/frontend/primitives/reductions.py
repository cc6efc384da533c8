"""Sums, means, extremes and what is made of them.

Gaps are skipped. A sum over rows of a whole split (metrics) runs in f64; its rank-0 result stays a weak f64. In fits sums over
rows are exact: means and variances are those of `row_moments`, and `cut_levels` makes the others reducers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bmc.frontend.bodies import coercion
from bmc.frontend.bodies.dims import Failure
from bmc.frontend.bodies.primitive import Arguments, Primitive
from bmc.frontend.bodies.values import Datum, ListValue, Tensor, TupleValue, describe
from bmc.frontend.errors import type_errors
from bmc.frontend.primitives.pointwise import extreme
from bmc.frontend.primitives.steps import over_steps
from bmc.ir import Dim, Value
from bmc.ir.dims import product
from bmc.ir.types import is_float, is_integer
from bmc.record import record, replace
from bmc.source import Span

__all__ = ["PRIMITIVES", "Reduced", "reduce_mean"]


@record(frozen=True)
class Reduced:
    """Operands of one reduction: data in the dtype of the sum, axes, and how to give the result back. `exact`: over the rows of a
    whole split. `fitted`: in a data block, where statistics are those of reducers."""

    tensor: Tensor
    axes: tuple[int, ...]
    keep: bool
    exact: bool
    fitted: bool = False

    def kept_shape(self) -> tuple[Dim, ...]:
        return tuple(1 if i in self.axes else d for i, d in enumerate(self.tensor.shape))

    def count(self) -> Dim:
        return product(self.tensor.shape[i] for i in self.axes)


def prepare(arguments: Arguments, tensor: Tensor, axes: tuple[int, ...], *, as_float: bool, keep: bool) -> Reduced:
    core = arguments.core
    if tensor.dtype == "str":
        raise Failure(type_errors.operand_type(arguments.where("x"), arguments.name, describe(tensor)))
    over_rows = any(core.trace.has_rows(tensor.shape[i]) for i in axes)
    exact = core.trace.exact and over_rows
    fitted = exact and as_float and core.fitting is not None
    weak = tensor.weak
    if tensor.dtype == "bool":
        tensor = coercion.to_dtype(core, tensor, "f64" if exact else core.float_type if as_float else "i32")
    elif as_float and is_integer(tensor.dtype):
        tensor = coercion.to_dtype(core, tensor, "f64" if exact else core.float_type)
    elif is_integer(tensor.dtype) and (exact or tensor.dtype == "u8"):
        # As in other arithmetic, bytes meet as i32; the rows of a split may be too many for that.
        tensor = coercion.to_dtype(core, tensor, "i64" if exact else "i32")
    elif exact and is_float(tensor.dtype) and not fitted:
        tensor = coercion.to_dtype(core, tensor, "f64")
    elif weak:
        tensor = replace(tensor, weak=False)
    return Reduced(tensor, axes, keep, exact, fitted)


def finish(arguments: Arguments, plan: Reduced, value: Value) -> Tensor:
    """The reduced value: dims kept as 1 if asked, f64 sums cast back unless rank 0."""
    core = arguments.core
    origins: tuple[Span | None, ...] = tuple(o for i, o in enumerate(plan.tensor.origins) if plan.keep or i not in plan.axes)
    if plan.keep:
        value = core.trace.reshape(value, plan.kept_shape())
    weak = False
    if plan.exact and is_float(value.type.dtype):
        weak = value.type.rank == 0
        if not weak:
            value = core.trace.cast(value, core.float_type)
    return Tensor(value, core.trace, weak=weak, origins=origins, lengths=plan.tensor.lengths)


def _operand(arguments: Arguments) -> tuple[Tensor, tuple[int, ...]]:
    """`x` and the axes that are reduced."""
    tensor = arguments.tensor("x")
    return over_steps(arguments.core, tensor, arguments.axes("axis", tensor.rank, describe(tensor)))


def masked(arguments: Arguments, tensor: Tensor, neutral: float) -> Value:
    """The data with `neutral` where cells are missing."""
    trace = arguments.core.trace
    if tensor.valid is None:
        return tensor.value
    return trace.op("select", tensor.valid, tensor.value, trace.constant(neutral, tensor.dtype, tensor.shape))


def counted(arguments: Arguments, plan: Reduced) -> Value:
    """How many cells were reduced into each result."""
    trace = arguments.core.trace
    tensor = plan.tensor
    result_shape = tuple(d for i, d in enumerate(tensor.shape) if i not in plan.axes)
    if tensor.valid is None:
        return trace.broadcast(trace.dim(plan.count(), tensor.dtype), result_shape)
    return trace.reduce("reduce_sum", trace.cast(tensor.valid, tensor.dtype), plan.axes)


def reduce_mean(arguments: Arguments, tensor: Tensor, axes: tuple[int, ...], keep: bool) -> Tensor:
    plan = prepare(arguments, tensor, axes, as_float=True, keep=keep)
    return finish(arguments, plan, _mean(arguments, plan))


def _fitted_moments(arguments: Arguments, plan: Reduced, ddof: int = 0) -> tuple[Value, Value]:
    """(mean, variance) over rows of a split, both of exact sums."""
    trace, tensor = arguments.core.trace, plan.tensor
    valid = tensor.valid if tensor.valid is not None else trace.constant(True, "bool", tensor.shape)
    _, mean, variance = trace.ops("row_moments", tensor.value, valid, axes=tuple(sorted(plan.axes)), ddof=ddof)
    return mean, variance


def _mean(arguments: Arguments, plan: Reduced) -> Value:
    if plan.fitted:
        return _fitted_moments(arguments, plan)[0]
    trace = arguments.core.trace
    total = trace.reduce("reduce_sum", masked(arguments, plan.tensor, 0), plan.axes)
    return trace.op("div", total, counted(arguments, plan))


def _variance(arguments: Arguments, plan: Reduced, ddof: int) -> tuple[Value, Value]:
    """(mean, mean of squared differences from it) with `ddof` taken off the count: the two-pass formula where sums are rounded."""
    if plan.fitted:
        return _fitted_moments(arguments, plan, ddof)
    trace = arguments.core.trace
    mean = _mean(arguments, plan)
    kept = plan.kept_shape()
    centred = trace.op("sub", plan.tensor.value, trace.broadcast(trace.reshape(mean, kept), plan.tensor.shape))
    square = replace(plan.tensor, value=trace.op("mul", centred, centred))
    total = trace.reduce("reduce_sum", masked(arguments, square, 0), plan.axes)
    count = counted(arguments, plan)
    if ddof:
        count = trace.op("sub", count, trace.constant(ddof, count.type.dtype, count.type.shape))
    return mean, trace.op("div", total, count)


def _sum(arguments: Arguments) -> Datum:
    value = arguments["x"]
    if isinstance(value, ListValue) and all(isinstance(i, (int, float)) for i in value.items):
        return sum(i for i in value.items if isinstance(i, (int, float)))
    tensor, axes = _operand(arguments)
    plan = prepare(arguments, tensor, axes, as_float=False, keep=arguments.flag("keep"))
    total = arguments.core.trace.reduce("reduce_sum", masked(arguments, plan.tensor, 0), axes)
    return finish(arguments, plan, total)


def _mean_of(arguments: Arguments) -> Datum:
    return reduce_mean(arguments, *_operand(arguments), arguments.flag("keep"))


def _spread(root: bool) -> Callable[[Arguments], Datum]:
    def expand(arguments: Arguments) -> Datum:
        tensor, axes = _operand(arguments)
        plan = prepare(arguments, tensor, axes, as_float=True, keep=arguments.flag("keep"))
        _, variance = _variance(arguments, plan, arguments.integer("ddof"))
        return finish(arguments, plan, _root(arguments, variance) if root else variance)

    return expand


def _moments(arguments: Arguments) -> Datum:
    """Mean and variance over all axes but those kept."""
    tensor = arguments.tensor("x")
    kept = arguments.axes("keep", tensor.rank, describe(tensor)) if arguments.given("keep") else ()
    tensor, axes = over_steps(arguments.core, tensor, tuple(i for i in range(tensor.rank) if i not in kept))
    plan = prepare(arguments, tensor, axes, as_float=True, keep=False)
    mean, variance = _variance(arguments, plan, 0)
    return TupleValue((finish(arguments, plan, mean), finish(arguments, plan, variance)), ("mean", "var"))


def _extreme(reduction: str, pair: str, neutral: float) -> Callable[[Arguments], Datum]:
    def expand(arguments: Arguments) -> Datum:
        value = arguments["x"]
        if arguments.given("y"):
            return extreme(arguments, pair, "x", "y")
        if isinstance(value, ListValue) and value.items and all(isinstance(i, (int, float)) for i in value.items):
            numbers = [i for i in value.items if isinstance(i, (int, float))]
            return max(numbers) if pair == "maximum" else min(numbers)
        tensor, axes = _operand(arguments)
        if tensor.dtype in ("bool", "str"):
            raise Failure(
                type_errors.operand_type(
                    arguments.where("x"), arguments.name, describe(tensor), "`any` and `all` are for conditions"
                )
            )
        if tensor.valid is not None and is_integer(tensor.dtype):
            bounds = {"u8": (0, 255), "i32": (-(2**31), 2**31 - 1), "i64": (-(2**63), 2**63 - 1)}[tensor.dtype]
            filled: Value = masked(arguments, tensor, bounds[0] if neutral < 0 else bounds[1])
        else:
            filled = masked(arguments, tensor, neutral)
        plan = Reduced(replace(tensor, weak=False), axes, arguments.flag("keep"), False)
        made = finish(arguments, plan, arguments.core.trace.reduce(reduction, filled, axes))
        return replace(made, below=tensor.below, below_origin=tensor.below_origin)

    return expand


def _truth(reduction: str) -> Callable[[Arguments], Datum]:
    def expand(arguments: Arguments) -> Datum:
        tensor = arguments.tensor("x")
        if tensor.dtype != "bool":
            raise Failure(type_errors.operand_type(arguments.where("x"), arguments.name, describe(tensor)))
        tensor, axes = _operand(arguments)
        trace = arguments.core.trace
        plan = Reduced(tensor, axes, arguments.flag("keep"), False)
        conditions = masked(arguments, tensor, float(reduction == "reduce_min"))
        found = trace.cast(trace.reduce(reduction, trace.cast(conditions, "i32"), axes), "bool")
        return finish(arguments, plan, found)

    return expand


def _root(arguments: Arguments, total: Value) -> Value:
    """The root of a sum of squares. It is infinitely steep at 0; but what has length 0 has no direction to grow in: its gradient
    is 0, as in PyTorch."""
    trace = arguments.core.trace
    kind, shape = total.type.dtype, total.type.shape
    none = trace.op("compare", total, trace.constant(0.0, kind, shape), predicate="eq")
    root = trace.op("sqrt", trace.op("select", none, trace.constant(1.0, kind, shape), total))
    return trace.op("select", none, total, root)


def _norm(arguments: Arguments) -> Datum:
    tensor = arguments.floats("x")
    tensor, axes = over_steps(arguments.core, tensor, arguments.axes("axis", tensor.rank, describe(tensor)))
    plan = prepare(arguments, tensor, axes, as_float=True, keep=arguments.flag("keep"))
    trace = arguments.core.trace
    square = replace(plan.tensor, value=trace.op("mul", plan.tensor.value, plan.tensor.value))
    total = trace.reduce("reduce_sum", masked(arguments, square, 0), axes)
    return finish(arguments, plan, _root(arguments, total))


def _arg(name: str) -> Callable[[Arguments], Datum]:
    def expand(arguments: Arguments) -> Datum:
        tensor = arguments.tensor("x")
        axis = arguments.axis("axis", tensor.rank, describe(tensor))
        if tensor.dtype in ("bool", "str") or tensor.rank == 0:
            raise Failure(type_errors.operand_type(arguments.where("x"), name, describe(tensor)))
        core = arguments.core
        made = core.tensor(core.trace.op(name, tensor.value, axis=axis), origins=_without(tensor.origins, axis))
        return replace(made, below=tensor.shape[axis], below_origin=tensor.origin(axis))

    return expand


def _without(origins: Sequence[Span | None], axis: int) -> tuple[Span | None, ...]:
    return tuple(o for i, o in enumerate(origins) if i != axis)


_OVER = "x, axis = none, keep = false"

PRIMITIVES = (
    Primitive("sum", _OVER, "sum over axes (all by default); conditions are counted; of `u8` in `i32`", _sum, ragged=True),
    Primitive("mean", _OVER, "mean over axes; of rows within `fit` the exact mean, rounded once", _mean_of, ragged=True),
    Primitive(
        "var",
        "x, axis = none, keep = false, ddof = 0",
        "mean squared difference from the mean; of rows within `fit` exact, rounded once",
        _spread(False),
        ragged=True,
    ),
    Primitive("std", "x, axis = none, keep = false, ddof = 0", "root of `var`", _spread(True), ragged=True),
    Primitive("moments", "x, keep = none", "mean and variance over all axes but those kept", _moments, ragged=True),
    Primitive(
        "max",
        "x, y = none, axis = none, keep = false",
        "largest over axes; the larger of two",
        _extreme("reduce_max", "maximum", float("-inf")),
        ragged=True,
    ),
    Primitive(
        "min",
        "x, y = none, axis = none, keep = false",
        "smallest over axes; the smaller of two",
        _extreme("reduce_min", "minimum", float("inf")),
        ragged=True,
    ),
    Primitive("any", _OVER, "whether a condition holds anywhere", _truth("reduce_max"), ragged=True),
    Primitive("all", _OVER, "whether a condition holds everywhere", _truth("reduce_min"), ragged=True),
    Primitive("norm", _OVER, "Euclidean length over axes", _norm, ragged=True),
    Primitive("argmax", "x, axis = -1", "index of the largest, the first of equals", _arg("argmax")),
    Primitive("argmin", "x, axis = -1", "index of the smallest, the first of equals", _arg("argmin")),
)
