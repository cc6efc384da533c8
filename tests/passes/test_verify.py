"""The verifier finds what breaks a rule, and says where."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bmc.errors import BmcError, CompilerBug
from bmc.ir import Function, Module, Operation, Poly, Result, TensorType, Value
from bmc.ir.text import RESERVED_WORDS
from bmc.ops.parse_text import parse_module
from bmc.passes.verify import check_module, faults, verify, verify_module
from bmc.source import SourceFile
from tests.graphs import graphs

GOOD = """
function "f" rows B {
  param %x: f32[B, 4] = input "x"
  param %w: f32[4] = weight "w"
  param %c: i64[8] = control "control"
  %wide = broadcast(%w, shape = [B, 4], axes = [1]) : f32[B, 4]
  %y = add(%x, %wide) : f32[B, 4]
  %s = reduce_sum(%y, axes = [0]) : f32[4]
  output "y" = %y
  update "w" = %s
}
"""


MUTATED = """
function "g" rows B {
  param %x: f32[B, 4] = input "x"
  param %w: f32[4, 3] = weight "w"
  param %k: i32[B] = input "k"
  %t = transpose(%w, permutation = [1, 0]) : f32[3, 4]
  %y = contract(%x, %w, lhs_batch = [], lhs_contract = [1], rhs_batch = [], rhs_contract = [0]) : f32[B, 3]
  %s = slice(%x, starts = [0, 3], stops = [B, -1], steps = [1, -1]) : f32[B, 4]
  %p = pad(%s, low = [0, 1], high = [0, 2], interior = [0, 1], value = 0.5) : f32[B, 10]
  %r = reshape(%s, shape = [B, 2, 2]) : f32[B, 2, 2]
  %b = broadcast(%y, shape = [2, B, 3], axes = [1, 2]) : f32[2, B, 3]
  %m = reduce_max(%r, axes = [1, 2]) : f32[B]
  %c = concat(%s, %p, axis = 1) : f32[B, 14]
  %a = scatter_add(%k, %y, rows = 5) : f32[5, 3]
  %n = kernel(%m, kind = "map", name = "neg") : f32[B] region(%v: f32[B]) { %u = neg(%v) : f32[B] yield %u }
  output "n" = %n
}
"""


def parse(text: str) -> Module:
    return parse_module(SourceFile("test.bmir", text))


def messages(text: str) -> list[str]:
    return [fault.message for fault in faults(parse(text).functions[0])]


def test_a_good_function_has_no_faults() -> None:
    verify_module(parse(GOOD))
    assert messages(GOOD) == []
    check_module(parse(MUTATED))


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("= add(%x, %wide) : f32[B, 4]", "= add(%x, %wide) : f64[B, 4]", "add gives f32[B, 4], but here stands f64[B, 4]"),
        ("add(%x, %wide)", "add(%x, %w)", "add: shapes differ: f32[B, 4] and f32[4]"),
        ("add(%x, %wide)", "add(%x)", "add: add takes 2 operands, not 1"),
        (
            "%y = add(%x, %wide) : f32[B, 4]",
            "%y, %z = add(%x, %wide) : f32[B, 4], f32[B, 4]",
            "add gives f32[B, 4], but here stands",
        ),
        ("axes = [0]) : f32[4]", "axes = [7]) : f32[4]", "reduce_sum: axis 7 is outside rank 2"),
        ('weight "w"', 'input "x"', "two parameters have the key 'x'"),
        ('output "y" = %y', 'output "y" = %y\n  output "y" = %x', "two results are the output 'y'"),
        ('update "w" = %s', 'update "w" = %y', "update 'w' is f32[B, 4], its parameter f32[4]"),
        ('update "w" = %s', 'update "control" = %c', "update 'control' is of a parameter that is control, which cannot change"),
        ("%x: f32[B, 4]", "%x: f32[0 - 1, 4]", "f32[-1, 4] has a negative dim"),
    ],
)
def test_faults(before: str, after: str, message: str) -> None:
    assert before in GOOD
    assert messages(GOOD.replace(before, after))[0].startswith(message)


def broken(change: str) -> Function:
    """A graph that no text can state."""
    (function,) = parse(GOOD).functions
    wide, add, total = function.ops
    if change == "order":
        return replace(function, ops=(add, wide, total))
    if change == "twice":
        return replace(function, ops=(wide, add, add, total))
    if change == "lost":
        return replace(function, results=(*function.results, Result(Value(TensorType("f32", ()), "lost"), "output", "lost")))
    if change == "operator":
        return replace(function, ops=(wide, add, replace(total, name="fold")))
    if change == "attributes":
        return replace(function, ops=(wide, add, replace(total, attrs=wide.attrs)))
    odd = Value(TensorType("f32", (Poly.symbol("a b"), 4)), "x")
    return replace(function, params=(replace(function.params[0], value=odd), *function.params[1:]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("order", "%wide is used but not defined before"),
        ("twice", "%y is defined twice"),
        ("lost", "output 'lost': %lost is used but not defined before"),
        ("operator", "there is no operator fold"),
        ("attributes", "reduce_sum: reduce_sum has attributes ReduceAttrs, not BroadcastAttrs"),
        ("symbol", "'a b' cannot name a dim in IR text"),
    ],
)
def test_faults_of_graphs(change: str, message: str) -> None:
    with pytest.raises(CompilerBug) as caught:
        verify(broken(change), "some_pass")
    assert caught.value.stage == "some_pass"
    assert f"function 'f': {message}" in caught.value.message


def test_the_report_shows_the_operation() -> None:
    with pytest.raises(CompilerBug) as caught:
        verify(parse(GOOD.replace("%y = add(%x, %wide) : f32[B, 4]", "%y = add(%x, %w) : f32[B, 4]")).functions[0])
    marked = [line for line in caught.value.message.splitlines() if line.startswith(">")]
    assert marked == [">   %y = add(%x, %w) : f32[B, 4]"]


def test_a_modules_functions_agree() -> None:
    other = GOOD.replace('"f"', '"g"').replace("[4]", "[5]").replace("4]", "5]")
    with pytest.raises(CompilerBug, match=r"'w' is f32\[4\] in function 'f' and f32\[5\] in 'g'"):
        verify_module(parse(GOOD + other))
    init = 'function "init" { %w = constant(value = 0.0, dtype = "f32", shape = [3]) : f32[3]\n update "w" = %w }'
    with pytest.raises(CompilerBug, match=r"'w' is f32\[4\] in function 'f' and f32\[3\] in 'init'"):
        verify_module(parse(GOOD + init))
    with pytest.raises(CompilerBug, match="two functions are called 'f'"):
        verify_module(parse(GOOD + GOOD))


def test_text_of_a_user_gets_diagnostics_with_spans() -> None:
    with pytest.raises(BmcError) as caught:
        check_module(parse(GOOD.replace("add(%x, %wide)", "add(%x, %w)").replace("axes = [0]", "axes = [3]")))
    found = [(d.code, d.span.text) for d in caught.value.diagnostics if d.span is not None]
    assert found == [("E0756", "%y = add(%x, %w)"), ("E0756", "%s = reduce_sum(%y, axes = [3])")]


# Kernels


def kernel(kind: str, body: str, results: str = "f32[B, 4]") -> str:
    names = ", ".join(f"%r{i}" for i in range(results.count("[")))
    return f"""
