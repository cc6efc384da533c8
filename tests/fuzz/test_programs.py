"""Random right programs: they check, compile and train a step natively to what the reference evaluator computes.

A program is a chain of statements about one tensor, with earlier values coming back where shapes allow. Values are kept
moderate, so that nothing overflows. The yardstick is that of random graphs: 8 times the largest deviation of runs with every
operation moved by its declared error.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bmc.driver.load import load_unit, text_source
from bmc.driver.lower import Options
from bmc.ir.dims import evaluate as evaluate_dim
from bmc.ops.arrays import numpy_dtype
from bmc.passes.autodiff import autodiff
from tests.native import NativeFunction
from tests.perturbation import yardstick

Draw = Callable[[st.SearchStrategy[Any]], Any]
Shape = tuple[int, ...]
ACTIVATIONS = ("relu", "tanh", "gelu", "sigmoid", "silu", "softplus", "elu", "leaky", "sin", "abs")
MOST = 48
"""Cells of a row: programs stay small, so that they compile in a moment."""


class _Chain:
    """A program under construction: `x` has the shape `[B, *shape]`."""

    def __init__(self, draw: Draw) -> None:
        self.draw = draw
        self.lines: list[str] = []
        self.shape: Shape = (draw(st.integers(1, 9)),)
        self.first = self.shape[0]
        self.kept: dict[str, Shape] = {"x0": self.shape}
        self.lines.append("x0 = x")

    def choose(self, *items: Any) -> Any:
        return self.draw(st.sampled_from(items))

    def say(self, line: str, shape: Shape) -> None:
        self.lines.append(line)
        self.shape = shape

    def keep(self) -> None:
        name = f"x{len(self.kept)}"
        self.lines.append(f"{name} = x")
        self.kept[name] = self.shape

    # --- statements ---
    def dense(self) -> None:
        units = self.draw(st.integers(1, 9))
        if prod(self.shape[:-1]) * units <= MOST:
            tail = self.choose("", ", bias = false", ", init = he")
            self.say(f"x = x |> dense({units}{tail})", (*self.shape[:-1], units))

    def activation(self) -> None:
        self.say(f"x = {self.choose(*ACTIVATIONS)}(x)", self.shape)

    def arithmetic(self) -> None:
        form = self.choose("0.5 * x - 1", "x / 2 + 0.25", "1 - x", "-x", "x * sigmoid(x)", "clip(x, -1.5, 2)", "exp(minimum(x, 1))",
                           "log1p(x * x)", "sqrt(x * x + 0.1)", "select(x > 0, x, 0.5 * x)", "x ** 2 / 4",
                           "maximum(x, 0.1) ** 1.5")  # fmt: skip
        self.say(f"x = {form}", self.shape)

    def earlier(self) -> None:
        """An earlier value of the same shape, or one that broadcasts."""
        names = [
            n
            for n, s in self.kept.items()
            if s == self.shape or (len(s) == len(self.shape) and all(a in (1, b) for a, b in zip(s, self.shape, strict=True)))
        ]
        if names:
            self.say(
                f"x = {self.choose('x + {}', '0.5 * (x - {})', 'tanh(x) * {}', 'maximum(x, {})').format(self.choose(*names))}",
                self.shape,
            )

    def reduce(self) -> None:
        axis = self.draw(st.integers(1, len(self.shape)))
        how = self.choose("mean", "sum", "max", "min")
        # Sums grow: by a factor that keeps them moderate.
        scale = f" / {self.shape[axis - 1]}" if how == "sum" else ""
        if len(self.shape) == 1 or self.choose(True, False):
            shape = (*self.shape[: axis - 1], 1, *self.shape[axis:])
            self.say(f"x = {how}(x, axis = {axis}, keep = true){scale}", shape)
        else:
            self.say(f"x = {how}(x, axis = {axis}){scale}", (*self.shape[: axis - 1], *self.shape[axis:]))

    def normalise(self) -> None:
        form = self.choose(
            "softmax(x)", "log_softmax(x) / 4", "x |> layernorm()", "x |> rmsnorm()", f"softmax(x, axis = {len(self.shape)})"
        )
        self.say(f"x = {form}", self.shape)

    def reshape(self) -> None:
        cells = prod(self.shape)
        ways = [(cells,)] + [(a, cells // a) for a in range(2, cells) if cells % a == 0]
        shape = self.choose(*ways)
        self.say(f"x = reshape(x, [size(x, axis = 0), {', '.join(map(str, shape))}])", shape)

    def transpose(self) -> None:
        if len(self.shape) == 2:
            self.say(self.choose("x = transpose(x)", "x = transpose(x, [0, 2, 1])"), self.shape[::-1])

    def product(self) -> None:
        if len(self.shape) == 2 and self.shape[0] ** 2 <= MOST:
            self.say(f"x = x @ transpose(x) / {self.shape[1]}", (self.shape[0], self.shape[0]))

    def slice(self) -> None:
        size = self.shape[0]
        if size < 2:
            return
        start = self.draw(st.integers(0, size - 1))
        text, count = self.choose(
            (f"{start}:", size - start), ("::-1", size), ("::2", -(-size // 2)), (f":{start + 1}", start + 1), (":-1", size - 1)
        )
        self.say(f"x = x[:, {text}]", (count, *self.shape[1:]))

    def concat(self) -> None:
        names = [n for n, s in self.kept.items() if len(s) == len(self.shape) and s[:-1] == self.shape[:-1]]
        if names:
            name = self.choose(*names)
            if prod(self.shape) + prod(self.kept[name]) <= MOST:
                self.say(f"x = concat(x, {name}, axis = -1)", (*self.shape[:-1], self.shape[-1] + self.kept[name][-1]))

    def repeat(self) -> None:
        times, size = self.draw(st.integers(1, 3)), self.shape[-1]
        form = self.choose(f"x = x + (x |> dense({size}) as fc |> tanh)", "x = 0.5 * x + i", f"x = gelu(x) |> dense({size}) as fc")
        self.say(f"repeat i in range({times}) as r{len(self.lines)} {{ {form} }}", self.shape)

    def static_if(self) -> None:
        limit = self.draw(st.integers(0, 9))
        self.say(f"if size(x, axis = -1) > {limit} {{ x = sin(x) }} else {{ x = x |> dense({self.shape[-1]}) }}", self.shape)


MOVES = (
    "dense", "dense", "activation", "activation", "arithmetic", "arithmetic", "earlier", "reduce", "normalise", "reshape",
    "transpose", "product", "slice", "concat", "repeat", "static_if", "keep",
)  # fmt: skip


@st.composite
def programs(draw: Draw) -> str:
    chain = _Chain(draw)
    for move in draw(st.lists(st.sampled_from(MOVES), min_size=1, max_size=12)):
        getattr(chain, move)()
    cells = prod(chain.shape)
    body = "\n  ".join(chain.lines)
    return f"""
