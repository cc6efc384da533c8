"""Text to tree: forms, spans, recovery, and bounds. Messages are in test_parse_errors.py."""

from __future__ import annotations

import time
from dataclasses import FrozenInstanceError, fields, is_dataclass, replace
from pathlib import Path

import pytest

from bmc.frontend.syntax import tree as s
from bmc.frontend.syntax.equality import syntax_equal
from bmc.frontend.syntax.parse import MAX_ERRORS, parse
from bmc.source import SourceFile, Span


def tree_of(text: str) -> s.File:
    tree, diagnostics = parse(SourceFile("a.bm", text))
    assert [d.message for d in diagnostics] == []
    return tree


def codes(text: str) -> list[str]:
    return [d.code for d in parse(SourceFile("a.bm", text))[1]]


def expression(text: str) -> s.Expr:
    (let,) = tree_of(f"let a = {text}").declarations
    assert isinstance(let, s.Let)
    return let.value


def body(text: str) -> tuple[s.Statement, ...]:
    (fn,) = tree_of("fn f(x: float[B]) -> float[B] {\n" + text + "\n}").declarations
    assert isinstance(fn, s.Callable)
    return fn.body


def show(node: object) -> str:
    """An expression with all its parentheses."""
    match node:
        case s.Name(text):
            return text
        case s.Integer(value) | s.Float(value):
            return repr(value)
        case s.String(value):
            return repr(value)
        case s.Unary(op, operand):
            return f"({op} {show(operand)})"
        case s.Binary(op, left, right) | s.Compare(op, left, right) | s.Logical(op, left, right):
            return f"({show(left)} {op} {show(right)})"
        case s.Call(callee, arguments):
            return f"{show(callee)}({', '.join(show(a.value) for a in arguments)})"
        case s.Attribute(value, name):
            return f"{show(value)}.{name.text}"
        case s.Pipe(value, stages):
            return "(" + " |> ".join([show(value), *(show(x) for x in stages)]) + ")"
        case s.Stage(callee, name):
            return show(callee) + (f" as {name.text}" if name else "")
        case s.TupleExpr(items):
            return "<" + ", ".join(show(i) for i in items) + ">"
        case s.ListExpr(items):
            return "[" + ", ".join(show(i) for i in items) + "]"
    raise AssertionError(node)


def nodes(root: object) -> list[object]:
    found, pending = [], [root]
    while pending:
        node = pending.pop()
        if isinstance(node, tuple):
            pending.extend(node)
        elif is_dataclass(node) and not isinstance(node, Span):
            found.append(node)
            pending.extend(getattr(node, f.name) for f in fields(node))
    return found


def test_examples_parse_without_a_diagnostic(example: Path) -> None:
    tree, diagnostics = parse(SourceFile(example.name, example.read_text(encoding="utf-8")))
    assert diagnostics == ()
    assert len(tree.declarations) >= 4


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("x + x |> f", "((x + x) |> f)"),
        ("a or b and not c == d", "(a or (b and (not (c == d))))"),
        ("-x ** 2", "(- (x ** 2))"),
        ("2 ** -x ** 3", "(2 ** (- (x ** 3)))"),
        ("a - b - c", "((a - b) - c)"),
        ("a * b @ c // d % e", "((((a * b) @ c) // d) % e)"),
        ("-(1 - pt) ** gamma * log(pt)", "((- ((1 - pt) ** gamma)) * log(pt))"),
        ("stars >= 4 |> number", "((stars >= 4) |> number)"),
        ("a + (b |> f as n |> g(1))", "(a + (b |> f as n |> g(1)))"),
        ("(x |> norm as n1, keep) |> A(D, h) as attn", "(<(x |> norm as n1), keep> |> A(D, h) as attn)"),
        ("stop_gradient(disc)(fake).w", "stop_gradient(disc)(fake).w"),
        ("x |> lib.f(1).g", "(x |> lib.f(1).g)"),
        ("[1, 2,]", "[1, 2]"),
        ("f(a, b,)", "f(a, b)"),
        ("20_000 + 1_0.5e-3", "(20000 + 0.0105)"),
        (r'"a\n\"\\\x41\u00e9\u{1F600}"', repr('a\n"\\Aé\U0001f600')),
    ],
)
def test_expression_binds_as_documented(text: str, shown: str) -> None:
    assert show(expression(text)) == shown


