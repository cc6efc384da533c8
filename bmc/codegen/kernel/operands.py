"""The operands of a product as memory: the parameter that each one views, and how far its elements lie apart.

In: the region of a contract kernel. Out: `Operand`s over the result's axes and the contracted ones. Views are index maps.
"""

from __future__ import annotations

from collections.abc import Sequence

from bmc.codegen.kernel.affine import Affine, IndexMap, identity_map, linear, merged_axes, through_view
from bmc.codegen.kernel.demands import Demands
from bmc.codegen.typed import attributes
from bmc.errors import CompilerBug
from bmc.ir import Dim, Operation, Region, Shape
from bmc.ir import Value as IRValue
from bmc.ops.contract import ContractAttrs
from bmc.ops.lowering import Contraction, View
from bmc.ops.table import definition
from bmc.record import record

__all__ = ["Operand", "contraction_of", "is_plain", "known", "layout_of", "operands_of", "stride_of"]


@record(frozen=True)
class Operand:
    """An operand as memory: strides along the result's axes, along the merged contracted axes and along each contracted axis
    by itself, in elements.
    """

    param: IRValue
    form: Affine
    depth_strides: Shape
    single_strides: Shape


def contraction_of(region: Region) -> Operation:
    for op in region.ops:
        if isinstance(definition(op.name).lowering, Contraction):
            return op
    raise CompilerBug("codegen", "a contract kernel without a contraction")


def is_plain(region: Region, product: Operation) -> bool:
    """Whether the kernel's only result is the product itself."""
    views = sum(1 for op in region.ops[: region.ops.index(product)] if isinstance(definition(op.name).lowering, View))
    return len(region.ops) == 1 + views and region.results == (product.result,)


def operands_of(region: Region, product: Operation) -> tuple[Operand, Operand, Shape]:
    """Both operands as memory over the result's axes, and the sizes of the contracted axes, merged where both allow it."""
    attrs = attributes(product, ContractAttrs)
    left, right = product.operands
    batch = len(attrs.lhs_batch)
    count = len(attrs.lhs_contract)
    result_rank = product.result.type.rank
    rank = result_rank + count
    left_free = left.type.rank - batch - count

    def axes_of(value: IRValue, batch_axes: Sequence[int], contracted: Sequence[int], first_free: int) -> IndexMap:
        place = {axis: i for i, axis in enumerate(batch_axes)}
        place.update({axis: result_rank + i for i, axis in enumerate(contracted)})
        free = iter(range(first_free, result_rank))
        return identity_map(rank, [place[a] if a in place else next(free) for a in range(value.type.rank)])

    a_map = axes_of(left, attrs.lhs_batch, attrs.lhs_contract, batch)
    b_map = axes_of(right, attrs.rhs_batch, attrs.rhs_contract, batch + left_free)
    sizes = tuple(left.type.shape[a] for a in attrs.lhs_contract)
    a_param, a_form = _memory(region, left, a_map, rank)
    b_param, b_form = _memory(region, right, b_map, rank)

    depth_axes = [i for i in range(count) if sizes[i] != 1]
    depths = [Affine(0, tuple(form.strides[result_rank + i] for i in depth_axes)) for form in (a_form, b_form)]
    groups = merged_axes(tuple(sizes[i] for i in depth_axes), [None] * len(depth_axes), depths)
    merged: list[Dim] = []
    for group in groups:
        size: Dim = 1
        for i in group:
            size = size * sizes[depth_axes[i]]
        merged.append(size)

    def operand(param: IRValue, form: Affine, depths: Affine) -> Operand:
        strides = tuple(depths.strides[group[-1]] for group in groups)
        return Operand(param, Affine(form.offset, form.strides[:result_rank]), strides, form.strides[result_rank:])

    return operand(a_param, a_form, depths[0]), operand(b_param, b_form, depths[1]), tuple(merged)


def _memory(region: Region, value: IRValue, index: IndexMap, rank: int) -> tuple[IRValue, Affine]:
    """The region parameter that `value` views, and its address form."""
    makers = {result: op for op in region.ops for result in op.results}
    while value in makers:
        op = makers[value]
        lowering = definition(op.name).lowering
        if not isinstance(lowering, View):
            raise CompilerBug("codegen", f"an operand of a contract kernel is computed by {op.name} inside it")
        operand = op.operands[0]
        index = through_view(index, lowering.index(op.attrs, operand.type, value.type), rank)
        value = operand
    return value, linear(index, value.type.shape, rank)


def stride_of(analysed: Demands, form: Affine, group: int | None) -> Dim:
    return 0 if group is None else analysed.group_strides(form)[group]


def layout_of(inner: Dim, outer: Dim, inner_size: Dim, outer_size: Dim) -> tuple[bool, Dim] | None:
    """Of a matrix with strides `inner` (axis that is contiguous when not transposed) and `outer`: whether it is transposed, and
    its leading stride; None where it is contiguous along neither axis. The strides of axes of size 1 do not matter.
    """
    if inner == 1 or inner_size == 1:
        return False, outer if outer_size != 1 else inner_size
    if outer == 1 or outer_size == 1:
        return True, inner
    return None


def known(dim: Dim) -> int | None:
    return dim if isinstance(dim, int) else None
