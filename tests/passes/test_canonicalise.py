"""Each rewrite, where it holds and where it must not; random graphs keep their values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from bmc.ir import Function
from bmc.ops.shape import BroadcastAttrs, SliceAttrs, TransposeAttrs
from bmc.passes.canonicalise import canonicalise
from bmc.passes.dce import dce
from bmc.passes.fold import fold
from tests.graphs import Options, graphs
from tests.passes.meaning import assert_same_meaning, defining, names, read, results


def function(body: str) -> Function:
    return read(f"""
    function "f" rows B {{
      param %x: f32[B, 4] = input "x"
      param %w: f32[4, 3] = weight "w"
      param %k: i32[B] = input "k"
      param %c: bool[B, 4] = input "c"
      param %u: f32[B, 2, 3] = input "u"
      {body}
      output "y" = %y
    }}""")


def simplified(body: str, zeros: bool = True) -> Function:
    return dce(assert_same_meaning(function(body), canonicalise, zeros=zeros))


def constant(value: str, dtype: str = "f32", shape: str = "[B, 4]") -> str:
    return f'constant(value = {value}, dtype = "{dtype}", shape = {shape}) : {dtype}{shape}'


GONE = {
    "x * 1": f"%one = {constant('1.0')} %y = mul(%x, %one) : f32[B, 4]",
    "1 * x": f"%one = {constant('1.0')} %y = mul(%one, %x) : f32[B, 4]",
    "x * 1, an integer in the constant": f"%one = {constant('1')} %y = mul(%x, %one) : f32[B, 4]",
    "x / 1": f"%one = {constant('1.0')} %y = div(%x, %one) : f32[B, 4]",
    "x - 0": f"%zero = {constant('0.0')} %y = sub(%x, %zero) : f32[B, 4]",
    "x + -0": f"%zero = {constant('-0.0')} %y = add(%x, %zero) : f32[B, 4]",
    "integer x + 0": f"%zero = {constant('0', 'i32', '[B]')} %y = add(%k, %zero) : i32[B]",
    "integer 1 * x": f"%one = {constant('1', 'i32', '[B]')} %y = mul(%one, %k) : i32[B]",
    "x ** 1": f"%one = {constant('1.0')} %y = pow(%x, %one) : f32[B, 4]",
    "--x": "%n = neg(%x) : f32[B, 4] %y = neg(%n) : f32[B, 4]",
    "not not c": "%n = logical_not(%c) : bool[B, 4] %y = logical_not(%n) : bool[B, 4]",
    "max(x, x)": "%y = maximum(%x, %x) : f32[B, 4]",
    "c and c": "%y = logical_and(%c, %c) : bool[B, 4]",
    "cast to itself": '%y = cast(%x, dtype = "f32") : f32[B, 4]',
    "there and back": '%d = cast(%x, dtype = "f64") : f64[B, 4] %y = cast(%d, dtype = "f32") : f32[B, 4]',
    "bool there and back": '%d = cast(%c, dtype = "f32") : f32[B, 4] %y = cast(%d, dtype = "bool") : bool[B, 4]',
    "select of equals": "%y = select(%c, %x, %x) : f32[B, 4]",
    "select by a constant": f"%t = {constant('true', 'bool')} %n = neg(%x) : f32[B, 4] %y = select(%t, %x, %n) : f32[B, 4]",
    "broadcast to itself": "%y = broadcast(%x, shape = [B, 4], axes = [0, 1]) : f32[B, 4]",
    "transpose of nothing": "%y = transpose(%x, permutation = [0, 1]) : f32[B, 4]",
    "transposed twice": "%t = transpose(%x, permutation = [1, 0]) : f32[4, B] %y = transpose(%t, permutation = [1, 0]) : f32[B, 4]",
    "slice of all": "%y = slice(%x, starts = [0, 0], stops = [B, 4], steps = [1, 1]) : f32[B, 4]",
    "flipped twice": "%f = slice(%x, starts = [0, 3], stops = [B, -1], steps = [1, -1]) : f32[B, 4]"
    " %y = slice(%f, starts = [0, 3], stops = [B, -1], steps = [1, -1]) : f32[B, 4]",
    "reshape there and back": "%r = reshape(%x, shape = [B, 2, 2]) : f32[B, 2, 2] %y = reshape(%r, shape = [B, 4]) : f32[B, 4]",
    "concat of one": "%y = concat(%x, axis = 1) : f32[B, 4]",
    "sum over nothing": "%y = reduce_sum(%x, axes = []) : f32[B, 4]",
}


@pytest.mark.parametrize("body", GONE.values(), ids=list(GONE))
def test_leaves_nothing(body: str) -> None:
    assert names(simplified(body)) == []


REWRITTEN = {
    "x / 4": (f"%four = {constant('4.0')} %y = div(%x, %four) : f32[B, 4]", ["constant", "mul"]),
    "select by not": (
        "%d = logical_not(%c) : bool[B, 4] %n = neg(%x) : f32[B, 4] %y = select(%d, %x, %n) : f32[B, 4]",
        ["neg", "select"],
    ),
    "cast by way of a wider dtype": ('%d = cast(%k, dtype = "i64") : i64[B] %y = cast(%d, dtype = "f32") : f32[B]', ["cast"]),
    "broadcast of broadcast": (
        "%v = reduce_sum(%x, axes = [0]) : f32[4] %b = broadcast(%v, shape = [3, 4], axes = [1]) : f32[3, 4]"
        " %y = broadcast(%b, shape = [B, 3, 4], axes = [1, 2]) : f32[B, 3, 4]",
        ["reduce_sum", "broadcast"],
    ),
    "broadcast of a unit dim put in": (
        "%v = reduce_sum(%x, axes = [1]) : f32[B] %r = reshape(%v, shape = [B, 1]) : f32[B, 1]"
        " %y = broadcast(%r, shape = [B, 4], axes = [0, 1]) : f32[B, 4]",
        ["reduce_sum", "broadcast"],
    ),
    "broadcast of transpose": (
        "%t = transpose(%w, permutation = [1, 0]) : f32[3, 4] %y = broadcast(%t, shape = [B, 3, 4], axes = [1, 2]) : f32[B, 3, 4]",
        ["broadcast"],
    ),
    "transpose of broadcast": (
        "%b = broadcast(%w, shape = [B, 4, 3], axes = [1, 2]) : f32[B, 4, 3]"
        " %y = transpose(%b, permutation = [0, 2, 1]) : f32[B, 3, 4]",
        ["broadcast"],
    ),
    "three transposes": (
        "%a = transpose(%u, permutation = [2, 0, 1]) : f32[3, B, 2] %b = transpose(%a, permutation = [1, 0, 2]) : f32[B, 3, 2]"
        " %y = transpose(%b, permutation = [0, 2, 1]) : f32[B, 2, 3]",
        [],
    ),
    "slice of slice": (
        "%s = slice(%x, starts = [0, 3], stops = [B, -1], steps = [1, -1]) : f32[B, 4]"
        " %y = slice(%s, starts = [0, 1], stops = [B, 4], steps = [1, 2]) : f32[B, 2]",
        ["slice"],
    ),
    "reshape of reshape": (
        "%r = reshape(%u, shape = [B, 6]) : f32[B, 6] %y = reshape(%r, shape = [B, 3, 2]) : f32[B, 3, 2]",
        ["reshape"],
    ),
    "product with both operands transposed": (
        "%a = transpose(%x, permutation = [1, 0]) : f32[4, B] %b = transpose(%w, permutation = [1, 0]) : f32[3, 4]"
        " %y = contract(%a, %b, lhs_batch = [], lhs_contract = [0], rhs_batch = [], rhs_contract = [1]) : f32[B, 3]",
        ["contract"],
    ),
    "batched product of a transpose": (
        "%a = transpose(%u, permutation = [2, 0, 1]) : f32[3, B, 2]"
        " %y = contract(%a, %u, lhs_batch = [1], lhs_contract = [2], rhs_batch = [0], rhs_contract = [1]) : f32[B, 3, 3]",
        ["contract"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("body", "left"), REWRITTEN.values(), ids=list(REWRITTEN))
def test_leaves_less(body: str, left: list[str]) -> None:
    assert names(simplified(body)) == left


def test_a_square_is_a_product() -> None:
    """A product is within 0.5 units in the last place, numpy's power within 1: they may be neighbours."""
    before = function(f"%two = {constant('2.0')} %y = pow(%x, %two) : f32[B, 4]")
    after = dce(canonicalise(before))
    assert names(after) == ["mul"]
    np.testing.assert_array_max_ulp(results(after)["y"], results(before)["y"], maxulp=1)


