"""Kernels that cut text into parts and hash cells. A part is a view into the text that it is a part of."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llvmlite import ir

from bmc.codegen.contract.loop import while_true
from bmc.codegen.kernel import kernel_function
from bmc.codegen.opaque.characters import byte_at, character_function, lower_bytes_function, next_word_function
from bmc.codegen.opaque.memory import Arrays, i64
from bmc.codegen.splitmix import mixed
from bmc.codegen.typed import attributes
from bmc.codegen.value import I64, Value
from bmc.ir import Operation
from bmc.ops.text_parts import BytesAttrs, CountAttrs, IntHashAttrs, PartsAttrs, StrHashAttrs

__all__ = ["emit_int_hash", "emit_str_bytes", "emit_str_count", "emit_str_hash", "emit_str_parts", "next_part", "text_hash"]

I32 = ir.IntType(32)

_Next = Callable[[ir.Value], tuple[ir.Value, ir.Value]]
"""position -> start and stop of the next part; the start is the length of the text where there is none."""


def next_part(code: Arrays, unit: str, address: ir.Value, length: ir.Value) -> _Next:
    builder = code.builder

    def word(position: ir.Value) -> tuple[ir.Value, ir.Value]:
        found = builder.call(next_word_function(code.module), [address, position, length])
        return builder.extract_value(found, 0), builder.extract_value(found, 1)

    def character(position: ir.Value) -> tuple[ir.Value, ir.Value]:
        found = builder.call(character_function(code.module), [address, position, length])
        return position, builder.add(position, builder.extract_value(found, 1))

    return word if unit == "words" else character


def emit_str_parts(module: ir.Module, name: str, op: Operation, fused: bool) -> ir.Function:
    """The first parts of each text, empty texts behind them."""
    function, builder, dims = kernel_function(module, name, op)
    code = Arrays(module, builder, dims, fused)
    source, target = function.args[:2]
    attrs = attributes(op, PartsAttrs)
    size = dims(attrs.size)

    def one(i: ir.Value) -> None:
        address, length = code.text(source, i)
        following = next_part(code, attrs.unit, address, length)
        row = builder.mul(i, size)

        def put(place: ir.Value, start: ir.Value, stop: ir.Value) -> None:
            cell = code.element(target, builder.add(row, place), "str")
            builder.store(code.at_bytes(address, start), cell)
            builder.store(builder.sub(stop, start), code.at_bytes(cell, i64(8)))

        def test(carried: list[ir.Value]) -> ir.Value:
            place, position = carried
            return builder.and_(builder.icmp_signed("<", place, size), builder.icmp_signed("<", position, length))

        def body(carried: list[ir.Value]) -> Sequence[ir.Value]:
            place, position = carried
            start, stop = following(position)
            put(place, start, stop)
            found = builder.icmp_signed("<", start, length)
            return builder.add(place, builder.zext(found, I64)), stop

        used, _ = while_true(builder, (i64(0), i64(0)), test, body)
        rest = builder.sub(size, used)
        code.each(rest, lambda k: put(builder.add(used, k), i64(0), i64(0)))

    code.each(dims(op.operands[0].type.elements), one)
    builder.ret_void()
    return function


def emit_str_count(module: ir.Module, name: str, op: Operation, fused: bool) -> ir.Function:
    """How many parts or bytes each text has."""
    function, builder, dims = kernel_function(module, name, op)
    code = Arrays(module, builder, dims, fused)
    source, target = function.args[:2]
    attrs = attributes(op, CountAttrs)

    def counted(address: ir.Value, length: ir.Value) -> ir.Value:
        if attrs.unit == "bytes":
            return (
                length if not attrs.lower else _lowered(code, address, length, i64(0), lambda state, _: builder.add(state, i64(1)))
            )
        following = next_part(code, attrs.unit, address, length)

        def body(carried: list[ir.Value]) -> Sequence[ir.Value]:
            count, position = carried
            start, stop = following(position)
            return builder.add(count, builder.zext(builder.icmp_signed("<", start, length), I64)), stop

        return while_true(builder, (i64(0), i64(0)), lambda c: builder.icmp_signed("<", c[1], length), body)[0]

    def one(i: ir.Value) -> None:
        address, length = code.text(source, i)
        code.store(Value(builder.trunc(counted(address, length), I32), "i32"), target, i)

    code.each(dims(op.operands[0].type.elements), one)
    builder.ret_void()
    return function


def emit_str_bytes(module: ir.Module, name: str, op: Operation, fused: bool) -> ir.Function:
    """The first bytes of each text, 0 behind them."""
    function, builder, dims = kernel_function(module, name, op)
    code = Arrays(module, builder, dims, fused)
    source, target = function.args[:2]
    attrs = attributes(op, BytesAttrs)
    size = dims(attrs.size)

    def one(i: ir.Value) -> None:
        address, length = code.text(source, i)
        row = builder.mul(i, size)

        def put(place: ir.Value, byte: ir.Value) -> ir.Value:
            with builder.if_then(builder.icmp_signed("<", place, size)):
                code.store(Value(builder.trunc(byte, I32), "i32"), target, builder.add(row, place))
            return builder.add(place, i64(1))

        code.zero(code.element(target, row, "i32"), builder.mul(size, i64(4)))
        _folded(code, address, length, attrs.lower, i64(0), put)

    code.each(dims(op.operands[0].type.elements), one)
    builder.ret_void()
    return function


_FNV_START, _FNV_PRIME = 0xCBF29CE484222325, 0x100000001B3


def emit_str_hash(module: ir.Module, name: str, op: Operation, fused: bool) -> ir.Function:
    """The hash of each text, modulo n."""
    function, builder, dims = kernel_function(module, name, op)
    code = Arrays(module, builder, dims, fused)
    source, target = function.args[:2]
    attrs = attributes(op, StrHashAttrs)

    def step(state: ir.Value, byte: ir.Value) -> ir.Value:
        return builder.mul(builder.xor(state, byte), i64(_FNV_PRIME))

    def one(i: ir.Value) -> None:
        address, length = code.text(source, i)
        state = _folded(code, address, length, attrs.lower, i64(_FNV_START), step)
        _store_hash(code, state, attrs.n, target, i)

    code.each(dims(op.operands[0].type.elements), one)
    builder.ret_void()
    return function


def emit_int_hash(module: ir.Module, name: str, op: Operation, fused: bool) -> ir.Function:
    """The hash of each integer, modulo n."""
    function, builder, dims = kernel_function(module, name, op)
    code = Arrays(module, builder, dims, fused)
    source, target = function.args[:2]
    salt = mixed(builder, i64(1))

    def one(i: ir.Value) -> None:
        number = code.integer(source, i, op.operands[0].type.dtype)
        _store_hash(code, builder.xor(number, salt), attributes(op, IntHashAttrs).n, target, i)

    code.each(dims(op.operands[0].type.elements), one)
    builder.ret_void()
    return function


def text_hash(code: Arrays, address: ir.Value, length: ir.Value) -> ir.Value:
    """64 bits of a text, all of which depend on all of it."""
    builder = code.builder
    state = _folded(
        code, address, length, False, i64(_FNV_START), lambda s, byte: builder.mul(builder.xor(s, byte), i64(_FNV_PRIME))
    )
    return mixed(builder, state)


def _store_hash(code: Arrays, state: ir.Value, n: int, target: ir.Value, i: ir.Value) -> None:
    builder = code.builder
    found = builder.urem(mixed(builder, state), i64(n))
    code.store(Value(builder.trunc(found, I32), "i32"), target, i)


_Fold = Callable[[ir.Value, ir.Value], ir.Value]
"""(state, byte as i64) -> state"""


def _folded(code: Arrays, address: ir.Value, length: ir.Value, lower: bool, state: ir.Value, step: _Fold) -> ir.Value:
    """A fold over the bytes of a text, or of its lower case."""
    if lower:
        return _lowered(code, address, length, state, step)
    builder = code.builder
    return code.fold(length, [state], lambda k, carried: [step(carried[0], byte_at(builder, address, k))])[0]


def _lowered(code: Arrays, address: ir.Value, length: ir.Value, state: ir.Value, step: _Fold) -> ir.Value:
    builder = code.builder

    def body(carried: list[ir.Value]) -> Sequence[ir.Value]:
        position, before = carried
        found = builder.call(lower_bytes_function(code.module), [address, position, length])
        read, packed, written = (builder.extract_value(found, part) for part in range(3))

        def byte(k: ir.Value, inner: list[ir.Value]) -> Sequence[ir.Value]:
            value = builder.and_(builder.lshr(packed, builder.mul(k, i64(8))), i64(0xFF))
            return [step(inner[0], value)]

        (after,) = code.fold(written, [before], byte)
        return builder.add(position, read), after

    return while_true(builder, (i64(0), state), lambda c: builder.icmp_signed("<", c[0], length), body)[1]
