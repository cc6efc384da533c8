"""Products over windows: gathered blocks, both ways, with the bits of a product of matrices that hold the windows.

That a product of matrices is right is the business of test_kernel_products.py; here the chains of sums must be the same, bit
for bit, whatever blocks the operand is gathered in. Sizes are chosen on both sides of the blocks' limits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from bmc.ir import Operation, Poly, Value
from bmc.ops.build import Builder
from bmc.ops.window import window_count
from tests.native import NativeKernel, compile_kernels, kernel, typed

B = Poly.symbol("B")
FLOAT = {"f32": np.float32, "f64": np.float64}
# side, channels, features, taps, stride, dilation
SHAPES = (
    (9, 3, 5, 3, 1, 1),
    (12, 1, 8, 3, 1, 1),
    (12, 1, 17, 3, 2, 2),
    (10, 16, 24, 3, 1, 1),
    (11, 6, 130, 2, 3, 1),
    (6, 256, 16, 3, 1, 1),
    (7, 40, 3, 5, 1, 1),
    (40, 2, 4, 3, 1, 1),
)


def forward(dtype: str, shape: tuple[int, ...], epilogue: bool) -> tuple[Operation, Operation]:
    """relu(windows x kernel + bias), or the product alone; and the same of a matrix."""
    side, channels, features, taps, _, _ = shape
    depth = taps * taps * channels

    def made(x: Value, patches: Value, w: Value, axes: tuple[int, ...], b: Builder) -> Operation:
        y = b.contract(patches, w, (), axes, (), range(len(axes)))
        if not epilogue:
            return kernel("contract", [x, w], b.ops, [y])
        bias = typed(dtype, features)
        return kernel("contract", [x, w, bias], b.ops, [b.maximum(b.add(y, b.broadcast_to(bias, y.type.shape)), 0.0)])

    b = Builder()
    x = typed(dtype, B, side, side, channels)
    first = made(x, windows_of(b, x, shape), typed(dtype, taps, taps, channels, features), (2, 4, 5), b)
    matrix = typed(dtype, B, depth)
    return first, made(matrix, matrix, typed(dtype, depth, features), (1,), Builder())


def by_kernel(dtype: str, shape: tuple[int, ...], epilogue: bool) -> tuple[Operation, Operation]:
    """w - windows x cotangent, or the product alone; and the same of a matrix."""
    side, channels, features, taps, stride, dilation = shape
    depth = taps * taps * channels
    count = window_count(side, taps, stride, dilation)

    def made(x: Value, patches: Value, g: Value, axes: tuple[int, ...], b: Builder) -> Operation:
        y = b.contract(patches, g, (), axes, (), range(len(axes)))
        if not epilogue:
            return kernel("contract", [x, g], b.ops, [y])
        w = typed(dtype, *y.type.shape)
        return kernel("contract", [x, g, w], b.ops, [b.sub(w, y)])

    b = Builder()
    x = typed(dtype, B, side, side, channels)
    first = made(x, windows_of(b, x, shape), typed(dtype, B, count, count, features), (0, 1, 3), b)
    matrix = typed(dtype, B, depth)
    return first, made(matrix, matrix, typed(dtype, B, features), (0,), Builder())


def windows_of(b: Builder, x: Value, shape: tuple[int, ...]) -> Value:
    _, _, _, taps, stride, dilation = shape
    return b.windows(b.windows(x, 1, taps, stride, dilation), 3, taps, stride, dilation)


def stored(x: Any, shape: tuple[int, ...]) -> Any:
    """The windows as a matrix: one in each row."""
    side, channels, _, taps, stride, dilation = shape
    count = window_count(side, taps, stride, dilation)
    at = np.arange(count)[:, None] * stride + np.arange(taps) * dilation
    windows = x[:, at][:, :, :, at].transpose(0, 1, 3, 2, 4, 5)
    return np.ascontiguousarray(windows).reshape(-1, taps * taps * channels)


def check(gathered: NativeKernel, plain: NativeKernel, shape: tuple[int, ...], rows: int, dtype: str) -> None:
    rng = np.random.default_rng(rows)
    arrays = [draw(rng, v, rows, dtype) for v in gathered.op.operands]
    matrices = [stored(arrays[0], shape)]
    count = len(matrices[0])
    for array, operand in zip(arrays[1:], plain.op.operands[1:], strict=True):
        matrices.append(array.reshape([count if d == B else int(str(d)) for d in operand.type.shape]))
    (found,) = gathered.run(arrays, {"B": rows})
    (wanted,) = plain.run(matrices, {"B": count})
    np.testing.assert_array_equal(found.reshape(wanted.shape), wanted, err_msg=f"{shape} {rows}")


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("direction", [forward, by_kernel])
def test_gathered_blocks_keep_the_bits_of_stored_windows(dtype: str, direction: Any) -> None:
    cases = [(shape, epilogue) for shape in SHAPES for epilogue in (False, True)]
    natives = compile_kernels([op for shape, epilogue in cases for op in direction(dtype, shape, epilogue)])
    for number, (shape, _) in enumerate(cases):
        for rows in (0, 1, 5):
            check(natives[2 * number], natives[2 * number + 1], shape, rows, dtype)


def draw(rng: Any, value: Value, rows: int, dtype: str) -> Any:
    shape: Sequence[int] = [rows if d == B else int(str(d)) for d in value.type.shape]
    return rng.normal(size=shape).astype(FLOAT[dtype])


def test_results_too_wide_for_scratch_are_made_in_parts() -> None:
    """A kernel of 3 x 3 x 256 x 512: the sums of 1.2 million cells do not fit, so columns come in blocks."""
    shape = (5, 256, 512, 3, 1, 1)
    gathered, plain = compile_kernels(by_kernel("f32", shape, True))
    check(gathered, plain, shape, 3, "f32")
