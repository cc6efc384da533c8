"""Contract kernels: a contraction as loops of matrix products, with element work on each finished tile.

The axes of the result are batch, rows (free axes of the left operand) and columns (free axes of the right one). Adjacent axes that
every operand walks contiguously are merged; the innermost row and column groups go to the matrix product, what is left are loops
around it. The order of each sum is the product's: one chain, k ascending.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from llvmlite import ir

from bmc.codegen.contract import ContractSpec, emit_contract, scratch_bytes
from bmc.codegen.contract.loop import each, for_range
from bmc.codegen.contract.spec import VectorBytes
from bmc.codegen.kernel.affine import Affine, IndexMap, identity_map, linear, merged_axes, through_view
from bmc.codegen.kernel.code import Code, DimCode, Scope
from bmc.codegen.kernel.demands import Demands, demands_of, set_levels
from bmc.codegen.typed import attributes, element_dtype, float_dtype_of
from bmc.codegen.value import I64, POINTER, Value, memory_type
from bmc.errors import CompilerBug
from bmc.ir import Dim, Operation, Region, Shape
from bmc.ir import Value as IRValue
from bmc.ops.contract import ContractAttrs
from bmc.ops.lowering import Contraction, View
from bmc.ops.table import definition
from bmc.record import record

__all__ = ["emit_product"]


@record(frozen=True)
class _Operand:
    """An operand as memory: strides along the result's axes and along the merged contracted axes, in elements."""

    param: IRValue
    form: Affine
    depth_strides: Shape


def emit_product(
    module: ir.Module,
    builder: ir.IRBuilder,
    op: Operation,
    pointers: Mapping[IRValue, ir.Value],
    outputs: Sequence[ir.Value],
    dims: DimCode,
    scratch: ir.Value,
    fused: bool,
    vector_bytes: VectorBytes,
) -> None:
    """Emit a `kernel` of kind contract at `builder`; `pointers` are those of the region's parameters."""
    region = op.regions[0]
    product = _contraction_of(region)
    left, right, depths = _operands(region, product)
    space = product.result.type.shape
    rank = len(space)
    attrs = attributes(product, ContractAttrs)
    batch = len(attrs.lhs_batch)
    rows = product.operands[0].type.rank - batch - len(attrs.lhs_contract)
    classes = ["batch"] * batch + ["row"] * rows + ["column"] * (rank - batch - rows)
    analysed = demands_of(region, space, given=product.result, classes=classes, also=[left.form, right.form])

    kinds = [classes[group[0]] for group in analysed.groups]
    row_group = max((g for g, kind in enumerate(kinds) if kind == "row"), default=None)
    column_group = max((g for g, kind in enumerate(kinds) if kind == "column"), default=None)
    outer = [g for g in range(len(kinds)) if g not in (row_group, column_group)]
    order = [g for g in (row_group, column_group) if g is not None]
    set_levels(analysed, order, column_group)

    m: Dim = 1 if row_group is None else analysed.sizes[row_group]
    n: Dim = 1 if column_group is None else analysed.sizes[column_group]
    a_rows = _stride(analysed, left.form, row_group)
    b_columns = _stride(analysed, right.form, column_group)
    depth = depths[0] if depths else 1
    a_layout = _layout(left.depth_strides[0] if depths else 1, a_rows, depth, m)
    b_layout = _layout(b_columns, right.depth_strides[0] if depths else 1, n, depth)
    if len(depths) > 1 or a_layout is None or b_layout is None:
        _emit_chains(builder, analysed, left, right, depths, pointers, outputs, dims, fused)
        return
    (a_transposed, lda), (b_transposed, ldb) = a_layout, b_layout
    dtype = float_dtype_of(product.result)
    spec = ContractSpec(dtype, a_transposed, b_transposed, _known(m), _known(n), _known(depth), fused, vector_bytes=vector_bytes)
    if scratch_bytes(spec) > 4 << 20:
        raise CompilerBug("codegen", "a product needs more scratch memory than there is")

    epilogue = _Epilogue(analysed, order, row_group, column_group, fused, tuple(dims.bindings))
    plain = len(region.ops) == 1 + _views_before(region, product) and region.results == (product.result,)
    function = emit_contract(module, f"{builder.function.name}.product", spec, None if plain else epilogue, epilogue.types)

    loads = [d for d in analysed.order if d.access is not None or d.array]

    def call(offsets: Mapping[Affine, ir.Value]) -> None:
        def moved(pointer: ir.Value, form: Affine, element: str) -> ir.Value:
            return builder.gep(pointer, [offsets[form]], source_etype=memory_type(element_dtype(element)))

        a = moved(pointers[left.param], left.form, dtype)
        b = moved(pointers[right.param], right.form, dtype)

        def based(pointer: ir.Value, form: Affine, element: str) -> ir.Value:
            # The epilogue adds the base of an index to the address of the same form: it must not be in the pointer too.
            return pointer if form in epilogue.index_forms else moved(pointer, form, element)

        stores = [
            based(pointer, access, value.type.dtype)
            for pointer, (_, access), value in zip(outputs, analysed.results, region.results, strict=True)
        ]
        fetched = [pointers[d.value] if d.access is None else based(pointers[d.value], d.access, d.value.type.dtype) for d in loads]
        c_stride = _stride(analysed, analysed.results[0][1], row_group)
        c = stores[0] if plain else ir.Constant(POINTER, None)
        sizes = [dims(m), dims(n), dims(depth), dims(lda), dims(ldb), dims(c_stride)]
        extra = [*fetched, *stores, *(offsets[f] for f in epilogue.index_forms)]
        extra += [*(dims(d) for d in epilogue.open_dims), *dims.bindings.values()]
        builder.call(function, [a, b, c, scratch, *sizes, *extra])

    forms = [left.form, right.form, *(d.access for d in loads if d.access), *(a for _, a in analysed.results)]
    forms.extend(epilogue.index_forms)
    for form in forms:  # dims belong to the entry block
        for dim in (form.offset, *analysed.group_strides(form)):
            dims(dim)
    for dim in (m, n, depth, lda, ldb, *analysed.sizes):
        dims(dim)

    def descend(remaining: list[int], offsets: dict[Affine, ir.Value]) -> None:
        if not remaining:
            call(offsets)
            return
        group, *rest = remaining

        def turn(variable: ir.Value) -> None:
            inside = {}
            for form, offset in offsets.items():
                stride = analysed.group_strides(form)[group]
                step = builder.mul(variable, dims(stride)) if stride != 0 else None
                inside[form] = offset if step is None else builder.add(offset, step)
            descend(rest, inside)

        each(builder, ir.Constant(I64, 0), dims(analysed.sizes[group]), ir.Constant(I64, 1), turn)

    descend(outer, {form: dims(form.offset) for form in forms})


