"""Raw tokens to the tokens of the grammar: newlines that end nothing go, words that start a statement become keywords.

In: tokens whose brackets match. Out: tokens for the LALR table. Guaranteed: linear time; a word is a keyword only where a
statement starts and what follows fits, so that `data = 3`, `layer: str` and `repeat(x)` in an expression are names.
"""

from __future__ import annotations

from bmc.frontend.syntax.tokens import Token

__all__ = ["lay_out"]

# What may follow a word for it to be the keyword that starts a statement; a word followed by none of these is a name.
_BEFORE_NAME = {w: w.upper() for w in ("let", "fn", "layer", "model", "optimizer", "data", "train", "param", "state", "yield")}
_BEFORE_VALUE = {w: w.upper() for w in ("return", "assert", "if", "repeat", "where")}
_NOT_A_VALUE = frozenset({"EQUAL", "COLON", "COMMA", "DOT", "PIPE", "TIMES", "POWER", "COMPARE", "AND", "OR", "AS"})
_NAMES = frozenset({"NAME", "NUMBER", "UNKNOWN", "NOT", "TRUE", "FALSE", "NONE"})  # wrong ones, for a better message
_NOTHING = frozenset({"NEWLINE", "RBRACE", "$END"})


def _keyword(word: str, following: Token) -> str:
    """The kind of a word at the start of a statement."""
    kind = following.kind
    if word in _BEFORE_NAME:
        return _BEFORE_NAME[word] if kind in _NAMES else "NAME"
    if word in _BEFORE_VALUE:
        return "NAME" if kind in _NOT_A_VALUE else _BEFORE_VALUE[word]
    if word == "use":
        return "USE" if kind == "STRING" else "NAME"
    if word == "scan":
        return "SCAN" if kind in ("LPAR", "NAME") else "NAME"
    if word == "columns":
        return "COLUMNS" if kind == "LBRACE" else "NAME"
    if word == "distinct":
        return "DISTINCT" if kind in _NOTHING or following.text == "by" else "NAME"
    return "NAME"


def _without_idle_newlines(tokens: list[Token]) -> list[Token]:
    out: list[Token] = []
    inside: list[str] = []
    for _i, token in enumerate(tokens):
        kind = token.kind
        if kind == "NEWLINE":
            if inside and inside[-1] != "LBRACE" and token.text == "\n":
                continue
            if not out or out[-1].kind in ("NEWLINE", "LBRACE"):
                continue
        else:
            if kind in ("PIPE", "ARROW", "LBRACE", "RBRACE", "$END") or (token.text == "else" and _ends_block(out)):
                while out and out[-1].kind == "NEWLINE" and (kind != "PIPE" or out[-1].text == "\n"):
                    out.pop()
            if kind in ("LPAR", "LSQB", "LBRACE"):
                inside.append(kind)
            elif kind in ("RPAR", "RSQB", "RBRACE") and inside:
                inside.pop()
        out.append(token)
    return out


def _ends_block(out: list[Token]) -> bool:
    at = len(out) - 1
    while at >= 0 and out[at].kind == "NEWLINE":
        at -= 1
    return at >= 0 and out[at].kind == "RBRACE"


def _ends_header_part(word: str, header: str, previous: str) -> bool:
    """Whether `in`, `on` or `by` is that of the header: it follows the targets, the model, or `distinct`."""
    if word == "in":
        return header in ("REPEAT", "SCAN") and previous == "NAME"
    if word == "on":
        return header == "TRAIN" and previous in ("NAME", "RPAR")
    return previous == "DISTINCT"


def lay_out(tokens: list[Token]) -> list[Token]:
    """The tokens the grammar speaks of."""
    out = _without_idle_newlines(tokens)
    previous = "NEWLINE"
    header = ""  # the keyword whose own `in`, `on` or `by` has not come yet
    depth = 0
    for i, token in enumerate(out):
        kind = token.kind
        if kind == "NAME":
            word = token.text
            if previous in ("NEWLINE", "LBRACE"):
                kind = _keyword(word, out[i + 1])
                header = kind
                depth = 0
            elif word == "else" and previous == "RBRACE":
                kind = "ELSE"
            elif word == "if" and previous == "ELSE":
                kind = "IF"
            elif depth == 0 and word in ("in", "on", "by") and _ends_header_part(word, header, previous):
                kind = word.upper()
                header = ""
            if kind != "NAME":
                out[i] = token._replace(kind=kind)
        elif kind in ("LPAR", "LSQB"):
            depth += 1
        elif kind in ("RPAR", "RSQB"):
            depth -= 1
        previous = kind
    return out
