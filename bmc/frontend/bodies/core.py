"""What every part of elaboration shares: the trace under construction, the key scope, the weights, and reporting.

In: a `Program`. Out: `Core`, on which expressions, calls and statements are built. Guaranteed: one finding is reported once,
however many times the body that has it is applied; each operation's location is the user's source, and behind it the
library's where the operation comes from there.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from bmc.errors import Diagnostic, Label
from bmc.frontend.bodies.dims import Failure
from bmc.frontend.bodies.frozen import FrozenKeys
from bmc.frontend.bodies.keys import KeyScope
from bmc.frontend.bodies.trace import Trace
from bmc.frontend.bodies.values import POISON, Bound, Datum, Environment, Parts, Plateau, Poison, Tensor
from bmc.frontend.errors import name_errors, type_errors
from bmc.frontend.errors.provenance import tells_of_values, with_bindings
from bmc.frontend.scope import FileScope, Program
from bmc.frontend.syntax import tree as syntax
from bmc.frontend.syntax.walk import walk
from bmc.ir import Dim, Location, Shape, TensorType, Value
from bmc.record import record, replace
from bmc.source import Span

__all__ = [
    "Bucketing", "Core", "FitRecord", "Fitting", "InOneMode", "MAX_BODIES", "Registry", "StateInfo", "TYPE_NAMES", "Turns",
    "WeightInfo",
]  # fmt: skip

MAX_BODIES = 100_000
"""Bodies that one elaboration writes out: some ten for each layer, twice, are what 5,000 layers have."""

TYPE_NAMES = ("float", "bool", "u8", "i32", "i64", "f32", "f64", "str", "date", "timestamp")

FloatType = Literal["f32", "f64"]

_ABOUT_DIMS = frozenset({"E0301", "E0304", "E0305", "E0311", "E0321"})
"""Findings that a model checked alone must not make of rounded dims: whether `H // 2 * 2` is H depends on H. `lenient`
says that this is such a
check, `undecided` that something was left open."""

_ABOUT_NAMES = frozenset({"E0201", "E0401", "E0402", "E0403"})
"""Findings that hold whatever the types are. `names_only`: a model's inputs are wrong already, types were put in their place, and
only these are worth reporting."""


@record(frozen=True)
class WeightInfo:
    """A learned parameter: made by the first trace that applies its layer."""

    key: str
    type: TensorType
    named: bool
    span: Span
    origins: tuple[Span | None, ...]


@record(frozen=True)
class StateInfo:
    key: str
    type: TensorType
    span: Span


@record(frozen=True)
class InOneMode:
    """A parameter that was first made behind a condition on `training`: where, and the condition."""

    key: str
    span: Span
    condition: Span


@dataclass(eq=False)
class Turns:
    """A scan whose body is traced. `draws`: what a turn sees of random numbers, and those of all turns. `states`: by key what the
    turn finds, and what stands outside."""

    trace: Trace
    length: Dim
    draws: list[tuple[Value, Value]] = field(default_factory=list)
    states: dict[str, tuple[Value, Value]] = field(default_factory=dict)


@dataclass(eq=False)
class Registry:
    """Parameters of the unit by key, in order of creation; `initial` are their first values in the trace `init`."""

    weights: dict[str, WeightInfo] = field(default_factory=dict)
    states: dict[str, StateInfo] = field(default_factory=dict)
    moments: dict[str, tuple[TensorType, str]] = field(default_factory=dict)
    initial: dict[str, Value] = field(default_factory=dict)
    in_one_mode: dict[str, InOneMode] = field(default_factory=dict)
    plateau: Plateau | None = None


@record(frozen=True, eq=False)
class FitRecord:
    """One `fit`: `values` of the data trace whose final contents become the fitted parameters `keys`."""

    keys: tuple[str, ...]
    values: tuple[Value, ...]
    expression: str
    span: Span


@record(frozen=True, eq=False)
class Bucketing:
    """Rows padded to their own length rounded up: `symbol` is the run-time dim, `lengths` (i32[B], of the data trace) how long each
    row is, at most `most`. `of`: what is padded; what has the same lengths has the same dim."""

    symbol: str
    lengths: Value
    most: int
    bucket: int
    of: object


@dataclass(eq=False)
class Fitting:
    """The data block under elaboration: its fits in order, the scope that names them, and what is padded in buckets."""

    records: list[FitRecord] = field(default_factory=list)
    keys: KeyScope = field(default_factory=KeyScope)
    bucketings: list[Bucketing] = field(default_factory=list)


class Core(ABC):
    """State of one elaboration. Methods are pure but for the trace, the scopes and the list of findings."""

    def __init__(self, program: Program, float_type: FloatType) -> None:
        self.program = program
        self.float_type: FloatType = float_type
        self.diagnostics: list[Diagnostic] = []
        self._reported: set[tuple[str, str, int]] = set()
        self.init = Trace("init", None)
        self.trace = self.init
        self.registry = Registry()
        self.keys = KeyScope()
        self.fitting: Fitting | None = None
        self.binding: str | None = None
        self.calls: list[Span] = []
        self.active: list[object] = []
        self.bodies = 0
        self.lenient = False
        self.names_only = False
        self.turns: list[Turns] = []
        self.opens = True
        self.frozen_keys = FrozenKeys()
        self.fixed = False
        self.undecided = False
        self.bound_at: dict[tuple[int, int], Bound] = {}
        """What a name of the main file meant, by the place where the name was read."""

    def expand(self, span: Span) -> None:
        """Count one more body that is written out where it is called or repeated. Raises Failure beyond `MAX_BODIES`: what calls
        itself twice at each of forty levels, or repeats within repeats, would go on for years."""
        self.bodies += 1
        if self.bodies > MAX_BODIES:  # said once; what is left of the bodies begun falls silently
            raise Failure(name_errors.too_many_bodies(span, MAX_BODIES) if self.bodies == MAX_BODIES + 1 else None)

    @property
    def training(self) -> bool:
        """What `training` means here: false in the trace of evaluation, and in layers that are frozen."""
        return self.trace.training and not self.fixed

    def turns_here(self) -> list[Turns]:
        """The scans of the present trace that are under way, the outermost first."""
        return [turns for turns in self.turns if turns.trace is self.trace]

    # --- the parts built on this one -------------------------------------------------------------------------------
    @abstractmethod
    def evaluate(self, expression: syntax.Expr, env: Environment) -> Datum:
        """The value of an expression. Raises Failure."""

    @abstractmethod
    def apply(self, callee: Datum, positional: Sequence[Bound], keyword: Mapping[str, Bound], span: Span) -> Datum:
        """`callee(...)` with evaluated arguments. Raises Failure."""

    @abstractmethod
    def apply_value(self, callee: Datum, inputs: Sequence[Bound], span: Span, name: syntax.Name | None = None) -> Datum:
        """`inputs |> callee as name`: a call with all of its inputs. Raises Failure."""

    @abstractmethod
    def run(self, body: Sequence[syntax.Statement], env: Environment) -> Datum | None:
        """Run statements; the value of the `return` that ended them."""

    @abstractmethod
    def constant(self, scope: FileScope, declaration: syntax.Let) -> Bound:
        """The value of a file's `let`. Raises Failure."""

    # --- findings --------------------------------------------------------------------------------------------------
    def report(self, diagnostic: Diagnostic | None) -> None:
        """Add a finding once. One inside the library is shown at the user's call, with the library's line beside it."""
        if diagnostic is None:
            return
        if self.lenient and diagnostic.code in _ABOUT_DIMS and "//" in diagnostic.message:
            self.undecided = True
            return
        if self.names_only and diagnostic.level == "error" and diagnostic.code not in _ABOUT_NAMES:
            return
        diagnostic = self.at_user(diagnostic)
        if diagnostic.level == "error" and tells_of_values(diagnostic.code):
            diagnostic = with_bindings(diagnostic, self.program.main.file, self._sources(diagnostic))
        span = diagnostic.span
        identity = (diagnostic.code, "" if span is None else span.file.name, -1 if span is None else span.start)
        if identity not in self._reported:
            self._reported.add(identity)
            self.diagnostics.append(diagnostic)

    def _sources(self, diagnostic: Diagnostic) -> list[tuple[str, Span]]:
        """The names under the labels of a finding, and where they were bound; else those of a few tensors within its first."""
        file = self.program.main.file
        spans = [label.span for label in diagnostic.labels if label.span.file is file]
        found = [(s.text, bound.span) for s in spans if (bound := self.bound_at.get((s.start, s.end))) is not None]
        whole = diagnostic.span
        if found or whole is None or whole.file is not file:
            return found
        inside = {
            file.text[start:end]: bound.span
            for (start, end), bound in self.bound_at.items()
            if whole.start <= start and end <= whole.end and isinstance(bound.value, (Tensor, Parts))
        }
        return list(inside.items()) if len(inside) <= 2 else []

    def at_user(self, diagnostic: Diagnostic) -> Diagnostic:
        """A finding inside the library, shown at the user's call under way."""
        span = diagnostic.span
        if span is None or not self.program.is_library(span.file):
            return diagnostic
        call = self.user_call()
        if call is None:
            return diagnostic
        inner = tuple(replace(label, primary=False) for label in diagnostic.labels if label.span != call)
        return replace(diagnostic, labels=(Label(call, "in this call", primary=True), *inner))

    def user_call(self) -> Span | None:
        """The innermost call under way that stands in a user's file."""
        for span in reversed(self.calls):
            if not self.program.is_library(span.file):
                return span
        return None

    @property
    def failed(self) -> bool:
        return any(d.level == "error" for d in self.diagnostics)

    # --- places ----------------------------------------------------------------------------------------------------
    def at(self, span: Span) -> None:
        """What is built next comes from `span`."""
        spans: tuple[Span, ...] = (span,)
        if self.program.is_library(span.file):
            call = self.user_call()
            if call is not None:
                spans = (call, span)
        self.trace.builder.location = Location(spans)

    @contextmanager
    def tracing(self, trace: Trace) -> Iterator[Trace]:
        """Build into another trace, at the present place."""
        before = self.trace
        trace.builder.location = before.builder.location
        self.trace = trace
        try:
            yield trace
        finally:
            self.trace = before

    @contextmanager
    def scope(self, keys: KeyScope) -> Iterator[KeyScope]:
        before, self.keys = self.keys, keys
        try:
            yield keys
        finally:
            self.keys = before

    # --- tensors ---------------------------------------------------------------------------------------------------
    def tensor(
        self, value: Value, *, like: Tensor | None = None, origins: Sequence[Span | None] = (), weak: bool = False
    ) -> Tensor:
        """A tensor of the present trace; `like` gives the origins where the shape is the same."""
        if like is not None and not origins and like.shape == value.type.shape:
            origins = like.origins
        return Tensor(value, self.trace, origins=tuple(origins), weak=weak)

    def own(self, tensor: Tensor, span: Span) -> Tensor:
        """The tensor, if it belongs to the trace under construction."""
        if tensor.trace is not self.trace:
            what = "a value of the data" if tensor.trace.name == "data" else "a value of the model"
            where = "the initial value of a parameter" if self.trace is self.init else f"the {self.trace.name} block"
            raise Failure(type_errors.operand_type(span, where, what))
        return tensor

    def dtype(self, expression: syntax.TypeExpr) -> str:
        """The dtype that a type's name means in this program."""
        name = expression.name.text
        if name == "float" or (name == "f32" and self.float_type == "f64"):
            return self.float_type
        if name == "date":
            return "i32"
        if name == "timestamp":
            return "i64"
        if name not in TYPE_NAMES:
            raise Failure(type_errors.unknown_type(expression.name.span, name, TYPE_NAMES))
        return name

    def full(self, value: float | int | bool, dtype: str, shape: Shape) -> Tensor:
        return self.tensor(self.trace.constant(value, dtype, shape))

    def is_poison(self, *values: Datum) -> bool:
        return any(isinstance(v, Poison) for v in values)

    # --- names -----------------------------------------------------------------------------------------------------
    def lookup(self, name: syntax.Name, env: Environment) -> Bound:
        """What a name means. Raises Failure, silent where it means something that was wrong."""
        bound = self.find(name, env)
        if bound is None:
            if name.text in env.columns:
                found = name_errors.unseen_column(name.span, name.text, env.columns[name.text])
            else:
                found = name_errors.unknown_name(
                    name.span, name.text, self.candidates(env), *self.places(env), below=_bound_below(name, env.scope)
                )
            env.names[name.text] = Bound(POISON, name.span)  # said once, however often the body says it
            raise Failure(found)
        if isinstance(bound.value, Poison):
            raise Failure
        if name.span.file is self.program.main.file:
            self.bound_at[name.span.start, name.span.end] = bound
        return bound

    @abstractmethod
    def find(self, name: syntax.Name, env: Environment) -> Bound | None:
        """What a name means, or None. Raises Failure where the meaning is wrong."""

    def places(self, env: Environment) -> tuple[dict[str, Span], list[str]]:
        """Where the names around are bound, and those of them that nothing reads."""
        declared = {n: d.name.span for s in env.scope.visible() for n, d in s.declarations.items()}
        return declared | {name: bound.span for name, bound in env.names.items()}, []

    @abstractmethod
    def candidates(self, env: Environment) -> list[str]:
        """Every name that could have been meant."""


def _bound_below(name: syntax.Name, scope: FileScope) -> Span | None:
    """Where the declaration around a name binds it behind that place."""
    for declaration in (*scope.declarations.values(), *scope.data.values(), *scope.trains):
        span = declaration.span
        if span.file is name.span.file and span.start <= name.span.start < span.end:
            bound = (n.name for n in walk(declaration) if isinstance(n, syntax.Target | syntax.Let | syntax.Output))
            return next((n.span for n in bound if n.text == name.text and n.span.start > name.span.start), None)
    return None
