"""Where values are made, which share memory by being reshapes of one another, and when each is read for the last
time.

A value may be made in several phases (cheap ones are repeated), so a piece of memory is named by a `Key`: the phase
that makes it and the value at the root of its reshapes. Time counts operations through all phases.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from bmc.errors import CompilerBug
from bmc.ir import Function, Operation, Value
from bmc.ops.lowering import Reshape
from bmc.passes.fusion.traits import lowering_of
from bmc.passes.phase import Phase
from bmc.record import record

__all__ = ["OUTSIDE", "Key", "Lifetimes", "Use"]

OUTSIDE = -1
"""The phase of function parameters."""

Key = tuple[int, Value]


@record(frozen=True)
class Use:
    """The operation at `time` reads `operand`."""

    time: int
    op: Operation
    operand: Value


@dataclass
class Lifetimes:
    """`roots`: the memory of each (phase, value) pair that a phase makes. `uses`: readings of a piece of memory,
    reshapes left out, in order. `made`: the time at which it is written, and by what.
    """

    params: frozenset[Value]
    provider: dict[Value, int]
    roots: dict[Key, Key] = field(default_factory=dict)
    uses: dict[Key, list[Use]] = field(default_factory=dict)
    made: dict[Key, tuple[int, Operation]] = field(default_factory=dict)

    @staticmethod
    def of(function: Function, phases: Sequence[Phase]) -> Lifetimes:
        provider: dict[Value, int] = {}
        for k, phase in enumerate(phases):
            for value in phase.outputs:
                provider.setdefault(value, k)
        life = Lifetimes(frozenset(param.value for param in function.params), provider)
        for time, k, op in timeline(phases):
            operands = [life.key(k, v) for v in op.operands]
            if isinstance(lowering_of(op), Reshape):
                life.roots[k, op.result] = operands[0]
                continue
            for key, value in zip(operands, op.operands, strict=True):
                life.uses.setdefault(key, []).append(Use(time, op, value))
            for value in op.results:
                life.roots[k, value] = (k, value)
                life.made[k, value] = (time, op)
        return life

    def key(self, phase: int, value: Value) -> Key:
        """The memory that `phase` means by `value`."""
        own = self.roots.get((phase, value))
        if own is not None:
            return own
        if value in self.params:
            return (OUTSIDE, value)
        maker = self.provider.get(value)
        if maker is None or (maker, value) not in self.roots:
            raise CompilerBug(
                "plan_memory", f"phase {phase} reads a value of type {value.type} that no earlier phase gives out"
            )
        return self.roots[maker, value]

    def final(self, value: Value) -> Key:
        """The memory of a function result."""
        return (OUTSIDE, value) if value in self.params else self.key(self.provider.get(value, OUTSIDE), value)

    def last_use(self, key: Key) -> int:
        """The time of the last reading; that of the writing when there is none."""
        uses = self.uses.get(key)
        return uses[-1].time if uses else self.made[key][0]


def timeline(phases: Sequence[Phase]) -> Iterator[tuple[int, int, Operation]]:
    """(time, phase, operation) of every operation."""
    time = 0
    for k, phase in enumerate(phases):
        for op in phase.ops:
            yield time, k, op
            time += 1
