"""Operands meeting: one dtype, one shape, one mask of missing cells.

In: evaluated operands with their spans. Out: tensors that an operator can take together. Guaranteed: casts and broadcasts are
written out; a weak number never changes the dtype of a tensor; the dims keep where they come from.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

from bmc.errors import Suggestion
from bmc.frontend.bodies.core import Core
from bmc.frontend.bodies.dims import Failure
from bmc.frontend.bodies.trace import STEP, STEPS
from bmc.frontend.bodies.values import (
    Bound,
    Constructed,
    Datum,
    Generator,
    ListValue,
    Plateau,
    Poison,
    Tensor,
    describe,
    example_call,
)
from bmc.frontend.errors import type_errors
from bmc.ir import Dim, Poly, Shape, TensorType, Value
from bmc.ir.types import is_float, is_integer
from bmc.record import replace
from bmc.source import Span

__all__ = [
    "broadcast_shape",
    "broadcast_tensor",
    "combined_origins",
    "common",
    "common_dtype",
    "join_lengths",
    "join_valid",
    "meet",
    "scalar",
    "schedule_value",
    "to_dtype",
    "unify",
    "whole_rows",
]

_WIDTH = MappingProxyType({"u8": 0, "i32": 1, "i64": 2})


def schedule_value(core: Core, value: Constructed | Plateau, span: Span) -> Tensor:
    """A schedule where a number is expected: its value at this step, a weak rank-0 f64."""
    trace = core.trace
    key = ("schedule", value)
    cached = trace.scalars.get(key)
    if cached is None:
        place = trace.builder.location
        if trace.name not in ("train", "eval"):
            raise Failure(type_errors.operand_type(span, f"the {trace.name} block", f"{describe(value)}: there are no steps here"))
        if isinstance(value, Plateau):
            core.registry.plateau = core.registry.plateau or value
            if core.registry.plateau is not value:
                raise Failure(type_errors.operand_type(span, "a train block", "two plateau schedules", "one factor serves all"))
            cached = trace.op("mul", trace.constant(value.peak, "f64"), trace.control("control_f", 0))
        else:
            step = Bound(core.tensor(trace.control("control", STEP), weak=True), span)
            steps = Bound(core.tensor(trace.control("control", STEPS), weak=True), span)
            result = core.apply_value(value, [step, steps], span)
            if isinstance(result, Poison):
                raise Failure
            tensor = scalar(core, result, span)
            cached = trace.cast(tensor.value, "f64")
            if tensor.rank != 0:
                raise Failure(type_errors.operand_type(span, value.closure.name, f"{tensor.type}: a schedule gives one number"))
        trace.scalars[key] = cached
        trace.builder.location = place  # what uses the schedule stands where it did
    return core.tensor(cached, weak=True)


def scalar(core: Core, value: Datum, span: Span) -> Tensor:
    """Any number as a tensor: a static one becomes a weak rank-0 constant."""
    if isinstance(value, Tensor):
        return core.own(value, span)
    if isinstance(value, bool):
        return core.full(value, "bool", ())
    if isinstance(value, int):
        return core.tensor(core.trace.constant(value, "i64" if abs(value) >= 2**31 else "i32"), weak=True)
    if isinstance(value, float):
        return core.tensor(core.trace.constant(value, "f64"), weak=True)
    if isinstance(value, Poly):
        return core.tensor(core.trace.dim(value, "i64"), weak=True)
    if isinstance(value, Plateau) or (isinstance(value, Constructed) and value.is_schedule):
        return schedule_value(core, value, span)
    if (
        isinstance(value, ListValue)
        and value.items
        and all(isinstance(i, (int, float)) and not isinstance(i, bool) for i in value.items)
    ):
        return _vector(core, [i for i in value.items if isinstance(i, (int, float))])
    if isinstance(value, Poison):
        raise Failure
    if isinstance(value, Generator):
        raise Failure(type_errors.open_shape(span, value.name))
    raise Failure(type_errors.not_a_tensor(span, describe(value), example_call(value)))


def _vector(core: Core, items: Sequence[float]) -> Tensor:
    """A list of numbers next to a tensor: a weak vector."""
    dtype = "f64" if any(isinstance(i, float) for i in items) else "i32"
    cells = [core.trace.constant(i, dtype, (1,)) for i in items]
    return core.tensor(core.trace.op("concat", *cells, axis=0), weak=True)


def _stand_in(core: Core, value: Datum) -> Tensor:
    """What `scalar` would make of a static number, without an operation: only its type is asked for."""
    wide = isinstance(value, int) and abs(value) >= 2**31
    dtype = "f64" if isinstance(value, float) else "i64" if wide else "i32"
    return core.tensor(core.trace.placeholder(TensorType(dtype, ()), ""), weak=True)


def to_dtype(core: Core, tensor: Tensor, dtype: str) -> Tensor:
    """The tensor in another dtype; integers keep what is known of them."""
    if tensor.dtype == dtype:
        return replace(tensor, weak=False) if tensor.weak else tensor
    value = core.trace.cast(tensor.value, dtype)
    if value is not tensor.value and is_float(dtype) and is_integer(tensor.dtype):
        core.trace.seen_through[value] = tensor.value
    keep = is_integer(dtype) and is_integer(tensor.dtype)
    return replace(tensor if keep else tensor.plain(), value=value, weak=False)


def common(
    core: Core, tensors: Sequence[Tensor], spans: Sequence[Span], symbol: str, divide: bool, whole: Span
) -> tuple[str, bool]:
    """The dtype in which operands meet, and whether the result is weak."""
    for tensor, span in zip(tensors, spans, strict=True):
        if tensor.dtype == "bool":
            fix = Suggestion("count with it: true is 1", span, f"number({span.text})")
            raise Failure(type_errors.operand_type(span, symbol, describe(tensor), fix=fix))
        if tensor.dtype == "str":
            raise Failure(type_errors.operand_type(span, symbol, describe(tensor)))
    weak = all(t.weak for t in tensors)
    strong = tensors if weak else [t for t in tensors if not t.weak]
    floats = [t for t in strong if is_float(t.dtype)]
    if floats:
        if len(floats) != len(strong) and not divide and not weak:
            i = next(i for i, t in enumerate(tensors) if not t.weak and not is_float(t.dtype))
            raise Failure(type_errors.mixed_numbers(whole, symbol, tensors[0].type, tensors[-1].type, spans[i]))
        return max((t.dtype for t in floats), key=("f32", "f64").index), weak
    if divide or any(is_float(t.dtype) for t in tensors):
        rank0 = weak and all(t.rank == 0 for t in tensors)
        return ("f64", True) if rank0 else (core.float_type, False)
    dtype = (
        max((t.dtype for t in tensors), key=_WIDTH.__getitem__) if weak else max((t.dtype for t in strong), key=_WIDTH.__getitem__)
    )
    return ("i32" if dtype == "u8" else dtype), weak


def broadcast_shape(shapes: Sequence[Shape]) -> Shape | None:
    """numpy's rule; None where it fails. Open dims fit only themselves and 1."""
    if shapes and all(shape == shapes[0] for shape in shapes):
        return shapes[0]
    rank = max((len(s) for s in shapes), default=0)
    result: list[Dim] = []
    for axis in range(-rank, 0):
        dim: Dim = 1
        for shape in shapes:
            here = shape[axis] if -axis <= len(shape) else 1
            if here in (1, dim):
                continue
            if dim != 1:
                return None
            dim = here
        result.append(dim)
    return tuple(result)


