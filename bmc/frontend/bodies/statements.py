"""Statements of bodies: bindings, parameters and states, static `if`, `repeat`, `scan`.

In: statements and the environment of an application. Out: the value returned. Guaranteed: a statement that fails is
reported, its names
become poison, and the next one runs; `repeat` and `if` open no scope of names; time is linear in the statements expanded.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from bmc.frontend.bodies import coercion
from bmc.frontend.bodies.calls import BodyEnvironment
from bmc.frontend.bodies.core import InOneMode, StateInfo, WeightInfo
from bmc.frontend.bodies.dims import Failure
from bmc.frontend.bodies.scanning import Scanning
from bmc.frontend.bodies.values import (
    POISON,
    Bound,
    Closure,
    Datum,
    Environment,
    LayerInstance,
    ListValue,
    Poison,
    Tensor,
    TupleValue,
    describe,
    is_number,
)
from bmc.frontend.errors import layer_errors, name_errors, type_errors
from bmc.frontend.syntax import tree as syntax
from bmc.ir import Poly, TensorType
from bmc.ir.types import is_float
from bmc.ops.registry import TypeRuleError
from bmc.record import replace
from bmc.source import Span

__all__ = ["MAX_REPEAT", "Statements"]

MAX_REPEAT = 100_000

_CODE = re.compile(r"[EW]\d{4}")
"""What a message of an assertion in the library may begin with: the code of its own diagnostic; a `W` warns."""


class Statements(Scanning):
    """`run`."""

    def run(self, body: Sequence[syntax.Statement], env: Environment) -> Datum | None:
        for statement in body:
            try:
                value = self._statement(statement, env)
            except Failure as failure:
                self.report(failure.diagnostic)
                value = self._poisoned(statement, env)
            except TypeRuleError as error:
                self.report(type_errors.rule_violated(statement.span, error.message))
                value = self._poisoned(statement, env)
            if value is not None:
                return value
        return None

    def places(self, env: Environment) -> tuple[dict[str, Span], list[str]]:
        known, idle = super().places(env)
        if isinstance(env, BodyEnvironment):
            declaration = env.closure.declaration
            parameters = {p.name.text: p.name.span for p in (*(declaration.hyper or ()), *declaration.inputs)}
            known |= parameters
            words = Counter(re.findall(r"\w+", declaration.span.text))
            idle = [name for name in (*parameters, *assigned(declaration.body)) if name in known and words[name] == 1]
        return known, idle

    def _poisoned(self, statement: syntax.Statement, env: Environment) -> Datum | None:
        """After a failure: the statement's names mean nothing."""
        names: list[str] = []
        if isinstance(statement, syntax.Assign):
            names = [t.name.text for t in statement.targets]
        elif isinstance(statement, (syntax.Let, syntax.Param, syntax.State)):
            names = [statement.name.text]
        elif isinstance(statement, (syntax.Return, syntax.Assert)):
            return POISON  # what stands behind an `assert` relies on it
        elif isinstance(statement, syntax.If):
            names = [n for b in statement.branches for n in assigned(b.body)]
        elif isinstance(statement, (syntax.Repeat, syntax.Scan)):
            names = assigned(statement.body)
        for name in names:
            env.names[name] = Bound(POISON, statement.span)
        return None

    def _statement(self, statement: syntax.Statement, env: Environment) -> Datum | None:
        match statement:
            case syntax.Assign():
                self._bind(statement, env)
            case syntax.Let():
                self._let(statement, env)
            case syntax.Return():
                value = self._returned(statement.value, env)
                if isinstance(env, BodyEnvironment):
                    env.returned = statement.value.span
                return value
            case syntax.Param():
                self._param(statement, env)
            case syntax.State():
                self._state(statement, env)
            case syntax.If():
                return self._if(statement, env)
            case syntax.Repeat():
                return self._repeat(statement, env)
            case syntax.Assert():
                self._assert(statement, env)
            case syntax.Scan():
                self.scan(statement, env, [n for s in statement.body if not isinstance(s, syntax.Yield) for n in assigned([s])])
            case syntax.Yield():
                self.yielded(statement, env)
            case syntax.ExprStatement():
                self.evaluate(statement.value, env)
        return None

    def _returned(self, expression: syntax.Expr, env: Environment) -> Datum:
        if not isinstance(expression, syntax.TupleExpr):
            value = self.evaluate(expression, env)
            return POISON if value is None else value
        items: list[Datum] = []
        for item in expression.items:  # one wrong result leaves the others alone
            try:
                items.append(self.evaluate(item, env))
            except Failure as failure:
                self.report(failure.diagnostic)
                items.append(POISON)
            except TypeRuleError as error:
                self.report(type_errors.rule_violated(item.span, error.message))
                items.append(POISON)
        return TupleValue(tuple(items))

    # --- bindings --------------------------------------------------------------------------------------------------
    def _bind(self, statement: syntax.Assign, env: Environment) -> None:
        targets = statement.targets
        if len(targets) == 1:
            self.binding = targets[0].name.text
            try:
                value = self.evaluate(statement.value, env)
            finally:
                self.binding = None
            self._bind_one(targets[0], value, statement.value, env)
            return
        if isinstance(statement.value, syntax.TupleExpr) and len(statement.value.items) == len(targets):
            values = [self.evaluate(item, env) for item in statement.value.items]
            for target, value, item in zip(targets, values, statement.value.items, strict=True):
                self._bind_one(target, value, item, env)
            return
        value = self.evaluate(statement.value, env)
        for target, part in zip(targets, self._unpack(value, len(targets), statement.value.span), strict=True):
            self._bind_one(target, part, statement.value, env)

    def _unpack(self, value: Datum, count: int, span: Span) -> Sequence[Datum]:
        if isinstance(value, Poison):
            raise Failure
        if isinstance(value, (TupleValue, ListValue)):
            if len(value.items) != count:
                raise Failure(layer_errors.target_count(span, count, f"{len(value.items)} values"))
            return value.items
        if isinstance(value, Tensor) and value.rank and value.shape[0] == count:
            self.at(span)
            rest = value.origins[1:]
            parts = []
            for i in range(count):
                part = self.trace.reshape(self.trace.slice(value.value, 0, i, i + 1), value.shape[1:])
                parts.append(self.tensor(part, origins=rest))
            return parts
        raise Failure(layer_errors.target_count(span, count, describe(value)))

    def _bind_one(self, target: syntax.Target, value: Datum, expression: syntax.Expr, env: Environment) -> None:
        name = target.name.text
        span = expression.span
        if isinstance(value, Closure) and value.kind in ("layer", "model") and not isinstance(env.names.get(name), Bound):
            raise Failure(layer_errors.bare_kind(span, value.name))
        if isinstance(value, LayerInstance) and value.original is None and value.path is None:
            self.name_layer(value, name, target.name.span)
        if target.type is not None:
            value = self.annotated(target.type, value, name, span, env)
        env.names[name] = Bound(value, span if isinstance(value, Tensor) else self.origin(expression, env))

    def annotated(self, wanted: syntax.TypeExpr, value: Datum, name: str, span: Span, env: Environment) -> Datum:
        """The value under an annotation: a generator is made, a tensor is checked."""
        solver = env.solver if isinstance(env, BodyEnvironment) else self.fixed_dims(env)
        dtype = self.dtype(wanted)
        if isinstance(value, Poison):
            raise Failure
        if isinstance(value, Tensor):
            tensor = self.conform(wanted, self.own(value, span), name, span)
            solver.match(wanted, tensor.shape, tensor.origins, name, tensor, span)
            solver.solve()
            if isinstance(env, BodyEnvironment):
                self._bind_dims(env, span)
            return coercion.to_dtype(self, tensor, dtype) if tensor.rank else tensor
        shape, origins = solver.require(wanted, wanted.span)
        if not shape and is_number(value) and (is_float(dtype) or isinstance(value, (int, Poly))):
            return value
        return self.materialise(value, TensorType(dtype, shape), self.site(name), span, origins)

    def site(self, name: str) -> str:
        """The key path of a random site: unique within the trace, the same in every trace of the same body."""
        key = self.keys.key(name)
        count = self.trace.sites.get(key, 0) + 1
        self.trace.sites[key] = count
        return key if count == 1 else f"{key}_{count}"

    def _let(self, statement: syntax.Let, env: Environment) -> None:
        value = self.evaluate(statement.value, env)
        if statement.type is not None:
            value = self.annotated(statement.type, value, statement.name.text, statement.value.span, env)
        env.names[statement.name.text] = Bound(value, self.origin(statement.value, env))

    # --- parameters and states -------------------------------------------------------------------------------------
    def _declared_key(self, statement: syntax.Param | syntax.State, env: Environment) -> str:
        name = statement.name.text
        if isinstance(env, BodyEnvironment) and env.closure.kind == "fn":
            raise Failure(
                layer_errors.param_in_fn(statement.span, f"a {'param' if isinstance(statement, syntax.Param) else 'state'}", name)
            )
        before = self.keys.claim(name, statement.name.span)
        if before is not None:
            raise Failure(layer_errors.key_taken_by_parameter(statement.name.span, name, before))
        return self.keys.key(name)

    def _param(self, statement: syntax.Param, env: Environment) -> None:
        assert isinstance(env, BodyEnvironment)
        key = self._declared_key(statement, env)
        shape, origins = env.solver.require(statement.type, statement.type.span)
        dtype = self.dtype(statement.type)
        if not is_float(dtype):
            raise Failure(type_errors.wrong_value(statement.type.span, statement.name.text, "floats", dtype))
        wanted = TensorType(dtype, shape)
        known = self.registry.weights.get(key)
        if known is None:
            self._initial(key, statement, wanted, env)
            if self.training_branch is not None:
                self.registry.in_one_mode[key] = InOneMode(key, self.user_call() or statement.name.span, self.training_branch)
            self.registry.weights[key] = WeightInfo(key, wanted, self.keys.named, statement.name.span, origins)
        elif known.type != wanted:
            one = next((m for m in self.registry.in_one_mode.values() if ("weight", m.key) not in self.trace.parameters), None)
            if one is not None:  # what evaluation goes without is why it comes to another size
                raise Failure(layer_errors.in_one_mode(one.span, one.key, one.condition, True))
            raise Failure(layer_errors.shared_shape(statement.name.span, key, wanted, known.type, known.span, self.user_call()))
        self.at(statement.span)
        env.names[statement.name.text] = Bound(self.weight_value(key, self.frozen), statement.name.span)

    def _initial(self, key: str, statement: syntax.Param | syntax.State, wanted: TensorType, env: Environment) -> None:
        with self.tracing(self.init):
            self.at(statement.span)
            if not wanted.is_static:  # a model checked alone: there is nothing to make
                return
            if statement.init is None:
                tensor = self.full(0, wanted.dtype, wanted.shape)
            else:
                value = self.evaluate(statement.init, env)
                if value is None or isinstance(value, (str, LayerInstance, Poison)):
                    raise Failure(layer_errors.not_initial(statement.init.span, statement.name.text, describe(value)))
                tensor = self.materialise(value, wanted, key, statement.init.span)
                tensor = coercion.to_dtype(self, tensor, wanted.dtype)
                if coercion.broadcast_shape([tensor.shape, wanted.shape]) != wanted.shape:
                    raise Failure(
                        type_errors.rank_mismatch(
                            statement.init.span, statement.name.text, tensor.type, statement.type.span, str(wanted)
                        )
                    )
                tensor = coercion.broadcast_tensor(self, tensor, wanted.shape)
            self.registry.initial[key] = tensor.value

    def _state(self, statement: syntax.State, env: Environment) -> None:
        assert isinstance(env, BodyEnvironment)
        name = statement.name.text
        shape, origins = env.solver.require(statement.type, statement.type.span)
        wanted = TensorType(self.dtype(statement.type), shape)
        if env.closure.kind == "optimizer":
            weight = self.updated
            key = f"{weight}@{name}"
            if key not in self.registry.moments:
                self._initial(key, statement, wanted, env)
                self.registry.moments[key] = (wanted, weight)
            value = self.trace.parameter("moment", key, wanted)
        else:
            key = self._declared_key(statement, env)
            known = self.registry.states.get(key)
            if known is None:
                self._initial(key, statement, wanted, env)
                self.registry.states[key] = StateInfo(key, wanted, statement.name.span)
            elif known.type != wanted:
                raise Failure(layer_errors.shared_shape(statement.name.span, key, wanted, known.type, known.span, self.user_call()))
            value = self.state_value(key, wanted, self.turns_here())
        env.states[name] = StateInfo(key, wanted, statement.name.span)
        env.names[name] = Bound(self.tensor(value, origins=origins), statement.name.span)

    updated: str = ""
    """The key of the weight whose optimizer body runs."""

    training_branch: Span | None = None
    """The condition on `training` that decided that the present statements run; the outermost of several."""

    # --- static control --------------------------------------------------------------------------------------------
    def _condition(self, expression: syntax.Expr, env: Environment) -> bool:
        value = self.evaluate(expression, env)
        if isinstance(value, bool):
            return value
        if isinstance(value, Poison):
            raise Failure
        raise Failure(
            type_errors.not_static(
                expression.span, describe(value), "`if` is decided by the compiler; `select(c, a, b)` chooses by the data"
            )
        )

    def _if(self, statement: syntax.If, env: Environment) -> Datum | None:
        around = self.training_branch
        try:
            for branch in statement.branches:
                if "training" in names_in(branch.condition):
                    self.training_branch = around or branch.condition.span
                if self._condition(branch.condition, env):
                    return self.run(branch.body, env)
            return None if statement.otherwise is None else self.run(statement.otherwise, env)
        finally:
            self.training_branch = around

    def _repeat(self, statement: syntax.Repeat, env: Environment) -> Datum | None:
        over = self.evaluate(statement.iterable, env)
        if isinstance(over, int) and not isinstance(over, bool):
            count, items = over, None
        elif isinstance(over, (ListValue, TupleValue)):
            count, items = len(over.items), over.items
        elif isinstance(over, Poison):
            raise Failure
        else:
            raise Failure(layer_errors.repeat_over(statement.iterable.span, describe(over)))
        if not 0 <= count <= MAX_REPEAT:
            raise Failure(type_errors.bad_size(statement.iterable.span, f"`repeat` runs 0 to {MAX_REPEAT} times, not {count}"))
        if statement.name is not None:
            before = self.keys.claim(statement.name.text, statement.name.span)
            if before is not None:
                raise Failure(layer_errors.duplicate_key(statement.name.span, statement.name.text, before))
            label, named = statement.name.text, True
        else:
            label, named = self.keys.default("repeat"), False
        outer = self.keys
        for i in range(count):
            self.expand(statement.iterable.span)
            item: Datum = i if items is None else items[i]
            self._bind_targets(statement, item, env)
            errors = len(self.diagnostics)
            with self.scope(outer.inner(label, str(i), named=named)):
                value = self.run(statement.body, env)
            if value is not None:
                return value
            if any(d.level == "error" and not d.code.startswith("E09") for d in self.diagnostics[errors:]):
                break  # the other passes would say the same
        return None

    def _bind_targets(self, statement: syntax.Repeat, item: Datum, env: Environment) -> None:
        targets = statement.targets
        if not targets:
            return
        values = [item] if len(targets) == 1 else self._unpack(item, len(targets), statement.iterable.span)
        for target, value in zip(targets, values, strict=True):
            env.names[target.text] = Bound(value, statement.iterable.span)

    def _assert(self, statement: syntax.Assert, env: Environment) -> None:
        if not self._condition(statement.condition, env):
            bounds = [(n, b) for n in names_in(statement.condition) if (b := env.names.get(n)) and is_number(b.value)]
            facts = [f"{n} = {b.value}" for n, b in bounds]
            origins = [(b.span, f"{n} = {b.value} comes from here") for n, b in bounds if not self.program.is_library(b.span.file)]
            message = None if statement.message is None else statement.message.value
            code, _, text = (message or "").partition(": ")
            of_library = self.program.is_library(statement.span.file) and _CODE.fullmatch(code) is not None
            found = name_errors.assertion_failed(
                statement.condition.span, text if of_library else message, facts, self.user_call(), origins
            )
            if of_library:
                found = replace(found, code=code, level="warning" if code.startswith("W") else "error")
            if found.level == "error":
                raise Failure(found)
            self.report(found)


def assigned(body: Sequence[syntax.Statement]) -> list[str]:
    """Names that a body binds."""
    names: list[str] = []
    for statement in body:
        match statement:
            case syntax.Assign():
                names += [t.name.text for t in statement.targets]
            case syntax.Let() | syntax.Param() | syntax.State() | syntax.Yield():
                names.append(statement.name.text)
            case syntax.If():
                for branch in statement.branches:
                    names += assigned(branch.body)
                names += assigned(statement.otherwise or ())
            case syntax.Repeat() | syntax.Scan():
                names += assigned(statement.body)
            case _:
                pass
    return names


def names_in(expression: syntax.Expr) -> list[str]:
    """Names that an expression of operators reads, in order, each once."""
    found: list[str] = []
    waiting: list[syntax.Expr] = [expression]
    while waiting:
        node = waiting.pop()
        match node:
            case syntax.Name():
                if node.text not in found:
                    found.append(node.text)
            case syntax.Binary() | syntax.Compare() | syntax.Logical():
                waiting += [node.right, node.left]
            case syntax.Unary():
                waiting.append(node.operand)
            case _:
                pass
    return found
