"""Element-wise operators of one number: signs, roots, exponentials, logarithms, rounding."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from bmc.ir import Operation, Poly, TensorType, Value
from bmc.ir.types import FLOATS
from bmc.ops.arrays import single
from bmc.ops.lowering import Elementwise
from bmc.ops.registry import ULP, GradRule, NotDifferentiable, Operator, Sample, SimplifyRule
from bmc.ops.rules import NUMBERS, elementwise, pointwise, require_dtype, rows_elementwise, ulp_of, unless_zero
from bmc.ops.simplify import simplify_involution

if TYPE_CHECKING:
    from bmc.ops.build import Builder

__all__ = ["OPERATORS"]

_ROUNDED = ULP()


def _unary(
    name: str,
    doc: str,
    emit: Callable[..., Any],
    reference: Callable[..., Any],
    grad: Callable[[Builder, Operation, Value], Value] | str,
    cost: int = 1,
    allowed: Sequence[str] = FLOATS,
    domain: tuple[float, float] = (-2.0, 2.0),
    ulp: ULP = _ROUNDED,
    inverse: Callable[[Builder, Value], Value] | None = None,
    smooth: bool = True,
    simplify: SimplifyRule | None = None,
) -> Operator:
    """A record; `grad(builder, op, cotangent)` or the reason why there is none; `reference(np, x)`; `inverse(builder,
    result)`.
    """
    if isinstance(grad, str):
        rule: GradRule | NotDifferentiable = NotDifferentiable(grad)
    else:
        of_operand = grad
        rule = pointwise(lambda b, op, g: (of_operand(b, op, g),))
    undo = None
    if inverse is not None:
        backwards = inverse

        def undo(b: Builder, op: Operation, operand: int, result: Value) -> Value:
            return backwards(b, result)

    def samples() -> Sequence[Sample]:
        return [
            Sample((TensorType(dtype, shape),), domain={0: domain}, smooth=smooth)
            for dtype in allowed
            for shape in ((), (3, 17), (0, 4), (Poly.symbol("B"), 5))
        ]

    return Operator(
        name=name,
        doc=doc,
        arity=1,
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


def _in_double(function: Callable[[float], float]) -> Callable[[Any, Any], Any]:
    """A scalar function of the standard library as a reference, computed in f64."""

    def reference(np: Any, x: Any) -> Any:
        flat = [function(float(v)) for v in np.ravel(x)]
        return np.array(flat, dtype=np.float64).reshape(np.shape(x))

    return reference


def _sigmoid(np: Any, x: Any) -> Any:
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + small), small / (1 + small))


def _sigmoid_grad(b: Builder, op: Operation, g: Value) -> Value:
    return b.mul(g, b.mul(op.result, b.sub(1.0, op.result)))


def _tanh_grad(b: Builder, op: Operation, g: Value) -> Value:
    return b.mul(g, b.sub(1.0, b.mul(op.result, op.result)))


def _rsqrt_grad(b: Builder, op: Operation, g: Value) -> Value:
    y = op.result
    return unless_zero(b, g, b.mul(b.mul(g, -0.5), b.mul(y, b.mul(y, y))))


def _erf_grad(b: Builder, op: Operation, g: Value) -> Value:
    x = op.operands[0]
    return b.mul(b.mul(g, 2.0 / math.sqrt(math.pi)), b.exp(b.neg(b.mul(x, x))))


def _predicate(name: str, doc: str, emit: Callable[..., Any], reference: Callable[..., Any]) -> Operator:
    def infer(types: Sequence[TensorType], attrs: Any) -> tuple[TensorType, ...]:
        require_dtype(types, 0, FLOATS)
        return (types[0].with_dtype("bool"),)

    return Operator(
        name=name,
        doc=doc,
        arity=1,
        infer=infer,
        grad=NotDifferentiable("the result is a truth value"),
        rows=rows_elementwise,
        lowering=Elementwise(emit),
        reference=lambda np, attrs, arrays: (np.asarray(reference(np, arrays[0])),),
        samples=lambda: [Sample((TensorType(dtype, (Poly.symbol("B"), 5)),)) for dtype in FLOATS],
    )


_STEP = "the result is constant wherever it has a derivative"
_POSITIVE = (0.1, 3.0)

OPERATORS = (
    _unary(
        "neg",
        "-x. Flips the sign of zeros too; integers wrap.",
        lambda b, attrs, x: b.neg(x),
        lambda np, x: -x,
        lambda b, op, g: b.neg(g),
        allowed=NUMBERS,
        inverse=lambda b, y: b.neg(y),
        simplify=simplify_involution,
    ),
    _unary(
        "abs",
        "The magnitude of x. Its gradient at 0 is 0. The least integer wraps to itself.",
        lambda b, attrs, x: b.abs(x),
        lambda np, x: np.abs(x),
        lambda b, op, g: b.mul(g, b.sign(op.operands[0])),
        allowed=NUMBERS,
    ),
    _unary(
        "sign",
        "-1, 0 or 1. Keeps signed zeros; NaN for NaN.",
        lambda b, attrs, x: b.sign(x),
        lambda np, x: np.where(x == 0, x, np.sign(x)),
        _STEP,
        allowed=NUMBERS,
        cost=3,
    ),
    _unary(
        "sqrt",
        "The square root, correctly rounded. NaN below zero. Its gradient at 0 is infinite, but for a cotangent of "
        "0, where it is 0.",
        lambda b, attrs, x: b.sqrt(x),
        lambda np, x: np.sqrt(x),
        lambda b, op, g: unless_zero(b, g, b.div(b.mul(g, 0.5), op.result)),
        cost=6,
        domain=_POSITIVE,
        inverse=lambda b, y: b.mul(y, y),
    ),
    _unary(
        "rsqrt",
        "1 / sqrt(x).",
        lambda b, attrs, x: b.rsqrt(x),
        lambda np, x: 1 / np.sqrt(x),
        _rsqrt_grad,
        cost=12,
        domain=_POSITIVE,
        ulp=ulp_of("rsqrt"),
    ),
    _unary(
        "exp",
        "e to the power of x.",
        lambda b, attrs, x: b.exp(x),
        lambda np, x: np.exp(x),
        lambda b, op, g: b.mul(g, op.result),
        cost=16,
        ulp=ulp_of("exp"),
        inverse=lambda b, y: b.log(y),
    ),
    _unary(
        "expm1",
        "exp(x) - 1, accurate near 0.",
        lambda b, attrs, x: b.expm1(x),
        lambda np, x: np.expm1(x),
        lambda b, op, g: b.mul(g, b.add(op.result, 1.0)),
        cost=20,
        ulp=ulp_of("expm1"),
        inverse=lambda b, y: b.log1p(y),
    ),
    _unary(
        "log",
        "The natural logarithm. -inf at 0, NaN below. A cotangent of 0 gives a gradient of 0.",
        lambda b, attrs, x: b.log(x),
        lambda np, x: np.log(x),
        lambda b, op, g: unless_zero(b, g, b.div(g, op.operands[0])),
        cost=20,
        domain=_POSITIVE,
        ulp=ulp_of("log"),
        inverse=lambda b, y: b.exp(y),
    ),
    _unary(
        "log1p",
        "log(1 + x), accurate near 0.",
        lambda b, attrs, x: b.log1p(x),
        lambda np, x: np.log1p(x),
        lambda b, op, g: unless_zero(b, g, b.div(g, b.add(op.operands[0], 1.0))),
        cost=24,
        domain=(-0.8, 2.0),
        ulp=ulp_of("log1p"),
        inverse=lambda b, y: b.expm1(y),
    ),
    _unary(
        "sin",
        "The sine of x in radians.",
        lambda b, attrs, x: b.sin(x),
        lambda np, x: np.sin(x),
        lambda b, op, g: b.mul(g, b.cos(op.operands[0])),
        cost=24,
        ulp=ulp_of("sin"),
    ),
    _unary(
        "cos",
        "The cosine of x in radians.",
        lambda b, attrs, x: b.cos(x),
        lambda np, x: np.cos(x),
        lambda b, op, g: b.neg(b.mul(g, b.sin(op.operands[0]))),
        cost=24,
        ulp=ulp_of("cos"),
    ),
    _unary(
        "tanh",
        "The hyperbolic tangent.",
        lambda b, attrs, x: b.tanh(x),
        lambda np, x: np.tanh(x),
        _tanh_grad,
        cost=20,
        ulp=ulp_of("tanh"),
        inverse=lambda b, y: b.mul(b.sub(b.log1p(y), b.log1p(b.neg(y))), 0.5),
    ),
    _unary(
        "sigmoid",
        "1 / (1 + exp(-x)), without overflow.",
        lambda b, attrs, x: b.sigmoid(x),
        _sigmoid,
        _sigmoid_grad,
        cost=22,
        ulp=ulp_of("sigmoid"),
        inverse=lambda b, y: b.sub(b.log(y), b.log1p(b.neg(y))),
    ),
    _unary(
        "erf",
        "The error function.",
        lambda b, attrs, x: b.erf(x),
        _in_double(math.erf),
        _erf_grad,
        cost=30,
        ulp=ulp_of("erf"),
    ),
    _unary(
        "floor",
        "The largest integral number not above x.",
        lambda b, attrs, x: b.floor(x),
        lambda np, x: np.floor(x),
        _STEP,
    ),
    _unary(
        "ceil",
        "The smallest integral number not below x.",
        lambda b, attrs, x: b.ceil(x),
        lambda np, x: np.ceil(x),
        _STEP,
    ),
    _unary(
        "round",
        "The nearest integral number, halves to even.",
        lambda b, attrs, x: b.round(x),
        lambda np, x: np.rint(x),
        _STEP,
    ),
    _unary("trunc", "The integral part of x.", lambda b, attrs, x: b.trunc(x), lambda np, x: np.trunc(x), _STEP),
    _predicate("is_nan", "Whether x is NaN.", lambda b, attrs, x: b.is_nan(x), lambda np, x: np.isnan(x)),
    _predicate(
        "is_finite",
        "Whether x is neither NaN nor infinite.",
        lambda b, attrs, x: b.is_finite(x),
        lambda np, x: np.isfinite(x),
    ),
    _unary(
        "logical_not",
        "The opposite truth value.",
        lambda b, attrs, x: b.logical_not(x),
        lambda np, x: np.logical_not(x),
        "truth values have no gradient",
        allowed=("bool",),
        simplify=simplify_involution,
    ),
)
