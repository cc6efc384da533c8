"""A memory plan as text: `bmc dump --stage memory`.

In: a `FunctionPlan`. Out: its dims, arenas, buffers and steps, one a line.
"""

from __future__ import annotations

from bmc_runtime.plan import Buffer, DimExpression, FunctionPlan, Step

__all__ = ["dim_text", "plan_text"]


def dim_text(expression: DimExpression) -> str:
    """`["+", 64, ["*", 4, "B"]]` as `64 + 4*B`."""
    if not isinstance(expression, (list, tuple)):
        return str(expression)
    operator, *rest = expression
    parts = [f"({dim_text(r)})" if isinstance(r, (list, tuple)) and operator != "+" else dim_text(r) for r in rest]
    if operator == "max":
        return f"max({', '.join(dim_text(r) for r in rest)})"
    return (" + " if operator == "+" else "*" if operator == "*" else f" {operator} ").join(parts)


def plan_text(plan: FunctionPlan) -> str:
    """The text of one function's plan."""
    lines = [f"function {plan.name}" + (f" rows {plan.row}" if plan.row else "")]
    lines.append(f"  dims: {', '.join(plan.dims) or 'none'}")
    lines.append(f"  arena of a shard: {dim_text(plan.shard_arena)} bytes")
    lines.append(f"  arena of steps that run once: {dim_text(plan.once_arena)} bytes")
    lines += [f"  buffer {index}: {_buffer_text(buffer)}" for index, buffer in enumerate(plan.buffers)]
    lines += [f"  step {index}: {_step_text(step)}" for index, step in enumerate(plan.steps)]
    return "\n".join(lines) + "\n"


def _buffer_text(buffer: Buffer) -> str:
    shape = f"{buffer.dtype}[{', '.join(dim_text(d) for d in buffer.shape)}]"
    place = f" at {dim_text(buffer.offset)}" if buffer.kind == "arena" else ""
    return f"{buffer.kind} {buffer.key} {shape}{place}{' by rows' if buffer.rows else ''}"


def _step_text(step: Step) -> str:
    each = " for each shard" if step.per_shard else ""
    return f"{step.kind} {step.symbol}({', '.join(map(str, step.arguments))}){each}"
