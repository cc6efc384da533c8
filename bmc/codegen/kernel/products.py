"""Contract kernels: a contraction as loops of matrix products, with element work on each finished tile.

The axes of the result are batch, rows (free axes of the left operand) and columns (free axes of the right one). Adjacent axes that
every operand walks contiguously are merged; the innermost row and column groups go to the matrix product, what is left are loops
around it. A left operand that is no matrix in memory is gathered, block by block (`gathered.py`). The order of each sum is the
product's: one chain, k ascending.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from llvmlite import ir

from bmc.codegen.contract import ContractSpec, emit_contract, scratch_bytes
from bmc.codegen.contract.loop import for_range
from bmc.codegen.contract.spec import VectorBytes
from bmc.codegen.kernel.code import Code, DimCode, Scope
from bmc.codegen.kernel.demands import Demands, demands_of, set_levels
from bmc.codegen.kernel.epilogue import Epilogue, Offsets, moved, outer_loops
from bmc.codegen.kernel.gathered import emit_gathered
from bmc.codegen.kernel.operands import Operand, contraction_of, is_plain, known, layout_of, operands_of, stride_of
from bmc.codegen.typed import attributes, float_dtype_of
from bmc.codegen.value import I64, POINTER, Value
from bmc.errors import CompilerBug
from bmc.ir import Dim, Operation, Shape
from bmc.ir import Value as IRValue
from bmc.ops.contract import ContractAttrs

__all__ = ["emit_product"]

GATHERED_BELOW: Final = 32
"""Rows of one product at least, where more rows lie elsewhere: fewer are gathered into larger blocks."""


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
    product = contraction_of(region)
    left, right, depths = operands_of(region, product)
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
    a_rows = stride_of(analysed, left.form, row_group)
    b_columns = stride_of(analysed, right.form, column_group)
    depth = depths[0] if depths else 1
    a_layout = layout_of(left.depth_strides[0] if depths else 1, a_rows, depth, m)
    b_layout = layout_of(b_columns, right.depth_strides[0] if depths else 1, n, depth)
    split = any(kind == "row" for g, kind in enumerate(kinds) if g in outer) and isinstance(m, int) and m < GATHERED_BELOW
    if (len(depths) > 1 or a_layout is None or split) and emit_gathered(
        module, builder, op, left, right, classes, pointers, outputs, dims, scratch, fused, vector_bytes
    ):
        return
    if len(depths) > 1 or a_layout is None or b_layout is None:
        _emit_chains(builder, analysed, left, right, depths, pointers, outputs, dims, fused)
        return
    (a_transposed, lda), (b_transposed, ldb) = a_layout, b_layout
    dtype = float_dtype_of(product.result)
    spec = ContractSpec(dtype, a_transposed, b_transposed, known(m), known(n), known(depth), fused, vector_bytes=vector_bytes)
    if scratch_bytes(spec) > 4 << 20:
        raise CompilerBug("codegen", "a product needs more scratch memory than there is")

    epilogue = Epilogue(analysed, order, row_group, column_group, fused, tuple(dims.bindings))
    plain = is_plain(region, product)
    function = emit_contract(module, f"{builder.function.name}.product", spec, None if plain else epilogue, epilogue.types)

    def call(offsets: Offsets) -> None:
        a = moved(builder, pointers[left.param], offsets[left.form], dtype)
        b = moved(builder, pointers[right.param], offsets[right.form], dtype)
        extra = epilogue.arguments(builder, region, pointers, outputs, offsets, dims)
        c = extra[len(epilogue.loads)] if plain else ir.Constant(POINTER, None)
        sizes = [dims(m), dims(n), dims(depth), dims(lda), dims(ldb), dims(c_stride)]
        builder.call(function, [a, b, c, scratch, *sizes, *extra])

    c_stride = stride_of(analysed, analysed.results[0][1], row_group)
    forms = [left.form, right.form, *epilogue.forms()]
    for form in forms:  # dims belong to the entry block
        for dim in (form.offset, *analysed.group_strides(form)):
            dims(dim)
    for dim in (m, n, depth, lda, ldb, *analysed.sizes):
        dims(dim)
    outer_loops(builder, analysed, outer, {form: dims(form.offset) for form in forms}, dims, call)


def _emit_chains(
    builder: ir.IRBuilder,
    analysed: Demands,
    left: Operand,
    right: Operand,
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

    def element(scope: Scope, operand: Operand, offset: ir.Value, wide: bool) -> Value:
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
