"""Matches brackets, and repairs tokens whose brackets do not match.

In: raw tokens, newlines included. Out: tokens whose brackets match, and a diagnostic for the first mismatch of each
top-level declaration. Guaranteed: matching tokens come back as they are; every token put in is marked `repaired`; time is
linear; brackets nested deeper than `MAX_BRACKETS` are an error, and what lies deeper is left out.

A mismatch is found without looking at indentation. Only to place the blame is indentation read, and only within the
declaration that has the mismatch: a line that starts no deeper than the line of an opening bracket, and does not start
with a closing one, lies outside of that bracket.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bmc.errors import Diagnostic
from bmc.frontend.errors import syntax_errors
from bmc.frontend.syntax.tokens import Token
from bmc.source import SourceFile, Span

__all__ = ["MAX_BRACKETS", "match_brackets"]

MAX_BRACKETS = 60

_CLOSER = {"LPAR": "RPAR", "LSQB": "RSQB", "LBRACE": "RBRACE"}
_CLOSING = frozenset(_CLOSER.values())
_TEXT = {"RPAR": ")", "RSQB": "]", "RBRACE": "}"}
_DECLARATIONS = frozenset({"use", "let", "fn", "layer", "model", "optimizer", "data", "train"})


def match_brackets(file: SourceFile, tokens: list[Token]) -> tuple[list[Token], list[Diagnostic]]:
    """Tokens with matching brackets, and what was wrong."""
    errors: list[Diagnostic] = []
    hopeless = _too_deep(tokens, 20 * MAX_BRACKETS)  # a megabyte of `(` is not worth repairing
    if hopeless is None and not _matches(tokens):
        tokens, errors = _repair_declarations(file, tokens)
    deepest = _too_deep(tokens, MAX_BRACKETS)
    if deepest is not None:
        errors.append(syntax_errors.nested_too_deeply(_span(file, tokens[deepest]), f"{MAX_BRACKETS} brackets"))
        return [tokens[-1]], errors[:1]
    return tokens, errors


def _repair_declarations(file: SourceFile, tokens: list[Token]) -> tuple[list[Token], list[Diagnostic]]:
    repaired: list[Token] = []
    errors: list[Diagnostic] = []
    parts = _declarations(file, tokens)
    for part, following in zip(parts, [*(p[0] for p in parts[1:]), tokens[-1]], strict=True):
        if _matches(part):
            repaired.extend(part)
        else:
            opened, found = _open_block(file, part)
            if not found:
                opened = part
            mended, more = (opened, []) if _matches(opened) else _repair(file, opened, following)
            found = found or more
            repaired.extend(mended)
            if not any(t.kind == "STRING" and t.repaired for t in part):  # an unclosed string took the bracket
                errors.extend(found)
    return repaired, errors


def _span(file: SourceFile, token: Token) -> Span:
    return Span(file, token.start, token.end)


def _too_deep(tokens: Sequence[Token], limit: int) -> int | None:
    """The index of the first bracket that more than `limit` are open at, itself among them."""
    depth = 0
    for i, token in enumerate(tokens):
        if token.kind in _CLOSER:
            depth += 1
            if depth > limit:
                return i
        elif token.kind in _CLOSING:
            depth = max(0, depth - 1)
    return None


def _matches(tokens: Sequence[Token]) -> bool:
    expected: list[str] = []
    for token in tokens:
        kind = token.kind
        if kind in _CLOSER:
            if kind == "LBRACE" and expected and expected[-1] != "RBRACE":
                return False  # a block inside of ( ) or [ ] means that one of those is not closed
            expected.append(_CLOSER[kind])
        elif kind in _CLOSING and (not expected or expected.pop() != kind):
            return False
    return not expected


def _declarations(file: SourceFile, tokens: list[Token]) -> list[list[Token]]:
    """Cuts before each line that starts in the first column with the keyword of a declaration."""
    parts: list[list[Token]] = []
    previous = "NEWLINE"
    for token in tokens:
        first = previous == "NEWLINE" and (token.start == 0 or file.text[token.start - 1] == "\n")
        if not parts or (first and token.text in _DECLARATIONS):
            parts.append([])
        parts[-1].append(token)
        previous = token.kind
    return parts


def _open_block(file: SourceFile, tokens: list[Token]) -> tuple[list[Token], list[Diagnostic]]:
    """The declaration with a `{` behind the first header that lacks it, where there is a `}` too many: on the lines below, or on
    its own line, and then that one goes."""
    surplus = sum(t.kind == "RBRACE" for t in tokens) - sum(t.kind == "LBRACE" for t in tokens)
    if surplus <= 0:
        return tokens, []
    widths = _indentation(file, tokens)
    for first, last in _headers(tokens):
        line = tokens[first : last + 1]
        if any(t.kind == "LBRACE" for t in line):
            continue
        head, end = tokens[first], line[-1]
        own = next((i for i in range(first, last + 1) if tokens[i].kind == "RBRACE"), None)
        if own is not None:
            wrong = syntax_errors.block_not_opened(_span(file, head), _span(file, tokens[own]), None)
            return [*tokens[:own], tokens[own]._replace(kind="UNKNOWN", repaired=True), *tokens[own + 1 :]], [wrong]
        below = next((i for i in range(last + 1, len(tokens)) if tokens[i].kind not in ("NEWLINE", "$END")), None)
        if below is not None and (widths[below] > widths[first] or tokens[below].kind == "RBRACE"):
            brace = Token("LBRACE", "{", end.end, end.end, True)
            wrong = syntax_errors.block_not_opened(_span(file, head), None, _span(file, end))
            return [*tokens[: last + 1], brace, *tokens[last + 1 :]], [wrong]
    return tokens, []


_HEADERS = (_DECLARATIONS - {"use", "let"}) | {"if", "else", "repeat", "scan", "columns"}


def _headers(tokens: Sequence[Token]) -> Iterator[tuple[int, int]]:
    """First and last token of each line that starts with the word of a block; newlines within ( ) and [ ] end none."""
    start, depth = 0, 0
    for i, token in enumerate(tokens):
        depth += (token.kind in ("LPAR", "LSQB")) - (token.kind in ("RPAR", "RSQB"))
        if (token.text == "\n" and depth <= 0) or token.kind == "$END":
            if i > start and tokens[start].text in _HEADERS and tokens[start + 1].kind not in ("EQUAL", "COLON", "DOT", "PIPE"):
                yield start, i - 1
            start, depth = i + 1, 0


def _indentation(file: SourceFile, tokens: Sequence[Token]) -> list[int]:
    """For each token, the width of the white space before the first token of its line."""
    widths: list[int] = []
    line_end, width = -1, 0
    for token in tokens:
        if token.start > line_end:
            line_start = file.text.rfind("\n", 0, token.start) + 1
            width = len(file.text[line_start : token.start].expandtabs(8))
            newline = file.text.find("\n", token.start)
            line_end = newline if newline >= 0 else len(file.text)
        widths.append(width)
    return widths


def _repair(file: SourceFile, tokens: list[Token], following: Token) -> tuple[list[Token], list[Diagnostic]]:
    """Tokens of one declaration with matching brackets, and the first mismatch; `following` comes after them."""
    widths = _indentation(file, tokens)
    out: list[Token] = []
    errors: list[Diagnostic] = []
    open_brackets: list[tuple[Token, int]] = []
    awaited = dict.fromkeys(_CLOSING, 0)

    def close_top(where: Token, before_newlines: bool) -> None:
        opener, _ = open_brackets.pop()
        awaited[_CLOSER[opener.kind]] -= 1
        if not errors:
            errors.append(syntax_errors.unclosed_bracket(_span(file, opener), _span(file, where)))
        at = len(out)
        while before_newlines and at > 0 and out[at - 1].kind == "NEWLINE":
            at -= 1
        kind = _CLOSER[opener.kind]
        position = out[at - 1].end if at else where.start
        out.insert(at, Token(kind, _TEXT[kind], position, position, True))

    previous = "\n"
    for token, width in zip(tokens, widths, strict=True):
        kind = token.kind
        if previous == "\n" and kind not in _CLOSING and kind not in ("NEWLINE", "PIPE"):
            while open_brackets and width <= open_brackets[-1][1]:
                close_top(token, True)
        previous = token.text
        if kind in _CLOSER:
            while kind == "LBRACE" and open_brackets and open_brackets[-1][0].kind != "LBRACE":
                close_top(token, False)
            open_brackets.append((token, width))
            awaited[_CLOSER[kind]] += 1
        elif kind in _CLOSING:
            if not awaited[kind]:
                if not errors:
                    errors.append(syntax_errors.unmatched_closing(_span(file, token)))
                out.append(token._replace(kind="UNKNOWN", repaired=True))
                continue
            while _CLOSER[open_brackets[-1][0].kind] != kind:
                close_top(token, True)
            open_brackets.pop()
            awaited[kind] -= 1
        elif kind == "$END":
            break
        out.append(token)
    while open_brackets:
        close_top(following, True)
    if tokens[-1].kind == "$END":
        out.append(tokens[-1])
    return out, errors
