"""`x[:, -1]`, `pos[:T]`, `keep[:, none, none, :]`: indices and slices of tensors.

In: a tensor and evaluated index items. Out: slices and reshapes. Guaranteed: integer indices are checked against dims that
are known; a
bound that is a dim known only at run time stays a polynomial; `none` adds a dim of 1.
"""

from __future__ import annotations

from collections.abc import Sequence

from bmc.frontend.bodies.coercion import whole_rows
from bmc.frontend.bodies.core import Core
from bmc.frontend.bodies.dims import Failure
from bmc.frontend.bodies.values import Datum, Tensor, describe
from bmc.frontend.errors import type_errors
from bmc.ir import Dim, Poly, Value
from bmc.record import replace
from bmc.source import Span

__all__ = ["index_tensor", "take_range"]


def take_range(core: Core, tensor: Tensor, axis: int, start: Dim, stop: Dim, step: int = 1) -> Tensor:
    """`start` to before `stop` along one axis, as it is (no clipping)."""
    value = core.trace.slice(tensor.value, axis, start, stop, step)
    valid = None if tensor.valid is None else core.trace.slice(tensor.valid, axis, start, stop, step)
    origins = tuple(o if i != axis or value.type.shape[i] == tensor.shape[i] else None for i, o in enumerate(tensor.origins))
    return replace(tensor, value=value, valid=valid, origins=origins, behind=None)


def _bound(value: Datum, dim: Dim, default: Dim, span: Span) -> Dim:
    """A slice bound as numpy reads it: from the end if negative, never beyond the ends."""
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, (int, Poly)):
        raise Failure(type_errors.bad_index(span, f"a slice is bounded by whole numbers, not {describe(value)}"))
    if isinstance(value, int) and value < 0:
        moved = dim + value
        return max(moved, 0) if isinstance(moved, int) else moved
    if isinstance(value, int) and isinstance(dim, int):
        return min(value, dim)
    return value


def _sliced(core: Core, tensor: Tensor, axis: int, bounds: Sequence[Datum], span: Span) -> Tensor:
    dim = tensor.shape[axis]
    start_, stop_, step = bounds
    step = 1 if step is None else step
    if not isinstance(step, int) or isinstance(step, bool) or step == 0:
        raise Failure(type_errors.bad_index(span, "the step of a slice is a whole number, not 0"))
    if step < 0:
        if start_ is not None or stop_ is not None:
            raise Failure(type_errors.bad_index(span, "a negative step takes the whole axis: `x[::-1]`"))
        return take_range(core, tensor, axis, dim - 1, -1, step)
    start = _bound(start_, dim, 0, span)
    stop = _bound(stop_, dim, dim, span)
    if isinstance(start, int) and isinstance(stop, int) and start > stop:
        stop = start
    return take_range(core, tensor, axis, start, stop, step)


def _picked(core: Core, tensor: Tensor, axis: int, index: int | Poly, span: Span) -> Tensor:
    dim = tensor.shape[axis]
    if isinstance(index, int) and isinstance(dim, int) and not -dim <= index < dim:
        raise Failure(type_errors.bad_index(span, f"index {index} is outside of a dim of {dim}"))
    at: Dim = dim + index if isinstance(index, int) and index < 0 else index
    return take_range(core, tensor, axis, at, at + 1)


def index_tensor(core: Core, tensor: Tensor, parts: Sequence[tuple[object, Span]], span: Span) -> Tensor:
    """`parts`: for each item `...`, (start, stop, step), None for a new dim, or an index; with its span."""
    whole_rows(tensor, "an index", span)
    core.own(tensor, span)
    spoken = sum(1 for p, _ in parts if p is not None and p is not ...)
    rests = sum(1 for p, _ in parts if p is ...)
    if rests > 1:
        raise Failure(type_errors.bad_index(span, "`...` stands once in an index"))
    if spoken > tensor.rank:
        raise Failure(type_errors.bad_index(span, f"{spoken} indices, but {describe(tensor)} has {tensor.rank} dims"))
    axis = 0
    shape: list[Dim] = []
    origins: list[Span | None] = []

    def keep(count: int) -> None:
        nonlocal axis
        for _ in range(count):
            shape.append(tensor.shape[axis])
            origins.append(tensor.origin(axis))
            axis += 1

    for part, where in parts:
        if part is ...:
            keep(tensor.rank - spoken)
        elif part is None:
            shape.append(1)
            origins.append(where)
        elif isinstance(part, tuple):
            tensor = _sliced(core, tensor, axis, part, where)
            keep(1)
        elif isinstance(part, (int, Poly)) and not isinstance(part, bool):
            tensor = _picked(core, tensor, axis, part, where)
            axis += 1
        else:
            shown = describe(part) if isinstance(part, (Tensor, str, float, bool)) else "this"
            note = f"{shown} cannot be an index: `take(x, i, axis = ...)` picks by a tensor"
            raise Failure(type_errors.bad_index(where, note))
    keep(tensor.rank - axis)
    reshaped = tuple(shape)

    def reshape(value: Value) -> Value:
        return core.trace.reshape(value, reshaped)

    valid = None if tensor.valid is None else reshape(tensor.valid)
    return replace(tensor, value=reshape(tensor.value), valid=valid, origins=tuple(origins), behind=None)
