"""The reverse sweep over a list of operations: cotangents of some values from cotangents of others.

In: operations in order of execution, cotangents of some of their values. Out: those of the values asked for, built
behind. Guaranteed: every new operation has the location of the forward operation that it belongs to, marked as
gradient; one sweep is linear in the operations, and asks only those through which the one depends on the other.

Method: A. Griewank, A. Walther, "Evaluating Derivatives", 2008, chapter 3: cotangents are accumulated in the reverse
of execution order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from bmc.errors import CompilerBug
from bmc.ir import Operation, Value
from bmc.ops.registry import NotDifferentiable, Operator
from bmc.ops.shape import PadAttrs

if TYPE_CHECKING:
    from bmc.ops.build import Builder

__all__ = ["path_between", "sweep"]

Definition = Callable[[str], Operator]


def sweep(
    definition: Definition,
    b: Builder,
    ops: Sequence[Operation],
    seeds: Mapping[Value, Value],
    values: Sequence[Value],
    path: Sequence[Operation] | None = None,
) -> list[Value | None]:
    """The cotangents of `values`, built by `b`; None where no seed depends on the value. `seeds`: the cotangents of
    values that nothing else is asked of. `path`: what `path_between` gave, where it was asked before.
    """
    path = path_between(definition, ops, set(seeds), values) if path is None else path
    active = set(values)
    for op in path:
        active.update(op.results)
    cotangents = {value: [seed] for value, seed in seeds.items() if value in active}
    makers: dict[Value, Operation] = {}
    for op in reversed(path):
        with b.at(op.location.as_gradient()):
            incoming = [_total(b, cotangents, value, makers) for value in op.results]
        if any(cotangent is not None for cotangent in incoming):
            with b.at(op.location.as_gradient()):
                _step(definition, b, op, incoming, active, cotangents, makers)
    return [_total(b, cotangents, value, makers) for value in values]


def path_between(definition: Definition, ops: Sequence[Operation], targets: set[Value], values: Sequence[Value]) -> list[Operation]:
    """The operations through which `targets` depend on `values`, in order."""
    reached = set(values)
    forward: list[Operation] = []
    for op in ops:
        if any(operand in reached for operand in op.operands) and _differentiable(definition, op):
            reached.update(op.results)
            forward.append(op)
    needed = set(targets)
    path: list[Operation] = []
    for op in reversed(forward):
        if any(value in needed for value in op.results):
            needed.update(op.operands)
            path.append(op)
    path.reverse()
    return path


def _differentiable(definition: Definition, op: Operation) -> bool:
    rule = definition(op.name).grad
    if not isinstance(rule, NotDifferentiable):
        return True
    if rule.misplaced:
        raise CompilerBug("autodiff", f"a loss depends on {op.name}: {rule.reason}")
    return False


def _step(
    definition: Definition,
    b: Builder,
    op: Operation,
    incoming: Sequence[Value | None],
    active: set[Value],
    cotangents: dict[Value, list[Value]],
    makers: dict[Value, Operation],
) -> None:
    """Add to the cotangents of the operands of `op` what its rule gives, without what the rule computes for operands
    that nobody asks for.
    """
    rule = definition(op.name).grad
    if isinstance(rule, NotDifferentiable):
        raise CompilerBug("autodiff", f"{op.name} is not differentiable: {rule.reason}")
    mark = len(b.ops)
    outgoing = rule(b, op, incoming)
    wanted: list[tuple[Value, Value]] = []
    for operand, cotangent in zip(op.operands, outgoing, strict=True):
        if cotangent is not None and operand in active:
            if cotangent.type != operand.type:
                raise CompilerBug(
                    "autodiff", f"the gradient rule of {op.name} gives {cotangent.type} for an operand {operand.type}"
                )
            wanted.append((operand, cotangent))
    needed = {cotangent for _, cotangent in wanted}
    kept: list[Operation] = []
    for made in reversed(b.ops[mark:]):
        if any(value in needed for value in made.results):
            needed.update(made.operands)
            kept.append(made)
    b.ops[mark:] = reversed(kept)
    makers.update((made.result, made) for made in kept if isinstance(made.attrs, PadAttrs))
    for operand, cotangent in wanted:
        cotangents.setdefault(operand, []).append(cotangent)


def _total(b: Builder, cotangents: dict[Value, list[Value]], value: Value, makers: Mapping[Value, Operation]) -> Value | None:
    """The sum of what reached `value`. Where all of it went through slices that are side by side, they are put together
    instead of padded and added.
    """
    terms = cotangents.get(value)
    if terms is None:
        return None
    total = _side_by_side(b, [makers.get(term) for term in terms])
    if total is None:
        total = terms[0]
        for term in terms[1:]:
            total = b.add(total, term)
    cotangents[value] = [total]
    return total


def _side_by_side(b: Builder, pads: Sequence[Operation | None]) -> Value | None:
    """The pieces that zeros were put around, put together along the one axis that they fill."""
    pieces: list[tuple[int, int, Value]] = []
    axes: set[int] = set()
    width = 0
    for pad in pads:
        if pad is None or len(pads) < 2 or not isinstance(pad.attrs, PadAttrs) or any(pad.attrs.interior):
            return None
        low, high = pad.attrs.low, pad.attrs.high
        wide = [axis for axis in range(len(low)) if low[axis] != 0 or high[axis] != 0]
        if len(wide) != 1:
            return None
        axes.update(wide)
        begin, size = low[wide[0]], pad.operands[0].type.shape[wide[0]]
        if not isinstance(begin, int) or not isinstance(size, int):
            return None
        total = pad.result.type.shape[wide[0]]
        width = total if isinstance(total, int) else -1
        pieces.append((begin, size, pad.operands[0]))
    pieces.sort(key=lambda piece: piece[0])
    ends = [0, *(begin + size for begin, size, _ in pieces)]
    if len(axes) != 1 or [begin for begin, _, _ in pieces] != ends[:-1] or ends[-1] != width:
        return None
    return b.concat([piece for _, _, piece in pieces], axes.pop())
