"""Memory plans: they compute the right thing on simulated memory, they are proved right, and wrong ones are caught."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace

import numpy as np
import pytest

from bmc.errors import CompilerBug
from bmc.ir import Function, Parameter, Poly, Result, TensorType, Value
from bmc.ir.dims import floor_divide
from bmc.ops.build import Builder
from bmc.ops.evaluate import evaluate
from bmc.passes.check_memory import check_memory
from bmc.passes.fuse import fuse_phases
from bmc.passes.memory.sizes import aligned, at_most, expression_of, parse_expression
from bmc.passes.memory.text import memory_text
from bmc.passes.plan_memory import MemoryPlan, plan_memory
from bmc.passes.shard import shard
from bmc.passes.split_phases import split_phases
from bmc_runtime.plan import Buffer, FunctionPlan, Program, evaluate_dim
from tests.graphs import Options, random_graph, random_inputs
from tests.passes.executor import run_plan
from tests.passes.steps import mlp_step

B = Poly.symbol("B")
T = Poly.symbol("T")


def _planned(function: Function, shards: bool = False) -> tuple[Function, MemoryPlan]:
    sharded = shard(function, shards)
    planned = plan_memory(sharded, fuse_phases(sharded, split_phases(sharded)))
    check_memory(sharded, planned.plan, planned.phases, planned.places)
    return sharded, planned


def _check(
    function: Function, planned: MemoryPlan, plan: FunctionPlan, places: tuple[Mapping[Value, int], ...] | None = None
) -> None:
    check_memory(function, plan, planned.phases, planned.places if places is None else places)


def _pair(
    *keys: str, dtype: str = "f32", shape: tuple[int | Poly, ...] = (4,), role: str = "weight"
) -> list[Parameter]:
    return [Parameter(Value(TensorType(dtype, shape), key), role, key) for key in keys]  # type: ignore[arg-type]


def _run(function: Function, inputs: dict[str, np.ndarray], bindings: dict[str, int]) -> dict[str, np.ndarray]:
    sharded, planned = _planned(function)
    return run_plan(sharded, planned, inputs, bindings)


def test_a_training_step_updates_in_place_and_needs_no_copies() -> None:
    _, planned = _planned(mlp_step([100, 64, 64, 10]))
    (phase,) = planned.native
    kinds = [planned.plan.buffers[i].kind for i in phase.arguments]
    assert kinds.count("weight") == 6
    assert kinds.count("moment") == 12
    assert kinds.count("output") == 1
    assert not any(getattr(op.attrs, "name", "") == "copy" for op in phase.ops)
    for result in planned.phases[0].outputs:
        assert planned.plan.buffers[phase.buffers[result]].kind in ("weight", "moment", "output")


def test_masks_are_overwritten_by_what_they_mask() -> None:
    """Forward keeps what relu's gradient needs; the masked gradient of a layer goes where that was."""
    _, planned = _planned(mlp_step([100, 64, 64, 10]))
    wide = [b for b in planned.plan.buffers if b.kind == "arena" and parse_expression(b.shape[0]) == 256 * B]
    # Two layers, for each the value before relu and the one behind it.
    assert len(wide) == 4


def test_updates_that_swap_two_weights() -> None:
    a, b = _pair("a", "b")
    function = Function("swap", (a, b), (), (Result(b.value, "update", "a"), Result(a.value, "update", "b")))
    inputs = {"a": np.arange(4, dtype=np.float32), "b": -np.ones(4, np.float32)}
    found = _run(function, inputs, {})
    assert np.array_equal(found["a"], inputs["b"])
    assert np.array_equal(found["b"], inputs["a"])


def test_old_contents_that_are_wanted_later_survive() -> None:
    (w,) = _pair("w", shape=(4, 4))
    (x,) = _pair("x", shape=(B, 4), role="input")
    builder = Builder()
    new = builder.mul(w.value, 0.5)
    # Reads the old w after the new one has been used, so the new one cannot be made in its place.
    out = builder.contract(builder.contract(x.value, new, (), (1,), (), (0,)), w.value, (), (1,), (), (0,))
    results = (Result(new, "update", "w"), Result(out, "output", "out"), Result(w.value, "output", "old"))
    function = Function("f", (w, x), tuple(builder.ops), results, "B")
    rng = np.random.default_rng(0)
    inputs = {"w": rng.normal(size=(4, 4)).astype(np.float32), "x": rng.normal(size=(3, 4)).astype(np.float32)}
    found, want = _run(function, inputs, {"B": 3}), evaluate(function, inputs, {"B": 3}, np)
    for key in ("w", "out", "old"):
        np.testing.assert_array_equal(found[key], want[key])


