"""Functions that rearrange cells: transpose, reshape, concat and the like."""

from __future__ import annotations

from collections.abc import Sequence

from bmc.frontend.bodies import coercion
from bmc.frontend.bodies.dims import Failure
from bmc.frontend.bodies.indexing import take_range
from bmc.frontend.bodies.primitive import Arguments, Primitive
from bmc.frontend.bodies.values import Bound, Datum, ListValue, Poison, Tensor, TupleValue, describe
from bmc.frontend.errors import type_errors
from bmc.ir import Dim, Poly, Shape, Value
from bmc.ir.dims import divide_exact, product
from bmc.ir.types import is_float
from bmc.record import replace
from bmc.source import Span

__all__ = ["PRIMITIVES", "reshaped"]


def reshaped(arguments: Arguments, tensor: Tensor, shape: Shape, origins: Sequence[Span | None]) -> Tensor:
    trace = arguments.core.trace
    valid = None if tensor.valid is None else trace.reshape(tensor.valid, shape)
    return replace(tensor, value=trace.reshape(tensor.value, shape), valid=valid, origins=tuple(origins), behind=None)


def _origins(tensor: Tensor) -> tuple[Span | None, ...]:
    return tensor.origins or (None,) * tensor.rank


def _transpose(arguments: Arguments) -> Datum:
    tensor = arguments.tensor("x")
    if arguments.given("axes"):
        order = tuple(a % tensor.rank if tensor.rank else a for a in arguments.integers("axes"))
        if sorted(order) != list(range(tensor.rank)):
            raise arguments.wrong("axes", f"each of {tensor.rank} axes once")
    else:
        if tensor.rank < 2:
            raise Failure(
                type_errors.operand_type(arguments.where("x"), "transpose", describe(tensor), "it swaps the last two axes")
            )
        order = (*range(tensor.rank - 2), tensor.rank - 1, tensor.rank - 2)
    trace = arguments.core.trace
    valid = None if tensor.valid is None else trace.transpose(tensor.valid, order)
    origins = tuple(_origins(tensor)[i] for i in order)
    return replace(tensor, value=trace.transpose(tensor.value, order), valid=valid, origins=origins, behind=None)


def _reshape(arguments: Arguments) -> Datum:
    tensor = arguments.tensor("x")
    value = arguments["shape"]
    if not isinstance(value, (ListValue, TupleValue)):
        raise arguments.wrong("shape", "a list of dims, one of which may be -1")
    dims: list[Dim] = []
    open_at: int | None = None
    for i, item in enumerate(value.items):
        if isinstance(item, bool) or not isinstance(item, (int, Poly)) or (isinstance(item, int) and item < -1):
            raise arguments.wrong("shape", "a list of dims, one of which may be -1")
        if item == -1:
            if open_at is not None:
                raise arguments.wrong("shape", "a list of dims, one of which may be -1")
            open_at = i
            dims.append(1)
        else:
            dims.append(item)
    total = product(tensor.shape)
    if open_at is not None:
        rest = divide_exact(total, product(dims))
        if rest is None:
            raise Failure(type_errors.element_count(arguments.span, describe(tensor), f"the shape {value.items}"))
        dims[open_at] = rest
    if product(dims) != total:
        if len(dims) == 2 and tensor.rank > 2 and dims[0] == tensor.shape[0]:
            got = product(tensor.shape[1:])
            raise Failure(
                type_errors.flatten_size(
                    arguments.span, tensor.shape, got, dims[1], [(arguments.where("shape"), f"{dims[1]} here")]
                )
            )
        raise Failure(type_errors.element_count(arguments.span, describe(tensor), f"[{', '.join(map(str, dims))}]"))
    return reshaped(arguments, tensor, tuple(dims), (arguments.where("shape"),) * len(dims))


def _unsqueeze(arguments: Arguments) -> Datum:
    tensor = arguments.tensor("x")
    axis = arguments.axis("axis", tensor.rank + 1, describe(tensor))
    shape = (*tensor.shape[:axis], 1, *tensor.shape[axis:])
    origins = _origins(tensor)
    return reshaped(arguments, tensor, shape, (*origins[:axis], arguments.span, *origins[axis:]))


def _squeeze(arguments: Arguments) -> Datum:
    tensor = arguments.tensor("x")
    axis = arguments.axis("axis", tensor.rank, describe(tensor))
    if tensor.rank == 0 or tensor.shape[axis] != 1:
        raise Failure(type_errors.element_count(arguments.span, describe(tensor), f"a dim of 1 at axis {axis}"))
    shape = (*tensor.shape[:axis], *tensor.shape[axis + 1 :])
    origins = _origins(tensor)
    return reshaped(arguments, tensor, shape, (*origins[:axis], *origins[axis + 1 :]))


