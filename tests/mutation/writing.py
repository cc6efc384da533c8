"""Mistakes of writing: brackets, commas, quotes, operators and keywords that are missing, doubled or of another language."""

from __future__ import annotations

import random

from bmc.frontend.syntax import tree as syntax
from bmc.frontend.syntax.tokens import Token
from tests.mutation.mutant import Mistake, Mutant, edit, misspelt, pick, replace, whole_lines
from tests.mutation.programs import Program

_KEYWORDS = frozenset(
    ("use", "let", "fn", "layer", "model", "optimizer", "data", "train", "param", "state", "return", "assert", "if", "else",
     "repeat", "scan", "yield", "columns", "where", "distinct")
)  # fmt: skip


def _token(program: Program, rng: random.Random, *kinds: str) -> Token | None:
    return pick([t for t in program.tokens if t.kind in kinds], rng)


def _without(program: Program, token: Token | None, certain: bool = True) -> Mutant | None:
    return None if token is None else edit(program, token.start, token.end, "", certain)


def _instead(program: Program, token: Token | None, new: str) -> Mutant | None:
    return None if token is None else edit(program, token.start, token.end, new)


def no_comma(program: Program, rng: random.Random) -> Mutant | None:
    commas = [a for a, b in zip(program.tokens, program.tokens[1:], strict=False) if a.kind == "COMMA" and b.kind != "NEWLINE"]
    at_ends = [
        a for a, b, c in zip(program.tokens, program.tokens[1:], program.tokens[2:], strict=False)
        if a.kind == "COMMA" and b.kind == "NEWLINE" and c.kind not in ("RPAR", "RSQB")
    ]  # fmt: skip
    return _without(program, pick(at_ends if at_ends and rng.random() < 0.5 else commas, rng), certain=False)


def two_commas(program: Program, rng: random.Random) -> Mutant | None:
    return _instead(program, _token(program, rng, "COMMA"), ",,")


def _following(program: Program, token: Token | None) -> Mutant | None:
    """Without a closing bracket, which may be alone on its line: the line of the opening one is right too."""
    made = _without(program, token)
    if made is None or token is None:
        return made
    depth, before = 0, program.tokens[: program.tokens.index(token)]
    opening = {"RPAR": "LPAR", "RSQB": "LSQB", "RBRACE": "LBRACE"}[token.kind]
    for other in reversed(before):
        depth += (other.kind == token.kind) - (other.kind == opening)
        if depth < 0:
            return Mutant(made.program, made.text, made.lines | {program.line(other.start)})
    return made


def not_closed(program: Program, rng: random.Random) -> Mutant | None:
    return _following(program, _token(program, rng, "RPAR", "RSQB"))


def block_not_closed(program: Program, rng: random.Random) -> Mutant | None:
    return _following(program, _token(program, rng, "RBRACE"))


def not_opened(program: Program, rng: random.Random) -> Mutant | None:
    return _without(program, _token(program, rng, "LPAR", "LSQB"))


def block_not_opened(program: Program, rng: random.Random) -> Mutant | None:
    return _without(program, _token(program, rng, "LBRACE"))


def closed_twice(program: Program, rng: random.Random) -> Mutant | None:
    token = _token(program, rng, "RPAR", "RSQB", "RBRACE")
    return None if token is None else _instead(program, token, token.text * 2)


def other_bracket(program: Program, rng: random.Random) -> Mutant | None:
    """`)` for `]`."""
    token = _token(program, rng, "RPAR", "RSQB")
    return None if token is None else _instead(program, token, {")": "]", "]": ")"}[token.text])


def no_equal(program: Program, rng: random.Random) -> Mutant | None:
    return _without(program, _token(program, rng, "EQUAL"))


def colon_for_equal(program: Program, rng: random.Random) -> Mutant | None:
    """`batch: 32`, as YAML and JSON write it."""
    places = [n.key.span.end for n, _ in program.nodes if isinstance(n, syntax.Setting)]
    places += [n.name.span.end for n, _ in program.nodes if isinstance(n, syntax.Output) and n.type is None]
    at = pick(places, rng)
    token = next((t for t in program.tokens if at is not None and t.start >= at), None)
    return _instead(program, token, ":")


def equal_for_colon(program: Program, rng: random.Random) -> Mutant | None:
    """`price = f32` among columns, `x = f32[B, F]` in a signature."""
    places = [n.name.span.end for n, _ in program.nodes if isinstance(n, (syntax.Column, syntax.Param, syntax.State))]
    at = pick(places, rng)
    token = next((t for t in program.tokens if at is not None and t.start >= at), None)
    return _instead(program, token, " =")


def two_equals(program: Program, rng: random.Random) -> Mutant | None:
    return _instead(program, _token(program, rng, "EQUAL"), "==")


def one_equal(program: Program, rng: random.Random) -> Mutant | None:
    return _instead(program, pick([t for t in program.tokens if t.text == "=="], rng), "=")


def no_colon(program: Program, rng: random.Random) -> Mutant | None:
    return _without(program, _token(program, rng, "COLON"), certain=False)


def no_quote(program: Program, rng: random.Random) -> Mutant | None:
    token = _token(program, rng, "STRING")
    if token is None:
        return None
    return _instead(program, token, token.text[1:] if rng.random() < 0.5 else token.text[:-1])