def test_one_value_may_be_several_results() -> None:
    a, b = _pair("a", "b")
    builder = Builder()
    value = builder.exp(a.value)
    flat = builder.reshape(value, (2, 2))
    results = (
        Result(value, "update", "a"), Result(value, "update", "b"), Result(value, "output", "x"), Result(flat, "output", "y"),
    )  # fmt: skip
    function = Function("f", (a, b), tuple(builder.ops), results)
    inputs = {"a": np.arange(4, dtype=np.float32), "b": np.zeros(4, np.float32)}
    found = _run(function, inputs, {})
    for key in ("a", "b", "x", "y"):
        np.testing.assert_array_equal(found[key].reshape(4), np.exp(inputs["a"]))


def test_nothing_lasting_changes_before_the_guard() -> None:
    (w,) = _pair("w", shape=())
    builder = Builder()
    new = builder.add(w.value, 1.0)
    loss = builder.exp(new)
    builder.operation("guard_finite", (loss,))
    function = Function("f", (w,), tuple(builder.ops), (Result(new, "update", "w"), Result(loss, "output", "loss")))
    _, planned = _planned(function)
    names = [getattr(op.attrs, "name", "") or op.name for op in planned.phases[-1].ops]
    assert names.index("guard_finite") < names.index("copy")


def test_updates_of_parameters_that_a_function_does_not_take() -> None:
    builder = Builder()
    value = builder.full(0.5, TensorType("f32", (3,)))
    function = Function("init", (), tuple(builder.ops), (Result(value, "update", "dense.w"),))
    _, planned = _planned(function)
    assert [(b.kind, b.key) for b in planned.plan.buffers] == [("weight", "dense.w")]
    assert [(s.kind, s.per_shard) for s in planned.plan.steps] == [("native", False)]


def test_outputs_on_shards_have_their_rows_first() -> None:
    x = Parameter(Value(TensorType("f32", (B, 3)), "x"), "input", "x")
    builder = Builder()
    total = builder.reduce("reduce_sum", x.value, (0, 1))
    turned = builder.transpose(x.value, (1, 0))
    results = (Result(total, "output", "total"), Result(turned, "output", "turned"))
    with pytest.raises(CompilerBug, match="turned"):
        _planned(Function("f", (x,), tuple(builder.ops), results, "B"), True)


def test_plans_survive_json() -> None:
    _, planned = _planned(mlp_step([8, 8, 4]), True)
    program = Program({"train": planned.plan}, b"")
    again = Program.from_json(json.loads(json.dumps(program.plan_json())), b"")
    assert asdict(again.functions["train"]) == asdict(planned.plan)


def test_text_of_a_plan() -> None:
    _, planned = _planned(mlp_step([8, 4], rows=B))
    text = memory_text(planned.plan, planned.phases, planned.places)
    assert text.startswith("plan train dims [B] rows B\n")
    assert 'input "x" f32[B, 8] by rows' in text
    assert "guard_finite" in text


@pytest.mark.parametrize("mixing", ["none", "any"])
def test_random_graphs_on_simulated_memory(mixing: str) -> None:
    for seed in range(40):
        function = random_graph(random.Random(1000 + seed), Options(mixing=mixing))
        bindings = {"B": (1, 5, 8, 13)[seed % 4]}
        inputs = random_inputs(function, bindings, seed)
        want = evaluate(function, inputs, bindings, np)
        found = _run(function, inputs, bindings)
        for key, value in want.items():
            assert np.array_equal(value, found[key], equal_nan=value.dtype.kind == "f"), (seed, key)


def _first(plan: FunctionPlan, wanted: Callable[[Buffer], bool]) -> int:
    return next(i for i, buffer in enumerate(plan.buffers) if wanted(buffer))


def test_the_checker_catches_overlapping_slots() -> None:
    step, planned = _planned(mlp_step([100, 64, 64, 10]))
    plan = planned.plan
    second = _first(plan, lambda b: b.kind == "arena" and b.key == "shard.1")
    moved = replace(plan.buffers[second], offset=["*", 192, "B"])
    with pytest.raises(CompilerBug, match="begins at 192\\*B, before 256\\*B"):
        _check(step, planned, replace(plan, buffers=(*plan.buffers[:second], moved, *plan.buffers[second + 1 :])))


def test_the_checker_catches_slots_that_are_too_small() -> None:
    step, planned = _planned(mlp_step([100, 64, 64, 10]))
    plan = planned.plan
    first = _first(plan, lambda b: b.kind == "arena")
    small = replace(plan.buffers[first], shape=(["*", 128, "B"],))
    with pytest.raises(CompilerBug, match="does not fit"):
        _check(step, planned, replace(plan, buffers=(*plan.buffers[:first], small, *plan.buffers[first + 1 :])))


