"""What can be wrong with IR text, one constructor for each diagnostic."""

from __future__ import annotations

from collections.abc import Collection

from bmc.errors import Diagnostic, Label, Suggestion
from bmc.source import Span

__all__ = [
    "bad_attribute",
    "bad_string",
    "defined_twice",
    "missing_attribute",
    "no_operator",
    "positions_too_large",
    "too_deep",
    "too_large",
    "undefined",
    "unexpected",
    "unknown_attribute",
    "unknown_character",
    "unknown_dtype",
    "unknown_file",
    "unknown_role",
    "wrong_attributes",
]

_SYNTAX, _OPERATOR, _ATTRIBUTE, _VALUE, _NAME, _LIMIT = "E0750", "E0751", "E0752", "E0753", "E0754", "E0755"

_TERMINALS = {
    "VALUE": "a value like `%x`",
    "TYPE": "a type like `f32[B, 4]`",
    "NAME": "a name",
    "INT": "an integer",
    "FLOAT": "a number",
    "STRING": "a string",
    "LOCATION": "a location",
    "LPAR": "`(`",
    "RPAR": "`)`",
    "LSQB": "`[`",
    "RSQB": "`]`",
    "LBRACE": "`{`",
    "RBRACE": "`}`",
    "COMMA": "`,`",
    "COLON": "`:`",
    "EQUAL": "`=`",
    "PLUS": "`+`",
    "MINUS": "`-`",
    "TIMES": "`*`",
    "FLOORDIV": "`//`",
    "$END": "the end of the text",
}


def _at(code: str, message: str, span: Span, label: str = "", notes: tuple[str, ...] = ()) -> Diagnostic:
    return Diagnostic(code, message, (Label(span, label, primary=True),), notes)


def unexpected(span: Span, kind: str, expected: Collection[str]) -> Diagnostic:
    found = "the text ends here" if kind == "$END" else f"`{span.text}` cannot stand here"
    wanted = sorted(_TERMINALS.get(k, f"`{k.lower()}`") for k in expected)
    return _at(_SYNTAX, f"IR text: {found}", span, f"wanted {', '.join(wanted[:6])}" if 0 < len(wanted) <= 6 else "")


def unknown_character(span: Span) -> Diagnostic:
    what = "this string is not closed" if span.text == '"' else f"{span.text!a} cannot start anything"
    return _at(_SYNTAX, f"IR text: {what}", span)


def bad_string(span: Span) -> Diagnostic:
    notes = ('the escapes are \\" \\\\ \\n \\t \\r and \\u{HEX}',)
    return _at(_SYNTAX, "IR text: this string has an escape that means nothing", span, notes=notes)


def too_deep(span: Span, limit: int) -> Diagnostic:
    return _at(_LIMIT, f"IR text: brackets nest more than {limit} deep", span)


def too_large(span: Span, what: str) -> Diagnostic:
    return _at(_LIMIT, f"IR text: {what}", span)


def positions_too_large(span: Span) -> Diagnostic:
    return _at(_LIMIT, "IR text: source positions start at 1:1 and may span 16 Mi characters at most", span)


def no_operator(span: Span, similar: str | None) -> Diagnostic:
    suggestions = (Suggestion(f"the operator `{similar}` is similar", span, similar),) if similar else ()
    return Diagnostic(_OPERATOR, f"there is no operator `{span.text}`", (Label(span, primary=True),), suggestions=suggestions)


def unknown_attribute(span: Span, operator: str, known: Collection[str]) -> Diagnostic:
    notes = (f"its attributes: {', '.join(known)}" if known else "it has no attributes",)
    return _at(_ATTRIBUTE, f"`{operator}` has no attribute `{span.text}`", span, notes=notes)


def missing_attribute(span: Span, operator: str, missing: Collection[str]) -> Diagnostic:
    return _at(_ATTRIBUTE, f"`{operator}` lacks {', '.join(f'`{name}`' for name in missing)}", span)


def bad_attribute(span: Span, operator: str, name: str, wanted: str) -> Diagnostic:
    return _at(_ATTRIBUTE, f"attribute `{name}` of `{operator}` cannot have this value", span, f"wanted: {wanted}")


def wrong_attributes(span: Span, operator: str, reason: str) -> Diagnostic:
    return _at(_ATTRIBUTE, f"attributes of `{operator}`: {reason}", span)


def undefined(span: Span) -> Diagnostic:
    return _at(_VALUE, f"`{span.text}` is used before anything defines it", span)


def defined_twice(span: Span, first: Span) -> Diagnostic:
    labels = (Label(span, "defined again", primary=True), Label(first, "first defined here"))
    return Diagnostic(_VALUE, f"`{span.text}` is defined twice", labels)


def unknown_dtype(span: Span, known: Collection[str]) -> Diagnostic:
    return _at(_NAME, f"`{span.text}` is not a dtype", span, notes=(f"dtypes: {', '.join(known)}",))


def unknown_role(span: Span, known: Collection[str]) -> Diagnostic:
    return _at(_NAME, f"`{span.text}` is not a role of parameters", span, notes=(f"roles: {', '.join(known)}",))


def unknown_file(span: Span, number: int) -> Diagnostic:
    return _at(_NAME, f"the table of locations has no file {number}", span)
