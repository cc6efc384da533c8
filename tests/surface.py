"""Functions written in the language, compiled and run on arrays: outputs, and gradients by every float input.

In: the body of a model and the types of its inputs. Out: `Surface`, whose `outputs` and `gradients` are native code that went the
whole way: elaboration, autodiff, passes, code generation, the runtime's binding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bmc.frontend.elaborate import elaborate
from bmc.ir import Function, Parameter, Result, Value
from bmc.ir.types import is_float
from bmc.ops.build import Builder
from bmc.source import SourceFile
from bmc_runtime.memory import DTYPES
from tests.native import NativeFunction

CONTROL = np.array([1234, 7, 0, 100, 0, 64, 0, 0], np.int64)


def model(inputs: Mapping[str, str], body: str, outputs: Mapping[str, str]) -> str:
    """A model of these inputs and outputs, types by name; its body ends with the `return`."""
    given = ", ".join(f"{name}: {of}" for name, of in inputs.items())
    made = ", ".join(f"{name}: {of}" for name, of in outputs.items())
    return f"model M()({given}) -> ({made}) {{\n  {body}\n}}\n"


def function_of(text: str, dtype: Any) -> Function:
    """The function that the only model of a program is, out of training."""
    unit, findings = elaborate([SourceFile("surface.bm", text)], float_type=dtype)
    if unit is None:
        raise ValueError("\n".join(f"{d.code} {d.message}" for d in findings))
    return unit.module.function("predict")


def with_gradients(function: Function, row: str | None) -> Function:
    """Outputs `y.NAME`, and `grad.KEY`: the gradient, by each float input, of the sum of each float output times its input
    `by.NAME`."""
    b = Builder()
    b.ops.extend(function.ops)
    params = list(function.params)
    parts = []
    for result in function.results:
        if is_float(result.value.type.dtype):
            by = Value(result.value.type)
            params.append(Parameter(by, "input", f"by.{result.key}"))
            parts.append(b.reduce("reduce_sum", b.mul(result.value, by), range(by.type.rank)))
    loss = parts[0]
    for part in parts[1:]:
        loss = b.add(loss, part)
    wanted = [p for p in function.params if is_float(p.value.type.dtype) and p.role != "control"]
    gradients = b.operation("gradient", (loss, *(p.value for p in wanted))).results
    results = [Result(r.value, "output", f"y.{r.key}") for r in function.results]
    results += [Result(g, "output", f"grad.{p.key}") for p, g in zip(wanted, gradients, strict=True)]
    return Function("f", tuple(params), tuple(b.ops), tuple(results), row)


class Surface:
    """A compiled model. `gradients`: with those of its inputs. `mixing`: inputs have no rows that must be kept apart."""

    def __init__(
        self, inputs: Mapping[str, str], body: str, outputs: Mapping[str, str], dtype: str = "f64", gradients: bool = True
    ) -> None:
        made = function_of(model(inputs, body, outputs), dtype)
        self.function = with_gradients(made, made.row) if gradients else made
        self.types = {p.key: p.value.type for p in made.params}
        self.results = {r.key: r.value.type for r in made.results}
        self._has_gradients = gradients
        self._native = NativeFunction.compile(self.function)

    def run(self, arrays: Mapping[str, Any], by: Mapping[str, Any] | None = None, **dims: int) -> dict[str, Any]:
        """`by`: the cotangents of outputs, 1 by default. Keys of the result: outputs `y.NAME`, `grad.NAME`."""
        inputs = {k: np.asarray(v, DTYPES[self.types[k].dtype]) for k, v in arrays.items() if k in self.types}
        if "control" in self.types:
            inputs["control"] = CONTROL
        if self._has_gradients:
            from_by = by or {}
            for key, of_type in self.results.items():
                if is_float(of_type.dtype):
                    inputs[f"by.{key}"] = np.asarray(from_by[key], DTYPES[of_type.dtype])
        return self._native.run(inputs, dims)


def call(inputs: Mapping[str, str], body: str, outputs: Mapping[str, str], dtype: str = "f64") -> Any:
    """What the outputs are, without gradients: a function of arrays by name."""
    compiled = Surface(inputs, body, outputs, dtype, gradients=False)

    def run(arrays: Mapping[str, Any], **dims: int) -> Sequence[Any]:
        found = compiled.run(arrays, **dims)
        return [found[name] for name in outputs]

    return run
