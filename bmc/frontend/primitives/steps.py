"""Rows of different length: tensors `[B, T, ...]` whose steps behind a row's own end do not count.

In: tensors with `lengths`. Out: masks, and reductions that leave these steps out. Guaranteed: rows and steps are reduced together:
the mean of a series of 12 channels over axis 0 is 12 numbers, over all steps of all rows.
"""

from __future__ import annotations

from bmc.frontend.bodies.core import Core
from bmc.frontend.bodies.values import Tensor
from bmc.ir import Value
from bmc.record import replace

__all__ = ["over_steps", "step_mask"]


def step_mask(core: Core, tensor: Tensor) -> Value | None:
    """Where the cells of a tensor belong to a row's own steps; None where all do."""
    if tensor.lengths is None:
        return None
    trace = core.trace
    lengths = trace.op("broadcast", tensor.lengths, shape=tensor.shape, axes=(0,))
    return trace.op("compare", trace.op("iota", dtype="i32", shape=tensor.shape, axis=1), lengths, predicate="lt")


def over_steps(core: Core, tensor: Tensor, axes: tuple[int, ...]) -> tuple[Tensor, tuple[int, ...]]:
    """What a reduction over `axes` is of: with the rows go their steps, and steps that do not count are cells that are missing."""
    mask = step_mask(core, tensor) if 0 in axes or 1 in axes else None
    if mask is None:
        return tensor, axes
    valid = mask if tensor.valid is None else core.trace.op("logical_and", tensor.valid, mask)
    return replace(tensor, valid=valid, lengths=None), tuple(sorted({*axes, 1}))
