"""The one way to write a `.bm` file.

In: a `SourceFile`. Out: its text, formatted. Guaranteed: the result means the same (its syntax tree is equal modulo spans) and
has the same comments, or `CompilerBug` is raised; formatting it again changes nothing; a source with syntax errors raises
`BmcError` with all of them.

Line breaks are the author's, except that a block that does not fit its line breaks after `{` and before `}`, and that `{`, `->` and
`else` stand on the line of what they belong to. Blocks and continued lines are indented by 2, a line inside a bracket that has
something behind it on its line by the column of that. At most one empty line in a row. A pipe's value gets parentheses when it
is an operation. `=` of neighbouring bindings stay aligned where the author aligned them, comments stay at their columns.
"""

from __future__ import annotations

from dataclasses import dataclass

from bmc.errors import BmcError, CompilerBug
from bmc.frontend.syntax.equality import syntax_equal
from bmc.frontend.syntax.parse import parse
from bmc.frontend.syntax.pieces import Piece, pieces_of
from bmc.frontend.syntax.tokens import comments
from bmc.record import record
from bmc.source import SourceFile

__all__ = ["format_source", "syntax_equal"]

_INDENT = 2
_OPENING = frozenset({"LPAR", "LSQB", "LBRACE"})
_CLOSING = frozenset({"RPAR", "RSQB", "RBRACE"})
# What an operand, and so a call or an index, may end with. SCAN: its options are written like a call's.
_OPERAND_ENDS = frozenset({"NAME", "NUMBER", "STRING", "TRUE", "FALSE", "NONE", "RPAR", "RSQB", "QMARK"})


def format_source(file: SourceFile) -> str:
    """The formatted text of a source, which ends with a newline unless it is empty."""
    tree, diagnostics = parse(file)
    if diagnostics:
        raise BmcError(diagnostics)
    text = _Writer(pieces_of(file, tree)).write()
    written = SourceFile(file.name, text)
    again, wrong = parse(written)
    kept = [c.text.rstrip() for c in comments(file)] == [c.text for c in comments(written)]
    if wrong or not kept or not syntax_equal(tree, again):
        raise CompilerBug("format", "formatting would change the program", file.text)
    return text


@record(frozen=True)
class _Bracket:
    """An open bracket: where a line in it starts, and one that starts with its closing bracket."""

    kind: str
    inside: int
    closing: int
    one_line: bool


@dataclass
class _Line:
    """A line under construction, its trailing comment apart, with the comment's column in the source."""

    text: str
    comment: str = ""
    comment_column: int = 0


class _Writer:
    def __init__(self, pieces: list[Piece]) -> None:
        self._pieces = pieces
        self._lines: list[_Line] = []
        self._line = _Line("")
        self._open: list[_Bracket] = []
        self._partner = _partners(pieces)
        self._equal_columns = _aligned_equals(pieces)

    def write(self) -> str:
        previous: Piece | None = None
        for i, piece in enumerate(self._pieces):
            if piece.kind == "$END":
                break
            if self._left_out(i):
                continue
            if previous is None:
                self._line = _Line("")
            elif self._breaks(i, previous):
                self._lines.append(self._line)
                if self._blank_before(i, previous):
                    self._lines.append(_Line(""))
                self._line = _Line(" " * self._indentation(i))
            self._add(i, piece, previous)
            previous = piece
        if previous is not None:
            self._lines.append(self._line)
        _align_comments(self._lines)
        return "".join((line.text + line.comment).rstrip() + "\n" for line in self._lines)

    def _next(self, index: int, comment: bool = False) -> Piece:
        """The piece after `index`, comments skipped unless asked for."""
        index += 1
        while not comment and self._pieces[index].kind == "COMMENT":
            index += 1
        return self._pieces[index]

    def _left_out(self, index: int) -> bool:
        piece = self._pieces[index]
        if piece.kind == "COMMA":  # a trailing comma on the line of the closing bracket
            following = self._next(index, comment=True)
            return following.kind in _CLOSING and following.breaks == 0
        return False

    def _in_block(self) -> bool:
        return not self._open or self._open[-1].kind == "LBRACE"

    def _breaks(self, index: int, previous: Piece) -> bool:
        piece = self._pieces[index]
        if previous.kind == "COMMENT":
            return True
        if piece.kind == "COMMENT":
            return piece.breaks > 0
        if previous.kind == "LBRACE":
            return not (self._open[-1].one_line or piece.kind == "RBRACE")
        if piece.kind == "RBRACE":
            return not self._open[-1].one_line
        if piece.kind in ("LBRACE", "ARROW") or (piece.kind == "ELSE" and previous.kind == "RBRACE"):
            return False
        return piece.breaks > 0

    def _blank_before(self, index: int, previous: Piece) -> bool:
        piece = self._pieces[index]
        if piece.breaks < 2 or not self._in_block() or previous.kind == "LBRACE":
            return False
        return not (piece.kind in ("RBRACE", "PIPE") or (piece.kind == "COMMENT" and self._next(index).kind == "PIPE"))

    def _indentation(self, index: int) -> int:
        piece = self._pieces[index]
        base = self._open[-1].inside if self._open else 0
        if piece.kind in _CLOSING:
            return self._open[-1].closing
        leads = self._next(index).kind if piece.kind == "COMMENT" else piece.kind
        return base + _INDENT if leads == "PIPE" else base

    def _add(self, index: int, piece: Piece, previous: Piece | None) -> None:
        line = self._line
        at_start = not line.text.strip()
        if piece.kind == "COMMENT":
            if at_start:
                line.text += piece.text
            else:
                line.comment, line.comment_column = piece.text, piece.column
            return
        if not at_start and previous is not None and _space_between(previous, piece, self._unary(previous), self._slicing()):
            line.text += " "
        if index in self._equal_columns and piece.kind == "EQUAL" and not at_start:
            line.text = line.text.rstrip().ljust(self._statement_indent() + self._equal_columns[index])
        line.text += piece.text
        if piece.kind in _OPENING:
            self._push(index, piece)
        elif piece.kind in _CLOSING:
            self._open.pop()
        self._before_previous = previous

    _before_previous: Piece | None = None

    def _unary(self, operator: Piece) -> bool:
        """Whether `operator`, the piece just written, is a sign."""
        if operator.kind not in ("PLUS", "MINUS"):
            return False
        return self._before_previous is None or self._before_previous.kind not in _OPERAND_ENDS

    def _slicing(self) -> bool:
        return bool(self._open) and self._open[-1].kind == "LSQB"

    def _statement_indent(self) -> int:
        for bracket in reversed(self._open):
            if bracket.kind == "LBRACE":
                return bracket.inside
        return 0

    def _push(self, index: int, piece: Piece) -> None:
        line_indent = len(self._line.text) - len(self._line.text.lstrip(" "))
        if piece.kind == "LBRACE":
            indent = self._statement_indent()
            one_line = not any(p.breaks for p in self._pieces[index + 1 : self._partner[index] + 1])
            self._open.append(_Bracket("LBRACE", indent + _INDENT, indent, one_line))
            return
        following = self._next(index, comment=True)
        if following.breaks or following.kind == "COMMENT":
            self._open.append(_Bracket(piece.kind, line_indent + _INDENT, line_indent, False))
        else:
            column = len(self._line.text)
            self._open.append(_Bracket(piece.kind, column, column - 1, False))


