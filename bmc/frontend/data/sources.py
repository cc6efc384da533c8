"""Where rows come from: `source` and `split`, from syntax to specifications.

In: expressions of a data block. Out: `SourceSpec`s and a `SplitSpec`. Guaranteed: no file is opened.
"""

from __future__ import annotations

import glob
import os

from bmc.frontend.bodies import arithmetic
from bmc.frontend.bodies.core import Core
from bmc.frontend.bodies.dims import Failure
from bmc.frontend.bodies.values import Datum, Environment, ListValue, Tensor, describe
from bmc.frontend.errors import data_errors, layer_errors, type_errors
from bmc.frontend.errors.later import not_yet
from bmc.frontend.syntax import tree as syntax
from bmc.frontend.unit import SourceSpec, SplitSpec
from bmc.ir import Dim, Poly
from bmc.record import record
from bmc.source import Span

__all__ = ["RAGGED", "ReadSource", "columns_of", "first_file", "read_source_clause", "read_split"]

_READ = ("csv", "parquet", "npz", "jsonl", "ts", "arrow")
_LATER = ("npy", "idx", "text", "bytes", "folder")

RAGGED = frozenset(("parquet", "jsonl", "ts", "arrow"))
"""Kinds of files whose cells may be of any number of steps."""
_SPLITS = ("by_hash", "by_order", "by_time")


@record(frozen=True)
class ReadSource:
    """Sources, and the dims that `windows` puts in front of each cell."""

    specs: tuple[SourceSpec, ...]
    window: tuple[Dim, ...] = ()


def _texts(value: Datum, name: str, span: Span) -> tuple[str, ...]:
    items = value.items if isinstance(value, ListValue) else (value,)
    if not items or not all(isinstance(i, str) for i in items):
        raise Failure(type_errors.wrong_value(span, name, "a text or a list of texts", describe(value)))
    return items  # type: ignore[return-value]  # all texts, just checked


def read_source_clause(core: Core, expression: syntax.Expr, env: Environment, block: str) -> ReadSource:
    """`source = ...`. Raises Failure."""
    if isinstance(expression, syntax.ListExpr):
        if not expression.items:
            raise Failure(data_errors.bad_source(expression.span, "the list is empty"))
        specs: list[SourceSpec] = []
        window: tuple[Dim, ...] = ()
        for item in expression.items:
            if not isinstance(item, syntax.Keyed):
                raise Failure(data_errors.bad_source(item.span, "sources in a list are named by their split: `train = csv(...)`"))
            name = item.key.text if isinstance(item.key, syntax.Name) else item.key.value
            if any(s.split == name for s in specs):
                raise Failure(data_errors.bad_source(item.span, f"`{name}` stands twice"))
            part = _one_source(core, item.value, env, name, name)
            specs += part.specs
            window = window or part.window
        return ReadSource(tuple(specs), window)
    return _one_source(core, expression, env, block, None)


def _one_source(core: Core, expression: syntax.Expr, env: Environment, name: str, split: str | None) -> ReadSource:
    if isinstance(expression, syntax.Pipe):
        base = _one_source(core, expression.value, env, name, split)
        window = base.window
        core.report(not_yet(expression.stages[-1].span, "source"))
        for stage in expression.stages:
            node = stage.callee
            if isinstance(node, syntax.Call) and isinstance(node.callee, syntax.Name) and node.callee.text == "windows":
                size = core.evaluate(node.arguments[0].value, env) if node.arguments else None
                if isinstance(size, bool) or not isinstance(size, (int, Poly)):
                    raise Failure(type_errors.wrong_value(node.span, "windows", "a length", describe(size)))
                window = (size,)
        return ReadSource(base.specs, window)
    if not isinstance(expression, syntax.Call) or not isinstance(expression.callee, syntax.Name):
        raise Failure(data_errors.bad_source(expression.span, "it names no kind of file"))
    kind = expression.callee.text
    if kind not in _READ and kind not in _LATER:
        raise Failure(data_errors.bad_source(expression.callee.span, f"there is no kind `{kind}`", (*_READ, *_LATER)))
    paths: tuple[str, ...] | None = None
    na: tuple[str, ...] = ("",)
    options: list[tuple[str, str]] = []
    for argument in expression.arguments:
        value = core.evaluate(argument.value, env)
        if argument.name is None:
            if paths is None:
                paths = _texts(value, "the path", argument.span)
            elif kind in _READ:
                raise Failure(layer_errors.too_many_arguments(argument.span, kind, ["path"], len(expression.arguments)))
        elif argument.name.text == "na" and kind == "csv":
            na = _texts(value, "na", argument.span)
        elif argument.name.text == "separator" and kind == "csv" and isinstance(value, str) and len(value) == 1:
            options.append(("separator", value))
        elif kind in _READ:
            known = ["na", "separator"] if kind == "csv" else []
            raise Failure(layer_errors.unknown_argument(argument.span, kind, argument.name.text, known))
    if paths is None:
        raise Failure(layer_errors.missing_argument(expression.span, kind, "path", None))
    if kind in _LATER:
        core.report(not_yet(expression.span, "source"))
        return ReadSource(())
    folder = os.path.dirname(expression.span.file.name)
    spec = SourceSpec(name, kind, paths, folder, na, split, tuple(options), expression.span)  # type: ignore[arg-type]  # one of _READ
    return ReadSource((spec,))


