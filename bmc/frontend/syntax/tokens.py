"""Text to raw tokens, newlines included.

In: a `SourceFile`. Out: the list of `Token`s and the diagnostics of characters, strings and numbers that are wrong.
Guaranteed: one pass of one regular expression without backtracking over more than a token, so time is linear; every
character is part of a token, of white space, of a comment, or of a diagnostic; the last token is `$END`.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from bmc.errors import Diagnostic
from bmc.frontend.errors import syntax_errors
from bmc.source import SourceFile, Span

__all__ = ["MAX_INTEGER", "RESERVED", "Token", "comments", "decode_string", "tokenize"]

MAX_INTEGER = 2**63 - 1


class Token(NamedTuple):
    """`kind` is a terminal of bm.lark. A `repaired` one was put in by bracket repair, or replaces a wrong one."""

    kind: str
    text: str
    start: int
    end: int
    repaired: bool = False


RESERVED = {"and": "AND", "or": "OR", "not": "NOT", "true": "TRUE", "false": "FALSE", "none": "NONE", "as": "AS"}

_PUNCTUATION = {
    "(": "LPAR", ")": "RPAR", "[": "LSQB", "]": "RSQB", "{": "LBRACE", "}": "RBRACE",
    ",": "COMMA", ":": "COLON", ".": "DOT", "=": "EQUAL", "|>": "PIPE", "->": "ARROW", "?": "QMARK", "...": "ELLIPSIS",
    ";": "NEWLINE", "\n": "NEWLINE", "+": "PLUS", "-": "MINUS", "*": "TIMES", "/": "TIMES", "//": "TIMES", "%": "TIMES",
    "@": "TIMES", "**": "POWER", "==": "COMPARE", "!=": "COMPARE", "<": "COMPARE", "<=": "COMPARE", ">": "COMPARE",
    ">=": "COMPARE",
}  # fmt: skip

# A number takes the letters and digits that touch it, so that `3x` is one wrong number and not two right tokens.
_TOKEN = re.compile(
    r"""(?P<SPACE>[ \t\r\f\v]+|\#[^\n]*)
      | (?P<NAME>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<NUMBER>\.?[0-9][0-9_]*(?:\.[0-9][0-9_]*)?(?:[eE][+-]?[0-9]+)?(?:\.?[A-Za-z0-9_])*)
      | (?P<STRING>"(?:[^"\\\n]|\\(?:[^\n]|(?=\n|\Z)))*(?P<CLOSED>")?)
      | (?P<PUNCTUATION>\.\.\.|\|>|->|//|\*\*|==|!=|<=|>=|[()\[\]{},:.=?;\n+\-*/%@<>])
      | (?P<UNKNOWN>'[^'\n]*'|[“”„][^“”„"\n]*[“”"]|&&|\|\||[^\x00-\x7f]+|.)""",
    re.VERBOSE | re.DOTALL,
)
_NUMBER = re.compile(r"[0-9]+(?:_[0-9]+)*(?:\.[0-9]+(?:_[0-9]+)*)?(?:[eE][+-]?[0-9]+)?")
_ESCAPE = re.compile(r"\\(?:u\{([0-9a-fA-F]{1,6})\}|u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.))", re.DOTALL)
_SIMPLE_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", '"': '"', "\\": "\\"}
_SURROGATES = range(0xD800, 0xE000)


def decode_string(literal: str) -> tuple[str, tuple[tuple[int, int], ...]]:
    """The value of a string literal, quotes included in `literal`, and the (start, end) in it of each wrong escape."""
    body = literal[1:-1]
    if "\\" not in body:
        return body, ()
    wrong: list[tuple[int, int]] = []

    def value(match: re.Match[str]) -> str:
        digits = match[1] or match[2] or match[3]
        if digits is not None:
            code = int(digits, 16)
            if code < 0x110000 and code not in _SURROGATES:
                return chr(code)
        elif match[4] in _SIMPLE_ESCAPES:
            return _SIMPLE_ESCAPES[match[4]]
        wrong.append((match.start() + 1, match.end() + 1))
        return match[0]

    return _ESCAPE.sub(value, body), tuple(wrong)


def _number_error(text: str, span: Span) -> Diagnostic | None:
    if not _NUMBER.fullmatch(text):
        return syntax_errors.bad_number(span)
    digits = text.replace("_", "")
    too_large = len(digits.lstrip("0")) > 19 or int(digits) > MAX_INTEGER if digits.isdigit() else float(digits) == float("inf")
    return syntax_errors.number_too_large(span) if too_large else None


def comments(file: SourceFile) -> tuple[Span, ...]:
    """The spans of the comments of a file, in order, each without its newline."""
    return tuple(
        Span(file, m.start(), m.end()) for m in _TOKEN.finditer(file.text) if m.lastgroup == "SPACE" and m[0].startswith("#")
    )


def tokenize(file: SourceFile, start: int = 0, end: int | None = None) -> tuple[list[Token], list[Diagnostic]]:
    """Raw tokens of a file, or of its characters [start, end). A wrong number or string still yields its token, so that one error
    makes one diagnostic."""
    tokens: list[Token] = []
    errors: list[Diagnostic] = []
    text = file.text
    append = tokens.append
    if end is None:
        end = len(text)
    for match in _TOKEN.finditer(text, 1 if start == 0 and text.startswith("\ufeff") else start, end):
        group = match.lastgroup
        if group == "SPACE":
            continue
        word, first, last = match[0], match.start(), match.end()
        if group == "PUNCTUATION":
            append(Token(_PUNCTUATION[word], word, first, last))
        elif group == "NAME":
            append(Token(RESERVED.get(word, "NAME"), word, first, last))
        elif group == "NUMBER":
            error = _number_error(word, Span(file, first, last))
            if error is not None:
                errors.append(error)
                word = "0"
            append(Token("NUMBER", word, first, last, error is not None))
        elif group == "UNKNOWN":
            errors.append(syntax_errors.unknown_characters(Span(file, first, last)))
            append(Token("UNKNOWN", word, first, last, True))
        else:  # STRING, or CLOSED within it
            if match["CLOSED"] is None:
                errors.append(syntax_errors.unclosed_string(Span(file, first, last)))
                append(Token("STRING", '""', first, last, True))
                continue
            for left, right in decode_string(word)[1]:
                errors.append(syntax_errors.bad_escape(Span(file, first + left, first + right)))
            append(Token("STRING", word, first, last))
    append(Token("$END", "", end, end))
    return tokens, errors
