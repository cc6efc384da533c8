"""Proof that a memory plan is right, by code that shares nothing with the planner but the definition of a plan.

In: a function, its phases as planned, the plan. Out: nothing, or CompilerBug. Every phase is replayed operation by
operation; of each buffer it is known which value it holds. Shown: slots of an arena do not overlap, whatever the free
dims are; every value fits where it is put; every operation reads the values that were meant for it; it overwrites an
operand only where it reads that at the index it writes; nothing lasting is written before the last guard has passed;
at the end every result is in its place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bmc.errors import CompilerBug
from bmc.ir import Dim, Function, Operation, Value
from bmc.ir.dims import divide_exact
from bmc.ops.lowering import Contraction, Elementwise, Fused, Opaque, Reduction, Reshape
from bmc.ops.scan_parts import LoopAttrs
from bmc.ops.table import definition
from bmc.passes.memory.loops import check_loop
from bmc.passes.memory.sizes import at_most, bytes_of, cell_bytes, parse_expression
from bmc.passes.phase import Phase
from bmc_runtime.plan import Buffer, FunctionPlan

__all__ = ["check_memory"]

LASTING = ("weight", "state", "moment", "fitted")

Identity = tuple[int, Value]
"""A value as one phase made it (-1: before all phases)."""


def check_memory(
    function: Function, plan: FunctionPlan, phases: Sequence[Phase], places: Sequence[Mapping[Value, int]]
) -> None:
    """Raises CompilerBug naming the value and the buffer at fault. `places`: for each phase the buffer of each value."""
    _check_arenas(plan)
    _Replay(function, plan, phases, places).run()


def _fail(message: str) -> CompilerBug:
    return CompilerBug("check_memory", message)


def _buffer_bytes(buffer: Buffer) -> Dim:
    size: Dim = cell_bytes(buffer.dtype) if buffer.kind != "arena" else 1
    for dim in buffer.shape:
        size = size * parse_expression(dim)
    return size


def _check_arenas(plan: FunctionPlan) -> None:
    """Slots in order of offsets: each ends before the next begins, which keeps any two of them apart."""
    for scope, total in (("shard", plan.shard_arena), ("once", plan.once_arena)):
        end: Dim = 0
        for buffer in plan.buffers:
            if buffer.kind != "arena" or buffer.scope != scope:
                continue
            start = parse_expression(buffer.offset)
            if not at_most(end, start):
                raise _fail(f"slot {buffer.key} begins at {start}, before {end}, where the one before it ends")
            if divide_exact(start, 64) is None:
                raise _fail(f"slot {buffer.key} begins at {start}, no multiple of 64")
            end = start + _buffer_bytes(buffer)
        if not at_most(end, parse_expression(total)):
            raise _fail(f"slots end at {end}, the arena of scope {scope} at {parse_expression(total)}")


class _Replay:
    def __init__(
        self, function: Function, plan: FunctionPlan, phases: Sequence[Phase], places: Sequence[Mapping[Value, int]]
    ) -> None:
        self.function = function
        self.plan = plan
        self.phases = phases
        self.places = places
        self.origin: dict[Identity, Identity] = {}
        self.current: dict[Value, Identity] = {}
        self.contents: dict[int, Identity | None] = {}
        self.copied: dict[Identity, Identity] = {}
        self.sharded = any(phase.kind == "sum" for phase in phases)
        self.guards = sum(1 for phase in phases for op in phase.ops if definition(op.name).effect)
        given: dict[tuple[str, str], Value] = {(param.role, param.key): param.value for param in function.params}
        self.current.update((value, (-1, value)) for value in given.values())
        for index, buffer in enumerate(plan.buffers):
            value = given.get((buffer.kind, buffer.key))
            if value is not None:
                self.contents[index] = (-1, value)

    def run(self) -> None:
        for k, phase in enumerate(self.phases):
            outside = dict(self.current)
            for op in phase.ops:
                self._operation(k, phase, op)
            # What a phase repeats for itself is not what other phases read, unless it gives it out.
            given = {value: self.current[value] for value in phase.outputs}
            self.current = {**outside, **given}
        self._results()

    def _operation(self, k: int, phase: Phase, op: Operation) -> None:
        place = self.places[k]
        if isinstance(definition(op.name).lowering, Reshape):
            if place[op.result] != place[op.operands[0]]:
                raise _fail(f"a reshape to {op.result.type} moves to another buffer")
            self.current[op.result] = self.current[op.operands[0]]
            return
        if isinstance(op.attrs, LoopAttrs):
            check_loop(op)
        for value in op.operands:
            self._read(phase, op, value, place[value])
        self.guards -= definition(op.name).effect
        for value in op.results:
            self._write(k, phase, op, value, place)
        if len({place[value] for value in op.results}) < len(op.results):
            raise _fail(f"{op.name} puts two results into one buffer")
        if _is_copy(op):
            source = self.current[op.operands[0]]
            self.copied[k, op.result] = self.copied.get(source, source)

    def _read(self, phase: Phase, op: Operation, value: Value, index: int) -> None:
        buffer = self.plan.buffers[index]
        held, meant = self.contents.get(index), self.current.get(value)
        if meant is None or held != meant:
            raise _fail(
                f"{_describe(op)} reads {value.type} %{value.name} from {buffer.kind} {buffer.key}, "
                "which holds something else by then"
            )
        self._check_scope(phase, buffer)

    def _check_scope(self, phase: Phase, buffer: Buffer) -> None:
        own = buffer.kind == "partial" or (buffer.kind == "arena" and buffer.scope == "shard")
        # Rows pass by reducers of the host in blocks that are one shard.
        passing = phase.kind == "host" and buffer.kind == "arena"
        if own and not phase.per_shard and not passing and not (phase.kind == "sum" and buffer.kind == "partial"):
            raise _fail(
                f"{phase.symbol} runs once and touches {buffer.kind} {buffer.key}, of which each shard has its own"
            )

    def _write(self, k: int, phase: Phase, op: Operation, value: Value, place: Mapping[Value, int]) -> None:
        index = place[value]
        buffer = self.plan.buffers[index]
        if not at_most(bytes_of(value.type), _buffer_bytes(buffer)):
            raise _fail(f"{value.type} does not fit into {buffer.kind} {buffer.key} of {_buffer_bytes(buffer)} bytes")
        self._check_scope(phase, buffer)
        shared = not (buffer.kind in ("arena", "partial") and buffer.scope == "shard") and not buffer.rows
        if phase.per_shard and self.sharded and shared:
            raise _fail(f"every shard writes {buffer.kind} {buffer.key}")
        if buffer.kind in LASTING and self.guards > 0:
            raise _fail(f"{buffer.kind} {buffer.key} changes before a guard that may stop the step")
        if buffer.kind in ("input", "control"):
            raise _fail(f"{buffer.kind} {buffer.key} is written")
        for operand in op.operands:
            if place[operand] == index and not _reads_where_it_writes(op, operand, value):
                raise _fail(
                    f"{_describe(op)} writes {value.type} over {operand.type} %{operand.name}, which it still reads elsewhere"
                )
        self.contents[index] = self.current[value] = (k, value)

    def _results(self) -> None:
        kinds = {param.key: param.role for param in self.function.params}
        by_key: dict[str, list[int]] = {}
        for index, buffer in enumerate(self.plan.buffers):
            by_key.setdefault(buffer.key, []).append(index)
        for result in self.function.results:
            meant = self.current[result.value]
            meant = self.copied.get(meant, meant)
            wanted = (
                ("output",) if result.role == "output" else (kinds[result.key],) if result.key in kinds else LASTING
            )
            held = [self.contents.get(i) for i in by_key.get(result.key, ()) if self.plan.buffers[i].kind in wanted]
            found = [self.copied.get(item, item) for item in held if item is not None]
            if found != [meant]:
                raise _fail(f"{result.role} {result.key!r} does not hold its value at the end")


def _is_copy(op: Operation) -> bool:
    """A kernel that gives out its only operand."""
    return len(op.regions) == 1 and not op.regions[0].ops and op.regions[0].results == op.regions[0].params


def _describe(op: Operation) -> str:
    name = getattr(op.attrs, "name", "")
    return f"{op.name} {name}".strip()


def _reads_where_it_writes(op: Operation, operand: Value, result: Value) -> bool:
    """Whether the element of `operand` at an index is read for no element of any result but those at the same index."""
    kind = definition(op.name).lowering
    if isinstance(kind, Opaque) and kind.overwrites is not None:  # by the contract of its kernel
        return op.operands[kind.overwrites] is operand and sum(value is operand for value in op.operands) == 1
    if not isinstance(kind, Fused) or operand.type.shape != result.type.shape:
        return False
    if bytes_of(operand.type) != bytes_of(result.type):
        return False
    (region,) = op.regions
    inside = [param for param, value in zip(region.params, op.operands, strict=True) if value is operand]
    spaces = [o.operands[0].type.shape for o in region.ops if isinstance(definition(o.name).lowering, Reduction)]
    spaces_of_products = [
        o.result.type.shape for o in region.ops if isinstance(definition(o.name).lowering, Contraction)
    ]
    if operand.type.shape in spaces or any(operand.type.shape != shape for shape in spaces_of_products):
        return False
    for inner in region.ops:
        lowering = definition(inner.name).lowering
        for position, value in enumerate(inner.operands):
            if value in inside and not (isinstance(lowering, Elementwise) and position not in lowering.scalars):
                return False
    return True
