"""The gradient of a scan: a scan in the other direction, whose turns are the reverse sweep over the region.

A turn of it takes the cotangents of the new carries and gives those of the old ones. What it reads of the forward turn
is a sequence of it: slices of the forward scan's own sequences, and what the forward scan saves, as further yields.
Cheap values are computed again.

What a turn gives to an invariant is to be summed over the turns. Where it is a product or a sum, the operands are
stacked and one large product, or sum, over turns and rows stands behind the scan; what else there is for each row adds
up in a carry. Products for the sequences' cotangents go behind the scan too, as one product of all turns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bmc.ir import Operation, Region, Value
from bmc.ir.dims import symbols
from bmc.ir.types import is_float
from bmc.ops.contract import ContractAttrs
from bmc.ops.lowering import Contraction, Elementwise, Reduction, Reshape, View
from bmc.ops.reduce import ReduceAttrs
from bmc.ops.registry import GradRule, Operator
from bmc.ops.scan_parts import ScanAttrs, parts
from bmc.ops.shape import TransposeAttrs
from bmc.ops.sweep import sweep

if TYPE_CHECKING:
    from bmc.ops.build import Builder

__all__ = ["saved", "scan_gradient"]

CHEAP = 2
"""The cost of an element up to which a value is computed again rather than saved."""

Definition = Callable[[str], Operator]


@dataclass(eq=False)
class _Turn:
    """The reverse sweep over one turn. `incoming`: by index of the region's results, the parameter that is its
    cotangent. `outgoing`: the cotangent of each of the region's parameters, None where zero. `again`: forward
    operations to run again; `reads`: forward values that must come from outside.
    """

    incoming: dict[int, Value]
    outgoing: list[Value | None]
    ops: list[Operation]
    again: list[Operation] = field(default_factory=list)
    reads: list[Value] = field(default_factory=list)


def saved(definition: Definition) -> Callable[[Builder, Operation], Operation]:
    """The `saves` of scans."""

    def saves(b: Builder, op: Operation) -> Operation:
        (narrow,) = op.regions
        attrs = op.attrs
        assert isinstance(attrs, ScanAttrs)
        # Scans within a turn keep what their gradients read first, so that this turn can keep that in turn.
        inner = tuple(op if (rule := definition(op.name).saves) is None else rule(b, op) for op in narrow.ops)
        region = Region(narrow.params, inner, narrow.results)
        kept = Operation(op.name, op.operands, attrs, op.results, (region,), op.location)
        turn = _turn(definition, b, kept, range(len(region.results)))
        held = set(region.params[attrs.carries :]) | set(region.results[attrs.carries :])
        extra = [value for value in turn.reads if value not in held]
        stacked = tuple(Value(v.type.with_shape((attrs.length, *v.type.shape)), v.name) for v in extra)
        wider = Region(region.params, region.ops, (*region.results, *extra))
        return Operation(op.name, op.operands, attrs, (*op.results, *stacked), (wider,), op.location)

    return saves


def scan_gradient(definition: Definition) -> GradRule:
    """The rule; the scan is one that `saves` made."""

    def grad(b: Builder, op: Operation, cotangents: Sequence[Value | None]) -> Sequence[Value | None]:
        return _Backward(definition, b, op, cotangents).build()

    return grad


def _turn(definition: Definition, b: Builder, op: Operation, seeded: Sequence[int]) -> _Turn:
    """The sweep from the cotangents of the region's results `seeded`; carries always have one."""
    (region,) = op.regions
    attrs = op.attrs
    assert isinstance(attrs, ScanAttrs)
    inner = b.fresh()
    inner.location = op.location.as_gradient()
    incoming: dict[int, Value] = {}
    seeds: dict[Value, Value] = {}
    for i, value in enumerate(region.results):
        if is_float(value.type.dtype) and (i < attrs.carries or i in seeded):
            incoming[i] = Value(value.type, f"d_{value.name}")
            seeds[value] = inner.add(seeds[value], incoming[i]) if value in seeds else incoming[i]
    wanted = [param for param in region.params if is_float(param.type.dtype)]
    found = dict(zip(wanted, sweep(definition, inner, region.ops, seeds, wanted), strict=True))
    outgoing = [found.get(param) for param in region.params]
    turn = _Turn(incoming, outgoing, _live(inner.ops, [v for v in outgoing if v is not None]))
    _read_forward(definition, region, attrs, turn)
    return turn


