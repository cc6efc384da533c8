"""Kernels that move elements: append, concat, pad, gather, scatter-add, take-along, scatter-along."""

from __future__ import annotations

from llvmlite import ir

from bmc.codegen.contract.loop import each
from bmc.codegen.kernel import kernel_function
from bmc.codegen.lanes import Lanes
from bmc.codegen.opaque.memory import Arrays, cell_bytes, i64
from bmc.codegen.typed import attributes, element_dtype
from bmc.codegen.value import I64
from bmc.ir import Operation
from bmc.ir.dims import product
from bmc.ops.element import Dtype
from bmc.ops.index import ScatterAlongAttrs
from bmc.ops.shape import ConcatAttrs, PadAttrs

__all__ = [
    "emit_append", "emit_bincount", "emit_concat", "emit_gather", "emit_pad", "emit_scatter_add", "emit_scatter_along",
    "emit_take_along",
]  # fmt: skip

WIDTH = 8


def emit_concat(module: ir.Module, name: str, op: Operation, fused: bool) -> ir.Function:
    """Operands one after the other along an axis: for each outer index, one run of bytes from each."""
    function, builder, dims = kernel_function(module, name, op)
    code = Arrays(module, builder, dims, fused)
    axis = attributes(op, ConcatAttrs).axis
    item = cell_bytes(op.result.type.dtype)
    target = function.args[len(op.operands)]
    runs = [dims(product(v.type.shape[axis:]) * item) for v in op.operands]
    total = dims(product(op.result.type.shape[axis:]) * item)

    def one(outer: ir.Value) -> None:
        place = code.at_bytes(target, builder.mul(outer, total))
        for source, run in zip(function.args, runs, strict=False):
            code.copy(place, code.at_bytes(source, builder.mul(outer, run)), run)
            place = code.at_bytes(place, run)

    code.each(dims(product(op.result.type.shape[:axis])), one)
    builder.ret_void()
    return function


def emit_append(module: ir.Module, name: str, op: Operation, fused: bool) -> ir.Function:
    """The last rows are replaced; the others are copied only where the result has a memory of its own."""
    function, builder, dims = kernel_function(module, name, op)
    code = Arrays(module, builder, dims, fused)
    past, new = op.operands
    source, rows, target = function.args[:3]
    size = cell_bytes(op.result.type.dtype)
    written = dims(new.type.elements * size)
    kept = builder.sub(dims(past.type.elements * size), written)
    with builder.if_then(builder.icmp_unsigned("!=", builder.ptrtoint(source, I64), builder.ptrtoint(target, I64))):
        code.copy(target, source, kept)
    code.copy(code.at_bytes(target, kept), rows, written)
    builder.ret_void()
    return function


def emit_pad(module: ir.Module, name: str, op: Operation, fused: bool) -> ir.Function:
    """The operand's elements, in runs, spread into a constant: element i of an axis goes to `low + i * (interior + 1)`."""
    function, builder, dims = kernel_function(module, name, op)
    code = Arrays(module, builder, dims, fused)
    attrs = attributes(op, PadAttrs)
    source, target = function.args[:2]
    (operand,) = op.operands
    dtype = element_dtype(op.result.type.dtype)
    _fill(code, target, dims(op.result.type.elements), dtype, attrs.value)
    shape, wide = operand.type.shape, op.result.type.shape
    low = [dims(d) for d in attrs.low]
    step = [i + 1 for i in attrs.interior]
    sizes = [dims(d) for d in shape]
    wide_sizes = [dims(d) for d in wide]
    # Behind the last axis that is padded cells lie together; along it too, where nothing goes between them.
    padded = [i for i in range(len(shape)) if (attrs.low[i], attrs.high[i], attrs.interior[i]) != (0, 0, 0)]
    last = padded[-1] if padded else -1
    together = bool(padded) and attrs.interior[last] == 0 and all(isinstance(d, int) for d in (attrs.low[last], attrs.high[last]))
    loops = last if together else last + 1
    run = dims(product(shape[loops:]) * cell_bytes(dtype))
    behind = dims(product(shape[last + 1 :]))

    def axis(position: int, from_index: ir.Value, to_index: ir.Value) -> None:
        if position == loops:
            if together:
                from_index = builder.mul(from_index, sizes[last])
                to_index = builder.add(builder.mul(to_index, wide_sizes[last]), low[last])
            to = code.element(target, builder.mul(to_index, behind), dtype)
            code.copy(to, code.element(source, builder.mul(from_index, behind), dtype), run)
            return

        def one(i: ir.Value) -> None:
            moved = builder.add(low[position], builder.mul(i, i64(step[position])))
            # A negative `low` or high trims: elements outside the result are dropped.
            inside = builder.icmp_unsigned("<", moved, wide_sizes[position])
            with builder.if_then(inside):
                axis(
                    position + 1,
                    builder.add(builder.mul(from_index, sizes[position]), i),
                    builder.add(builder.mul(to_index, wide_sizes[position]), moved),
                )

        code.each(sizes[position], one)

    axis(0, i64(0), i64(0))
    builder.ret_void()
    return function


def _fill(code: Arrays, target: ir.Value, count: ir.Value, dtype: Dtype, value: bool | int | float) -> None:
    """Set `count` cells to `value`."""
    builder = code.builder
    wide = Lanes(builder, WIDTH, code.lanes.fused)
    whole = builder.and_(count, i64(-WIDTH))
    many, one = wide.constant(dtype, value), code.lanes.constant(dtype, value)
    each(builder, i64(0), whole, i64(WIDTH), lambda i: wide.store(many, target, i))
    each(builder, whole, count, i64(1), lambda i: code.store(one, target, i))