def combined_origins(tensors: Sequence[Tensor], shape: Shape) -> tuple[Span | None, ...]:
    """Where each dim of a broadcast result comes from: the first operand that has that dim."""
    first = tensors[0]
    if first.shape == shape and len(first.origins) == len(shape) and None not in first.origins:
        return first.origins
    found: list[Span | None] = []
    for axis in range(-len(shape), 0):
        spans = [t.origins[axis] for t in tensors if -axis <= t.rank and len(t.origins) == t.rank and t.shape[axis] == shape[axis]]
        found.append(next((s for s in spans if s is not None), None))
    return tuple(found)


def broadcast_tensor(core: Core, tensor: Tensor, shape: Shape) -> Tensor:
    if tensor.shape == shape:
        return tensor
    valid = None if tensor.valid is None else core.trace.broadcast(tensor.valid, shape)
    origins = (None,) * (len(shape) - tensor.rank) + (tensor.origins or (None,) * tensor.rank)
    lengths = tensor.lengths if len(shape) == tensor.rank else None
    return replace(tensor, value=core.trace.broadcast(tensor.value, shape), valid=valid, origins=origins, lengths=lengths)


def join_valid(core: Core, tensors: Sequence[Tensor]) -> Value | None:
    """Where all cells are there, of operands of one shape."""
    joined: Value | None = None
    for tensor in tensors:
        if tensor.valid is not None and tensor.valid is not joined:
            joined = tensor.valid if joined is None else core.trace.op("logical_and", joined, tensor.valid)
    return joined


