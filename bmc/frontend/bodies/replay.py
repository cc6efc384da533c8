"""Equal layers are traced once: what an application appended to the trace is appended again under another key path.

In: the application of a layer, or of an optimizer to one weight, described by all that its body can depend on. Out: the same
operations, parameters, states and first values as tracing the body would give. Guaranteed: nothing is replayed unless every
value that the recorded operations read is an input, a parameter below the key path, or a scalar that the trace keeps; an
application that reported anything is never replayed.

A deep net is a few bodies repeated. Tracing one costs some 60 µs an operation, appending it again about a sixth of that.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from bmc.frontend.bodies.trace import AppliedLayer, Trace
from bmc.frontend.bodies.values import Bound, Closure, Constructed, Datum, ListValue, Tensor, TupleValue
from bmc.ir import Location, Operation, Poly, TensorType, Value
from bmc.ir.graph import ParameterRole
from bmc.record import record, replace
from bmc.source import Span

if TYPE_CHECKING:
    from bmc.frontend.bodies.core import Core, StateInfo, WeightInfo

__all__ = ["Marks", "Template", "described"]


# --- what an application depends on ------------------------------------------------------------------------------------
def _place(span: Span) -> Hashable:
    return id(span.file), span.start, span.end


def _described(value: Datum, tensors: dict[Value, int]) -> Hashable | None:
    """What a body can learn of a value, or None where it is too much to tell. `tensors` numbers the values seen, so that two
    inputs that are one stay one."""
    if value is None:
        return "none"
    if isinstance(value, (bool, int, float, str, Poly)):
        return type(value).__name__, repr(value) if isinstance(value, float) else value
    if isinstance(value, (ListValue, TupleValue)):
        items = tuple(_described(item, tensors) for item in value.items)
        return None if None in items else ("list", *items)
    if isinstance(value, Closure):
        return "closure", id(value.declaration), id(value.scope)
    if isinstance(value, Constructed):
        hyper = _all_described(value.hyper, tensors)
        return None if hyper is None else ("constructed", id(value.closure.declaration), id(value.closure.scope), hyper)
    if isinstance(value, Tensor):
        valid = None if value.valid is None else tensors.setdefault(value.valid, len(tensors))
        known = value.type, value.weak, value.below, value.categories, value.kind, value.behind is None
        which: object = value.value if value.rank == 0 else None  # a scalar may be one that the trace keeps
        return "tensor", tensors.setdefault(value.value, len(tensors)), valid, which, *known
    return None


def _all_described(bounds: Mapping[str, Bound], tensors: dict[Value, int]) -> Hashable | None:
    items = tuple((name, _described(bound.value, tensors), _place(bound.span)) for name, bound in bounds.items())
    return None if any(item[1] is None for item in items) else items


def described(
    core: Core, closure: Closure, hyper: Mapping[str, Bound], inputs: Mapping[str, Bound], span: Span, *more: Hashable
) -> Hashable | None:
    """Equal for two applications whose bodies cannot tell them apart, but for the key path. None: not to be recorded."""
    tensors: dict[Value, int] = {}
    hypers = _all_described(hyper, tensors)
    given = _all_described(inputs, tensors)
    if hypers is None or given is None:
        return None
    calls = tuple(_place(call) for call in core.calls)
    return id(closure.declaration), id(closure.scope), hypers, given, _place(span), calls, *more


def _values(bounds: Mapping[str, Bound]) -> list[Value]:
    """The values of the inputs, in the order in which `described` numbers them, with repetitions."""
    found: list[Value] = []
    for bound in bounds.values():
        waiting = [bound.value]
        while waiting:
            value = waiting.pop(0)
            if isinstance(value, Tensor):
                found += [value.value] if value.valid is None else [value.valid, value.value]
            elif isinstance(value, (ListValue, TupleValue)):
                waiting[:0] = value.items
    return found


def _origins(bounds: Mapping[str, Bound]) -> list[Span | None]:
    """Where the dims of the inputs come from."""
    return [o for bound in bounds.values() if isinstance(bound.value, Tensor) for o in bound.value.origins]


# --- names -------------------------------------------------------------------------------------------------------------
def _below(prefix: str, key: str) -> str | None:
    """What follows the path in a key below it: `.w`, `@m`."""
    rest = key[len(prefix) :]
    return rest if key.startswith(prefix) and rest[:1] in (".", "@") else None


def _site(attrs: object) -> str | None:
    """The key path by which a random operation draws; None of another operation."""
    found: str | None = getattr(attrs, "site", None)
    return found


def _moved_site(attrs: Any, site: str) -> object:
    """The attributes of a random operation, drawing by another path."""
    moved: object = replace(attrs, site=site)
    return moved


@record(frozen=True, eq=False)
class _Piece:
    """What a recording appended to one trace. `parameters` are in the order of their creation, all that is read is among them;
    keys of other roles than control are relative. `kept`: scalars that the trace made for itself on the way."""

    ops: tuple[Operation, ...]
    parameters: tuple[tuple[Value, ParameterRole, str, TensorType], ...]
    sites: tuple[str, ...]
    through: tuple[tuple[Value, Value], ...]
    kept: frozenset[Value]
    location: Location


@record(frozen=True, eq=False)
class _TraceMarks:
    """How long each list of a trace is. All of them only grow."""

    ops: int
    parameters: int
    sites: int
    through: int
    states: int


def _marks(trace: Trace) -> _TraceMarks:
    lists = trace.builder.ops, trace.parameters, trace.sites, trace.seen_through, trace.states
    return _TraceMarks(*(len(found) for found in lists))


_READ_BY_PATH: tuple[ParameterRole, ...] = ("weight", "state", "moment")


def _piece(trace: Trace, marks: _TraceMarks, prefix: str, inputs: Sequence[Value]) -> _Piece | None:
    """What the trace got since `marks`; None where that reads what a replay would not find."""
    ops = tuple(trace.builder.ops[marks.ops :])
    scalars = frozenset(trace.scalars.values())
    made = {v for op in ops for v in op.results}
    known = made | set(inputs) | scalars
    read: dict[Value, None] = {p.value: None for p in islice(trace.parameters.values(), marks.parameters, None)}
    for op in ops:
        if op.regions:
            return None
        read.update((v, None) for v in op.operands if v not in known)
    parameters: list[tuple[Value, ParameterRole, str, TensorType]] = []
    for value in read:
        parameter = trace.by_value.get(value)
        if parameter is None:
            return None
        key: str | None = parameter.key
        if parameter.role in _READ_BY_PATH:
            key = _below(prefix, parameter.key)
        elif parameter.role != "control":
            return None
        if key is None:
            return None
        parameters.append((value, parameter.role, key, value.type))
    sites = [_below(prefix, key) for key in islice(trace.sites, marks.sites, None)]
    drawn = [_below(prefix, site) for op in ops if (site := _site(op.attrs)) is not None]
    if None in sites or None in drawn:
        return None
    through = tuple(islice(trace.seen_through.items(), marks.through, None))
    return _Piece(
        ops,
        tuple(parameters),
        tuple(s for s in sites if s is not None),
        through,
        scalars & made,
        trace.builder.location,
    )


def _append(trace: Trace, piece: _Piece, old: str, new: str, mapping: dict[Value, Value]) -> None:
    """Append a piece again. `mapping` takes recorded values to present ones, and learns those made."""
    for value, role, key, of_type in piece.parameters:
        mapping[value] = trace.parameter(role, key if role == "control" else new + key, of_type)
    append = trace.builder.ops.append
    kept = piece.kept
    for op in piece.ops:
        if kept and op.results[0] in kept:
            continue
        attrs = op.attrs
        site = _site(attrs)
        if site is not None:
            attrs = _moved_site(attrs, new + site[len(old) :])
        results = tuple(Value(v.type, v.name) for v in op.results)
        append(Operation(op.name, tuple(mapping.get(v, v) for v in op.operands), attrs, results, (), op.location))
        mapping.update(zip(op.results, results, strict=True))
    for site in piece.sites:
        trace.sites[new + site] = 1
    for shown, behind in piece.through:
        trace.seen_through[mapping.get(shown, shown)] = mapping.get(behind, behind)
    trace.builder.location = piece.location


# --- recording and replaying -------------------------------------------------------------------------------------------
@record(frozen=True, eq=False)
class Template:
    """One application, to be replayed. Keys of what it registered are relative to its path."""

    path: str
    inputs: tuple[Value, ...]
    origins: tuple[Span | None, ...]
    result: Datum
    body: _Piece
    first: _Piece
    states: tuple[tuple[str, Value], ...]
    weights: tuple[tuple[str, WeightInfo], ...]
    layer_states: tuple[tuple[str, StateInfo], ...]
    moments: tuple[tuple[str, TensorType], ...]
    initial: tuple[tuple[str, Value], ...]
    layers: tuple[AppliedLayer, ...]
    bodies: int

    def fits(self, core: Core, path: str) -> bool:
        """Whether the path is as new as the recorded one was."""
        registry = core.registry
        fresh = (
            all(path + key not in registry.weights for key, _ in self.weights)
            and all(path + key not in registry.states for key, _ in self.layer_states)
            and all(path + key not in registry.moments for key, _ in self.moments)
            and all(path + site not in core.trace.sites for site in self.body.sites)
            and all(path + key not in core.trace.states for key, _ in self.states)
        )
        read = ((role, path + key) for _, role, key, _ in self.body.parameters if role in _READ_BY_PATH)
        created = {key for key, _ in (*self.weights, *self.layer_states, *self.moments)}
        homes: dict[str, Mapping[str, object]] = {
            "weight": registry.weights,
            "state": registry.states,
            "moment": registry.moments,
        }
        return fresh and all(key[len(path) :] in created or key in homes[role] for role, key in read)

    def replay(self, core: Core, path: str, inputs: Mapping[str, Bound]) -> Datum:
        """Append the application again below `path`; its result."""
        mapping = dict(zip(self.inputs, _values(inputs), strict=True))
        registry, old, trace = core.registry, self.path, core.trace
        before = trace.builder.location
        began: dict[Value, Value] = {}
        _append(core.init, self.first, old, path, began)
        if trace is not core.init:
            trace.builder.location = before
        for key, info in self.weights:
            registry.weights[path + key] = replace(info, key=path + key)
        for key, state in self.layer_states:
            registry.states[path + key] = replace(state, key=path + key)
        for key, of_type in self.moments:
            registry.moments[path + key] = of_type, path
        for key, value in self.initial:
            registry.initial[path + key] = began.get(value, value)
        _append(trace, self.body, old, path, mapping)
        for key, value in self.states:
            trace.states[path + key] = mapping.get(value, value)
        at, below = len(old.split(".")), tuple(path.split("."))
        for layer in self.layers:
            products = [mapping[v] for v in layer.products]
            trace.layers.append(AppliedLayer((*below, *layer.path[at:]), layer.kind, layer.outputs, products))
            trace.accounted.update(products)
        core.bodies += self.bodies
        places = {id(o): n for o, n in zip(self.origins, _origins(inputs), strict=False) if o is not None}

        def moved(value: Datum) -> Datum:
            if isinstance(value, TupleValue):
                return TupleValue(tuple(moved(item) for item in value.items), value.names)
            if not isinstance(value, Tensor):
                return value
            valid = None if value.valid is None else mapping.get(value.valid, value.valid)
            origins = tuple(places.get(id(o), o) for o in value.origins)
            return replace(value, value=mapping.get(value.value, value.value), valid=valid, origins=origins)

        return moved(self.result)


def _movable(value: Datum, within: set[Value]) -> bool:
    if isinstance(value, TupleValue):
        return all(_movable(item, within) for item in value.items)
    if isinstance(value, Tensor):
        return value.value in within and (value.valid is None or value.valid in within) and value.behind is None
    return value is None or isinstance(value, (bool, int, float, str, Poly))


class Marks:
    """How things stood when an application began; `template` says what it added. Nothing may be below `path` yet: a layer is
    recorded when it gets its path."""

    def __init__(self, core: Core, path: str, inputs: Mapping[str, Bound]) -> None:
        registry = core.registry
        self._path = path
        self._inputs = tuple(_values(inputs))
        self._origins = tuple(_origins(inputs))
        self._body, self._first = _marks(core.trace), _marks(core.init)
        self._layers = len(core.trace.layers)
        self._findings, self._undecided, self._bodies = len(core.diagnostics), core.undecided, core.bodies
        self._counts = len(registry.weights), len(registry.states), len(registry.moments), len(registry.initial)

    def template(self, core: Core, result: Datum) -> Template | None:
        """The application that has just ended with `result`, or None where it cannot be replayed."""
        registry, path = core.registry, self._path
        if len(core.diagnostics) != self._findings or core.undecided != self._undecided:
            return None
        body = _piece(core.trace, self._body, path, self._inputs)
        first = _piece(core.init, self._first, path, ())
        if body is None or first is None:
            return None
        within = {v for op in body.ops for v in op.results} | {p[0] for p in body.parameters} | set(self._inputs)
        if not _movable(result, within):
            return None
        changed = list(islice(core.trace.states.items(), self._body.states, None))
        counts = self._counts
        weights = list(islice(registry.weights.items(), counts[0], None))
        states = list(islice(registry.states.items(), counts[1], None))
        moments = list(islice(registry.moments.items(), counts[2], None))
        initial = list(islice(registry.initial.items(), counts[3], None))
        if not all(v in within for _, v in changed):
            return None
        named: Iterable[tuple[str, object]] = (*changed, *weights, *states, *moments, *initial)
        if any(_below(path, key) is None for key, _ in named):
            return None
        size = len(path)
        return Template(
            path,
            self._inputs,
            self._origins,
            result,
            body,
            first,
            tuple((k[size:], v) for k, v in changed),
            tuple((k[size:], v) for k, v in weights),
            tuple((k[size:], v) for k, v in states),
            tuple((k[size:], t) for k, (t, _) in moments),
            tuple((k[size:], v) for k, v in initial),
            tuple(core.trace.layers[self._layers :]),
            core.bodies - self._bodies,
        )
