"""One graph under construction: operations in order, and the parameters that they turned out to need.

In: calls by the elaborator. Out: `Function`s cut from it. Guaranteed: a cut function holds exactly the operations that its
results
and its effects depend on, in the order in which they were made; parameters stand in the order of their first use within
each role.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, get_args

from bmc.ir import Dim, Function, Operation, Parameter, Poly, Result, Shape, TensorType, Value
from bmc.ir.dims import symbols
from bmc.ir.graph import ParameterRole
from bmc.ops.build import Builder
from bmc.ops.registry import NoAttrs, RowMix, row_axes
from bmc.ops.table import definition
from bmc.record import record
from bmc.source import Span

if TYPE_CHECKING:
    from bmc.frontend.bodies.replay import Template

__all__ = ["AppliedLayer", "CONTROL", "ROW", "STEP", "STEPS", "Trace", "cone", "first_mixing", "substituted"]

ROW = "B"
"""The symbol of the row dim in every function of a unit."""

STEP, STEPS = 1, 3
"""Cells of `control`: this step, counted from 0, and the number of all steps."""

CONTROL: Mapping[str, TensorType] = {"control": TensorType("i64", (8,)), "control_f": TensorType("f64", (4,))}


_PRODUCTS = frozenset({"contract", "convolution"})


@dataclass(eq=False)
class AppliedLayer:
    """One application of a layer: its results, and the products of its own body, those of layers within it aside."""

    path: tuple[str, ...]
    kind: str
    outputs: tuple[TensorType, ...] = ()
    products: list[Value] = field(default_factory=list)


@dataclass(eq=False)
class Trace:
    """training: which branch `if training` takes. exact: sums over rows are f64 sums over a whole split (fits, metrics).

    states: the latest value of each state, by key. templates: applications to be replayed, by what their bodies depend on.
    settings: numbers of the file that are inputs of the function, by name, with their values there; None where there are none.
    """

    name: str
    row: str | None
    training: bool = False
    exact: bool = False
    builder: Builder = field(default_factory=Builder)
    parameters: dict[tuple[ParameterRole, str], Parameter] = field(default_factory=dict)
    states: dict[str, Value] = field(default_factory=dict)
    scalars: dict[object, Value] = field(default_factory=dict)
    seen_through: dict[Value, Value] = field(default_factory=dict)
    plain: dict[Value, Value] = field(default_factory=dict)
    sites: dict[str, int] = field(default_factory=dict)
    by_value: dict[Value, Parameter] = field(default_factory=dict)
    templates: dict[Hashable, Template] = field(default_factory=dict)
    layers: list[AppliedLayer] = field(default_factory=list)
    accounted: set[Value] = field(default_factory=set)
    settings: dict[str, float] | None = None
    _index: Index | None = None

    # --- operations ------------------------------------------------------------------------------------------------
    def op(self, name: str, *operands: Value, hint: str = "", **attributes: object) -> Value:
        """The only result of a new operation. TypeRuleError when the operands do not fit."""
        return self.builder.operation(name, operands, _attrs(name, attributes), hint=hint).result

    def ops(self, name: str, *operands: Value, hint: str = "", **attributes: object) -> tuple[Value, ...]:
        """All results of a new operation."""
        return self.builder.operation(name, operands, _attrs(name, attributes), hint=hint).results

    def constant(self, value: float | int | bool, dtype: str, shape: Shape = ()) -> Value:
        if dtype == "bool":
            value = bool(value)
        elif dtype in ("f32", "f64"):
            value = float(value)
        return self.op("constant", value=value, dtype=dtype, shape=shape)

    def cast(self, value: Value, dtype: str) -> Value:
        return value if value.type.dtype == dtype else self.op("cast", value, dtype=dtype)

    def broadcast(self, value: Value, shape: Shape) -> Value:
        """By numpy's rule: axes are aligned at the right."""
        if value.type.shape == shape:
            return value
        axes = tuple(range(len(shape) - value.type.rank, len(shape)))
        return self.op("broadcast", value, shape=shape, axes=axes)

    def reshape(self, value: Value, shape: Shape) -> Value:
        return value if value.type.shape == shape else self.op("reshape", value, shape=shape)

    def transpose(self, value: Value, permutation: Sequence[int]) -> Value:
        order = tuple(permutation)
        return value if order == tuple(range(len(order))) else self.op("transpose", value, permutation=order)

    def reduce(self, name: str, value: Value, axes: Sequence[int]) -> Value:
        return value if not axes else self.op(name, value, axes=tuple(sorted(axes)))

    def slice(self, value: Value, axis: int, start: Dim, stop: Dim, step: int = 1) -> Value:
        shape = value.type.shape
        if start == 0 and stop == shape[axis] and step == 1:
            return value
        starts = tuple(start if i == axis else 0 for i in range(len(shape)))
        stops = tuple(stop if i == axis else dim for i, dim in enumerate(shape))
        steps = tuple(step if i == axis else 1 for i in range(len(shape)))
        return self.op("slice", value, starts=starts, stops=stops, steps=steps)

    def dim(self, dim: Dim, dtype: str) -> Value:
        """The value of a dim over the whole batch, rank 0."""
        if isinstance(dim, int):
            return self.constant(dim, dtype)
        cached = self.scalars.get((dim, dtype))
        if cached is None:
            cached = self.op("dim_value", dim=dim, dtype=dtype)
            self.scalars[(dim, dtype)] = cached
        return cached

    def dim_of_rows(self) -> Poly:
        """The row dim. ValueError for a trace without rows."""
        if self.row is None:
            raise ValueError(f"the trace {self.name} has no rows")
        return Poly.symbol(self.row)

    def has_rows(self, dim: Dim) -> bool:
        return self.row is not None and self.row in symbols(dim)

    # --- layers ----------------------------------------------------------------------------------------------------
    def begin_layer(self, path: tuple[str, ...], kind: str) -> tuple[AppliedLayer, int]:
        """What `end_layer` wants back."""
        applied = AppliedLayer(path, kind)
        self.layers.append(applied)
        return applied, len(self.builder.ops)

    def end_layer(self, applied: AppliedLayer, begun: int, outputs: tuple[TensorType, ...]) -> None:
        """The operations since then are the layer's, those aside that an inner one has."""
        applied.outputs = outputs
        for op in self.builder.ops[begun:]:
            self._account(op, applied)

    def _account(self, op: Operation, applied: AppliedLayer) -> None:
        if op.name in _PRODUCTS and op.results[0] not in self.accounted:
            self.accounted.add(op.results[0])
            applied.products.append(op.results[0])
        for region in op.regions:
            for inner in region.ops:
                self._account(inner, applied)

    # --- parameters ------------------------------------------------------------------------------------------------
    def parameter(self, role: ParameterRole, key: str, of_type: TensorType) -> Value:
        found = self.parameters.get((role, key))
        if found is None:
            found = Parameter(Value(of_type, key), role, key)
            self.parameters[(role, key)] = found
            self.by_value[found.value] = found
        return found.value

    def control(self, key: str, index: int) -> Value:
        """Cell `index` of `control` or `control_f` as a rank-0 f64."""
        cached = self.scalars.get((key, index))
        if cached is None:
            vector = self.parameter("control", key, CONTROL[key])
            cell = self.op("slice", vector, starts=(index,), stops=(index + 1,), steps=(1,))
            cached = self.cast(self.op("reshape", cell, shape=()), "f64")
            self.scalars[(key, index)] = cached
        return cached

    def placeholder(self, of_type: TensorType, hint: str) -> Value:
        """A value that nothing computes: stands for what the compiler cannot do yet, so that checking goes on. No function
        can be cut
        through it."""
        return Value(of_type, hint)

    # --- cutting ---------------------------------------------------------------------------------------------------
    def cut(
        self,
        name: str,
        results: Sequence[Result],
        *,
        earlier: Trace | None = None,
        mapping: Mapping[Value, Value] | None = None,
        augmented: bool = False,
    ) -> Function:
        """The function that computes `results`. Parameters of this trace in `mapping` become values of the trace
        `earlier`, whose
        operations come first."""
        if not augmented:
            results = [Result(self._plainly(r.value), r.role, r.key) for r in results]
        roots = [r.value for r in results]
        if augmented or not self.plain:
            ops = self._cone(roots, effects=mapping is None)
        else:
            ops = list(cone(self._plain_ops(), roots, effects=mapping is None))
        parameters = self._used(ops, roots)
        if mapping:
            if earlier is not None:
                mapping = {value: earlier._plainly(behind) for value, behind in mapping.items()}
            ops = [substituted(op, mapping) for op in ops]
            results = [Result(mapping.get(r.value, r.value), r.role, r.key) for r in results]
            parameters = [p for p in parameters if p.value not in mapping]
        if earlier is not None:
            wanted = [v for op in ops for v in op.operands] + [r.value for r in results]
            before = list(cone(earlier._plain_ops(), wanted, effects=False)) if earlier.plain else earlier._cone(wanted)
            known = {(p.role, p.key): p for p in parameters}
            replaced: dict[Value, Value] = {}
            for p in earlier._used(before, wanted):
                same = known.get((p.role, p.key))
                if same is None:
                    parameters.append(p)
                elif same.value is not p.value:
                    replaced[p.value] = same.value
            ops = [substituted(op, replaced) if replaced else op for op in before] + [
                substituted(op, replaced) if replaced else op for op in ops
            ]
            results = [Result(replaced.get(r.value, r.value), r.role, r.key) for r in results]
        order = get_args(ParameterRole)
        parameters.sort(key=lambda p: order.index(p.role))
        return Function(name, tuple(parameters), tuple(ops), tuple(results), self.row)

    def _cone(self, roots: Iterable[Value], *, effects: bool = False) -> list[Operation]:
        """As `cone` of all operations, in time that does not grow with those that it leaves out: a table of a thousand columns has
        a thousand functions that fit, of some operations each."""
        if self._index is None or not self._index.is_of(self.builder.ops):
            self._index = Index.made(self.builder.ops)
        return self._index.cone(roots, effects=effects)

    def _plainly(self, value: Value) -> Value:
        while value in self.plain:
            value = self.plain[value]
        return value

    def _plain_ops(self) -> Sequence[Operation]:
        """The operations as all but training steps run them."""
        if not self.plain:
            return self.builder.ops
        chosen = {value: self._plainly(value) for value in self.plain}
        return [substituted(op, chosen) for op in self.builder.ops]

    def _used(self, ops: Iterable[Operation], roots: Iterable[Value]) -> list[Parameter]:
        used = {id(v) for op in ops for v in op.operands} | {id(v) for v in roots}
        return [p for p in self.parameters.values() if id(p.value) in used]


