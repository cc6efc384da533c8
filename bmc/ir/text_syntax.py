"""Reads the form of IR text: characters to tokens, tokens through the table of `bmir.lark` to actions.

In: the text of a `.bmir` file, actions by name. Out: what the action of the start rule returns. Guaranteed: one
pass, linear time, no recursion; the first token or character that cannot stand where it stands raises BmcError with
its span; brackets nest at most `MAX_NESTING` deep, so that nothing made by the actions is nested deeper.

Why not lark's own loop: the cached table needs no import of lark, and the actions run while the text is read, so
that a module of 30,000 operations makes no syntax tree first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from bmc.errors import BmcError
from bmc.ir import text_errors
from bmc.ir.text import RESERVED_WORDS
from bmc.ir.text_locations import LOCATION_PATTERN
from bmc.source import SourceFile, Span
from bmc_grammar import load_table

__all__ = ["MAX_NESTING", "Token", "read_form", "tokenize", "unquoted"]

MAX_NESTING: Final = 64


class Token(NamedTuple):
    """`kind` is a terminal of bmir.lark."""

    kind: str
    text: str
    start: int
    end: int


_PUNCTUATION: Final = {
    "(": "LPAR",
    ")": "RPAR",
    "[": "LSQB",
    "]": "RSQB",
    "{": "LBRACE",
    "}": "RBRACE",
    ",": "COMMA",
    ":": "COLON",
    "=": "EQUAL",
    "+": "PLUS",
    "-": "MINUS",
    "*": "TIMES",
    "//": "FLOORDIV",
}
_WORDS: Final = {word: word.upper() for word in RESERVED_WORDS}
_NESTING: Final = {"LPAR": 1, "LSQB": 1, "LBRACE": 1, "RPAR": -1, "RSQB": -1, "RBRACE": -1}
_TOKEN: Final = re.compile(
    rf"""(?P<SPACE>[ \t\r\n]+|\#[^\n]*)
      | (?P<VALUE>%[A-Za-z0-9_.@]+)
      | (?P<FLOAT>(?:inf|nan(?::0x[0-9a-f]{{16}})?|[0-9]+(?:\.[0-9]+)?e[+-]?[0-9]+|[0-9]+\.[0-9]+)(?![A-Za-z0-9_.]))
      | (?P<INT>[0-9]+(?![A-Za-z0-9_.]))
      | (?P<TYPE>[A-Za-z_][A-Za-z0-9_.]*\[[^\[\]]*\])
      | (?P<NAME>[A-Za-z_][A-Za-z0-9_.]*)
      | (?P<STRING>"(?:[^"\\\n]|\\[^\n])*")
      | (?P<LOCATION>{LOCATION_PATTERN.replace(" ", "[ ]")})
      | (?P<PUNCTUATION>//|[-+*(){{}}\[\],:=])
      | (?P<UNKNOWN>.)""",
    re.VERBOSE | re.DOTALL,
)
_PART_TOKEN: Final = re.compile(_TOKEN.pattern.replace("(?P<TYPE>", "(?P<TYPE>(?!)"), _TOKEN.flags)
_ESCAPE: Final = re.compile(r"\\(?:u\{([0-9a-f]{1,6})\}|(.))", re.DOTALL)
_SIMPLE_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\"}


def unquoted(literal: str) -> str | None:
    """The value of a string literal, quotes included in `literal`; None if an escape is wrong."""
    body = literal[1:-1]
    if "\\" not in body:
        return body
    parts: list[str] = []
    end = 0
    for match in _ESCAPE.finditer(body):
        code = int(match[1], 16) if match[1] else None
        simple = _SIMPLE_ESCAPES.get(match[2]) if code is None else None
        if simple is None and (code is None or code > 0x10FFFF):
            return None
        parts += (body[end : match.start()], simple if simple is not None else chr(code or 0))
        end = match.end()
    return "".join([*parts, body[end:]])


def tokenize(file: SourceFile, part: Token | None = None) -> Iterator[Token]:
    """All tokens, `$END` last; of a TYPE token those that it is made of, after PART.

    Raises BmcError for a character that starts none, and for brackets nested too deeply.
    """
    depth = 0
    start, end = (part.start, part.end) if part is not None else (0, len(file.text))
    pattern = _TOKEN if part is None else _PART_TOKEN
    if part is not None:
        yield Token("PART", "", start, start)
    for match in pattern.finditer(file.text, start, end):
        kind = match.lastgroup
        if kind == "SPACE":
            continue
        text = match[0]
        if kind == "PUNCTUATION":
            kind = _PUNCTUATION[text]
            if kind in _NESTING:
                depth += _NESTING[kind]
                if depth > MAX_NESTING:
                    raise BmcError(text_errors.too_deep(Span(file, match.start(), match.end()), MAX_NESTING))
        elif kind == "NAME":
            kind = _WORDS.get(text, "NAME")
        elif kind == "UNKNOWN" or kind is None:
            raise BmcError(text_errors.unknown_character(Span(file, match.start(), match.end())))
        yield Token(kind, text, match.start(), match.end())
    yield Token("$END", "", end, end)


def read_form(file: SourceFile, actions: Mapping[str, Callable[[list[Any]], Any]], part: Token | None = None) -> Any:
    """What the action of the start rule makes of a file, or of a TYPE token in it. An action is given its children:
    tokens, values of actions, lists of rules `_x`.

    KeyError: `actions` lacks one of the grammar's.
    """
    table = load_table("bmir")
    rows = table.states
    rules = [(r.origin, r.size, None if r.action is None else actions[r.action], r.is_list) for r in table.rules]
    states, values = [0], list[Any]()
    for token in tokenize(file, part):
        kind = token.kind
        while (act := rows[states[-1]].get(kind)) is None or act < 0:
            if act is None:
                expected = frozenset(k for k in rows[states[-1]] if k.lstrip("$").isupper())
                raise BmcError(text_errors.unexpected(Span(file, token.start, token.end), token.kind, expected))
            origin, size, action, is_list = rules[-1 - act]
            if action is not None:
                if size:
                    values[-size:] = [action(values[-size:])]
                    del states[-size:]
                else:
                    values.append(action([]))
            elif is_list:
                if size == 0:
                    values.append([])
                elif size == 1:
                    values[-1] = [values[-1]]
                    del states[-1:]
                else:  # list item, or list SEPARATOR item
                    values[-size].append(values[-1])
                    del values[1 - size :], states[-size:]
            else:  # a single child, passed on
                del states[-1:]
            states.append(rows[states[-1]][origin])
            if states[-1] == table.accept:
                return values[-1]
        states.append(act)
        values.append(token)
    raise AssertionError("the table shifts $END")
