"""Contract kernels: every arrangement of axes, element work on the finished tile, in-place updates."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from bmc.ir import Dim, Function, Operation, Parameter, Poly, Result, Value
from bmc.ops.build import Builder
from bmc.ops.random import CONTROL
from tests.native import NativeKernel, compile_kernels, kernel, typed
from tests.perturbation import yardstick

B, T = Poly.symbol("B"), Poly.symbol("T")
NUMBER = {"f32": np.float32, "f64": np.float64, "bool": np.bool_, "i32": np.int32, "i64": np.int64}


class Case:
    """A contract kernel under construction: `b` emits, `param` adds parameters, `op` is the kernel."""

    def __init__(self) -> None:
        self.b = Builder()
        self.params: list[Value] = []
        self.results: list[Value] = []

    def param(self, dtype: str, *shape: Dim) -> Value:
        self.params.append(typed(dtype, *shape))
        return self.params[-1]

    def op(self) -> Operation:
        return kernel("contract", self.params, self.b.ops, self.results)

    def function(self) -> Function:
        params = tuple(Parameter(p, "input", f"in.{i}") for i, p in enumerate(self.params))
        results = tuple(Result(r, "output", f"out.{i}") for i, r in enumerate(self.results))
        return Function("product", params, tuple(self.b.ops), results, "B")

    def inputs(self, bindings: dict[str, int], seed: int = 0) -> dict[str, Any]:
        rng = np.random.default_rng(seed)
        arrays = {}
        for i, p in enumerate(self.params):
            shape = tuple(bindings.get(str(d), d) for d in p.type.shape)
            if p.type == CONTROL:
                arrays[f"in.{i}"] = np.array([99, 5, 3, 100, 0, 64, 0, 0], np.int64)
            elif p.type.dtype == "bool":
                arrays[f"in.{i}"] = rng.integers(0, 2, size=shape).astype(bool)
            else:
                arrays[f"in.{i}"] = np.asarray(rng.normal(size=shape)).astype(NUMBER[p.type.dtype])
        return arrays


def check(case: Case, native: NativeKernel, bindings: dict[str, int], dtype: str) -> list[Any]:
    function, inputs = case.function(), case.inputs(bindings)
    measure = yardstick(function, inputs, bindings, dtype)
    found = native.run(list(inputs.values()), bindings)
    for result, array in zip(function.results, found, strict=True):
        exact = measure.exact[result.key]
        assert array.shape == exact.shape
        if exact.size:
            deviation = float(np.max(np.abs(array.astype(np.float64) - exact)))
            assert deviation <= measure.allowed[result.key], (result.key, bindings, [str(p.type) for p in case.params])
    for array, again in zip(found, native.run(list(inputs.values()), bindings, "start"), strict=True):
        np.testing.assert_array_equal(array, again)
    return found


def arrangement(rng: random.Random, dtype: str) -> Case:
    """Random batch, free and contracted axes in any order, some of them dynamic or of size 1 or 0; then a random epilogue."""
    case, b = Case(), Builder()
    case.b = b
    sizes: list[Dim] = [1, 2, 3, 5, 8, 17, B, T]
    pick = lambda count: [rng.choice(sizes) for _ in range(count)]  # noqa: E731
    batch, depth = pick(rng.choice([0, 0, 1, 2])), pick(rng.choice([0, 1, 1, 2]))
    free_a, free_b = pick(rng.choice([0, 1, 2])), pick(rng.choice([0, 1, 1, 2]))

    def operand(free: list[Dim]) -> tuple[Value, list[int], list[int]]:
        """In an order where free axes keep theirs, as the result has them; behind a transpose in half of the cases."""
        kinds = ["batch"] * len(batch) + ["depth"] * len(depth) + ["free"] * len(free)
        numbers = [*range(len(batch)), *range(len(depth)), *range(len(free))]
        axes = list(zip(kinds, numbers, strict=True))
        rng.shuffle(axes)
        at = [i for i, (kind, _) in enumerate(axes) if kind == "free"]
        for place, number in zip(at, range(len(free)), strict=True):
            axes[place] = ("free", number)
        dims = {"batch": batch, "depth": depth, "free": free}
        shape = [dims[kind][number] for kind, number in axes]
        value = case.param(dtype, *shape)
        if rng.random() < 0.5 and shape:
            order = rng.sample(range(len(shape)), len(shape))
            value = case.params[-1] = typed(dtype, *(shape[order.index(i)] for i in range(len(shape))))
            stored = [0] * len(shape)
            for i, place in enumerate(order):
                stored[place] = i
            value = b.transpose(value, order) if [value.type.shape[o] for o in order] == shape else value
            if [value.type.shape[i] for i in range(len(shape))] != shape:
                value = case.params[-1] = typed(dtype, *shape)
        position = {axis: i for i, axis in enumerate(axes)}
        return value, [position["batch", i] for i in range(len(batch))], [position["depth", i] for i in range(len(depth))]

    left, left_batch, left_depth = operand(free_a)
    right, right_batch, right_depth = operand(free_b)
    y = b.contract(left, right, left_batch, left_depth, right_batch, right_depth)
    case.results = [epilogue(case, rng, y)]
    if rng.random() < 0.3 and case.results[0] is not y:
        case.results.append(y)
    return case


def epilogue(case: Case, rng: random.Random, y: Value) -> Value:
    """Element work with operands broadcast over every subset of the result's axes."""
    b, dtype, shape = case.b, y.type.dtype, y.type.shape
    for _ in range(rng.choice([0, 1, 2, 3])):
        axes = sorted(rng.sample(range(len(shape)), rng.randint(0, len(shape))))
        other = case.param(dtype, *(shape[a] for a in axes))
        spread = b.broadcast(other, shape, axes) if len(axes) < len(shape) else other
        y = b.add(y, spread) if rng.random() < 0.5 else b.mul(y, spread)
        if rng.random() < 0.3:
            y = b.emit("tanh", y)
    return y


