"""The kernel of max-pooling's gradient: vectors of channels, one window after the other."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

from llvmlite import ir

from bmc.codegen.contract.loop import each, for_range
from bmc.codegen.kernel import kernel_function
from bmc.codegen.lanes import Lanes
from bmc.codegen.opaque.memory import Arrays, cell_bytes, i64
from bmc.codegen.typed import attributes, element_dtype
from bmc.codegen.value import Value
from bmc.ir import Operation
from bmc.ir.dims import product
from bmc.ops.pool import PoolAttrs

__all__ = ["emit_max_pool_grad"]

WIDTH = 8
MOST_UNROLLED = 16
"""Cells of a window that are written out one by one."""


def emit_max_pool_grad(module: ir.Module, name: str, op: Operation, fused: bool) -> ir.Function:
    """Zeros; then each window adds its g to its first cell that equals y.

    Windows that do not overlap write instead of adding, and need no zeros where they cover all of x.
    """
    return _MaxPoolGrad(module, name, op, fused).emit()


class _MaxPoolGrad:
    def __init__(self, module: ir.Module, name: str, op: Operation, fused: bool) -> None:
        self.function, self.builder, self.dims = kernel_function(module, name, op)
        self.code = Arrays(module, self.builder, self.dims, fused)
        self.attrs = attributes(op, PoolAttrs)
        self.op = op
        self.fused = fused
        x, y = op.operands[:2]
        self.dtype = element_dtype(x.type.dtype)
        self.sizes = [self.dims(d) for d in x.type.shape[1:-1]]
        self.low = [self.dims(d) for d in self.attrs.low]
        self.counts = [self.dims(d) for d in y.type.shape[1:-1]]
        self.channels = self.dims(x.type.shape[-1])
        attrs = self.attrs
        self.apart = all(s >= d * (k - 1) + 1 for s, d, k in zip(attrs.strides, attrs.dilation, attrs.sizes, strict=True))
        self.inside = all(d == 0 for d in (*attrs.low, *attrs.high))
        self.covered = (
            self.inside
            and attrs.sizes == attrs.strides
            and all(isinstance(d, int) and d % k == 0 for d, k in zip(x.type.shape[1:-1], attrs.sizes, strict=True))
        )

    def emit(self) -> ir.Function:
        builder, code = self.builder, self.code
        x, y = self.op.operands[:2]
        target = self.function.args[3]
        if not self.covered:
            code.zero(target, self.dims(x.type.elements * cell_bytes(self.dtype)))
        row_cells = self.dims(product(x.type.shape[1:]))
        row_windows = self.dims(product(y.type.shape[1:]))
        places = len(self.counts)

        def window(at: list[ir.Value], row: ir.Value) -> None:
            if len(at) < places:
                code.each(self.counts[len(at)], lambda o: window([*at, o], row))
                return
            linear = i64(0)
            for o, count in zip(at, self.counts, strict=True):
                linear = builder.add(builder.mul(linear, count), o)
            from_y = builder.add(builder.mul(row, row_windows), builder.mul(linear, self.channels))
            corner = [
                builder.sub(builder.mul(o, i64(stride)), low)
                for o, stride, low in zip(at, self.attrs.strides, self.low, strict=True)
            ]
            whole = builder.and_(self.channels, i64(-WIDTH))
            row_start = builder.mul(row, row_cells)
            wide = Lanes(builder, WIDTH, self.fused)
            each(builder, i64(0), whole, i64(WIDTH), lambda c: self._block(wide, corner, row_start, from_y, c))
            each(builder, whole, self.channels, i64(1), lambda c: self._block(code.lanes, corner, row_start, from_y, c))

        code.each(self.dims(x.type.shape[0]), lambda row: window([], row))
        builder.ret_void()
        return self.function

    def _block(self, lanes: Lanes, corner: Sequence[ir.Value], row_start: ir.Value, from_y: ir.Value, c: ir.Value) -> None:
        """Some channels of one window."""
        builder = self.builder
        source, largest, cotangent, target = self.function.args[:4]
        here = builder.add(from_y, c)
        y, g = lanes.load(largest, here, self.dtype), lanes.load(cotangent, here, self.dtype)
        zero = lanes.constant(self.dtype, 0.0)
        places = len(corner)

        def cell(position: Sequence[ir.Value], free: ir.Value) -> ir.Value:
            linear = position[0]
            for p, size in zip(position[1:], self.sizes[1:], strict=True):
                linear = builder.add(builder.mul(linear, size), p)
            at = builder.add(builder.add(row_start, builder.mul(linear, self.channels)), c)
            equal = lanes.compare("eq", lanes.load(source, at, self.dtype), y)
            hit = lanes.logical_and(equal, Value(free, "bool"))
            given = lanes.select(hit, g, zero)
            if not self.apart:
                given = lanes.add(lanes.load(target, at, self.dtype), given)
            lanes.store(given, target, at)
            return lanes.logical_and(Value(free, "bool"), lanes.logical_not(equal)).ir

        def guarded(position: Sequence[ir.Value], free: ir.Value) -> ir.Value:
            """`free` as it was where the cell lies outside x."""
            if self.inside:
                return cell(position, free)
            held = None
            for p, size in zip(position, self.sizes, strict=True):
                one = builder.icmp_unsigned("<", p, size)
                held = one if held is None else builder.and_(held, one)
            before = builder.block
            with builder.if_then(held):
                left = cell(position, free)
                inner = builder.block
            after = builder.phi(free.type)
            after.add_incoming(free, before)
            after.add_incoming(left, inner)
            return after

        def position_of(taps: Sequence[ir.Value]) -> list[ir.Value]:
            return [builder.add(p, builder.mul(k, i64(d))) for p, k, d in zip(corner, taps, self.attrs.dilation, strict=True)]

        free = lanes.constant("bool", True).ir
        if math.prod(self.attrs.sizes) <= MOST_UNROLLED:
            for taps in itertools.product(*(range(size) for size in self.attrs.sizes)):
                free = guarded(position_of([i64(k) for k in taps]), free)
            return

        def loops(at: list[ir.Value]) -> Callable[[ir.Value, list[ir.Value]], Sequence[ir.Value]]:
            def turn(k: ir.Value, carried: list[ir.Value]) -> Sequence[ir.Value]:
                if len(at) + 1 == places:
                    return (guarded(position_of([*at, k]), carried[0]),)
                return for_range(builder, i64(0), i64(self.attrs.sizes[len(at) + 1]), i64(1), carried, loops([*at, k]))

            return turn

        for_range(builder, i64(0), i64(self.attrs.sizes[0]), i64(1), [free], loops([]))
