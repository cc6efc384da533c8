"""Printing IR text and reading it back: every construct, every operator, exact values, any text."""

from __future__ import annotations

import math
import struct
import time
from dataclasses import fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bmc.errors import BmcError
from bmc.errors.catalogue import explain
from bmc.ir import Function, Module, Operation, Parameter, Poly, Region, Result, TensorType, Value
from bmc.ir.dims import floor_divide
from bmc.ir.text import RESERVED_WORDS, attribute_text, attributes_text, excerpt, print_function, print_module, quoted
from bmc.ir.text_syntax import unquoted
from bmc.ops.build import Builder
from bmc.ops.kernel import KernelAttrs
from bmc.ops.parse_text import parse_module
from bmc.ops.table import operators
from bmc.source import SourceFile
from bmc_grammar import grammar_text
from bmc_grammar.build import build_table
from tests.graphs import graphs

B = Poly.symbol("B")
T = Poly.symbol("T")
F32 = TensorType("f32", ())


def read(text: str) -> Module:
    return parse_module(SourceFile("test.bmir", text))


def around(module: Module) -> Module:
    """Print, read, print: the same text. Gives what was read."""
    text = print_module(module)
    again = read(text)
    assert print_module(again) == text
    return again


def one_op(op: Operation, **keys: str) -> Function:
    params = tuple(Parameter(value, "input", f"x{i}") for i, value in enumerate(op.operands))
    results = tuple(Result(value, "output", f"y{i}") for i, value in enumerate(op.results))
    return Function("f", params, (op,), results, "B")


TEXT = """\
function "train" rows B {
  param %x: f32[B, 4] = input "x"
  param %w: f32[4, 16] = weight "dense.1.w"
  param %m: f32[4, 16] = moment "dense.1.w@m"
  %y = contract(%x, %w, lhs_batch = [], lhs_contract = [1], rhs_batch = [], rhs_contract = [0]) : f32[B, 16]
  %k = kernel(%y, kind = "map", name = "neg") : f32[B, 16] region(%p: f32[B, 16]) {
    %neg = neg(%p) : f32[B, 16]
    yield %neg
  }
  %values, %order = sort(%k, descending = false) : f32[B, 16], i32[B, 16]
  %loss = reduce_sum(%values, axes = [0, 1]) : f32[]
  guard_finite(%loss)
  output "loss" = %loss
  update "dense.1.w@m" = %m
}

function "empty" {
}
"""


def test_prints_what_it_reads() -> None:
    assert print_module(read(TEXT)) == TEXT


def test_white_space_and_comments_do_not_matter() -> None:
    squeezed = " ".join(line.strip() for line in TEXT.splitlines())
    assert print_module(read("# head\n" + squeezed + "  # end")) == TEXT


def test_reads_roles_keys_rows_and_types() -> None:
    function, empty = read(TEXT).functions
    assert (function.name, function.row, empty.row) == ("train", "B", None)
    assert [(p.role, p.key) for p in function.params] == [("input", "x"), ("weight", "dense.1.w"), ("moment", "dense.1.w@m")]
    assert [(r.role, r.key) for r in function.results] == [("output", "loss"), ("update", "dense.1.w@m")]
    assert function.params[0].value.type == TensorType("f32", (B, 4))
    assert function.ops[1].regions[0].ops[0].operands[0] is function.ops[1].regions[0].params[0]


@pytest.mark.parametrize("name", sorted(operators()))
def test_every_operator_goes_around(name: str) -> None:
    record = operators()[name]
    for sample in record.samples():
        regions: tuple[Region, ...] = ()
        operands = tuple(Value(t, "x") for t in sample.operands)
        if record.region_types is not None:
            params = tuple(Value(t) for t in sample.operands)
            regions = (Region(params, (), params),)
            types = record.region_types(sample.operands, sample.attrs, regions)
        else:
            types = record.infer(sample.operands, sample.attrs)
        op = Operation(name, operands, sample.attrs, tuple(Value(t) for t in types), regions)
        (again,) = around(Module((one_op(op),))).functions[0].ops
        assert attributes_text(again.attrs) == attributes_text(op.attrs)
        for field in fields(sample.attrs):  # type: ignore[arg-type]
            before, after = getattr(op.attrs, field.name), getattr(again.attrs, field.name)
            assert type(before) is type(after), field.name
            assert isinstance(before, float) or before == after, field.name
            assert attribute_text(before) == attribute_text(after), field.name
        assert [v.type for v in again.results] == list(types)


