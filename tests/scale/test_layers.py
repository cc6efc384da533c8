"""Deep models: work grows with the layers and no faster, layers of one kind share their code, and a step costs Python nothing more.

Growth is counted where it can be: the lines of Python that run, a number that no busy machine moves. What counting cannot see
(LLVM, and loops inside the interpreter's own C code) is timed on 250, 500 and 1,000 layers, by the processor's time.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import numpy as np
import pytest

from bmc.codegen.target import compile_object, host_target
from bmc.driver.load import load_unit, text_source
from bmc.driver.lower import Options, lower_unit, write_llvm
from bmc.frontend.unit import Unit
from bmc.ir import Module
from bmc_runtime.order import FixedOrder
from tests.training.trials import Trial

WIDTH, BATCH = 16, 8


def text(layers: int) -> str:
    """A residual MLP. Initial weights are small, and the rate too: 1,000 layers multiply what one of them does."""
    return f"""
data D {{
  source = npz("absent.npz")
  columns {{ a: f32; label: f32 }}
  x = concat(a, a, a)
  y = label
}}
model M()(x: f32[B, 3]) -> (out: f32[B]) {{
  x = x |> dense({WIDTH}) as first
  repeat {layers} as blk {{ x = x + (x |> dense({WIDTH}, init = normal(std = 0.001)) as fc |> relu) }}
  return squeeze(x |> dense(1) as last, -1)
}}
train M on D {{
  loss = mse(out, y)
  optimizer = adam(lr = 1e-6)
  batch = {BATCH}
  steps = 2
}}
"""


def arrays_of() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {"x": rng.normal(size=(BATCH, 3)).astype(np.float32), "y": rng.normal(size=BATCH).astype(np.float32)}


def elaborated(layers: int) -> Unit:
    return load_unit(text_source(text(layers)))


def trained_part(unit: Unit) -> Module:
    return Module(tuple(f for f in unit.module.functions if f.name in ("init", "train")))


def lines_of(run: Callable[[], Any]) -> tuple[int, Any]:
    """How many lines of Python `run` runs, and what it returns."""
    count = 0

    def on_line(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return on_line

    before = sys.gettrace()
    sys.settrace(on_line)
    try:
        result = run()
    finally:
        sys.settrace(before)
    return count, result


def test_work_grows_as_the_layers_do() -> None:
    """By stage: the second 16 layers more may cost a tenth more than the first 16 (logarithms of heaps and sorts are lines too)."""
    stages: dict[str, list[int]] = {"elaboration": [], "passes": [], "code": []}
    elaborated(2)  # what is read and cached once
    for layers in (8, 24, 40):
        count, unit = lines_of(lambda layers=layers: elaborated(layers))  # type: ignore[misc]
        stages["elaboration"].append(count)
        count, lowered = lines_of(lambda unit=unit: lower_unit(trained_part(unit), Options()))  # type: ignore[misc]
        stages["passes"].append(count)
        count, _ = lines_of(lambda lowered=lowered: str(write_llvm(lowered, host_target())))  # type: ignore[misc]
        stages["code"].append(count)
    for stage, (few, more, most) in stages.items():
        assert most - more <= 1.1 * (more - few), f"{stage}: {few}, {more}, {most} lines of Python"


def test_layers_of_one_kind_share_kernels() -> None:
    kernels = []
    for layers in (6, 12):
        unit = elaborated(layers)
        lowered = lower_unit(Module((unit.module.function("train"),)), Options())
        written = str(write_llvm(lowered, host_target()))
        kernels.append(sorted(re.findall(r"define[^@\n]* @\"?(k\d+_\w+|bmc_\w+)", written)))
    assert kernels[0] == kernels[1]
    assert len(kernels[0]) > 5


def transformer(layers: int) -> str:
    """With dropout in every place: sites of random numbers are all that layers differ in."""
    return f"""
