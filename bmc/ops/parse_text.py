"""Reads IR text: the other half of `bmc.ir.text`. It lives here, and not beside the printer, since attributes have
operators' classes.

In: a `.bmir` file. Out: its `Module`. Guaranteed: whatever the text, either a module or BmcError, whose diagnostics
have spans in it: never another exception, and time linear in the text. A value is defined before it is used,
attributes have the operator's fields with values of the declared kinds; whether the *types* fit is the verifier's
question, since it asks it after every pass anyway. Locations are those that the text states; a text without a table
of locations is its own source: each operation's location is where it stands in the text.
"""

from __future__ import annotations

import inspect
import struct
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields
from functools import cache
from typing import Any, Final, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

from bmc.errors import BmcError, Diagnostic
from bmc.errors.nearest_name import nearest
from bmc.ir import (
    NOWHERE,
    Dim,
    FloorDiv,
    Function,
    Location,
    Module,
    Operation,
    Parameter,
    Poly,
    Region,
    Result,
    TensorType,
    Value,
    dims,
    text_errors,
)
from bmc.ir.graph import ParameterRole
from bmc.ir.text_locations import LocationReader, PositionsTooLarge
from bmc.ir.text_syntax import Token, read_form, tokenize, unquoted
from bmc.ir.types import DTYPES
from bmc.ops.table import operators
from bmc.source import SourceFile, Span

__all__ = ["parse_module"]

_ROLES: Final = get_args(ParameterRole)
_MAX_DIGITS: Final = 20
_MAX_TERMS: Final = 256
_MAX_DEGREE: Final = 64
_MAX_DIVISIONS: Final = 8
_MAX_DIAGNOSTICS: Final = 20
_UNKNOWN: Final = TensorType("f32", ())


def parse_module(file: SourceFile, sources: Mapping[str, SourceFile] | None = None) -> Module:
    """The module that `file` holds. `sources`: the texts that its locations speak of, by name, as far as at hand.

    Raises BmcError.
    """
    reader = _Reader(file, sources or {})
    module = read_form(file, reader.actions())
    if reader.diagnostics:
        raise BmcError(reader.diagnostics)
    assert isinstance(module, Module)
    return module


class _Attribute(NamedTuple):
    name: Token
    value: object


class _Scope:
    """The values that a function or region has defined so far, and where."""

    def __init__(self) -> None:
        self.values: dict[str, Value] = {}
        self.where: dict[str, Token] = {}


def _depth(dim: Dim) -> int:
    """How deep floor divisions nest."""
    if isinstance(dim, int):
        return 0
    inner = [atom for monomial, _ in dim.terms for atom, _ in monomial if isinstance(atom, FloorDiv)]
    return max((1 + max(_depth(a.numerator), _depth(a.denominator)) for a in inner), default=0)


def _size(dim: Dim) -> tuple[int, int]:
    """(terms, degree)"""
    if isinstance(dim, int):
        return 1, 0
    return len(dim.terms), max(sum(power for _, power in monomial) for monomial, _ in dim.terms)


def _fits(value: object, kind: Any) -> bool:
    """Whether an attribute's value is of the declared kind. An integer may stand for a float, since constants keep
    exact integers.
    """
    origin, args = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return any(_fits(value, choice) for choice in args)
    if origin is Literal:
        return value in args and type(value) is str
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        if len(args) == 2 and args[1] is Ellipsis:
            return all(_fits(item, args[0]) for item in value)
        return len(value) == len(args) and all(map(_fits, value, args))
    if kind is float:
        return isinstance(value, (int, float))
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if kind is type(None):
        return value is None
    return kind in (bool, str, Poly) and isinstance(value, kind)


def _kind_text(kind: Any) -> str:
    return inspect.formatannotation(kind).replace("bmc.ir.dims.Poly", "dim")


class _Field(NamedTuple):
    kind: Any
    required: bool


@cache
def _fields(attrs: type) -> Mapping[str, _Field]:
    hints = get_type_hints(attrs)
    return {f.name: _Field(hints[f.name], f.default is MISSING and f.default_factory is MISSING) for f in fields(attrs)}