class _Epilogue:
    """The element work on one vector of a finished tile.

    Its extra arguments: load pointers, store pointers, indices, the dims of strides and sizes, the run-time dims themselves.
    """

    def __init__(
        self,
        analysed: Demands,
        order: list[int],
        row_group: int | None,
        column_group: int | None,
        fused: bool,
        names: tuple[str, ...],
    ) -> None:
        self.analysed, self.order, self.fused, self.names = analysed, order, fused, names
        self.row_group, self.column_group = row_group, column_group
        self.loads = [d for d in analysed.order if d.access is not None or d.array]
        self.index_forms: list[Affine] = []
        for demand in analysed.order:
            if demand.op is not None and getattr(definition(demand.op.name).lowering, "indexed", False):
                self.index_forms.extend(form for form in demand.index if form not in self.index_forms)
        strides: list[Dim] = []
        forms = [*(d.access for d in self.loads if d.access), *(a for _, a in analysed.results), *self.index_forms]
        for form in forms:
            strides.extend(analysed.group_strides(form)[g] for g in order)
        strides.extend(analysed.sizes[g] for g in order)
        self.open_dims = list(dict.fromkeys(d for d in strides if not isinstance(d, int)))
        pointers = len(self.loads) + len(analysed.results)
        integers = len(self.index_forms) + len(self.open_dims) + len(names)
        self.types: list[ir.Type] = [POINTER] * pointers + [I64] * integers

    def __call__(
        self,
        builder: ir.IRBuilder,
        acc: ir.Value,
        row: ir.Value,
        column: ir.Value,
        mask: ir.Value | None,
        extra: Sequence[ir.Value],
    ) -> None:
        analysed = self.analysed
        load_count, result_count = len(self.loads), len(analysed.results)
        loads = extra[:load_count]
        stores = list(extra[load_count : load_count + result_count])
        bases = extra[load_count + result_count :][: len(self.index_forms)]
        sizes = extra[load_count + result_count + len(self.index_forms) :]
        known = dict(zip(self.open_dims, sizes, strict=False))
        bindings = dict(zip(self.names, sizes[len(self.open_dims) :], strict=True))

        def dims(dim: Dim) -> ir.Value:
            # Other dims than strides and sizes (a mean's divisor) are rare, and computed where they are asked for.
            return known[dim] if dim in known else DimCode(builder, bindings)(dim)

        given = next(d for d in analysed.order if d.op is None and d.access is None and not d.array)
        width, dtype = acc.type.count, float_dtype_of(given.value)
        pointers = dict(zip(self.loads, loads, strict=True))
        code = Code(builder, analysed, self.order, self.column_group, pointers, stores, dims, self.fused, width)
        code.read_arrays()
        scope = Scope()
        scope.partial = {form: ir.Constant(I64, 0) for form in code.accesses}
        scope.partial.update(zip(self.index_forms, bases, strict=True))
        if self.row_group is not None:
            scope = code.enter(scope, row)
        if self.column_group is not None:
            scope = code.enter(scope, column, None if mask is None else Value(mask, "bool"))
            scope.values[given] = Value(acc, dtype)
        else:
            scope.values[given] = Value(code.wide.extract(Value(acc, dtype), 0), dtype)
        code.compute(scope, analysed.order)
        for output in range(result_count):
            code.store(scope, output)


