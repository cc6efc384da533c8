"""Training steps as the frontend and autodiff make them, built by hand so that the passes after them can be tested
alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from bmc.ir import Dim, Function, Parameter, Poly, Result, TensorType, Value
from bmc.ops.build import Builder

B = Poly.symbol("B")


def mlp_step(
    widths: Sequence[int], rows: Dim = B, dtype: str = "f32", clip: bool = False, residual: bool = False
) -> Function:
    """One Adam step of an MLP with relu and softmax cross-entropy on class indices; `widths`: input, hidden...,
    classes.

    `clip`: by the global norm. `residual`: layers of equal width add their input.
    """
    b = Builder()
    params: list[Parameter] = []

    def param(shape: Sequence[Dim], role: str, key: str, of: str = dtype) -> Value:
        value = Value(TensorType(of, tuple(shape)), key)
        params.append(Parameter(value, role, key))  # type: ignore[arg-type]
        return value

    layers = list(itertools.pairwise(widths))
    weights: list[tuple[str, Value]] = []
    for i, (m, n) in enumerate(layers):
        weights.append((f"dense_{i}.w", param((m, n), "weight", f"dense_{i}.w")))
        weights.append((f"dense_{i}.b", param((n,), "weight", f"dense_{i}.b")))
    moments = {
        key: (param(w.type.shape, "moment", f"{key}@m"), param(w.type.shape, "moment", f"{key}@v"))
        for key, w in weights
    }
    x = param((rows, widths[0]), "input", "x")
    y = param((rows,), "input", "y", "i32")
    control = param((8,), "control", "control", "i64")

    hidden, saved = x, []
    for i in range(len(layers)):
        w, bias = weights[2 * i][1], weights[2 * i + 1][1]
        z = b.contract(hidden, w, (), (1,), (), (0,))
        z = b.add(z, b.broadcast(bias, z.type.shape, (1,)))
        saved.append((hidden, z))
        if i < len(layers) - 1:
            out = b.maximum(z, 0.0)
            hidden = b.add(out, hidden) if residual and out.type == hidden.type else out
        else:
            hidden = z
    logits, full = hidden, hidden.type.shape
    top = b.reduce("reduce_max", logits, (1,))
    shifted = b.sub(logits, b.broadcast(top, full, (0,)))
    powers = b.exp(shifted)
    total = b.reduce("reduce_sum", powers, (1,))
    chosen = b.compare("eq", b.broadcast(y, full, (0,)), b.iota("i32", full, 1))
    zeros = b.full_like(logits, 0.0)
    picked = b.reduce("reduce_sum", b.select(chosen, shifted, zeros), (1,))
    per_row = b.sub(b.log(total), picked)
    loss_sum = b.reduce("reduce_sum", per_row, (0,))
    count = b.dim_value(rows, dtype)
    loss = b.div(loss_sum, count)
    b.operation("guard_finite", (loss,))
    softmax = b.div(powers, b.broadcast(total, full, (0,)))
    grad = b.sub(softmax, b.select(chosen, b.full_like(logits, 1.0), zeros))
    gradients: dict[str, Value] = {}
    for i in reversed(range(len(layers))):
        w = weights[2 * i][1]
        before, z = saved[i]
        through = grad if i == len(layers) - 1 else b.select(b.compare("gt", z, 0.0), grad, b.full_like(z, 0.0))
        gradients[f"dense_{i}.b"] = b.reduce("reduce_sum", through, (0,))
        gradients[f"dense_{i}.w"] = b.contract(before, through, (), (0,), (), (0,))
        if i:
            below = b.contract(through, w, (), (1,), (), (1,))
            grad = b.add(below, grad) if residual and i < len(layers) - 1 and below.type == grad.type else below
    mean = {key: b.div(g, b.broadcast(count, g.type.shape, ())) for key, g in gradients.items()}
    if clip:
        squares: Value | None = None
        for g in mean.values():
            part = b.reduce("reduce_sum", b.mul(g, g), tuple(range(g.type.rank)))
            squares = part if squares is None else b.add(squares, part)
        assert squares is not None
        scale = b.minimum(b.div(b.full_like(squares, 1.0), b.sqrt(squares)), 1.0)
        mean = {key: b.mul(g, b.broadcast(scale, g.type.shape, ())) for key, g in mean.items()}
    step = b.add(b.cast(b.reshape(b.slice(control, (1,), (2,)), ()), "f64"), 1.0)
    first = b.cast(b.sub(b.full_like(step, 1.0), b.pow(b.full_like(step, 0.9), step)), dtype)
    second = b.cast(b.sub(b.full_like(step, 1.0), b.pow(b.full_like(step, 0.999), step)), dtype)
    results = [Result(loss, "output", "loss")]
    for key, w in weights:
        g = mean[key]
        m, v = moments[key]
        new_m = b.add(b.mul(m, 0.9), b.mul(g, 0.1))
        new_v = b.add(b.mul(v, 0.999), b.mul(b.mul(g, g), 0.001))
        shape = g.type.shape
        m_hat = b.div(new_m, b.broadcast(first, shape, ()))
        v_hat = b.div(new_v, b.broadcast(second, shape, ()))
        new_w = b.sub(w, b.mul(b.div(m_hat, b.add(b.sqrt(v_hat), 1e-8)), 1e-3))
        results += [
            Result(new_w, "update", key),
            Result(new_m, "update", f"{key}@m"),
            Result(new_v, "update", f"{key}@v"),
        ]
    return Function("train", tuple(params), tuple(b.ops), tuple(results), "B" if isinstance(rows, Poly) else None)
