"""A source as the pieces that formatting writes: tokens and comments, each with the line breaks before it.

In: a `SourceFile` without syntax errors. Out: `Piece`s, among them the parentheses that a pipe's value should have.
Guaranteed: the pieces without the added parentheses are the source's tokens and comments in order, without newlines and
without semicolons that end nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass

from bmc.frontend.syntax import tree as s
from bmc.frontend.syntax.layout import lay_out
from bmc.frontend.syntax.tokens import Token, comments, tokenize
from bmc.record import record
from bmc.source import SourceFile, Span

__all__ = ["Piece", "pieces_of"]


@record(frozen=True)
class Piece:
    """`kind` is that of the laid-out token, `COMMENT`, or `SEMICOLON`. `breaks` counts the newlines right before it. `column`
    is where it starts in the source."""

    kind: str
    text: str
    breaks: int
    column: int


def _nodes(root: object) -> Iterator[object]:
    pending = [root]
    while pending:
        node = pending.pop()
        if isinstance(node, tuple):
            pending.extend(node)
        elif is_dataclass(node) and not isinstance(node, Span):
            yield node
            pending.extend(getattr(node, field.name) for field in fields(node))


def _unparenthesised_values(tree: s.File) -> Iterator[Span]:
    """Values of pipes that the eye may read as binding to the first stage: `x + x |> f`."""
    for node in _nodes(tree):
        if isinstance(node, s.Pipe) and isinstance(node.value, s.Unary | s.Binary | s.Compare | s.Logical) and _is_bare(node):
            yield node.value.span


def _is_bare(pipe: s.Pipe) -> bool:
    """Whether the value is written without parentheses of its own: a pipe's span starts at these."""
    return pipe.value.span.start == pipe.span.start


def pieces_of(file: SourceFile, tree: s.File) -> list[Piece]:
    """The pieces of a source whose tree is `tree`, ended by one of kind `$END`."""
    raw, _ = tokenize(file)
    kinds = {t.start: t.kind for t in lay_out(raw) if t.kind != "NEWLINE"}
    items = [*raw, *(Token("COMMENT", c.text.rstrip(), c.start, c.end) for c in comments(file))]
    items.sort(key=lambda t: (t.start, t.kind == "$END"))
    opened: dict[int, int] = {}
    closed: dict[int, int] = {}
    for span in _unparenthesised_values(tree):
        opened[span.start] = opened.get(span.start, 0) + 1
        closed[span.end] = closed.get(span.end, 0) + 1
    return list(_pieces(file, items, kinds, opened, closed))


def _pieces(
    file: SourceFile, items: Sequence[Token], kinds: dict[int, str], opened: dict[int, int], closed: dict[int, int]
) -> Iterator[Piece]:
    breaks = 0
    semicolon: Piece | None = None
    previous = ""
    for token in items:
        column = file.position(token.start)[1]
        if token.kind == "NEWLINE" and token.text == ";":
            semicolon = Piece("SEMICOLON", ";", 0, column)
            continue
        if token.kind == "NEWLINE":
            breaks += 1
            continue
        if semicolon is not None:
            idle = breaks or previous in ("", "LBRACE", "COMMENT") or token.kind in ("RBRACE", "COMMENT", "$END")
            if not idle:
                yield semicolon
            semicolon = None
        kind = kinds.get(token.start, token.kind) if token.kind not in ("COMMENT", "$END") else token.kind
        for _ in range(opened.get(token.start, 0) if kind != "$END" else 0):
            yield Piece("LPAR", "(", breaks, column)
            breaks = 0
        yield Piece(kind, token.text, breaks, column)
        breaks, previous = 0, kind
        for _ in range(closed.get(token.end, 0) if kind != "$END" else 0):
            yield Piece("RPAR", ")", 0, column)
