"""Expressions of the language beside PyTorch: values and gradients by every input, in f32 and f64.

Several expressions are compiled as one model, since most of the time goes into compiling. The expected numbers are PyTorch's in
f64, of the same inputs. How far rounding may carry a result is derived where the function is a sum of products (`linear`):
with n addends of magnitudes that add up to s, one chain of n roundings (and one of the product, one of the cotangent's) errs by
less than (n + 2) u s, u being half a unit in the last place. n and s are the function itself, of ones and of magnitudes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.surface import Surface

ROWS = 2
HALF_UNIT = {"f32": 2.0**-24, "f64": 2.0**-53}


@dataclass(frozen=True)
class Case:
    """`text` is an expression of the inputs, which have shapes [rows, ...] or, where `weights` names them, shapes without rows.

    twin: the same of PyTorch's tensors by name. margin: units for functions that are not sums of products of their inputs,
    for each value, on the scale of the largest magnitude.
    """

    text: str
    shapes: Mapping[str, Sequence[int]]
    twin: Callable[..., Any]
    weights: Sequence[str] = ()
    margin: float | None = None
    arrays: Mapping[str, Any] = field(default_factory=dict)


def _gradients(torch: Any, case: Case, arrays: Mapping[str, Any], by: Any) -> tuple[Any, dict[str, Any]]:
    leaves = {k: torch.tensor(a, dtype=torch.float64, requires_grad=True) for k, a in arrays.items()}
    value = case.twin(**leaves)
    (value * torch.tensor(by)).sum().backward()
    return value.detach().numpy(), {k: leaf.grad.numpy() for k, leaf in leaves.items()}


def check(torch: Any, cases: Sequence[Case], dtype: str, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    inputs: dict[str, str] = {}
    outputs: dict[str, str] = {}
    texts: list[str] = []
    arrays: dict[str, Any] = {}
    bys: dict[str, Any] = {}
    exact = {}
    for number, case in enumerate(cases):
        own = {}
        for key, shape in case.shapes.items():
            rows = () if key in case.weights else (ROWS,)
            drawn = case.arrays.get(key, rng.normal(size=(*rows, *shape)))
            own[key] = np.asarray(drawn, np.float32).astype(np.float64)
            name = f"{key}{number}"
            inputs[name] = f"float[{', '.join([*(['B'] if rows else []), *map(str, shape)])}]"
            arrays[name] = own[key]
        shape = case.twin(**{k: torch.tensor(a) for k, a in own.items()}).shape
        by = rng.normal(size=tuple(shape)).astype(np.float32).astype(np.float64)
        exact[number] = (own, by, *_gradients(torch, case, own, by))
        bys[f"y{number}"] = by
        names = {key: f"{key}{number}" for key in case.shapes}
        texts.append(f"y{number} = {case.text.format(**names)}")
        outputs[f"y{number}"] = f"float[{', '.join(['B', *map(str, shape[1:])])}]"
    body = "\n  ".join([*texts, f"return {', '.join(outputs)}"])
    found = Surface(inputs, body, outputs, dtype).run(arrays, bys, B=ROWS)
    for number, case in enumerate(cases):
        own, by, value, gradients = exact[number]
        limits = _limits(torch, case, own, by, dtype, value, gradients)
        _compare(found[f"y.y{number}"], value, limits[0], case.text, number)
        for key, gradient in gradients.items():
            _compare(found[f"grad.{key}{number}"], gradient, limits[1][key], f"{case.text} by {key}", number)


def _limits(
    torch: Any, case: Case, own: Mapping[str, Any], by: Any, dtype: str, value: Any, gradients: Mapping[str, Any]
) -> tuple[Any, dict[str, Any]]:
    sides = 1 if dtype == "f32" else 2  # in f64 PyTorch rounds too
    unit = sides * HALF_UNIT[dtype]
    if case.margin is not None:
        most = {k: case.margin * unit * max(float(np.max(np.abs(g))), 1e-3) for k, g in gradients.items()}
        return case.margin * unit * float(np.max(np.abs(value))), most
    ones = {k: np.ones_like(a) for k, a in own.items()}
    counts, gradient_counts = _gradients(torch, case, ones, np.ones_like(by))
    sizes, gradient_sizes = _gradients(torch, case, {k: np.abs(a) for k, a in own.items()}, np.abs(by))
    return (counts + 2) * unit * sizes, {k: (gradient_counts[k] + 2) * unit * gradient_sizes[k] for k in own}


def _compare(found: Any, wanted: Any, limit: Any, text: str, number: int) -> None:
    off = np.abs(found.astype(np.float64) - wanted)
    assert found.shape == wanted.shape, text
    worst = float(np.max(off - limit)) if off.size else 0.0
    assert worst <= 0, f"case {number}, {text}: {float(off.max())} off, {float(np.max(limit))} allowed"
