"""What an operator may do to one element: the vocabulary of elementwise lowering.

In: nothing but names of element types. Out: `ElementBuilder`, the interface an operator's lowering rule is written
against (``lambda b, x, y: b.add(x, y)``), and `ULP_BOUND`, the declared error of each transcendental function.

Code generation implements the builder with vectors of machine values; an interpreter may implement it with numbers.
Guaranteed of every implementation: a method is a pure function of its element operands, so the same element gives the
same bits in a vector body, in a tail and alone (the sign and payload of a NaN excepted, which no rule here fixes).
Arithmetic is IEEE 754 with rounding to nearest even, subnormals kept, and never reassociated or contracted unless
`fma` asks for it. Integer arithmetic wraps. Nothing traps.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, Protocol

Dtype = Literal["bool", "u8", "i32", "i64", "f32", "f64"]
Predicate = Literal["eq", "ne", "lt", "le", "gt", "ge"]

INTEGER_DTYPES: Final[frozenset[str]] = frozenset({"u8", "i32", "i64"})
FLOAT_DTYPES: Final[frozenset[str]] = frozenset({"f32", "f64"})

ULP_BOUND: Final[Mapping[str, Mapping[str, float]]] = MappingProxyType(
    {
        name: MappingProxyType({"f32": f32, "f64": f64})
        for name, f32, f64 in (
            ("exp", 2.0, 4.0),
            ("expm1", 2.0, 4.0),
            ("log", 2.0, 4.0),
            ("log1p", 2.0, 4.0),
            ("sin", 2.0, 4.0),
            ("cos", 2.0, 4.0),
            ("tanh", 2.5, 4.0),
            ("sigmoid", 2.5, 4.0),
            ("erf", 2.25, 4.0),
            ("pow", 2.0, 4.0),
            ("rsqrt", 1.5, 1.5),
        )
    }
)
"""Largest error of a function in units in the last place of the exact result, by function and element type.

