"""The full text of each syntax diagnostic, and that each has its place in the catalogue."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable

import pytest

from bmc.errors.catalogue import all_entries, explain
from bmc.errors.catalogue.contexts import CONTEXTS
from bmc.errors.render import render_all
from bmc.frontend.errors import source_errors, syntax_errors
from bmc.frontend.syntax.parse import parse
from bmc.source import SourceFile

# name: source. The name starts with the code of the first diagnostic that the source must give.
CASES = {
    "E0101-line-end": "let a = 1 +\nlet b = 2\n",
    "E0101-stage": "let a = x |> 3\n",
    "E0101-two-operators": "train M on D { batch = 3 * * 4 }\n",
    "E0101-type": "data D { columns {\n  a: }\n}\n",
    "E0101-return-of-nothing": "fn f(x: float) -> float {\n  return\n}\n",
    "E0101-missing-on": "train M D { }\n",
    "E0101-missing-name": "let a = f(, 2)\n",
    "E0101-end-of-file": "let a = x |>",
    "E0101-semicolon": "let a = f(1; 2)\n",
    "E0101-as-without-name": "let y = x |> dense(3) as\n",
    "E0102-quotes": "use 'fields.bm'\n",
    "E0102-typographic-quotes": "use “fields.bm”\n",
    "E0102-operator": "let a = 2 × 3\n",
    "E0102-letter": "data D { columns { Größe: f32 } }\n",
    "E0102-and": "let a = b && c\n",
    "E0102-control": "let a = \x07 1\n",
    "E0103-bracket": "fn f(x: float[B]) -> float[B] {\n  y = g(x, [1, 2\n  return y\n}\n",
    "E0103-brace": "layer A(x: float[B]) -> float[B] {\n  if x {\n    y = 1\n  return x\n}\nlet a = 1\n",
    "E0103-before-next-declaration": "data D {\n  x = 1\n\ntrain M on D {\n  batch = 2\n}\n",
    "E0103-wrong-kind": "fn f(x: float[B)) -> float { return x }\n",
    "E0103-condition": "fn f(x: float) -> float {\n  if (x == 1 { return x }\n  return 2\n}\n",
    "E0104-round": "let a = (1 + 2))\nlet b = 3\n",
    "E0104-brace": "}\nlet a = 3\n",
    "E0105-string": 'data D {\n  source = csv("a.csv)\n  x = 1\n}\n',
    "E0106-escape": r'let s = "C:\data\new\u{110000}\ud800"' + "\n",
    "E0107-form": "let a = 3x + 1_0_ + 1.5.5 + 0x10 + 1e + .5\n",
    "E0107-column": "data D {\n  columns {\n    1price: f32\n    total€: f32?\n  }\n}\n",
    "E0107-size": "let a = [9223372036854775808, 1e400]\n",
    "E0108-chain": "let a = 1 < x < 3\n",
    "E0108-chain-behind-and": "let a = f(c and lo <= x + 1 < hi)\n",
    "E0109-operator": "let y = x |> relu / 255\n",
    "E0109-in-brackets": "let y = f(x + 1 |> g(2) as n ** 2)\n",
    "E0110-condition": "fn f(n) -> float {\n  if n = 1 { return 1 }\n  return 2\n}\n",
    "E0110-where": "data D {\n  where a = 1 and b\n}\n",
    "E0111-ternary": "fn f(x: float[B]) -> float[B] {\n  return x if training else 0\n}\n",
    "E0111-operator": "let a = b c\n",
    "E0111-statement": "let a = 1 let b = 2\n",
    "E0112-brackets": "let a = " + "(" * 70 + "1" + ")" * 70 + "\n",
    "E0112-sum": "let a = " + " + ".join(["x"] * 130) + "\n",
    "E0113-argument": "let a = f(1, b = 2, 3)\n",
    "E0114-as": "let h = dense(64)(x) as fc1\n",
    "E0115-index": "fn f(x: float) -> float {\n  x[0] = 1\n  return x\n}\n",
    "E0115-attribute": "fn f(x: float) -> float {\n  a, l.w = 1, 2\n  return x\n}\n",
    "E0116-dim": "fn f(x: float[2.5, B, f(x), a @ b]) -> float { return x }\n",
    "E0117-file": "param w: float[3]\nmodle M(x: float) -> float { return x }\nx = 3\n",
    "E0117-body": "fn f(x: float) -> float {\n  where x\n  retrun x\n}\n",
    "E0117-data": "data D {\n  param w: float\n  colums { a: f32 }\n}\n",
    "E0117-train": "train M on D {\n  if a { b = 1 }\n}\n",
    "E0117-elif": "fn f(a) -> float {\n  if a { x = 1 } elif b { x = 2 }\n  for i in x { y = 1 }\n  return x\n}\n",
    "E0117-other-languages": "def f(x): return x\nclass A { }\nimport x\n",
    "E0118-result": "fn f(x: float) { return x }\n",
    "E0118-param": "layer L(x: float) -> float {\n  param w = zeros\n  return x\n}\n",
    "E0118-column": "data D { columns { a; b: f32 } }\n",
    "E0118-results": "fn f(x: float) -> (a, b: float) { return x, x }\n",
    "E0119-let": "let none = 0\n",
    "E0119-target": "fn f(x: float) -> float {\n  not = 1\n  true: float = 3\n  return x\n}\n",
    "E0120-many": "let a = = 1\n" * 60,
    "E0122-below": "layer A(x: float[B]) -> float[B]\n  y = 2 * x\n  return y\n}\nlet b = 1\n",
    "E0122-inner": "fn f(x: float[B], n = 1) -> float[B] {\n  if n == 1\n    x = x + 1\n  }\n  return x\n}\n",
    "E0122-one-line": "fn f(x: float[B], n = 1) -> float[B] {\n  if n == 1 x = x + 1 }\n  return x\n}\n",
    "E0122-columns": 'data D {\n  source = csv("a.csv")\n  columns a: f32; b: f32 }\n  x = a\n}\n',
    "E0121-list": "let a = [1 2]\n",
    "E0121-lines": "data D {\n  x = concat(\n    a |> log,\n    b |> f(3)\n    c |> log,\n  )\n}\n",
    "E0121-named": "let h = dense(3 bias = false)\n",
}


def constructors(module: object) -> dict[str, Callable[..., object]]:
    return {n: f for n, f in inspect.getmembers(module, inspect.isfunction) if f.__module__ == module.__name__ and n[0] != "_"}


@pytest.mark.parametrize("name", CASES)
def test_full_text(name: str, golden: Callable[[str, str], None]) -> None:
    _, diagnostics = parse(SourceFile("a.bm", CASES[name]))
    found = [d.code for d in diagnostics]
    code = name.split("-", maxsplit=1)[0]
    assert code in found if code == "E0120" else found[:1] == [code], found
    shown = diagnostics if len(diagnostics) < 9 else (*diagnostics[:1], diagnostics[-1])
    golden(name, render_all(list(shown)))


def test_every_syntax_code_has_a_case_and_every_constructor_is_listed() -> None:
    codes = {name.split("-")[0] for name in CASES}
    assert codes == {e.code for e in all_entries() if e.code.startswith("E01")}
    for module in (syntax_errors, source_errors):
        made = constructors(module)
        assert sorted(made) == sorted(module.__all__)
        for function in made.values():
            code = re.search(r"E\d{4}", function.__doc__ or "")
            assert code is not None, function.__name__
            assert explain(code[0]) is not None, function.__name__


@pytest.mark.parametrize("entry", [e for e in all_entries() if e.code.startswith("E01")], ids=lambda e: e.code)
def test_catalogue_sources_show_what_they_say(entry: object) -> None:
    within = CONTEXTS[entry.within] if entry.within else "@@"
    wrong, right = (within.replace("@@", text) for text in (entry.wrong, entry.right))
    assert not entry.wrong or {d.code for d in parse(SourceFile("wrong.bm", wrong))[1]} == {entry.code}
    assert parse(SourceFile("right.bm", right))[1] == ()


@pytest.mark.parametrize("name", [n for n in CASES if n[:5] in ("E0102", "E0104", "E0108", "E0109", "E0110", "E0119")])
def test_suggestions_can_be_applied(name: str) -> None:
    """Applying the first suggestion of each diagnostic, from the end of the file to its start, leaves fewer of that code."""
    text = CASES[name]
    _, diagnostics = parse(SourceFile("a.bm", text))
    applied = [d.suggestions[0] for d in diagnostics if d.suggestions and d.suggestions[0].span is not None]
    for suggestion in sorted(applied, key=lambda s: -s.span.start):
        text = text[: suggestion.span.start] + suggestion.replacement + text[suggestion.span.end :]
    after = [d.code for d in parse(SourceFile("a.bm", text))[1]]
    assert len(after) == len(diagnostics) - len(applied)