def test_no_operator_has_a_reserved_name() -> None:
    assert not set(operators()) & {*RESERVED_WORDS, "inf", "nan"}


def constant(value: object, dtype: str = "f64") -> object:
    """What a constant's value becomes on its way through the text."""
    text = f'function "f" {{ %c = constant(value = {value}, dtype = "{dtype}", shape = []) : {dtype}[] }}'
    (op,) = read(text).functions[0].ops
    return op.attrs.value  # type: ignore[attr-defined]


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_floats_keep_every_bit(number: float) -> None:
    record = operators()["constant"]
    op = Operation("constant", (), record.attrs(number, "f64", ()), (Value(TensorType("f64", ())),))
    (again,) = around(Module((one_op(op),))).functions[0].ops
    assert struct.pack("d", again.attrs.value) == struct.pack("d", number)  # type: ignore[attr-defined]


def test_numbers_of_each_kind() -> None:
    assert constant("1") == 1
    assert type(constant("1")) is int
    assert type(constant("1.0")) is float
    assert constant("true", "bool") is True
    assert math.copysign(1.0, constant("-0.0")) == -1.0  # type: ignore[arg-type]
    assert constant("-inf") == -math.inf
    assert math.isnan(constant("nan"))  # type: ignore[arg-type]
    assert constant("-7", "i64") == -7


@given(st.text())
def test_strings_keep_every_character(text: str) -> None:
    assert unquoted(quoted(text)) == text
    assert "\n" not in quoted(text)
    function = Function(text, (Parameter(Value(F32), "input", text),), (), (), None)
    again = around(Module((function,))).functions[0]
    assert (again.name, again.params[0].key) == (text, text)


def test_lone_surrogates_survive() -> None:
    assert unquoted(quoted("a\udc80b")) == "a\udc80b"
    assert quoted("a\udc80b").isascii()


@pytest.mark.parametrize(
    "dim",
    [
        0,
        B,
        B * T + 3,
        2 * B * B - T + 1,
        -B,
        floor_divide(B + 1, 2),
        floor_divide(B, T) * 4 - 1,
        floor_divide(floor_divide(B, 2) + T, 3),
    ],
    ids=str,
)
def test_dims_go_around(dim: object) -> None:
    function = Function("f", (Parameter(Value(TensorType("f32", (dim, 4))), "input", "x"),), (), (), None)  # type: ignore[arg-type]
    assert around(Module((function,))).functions[0].params[0].value.type.shape == (dim, 4)


def test_names_are_unique_and_stable() -> None:
    values = [Value(F32, name) for name in ("x", "x", "x.1", "", "", "a b/c", "x.7", "x")]
    params = tuple(Parameter(value, "input", f"{i}") for i, value in enumerate(values))
    text = print_function(Function("f", params, (), (), None))
    names = [line.split(":")[0].split("%")[1] for line in text.splitlines()[1:-1]]
    assert names == ["x", "x.1", "x.2", "x.3", "x.4", "a_b_c", "x.7", "x.5"]
    assert print_module(read(text)) == text


def test_regions_name_values_by_themselves() -> None:
    def kernel(x: Value) -> Operation:
        inner = Value(F32, "x")
        b = Builder()
        return Operation("kernel", (x,), KernelAttrs("map"), (Value(F32, "x"),), (Region((inner,), tuple(b.ops), (inner,)),))

    x = Value(F32, "x")
    first = kernel(x)
    second = kernel(first.result)
    function = Function("f", (Parameter(x, "input", "x"),), (first, second), (Result(second.result, "output", "y"),), None)
    text = print_function(function)
    assert text.count("region(%x: f32[]) {") == 2
    assert print_module(read(text)) == text


def test_a_broken_graph_prints() -> None:
    lost = Value(F32, "lost")
    op = Operation("neg", (lost,), operators()["neg"].attrs(), (Value(F32, "y"),))
    assert "neg(%?lost)" in print_function(Function("f", (), (op,), (), None))


