"""Scans through the whole back half: native loops against the reference evaluator.

Both compute the same operations in f64; products and sums of a handful of addends in another order differ by some units of
1e-16, which a few turns enlarge by less than a hundredfold.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bmc.driver.compiled import Options
from bmc.driver.lower import lower_function
from bmc.errors import CompilerBug
from bmc.ir import Function, Operation, Parameter, Poly, Region, Result, TensorType, Value
from bmc.ir.text import print_module
from bmc.ops.build import Builder
from bmc.ops.evaluate import evaluate
from bmc.ops.parse_text import parse_module
from bmc.ops.scan_parts import LoopAttrs, ScanAttrs
from bmc.passes.autodiff import autodiff
from bmc.passes.fuse import fuse_phases
from bmc.passes.memory.loops import check_loop, with_loops
from bmc.passes.phase_text import phases_as_module
from bmc.passes.pipeline import GRAPH_PASSES
from bmc.passes.plan_memory import plan_memory
from bmc.passes.split_phases import split_phases
from bmc.source import SourceFile
from tests.native import NativeFunction
from tests.passes.executor import run_plan
from tests.scans import inputs_of, recurrent_step

OPTIONAL = tuple(p.name for p in GRAPH_PASSES if p.optional)
RTOL, ATOL = 1e-13, 1e-13


def assert_same(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    for key, array in wanted.items():
        np.testing.assert_allclose(found[key], array, rtol=RTOL, atol=ATOL, err_msg=key)


@pytest.mark.parametrize("reverse", [False, True])
def test_one_compilation_runs_any_number_of_rows_and_turns(reverse: bool) -> None:
    function = recurrent_step(reverse)
    native = NativeFunction.compile(function)
    for rows, length in [(1, 1), (5, 4), (17, 3), (4, 0), (3, 9)]:
        inputs, dims = inputs_of(rows, length), {"B": rows, "T": length}
        assert_same(native.run(inputs, dims), evaluate(autodiff(function), inputs, dims, np))


@pytest.mark.parametrize("disabled", [(), *((name,) for name in OPTIONAL), OPTIONAL], ids=" ".join)
def test_every_optional_pass_may_be_left_out(disabled: tuple[str, ...]) -> None:
    function = recurrent_step(length=4)
    inputs, dims = inputs_of(6, 4), {"B": 6}
    native = NativeFunction.compile(function, Options(disabled=disabled))
    assert_same(native.run(inputs, dims), evaluate(autodiff(function), inputs, dims, np))


@pytest.mark.parametrize("shards", [2, 4])
def test_on_shards(shards: int) -> None:
    function = recurrent_step()
    native = NativeFunction.compile(function, Options(sharded=True))
    inputs, dims = inputs_of(9, 4), {"B": 9, "T": 4}
    assert_same(native.run(inputs, dims, shards), evaluate(autodiff(function), inputs, dims, np))


def nested() -> Function:
    """Running sums of running products: a scan in a scan."""
    b, t, s = Poly.symbol("B"), Poly.symbol("T"), Poly.symbol("S")
    x = Value(TensorType("f64", (b, t, s)), "x")
    product, factor = (Value(TensorType("f64", (b,)), name) for name in ("product", "factor"))
    inner = Builder()
    inside = Region((product, factor), (*_ops(inner, inner.mul(product, factor)),), (inner.ops[-1].result,))
    total, row = Value(TensorType("f64", (b,)), "total"), Value(TensorType("f64", (b, s)), "row")
    outer = Builder()
    one, turned = outer.full(1.0, total.type), outer.transpose(row, (1, 0))
    (made,) = outer.operation("scan", [one, turned], ScanAttrs(1, 1, True, s), (inside,)).results
    added = outer.add(total, made)
    region = Region((total, row), tuple(outer.ops), (added, made))
    body = Builder()
    zero, rows = body.full(0.0, total.type), body.transpose(x, (1, 0, 2))
    last, every = body.operation("scan", [zero, rows], ScanAttrs(1, 1, False, t), (region,)).results
    loss = body.reduce("reduce_sum", body.mul(last, last), (0,))
    (slope,) = body.operation("gradient", [loss, x]).results
    results = [
        Result(loss, "output", "loss"),
        Result(body.transpose(every, (1, 0)), "output", "every"),
        Result(slope, "output", "d_x"),
    ]
    return Function("train", (Parameter(x, "input", "x"),), tuple(body.ops), tuple(results), "B")


def _ops(builder: Builder, _: Value) -> list[Operation]:
    return builder.ops


def test_a_scan_in_a_scan() -> None:
    function = nested()
    native = NativeFunction.compile(function)
    x = np.random.default_rng(0).uniform(0.5, 1.5, size=(4, 3, 5))
    found = native.run({"x": x}, {"B": 4, "T": 3, "S": 5})
    total = x.prod(2).sum(1)
    np.testing.assert_allclose(found["every"], x.prod(2), rtol=1e-14)
    np.testing.assert_allclose(found["loss"], (total**2).sum(), rtol=1e-13)
    np.testing.assert_allclose(found["d_x"], 2 * total[:, None, None] * x.prod(2, keepdims=True) / x, rtol=1e-13)


def test_the_plan_on_simulated_memory() -> None:
    function = autodiff(recurrent_step(length=4))
    fused = tuple(replace(phase, ops=with_loops(phase.ops)) for phase in fuse_phases(function, split_phases(function)))
    inputs, dims = inputs_of(5, 4), {"B": 5}
    assert_same(run_plan(function, plan_memory(function, fused), inputs, dims), evaluate(function, inputs, dims, np))


def loops() -> list[Operation]:
    (lowered,) = lower_function(recurrent_step(), Options())
    return [op for phase in lowered.fused for op in phase.ops if op.name == "loop"]


def test_a_turn_that_destroys_what_it_needs_is_found() -> None:
    found = loops()
    assert len(found) == 2
    for op in found:
        check_loop(op)
        assert isinstance(op.attrs, LoopAttrs)
        inside = [k for k, at in enumerate(op.attrs.places) if at != -1]
        for k in inside:
            for other in inside:
                if op.attrs.places[k] != op.attrs.places[other]:
                    moved = list(op.attrs.places)
                    moved[k] = moved[other]
                    wrong = replace(op, attrs=replace(op.attrs, places=tuple(moved)))
                    assert _is_refused(wrong) or _may_share(op, k, other)
        with pytest.raises(CompilerBug, match="places"):
            check_loop(replace(op, attrs=replace(op.attrs, places=op.attrs.places[1:])))
        with pytest.raises(CompilerBug, match="workspace"):
            check_loop(replace(op, attrs=replace(op.attrs, workspace=0)))


def test_loops_print_what_parses_back() -> None:
    """Whole phases, whose loops have kernels in their turns, a workspace and its places."""
    (lowered,) = lower_function(recurrent_step(), Options())
    module = phases_as_module(lowered.graph, lowered.fused)
    text = print_module(module)
    assert text.count("loop(") == 2
    again = parse_module(SourceFile("phases.bmir", text))
    assert print_module(again) == text
    (before, after) = ([op for f in m.functions for op in f.ops if op.name == "loop"] for m in (module, again))
    for old, new in zip(before, after, strict=True):
        assert new.attrs == old.attrs
        assert [op.name for op in new.regions[0].ops] == [op.name for op in old.regions[0].ops]
        check_loop(new)


def _is_refused(op: Operation) -> bool:
    try:
        check_loop(op)
    except CompilerBug:
        return True
    return False


def _may_share(op: Operation, k: int, other: int) -> bool:
    """Whether two values of a turn are never needed at the same time: the one is last read before the other is made."""
    (region,) = op.regions
    run = [inner for inner in region.ops if inner.name != "reshape"]
    alias = {inner.result: inner.operands[0] for inner in region.ops if inner.name == "reshape"}

    def root(value: Value) -> Value:
        while value in alias:
            value = alias[value]
        return value

    made = [(time, value) for time, inner in enumerate(run) for value in inner.results]
    spans = []
    for time, value in (made[k], made[other]):
        if value in region.results:
            return False
        spans.append((time, max([time, *(t for t, inner in enumerate(run) if any(root(v) is value for v in inner.operands))])))
    (a, b), (c, d) = spans
    return b < c or d < a
