"""Fusion: operations that can share loops become `kernel` operations.

In: a function, or its phases, of ordinary operations. Out: the same with every operation a `kernel`, a reshape, or
one whose lowering is opaque. Guaranteed: no expensive operation is computed twice; kernels have the forms of
docs/architecture.md; readers of a parameter's old contents run before the kernel that makes the new ones, where data
allows. Linear in operations. See docs/fusion.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from bmc.ir import Function, Operation, Region, Value
from bmc.ops.lowering import Fused, Loop
from bmc.ops.table import definition
from bmc.passes.fusion.graph import OpGraph
from bmc.passes.fusion.kernels import kernel_key, kernels_of
from bmc.passes.fusion.merge import merge_groups
from bmc.passes.fusion.sweep import group_operations
from bmc.passes.fusion.traits import lowering_of
from bmc.passes.fusion.unit_dims import without_unit_dims
from bmc.passes.phase import Phase

__all__ = ["fuse", "fuse_phases", "kernel_counts", "kernel_key"]


def fuse(function: Function) -> Function:
    """The function with kernels. It may have effects, but no sums over shards: those cut it into phases first."""
    results = [result.value for result in function.results]
    ops = _fuse(function.ops, results, _updates(function))
    return Function(function.name, function.params, ops, function.results, function.row)


def fuse_phases(function: Function, phases: Sequence[Phase]) -> tuple[Phase, ...]:
    """The native phases of `function` with kernels."""
    updates = _updates(function)
    return tuple(
        replace(phase, ops=_fuse(phase.ops, phase.outputs, updates)) if phase.kind == "native" else phase
        for phase in phases
    )


def kernel_counts(ops: Iterable[Operation]) -> Counter[str]:
    """How many kernels of each kind remain, and how many other operations by operator: what tests of fusion count."""
    counts: Counter[str] = Counter()
    for op in ops:
        is_kernel = isinstance(lowering_of(op), Fused)
        counts[op.attrs.kind if is_kernel else op.name] += 1  # type: ignore[attr-defined]
    return counts


def _fuse(
    ops: Sequence[Operation], live_out: Iterable[Value], updates: Sequence[tuple[Value, Value]]
) -> tuple[Operation, ...]:
    wanted = frozenset(live_out)
    graph = OpGraph.build(_live(without_unit_dims(ops), wanted), wanted, updates)
    return tuple(_turn(op) for op in kernels_of(merge_groups(group_operations(graph))))


def _turn(op: Operation) -> Operation:
    """A scan whose region is kernels, too."""
    if not isinstance(lowering_of(op), Loop):
        return op
    (region,) = op.regions
    fused = Region(region.params, _fuse(region.ops, region.results, ()), region.results)
    return Operation(op.name, op.operands, op.attrs, op.results, (fused,), op.location)


def _live(ops: Sequence[Operation], wanted: Collection[Value]) -> list[Operation]:
    """`ops` without what nobody needs: a dead operation must not give its kind to a kernel of live ones."""
    needed, kept = set(wanted), list[Operation]()
    for op in reversed(ops):
        if definition(op.name).effect or any(v in needed for v in op.results):
            needed.update(op.operands)
            kept.append(op)
    return kept[::-1]


def _updates(function: Function) -> list[tuple[Value, Value]]:
    """(new contents, parameter) of each update."""
    params = {param.key: param.value for param in function.params}
    return [
        (result.value, params[result.key])
        for result in function.results
        if result.role == "update" and result.key in params
    ]