def _live(ops: Sequence[Operation], roots: Sequence[Value]) -> list[Operation]:
    needed, kept = set(roots), list[Operation]()
    for op in reversed(ops):
        if any(value in needed for value in op.results):
            needed.update(op.operands)
            kept.append(op)
    return kept[::-1]


def _read_forward(definition: Definition, region: Region, attrs: ScanAttrs, turn: _Turn) -> None:
    """Which forward values the turn reads, and which of them it computes again from others."""
    own = {value for op in turn.ops for value in op.results} | set(turn.incoming.values())
    direct = {v for op in turn.ops for v in op.operands if v not in own} | {
        v for v in turn.outgoing if v is not None and v not in own
    }
    _, sequences, invariants = parts(region.params, attrs.carries, attrs.sequences)
    there = {*sequences, *invariants} | (direct & set(region.params))
    cheap: set[Operation] = set()
    for op in region.ops:
        lowering = definition(op.name).lowering
        light = isinstance(lowering, View | Reshape) or (isinstance(lowering, Elementwise) and lowering.cost <= CHEAP)
        if light and all(value in there for value in op.operands):
            cheap.add(op)
            there.update(op.results)
        else:
            there.update(v for v in op.results if v in direct)
    needed = set(direct)
    for op in reversed(region.ops):
        if op in cheap and any(value in needed for value in op.results):
            needed.difference_update(op.results)
            needed.update(op.operands)
            turn.again.append(op)
    turn.again.reverse()
    order = [*region.params, *(value for op in region.ops for value in op.results)]
    turn.reads = [value for value in order if value in needed]


