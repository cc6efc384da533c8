"""Every error of the syntax stage as a named constructor.

In: spans, and words of the source. Out: `Diagnostic`s with codes of `bmc.errors.catalogue.syntax`. Guaranteed: each has a
primary label; a suggestion's span and replacement, where both are there, can be applied as they are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from bmc.errors import Diagnostic, Label, Suggestion
from bmc.source import Span

__all__ = [
    "as_outside_pipe",
    "assignment_for_comparison",
    "bad_dim",
    "bad_escape",
    "bad_number",
    "bad_target",
    "block_not_opened",
    "chained_comparison",
    "missing_comma",
    "missing_line_end",
    "missing_result_type",
    "missing_type",
    "misplaced_statement",
    "nested_too_deeply",
    "number_too_large",
    "operator_after_pipe",
    "positional_after_keyword",
    "reserved_word",
    "too_many_errors",
    "unclosed_bracket",
    "unclosed_string",
    "unexpected_line_end",
    "unexpected_token",
    "unknown_characters",
    "unmatched_closing",
]

_MEANT = {
    "\u201c": '"', "\u201d": '"', "\u201e": '"', "\u00ab": '"', "\u00bb": '"', "'": '"', "\u2018": '"', "\u2019": '"',
    "\u2212": "-", "\u2013": "-", "\u00d7": "*", "\u00b7": "*", "\u00f7": "/", "\u2264": "<=", "\u2265": ">=",
    "\u2260": "!=", "\u2192": "->", "\u2026": "...", "\u25b7": "|>", "&": "and", "|": "or", "!": "not", "^": "**",
    "\u00a0": " ", "\u200b": "", "\ufeff": "",
}  # fmt: skip
_QUOTES = "'\u2018\u2019\u201a\u201c\u201d\u201e"
_CLOSER = {"(": ")", "[": "]", "{": "}"}


def _primary(span: Span, text: str = "") -> Label:
    return Label(span, text, primary=True)


def _shown(text: str) -> str:
    """The characters with their code points when they cannot be told by looking."""
    if len(text) == 1 and not (text.isascii() and text.isprintable()):
        return f"{text!r} (U+{ord(text):04X})" if text.isprintable() else f"U+{ord(text):04X}"
    return f"`{text}`" if text.isprintable() else ascii(text)


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " or " + words[-1]


def unexpected_token(
    span: Span, found: str, expected: Sequence[str], after: Span | None, instead: str | None = None
) -> Diagnostic:
    """E0101: `expected` are names of what could have stood there, most useful first; `instead`, what was surely meant."""
    wanted = f"expected {_listed(expected)}, found {found}" if expected else f"{found} cannot stand here"
    labels = [_primary(span, f"expected {_listed(expected)}" if expected else "")]
    if after is not None and after.line != span.line:
        labels.append(Label(after, "after this"))
    fixes = () if instead is None else (Suggestion(f"write `{instead}`", span, instead, certain=True),)
    operator = "an operator" in expected and instead is None
    notes = (_WORDS_OF_CONDITIONS[span.text],) if operator and span.text in _WORDS_OF_CONDITIONS else ()
    return Diagnostic("E0101", wanted, tuple(labels), notes, fixes)


def missing_comma(after: Span, found: Span, opened: Span, certain: bool) -> Diagnostic:
    """E0121: two items of one bracket with nothing between them. `certain`: it cannot be an operator that is missing."""
    end = Span(after.file, max(after.start, after.end - 1), after.end)
    labels = [_primary(end, "a comma is missing behind this")]
    if found.line != after.line:
        labels.append(Label(found, "the next item"))
    if opened.line not in (after.line, found.line):
        labels.append(Label(opened, "of this list"))
    place = Span(after.file, after.end, after.end)
    message = f"a `,` is missing before `{_shortened(found.text)}`"
    return Diagnostic("E0121", message, tuple(labels), (), (Suggestion("write a comma", place, ",", certain),))


def block_not_opened(head: Span, closing: Span | None, end: Span | None) -> Diagnostic:
    """E0122: a block without its `{`. `closing`: its `}`, on the same line; `end`: the last of its header, on a line of its own."""
    word = head.text
    if end is None:
        ends = [] if closing is None else [Label(closing, "its end")]
        labels = (_primary(head, f"the block of this `{word}` has no `{{`"), *ends)
        return Diagnostic("E0122", f"the block of `{word}` is not opened", labels)
    rest = end.file.text[end.end :]
    place = Span(end.file, end.end, end.end + len(rest) - len(rest.lstrip(" \t")))
    mark = Span(end.file, max(end.start, end.end - 1), end.end)
    labels = (_primary(mark, "a `{` is missing behind this"), *([] if head == end else [Label(head, "of this block")]))
    fix = Suggestion("write the brace", place, " {", certain=True)
    return Diagnostic("E0122", f"the block of `{word}` is not opened", labels, (), (fix,))


def unexpected_line_end(span: Span, after: Span, expected: Sequence[str]) -> Diagnostic:
    """E0101 at the end of a line that is not a whole statement."""
    wanted = _listed(expected) if expected else "the rest of the statement"
    return Diagnostic(
        "E0101",
        f"expected {wanted} before the end of the line",
        (_primary(span, f"expected {wanted}"), Label(after, "after this")),
        ("a newline ends a statement, except inside ( ) and [ ], or before a line that starts with `|>`",),
    )


def unknown_characters(span: Span) -> Diagnostic:
    """E0102"""
    text = span.text
    meant = "|>" if text == "|" else _MEANT.get(text[0])
    if text.isalpha():
        return Diagnostic(
            "E0102",
            f"{_shown(text)} cannot be part of a name",
            (_primary(span, "not an ASCII letter"),),
            ("names are made of ASCII letters, digits and `_`; strings and comments may hold any character",),
            (_NAMED_COLUMN,),
        )
    if text[0] in _QUOTES:
        closed = len(text) > 1 and text[-1] in _QUOTES + '"'
        fix = Suggestion('write `"` at both ends', span, f'"{text[1:-1]}"', certain=True)
        quoted = (fix,) if closed and "\\" not in text else ()
        return Diagnostic(
            "E0102",
            f"unknown character {_shown(text[0])}",
            (_primary(span, 'strings stand between `"`'),),
            (),
            quoted,
        )
    suggestions: tuple[Suggestion, ...] = (_NAMED_COLUMN,) if _declares_column(span) else ()
    if meant is not None and len(set(text)) == 1:
        change = f"write `{meant}`" if meant.strip() else "write a plain space" if meant else "leave it out"
        suggestions = (Suggestion(change, span, meant, certain=True),)
    return Diagnostic("E0102", f"unknown character {_shown(text)}", (_primary(span),), (), suggestions)


def unclosed_bracket(opener: Span, expected_before: Span) -> Diagnostic:
    """E0103: points at the opening bracket, and at where its closing one was missed."""
    closer = _CLOSER[opener.text]
    labels = [_primary(opener, "opened here")]
    if expected_before.start > opener.end:
        labels.append(Label(expected_before, f"a `{closer}` should come before this"))
    return Diagnostic("E0103", f"this `{opener.text}` is never closed", tuple(labels))


def unmatched_closing(span: Span) -> Diagnostic:
    """E0104"""
    return Diagnostic(
        "E0104",
        f"`{span.text}` closes nothing",
        (_primary(span, "no open bracket matches this"),),
        (),
        (Suggestion("remove it", span, ""),),
    )


def unclosed_string(span: Span) -> Diagnostic:
    """E0105: `span` starts at the opening quote and ends with the line."""
    return Diagnostic(
        "E0105",
        "this string is not closed on its line",
        (_primary(Span(span.file, span.start, span.start + 1), "opened here"),),
        ("a string cannot go over a line's end; `\\n` in it stands for one",),
    )


def bad_escape(span: Span) -> Diagnostic:
    """E0106"""
    return Diagnostic(
        "E0106",
        f"unknown escape {_shown(span.text)} in a string",
        (_primary(span),),
        ('escapes are \\n \\t \\r \\0 \\" \\\\ \\xHH \\uHHHH \\u{HHHHHH}; a surrogate is not a character',),
        (Suggestion("write the backslash twice for a backslash", span, "\\" + span.text),),
    )


def bad_number(span: Span) -> Diagnostic:
    """E0107"""
    return Diagnostic(
        "E0107",
        f"`{_shortened(span.text)}` is not a number",
        (_primary(span),),
        ("numbers look like 12, 20_000, 0.5, 1e-3; a name cannot start with a digit",),
        (_NAMED_COLUMN,) if _declares_column(span) else (),
    )


_NAMED_COLUMN = Suggestion('a column is given a name of its own by `"header in the file" as name: type`')
_LONGEST_COLUMN = 200
_COLUMN = re.compile(r"[ \t]*\S+[ \t]*:\s*(bool|u8|i32|i64|f32|f64|str|date|timestamp)\b")


def _declares_column(span: Span) -> bool:
    """Whether the line looks like a column, `name: type`, with the span in its name."""
    begin = span.start - span.column + 1
    line = span.file.text[begin : begin + _LONGEST_COLUMN]  # a broken line may be all there is of a large file
    found = _COLUMN.match(line)
    return found is not None and span.column <= line.index(":")


def number_too_large(span: Span) -> Diagnostic:
    """E0107: beyond i64 or f64."""
    limit = "an integer is at most 9223372036854775807" if span.text.replace("_", "").isdigit() else "it overflows f64"
    return Diagnostic("E0107", "this number is too large", (_primary(span, limit),))


def _shortened(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "..."


def chained_comparison(left: Span, first: Span, middle: Span, second: Span) -> Diagnostic:
    """E0108: `left first middle second ...`, for example `1 < x < 3`."""
    names = middle.text
    return Diagnostic(
        "E0108",
        "comparisons do not chain",
        (_primary(second, "second comparison"), Label(first, "first comparison")),
        (),
        (
            Suggestion(
                f"write `{_shortened(left.text)} {first.text} {_shortened(names)} and {_shortened(names)} {second.text} ...`",
                Span(second.file, second.start, second.start),
                f"and {names} ",
                certain=True,
            ),
        ),
    )


def operator_after_pipe(operator: Span, piped: Span, stage: Span) -> Diagnostic:
    """E0109: `x |> f / 255`; `piped` is all before the operator, `stage` the last `|> f` of it."""
    shown = _shortened(" ".join(piped.text.split()))
    arithmetic = operator.text in ("+", "-", "*", "/")  # a `>` may be half of a pipe
    return Diagnostic(
        "E0109",
        f"`{operator.text}` cannot follow a pipe: `|>` binds loosest",
        (_primary(operator, "this would belong to the stage before it"), Label(stage, "the stage")),
        (),
        (
            Suggestion(f"if its result is meant, write `({shown}) {operator.text} ...`", piped, f"({piped.text})", arithmetic),
            Suggestion(f"if it belongs to the value, write it before the pipe: `value {operator.text} ... |> {stage.text}`"),
        ),
    )


def assignment_for_comparison(span: Span, certain: bool) -> Diagnostic:
    """E0110"""
    return Diagnostic(
        "E0110",
        "`=` names a value; a comparison is written `==`",
        (_primary(span),),
        (),
        (Suggestion("write `==`", span, "==", certain),),
    )


_WORDS_OF_CONDITIONS: Mapping[str, str] = MappingProxyType(
    {
        "in": 'whether x is one of several values is `is_in(x, ["a", "b"])`',
        "is": "whether a cell is missing is `is_missing(x)`; values are equal where `x == y`",
        "between": "a range is two conditions: `low <= x and x <= high`",
        "like": '`contains(x, "text")`, `starts_with` and `ends_with` look for text',
        "AND": "conditions are joined by `and`",
        "OR": "conditions are joined by `or`",
    }
)
"""What words of other languages are in this one."""


def missing_line_end(span: Span, found: str, statement: Span) -> Diagnostic:
    """E0111: something follows a whole statement on the same line."""
    note = "each statement has a line of its own, or is followed by `;`"
    if span.text == "if":
        note = "a choice within an expression is `select(c, a, b)`; `if c { ... } else { ... }` is a statement"
    if span.text in _WORDS_OF_CONDITIONS:
        note = _WORDS_OF_CONDITIONS[span.text]
    return Diagnostic(
        "E0111",
        f"expected an operator or a new line before {found}",
        (_primary(span, "not part of the statement"), Label(statement, "the statement ends here")),
        (note,),
    )


def nested_too_deeply(span: Span, limit: str) -> Diagnostic:
    """E0112"""
    return Diagnostic(
        "E0112",
        "this is nested too deeply",
        (_primary(span, f"more than {limit}"),),
        (),
        (Suggestion("give parts of the expression names of their own"),),
    )


def positional_after_keyword(span: Span, keyword: Span) -> Diagnostic:
    """E0113"""
    return Diagnostic(
        "E0113",
        "an argument without a name cannot follow a named one",
        (_primary(span, "has no name"), Label(keyword, "named")),
    )


def as_outside_pipe(span: Span) -> Diagnostic:
    """E0114"""
    return Diagnostic(
        "E0114",
        "`as` names a layer in a pipe, and nothing else here",
        (_primary(span, "no pipe stage before this"),),
        ("a layer's key is `as name` after its stage, `x |> dense(64) as fc1`, or the name it is bound to",),
    )


def bad_target(span: Span, equal: Span | None) -> Diagnostic:
    """E0115: `equal` is the `=`, if it was reached."""
    labels = [_primary(span, "not a name")]
    if equal is not None:
        labels.append(Label(equal, "bound by this `=`"))
    return Diagnostic(
        "E0115",
        "only names can be bound",
        tuple(labels),
        ("the left side of `=` is `name`, `name: type`, or several of them separated by `,`, without brackets",),
    )


def bad_dim(span: Span) -> Diagnostic:
    """E0116"""
    return Diagnostic(
        "E0116",
        "a dim is made of integers, names, + - * / // % ** and `...`",
        (_primary(span, "cannot be part of a dim"),),
    )


def misplaced_statement(span: Span, found: str, block: str, allowed: str, meant: str | None, certain: bool = False) -> Diagnostic:
    """E0117: `block` names where it stands, `allowed` what may stand there, `meant` a keyword that is close to it."""
    suggestions = (Suggestion(f"did you mean `{meant}`?", span, meant, certain),) if meant is not None else ()
    return Diagnostic("E0117", f"{found} cannot stand {block}", (_primary(span),), (allowed,), suggestions)


def missing_result_type(span: Span, name: Span) -> Diagnostic:
    """E0118: a `fn`, `layer`, `model` or `optimizer` without `-> type`."""
    return Diagnostic(
        "E0118",
        f"`{name.text}` does not say what it returns",
        (_primary(span, "expected `-> type` before this"), Label(name, "declared here")),
        (),
        (Suggestion("add a type, such as `-> float[B, D]`"),),
    )


def missing_type(name: Span, what: str, equal: Span | None = None) -> Diagnostic:
    """E0118: a `param`, `state`, column or result without `: type`. `equal`: a `=` that stands there instead of the `:`."""
    if equal is not None:
        fix = Suggestion("write `:`", equal, ":", certain=True)
        label = _primary(equal, f"a `:` stands between {what} and its type")
        return Diagnostic("E0118", f"{what} `{name.text}` has no type", (label,), suggestions=(fix,))
    wanted = f"write `{name.text}: float[...]` with its dims"
    return Diagnostic(
        "E0118",
        f"{what} `{name.text}` has no type",
        (_primary(name, "expected `: type` after this"),),
        (),
        (Suggestion(f"write the type of a cell, such as `{name.text}: f32`" if what == "the column" else wanted),),
    )


def reserved_word(span: Span) -> Diagnostic:
    """E0119"""
    return Diagnostic(
        "E0119",
        f"`{span.text}` is a word of the language and cannot be a name",
        (_primary(span),),
        ("reserved are: and as false none not or true",),
        (Suggestion(f"write another name, such as `{span.text}_`", span, f"{span.text}_"),),
    )


def too_many_errors(span: Span, limit: int) -> Diagnostic:
    """E0120"""
    return Diagnostic("E0120", f"more than {limit} errors: the others are not shown", (_primary(span),))
