"""Sizes in bytes as polynomials in the free dims: alignment, comparison, and the form in which plans hold them.

Comparisons are proofs: they hold for every value of the free dims that is not negative, or the answer is no.
"""

from __future__ import annotations

from fractions import Fraction

from bmc.errors import CompilerBug
from bmc.ir import Dim, FloorDiv, Poly, Symbol, TensorType
from bmc.ir.dims import floor_divide
from bmc.ir.types import ITEM_BYTES
from bmc_runtime.plan import DimExpression

__all__ = ["ALIGNMENT", "aligned", "at_most", "bytes_of", "cell_bytes", "expression_of", "parse_expression"]

ALIGNMENT = 64

TEXT_VIEW_BYTES = 16
"""A cell of text is an address and a length."""


def cell_bytes(dtype: str) -> int:
    return TEXT_VIEW_BYTES if dtype == "str" else ITEM_BYTES[dtype]


def bytes_of(kind: TensorType) -> Dim:
    return kind.elements * cell_bytes(kind.dtype)


def aligned(size: Dim) -> Dim:
    """The least multiple of ALIGNMENT that is not below `size`."""
    return floor_divide(size + (ALIGNMENT - 1), ALIGNMENT) * ALIGNMENT if not _divides(size) else size


def _divides(size: Dim) -> bool:
    """Whether every coefficient is a multiple of the alignment, so that no rounding is needed."""
    if isinstance(size, int):
        return size % ALIGNMENT == 0
    return all(coefficient % ALIGNMENT == 0 for _, coefficient in size.terms)


Linear = dict[tuple[tuple[Symbol | FloorDiv, int], ...], Fraction]


def at_most(a: Dim, b: Dim) -> bool:
    """Whether a <= b is provable. Symbols and quotients are not negative; a quotient by an integer lies within one of
    the exact one: (x - d + 1) / d <= x // d <= x / d.
    """
    if a == b:
        return True
    if isinstance(a, int) and isinstance(b, int):
        return a <= b
    if _quotients_at_most(a, b):
        return True
    difference = {m: Fraction(c) for m, c in _terms(b)}
    for monomial, coefficient in _terms(a):
        difference[monomial] = difference.get(monomial, Fraction(0)) - coefficient
    if _not_negative(difference):
        return True
    if _not_negative(_bounded_below(difference)):
        return True
    # One level after the other, so that quotients that stand in others can cancel before they are bounded.
    while level := max((_level(quotient) for monomial in difference if (quotient := _alone(monomial)) is not None), default=0):
        difference = _bounded_below(difference, level)
        if _not_negative(difference):
            return True
    return False


def _quotients_at_most(a: Dim, b: Dim) -> bool:
    """k * (x // d) <= k * (y // d) where x <= y."""
    if not (isinstance(a, Poly) and isinstance(b, Poly) and len(a.terms) == len(b.terms) == 1):
        return False
    [(left, k)], [(right, same)] = a.terms, b.terms
    if k != same or k < 0 or len(left) != 1 or len(right) != 1 or left[0][1] != 1 or right[0][1] != 1:
        return False
    x, y = left[0][0], right[0][0]
    if not (isinstance(x, FloorDiv) and isinstance(y, FloorDiv) and x.denominator == y.denominator):
        return False
    return isinstance(x.denominator, int) and x.denominator > 0 and at_most(x.numerator, y.numerator)


def _terms(dim: Dim) -> tuple[tuple[tuple[tuple[Symbol | FloorDiv, int], ...], int], ...]:
    return dim.terms if isinstance(dim, Poly) else (((), dim),)


def _not_negative(terms: Linear) -> bool:
    return all(coefficient >= 0 for coefficient in terms.values())


def _alone(monomial: tuple[tuple[Symbol | FloorDiv, int], ...]) -> FloorDiv | None:
    """The quotient by an integer that a monomial is, if it is one."""
    quotient = monomial[0][0] if len(monomial) == 1 and monomial[0][1] == 1 else None
    by_integer = isinstance(quotient, FloorDiv) and isinstance(quotient.denominator, int) and quotient.denominator > 0
    return quotient if isinstance(quotient, FloorDiv) and by_integer else None


def _level(quotient: FloorDiv) -> int:
    """1 for a quotient that no other stands in."""
    inside = (atom for monomial, _ in _terms(quotient.numerator) for atom, _ in monomial)
    return 1 + max((_level(atom) for atom in inside if isinstance(atom, FloorDiv)), default=0)


def _bounded_below(terms: Linear, level: int | None = None) -> Linear:
    """A lower bound without quotients, or those of one level, where they stand alone in a term."""
    result: Linear = {}

    def put(monomial: tuple[tuple[Symbol | FloorDiv, int], ...], coefficient: Fraction) -> None:
        result[monomial] = result.get(monomial, Fraction(0)) + coefficient

    for monomial, coefficient in terms.items():
        quotient = _alone(monomial)
        if quotient is not None and level in (None, _level(quotient)):
            assert isinstance(quotient.denominator, int)
            share = coefficient / quotient.denominator
            for inner, factor in _terms(quotient.numerator):
                put(inner, share * factor)
            if coefficient > 0:
                put((), -share * (quotient.denominator - 1))
        else:
            put(monomial, coefficient)
    return result


def expression_of(dim: Dim) -> DimExpression:
    """The prefix form of plans."""
    if isinstance(dim, int):
        return dim
    terms: list[DimExpression] = []
    for monomial, coefficient in dim.terms:
        factors: list[DimExpression] = [] if coefficient == 1 and monomial else [coefficient]
        for atom, power in monomial:
            form: DimExpression = atom.name if isinstance(atom, Symbol) else _quotient(atom)
            factors.extend([form] * power)
        terms.append(factors[0] if len(factors) == 1 else ["*", *factors])
    return terms[0] if len(terms) == 1 else ["+", *terms]


def _quotient(atom: FloorDiv) -> DimExpression:
    return ["//", expression_of(atom.numerator), expression_of(atom.denominator)]


def parse_expression(expression: DimExpression) -> Dim:
    """The polynomial of a prefix form: the reverse of `expression_of`."""
    if isinstance(expression, int):
        return expression
    if isinstance(expression, str):
        return Poly.symbol(expression)
    operator, *rest = expression
    values = [parse_expression(item) for item in rest]
    if operator == "+":
        total: Dim = 0
        for value in values:
            total = total + value
        return total
    if operator == "*":
        result: Dim = 1
        for value in values:
            result = result * value
        return result
    if operator == "//":
        return floor_divide(values[0], values[1])
    raise CompilerBug("plan_memory", f"a plan has the dim expression {expression!r}")