def test_max_over_one_cell_is_a_reshape() -> None:
    body = "%r = reshape(%x, shape = [B, 1, 4]) : f32[B, 1, 4] %y = reduce_max(%r, axes = [1]) : f32[B, 4]"
    assert names(simplified(body)) == []
    body = "%r = reshape(%x, shape = [B, 1, 2, 2]) : f32[B, 1, 2, 2] %y = reduce_sum(%r, axes = [1]) : f32[B, 2, 2]"
    assert names(simplified(body, zeros=False)) == ["reshape"]


STAYS = {
    "x + 0 turns -0 into 0": f"%zero = {constant('0.0')} %y = add(%x, %zero) : f32[B, 4]",
    "x - -0 turns -0 into 0": f"%zero = {constant('-0.0')} %y = sub(%x, %zero) : f32[B, 4]",
    "0 * x may be NaN or -0": f"%zero = {constant('0.0')} %y = mul(%x, %zero) : f32[B, 4]",
    "x - x may be NaN": "%y = sub(%x, %x) : f32[B, 4]",
    "x / 3 is not x * (1 / 3)": f"%three = {constant('3.0')} %y = div(%x, %three) : f32[B, 4]",
    "a lossy cast and back": '%h = cast(%x, dtype = "i32") : i32[B, 4] %y = cast(%h, dtype = "f32") : f32[B, 4]',
    "integer by way of a float saturates": '%d = cast(%k, dtype = "f64") : f64[B] %y = cast(%d, dtype = "u8") : u8[B]',
    "integer through f32 rounds": '%d = cast(%k, dtype = "f32") : f32[B] %y = cast(%d, dtype = "i32") : i32[B]',
    "max over several cells": "%y = reduce_max(%x, axes = [1]) : f32[B]",
    "sum over the row dim": "%y = reduce_sum(%x, axes = [0]) : f32[4]",
    "transpose that reorders free axes": "%a = transpose(%u, permutation = [2, 1, 0]) : f32[3, 2, B]"
    " %y = contract(%a, %w, lhs_batch = [], lhs_contract = [0], rhs_batch = [], rhs_contract = [1]) : f32[2, B, 4]",
    "reshape that splits a dim": "%r = reshape(%x, shape = [B, 2, 2]) : f32[B, 2, 2]"
    " %y = broadcast(%r, shape = [3, B, 2, 2], axes = [1, 2, 3]) : f32[3, B, 2, 2]",
}  # fmt: skip