def emit_gather(module: ir.Module, name: str, op: Operation, fused: bool) -> ir.Function:
    """Rows of a table by index; an index out of range takes the nearest row."""
    function, builder, dims = kernel_function(module, name, op)
    code = Arrays(module, builder, dims, fused)
    table, index = op.operands
    source, places, target = function.args[:3]
    run = dims(product(table.type.shape[1:]) * cell_bytes(table.type.dtype))
    rows = dims(table.type.shape[0])

    def one(i: ir.Value) -> None:
        row = code.clamp(code.integer(places, i, index.type.dtype), rows)
        code.copy(code.at_bytes(target, builder.mul(i, run)), code.at_bytes(source, builder.mul(row, run)), run)

    with builder.if_then(builder.icmp_signed(">", rows, i64(0))):
        code.each(dims(index.type.elements), one)
    builder.ret_void()
    return function


def emit_scatter_add(module: ir.Module, name: str, op: Operation, fused: bool) -> ir.Function:
    """Zeros, then each update is added to the row of its index, in the order of the updates."""
    function, builder, dims = kernel_function(module, name, op)
    code = Arrays(module, builder, dims, fused)
    index, updates = op.operands
    places, source, target = function.args[:3]
    dtype = element_dtype(updates.type.dtype)
    run = dims(product(updates.type.shape[index.type.rank :]))
    rows = dims(op.result.type.shape[0])
    code.zero(target, dims(op.result.type.elements * cell_bytes(dtype)))
    wide = Lanes(builder, WIDTH, fused)
    whole = builder.and_(run, i64(-WIDTH))

    def one(i: ir.Value) -> None:
        row = code.clamp(code.integer(places, i, index.type.dtype), rows)
        into = code.element(target, builder.mul(row, run), dtype)
        update = code.element(source, builder.mul(i, run), dtype)

        def add(lanes: Lanes, j: ir.Value) -> None:
            total = lanes.add(lanes.load(into, j, dtype), lanes.load(update, j, dtype))
            lanes.store(total, into, j)

        each(builder, i64(0), whole, i64(WIDTH), lambda j: add(wide, j))
        each(builder, whole, run, i64(1), lambda j: add(code.lanes, j))

    with builder.if_then(builder.icmp_signed(">", rows, i64(0))):
        code.each(dims(index.type.elements), one)
    builder.ret_void()
    return function


def emit_bincount(module: ir.Module, name: str, op: Operation, fused: bool) -> ir.Function:
    """Zeros, then one more in the place of each index."""
    function, builder, dims = kernel_function(module, name, op)
    code = Arrays(module, builder, dims, fused)
    (index,) = op.operands
    places, target = function.args[:2]
    size = dims(op.result.type.shape[0])
    code.zero(target, builder.mul(size, i64(8)))

    def one(i: ir.Value) -> None:
        place = code.element(target, code.clamp(code.integer(places, i, index.type.dtype), size), "i64")
        builder.store(builder.add(builder.load(place, typ=I64), i64(1)), place)

    with builder.if_then(builder.icmp_signed(">", size, i64(0))):
        code.each(dims(index.type.elements), one)
    builder.ret_void()
    return function


def emit_take_along(module: ir.Module, name: str, op: Operation, fused: bool) -> ir.Function:
    """Of each row along the last axis the element at the row's index; an index out of range takes the nearest."""
    function, builder, dims = kernel_function(module, name, op)
    code = Arrays(module, builder, dims, fused)
    x, index = op.operands
    source, places, target = function.args[:3]
    size = dims(x.type.shape[-1])
    lead = x.type.rank - 1
    taken = dims(product(index.type.shape[lead:]))

    def one(row: ir.Value, i: ir.Value) -> None:
        at = builder.add(builder.mul(row, taken), i)
        position = code.clamp(code.integer(places, at, index.type.dtype), size)
        value = code.load(source, builder.add(builder.mul(row, size), position), x.type.dtype)
        code.store(value, target, at)

    with builder.if_then(builder.icmp_signed(">", size, i64(0))):
        code.each(dims(product(index.type.shape[:lead])), lambda row: code.each(taken, lambda i: one(row, i)))
    builder.ret_void()
    return function


def emit_scatter_along(module: ir.Module, name: str, op: Operation, fused: bool) -> ir.Function:
    """Zeros, then each update of a row is added to the row's cell of its index, in the order of the updates."""
    function, builder, dims = kernel_function(module, name, op)
    code = Arrays(module, builder, dims, fused)
    index, updates = op.operands
    places, source, target = function.args[:3]
    dtype = element_dtype(updates.type.dtype)
    lead = attributes(op, ScatterAlongAttrs).lead
    size = dims(op.result.type.shape[-1])
    given = dims(product(index.type.shape[lead:]))
    code.zero(target, dims(op.result.type.elements * cell_bytes(dtype)))

    def one(row: ir.Value, i: ir.Value) -> None:
        at = builder.add(builder.mul(row, given), i)
        cell = builder.add(builder.mul(row, size), code.clamp(code.integer(places, at, index.type.dtype), size))
        total = code.lanes.add(code.load(target, cell, dtype), code.load(source, at, dtype))
        code.store(total, target, cell)

    with builder.if_then(builder.icmp_signed(">", size, i64(0))):
        code.each(dims(product(index.type.shape[:lead])), lambda row: code.each(given, lambda i: one(row, i)))
    builder.ret_void()
    return function
