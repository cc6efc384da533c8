"""Equal computations become one; what only looks equal stays apart."""

from __future__ import annotations

import time

from hypothesis import given, settings

from bmc.ir import Function, Location
from bmc.ops.build import Builder
from bmc.passes.cse import cse
from bmc.source import SourceFile, Span
from tests.graphs import Options, graphs
from tests.passes.meaning import assert_same_meaning, names, read


def test_merges_equal_chains_and_remaps_results() -> None:
    before = read("""
    function "f" rows B {
      param %x: f32[B] = input "x"
      %a = exp(%x) : f32[B]
      %b = exp(%x) : f32[B]
      %c = neg(%a) : f32[B]
      %d = neg(%b) : f32[B]
      %y = add(%c, %d) : f32[B]
      output "y" = %y
      output "d" = %d
    }""")
    after = assert_same_meaning(before, cse)
    assert names(after) == ["exp", "neg", "add"]


def test_attributes_are_compared_exactly() -> None:
    before = read("""
    function "f" {
      param %x: f32[4] = input "x"
      %p = constant(value = 0.0, dtype = "f32", shape = [4]) : f32[4]
      %n = constant(value = -0.0, dtype = "f32", shape = [4]) : f32[4]
      %i = constant(value = 1, dtype = "i64", shape = []) : i64[]
      %b = constant(value = true, dtype = "bool", shape = []) : bool[]
      %j = constant(value = 1, dtype = "i32", shape = []) : i32[]
      %q = div(%x, %p) : f32[4]
      %m = div(%x, %n) : f32[4]
      output "q" = %q
      output "m" = %m
    }""")
    assert cse(before) is before


def test_random_numbers_of_different_sites_stay_apart() -> None:
    draw = 'random_uniform(%c, dtype = "f32", shape = [B, 2], site = "{}", rows = true) : f32[B, 2]'
    before = read(f"""
    function "f" rows B {{
      param %c: i64[8] = control "control"
      %a = {draw.format("one")}
      %b = {draw.format("two")}
      %again = {draw.format("one")}
      output "a" = %a
      output "b" = %b
      output "again" = %again
    }}""")
    after = cse(before)
    assert names(after) == ["random_uniform", "random_uniform"]
    assert after.results[0].value is after.results[2].value
    assert after.results[0].value is not after.results[1].value


def test_effects_and_kernels_are_left_alone() -> None:
    kernel = 'kernel(%x, kind = "map", name = "k") : f32[] region(%p: f32[]) {{ %q = {}(%p) : f32[] yield %q }}'
    before = read(f"""
    function "f" {{
      param %x: f32[] = input "x"
      guard_finite(%x)
      guard_finite(%x)
      %a = {kernel.format("exp")}
      %b = {kernel.format("neg")}
      output "a" = %a
      output "b" = %b
    }}""")
    assert cse(before) is before


def test_locations_are_joined_in_linear_time() -> None:
    """20,000 equal operations, each with a span of its own; pairwise joining would take minutes."""
    text = SourceFile("m.bm", "x" * 20_001)
    b = Builder()
    for i in range(20_000):
        with b.at(Location((Span(text, i, i + 1),), gradient=i > 0)):
            b.scalar(1.0, "f32")
    start = time.process_time()
    (op,) = cse(Function("f", (), tuple(b.ops), (), None)).ops
    assert time.process_time() - start < 5
    assert [span.start for span in op.location.spans] == list(range(20_000))
    assert not op.location.gradient


@settings(max_examples=40, deadline=None)
@given(graphs())
def test_random_graphs_keep_their_bits(function: Function) -> None:
    after = assert_same_meaning(function, cse)
    assert cse(after) is after


@settings(max_examples=20, deadline=None)
@given(graphs(Options(regions=False)))  # scans are left alone
def test_a_graph_beside_itself_becomes_one(function: Function) -> None:
    from dataclasses import replace

    values = {param.value: param.value for param in function.params}
    copies = []
    for op in function.ops:
        results = tuple(replace(value, name="") for value in op.results)
        copies.append(replace(op, operands=tuple(values[v] for v in op.operands), results=results))
        values.update(zip(op.results, results, strict=True))
    twins = tuple(replace(r, key=f"{r.key}.twin", value=values[r.value]) for r in function.results)
    doubled = replace(function, ops=(*function.ops, *copies), results=(*function.results, *twins))
    assert len(cse(doubled).ops) == len(cse(function).ops)