function "f" rows B {{
  param %x: f32[B, 4] = input "x"
  param %w: f32[4] = weight "w"
  param %m: f32[4, 4] = weight "m"
  {names} = kernel(%x, %w, %m, kind = "{kind}", name = "k") : {results} region(%a: f32[B, 4], %b: f32[4], %m: f32[4, 4]) {{
    {body}
  }}
}}
"""


WIDE = "%v = broadcast(%b, shape = [B, 4], axes = [1]) : f32[B, 4]"
DOT = "%c = contract(%a, %m, lhs_batch = [], lhs_contract = [1], rhs_batch = [], rhs_contract = [0]) : f32[B, 4]"
MAX = "%s = reduce_max(%a, axes = [1]) : f32[B]"
TWICE = "%v = broadcast(%s, shape = [B, 4], axes = [1]) : f32[B, 4]"
REST = "%d = sub(%a, %back) : f32[B, 4]"
COMPUTED = "%y = neg(%b) : f32[4] %v = broadcast(%y, shape = [B, 4], axes = [1]) : f32[B, 4] yield %v"
SUM = "%s = reduce_sum(%a, axes = [0]) : f32[4]"
BACK = "%back = broadcast(%s, shape = [B, 4], axes = [0]) : f32[B, 4]"


@pytest.mark.parametrize(
    "text",
    [
        kernel("map", f"{WIDE} %y = add(%a, %v) : f32[B, 4] yield %y"),
        kernel("map", f"{WIDE} %y = add(%a, %v) : f32[B, 4] yield %y, %v", "f32[B, 4], f32[B, 4]"),
        kernel("reduce", f"{MAX} {BACK} {REST} %t = reduce_sum(%d, axes = [1]) : f32[B] yield %d, %t", "f32[B, 4], f32[B]"),
        kernel("reduce", "%s = reduce_sum(%a, axes = [0]) : f32[4] yield %s", "f32[4]"),
        kernel("contract", f"{DOT} {WIDE} %y = add(%c, %v) : f32[B, 4] yield %y"),
    ],
)  # fmt: skip
def test_kernels_of_each_kind(text: str) -> None:
    assert messages(text) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (kernel("loop", "yield %a"), "kernel: 'loop' is no kind of kernel"),
        (kernel("map", "yield %b"), "kernel gives f32[4], but here stands f32[B, 4]"),
        (kernel("map", "yield %a, %b", "f32[B, 4], f32[4]"), "result %b is f32[4], outside the iteration space"),
        (kernel("map", f"{MAX} yield %s", "f32[B]"), "reduce_max cannot stand in a kernel of this kind"),
        (kernel("map", COMPUTED), "broadcast is a view of %y, which the kernel computes"),
        (kernel("reduce", "yield %a"), "a kernel of kind reduce reduces nothing"),
        (kernel("reduce", f"{SUM} %t = reduce_max(%a, axes = [1]) : f32[B] yield %s", "f32[4]"), "reduce_max reduces other axes"),
        (
            kernel("reduce", f"{SUM} {TWICE} %t = reduce_sum(%v, axes = [0]) : f32[4] yield %t", "f32[4]"),
            "reduce_sum depends on another reduction, and the axes [0] are not the last ones",
        ),
        (kernel("contract", "yield %a"), "a kernel of kind contract has one contraction, not 0"),
        (kernel("contract", f"%n = neg(%m) : f32[4, 4] {DOT.replace('%m', '%n')} yield %c"), "the contraction reads %n, which"),
        (kernel("contract", f"{DOT} yield %b", "f32[4]"), "result %b is f32[4], outside the iteration space"),
    ],
)  # fmt: skip
def test_faults_of_kernels(text: str, message: str) -> None:
    assert any(found.startswith(message) for found in messages(text)), messages(text)


@settings(max_examples=30, deadline=None)
@given(graphs())
def test_random_graphs_are_well_formed(function: Function) -> None:
    verify(function)


@settings(max_examples=60, deadline=None)
@given(graphs(), st.data())
def test_random_damage_is_found_or_harmless(function: Function, data: st.DataObject) -> None:
    """An operand exchanged for another value: the verifier finds it unless types and order still fit, and never fails itself."""
    if not function.ops:
        return
    position = data.draw(st.integers(0, len(function.ops) - 1))
    op = function.ops[position]
    if not op.operands:
        return
    known = [param.value for param in function.params] + [v for other in function.ops for v in other.results]
    value = data.draw(st.sampled_from(known))
    harmed = replace(op, operands=(value, *op.operands[1:]))
    ops = (*function.ops[:position], harmed, *function.ops[position + 1 :])
    before = {param.value for param in function.params} | {v for o in function.ops[:position] for v in o.results}
    harmless = value.type == op.operands[0].type and value in before
    found = list(faults(replace(function, ops=ops)))
    assert not (harmless and found)
    assert harmless or found or value in before


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_text_that_parses_is_well_formed_or_gets_a_diagnostic(data: st.DataObject) -> None:
    """Numbers, types and values exchanged: type rules must refuse by TypeRuleError whatever the attributes."""
    words = [word for word in re.split(r"([\s(),\[\]:]+)", MUTATED) if word]
    for _ in range(data.draw(st.integers(1, 3))):
        words[data.draw(st.integers(0, len(words) - 1))] = data.draw(st.sampled_from([*words, "7", "-1", "0 - 3", "B - 2", "f64"]))
    try:
        check_module(parse("".join(words)))
    except BmcError as error:
        assert error.diagnostics  # noqa: PT017  (either outcome is right; any other exception fails)


def test_reserved_words_cannot_be_symbols() -> None:
    assert {"true", "false", "none"} <= set(RESERVED_WORDS)
    for word in ("true", "none", "inf", "nan"):
        value = Value(TensorType("f32", (Poly.symbol(word),)))
        function = Function("f", (), (Operation("neg", (value,), None, (value,)),), (), None)
        assert any("cannot name a dim" in fault.message for fault in faults(function))
