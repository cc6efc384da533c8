"""Says in the language's words why a token could not come next.

In: `Failure`s of the LALR run. Out: diagnostics, in `errors`. Guaranteed: at most one for each failing statement, and none for
a statement whose tokens were already reported (a wrong character, a mismatched bracket). Explaining
one may cost a look at the whole file before it, so the caller bounds their number.
"""

from __future__ import annotations

from collections.abc import Callable

from bmc.errors import Diagnostic, nearest, nothing_else_near
from bmc.frontend.errors import syntax_errors
from bmc.frontend.syntax.lalr import MAX_DEPTH, Failure
from bmc.frontend.syntax.tokens import RESERVED, Token
from bmc.source import SourceFile, Span

__all__ = ["Failures"]

_OPENING = frozenset({"LPAR", "LSQB", "LBRACE"})
_CLOSING = frozenset({"RPAR", "RSQB", "RBRACE"})
_OPERATORS = frozenset({"PLUS", "MINUS", "TIMES", "POWER", "COMPARE", "AND", "OR"})
_RESERVED_KINDS = frozenset(RESERVED.values())
_ITEMS = frozenset({"NAME", "NUMBER", "STRING", "LPAR", "LSQB", "TRUE", "FALSE", "NONE"})
_ITEM_ENDS = (_ITEMS - {"LPAR", "LSQB"}) | {"RPAR", "RSQB"}
_CALLABLES = frozenset({"FN", "LAYER", "MODEL", "OPTIMIZER"})
_STATEMENTS = frozenset({"PARAM", "STATE", "RETURN", "ASSERT", "IF", "REPEAT", "SCAN", "YIELD"})
_DECLARATIONS = _CALLABLES | {"USE", "DATA", "TRAIN"}
_CLAUSES = frozenset({"COLUMNS", "WHERE", "DISTINCT"})
_KEYWORDS = _STATEMENTS | _DECLARATIONS | _CLAUSES | {"LET", "ELSE"}
_EXPRESSION = frozenset({"NUMBER", "LPAR", "LSQB", "MINUS", "TRUE"})  # all of them may start nothing but an expression

_BLOCKS = {
    "file": ("at the top of a file", "there stand: use, let, fn, layer, model, optimizer, data, train"),
    "body": (
        "in a body",
        "a body holds bindings, param, state, let, if, repeat, scan, yield, assert and return",
    ),
    "data": ("in a `data` block", "a `data` block holds `name = expr`, let, columns { }, where and distinct"),
    "columns": ("among columns", 'columns are written `name: type`, `header as name: type` or `"any header" as name: type`'),
    "train": ("in a `train` block", "a `train` block holds `key = expr` and let"),
}
# What other languages call it.
_FOREIGN = {
    "def": "fn", "func": "fn", "function": "fn", "import": "use", "include": "use", "class": "layer", "module": "layer",
    "const": "let", "var": "let", "for": "repeat", "loop": "repeat", "dataset": "data",
}  # fmt: skip
_CONDITIONS = frozenset({"IF", "ASSERT", "WHERE"})
_TYPES = frozenset({"float", "bool", "u8", "i32", "i64", "f32", "f64", "str", "date", "timestamp"})
_SAME = frozenset({"def", "func", "function", "import", "include", "const", "var", "dataset"})
"""Those of `_FOREIGN` that can mean nothing else."""
_SLIPS = (("=", "==", "EQUAL"), ("=", ":", "EQUAL"), (":", "=", "COLON"), ("->", ":", "ARROW"), ("->", "=>", "ARROW"))
"""What is meant, what was written, and the kind of token that could have come there."""
_STARTERS = {
    "file": ("use", "let", "fn", "layer", "model", "optimizer", "data", "train"),
    "body": ("param", "state", "let", "if", "repeat", "scan", "yield", "assert", "return"),
    "data": ("let", "columns", "where", "distinct"),
    "columns": (),
    "train": ("let",),
}
_WORDS = {
    "NAME": "a name", "STRING": "a string", "NUMBER": "a number", "NEWLINE": "a new line", "$END": "the end of the file",
    "LPAR": "`(`", "RPAR": "`)`", "LSQB": "`[`", "RSQB": "`]`", "LBRACE": "`{`", "RBRACE": "`}`", "COMMA": "`,`",
    "COLON": "`:`", "DOT": "`.`", "EQUAL": "`=`", "PIPE": "`|>`", "ARROW": "`->`", "QMARK": "`?`", "ELLIPSIS": "`...`",
    "AS": "`as`", "IN": "`in`", "ON": "`on`", "BY": "`by`",
}  # fmt: skip


