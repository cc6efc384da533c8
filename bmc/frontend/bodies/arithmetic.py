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
from bmc.frontend.bodies.coercion import (
    broadcast_shape,
    broadcast_tensor,
    combined_origins,
    common,
    join_lengths,
    join_valid,
    meet,
    scalar,
    to_dtype,
    unify,
    whole_rows,
)
from bmc.frontend.bodies.core import Core
from bmc.frontend.bodies.dims import Failure
from bmc.frontend.bodies.provenance import flattened_from
from bmc.frontend.bodies.values import (
    Constructed,
    Datum,
    ListValue,
    Parts,
    Plateau,
    Poison,
    Tensor,
    describe,
    is_number,
)
from bmc.frontend.errors import type_errors
from bmc.ir import Poly, Shape
from bmc.ir.dims import floor_divide, product
from bmc.ir.types import is_float, is_integer
from bmc.record import record, replace
from bmc.source import Span

__all__ = [
    "binary",
    "compare",
    "elementwise",
    "logical",
    "matmul",
    "negate",
    "select",
    "date_number",
    "microseconds",
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
_LARGEST_POWER = 4096.0


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
    left, right = _moment_of(symbol, left, right, left_span), _moment_of(symbol, right, left, right_span)
    left, right = _same_clock(core, left, right, span)
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
    if symbol == "//" and is_integer(a.dtype) and isinstance(a.below, int) and isinstance(right, int) and right > 0:
        return replace(result, below=max(a.below - 1, 0) // right + 1, below_origin=a.below_origin)
    return result


def _power(core: Core, base: Tensor, exponent: float, base_span: Span, span: Span) -> Tensor:
    """Small powers are products and roots: exact where `pow` is not, and cheaper."""
    trace = core.trace
    whole = isinstance(exponent, int)
    if not (is_integer(base.dtype) and whole and exponent >= 0):
        base = unify(core, [base, 1.0], [base_span, span], "**", span)[0][0] if not is_float(base.dtype) else base
    elif base.dtype == "u8":
        base = to_dtype(core, base, "i32")
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


def microseconds(core: Core, tensor: Tensor, span: Span) -> Tensor:
    """A date or timestamp in microseconds since 1970-01-01, i64, gaps kept."""
    if tensor.kind == "timestamp":
        return tensor
    wide = core.trace.cast(core.own(tensor, span).value, "i64")
    day = core.trace.constant(86_400_000_000, "i64", tensor.shape)
    return replace(tensor, value=core.trace.op("mul", wide, day), kind="timestamp")


def _moment_of(symbol: str, value: Datum, other: Datum, span: Span) -> Datum:
    """The text of a date that a date is subtracted from or by, as that date is stored; anything else as it is."""
    if symbol != "-" or not isinstance(value, str) or not isinstance(other, Tensor) or other.kind == "plain":
        return value
    return date_number(value, other.kind, span)


def _same_clock(core: Core, left: Datum, right: Datum, span: Span) -> tuple[Datum, Datum]:
    """A date that meets a timestamp as the midnight that it begins with."""
    if isinstance(left, Tensor) and isinstance(right, Tensor) and {left.kind, right.kind} == {"date", "timestamp"}:
        return microseconds(core, left, span), microseconds(core, right, span)
    return left, right


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
                pair = (value.plain(), number) if value is left else (number, value.plain())
                return _compare_tensors(core, symbol, pair[0], pair[1], left_span, right_span, span)
            raise Failure(type_errors.operand_type(span, symbol, f"{describe(value)} and a text"))
    for value, where in ((left, left_span), (right, right_span)):
        if isinstance(value, Tensor) and value.dtype == "str":
            raise Failure(type_errors.operand_type(where, symbol, describe(value), "text compares with == and != to a literal"))
    left, right = _same_clock(core, left, right, span)
    for value, other, where in ((left, right, left_span), (right, left, right_span)):
        if isinstance(value, Tensor) and value.kind != "plain" and not (isinstance(other, Tensor) and other.kind == value.kind):
            note = 'it compares with a text such as "2024-01-31", and with other dates; `year(x)` and `days(x)` are numbers'
            raise Failure(type_errors.operand_type(where, symbol, describe(value), note))
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
    met = meet(core, [test, *pair], spans, "select", span)
    value = core.trace.op("select", *(t.value for t in met))
    origins = combined_origins(met[1:], met[0].shape)
    result = Tensor(value, core.trace, join_valid(core, met), weak, origins=origins, lengths=join_lengths(met, span))
    x, y = (
        replace(t, below=_beyond(given), below_origin=s) if _beyond(given) else t
        for t, given, s in zip(pair, (a, b), spans[1:], strict=True)
    )
    if x.below is not None and y.below is not None and isinstance(x.below, int) and isinstance(y.below, int):
        larger = x if x.below >= y.below else y
        return replace(result, below=larger.below, below_origin=larger.below_origin or x.below_origin or y.below_origin)
    return result


def _beyond(value: Datum) -> int | None:
    """What a whole number that is written out stays below."""
    return value + 1 if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


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
    dtype, _ = common(core, [a, b], [left_span, right_span], "@", False, span)
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
