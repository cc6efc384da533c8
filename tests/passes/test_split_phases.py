"""Where a step is cut, and what runs on which side."""

from __future__ import annotations

import pytest

from bmc.errors import CompilerBug
from bmc.ir import Function, Operation, Parameter, Poly, Result, TensorType, Value
from bmc.ops.build import Builder
from bmc.ops.registry import NoAttrs
from bmc.passes.shard import shard
from bmc.passes.split_phases import split_phases
from tests.passes.steps import mlp_step

B = Poly.symbol("B")


def _input() -> Value:
    return Value(TensorType("f32", (B, 3)), "x")


def _function(b: Builder, params: dict[str, Value], outputs: dict[str, Value], row: str | None = "B") -> Function:
    return Function(
        "f",
        tuple(Parameter(v, "input", k) for k, v in params.items()),
        tuple(b.ops),
        tuple(Result(v, "output", k) for k, v in outputs.items()),
        row,
    )


def test_without_sums_a_function_is_one_phase() -> None:
    step = mlp_step([4, 4, 2])
    (phase,) = split_phases(step)
    assert (phase.kind, phase.per_shard, phase.ops) == ("native", True, step.ops)
    b = Builder()
    value = b.scalar(1.0, "f32")
    (phase,) = split_phases(_function(b, {}, {"out": value}, row=None))
    assert (phase.kind, phase.per_shard) == ("native", False)


def test_a_training_step_has_three_phases() -> None:
    phases = split_phases(shard(mlp_step([4, 4, 2]), True))
    assert [(p.symbol, p.kind, p.per_shard) for p in phases] == [
        ("train.0", "native", True), ("train.1", "sum", False), ("train.2", "native", False),
    ]  # fmt: skip
    # Adam's `0.9 * m` depends on no total, and still runs where its reader does.
    assert not any("moment" in v.name for v in phases[0].outputs)


def test_centred_statistics_take_two_sums_with_a_value_that_crosses() -> None:
    b, x = Builder(), _input()
    mean = b.div(b.reduce("reduce_sum", x, (0,)), b.broadcast(b.dim_value(B, "f32"), (3,), ()))
    centred = b.sub(x, b.broadcast(mean, x.type.shape, (1,)))
    variance = b.reduce("reduce_sum", b.mul(centred, centred), (0,))
    out = b.mul(centred, b.broadcast(variance, x.type.shape, (1,)))
    phases = split_phases(shard(_function(b, {"x": x}, {"out": out}), True))
    assert [(p.kind, p.per_shard) for p in phases] == [
        ("native", True), ("sum", False), ("native", False), ("native", True), ("sum", False), ("native", True),
    ]  # fmt: skip
    assert mean in phases[2].outputs
    assert mean in phases[3].inputs
    assert centred in phases[3].outputs
    assert centred in phases[5].inputs


def test_cheap_scalars_are_repeated_rather_than_waited_for() -> None:
    b, x, s = Builder(), _input(), Value(TensorType("f32", ()), "s")
    twice = b.mul(s, 2.0)
    scaled = b.mul(x, b.broadcast(twice, x.type.shape, ()))
    total = b.add(b.reduce("reduce_sum", scaled, (0, 1)), twice)
    phases = split_phases(shard(_function(b, {"x": x, "s": s}, {"total": total}), True))
    assert [(p.kind, p.per_shard) for p in phases] == [("native", True), ("sum", False), ("native", False)]
    makers = [sum(twice in op.results for op in phase.ops) for phase in phases]
    assert makers == [1, 0, 1]


def test_results_without_rows_and_totals_are_made_once() -> None:
    b, x = Builder(), _input()
    constant = b.scalar(3.0, "f32")
    total = b.reduce("reduce_sum", x, (0, 1))
    phases = split_phases(shard(_function(b, {"x": x}, {"c": constant, "total": total}), True))
    assert [(p.kind, p.per_shard, p.outputs) for p in phases if p.kind == "native" and not p.per_shard] == [
        ("native", False, (constant,))
    ]
    assert phases[-1].outputs == (total,)


def test_a_partial_that_is_read_before_its_sum_is_a_bug_of_ours() -> None:
    b, x = Builder(), _input()
    partial = b.reduce("reduce_sum", x, (0, 1))
    total = Value(partial.type)
    b.ops.append(Operation("shard_sum", (partial,), NoAttrs(), (total,)))
    wrong = b.add(partial, total)
    with pytest.raises(CompilerBug, match="partial"):
        split_phases(_function(b, {"x": x}, {"out": wrong}))