def _found(token: Token) -> str:
    if token.kind in ("NEWLINE", "$END"):
        return "`;`" if token.text == ";" else _WORDS[token.kind] if token.kind == "$END" else "the end of the line"
    text = token.text if len(token.text) <= 40 else token.text[:37] + "..."
    return f"the string {text}" if token.kind == "STRING" else f"`{text}`"


def _expected_words(expected: frozenset[str]) -> list[str]:
    words: list[str] = []
    rest = set(expected)
    if rest >= _EXPRESSION:
        words.append("an expression")
        rest -= _EXPRESSION | {"NAME", "STRING", "PLUS", "NOT", "FALSE", "NONE"}
    if rest & _DECLARATIONS:
        words.append("a declaration")
        rest -= _DECLARATIONS | {"LET", "$END"}
    elif rest & _STATEMENTS:
        words[:] = ["a statement"]
        rest -= _STATEMENTS | {"LET", "NAME", "RBRACE"}
    if len(rest & _OPERATORS) > 1:
        words.append("an operator")
        rest -= _OPERATORS | {"DOT", "PIPE", "LPAR", "LSQB"}
    rest -= {"ERROR", "DOT"} if len(rest) > 2 else {"ERROR"}
    order = list(_WORDS)
    words += [_WORDS.get(k, f"`{k.lower()}`") for k in sorted(rest, key=lambda k: (order.index(k) if k in order else 99, k))]
    return words if len(words) <= 6 else []