@pytest.mark.parametrize("body", STAYS.values(), ids=list(STAYS))
def test_stays(body: str) -> None:
    before = function(body)
    assert canonicalise(before) is before


def test_composed_attributes() -> None:
    after = simplified(
        "%t = transpose(%w, permutation = [1, 0]) : f32[3, 4] %y = broadcast(%t, shape = [3, 2, 4], axes = [0, 2]) : f32[3, 2, 4]"
    )
    op = defining(after)
    assert op is not None
    assert op.attrs == BroadcastAttrs((3, 2, 4), (2, 0))
    after = simplified(
        "%a = transpose(%u, permutation = [2, 0, 1]) : f32[3, B, 2] %y = transpose(%a, permutation = [2, 1, 0]) : f32[2, B, 3]"
    )
    op = defining(after)
    assert op is not None
    assert op.attrs == TransposeAttrs((1, 0, 2))
    after = simplified(
        "%s = slice(%x, starts = [0, 3], stops = [B, 0], steps = [1, -1]) : f32[B, 3]"
        " %y = slice(%s, starts = [0, 2], stops = [B, -1], steps = [1, -2]) : f32[B, 2]"
    )
    op = defining(after)
    assert op is not None
    assert isinstance(op.attrs, SliceAttrs)
    assert (op.attrs.starts[1], op.attrs.stops[1], op.attrs.steps[1]) == (1, 4, 2)


def test_names_and_locations_are_handed_on() -> None:
    before = function(f"%four = {constant('4.0')} %y = div(%x, %four) : f32[B, 4]")
    op = defining(canonicalise(before))
    assert op is not None
    assert op.name == "mul"
    assert op.result.name == "y"
    assert op.location == before.ops[-1].location


def test_rewrites_of_one_operation_are_bounded() -> None:
    """A chain of 200 transposes is one sweep: each looks at one operation before it, which is simple already."""
    lines = ["%t0 = transpose(%u, permutation = [1, 2, 0]) : f32[2, 3, B]"]
    shapes = ["2, 3, B", "3, B, 2", "B, 2, 3"]
    lines += [f"%t{i} = transpose(%t{i - 1}, permutation = [1, 2, 0]) : f32[{shapes[i % 3]}]" for i in range(1, 200)]
    after = simplified(" ".join(lines) + " %y = transpose(%t199, permutation = [0, 1, 2]) : f32[3, B, 2]")
    assert names(after) == ["transpose"]


@settings(max_examples=80, deadline=None)
@given(graphs())
def test_random_graphs_keep_their_values(function: Function) -> None:
    """The same values; a sum over one cell that is left out keeps -0, and `0 + -0` does not, so signs of zeros may differ."""
    after = assert_same_meaning(function, canonicalise, zeros=False)
    assert len(dce(after).ops) <= len(function.ops)


@settings(max_examples=40, deadline=None)
@given(graphs(Options(dtype="f32")))
def test_random_graphs_of_f32_after_folding(function: Function) -> None:
    assert_same_meaning(function, lambda f: dce(canonicalise(fold(f))), zeros=False)