def _flatten(arguments: Arguments) -> Datum:
    """All dims but the first become one."""
    tensor = arguments.tensor("x")
    if tensor.rank < 1:
        raise Failure(type_errors.operand_type(arguments.where("x"), "flatten", describe(tensor)))
    return reshaped(arguments, tensor, (tensor.shape[0], product(tensor.shape[1:])), (tensor.origin(0), arguments.span))


def _split(arguments: Arguments) -> Datum:
    """Equal parts, or parts of given sizes."""
    tensor = arguments.tensor("x")
    axis = arguments.axis("axis", tensor.rank, describe(tensor))
    dim = tensor.shape[axis] if tensor.rank else 0
    sizes: list[Dim] = []
    parts = arguments["parts"]
    if isinstance(parts, ListValue):
        for item in parts.items:
            if isinstance(item, bool) or not isinstance(item, (int, Poly)):
                raise arguments.wrong("parts", "a number of parts or a list of sizes")
            sizes.append(item)
        total: Dim = 0
        for size in sizes:
            total = total + size
        if total != dim:
            raise Failure(type_errors.element_count(arguments.span, f"{total} in parts", f"the dim of {dim}"))
    else:
        count = arguments.integer("parts")
        each = divide_exact(dim, count) if count > 0 else None
        if each is None:
            raise Failure(type_errors.element_count(arguments.span, f"a dim of {dim}", f"{count} equal parts"))
        sizes = [each] * count
    made: list[Datum] = []
    start: Dim = 0
    for size in sizes:
        made.append(take_range(arguments.core, tensor, axis, start, start + size))
        start = start + size
    return TupleValue(tuple(made))


def _operands(arguments: Arguments) -> list[Bound]:
    """Tensors given one by one or as a list."""
    bounds: list[Bound] = []
    for bound in arguments.rest:
        if isinstance(bound.value, (ListValue, TupleValue)):
            bounds += [Bound(item, bound.span) for item in bound.value.items]
        else:
            bounds.append(bound)
    if any(isinstance(b.value, Poison) for b in bounds):
        raise Failure
    return bounds


def _concat(arguments: Arguments) -> Datum:
    """Along the last axis; a tensor of rank 1 along the rows counts as one feature a row."""
    core = arguments.core
    bounds = _operands(arguments)
    if not bounds:
        raise Failure(type_errors.element_count(arguments.span, "nothing", "`concat`: it takes at least one tensor"))
    axis = arguments.integer("axis")
    tensors: list[Tensor] = []
    for bound in bounds:
        tensor = coercion.scalar(core, bound.value, bound.span)
        if tensor.valid is not None:
            raise Failure(type_errors.may_be_missing(bound.span, describe(tensor), "`concat`", tensor.origin(0)))
        if tensor.dtype == "str":
            note = "text becomes numbers by `onehot(max = n)`, or by `category` or `vocab` and an embedding"
            raise Failure(type_errors.operand_type(bound.span, "concat", describe(tensor), note))
        if tensor.dtype == "bool" and any(isinstance(b.value, Tensor) and b.value.dtype != "bool" for b in bounds):
            raise Failure(type_errors.dtype_mismatch(bound.span, "concat", tensor.type, bound.span, "floats", "number"))
        if tensor.rank == 1 and core.trace.has_rows(tensor.shape[0]) and axis in (-1, 1):
            tensor = reshaped(arguments, tensor, (tensor.shape[0], 1), (tensor.origin(0), bound.span))
        tensors.append(tensor)
    rank = tensors[0].rank
    if rank == 0 or not -rank <= axis < rank:
        raise Failure(type_errors.axis_out_of_range(arguments.span, axis, describe(tensors[0])))
    axis %= rank
    spans = [b.span for b in bounds]
    if any(t.dtype not in ("bool", "str") for t in tensors):
        dtype = coercion.common_dtype(core, tensors, spans, "concat", arguments.span)
        tensors = [coercion.to_dtype(core, t, dtype) for t in tensors]
    for tensor, span in zip(tensors[1:], spans[1:], strict=True):
        left, right = tensors[0], tensor
        same = left.rank == right.rank and all(
            a == b for i, (a, b) in enumerate(zip(left.shape, right.shape, strict=True)) if i != axis
        )
        if not same or left.dtype != right.dtype:
            raise Failure(type_errors.broadcast_mismatch(arguments.span, "next to", left.type, right.type, spans[0], span, ()))
    value = tensors[0].value if len(tensors) == 1 else core.trace.op("concat", *(t.value for t in tensors), axis=axis)
    bounds_ = [t.below for t in tensors]
    below = max((b for b in bounds_ if isinstance(b, int)), default=None) if all(isinstance(b, int) for b in bounds_) else None
    origins = list(coercion.combined_origins(tensors, value.type.shape))
    if len(tensors) > 1:
        origins[axis] = arguments.span
    made = core.tensor(value, origins=origins)
    return replace(
        made, below=below, below_origin=tensors[0].below_origin, categories=tensors[0].categories if len(tensors) == 1 else None
    )