data D {{
  source = npz("absent.npz")
  columns {{ a: i32[9] }}
  tok = a[:, :8] |> category(16)
  y = a[:, 1:] |> category(16)
}}
model M()(tok: i32[B, T]) -> (logits: f32[B, T, 16]) {{
  x = tok |> embedding(16, 8) as emb
  repeat {layers} as blk {{ x = x |> encoder_block(2, causal = true, rate = 0.1) as b }}
  return x |> layernorm as n |> dense(16) as out
}}
train M on D {{
  loss = cross_entropy(logits, y)
  optimizer = adamw(lr = 1e-4)
  batch = 8
  steps = 2
}}
"""


def test_blocks_of_a_transformer_share_kernels_and_add_only_their_calls() -> None:
    """Counted, not timed: `init`, training, evaluation and prediction of 2, 5 and 8 blocks."""
    kernels, sizes = [], []
    for layers in (2, 5, 8):
        lowered = lower_unit(load_unit(text_source(transformer(layers))).module, Options())
        written = str(write_llvm(lowered, host_target()))
        kernels.append(sorted(re.findall(r"define[^@\n]* @\"?(k\d+_\w+|bmc_\w+)", written)))
        sizes.append(len(compile_object(written, host_target())))
    assert kernels[0] == kernels[1] == kernels[2]
    few, more, most = sizes
    assert most - more <= 1.1 * (more - few), sizes
    # A block is some 160 calls of 4 to 10 addresses, of 5 bytes each: far less than the kernels, which are there once.
    assert (most - few) / 6 <= few / 10, sizes


def forward(weights: dict[str, Any], layers: int, x: Any) -> Any:
    h = x @ weights["first.w"] + weights["first.b"]
    for i in range(layers):
        h = h + np.maximum(h @ weights[f"blk.{i}.fc.w"] + weights[f"blk.{i}.fc.b"], 0)
    return (h @ weights["last.w"] + weights["last.b"])[:, 0]


def train_two_steps(layers: int) -> None:
    trial, arrays = Trial(text(layers), "f32"), arrays_of()
    trial.start()
    before = {key: array.astype(np.float64) for key, array in trial.weights().items()}
    first, second = trial.train(arrays)
    wanted = np.mean((forward(before, layers, arrays["x"]) - arrays["y"]) ** 2)
    # Each layer rounds a few times by 2^-24; layers multiply errors by 1 + 0.001 or so.
    assert first == pytest.approx(wanted, rel=1e-4)
    assert second < first


def test_a_deep_model_trains() -> None:
    train_two_steps(60)


@pytest.mark.slow
def test_a_thousand_layers_train() -> None:
    train_two_steps(1000)


@pytest.mark.slow
def test_time_grows_as_the_layers_do() -> None:
    seconds = []
    for layers in (250, 1000):
        start = time.process_time()
        lowered = lower_unit(trained_part(elaborated(layers)), Options())
        compile_object(str(write_llvm(lowered, host_target())), host_target())
        seconds.append(time.process_time() - start)
    # Four times the layers in four times the time, where what is quadratic would take sixteen: the bound is halfway, on a log
    # scale, since a single run on a shared machine is off by half.
    assert seconds[1] <= 8 * seconds[0], seconds


def calls_of_a_step(layers: int) -> int:
    """Python functions that one prepared step calls."""
    trial, arrays = Trial(text(layers), "f32"), arrays_of()
    trial.start()
    run = trial.session.run({"train": trial.split(arrays)})
    run.stepper.begin_epoch(FixedOrder(np.arange(BATCH)))
    run.stepper.step(0, 0, 0)
    count = 0

    def on_call(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(on_call)
    try:
        run.stepper.step(0, 1, 0)
    finally:
        sys.setprofile(None)
    return count


def test_a_step_costs_the_same_few_python_calls() -> None:
    few, more = calls_of_a_step(2), calls_of_a_step(20)
    assert few == more <= 20
