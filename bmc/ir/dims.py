"""Dims of shapes: integers and integer polynomials over symbols, with floor division as an opaque atom.

A dim is an `int` where it is known and a `Poly` where it is not; arithmetic on `Poly` returns an `int` whenever the result
is constant, so that known shapes stay plain tuples of integers. Polynomials are kept in one canonical form: equal
polynomials compare and hash equal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

__all__ = [
    "Atom",
    "Dim",
    "FloorDiv",
    "Poly",
    "Shape",
    "Symbol",
    "divide_exact",
    "evaluate",
    "floor_divide",
    "product",
    "substitute",
    "symbols",
]


@dataclass(frozen=True)
class Symbol:
    """A dim whose value is known only at run time, or a rigid name while a model is checked."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class FloorDiv:
    """`numerator // denominator` that does not simplify."""

    numerator: Dim
    denominator: Dim

    def __str__(self) -> str:
        return f"({self.numerator}) // ({self.denominator})"


Atom = Symbol | FloorDiv
Monomial = tuple[tuple[Atom, int], ...]


def _atom_key(atom: Atom) -> tuple[int, str]:
    return (0, atom.name) if isinstance(atom, Symbol) else (1, str(atom))


@dataclass(frozen=True)
class Poly:
    """A polynomial that is not constant: sorted (monomial, coefficient) pairs, no zero coefficients."""

    terms: tuple[tuple[Monomial, int], ...]

    @staticmethod
    def symbol(name: str) -> Poly:
        return Poly(((((Symbol(name), 1),), 1),))

    def __add__(self, other: Dim) -> Dim:
        merged = dict(self.terms)
        for monomial, coefficient in _terms(other):
            merged[monomial] = merged.get(monomial, 0) + coefficient
        return _normal(merged)

    __radd__ = __add__

    def __neg__(self) -> Dim:
        return _normal({m: -c for m, c in self.terms})

    def __sub__(self, other: Dim) -> Dim:
        return self + -other

    def __rsub__(self, other: Dim) -> Dim:
        return -self + other

    def __mul__(self, other: Dim) -> Dim:
        merged: dict[Monomial, int] = {}
        for left, a in self.terms:
            for right, b in _terms(other):
                powers = dict(left)
                for atom, power in right:
                    powers[atom] = powers.get(atom, 0) + power
                monomial = tuple(sorted(powers.items(), key=lambda item: _atom_key(item[0])))
                merged[monomial] = merged.get(monomial, 0) + a * b
        return _normal(merged)

    __rmul__ = __mul__

    def __str__(self) -> str:
        parts: list[str] = []
        for monomial, coefficient in self.terms:
            factors = [f"({a})" if isinstance(a, FloorDiv) else str(a) for a, power in monomial for _ in range(power)]
            if abs(coefficient) != 1 or not factors:
                factors.insert(0, str(abs(coefficient)))
            sign = "-" if coefficient < 0 else "+"
            parts.append(("" if sign == "+" else "-") + "*".join(factors) if not parts else f" {sign} " + "*".join(factors))
        return "".join(parts)

    __repr__ = __str__


Dim = int | Poly
Shape = tuple[Dim, ...]


def _terms(dim: Dim) -> tuple[tuple[Monomial, int], ...]:
    return dim.terms if isinstance(dim, Poly) else (((), dim),)


def _order(item: tuple[Monomial, int]) -> tuple[int, tuple[tuple[tuple[int, str], int], ...]]:
    monomial, _ = item
    return -sum(p for _, p in monomial), tuple((_atom_key(a), p) for a, p in monomial)


def _normal(terms: Mapping[Monomial, int]) -> Dim:
    kept = sorted(((m, c) for m, c in terms.items() if c), key=_order)
    if not kept:
        return 0
    if len(kept) == 1 and not kept[0][0]:
        return kept[0][1]
    return Poly(tuple(kept))


def product(dims: Iterable[Dim]) -> Dim:
    """The number of elements of a shape; 1 for rank 0."""
    total: Dim = 1
    for dim in dims:
        total = total * dim
    return total


def symbols(dim: Dim) -> frozenset[str]:
    """Names of the symbols in a dim, those inside floor divisions included."""
    if isinstance(dim, int):
        return frozenset()
    names: set[str] = set()
    for monomial, _ in dim.terms:
        for atom, _ in monomial:
            if isinstance(atom, Symbol):
                names.add(atom.name)
            else:
                names |= symbols(atom.numerator) | symbols(atom.denominator)
    return frozenset(names)


def substitute(dim: Dim, bindings: Mapping[str, Dim]) -> Dim:
    """`dim` with symbols replaced; symbols without a binding stay."""
    if isinstance(dim, int):
        return dim
    total: Dim = 0
    for monomial, coefficient in dim.terms:
        value: Dim = coefficient
        for atom, power in monomial:
            if isinstance(atom, Symbol):
                base: Dim = bindings.get(atom.name, Poly((((((atom, 1),)), 1),)))
            else:
                base = floor_divide(substitute(atom.numerator, bindings), substitute(atom.denominator, bindings))
            for _ in range(power):
                value = value * base
        total = total + value
    return total


def evaluate(dim: Dim, bindings: Mapping[str, int]) -> int:
    """The value of a dim; KeyError names a symbol without a binding."""
    value = substitute(dim, dict(bindings))
    if not isinstance(value, int):
        raise KeyError(", ".join(sorted(symbols(value))))
    return value


def divide_exact(numerator: Dim, denominator: Dim) -> Dim | None:
    """The quotient when `denominator` (an integer or one monomial) divides every term, else None."""
    if denominator == 0:
        return None
    divisor = _terms(denominator)
    if numerator == denominator:
        return 1
    if len(divisor) != 1:
        return None
    [(atoms, factor)] = divisor
    quotient: dict[Monomial, int] = {}
    for monomial, coefficient in _terms(numerator):
        powers = dict(monomial)
        for atom, power in atoms:
            powers[atom] = powers.get(atom, 0) - power
            if powers[atom] < 0:
                return None
        if coefficient % factor:
            return None
        rest = tuple(sorted(((a, p) for a, p in powers.items() if p), key=lambda item: _atom_key(item[0])))
        quotient[rest] = coefficient // factor
    return _normal(quotient)


def floor_divide(numerator: Dim, denominator: Dim) -> Dim:
    """`numerator // denominator`, exact where it divides. ZeroDivisionError for a zero denominator."""
    if denominator == 0:
        raise ZeroDivisionError("floor division of a dim by zero")
    if isinstance(numerator, int) and isinstance(denominator, int):
        return numerator // denominator
    exact = divide_exact(numerator, denominator)
    if exact is not None:
        return exact
    return Poly((((((FloorDiv(numerator, denominator), 1),)), 1),))
