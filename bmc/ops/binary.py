"""Element-wise arithmetic of two or three numbers of one type, and logic of truth values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from bmc.ir import Operation, Poly, TensorType, Value
from bmc.ir.types import FLOATS, is_float
from bmc.ops.arrays import single
from bmc.ops.lowering import Elementwise
from bmc.ops.registry import ULP, GradRule, NotDifferentiable, Operator, Sample, SimplifyRule
from bmc.ops.rules import NUMBERS, elementwise, pointwise, rows_elementwise, ulp_of, unless_zero
from bmc.ops.simplify import simplify_add, simplify_div, simplify_mul, simplify_pow, simplify_same, simplify_sub

if TYPE_CHECKING:
    from bmc.ops.build import Builder

__all__ = ["OPERATORS"]

_ROUNDED = ULP()
_Rule = Callable[["Builder", Operation, Value], Sequence[Value | None]]
_Inverse = Callable[["Builder", int, Value, Value], Value]
"""(builder, index of the operand that is wanted, result, the other operand) -> the operand."""


def _binary(
    name: str,
    doc: str,
    emit: Callable[..., Any],
    reference: Callable[..., Any],
    grad: _Rule | str,
    cost: int = 1,
    allowed: Sequence[str] = NUMBERS,
    domain: dict[int, tuple[float, float]] | None = None,
    ulp: ULP = _ROUNDED,
    inverse: _Inverse | None = None,
    arity: int = 2,
    smooth: bool = True,
    simplify: SimplifyRule | None = None,
) -> Operator:
    rule: GradRule | NotDifferentiable = NotDifferentiable(grad) if isinstance(grad, str) else pointwise(grad)
    undo = None
    if inverse is not None:
        backwards = inverse

        def undo(b: Builder, op: Operation, operand: int, result: Value) -> Value:
            return backwards(b, operand, result, op.operands[1 - operand])

    def samples() -> Sequence[Sample]:
        return [
            Sample((TensorType(dtype, shape),) * arity, domain=domain or {}, smooth=smooth)
            for dtype in allowed
            for shape in ((), (4, 9), (2, 0), (Poly.symbol("B"), 5))
        ]

    return Operator(
        name=name,
        doc=doc,
        arity=arity,
        infer=elementwise(allowed),
        grad=rule,
        rows=rows_elementwise,
        lowering=Elementwise(emit, cost),
        reference=single(reference),
        samples=samples,
        ulp=ulp,
        inverse=undo,
        simplify=simplify,
    )


def _div_grad(b: Builder, op: Operation, g: Value) -> Sequence[Value | None]:
    quotient = unless_zero(b, g, b.div(g, op.operands[1]))
    return quotient, unless_zero(b, g, b.neg(b.mul(quotient, op.result)))


def _pow_grad(b: Builder, op: Operation, g: Value) -> Sequence[Value | None]:
    x, y = op.operands
    zero = b.full_like(g, 0.0)
    of_base = b.mul(g, b.mul(y, b.pow(x, b.sub(y, 1.0))))
    # x ** 0 is 1 for every x, also where x ** -1 is infinite; 0 ** y stays 0 for y above 0, although log(0) is
    # infinite.
    base = b.select(b.compare("eq", y, 0.0), zero, unless_zero(b, g, of_base))
    flat = b.logical_and(b.compare("eq", x, 0.0), b.compare("ge", y, 0.0))
    exponent = b.select(flat, zero, unless_zero(b, g, b.mul(g, b.mul(op.result, b.log(x)))))
    return base, exponent


def _chosen(predicate: str) -> _Rule:
    def grad(b: Builder, op: Operation, g: Value) -> Sequence[Value | None]:
        # The result says it as well as x (x > y where result > y, ties and NaN included), and then x need not be kept.
        first = b.compare(predicate, op.result, op.operands[1])
        zero = b.full_like(g, 0.0)
        return b.select(first, g, zero), b.select(first, zero, g)

    return grad


def _floor_div(np: Any, x: Any, y: Any) -> Any:
    if np.issubdtype(x.dtype, np.floating):
        return np.floor(x / y)
    safe = np.where(y == 0, 1, y).astype(y.dtype)
    return np.where(y == 0, 0, np.floor_divide(x, safe))


def _rem(np: Any, x: Any, y: Any) -> Any:
    if np.issubdtype(x.dtype, np.floating):
        return x - y * np.floor(x / y)
    safe = np.where(y == 0, 1, y).astype(y.dtype)
    return np.where(y == 0, 0, np.remainder(x, safe))


def _emit_floor_div(b: Any, attrs: object, x: Any, y: Any) -> Any:
    return b.floor(b.div(x, y)) if is_float(x.dtype) else b.floor_div(x, y)


def _emit_rem(b: Any, attrs: object, x: Any, y: Any) -> Any:
    return b.sub(x, b.mul(y, b.floor(b.div(x, y)))) if is_float(x.dtype) else b.rem(x, y)


def _rem_grad(b: Builder, op: Operation, g: Value) -> Sequence[Value | None]:
    x, y = op.operands
    return g, b.neg(b.mul(g, b.floor_div(x, y)))


def _logical(
    name: str, doc: str, emit: Callable[..., Any], reference: Callable[..., Any], simplify: SimplifyRule | None = None
) -> Operator:
    return _binary(name, doc, emit, reference, "truth values have no gradient", allowed=("bool",), simplify=simplify)


_AWAY_FROM_ZERO = {1: (0.3, 2.0)}
_TIES = " NaN where either is NaN. Where both are equal the gradient goes to the second."

OPERATORS = (
    _binary(
        "add",
        "x + y. Integers wrap.",
        lambda b, attrs, x, y: b.add(x, y),
        lambda np, x, y: x + y,
        lambda b, op, g: (g, g),
        inverse=lambda b, i, result, other: b.sub(result, other),
        simplify=simplify_add,
    ),
    _binary(
        "sub",
        "x - y. Integers wrap.",
        lambda b, attrs, x, y: b.sub(x, y),
        lambda np, x, y: x - y,
        lambda b, op, g: (g, b.neg(g)),
        inverse=lambda b, i, result, other: b.add(result, other) if i == 0 else b.sub(other, result),
        simplify=simplify_sub,
    ),
    _binary(
        "mul",
        "x * y. Integers wrap.",
        lambda b, attrs, x, y: b.mul(x, y),
        lambda np, x, y: x * y,
        lambda b, op, g: (b.mul(g, op.operands[1]), b.mul(g, op.operands[0])),
        inverse=lambda b, i, result, other: b.div(result, other),
        simplify=simplify_mul,
    ),
    _binary(
        "div",
        "x / y of floats. A cotangent of 0 gives gradients of 0, also where y is 0.",
        lambda b, attrs, x, y: b.div(x, y),
        lambda np, x, y: x / y,
        _div_grad,
        cost=5,
        allowed=FLOATS,
        domain=_AWAY_FROM_ZERO,
        inverse=lambda b, i, result, other: b.mul(result, other) if i == 0 else b.div(other, result),
        simplify=simplify_div,
    ),
    _binary(
        "pow",
        "x to the power of y, as C defines it: x ** 0 and 1 ** y are 1, a negative base has powers at integral exponents only.",
        lambda b, attrs, x, y: b.pow(x, y),
        lambda np, x, y: np.power(x, y),
        _pow_grad,
        cost=60,
        allowed=FLOATS,
        domain={0: (0.3, 2.0)},
        ulp=ulp_of("pow"),
        simplify=simplify_pow,
    ),
    _binary(
        "maximum",
        "The larger of x and y." + _TIES,
        lambda b, attrs, x, y: b.maximum(x, y),
        lambda np, x, y: np.maximum(x, y),
        _chosen("gt"),
        simplify=simplify_same,
    ),
    _binary(
        "minimum",
        "The smaller of x and y." + _TIES,
        lambda b, attrs, x, y: b.minimum(x, y),
        lambda np, x, y: np.minimum(x, y),
        _chosen("lt"),
        simplify=simplify_same,
    ),
    _binary(
        "floor_div",
        "x / y rounded towards minus infinity. Integers: 0 where y is 0.",
        _emit_floor_div,
        _floor_div,
        "the result is constant wherever it has a derivative",
        cost=20,
        domain=_AWAY_FROM_ZERO,
    ),
    _binary(
        "rem",
        "x - y * floor_div(x, y), with the sign of y. Integers: 0 where y is 0. The product and the difference are rounded.",
        _emit_rem,
        _rem,
        _rem_grad,
        cost=20,
        domain=_AWAY_FROM_ZERO,
    ),
    _binary(
        "fma",
        "x * y + z: one rounding on targets of the class fma, two on others.",
        lambda b, attrs, x, y, z: b.fma(x, y, z),
        lambda np, x, y, z: x * y + z,
        lambda b, op, g: (b.mul(g, op.operands[1]), b.mul(g, op.operands[0]), g),
        allowed=FLOATS,
        arity=3,
        # Relative to |x * y| + |z|: the reference rounds the product as well.
        ulp=ULP(1.0, 1.0),
    ),
    _logical(
        "logical_and",
        "Whether both hold.",
        lambda b, attrs, x, y: b.logical_and(x, y),
        lambda np, x, y: np.logical_and(x, y),
        simplify=simplify_same,
    ),
    _logical(
        "logical_or",
        "Whether at least one holds.",
        lambda b, attrs, x, y: b.logical_or(x, y),
        lambda np, x, y: np.logical_or(x, y),
        simplify=simplify_same,
    ),
    _logical(
        "logical_xor",
        "Whether exactly one holds.",
        lambda b, attrs, x, y: b.logical_xor(x, y),
        lambda np, x, y: np.logical_xor(x, y),
    ),
)