def test_excerpt_marks_the_operation() -> None:
    (function, _) = read(TEXT).functions
    shown = excerpt(function, function.ops[1], around=1)
    assert [line[2:12] for line in shown.splitlines() if line.startswith(">")] == ["  %k = ker", "    %neg =", "    yield ", "  }"]
    assert shown.splitlines()[0] == "  ... (5 operations)"
    assert excerpt(function, None, around=2).splitlines()[0].endswith('function "train" rows B {')


@settings(max_examples=40, deadline=None)
@given(graphs())
def test_random_graphs_go_around_with_and_without_locations(function: Function) -> None:
    around(Module((function,)))
    text = print_function(function, with_locs=True)
    again = read(text)
    assert print_module(again, with_locs=True) == text
    assert print_module(again) == print_function(function)


# Errors


def fault(text: str) -> tuple[str, str, str]:
    """Code, message and marked text of the first diagnostic."""
    with pytest.raises(BmcError) as caught:
        read(text)
    diagnostic = caught.value.diagnostics[0]
    assert explain(diagnostic.code) is not None
    assert diagnostic.span is not None
    return diagnostic.code, diagnostic.message, diagnostic.span.text


BAD_PERMUTATION = "attribute `permutation` of `transpose` cannot have this value"
UNDEFINED = "`%x` is used before anything defines it"
POSITIONS = "IR text: source positions start at 1:1 and may span 16 Mi characters at most"
DIM_LIMIT = "IR text: a dim has more than 256 terms or a degree above 64"


def located(location: str) -> str:
    return 'locations { 0 = "a" }\n' + body(f"%y = neg(%x) : f32[B] {location}")


def body(text: str) -> str:
    return 'function "f" rows B {\n  param %x: f32[B] = input "x"\n  ' + text + "\n}\n"


MISTAKES: list[tuple[str, str, str, str]] = [
    ("junk", "E0750", "IR text: `junk` cannot stand here", "junk"),
    ('function "f" {', "E0750", "IR text: the text ends here", ""),
    (body("%y = neg(%x) : f32[B] $"), "E0750", "IR text: '$' cannot start anything", "$"),
    (body('output "y = %x'), "E0750", "IR text: this string is not closed", '"'),
    (body('output "\\q" = %x'), "E0750", "IR text: this string has an escape that means nothing", '"\\q"'),
    (body("%y = negg(%x) : f32[B]"), "E0751", "there is no operator `negg`", "negg"),
    (body("%y = neg(%x, axis = 1) : f32[B]"), "E0752", "`neg` has no attribute `axis`", "axis"),
    (body("%y = transpose(%x) : f32[B]"), "E0752", "`transpose` lacks `permutation`", "transpose"),
    (body('%y = transpose(%x, permutation = ["a"]) : f32[B]'), "E0752", BAD_PERMUTATION, "permutation"),
    (body("%y = transpose(%x, permutation = [B]) : f32[B]"), "E0752", BAD_PERMUTATION, "permutation"),
    (body("%y = transpose(%x, permutation = 0) : f32[B]"), "E0752", BAD_PERMUTATION, "permutation"),
    (body("%y = transpose(%x, permutation = [true]) : f32[B]"), "E0752", BAD_PERMUTATION, "permutation"),
    (
        body("%y = transpose(%x, permutation = [0], permutation = [0]) : f32[B]"),
        "E0752",
        "attributes of `transpose`: `permutation` is given twice",
        "permutation",
    ),
    (body("%y, %z = neg(%x) : f32[B]"), "E0752", "attributes of `neg`: 2 results have 1 types", "neg"),
    (body("%y = neg(%z) : f32[B]"), "E0753", "`%z` is used before anything defines it", "%z"),
    (body("%x = neg(%x) : f32[B]"), "E0753", "`%x` is defined twice", "%x"),
    (body('%y = kernel(%x, kind = "map") : f32[B] region() { yield %x }'), "E0753", UNDEFINED, "%x"),
    (body("%y = neg(%x) : g32[B]"), "E0754", "`g32` is not a dtype", "g32"),
    ('function "f" { param %x: f32[] = thing "x" }', "E0754", "`thing` is not a role of parameters", "thing"),
    (body("%y = neg(%x) : f32[B] @ 0:1:1-1:2"), "E0754", "the table of locations has no file 0", "@ 0:1:1-1:2"),
    (located("@ 3:1:1-1:2"), "E0754", "the table of locations has no file 3", "locations"),
    (located("@ 0:999999999:1-1:2"), "E0755", POSITIONS, "locations"),
    (located("@ 0:0:1-1:2"), "E0755", POSITIONS, "locations"),
    (body(f"%y = neg(%x) : f32[{'1' * 21}]"), "E0755", "IR text: an integer has more than 20 digits", "1" * 21),
    (body("%y = neg(%x) : f32[1 // 0]"), "E0755", "IR text: a dim is divided by zero", "//"),
    (body(f"%y = neg(%x) : f32[{'B*' * 70}B]"), "E0755", DIM_LIMIT, "*"),
    (body(f"%y = neg(%x) : f32[{'*'.join(f'(a{i} + b{i})' for i in range(12))}]"), "E0755", DIM_LIMIT, "*"),
    (body(f"%y = neg(%x) : f32[B{' // (B + 1)' * 10}]"), "E0755", "IR text: floor divisions nest more than 8 deep", "//"),
    (body("%y = transpose(%x, permutation = " + "[" * 100_000), "E0755", "IR text: brackets nest more than 64 deep", "["),
    (body(f"%y = neg(%x) : f32[{'(' * 70}B{')' * 70}]"), "E0755", "IR text: brackets nest more than 64 deep", "("),
    (body("%y = neg(%x) : f32[B, ]"), "E0750", "IR text: `]` cannot stand here", "]"),
    (body("%y = neg(%x) : f32[B"), "E0750", "IR text: `f32` cannot stand here", "f32"),
    ("f32 [B]", "E0750", "IR text: `f32` cannot stand here", "f32"),
]


