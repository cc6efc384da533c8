"""The syntax tree of a `.bm` file: what was written and where, before any name has a meaning.

In: nothing; `bmc.frontend.syntax.parse` makes these nodes. Out: one frozen class for each form of the language.
Guaranteed: every node's last field is `span`, the source it covers, its brackets included; lists are tuples; nodes compare and
hash by identity (two equal texts at different places are different nodes; `format.syntax_equal` compares modulo spans).
An expression's or a block's depth is bounded by the parser (`parse.MAX_DEPTH`), so recursion over the tree is safe.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from bmc.frontend.syntax.node import node
from bmc.source import Span

# ---------------------------------------------------------------------------------------------------------------------
# Expressions


@node
class Name:
    """`x`: an identifier, both where it is declared and where it is used."""

    text: str
    span: Span


@node
class Integer:
    """`20_000`"""

    value: int
    span: Span


@node
class Float:
    """`1e-3`, `10_000.0`: finite, the nearest f64."""

    value: float
    span: Span


@node
class String:
    """`"a.csv"`: `value` has its escapes resolved."""

    value: str
    span: Span


@node
class Boolean:
    """`true`, `false`"""

    value: bool
    span: Span


@node
class NoneLiteral:
    """`none`: an absent optional tensor; in an index, a new dim of size 1."""

    span: Span


@node
class Attribute:
    """`wte.w`, `M.y`, `valid.ppl`"""

    value: Expr
    name: Name
    span: Span


@node
class Argument:
    """`64` or `bias = false` in a call's list; positional ones stand before keyword ones (checked by the parser)."""

    name: Name | None
    value: Expr
    span: Span


@node
class Call:
    """`dense(64, bias = false)`, `cell(H)(x)`"""

    callee: Expr
    arguments: tuple[Argument, ...]
    span: Span


@node
class Slice:
    """`1:`, `:T`, `0:2`, `::2` inside an index."""

    start: Expr | None
    stop: Expr | None
    step: Expr | None
    span: Span


@node
class Rest:
    """`...`: in a shape, the same dims throughout a declaration; in an index, all dims not spoken of."""

    span: Span


@node
class Index:
    """`x[:, -1]`, `pos[:T]`, `keep[:, none, none, :]`, `betas[0]`: at least one item."""

    value: Expr
    items: tuple[IndexItem, ...]
    span: Span


UnaryOp = Literal["-", "+", "not"]
BinaryOp = Literal["+", "-", "*", "/", "//", "%", "**", "@"]
CompareOp = Literal["==", "!=", "<", "<=", ">", ">="]
LogicalOp = Literal["and", "or"]


@node
class Unary:
    """`-x`, `+x`, `not x`; `-x ** 2` is `-(x ** 2)`."""

    op: UnaryOp
    operand: Expr
    op_span: Span
    span: Span


@node
class Binary:
    """`a * b`: arithmetic; `**` binds tightest and to the right, `@` as tightly as `*`."""

    op: BinaryOp
    left: Expr
    right: Expr
    op_span: Span
    span: Span


@node
class Compare:
    """`a < b`: never chained."""

    op: CompareOp
    left: Expr
    right: Expr
    op_span: Span
    span: Span


@node
class Logical:
    """`a and b`, `a or b`; `and` binds tighter."""

    op: LogicalOp
    left: Expr
    right: Expr
    op_span: Span
    span: Span


@node
class Keyed:
    """`tok = text_ids`, `"enc.*" = frozen`, `train = ts("a")`: an item of a list that has a key."""

    key: Name | String
    value: Expr
    span: Span


@node
class ListExpr:
    """`[0.9, 0.99]`, `["gen.*" = adam(lr = 1e-4)]`, `[rmse = e, r2(stars, y)]`"""

    items: tuple[Expr | Keyed, ...]
    span: Span


@node
class TupleExpr:
    """`(x, mask)`, or `a, b` without brackets after `return`, and right of `=`: at least two items."""

    items: tuple[Expr, ...]
    span: Span


@node
class Stage:
    """`dense(64) as fc1` after a `|>`: `callee` is a Name, Attribute, Call or Index."""

    callee: Expr
    name: Name | None
    span: Span


@node
class Pipe:
    """`x |> f(a) |> g as n`: at least one stage; a TupleExpr as `value` fills the first inputs in order."""

    value: Expr
    stages: tuple[Stage, ...]
    span: Span


Expr: TypeAlias = (
    Name
    | Integer
    | Float
    | String
    | Boolean
    | NoneLiteral
    | Attribute
    | Call
    | Index
    | Unary
    | Binary
    | Compare
    | Logical
    | ListExpr
    | TupleExpr
    | Pipe
)
IndexItem: TypeAlias = Expr | Slice | Rest

# ---------------------------------------------------------------------------------------------------------------------
# Types. A dim is an expression of Integer, Name, Unary, Binary (checked by the parser), or `...`.

Dim: TypeAlias = Integer | Name | Unary | Binary | Rest


@node
class TypeExpr:
    """`float[B, ..., D]`, `f32?`, `str`, `f32[]`: `dims` is None without brackets, () for `[]`; both are rank 0."""

    name: Name
    dims: tuple[Dim, ...] | None
    nullable: bool
    span: Span


# ---------------------------------------------------------------------------------------------------------------------
# Statements of `fn`, `layer`, `model` and `optimizer` bodies


