"""Kernels that compare elements along an axis: arg-max, sort, top-k, bisection; and the cumulative sum."""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir

from bmc.codegen.contract.loop import each, while_below
from bmc.codegen.kernel import kernel_function
from bmc.codegen.opaque.memory import Arrays, i64
from bmc.codegen.typed import attributes, element_dtype
from bmc.codegen.value import I64, Value
from bmc.errors import CompilerBug
from bmc.ir import Dim, Operation
from bmc.ir.dims import product
from bmc.ops.element import Predicate
from bmc.ops.order import ArgAttrs, CumsumAttrs, SortAttrs, TopKAttrs

__all__ = ["emit_argmax", "emit_argmin", "emit_cumsum", "emit_search_sorted", "emit_sort", "emit_top_k"]


def emit_argmax(module: ir.Module, name: str, op: Operation, fused: bool) -> ir.Function:
    """Position of the largest element, the first of equals; the first NaN where there is one."""
    return _extreme(module, name, op, fused, "gt")


def emit_argmin(module: ir.Module, name: str, op: Operation, fused: bool) -> ir.Function:
    """Position of the smallest element, the first of equals; the first NaN where there is one."""
    return _extreme(module, name, op, fused, "lt")


def _extreme(module: ir.Module, name: str, op: Operation, fused: bool, better: Predicate) -> ir.Function:
    function, builder, dims = kernel_function(module, name, op)
    code = Arrays(module, builder, dims, fused)
    lanes = code.lanes
    (x,) = op.operands
    axis, dtype = attributes(op, ArgAttrs).axis, element_dtype(x.type.dtype)
    source, target = function.args[:2]
    size, inner = dims(x.type.shape[axis]), dims(product(x.type.shape[axis + 1 :]))
    outer = dims(product(x.type.shape[:axis]))

    def one(o: ir.Value, i: ir.Value) -> None:
        first = builder.add(builder.mul(builder.mul(o, size), inner), i)

        def turn(k: ir.Value, carried: list[ir.Value]) -> Sequence[ir.Value]:
            best, place = Value(carried[0], dtype), carried[1]
            value = code.load(source, builder.add(first, builder.mul(k, inner)), dtype)
            wins = lanes.compare(better, value, best).ir
            if dtype in ("f32", "f64"):
                fresh = builder.and_(lanes.is_nan(value).ir, builder.not_(lanes.is_nan(best).ir))
                wins = builder.and_(builder.or_(wins, fresh), builder.not_(lanes.is_nan(best).ir))
            return builder.select(wins, value.ir, best.ir), builder.select(wins, k, place)

        start = code.load(source, first, dtype)
        _, place = code.fold(size, [start.ir, i64(0)], turn)
        index = builder.add(builder.mul(o, inner), i)
        code.store(Value(builder.trunc(place, ir.IntType(32)), "i32"), target, index)

    with builder.if_then(builder.icmp_signed(">", size, i64(0))):
        code.each(outer, lambda o: code.each(inner, lambda i: one(o, i)))
    builder.ret_void()
    return function


def emit_cumsum(module: ir.Module, name: str, op: Operation, fused: bool) -> ir.Function:
    """Running sums along an axis, one chain."""
    function, builder, dims = kernel_function(module, name, op)
    code = Arrays(module, builder, dims, fused)
    (x,) = op.operands
    axis, dtype = attributes(op, CumsumAttrs).axis, element_dtype(x.type.dtype)
    source, target = function.args[:2]
    size, inner = dims(x.type.shape[axis]), dims(product(x.type.shape[axis + 1 :]))

    def one(o: ir.Value, i: ir.Value) -> None:
        first = builder.add(builder.mul(builder.mul(o, size), inner), i)

        def turn(k: ir.Value, carried: list[ir.Value]) -> Sequence[ir.Value]:
            place = builder.add(first, builder.mul(k, inner))
            total = code.lanes.add(Value(carried[0], dtype), code.load(source, place, dtype))
            code.store(total, target, place)
            return (total.ir,)

        code.fold(size, [code.lanes.constant(dtype, 0).ir], turn)

    outer = dims(product(x.type.shape[:axis]))
    code.each(outer, lambda o: code.each(inner, lambda i: one(o, i)))
    builder.ret_void()
    return function


