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

__all__ = [
    "emit_int_lookup", "emit_str_default", "emit_str_equal", "emit_str_lookup", "emit_str_select", "literal_text",
]  # fmt: skip

Key = tuple[ir.Value, ...]
"""What is looked up, as registers hold it."""

MakeKey = Callable[[Arrays, ir.Value, ir.Value, ir.Value], Key]
"""(code, cells, index, scratch) -> the cell as a key"""

KeyOrder = Callable[[Arrays, Key, ir.Value, ir.Value], ir.Value]
"""(code, key, table, entry) -> i64: negative, 0 or positive as the key comes before, is or comes after the entry."""

_MOST_LOWERED = 1 << 20
"""Texts up to this length are put into lower case once, in the scratch block, which they may outgrow by half."""


def emit_str_equal(module: ir.Module, name: str, op: Operation, fused: bool) -> ir.Function:
    """Whether a cell equals a literal."""
    function, builder, dims = kernel_function(module, name, op)
    code = Arrays(module, builder, dims, fused)
    source, target = function.args[:2]
    attrs = attributes(op, EqualAttrs)
    literal, length = literal_text(module, name, attrs.value)
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
    literal, length = literal_text(module, name, attributes(op, TextAttrs).value)

    def one(i: ir.Value) -> None:
        keep = code.load(condition, i, "bool").ir
        address, size = code.text(source, i)
        cell = code.element(target, i, "str")
        builder.store(builder.select(keep, address, literal), cell)
        builder.store(builder.select(keep, size, i64(length)), code.at_bytes(cell, i64(8)))

    code.each(dims(op.operands[0].type.elements), one)
    builder.ret_void()
    return function


def emit_str_default(module: ir.Module, name: str, op: Operation, fused: bool) -> ir.Function:
    """The cell where the condition holds, else the only cell of a table."""
    function, builder, dims = kernel_function(module, name, op)
    code = Arrays(module, builder, dims, fused)
    condition, source, table, target = function.args[:4]
    other, other_size = code.text(table, i64(0))

    def one(i: ir.Value) -> None:
        keep = code.load(condition, i, "bool").ir
        address, size = code.text(source, i)
        cell = code.element(target, i, "str")
        builder.store(builder.select(keep, address, other), cell)
        builder.store(builder.select(keep, size, other_size), code.at_bytes(cell, i64(8)))

    code.each(dims(op.operands[0].type.elements), one)
    builder.ret_void()
    return function


def emit_str_lookup(module: ir.Module, name: str, op: Operation, fused: bool) -> ir.Function:
    """Position of a cell in a table of texts, -1 where absent: a binary search through `order`, whose unused end is -1."""
    compare = _compare_function(module)
    lower = attributes(op, LookupAttrs).lower

    def key(code: Arrays, cells: ir.Value, i: ir.Value, scratch: ir.Value) -> Key:
        address, size = code.text(cells, i)
        if not lower:
            return address, size
        small = code.builder.call(_lowered_function(module), [address, size, scratch])
        fits = code.builder.icmp_signed(">=", small, i64(0))
        return code.builder.select(fits, scratch, address), code.builder.select(fits, small, size), fits

    def key_order(code: Arrays, key: Key, table: ir.Value, entry: ir.Value) -> ir.Value:
        other, other_size = code.text(table, entry)
        builder = code.builder
        if not lower:
            return builder.call(compare, [*key, other, other_size])
        address, size, lowered = key
        with builder.if_else(lowered, likely=True) as (short, long):
            with short:
                plain, from_short = builder.call(compare, [address, size, other, other_size]), builder.block
            with long:
                slow = builder.call(_compare_lower_function(module), [address, size, other, other_size])
                from_long = builder.block
        found = builder.phi(I64)
        found.add_incoming(plain, from_short)
        found.add_incoming(slow, from_long)
        return found

    return _lookup(module, name, op, fused, key, key_order)