def _stack(arguments: Arguments) -> Datum:
    core = arguments.core
    bounds = _operands(arguments)
    if not bounds:
        raise Failure(type_errors.element_count(arguments.span, "nothing", "`stack`: it takes at least one tensor"))
    for bound in bounds:
        if isinstance(bound.value, Tensor) and bound.value.valid is not None:
            raise Failure(type_errors.may_be_missing(bound.span, describe(bound.value), "`stack`", bound.value.origin(0)))
    tensors, _ = coercion.unify(core, [b.value for b in bounds], [b.span for b in bounds], "stack", arguments.span)
    rank = tensors[0].rank + 1
    axis = arguments.integer("axis")
    if not -rank <= axis < rank:
        raise Failure(type_errors.axis_out_of_range(arguments.span, axis, describe(tensors[0])))
    axis %= rank
    shape = tensors[0].shape
    parts = [core.trace.reshape(t.value, (*shape[:axis], 1, *shape[axis:])) for t in tensors]
    return core.tensor(core.trace.op("concat", *parts, axis=axis))


def _broadcast(arguments: Arguments) -> Datum:
    tensor = arguments.tensor("x")
    like = arguments.tensor("like")
    if coercion.broadcast_shape([tensor.shape, like.shape]) != like.shape:
        raise Failure(
            type_errors.broadcast_mismatch(
                arguments.span, "like", tensor.type, like.type, arguments.where("x"), arguments.where("like"), ()
            )
        )
    return coercion.broadcast_tensor(arguments.core, tensor, like.shape)


def _pad_edges(arguments: Arguments) -> Datum:
    """`low` cells before and `high` cells behind those of an axis."""
    tensor, trace = arguments.tensor("x"), arguments.core.trace
    if tensor.dtype in ("bool", "str") or tensor.rank == 0:
        raise Failure(type_errors.operand_type(arguments.where("x"), "pad_edges", describe(tensor), "it pads numbers along a dim"))
    axis = arguments.axis("axis", tensor.rank, describe(tensor))
    if trace.has_rows(tensor.shape[axis]):
        raise Failure(type_errors.bad_size(arguments.where("axis"), f"axis {axis} of {describe(tensor)} has the rows"))
    ends = [arguments.dim(name) for name in ("low", "high")]
    for name, end in zip(("low", "high"), ends, strict=True):
        if isinstance(end, int) and end < 0:
            raise arguments.wrong(name, "a number of cells, at least 0")
    given = arguments.number("value")
    if not is_float(tensor.dtype) and given != int(given):
        raise arguments.wrong("value", f"a whole number, for {tensor.dtype}")
    value = float(given) if is_float(tensor.dtype) else int(given)
    low, high = (tuple(end if i == axis else 0 for i in range(tensor.rank)) for end in ends)

    def padded(cells: Value, fill: float) -> Value:
        return trace.op("pad", cells, low=low, high=high, interior=(0,) * tensor.rank, value=fill)

    valid = None
    if tensor.valid is not None:
        valid = trace.cast(padded(trace.cast(tensor.valid, "i32"), 1), "bool")
    origins = tuple(arguments.span if i == axis else o for i, o in enumerate(_origins(tensor)))
    made = replace(tensor.plain(), value=padded(tensor.value, value), valid=valid, origins=origins)
    if isinstance(tensor.below, int) and isinstance(value, int) and value >= 0:
        return replace(made, below=max(tensor.below, value + 1), below_origin=tensor.below_origin)
    return made


PRIMITIVES = (
    Primitive(
        "pad_edges",
        "x, low, high, axis = -1, value = 0.0",
        "`low` cells of `value` before an axis and `high` behind it",
        _pad_edges,
    ),
    Primitive("transpose", "x, axes = none", "the last two axes swapped, or all axes in a given order", _transpose),
    Primitive("reshape", "x, shape", "the same cells in order under another shape; one dim may be -1", _reshape),
    Primitive("unsqueeze", "x, axis", "a new dim of 1", _unsqueeze),
    Primitive("squeeze", "x, axis = -1", "a dim of 1 taken away", _squeeze),
    Primitive("flatten", "x", "all dims but the first made one", _flatten),
    Primitive("split", "x, parts, axis = -1", "equal parts along an axis, or parts of the sizes in a list", _split),
    Primitive("concat", "*xs, axis = -1", "tensors one after the other along an axis", _concat),
    Primitive("stack", "*xs, axis = 0", "tensors of one shape along a new axis", _stack),
    Primitive("broadcast", "x, like", "x repeated to the shape of another tensor", _broadcast),
)
