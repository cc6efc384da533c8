"""Evaluation of polynomials, and sums and products of two floats with their rounding errors."""

from __future__ import annotations

from collections.abc import Sequence

from bmc.codegen.lanes import Lanes
from bmc.codegen.value import Value


def horner(b: Lanes, x: Value, coefficients: Sequence[float]) -> Value:
    """c[0] + c[1] x + c[2] x^2 + ..., by Horner's rule: one fma a coefficient, the fewest instructions there are."""
    total = b.constant(x.dtype, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        total = b.fma(total, x, b.constant(x.dtype, coefficient))
    return total


def two_sum(b: Lanes, x: Value, y: Value) -> tuple[Value, Value]:
    """(s, e) with s = fl(x + y) and s + e = x + y exactly (Knuth)."""
    total = b.add(x, y)
    y_part = b.sub(total, x)
    x_part = b.sub(total, y_part)
    return total, b.add(b.sub(x, x_part), b.sub(y, y_part))


def fast_two_sum(b: Lanes, x: Value, y: Value) -> tuple[Value, Value]:
    """As `two_sum`, where |x| >= |y| or x = 0 (Dekker)."""
    total = b.add(x, y)
    return total, b.sub(y, b.sub(total, x))


def two_product(b: Lanes, x: Value, y: Value) -> tuple[Value, Value]:
    """(p, e) with p = fl(x y) and p + e = x y exactly, barring overflow and underflow. f64 only.

    One fma where the target fuses; else Dekker's product of halves, with Veltkamp's splitter 2^27 + 1.
    """
    product = b.mul(x, y)
    if b.fused:
        return product, b.fma(x, y, b.neg(product))
    x_high, x_low = _halves(b, x)
    y_high, y_low = _halves(b, y)
    error = b.sub(b.mul(x_high, y_high), product)
    error = b.add(error, b.mul(x_high, y_low))
    error = b.add(error, b.mul(x_low, y_high))
    return product, b.add(error, b.mul(x_low, y_low))


def _halves(b: Lanes, x: Value) -> tuple[Value, Value]:
    scaled = b.mul(x, b.constant("f64", 134217729.0))
    high = b.sub(scaled, b.sub(scaled, x))
    return high, b.sub(x, high)