def emit_int_lookup(module: ir.Module, name: str, op: Operation, fused: bool) -> ir.Function:
    """Position of an integer in a table, -1 where absent: a binary search through `order`, whose unused end is -1."""
    kind, table_kind = op.operands[0].type.dtype, op.operands[1].type.dtype

    def key(code: Arrays, cells: ir.Value, i: ir.Value, scratch: ir.Value) -> Key:
        return (code.integer(cells, i, kind),)

    def key_order(code: Arrays, key: Key, table: ir.Value, entry: ir.Value) -> ir.Value:
        x, y = key[0], code.integer(table, entry, table_kind)
        builder = code.builder
        less, more = builder.icmp_signed("<", x, y), builder.icmp_signed(">", x, y)
        return builder.sub(builder.zext(more, I64), builder.zext(less, I64))

    return _lookup(module, name, op, fused, key, key_order)


def _lookup(module: ir.Module, name: str, op: Operation, fused: bool, make_key: MakeKey, key_order: KeyOrder) -> ir.Function:
    function, builder, dims = kernel_function(module, name, op)
    code = Arrays(module, builder, dims, fused)
    cells, table, order, target = function.args[:4]
    size = dims(op.operands[2].type.shape[0])
    entries = dims(op.operands[1].type.shape[0])
    scratch = function.args[-1]

    def one(i: ir.Value) -> None:
        key = make_key(code, cells, i, scratch)

        def turn(carried: list[ir.Value]) -> tuple[ir.Value, ...]:
            """Halves the interval, or closes it at what is found."""
            low, high, found = carried
            middle = builder.add(low, builder.ashr(builder.sub(high, low), i64(1)))
            entry = code.integer(order, middle, "i32")
            # Unused ends are -1; an entry beyond the table, which only a forged model has, counts as unused too.
            used = builder.icmp_unsigned("<", entry, entries)
            at = builder.select(used, entry, i64(0))
            sign = builder.select(used, key_order(code, key, table, at), i64(-1))
            equal = builder.icmp_signed("==", sign, i64(0))
            before = builder.icmp_signed("<", sign, i64(0))
            new_low = builder.select(before, low, builder.add(middle, i64(1)))
            new_high = builder.select(before, middle, builder.select(equal, new_low, high))
            return new_low, new_high, builder.select(equal, at, found)

        _, _, found = while_true(builder, (i64(0), size, i64(-1)), lambda c: builder.icmp_signed("<", c[0], c[1]), turn)
        code.store(Value(builder.trunc(found, ir.IntType(32)), "i32"), target, i)

    code.each(dims(op.operands[0].type.elements), one)
    builder.ret_void()
    return function


def literal_text(module: ir.Module, name: str, text: str) -> tuple[ir.Value, int]:
    """The bytes of a literal in memory, and how many they are."""
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


def _lowered_function(module: ir.Module) -> ir.Function:
    """`i64 bmc_lowered(text*, i64 length, target*)`: puts the lower case of a text into the target and gives its length; -1, and
    nothing is written, where the text is longer than `_MOST_LOWERED`."""
    name = "bmc_lowered"
    if name in module.globals:
        return module.globals[name]
    function = ir.Function(module, ir.FunctionType(I64, [POINTER, I64, POINTER]), name)
    function.linkage = "internal"
    text, length, target = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    with builder.if_then(builder.icmp_signed(">", length, i64(_MOST_LOWERED)), likely=False):
        builder.ret(i64(-1))

    def body(carried: list[ir.Value]) -> Sequence[ir.Value]:
        at, end = carried
        found = builder.call(lower_bytes_function(module), [text, at, length])
        read, packed, written = (builder.extract_value(found, part) for part in range(3))

        def put(inner: list[ir.Value]) -> Sequence[ir.Value]:
            k, rest = inner
            builder.store(builder.trunc(rest, BYTE), builder.gep(target, [builder.add(end, k)], source_etype=BYTE))
            return builder.add(k, i64(1)), builder.lshr(rest, i64(8))

        while_true(builder, (i64(0), packed), lambda c: builder.icmp_signed("<", c[0], written), put)
        return builder.add(at, read), builder.add(end, written)

    _, end = while_true(builder, (i64(0), i64(0)), lambda c: builder.icmp_signed("<", c[0], length), body)
    builder.ret(end)
    return function
