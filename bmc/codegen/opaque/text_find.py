"""The kernel that looks for a literal in texts.

A text is tried from each of its characters on, so the time is that of a naive search: literals are short.
"""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir

from bmc.codegen.contract.loop import while_true
from bmc.codegen.kernel import kernel_function
from bmc.codegen.opaque.characters import byte_at, lower_bytes_function
from bmc.codegen.opaque.memory import Arrays, i64
from bmc.codegen.opaque.text import literal_text
from bmc.codegen.typed import attributes
from bmc.codegen.value import I64, POINTER, Value
from bmc.ir import Operation
from bmc.ops.text_find import FindAttrs

__all__ = ["emit_str_find"]


def emit_str_find(module: ir.Module, name: str, op: Operation, fused: bool) -> ir.Function:
    """Whether a literal stands in each cell."""
    function, builder, dims = kernel_function(module, name, op)
    code = Arrays(module, builder, dims, fused)
    source, target = function.args[:2]
    attrs = attributes(op, FindAttrs)
    literal, size = literal_text(module, name, attrs.value)
    search = _search_function(module, attrs)

    def one(i: ir.Value) -> None:
        address, length = code.text(source, i)
        found = builder.call(search, [address, length, literal, i64(size)])
        code.store(Value(builder.icmp_signed("!=", found, i64(0)), "bool"), target, i)

    code.each(dims(op.operands[0].type.elements), one)
    builder.ret_void()
    return function


def _search_function(module: ir.Module, attrs: FindAttrs) -> ir.Function:
    """`i64 bmc_find_...(text*, length, literal*, size)`: 1 where the literal stands in the text, at a place of that kind."""
    mark = attrs.separator.encode()[0] if attrs.separator else 0
    name = f"bmc_find_{attrs.place}_{mark}_{'lower' if attrs.lower else 'plain'}"
    if name in module.globals:
        return module.globals[name]
    function = ir.Function(module, ir.FunctionType(I64, [POINTER, I64, POINTER, I64]), name)
    function.linkage = "internal"
    text, length, literal, size = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    match = _match_function(module, attrs.lower)

    def is_mark(position: ir.Value) -> ir.Value:
        return builder.icmp_unsigned("==", byte_at(builder, text, position), i64(mark))

    def attempt(position: ir.Value) -> None:
        """Return 1 if a match begins there, and ends where it may."""
        stop = builder.call(match, [text, position, length, literal, size])
        with builder.if_then(builder.icmp_signed(">=", stop, i64(0))):
            if attrs.place in ("anywhere", "start"):
                builder.ret(i64(1))
                return
            with builder.if_then(builder.icmp_signed("==", stop, length)):
                builder.ret(i64(1))
            if attrs.place == "piece":
                with builder.if_then(builder.icmp_signed("<", stop, length)), builder.if_then(is_mark(stop)):
                    builder.ret(i64(1))

    def body(carried: list[ir.Value]) -> Sequence[ir.Value]:
        (at,) = carried
        if attrs.place == "piece":
            with builder.if_then(builder.icmp_signed("==", at, i64(0))):
                attempt(at)
            with builder.if_then(builder.icmp_signed(">", at, i64(0))):
                begins = is_mark(builder.sub(at, i64(1)))
                with builder.if_then(begins):
                    attempt(at)
        else:
            attempt(at)
        if attrs.place == "start":
            return (builder.add(length, i64(1)),)
        with builder.if_then(builder.icmp_signed(">=", at, length)):
            builder.ret(i64(0))
        if not attrs.lower:
            return (builder.add(at, i64(1)),)
        found = builder.call(lower_bytes_function(module), [text, at, length])
        return (builder.add(at, builder.extract_value(found, 0)),)

    while_true(builder, (i64(0),), lambda c: builder.icmp_signed("<=", c[0], length), body)
    builder.ret(i64(0))
    return function


def _match_function(module: ir.Module, lower: bool) -> ir.Function:
    """`i64 bmc_match_...(text*, position, length, literal*, size)`: where the literal ends if it stands at that position, of the
    text in lower case or as it is; else -1."""
    name = f"bmc_match_{'lower' if lower else 'plain'}"
    if name in module.globals:
        return module.globals[name]
    function = ir.Function(module, ir.FunctionType(I64, [POINTER, I64, I64, POINTER, I64]), name)
    function.linkage = "internal"
    text, position, length, literal, size = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))

    def refuse(condition: ir.Value) -> None:
        with builder.if_then(condition):
            builder.ret(i64(-1))

    def body(carried: list[ir.Value]) -> Sequence[ir.Value]:
        at, known = carried
        refuse(builder.icmp_signed(">=", at, length))
        if not lower:
            refuse(builder.icmp_unsigned("!=", byte_at(builder, text, at), byte_at(builder, literal, known)))
            return builder.add(at, i64(1)), builder.add(known, i64(1))
        found = builder.call(lower_bytes_function(module), [text, at, length])
        read, packed, written = (builder.extract_value(found, part) for part in range(3))

        def compare(inner: list[ir.Value]) -> Sequence[ir.Value]:
            k, rest = inner
            place = builder.add(known, k)
            refuse(builder.icmp_signed(">=", place, size))
            refuse(builder.icmp_unsigned("!=", builder.and_(rest, i64(0xFF)), byte_at(builder, literal, place)))
            return builder.add(k, i64(1)), builder.lshr(rest, i64(8))

        while_true(builder, (i64(0), packed), lambda c: builder.icmp_signed("<", c[0], written), compare)
        return builder.add(at, read), builder.add(known, written)

    stop, _ = while_true(builder, (position, i64(0)), lambda c: builder.icmp_signed("<", c[1], size), body)
    builder.ret(stop)
    return function