def test_newlines_end_statements_except_in_brackets_and_before_pipes() -> None:
    statements = body("  h = x\n    # a comment\n\n    |> f\n  y = g(h,\n    [1,\n     2])\n  return y; ;")
    assert [type(x) for x in statements] == [s.Assign, s.Assign, s.Return]
    assert show(statements[0].value) == "(x |> f)"


def test_blocks_on_one_line_and_braces_on_their_own() -> None:
    (branch,) = body("if a { x = 1; y = 2 } else if b\n{ x = 3 }\nelse { }")
    assert isinstance(branch, s.If)
    assert [len(b.body) for b in branch.branches] == [2, 1]
    assert branch.otherwise == ()


def test_words_of_the_language_are_names_where_they_start_no_such_statement() -> None:
    words = "use let fn layer model optimizer data train param state if else repeat scan yield columns where distinct in on by"
    text = "data D {\n columns {\n" + "\n".join(f"  {w}: str" for w in words.split()) + "\n }\n"
    text += "\n".join(f" {w} = {w} |> {w}({w} = {w}) as {w}" for w in words.split()) + "\n}"
    (data,) = tree_of(text).declarations
    assert isinstance(data, s.Data)
    columns, *outputs = data.entries
    assert isinstance(columns, s.Columns)
    assert [c.name.text for c in columns.columns] == words.split()
    assert [o.name.text for o in outputs if isinstance(o, s.Output)] == words.split()


def test_return_and_assert_may_be_columns_too() -> None:
    (data,) = tree_of("data D { columns { return: str; assert: f32 }; return = assert }").declarations
    assert isinstance(data, s.Data)
    assert len(data.entries) == 2


def test_arrow_and_brace_may_start_a_line() -> None:
    (fn,) = tree_of("fn f(x: f32)\n  # why\n  -> f32\n{\n  return x\n}").declarations
    assert isinstance(fn, s.Callable)


def test_error_behind_a_closed_block_is_that_of_the_outer_statement() -> None:
    text = "fn f() -> f32 {\n  if a { if b { x = 1 } } elif c { y = 2 }\n  z = 3\n}"
    tree, diagnostics = parse(SourceFile("a", text))
    assert len(diagnostics) == 1
    fn = tree.declarations[0]
    assert isinstance(fn, s.Callable)
    assert [type(x).__name__ for x in fn.body] == ["Assign"]


def test_scan_forms() -> None:
    with_options, plain = body("scan(axis = 1) a, b in x, y { yield o = a }\nscan a in in { yield o = a }")
    assert isinstance(with_options, s.Scan)
    assert isinstance(plain, s.Scan)
    assert [n.text for n in with_options.targets] == ["a", "b"]
    assert len(with_options.sequences) == 2
    assert len(with_options.options) == 1
    assert [show(x) for x in plain.sequences] == ["in"]


def test_repeat_forms() -> None:
    count, named, targets, both = body(
        "repeat n - 1 { }\nrepeat depth as layer { }\nrepeat c in cs { }\nrepeat c, t in zip(a, b) as st { }"
    )
    assert isinstance(count, s.Repeat)
    assert count.targets == ()
    assert count.name is None
    assert isinstance(named, s.Repeat)
    assert named.name is not None
    assert named.name.text == "layer"
    assert isinstance(targets, s.Repeat)
    assert len(targets.targets) == 1
    assert isinstance(both, s.Repeat)
    assert len(both.targets) == 2
    assert both.name is not None


def test_signatures() -> None:
    one, two, single = tree_of(
        "fn f(x: float[B], g = 2.0) -> float { }\nlayer L(u)(x: f32?[B] ) -> (a: f32[], b: f32?) { }".replace("?[B] ", "[B]?")
        + "\nmodel M()(x: f32) -> f32[0] { }"
    ).declarations
    assert isinstance(one, s.Callable)
    assert one.hyper is None
    assert len(one.inputs) == 2
    assert isinstance(two, s.Callable)
    assert two.hyper is not None
    assert two.inputs[0].type is not None
    assert two.inputs[0].type.nullable
    assert [r.name.text for r in two.results if r.name] == ["a", "b"]
    assert two.results[0].type.dims == ()
    assert two.results[1].type.dims is None
    assert isinstance(single, s.Callable)
    assert single.hyper == ()
    assert single.results[0].name is None
    assert two.signature.text == "layer L(u)(x: f32[B]?) -> (a: f32[], b: f32?)"