class _Reader:
    """The actions of bmir.lark. They run in the order of the text, innermost first."""

    def __init__(self, file: SourceFile, sources: Mapping[str, SourceFile]) -> None:
        self._file = file
        self._sources = sources
        self._locations: LocationReader | None = None
        self._scopes: list[_Scope] = []
        self._actions: dict[str, Callable[[list[Any]], Any]] = {}
        self._types: dict[str, TensorType] = {}
        self.diagnostics: list[Diagnostic] = []

    def actions(self) -> Mapping[str, Callable[[list[Any]], Any]]:
        if not self._actions:
            self._actions = {n.removeprefix("on_"): m for n, m in inspect.getmembers(self, callable) if n.startswith("on_")}
        return self._actions

    def _span(self, token: Token) -> Span:
        return Span(self._file, token.start, token.end)

    def _report(self, diagnostic: Diagnostic) -> None:
        self.diagnostics.append(diagnostic)
        if len(self.diagnostics) >= _MAX_DIAGNOSTICS:
            raise BmcError(self.diagnostics)

    # Values

    def _define(self, token: Token, type_: TensorType) -> Value:
        scope = self._scopes[-1]
        if token.text in scope.where:
            self._report(text_errors.defined_twice(self._span(token), self._span(scope.where[token.text])))
        value = scope.values[token.text] = Value(type_, token.text[1:])
        scope.where[token.text] = token
        return value

    def _use(self, token: Token) -> Value:
        value = self._scopes[-1].values.get(token.text)
        if value is None:
            self._report(text_errors.undefined(self._span(token)))
            return Value(_UNKNOWN)
        return value

    # Modules and functions

    def on_module(self, children: list[Any]) -> Module:
        return Module(tuple(children[1]))

    def on_no_locations(self, children: list[Any]) -> None:
        return None

    def on_file(self, children: list[Any]) -> tuple[int, str]:
        number, _, name = children
        return self._integer(number), self._string(name)

    def on_locations(self, children: list[Any]) -> None:
        texts = {token.text for token in tokenize(self._file) if token.kind == "LOCATION"}
        try:
            self._locations = LocationReader(texts, dict(children[2]), self._sources)
        except PositionsTooLarge:
            raise BmcError(text_errors.positions_too_large(self._span(children[0]))) from None
        except KeyError as missing:
            raise BmcError(text_errors.unknown_file(self._span(children[0]), missing.args[0])) from None

    def on_function_head(self, children: list[Any]) -> tuple[Token, str | None]:
        self._scopes.append(_Scope())
        return children[1], None

    def on_function_head_rows(self, children: list[Any]) -> tuple[Token, str | None]:
        self._scopes.append(_Scope())
        return children[1], children[3].text

    def on_function(self, children: list[Any]) -> Function:
        (name, row), params, operations, results, _ = children
        self._scopes.pop()
        return Function(self._string(name), tuple(params), tuple(operations), tuple(results), row)

    def on_param(self, children: list[Any]) -> Parameter:
        _, name, _, type_, _, role, key = children
        if role.text not in _ROLES:
            self._report(text_errors.unknown_role(self._span(role), _ROLES))
        return Parameter(self._define(name, type_), role.text, self._string(key))

    def on_result(self, children: list[Any]) -> Result:
        role, key, _, value = children
        return Result(self._use(value), role.text, self._string(key))

    # Operations

    def on_operand(self, children: list[Any]) -> Value:
        return self._use(children[0])

    def on_attribute(self, children: list[Any]) -> _Attribute:
        return _Attribute(children[0], children[2])

    def on_operation(self, children: list[Any]) -> Operation:
        targets, _, name, _, arguments, close, _, types_, location, regions = children
        if len(targets) != len(types_):
            reason = f"{len(targets)} results have {len(types_)} types"
            self._report(text_errors.wrong_attributes(self._span(name), name.text, reason))
        operands = tuple(a for a in arguments if isinstance(a, Value))
        attrs = self._attributes(name, [a for a in arguments if isinstance(a, _Attribute)])
        results = tuple(self._define(token, type_) for token, type_ in zip(targets, types_, strict=False))
        where = self._location(location, targets[0], close)
        return Operation(name.text, operands, attrs, results, tuple(regions), where)

    def on_operation_without_results(self, children: list[Any]) -> Operation:
        name, _, arguments, close, location, regions = children
        operands = tuple(a for a in arguments if isinstance(a, Value))
        attrs = self._attributes(name, [a for a in arguments if isinstance(a, _Attribute)])
        return Operation(name.text, operands, attrs, (), tuple(regions), self._location(location, name, close))

    def _location(self, token: Token | None, first: Token, last: Token) -> Location:
        if self._locations is None:
            if token is not None:
                self._report(text_errors.unknown_file(self._span(token), 0))
            return Location((Span(self._file, first.start, last.end),))
        return NOWHERE if token is None else self._locations.location(token.text)

    def _attributes(self, name: Token, given: Sequence[_Attribute]) -> object:
        record = operators().get(name.text)
        if record is None:
            self._report(text_errors.no_operator(self._span(name), nearest(name.text, operators())))
            return None
        known = _fields(record.attrs)
        values: dict[str, object] = {}
        wrong = len(self.diagnostics)
        for token, value in given:
            field = known.get(token.text)
            if field is None:
                self._report(text_errors.unknown_attribute(self._span(token), name.text, known))
            elif token.text in values:
                self._report(text_errors.wrong_attributes(self._span(token), name.text, f"`{token.text}` is given twice"))
            elif not _fits(value, field.kind):
                wanted = _kind_text(field.kind)
                self._report(text_errors.bad_attribute(self._span(token), name.text, token.text, wanted))
            values[token.text] = value
        if missing := [n for n, field in known.items() if field.required and n not in values]:
            self._report(text_errors.missing_attribute(self._span(name), name.text, missing))
        if len(self.diagnostics) > wrong:
            return None
        try:
            return record.attrs(**values)
        except (TypeError, ValueError) as e:  # what an attribute class itself asks for
            self._report(text_errors.wrong_attributes(self._span(name), name.text, str(e)))
            return None

    # Regions

    def on_region_param(self, children: list[Any]) -> tuple[Token, TensorType]:
        return children[0], children[2]

    def on_region_head(self, children: list[Any]) -> tuple[Value, ...]:
        self._scopes.append(_Scope())
        return tuple(self._define(token, type_) for token, type_ in children[2])

    def on_region(self, children: list[Any]) -> Region:
        params, operations, _, yielded, _ = children
        results = tuple(map(self._use, yielded))
        self._scopes.pop()
        return Region(params, tuple(operations), results)

    # Lists

    def on_nothing(self, children: list[Any]) -> None:
        """An optional part that is absent; the value `none`."""
        return None

    def on_location(self, children: list[Any]) -> Token:
        token: Token = children[0]
        return token

    def on_sequence(self, children: list[Any]) -> Sequence[Any]:
        """The list of an optional list; `[]`."""
        return children[0] if len(children) == 1 else ()

    def on_items(self, children: list[Any]) -> tuple[Any, ...]:
        return tuple(children[1])

    # Types

    def _shaped(self, dtype: Token, shape: tuple[Dim, ...]) -> TensorType:
        if dtype.text not in DTYPES:
            self._report(text_errors.unknown_dtype(self._span(dtype), DTYPES))
            return _UNKNOWN
        return TensorType(dtype.text, shape)

    def on_type_(self, children: list[Any]) -> TensorType:
        token: Token = children[0]
        known = self._types.get(token.text)
        if known is None:
            known = self._types[token.text] = read_form(self._file, self.actions(), token)
        return known

    def on_type_scalar(self, children: list[Any]) -> TensorType:
        return self._shaped(children[1], ())

    def on_type_shaped(self, children: list[Any]) -> TensorType:
        return self._shaped(children[1], tuple(children[3]))

    # Numbers and strings

    def _integer(self, token: Token) -> int:
        if len(token.text) > _MAX_DIGITS:
            raise BmcError(text_errors.too_large(self._span(token), f"an integer has more than {_MAX_DIGITS} digits"))
        return int(token.text)

    def _string(self, token: Token) -> str:
        text = unquoted(token.text)
        if text is None:
            self._report(text_errors.bad_string(self._span(token)))
            return ""
        return text

    def on_string(self, children: list[Any]) -> str:
        return self._string(children[0])

    def on_float_(self, children: list[Any]) -> float:
        text: str = children[0].text
        if text.startswith("nan:"):
            (number,) = struct.unpack(">d", int(text[6:], 16).to_bytes(8, "big"))
            assert isinstance(number, float)
            return number
        return float(text)

    def on_negative_float(self, children: list[Any]) -> float:
        return -self.on_float_(children[1:])

    def on_true(self, children: list[Any]) -> bool:
        return True

    def on_false(self, children: list[Any]) -> bool:
        return False

    # Dims

    def _bounded(self, operator: Token, terms: int, degree: int) -> None:
        if terms > _MAX_TERMS or degree > _MAX_DEGREE:
            what = f"a dim has more than {_MAX_TERMS} terms or a degree above {_MAX_DEGREE}"
            raise BmcError(text_errors.too_large(self._span(operator), what))

    def on_integer(self, children: list[Any]) -> Dim:
        return self._integer(children[0])

    def on_symbol(self, children: list[Any]) -> Dim:
        return _symbol(children[0].text)

    def on_parenthesised(self, children: list[Any]) -> Dim:
        dim: Dim = children[1]
        return dim

    def on_negate(self, children: list[Any]) -> Dim:
        dim: Dim = children[1]
        return -dim

    def on_add(self, children: list[Any]) -> Dim:
        left, operator, right = children
        self._bounded(operator, _size(left)[0] + _size(right)[0], 0)
        total: Dim = left + right
        return total

    def on_subtract(self, children: list[Any]) -> Dim:
        return self.on_add([children[0], children[1], -children[2]])

    def on_multiply(self, children: list[Any]) -> Dim:
        left, operator, right = children
        (terms, degree), (more_terms, more_degree) = _size(left), _size(right)
        self._bounded(operator, terms * more_terms, degree + more_degree)
        total: Dim = left * right
        return total

    def on_floor_divide(self, children: list[Any]) -> Dim:
        left, operator, right = children
        if right == 0:
            raise BmcError(text_errors.too_large(self._span(operator), "a dim is divided by zero"))
        if max(_depth(left), _depth(right)) >= _MAX_DIVISIONS:
            what = f"floor divisions nest more than {_MAX_DIVISIONS} deep"
            raise BmcError(text_errors.too_large(self._span(operator), what))
        return dims.floor_divide(left, right)


@cache
def _symbol(name: str) -> Poly:
    return Poly.symbol(name)