def emit_sort(module: ir.Module, name: str, op: Operation, fused: bool) -> ir.Function:
    """Sort along the last axis: values and their positions, stable, NaN last.

    A heap sort by (value, position): positions make the order total, so the result is the stable one, in place and in
    O(n log n) however the data lie.
    """
    function, builder, dims = kernel_function(module, name, op)
    code = Arrays(module, builder, dims, fused)
    (x,) = op.operands
    dtype = x.type.dtype
    descending = attributes(op, SortAttrs).descending
    source, values, places = function.args[:3]
    size = dims(x.type.shape[-1])
    rows = dims(product(x.type.shape[:-1]))
    sift = _sift_function(module, f"{name}.sift", dtype, descending, fused)

    def one(row: ir.Value) -> None:
        first = builder.mul(row, size)
        keys, order = code.element(values, first, dtype), code.element(places, first, "i32")

        def fill(i: ir.Value) -> None:
            code.store(code.load(source, builder.add(first, i), dtype), keys, i)
            code.store(Value(builder.trunc(i, ir.IntType(32)), "i32"), order, i)

        code.each(size, fill)
        _heap(code, sift, keys, order, size)
        _unheap(code, sift, keys, order, dtype, size)

    code.each(rows, one)
    builder.ret_void()
    return function


def emit_top_k(module: ir.Module, name: str, op: Operation, fused: bool) -> ir.Function:
    """The largest of the last axis in descending order, and their positions, as `emit_sort` would put them first.

    A heap of the best so far, the last of them at its root: an element that comes before the root takes its place.
    O(n log k), and nearly n comparisons where the order is random.
    """
    function, builder, dims = kernel_function(module, name, op)
    code = Arrays(module, builder, dims, fused)
    (x,) = op.operands
    dtype = x.type.dtype
    source, values, places = function.args[:3]
    size, count = dims(x.type.shape[-1]), i64(attributes(op, TopKAttrs).count)
    sift = _sift_function(module, f"{name}.sift", dtype, True, fused)

    def one(row: ir.Value) -> None:
        given = code.element(source, builder.mul(row, size), dtype)
        first = builder.mul(row, count)
        keys, order = code.element(values, first, dtype), code.element(places, first, "i32")

        def put(i: ir.Value, at: ir.Value) -> None:
            code.store(code.load(given, i, dtype), keys, at)
            code.store(Value(builder.trunc(i, ir.IntType(32)), "i32"), order, at)

        code.each(count, lambda i: put(i, i))
        _heap(code, sift, keys, order, count)

        def turn(i: ir.Value) -> None:
            # It stands behind all that the heap holds, so that equals do not move it in.
            with builder.if_then(_precedes(code, code.load(given, i, dtype), code.load(keys, i64(0), dtype), True)):
                put(i, i64(0))
                builder.call(sift, [keys, order, i64(0), count])

        each(builder, count, size, i64(1), turn)
        _unheap(code, sift, keys, order, dtype, count)

    code.each(dims(product(x.type.shape[:-1])), one)
    builder.ret_void()
    return function


def emit_search_sorted(module: ir.Module, name: str, op: Operation, fused: bool) -> ir.Function:
    """How many elements of an ascending row are at most x. Halving the row without a branch: each step keeps the half in
    which the answer lies.
    """
    function, builder, dims = kernel_function(module, name, op)
    code = Arrays(module, builder, dims, fused)
    table, x = op.operands
    dtype = element_dtype(x.type.dtype)
    source, wanted, target = function.args[:3]
    lead = table.type.rank - 1
    size = dims(table.type.shape[-1])
    each_row = dims(product(x.type.shape[lead:]))

    def one(row: ir.Value, i: ir.Value) -> None:
        at = builder.add(builder.mul(row, each_row), i)
        value = code.load(wanted, at, dtype)
        cells = code.element(source, builder.mul(row, size), dtype)
        before, start = builder.block, i64(0)
        head, inside, after = (builder.append_basic_block(part) for part in ("bisect", "half", "found"))
        builder.branch(head)
        builder.position_at_end(head)
        low, left = builder.phi(I64), builder.phi(I64)  # the first `low` are at most x; the answer is among `left` more
        low.add_incoming(start, before)
        left.add_incoming(size, before)
        builder.cbranch(builder.icmp_signed(">", left, i64(0)), inside, after)
        builder.position_at_end(inside)
        half = builder.sdiv(left, i64(2))
        middle = builder.add(low, half)
        passed = code.lanes.compare("le", code.load(cells, middle, dtype), value).ir
        low.add_incoming(builder.select(passed, builder.add(middle, i64(1)), low), inside)
        rest = builder.sub(builder.sub(left, half), i64(1))
        left.add_incoming(builder.select(passed, rest, half), inside)
        builder.branch(head)
        builder.position_at_end(after)
        code.store(Value(builder.trunc(low, ir.IntType(32)), "i32"), target, at)

    code.each(dims(product(table.type.shape[:-1])), lambda row: code.each(each_row, lambda i: one(row, i)))
    builder.ret_void()
    return function


