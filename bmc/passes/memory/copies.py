"""Copies that the memory plan cannot do without.

In: a function and its fused phases. Out: the phases with copy kernels at the end, and the value that fills each
result. Guaranteed: every result has memory of its own that a kernel or host reducer writes: an output, or the
parameter that an update is for. Copies are needed where a parameter or a total is handed out, where two results are
one value, and where the new contents of a parameter are made while the old ones are still wanted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from bmc.ir import Function, Operation, Region, Result, Value
from bmc.ir.dims import symbols
from bmc.ops.kernel import KernelAttrs
from bmc.ops.table import definition
from bmc.passes.memory.inplace import may_overwrite
from bmc.passes.memory.lifetime import OUTSIDE, Key, Lifetimes, timeline
from bmc.passes.phase import Phase
from bmc.record import record

__all__ = ["Filled", "with_copies"]


@record(frozen=True, eq=False)
class Filled:
    """`values`: for each result of the function, by position, the value whose memory is the result's; no entry for an
    update by the parameter's own old contents.
    """

    phases: tuple[Phase, ...]
    values: Mapping[int, Value]


def with_copies(function: Function, phases: Sequence[Phase]) -> Filled:
    work = _Copying(function, phases)
    return Filled(work.appended(), work.values)


class _Copying:
    def __init__(self, function: Function, phases: Sequence[Phase]) -> None:
        self.function = function
        self.phases = list(phases)
        self.life = Lifetimes.of(function, phases)
        self.params = {param.key: param.value for param in function.params}
        self.several_shards = any(phase.kind == "sum" for phase in phases)
        self.guards = [time for time, _, op in timeline(phases) if definition(op.name).effect]
        self.values: dict[int, Value] = {}
        self.first: list[Operation] = []
        self.second: list[Operation] = []
        self._fill()

    def _fill(self) -> None:
        finals = [self.life.final(result.value) for result in self.function.results]
        read_at_end = {
            key for key, result in zip(finals, self.function.results, strict=True)
            if key[0] == OUTSIDE and not self._keeps(result, key)
        }  # fmt: skip
        claimed: set[Key] = set(self._partials())
        for i, (result, key) in enumerate(zip(self.function.results, finals, strict=True)):
            if self._keeps(result, key):
                continue
            if (
                key not in claimed
                and self._is_written(key)
                and (result.role == "output" or self._may_update(result, key, read_at_end))
            ):
                claimed.add(key)
                self.values[i] = result.value
            elif result.role == "output":
                self.values[i] = self._copy(self.first, result.value)
            else:
                source = self._copy(self.first, result.value) if key[0] == OUTSIDE else result.value
                self.values[i] = self._copy(self.second, source)

    def _keeps(self, result: Result, key: Key) -> bool:
        """Whether an update leaves its parameter as it is."""
        return result.role == "update" and key == (OUTSIDE, self.params.get(result.key))

    def _is_written(self, key: Key) -> bool:
        return key[0] != OUTSIDE and self.phases[key[0]].kind != "sum"

    def _partials(self) -> list[Key]:
        return [
            self.life.key(k, op.operands[0])
            for k, phase in enumerate(self.phases)
            if phase.kind == "sum"
            for op in phase.ops
        ]

    def _may_update(self, result: Result, key: Key, read_at_end: set[Key]) -> bool:
        """Whether the value of `key` can be made where the parameter lives."""
        time, op = self.life.made[key]
        if any(guard > time for guard in self.guards) or (self.several_shards and self.phases[key[0]].per_shard):
            return False
        old = self.params.get(result.key)
        if old is None:
            return True
        if (OUTSIDE, old) in read_at_end:
            return False
        for use in self.life.uses.get((OUTSIDE, old), ()):
            if use.time > time or (use.time == time and not may_overwrite(op, use.operand, key[1])):
                return False
        return True

    def _copy(self, to: list[Operation], value: Value) -> Value:
        inside, made = Value(value.type, value.name), Value(value.type, value.name)
        to.append(
            Operation("kernel", (value,), KernelAttrs("map", "copy"), (made,), (Region((inside,), (), (inside,)),))
        )
        return made

    def appended(self) -> tuple[Phase, ...]:
        """The phases with the copies: those of rows in a per-shard phase, the others in one that runs once."""
        row = self.function.row
        copies = [*self.first, *self.second]
        if not copies:
            return tuple(self.phases)
        if not self.several_shards:
            self._append(copies, row is not None)
        else:
            with_rows = [op for op in copies if any(row in symbols(d) for d in op.result.type.shape)]
            self._append(with_rows, True)
            self._append([op for op in copies if op not in with_rows], False)
        return tuple(self.phases)

    def _append(self, copies: Sequence[Operation], per_shard: bool) -> None:
        if not copies:
            return
        last = self.phases[-1] if self.phases else None
        if last is None or last.kind != "native" or last.per_shard != per_shard:
            last = Phase(f"{self.function.name}.{len(self.phases)}", "native", per_shard, (), (), ())
            self.phases.append(last)
        inside = {v for op in (*last.ops, *copies) for v in op.results}
        reads = dict.fromkeys(v for op in copies for v in op.operands if v not in inside)
        inputs = (*last.inputs, *(v for v in reads if v not in last.inputs))
        made = tuple(v for op in copies for v in op.results)
        self.phases[-1] = replace(last, ops=(*last.ops, *copies), inputs=inputs, outputs=(*last.outputs, *made))
