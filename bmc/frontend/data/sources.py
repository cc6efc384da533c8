"""Where rows come from: `source`, from syntax to specifications.

In: the expression of a data block. Out: `SourceSpec`s. Guaranteed: no file is opened.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import get_args

from bmc.errors import Diagnostic, nearest
from bmc.frontend.bodies.core import Core
from bmc.frontend.bodies.dims import Failure
from bmc.frontend.bodies.values import Datum, Environment, ListValue, describe
from bmc.frontend.data.splitting import require_known_split
from bmc.frontend.errors import data_errors, layer_errors, type_errors
from bmc.frontend.syntax import tree as syntax
from bmc.frontend.unit import ColumnSpec, DataSpec, SourceKind, SourceSpec, WindowSpec
from bmc.ir import Dim
from bmc.record import record, replace
from bmc.source import Span

__all__ = [
    "IMAGES", "KINDS", "RAGGED", "ReadSource", "first_file", "read_source_clause", "require_columns",
]  # fmt: skip

KINDS: tuple[SourceKind, ...] = get_args(SourceKind)

RAGGED = frozenset(("parquet", "jsonl", "ts", "arrow"))
"""Kinds of files whose cells may be of any number of steps."""

_BY_COLUMN = ("npy", "idx")
"""Kinds of files that hold one array, with a file for each column: `idx(image = "images-idx3", label = "labels-idx1")`."""

_CORPORA = ("text", "bytes")
_CUTTERS = ("words", "chars")


@record(frozen=True)
class ReadSource:
    """Sources, and the dims that `windows` puts in front of each cell."""

    specs: tuple[SourceSpec, ...]

    @property
    def window(self) -> tuple[Dim, ...]:
        found = self.specs[0].window if self.specs else None
        return () if found is None else (found.size,)


def _texts(value: Datum, name: str, span: Span) -> tuple[str, ...]:
    items = value.items if isinstance(value, ListValue) else (value,)
    if not items or not all(isinstance(i, str) for i in items):
        raise Failure(type_errors.wrong_value(span, name, "a text or a list of texts", describe(value)))
    return items  # type: ignore[return-value]  # all texts, just checked


def read_source_clause(core: Core, expression: syntax.Expr, env: Environment, block: str) -> ReadSource:
    """`source = ...`. Raises Failure."""
    if not isinstance(expression, syntax.ListExpr):
        return ReadSource((_one_source(core, expression, env, block, None),))
    if not expression.items:
        raise Failure(data_errors.bad_source(expression.span, "the list is empty"))
    specs: list[SourceSpec] = []
    for item in expression.items:
        if not isinstance(item, syntax.Keyed):
            raise Failure(data_errors.bad_source(item.span, "sources in a list are named by their split: `train = csv(...)`"))
        name = item.key.text if isinstance(item.key, syntax.Name) else item.key.value
        if any(s.split == name for s in specs):
            raise Failure(data_errors.bad_source(item.span, f"`{name}` stands twice"))
        spec = _one_source(core, item.value, env, name, name)
        if specs and (spec.window is None) != (specs[0].window is None):
            raise Failure(data_errors.bad_source(item.value.span, "either all sources of a list have windows, or none has"))
        if specs and spec.window is not None and specs[0].window is not None and spec.window.size != specs[0].window.size:
            raise Failure(data_errors.bad_source(item.value.span, "the windows of all sources have one length"))
        specs.append(spec)
    names = [s.split or "" for s in specs]
    if "train" not in names:
        items = [i.key for i in expression.items if isinstance(i, syntax.Keyed)]
        meant = next((key for key in items if nearest(key.span.text.strip('"'), ("train",))), None)
        raise Failure(data_errors.no_training_rows(expression.span if meant is None else meant.span, meant is not None))
    for item in expression.items:
        if isinstance(item, syntax.Keyed):
            require_known_split(item.key.span, item.key.span.text.strip('"'), names)
    return ReadSource(tuple(specs))


def _one_source(core: Core, expression: syntax.Expr, env: Environment, name: str, split: str | None) -> SourceSpec:
    stages: Sequence[syntax.Stage] = ()
    base = expression
    if isinstance(expression, syntax.Pipe):
        base, stages = expression.value, expression.stages
    spec = _file_source(core, base, env, name, split)
    for stage in stages:
        spec = _staged(core, spec, stage.callee, env)
    if spec.kind == "bytes" and spec.window is None:
        raise Failure(data_errors.bad_source(expression.span, "one byte is no row: write `|> windows(n)` behind it"))
    if spec.items and spec.window is None:
        reason = f"one of its {spec.items} is no row: write `|> windows(n)` behind it"
        raise Failure(data_errors.bad_source(expression.span, reason))
    return spec


def _staged(core: Core, spec: SourceSpec, node: syntax.Expr, env: Environment) -> SourceSpec:
    """A source behind one more stage of its pipe. Raises Failure."""
    callee = node.callee if isinstance(node, syntax.Call) else node
    word = callee.text if isinstance(callee, syntax.Name) else ""
    if spec.window is not None:
        raise Failure(data_errors.bad_source(node.span, "`windows` is the last stage"))
    if word == "windows" and isinstance(node, syntax.Call):
        return replace(spec, window=_window(core, spec, node, env))
    if word in _CUTTERS and spec.kind == "text" and not spec.items:
        return replace(spec, items="words" if word == "words" else "chars")
    if word in _CUTTERS:
        raise Failure(data_errors.bad_source(node.span, f"`{word}` cuts `text(...)`"))
    reason = "rows go through `words`, `chars` and `windows(n)` only; other functions are for its columns"
    raise Failure(data_errors.bad_source(node.span, reason, ("windows", *_CUTTERS)))


def _window(core: Core, spec: SourceSpec, node: syntax.Call, env: Environment) -> WindowSpec:
    numbers: dict[str, int] = {}
    by: tuple[str, ...] = ()
    order = ""
    known = ["n", "stride", *([] if spec.kind in _CORPORA else ["by", "order"])]
    for place, argument in enumerate(node.arguments):
        name = argument.name.text if argument.name is not None else known[place] if place < 2 else ""
        if name not in known or name in numbers:
            raise Failure(layer_errors.unknown_argument(argument.span, "windows", name or argument.value.span.text, known))
        if name in ("by", "order"):
            items = argument.value.items if isinstance(argument.value, syntax.ListExpr) else (argument.value,)
            if not all(isinstance(i, syntax.Name) for i in items) or (name == "order" and len(items) != 1):
                raise Failure(type_errors.wrong_value(argument.value.span, name, "the name of a column", argument.value.span.text))
            names = tuple(i.text for i in items if isinstance(i, syntax.Name))
            by, order = (names, order) if name == "by" else (by, names[0])
            continue
        value = core.evaluate(argument.value, env)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise Failure(type_errors.wrong_value(argument.value.span, name, "a whole number from 1", describe(value)))
        numbers[name] = value
    if "n" not in numbers:
        raise Failure(layer_errors.missing_argument(node.span, "windows", "n", None))
    return WindowSpec(numbers["n"], numbers.get("stride", numbers["n"] if spec.kind in _CORPORA else 1), by, order)


def _file_source(core: Core, expression: syntax.Expr, env: Environment, name: str, split: str | None) -> SourceSpec:
    if not isinstance(expression, syntax.Call) or not isinstance(expression.callee, syntax.Name):
        raise Failure(data_errors.bad_source(expression.span, "it names no kind of file"))
    kind = expression.callee.text
    if kind not in KINDS:
        raise Failure(data_errors.bad_source(expression.callee.span, f"there is no kind `{kind}`", KINDS))
    paths: tuple[str, ...] = ()
    endings: tuple[str, ...] = ()
    na: tuple[str, ...] = ("",)
    options: list[tuple[str, str]] = []
    files: list[tuple[str, str]] = []
    for argument in expression.arguments:
        value = core.evaluate(argument.value, env)
        if argument.name is None:
            if not paths:
                paths = _texts(value, "the path", argument.span)
            elif kind == "folder" and not endings:
                endings = _endings(value, argument.span)
            elif kind in _BY_COLUMN:
                reason = f'a path for each column goes with its name: `{kind}(x = "x.{kind}", y = "y.{kind}")`'
                raise Failure(data_errors.bad_source(argument.span, reason))
            else:
                raise Failure(layer_errors.too_many_arguments(argument.span, kind, ["path"], len(expression.arguments)))
        elif argument.name.text == "na" and kind == "csv":
            na = _texts(value, "na", argument.span)
        elif argument.name.text in _OF_CSV and kind == "csv":
            options.append((argument.name.text, _option(argument.name.text, value, argument.value.span)))
        elif kind in _BY_COLUMN:
            if not isinstance(value, str):
                raise Failure(type_errors.wrong_value(argument.value.span, argument.name.text, "a path", describe(value)))
            files.append((argument.name.text, value))
        else:
            known = ["na", *_OF_CSV] if kind == "csv" else []
            raise Failure(layer_errors.unknown_argument(argument.span, kind, argument.name.text, known))
    if files and paths:
        raise Failure(data_errors.bad_source(expression.span, "either one path, or a path for each column"))
    paths = paths or tuple(path for _, path in files)
    if not paths:
        raise Failure(layer_errors.missing_argument(expression.span, kind, "path", None))
    for path in paths:
        other = _OF_ENDING.get(os.path.splitext(path)[1].lower())
        if other is not None and kind in _OF_ENDING.values() and other != kind:
            raise Failure(data_errors.other_kind(expression.callee.span, kind, path, other))
    options += [("ending", ending) for ending in endings]
    home = os.path.dirname(expression.span.file.name)
    return SourceSpec(name, kind, paths, home, na, split, tuple(options), expression.span, files=tuple(files))


_OF_CSV = ("separator", "decimal", "encoding")
"""What may be said of how a csv file is written, beside `na`."""


def _option(name: str, value: Datum, span: Span) -> str:
    """One of these settings. Raises Failure."""
    if name == "encoding":
        try:
            right = isinstance(value, str) and bool("a".encode(value))
        except (LookupError, UnicodeError):
            right = False
        what = 'an encoding of text like "latin-1", "cp1252" or "utf-16"'
    elif name == "decimal":
        right, what = value in (".", ","), '"." or ","'
    else:
        right = isinstance(value, str) and len(value) == 1 and value.isascii() and value not in '"\r\n\0'
        what = 'one sign like ";" or "\\t"'
    if not right or not isinstance(value, str):
        raise Failure(type_errors.wrong_value(span, name, what, describe(value)))
    return value


_OF_ENDING: Mapping[str, str] = MappingProxyType(
    {
        ".csv": "csv", ".tsv": "csv", ".parquet": "parquet", ".jsonl": "jsonl", ".ndjson": "jsonl", ".npz": "npz", ".npy": "npy",
        ".arrow": "arrow", ".feather": "arrow", ".ts": "ts",
    }
)  # fmt: skip
"""What a file is by its ending. One that has another ending, or none, is what the program says."""


def _endings(value: Datum, span: Span) -> tuple[str, ...]:
    found = tuple(text.lower().removeprefix(".") for text in _texts(value, "the endings", span))
    for ending in found:
        if ending not in IMAGES:
            raise Failure(data_errors.bad_source(span, f"pictures end in {', '.join(IMAGES)}, not in {ending}"))
    return found


IMAGES = ("png", "jpg", "jpeg")
"""Endings of the files that a folder of pictures is read from."""


def require_columns(specs: Sequence[SourceSpec], columns: Sequence[ColumnSpec]) -> list[Diagnostic]:
    """What is wrong with the columns of these sources: kinds that have columns of their own, and what `windows` names."""
    found: list[Diagnostic] = []
    names = [column.name for column in columns]
    for spec in specs:
        for name in DataSpec.cut_by(spec):
            if name not in names:
                found.append(data_errors.window_column(spec.span, name, names))
        if spec.window is not None:
            found += [data_errors.window_ragged(spec.span, c.name, c.span) for c in columns if c.ragged]
            for column in columns:
                if column.name == spec.window.order and (column.nullable or column.cell or column.dtype in ("str", "bool")):
                    found.append(data_errors.window_order(spec.span, column.name, column.span))
        wanted = _COLUMNS_OF.get(spec.kind)
        if wanted is not None and (len(columns) != 1 or _type_of(columns[0]) != wanted):
            span = columns[0].span if columns else spec.span
            found.append(data_errors.source_columns(span, spec.kind, f"one column, of type {wanted}", spec.span))
        if spec.kind == "folder":
            for column in columns:
                image = column.header == "image" and column.dtype == "u8" and len(column.cell) in (2, 3) and not column.nullable
                text = column.header in ("folder", "file") and _type_of(column) == "str"
                if not image and not text:
                    found.append(data_errors.source_columns(column.span, spec.kind, _OF_FOLDER, spec.span))
                    break
        if spec.kind in _BY_COLUMN:
            headers = [header for header, _ in spec.files]
            if (not headers and len(columns) != 1) or (headers and {c.header for c in columns} - set(headers)):
                known = f"the columns {', '.join(headers)}" if headers else "one column"
                found.append(data_errors.source_columns(spec.span, spec.kind, known, spec.span))
    return found


_COLUMNS_OF: Mapping[str, str] = MappingProxyType({"bytes": "u8", "text": "str"})
_OF_FOLDER = "the columns image: u8[H, W, C], folder: str, file: str"


def _type_of(column: ColumnSpec) -> str:
    plain = column.kind == "plain" and not column.cell and not column.ragged and not column.nullable
    return column.dtype if plain else ""


# --- files at hand -----------------------------------------------------------------------------------------------------
def first_file(spec: SourceSpec) -> str | None:
    """The first file, by name, that a source's patterns find; None where there is none."""
    for path in spec.paths:
        found = sorted(glob.glob(os.path.join(spec.folder, path), recursive=True))
        files = [f for f in found if os.path.isfile(f)]
        if files:
            return files[0]
    return None