def join_lengths(tensors: Sequence[Tensor], span: Span) -> Value | None:
    """How many steps the rows of a result have, of operands of one shape. Raises Failure where two of them say it."""
    found = [t for t in tensors if t.lengths is not None]
    if any(t.lengths is not found[0].lengths for t in found):
        raise Failure(type_errors.operand_type(span, "this", "rows of two different lengths", "`pad` makes them one length"))
    return found[0].lengths if found else None


def whole_rows(tensor: Tensor, name: str, span: Span) -> None:
    """Raises Failure for rows of different length, where all must have one."""
    if tensor.lengths is not None:
        raise Failure(type_errors.different_lengths(span, name, describe(tensor)))


def meet(core: Core, tensors: Sequence[Tensor], spans: Sequence[Span], symbol: str, whole: Span) -> list[Tensor]:
    shape = broadcast_shape([t.shape for t in tensors])
    if shape is None:
        left, right = tensors[0], tensors[-1]
        pairs: list[tuple[Span | None, str]] = []
        for axis in range(-1, -min(left.rank, right.rank) - 1, -1):
            a, b = left.shape[axis], right.shape[axis]
            if a != b and 1 not in (a, b):
                pairs += [(left.origin(axis), f"{a} comes from here"), (right.origin(axis), f"{b} comes from here")]
        flat = [s for t, s in ((left, spans[0]), (right, spans[-1])) if t.rank == 1 and core.trace.has_rows(t.shape[0])]
        rows = flat[0] if len(flat) == 1 else None
        raise Failure(type_errors.broadcast_mismatch(whole, symbol, left.type, right.type, spans[0], spans[-1], pairs, rows))
    return [broadcast_tensor(core, t, shape) for t in tensors]


def _alike(core: Core, left: Datum, right: Datum) -> list[Tensor] | None:
    """The operands where no rule has anything to decide, as nearly always: tensors of one float type, or one of them and a number.
    None for all others."""
    if isinstance(left, Tensor):
        if left.weak or left.trace is not core.trace or not is_float(left.dtype):
            return None
        if isinstance(right, Tensor):
            return [left, right] if right.dtype == left.dtype and not right.weak and right.trace is core.trace else None
        number = _small(right)
        return None if number is None else [left, core.full(number, left.dtype, left.shape)]
    if not isinstance(right, Tensor) or right.weak or right.trace is not core.trace or not is_float(right.dtype):
        return None
    number = _small(left)
    return None if number is None else [core.full(number, right.dtype, right.shape), right]


def _small(value: Datum) -> float | None:
    """A number that every float type holds without more ado."""
    if isinstance(value, float):
        return value
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**31 else None


def unify(
    core: Core, values: Sequence[Datum], spans: Sequence[Span], symbol: str, whole: Span, *, divide: bool = False, cast: bool = True
) -> tuple[list[Tensor], bool]:
    """Operands as tensors of one dtype and shape, and whether the result is weak. Static numbers become constants of the
    tensors' dtype and shape."""
    alike = _alike(core, values[0], values[1]) if cast and len(values) == 2 else None
    if alike is not None:
        return meet(core, alike, spans, symbol, whole), False
    tensors = [
        _stand_in(core, v) if cast and isinstance(v, (int, float)) and not isinstance(v, bool) else scalar(core, v, s)
        for v, s in zip(values, spans, strict=True)
    ]
    if cast:
        dtype, weak = common(core, tensors, spans, symbol, divide, whole)
    else:
        dtype, weak = tensors[0].dtype, False
    shape = broadcast_shape([t.shape for t in tensors])
    made: list[Tensor] = []
    for value, tensor in zip(values, tensors, strict=True):
        if isinstance(value, (int, float)) and not isinstance(value, bool) and shape is not None and cast:
            made.append(core.full(value, dtype, shape))
        elif cast:
            made.append(to_dtype(core, tensor, dtype))
        else:
            made.append(tensor)
    return meet(core, made, spans, symbol, whole), weak


def common_dtype(core: Core, tensors: Sequence[Tensor], spans: Sequence[Span], symbol: str, whole: Span) -> str:
    """The dtype in which tensors meet. Raises Failure for integers next to floats."""
    return common(core, tensors, spans, symbol, False, whole)[0]
