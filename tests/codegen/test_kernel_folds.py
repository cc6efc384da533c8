"""Folds: the order of every sum to the bit, rows and columns of all sizes, and the compositions that sweep a row several times."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from bmc.codegen.kernel.columns import BLOCK_ROWS, WHOLE_CELLS
from bmc.codegen.kernel.folds import LANES, SAVED_BYTES
from bmc.ir import Dim, Function, Operation, Parameter, Poly, Result, TensorType, Value
from bmc.ops.build import Builder
from bmc.ops.evaluate import evaluate
from tests.native import NativeKernel, compile_kernels, kernel, typed
from tests.perturbation import yardstick

B, T = Poly.symbol("B"), Poly.symbol("T")
NUMBER = {"f32": np.float32, "f64": np.float64, "i32": np.int32}
COMBINE = {"reduce_sum": np.add, "reduce_max": np.maximum, "reduce_min": np.minimum}
ROW_SIZES = (1, 7, 16, 17, 100, 1000)


def identity(name: str, dtype: str) -> Any:
    if name == "reduce_sum":
        return NUMBER[dtype](0)
    least = -np.inf if dtype != "i32" else np.iinfo(np.int32).min
    most = np.inf if dtype != "i32" else np.iinfo(np.int32).max
    return NUMBER[dtype](least if name == "reduce_max" else most)


def fold_row(name: str, dtype: str, rows: Any) -> Any:
    """[R, outer, N] → [R]: element j of the innermost axis in lane j mod 16, ascending; then l with l + 8, + 4, + 2, + 1."""
    lanes = np.full((len(rows), LANES), identity(name, dtype), NUMBER[dtype])
    combine = COMBINE[name]
    for outer in range(rows.shape[1]):
        for j in range(rows.shape[2]):
            lanes[:, j % LANES] = combine(lanes[:, j % LANES], rows[:, outer, j])
    half = LANES // 2
    while half:
        lanes = combine(lanes[:, :half], lanes[:, half : 2 * half])
        half //= 2
    return lanes[:, 0]


def fold_column(name: str, dtype: str, columns: Any) -> Any:
    """[K, ...] → [...]: one chain from the identity, ascending."""
    total = np.full(columns.shape[1:], identity(name, dtype), NUMBER[dtype])
    for k in range(len(columns)):
        total = COMBINE[name](total, columns[k])
    return total


def numbers(dtype: str, shape: Sequence[int], seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    if dtype == "i32":
        return rng.integers(-1000, 1000, size=shape).astype(np.int32)
    # Magnitudes differ widely, so that another order gives other bits.
    return (rng.normal(size=shape) * np.exp(rng.normal(size=shape) * 4)).astype(NUMBER[dtype])


def reduction(name: str, dtype: str, shape: Sequence[Dim], axes: Sequence[int]) -> Operation:
    b = Builder()
    x = typed(dtype, *shape)
    result = b.reduce(name, x, axes)
    return kernel("reduce", (x,), b.ops, (result,))


@pytest.mark.parametrize(("name", "dtype"), list(itertools.product(COMBINE, NUMBER)))
def test_rows_fold_in_sixteen_lanes(name: str, dtype: str) -> None:
    sizes: list[Dim] = [*ROW_SIZES, T]
    for size, native in zip(sizes, compile_kernels([reduction(name, dtype, (B, n), (1,)) for n in sizes]), strict=True):
        for n in (size,) if isinstance(size, int) else (0, *ROW_SIZES):
            x = numbers(dtype, (5, n))
            wanted = fold_row(name, dtype, x[:, None, :])
            for edge in ("end", "start"):
                (found,) = native.run([x], {"B": 5, "T": n}, edge)
                np.testing.assert_array_equal(found, wanted, err_msg=f"N = {size} at {n}")


@pytest.mark.parametrize("name", COMBINE)
def test_columns_fold_in_one_chain(name: str) -> None:
    """Leading and middle axes; a single column is a row."""
    shapes: list[tuple[tuple[Dim, ...], tuple[int, ...]]] = [
        ((B, 3), (0,)),
        ((B, 40), (0,)),
        ((B, 48), (0,)),
        ((3, B, 64), (1,)),
        ((B, T), (0,)),
        ((3, B, 5), (1,)),
        ((B, 4, 9), (0, 1)),
        ((2, B, 4, 9), (1, 2)),
    ]
    ops = [reduction(name, dtype, shape, axes) for shape, axes in shapes for dtype in NUMBER]
    for op, native, ((shape, axes), dtype) in zip(ops, compile_kernels(ops), itertools.product(shapes, NUMBER), strict=True):
        for rows, columns in ((0, 3), (1, 1), (5, 0), (33, 21)):
            bindings = {"B": rows, "T": columns}
            x = numbers(dtype, [bindings.get(str(d), d) for d in shape])
            chain = np.moveaxis(x, axes, range(len(axes)))
            wanted = fold_column(name, dtype, chain.reshape(math.prod(chain.shape[: len(axes)]), *chain.shape[len(axes) :]))
            for edge in ("end", "start"):
                (found,) = native.run([x], bindings, edge)
                np.testing.assert_array_equal(found, wanted, err_msg=f"{op.operands[0].type} over {axes}")


@pytest.mark.parametrize("columns", [64, 52, 36])
def test_columns_of_many_rows_keep_their_chain(columns: int) -> None:
    """More rows than a cache holds go down a few at a time: several folds, a value of each column, a result of full shape."""
    b, x, gain = Builder(), typed("f32", 2, B, columns), typed("f32", columns)
    scaled = b.mul(x, b.broadcast_to(gain, x.type.shape))
    total, largest = b.reduce("reduce_sum", scaled, (1,)), b.reduce("reduce_max", x, (1,))
    result = b.sub(total, largest)
    (native,) = compile_kernels([kernel("reduce", (x, gain), b.ops, (result, scaled, largest))])
    factor = numbers("f32", (columns,), seed=1)
    for rows in (WHOLE_CELLS // columns, WHOLE_CELLS // columns + 1, WHOLE_CELLS // columns + BLOCK_ROWS + 3):
        array = numbers("f32", (2, rows, columns))
        wanted_full = array * factor
        sums = np.stack([fold_column("reduce_sum", "f32", part) for part in wanted_full])
        most = np.stack([fold_column("reduce_max", "f32", part) for part in array])
        for edge in ("end", "start"):
            found = native.run([array, factor], {"B": rows}, edge)
            for got, wanted in zip(found, (sums - most, wanted_full, most), strict=True):
                np.testing.assert_array_equal(got, wanted, err_msg=f"{rows} rows")


def test_rows_with_strides_end_where_memory_ends() -> None:
    """The rows of a transposed matrix, whose elements lie apart: whole vectors, half vectors, and none at the end."""
    for size in (B, 40):
        b, x = Builder(), typed("f32", size, 3)
        result = b.reduce("reduce_sum", b.emit("neg", b.transpose(x, (1, 0))), (1,))
        (native,) = compile_kernels([kernel("reduce", (x,), b.ops, (result,))])
        for rows in range(36) if size is B else (40,):
            array = numbers("f32", (rows, 3))
            for edge in ("end", "start"):
                (found,) = native.run([array], {"B": rows}, edge)
                np.testing.assert_array_equal(found, fold_row("reduce_sum", "f32", -array.T[:, None, :]))


def test_split_axes_fold_outer_axes_around_the_lanes() -> None:
    """[B, 3, 20] over 0 and 2: all of axis 0 goes into the lanes of axis 2."""
    (native,) = compile_kernels([reduction("reduce_sum", "f32", (B, 3, 20), (0, 2))])
    x = numbers("f32", (6, 3, 20))
    np.testing.assert_array_equal(native.run([x], {"B": 6})[0], fold_row("reduce_sum", "f32", x.transpose(1, 0, 2)))


@pytest.mark.parametrize(
    ("shape", "axes"),
    [((1,), (0,)), ((4, 1), (1,)), ((1, 5), (0,)), ((3, 1, 4), (1,)), ((1, 1), (0, 1)), ((), ()), ((4, 6), ()), ((0, 4), (0,)),
     ((4, 0), (1,)), ((0, 0), (0,)), ((3, 0, 5), (1,)), ((0,), (0,)), ((2, 0, 3), (0, 1, 2))],
)  # fmt: skip
def test_axes_of_one_and_no_element(shape: tuple[int, ...], axes: tuple[int, ...]) -> None:
    ops = [reduction(name, dtype, shape, axes) for name in COMBINE for dtype in NUMBER]
    for op, native, (name, dtype) in zip(ops, compile_kernels(ops), itertools.product(COMBINE, NUMBER), strict=True):
        x = numbers(dtype, shape)
        wanted = COMBINE[name].reduce(x, axis=axes, initial=identity(name, dtype), dtype=x.dtype)
        np.testing.assert_array_equal(native.run([x], {})[0], wanted, err_msg=str(op.operands[0].type))


def test_maximum_of_rows_sees_nan() -> None:
    for native in compile_kernels([reduction("reduce_max", "f32", (4, 37), (axis,)) for axis in (0, 1)]):
        x = numbers("f32", (4, 37))
        x[2, 35] = np.nan
        np.testing.assert_array_equal(native.run([x], {})[0], x.max(axis=native.op.regions[0].ops[0].attrs.axes))


# --- compositions ---


def softmax(b: Builder, x: Value, *_: Value) -> list[Value]:
    axis = x.type.rank - 1
    powers = b.exp(b.sub(x, b.expand(b.reduce("reduce_max", x, [axis]), x.type.shape, [axis])))
    return [b.div(powers, b.expand(b.reduce("reduce_sum", powers, [axis]), x.type.shape, [axis]))]


def layernorm(b: Builder, x: Value, gain: Value, bias: Value) -> list[Value]:
    """With the statistics as further results."""
    axis, shape = x.type.rank - 1, x.type.shape
    count = b.dim_value(shape[axis], x.type.dtype)
    mean_ = b.reduce("reduce_sum", x, [axis])
    mean_ = b.div(mean_, b.broadcast(count, mean_.type.shape, ()))
    centred = b.sub(x, b.expand(mean_, shape, [axis]))
    variance = b.reduce("reduce_sum", b.mul(centred, centred), [axis])
    variance = b.div(variance, b.broadcast(count, variance.type.shape, ()))
    scale = b.emit("rsqrt", b.add(variance, 1e-5))
    normal = b.mul(centred, b.expand(scale, shape, [axis]))
    return [b.add(b.mul(normal, b.broadcast_to(gain, shape)), b.broadcast_to(bias, shape)), mean_, scale]


def cross_entropy(b: Builder, x: Value, *_: Value) -> list[Value]:
    """Against class 0: the loss of each row and its gradient."""
    axis, shape = x.type.rank - 1, x.type.shape
    shifted = b.sub(x, b.expand(b.reduce("reduce_max", x, [axis]), shape, [axis]))
    powers = b.exp(shifted)
    total = b.reduce("reduce_sum", powers, [axis])
    target = b.cast(b.compare("eq", b.iota("i64", shape, axis), b.full(0, TensorType("i64", shape))), x.type.dtype)
    loss = b.sub(b.log(total), b.reduce("reduce_sum", b.mul(shifted, target), [axis]))
    return [loss, b.sub(b.div(powers, b.expand(total, shape, [axis])), target)]


COMPOSITIONS = {"softmax": softmax, "layernorm": layernorm, "cross_entropy": cross_entropy}


def composed(name: str, dtype: str, size: Dim, lead: Sequence[Dim] = (B,)) -> tuple[Function, Operation]:
    """As a function for the reference and as one kernel."""
    b = Builder()
    params = [typed(dtype, *lead, size), typed(dtype, size), typed(dtype, size)][: 3 if name == "layernorm" else 1]
    results = COMPOSITIONS[name](b, *params)
    function = Function(
        name,
        tuple(Parameter(p, "input", f"in.{i}") for i, p in enumerate(params)),
        tuple(b.ops),
        tuple(Result(r, "output", f"out.{i}") for i, r in enumerate(results)),
        "B",
    )
    return function, kernel("reduce", params, b.ops, results)


def within_the_yardstick(function: Function, native: NativeKernel, bindings: dict[str, int], dtype: str) -> list[Any]:
    """Run on random arrays, compared; gives the inputs and the results."""
    rng = np.random.default_rng(sum(bindings.values()))
    shapes = [[bindings.get(str(d), d) for d in p.value.type.shape] for p in function.params]
    inputs = {p.key: rng.normal(size=s).astype(NUMBER[dtype]) for p, s in zip(function.params, shapes, strict=True)}
    measure = yardstick(function, inputs, bindings, dtype)
    found = native.run(list(inputs.values()), bindings)
    for result, array in zip(function.results, found, strict=True):
        exact = measure.exact[result.key]
        if exact.size:
            deviation = float(np.max(np.abs(array.astype(np.float64) - exact)))
            assert deviation <= measure.allowed[result.key], (function.name, result.key, bindings)
    for array, again in zip(found, native.run(list(inputs.values()), bindings, "start"), strict=True):
        np.testing.assert_array_equal(array, again)
    return [list(inputs.values()), found]


@pytest.mark.parametrize("dtype", ["f32", "f64"])
@pytest.mark.parametrize("name", COMPOSITIONS)
def test_composed_rows_of_all_sizes(name: str, dtype: str) -> None:
    """A row's bits are those of the row alone, and do not depend on whether its size was known when the code was made."""
    built = [composed(name, dtype, size) for size in (*ROW_SIZES, T)]
    natives = compile_kernels([op for _, op in built])
    *static, dynamic = natives
    for size, (function, _), native in zip(ROW_SIZES, built, static, strict=False):
        for rows in (0, 1, 3):
            within_the_yardstick(function, native, {"B": rows, "T": size}, dtype)
        inputs, found = within_the_yardstick(function, native, {"B": 7, "T": size}, dtype)
        same = dynamic.run(inputs, {"B": 7, "T": size})
        alone = native.run([inputs[0][4:5], *inputs[1:]], {"B": 1, "T": size})
        for whole, other, row in zip(found, same, alone, strict=True):
            np.testing.assert_array_equal(whole, other)
            np.testing.assert_array_equal(whole[4:5], row)
    function = built[-1][0]
    inputs = {p.key: np.zeros((3, 0) if i == 0 else (0,), NUMBER[dtype]) for i, p in enumerate(function.params)}
    wanted = evaluate(function, inputs, {"B": 3, "T": 0}, np)
    for array, reference in zip(dynamic.run(list(inputs.values()), {"B": 3, "T": 0}), wanted.values(), strict=True):
        np.testing.assert_array_equal(array, reference)  # the mean of nothing is NaN


def test_rows_too_long_to_keep_are_computed_again() -> None:
    size = SAVED_BYTES // 4 + 17
    function, op = composed("softmax", "f32", size, (2,))
    (native,) = compile_kernels([op])
    within_the_yardstick(function, native, {"B": 2}, "f32")


def test_results_may_lie_where_operands_lie() -> None:
    """An element is stored after everything that the row still needs of it: softmax and layernorm in place."""
    for name in ("softmax", "layernorm"):
        for size in (5, 16, 40):
            _, op = composed(name, "f32", size)
            (native,) = compile_kernels([op])
            rng = np.random.default_rng(size)
            inputs = [rng.normal(size=s).astype(np.float32) for s in ((9, size), (size,), (size,))][: len(op.operands)]
            apart = native.run(inputs, {"B": 9})
            together = native.run(inputs, {"B": 9}, alias={0: 0})
            for a, b in zip(apart, together, strict=True):
                np.testing.assert_array_equal(a, b)
