"""Dead code goes; effects, results and parameters stay."""

from __future__ import annotations

from hypothesis import given, settings

from bmc.ir import Function
from bmc.passes.dce import dce
from tests.graphs import graphs
from tests.passes.meaning import assert_same_meaning, names, read


def test_removes_chains_that_nobody_reads() -> None:
    before = read("""
    function "f" rows B {
      param %x: f32[B] = input "x"
      param %unused: f32[3] = weight "w"
      %a = exp(%x) : f32[B]
      %b = log(%a) : f32[B]
      %y = neg(%x) : f32[B]
      output "y" = %y
    }""")
    after = assert_same_meaning(before, dce)
    assert names(after) == ["neg"]
    assert len(after.params) == 2


def test_keeps_effects_and_what_they_need() -> None:
    before = read("""
    function "f" {
      param %x: f32[] = input "x"
      %a = exp(%x) : f32[]
      guard_finite(%a)
    }""")
    assert dce(before) is before


def test_one_used_result_keeps_the_operation() -> None:
    before = read("""
    function "f" rows B {
      param %x: f32[B, 4] = input "x"
      %values, %order = sort(%x, descending = false) : f32[B, 4], i32[B, 4]
      output "order" = %order
    }""")
    assert dce(before) is before


@settings(max_examples=40, deadline=None)
@given(graphs())
def test_random_graphs(function: Function) -> None:
    assert dce(function) is function  # the strategy makes an output of whatever is not used
    last = function.results[-1:]
    partial = Function(function.name, function.params, function.ops, last, function.row)
    after = assert_same_meaning(partial, dce)
    used = {v for op in after.ops for v in op.operands} | {r.value for r in last}
    assert all(any(v in used for v in op.results) for op in after.ops)