# --- split -------------------------------------------------------------------------------------------------------------
def column_of(core: Core, expression: syntax.Expr, env: Environment) -> str:
    """The name of the column that an expression is. Raises Failure."""
    value = core.evaluate(expression, env)
    for parameter in core.trace.parameters.values():
        if isinstance(value, Tensor) and parameter.value is value.value and parameter.role == "input":
            return parameter.key
    raise Failure(type_errors.wrong_value(expression.span, "this", "a column", describe(value)))


def columns_of(core: Core, expression: syntax.Expr, env: Environment) -> tuple[str, ...]:
    items = expression.items if isinstance(expression, syntax.ListExpr) else (expression,)
    return tuple(column_of(core, i.value if isinstance(i, syntax.Keyed) else i, env) for i in items)


def read_split(core: Core, expression: syntax.Expr, env: Environment) -> SplitSpec:
    """`split = by_hash(...)` and the like. Raises Failure."""
    if not isinstance(expression, syntax.Call) or not isinstance(expression.callee, syntax.Name):
        raise Failure(data_errors.bad_split(expression.span, "it names no way of splitting"))
    method = expression.callee.text
    if method == "folds":
        raise Failure(not_yet(expression.span, "split"))
    if method not in _SPLITS:
        raise Failure(data_errors.bad_split(expression.callee.span, f"there is no `{method}`", _SPLITS))
    if method == "by_time":
        return _by_time(core, expression, env)
    names: list[str] = []
    fractions: list[float] = []
    seed = 0
    key: tuple[str, ...] = ()
    for argument in expression.arguments:
        if argument.name is None:
            raise Failure(data_errors.bad_split(argument.span, "shares are written by name: `train = 0.8`"))
        name = argument.name.text
        if name == "key" and method == "by_hash":
            key = columns_of(core, argument.value, env)
            continue
        value = core.evaluate(argument.value, env)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise Failure(type_errors.wrong_value(argument.value.span, name, "a number", describe(value)))
        if name == "seed" and method == "by_hash":
            if not isinstance(value, int):
                raise Failure(type_errors.wrong_value(argument.value.span, name, "a whole number", describe(value)))
            seed = value
            continue
        names.append(name)
        fractions.append(float(value))
    if "train" not in names:
        raise Failure(data_errors.bad_split(expression.span, "it has no share `train`"))
    if any(f <= 0 for f in fractions) or sum(fractions) > 1 + 1e-9:
        raise Failure(data_errors.bad_fractions(expression.span, sum(fractions)))
    return SplitSpec("hash" if method == "by_hash" else "order", tuple(names), tuple(fractions), seed, key)


def _by_time(core: Core, expression: syntax.Call, env: Environment) -> SplitSpec:
    positional = [a for a in expression.arguments if a.name is None]
    if len(positional) != 1:
        raise Failure(
            data_errors.bad_split(expression.span, "by_time takes one date column, then the first day of each later split")
        )
    column = column_of(core, positional[0].value, env)
    value = core.evaluate(positional[0].value, env)
    kind = value.kind if isinstance(value, Tensor) else "plain"
    if kind == "plain":
        raise Failure(data_errors.bad_split(positional[0].span, f"`{column}` is no date or timestamp"))
    names, boundaries = ["train"], []
    for argument in expression.arguments:
        if argument.name is None:
            continue
        day = core.evaluate(argument.value, env)
        if not isinstance(day, str):
            raise Failure(
                type_errors.wrong_value(argument.value.span, argument.name.text, 'a date like "2023-01-31"', describe(day))
            )
        names.append(argument.name.text)
        boundaries.append(arithmetic.date_number(day, kind, argument.value.span))
    if boundaries != sorted(set(boundaries)) or not boundaries or "train" in names[1:]:
        raise Failure(data_errors.bad_split(expression.span, "the first days of later splits ascend"))
    return SplitSpec("time", tuple(names), key=(column,), boundaries=tuple(boundaries))


# --- files at hand -----------------------------------------------------------------------------------------------------
def first_file(spec: SourceSpec) -> str | None:
    """The first file, by name, that a source's patterns find; None where there is none."""
    for path in spec.paths:
        found = sorted(glob.glob(os.path.join(spec.folder, path), recursive=True))
        files = [f for f in found if os.path.isfile(f)]
        if files:
            return files[0]
    return None
