"""Evaluation of polynomials, and sums and products of two floats with their rounding errors."""

from __future__ import annotations

from collections.abc import Sequence

from bmc.codegen.lanes import Lanes
from bmc.codegen.value import Value


def evaluate(b: Lanes, x: Value, coefficients: Sequence[float], square: Value) -> Value:
    """c[0] + c[1] x + c[2] x^2 + ... with x^2 given: Horner's rule in x^2 over the pairs c[2i] + c[2i+1] x.

    As many operations as Horner's rule in x, in chains of half the length: loops are bound by the length of chains.
    """
    pairs = [_pair(b, x, coefficients[i : i + 2]) for i in range(0, len(coefficients), 2)]
    total = pairs[-1]
    for pair in reversed(pairs[:-1]):
        total = b.fma(total, square, pair)
    return total


def _pair(b: Lanes, x: Value, coefficients: Sequence[float]) -> Value:
    low = b.constant(x.dtype, coefficients[0])
    return low if len(coefficients) == 1 else b.fma(b.constant(x.dtype, coefficients[1]), x, low)


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
