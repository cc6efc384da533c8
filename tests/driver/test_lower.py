"""The whole back half of the compiler on random graphs: graph passes, shards, phases, fusion, memory, code, binding.

Native results are compared with the yardstick of `tests/perturbation.py`: at most 8 times what 8 runs in f64 deviate when
every operation's result is moved within its declared error. Integers are equal.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bmc.driver.compiled import Options, program_of
from bmc.driver.lower import lower_function, write_llvm
from bmc.ir import Function, Module
from bmc.ops.evaluate import evaluate
from bmc.passes.autodiff import autodiff
from bmc.passes.pipeline import GRAPH_PASSES
from bmc.passes.rows import row_states
from bmc_runtime.plan import Program
from tests.graphs import ROW, ROWS, random_graph, random_inputs
from tests.graphs import Options as GraphOptions
from tests.native import TARGET, NativeFunction
from tests.passes.steps import mlp_step
from tests.perturbation import yardstick

OPTIONAL = tuple(p.name for p in GRAPH_PASSES if p.optional)


def assert_within(
    function: Function, found: Mapping[str, Any], inputs: Mapping[str, Any], bindings: Mapping[str, int], dtype: str
) -> None:
    plain = autodiff(function)
    measure = yardstick(plain, inputs, bindings, dtype)
    for key, reference in evaluate(plain, inputs, bindings, np).items():
        array = found[key]
        assert array.shape == reference.shape
        assert array.dtype == reference.dtype
        if key not in measure.exact:
            np.testing.assert_array_equal(array, reference, err_msg=key)
        elif reference.size:
            deviation = float(np.max(np.abs(array.astype(np.float64) - measure.exact[key])))
            assert deviation <= measure.allowed[key], f"{key}: {deviation} > {measure.allowed[key]}"


def on_shards(function: Function) -> Function:
    """As a training step: named so, and with the results that shards can give: their rows, or what has no rows."""
    plain = autodiff(function)
    states = row_states(plain)

    def legal(key: str, value: Any) -> bool:
        state = states[value]
        return state.axis is None or (state.axis == 0 and not state.mixed and value.type.shape[0] == ROWS)

    return replace(plain, name="train", results=tuple(r for r in plain.results if legal(r.key, r.value)))


def check_graph(seed: str, dtype: str, disabled: tuple[str, ...], most: int) -> None:
    """Rows that fill vectors and rows that do not."""
    rng = random.Random(seed)
    options = GraphOptions(dtype=dtype, mixing="any", smooth=True, gradient=rng.random() < 0.5, most=most)
    function = random_graph(rng, options)
    native = NativeFunction.compile(function, Options(disabled=disabled))
    for rows in (1, rng.randint(2, 9), 33):
        inputs = random_inputs(function, {ROW: rows})
        assert_within(function, native.run(inputs, {ROW: rows}), inputs, {ROW: rows}, dtype)


def check_shards(seed: str, dtype: str, most: int) -> None:
    """1, 2 and 8 shards, some of them without rows."""
    rng = random.Random(seed)
    options = GraphOptions(dtype=dtype, mixing="sum", smooth=True, gradient=rng.random() < 0.5, most=most)
    function = on_shards(random_graph(rng, options))
    native = NativeFunction.compile(function, Options(sharded=True))
    for rows, shards in ((20, 1), (20, 2), (20, 8), (3, 8)):
        inputs = random_inputs(function, {ROW: rows})
        assert_within(function, native.run(inputs, {ROW: rows}, shards), inputs, {ROW: rows}, dtype)


@pytest.mark.parametrize("disabled", [(), *((name,) for name in OPTIONAL), OPTIONAL], ids="-".join)
@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_random_graphs(dtype: str, disabled: tuple[str, ...]) -> None:
    """Each optional pass on and off."""
    for seed in range(2):
        check_graph(f"{dtype} {disabled} {seed}", dtype, disabled, 30)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(60))
def test_random_graphs_of_60_operators(seed: int) -> None:
    for disabled in ((), *((name,) for name in OPTIONAL), OPTIONAL):
        check_graph(f"large {seed}", ("f32", "f64")[seed % 2], disabled, 60)


@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_random_graphs_on_shards(dtype: str) -> None:
    for seed in range(4):
        check_shards(f"shards {dtype} {seed}", dtype, 30)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(60))
def test_random_graphs_of_60_operators_on_shards(seed: int) -> None:
    check_shards(f"large {seed}", ("f32", "f64")[seed % 2], 60)


def test_a_result_that_shards_repeat_is_written_once() -> None:
    """Small values without rows are computed in every phase that reads them; as results they belong to one."""
    function = on_shards(random_graph(random.Random(1007), GraphOptions(dtype="f32", smooth=True, most=60)))
    native = NativeFunction.compile(function, Options(sharded=True))
    inputs = random_inputs(function, {ROW: 8}, 1007)
    assert_within(function, native.run(inputs, {ROW: 8}, 8), inputs, {ROW: 8}, "f32")


@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_a_row_has_the_same_bits_in_every_batch(dtype: str) -> None:
    """Alone, in a batch of 7 and in a batch of 1,000; random numbers too, which follow the row's number."""
    for seed in range(3):
        options = GraphOptions(dtype=dtype, mixing="none", most=40)
        function = random_graph(random.Random(f"rows {dtype} {seed}"), options)
        states = row_states(function)
        axes = {r.key: states[r.value].axis for r in function.results}
        native = NativeFunction.compile(function)
        inputs = random_inputs(function, {ROW: 1000}, seed)
        with_rows = {p.key for p in function.params if p.value.type.shape[:1] == (ROWS,)}
        whole = native.run(inputs, {ROW: 1000})
        for first, count in ((0, 1), (998, 1), (500, 7)):
            part = {k: a[first : first + count] if k in with_rows else a for k, a in inputs.items()}
            part["control"] = inputs["control"] + np.array([0, 0, first, 0, 0, 0, 0, 0])
            for key, array in native.run(part, {ROW: count}).items():
                axis = axes[key]
                wanted = whole[key] if axis is None else whole[key].take(range(first, first + count), axis=axis)
                np.testing.assert_array_equal(array, wanted, err_msg=f"seed {seed}, {key}, {count} rows at {first}")