class _Backward:
    def __init__(self, definition: Definition, b: Builder, op: Operation, cotangents: Sequence[Value | None]) -> None:
        assert isinstance(op.attrs, ScanAttrs)
        self.definition = definition
        self.b = b
        self.op = op
        self.attrs = op.attrs
        (self.region,) = op.regions
        self.cotangents = cotangents
        self.turn = _turn(definition, b, op, [i for i, value in enumerate(cotangents) if value is not None])
        self.maker = {value: made for made in (*self.turn.again, *self.turn.ops) for value in made.results}
        self.sequences = dict(
            zip(*(parts(x, op.attrs.carries, op.attrs.sequences)[1] for x in (self.region.params, op.operands)), strict=True)
        )
        self.invariants = dict(
            zip(*(parts(x, op.attrs.carries, op.attrs.sequences)[2] for x in (self.region.params, op.operands)), strict=True)
        )
        self.held = dict(zip(self.region.results[op.attrs.carries :], op.results[op.attrs.carries :], strict=True))
        self.yields: list[Value] = []
        self.promised: list[Value] = []
        self.totals: list[Value] = []
        self.promised_totals: list[Value] = []
        self.after: list[Callable[[], None]] = []

    def build(self) -> list[Value | None]:
        """The cotangents of the scan's operands."""
        attrs, turn = self.attrs, self.turn
        carried = [i for i in range(attrs.carries) if i in turn.incoming]
        inside = self.b.fresh()
        inside.location = self.op.location.as_gradient()
        before = {i: turn.outgoing[i] for i in carried}
        carries = [value if (value := before[i]) is not None else inside.full(0.0, self.region.params[i].type) for i in carried]
        # Which values the scan must stack is known once everything behind it is: first a rehearsal, then the scan.
        rehearsal, self.b = self.b, self.b.fresh()
        self._behind()
        self.b = rehearsal
        adding = self.b.fresh()
        adding.location = inside.location
        so_far = [Value(value.type, f"sum_{value.name}") for value in self.totals]
        totals = [adding.add(before, value) for before, value in zip(so_far, self.totals, strict=True)]
        wanted = [*carries, *totals, *self.yields]
        ops = [*_live([*turn.again, *inside.ops, *turn.ops, *adding.ops], wanted)]
        made = {value for op in ops for value in op.results}
        read = list(dict.fromkeys([v for op in ops for v in op.operands if v not in made] + [v for v in wanted if v not in made]))
        given = [turn.incoming[i] for i in carried]
        stacks = [turn.incoming[i] for i in turn.incoming if i >= attrs.carries and turn.incoming[i] in read]
        seen = [v for v in read if v in self.sequences or v in self.held]
        whole = [v for v in read if v in self.invariants and v not in seen]
        of_incoming = {value: self.cotangents[i] for i, value in turn.incoming.items()}
        first = [value if (value := of_incoming[v]) is not None else self.b.full(0.0, v.type) for v in given]
        operands = [
            *first,
            *(self.b.full(0.0, value.type) for value in so_far),
            *(self._given(of_incoming[v]) for v in stacks),
            *(self._stack_of(v) for v in seen),
            *(self.invariants[v] for v in whole),
        ]
        region = _renamed([*given, *so_far, *stacks, *seen, *whole], ops, wanted)
        held = len(given) + len(so_far)
        scan = self.b.operation(
            "scan", operands, ScanAttrs(held, len(stacks) + len(seen), not attrs.reverse, attrs.length), (region,)
        )
        last = dict(zip(carried, scan.results, strict=False))
        self.promised_totals = list(scan.results[len(given) : held])
        self.promised = list(scan.results[held:])
        sums = self._behind()
        return [*(last.get(i) for i in range(attrs.carries)), *sums]

    @staticmethod
    def _given(value: Value | None) -> Value:
        assert value is not None
        return value

    def _stack_of(self, value: Value) -> Value:
        """A forward value of all turns, which is there."""
        return self.held[value] if value in self.held else self.sequences[value]

    def _behind(self) -> list[Value | None]:
        """The cotangents of sequences and invariants from values of all turns."""
        carries = self.attrs.carries
        last = carries + self.attrs.sequences
        found: list[Value | None] = []
        core = {v for op in self._core() for v in op.results}
        for i, value in enumerate(self.turn.outgoing[carries:], start=carries):
            if value is None:
                found.append(None)
            elif i < last:
                found.append(self._all_turns(value, core))
            else:
                found.append(self._summed(value, core))
        return found

    def _core(self) -> list[Operation]:
        """The operations of a turn that the next one depends on."""
        return _live(self.turn.ops, [v for v in self.turn.outgoing[: self.attrs.carries] if v is not None])

    def _stacked(self, value: Value) -> Value:
        """`value` of all turns: there already, or a yield of the backward scan."""
        if value in self.held or value in self.sequences:
            return self._stack_of(value)
        for i, param in self.turn.incoming.items():
            if param is value and i >= self.attrs.carries:
                return self._given(self.cotangents[i])
        if value not in self.yields:
            self.yields.append(value)
        if self.promised:
            return self.promised[self.yields.index(value)]
        return Value(value.type.with_shape((self.attrs.length, *value.type.shape)), value.name)

    def _all_turns(self, value: Value, core: set[Value]) -> Value:
        """`value` of all turns, computed behind the scan where it is a product that the next turn does not need."""
        made = self.maker.get(value)
        if made is None or value in core:
            return self._stacked(value)
        lowering = self.definition(made.name).lowering
        if isinstance(made.attrs, TransposeAttrs):
            order = (0, *(axis + 1 for axis in made.attrs.permutation))
            return self.b.transpose(self._all_turns(made.operands[0], core), order)
        if isinstance(lowering, Contraction) and isinstance(made.attrs, ContractAttrs):
            left, right = made.operands
            if right in self.invariants and left not in self.invariants and not made.attrs.lhs_batch:
                later = tuple(axis + 1 for axis in made.attrs.lhs_contract)
                return self.b.contract(self._operand(left), self.invariants[right], (), later, (), made.attrs.rhs_contract)
        if made.name == "add" and all(self._is_product(v, core) for v in made.operands):
            return self.b.add(*(self._all_turns(v, core) for v in made.operands))
        return self._stacked(value)

    def _is_product(self, value: Value, core: set[Value]) -> bool:
        made = self.maker.get(value)
        if made is None or value in core:
            return False
        if isinstance(made.attrs, TransposeAttrs):
            return self._is_product(made.operands[0], core)
        lowering = self.definition(made.name).lowering
        return isinstance(lowering, Contraction)

    def _operand(self, value: Value) -> Value:
        """All turns of a product's operand; views that reorder axes are taken again behind the scan."""
        made = self.maker.get(value)
        if made is not None and isinstance(made.attrs, TransposeAttrs) and made.operands[0] not in self.invariants:
            order = (0, *(axis + 1 for axis in made.attrs.permutation))
            return self.b.transpose(self._operand(made.operands[0]), order)
        return self._stacked(value)

    def _summed(self, value: Value, core: set[Value]) -> Value:
        """The sum of `value` over all turns."""
        made = self.maker.get(value)
        if made is None or value in core:
            return self._total(value)
        lowering = self.definition(made.name).lowering
        if made.name == "add":
            return self.b.add(*(self._summed(v, core) for v in made.operands))
        if isinstance(made.attrs, TransposeAttrs):
            return self.b.transpose(self._summed(made.operands[0], core), made.attrs.permutation)
        if isinstance(lowering, Reshape):
            return self.b.reshape(self._summed(made.operands[0], core), value.type.shape)
        if made.name == "reduce_sum" and isinstance(lowering, Reduction) and isinstance(made.attrs, ReduceAttrs):
            axes = [0, *(axis + 1 for axis in made.attrs.axes)]
            return self.b.reduce("reduce_sum", self._operand(made.operands[0]), axes)
        if isinstance(lowering, Contraction) and isinstance(made.attrs, ContractAttrs):
            left, right = made.operands
            if self._varies(left) and self._varies(right):
                a = made.attrs
                shifted = [tuple(axis + 1 for axis in axes) for axes in (a.lhs_batch, a.lhs_contract, a.rhs_batch, a.rhs_contract)]
                return self.b.contract(
                    self._operand(left), self._operand(right), shifted[0], (0, *shifted[1]), shifted[2], (0, *shifted[3])
                )
        return self._total(value)

    def _total(self, value: Value) -> Value:
        """The sum of `value` over all turns, as it is. What has a free dim in front has one part for each row, and adds up from
        turn to turn; what has none may be a sum over rows, which must not be added to before all shards are, and is stacked.
        """
        shape = value.type.shape
        if value not in self.maker or not shape or not symbols(shape[0]):
            return self.b.reduce("reduce_sum", self._stacked(value), [0])
        if value not in self.totals:
            self.totals.append(value)
        if self.promised_totals:
            return self.promised_totals[self.totals.index(value)]
        return Value(value.type, value.name)

    def _varies(self, value: Value) -> bool:
        made = self.maker.get(value)
        if made is not None and isinstance(made.attrs, TransposeAttrs):
            return self._varies(made.operands[0])
        return value not in self.invariants


def _renamed(params: Sequence[Value], ops: Sequence[Operation], results: Sequence[Value]) -> Region:
    """A region of its own: no value of it is one of another region."""
    names = {param: Value(param.type, param.name) for param in params}
    made: list[Operation] = []
    for op in ops:
        names.update((value, Value(value.type, value.name)) for value in op.results)
        made.append(
            Operation(
                op.name,
                tuple(names[v] for v in op.operands),
                op.attrs,
                tuple(names[v] for v in op.results),
                op.regions,
                op.location,
            )
        )
    return Region(tuple(names[param] for param in params), tuple(made), tuple(names[v] for v in results))
