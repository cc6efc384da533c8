"""What slices demand of run-time dims: `pos[:T]` of a table of 16 wants T <= 16.

In: a function. Out: the demands that its types do not prove, as inequalities of dims with the words for them. Guaranteed: where all
of them hold, no slice along another axis than the rows reads beyond its operand.
"""

from __future__ import annotations

from collections.abc import Iterator

from bmc.ir import Dim, Function, Operation
from bmc.ir.dims import symbols
from bmc.ops.shape import SliceAttrs, slice_dim
from bmc.passes.memory.sizes import at_most, expression_of
from bmc_runtime.plan import Limit

__all__ = ["demands", "limits_of"]


def limits_of(function: Function) -> tuple[Limit, ...]:
    """Each once, in the order of the operations."""
    return tuple({repr(limit): limit for limit, _ in demands(function)}.values())


def demands(function: Function) -> Iterator[tuple[Limit, Operation]]:
    """Each limit with the slice that makes it."""
    work = list(reversed(function.ops))
    while work:
        op = work.pop()
        for region in op.regions:
            work.extend(reversed(region.ops))
        if isinstance(op.attrs, SliceAttrs):
            yield from ((limit, op) for limit in _of_slice(op, op.attrs, function.row))


def _of_slice(op: Operation, attrs: SliceAttrs, row: str | None) -> Iterator[Limit]:
    (x,) = op.operands
    for start, stop, step, dim in zip(attrs.starts, attrs.stops, attrs.steps, x.type.shape, strict=True):
        first, last = (start, stop) if step > 0 else (stop + 1, start + 1)
        open_dims = symbols(first) | symbols(last) | symbols(dim)
        if not open_dims or row in open_dims or slice_dim(start, stop, step) == 0:
            continue
        for left, right in ((0, first), (first, last), (last, dim)):
            if not at_most(left, right):
                yield Limit(expression_of(left), expression_of(right), _words(op, left, right))


def _words(op: Operation, left: Dim, right: Dim) -> str:
    """What the source says, as far as there is one."""
    text = op.location.spans[-1].text if op.location.spans else ""
    what = f"`{text}`" if text and "\n" not in text and len(text) <= 60 else f"a slice of {op.operands[0].type}"
    return f"{what} wants {left} <= {right}"
