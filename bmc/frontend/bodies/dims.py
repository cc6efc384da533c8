"""Shapes in declarations against shapes of values: unification over integer polynomials.

In: dim expressions, the dims that hyper-parameters and `let`s fix, and the shapes of arguments. Out: what each name stands
for, or
a diagnostic with both sides. Guaranteed: names are solved from the places where they stand alone first, then from
polynomials that are linear in one unknown; each solved name remembers the source that fixed it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bmc.errors import Diagnostic
from bmc.frontend.bodies.provenance import flattened_from
from bmc.frontend.bodies.values import Tensor
from bmc.frontend.errors import type_errors
from bmc.frontend.syntax import tree as syntax
from bmc.ir import Dim, Poly, Shape
from bmc.ir.dims import divide_exact, floor_divide, substitute, symbols
from bmc.record import record, replace
from bmc.source import Span

__all__ = ["DimFact", "Failure", "ShapeSolver"]

_OPEN = "?"  # prefixes the symbols of names that are not solved yet; no name of the language has it


class Failure(Exception):
    """Elaboration of a statement cannot go on. `diagnostic` None: what is wrong has been reported already."""

    def __init__(self, diagnostic: Diagnostic | None = None) -> None:
        super().__init__("" if diagnostic is None else diagnostic.message)
        self.diagnostic = diagnostic


@record(frozen=True)
class DimFact:
    """What a name in a shape stands for, and the source that says so."""

    dim: Dim
    span: Span | None


@record(frozen=True)
class _Equation:
    pattern: syntax.Dim
    dim: Dim
    argument: str
    actual: object
    axis: int
    span: Span
    origin: Span | None


@dataclass(eq=False)
class ShapeSolver:
    """`fixed(name)`: the dim that a hyper-parameter or `let` gives the name, or None."""

    fixed: Callable[[syntax.Name], DimFact | None]
    facts: dict[str, DimFact] = field(default_factory=dict)
    rest: tuple[Shape, tuple[Span | None, ...]] | None = None
    _waiting: list[_Equation] = field(default_factory=list)

    # --- reading dims ----------------------------------------------------------------------------------------------
    def fact(self, name: syntax.Name) -> DimFact | None:
        known = self.facts.get(name.text)
        if known is None:
            known = self.fixed(name)
            if known is not None:
                self.facts[name.text] = known
        return known

    def dim(self, expression: syntax.Dim) -> Dim:
        """The value of a dim expression; names that are not solved yet stand as open symbols."""
        if isinstance(expression, syntax.Integer):
            return expression.value
        if isinstance(expression, syntax.Name):
            fact = self.fact(expression)
            return Poly.symbol(_OPEN + expression.text) if fact is None else fact.dim
        if isinstance(expression, syntax.Unary):
            operand = self.dim(expression.operand)  # type: ignore[arg-type]  # the parser lets only dims stand here
            return -operand if expression.op == "-" else operand
        if isinstance(expression, syntax.Binary):
            left = self.dim(expression.left)  # type: ignore[arg-type]
            right = self.dim(expression.right)  # type: ignore[arg-type]
            return self._combine(expression, left, right)
        raise Failure(type_errors.bad_size(expression.span, "`...` cannot stand inside of a dim"))

    def _combine(self, expression: syntax.Binary, left: Dim, right: Dim) -> Dim:
        operator = expression.op
        if operator == "+":
            return left + right
        if operator == "-":
            return left - right
        if operator == "*":
            return left * right
        if operator == "**" and isinstance(right, int) and 0 <= right <= 16:
            power: Dim = 1
            for _ in range(right):
                power = power * left
            return power
        if operator in ("/", "//", "%"):
            if right == 0:
                raise Failure(type_errors.bad_size(expression.span, "a dim is divided by zero"))
            if operator == "/":
                exact = divide_exact(left, right)
                if exact is None and not _is_open(left) and not _is_open(right):
                    raise Failure(type_errors.bad_dim_division(expression.span, left, right))
                return floor_divide(left, right) if exact is None else exact
            floor = floor_divide(left, right)
            return floor if operator == "//" else left - floor * right
        raise Failure(type_errors.bad_size(expression.span, f"`{operator}` cannot stand in a dim"))

    # --- solving ---------------------------------------------------------------------------------------------------
    def match(
        self, pattern: syntax.TypeExpr, shape: Shape, origins: Sequence[Span | None], argument: str, actual: object, span: Span
    ) -> None:
        """Add the equations `pattern = shape`; those with one name alone are solved at once."""
        dims = pattern.dims or ()
        places = [i for i, d in enumerate(dims) if isinstance(d, syntax.Rest)]
        fixed = len(dims) - len(places)
        if len(shape) < fixed or (not places and len(shape) != fixed) or len(places) > 1:
            raise Failure(type_errors.rank_mismatch(span, argument, actual, pattern.span, pattern.span.text))

        def origin(axis: int) -> Span | None:
            return origins[axis] if axis < len(origins) else None

        axis = 0
        for d in dims:
            if isinstance(d, syntax.Rest):
                count = len(shape) - fixed
                taken = shape[axis : axis + count]
                self._match_rest(d, taken, tuple(origin(axis + i) for i in range(count)), argument, actual, span, axis)
                axis += count
                continue
            equation = _Equation(d, shape[axis], argument, actual, axis, span, origin(axis))
            if isinstance(d, syntax.Name) and self.fact(d) is None:
                self.facts[d.text] = DimFact(shape[axis], origin(axis) or span)
            else:
                self._waiting.append(equation)
            axis += 1

    def _match_rest(
        self,
        pattern: syntax.Rest,
        dims: Shape,
        origins: tuple[Span | None, ...],
        argument: str,
        actual: object,
        span: Span,
        axis: int,
    ) -> None:
        if self.rest is None:
            self.rest = (dims, origins)
            return
        before, before_origins = self.rest
        if before == dims:
            return
        for i, (a, b) in enumerate(zip(before, dims, strict=False)):
            if a != b:
                pairs = [(before_origins[i], f"{a} comes from here"), (origins[i], f"{b} comes from here")]
                raise Failure(type_errors.dim_mismatch(span, argument, actual, axis + i, pattern.span, "`...`", a, b, pairs))
        wanted = f"{len(before)} dims for `...` as before: {', '.join(map(str, before))}"
        found = type_errors.rank_mismatch(span, argument, actual, pattern.span, wanted)
        longer = max(before, dims, key=len)
        if abs(len(before) - len(dims)) == 1 and longer[-1] == 1:
            note = f"[{', '.join(map(str, longer))}] has a last dim of 1 too many: `|> squeeze(-1)` takes it away"
            found = replace(found, notes=(*found.notes, note))
        raise Failure(found)

    def solve(self) -> None:
        """Use the equations collected so far. Raises Failure at the first that does not hold; those that cannot be solved
        yet wait."""
        progress = True
        while progress and self._waiting:
            progress = False
            later: list[_Equation] = []
            for equation in self._waiting:
                value = self.dim(equation.pattern)
                unknown = [s for s in symbols(value) if s.startswith(_OPEN)]
                if not unknown:
                    self._check(equation, value)
                    progress = True
                elif len(unknown) == 1 and self._solve_linear(equation, value, unknown[0]):
                    progress = True
                else:
                    later.append(equation)
            self._waiting = later

    def _solve_linear(self, equation: _Equation, value: Dim, unknown: str) -> bool:
        try:
            at_zero = substitute(value, {unknown: 0})
            slope = substitute(value, {unknown: 1}) - at_zero
            linear = substitute(value, {unknown: 2}) - at_zero == 2 * slope and slope != 0
        except ZeroDivisionError:  # the unknown divides
            return False
        if not linear:
            return False
        solution = divide_exact(equation.dim - at_zero, slope)
        if solution is None:
            self._mismatch(equation, value)
        else:
            self.facts[unknown.removeprefix(_OPEN)] = DimFact(solution, equation.origin or equation.span)
        return True

    def _check(self, equation: _Equation, value: Dim) -> None:
        if value != equation.dim:
            self._mismatch(equation, value)

    def _mismatch(self, equation: _Equation, value: Dim) -> None:
        pairs: list[tuple[Span | None, str]] = []
        for name in _names(equation.pattern):
            fact = self.facts.get(name)
            if fact is not None:
                pairs.append((fact.span, f"{name} = {fact.dim} comes from here"))
        pairs.append((equation.origin, f"{equation.dim} comes from here"))
        shown = str(value).replace(_OPEN, "")
        flat = flattened_from(equation.actual) if isinstance(equation.actual, Tensor) and equation.axis == 1 else None
        if flat is not None:
            pairs.append((equation.pattern.span, f"`{equation.argument}` wants {shown} here"))
            raise Failure(type_errors.flatten_size(equation.span, flat, equation.dim, shown, pairs))
        raise Failure(
            type_errors.dim_mismatch(
                equation.span,
                equation.argument,
                equation.actual,
                equation.axis,
                equation.pattern.span,
                equation.pattern.span.text,
                shown,
                equation.dim,
                pairs,
            )
        )

    # --- results ---------------------------------------------------------------------------------------------------
    def shape(self, pattern: syntax.TypeExpr) -> tuple[Shape, tuple[Span | None, ...]] | None:
        """The shape that a pattern stands for now and the origin of each dim; None while a name in it is open."""
        dims: list[Dim] = []
        origins: list[Span | None] = []
        for d in pattern.dims or ():
            if isinstance(d, syntax.Rest):
                if self.rest is None:
                    return None
                dims.extend(self.rest[0])
                origins.extend(self.rest[1])
                continue
            value = self.dim(d)
            if _is_open(value):
                return None
            if isinstance(value, int) and value < 0:
                raise Failure(type_errors.bad_size(d.span, f"this dim is {value}"))
            dims.append(value)
            names = _names(d)
            fact = self.facts.get(names[0]) if len(names) == 1 and isinstance(d, syntax.Name) else None
            origins.append(fact.span if fact is not None and fact.span is not None else d.span)
        return tuple(dims), tuple(origins)

    def require(self, pattern: syntax.TypeExpr, span: Span) -> tuple[Shape, tuple[Span | None, ...]]:
        """As `shape`, but a name that is open is an error."""
        found = self.shape(pattern)
        if found is not None:
            return found
        for d in pattern.dims or ():
            for name in ["..."] if isinstance(d, syntax.Rest) else _names(d):
                if (name == "..." and self.rest is None) or (name != "..." and name not in self.facts):
                    raise Failure(type_errors.unsolved_dim(span, name, d.span))
        raise Failure(type_errors.unsolved_dim(span, pattern.span.text, pattern.span))


def _is_open(dim: Dim) -> bool:
    return any(s.startswith(_OPEN) for s in symbols(dim))


def _names(expression: syntax.Expr | syntax.Dim) -> list[str]:
    if isinstance(expression, syntax.Name):
        return [expression.text]
    if isinstance(expression, syntax.Unary):
        return _names(expression.operand)
    if isinstance(expression, syntax.Binary):
        return _names(expression.left) + [n for n in _names(expression.right) if n not in _names(expression.left)]
    return []
