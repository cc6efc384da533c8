"""Making sums over rows explicit, so that a step can run on shards of the batch.

In: a function with rows, any. Out: the same function, in which every operation that sums over rows gives the partial
sum of a shard, and `shard_sum` adds the partials. Guaranteed: apart from `shard_sum` no operation mixes rows; values
keep their identity, so results stand as they did. Operations that are linear in a sum stay behind it. With one shard
the function comes back as it is.
"""

from __future__ import annotations

from collections.abc import Sequence

from bmc.ir import Dim, Function, Operation, Symbol, Value
from bmc.ir.dims import Poly, symbols
from bmc.ops.registry import NoAttrs, RowMix
from bmc.ops.table import definition
from bmc.passes.rows import operation_rows, row_states

__all__ = ["RowsDoNotSplit", "shard", "unsplittable"]


class RowsDoNotSplit(Exception):
    """An operation combines rows otherwise than by a sum, which needs the whole batch in one shard: `shards = 1`,
    `accumulate = 1`.
    """

    def __init__(self, op: Operation) -> None:
        super().__init__(f"{op.name} combines the rows of the batch in a way that cannot be split into shards")
        self.op = op


def shard(function: Function, shards: bool) -> Function:
    """`function` on shards. `shards`: whether there is more than one, or more than one micro-batch. Raises
    RowsDoNotSplit.
    """
    if not shards or function.row is None:
        return function
    refused = unsplittable(function)
    if refused is not None:
        raise RowsDoNotSplit(refused)
    states = row_states(function)
    ops: list[Operation] = []
    for op in function.ops:
        found = operation_rows(op, [states[v].axis for v in op.operands], function.row)
        ops.extend(_summed(op, [state is RowMix.SUM for state in found]) if RowMix.SUM in found else [op])
    return Function(function.name, function.params, tuple(ops), function.results, function.row)


def unsplittable(function: Function) -> Operation | None:
    """The first operation that combines rows otherwise than by a sum, so that they cannot be cut; None: there is none."""
    if function.row is None:
        return None
    states = row_states(function)
    for op in function.ops:
        found = operation_rows(op, [states[v].axis for v in op.operands], function.row)
        if RowMix.OTHER in found or (RowMix.SUM in found and not _adds_up(op, function.row)):
            return op
    return None


def _adds_up(op: Operation, row: str) -> bool:
    """Whether the sum of what the shards measure is what the whole measures: only for dims that are a multiple of the
    row dim.
    """
    measures = definition(op.name).measures
    return measures is None or _is_multiple(measures(op.attrs), row)


def _is_multiple(dim: Dim, row: str) -> bool:
    if not isinstance(dim, Poly):
        return False
    for monomial, _ in dim.terms:
        powers = [power for atom, power in monomial if atom == Symbol(row)]
        hidden = any(
            not isinstance(atom, Symbol) and row in symbols(Poly((((((atom, 1),)), 1),))) for atom, _ in monomial
        )
        if powers != [1] or hidden:
            return False
    return True


def _summed(op: Operation, is_sum: Sequence[bool]) -> list[Operation]:
    partials = tuple(Value(v.type, v.name) if summed else v for v, summed in zip(op.results, is_sum, strict=True))
    local = Operation(op.name, op.operands, op.attrs, partials, op.regions, op.location)
    sums = [
        Operation("shard_sum", (partial,), NoAttrs(), (total,), (), op.location)
        for partial, total in zip(partials, op.results, strict=True)
        if partial is not total
    ]
    return [local, *sums]