@node
class Target:
    """`h` or `h: float[B, 64]` left of `=`."""

    name: Name
    type: TypeExpr | None
    span: Span


@node
class Assign:
    """`h = e`, `h: float[B, 64] = e`, `a, b = e`: with several targets, `value` is a TupleExpr or yields several."""

    targets: tuple[Target, ...]
    value: Expr
    span: Span


@node
class Let:
    """`let NAME = expr`, `let NAME: type = expr`: at the top of a file, in a body, in `data` and `train` blocks."""

    name: Name
    type: TypeExpr | None
    value: Expr
    span: Span


@node
class Param:
    """`param w: float[D, units] = init`; `init` may be left out."""

    name: Name
    type: TypeExpr
    init: Expr | None
    span: Span


@node
class State:
    """`state avg: float[D] = zeros`; `init` may be left out."""

    name: Name
    type: TypeExpr
    init: Expr | None
    span: Span


@node
class Return:
    """`return e`; `return a, b` has a TupleExpr."""

    value: Expr
    span: Span


@node
class Assert:
    """`assert cond` or `assert cond, "message"`"""

    condition: Expr
    message: String | None
    span: Span


@node
class Branch:
    """`if cond { ... }` or `else if cond { ... }`"""

    condition: Expr
    body: tuple[Statement, ...]
    span: Span


@node
class If:
    """`if a { } else if b { } else { }`: one Branch for each condition; `otherwise` is None without `else`."""

    branches: tuple[Branch, ...]
    otherwise: tuple[Statement, ...] | None
    span: Span


@node
class Repeat:
    """`repeat depth as blk { }` (no targets), `repeat c, s in zip(a, b) as stage { }`"""

    targets: tuple[Name, ...]
    iterable: Expr
    name: Name | None
    body: tuple[Statement, ...]
    span: Span


@node
class Scan:
    """`scan(axis = 1, reverse = reverse) g, m in gx, keep { }`; without brackets, `options` is ()."""

    options: tuple[Argument, ...]
    targets: tuple[Name, ...]
    sequences: tuple[Expr, ...]
    body: tuple[Statement, ...]
    span: Span


@node
class Yield:
    """`yield all = h` in a scan."""

    name: Name
    value: Expr
    span: Span


@node
class ExprStatement:
    """`e` alone on a line."""

    value: Expr
    span: Span


Statement: TypeAlias = Assign | Let | Param | State | Return | Assert | If | Repeat | Scan | Yield | ExprStatement

# ---------------------------------------------------------------------------------------------------------------------
# Declarations


@node
class Parameter:
    """`x: float[B, D]`, `mask: bool[B] = none`, `units`, `bias = true`: an item of a declaration's list."""

    name: Name
    type: TypeExpr | None
    default: Expr | None
    span: Span


@node
class Result:
    """`last: float[B, H]` of a named list; the only one of `-> type` has no name."""

    name: Name | None
    type: TypeExpr
    span: Span


@node
class Use:
    """`use "other.bm"`"""

    path: String
    span: Span


@node
class Callable:
    """`fn name(hyper)(inputs) -> results { }`, and so `layer`, `model`, `optimizer`.

    `hyper` is None when there is one list only, which is `inputs` (for a `fn`, tensors and options together).
    `results`: one without a name for `-> type`, else the named list. `signature` ends before the body.
    """

    kind: Literal["fn", "layer", "model", "optimizer"]
    name: Name
    hyper: tuple[Parameter, ...] | None
    inputs: tuple[Parameter, ...]
    results: tuple[Result, ...]
    body: tuple[Statement, ...]
    signature: Span
    span: Span


@node
class Setting:
    """`key = expr` of a `train` block, or of a `data` block when the key is one of `DATA_KEYS`."""

    key: Name
    value: Expr
    span: Span


DATA_KEYS = frozenset({"source", "split", "fitted"})


@node
class Column:
    """`price: f32?`, `cost as price: f32?`, `"unit price" as price: f32?`: `header` is the name in the file where it differs."""

    header: String | None
    name: Name
    type: TypeExpr
    span: Span


@node
class Columns:
    """`columns { day: date; store: str }`"""

    columns: tuple[Column, ...]
    span: Span


@node
class Where:
    """`where sold >= 0`"""

    condition: Expr
    span: Span


@node
class Distinct:
    """`distinct by [day, store]`; `distinct` alone has no keys: whole rows."""

    keys: Expr | None
    span: Span


@node
class Output:
    """`x = price |> fill(median)`, `x: f32[3] = ...` of a `data` block."""

    name: Name
    type: TypeExpr | None
    value: Expr
    span: Span


DataEntry: TypeAlias = Setting | Columns | Where | Distinct | Let | Output


@node
class Data:
    """`data Name { }`: entries in the order written."""

    name: Name
    entries: tuple[DataEntry, ...]
    span: Span


TrainEntry: TypeAlias = Setting | Let


@node
class Train:
    """`train Model(n = 9) on Data as r56 { }`: `arguments` is None without brackets, `name` without `as`."""

    model: Name
    arguments: tuple[Argument, ...] | None
    data: Name
    name: Name | None
    entries: tuple[TrainEntry, ...]
    header: Span
    span: Span


Declaration: TypeAlias = Use | Let | Callable | Data | Train


@node
class File:
    """A whole file; declarations in the order written."""

    declarations: tuple[Declaration, ...]
    span: Span
