"""`scan`: a body traced once, cut out of the trace as the region of one operation.

In: the statement and the environment of an application. Out: the names that it carries and yields, bound to what they are
behind it. What the body computes from nothing that changes with the turn stays in front of the scan, so that it is done
once; so do layers' parameters. Guaranteed: values of one turn are not reachable behind the scan.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bmc.frontend.bodies import arithmetic
from bmc.frontend.bodies.calls import Calls
from bmc.frontend.bodies.dims import Failure
from bmc.frontend.bodies.values import Bound, Environment, Poison, Tensor, describe
from bmc.frontend.errors import layer_errors, type_errors
from bmc.frontend.errors.later import not_yet
from bmc.frontend.syntax import tree as syntax
from bmc.ir import Dim, Operation, Region, Value
from bmc.ops.lowering import Elementwise, Reshape, View
from bmc.ops.scan_parts import ScanAttrs
from bmc.ops.table import definition
from bmc.source import Span

__all__ = ["Scanning", "Yields"]

Yields = dict[str, tuple[Tensor, Span]]


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
        carried = [(name, self.own(tensor, env.names[name].span)) for name, tensor in carried]
        outside = dict(env.names)
        before = [Value(tensor.type, name) for name, tensor in carried]
        for (name, tensor), value in zip(carried, before, strict=True):
            env.names[name] = Bound(self.tensor(value, origins=tensor.origins), outside[name].span)
        for sequence in sequences:
            env.names[sequence.name] = Bound(sequence.slice, sequence.span)
        yields, found = self._body(statement, env)
        after = self._carried_on(carried, outside, env)
        ordered = list(found.items())
        results = [*after, *(tensor.value for _, (tensor, _) in ordered)]
        made = self._cut(yields, [*before, *(s.slice.value for s in sequences)], results)
        attrs = ScanAttrs(len(carried), len(sequences), reverse, length)
        self.at(statement.span)
        made_by = self.trace.builder.operation(
            "scan", [*(t.value for _, t in carried), *(s.stack for s in sequences), *made[1]], attrs, (made[0],)
        )
        # Names of the body mean nothing behind it, but for those that it carries and yields.
        env.names.clear()
        env.names.update(outside)
        for (name, tensor), value in zip(carried, made_by.results, strict=False):
            env.names[name] = Bound(self.tensor(value, origins=tensor.origins), outside[name].span)
        for (name, (tensor, span)), value in zip(ordered, made_by.results[len(carried) :], strict=True):
            if tensor.rank < axis:
                raise Failure(type_errors.operand_type(span, f"a yield along axis {axis}", describe(tensor)))
            order = (*range(1, axis + 1), 0, *range(axis + 1, tensor.rank + 1))
            at = sequences[0].span if sequences else span
            origins = (*tensor.origins[:axis], at, *tensor.origins[axis:]) if tensor.origins else ()
            env.names[name] = Bound(self.tensor(self.trace.transpose(value, order), origins=origins), span)

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

    def _body(self, statement: syntax.Scan, env: Environment) -> tuple[int, Yields]:
        """Run the body once: where its operations begin in the trace, and its yields."""
        mark = len(self.trace.builder.ops)
        around, self.yields = self.yields, {}
        scalars, states = dict(self.trace.scalars), dict(self.trace.states)
        errors = len(self.diagnostics)
        try:
            returned = self.run(statement.body, env)
            found = self.yields
        finally:
            self.yields = around
        if returned is not None or any(d.level == "error" for d in self.diagnostics[errors:]):
            raise Failure
        if self.trace.states != states:
            raise Failure(not_yet(statement.span, "scan"))
        self.trace.scalars.clear()
        self.trace.scalars.update(scalars)
        return mark, found

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
                made = arithmetic.to_dtype(self, made, tensor.dtype)
            if made.type != tensor.type:
                raise Failure(layer_errors.carried_type(bound.span, name, tensor.type, made.type, outside[name].span))
            after.append(made.value)
        return after

    def _cut(self, mark: int, params: Sequence[Value], results: Sequence[Value]) -> tuple[Region, list[Value]]:
        """Take the operations behind `mark` that change with the turn out of the trace: the region, and what it reads
        from outside.
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
        ops[mark:] = before
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
        return region, captured

    def yielded(self, statement: syntax.Yield, env: Environment) -> None:
        """One `yield`. Raises Failure."""
        if self.yields is None:
            raise Failure(layer_errors.outside_scan(statement.span))
        value = self.evaluate(statement.value, env)
        if isinstance(value, Poison):
            raise Failure
        if not isinstance(value, Tensor):
            raise Failure(type_errors.operand_type(statement.value.span, "yield", describe(value)))
        self.yields[statement.name.text] = (self.own(value, statement.value.span).plain(), statement.span)
