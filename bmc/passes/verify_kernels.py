"""The rules of kernel regions, as docs/architecture.md states them under "Kernels": what code generation may rely on.

In: an operation that carries a kernel's region. Out: what is wrong with it, or None. Types are `verify`'s question,
not asked here.
"""

from __future__ import annotations

from collections.abc import Iterator

from bmc.ir import Operation, Region, Shape, Value
from bmc.ops.lowering import Contraction, Elementwise, Fused, Lowering, Reduction, View
from bmc.ops.table import operators

__all__ = ["kernel_fault"]


def kernel_fault(op: Operation) -> str | None:
    """The first rule that a kernel breaks; None if it breaks none, or if `op` is no kernel."""
    if not isinstance(_lowering(op), Fused):
        return None
    if len(op.regions) != 1:
        return f"a kernel has one region, not {len(op.regions)}"
    kind = getattr(op.attrs, "kind", None)
    if kind == "map":
        return next(_map_faults(op.regions[0]), None)
    if kind == "reduce":
        return next(_reduce_faults(op.regions[0]), None)
    if kind == "contract":
        return next(_contract_faults(op.regions[0]), None)
    return f"there is no kind of kernel {kind!r}"


def _lowering(op: Operation) -> Lowering | None:
    record = operators().get(op.name)
    return record.lowering if record is not None else None


def _foreign(region: Region, *allowed: type) -> Iterator[str]:
    for op in region.ops:
        if not isinstance(_lowering(op), allowed):
            yield f"{op.name} cannot stand in a kernel of this kind"


def _viewed(region: Region, also: frozenset[Value] = frozenset()) -> Iterator[str]:
    """Views read region parameters, views of them, or values of `also`: what an affine index map can reach."""
    readable = {*region.params, *also}
    for op in region.ops:
        if isinstance(_lowering(op), View):
            if op.operands[0] not in readable:
                yield f"{op.name} is a view of %{op.operands[0].name}, which the kernel computes"
            readable.update(op.results)


def _shapes(region: Region, allowed: tuple[Shape, ...]) -> Iterator[str]:
    for value in region.results:
        if value.type.shape not in allowed:
            yield f"result %{value.name} is {value.type}, outside the iteration space {list(map(str, allowed[0]))}"


def _map_faults(region: Region) -> Iterator[str]:
    yield from _foreign(region, Elementwise, View)
    if not region.results:
        yield "a kernel of kind map has no results"
        return
    yield from _shapes(region, (region.results[0].type.shape,))
    yield from _viewed(region)


def _reduce_faults(region: Region) -> Iterator[str]:
    yield from _foreign(region, Elementwise, View, Reduction)
    reductions = [op for op in region.ops if isinstance(_lowering(op), Reduction)]
    if not reductions:
        yield "a kernel of kind reduce reduces nothing"
        return
    space = reductions[0].operands[0].type.shape
    axes = tuple(sorted(reductions[0].attrs.axes))  # type: ignore[attr-defined]
    reduced = tuple(dim for axis, dim in enumerate(space) if axis not in axes)
    for op in reductions:
        if op.operands[0].type.shape != space or tuple(sorted(op.attrs.axes)) != axes:  # type: ignore[attr-defined]
            yield f"{op.name} reduces other axes, or another shape, than the first reduction"
    yield from _shapes(region, (space, reduced))
    trailing = axes == tuple(range(len(space) - len(axes), len(space)))
    folded: set[Value] = set()
    for op in region.ops:
        after = any(value in folded for value in op.operands)
        if isinstance(_lowering(op), Reduction):
            if after and not trailing:
                yield f"{op.name} depends on another reduction, and the axes {list(axes)} are not the last ones"
            folded.update(op.results)
        elif after:
            folded.update(op.results)
    yield from _viewed(region, frozenset(v for op in region.ops for v in op.results if v in folded and v.type.shape == reduced))


def _contract_faults(region: Region) -> Iterator[str]:
    yield from _foreign(region, Elementwise, View, Contraction)
    products = [op for op in region.ops if isinstance(_lowering(op), Contraction)]
    if len(products) != 1:
        yield f"a kernel of kind contract has one contraction, not {len(products)}"
        return
    (product,) = products
    readable = set(region.params)
    for op in region.ops:
        if isinstance(_lowering(op), View) and op.operands[0] in readable:
            readable.update(op.results)
    for value in product.operands:
        if value not in readable:
            yield f"the contraction reads %{value.name}, which the kernel computes"
    yield from _viewed(region)
    yield from _shapes(region, (product.result.type.shape,))
