"""Whatever the text: parse ends in time with a tree and diagnostics that can be shown, and what parses can be formatted."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bmc.errors.catalogue import explain
from bmc.errors.json_form import diagnostic_json
from bmc.errors.render import render
from bmc.frontend.syntax import tree as syntax
from bmc.frontend.syntax.format import format_source
from bmc.frontend.syntax.parse import parse
from bmc.source import SourceFile

EXAMPLES = [p.read_text(encoding="utf-8") for p in sorted((Path(__file__).parents[2] / "examples").glob("*.bm"))]
TOKENS = [
    "use", "let", "fn", "layer", "model", "optimizer", "data", "train", "param", "state", "return", "assert", "if", "else",
    "repeat", "scan", "yield", "columns", "where", "distinct", "by", "in", "on", "as", "and", "or", "not", "true", "none",
    "x", "D", "1", "2.5", '"s"', '"', "'", "(", ")", "[", "]", "{", "}", ",", ":", ".", "=", "|>", "->", "?", "...", "\n",
    "\n  ", ";", "+", "-", "*", "/", "**", "@", "==", "<", "#", "é", "\\", "\0", "\r", "\u202e", "\ud800", "9" * 30, "1e999",
]  # fmt: skip
LIMIT_SECONDS = 5.0  # what the project promises for any input


def check(text: str) -> None:
    file = SourceFile("a.bm", text)
    start = time.perf_counter()
    tree, diagnostics = parse(file)
    assert isinstance(tree, syntax.File)
    for diagnostic in diagnostics:
        assert explain(diagnostic.code) is not None
        assert diagnostic.span is not None
        assert 0 <= diagnostic.span.start <= diagnostic.span.end <= len(text)
        shown = render(diagnostic, color=False)
        assert shown.startswith(f"error[{diagnostic.code}]")
        assert "\x1b" not in shown
        assert json.loads(diagnostic_json(diagnostic))["rendered"]
    if not diagnostics:
        once = format_source(file)
        assert format_source(SourceFile("a.bm", once)) == once
    assert time.perf_counter() - start < LIMIT_SECONDS


def mutated(text: str, chance: random.Random) -> str:
    """A text with one to four cuts, doublings, insertions, swaps or replacements of a few characters or tokens."""
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(text) + 1)
        end = min(len(text), at + chance.choice([1, 1, 2, 5, 40]))
        action = chance.randrange(5)
        if action == 0:
            text = text[:at] + text[end:]
        elif action == 1:
            text = text[:end] + text[at:]
        elif action == 2:
            text = text[:at] + chance.choice(TOKENS) + text[at:]
        elif action == 3:
            other = chance.choice(EXAMPLES)
            start = chance.randrange(len(other))
            text = text[:at] + other[start : start + 30] + text[end:]
        else:
            text = text[:at] + chance.choice(TOKENS) + text[end:]
    return text


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(TOKENS), max_size=60), st.sampled_from(["", " "]))
def test_token_soups(tokens: list[str], between: str) -> None:
    check(between.join(tokens))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes(content: bytes) -> None:
    check(content.decode("utf-8", "replace"))
    check(content.decode("latin-1"))


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=200))
def test_random_text(text: str) -> None:
    check(text)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(EXAMPLES), st.integers(0, 2**32))
def test_mutated_examples(text: str, seed: int) -> None:
    check(mutated(text, random.Random(seed)))


@pytest.mark.slow
def test_ten_thousand_inputs() -> None:
    chance = random.Random(7)
    for _ in range(10_000):
        kind = chance.randrange(3)
        if kind == 0:
            check(mutated(chance.choice(EXAMPLES), chance))
        elif kind == 1:
            check(chance.choice(["", " "]).join(chance.choices(TOKENS, k=chance.randrange(80))))
        else:
            check(bytes(chance.randrange(256) for _ in range(chance.randrange(200))).decode("utf-8", "replace"))