def _heap(code: Arrays, sift: ir.Function, keys: ir.Value, order: ir.Value, size: ir.Value) -> None:
    """Make a heap of `size` pairs, the last of all at its root."""
    builder = code.builder
    half = builder.sdiv(size, i64(2))
    code.each(half, lambda i: builder.call(sift, [keys, order, builder.sub(builder.sub(half, i), i64(1)), size]))


def _unheap(code: Arrays, sift: ir.Function, keys: ir.Value, order: ir.Value, dtype: str, size: ir.Value) -> None:
    """A heap of `size` pairs in order: the root goes to the end, again and again."""
    builder = code.builder

    def extract(i: ir.Value) -> None:
        end = builder.sub(builder.sub(size, i), i64(1))
        _swap(code, keys, order, dtype, i64(0), end)
        builder.call(sift, [keys, order, i64(0), end])

    code.each(size, extract)


def _precedes(code: Arrays, x: Value, y: Value, descending: bool) -> ir.Value:
    """Whether x comes before y whatever their positions; NaN comes last."""
    builder, lanes = code.builder, code.lanes
    less = lanes.compare("gt" if descending else "lt", x, y).ir
    if x.dtype in ("f32", "f64"):
        less = builder.or_(less, builder.and_(lanes.is_nan(y).ir, builder.not_(lanes.is_nan(x).ir)))
    return less


def _swap(code: Arrays, keys: ir.Value, order: ir.Value, dtype: str, a: ir.Value, b: ir.Value) -> None:
    for pointer, kind in ((keys, dtype), (order, "i32")):
        x, y = code.load(pointer, a, kind), code.load(pointer, b, kind)
        code.store(y, pointer, a)
        code.store(x, pointer, b)


def _no_dims(dim: Dim) -> ir.Value:
    raise CompilerBug("codegen", f"a heap does not know {dim}")


def _sift_function(module: ir.Module, name: str, dtype: str, descending: bool, fused: bool) -> ir.Function:
    """`void(keys*, order*, i64 root, i64 end)`: restore the heap of [root, end) whose root alone may be out of place."""
    from_type = ir.FunctionType(ir.VoidType(), [ir.PointerType(), ir.PointerType(), I64, I64])
    function = ir.Function(module, from_type, name)
    function.linkage = "internal"
    keys, order, root, end = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    code = Arrays(module, builder, _no_dims, fused)
    lanes = code.lanes

    def before(a: ir.Value, b: ir.Value) -> ir.Value:
        """Whether element a comes before element b in the result."""
        x, y = code.load(keys, a, dtype), code.load(keys, b, dtype)
        less, more = _precedes(code, x, y, descending), _precedes(code, y, x, descending)
        earlier = lanes.compare("lt", code.load(order, a, "i32"), code.load(order, b, "i32")).ir
        return builder.or_(less, builder.and_(builder.not_(more), earlier))

    def step(at: ir.Value) -> ir.Value:
        left = builder.add(builder.mul(at, i64(2)), i64(1))
        has_left = builder.icmp_signed("<", left, end)
        with builder.if_else(has_left) as (inside, outside):
            with inside:
                right = builder.add(left, i64(1))
                has_right = builder.icmp_signed("<", right, end)
                # Without a right child the left one stands in for it.
                other = builder.select(has_right, right, left)
                child = builder.select(before(left, other), other, left)
                down = before(at, child)
                with builder.if_then(down):
                    _swap(code, keys, order, dtype, at, child)
                moved = builder.select(down, child, end)
                inside_end = builder.block
            with outside:
                outside_end = builder.block
        following = builder.phi(I64)
        following.add_incoming(moved, inside_end)
        following.add_incoming(end, outside_end)
        return following

    while_below(builder, root, end, step)
    builder.ret_void()
    return function