@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_random_arrangements(dtype: str) -> None:
    rng = random.Random(20)
    built = [arrangement(rng, dtype) for _ in range(60)]
    for number, (case, native) in enumerate(zip(built, compile_kernels([c.op() for c in built]), strict=True)):
        for rows, columns in ((4, 9), (19, 3), (1, 1)) if number % 3 else ((0, 2), (3, 0), (7, 20)):
            check(case, native, {"B": rows, "T": columns}, dtype)


def dense(dtype: str, rows: Dim, depth: Dim, units: Dim) -> Case:
    """relu(x w + b) and where it is positive."""
    case = Case()
    x, w, bias = case.param(dtype, rows, depth), case.param(dtype, depth, units), case.param(dtype, units)
    z = case.b.contract(x, w, (), (1,), (), (0,))
    z = case.b.add(z, case.b.broadcast_to(bias, z.type.shape))
    case.results = [case.b.maximum(z, 0.0), z]
    return case


@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_a_row_has_the_same_bits_in_every_batch(dtype: str) -> None:
    """Alone, among 7, among 1,000; the same whether sizes were known when the code was made."""
    built = [dense(dtype, B, *sizes) for sizes in ((30, 10), (100, 33), (T, 10))]
    for case, native in zip(built, compile_kernels([c.op() for c in built]), strict=True):
        bindings = {"B": 1000, "T": 30}
        x, *weights = case.inputs(bindings).values()
        whole = native.run([x, *weights], bindings)
        for first, count in ((0, 1), (501, 1), (999, 1), (3, 7), (993, 7)):
            part = native.run([x[first : first + count], *weights], {**bindings, "B": count})
            for a, b in zip(whole, part, strict=True):
                np.testing.assert_array_equal(a[first : first + count], b)


def test_rank_zero_everything() -> None:
    case = Case()
    x, y, z = (case.param("f64") for _ in range(3))
    case.results = [case.b.add(case.b.contract(x, y, (), (), (), ()), z)]
    (native,) = compile_kernels([case.op()])
    check(case, native, {}, "f64")


