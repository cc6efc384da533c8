"""Kernels: a fused `kernel` operation comes in, an LLVM function with loops and vectors goes out.

`void name(operand pointers..., result pointers..., i64 dims..., scratch*)`; the dims are the symbols of the kernel's types and
attributes in sorted order (`symbols_of`). Results may lie where an operand lies that is read at the same index only.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Final

from llvmlite import ir

from bmc.codegen.contract.spec import VectorBytes
from bmc.codegen.kernel.code import WIDTH, Code, DimCode
from bmc.codegen.kernel.columns import emit_columns
from bmc.codegen.kernel.demands import demands_of, set_levels
from bmc.codegen.kernel.folds import emit_rows
from bmc.codegen.kernel.maps import emit_map
from bmc.codegen.kernel.products import emit_product
from bmc.codegen.typed import attributes
from bmc.codegen.value import I64, POINTER
from bmc.errors import CompilerBug
from bmc.ir import Dim, Operation, Poly, Region, Value
from bmc.ir.dims import symbols
from bmc.ops.lowering import Contraction, Reduction
from bmc.ops.reduce import ReduceAttrs
from bmc.ops.table import definition

__all__ = ["emit_kernel", "kernel_function", "symbols_of"]

LARGEST_WIDE: Final = 48
"""Operations of a fold of columns at most that walks several vectors at once."""


def symbols_of(op: Operation) -> tuple[str, ...]:
    """Names of the run-time dims that code for `op` depends on, sorted."""
    names: set[str] = set()

    def collect(item: object) -> None:
        if isinstance(item, Poly):
            names.update(symbols(item))
        elif isinstance(item, tuple):
            for part in item:
                collect(part)
        elif is_dataclass(item) and not isinstance(item, type):
            for field in fields(item):
                collect(getattr(item, field.name))

    values: list[Value] = [*op.operands]
    work = [op]
    while work:
        inner = work.pop()
        collect(inner.attrs)
        values.extend(inner.results)
        for region in inner.regions:
            values.extend(region.params)
            work.extend(region.ops)
    for value in values:
        collect(value.type.shape)
    return tuple(sorted(names))


def kernel_function(module: ir.Module, name: str, op: Operation) -> tuple[ir.Function, ir.IRBuilder, DimCode]:
    """An empty internal function of a kernel's signature, a builder in its entry block, and its dims."""
    names = symbols_of(op)
    pointers = len(op.operands) + len(op.results)
    kind = ir.FunctionType(ir.VoidType(), [POINTER] * pointers + [I64] * len(names) + [POINTER])
    function = ir.Function(module, kind, name)
    function.linkage = "internal"
    function.attributes.add("nounwind")
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    return function, builder, DimCode(builder, dict(zip(names, function.args[pointers:-1], strict=True)))


def emit_kernel(module: ir.Module, name: str, op: Operation, fused: bool, vector_bytes: VectorBytes = 32) -> ir.Function:
    """Emit the function of a `kernel` operation. `fused` is the FMA class of the target; `vector_bytes` the size of its registers,
    which bits do not depend on.
    """
    function, builder, dims = kernel_function(module, name, op)
    region = op.regions[0]
    count = len(op.operands)
    pointers = dict(zip(region.params, function.args[:count], strict=True))
    outputs = list(function.args[count : count + len(op.results)])
    scratch = function.args[-1]
    lowerings = [definition(inner.name).lowering for inner in region.ops]
    if any(isinstance(lowering, Contraction) for lowering in lowerings):
        emit_product(module, builder, op, pointers, outputs, dims, scratch, fused, vector_bytes)
    else:
        _emit_elements(builder, region, pointers, outputs, dims, scratch, fused)
    builder.ret_void()
    return function


def _emit_elements(
    builder: ir.IRBuilder,
    region: Region,
    pointers: dict[Value, ir.Value],
    outputs: list[ir.Value],
    dims: DimCode,
    scratch: ir.Value,
    fused: bool,
) -> None:
    folds = [op for op in region.ops if isinstance(definition(op.name).lowering, Reduction)]
    if folds:
        space = folds[0].operands[0].type.shape
        reduced = frozenset(attributes(folds[0], ReduceAttrs).axes)
        for fold in folds:
            if fold.operands[0].type.shape != space or frozenset(attributes(fold, ReduceAttrs).axes) != reduced:
                raise CompilerBug("codegen", "the reductions of a kernel differ in shape or axes")
    else:
        space, reduced = region.results[0].type.shape, frozenset[int]()
    analysed = demands_of(region, space, reduced)
    folded = [g for g, axes in enumerate(analysed.groups) if axes[0] in reduced]
    kept = [g for g in range(len(analysed.groups)) if g not in folded]
    columns = bool(folded) and bool(kept) and kept[-1] > folded[-1]
    order = [*kept, *folded]
    vector = None if not order else kept[-1] if columns or not folded else folded[-1]
    set_levels(analysed, order, vector)
    loads = {d: pointers[d.value] for d in analysed.order if d.access is not None or d.array}
    width = _column_width(region, analysed.sizes[kept[-1]]) if columns else WIDTH
    code = Code(builder, analysed, order, vector, loads, outputs, dims, fused, width)
    if not folded:
        emit_map(code)
    elif columns:
        emit_columns(code, len(kept), scratch)
    else:
        emit_rows(code, len(kept), scratch)


def _column_width(region: Region, columns: Dim) -> int:
    """Columns that one sweep over the folded axes takes along: several registers of them, so that whole cache lines are used
    and the chains of sums do not wait for one another. No order depends on it. Large regions would run out of registers.
    """
    values = [*region.params, *(result for op in region.ops for result in op.results)]
    most = 16 if any(value.type.dtype in ("f64", "i64") for value in values) else 32
    if len(region.ops) > LARGEST_WIDE or not isinstance(columns, int):
        return WIDTH
    return next((width for width in (most, most // 2) if columns % width == 0), WIDTH)
