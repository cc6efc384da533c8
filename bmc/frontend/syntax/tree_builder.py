"""Makes the syntax tree's nodes, one method for each alias of bm.lark.

In: the children of a production, and the indices of its first and last token. Out: a node of `bmc.frontend.syntax.tree`.
Guaranteed: a node's span runs from its first token to its last, brackets included; what the grammar lets through and the
language does not (an expression that is no dim, a positional argument after a keyword one) is in `errors`.
A child that recovery put in the place of a statement is None, and is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from bmc.errors import Diagnostic
from bmc.frontend.errors import syntax_errors
from bmc.frontend.syntax import tree as s
from bmc.frontend.syntax.tokens import Token, decode_string
from bmc.source import SourceFile, Span

__all__ = ["TreeBuilder"]

T = TypeVar("T")
Children = list[Any]

_DIM_LEAVES = (s.Integer, s.Name, s.Rest)


def _present(items: Sequence[T | None]) -> tuple[T, ...]:
    return tuple(item for item in items if item is not None)


class TreeBuilder:
    """Actions for one file. Methods take (children, first, last); tokens among the children are `Token`s."""

    def __init__(self, file: SourceFile, tokens: Sequence[Token]) -> None:
        self.file = file
        self.tokens = tokens
        self.errors: list[Diagnostic] = []

    def action(self, name: str) -> Callable[[Children, int, int], Any]:
        """The method for an alias."""
        method: Callable[[Children, int, int], Any] = getattr(self, "make_" + name.rstrip("_"))
        return method

    def _span(self, first: int, last: int) -> Span:
        if last < first:
            return Span(self.file, 0, len(self.file.text))
        return Span(self.file, self.tokens[first].start, self.tokens[last].end)

    def _at(self, token: Token) -> Span:
        return Span(self.file, token.start, token.end)

    def _name(self, token: Token) -> s.Name:
        return s.Name(token.text, self._at(token))

    def _names(self, tokens: Sequence[Token]) -> tuple[s.Name, ...]:
        return tuple(self._name(t) for t in tokens)

    def _string(self, token: Token) -> s.String:
        return s.String(decode_string(token.text)[0], self._at(token))

    def _arguments(self, arguments: Sequence[s.Argument]) -> tuple[s.Argument, ...]:
        keyword: s.Argument | None = None
        for argument in arguments:
            if argument.name is not None:
                keyword = argument
            elif keyword is not None:
                self.errors.append(syntax_errors.positional_after_keyword(argument.span, keyword.span))
                break
        return tuple(arguments)

    def _values(self, values: Sequence[s.Expr], last: int) -> s.Expr:
        """One expression, or a tuple written without brackets, which ends with token `last`."""
        if len(values) == 1:
            return values[0]
        end = self.tokens[last].end
        return s.TupleExpr(tuple(values), Span(self.file, values[0].span.start, end))

    # Shared

    def make_sequence(self, c: Children, first: int, last: int) -> tuple[Any, ...]:
        """`( )` or `( list )`, whatever the brackets."""
        del first, last
        return _present(c[1]) if isinstance(c[1], list) else ()

    def make_erroneous(self, c: Children, first: int, last: int) -> None:
        del c, first, last

    # Declarations

    def make_file(self, c: Children, first: int, last: int) -> s.File:
        del first, last
        return s.File(_present(c[0]) if c else (), Span(self.file, 0, len(self.file.text)))

    def make_use(self, c: Children, first: int, last: int) -> s.Use:
        return s.Use(self._string(c[1]), self._span(first, last))

    def make_let(self, c: Children, first: int, last: int) -> s.Let:
        return s.Let(self._name(c[1]), None, self._values(c[3], last), self._span(first, last))

    def make_let_typed(self, c: Children, first: int, last: int) -> s.Let:
        return s.Let(self._name(c[1]), c[3], self._values(c[5], last), self._span(first, last))

    def _callable(
        self,
        hyper: tuple[s.Parameter, ...] | None,
        inputs: tuple[s.Parameter, ...],
        c: Children,
        first: int,
        last: int,
    ) -> s.Callable:
        kind: Token = c[0]
        results: tuple[s.Result, ...] = c[-2]
        body_start = self._body_start(first)
        return s.Callable(
            kind.text,  # type: ignore[arg-type]  # the grammar admits the four kinds only
            self._name(c[1]),
            hyper,
            inputs,
            results,
            c[-1],
            self._span(first, body_start - 1),
            self._span(first, last),
        )

    def _body_start(self, first: int) -> int:
        """The index of the first `{` from token `first`: a header holds none."""
        index = first
        while self.tokens[index].kind != "LBRACE":
            index += 1
        return index

    def make_callable_one(self, c: Children, first: int, last: int) -> s.Callable:
        return self._callable(None, c[2], c, first, last)

    def make_callable_two(self, c: Children, first: int, last: int) -> s.Callable:
        return self._callable(c[2], c[3], c, first, last)

    def make_parameter(self, c: Children, first: int, last: int) -> s.Parameter:
        return s.Parameter(self._name(c[0]), None, None, self._span(first, last))

    def make_parameter_default(self, c: Children, first: int, last: int) -> s.Parameter:
        return s.Parameter(self._name(c[0]), None, c[2], self._span(first, last))

    def make_parameter_typed(self, c: Children, first: int, last: int) -> s.Parameter:
        return s.Parameter(self._name(c[0]), c[2], None, self._span(first, last))

    def make_parameter_typed_default(self, c: Children, first: int, last: int) -> s.Parameter:
        return s.Parameter(self._name(c[0]), c[2], c[4], self._span(first, last))

    def make_result_single(self, c: Children, first: int, last: int) -> tuple[s.Result, ...]:
        return (s.Result(None, c[0], self._span(first, last)),)

    def make_result(self, c: Children, first: int, last: int) -> s.Result:
        return s.Result(self._name(c[0]), c[2], self._span(first, last))

    # Data blocks

    def make_data(self, c: Children, first: int, last: int) -> s.Data:
        entries: tuple[s.DataEntry, ...] = _present(c[3]) if len(c) == 5 else ()
        return s.Data(self._name(c[1]), entries, self._span(first, last))

    def make_data_setting(self, c: Children, first: int, last: int) -> s.Setting | s.Output:
        name = self._name(c[0])
        if name.text in s.DATA_KEYS:
            return s.Setting(name, c[2], self._span(first, last))
        return s.Output(name, None, c[2], self._span(first, last))

    def make_output_typed(self, c: Children, first: int, last: int) -> s.Output:
        return s.Output(self._name(c[0]), c[2], c[4], self._span(first, last))

    def make_columns(self, c: Children, first: int, last: int) -> s.Columns:
        columns: tuple[s.Column, ...] = _present(c[2]) if len(c) == 4 else ()
        return s.Columns(columns, self._span(first, last))

    def make_column(self, c: Children, first: int, last: int) -> s.Column:
        return s.Column(None, self._name(c[0]), c[2], self._span(first, last))

    def make_column_renamed(self, c: Children, first: int, last: int) -> s.Column:
        return s.Column(self._string(c[0]), self._name(c[2]), c[4], self._span(first, last))

    def make_column_renamed_name(self, c: Children, first: int, last: int) -> s.Column:
        return s.Column(s.String(c[0].text, self._at(c[0])), self._name(c[2]), c[4], self._span(first, last))

    def make_where(self, c: Children, first: int, last: int) -> s.Where:
        return s.Where(c[1], self._span(first, last))

    def make_distinct(self, c: Children, first: int, last: int) -> s.Distinct:
        del c
        return s.Distinct(None, self._span(first, last))

    def make_distinct_by(self, c: Children, first: int, last: int) -> s.Distinct:
        return s.Distinct(c[2], self._span(first, last))

    # Train blocks

    def make_train_model(self, c: Children, first: int, last: int) -> tuple[s.Name, tuple[s.Argument, ...] | None]:
        del first, last
        return self._name(c[0]), None

    def make_train_model_arguments(self, c: Children, first: int, last: int) -> tuple[s.Name, tuple[s.Argument, ...] | None]:
        del first, last
        return self._name(c[0]), self._arguments(c[2]) if isinstance(c[2], list) else ()

    def make_train(self, c: Children, first: int, last: int) -> s.Train:
        model, arguments = c[1]
        header = self._span(first, self._body_start(first) - 1)
        return s.Train(model, arguments, self._name(c[3]), None, c[4], header, self._span(first, last))

    def make_train_named(self, c: Children, first: int, last: int) -> s.Train:
        model, arguments = c[1]
        header = self._span(first, self._body_start(first) - 1)
        return s.Train(model, arguments, self._name(c[3]), self._name(c[5]), c[6], header, self._span(first, last))

    def make_setting(self, c: Children, first: int, last: int) -> s.Setting:
        return s.Setting(self._name(c[0]), c[2], self._span(first, last))

    # Statements

    def make_assign(self, c: Children, first: int, last: int) -> s.Assign:
        return s.Assign(tuple(c[0]), self._values(c[2], last), self._span(first, last))

    def make_target(self, c: Children, first: int, last: int) -> s.Target:
        return s.Target(self._name(c[0]), None, self._span(first, last))

    def make_target_typed(self, c: Children, first: int, last: int) -> s.Target:
        return s.Target(self._name(c[0]), c[2], self._span(first, last))

    def make_param(self, c: Children, first: int, last: int) -> s.Param:
        return s.Param(self._name(c[1]), c[3], c[5] if len(c) == 6 else None, self._span(first, last))

    def make_state(self, c: Children, first: int, last: int) -> s.State:
        return s.State(self._name(c[1]), c[3], c[5] if len(c) == 6 else None, self._span(first, last))

    def make_return(self, c: Children, first: int, last: int) -> s.Return:
        return s.Return(self._values(c[1], last), self._span(first, last))

    def make_assert(self, c: Children, first: int, last: int) -> s.Assert:
        message = self._string(c[3]) if len(c) == 4 else None
        return s.Assert(c[1], message, self._span(first, last))

    def make_branch(self, c: Children, first: int, last: int) -> s.Branch:
        return s.Branch(c[1], c[2], self._span(first, last))

    def make_if(self, c: Children, first: int, last: int) -> s.If:
        return s.If(tuple(c[0]), None, self._span(first, last))

    def make_if_else(self, c: Children, first: int, last: int) -> s.If:
        return s.If(tuple(c[0]), c[2], self._span(first, last))

    def make_repeat(self, c: Children, first: int, last: int) -> s.Repeat:
        return s.Repeat((), c[1], None, c[2], self._span(first, last))

    def make_repeat_named(self, c: Children, first: int, last: int) -> s.Repeat:
        return s.Repeat((), c[1], self._name(c[3]), c[4], self._span(first, last))

    def make_repeat_targets(self, c: Children, first: int, last: int) -> s.Repeat:
        return s.Repeat(self._names(c[1]), c[3], None, c[4], self._span(first, last))

    def make_repeat_targets_named(self, c: Children, first: int, last: int) -> s.Repeat:
        return s.Repeat(self._names(c[1]), c[3], self._name(c[5]), c[6], self._span(first, last))

    def make_scan(self, c: Children, first: int, last: int) -> s.Scan:
        return s.Scan((), self._names(c[1]), tuple(c[3]), c[4], self._span(first, last))

    def make_scan_options(self, c: Children, first: int, last: int) -> s.Scan:
        options = self._arguments(c[2]) if isinstance(c[2], list) else ()
        return s.Scan(options, self._names(c[-4]), tuple(c[-2]), c[-1], self._span(first, last))

    def make_yield(self, c: Children, first: int, last: int) -> s.Yield:
        return s.Yield(self._name(c[1]), c[3], self._span(first, last))

    def make_expression_statement(self, c: Children, first: int, last: int) -> s.ExprStatement:
        return s.ExprStatement(c[0], self._span(first, last))

    # Types

    def _type(self, name: Token, dims: tuple[Any, ...] | None, nullable: bool, span: Span) -> s.TypeExpr:
        checked = None if dims is None else tuple(self._dim(d) for d in dims)
        return s.TypeExpr(self._name(name), checked, nullable, span)

    def _dim(self, dim: s.Expr | s.Rest) -> s.Dim:
        """`dim` as it is, or, with an error, `...` where it holds what no dim can."""
        pending: list[s.Expr | s.Rest] = [dim]
        while pending:
            part = pending.pop()
            if isinstance(part, s.Binary) and part.op != "@":
                pending += [part.left, part.right]
            elif isinstance(part, s.Unary) and part.op != "not":
                pending.append(part.operand)
            elif not isinstance(part, _DIM_LEAVES):
                self.errors.append(syntax_errors.bad_dim(part.span))
                return s.Rest(dim.span)
        return dim  # type: ignore[return-value]  # the loop has seen that every part is one of a dim

    def make_type(self, c: Children, first: int, last: int) -> s.TypeExpr:
        return self._type(c[0], None, False, self._span(first, last))

    def make_type_nullable(self, c: Children, first: int, last: int) -> s.TypeExpr:
        return self._type(c[0], None, True, self._span(first, last))

    def make_type_dims(self, c: Children, first: int, last: int) -> s.TypeExpr:
        return self._type(c[0], c[1], False, self._span(first, last))

    def make_type_dims_nullable(self, c: Children, first: int, last: int) -> s.TypeExpr:
        return self._type(c[0], c[1], True, self._span(first, last))

    def make_rest(self, c: Children, first: int, last: int) -> s.Rest:
        del c
        return s.Rest(self._span(first, last))

    # Expressions

    def make_pipe(self, c: Children, first: int, last: int) -> s.Pipe:
        return s.Pipe(c[0], tuple(c[1]), self._span(first, last))

    def make_stage(self, c: Children, first: int, last: int) -> s.Stage:
        return s.Stage(c[0], None, self._span(first, last))

    def make_stage_named(self, c: Children, first: int, last: int) -> s.Stage:
        return s.Stage(c[0], self._name(c[2]), self._span(first, last))

    def make_name(self, c: Children, first: int, last: int) -> s.Name:
        del first, last
        return self._name(c[0])

    def make_attribute(self, c: Children, first: int, last: int) -> s.Attribute:
        return s.Attribute(c[0], self._name(c[2]), self._span(first, last))

    def make_call(self, c: Children, first: int, last: int) -> s.Call:
        arguments = self._arguments(c[2]) if isinstance(c[2], list) else ()
        return s.Call(c[0], arguments, self._span(first, last))

    def make_argument(self, c: Children, first: int, last: int) -> s.Argument:
        return s.Argument(None, c[0], self._span(first, last))

    def make_argument_named(self, c: Children, first: int, last: int) -> s.Argument:
        return s.Argument(self._name(c[0]), c[2], self._span(first, last))

    def make_index(self, c: Children, first: int, last: int) -> s.Index:
        return s.Index(c[0], tuple(c[2]), self._span(first, last))

    def make_slice(self, c: Children, first: int, last: int) -> s.Slice:
        parts: list[s.Expr | None] = [None, None, None]
        at = 0
        for child in c:
            if isinstance(child, Token):  # a colon
                at += 1
            else:
                parts[at] = child
        return s.Slice(parts[0], parts[1], parts[2], self._span(first, last))

    def make_logical(self, c: Children, first: int, last: int) -> s.Logical:
        return s.Logical(c[1].text, c[0], c[2], self._at(c[1]), self._span(first, last))

    def make_compare(self, c: Children, first: int, last: int) -> s.Compare:
        op: s.CompareOp = "==" if c[1].text == "=" else c[1].text  # `=` is read as `==` after its error
        return s.Compare(op, c[0], c[2], self._at(c[1]), self._span(first, last))

    def make_binary(self, c: Children, first: int, last: int) -> s.Binary:
        return s.Binary(c[1].text, c[0], c[2], self._at(c[1]), self._span(first, last))

    def make_unary(self, c: Children, first: int, last: int) -> s.Unary:
        return s.Unary(c[0].text, c[1], self._at(c[0]), self._span(first, last))

    def make_number(self, c: Children, first: int, last: int) -> s.Integer | s.Float:
        digits = c[0].text.replace("_", "")
        span = self._span(first, last)
        return s.Integer(int(digits), span) if digits.isdigit() else s.Float(float(digits), span)

    def make_string(self, c: Children, first: int, last: int) -> s.String:
        del first, last
        return self._string(c[0])

    def make_boolean(self, c: Children, first: int, last: int) -> s.Boolean:
        return s.Boolean(c[0].text == "true", self._span(first, last))

    def make_none(self, c: Children, first: int, last: int) -> s.NoneLiteral:
        del c
        return s.NoneLiteral(self._span(first, last))

    def make_parenthesised(self, c: Children, first: int, last: int) -> s.Expr:
        del first, last
        inner: s.Expr = c[1]
        return inner

    def make_tuple(self, c: Children, first: int, last: int) -> s.TupleExpr:
        return s.TupleExpr((c[1], *c[3]), self._span(first, last))

    def make_list(self, c: Children, first: int, last: int) -> s.ListExpr:
        return s.ListExpr(tuple(c[1]) if isinstance(c[1], list) else (), self._span(first, last))

    def make_keyed(self, c: Children, first: int, last: int) -> s.Keyed:
        return s.Keyed(self._name(c[0]), c[2], self._span(first, last))

    def make_keyed_string(self, c: Children, first: int, last: int) -> s.Keyed:
        return s.Keyed(self._string(c[0]), c[2], self._span(first, last))