def test_updates_in_place() -> None:
    """A weight's new value over the old one: the gradient's product stores w - rate * g where w was."""
    for rows, units in ((5, 3), (64, 40)):
        case = Case()
        x, g, w, rate = (case.param("f32", *s) for s in ((B, rows), (B, units), (rows, units), ()))
        gradient = case.b.contract(x, g, (), (0,), (), (0,))
        case.results = [case.b.sub(w, case.b.mul(gradient, case.b.broadcast(rate, (rows, units), ())))]
        (native,) = compile_kernels([case.op()])
        for count in (0, 1, 33):
            inputs = list(case.inputs({"B": count}).values())
            apart = native.run(inputs, {"B": count})
            np.testing.assert_array_equal(native.run(inputs, {"B": count}, alias={0: 2})[0], apart[0])


@pytest.mark.parametrize("kind", ["dropout", "count", "position"])
def test_epilogues_know_run_time_dims(kind: str) -> None:
    """Noise is keyed by places that count in dims; a mean divides by one; positions run along any axis."""
    case = Case()
    b = case.b
    x, w = case.param("f32", B, T, 6), case.param("f32", 6, T)
    y = b.contract(x, w, (), (2,), (), (0,))  # [B, T, T]
    shape = y.type.shape
    if kind == "dropout":
        control = case.param("i64", 8)
        from bmc.ops.random import RandomAttrs

        draw = b.emit("random_uniform", control, attrs=RandomAttrs("f32", shape, "layer.drop", True))
        y = b.select(b.compare("lt", draw, 0.5), y, b.full_like(y, 0.0))
    elif kind == "count":
        y = b.div(y, b.broadcast(b.dim_value(B, "f32"), shape, ()))
        y = b.div(y, b.broadcast(b.dim_value(T * 2 + 1, "f32"), shape, ()))
    else:
        for axis in range(3):
            y = b.add(y, b.cast(b.iota("i64", shape, axis), "f32"))
    case.results = [y]
    (native,) = compile_kernels([case.op()])
    for rows, columns in ((3, 5), (1, 17), (4, 1)):
        check(case, native, {"B": rows, "T": columns}, "f32")


def test_positions_along_a_batch_axis_are_counted_once() -> None:
    """An operand's address may have the form of an index: both move along the batch."""
    case = Case()
    b = case.b
    x, y, other = case.param("f64", B), case.param("f64", B, 3), case.param("f64", B)
    z = b.contract(x, y, (0,), (), (0,), ())
    shape = z.type.shape
    for axis in (0, 1):
        z = b.add(z, b.cast(b.iota("i64", shape, axis), "f64"))
    case.results = [b.mul(z, b.broadcast(other, shape, (0,)))]
    (native,) = compile_kernels([case.op()])
    for rows in (1, 5, 40):
        check(case, native, {"B": rows}, "f64")


def test_masks_and_other_dtypes_in_an_epilogue() -> None:
    """A bool mask is read, a bool result stored, a second result is of another dtype."""
    case = Case()
    b = case.b
    x, w, mask = case.param("f32", B, 7), case.param("f32", 7, 13), case.param("bool", B, 13)
    z = b.contract(x, w, (), (1,), (), (0,))
    chosen = b.select(mask, z, b.full(-1.0, z.type))
    case.results = [b.cast(chosen, "f64"), chosen]
    positive = b.compare("gt", chosen, 0.0)
    op = kernel("contract", case.params, b.ops, [*case.results, positive])
    (native,) = compile_kernels([op])
    for rows in (0, 1, 6, 50):
        inputs = case.inputs({"B": rows})
        wide, narrow, flags = native.run(list(inputs.values()), {"B": rows})
        exact = np.where(inputs["in.2"], inputs["in.0"].astype(np.float64) @ inputs["in.1"].astype(np.float64), -1.0)
        # 7 addends of magnitude below 7 x 4 x 4: 7 roundings of 2**-24 of it.
        np.testing.assert_allclose(narrow, exact, rtol=0, atol=7 * 2.0**-24 * 112)
        np.testing.assert_array_equal(wide, narrow.astype(np.float64))
        np.testing.assert_array_equal(flags, narrow > 0)
