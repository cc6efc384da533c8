"""Operators that repeat a region along an axis: `scan`, and the `loop` that it becomes with a place for every value.

A scan has carries, which a turn hands to the next, sequences, of which each turn sees one slice of the leading axis,
and invariants, which every turn sees whole. Its results are the last carries, and the yields of all turns stacked
along a leading axis. The region's parameters are carries, slices, invariants; its results new carries, then yields.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from bmc.ir import Operation, Region, TensorType, Value
from bmc.ir.dims import symbols
from bmc.ops.lowering import Loop
from bmc.ops.registry import NotDifferentiable, Operator, RowMix, Sample, TypeRuleError, row_axes
from bmc.ops.scan_gradient import saved, scan_gradient
from bmc.ops.scan_parts import LoopAttrs, ScanAttrs
from bmc.record import replace

__all__ = ["loop_operator", "scan_operator"]


def _region_types(types: Sequence[TensorType], attrs: ScanAttrs, regions: Sequence[Region]) -> tuple[TensorType, ...]:
    if len(regions) != 1:
        raise TypeRuleError(f"a scan has one region, not {len(regions)}")
    (region,) = regions
    carries, sequences = attrs.carries, attrs.sequences
    if carries < 0 or sequences < 0 or carries + sequences > len(types):
        raise TypeRuleError(f"{carries} carries and {sequences} sequences are more than {len(types)} operands")
    if len(region.params) != len(types):
        raise TypeRuleError(f"the region has {len(region.params)} parameters for {len(types)} operands")
    if len(region.results) < carries:
        raise TypeRuleError(f"the region has {len(region.results)} results for {carries} carries")
    for i, (param, found) in enumerate(zip(region.params, types, strict=True)):
        if carries <= i < carries + sequences:
            if not found.shape or found.shape[0] != attrs.length:
                raise TypeRuleError(f"the sequence is {found}; wanted: {attrs.length} along its leading axis", i)
            found = found.with_shape(found.shape[1:])
        if param.type != found:
            raise TypeRuleError(f"the region's parameter is {param.type}, a turn gets {found}", i)
    for i, value in enumerate(region.results[:carries]):
        if value.type != types[i]:
            raise TypeRuleError(f"carry {i} begins as {types[i]} and goes on as {value.type}", i)
    stacked = [v.type.with_shape((attrs.length, *v.type.shape)) for v in region.results[carries:]]
    return (*types[:carries], *stacked)


def _loop_types(types: Sequence[TensorType], attrs: LoopAttrs, regions: Sequence[Region]) -> tuple[TensorType, ...]:
    scan = ScanAttrs(attrs.carries, attrs.sequences, attrs.reverse, attrs.length)
    return (*_region_types(types, scan, regions), TensorType("u8", (attrs.workspace,)))


def _infer(types: Sequence[TensorType], attrs: Any) -> tuple[TensorType, ...]:
    raise TypeRuleError("a scan has one region, not 0")


def _reference(np: Any, attrs: Any, arrays: Sequence[Any]) -> Sequence[Any]:
    raise NotImplementedError("a scan is evaluated by its region: use bmc.ops.evaluate")


def _row_symbol(op: Operation, axes: Sequence[int | None]) -> str | None:
    for value, axis in zip(op.operands, axes, strict=True):
        if axis is not None:
            found: list[str] = sorted(symbols(value.type.shape[axis]))
            return found[0] if len(found) == 1 else None
    return None


def _rows(definition: Callable[[str], Operator]) -> Callable[[Operation, Sequence[int | None]], tuple[int | RowMix | None, ...]]:
    """Rows go through the region as through a function. A turn may keep them apart, or sum over them into a yield."""

    def rows(op: Operation, axes: Sequence[int | None]) -> tuple[int | RowMix | None, ...]:
        attrs: Any = op.attrs
        (region,) = op.regions
        carries, last = attrs.carries, attrs.carries + attrs.sequences
        workspace = (None,) * (len(op.results) - len(region.results))
        row = _row_symbol(op, axes)
        if row is None:
            return (None,) * len(op.results)
        mixed = (RowMix.OTHER,) * len(region.results) + workspace
        if any(axis == 0 for axis in axes[carries:last]):
            return mixed
        state: list[int | None] = [axis - 1 if axis is not None and carries <= i < last else axis for i, axis in enumerate(axes)]
        for _ in range(carries + 1):
            found = _through(definition, region, state, row)
            for i in range(carries):
                after = found[i]
                if isinstance(after, RowMix) or (after != state[i] and state[i] is not None):
                    return mixed
                if after is not None and state[i] is None:
                    state[i] = after
                    break
            else:
                yields = (s + 1 if isinstance(s, int) else s for s in found[carries:])
                return (*state[:carries], *yields, *workspace)
        return mixed

    return rows


def _through(
    definition: Callable[[str], Operator], region: Region, axes: Sequence[int | None], row: str
) -> list[int | RowMix | None]:
    states: dict[Value, int | RowMix | None] = dict(zip(region.params, axes, strict=True))
    for op in region.ops:
        known = [states[value] for value in op.operands]
        if any(isinstance(state, RowMix) for state in known):
            # A sum over rows that goes on into other operations is no sum over rows any more.
            found: Sequence[int | RowMix | None] = (RowMix.OTHER,) * len(op.results)
        else:
            found = row_axes(definition(op.name), op, [s for s in known if not isinstance(s, RowMix)], row)
        states.update(zip(op.results, found, strict=True))
    return [states[value] for value in region.results]


def scan_operator(definition: Callable[[str], Operator]) -> Operator:
    """The record; its rules ask `definition` for those of the region's operators."""
    return Operator(
        name="scan",
        doc="Runs its region once for each slice of the sequences along their leading axis, and hands the carries from "
        "turn to turn. Results: the last carries, then the yields of all turns, stacked.",
        arity=(0, None),
        attrs=ScanAttrs,
        infer=_infer,
        grad=scan_gradient(definition),
        rows=_rows(definition),
        lowering=Loop(),
        reference=_reference,
        samples=lambda: [Sample((), ScanAttrs(0, 0, False, 3))],
        region_types=_region_types,
        saves=saved(definition),
    )


def loop_operator(definition: Callable[[str], Operator]) -> Operator:
    """The record of a scan whose turns have a place in memory for each value."""
    return replace(
        scan_operator(definition),
        name="loop",
        doc="A `scan` of kernels with a place in a workspace, its last result, for each value of a turn. The pass "
        "`place_loops` makes it.",
        attrs=LoopAttrs,
        grad=NotDifferentiable("loops are made after gradients", misplaced=True),
        samples=lambda: [Sample((), LoopAttrs(0, 0, False, 3, 0, ()))],
        region_types=_loop_types,
        saves=None,
    )