def _space_between(a: Piece, b: Piece, a_is_sign: bool, slicing: bool) -> bool:
    if b.kind in ("COMMA", "RPAR", "RSQB", "SEMICOLON", "DOT", "QMARK") or a.kind in ("LPAR", "LSQB", "DOT") or a_is_sign:
        return False
    if b.kind in ("LPAR", "LSQB"):
        return a.kind not in _OPERAND_ENDS | {"SCAN"} and not (a.kind == "COLON" and slicing)
    if "COLON" in (a.kind, b.kind):
        return a.kind == "COMMA" or (not slicing and b.kind != "COLON")
    return not (a.kind == "LBRACE" and b.kind == "RBRACE")


def _partners(pieces: list[Piece]) -> dict[int, int]:
    """The index of each opening bracket's closing one."""
    partner: dict[int, int] = {}
    pending: list[int] = []
    for i, piece in enumerate(pieces):
        if piece.kind in _OPENING:
            pending.append(i)
        elif piece.kind in _CLOSING:
            partner[pending.pop()] = i
    return partner


def _aligned_equals(pieces: list[Piece]) -> dict[int, int]:
    """For each `=` that the author aligned with those of neighbouring `name =` statements: its distance from the name."""
    aligned: dict[int, int] = {}
    run: list[int] = []
    depth = 0

    def offset(equal: int) -> int:
        return pieces[equal].column - pieces[equal - 1].column

    def width(equal: int) -> int:
        return len(pieces[equal - 1].text)

    def finish() -> None:
        if len(run) > 1 and any(offset(e) > width(e) + 1 for e in run):
            widest = max(width(e) for e in run)
            aligned.update((e, widest + 1) for e in run)
        run.clear()

    for i, piece in enumerate(pieces[:-1]):
        if piece.kind in ("LPAR", "LSQB"):
            depth += 1
        elif piece.kind in ("RPAR", "RSQB"):
            depth -= 1
        starts_statement = depth == 0 and (piece.breaks or i == 0 or pieces[i - 1].kind == "LBRACE")
        if not starts_statement or piece.kind == "PIPE":
            continue
        is_binding = piece.kind == "NAME" and pieces[i + 1].kind == "EQUAL" and pieces[i + 1].breaks == 0
        if not is_binding or piece.breaks > 1 or (run and offset(run[-1]) != offset(i + 1)):
            finish()
        if is_binding:
            run.append(i + 1)
    finish()
    return aligned


def _align_comments(lines: list[_Line]) -> None:
    """Leaves trailing comments at the author's column, or moves neighbours that share one right, together, by what the
    formatted code needs."""
    start = 0
    while start < len(lines):
        end = start + 1
        if lines[start].comment:
            column = lines[start].comment_column
            while end < len(lines) and lines[end].comment and lines[end].comment_column == column:
                end += 1
            width = max(column - 1, *(len(line.text) + 2 for line in lines[start:end]))
            for line in lines[start:end]:
                line.text = line.text.ljust(width)
        start = end
