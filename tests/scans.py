"""A recurrent training step built by hand, with everything that a scan can hold: what its tests share.

Carries that swap places, one that is a yield too, one without gradient; slices of several dtypes; products of slices and of
carries with weights; a mask; yields that are carries, parameters of the region, and sums over columns.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bmc.ir import Dim, Function, Parameter, Poly, Region, Result, TensorType, Value
from bmc.ir.graph import ParameterRole
from bmc.ops.build import Builder
from bmc.ops.scan_parts import ScanAttrs

B, T = Poly.symbol("B"), Poly.symbol("T")
FEATURES, WIDTH = 3, 4
KINDS = {"f32": np.float32, "f64": np.float64}


def recurrent_step(reverse: bool = False, dtype: str = "f64", gradients: bool = True, length: Dim = T) -> Function:
    """`train`: outputs `loss`, `last`, `turns`, and the gradients of `wx`, `wh`, `p` and, by row, of `x`."""
    b, params = Builder(), list[Parameter]()

    def param(role: ParameterRole, key: str, of: str, *shape: Dim) -> Value:
        value = Value(TensorType(of, shape), key)
        params.append(Parameter(value, role, key))
        return value

    wx = param("weight", "wx", dtype, FEATURES, WIDTH)
    wh = param("weight", "wh", dtype, WIDTH, WIDTH)
    p = param("weight", "p", dtype, WIDTH)
    x = param("input", "x", dtype, B, length, FEATURES)
    keep = param("input", "keep", "bool", B, length)
    state = TensorType(dtype, (B, WIDTH))
    zeros, none = b.full(0.0, state), b.full(0, TensorType("i32", (B,)))
    stacks = [b.transpose(x, (1, 0, 2)), b.transpose(keep, (1, 0))]
    region = _turn(dtype)
    attrs = ScanAttrs(4, 2, reverse, length)
    scan = b.operation("scan", [zeros, zeros, b.full(0.5, state), none, *stacks, wx, wh, p], attrs, (region,))
    h, u, _, count, every, sums, before = scan.results
    loss = b.reduce("reduce_sum", b.mul(h, u), (0, 1))
    loss = b.add(loss, b.reduce("reduce_sum", b.mul(every, every), (0, 1, 2)))
    loss = b.add(loss, b.reduce("reduce_sum", b.mul(sums, b.reduce("reduce_sum", before, (2,))), (0, 1)))
    results = [Result(loss, "output", "loss"), Result(h, "output", "last"), Result(count, "output", "turns")]
    if gradients:
        made = b.operation("gradient", [loss, wx, wh, p, x])
        results += [Result(v, "output", f"d_{key}") for key, v in zip(("wx", "wh", "p", "x"), made.results, strict=True)]
    return Function("train", tuple(params), tuple(b.ops), tuple(results), "B")


def _turn(dtype: str) -> Region:
    state = TensorType(dtype, (B, WIDTH))
    h, u, v = (Value(state, name) for name in "huv")
    count = Value(TensorType("i32", (B,)), "count")
    x, keep = Value(TensorType(dtype, (B, FEATURES)), "x"), Value(TensorType("bool", (B,)), "keep")
    wx, wh, p = (Value(TensorType(dtype, s), n) for n, s in (("wx", (FEATURES, WIDTH)), ("wh", (WIDTH, WIDTH)), ("p", (WIDTH,))))
    b = Builder()
    z = b.add(b.contract(x, wx, (), (1,), (), (0,)), b.contract(h, wh, (), (1,), (), (0,)))
    new = b.emit("tanh", b.add(z, b.mul(b.broadcast(p, state.shape, (1,)), h)))
    kept = b.select(b.broadcast(keep, state.shape, (0,)), new, h)
    ends = [kept, v, b.mul(b.add(u, kept), 0.5), b.add(count, b.cast(keep, "i32"))]
    yields = [kept, b.reduce("reduce_sum", b.mul(new, u), (1,)), h]
    return Region((h, u, v, count, x, keep, wx, wh, p), tuple(b.ops), (*ends, *yields))


def inputs_of(rows: int, length: int, dtype: str = "f64", seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    shapes = {"wx": (FEATURES, WIDTH), "wh": (WIDTH, WIDTH), "p": (WIDTH,), "x": (rows, length, FEATURES)}
    floats = {}
    for key, shape in shapes.items():
        floats[key] = rng.normal(scale=0.5, size=shape).astype(KINDS[dtype])
    return {**floats, "keep": rng.integers(0, 4, size=(rows, length)) > 0}
