"""Kernels over text cells and look-up tables. Text compares by its UTF-8 bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llvmlite import ir

from bmc.codegen.contract.loop import minimum, while_true
from bmc.codegen.kernel import kernel_function
from bmc.codegen.opaque.characters import byte_at, lower_bytes_function
from bmc.codegen.opaque.memory import Arrays, i64
from bmc.codegen.typed import attributes
from bmc.codegen.value import BYTE, I64, POINTER, Value
from bmc.ir import Operation
from bmc.ops.text import EqualAttrs, LookupAttrs, TextAttrs

__all__ = ["emit_int_lookup", "emit_str_equal", "emit_str_lookup", "emit_str_select"]

KeyOrder = Callable[[Arrays, ir.Value, ir.Value, ir.Value, ir.Value], ir.Value]
"""(code, cells, index, table, entry) -> i64: negative, 0 or positive as the cell comes before, is or comes after the entry."""


def emit_str_equal(module: ir.Module, name: str, op: Operation, fused: bool) -> ir.Function:
    """Whether a cell equals a literal."""
    function, builder, dims = kernel_function(module, name, op)
    code = Arrays(module, builder, dims, fused)
    source, target = function.args[:2]
    attrs = attributes(op, EqualAttrs)
    literal, length = _literal(module, name, attrs.value)
    compare = _compare_lower_function(module) if attrs.lower else _compare_function(module)

    def one(i: ir.Value) -> None:
        address, size = code.text(source, i)
        order = builder.call(compare, [address, size, literal, i64(length)])
        code.store(Value(builder.icmp_signed("==", order, i64(0)), "bool"), target, i)

    code.each(dims(op.operands[0].type.elements), one)
    builder.ret_void()
    return function


def emit_str_select(module: ir.Module, name: str, op: Operation, fused: bool) -> ir.Function:
    """The cell where the condition holds, else a literal."""
    function, builder, dims = kernel_function(module, name, op)
    code = Arrays(module, builder, dims, fused)
    condition, source, target = function.args[:3]
    literal, length = _literal(module, name, attributes(op, TextAttrs).value)

    def one(i: ir.Value) -> None:
        keep = code.load(condition, i, "bool").ir
        address, size = code.text(source, i)
        cell = code.element(target, i, "str")
        builder.store(builder.select(keep, address, literal), cell)
        builder.store(builder.select(keep, size, i64(length)), code.at_bytes(cell, i64(8)))

    code.each(dims(op.operands[0].type.elements), one)
    builder.ret_void()
    return function


def emit_str_lookup(module: ir.Module, name: str, op: Operation, fused: bool) -> ir.Function:
    """Position of a cell in a table of texts, -1 where absent: a binary search through `order`, whose unused end is -1."""
    compare = _compare_lower_function(module) if attributes(op, LookupAttrs).lower else _compare_function(module)

    def key_order(code: Arrays, cells: ir.Value, i: ir.Value, table: ir.Value, entry: ir.Value) -> ir.Value:
        address, size = code.text(cells, i)
        other, other_size = code.text(table, entry)
        return code.builder.call(compare, [address, size, other, other_size])

    return _lookup(module, name, op, fused, key_order)


def emit_int_lookup(module: ir.Module, name: str, op: Operation, fused: bool) -> ir.Function:
    """Position of an integer in a table, -1 where absent: a binary search through `order`, whose unused end is -1."""
    kind, table_kind = op.operands[0].type.dtype, op.operands[1].type.dtype

    def key_order(code: Arrays, cells: ir.Value, i: ir.Value, table: ir.Value, entry: ir.Value) -> ir.Value:
        x, y = code.integer(cells, i, kind), code.integer(table, entry, table_kind)
        builder = code.builder
        less, more = builder.icmp_signed("<", x, y), builder.icmp_signed(">", x, y)
        return builder.sub(builder.zext(more, I64), builder.zext(less, I64))

    return _lookup(module, name, op, fused, key_order)


def _lookup(module: ir.Module, name: str, op: Operation, fused: bool, key_order: KeyOrder) -> ir.Function:
    function, builder, dims = kernel_function(module, name, op)
    code = Arrays(module, builder, dims, fused)
    cells, table, order, target = function.args[:4]
    size = dims(op.operands[2].type.shape[0])
    entries = dims(op.operands[1].type.shape[0])
    steps = 64

    def one(i: ir.Value) -> None:
        def turn(_: ir.Value, carried: list[ir.Value]) -> tuple[ir.Value, ...]:
            low, high, found = carried
            open_ = builder.icmp_signed("<", low, high)
            middle = builder.add(low, builder.ashr(builder.sub(high, low), i64(1)))
            # A closed interval may lie past the end: look at entry 0 and change nothing.
            safe = builder.select(open_, middle, i64(0))
            entry = code.integer(order, safe, "i32")
            # Unused ends are -1; an entry beyond the table, which only a forged model has, counts as unused too.
            used = builder.icmp_unsigned("<", entry, entries)
            at = builder.select(used, entry, i64(0))
            sign = key_order(code, cells, i, table, at)
            sign = builder.select(used, sign, i64(-1))
            equal = builder.and_(open_, builder.icmp_signed("==", sign, i64(0)))
            before = builder.icmp_signed("<", sign, i64(0))
            new_low = builder.select(before, low, builder.add(middle, i64(1)))
            new_high = builder.select(before, middle, high)
            low = builder.select(builder.and_(open_, builder.not_(equal)), new_low, low)
            high = builder.select(equal, low, builder.select(open_, new_high, high))
            return low, high, builder.select(equal, at, found)

        # The interval halves each turn: 64 turns close any.
        bits = builder.sub(i64(steps), builder.ctlz(size, ir.Constant(ir.IntType(1), 0)))
        _, _, found = code.fold(builder.add(bits, i64(1)), [i64(0), size, i64(-1)], turn)
        code.store(Value(builder.trunc(found, ir.IntType(32)), "i32"), target, i)

    empty = Value(ir.Constant(ir.IntType(32), -1), "i32")
    count = dims(op.operands[0].type.elements)
    with builder.if_else(builder.icmp_signed(">", size, i64(0))) as (some, none):
        with some:
            code.each(count, one)
        with none:
            code.each(count, lambda i: code.store(empty, target, i))
    builder.ret_void()
    return function


def _literal(module: ir.Module, name: str, text: str) -> tuple[ir.Value, int]:
    data = text.encode("utf-8")
    kind = ir.ArrayType(BYTE, max(len(data), 1))
    constant = ir.GlobalVariable(module, kind, f"{name}.text")
    constant.linkage = "internal"
    constant.global_constant = True
    constant.initializer = ir.Constant(kind, bytearray(data or b"\0"))
    return constant.bitcast(POINTER), len(data)


def _compare_function(module: ir.Module) -> ir.Function:
    """`i64 bmc_text_order(a*, a_length, b*, b_length)`: negative, 0, positive as bytes compare; a prefix comes first."""
    name = "bmc_text_order"
    if name in module.globals:
        return module.globals[name]
    function = ir.Function(module, ir.FunctionType(I64, [POINTER, I64, POINTER, I64]), name)
    function.linkage = "internal"
    a, a_length, b, b_length = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    shorter = minimum(builder, a_length, b_length)
    head, body, differ, end = (function.append_basic_block(n) for n in ("head", "body", "differ", "end"))
    entry = builder.block
    builder.branch(head)
    builder.position_at_end(head)
    index = builder.phi(I64)
    index.add_incoming(i64(0), entry)
    builder.cbranch(builder.icmp_signed("<", index, shorter), body, end)
    builder.position_at_end(body)
    x = builder.zext(builder.load(builder.gep(a, [index], source_etype=BYTE), typ=BYTE), I64)
    y = builder.zext(builder.load(builder.gep(b, [index], source_etype=BYTE), typ=BYTE), I64)
    index.add_incoming(builder.add(index, i64(1)), body)
    builder.cbranch(builder.icmp_signed("==", x, y), head, differ)
    builder.position_at_end(differ)
    builder.ret(builder.sub(x, y))
    builder.position_at_end(end)
    builder.ret(builder.sub(a_length, b_length))
    return function


def _compare_lower_function(module: ir.Module) -> ir.Function:
    """`i64 bmc_lower_order(a*, a_length, b*, b_length)`: as `bmc_text_order` of the lower case of a, and b as it is."""
    name = "bmc_lower_order"
    if name in module.globals:
        return module.globals[name]
    function = ir.Function(module, ir.FunctionType(I64, [POINTER, I64, POINTER, I64]), name)
    function.linkage = "internal"
    a, a_length, b, b_length = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))

    def body(carried: list[ir.Value]) -> Sequence[ir.Value]:
        at, other = carried
        found = builder.call(lower_bytes_function(module), [a, at, a_length])
        read, packed, written = (builder.extract_value(found, part) for part in range(3))

        def compare(inner: list[ir.Value]) -> Sequence[ir.Value]:
            k, rest = inner
            place = builder.add(other, k)
            with builder.if_then(builder.icmp_signed(">=", place, b_length)):
                builder.ret(i64(1))
            difference = builder.sub(builder.and_(rest, i64(0xFF)), byte_at(builder, b, place))
            with builder.if_then(builder.icmp_signed("!=", difference, i64(0))):
                builder.ret(difference)
            return builder.add(k, i64(1)), builder.lshr(rest, i64(8))

        while_true(builder, (i64(0), packed), lambda c: builder.icmp_signed("<", c[0], written), compare)
        return builder.add(at, read), builder.add(other, written)

    _, reached = while_true(builder, (i64(0), i64(0)), lambda c: builder.icmp_signed("<", c[0], a_length), body)
    builder.ret(builder.sub(reached, b_length))
    return function
