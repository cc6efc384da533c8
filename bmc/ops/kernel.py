"""The operator that fusion makes: several operations as one kernel, whose region holds them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from bmc.ir import Operation, Region, TensorType, Value
from bmc.ops.lowering import Fused
from bmc.ops.registry import NotDifferentiable, Operator, RowMix, Sample, TypeRuleError
from bmc.record import record

__all__ = ["KINDS", "KernelAttrs", "kernel_operator"]

KINDS = ("map", "reduce", "contract")


@record(frozen=True)
class KernelAttrs:
    """`kind`: map, reduce or contract. `name`: a short name for readers, made of the region's main operators."""

    kind: str
    name: str = ""


def _region_types(types: Sequence[TensorType], attrs: KernelAttrs, regions: Sequence[Region]) -> tuple[TensorType, ...]:
    if attrs.kind not in KINDS:
        raise TypeRuleError(f"{attrs.kind!r} is no kind of kernel; wanted: {', '.join(KINDS)}")
    if len(regions) != 1:
        raise TypeRuleError(f"a kernel has one region, not {len(regions)}")
    (region,) = regions
    if len(region.params) != len(types):
        raise TypeRuleError(f"the region has {len(region.params)} parameters for {len(types)} operands")
    for i, (param, found) in enumerate(zip(region.params, types, strict=True)):
        if param.type != found:
            raise TypeRuleError(f"the region's parameter is {param.type}, the operand {found}", i)
    return tuple(value.type for value in region.results)


def _infer(types: Sequence[TensorType], attrs: KernelAttrs) -> tuple[TensorType, ...]:
    raise TypeRuleError("a kernel has one region, not 0")


def _reference(np: Any, attrs: KernelAttrs, arrays: Sequence[Any]) -> Sequence[Any]:
    raise NotImplementedError("a kernel is evaluated by its region: use bmc.ops.evaluate")


def kernel_operator(definition: Callable[[str], Operator]) -> Operator:
    """The record; its row rule asks `definition` for those of the region's operators."""

    def rows(op: Operation, axes: Sequence[int | None]) -> tuple[int | RowMix | None, ...]:
        (region,) = op.regions
        states: dict[Value, int | RowMix | None] = dict(zip(region.params, axes, strict=True))
        for inner in region.ops:
            known = [states[value] for value in inner.operands]
            mixed = next((state for state in known if isinstance(state, RowMix)), None)
            if mixed is None:
                found = definition(inner.name).rows(inner, [state for state in known if not isinstance(state, RowMix)])
            else:
                # A sum over rows that goes on into other operations is no sum over rows any more.
                found = (RowMix.OTHER,) * len(inner.results)
            states.update(zip(inner.results, found, strict=True))
        return tuple(states[value] for value in region.results)

    return Operator(
        name="kernel",
        doc="Operations executed as one loop nest or one contraction. The pass `fuse` makes it.",
        arity=(0, None),
        attrs=KernelAttrs,
        infer=_infer,
        grad=NotDifferentiable("kernels are made after gradients", misplaced=True),
        rows=rows,
        lowering=Fused(),
        reference=_reference,
        samples=lambda: [Sample((), KernelAttrs(kind, "add")) for kind in KINDS],
        region_types=_region_types,
    )