def test_slices() -> None:
    index = expression("x[:, 1:, :T, 0:2, ::2, 1:2:3, ..., none, -1]")
    assert isinstance(index, s.Index)
    parts = [
        tuple(p if p is None else show(p) for p in (i.start, i.stop, i.step)) if isinstance(i, s.Slice) else type(i).__name__
        for i in index.items
    ]
    none = None
    assert parts == [
        (none, none, none), ("1", none, none), (none, "T", none), ("0", "2", none), (none, none, "2"), ("1", "2", "3"),
        "Rest", "NoneLiteral", "Unary",
    ]  # fmt: skip


def test_train_header() -> None:
    (train,) = tree_of("train M(n = 9, on = 2) on on as as_ { }").declarations
    assert isinstance(train, s.Train)
    assert (train.model.text, train.data.text) == ("M", "on")
    assert train.name is not None
    assert train.name.text == "as_"
    assert train.arguments is not None
    assert len(train.arguments) == 2


def test_every_span_covers_its_children_and_says_its_source(example: Path) -> None:
    file = SourceFile(example.name, example.read_text(encoding="utf-8"))
    tree, _ = parse(file)
    for node in nodes(tree):
        own = node.span  # type: ignore[attr-defined]
        assert own.file is file
        assert 0 <= own.start <= own.end <= len(file.text)
        if isinstance(node, s.Name):
            assert own.text == node.text
        for field in fields(node):  # type: ignore[arg-type]
            value = getattr(node, field.name)
            for child in value if isinstance(value, tuple) else (value,):
                if is_dataclass(child) and not isinstance(child, Span):
                    assert own.start <= child.span.start
                    assert child.span.end <= own.end


def test_nodes_are_frozen_dataclasses_that_end_with_their_span() -> None:
    classes = [c for c in vars(s).values() if isinstance(c, type) and is_dataclass(c) and c is not Span]
    assert len(classes) > 40
    for cls in classes:
        assert fields(cls)[-1].name == "span"
        values = dict.fromkeys(cls.__match_args__, 1)
        made, same = cls(*values.values()), cls(**values)
        assert replace(made, span=2).span == 2
        assert made != same
        assert hash(made) != hash(same)
        assert repr(made).startswith(cls.__name__ + "(")
        for change in (lambda node=made: setattr(node, "span", 3), lambda node=made: delattr(node, "span")):
            with pytest.raises(FrozenInstanceError):
                change()
        for wrong in ((1,) * 9, (1, 1)[: len(values) - 1]):
            with pytest.raises(TypeError):
                cls(*wrong)


def test_operator_spans() -> None:
    value = expression("(aa + b) * c")
    assert isinstance(value, s.Binary)
    assert value.span.text == "(aa + b) * c"
    assert value.op_span.text == "*"
    assert value.left.span.text == "aa + b"


def test_windows_line_ends_and_byte_order_mark() -> None:
    text = "let a = 1\r\nlet b = f(\r\n 2)\r\n"
    assert syntax_equal(tree_of("\ufeff" + text), tree_of(text.replace("\r", "")))


def test_syntax_equal_sees_every_difference() -> None:
    texts = ["let a = 1", "let a = 1.0", "let b = 1", 'let a = "1"', "let a: i32 = 1", "let a = -1", "let a = [1]", "let a = -0.0",
             "let a = 0.0", "let a = f(b = 1)", "let a = f(1)", "let a = x |> f", "let a = x |> f as g", ""]  # fmt: skip
    trees = [tree_of(t) for t in texts]
    for i, a in enumerate(trees):
        for j, b in enumerate(trees):
            assert syntax_equal(a, b) == (i == j)