def _contraction_of(region: Region) -> Operation:
    for op in region.ops:
        if isinstance(definition(op.name).lowering, Contraction):
            return op
    raise CompilerBug("codegen", "a contract kernel without a contraction")


def _views_before(region: Region, product: Operation) -> int:
    return sum(1 for op in region.ops[: region.ops.index(product)] if isinstance(definition(op.name).lowering, View))


def _operands(region: Region, product: Operation) -> tuple[_Operand, _Operand, Shape]:
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

    def operand(param: IRValue, form: Affine, depths: Affine) -> _Operand:
        strides = tuple(depths.strides[group[-1]] for group in groups)
        return _Operand(param, Affine(form.offset, form.strides[:result_rank]), strides)

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


def _stride(analysed: Demands, form: Affine, group: int | None) -> Dim:
    return 0 if group is None else analysed.group_strides(form)[group]


def _layout(inner: Dim, outer: Dim, inner_size: Dim, outer_size: Dim) -> tuple[bool, Dim] | None:
    """Of a matrix with strides `inner` (axis that is contiguous when not transposed) and `outer`: whether it is transposed, and
    its leading stride; None where it is contiguous along neither axis. The strides of axes of size 1 do not matter.
    """
    if inner == 1 or inner_size == 1:
        return False, outer if outer_size != 1 else inner_size
    if outer == 1 or outer_size == 1:
        return True, inner
    return None


def _known(dim: Dim) -> int | None:
    return dim if isinstance(dim, int) else None


def _emit_chains(
    builder: ir.IRBuilder,
    analysed: Demands,
    left: _Operand,
    right: _Operand,
    depths: Shape,
    pointers: Mapping[IRValue, ir.Value],
    outputs: Sequence[ir.Value],
    dims: DimCode,
    fused: bool,
) -> None:
    """Products whose operands no matrix kernel can walk: one chain for each vector of the result, in the same order of k."""
    order = list(range(len(analysed.groups)))
    vector = order[-1] if order else None
    set_levels(analysed, order, vector)
    loads = {d: pointers[d.value] for d in analysed.order if d.access is not None or d.array}
    code = Code(builder, analysed, order, vector, loads, list(outputs), dims, fused)
    code.follow(left.form)
    code.follow(right.form)
    given = next(d for d in analysed.order if d.op is None and d.access is None and not d.array)
    dtype = float_dtype_of(given.value)
    for stride in (*left.depth_strides, *right.depth_strides, *depths):
        dims(stride)

    def element(scope: Scope, operand: _Operand, offset: ir.Value, wide: bool) -> Value:
        return code.load_at(scope, pointers[operand.param], operand.form, offset, dtype, wide)

    def chain(scope: Scope, position: int, a: ir.Value, b: ir.Value, acc: ir.Value, wide: bool) -> ir.Value:
        if position == len(depths):
            lanes = code.wide if wide else code.scalar
            x, y = element(scope, left, a, wide), element(scope, right, b, wide)
            return lanes.fma(x, y, Value(acc, x.dtype)).ir

        def turn(k: ir.Value, carried: list[ir.Value]) -> list[ir.Value]:
            moved = [
                builder.add(base, builder.mul(k, dims(operand.depth_strides[position])))
                for base, operand in ((a, left), (b, right))
            ]
            return [chain(scope, position + 1, moved[0], moved[1], carried[0], wide)]

        return for_range(builder, ir.Constant(I64, 0), dims(depths[position]), ir.Constant(I64, 1), [acc], turn)[0]

    def inside(scope: Scope) -> None:
        wide = vector is not None
        zero = (code.wide if wide else code.scalar).constant(dtype, 0.0)
        total = chain(scope, 0, scope.partial[left.form], scope.partial[right.form], zero.ir, wide)
        scope.values[given] = Value(total, zero.dtype)
        code.compute(scope, analysed.order)
        for output in range(len(outputs)):
            code.store(scope, output)

    def descend(scope: Scope, position: int) -> None:
        if position == len(order) - 1:
            code.vector_loop(scope, position, inside)
        else:
            code.loop(position, lambda variable: descend(code.enter(scope, variable), position + 1))

    if order:
        descend(code.root(), 0)
    else:
        inside(code.root())