class Failures:
    """Collects the diagnostics of one run over `tokens`."""

    def __init__(self, file: SourceFile, tokens: list[Token]) -> None:
        self.errors: list[Diagnostic] = []
        self._file = file
        self._tokens = tokens

    def report(self, failure: Failure) -> str | None:
        """Notes why `failure` happened. Returns the kind to read the token as, where that mends it."""
        tokens = self._tokens
        if any(t.repaired for t in tokens[failure.statement : failure.end + 1]):
            return None
        if self._means_comparison(failure):
            certain = self._tokens[failure.statement].kind in _CONDITIONS
            self.errors.append(syntax_errors.assignment_for_comparison(self._span(failure.index), certain))
            return "COMPARE"
        for explain in self._explanations():
            diagnostic = explain(failure)
            if diagnostic is not None:
                self.errors.append(diagnostic)
                return None
        return None

    def _explanations(self) -> tuple[Callable[[Failure], Diagnostic | None], ...]:
        """From the special to the general; the last one always answers."""
        return (
            self._too_deep,
            self._misplaced,
            self._chained,
            self._operator_after_pipe,
            self._stray_as,
            self._reserved,
            self._target,
            self._missing_result,
            self._missing_type,
            self._missing_comma,
            self._line_end_inside,
            self._missing_line_end,
            self._unexpected,
        )

    def _span(self, first: int, last: int | None = None) -> Span:
        tokens = self._tokens
        return Span(self._file, tokens[first].start, tokens[first if last is None else last].end)

    def _item_start(self, index: int, statement: int) -> int:
        """The index of the first token of the expression that token `index` goes on with: after the last bracket that is
        still open, comma, `=`, `:` or keyword at the same depth."""
        depth = 0
        for i in range(index - 1, statement - 1, -1):
            kind = self._tokens[i].kind
            if kind in _CLOSING:
                depth += 1
            elif kind in _OPENING:
                if depth == 0:
                    return i + 1
                depth -= 1
            elif depth == 0 and kind in {"COMMA", "EQUAL", "COLON", "NEWLINE", "IN"} | _KEYWORDS:
                return i + 1
        return statement

    def _last_at_depth(self, kinds: frozenset[str], start: int, index: int) -> int | None:
        """The last token of `kinds` in [start, index) that no bracket within that range encloses."""
        depth = 0
        for i in range(index - 1, start - 1, -1):
            kind = self._tokens[i].kind
            if kind in _CLOSING:
                depth += 1
            elif kind in _OPENING:
                depth -= 1
            elif depth == 0 and kind in kinds:
                return i
        return None

    def _means_comparison(self, failure: Failure) -> bool:
        if self._tokens[failure.index].kind != "EQUAL" or "COMPARE" not in failure.expected:
            return False
        if self._tokens[failure.statement].kind in _CONDITIONS:
            return True
        start = self._item_start(failure.index, failure.statement)
        keyword = self._tokens[start - 1].kind if start > 0 else ""
        return keyword in ("EQUAL", "RETURN", "IF", "ASSERT", "WHERE", "LPAR") and start > failure.statement

    def _too_deep(self, failure: Failure) -> Diagnostic | None:
        if not failure.too_deep:
            return None
        return syntax_errors.nested_too_deeply(self._span(max(failure.statement, failure.index - 1)), f"{MAX_DEPTH} levels")

    def _block(self, failure: Failure) -> str:
        """The kind of the block in which the failing statement stands."""
        depth = 0
        for i in range(failure.statement - 1, -1, -1):
            kind = self._tokens[i].kind
            if kind == "RBRACE":
                depth += 1
            elif kind == "LBRACE":
                depth -= 1
                if depth < 0:
                    return self._header(i)
        return "file"

    def _header(self, brace: int) -> str:
        for i in range(brace - 1, -1, -1):
            kind = self._tokens[i].kind
            if kind in _KEYWORDS:
                return {"DATA": "data", "TRAIN": "train", "COLUMNS": "columns"}.get(kind, "body")
        return "body"

    def _misplaced(self, failure: Failure) -> Diagnostic | None:
        token = self._tokens[failure.index]
        block = self._block(failure)
        first = self._tokens[failure.statement]
        meant = self._meant(first, block)
        at_start = failure.index == failure.statement and (token.kind in _KEYWORDS or block == "file")
        misspelt = failure.index == failure.statement + 1 and meant is not None and token.kind != "EQUAL"
        if not at_start and not misspelt:
            return None
        where, allowed = _BLOCKS[block]
        certain = meant is not None and (first.text in _SAME or nothing_else_near(first.text, meant, _STARTERS[block]))
        return syntax_errors.misplaced_statement(self._span(failure.statement), _found(first), where, allowed, meant, certain)

    def _meant(self, first: Token, block: str) -> str | None:
        """The keyword that a statement's first word stands for, if it is none itself."""
        if first.kind != "NAME":
            return None
        foreign = _FOREIGN.get(first.text)
        return foreign if foreign in _STARTERS[block] else nearest(first.text, _STARTERS[block])

    def _chained(self, failure: Failure) -> Diagnostic | None:
        index = failure.index
        if self._tokens[index].kind != "COMPARE" or "COMPARE" in failure.expected or "AND" not in failure.expected:
            return None
        start = self._item_start(index, failure.statement)
        first = self._last_at_depth(frozenset({"COMPARE"}), start, index)
        if first is None or first + 1 >= index or first == start:
            return None
        joint = self._last_at_depth(frozenset({"AND", "OR", "NOT"}), start, first)
        left = self._span(start if joint is None else joint + 1, first - 1)
        return syntax_errors.chained_comparison(left, self._span(first), self._span(first + 1, index - 1), self._span(index))

    def _operator_after_pipe(self, failure: Failure) -> Diagnostic | None:
        index = failure.index
        if self._tokens[index].kind not in _OPERATORS or "PIPE" not in failure.expected:
            return None
        start = self._item_start(index, failure.statement)
        pipe = self._last_at_depth(frozenset({"PIPE"}), start, index)
        if pipe is None or pipe + 1 >= index or pipe == start:
            return None
        return syntax_errors.operator_after_pipe(self._span(index), self._span(start, index - 1), self._span(pipe + 1, index - 1))

    def _stray_as(self, failure: Failure) -> Diagnostic | None:
        index = failure.index
        if self._tokens[index].kind != "AS" or index == failure.statement or not failure.expected & _OPERATORS:
            return None
        return syntax_errors.as_outside_pipe(self._span(index))

    def _target(self, failure: Failure) -> Diagnostic | None:
        index = failure.index
        if self._tokens[index].kind in ("DOT", "LPAR", "LSQB") and failure.expected == {"COMMA", "COLON", "EQUAL"}:
            return syntax_errors.bad_target(self._span(index - 1, index), None)
        if self._tokens[index].kind != "EQUAL" or index == failure.statement or self._is_type(index):
            return None
        if self._item_start(index, failure.statement) != failure.statement:
            return None
        if self._tokens[failure.statement].kind in _KEYWORDS:
            return None
        return syntax_errors.bad_target(self._span(failure.statement, index - 1), self._span(index))

    def _reserved(self, failure: Failure) -> Diagnostic | None:
        index = failure.index
        token = self._tokens[index]
        if token.kind in _RESERVED_KINDS and "NAME" in failure.expected:
            return syntax_errors.reserved_word(self._span(index))
        start_of_binding = index == failure.statement + 1 and token.kind in ("EQUAL", "COLON")
        if start_of_binding and self._tokens[failure.statement].kind in _RESERVED_KINDS:
            return syntax_errors.reserved_word(self._span(failure.statement))
        return None

    def _missing_result(self, failure: Failure) -> Diagnostic | None:
        if "ARROW" not in failure.expected or self._tokens[failure.index].kind not in ("LBRACE", "NEWLINE", "$END"):
            return None
        return syntax_errors.missing_result_type(self._span(failure.index), self._span(failure.statement + 1))

    def _missing_type(self, failure: Failure) -> Diagnostic | None:
        index = failure.index
        if not {"COLON"} <= failure.expected <= {"COLON", "AS"} or self._tokens[index - 1].kind != "NAME":
            return None
        words = {"PARAM": "the parameter", "STATE": "the state"}
        first = self._tokens[failure.statement].kind
        what = words.get(first, "the result" if first in _CALLABLES else "the column")
        return syntax_errors.missing_type(self._span(index - 1), what, self._span(index) if self._is_type(index) else None)

    def _is_type(self, equal: int) -> bool:
        """Whether the token is a `=` with the name of a type behind it: `price = f32?`."""
        return self._tokens[equal].kind == "EQUAL" and self._tokens[equal + 1].text in _TYPES

    def _missing_comma(self, failure: Failure) -> Diagnostic | None:
        """An item follows an item within brackets: on the next line, or where nothing but a comma can make sense of both."""
        index = failure.index
        before, found = self._tokens[index - 1], self._tokens[index]
        if "COMMA" not in failure.expected or index == failure.statement:
            return None
        if found.kind not in _ITEMS or before.kind not in _ITEM_ENDS:
            return None
        start = self._item_start(index, failure.statement)
        while start > failure.statement and self._tokens[start - 1].kind not in _OPENING:
            start = self._item_start(start - 1, failure.statement)
        if start == failure.statement or self._tokens[start - 1].kind == "LBRACE":
            return None
        apart = "\n" in self._file.text[before.end : found.start]
        literals = [token.kind in ("NUMBER", "STRING") for token in (before, found)]
        key = self._tokens[index + 1].kind == "EQUAL"  # `dense(3 bias = false)`; behind a name there is always another token
        if not apart and not any(literals) and not key:
            return None
        in_list = self._tokens[start - 1].kind == "LSQB"  # of two numbers in a call an operator may be what is missing
        certain = apart or key or (all(literals) and (in_list or "STRING" in (before.kind, found.kind)))
        return syntax_errors.missing_comma(self._span(index - 1), self._span(index), self._span(start - 1), certain)

    def _line_end_inside(self, failure: Failure) -> Diagnostic | None:
        index = failure.index
        if index == failure.statement or not (self._tokens[index].text in ("\n", "") or self._ends_block_below(index)):
            return None
        last = self._tokens[index - 1].end
        end = Span(self._file, last, min(last + 1, len(self._file.text)))
        return syntax_errors.unexpected_line_end(end, self._span(index - 1), _expected_words(failure.expected))

    def _ends_block_below(self, index: int) -> bool:
        """Whether the token is the brace of a block, on a line below the one before it: the line end itself is no token there."""
        token, before = self._tokens[index], self._tokens[index - 1]
        return token.kind == "RBRACE" and "\n" in self._file.text[before.end : token.start]

    def _missing_line_end(self, failure: Failure) -> Diagnostic | None:
        index = failure.index
        if not failure.expected & {"NEWLINE", "$END"} or index == failure.statement:
            return None
        if self._tokens[index].kind in _OPERATORS | {"EQUAL", "COLON", "COMMA", "PIPE", "RBRACE", "NEWLINE", "$END"}:
            return None
        if self._tokens[index].text == "elif":
            return syntax_errors.misplaced_statement(self._span(index), "`elif`", *_BLOCKS["body"], "else if", True)
        return syntax_errors.missing_line_end(self._span(index), _found(self._tokens[index]), self._span(index - 1))

    def _unexpected(self, failure: Failure) -> Diagnostic:
        index = failure.index
        after = self._span(index - 1) if index > failure.statement else None
        expected = _expected_words(failure.expected)
        if failure.expected == {"NAME"} and after is not None and self._tokens[index - 1].kind in ("COLON", "ARROW"):
            expected = ["a type"]
        if failure.expected == {"NAME"} and after is not None and self._tokens[index - 1].kind == "PIPE":
            expected = ["a function or a layer"]
        found = self._tokens[index]
        instead = next((text for text, wrong, kind in _SLIPS if found.text == wrong and kind in failure.expected), None)
        return syntax_errors.unexpected_token(self._span(index), _found(found), expected, after, instead)
