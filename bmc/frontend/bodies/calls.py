"""Calls: binding arguments, constructing layers, and tracing the body of what is applied.

In: evaluated callees and arguments. Out: results. Guaranteed: the shapes in a signature are matched against the arguments
before the body
runs, so a conflict is reported at the call; a layer's parameters are made at its first application and shared by the
others; calls nest at most `MAX_CALLS` deep and never recurse.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from bmc.frontend.bodies import coercion
from bmc.frontend.bodies.core import StateInfo
from bmc.frontend.bodies.dims import DimFact, Failure, ShapeSolver
from bmc.frontend.bodies.expressions import Expressions
from bmc.frontend.bodies.keys import KeyScope
from bmc.frontend.bodies.primitive import Primitive
from bmc.frontend.bodies.replay import Marks, described
from bmc.frontend.bodies.values import (
    POISON,
    Bound,
    Closure,
    Constructed,
    Datum,
    Environment,
    Generator,
    LayerInstance,
    ListValue,
    Plateau,
    Poison,
    Tensor,
    TupleValue,
    describe,
    is_number,
)
from bmc.frontend.errors import layer_errors, name_errors, type_errors
from bmc.frontend.syntax import tree as syntax
from bmc.ir import Poly, TensorType
from bmc.ir.types import is_float, is_integer
from bmc.record import replace
from bmc.source import Span

__all__ = ["MAX_CALLS", "BodyEnvironment", "Calls"]

MAX_CALLS = 40


class BodyEnvironment(Environment):
    """The names of one application: also the solver of its signature, its states, and what it yields."""

    def __init__(self, closure: Closure, names: dict[str, Bound], solver: ShapeSolver) -> None:
        super().__init__(closure.scope, names)
        self.closure = closure
        self.solver = solver
        self.states: dict[str, StateInfo] = {}
        self.returned: Span | None = None

    def is_solved(self, name: str) -> bool:
        fact, bound = self.solver.facts.get(name), self.names.get(name)
        hyper = any(p.name.text == name for p in self.closure.declaration.hyper or ())
        return fact is not None and bound is not None and bound.value == fact.dim and not hyper


class Calls(Expressions):
    """`apply`, `apply_value` and `apply_layer`."""

    yields: dict[str, tuple[Tensor, Span]] | None = None
    """What the scan under way has yielded; None outside of one."""

    # --- dispatch --------------------------------------------------------------------------------------------------
    def apply(self, callee: Datum, positional: Sequence[Bound], keyword: Mapping[str, Bound], span: Span) -> Datum:
        if self.is_poison(callee, *(b.value for b in positional), *(b.value for b in keyword.values())):
            raise Failure
        if isinstance(callee, Primitive):
            return callee.call(self, positional, keyword, span)
        if isinstance(callee, Closure):
            return self._apply_closure(callee, positional, keyword, span)
        if isinstance(callee, Constructed):
            if callee.closure.kind != "fn":
                raise Failure(name_errors.not_callable(span, describe(callee)))
            return self.apply_body(callee.closure, callee.hyper, positional, keyword, span)
        if isinstance(callee, LayerInstance):
            return self.apply_layer(callee, positional, keyword, span, None)
        raise Failure(name_errors.not_callable(span, describe(callee)))

    def _apply_closure(self, closure: Closure, positional: Sequence[Bound], keyword: Mapping[str, Bound], span: Span) -> Datum:
        declaration = closure.declaration
        if closure.kind == "fn" and declaration.hyper is None:
            if not declaration.inputs and not positional and not keyword and declaration.results[0].type.dims:
                return self._closure_generator(closure, {}, span)
            return self.apply_body(closure, {}, positional, keyword, span)
        if declaration.hyper is None and (positional or keyword):
            raise Failure(layer_errors.wrong_inputs(span, closure.name))
        hyper = self._bind_hyper(closure, positional, keyword, span)
        if closure.kind in ("fn", "optimizer"):
            if closure.kind == "fn" and not declaration.inputs:
                return self._closure_generator(closure, hyper, span)
            return Constructed(closure, hyper, span)
        return LayerInstance(closure, hyper, span)

    def apply_value(self, callee: Datum, inputs: Sequence[Bound], span: Span, name: syntax.Name | None = None) -> Datum:
        if isinstance(callee, Closure) and callee.kind != "fn":
            if callee.kind == "optimizer":
                raise Failure(layer_errors.pipe_into(span, describe(callee)))
            callee = LayerInstance(callee, self._bind_hyper(callee, (), {}, span), span)
        elif isinstance(callee, Closure) and callee.declaration.hyper is not None:
            callee = Constructed(callee, self._bind_hyper(callee, (), {}, span), span)
        if isinstance(callee, LayerInstance):
            return self.apply_layer(callee, inputs, {}, span, name)
        return self.apply(callee, inputs, {}, span)

    # --- binding ---------------------------------------------------------------------------------------------------
    def _assign(
        self,
        callee: str,
        parameters: Sequence[syntax.Parameter],
        positional: Sequence[Bound],
        keyword: Mapping[str, Bound],
        span: Span,
    ) -> dict[str, Bound]:
        """Arguments by parameter name, without defaults."""
        names = [p.name.text for p in parameters]
        if len(positional) > len(names):
            piped = len({b.span for b in positional}) == 1 and len(positional) > 1  # each has the span of all
            raise Failure(layer_errors.too_many_arguments(span, callee, names, len(positional) + len(keyword), piped))
        values = dict(zip(names, positional, strict=False))
        for name, bound in keyword.items():
            if name not in names:
                raise Failure(layer_errors.unknown_argument(bound.name_span, callee, name, names))
            if name in values:
                raise Failure(layer_errors.twice_given(bound.name_span, callee, name))
            values[name] = bound
        return values

    def _bind_hyper(
        self, closure: Closure, positional: Sequence[Bound], keyword: Mapping[str, Bound], span: Span
    ) -> dict[str, Bound]:
        parameters = closure.declaration.hyper or ()
        given = self._assign(closure.name, parameters, positional, keyword, span)
        bound: dict[str, Bound] = {}
        env = Environment(closure.scope, bound)
        for parameter in parameters:
            name = parameter.name.text
            default: Datum = None
            if parameter.default is not None:
                default = self.evaluate(parameter.default, env)
            if name not in given:
                if parameter.default is None:
                    raise Failure(layer_errors.missing_argument(span, closure.name, name, parameter.span))
                bound[name] = Bound(default, parameter.default.span)
                continue
            value = given[name]
            if parameter.default is not None:
                value = self._fit_default(parameter, default, value)
            if isinstance(value.value, Tensor):
                raise Failure(type_errors.not_static(value.span, describe(value.value)))
            bound[name] = value
        return bound

    @staticmethod
    def _fit_default(parameter: syntax.Parameter, default: Datum, given: Bound) -> Bound:
        """The default fixes the type of a hyper-parameter."""
        value = given.value

        def wrong(wanted: str) -> Failure:
            return Failure(layer_errors.hyper_type(given.span, parameter.name.text, wanted, describe(value), parameter.span))

        if isinstance(default, bool):
            if not isinstance(value, bool):
                raise wrong("true or false")
        elif isinstance(default, (int, Poly)):
            if isinstance(value, bool) or not isinstance(value, (int, Poly)):
                raise wrong("a whole number")
        elif isinstance(default, float):
            schedule = isinstance(value, Plateau) or (isinstance(value, Constructed) and value.is_schedule)
            if not is_number(value) and not schedule:
                raise wrong("a number")
            if isinstance(value, int):
                return replace(given, value=float(value))
        elif isinstance(default, str):
            if not isinstance(value, str):
                raise wrong("a text")
        elif isinstance(default, ListValue):
            equal = bool(default.items) and all(is_number(i) and i == default.items[0] for i in default.items)
            if equal and isinstance(value, int) and not isinstance(value, bool):
                return replace(given, value=ListValue((value,) * len(default.items)))  # one number for every axis
            if not isinstance(value, ListValue):
                raise wrong("a list")
        elif isinstance(default, (Closure, Primitive, Generator, Constructed, LayerInstance)) and (
            is_number(value) or isinstance(value, (bool, str))
        ):
            raise wrong("a function, a layer or a generator")
        return given

    def fixed_dims(self, env: Environment) -> ShapeSolver:
        """A solver that knows the hyper-parameters and `let`s in scope."""

        def fixed(name: syntax.Name) -> DimFact | None:
            bound = env.names.get(name.text)
            if bound is None:
                declared = next((s.declarations[name.text] for s in env.scope.visible() if name.text in s.declarations), None)
                if not isinstance(declared, syntax.Let):
                    return None
                owner = next(s for s in env.scope.visible() if name.text in s.declarations)
                bound = self.constant(owner, declared)
            value = bound.value
            if isinstance(value, Poison):
                raise Failure
            if isinstance(value, int) and not isinstance(value, bool) and value < 0:
                raise Failure(type_errors.negative_dim(name.span, name.text, value, bound.span))
            if isinstance(value, bool) or not isinstance(value, (int, Poly)):
                raise Failure(type_errors.not_a_dim(name.span, f"`{name.text}` ({describe(value)})", bound.span))
            return DimFact(value, bound.span)

        return ShapeSolver(fixed)

    def _match_inputs(
        self, callee: str, parameters: Sequence[syntax.Parameter], given: Mapping[str, Bound], env: BodyEnvironment, span: Span
    ) -> None:
        """Bind the inputs of an application into `env`, tensors first, so that numbers can take the shapes they fix."""
        solver = env.solver
        values: dict[str, Bound] = {}
        for parameter in parameters:
            name = parameter.name.text
            bound = given.get(name)
            if bound is None:
                if parameter.default is None:
                    raise Failure(layer_errors.missing_argument(span, callee, name, parameter.span))
                bound = Bound(self.evaluate(parameter.default, env), parameter.default.span)
            if isinstance(bound.value, Poison):
                raise Failure
            values[name] = bound
        for parameter in parameters:
            bound = values[parameter.name.text]
            if parameter.type is not None and isinstance(bound.value, Tensor):
                tensor = self.own(bound.value, bound.span)
                values[parameter.name.text] = Bound(self._input(parameter, tensor, bound.span), bound.span)
                solver.match(parameter.type, tensor.shape, tensor.origins, parameter.name.text, tensor, bound.span)
        solver.solve()
        for parameter in parameters:
            bound = values[parameter.name.text]
            if parameter.type is not None and not isinstance(bound.value, Tensor) and bound.value is not None:
                values[parameter.name.text] = Bound(self._number_input(parameter, bound, env), bound.span)
        env.names.update(values)
        self._bind_dims(env, span)

    def _bind_dims(self, env: BodyEnvironment, span: Span) -> None:
        """Dims are integers in expressions."""
        for name, fact in env.solver.facts.items():
            if name not in env.names:
                env.names[name] = Bound(fact.dim, fact.span or span)

    def _input(self, parameter: syntax.Parameter, tensor: Tensor, span: Span) -> Tensor:
        assert parameter.type is not None
        return self.conform(parameter.type, tensor, parameter.name.text, span)

    def conform(self, wanted: syntax.TypeExpr, tensor: Tensor, name: str, span: Span) -> Tensor:
        """The tensor with the dtype that a type wants; only floats, weak numbers and narrower integers are converted."""
        dtype = self.dtype(wanted)
        if tensor.dtype == dtype:
            return tensor
        if is_float(tensor.dtype) and is_float(dtype) and not tensor.weak:
            # A column of f64, and what is computed from it: rounded once to what the program computes in.
            self.at(span)
            return coercion.to_dtype(self, tensor, dtype)
        if tensor.weak and tensor.rank == 0 and is_float(tensor.dtype) and is_float(dtype):
            return tensor
        if tensor.weak and (is_float(dtype) or is_integer(dtype)) and (is_integer(tensor.dtype) or is_float(dtype)):
            self.at(span)
            return coercion.to_dtype(self, tensor, dtype)
        if (tensor.dtype, dtype) in (("u8", "i32"), ("u8", "i64"), ("i32", "i64")):
            self.at(span)
            return coercion.to_dtype(self, tensor, dtype)
        if tensor.dtype == "i64" and dtype == "i32" and isinstance(tensor.below, int) and tensor.below <= 2**31:
            self.at(span)
            return coercion.to_dtype(self, tensor, dtype)
        fix = None
        if is_float(dtype) and tensor.dtype != "str":
            fix = "number"
        elif dtype == "i32" and tensor.dtype == "i64":
            fix = "integer"
        raise Failure(type_errors.dtype_mismatch(span, name, describe(tensor), wanted.span, wanted.span.text, fix))

    def _number_input(self, parameter: syntax.Parameter, bound: Bound, env: BodyEnvironment) -> Datum:
        """A static value for an input with a type: a tensor of the shape that the type has by now."""
        wanted = parameter.type
        assert wanted is not None
        value = bound.value
        if isinstance(value, Plateau) or (isinstance(value, Constructed) and value.is_schedule):
            return coercion.schedule_value(self, value, bound.span)
        if isinstance(value, (Closure, Primitive, Generator)) or is_number(value) or isinstance(value, (bool, ListValue)):
            if not wanted.dims and not isinstance(value, (Closure, Primitive, Generator, ListValue)):
                return value
            known = env.solver.shape(wanted)
            if (
                known is None
                and wanted.dims
                and len(wanted.dims) == 1
                and isinstance(wanted.dims[0], syntax.Rest)
                and is_number(value)
            ):
                env.solver.rest = ((), ())
                known = ((), ())
            if known is None:
                known = env.solver.require(wanted, bound.span)
            return self.materialise(value, TensorType(self.dtype(wanted), known[0]), parameter.name.text, bound.span, known[1])
        what = f"{wanted.span.text}"
        raise Failure(type_errors.wrong_value(bound.span, parameter.name.text, what, describe(value)))

    def materialise(self, value: Datum, of_type: TensorType, name: str, span: Span, origins: Sequence[Span | None] = ()) -> Tensor:
        """A static value or generator as a tensor of a known type."""
        if isinstance(value, Tensor):
            return self.own(value, span)
        self.at(span)
        generator = self.as_generator(value, span)
        if generator is not None:
            return replace(generator.make(self, of_type, name), origins=tuple(origins))
        if isinstance(value, bool) and of_type.dtype == "bool":
            return replace(self.full(value, "bool", of_type.shape), origins=tuple(origins))
        if isinstance(value, Poly):
            number = self.trace.cast(self.trace.dim(value, "i64"), of_type.dtype)
            return self.tensor(self.trace.broadcast(number, of_type.shape), origins=origins)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            if of_type.dtype == "bool" or (is_integer(of_type.dtype) and not isinstance(value, int)):
                raise Failure(type_errors.wrong_value(span, name, str(of_type), describe(value)))
            return replace(self.full(value, of_type.dtype, of_type.shape), origins=tuple(origins))
        if isinstance(value, ListValue):
            return self._from_list(value, of_type, name, span)
        raise Failure(type_errors.wrong_value(span, name, str(of_type), describe(value)))

    def _from_list(self, value: ListValue, of_type: TensorType, name: str, span: Span) -> Tensor:
        """`[0.1, 0.2]` as a vector, lists of lists as more dims."""
        if not of_type.shape or of_type.shape[0] != len(value.items):
            raise Failure(type_errors.element_count(span, f"a list of {len(value.items)}", str(of_type)))
        inner = TensorType(of_type.dtype, of_type.shape[1:])
        rows = [self.materialise(item, inner, name, span).value for item in value.items]
        if not rows:
            return self.full(0, of_type.dtype, of_type.shape)
        lifted = [self.trace.reshape(row, (1, *inner.shape)) for row in rows]
        return self.tensor(self.trace.op("concat", *lifted, axis=0))

    # --- generators ------------------------------------------------------------------------------------------------
    def as_generator(self, value: Datum, span: Span) -> Generator | None:
        """A generator from the bare name of one, or None."""
        if isinstance(value, Generator):
            return value
        if isinstance(value, Primitive) and value.group == "generator":
            made = value.call(self, (), {}, span)
            return made if isinstance(made, Generator) else None
        if isinstance(value, Closure) and value.kind == "fn" and value.declaration.results[0].type.dims:
            if value.declaration.hyper is not None and not value.declaration.inputs:
                return self._closure_generator(value, self._bind_hyper(value, (), {}, span), span)
            if value.declaration.hyper is None and not value.declaration.inputs:
                return self._closure_generator(value, {}, span)
        return None

    def _closure_generator(self, closure: Closure, hyper: Mapping[str, Bound], span: Span) -> Generator:
        """A `fn` without inputs: its result type takes the shape of what it is bound to."""
        result = closure.declaration.results[0]

        def make(core: object, of_type: TensorType, site: str) -> Tensor:
            env = BodyEnvironment(closure, dict(hyper), ShapeSolver(lambda _: None))
            env.solver = self.fixed_dims(env)
            env.solver.match(result.type, of_type.shape, (), closure.name, str(of_type), span)
            env.solver.solve()
            self._bind_dims(env, span)
            with self._call(closure, span):
                value = self.run(closure.declaration.body, env)
            if value is None:
                raise Failure(layer_errors.no_return(span, closure.name))
            if isinstance(value, Poison):
                raise Failure
            tensor = self.materialise(value, of_type, site, span)
            if tensor.type != of_type:
                tensor = coercion.broadcast_tensor(self, coercion.to_dtype(self, tensor, of_type.dtype), of_type.shape)
            return tensor

        return Generator(closure.name, make, True, span)

    # --- bodies ----------------------------------------------------------------------------------------------------
    @contextmanager
    def _call(self, closure: Closure, span: Span) -> Iterator[None]:
        if any(active is closure.declaration for active in self.active):
            raise Failure(name_errors.circular(span, closure.name))
        if len(self.active) >= MAX_CALLS:
            raise Failure(name_errors.nested_calls(span, MAX_CALLS))
        self.expand(span)
        self.active.append(closure.declaration)
        self.calls.append(span)
        binding, self.binding = self.binding, None
        try:
            yield
        except Failure as failure:
            if failure.diagnostic is not None:  # who reports it no longer knows of this call
                failure.diagnostic = self.at_user(failure.diagnostic)
            raise
        finally:
            self.calls.pop()
            self.active.pop()
            self.binding = binding

    def apply_body(
        self,
        closure: Closure,
        hyper: Mapping[str, Bound],
        positional: Sequence[Bound],
        keyword: Mapping[str, Bound],
        span: Span,
    ) -> Datum:
        """Trace the body of a fn, or of a layer whose key scope is in place."""
        declaration = closure.declaration
        self.program.applied.add(declaration)
        given = self._assign(closure.name, declaration.inputs, positional, keyword, span)
        env = BodyEnvironment(closure, dict(hyper), ShapeSolver(lambda _: None))
        env.solver = self.fixed_dims(env)
        with self._call(closure, span):
            fit_keys = None
            if self.fitting is not None:
                fit_keys, self.fitting.keys = self.fitting.keys, self.fitting.keys.inner(self.fitting.keys.default(closure.name))
            try:
                self.calls.pop()  # conflicts of the signature are the caller's
                try:
                    self._match_inputs(closure.name, declaration.inputs, given, env, span)
                finally:
                    self.calls.append(span)
                value = self.run(declaration.body, env)
            finally:
                if self.fitting is not None and fit_keys is not None:
                    self.fitting.keys = fit_keys
            if value is None:
                raise Failure(layer_errors.no_return(declaration.name.span, closure.name))
            self.finish_states(env)
            if isinstance(value, Poison):
                return value
            return self._results(closure, value, env, span)

    def finish_states(self, env: BodyEnvironment) -> None:
        """The last value bound to each state is its value after the step."""
        for name, info in env.states.items():
            bound = env.names[name]
            if isinstance(bound.value, Poison):
                continue
            value = self.materialise(bound.value, info.type, name, bound.span)
            value = coercion.to_dtype(self, value, info.type.dtype)
            if value.type != info.type:
                self.report(layer_errors.carried_type(bound.span, name, info.type, value.type, info.span))
                continue
            self.trace.states[info.key] = value.value

    def _results(self, closure: Closure, value: Datum, env: BodyEnvironment, span: Span) -> Datum:
        results = closure.declaration.results
        where = env.returned or closure.declaration.name.span
        items = value.items if isinstance(value, TupleValue) else (value,)
        if len(items) != len(results):
            raise Failure(layer_errors.result_count(where, closure.name, len(results), len(items), closure.declaration.signature))
        made = tuple(self._result(closure, r, item, env, where, span) for r, item in zip(results, items, strict=True))
        if len(made) == 1:
            return made[0]
        return TupleValue(made, tuple(r.name.text if r.name is not None else "" for r in results))

    def _result(
        self, closure: Closure, result: syntax.Result, value: Datum, env: BodyEnvironment, where: Span, span: Span
    ) -> Datum:
        if isinstance(value, Poison) or value is None:
            return POISON
        name = result.name.text if result.name is not None else closure.name
        if not isinstance(value, Tensor):
            if not result.type.dims and (is_number(value) or isinstance(value, (bool, str))):
                return value
            if isinstance(value, (Constructed, Plateau)):
                value = coercion.schedule_value(self, value, where)
            else:
                shape, _ = env.solver.require(result.type, where)
                value = self.materialise(value, TensorType(self.dtype(result.type), shape), name, where)
        tensor = self.conform(result.type, self.own(value, where), name, where)
        env.solver.match(result.type, tensor.shape, tensor.origins, name, tensor, where)
        env.solver.solve()
        known = env.solver.shape(result.type)
        if known is not None:
            user = self.program.is_library
            origins = tuple(
                (span if o is not None and user(o.file) else o) or t
                for o, t in zip(known[1], tensor.origins or (None,) * tensor.rank, strict=True)
            )
            tensor = replace(tensor, origins=origins)
        return tensor

    # --- layers ----------------------------------------------------------------------------------------------------
    def apply_layer(
        self, layer: LayerInstance, positional: Sequence[Bound], keyword: Mapping[str, Bound], span: Span, name: syntax.Name | None
    ) -> Datum:
        root = layer.original or layer
        new = root.path is None
        if name is not None:
            # A layer that came as a hyper-parameter is named by each application of the layer around it, each time the same.
            if root.path is not None and root.path != (*self.keys.path, name.text):
                raise Failure(layer_errors.has_name(name.span, name.text, ".".join(root.path)))
            self.name_layer(root, name.text, name.span)
        elif root.path is None:
            self._require_layers(span, root.closure.name)
            root.path = (*self.keys.path, self.keys.default(root.closure.name))
            root.named = False
        assert root.path is not None
        inner = KeyScope(root.path, root.named and self.keys.named)
        before, fixed = self.frozen, self.fixed
        self.frozen = before or layer.frozen
        self.fixed = self.frozen_keys.layer(root.path, layer.closure.declaration)
        applied, begun = self.trace.begin_layer(root.path, layer.closure.name)
        try:
            with self.scope(inner):
                path = ".".join(root.path)
                below = self.frozen_keys.below(path)
                if not new or below is None or self.yields is not None or self.fitting is not None:
                    result = self.apply_body(layer.closure, layer.hyper, positional, keyword, span)
                else:
                    given = self._assign(layer.closure.name, layer.closure.declaration.inputs, positional, keyword, span)
                    state = inner.named, self.frozen, self.fixed, below
                    result = self.replayed(path, layer.closure, layer.hyper, given, span, *state)
        finally:
            self.frozen, self.fixed = before, fixed
        items = result.items if isinstance(result, TupleValue) else (result,)
        self.trace.end_layer(applied, begun, tuple(item.value.type for item in items if isinstance(item, Tensor)))
        return result

    def replayed(
        self, path: str, closure: Closure, hyper: Mapping[str, Bound], given: Mapping[str, Bound], span: Span, *more: Hashable
    ) -> Datum:
        """`apply_body` for what gets the key path `path` by this call; an equal application that was traced before is appended
        again instead. `more`: what else the body depends on."""
        key = described(self, closure, hyper, given, span, *more) if path and self.replays else None
        if key is None:
            return self.apply_body(closure, hyper, (), given, span)
        known = self.trace.templates.get(key)
        if known is not None and known.fits(self, path):
            self.expand(span)
            return known.replay(self, path, given)
        marks = Marks(self, path, given)
        result = self.apply_body(closure, hyper, (), given, span)
        made = marks.template(self, result)
        if made is not None:
            self.trace.templates.setdefault(key, made)
        return result

    replays: bool = True
    """Whether equal applications are traced once; the result is the same."""

    frozen: bool = False
    """Whether the parameters read now are behind `stop_gradient(layer)`."""

    def _require_layers(self, span: Span, name: str) -> None:
        """A fn has no parameters of its own."""
        if self.active and isinstance(self.active[-1], syntax.Callable) and self.active[-1].kind == "fn":
            raise Failure(layer_errors.param_in_fn(span, "a layer", name))

    def name_layer(self, layer: LayerInstance, name: str, span: Span) -> None:
        """Give a layer its explicit key."""
        self._require_layers(span, name)
        before = self.keys.claim(name, span)
        if before is not None:
            raise Failure(layer_errors.duplicate_key(span, name, before))
        layer.path = (*self.keys.path, name)

    def parameter_of(self, layer: LayerInstance, node: syntax.Attribute) -> Tensor:
        root = layer.original or layer
        path = ".".join(root.path or ())
        info = self.registry.weights.get(f"{path}.{node.name.text}" if path else node.name.text)
        if root.path is None or info is None:
            known = [k.removeprefix(path + ".") for k in self.registry.weights if path and k.startswith(path + ".")]
            if known:
                raise Failure(name_errors.no_member(node.name.span, node.name.text, describe(layer), known))
            raise Failure(layer_errors.not_applied(node.name.span, node.name.text, describe(layer)))
        self.at(node.span)
        return self.weight_value(info.key, layer.frozen)

    def weight_value(self, key: str, frozen: bool) -> Tensor:
        info = self.registry.weights[key]
        value = self.trace.parameter("weight", key, info.type)
        if frozen and self.trace.training:
            value = self.trace.op("stop_gradient", value)
        return self.tensor(value, origins=info.origins)
