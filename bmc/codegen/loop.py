"""Loops: a `loop` operation comes in, an LLVM function that calls the kernels of its turns goes out.

`void name(operand pointers..., result pointers..., i64 dims..., scratch*)`, as of every kernel. A turn reads slices of the
sequences where they lie and writes yields where they go; its other values lie in the workspace, the last result. Carries are
handed on as addresses, and copied once, behind the last turn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llvmlite import ir

from bmc.codegen.contract.loop import for_range
from bmc.codegen.kernel import kernel_function, symbols_of
from bmc.codegen.opaque.memory import Arrays, cell_bytes, i64
from bmc.codegen.typed import attributes
from bmc.ir import Operation, Value
from bmc.ops.lowering import Reshape
from bmc.ops.scan_parts import LoopAttrs, parts
from bmc.ops.table import definition

__all__ = ["emit_loop"]

ALIGNMENT = 64


def emit_loop(module: ir.Module, name: str, op: Operation, fused: bool, kernel: Callable[[Operation], ir.Function]) -> ir.Function:
    """Emit the function of a loop. `kernel` gives the function of an operation of its region."""
    attrs = attributes(op, LoopAttrs)
    (region,) = op.regions
    called = {id(inner): kernel(inner) for inner in region.ops if not isinstance(definition(inner.name).lowering, Reshape)}
    function, builder, dims = kernel_function(module, name, op)
    arrays = Arrays(module, builder, dims, fused)
    sizes = dict(zip(symbols_of(op), function.args[len(op.operands) + len(op.results) : -1], strict=True))
    operands, scratch = function.args[: len(op.operands)], function.args[-1]
    outputs = function.args[len(op.operands) : len(op.operands) + len(op.results)]
    workspace = outputs[-1]
    first, sequences, invariants = parts(operands, attrs.carries, attrs.sequences)
    carried, slices, whole = parts(region.params, attrs.carries, attrs.sequences)

    def bytes_of(value: Value) -> ir.Value:
        total = i64(cell_bytes(value.type.dtype))
        for dim in value.type.shape:
            total = builder.mul(total, arrays.size(dim))
        return total

    def aligned(size: ir.Value) -> ir.Value:
        return builder.and_(builder.add(size, i64(ALIGNMENT - 1)), i64(-ALIGNMENT))

    length = arrays.size(attrs.length)
    strides = {value: bytes_of(value) for value in (*slices, *region.results)}
    made = [v for inner in region.ops if id(inner) in called for v in inner.results]
    yields = region.results[attrs.carries :]
    offsets = {v: arrays.size(at) for v, at in zip(made, attrs.places, strict=True) if v not in yields}
    handed = {v for v in region.results[: attrs.carries] if v not in yields}

    def turn(count: ir.Value, carries: list[ir.Value]) -> Sequence[ir.Value]:
        t = builder.sub(builder.sub(length, i64(1)), count) if attrs.reverse else count
        address: dict[Value, ir.Value] = dict(zip(carried, carries, strict=True))
        address.update(zip(whole, invariants, strict=True))
        for value, base in zip(slices, sequences, strict=True):
            address[value] = arrays.at_bytes(base, builder.mul(t, strides[value]))
        for value, base in zip(yields, outputs[attrs.carries :], strict=False):
            address[value] = arrays.at_bytes(base, builder.mul(t, strides[value]))
        odd = builder.and_(count, i64(1))
        for value, offset in offsets.items():
            at = builder.add(offset, builder.mul(odd, aligned(strides[value]))) if value in handed else offset
            address[value] = arrays.at_bytes(workspace, at)
        for inner in region.ops:
            if id(inner) not in called:
                address[inner.result] = address[inner.operands[0]]
                continue
            pointers = [address[v] for v in (*inner.operands, *inner.results)]
            builder.call(called[id(inner)], [*pointers, *(sizes[s] for s in symbols_of(inner)), scratch])
        return [address[v] for v in region.results[: attrs.carries]]

    last = for_range(builder, i64(0), length, i64(1), list(first), turn)
    for value, source, target in zip(region.results, last, outputs, strict=False):
        arrays.copy(target, source, strides[value])
    builder.ret_void()
    return function