_NO_ATTRS = NoAttrs()


def _attrs(name: str, attributes: Mapping[str, object]) -> object:
    """The attributes of an operator from their names; in the order of its fields, which is the quick way to make a record."""
    if not attributes:
        return _NO_ATTRS
    made: Any = definition(name).attrs
    return made(*[attributes[field] for field in made.__match_args__])


@record(frozen=True, eq=False)
class Index:
    """Which operation makes each value, by the places of operations; `effects`: places of those that always run."""

    ops: tuple[Operation, ...]
    makers: Mapping[int, int]
    effects: tuple[int, ...]

    @staticmethod
    def made(ops: Sequence[Operation]) -> Index:
        makers = {id(value): place for place, op in enumerate(ops) for value in op.results}
        return Index(tuple(ops), makers, tuple(place for place, op in enumerate(ops) if definition(op.name).effect))

    def is_of(self, ops: Sequence[Operation]) -> bool:
        """Operations are only ever added behind, or taken away from the end."""
        return len(ops) == len(self.ops) and (not ops or ops[-1] is self.ops[-1])

    def cone(self, roots: Iterable[Value], *, effects: bool) -> list[Operation]:
        """As the function `cone`."""
        waiting = list(self.effects) if effects else []
        waiting += [place for value in roots if (place := self.makers.get(id(value))) is not None]
        found: set[int] = set()
        while waiting:
            place = waiting.pop()
            if place not in found:
                found.add(place)
                waiting += [made for value in self.ops[place].operands if (made := self.makers.get(id(value))) is not None]
        return [self.ops[place] for place in sorted(found)]


