"""A memory plan as text, for `bmc dump --stage memory` and for reading in tests.

In: a plan. Out: one line for each buffer, then the phases with the operations and the buffers that they read and
write.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bmc.ir import Value
from bmc.ops.lowering import Reshape
from bmc.passes.fusion.traits import lowering_of
from bmc.passes.memory.sizes import parse_expression
from bmc.passes.phase import Phase
from bmc_runtime.plan import Buffer, FunctionPlan

__all__ = ["memory_text"]


def memory_text(plan: FunctionPlan, phases: Sequence[Phase], places: Sequence[Mapping[Value, int]]) -> str:
    """The text; ends with a newline."""
    dims = ", ".join(plan.dims)
    lines = [f"plan {plan.name} dims [{dims}] rows {plan.row or 'none'}"]
    lines.append(
        f"  arena for each shard: {parse_expression(plan.shard_arena)} bytes, once: {parse_expression(plan.once_arena)} bytes"
    )
    lines.extend(f"  #{index} {_buffer(buffer)}" for index, buffer in enumerate(plan.buffers))
    for phase, place in zip(phases, places, strict=True):
        lines.append(f"{phase.kind} {phase.symbol} {'for each shard' if phase.per_shard else 'once'}")
        for op in phase.ops:
            if isinstance(lowering_of(op), Reshape):
                continue
            read = ", ".join(f"#{place[v]}" for v in op.operands)
            made = ", ".join(f"#{place[v]} {v.type}" for v in op.results)
            name = getattr(op.attrs, "name", "") or op.name
            kind = f"{getattr(op.attrs, 'kind', '')} " if op.regions else ""
            lines.append(f"  {kind}{name}({read})" + (f" -> {made}" if made else ""))
    return "\n".join(lines) + "\n"


def _buffer(buffer: Buffer) -> str:
    shape = ", ".join(str(parse_expression(dim)) for dim in buffer.shape)
    if buffer.kind == "arena":
        return f"slot {buffer.key} at {parse_expression(buffer.offset)}, {shape} bytes"
    return f'{buffer.kind} "{buffer.key}" {buffer.dtype}[{shape}]' + (" by rows" if buffer.rows else "")
