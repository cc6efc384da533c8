"""`scan`: a body traced once, cut out of the trace as the region of one operation.

In: the statement and the environment of an application. Out: the names that it carries and yields, bound to what they are
behind it. What the body computes from nothing that changes with the turn stays in front of the scan, so that it is done
once; so do layers' parameters. Guaranteed: values of one turn are not reachable behind the scan.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bmc.frontend.bodies import coercion
from bmc.frontend.bodies.calls import BodyEnvironment, Calls
from bmc.frontend.bodies.core import Turns
from bmc.frontend.bodies.dims import Failure
from bmc.frontend.bodies.trace import substituted
from bmc.frontend.bodies.values import POISON, Bound, Datum, Environment, Poison, Tensor, describe, is_number
from bmc.frontend.errors import layer_errors, type_errors
from bmc.frontend.syntax import tree as syntax
from bmc.ir import Dim, Operation, Region, TensorType, Value
from bmc.ir.types import is_float
from bmc.ops.lowering import Elementwise, Reshape, View
from bmc.ops.scan_parts import ScanAttrs
from bmc.ops.table import definition
from bmc.record import replace
from bmc.source import Span

__all__ = ["Scanning", "Yields"]

Yields = dict[str, tuple[Tensor, Span]]
_Carried = list[tuple[str, Tensor]]


def _is_static(value: Datum) -> bool:
    return is_number(value) or isinstance(value, bool)


@dataclass(eq=False)
class _Sequence:
    """One of the tensors that are scanned: `stack` with the axis leading, `slice` what a turn sees."""

    name: str
    stack: Value
    slice: Tensor
    span: Span


class Scanning(Calls):
    """`scan`."""

    def scan(self, statement: syntax.Scan, env: Environment, changed: Sequence[str]) -> None:
        """Bind the names that `statement` carries and yields. `changed`: names that its body binds. Raises Failure."""
        axis, reverse = self._scan_options(statement, env)
        if len(statement.targets) != len(statement.sequences):
            raise Failure(
                layer_errors.target_count(statement.span, len(statement.targets), f"{len(statement.sequences)} sequences")
            )
        sequences, length = self._sequences(statement, axis, env)
        carried = [
            (name, tensor) for name in dict.fromkeys(changed)
            if (bound := env.names.get(name)) is not None and isinstance(tensor := bound.value, Tensor)
        ]  # fmt: skip
        carried = [(name, replace(self.own(tensor, env.names[name].span), weak=False)) for name, tensor in carried]
        outside = dict(env.names)
        numbers = [name for name in dict.fromkeys(changed) if (b := outside.get(name)) is not None and _is_static(b.value)]
        if numbers:
            found_types = self._rehearsed(statement, env, carried, sequences, length, numbers)
            for name, of_type in found_types.items():
                bound = outside[name]
                made = self.materialise(bound.value, of_type, name, bound.span)
                counted = not of_type.shape and of_type.dtype == "i32"  # stays a number that takes the dtype of what it meets
                carried.append((name, replace(made, weak=counted)))
        before = self._begin(env, carried, sequences, outside)
        turns = Turns(self.trace, length)
        yields, found, states = self._body(statement, env, turns)
        after = self._carried_on(carried, outside, env)
        ordered = list(found.items())
        # A state that a turn changes is carried like a name; one that it only reads is what it is outside.
        ends = {key: states.get(key, within) for key, (within, _) in turns.states.items()}
        moved = {key: (within, ends[key]) for key, (within, _) in turns.states.items() if ends[key] is not within}
        fixed = {within: outer for key, (within, outer) in turns.states.items() if key not in moved}
        carries = [*before, *(within for within, _ in moved.values())]
        starts = [*(t.value for _, t in carried), *(turns.states[key][1] for key in moved)]
        results = [*after, *(value for _, value in moved.values()), *(tensor.value for _, (tensor, _) in ordered)]
        slices = [*(s.slice.value for s in sequences), *(part for part, _ in turns.draws)]
        stacks = [*(s.stack for s in sequences), *(stack for _, stack in turns.draws)]
        region, captured = self._cut(yields, [*carries, *slices], results, fixed)
        attrs = ScanAttrs(len(carries), len(slices), reverse, length)
        self.at(statement.span)
        made_by = self.trace.builder.operation("scan", [*starts, *stacks, *captured], attrs, (region,))
        for key, value in zip(moved, made_by.results[len(carried) :], strict=False):
            self.trace.states[key] = value
        # Names of the body mean nothing behind it, but for those that it carries and yields.
        env.names.clear()
        env.names.update(outside)
        for (name, tensor), value in zip(carried, made_by.results, strict=False):
            env.names[name] = Bound(self.tensor(value, origins=tensor.origins, weak=tensor.weak), outside[name].span)
        for (name, (tensor, span)), value in zip(ordered, made_by.results[len(carries) :], strict=True):
            if tensor.rank < axis:
                raise Failure(type_errors.operand_type(span, f"a yield along axis {axis}", describe(tensor)))
            order = (*range(1, axis + 1), 0, *range(axis + 1, tensor.rank + 1))
            at = sequences[0].span if sequences else span
            origins = (*tensor.origins[:axis], at, *tensor.origins[axis:]) if tensor.origins else ()
            env.names[name] = Bound(self.tensor(self.trace.transpose(value, order), origins=origins), span)
        for inner in statement.body:
            if isinstance(inner, syntax.Yield) and inner.name.text not in found:  # what was wrong has been said
                env.names[inner.name.text] = Bound(POISON, inner.name.span)

    def _begin(
        self, env: Environment, carried: _Carried, sequences: Sequence[_Sequence], outside: Mapping[str, Bound]
    ) -> list[Value]:
        """Bind what a turn sees; the values that it gets of what is carried."""
        before = [Value(tensor.type, name) for name, tensor in carried]
        for (name, tensor), value in zip(carried, before, strict=True):
            env.names[name] = Bound(self.tensor(value, origins=tensor.origins, weak=tensor.weak), outside[name].span)
        for sequence in sequences:
            env.names[sequence.name] = Bound(sequence.slice, sequence.span)
        return before

    def _rehearsed(
        self,
        statement: syntax.Scan,
        env: Environment,
        carried: _Carried,
        sequences: Sequence[_Sequence],
        length: Dim,
        numbers: Sequence[str],
    ) -> dict[str, TensorType]:
        """The types that static numbers take when the body binds them again, which one turn tells. It leaves no trace."""
        outside, trace, keys = dict(env.names), self.trace, self.keys
        explicit, counts, sites = dict(keys.explicit), dict(keys.counts), dict(trace.sites)
        mark, bodies = len(trace.builder.ops), self.bodies
        self._begin(env, carried, sequences, outside)
        self._body(statement, env, Turns(self.trace, length))
        after = {name: env.names[name] for name in numbers}
        del trace.builder.ops[mark:]
        for held, kept in ((env.names, outside), (keys.explicit, explicit), (keys.counts, counts), (trace.sites, sites)):
            held.clear()
            held.update(kept)  # type: ignore[arg-type]  # each with its own
        self.bodies = bodies
        found: dict[str, TensorType] = {}
        for name, bound in after.items():
            start, value = outside[name].value, bound.value
            truth = value.dtype == "bool" if isinstance(value, Tensor) else isinstance(value, bool)
            if isinstance(start, bool) != truth:
                raise Failure(layer_errors.carried_type(bound.span, name, describe(start), describe(value), outside[name].span))
            if isinstance(value, Tensor):
                weak = self.float_type if is_float(value.dtype) else "i32"
                found[name] = value.type.with_dtype(weak) if value.weak else value.type
            elif not _is_static(value):
                raise Failure(layer_errors.carried_type(bound.span, name, describe(start), describe(value), outside[name].span))
            elif type(value) is not type(start) or value != start:
                floats = isinstance(value, float) or isinstance(start, float)
                found[name] = TensorType("bool" if isinstance(value, bool) else self.float_type if floats else "i32", ())
        return found

    def _scan_options(self, statement: syntax.Scan, env: Environment) -> tuple[int, bool]:
        axis, reverse = 1, False
        for option in statement.options:
            name = "" if option.name is None else option.name.text
            value = self.evaluate(option.value, env)
            if isinstance(value, Poison):
                raise Failure
            if name == "axis" and isinstance(value, int) and not isinstance(value, bool) and value >= 0:
                axis = value
            elif name == "reverse" and isinstance(value, bool):
                reverse = value
            elif name in ("axis", "reverse"):
                wanted = "an axis, counted from 0" if name == "axis" else "true or false"
                raise Failure(type_errors.wrong_value(option.span, name, wanted, describe(value)))
            else:
                raise Failure(layer_errors.unknown_argument(option.span, "scan", name, ["axis", "reverse"]))
        return axis, reverse

    def _sequences(self, statement: syntax.Scan, axis: int, env: Environment) -> tuple[list[_Sequence], Dim]:
        found: list[_Sequence] = []
        first: tuple[Dim, syntax.Expr, Tensor] | None = None
        for target, expression in zip(statement.targets, statement.sequences, strict=True):
            value = self.evaluate(expression, env)
            if isinstance(value, Poison):
                raise Failure
            if not isinstance(value, Tensor) or value.rank <= axis:
                raise Failure(type_errors.operand_type(expression.span, f"scan along axis {axis}", describe(value)))
            tensor = self.own(value, expression.span)
            length = tensor.shape[axis]
            if first is None:
                first = length, expression, tensor
            elif length != first[0]:
                raise Failure(type_errors.operand_type(expression.span, f"scan beside {describe(first[2])}", describe(tensor)))
            self.at(expression.span)
            order = (axis, *(i for i in range(tensor.rank) if i != axis))
            stack = self.trace.transpose(tensor.value, order)
            origins = tensor.origins[:axis] + tensor.origins[axis + 1 :]
            value_of_turn = Value(stack.type.with_shape(stack.type.shape[1:]), target.text)
            found.append(_Sequence(target.text, stack, self.tensor(value_of_turn, origins=origins), expression.span))
        assert first is not None
        return found, first[0]

    def state_value(self, key: str, of_type: TensorType, scans: Sequence[Turns]) -> Value:
        """What a state holds at this point, within `scans`."""
        states = self.trace.states
        if not scans:
            return states.get(key) or self.trace.parameter("state", key, of_type)
        found = scans[-1].states
        if key not in found:
            found[key] = Value(of_type, key), self.state_value(key, of_type, scans[:-1])
            states[key] = found[key][0]
        return states.get(key, found[key][0])

    def _body(self, statement: syntax.Scan, env: Environment, turns: Turns) -> tuple[int, Yields, dict[str, Value]]:
        """Run the body once: where its operations begin in the trace, its yields, and the states behind a turn."""
        mark = len(self.trace.builder.ops)
        around, self.yields = self.yields, {}
        scalars, states = dict(self.trace.scalars), dict(self.trace.states)
        errors = len(self.diagnostics)
        self.turns.append(turns)
        try:
            returned = self.run(statement.body, env)
            found = self.yields
        finally:
            self.yields = around
            self.turns.pop()
            after = dict(self.trace.states)
            self.trace.states.clear()
            self.trace.states.update(states)
        if any(d.level == "error" for d in self.diagnostics[errors:]):
            raise Failure
        if returned is not None:
            at = env.returned if isinstance(env, BodyEnvironment) else None
            raise Failure(layer_errors.return_in_scan(at or statement.span))
        self.trace.scalars.clear()
        self.trace.scalars.update(scalars)
        return mark, found, after

    def _carried_on(self, carried: Sequence[tuple[str, Tensor]], outside: dict[str, Bound], env: Environment) -> list[Value]:
        after: list[Value] = []
        for name, tensor in carried:
            bound = env.names[name]
            value = bound.value
            if isinstance(value, Poison):
                raise Failure
            if value is None or isinstance(value, str):
                raise Failure(layer_errors.carried_type(bound.span, name, tensor.type, describe(value), outside[name].span))
            made = self.materialise(value, tensor.type, name, bound.span) if not isinstance(value, Tensor) else value
            if made.weak:
                made = coercion.to_dtype(self, made, tensor.dtype)
            if made.type != tensor.type:
                raise Failure(layer_errors.carried_type(bound.span, name, tensor.type, made.type, outside[name].span))
            after.append(made.value)
        return after

    def _cut(
        self, mark: int, params: Sequence[Value], results: Sequence[Value], fixed: Mapping[Value, Value]
    ) -> tuple[Region, list[Value]]:
        """Take the operations behind `mark` that change with the turn out of the trace: the region, and what it reads
        from outside. `fixed`: values of a turn that are those outside.
        """
        ops = self.trace.builder.ops
        turning = set(params)
        inside: list[Operation] = []
        before: list[Operation] = []
        maker: dict[Value, Operation] = {}
        for op in ops[mark:]:
            here = any(value in turning for value in op.operands)
            (inside if here else before).append(op)
            maker.update((value, op) for value in op.results)
            if here:
                turning.update(op.results)
        ops[mark:] = [substituted(op, fixed) for op in before] if fixed else before
        inner: dict[Value, Value] = {}
        leaves: list[Operation] = []
        captured: list[Value] = []

        def seen(value: Value) -> Value:
            """`value` inside the region: constants and views are made there, all else from outside is a parameter."""
            if value in turning:
                return value
            if value not in inner:
                made = maker.get(value)
                inner[value] = Value(value.type, value.name)
                lowering = None if made is None else definition(made.name).lowering
                leaf = made is not None and not made.operands and isinstance(lowering, Elementwise)
                if made is not None and (leaf or isinstance(lowering, View | Reshape)):
                    operands = tuple(seen(operand) for operand in made.operands)
                    leaves.append(Operation(made.name, operands, made.attrs, (inner[value],), (), made.location))
                else:
                    captured.append(value)
            return inner[value]

        region_ops = [
            Operation(op.name, tuple(seen(v) for v in op.operands), op.attrs, op.results, op.regions, op.location) for op in inside
        ]
        ends = tuple(seen(value) for value in results)
        region = Region((*params, *(inner[v] for v in captured)), (*leaves, *region_ops), ends)
        return region, [fixed.get(value, value) for value in captured]

    def yielded(self, statement: syntax.Yield, env: Environment) -> None:
        """One `yield`. Raises Failure."""
        if self.yields is None:
            raise Failure(layer_errors.outside_scan(statement.span))
        before = self.yields.get(statement.name.text)
        if before is not None:
            raise Failure(layer_errors.yielded_twice(statement.span, statement.name.text, before[1]))
        value = self.evaluate(statement.value, env)
        if isinstance(value, Poison):
            raise Failure
        if not isinstance(value, Tensor):
            raise Failure(type_errors.operand_type(statement.value.span, "yield", describe(value)))
        self.yields[statement.name.text] = (self.own(value, statement.value.span).plain(), statement.span)
