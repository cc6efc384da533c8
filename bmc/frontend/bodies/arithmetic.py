"""Operators of expressions on static values and tensors: which dtype, which shape, which operations.

In: evaluated operands with their spans. Out: values. Guaranteed: operands reach the graph with one dtype and one shape,
casts and
broadcasts written out; a weak number never changes the dtype of a tensor; static operands stay static.
"""

from __future__ import annotations

import datetime
import operator
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from bmc.errors import Suggestion
from bmc.frontend.bodies.core import Core
from bmc.frontend.bodies.dims import Failure
from bmc.frontend.bodies.provenance import flattened_from
from bmc.frontend.bodies.trace import STEP, STEPS
from bmc.frontend.bodies.values import (
    Bound,
    Constructed,
    Datum,
    Generator,
    ListValue,
    Parts,
    Plateau,
    Poison,
    Tensor,
    describe,
    is_number,
)
from bmc.frontend.errors import type_errors
from bmc.ir import Dim, Poly, Shape, TensorType, Value
from bmc.ir.dims import floor_divide, product
from bmc.ir.types import is_float, is_integer
from bmc.record import record, replace
from bmc.source import Span

__all__ = [
    "binary",
    "broadcast_shape",
    "broadcast_tensor",
    "combined_origins",
    "compare",
    "elementwise",
    "join_lengths",
    "join_valid",
    "logical",
    "matmul",
    "negate",
    "scalar",
    "schedule_value",
    "select",
    "to_dtype",
    "unify",
    "date_number",
    "whole_rows",
]

