"""What must not be negative for an operation to lie within its operands: run-time dims are known when it runs, and native code
does not look."""

from __future__ import annotations

from collections.abc import Iterator

from bmc.ir import Dim, Operation, Poly
from bmc.ops.pool import PoolAttrs
from bmc.ops.shape import PadAttrs, SliceAttrs
from bmc.ops.window import ConvolutionAttrs, WindowsAttrs

__all__ = ["open_extents"]


def open_extents(op: Operation) -> Iterator[Poly]:
    """Of those that depend on run-time dims: sizes of results, starts of slices and what they leave behind themselves, padding;
    and how many windows there are beyond the first one, without which a mean over them is one of nothing.
    """
    found: list[Dim] = [dim for value in op.results for dim in value.type.shape]
    if isinstance(op.attrs, SliceAttrs):
        attrs = op.attrs
        for start, stop, step, dim in zip(attrs.starts, attrs.stops, attrs.steps, op.operands[0].type.shape, strict=True):
            low, high = (start, stop) if step > 0 else (stop + 1, start + 1)
            found += [low, dim - high]
    elif isinstance(op.attrs, PadAttrs):
        found += [*op.attrs.low, *op.attrs.high]
    elif isinstance(op.attrs, WindowsAttrs):
        found.append(op.result.type.shape[op.attrs.axis] - 1)
    elif isinstance(op.attrs, ConvolutionAttrs | PoolAttrs):
        found += [dim - 1 for dim in op.result.type.shape[1:-1]]
    yield from (dim for dim in found if isinstance(dim, Poly))