def test_several_errors_in_one_run_without_cascades() -> None:
    text = """
let a = 1 < x < 3
fn f(x: float[B]) -> float[B] {
  y = x |> g / 2
  z = (1, 2
  if x {
    w = 3 4
  }
  return y
}
let b = ]
data D { q = "open
  r = a
}
let c = 3
"""
    assert codes(text) == ["E0108", "E0109", "E0103", "E0111", "E0104", "E0105"]


def test_what_does_not_fail_is_in_the_tree() -> None:
    tree, diagnostics = parse(SourceFile("a", "let a = 1\nlet b = = 2\nfn f() -> f32 {\n x = 1 1\n return 2\n}\nlet c = 3"))
    assert len(diagnostics) == 2
    assert [type(d).__name__ for d in tree.declarations] == ["Let", "Callable", "Let"]
    fn = tree.declarations[1]
    assert isinstance(fn, s.Callable)
    assert [type(x).__name__ for x in fn.body] == ["Return"]


def test_missing_brace_costs_one_error() -> None:
    text = "layer A(x: f32) -> f32 {\n  if x {\n    y = 1\n  return x\n}\nlayer B(x: f32) -> f32 {\n  return x\n}\n"
    assert codes(text) == ["E0103"]


def test_unclosed_bracket_is_found_by_indentation() -> None:
    text = "fn f(x: f32) -> f32 {\n  y = g(x,\n    h(1\n  z = 3\n  return z\n}\nlet a = 1"
    tree, (error,) = parse(SourceFile("a", text))
    assert error.code == "E0103"
    assert error.span is not None
    assert error.span.line == 3
    fn = tree.declarations[0]
    assert isinstance(fn, s.Callable)
    assert len(fn.body) == 3


@pytest.mark.parametrize("opener", ["(", "[", "f(", "x[", "[(", "- ", "not ", "2 ** ", "a = f("])
def test_deep_nesting_is_a_diagnostic(opener: str) -> None:
    assert codes("let a = " + opener * 20_000 + "1") != []


def test_deep_blocks_are_a_diagnostic() -> None:
    text = "fn f() -> f32 {\n" + "if a {\n" * 5_000 + "}\n" * 5_000 + "}"
    assert codes(text) == ["E0112"]


def test_long_sums_are_bounded_and_long_pipes_are_not() -> None:
    assert codes("let a = " + " + ".join("x" * 100)) == []
    assert codes("let a = " + " + ".join("x" * 1000)) == ["E0112"]
    assert codes("let a = x" + " |> f" * 1000) == []
    assert codes("let a = [" + "1, " * 1000 + "]") == []


def test_errors_are_counted_and_capped() -> None:
    found = codes("let a = = 1\n" * 500)
    assert len(found) == MAX_ERRORS + 1
    assert found[-1] == "E0120"


@pytest.mark.parametrize(
    "unit",
    ["let a = f(1, b = [2, 3]) |> g as h\n", "let a = = 1\n", "(", "let a = (\n", "}\n", '"', "'", "é", "fn f() -> f32 {\n x = 1\n",
     "a |> ", "1 < ", "\\", "#", ";", "if a {\n", "[)", "x = 1\n", "data D { columns {\n"],
)  # fmt: skip
def test_time_is_linear(unit: str) -> None:
    """Quadratic work would multiply the time by 64 here; linear work by 8. The bound lies between, far from both, since the
    machine may be busy; the absolute floor keeps tiny times from deciding."""

    def seconds(count: int) -> float:
        file = SourceFile("a.bm", unit * count)
        start = time.process_time()
        parse(file)
        return time.process_time() - start

    small = max(min(seconds(400), seconds(400)), 0.004)
    assert seconds(3200) < 24 * small


def test_a_column_is_renamed_from_a_name_as_from_a_text() -> None:
    (data,) = tree_of('data D { columns { class as kind: str; "unit price" as price: f32?; as_is: f32 } }').declarations
    assert isinstance(data, s.Data)
    (columns,) = data.entries
    assert isinstance(columns, s.Columns)
    found = [(c.header.value if c.header else None, c.name.text) for c in columns.columns]
    assert found == [("class", "kind"), ("unit price", "price"), (None, "as_is")]