@pytest.mark.parametrize(("text", "code", "message", "marked"), MISTAKES, ids=lambda value: str(value)[-40:])
def test_mistakes_have_spans(text: str, code: str, message: str, marked: str) -> None:
    assert fault(text) == (code, message, marked)


def test_several_mistakes_are_reported_together() -> None:
    with pytest.raises(BmcError) as caught:
        read(body("%y = neg(%a) : f32[B]\n  %z = neg(%b) : f32[B]"))
    assert [d.span.text for d in caught.value.diagnostics if d.span] == ["%a", "%b"]


def module_or_error(text: str) -> Module | BmcError:
    """Any other exception fails the test."""
    try:
        return read(text)
    except BmcError as error:
        return error


PIECES = [
    *"{}()[],:=+-*@é\\\n", "//", '"', '"f"', '"map"', "%x", "%y", "B", "0", "1.5", "nan", "-inf", "9" * 24, "@ 0:1:1-1:2",
    "true", "none", "function", "rows", "param", "input", "f32", "add", "transpose", "permutation", "region", "yield",
    "output", "update", "locations", "kernel", "kind",
]  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=40))
def test_token_soup_ends_in_a_module_or_a_diagnostic(pieces: list[str]) -> None:
    outcome = module_or_error(" ".join(pieces))
    if isinstance(outcome, BmcError):
        assert all(explain(d.code) is not None for d in outcome.diagnostics)


LINES = TEXT.splitlines()


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_mutated_text_ends_in_a_module_or_a_diagnostic(data: st.DataObject) -> None:
    text = TEXT
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        stop = data.draw(st.integers(start, min(start + 6, len(text))))
        text = text[:start] + data.draw(st.sampled_from(["", *PIECES]) | st.text(max_size=3)) + text[stop:]
    outcome = module_or_error(text)
    if isinstance(outcome, Module):
        around(outcome)


def test_the_grammar_has_no_conflicts() -> None:
    build_table(grammar_text("bmir"))  # raises in strict mode


def chain(operations: int) -> Function:
    b = Builder()
    x = Value(TensorType("f32", (B, 64)), "x")
    y = x
    for _ in range(operations // 3):
        y = b.add(b.mul(y, 1.5), x)
    return Function("deep", (Parameter(x, "input", "x"),), tuple(b.ops), (Result(y, "output", "y"),), "B")


def test_deep_graphs_take_linear_time() -> None:
    """24,000 operations against 3,000: eight times the time, and twice that at most for noise and caches."""

    def seconds(operations: int) -> float:
        text = print_function(chain(operations))
        start = time.process_time()
        module = read(text)
        assert print_module(module) == text
        return time.process_time() - start

    small = min(seconds(3000) for _ in range(2))
    assert seconds(24_000) < 16 * small + 0.1