def cone(ops: Sequence[Operation], roots: Iterable[Value], *, effects: bool) -> Sequence[Operation]:
    """The operations, in order, that `roots` (and effects) depend on."""
    needed = {id(v) for v in roots}
    kept: list[Operation] = []
    for op in reversed(ops):
        if any(id(v) in needed for v in op.results) or (effects and definition(op.name).effect):
            kept.append(op)
            needed.update(id(v) for v in op.operands)
    kept.reverse()
    return kept


def substituted(op: Operation, mapping: Mapping[Value, Value]) -> Operation:
    """The operation with other operands."""
    if not any(v in mapping for v in op.operands):
        return op
    operands = tuple(mapping.get(v, v) for v in op.operands)
    return Operation(op.name, operands, op.attrs, op.results, op.regions, op.location)


def first_mixing(function: Function) -> tuple[Operation | None, Span | None]:
    """The first operation of a function through which one row comes to depend on another, and where it stands in the source."""
    rows: dict[int, int | None] = {}
    found: tuple[Operation, Span | None] | None = None
    for p in function.params:
        leading = p.value.type.shape[:1]
        rows[id(p.value)] = 0 if p.role == "input" and function.row and leading == (Poly.symbol(function.row),) else None
    for op in function.ops:
        states = row_axes(definition(op.name), op, [rows.get(id(v)) for v in op.operands], function.row)
        for value, state in zip(op.results, states, strict=True):
            if isinstance(state, RowMix):
                here = op, op.location.spans[0] if op.location.spans else None
                if op.operands:
                    return here
                found = found or here  # the number of rows: what divides by it says more
                state = None
            rows[id(value)] = state
    return found or (None, None)
