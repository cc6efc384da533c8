"""What nobody uses inside a scan: yields, operations of a turn, and operands that no turn reads.

In: a scan and the values that are used behind it. Out: the scan without the rest; itself if everything is used. Carries
stay, since each turn hands them on.
"""

from __future__ import annotations

from collections.abc import Collection

from bmc.ir import Operation, Region
from bmc.ops.scan_parts import ScanAttrs, parts
from bmc.ops.table import definition

__all__ = ["trimmed"]


def trimmed(op: Operation, used: Collection[object]) -> Operation:
    """`op` without what nobody uses."""
    if not isinstance(op.attrs, ScanAttrs):
        return op
    attrs = op.attrs
    (region,) = op.regions
    pairs = list(zip(region.results, op.results, strict=True))
    kept = [pair for i, pair in enumerate(pairs) if i < attrs.carries or pair[1] in used]
    needed = {value for value, _ in kept}
    ops: list[Operation] = []
    for inner in reversed(region.ops):
        if definition(inner.name).effect or any(value in needed for value in inner.results):
            small = trimmed(inner, needed)
            needed.update(small.operands)
            ops.append(small)
    ops.reverse()
    given = list(zip(region.params, op.operands, strict=True))
    carries, sequences, invariants = parts(given, attrs.carries, attrs.sequences)
    sequences = [pair for pair in sequences if pair[0] in needed]
    invariants = [pair for pair in invariants if pair[0] in needed]
    inputs = [*carries, *sequences, *invariants]
    if (len(kept), len(inputs)) == (len(pairs), len(given)) and ops == list(region.ops):
        return op
    turn = Region(tuple(param for param, _ in inputs), tuple(ops), tuple(value for value, _ in kept))
    smaller = ScanAttrs(attrs.carries, len(sequences), attrs.reverse, attrs.length)
    results = tuple(result for _, result in kept)
    return Operation(op.name, tuple(value for _, value in inputs), smaller, results, (turn,), op.location)