def other_quotes(program: Program, rng: random.Random) -> Mutant | None:
    token = _token(program, rng, "STRING")
    left, right = rng.choice(["''", "“”", "``"])
    return None if token is None else _instead(program, token, left + token.text[1:-1] + right)


def half_a_pipe(program: Program, rng: random.Random) -> Mutant | None:
    return _instead(program, _token(program, rng, "PIPE"), rng.choice(["|", ">", "||>", "", "|>|>", "%>%", "->"]))


def no_arrow(program: Program, rng: random.Random) -> Mutant | None:
    return _instead(program, _token(program, rng, "ARROW"), rng.choice(["", ":", "=>", "-"]))


def no_operator(program: Program, rng: random.Random) -> Mutant | None:
    places = [n.op_span for n, p in program.nodes if isinstance(n, syntax.Binary)]
    span = pick(places, rng)
    return None if span is None else replace(program, span, "")


def two_operators(program: Program, rng: random.Random) -> Mutant | None:
    span = pick([n.op_span for n, p in program.nodes if isinstance(n, syntax.Binary)], rng)
    return None if span is None else replace(program, span, f"{span.text} {rng.choice(['*', '/', '%', '@'])}")


def keyword(program: Program, rng: random.Random) -> Mutant | None:
    """A keyword is misspelt where it starts a statement."""
    previous = "NEWLINE"
    places: list[Token] = []
    for token in program.tokens:
        if previous in ("NEWLINE", "LBRACE") and token.text in _KEYWORDS:
            places.append(token)
        previous = token.kind
    token = pick(places, rng)
    wrong = None if token is None else misspelt(token.text, rng, program.words)
    return None if wrong is None else _instead(program, token, wrong)


def foreign_keyword(program: Program, rng: random.Random) -> Mutant | None:
    other = {"fn": "def", "layer": "class", "repeat": "for", "use": "import", "let": "const", "model": "class"}
    kinds = (syntax.Callable, syntax.Repeat, syntax.Use, syntax.Let)
    places = [n.span for n, _ in program.nodes if isinstance(n, kinds)]
    span = pick([s for s in places if s.text.split()[0] in other], rng)
    word = "" if span is None else span.text.split()[0]
    return None if span is None else edit(program, span.start, span.start + len(word), other[word])


def no_on(program: Program, rng: random.Random) -> Mutant | None:
    """`train M D`, `repeat i range(3)`, `x |> dense(3) fc`."""
    places = [t for t in program.tokens if t.text in ("on", "in", "as")]
    return _without(program, pick(places, rng))


def chained(program: Program, rng: random.Random) -> Mutant | None:
    node = pick([n for n, _ in program.nodes if isinstance(n, syntax.Compare)], rng)
    return None if node is None else edit(program, node.span.start, node.span.start, "0 < ")


def operator_after_pipe(program: Program, rng: random.Random) -> Mutant | None:
    whole = (syntax.Assign, syntax.Output, syntax.Return)
    pipes = [n for n, p in program.nodes if isinstance(n, syntax.Pipe) and isinstance(p[-1], whole)]
    pipe = pick(pipes, rng)
    return None if pipe is None else edit(program, pipe.span.end, pipe.span.end, rng.choice([" / 255", " + 1", " * 2"]))


def no_return(program: Program, rng: random.Random) -> Mutant | None:
    """The word `return`, or its whole line, is missing. A body is to blame at its signature, its last statement or its end."""
    found = [(n, p[-1]) for n, p in program.nodes if isinstance(n, syntax.Return) and isinstance(p[-1], syntax.Callable)]
    place = pick(found, rng)
    if place is None:
        return None
    node, callable_ = place
    assert isinstance(callable_, syntax.Callable)
    lines = whole_lines(program, node.span)
    if lines is not None and rng.random() < 0.5:
        made = edit(program, *lines, "")
        last = made.text.count("\n", 0, lines[0]) + 1
        return Mutant(made.program, made.text, made.lines | {callable_.name.span.line, last, last - 1})
    made = edit(program, node.span.start, node.value.span.start, "")
    return Mutant(made.program, made.text, made.lines | {callable_.name.span.line}, certain=False)


def no_signature_type(program: Program, rng: random.Random) -> Mutant | None:
    """`fn f(x: float[B])` without what it returns."""
    node = pick([n for n, _ in program.nodes if isinstance(n, syntax.Callable) and len(n.results) == 1], rng)
    if node is None:
        return None
    arrow = next(t for t in reversed(program.tokens) if t.kind == "ARROW" and t.end <= node.signature.end)
    return edit(program, arrow.start, node.signature.end, "")


MISTAKES: tuple[Mistake, ...] = (
    no_comma, no_comma, two_commas, not_closed, not_closed, block_not_closed, not_opened, block_not_opened, closed_twice,
    other_bracket, no_equal, colon_for_equal, equal_for_colon, two_equals, one_equal, no_colon, no_quote, other_quotes,
    half_a_pipe, no_arrow, no_operator, two_operators, keyword, foreign_keyword, no_on, chained, operator_after_pipe, no_return,
    no_signature_type,
)  # fmt: skip
