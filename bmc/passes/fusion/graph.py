"""The operations of one phase with everything that orders them: who makes and reads a value, and what must wait for
what.

Besides data, two things order operations. An effect that may end the phase (`guard_finite`) comes before whatever
changes a persistent buffer. An operation that reads the old contents of such a buffer comes before the one that makes
the new contents, so that these can be written in place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from bmc.ir import Operation, Value
from bmc.ops.lowering import Reshape
from bmc.ops.table import definition
from bmc.passes.fusion.traits import lowering_of
from bmc.record import record

__all__ = ["OpGraph"]


@record(frozen=True)
class OpGraph:
    """`producer[v]`: index of the operation that makes v. `readers[v]`: indices of those that read it, ascending,
    each once. `after[i]`: operations that must not run before i although they read none of its results. `live_out`:
    values needed after the phase.
    """

    ops: tuple[Operation, ...]
    producer: Mapping[Value, int]
    readers: Mapping[Value, tuple[int, ...]]
    after: Sequence[tuple[int, ...]]
    live_out: frozenset[Value]

    @staticmethod
    def build(ops: Sequence[Operation], live_out: Iterable[Value], updates: Sequence[tuple[Value, Value]]) -> OpGraph:
        """`updates`: pairs (new contents, the parameter's value). Those whose new contents are made elsewhere are no
        concern here.
        """
        producer = {result: i for i, op in enumerate(ops) for result in op.results}
        readers: dict[Value, list[int]] = {}
        origin: dict[Value, Value] = {}
        for i, op in enumerate(ops):
            for operand in dict.fromkeys(op.operands):
                readers.setdefault(operand, []).append(i)
            if isinstance(lowering_of(op), Reshape):
                origin[op.result] = origin.get(op.operands[0], op.operands[0])
        reads_memory: dict[Value, list[int]] = {}
        changed = {old for _, old in updates}
        for value, indices in readers.items():
            memory = origin.get(value, value)
            if memory in changed:
                reads_memory.setdefault(memory, []).extend(indices)
        after: list[list[int]] = [[] for _ in ops]
        guards = [i for i, op in enumerate(ops) if definition(op.name).effect]
        for new, old in updates:
            writer = producer.get(origin.get(new, new))
            if writer is None:
                continue
            for earlier in (*guards, *reads_memory.get(old, ())):
                if earlier < writer:
                    after[earlier].append(writer)
        return OpGraph(
            tuple(ops),
            producer,
            {value: tuple(indices) for value, indices in readers.items()},
            [tuple(dict.fromkeys(late)) for late in after],
            frozenset(live_out),
        )