@pytest.mark.parametrize(("shards", "clip"), [(1, False), (2, False), (8, True)])
@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_a_training_step_updates_in_place(dtype: str, shards: int, clip: bool) -> None:
    function = mlp_step([7, 20, 9, 5], dtype=dtype, clip=clip)
    native = NativeFunction.compile(function, Options(sharded=shards > 1))
    inputs = random_inputs(function, {ROW: 29})
    inputs |= {key: np.abs(array) for key, array in inputs.items() if key.endswith("@v")}
    inputs["y"] %= 5
    assert_within(function, native.run(inputs, {ROW: 29}, shards), inputs, {ROW: 29}, dtype)


def test_an_infinite_loss_stops_the_step_before_any_update() -> None:
    from bmc_runtime.binding import BoundFunction, NotFinite
    from bmc_runtime.memory import allocate

    function = mlp_step([3, 4, 2])
    native = NativeFunction.compile(function)
    inputs = random_inputs(function, {ROW: 5})
    inputs["x"][2, 1] = np.nan
    store = {}
    for param in function.params:
        if param.role in ("weight", "moment"):
            store[param.key] = allocate("f32", inputs[param.key].shape)
            store[param.key][...] = inputs[param.key]
    binding = BoundFunction(native.library, "train", store).bind({ROW: 5}, {"x": inputs["x"], "y": inputs["y"] % 2})
    with pytest.raises(NotFinite):
        binding.run()
    for key, array in store.items():
        np.testing.assert_array_equal(array, inputs[key], err_msg=key)


def test_equal_layers_share_kernels_and_long_steps_are_cut() -> None:
    """A hundred equal layers have the kernels of four; a function of hundreds of calls is cut into parts."""

    def kernels(layers: int) -> int:
        lowered = lower_function(mlp_step([8] * layers), Options())
        module = write_llvm(lowered, TARGET)
        return sum(1 for f in module.functions if f.name.startswith("k") and "." not in f.name)

    assert kernels(100) == kernels(5)
    text = str(write_llvm(lower_function(mlp_step([8] * 100), Options()), TARGET))
    assert '"train.0.part1"' in text


def test_a_program_survives_its_json() -> None:
    function = mlp_step([3, 4, 2])
    program = program_of(Module((function,)), TARGET, Options(), only=["train"])
    again = Program.from_json(program.plan_json(), program.object_code)
    assert again == program
    assert set(program.functions) >= {"train", "batch"}


def test_the_same_program_twice_is_the_same_object_code() -> None:
    module = Module((mlp_step([3, 4, 2]),))
    assert program_of(module, TARGET, Options()) == program_of(module, TARGET, Options())
