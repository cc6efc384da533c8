"""Formatting: the forms it writes, that it is idempotent, and that it changes no meaning and loses no comment.

That the meaning and the comments are kept is checked by `format_source` itself, which raises CompilerBug otherwise.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bmc.errors import BmcError
from bmc.frontend.syntax.format import format_source
from bmc.source import SourceFile

EXAMPLES = [p.read_text(encoding="utf-8") for p in sorted((Path(__file__).parents[2] / "examples").glob("*.bm"))]


def formatted(text: str) -> str:
    return format_source(SourceFile("a.bm", text))


def assert_stable(text: str) -> str:
    once = formatted(text)
    assert formatted(once) == once
    return once


def test_examples_are_stable(example: Path) -> None:
    once = assert_stable(example.read_text(encoding="utf-8"))
    assert not any(line != line.rstrip() for line in once.splitlines())


@pytest.mark.parametrize("name", ["gan.bm", "recurrent.bm", "siamese.bm", "skipgram.bm", "wide_deep.bm"])
def test_well_written_examples_stay_as_they_are(name: str) -> None:
    text = (Path(__file__).parents[2] / "examples" / name).read_text(encoding="utf-8")
    assert formatted(text) == text


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("", ""),
        ("\n\n# only a comment  \n\n", "# only a comment\n"),
        ("let a=x+x|>f", "let a = (x + x) |> f\n"),
        ("let a = (x + x) |> f", "let a = (x + x) |> f\n"),
        ("let a = (x) + x |> f", "let a = ((x) + x) |> f\n"),
        ("let a = -x|>f", "let a = (-x) |> f\n"),
        ("let a = not x |> f", "let a = (not x) |> f\n"),
        ("let a = f(x) |> g", "let a = f(x) |> g\n"),
        ("let a = 1 |> g(x*2|>h)", "let a = 1 |> g((x * 2) |> h)\n"),
        ("let a = - 1 ** - 2", "let a = -1 ** -2\n"),
        ("let a = not(x)and y", "let a = not (x) and y\n"),
        ("let a = b [ 1 : , : T,: :2 , ... , none ] . w ( 1 , )", "let a = b[1:, :T, ::2, ..., none].w(1)\n"),
        ("let a = [ 'x' = 1, y = 2 , ]".replace("'", '"'), 'let a = ["x" = 1, y = 2]\n'),
        ("let a = 1 ; ; let b = 2 ;\n", "let a = 1; let b = 2\n"),
        ("\n\nlet a = 1\n\n\n\nlet b = 2", "let a = 1\n\nlet b = 2\n"),
        ("let a = 1\r\nlet b = 2\r\n", "let a = 1\nlet b = 2\n"),
        ("\ufefflet a = 1", "let a = 1\n"),
        ("train M on D{}", "train M on D {}\n"),
        ("train M ( n=9 ) on D as r{}", "train M(n = 9) on D as r {}\n"),
        ("data D { x = 1; y = 2 }", "data D { x = 1; y = 2 }\n"),
        ("data D { x = 1; y = 2\n z = 3 }", "data D {\n  x = 1; y = 2\n  z = 3\n}\n"),
        ('data D {columns{"a b"as c:f32?;d:u8[ 2,3 ]\n}}', 'data D {\n  columns {\n    "a b" as c: f32?; d: u8[2, 3]\n  }\n}\n'),
        ("data D {\n\n  x   = 1\n  yyy = 2\n\n  z   = 3\n\n}", "data D {\n  x   = 1\n  yyy = 2\n\n  z = 3\n}\n"),
        ("data D {\n  x = 1 # a\n  y = 22  # b\n}", "data D {\n  x = 1   # a\n  y = 22  # b\n}\n".replace("1   #", "1  #")),
        ("fn f ( x : float[ B,...,2*D ] )->float[ ]\n{ return(x) }", "fn f(x: float[B, ..., 2 * D]) -> float[] { return (x) }\n"),
        ("fn f() -> (a:f32,b:f32?) {\nif a{x = 1}\nelse if b\n{\nx = 2} else{ x = 3 }\n}",
         "fn f() -> (a: f32, b: f32?) {\n  if a { x = 1 } else if b {\n    x = 2\n  } else { x = 3 }\n}\n"),
        ("fn f() -> f32 {\nh = x\n|> f # one\n# two\n\n|> g\nreturn h\n}",
         "fn f() -> f32 {\n  h = x\n    |> f # one\n    # two\n    |> g\n  return h\n}\n".replace("f # one", "f  # one")),
        ("let a = f(b,\n  c,\n [1,\n2],\n)", "let a = f(b,\n          c,\n          [1,\n           2],\n         )\n"),
        ("let a = f(\nb, c,\n\n  # why\nd)", "let a = f(\n  b, c,\n  # why\n  d)\n"),
        ("let a = [\n1,\n2,\n]", "let a = [\n  1,\n  2,\n]\n"),
        ("fn f() -> f32 # why\n{\n  return 1 }", "fn f() -> f32  # why\n{\n  return 1\n}\n"),
        ("layer L(x: f32) -> f32 {\n  scan(axis=1,reverse = r)a,b in x,y{ yield o=a }\n}",
         "layer L(x: f32) -> f32 {\n  scan(axis = 1, reverse = r) a, b in x, y { yield o = a }\n}\n"),
        ("fn f(x: f32)\n  -> f32 { return x }", "fn f(x: f32) -> f32 { return x }\n"),
        ("layer L(x: f32) -> f32 {\n  repeat(n-1)as b{ }\n repeat c in(x){}\n}",
         "layer L(x: f32) -> f32 {\n  repeat (n - 1) as b {}\n  repeat c in (x) {}\n}\n"),
    ],
)  # fmt: skip
def test_forms(source: str, expected: str) -> None:
    assert assert_stable(source) == expected


def test_source_with_errors_raises_all_of_them() -> None:
    with pytest.raises(BmcError) as caught:
        formatted("let a = = 1\nlet b = )\n")
    assert [d.code for d in caught.value.diagnostics] == ["E0101", "E0104"]


# Programs with arbitrary trivia: expressions and statements of every form, any spacing, breaks and comments where allowed.

names = st.sampled_from(["x", "data", "in", "layer_2", "on", "W"])
space = st.sampled_from(["", " ", "  ", "\t"])
gap = st.sampled_from([" ", "  ", "\t"])
inner_break = st.sampled_from(["", " ", "\n", "\n\n   ", "  # c\n", "\n#  d \n  "])
atoms = st.one_of(names, st.sampled_from(["1", "2.50", "1e-3", "20_000", '"s # t"', "true", "none", "[]"]))


def compound(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    operators = st.sampled_from(["+", "-", "*", "/", "//", "%", "**", "@", " and ", " or "])
    items = st.lists(inner, min_size=1, max_size=3)
    grouped = st.tuples(inner_break, inner, inner_break).map("".join)

    def call(parts: tuple[str, list[str], str, str]) -> str:
        name, arguments, before, comma = parts
        return f"{name}({before}" + f",{before}".join(arguments) + f"{comma}{before})"

    return st.one_of(
        st.tuples(inner, space, operators, space, inner).map(lambda t: f"({t[0]}){t[1]}{t[2]}{t[3]}({t[4]})"),
        grouped.map(lambda t: f"({t})"),
        st.tuples(grouped, grouped).map(lambda t: f"({t[0]},{t[1]})"),
        st.tuples(names, items, inner_break, st.sampled_from(["", ","])).map(call),
        st.tuples(names, grouped, space).map(lambda t: f"{t[0]}[{t[1]}{t[2]}:,...,:{t[2]}1]"),
        items.map(lambda i: "[k = " + ", 'p.*' = ".replace("'", '"').join(i) + "]"),
        st.tuples(inner, operators, inner, names).map(lambda t: f"(({t[0]}){t[1]}({t[2]})|>{t[3]} as n)"),
        st.tuples(inner, inner_break, names).map(lambda t: f"f(({t[0]}) + 1{t[1]}|> {t[2]})"),
        inner.map(lambda t: f"(- ({t}))"),
        inner.map(lambda t: f"(not ({t}) |> g)"),
        st.tuples(inner, inner).map(lambda t: f"(({t[0]}) <= ({t[1]}))"),
    )


expressions = st.recursive(atoms, compound, max_leaves=8)
line_end = st.sampled_from(["\n", "\n\n\n", " ;", " # c\n", "\n# own\n", ";;\n", "  \n\t"])


def blocks(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    body = st.lists(st.tuples(inner, line_end).map("".join), max_size=3).map("".join)
    brace = st.sampled_from(["{", " { ", "{\n", " # c\n {", "\n{ # d\n"])
    return st.one_of(
        st.tuples(expressions, brace, body).map(lambda t: f"if {t[0]}{t[1]}{t[2]}}}"),
        st.tuples(expressions, brace, body, body, space).map(lambda t: f"if {t[0]}{t[1]}{t[2]}}}{t[4]}else{t[1]}{t[3]}}}"),
        st.tuples(names, brace, body, body).map(lambda t: f"if {t[0]}{t[1]}{t[2]}}}\nelse if {t[0]}{t[1]}{t[3]}}}"),
        st.tuples(names, names, brace, body).map(lambda t: f"repeat {t[0]} as {t[1]}{t[2]}{t[3]}}}"),
        st.tuples(names, names, brace, body).map(lambda t: f"scan(axis=1) {t[0]} in {t[1]}{t[2]}{t[3]}}}"),
    )


simple_statements = st.one_of(
    st.tuples(names, space, expressions).map(lambda t: f"{t[0]}{t[1]}={t[1]}{t[2]}"),
    st.tuples(names, names, expressions).map(lambda t: f"{t[0]},{t[1]} : float[B,...] = {t[2]}, 1"),
    st.tuples(names, expressions).map(lambda t: f"param {t[0]}:f32 [ 3 ] = {t[1]}"),
    st.tuples(expressions, inner_break, names).map(lambda t: f"return ({t[0]}){t[1] if chr(10) in t[1] else ' '}|> {t[2]}"),
    expressions.map(lambda e: f'assert {e}, "m"'),
    expressions.map(lambda e: f"let k = {e}"),
)
statements = st.recursive(simple_statements, blocks, max_leaves=5)
programs = st.lists(st.tuples(statements, line_end).map("".join), max_size=4).map(
    lambda body: "fn f(x) -> f32 {\n" + "".join(body) + "\n}\n"
)


@settings(max_examples=150, deadline=None)
@given(programs)
def test_generated_programs_are_stable(program: str) -> None:
    assert_stable(program)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(EXAMPLES), st.randoms(use_true_random=False))
def test_examples_with_other_layout_are_stable(text: str, random: object) -> None:
    """Indentation, spacing, empty lines and comments are changed at random; the result must still parse, and be stable."""
    lines = []
    for line in text.split("\n"):
        bare = line.strip()
        if "#" not in bare and '"' not in bare:
            bare = random.choice([bare, bare.replace(" = ", "="), bare.replace(", ", ",  "), bare.replace("(", "( ")])
        lines.append(random.choice(["", "  ", "\t", "       "]) + bare + random.choice(["", "", "  ", " # c", "\n"]))
    assert_stable(random.choice(["\n", "\r\n"]).join(lines))