def test_the_checker_catches_an_arena_that_is_too_small() -> None:
    step, planned = _planned(mlp_step([100, 64, 64, 10]))
    with pytest.raises(CompilerBug, match="the arena of scope shard"):
        _check(step, planned, replace(planned.plan, shard_arena=["*", 1024, "B"]))


def test_the_checker_catches_every_pair_of_live_values_in_one_slot() -> None:
    """Put each value of the arena where each other one is: what changes a reading must be found, the rest may pass."""
    step, planned = _planned(mlp_step([16, 8, 8, 4]))
    place = planned.places[0]
    slots = sorted({i for i in place.values() if planned.plan.buffers[i].kind == "arena"})
    room = ["+", ["*", 4096, "B"], 64]
    big = tuple(
        replace(b, shape=(room,), offset=["*", slots.index(i), room]) if i in slots else b
        for i, b in enumerate(planned.plan.buffers)
    )
    plan = replace(planned.plan, buffers=big, shard_arena=["*", len(slots), room])
    _check(step, planned, plan)
    caught = 0
    for wrong in slots:
        for right in slots:
            if wrong != right:
                moved = {value: right if index == wrong else index for value, index in place.items()}
                try:
                    _check(step, planned, plan, (moved,))
                except CompilerBug:
                    caught += 1
    # Slots hold values from forward to backward, so nearly every pair is live at once; scalars of the optimizer come late.
    assert caught >= len(slots) * (len(slots) - 1) // 2


def test_the_checker_catches_results_that_are_elsewhere() -> None:
    step, planned = _planned(mlp_step([16, 8, 4]))
    plan = planned.plan
    a = _first(plan, lambda b: b.key == "dense_0.w@m")
    b = _first(plan, lambda b: b.key == "dense_0.w@v")
    swapped = {value: {a: b, b: a}.get(index, index) for value, index in planned.places[0].items()}
    with pytest.raises(CompilerBug):
        _check(step, planned, plan, (swapped,))


def test_sizes_in_symbols() -> None:
    assert at_most(B * 40, aligned(B * 40))
    assert at_most(aligned(B * 40), aligned(B * 41))
    assert not at_most(B * 40, B * T)
    assert not at_most(aligned(B * 40), B * 40)
    windows = floor_divide(T + 3, 4)  # a quotient within those that alignment makes
    assert at_most(windows * 8, aligned(windows * 8))
    assert not at_most(aligned(windows * 8), windows * 8)
    assert at_most(floor_divide(windows + 1, 2) * 4, windows * 4 + 4)
    assert not at_most(windows * 4, floor_divide(windows + 1, 2) * 4)
    for dim in (7, B * 3 + T * B + 1, aligned(B * 40 + T)):
        assert parse_expression(expression_of(dim)) == dim
        assert isinstance(evaluate_dim(expression_of(dim), {"B": 3, "T": 5}), int)


def test_several_free_dims_share_slots_only_where_that_is_provable() -> None:
    x = Parameter(Value(TensorType("f32", (B, T, 8)), "x"), "input", "x")
    builder = Builder()
    value = x.value
    for _ in range(4):
        # A product and a sort are barriers, so that each value has to be stored.
        value = builder.sort(builder.emit("tanh", value))[0]
    function = Function("f", (x,), tuple(builder.ops), (Result(value, "output", "out"),), "B")
    _, planned = _planned(function)
    slots = [b for b in planned.plan.buffers if b.kind == "arena"]
    assert planned.plan.dims == ("B", "T")
    # Alternating: the values before and behind the sort, and the sort's unused indices.
    assert len(slots) <= 3
    inputs = {"x": np.random.default_rng(0).normal(size=(2, 3, 8)).astype(np.float32)}
    np.testing.assert_array_equal(
        _run(function, inputs, {"B": 2, "T": 3})["out"], evaluate(function, inputs, {"B": 2, "T": 3}, np)["out"]
    )


def test_time_is_linear_in_layers() -> None:
    def seconds(layers: int) -> float:
        step = shard(mlp_step([16] + [16] * layers + [4], residual=True), True)
        phases = fuse_phases(step, split_phases(step))
        start = time.process_time()
        planned = plan_memory(step, phases)
        check_memory(step, planned.plan, planned.phases, planned.places)
        return time.process_time() - start

    short, long = min(seconds(30) for _ in range(3)), seconds(300)
    # Ten times the layers: linear would be 10, quadratic 100.
    assert long < 30 * short