data D {{
  source = npz("absent.npz")
  columns {{ a: f32; t: f32 }}
  x = concat({", ".join(["a"] * chain.first)})
  y = t
}}
model M()(x: float[B, {chain.first}]) -> (out: float[B]) {{
  {body}
  flat = reshape(x, [size(x, axis = 0), {cells}])
  return squeeze(flat |> dense(1) as head, -1)
}}
train M on D {{
  loss = mse(out, y)
  optimizer = sgd(lr = 0.1, momentum = 0.9)
}}
"""


def inputs_of(function: Any, rows: int) -> dict[str, Any]:
    rng = np.random.default_rng(rows)
    arrays = {}
    for param in function.params:
        shape = tuple(evaluate_dim(dim, {"B": rows}) for dim in param.value.type.shape)
        if param.role == "control":
            arrays[param.key] = np.array([1, 3, 0, 10, 0, rows, 0, 0]) if param.key == "control" else np.array([1.0, 0, 0, 0])
        else:
            arrays[param.key] = rng.uniform(-1, 1, size=shape).astype(numpy_dtype(np, param.value.type.dtype))
    return arrays


def check(text: str, dtype: Any, rows: int, shards: int) -> None:
    unit = load_unit(text_source(text, float_type=dtype))
    function = unit.module.function("train")
    inputs = inputs_of(function, rows)
    allowed = yardstick(autodiff(function), inputs, {"B": rows}, dtype)
    found = NativeFunction.compile(function, Options(shards > 1)).run(inputs, {"B": rows}, shards)
    for key, exact in allowed.exact.items():
        assert np.all(np.isfinite(exact)), key
        off = np.max(np.abs(found[key] - exact), initial=0.0)
        assert off <= allowed.allowed[key], f"{key} is off by {off}, allowed: {allowed.allowed[key]}"


CASES = {"deadline": None, "suppress_health_check": list(HealthCheck), "print_blob": True}


@settings(max_examples=10, derandomize=True, **CASES)  # type: ignore[arg-type]
@given(programs(), st.sampled_from(["f32", "f64"]), st.sampled_from([1, 5, 13]), st.sampled_from([1, 1, 2]))
def test_a_few_programs(text: str, dtype: str, rows: int, shards: int) -> None:
    check(text, dtype, rows, shards)


@pytest.mark.slow
@settings(max_examples=150, **CASES)  # type: ignore[arg-type]
@given(programs(), st.sampled_from(["f32", "f64"]), st.sampled_from([1, 5, 13]), st.sampled_from([1, 1, 2]))
def test_many_programs(text: str, dtype: str, rows: int, shards: int) -> None:
    check(text, dtype, rows, shards)
