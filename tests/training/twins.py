"""Layers and functions of the library beside what PyTorch makes of the same numbers: values and all gradients.

In: cases, each a few lines of `.bm` over inputs of given shapes, and a function of tensors that should compute the same. One
program holds all cases of a group: every input and parameter is a weight, every result is kept in a state, and the gradient of a
weighted sum of all results is read from a step of sgd with a rate of 1. Out: `compare`, which looks at one case.

The bound of a number is derived, not chosen: the program's own operations run in f64 with each result moved at random within the
error that its operator declares, sums and products by their number of addends (`tests/perturbation.py`). PyTorch runs in f64 on the
same numbers; its own rounding is that of our f64, which is added.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from bmc.passes.autodiff import autodiff
from bmc.passes.expand import expand
from bmc_runtime.memory import DTYPES
from tests.perturbation import yardstick
from tests.training.trials import Trial

torch: Any = pytest.importorskip("torch")
Shape = tuple[int, ...]
Twin = Callable[[Any, Any], Any]


@dataclass(frozen=True)
class Case:
    """`text`: lines of a body: `{x}` is the input x, `{l}` (or `as l`) the layer, the last line the result. `inputs`: shapes of
    what has gradients. `twin(inputs.., weights)`: the same by PyTorch; `weights` are those of the layer.
    """

    text: str
    inputs: Mapping[str, Shape]
    result: Shape
    twin: Twin


@dataclass
class Group:
    """A compiled program of several cases, its weights before and everything after one step."""

    cases: Mapping[str, Case]
    before: dict[str, Any]
    after: dict[str, Any]
    allowed: dict[str, float] = field(default_factory=dict)


class Weights:
    """Tensors by the end of their key."""

    def __init__(self, found: Mapping[str, Any]) -> None:
        self.found = found

    def __getitem__(self, key: str) -> Any:
        return self.found[key]

    def __contains__(self, key: str) -> bool:
        return key in self.found

    def under(self, prefix: str) -> Weights:
        """Those of an inner layer."""
        return Weights({k.removeprefix(prefix + "."): v for k, v in self.found.items() if k.startswith(prefix + ".")})


def body_of(name: str, case: Case) -> list[str]:
    lines = [f"param {x}_{name}: float[{', '.join(map(str, shape))}] = zeros" for x, shape in case.inputs.items()]
    result = ", ".join(map(str, case.result))
    lines += [f"param r_{name}: float[{result}] = zeros", f"state out_{name}: float[{result}] = zeros"]
    text = case.text.replace("{l}", f"l_{name}").replace(" as l", f" as l_{name}")
    for x in case.inputs:
        text = text.replace("{" + x + "}", f"{x}_{name}")
    for i, line in enumerate(text.strip().splitlines()):
        last = i == len(text.strip().splitlines()) - 1
        lines.append((f"out_{name} = " if last else "") + line.strip())
    return lines


def program(cases: Mapping[str, Case], declarations: str) -> str:
    lines = [line for name, case in cases.items() for line in body_of(name, case)]
    total = " + ".join(f"sum(out_{name} * stop_gradient(r_{name}))" for name in cases)
    body = "\n  ".join(lines)
    return f"""
data D {{
  source = npz("absent.npz")
  columns {{ a: f64 }}
  x = a
}}
{declarations}model M()(x: float[B]) -> (total: float) {{
  {body}
  return {total}
}}
train M on D {{
  loss = total + x
  optimizer = sgd(lr = 1)
  batch = 2
  steps = 1
}}
"""


def numbers(key: str, shape: Shape, seed: int) -> Any:
    """Weights of spread 1/2, exact in f32, so that both precisions start from the same."""
    rng = np.random.default_rng([seed, *key.encode()])
    return (rng.normal(size=shape) * 0.5).astype(np.float32).astype(np.float64)


def group_of(cases: Mapping[str, Case], float_type: str, declarations: str = "", seed: int = 0) -> Group:
    """Compile, run a step, and find how far each result may be off. `declarations`: what stands in front of the model."""
    trial = Trial(program(cases, declarations), float_type)
    before = {w.key: numbers(w.key, w.type.shape, seed) for w in trial.unit.weights}
    trial.start(before)
    states = {key: array.astype(np.float64) for key, array in trial.session.store.items() if key not in before}
    trial.train({"x": np.zeros(2)}, before)
    after = {key: array.astype(np.float64) for key, array in trial.session.store.items()}
    return Group(cases, before, after, allowed_of(trial, before, states, float_type))


def allowed_of(trial: Trial, before: Mapping[str, Any], states: Mapping[str, Any], float_type: str) -> dict[str, float]:
    function = expand(autodiff(trial.unit.module.function("train")))
    control = np.array([0, 0, 0, 1, 0, 2, 0, 0], np.int64)
    inputs: dict[str, Any] = {}
    for param in function.params:
        dtype = DTYPES[param.value.type.dtype]
        if param.role == "control":
            inputs[param.key] = control if param.key == "control" else np.ones(4)
        elif param.role == "input":
            inputs[param.key] = np.zeros(2, dtype)
        else:
            inputs[param.key] = np.asarray(before[param.key] if param.key in before else states[param.key], dtype)
    own = yardstick(function, inputs, {"B": 2}, float_type).allowed
    theirs = own if float_type == "f64" else yardstick(function, inputs, {"B": 2}, "f64").allowed
    by_key = {result.key for result in function.results}
    return {key: own[key] + theirs[key] for key in by_key if key in own}


def compare(group: Group, name: str) -> None:
    """The value, and the gradient of each input and parameter, of one case."""
    case = group.cases[name]
    mine = [f"{x}_{name}" for x in case.inputs]
    held = [key for key in group.before if key.split(".")[0] == f"l_{name}"]
    tensors = {key: torch.tensor(group.before[key], requires_grad=True) for key in (*mine, *held)}
    inputs = [tensors[key] for key in mine]
    value = case.twin(*inputs, Weights({k.partition(".")[2]: tensors[k] for k in held})) if held else case.twin(*inputs)
    near(f"out_{name}", group, value.detach().numpy())
    (value * torch.tensor(group.before[f"r_{name}"])).sum().backward()
    for key, tensor in tensors.items():
        assert tensor.grad is not None, f"the twin does not use {key}"
        near(key, group, group.before[key] - tensor.grad.numpy())


def near(key: str, group: Group, wanted: Any) -> None:
    found = group.after[key]
    assert found.shape == wanted.shape, (key, found.shape, wanted.shape)
    off = float(np.max(np.abs(found - wanted), initial=0.0))
    assert off <= group.allowed[key], f"{key} is off by {off:.3g}; rounding explains {group.allowed[key]:.3g}"
