"""Products whose left operand is no matrix in memory: windows of an image, sums over several axes.

A block of it is copied into a panel in scratch, in the order in which the product walks it, and the product goes on from
there. This is a convolution as a product (im2col) of which only a block exists at a time. Two forms:

- rows of the panel are rows of the operand, each with its whole depth, when the depth is known: a convolution forward;
- rows of the panel are steps of the depth, each with all rows, when the rows are known: the gradient of its kernel. The
  chains of sums go on from block to block in memory: in the result where nothing else is done with it, else in scratch.

Either way each sum is one chain, k ascending from 0, so that the bits are those of every other product.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from llvmlite import ir

from bmc.codegen.contract import ContractSpec, emit_contract, masked_load, scratch_bytes
from bmc.codegen.contract.loop import each, minimum
from bmc.codegen.contract.spec import ELEMENT_BYTES, Dtype, VectorBytes
from bmc.codegen.contract.vector import BIT, at, element_type, index, lanes_of, load, store, vector_type
from bmc.codegen.kernel.affine import Affine, merged_axes
from bmc.codegen.kernel.code import DimCode
from bmc.codegen.kernel.demands import Demands, demands_of, set_levels
from bmc.codegen.kernel.epilogue import Epilogue, Offsets, moved, outer_loops
from bmc.codegen.kernel.operands import Operand, contraction_of, is_plain, known, layout_of, stride_of
from bmc.codegen.typed import attributes, float_dtype_of
from bmc.codegen.value import POINTER
from bmc.ir import Dim, Operation, Region, Shape
from bmc.ir import Value as IRValue
from bmc.ir.dims import product as product_of
from bmc.ops.contract import ContractAttrs
from bmc.record import record, replace

__all__ = ["emit_gathered"]

SCRATCH_BYTES: Final = 4 << 20
PANEL_ELEMENTS: Final = 98304
"""Elements of a panel where there is a choice: they stay in the second cache."""
MOST_ROWS, FEWEST_ROWS = 960, 24
"""Rows of a panel; fewer only where scratch ends. Multiples of all tile heights."""
MOST_DEPTH, FEWEST_DEPTH = 256, 32
UNROLLED: Final = 12
"""Copies in a row that are written out rather than looped over."""
LEAST_LINES: Final = 6
"""Lines below which a panel is not worth a product."""
SLACK: Final = 64
"""Elements behind a panel that whole vectors may write to."""


@record(frozen=True)
class _Axes:
    """Some axes of an operand that are walked as one flat index: sizes and strides, outermost first."""

    sizes: Shape
    strides: Shape

    @property
    def count(self) -> Dim:
        return product_of(self.sizes)

    @property
    def is_known(self) -> bool:
        return bool(self.sizes) and all(isinstance(size, int) for size in self.sizes)

    @property
    def is_contiguous(self) -> bool:
        return bool(self.strides) and self.strides[-1] == 1


def _merged(sizes: Sequence[Dim], strides: Sequence[Dim]) -> _Axes:
    picked = [i for i, size in enumerate(sizes) if size != 1]
    chosen = tuple(sizes[i] for i in picked)
    form = Affine(0, tuple(strides[i] for i in picked))
    groups = merged_axes(chosen, [None] * len(picked), [form])
    return _Axes(
        tuple(product_of(chosen[i] for i in group) for group in groups), tuple(form.strides[group[-1]] for group in groups)
    )


def emit_gathered(
    module: ir.Module,
    builder: ir.IRBuilder,
    op: Operation,
    left: Operand,
    right: Operand,
    classes: Sequence[str],
    pointers: Mapping[IRValue, ir.Value],
    outputs: Sequence[ir.Value],
    dims: DimCode,
    scratch: ir.Value,
    fused: bool,
    vector_bytes: VectorBytes,
) -> bool:
    """Emit the product, or say that its left operand has no order to gather it in, or its right one cannot be walked.

    `classes`: batch, row or column for each axis of the result.
    """
    region = op.regions[0]
    product = contraction_of(region)
    space = product.result.type.shape
    # The rows of the left operand may lie anywhere: its strides along them do not hinder merging.
    batched = tuple(s if kind == "batch" else 0 for s, kind in zip(left.form.strides, classes, strict=True))
    also = [Affine(left.form.offset, batched), right.form]
    analysed = demands_of(region, space, given=product.result, classes=classes, also=also)
    kinds = [classes[group[0]] for group in analysed.groups]
    row_groups = [g for g, kind in enumerate(kinds) if kind == "row"]
    if len(row_groups) != 1:
        return False
    column_group = max((g for g, kind in enumerate(kinds) if kind == "column"), default=None)
    axes = analysed.groups[row_groups[0]]
    sizes = [product.operands[0].type.shape[a] for a in attributes(product, ContractAttrs).lhs_contract]
    rows = _merged([space[a] for a in axes], [left.form.strides[a] for a in axes])
    depth, other = _merged(sizes, left.single_strides), _merged(sizes, right.single_strides)
    if len(other.sizes) > 1:
        return False
    n: Dim = 1 if column_group is None else analysed.sizes[column_group]
    b_strides = (other.strides[0] if other.sizes else 1, stride_of(analysed, right.form, column_group))
    layout = layout_of(b_strides[1], b_strides[0], n, depth.count)
    ways = [way for way in ((rows, depth), (depth, rows)) if way[1].is_known]
    if layout is None or not ways:
        return False
    # Contiguous runs first, then the shorter ones.
    lines, along = min(ways, key=lambda way: (not way[1].is_contiguous, known(way[1].count) or 0))
    by_depth = lines is depth
    spec = ContractSpec(
        float_dtype_of(product.result), by_depth, layout[0], None, known(n), None if by_depth else known(depth.count), fused,
        vector_bytes=vector_bytes,
    )  # fmt: skip
    plain = is_plain(region, product)
    blocks = _blocks(spec, along, n, by_depth, plain)
    if blocks is None:
        return False
    kernel = _Kernel(module, builder, region, analysed, (row_groups[0], column_group), dims, pointers, outputs, scratch, fused)
    emission = _Gathered(kernel, left, right, _Walk(lines, along, layout[1], b_strides, n), spec, plain, blocks)
    outer = [g for g in range(len(kinds)) if g not in kernel.groups]
    outer_loops(builder, analysed, outer, emission.start(), dims, emission.by_depth if by_depth else emission.by_rows)
    return True


@record(frozen=True)
class _Blocks:
    """`lines` of a panel, `stride` between them; `columns` of the result at a time (None: all of them)."""

    lines: int
    stride: int
    columns: int | None


def _blocks(spec: ContractSpec, along: _Axes, n: Dim, by_depth: bool, plain: bool) -> _Blocks | None:
    """None where scratch does not hold a useful block."""
    room = (SCRATCH_BYTES - scratch_bytes(spec)) // ELEMENT_BYTES[spec.dtype] - 2 * SLACK
    length = known(along.count) or 0
    # A stride of a power of two would put all lines of a tile into the same places of the cache.
    stride = length + (16 if length % 256 == 0 else 0)
    columns: int | None = None
    if by_depth and not plain:
        width = known(n)
        if width is None or length * width > room // 2:
            columns = room // 2 // max(length, 1) // 16 * 16
            if columns < 16:
                return None
        room -= length * (columns if columns is not None else width or 0)
    fewest, most, step = (FEWEST_DEPTH, MOST_DEPTH, 8) if by_depth else (FEWEST_ROWS, MOST_ROWS, 24)
    lines = min(max(PANEL_ELEMENTS // max(stride, 1) // step * step, fewest), most)
    if lines * stride > room:
        lines = room // stride
    return _Blocks(lines, stride, columns) if lines >= LEAST_LINES else None


@record(frozen=True)
class _Kernel:
    """Where code goes, and what the kernel is about: its demands, the row group and the column group of these."""

    module: ir.Module
    builder: ir.IRBuilder
    region: Region
    analysed: Demands
    groups: tuple[int, int | None]
    dims: DimCode
    pointers: Mapping[IRValue, ir.Value]
    outputs: Sequence[ir.Value]
    scratch: ir.Value
    fused: bool


@record(frozen=True)
class _Walk:
    """The left operand's `lines` of a panel and what each has `along` it; of the right operand the leading stride and the
    strides along depth and columns, of which there are `columns`.
    """

    lines: _Axes
    along: _Axes
    ldb: Dim
    b_strides: tuple[Dim, Dim]
    columns: Dim


class _Gathered:
    def __init__(
        self, kernel: _Kernel, left: Operand, right: Operand, walk: _Walk, spec: ContractSpec, plain: bool, blocks: _Blocks
    ) -> None:
        self.k, self.left, self.right, self.walk, self.plain, self.blocks = kernel, left, right, walk, plain, blocks
        self.dtype: Dtype = spec.dtype
        builder, dims, analysed = kernel.builder, kernel.dims, kernel.analysed
        row_group, column_group = kernel.groups
        order = [row_group] if column_group is None else [row_group, column_group]
        set_levels(analysed, order, column_group)
        self.epilogue = Epilogue(analysed, order, row_group, column_group, kernel.fused, tuple(dims.bindings))
        self.forms = [left.form, right.form, *self.epilogue.forms()]
        self.c_stride = stride_of(analysed, analysed.results[0][1], row_group)
        strides = [d for form in self.forms for d in (form.offset, *analysed.group_strides(form))]
        axes = [walk.lines, walk.along]
        sizes = [d for a in axes for d in (*a.sizes, *a.strides, a.count)]
        for dim in (*strides, *sizes, *analysed.sizes, walk.ldb, *walk.b_strides, walk.columns, self.c_stride):
            dims(dim)  # dims belong to the entry block
        name = f"{builder.function.name}.product"

        def product(suffix: str, epilogue: Epilogue | None, *, accumulate: bool = False, depth: int | None = spec.k) -> ir.Function:
            form = replace(spec, accumulate=accumulate, k=depth, n=None if blocks.columns is not None else spec.n)
            return emit_contract(kernel.module, name + suffix, form, epilogue, () if epilogue is None else epilogue.types)

        if not spec.a_transposed:
            self.whole = product("", None if plain else self.epilogue)
        else:
            self.first, self.next = product(".first", None), product(".next", None, accumulate=True)
            self.last = product(".last", None if plain else self.epilogue, accumulate=True, depth=0)
        used = scratch_bytes(spec)
        self.panel = builder.gep(kernel.scratch, [index(used)], source_etype=ir.IntType(8))
        self.sums = at(builder, self.panel, index(blocks.lines * blocks.stride + SLACK), self.dtype)

    def start(self) -> Offsets:
        return {form: self.k.dims(form.offset) for form in self.forms}

    # --- the two ways ---

    def by_rows(self, offsets: Offsets) -> None:
        """Panels of whole rows, each finished by one product."""
        builder, dims, walk = self.k.builder, self.k.dims, self.walk
        total = dims(walk.lines.count)

        def block(row: ir.Value) -> None:
            count = minimum(builder, builder.sub(total, row), index(self.blocks.lines))
            self._gather(offsets[self.left.form], row, count)
            inside = self._moved(offsets, 0, row)
            b = self._b(inside)
            extra = self._extra(inside)
            c = extra[len(self.epilogue.loads)] if self.plain else ir.Constant(POINTER, None)
            sizes = [count, dims(walk.columns), dims(walk.along.count), index(self.blocks.stride), dims(walk.ldb)]
            more = [] if self.plain else extra
            builder.call(self.whole, [self.panel, b, c, self.k.scratch, *sizes, dims(self.c_stride), *more])

        each(builder, index(0), total, index(self.blocks.lines), block)

    def by_depth(self, offsets: Offsets) -> None:
        """Panels of steps of the depth with all rows; sums go on in C, or in scratch where more is done with them."""
        builder, walk = self.k.builder, self.walk
        columns = self.k.dims(walk.columns)
        if self.blocks.columns is None:
            self._columns(offsets, columns)
            return

        def block(column: ir.Value) -> None:
            count = minimum(builder, builder.sub(columns, column), index(self.blocks.columns or 0))
            self._columns(self._moved(offsets, 1, column), count)

        each(builder, index(0), columns, index(self.blocks.columns), block)

    def _columns(self, offsets: Offsets, count: ir.Value) -> None:
        builder, dims, walk = self.k.builder, self.k.dims, self.walk
        total, rows = dims(walk.lines.count), dims(walk.along.count)
        extra = self._extra(offsets)
        if self.plain:
            c, c_stride = extra[len(self.epilogue.loads)], dims(self.c_stride)
        else:
            c, c_stride = self.sums, count
        b = self._b(offsets)

        def block(start: ir.Value, function: ir.Function) -> None:
            length = minimum(builder, builder.sub(total, start), index(self.blocks.lines))
            self._gather(offsets[self.left.form], start, length)
            there = at(builder, b, builder.mul(start, dims(walk.b_strides[0])), self.dtype)
            sizes = [rows, count, length, index(self.blocks.stride), dims(walk.ldb), c_stride]
            builder.call(function, [self.panel, there, c, self.k.scratch, *sizes])

        block(index(0), self.first)
        lines = index(self.blocks.lines)
        each(builder, lines, total, lines, lambda start: block(start, self.next))
        if not self.plain:
            sizes = [rows, count, index(0), index(self.blocks.stride), dims(walk.ldb), c_stride]
            builder.call(self.last, [self.panel, b, c, self.k.scratch, *sizes, *extra])

    # --- addresses ---

    def _moved(self, offsets: Offsets, which: int, by: ir.Value) -> Offsets:
        """The offsets `by` places on along the row group (0) or the column group (1). The left operand's is not moved: its
        lines are found by their number.
        """
        builder, group = self.k.builder, self.k.groups[which]
        if group is None:
            return offsets
        inside = {}
        for form, offset in offsets.items():
            stride = self.k.analysed.group_strides(form)[group]
            stays = stride == 0 or (form == self.left.form and form not in self.epilogue.forms() and form != self.right.form)
            inside[form] = offset if stays else builder.add(offset, builder.mul(by, self.k.dims(stride)))
        return inside

    def _b(self, offsets: Offsets) -> ir.Value:
        return moved(self.k.builder, self.k.pointers[self.right.param], offsets[self.right.form], self.dtype)

    def _extra(self, offsets: Offsets) -> list[ir.Value]:
        k = self.k
        return self.epilogue.arguments(k.builder, k.region, k.pointers, k.outputs, offsets, k.dims)

    # --- the panel ---

    def _gather(self, offset: ir.Value, first: ir.Value, count: ir.Value) -> None:
        """Lines `first` .. `first + count` of the left operand into the panel."""
        builder, dims, walk = self.k.builder, self.k.dims, self.walk
        source = moved(builder, self.k.pointers[self.left.param], offset, self.dtype)

        def line(number: ir.Value) -> None:
            rest, place = builder.add(first, number), source
            for position in range(len(walk.lines.sizes) - 1, -1, -1):
                size, stride = dims(walk.lines.sizes[position]), dims(walk.lines.strides[position])
                step = rest if position == 0 else builder.urem(rest, size)
                place = at(builder, place, builder.mul(step, stride), self.dtype)
                rest = rest if position == 0 else builder.udiv(rest, size)
            target = at(builder, self.panel, builder.mul(number, index(self.blocks.stride)), self.dtype)
            self._copy(place, target, 0)

        each(builder, index(0), count, index(1), line)

    def _copy(self, source: ir.Value, target: ir.Value, position: int) -> None:
        """What lies along one line, from axis `position` on. Whole vectors may be written behind the end: lines and their
        parts are filled in order.
        """
        builder, along = self.k.builder, self.walk.along
        size, stride = known(along.sizes[position]) or 0, self.k.dims(along.strides[position])
        if position == len(along.sizes) - 1 and along.is_contiguous:
            self._run(source, target, size)
            return
        inner = 1
        for deeper in along.sizes[position + 1 :]:
            inner *= known(deeper) or 0

        def part(number: ir.Value) -> None:
            place = at(builder, source, builder.mul(number, stride), self.dtype)
            to = at(builder, target, builder.mul(number, index(inner)), self.dtype)
            if position == len(along.sizes) - 1:
                store(builder, load(builder, place, element_type(self.dtype)), to)
            else:
                self._copy(place, to, position + 1)

        self._repeat(size, 1, part)

    def _run(self, source: ir.Value, target: ir.Value, size: int) -> None:
        builder, lanes, vector = self.k.builder, lanes_of(self.dtype), vector_type(self.dtype)
        whole = size // lanes * lanes

        def part(number: ir.Value) -> None:
            store(builder, load(builder, at(builder, source, number, self.dtype), vector), at(builder, target, number, self.dtype))

        self._repeat(whole, lanes, part)
        if whole < size:
            mask = ir.Constant(ir.VectorType(BIT, lanes), [int(whole + lane < size) for lane in range(lanes)])
            rest = masked_load(builder, at(builder, source, index(whole), self.dtype), mask, vector)
            store(builder, rest, at(builder, target, index(whole), self.dtype))

    def _repeat(self, size: int, step: int, part: Callable[[ir.Value], None]) -> None:
        if size // step <= UNROLLED:
            for number in range(0, size, step):
                part(index(number))
        else:
            each(self.k.builder, index(0), index(size), index(step), part)
