"""What must not be negative for an operation to lie within its operands: run-time dims are known when it runs, and native code does
not look."""

from __future__ import annotations

from collections.abc import Iterator

from bmc.ir import Dim, Operation, Poly
from bmc.ops.shape import PadAttrs, SliceAttrs

__all__ = ["open_extents"]


def open_extents(op: Operation) -> Iterator[Poly]:
    """Of those that depend on run-time dims: sizes of results, starts of slices and what they leave behind themselves, padding."""
    found: list[Dim] = [dim for value in op.results for dim in value.type.shape]
    if isinstance(op.attrs, SliceAttrs):
        attrs = op.attrs
        for start, stop, step, dim in zip(attrs.starts, attrs.stops, attrs.steps, op.operands[0].type.shape, strict=True):
            low, high = (start, stop) if step > 0 else (stop + 1, start + 1)
            found += [low, dim - high]
    elif isinstance(op.attrs, PadAttrs):
        found += [*op.attrs.low, *op.attrs.high]
    yield from (dim for dim in found if isinstance(dim, Poly))
