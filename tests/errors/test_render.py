"""The text form: golden texts of each arrangement of labels, and what must never reach a terminal."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bmc.errors import Diagnostic, Label, Suggestion
from bmc.errors.render import render, render_all
from bmc.source import SourceFile, Span

SOURCE = SourceFile(
    "models/net.bm",
    "let H = 64\nlet W = 32\n\n\nmodel M(x: f32[B, H]) -> f32[B, W] {\n  return x |> dense(H)\n}\n"
    + "# filler\n" * 5
    + "let end = 1\n",
)
OTHER = SourceFile("<library>/dense.bm", "layer dense(units)(x: float[..., D]) -> float[..., units] {\n}\n")


def at(words: str, file: SourceFile = SOURCE, occurrence: int = 0) -> Span:
    start = -1
    for _ in range(occurrence + 1):
        start = file.text.index(words, start + 1)
    return Span(file, start, start + len(words))


CASES = {
    "no-label": Diagnostic("E0701", "there is no file 'x.bm'", notes=("a note\nof two lines",)),
    "one-label": Diagnostic("E0301", "wrong", (Label(at("dense(H)"), "here", primary=True),)),
    "one-label-without-text": Diagnostic("E0301", "wrong", (Label(at("dense(H)"), primary=True),)),
    "far-lines": Diagnostic(
        "E0301",
        "these dims differ",
        (Label(at("dense(H)"), "gives 64", primary=True), Label(at("let W = 32"), "W is 32"), Label(at("let end = 1"), "end")),
        ("a note",),
        (Suggestion("write `dense(W)`", at("dense(H)"), "dense(W)"), Suggestion("or not")),
    ),
    "one-line-between": Diagnostic("E0301", "w", (Label(at("model"), "a", primary=True), Label(at("}\n#"), "b"))),
    "same-line": Diagnostic(
        "E0301",
        "many",
        (
            Label(at("f32[B, H]"), "first", primary=True),
            Label(at("f32[B, W]"), "second"),
            Label(at("M"), "third"),
            Label(at("model"), "fourth"),
        ),
    ),
    "same-line-overlapping": Diagnostic(
        "E0301", "nested", (Label(at("x |> dense(H)"), "outer"), Label(at("dense"), "inner", primary=True))
    ),
    "same-span-twice": Diagnostic(
        "E0301", "twice", (Label(at("dense"), "one", primary=True), Label(at("dense"), "two"), Label(at("return"), "three"))
    ),
    "several-lines": Diagnostic("E0301", "long", (Label(at("{\n  return x |> dense(H)\n}"), "the body", primary=True),)),
    "two-files": Diagnostic(
        "E0301", "conflict", (Label(at("units]", OTHER), "from here"), Label(at("dense(H)"), "applied here", primary=True))
    ),
    "end-of-file": Diagnostic("E0101", "ends", (Label(Span(SOURCE, len(SOURCE.text), len(SOURCE.text)), "the end", primary=True),)),
    "empty-file": Diagnostic("E0101", "empty", (Label(Span(SourceFile("e.bm", ""), 0, 0), "nothing", primary=True),)),
    "warning": Diagnostic("W0201", "shadowed", (Label(at("H"), primary=True),), level="warning"),
    "note": Diagnostic("W0201", "by the way", (Label(at("H"), primary=True),), level="note"),
}


@pytest.mark.parametrize("name", CASES)
def test_golden(name: str, golden: Callable[[str, str], None]) -> None:
    golden(name, render(CASES[name]))


@pytest.mark.parametrize("name", CASES)
def test_color_adds_escapes_and_nothing_else(name: str) -> None:
    import re

    colored = render(CASES[name], color=True)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", colored)
    assert [x.rstrip() for x in plain.splitlines()] == render(CASES[name]).splitlines()
    assert colored != plain


def columns(text: str) -> tuple[int, int]:
    """Where a line's `TARGET` starts when a terminal shows it, and where the caret does."""
    lines = text.splitlines()
    shown = next(x for x in lines if "TARGET" in x)
    carets = next(x for x in lines if "^" in x)
    wide = sum(c in "日本語" for c in shown[: shown.index("TARGET")])
    combining = sum(c == "\u0301" for c in shown[: shown.index("TARGET")])
    return shown.index("TARGET") + wide - combining, carets.index("^")


@pytest.mark.parametrize("before", ["", "\t", "a\t", "abc\t\t", "日本語 ", "e\u0301 ", "\t日 \t", "x" * 500, "日" * 300, "\x07 "])
def test_carets_stand_under_their_text(before: str) -> None:
    file = SourceFile("a.bm", f"# first\n{before}TARGET rest\n")
    start = file.text.index("TARGET")
    text = render(Diagnostic("E0101", "m", (Label(Span(file, start, start + 6), primary=True),)))
    word, caret = columns(text)
    assert word == caret
    assert max(len(x) for x in text.splitlines()) < 400


@pytest.mark.parametrize("hostile", ["\x1b[2J", "\x07", "\x9b31m", "\u202e", "\x00", "\ud800", "\r"])
def test_control_characters_do_not_reach_the_terminal(hostile: str) -> None:
    file = SourceFile(f"a{hostile}.bm", f"let {hostile} = 1")
    text = render(Diagnostic("E0101", f"m {hostile}", (Label(Span(file, 0, 3), f"t {hostile}", primary=True),), (hostile,)))
    assert hostile not in text
    text.encode("utf-8")


def test_several_diagnostics_are_counted() -> None:
    error, warning = CASES["one-label"], CASES["warning"]
    assert render_all([warning]).count("error") == 0
    assert render_all([error]).endswith("\n1 error\n")
    assert render_all([error, warning, error]).endswith("\n2 errors\n")
    assert render_all([]) == ""