Where the exact result is subnormal the unit is the smallest subnormal. Tests of code generation prove the bounds.
"""


class Element(Protocol):
    """One element of a tensor, or as many of them as a machine vector holds. Opaque but for its type."""

    @property
    def dtype(self) -> Dtype: ...


class ElementBuilder(Protocol):
    """Emits operations on elements. Operands of a binary method share one dtype; a mix is a TypeError.

    "Number" below means u8, i32, i64, f32 or f64; "integer" u8, i32 or i64; "float" f32 or f64.
    """

    # --- sources -----------------------------------------------------------------------------------------------
    def constant(self, dtype: Dtype, value: float) -> Element:
        """The same value in every element: a bool, an int or a float, as `dtype` wants; a float is rounded once."""
        ...

    def index(self, axis: int) -> Element:
        """Position of the element along logical axis `axis` of the kernel, an i64 counted from 0."""
        ...

    # --- arithmetic --------------------------------------------------------------------------------------------
    def add(self, x: Element, y: Element) -> Element: ...
    def sub(self, x: Element, y: Element) -> Element: ...
    def mul(self, x: Element, y: Element) -> Element: ...

    def div(self, x: Element, y: Element) -> Element:
        """True division of floats (x / 0 is an infinity or NaN as IEEE 754 says). Integers: see `floor_div`."""
        ...

    def floor_div(self, x: Element, y: Element) -> Element:
        """Integer quotient rounded down. 0 where y is 0; the least integer over -1 wraps to itself."""
        ...

    def rem(self, x: Element, y: Element) -> Element:
        """Integer remainder with the sign of the divisor, x - y * floor_div(x, y). 0 where y is 0."""
        ...

    def neg(self, x: Element) -> Element:
        """-x of a number. Flips the sign bit of a float, zeros and NaN included."""
        ...

    def abs(self, x: Element) -> Element:
        """|x| of a number. The least integer wraps to itself."""
        ...

    def sign(self, x: Element) -> Element:
        """-1, 0 or 1 in the dtype of x. Keeps a signed zero; NaN for NaN."""
        ...

    def minimum(self, x: Element, y: Element) -> Element:
        """The smaller number; NaN if either is NaN (numpy.minimum). Of two zeros, y."""
        ...

    def maximum(self, x: Element, y: Element) -> Element:
        """The larger number; NaN if either is NaN (numpy.maximum). Of two zeros, y."""
        ...

    def fma(self, x: Element, y: Element, z: Element) -> Element:
        """x * y + z of floats: one rounding where the target's FMA class is fma, two where it is nofma."""
        ...

    def sqrt(self, x: Element) -> Element:
        """Correctly rounded square root; NaN below zero, -0 for -0."""
        ...

    def rsqrt(self, x: Element) -> Element:
        """1 / sqrt(x), as a square root and a division, each correctly rounded."""
        ...

    # --- rounding to integral floats ---------------------------------------------------------------------------
    def floor(self, x: Element) -> Element: ...
    def ceil(self, x: Element) -> Element: ...

    def round(self, x: Element) -> Element:
        """Nearest integral float, halves to even (numpy.rint)."""
        ...

    def trunc(self, x: Element) -> Element: ...

    # --- comparison, choice, logic -----------------------------------------------------------------------------
    def compare(self, predicate: Predicate, x: Element, y: Element) -> Element:
        """A bool. Every predicate but `ne` is false where an operand is NaN; `ne` is true there."""
        ...

    def select(self, condition: Element, x: Element, y: Element) -> Element:
        """x where the bool `condition` holds, else y; any dtype. The value not chosen has no influence."""
        ...

    def logical_and(self, x: Element, y: Element) -> Element: ...
    def logical_or(self, x: Element, y: Element) -> Element: ...
    def logical_xor(self, x: Element, y: Element) -> Element: ...
    def logical_not(self, x: Element) -> Element: ...

    def is_nan(self, x: Element) -> Element: ...

    def is_finite(self, x: Element) -> Element:
        """False for NaN and the infinities."""
        ...

    # --- conversion --------------------------------------------------------------------------------------------
    def cast(self, x: Element, dtype: Dtype) -> Element:
        """Convert the value. To bool: x != 0. Bool to number: 0 or 1. Float to integer: truncated towards zero,
        saturated to the range of `dtype`, NaN to 0. Integer to narrower integer: wraps. To float: rounded to nearest.
        """
        ...

    def bitcast(self, x: Element, dtype: Dtype) -> Element:
        """Reinterpret the bits as another number of the same size (f32 and i32, f64 and i64)."""
        ...

    # --- transcendental functions of floats; errors in ULP_BOUND -----------------------------------------------
    def exp(self, x: Element) -> Element: ...
    def expm1(self, x: Element) -> Element: ...

    def log(self, x: Element) -> Element:
        """Natural logarithm; -inf for a zero, NaN below."""
        ...

    def log1p(self, x: Element) -> Element: ...
    def sin(self, x: Element) -> Element: ...
    def cos(self, x: Element) -> Element: ...
    def tanh(self, x: Element) -> Element: ...

    def sigmoid(self, x: Element) -> Element:
        """1 / (1 + exp(-x)), without overflow and with full relative accuracy for very negative x."""
        ...

    def erf(self, x: Element) -> Element: ...

    def pow(self, x: Element, y: Element) -> Element:
        """x ** y as C's pow defines it: a negative base with an integral exponent has a value, with another is NaN;
        pow(x, 0) and pow(1, y) are 1 even for NaN. Integers: see `power_integer`.
        """
        ...

    def power_integer(self, x: Element, exponent: int) -> Element:
        """x ** exponent for a number and a compile-time exponent, by binary powers (one rounding a product).

        A negative exponent, of floats only, is the reciprocal of the positive power.
        """
        ...

    # --- bits of integers, read as unsigned --------------------------------------------------------------------
    def bit_and(self, x: Element, y: Element) -> Element: ...
    def bit_or(self, x: Element, y: Element) -> Element: ...
    def bit_xor(self, x: Element, y: Element) -> Element: ...

    def shift_left(self, x: Element, count: int) -> Element:
        """Shift by a compile-time count in 0 .. width - 1, zeros entering."""
        ...

    def shift_right(self, x: Element, count: int) -> Element:
        """Logical shift by a compile-time count in 0 .. width - 1, zeros entering."""
        ...

    def mul_high(self, x: Element, y: Element) -> Element:
        """The upper half of the full product of two i32 or two i64 whose bits are read as unsigned."""
        ...

    # --- random numbers ----------------------------------------------------------------------------------------
    def uniform(self, dtype: Dtype, seed: Element, step: Element, row: Element, element: Element, site: int | Element) -> Element:
        """Uniform in [0, 1), a pure function of its arguments; 24 (f32) or 53 (f64) random bits.

        `seed`, `step`, `row` and `element` (position within the row) are i64, of which `step`, `row` count modulo 2**32
        and `element` modulo 2**33; `site` is a 64-bit hash of the layer's parameter-key path, known or as an i64. The f32
        draw is the f64 draw of the same arguments, rounded towards zero to 24 bits.
        """
        ...

    def normal(self, dtype: Dtype, seed: Element, step: Element, row: Element, element: Element, site: int | Element) -> Element:
        """Standard normal, keyed as `uniform` is."""
        ...