_STATIC: Mapping[str, Callable[[float, float], float]] = MappingProxyType(
    {
        "+": operator.add,
        "-": operator.sub,
        "*": operator.mul,
        "/": operator.truediv,
        "//": operator.floordiv,
        "%": operator.mod,
        "**": operator.pow,
    }
)
_OPERATOR = MappingProxyType({"+": "add", "-": "sub", "*": "mul", "/": "div", "//": "floor_div", "%": "rem", "**": "pow"})
_PREDICATE = MappingProxyType({"==": "eq", "!=": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge"})
_EPOCH = datetime.date(1970, 1, 1)
_WIDTH = MappingProxyType({"u8": 0, "i32": 1, "i64": 2})
_LARGEST_POWER = 4096.0


# --- coercion ----------------------------------------------------------------------------------------------------------
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
    raise Failure(type_errors.wrong_value(span, "this", "a number or a tensor", describe(value)))


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


def _common(
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


def _meet(core: Core, tensors: Sequence[Tensor], spans: Sequence[Span], symbol: str, whole: Span) -> list[Tensor]:
    shape = broadcast_shape([t.shape for t in tensors])
    if shape is None:
        left, right = tensors[0], tensors[-1]
        pairs: list[tuple[Span | None, str]] = []
        for axis in range(-1, -min(left.rank, right.rank) - 1, -1):
            a, b = left.shape[axis], right.shape[axis]
            if a != b and 1 not in (a, b):
                pairs += [(left.origin(axis), f"{a} comes from here"), (right.origin(axis), f"{b} comes from here")]
        raise Failure(type_errors.broadcast_mismatch(whole, symbol, left.type, right.type, spans[0], spans[-1], pairs))
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
        return _meet(core, alike, spans, symbol, whole), False
    tensors = [
        _stand_in(core, v) if cast and isinstance(v, (int, float)) and not isinstance(v, bool) else scalar(core, v, s)
        for v, s in zip(values, spans, strict=True)
    ]
    if cast:
        dtype, weak = _common(core, tensors, spans, symbol, divide, whole)
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
    return _meet(core, made, spans, symbol, whole), weak


# --- static arithmetic -------------------------------------------------------------------------------------------------
def _static_binary(symbol: str, left: float | Poly, right: float | Poly, span: Span) -> int | float | Poly | None:
    """The static result; None when a dim that is not known meets a fraction."""
    if isinstance(left, Poly) or isinstance(right, Poly):
        if isinstance(left, float) or isinstance(right, float):
            return None
        if symbol in ("+", "-", "*"):
            return _STATIC[symbol](left, right)  # type: ignore[arg-type]  # Poly has the three operators
        if symbol in ("//", "%") and not (isinstance(right, int) and right == 0):
            floor = floor_divide(left, right)
            return floor if symbol == "//" else left - floor * right
        if symbol == "**" and isinstance(right, int) and 0 <= right <= 16:
            return product([left] * right)
        return None
    if symbol == "**" and abs(right) > _LARGEST_POWER:
        raise Failure(type_errors.bad_size(span, f"the exponent {right} is too large"))
    try:
        result = _STATIC[symbol](left, right)
    except ZeroDivisionError:
        raise Failure(type_errors.bad_size(span, "division by zero")) from None
    except OverflowError:
        raise Failure(type_errors.bad_size(span, "the result is too large")) from None
    if isinstance(result, complex):
        raise Failure(type_errors.bad_size(span, "a root of a negative number"))
    if isinstance(result, int) and result.bit_length() > 4096:
        raise Failure(type_errors.bad_size(span, "the result is too large"))
    return result


def binary(core: Core, symbol: str, left: Datum, right: Datum, left_span: Span, right_span: Span, span: Span) -> Datum:
    """`left symbol right` for arithmetic."""
    if core.is_poison(left, right):
        raise Failure
    if symbol == "@":
        return matmul(core, left, right, left_span, right_span, span)
    if is_number(left) and is_number(right):
        static = _static_binary(symbol, left, right, span)  # type: ignore[arg-type]  # both are numbers
        if static is not None:
            return static
    if isinstance(left, ListValue) and isinstance(right, ListValue) and symbol == "+":
        return ListValue(left.items + right.items)
    if isinstance(left, str) and isinstance(right, str) and symbol == "+":
        return left + right
    for value, where in ((left, left_span), (right, right_span)):
        other = right if value is left else left
        if isinstance(value, ListValue) and not isinstance(other, Tensor):
            raise Failure(type_errors.operand_type(where, symbol, describe(value)))
    core.at(span)
    if symbol == "**" and isinstance(right, (int, float)):
        return _power(core, scalar(core, left, left_span), right, left_span, span)
    operands, weak = unify(core, [left, right], [left_span, right_span], symbol, span, divide=symbol in {"/", "**"})
    a, b = operands
    made = core.trace.op(_OPERATOR[symbol], a.value, b.value)
    lengths = join_lengths(operands, span)
    origins = combined_origins(operands, a.shape)
    result = Tensor(made, core.trace, join_valid(core, operands), weak, origins=origins, lengths=lengths)
    if symbol == "+" and is_integer(a.dtype) and a.below is not None and isinstance(right, int) and right >= 0:
        return replace(result, below=a.below + right, below_origin=a.below_origin)
    if symbol == "%" and is_integer(a.dtype) and isinstance(right, int) and right > 0:
        return replace(result, below=right, below_origin=span)
    return result


def _power(core: Core, base: Tensor, exponent: float, base_span: Span, span: Span) -> Tensor:
    """Small powers are products and roots: exact where `pow` is not, and cheaper."""
    trace = core.trace
    whole = isinstance(exponent, int)
    if not (is_integer(base.dtype) and whole and exponent >= 0):
        base = unify(core, [base, 1.0], [base_span, span], "**", span)[0][0] if not is_float(base.dtype) else base
    weak = base.weak
    x = base.value
    if exponent == 2:
        value = trace.op("mul", x, x)
    elif exponent == 3:
        value = trace.op("mul", trace.op("mul", x, x), x)
    elif exponent == 4:
        square = trace.op("mul", x, x)
        value = trace.op("mul", square, square)
    elif exponent == 1:
        value = x
    elif exponent == 0:
        value = trace.constant(1, base.dtype, base.shape)
    elif exponent == 0.5:
        value = trace.op("sqrt", x)
    elif exponent == -1:
        value = trace.op("div", trace.constant(1.0, base.dtype, base.shape), x)
    elif exponent == -0.5:
        value = trace.op("div", trace.constant(1.0, base.dtype, base.shape), trace.op("sqrt", x))
    elif is_integer(base.dtype):
        if exponent > 64:
            raise Failure(type_errors.bad_size(span, f"the exponent {exponent} is too large for integers"))
        value = x
        for _ in range(int(exponent) - 1):
            value = trace.op("mul", value, x)
    else:
        value = trace.op("pow", x, trace.constant(exponent, base.dtype, base.shape))
    return replace(base.plain(), value=value, weak=weak)


def negate(core: Core, value: Datum, span: Span, operand: Span) -> Datum:
    if is_number(value):
        return -value  # type: ignore[operator]  # a number
    core.at(span)
    tensors, weak = unify(core, [value], [operand], "-", span)
    return replace(tensors[0].plain(), value=core.trace.op("neg", tensors[0].value), weak=weak)


def elementwise(core: Core, name: str, tensor: Tensor) -> Tensor:
    """A unary operator of the IR, gaps kept."""
    return replace(tensor.plain(), value=core.trace.op(name, tensor.value))


# --- comparison and logic ----------------------------------------------------------------------------------------------
def date_number(text: str, kind: str, span: Span) -> int:
    """Days (date) or microseconds (timestamp, UTC) since 1970-01-01 of an ISO 8601 text."""
    try:
        if kind == "date":
            return (datetime.date.fromisoformat(text) - _EPOCH).days
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise Failure(type_errors.wrong_value(span, kind, 'a date like "2023-01-31"', f'"{text}"')) from None
    utc = moment if moment.tzinfo is None else moment.astimezone(datetime.UTC).replace(tzinfo=None)
    return (utc - datetime.datetime(1970, 1, 1)) // datetime.timedelta(microseconds=1)


def _same_static(left: Datum, right: Datum) -> bool | None:
    """Equality of static values; None when one of them is a tensor."""
    if left is None or right is None:
        return left is right
    if isinstance(left, Tensor) or isinstance(right, Tensor):
        return None
    if isinstance(left, ListValue) and isinstance(right, ListValue):
        if len(left.items) != len(right.items):
            return False
        pairs = [_same_static(a, b) for a, b in zip(left.items, right.items, strict=True)]
        return None if None in pairs else all(pairs)
    return left == right


def compare(core: Core, symbol: str, left: Datum, right: Datum, left_span: Span, right_span: Span, span: Span) -> Datum:
    """`left symbol right`: a static bool, or a bool tensor."""
    if core.is_poison(left, right):
        raise Failure
    for value, other in ((left, right), (right, left)):
        if isinstance(value, Parts) and value.unit == "whole" and isinstance(other, str) and symbol in ("==", "!="):
            core.at(span)
            equal = core.trace.op("str_equal", core.own(value.text, span).value, value=other, lower=value.lower)
            return core.tensor(equal if symbol == "==" else core.trace.op("logical_not", equal), like=value.text)
    tensors = [v for v in (left, right) if isinstance(v, (Tensor, Constructed, Plateau))]
    if symbol in ("==", "!=") and (left is None or right is None or not tensors):
        same = _same_static(left, right)
        if same is not None:
            return same if symbol == "==" else not same
    if not tensors and isinstance(left, (int, float)) and isinstance(right, (int, float)):
        return {"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}[symbol]
    if not tensors:
        if isinstance(left, str) and isinstance(right, str):
            return {"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}[symbol]
        what = describe(left) if not is_number(left) else describe(right)
        raise Failure(type_errors.operand_type(span, symbol, what))
    core.at(span)
    return _compare_tensors(core, symbol, left, right, left_span, right_span, span)


def _compare_tensors(core: Core, symbol: str, left: Datum, right: Datum, left_span: Span, right_span: Span, span: Span) -> Tensor:
    for value, where in ((left, left_span), (right, right_span)):
        other = right if value is left else left
        if isinstance(value, Tensor) and value.valid is not None and not (symbol == "==" and isinstance(other, (str, int, float))):
            raise Failure(type_errors.missing_compare(span, describe(value), where))
    for value, other, other_span in ((left, right, right_span), (right, left, left_span)):
        if isinstance(value, Tensor) and isinstance(other, str):
            core.own(value, span)
            if value.dtype == "str" and symbol in ("==", "!="):
                equal = core.trace.op("str_equal", value.value, value=other, lower=False)
                if value.valid is not None:
                    equal = core.trace.op("logical_and", equal, value.valid)
                if symbol == "!=":
                    equal = core.trace.op("logical_not", equal)
                return core.tensor(equal, like=value)
            if value.kind in ("date", "timestamp"):
                number = date_number(other, value.kind, other_span)
                pair = (left, number) if value is left else (number, right)
                return _compare_tensors(core, symbol, pair[0], pair[1], left_span, right_span, span)
            raise Failure(type_errors.operand_type(span, symbol, f"{describe(value)} and a text"))
    for value, where in ((left, left_span), (right, right_span)):
        if isinstance(value, Tensor) and value.dtype == "str":
            raise Failure(type_errors.operand_type(where, symbol, describe(value), "text compares with == and != to a literal"))
    both = [scalar(core, left, left_span), scalar(core, right, right_span)]
    if all(t.dtype == "bool" for t in both) and symbol in ("==", "!="):
        operands, _ = unify(core, both, [left_span, right_span], symbol, span, cast=False)
        made = core.trace.op("logical_xor", operands[0].value, operands[1].value)
        if symbol == "==":
            made = core.trace.op("logical_not", made)
    else:
        operands, _ = unify(core, [left, right], [left_span, right_span], symbol, span)
        made = core.trace.op("compare", operands[0].value, operands[1].value, predicate=_PREDICATE[symbol])
    valid = join_valid(core, operands)
    if valid is not None:
        made = core.trace.op("logical_and", made, valid)
    found = core.tensor(made, origins=combined_origins(operands, operands[0].shape))
    return replace(found, lengths=join_lengths(operands, span))


def logical(core: Core, symbol: str, values: Sequence[Datum], spans: Sequence[Span], span: Span) -> Datum:
    """`and`, `or`, `not` on tensors of bools and static bools."""
    for value, where in zip(values, spans, strict=True):
        if isinstance(value, Poison):
            raise Failure
        if not isinstance(value, bool) and not (isinstance(value, Tensor) and value.dtype == "bool"):
            raise Failure(type_errors.operand_type(where, symbol, describe(value), "it combines conditions"))
    core.at(span)
    if symbol == "not":
        (value,) = values
        if isinstance(value, bool):
            return not value
        tensor = scalar(core, value, spans[0])
        return elementwise(core, "logical_not", tensor)
    left, right = values
    for a, b in ((left, right), (right, left)):
        if isinstance(a, bool):
            neutral = symbol == "and"
            return b if a == neutral else a
    operands, _ = unify(core, values, spans, symbol, span, cast=False)
    value_ = core.trace.op("logical_and" if symbol == "and" else "logical_or", operands[0].value, operands[1].value)
    made = core.tensor(value_, origins=combined_origins(operands, operands[0].shape))
    return replace(made, lengths=join_lengths(operands, span))


def select(core: Core, condition: Datum, a: Datum, b: Datum, spans: Sequence[Span], span: Span) -> Datum:
    """`select(c, a, b)`: a where c, else b."""
    if core.is_poison(condition, a, b):
        raise Failure
    if isinstance(condition, bool):
        return a if condition else b
    test = scalar(core, condition, spans[0])
    if test.dtype != "bool":
        raise Failure(type_errors.operand_type(spans[0], "select", describe(test), "its first argument is a condition"))
    core.at(span)
    choices = [scalar(core, a, spans[1]), scalar(core, b, spans[2])]
    if all(t.dtype == "bool" for t in choices):
        pair, weak = unify(core, choices, spans[1:], "select", span, cast=False)
    else:
        pair, weak = unify(core, [a, b], spans[1:], "select", span)
    index = _mask_index(test.shape, pair[0].shape)
    if index is not None:
        masked = max(zip(choices, spans[1:], strict=True), key=lambda choice: choice[0].rank)
        raise Failure(type_errors.mask_dims(span, test.type, masked[0].type, spans[0], masked[1], index))
    met = _meet(core, [test, *pair], spans, "select", span)
    value = core.trace.op("select", *(t.value for t in met))
    origins = combined_origins(met[1:], met[0].shape)
    result = Tensor(value, core.trace, join_valid(core, met), weak, origins=origins, lengths=join_lengths(met, span))
    x, y = pair
    if x.below is not None and y.below is not None and isinstance(x.below, int) and isinstance(y.below, int):
        return replace(result, below=max(x.below, y.below), below_origin=x.below_origin or y.below_origin)
    return result


def _mask_index(mask: Shape, scores: Shape) -> str | None:
    """The index that puts the dims of a mask under equal dims of the scores, where they do not fit as they are but do lie there in
    order: the first at the left, so that rows meet rows, the others as far right as can be."""
    if not 0 < len(mask) < len(scores) or mask[0] != scores[0] or broadcast_shape([mask, scores]) == scores:
        return None
    places, axis = [0], len(scores) - 1
    for dim in reversed(mask[1:]):
        while axis > 0 and scores[axis] != dim:
            axis -= 1
        if axis == 0:
            return None
        places.append(axis)
        axis -= 1
    return f"[{', '.join(':' if i in places else 'none' for i in range(len(scores)))}]"


# --- products ----------------------------------------------------------------------------------------------------------
@record(frozen=True)
class _Side:
    tensor: Tensor
    span: Span


def matmul(core: Core, left: Datum, right: Datum, left_span: Span, right_span: Span, span: Span) -> Tensor:
    """`a @ b`: numpy's rule; leading dims broadcast."""
    a, b = scalar(core, left, left_span), scalar(core, right, right_span)
    for side in (_Side(a, left_span), _Side(b, right_span)):
        whole_rows(side.tensor, "@", side.span)
        if side.tensor.rank == 0 or not (is_float(side.tensor.dtype) or side.tensor.weak):
            fix = None
            if side.tensor.rank and side.tensor.dtype != "str":
                fix = Suggestion("make floats of it", side.span, f"number({side.span.text})")
            raise Failure(type_errors.operand_type(side.span, "@", describe(side.tensor), fix=fix))
    dtype, _ = _common(core, [a, b], [left_span, right_span], "@", False, span)
    a, b = to_dtype(core, a, dtype), to_dtype(core, b, dtype)
    core.at(span)
    inner_a, inner_b = a.shape[-1], b.shape[max(b.rank - 2, 0)]
    if inner_a != inner_b:
        pairs = [(a.origin(a.rank - 1), f"{inner_a} comes from here"), (b.origin(max(b.rank - 2, 0)), f"{inner_b} comes from here")]
        flat = flattened_from(a)
        if flat is not None:
            raise Failure(type_errors.flatten_size(left_span, flat, inner_a, inner_b, pairs))
        raise Failure(type_errors.product_mismatch(span, a.type, b.type, left_span, right_span, pairs))
    batch = 0
    if b.rank > 2:
        lead = broadcast_shape([a.shape[:-2], b.shape[:-2]])
        if lead is None:
            raise Failure(type_errors.broadcast_mismatch(span, "@", a.type, b.type, left_span, right_span, ()))
        batch = len(lead)
        a = broadcast_tensor(core, a, lead + a.shape[-2:]) if a.rank > 1 else broadcast_tensor(core, a, lead + a.shape)
        b = broadcast_tensor(core, b, lead + b.shape[-2:])
    value = core.trace.op(
        "contract",
        a.value,
        b.value,
        lhs_batch=tuple(range(batch)),
        lhs_contract=(a.rank - 1,),
        rhs_batch=tuple(range(batch)),
        rhs_contract=(max(b.rank - 2, 0),),
    )
    origins_a = a.origins or (None,) * a.rank
    origins_b = b.origins or (None,) * b.rank
    origins = origins_a[:-1] + (origins_b[-1:] if b.rank > 1 else ())
    _require_cells(core, [_Side(a, left_span), _Side(b, right_span)], span)
    return core.tensor(value, origins=origins)


def _require_cells(core: Core, sides: Sequence[_Side], span: Span) -> None:
    for side in sides:
        if side.tensor.valid is not None:
            raise Failure(type_errors.may_be_missing(side.span, describe(side.tensor), "a product", None))


def common_dtype(core: Core, tensors: Sequence[Tensor], spans: Sequence[Span], symbol: str, whole: Span) -> str:
    """The dtype in which tensors meet. Raises Failure for integers next to floats."""
    return _common(core, tensors, spans, symbol, False, whole)[0]
