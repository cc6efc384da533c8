"""The memory plan: every value of every phase gets a place, and the function becomes a `FunctionPlan` that the
runtime executes.

In: a function and its fused phases. Out: the plan, and for code generation the phases with the place of each value.
Guaranteed, and proved again by `check_memory`: no two values that are needed at the same time overlap; updates are
written where the parameter lives only after everything that may stop the step, and after all who read its old
contents; offsets are multiples of 64 bytes. A reshape is an alias. Linear in operations. See docs/memory.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Literal

from bmc.errors import CompilerBug
from bmc.ir import Function, Operation, Poly, Value
from bmc.ir.dims import symbols
from bmc.ops.lowering import Fused, Host, Reshape
from bmc.passes.fusion.traits import lowering_of
from bmc.passes.memory.arena import Arena
from bmc.passes.memory.copies import with_copies
from bmc.passes.memory.inplace import may_overwrite
from bmc.passes.memory.lifetime import OUTSIDE, Key, Lifetimes, timeline
from bmc.passes.memory.limits import limits_of
from bmc.passes.memory.sizes import bytes_of, expression_of
from bmc.passes.memory.symbols import dims_of
from bmc.passes.phase import Phase
from bmc.record import record
from bmc_runtime.plan import Buffer, BufferKind, FunctionPlan, Step

__all__ = ["MemoryPlan", "PlannedPhase", "plan_memory"]

Scope = Literal["shard", "once"]


@record(frozen=True, eq=False)
class PlannedPhase:
    """A native phase for code generation. `buffers`: index among the plan's buffers of every value that its
    operations touch, reshapes included; `arguments`: the buffers of the step's table in order; `table`: for every
    value its position in that table.
    """

    symbol: str
    per_shard: bool
    ops: tuple[Operation, ...]
    buffers: Mapping[Value, int]
    arguments: tuple[int, ...]

    @property
    def table(self) -> dict[Value, int]:
        position = {buffer: k for k, buffer in enumerate(self.arguments)}
        return {value: position[buffer] for value, buffer in self.buffers.items() if buffer in position}


@record(frozen=True, eq=False)
class MemoryPlan:
    """`places`: for each phase, sums and host reducers included, the buffer of each value that it touches."""

    plan: FunctionPlan
    native: tuple[PlannedPhase, ...]
    phases: tuple[Phase, ...]
    places: tuple[Mapping[Value, int], ...]


def plan_memory(function: Function, phases: Sequence[Phase]) -> MemoryPlan:
    """Place every value. `phases`: fused phases of `function`, from `split_phases` and `fuse_phases`."""
    filled = with_copies(function, phases)
    planner = _Planner(function, filled.phases, filled.values)
    return planner.plan()


class _Planner:
    def __init__(self, function: Function, phases: tuple[Phase, ...], results: Mapping[int, Value]) -> None:
        self.function = function
        self.phases = phases
        self.life = Lifetimes.of(function, phases)
        self.buffers: list[Buffer] = []
        self.of_key: dict[Key, int] = {}
        self.arenas: dict[Scope, Arena] = {"shard": Arena(), "once": Arena()}
        self.kept = {self.life.final(value) for value in results.values()}
        self.slot_of: dict[Key, tuple[Scope, int]] = {}
        self.slot_buffer: dict[tuple[Scope, int], int] = {}
        self._place_params()
        self._place_results(results)
        self._place_sums()
        self._place_rest()

    def _buffer(self, buffer: Buffer) -> int:
        self.buffers.append(buffer)
        return len(self.buffers) - 1

    def _typed(self, kind: BufferKind, key: str, value: Value) -> int:
        shape = value.type.shape
        rows = self.function.row is not None and bool(shape) and shape[0] == Poly.symbol(self.function.row)
        return self._buffer(
            Buffer(kind, key, value.type.dtype, tuple(map(expression_of, shape)), rows and kind in ("input", "output"))
        )

    def _place_params(self) -> None:
        for param in self.function.params:
            self.of_key[OUTSIDE, param.value] = self._typed(param.role, param.key, param.value)

    def _place_results(self, results: Mapping[int, Value]) -> None:
        params = {param.key: param.value for param in self.function.params}
        for i, value in results.items():
            result = self.function.results[i]
            key = self.life.final(value)
            if result.role == "output":
                self._check_rows(result.key, value)
                self.of_key[key] = self._typed("output", result.key, value)
            elif result.key in params:
                self.of_key[key] = self.of_key[OUTSIDE, params[result.key]]
            else:
                # The parameters that `init` and fitting make are not among their own: the key alone says where they live.
                kind: BufferKind = "fitted" if self.function.name.startswith("fit.") else "weight"
                self.of_key[key] = self._typed(kind, result.key, value)

    def _check_rows(self, key: str, value: Value) -> None:
        """Shards write their rows of an output side by side, which takes the row dim to be the leading one."""
        row = self.function.row
        sharded = any(phase.kind == "sum" for phase in self.phases)
        if row is not None and sharded and any(row in symbols(dim) for dim in value.type.shape[1:]):
            raise CompilerBug(
                "plan_memory",
                f"output {key!r} of a function on shards is {value.type}: its rows are not its leading dim",
            )

    def _place_sums(self) -> None:
        number = 0
        for k, phase in enumerate(self.phases):
            for op in phase.ops if phase.kind == "sum" else ():
                partial = self.life.key(k, op.operands[0])
                if partial in self.of_key:
                    raise CompilerBug("plan_memory", f"a partial of type {op.operands[0].type} is summed twice")
                self.of_key[partial] = self._typed("partial", f"sum.{number}", op.operands[0])
                self.of_key[k, op.result] = self._typed("total", f"sum.{number}", op.result)
                number += 1

    def _place_rest(self) -> None:
        """Walk through time: give each new value a slot, and take slots back from values that are dead."""
        ends: dict[int, list[Key]] = {}
        for time, k, op in timeline(self.phases):
            if isinstance(lowering_of(op), Reshape):
                continue
            scope: Scope = "shard" if self.phases[k].per_shard else "once"
            handed_on: set[Key] = set()
            for value in op.results:
                key = (k, value)
                if key in self.of_key:
                    continue
                source = self._overwritten(time, k, op, value, scope, handed_on)
                if source is None:
                    slot = self.arenas[scope].take(bytes_of(value.type))
                else:
                    handed_on.add(source)
                    slot = self.slot_of[source][1]
                self.slot_of[key] = (scope, slot)
                if key not in self.kept:
                    ends.setdefault(self.life.last_use(key), []).append(key)
            for key in ends.pop(time, ()):
                if key not in handed_on:
                    self.arenas[self.slot_of[key][0]].give(self.slot_of[key][1])

    def _overwritten(
        self, time: int, k: int, op: Operation, result: Value, scope: Scope, taken: set[Key]
    ) -> Key | None:
        """A value that dies at `op` and whose slot `result` may take."""
        if not isinstance(lowering_of(op), Fused):
            return None
        by_key: dict[Key, set[Value]] = {}
        for operand in op.operands:
            by_key.setdefault(self.life.key(k, operand), set()).add(operand)
        for key, operands in by_key.items():
            place = self.slot_of.get(key)
            if (
                place is None
                or place[0] != scope
                or key in taken
                or len(operands) != 1
                or self.life.last_use(key) != time
            ):
                continue
            (operand,) = operands
            if (
                key not in self.kept
                and bytes_of(operand.type) == bytes_of(result.type)
                and may_overwrite(op, operand, result)
            ):
                return key
        return None

    def plan(self) -> MemoryPlan:
        function = self.function
        sizes = {}
        for scope, arena in self.arenas.items():
            offsets, end = arena.offsets()
            sizes[scope] = expression_of(end)
            for slot, (offset, size) in enumerate(zip(offsets, arena.sizes, strict=True)):
                buffer = Buffer(
                    "arena", f"{scope}.{slot}", "u8", (expression_of(size),), False, scope, expression_of(offset)
                )
                self.slot_buffer[scope, slot] = self._buffer(buffer)
        places = tuple(self._places(k, phase) for k, phase in enumerate(self.phases))
        steps: list[Step] = []
        native: list[PlannedPhase] = []
        for phase, place in zip(self.phases, places, strict=True):
            runs = [op for op in phase.ops if not isinstance(lowering_of(op), Reshape)]
            arguments = [place[v] for op in runs for v in (*op.operands, *op.results)]
            if phase.kind == "native":
                if runs:
                    planned = PlannedPhase(
                        phase.symbol, phase.per_shard, phase.ops, place, tuple(dict.fromkeys(arguments))
                    )
                    native.append(planned)
                    steps.append(Step("native", phase.symbol, planned.arguments, phase.per_shard))
            elif phase.kind == "sum":
                steps.append(Step("sum", phase.symbol, tuple(arguments)))
            else:
                (op,) = runs
                lowering = lowering_of(op)
                assert isinstance(lowering, Host)
                steps.append(Step("host", lowering.reducer, tuple(arguments), False, _attributes(op)))
        plan = FunctionPlan(
            function.name,
            dims_of(function, self.phases),
            function.row,
            tuple(self.buffers),
            tuple(steps),
            sizes["shard"],
            sizes["once"],
            limits_of(function),
        )
        return MemoryPlan(plan, tuple(native), self.phases, places)

    def _places(self, k: int, phase: Phase) -> dict[Value, int]:
        places: dict[Value, int] = {}
        for op in phase.ops:
            for value in (*op.operands, *op.results):
                if value not in places:
                    key = self.life.key(k, value)
                    buffer = self.of_key.get(key)
                    places[value] = buffer if buffer is not None else self.slot_buffer[self.slot_of[key]]
        return places


def _attributes(op: Operation) -> dict[str, object]:
    """The attributes of a host reducer as plain data, and the `types` of its arguments: slots of the arena do not say
    theirs.
    """
    attrs: dict[str, object] = asdict(op.attrs)  # type: ignore[call-overload]
    values = (*op.operands, *op.results)
    return {**attrs, "types": [[v.type.dtype, [expression_of(d) for d in v.type.shape]] for v in values]}
