"""Expressions: syntax to static values and tensors.

In: an expression and the names around it. Out: its value. Guaranteed: operands are evaluated left to right; the operations
of an
expression carry its span; `and` and `or` leave the right side alone where the left side, static, decides.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from bmc.frontend.bodies import arithmetic
from bmc.frontend.bodies.core import Core
from bmc.frontend.bodies.dims import Failure
from bmc.frontend.bodies.indexing import index_tensor
from bmc.frontend.bodies.primitive import Primitive
from bmc.frontend.bodies.values import (
    Bound,
    Closure,
    Constructed,
    Datum,
    Environment,
    KeyedItem,
    LayerInstance,
    ListValue,
    Namespace,
    Poison,
    Special,
    Tensor,
    TupleValue,
    describe,
)
from bmc.frontend.errors import layer_errors, name_errors, type_errors
from bmc.frontend.errors.foreign import FOREIGN_MODULES
from bmc.frontend.primitives import primitives
from bmc.frontend.syntax import tree as syntax
from bmc.record import replace
from bmc.source import Span

if TYPE_CHECKING:
    from bmc.frontend.scope import FileScope

__all__ = ["CONSTANTS", "Expressions"]

CONSTANTS: Mapping[str, Datum] = MappingProxyType(
    {"pi": math.pi, "inf": math.inf, "nan": math.nan, "frozen": Special("frozen"), "fresh": Special("fresh")}
)


class Expressions(Core):
    """`evaluate` and name look-up."""

    def find(self, name: syntax.Name, env: Environment) -> Bound | None:
        text = name.text
        bound = env.names.get(text)
        if bound is not None:
            if bound.hidden:
                spaces = [b.value.name for b in env.names.values() if isinstance(b.value, Namespace) and text in b.value.members]
                raise Failure(name_errors.ambiguous_output(name.span, text, *([*spaces, "?", "?"])[:2]))
            return bound
        if text == "training":
            return Bound(self.training, name.span)
        found = self.program.resolve(env.scope, text)
        if found is not None:
            scope, declaration = found
            if isinstance(declaration, syntax.Let):
                return self.constant(scope, declaration)
            return Bound(Closure(declaration, scope), declaration.name.span)
        primitive = primitives().get(text)
        if primitive is not None:
            return Bound(primitive, name.span)
        if text in CONSTANTS:
            return Bound(CONSTANTS[text], name.span)
        return None

    def candidates(self, env: Environment) -> list[str]:
        own = [name for name, bound in env.names.items() if not isinstance(bound.value, Poison)]
        return [*own, *self.program.names(env.scope), *primitives(), *CONSTANTS, "training"]

    def constant(self, scope: FileScope, declaration: syntax.Let) -> Bound:
        name = declaration.name
        cached = scope.lets.get(name.text)
        if cached is not None:
            return cached
        if name.text in scope.busy:
            raise Failure(name_errors.circular(name.span, name.text))
        scope.busy.add(name.text)
        try:
            value = self.evaluate(declaration.value, Environment(scope))
            if isinstance(value, Tensor):
                raise Failure(type_errors.not_static(declaration.value.span, describe(value)))
            bound = Bound(value, declaration.value.span)
        except Failure as failure:
            self.report(failure.diagnostic)
            bound = Bound(Poison(), declaration.value.span)
        finally:
            scope.busy.discard(name.text)
        scope.lets[name.text] = bound
        return bound

    def origin(self, expression: syntax.Expr, env: Environment) -> Span:
        """The source that gave a static value: a name leads back to what it was bound to."""
        if isinstance(expression, syntax.Name):
            bound = env.names.get(expression.text)
            if bound is not None and not isinstance(bound.value, Tensor):
                return bound.span
        return expression.span

    def evaluate(self, expression: syntax.Expr, env: Environment) -> Datum:
        match expression:
            case syntax.Integer() | syntax.Float() | syntax.String() | syntax.Boolean():
                return expression.value
            case syntax.Name():
                return self.lookup(expression, env).value
            case syntax.NoneLiteral():
                return None
            case syntax.Binary():
                left = self.evaluate(expression.left, env)
                right = self.evaluate(expression.right, env)
                spans = (expression.left.span, expression.right.span)
                return arithmetic.binary(self, expression.op, left, right, *spans, expression.span)
            case syntax.Compare():
                left = self.evaluate(expression.left, env)
                right = self.evaluate(expression.right, env)
                spans = (expression.left.span, expression.right.span)
                return arithmetic.compare(self, expression.op, left, right, *spans, expression.span)
            case syntax.Logical():
                left = self.evaluate(expression.left, env)
                if isinstance(left, bool) and left == (expression.op == "or"):
                    return left
                right = self.evaluate(expression.right, env)
                spans = (expression.left.span, expression.right.span)
                return arithmetic.logical(self, expression.op, [left, right], spans, expression.span)
            case syntax.Unary():
                operand = self.evaluate(expression.operand, env)
                if expression.op == "not":
                    return arithmetic.logical(self, "not", [operand], [expression.operand.span], expression.span)
                if expression.op == "+":
                    return operand
                return arithmetic.negate(self, operand, expression.span, expression.operand.span)
            case syntax.Call():
                callee = self._callee(expression.callee, env)
                positional, keyword = self.arguments(expression.arguments, env)
                return self.apply(callee, positional, keyword, expression.span)
            case syntax.Pipe():
                return self._pipe(expression, env)
            case syntax.Index():
                return self._index(expression, env)
            case syntax.Attribute():
                return self._attribute(expression, env)
            case syntax.ListExpr():
                return ListValue(tuple(self._item(item, env) for item in expression.items))
            case syntax.TupleExpr():
                return TupleValue(tuple(self.evaluate(item, env) for item in expression.items))

    def _item(self, item: syntax.Expr | syntax.Keyed, env: Environment) -> Datum:
        if not isinstance(item, syntax.Keyed):
            return self.evaluate(item, env)
        key = item.key.text if isinstance(item.key, syntax.Name) else item.key.value
        return KeyedItem(key, self.evaluate(item.value, env), item.span)

    def arguments(self, arguments: Sequence[syntax.Argument], env: Environment) -> tuple[list[Bound], dict[str, Bound]]:
        positional: list[Bound] = []
        keyword: dict[str, Bound] = {}
        failed: set[str] = set()
        for argument in arguments:
            try:
                value = self.evaluate(argument.value, env)
            except Failure as failure:  # what else is wrong with the others is worth knowing, too
                message = "" if failure.diagnostic is None else failure.diagnostic.message
                if message not in failed:
                    self.report(failure.diagnostic)
                failed.add(message)
                continue
            bound = Bound(value, argument.value.span if isinstance(value, Tensor) else self.origin(argument.value, env))
            if argument.name is None:
                positional.append(bound)
            elif argument.name.text in keyword:
                raise Failure(layer_errors.twice_given(argument.span, "this call", argument.name.text))
            else:
                keyword[argument.name.text] = replace(bound, keyword=argument.name.span)
        if failed:
            raise Failure
        return positional, keyword

    def _callee(self, node: syntax.Expr, env: Environment) -> Datum:
        """What is called. No tensor can be: where a column or a value is named as a function is (`year`, `mode`), the function is
        meant."""
        value = self.evaluate(node, env)
        if isinstance(value, Tensor) and isinstance(node, syntax.Name):
            function = self.find(node, Environment(env.scope))
            if function is not None and isinstance(function.value, (Closure, Primitive)):
                return function.value
        return value

    # --- pipes -----------------------------------------------------------------------------------------------------
    def _pipe(self, pipe: syntax.Pipe, env: Environment) -> Datum:
        value = self.evaluate(pipe.value, env)
        span = pipe.value.span
        for stage in pipe.stages:
            if isinstance(value, Poison):
                raise Failure
            items = value.items if isinstance(value, TupleValue) else (value,)
            value = self._stage(stage, [Bound(item, span) for item in items], env)
            span = span.to(stage.span)
        return value

    def _stage(self, stage: syntax.Stage, inputs: list[Bound], env: Environment) -> Datum:
        node = stage.callee
        if not isinstance(node, syntax.Call):
            callee = self._callee(node, env)
            self._require_callable(callee, node.span)
            return self.apply_value(callee, inputs, stage.span, stage.name)
        callee = self._callee(node.callee, env)
        self._require_callable(callee, node.callee.span)
        positional, keyword = self.arguments(node.arguments, env)
        if isinstance(callee, Closure) and (callee.kind != "fn" or callee.declaration.hyper is not None):
            made = self.apply(callee, positional, keyword, node.span)
            return self.apply_value(made, inputs, stage.span, stage.name)
        if isinstance(callee, LayerInstance):
            return self.apply_layer(callee, [*inputs, *positional], keyword, stage.span, stage.name)
        return self.apply(callee, [*inputs, *positional], keyword, stage.span)

    def apply_layer(
        self, layer: LayerInstance, positional: Sequence[Bound], keyword: Mapping[str, Bound], span: Span, name: syntax.Name | None
    ) -> Datum:
        """Apply a constructed layer to its inputs."""
        raise NotImplementedError

    def _require_callable(self, callee: Datum, span: Span) -> None:
        if isinstance(callee, Poison):
            raise Failure
        if isinstance(callee, (Tensor, ListValue, TupleValue, Namespace, Special, KeyedItem, str, int, float)) or callee is None:
            raise Failure(layer_errors.pipe_into(span, describe(callee)))

    # --- members ---------------------------------------------------------------------------------------------------
    def _attribute(self, node: syntax.Attribute, env: Environment) -> Datum:
        if isinstance(node.value, syntax.Name) and node.value.text in FOREIGN_MODULES and self.find(node.value, env) is None:
            raise Failure(name_errors.unknown_name(node.span, node.name.text, self.candidates(env)))
        value = self.evaluate(node.value, env)
        name = node.name.text
        if isinstance(value, Poison):
            raise Failure
        if isinstance(value, Namespace):
            bound = value.members.get(name)
            if bound is None:
                raise Failure(name_errors.no_member(node.name.span, name, describe(value), list(value.members)))
            if isinstance(bound.value, Poison):
                raise Failure
            return bound.value
        if isinstance(value, TupleValue) and name in value.names:
            return value.items[value.names.index(name)]
        if isinstance(value, LayerInstance):
            return self.parameter_of(value, node)
        members = list(value.names) if isinstance(value, TupleValue) else []
        written = f"{name}({node.value.span.text})" if isinstance(value, Tensor) and self.find(node.name, env) is not None else None
        raise Failure(name_errors.no_member(node.name.span, name, describe(value), members, written))

    def parameter_of(self, layer: LayerInstance, node: syntax.Attribute) -> Tensor:
        """`wte.w`: a parameter of a constructed layer that has been applied."""
        raise NotImplementedError

    def _index(self, node: syntax.Index, env: Environment) -> Datum:
        value = self.evaluate(node.value, env)
        if isinstance(value, Poison):
            raise Failure
        if isinstance(value, (ListValue, TupleValue)):
            return self._list_item(value, node, env)
        if isinstance(value, (Constructed, LayerInstance, Closure)) or not isinstance(value, Tensor):
            raise Failure(type_errors.operand_type(node.value.span, "[ ]", describe(value)))
        parts: list[tuple[object, Span]] = []
        for item in node.items:
            if isinstance(item, syntax.Slice):
                bounds = [None if e is None else self.evaluate(e, env) for e in (item.start, item.stop, item.step)]
                parts.append((tuple(bounds), item.span))
                self._require_steps(value, len(parts) - 1, item, bounds, env)
            elif isinstance(item, syntax.Rest):
                parts.append((..., item.span))
            else:
                parts.append((self.evaluate(item, env), item.span))
        self.at(node.span)
        return index_tensor(self, value, parts, node.span)

    def _require_steps(self, table: Tensor, axis: int, item: syntax.Slice, bounds: Sequence[Datum], env: Environment) -> None:
        """`pos[:T]`, where T is a dim of an input, implies that T is at most the length of `pos`."""
        steps = bounds[1]
        if not isinstance(item.stop, syntax.Name) or not isinstance(steps, int) or not env.is_solved(item.stop.text):
            return
        size = table.shape[axis] if axis < table.rank else None
        if isinstance(size, int) and steps > size:
            origin = env.names[item.stop.text].span
            raise Failure(
                type_errors.beyond_table(item.span, item.stop.text, steps, describe(table), size, table.origin(axis), origin)
            )

    def _list_item(self, value: ListValue | TupleValue, node: syntax.Index, env: Environment) -> Datum:
        item = node.items[0]
        if len(node.items) != 1 or isinstance(item, syntax.Rest):
            names = value.names if isinstance(value, TupleValue) else ()
            raise Failure(type_errors.bad_list_index(node.span, names))
        if isinstance(item, syntax.Slice):
            bounds: list[int | None] = []
            for expression in (item.start, item.stop, item.step):
                bound = None if expression is None else self.evaluate(expression, env)
                if isinstance(bound, bool) or not (bound is None or isinstance(bound, int)):
                    raise Failure(type_errors.bad_index(item.span, "bounds of a list's slice are whole numbers"))
                bounds.append(bound)
            if bounds[2] == 0:
                raise Failure(type_errors.bad_index(item.span, "the step of a slice is not 0"))
            return ListValue(value.items[bounds[0] : bounds[1] : bounds[2]])
        index = self.evaluate(item, env)
        if not isinstance(index, int) or isinstance(index, bool):
            raise Failure(type_errors.bad_index(item.span, f"the index of a list is a whole number, not {describe(index)}"))
        if not -len(value.items) <= index < len(value.items):
            raise Failure(type_errors.bad_index(item.span, f"index {index} is outside of a list of {len(value.items)}"))
        return value.items[index]
