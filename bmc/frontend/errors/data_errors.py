"""E05xx: errors of data blocks, each a named constructor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bmc.errors import Diagnostic, Label, Suggestion, nearest, nothing_else_near
from bmc.frontend.errors.name_errors import did_you_mean, listed, primary
from bmc.source import Span

__all__ = [
    "augment_outside",
    "bad_column_type",
    "bad_fractions",
    "bad_source",
    "bad_split",
    "bad_where",
    "cannot_undo",
    "clause_twice",
    "column_not_in_file",
    "column_twice",
    "column_type_in_file",
    "fit_has_rows",
    "fit_outside",
    "header_unreadable",
    "missing_clause",
    "misspelt_split",
    "no_training_rows",
    "misspelt_clause",
    "other_kind",
    "other_separator",
    "output_rows",
    "source_columns",
    "unknown_split_argument",
    "where_fitted",
    "window_column",
    "window_order",
    "window_ragged",
    "windows_overlap",
]


def other_kind(span: Span, kind: str, path: str, other: str) -> Diagnostic:
    """E0507: `csv("a.npz")`."""
    return Diagnostic(
        "E0507",
        f"{path} is no {kind} file by its ending",
        (primary(span, f"its ending says {other}"),),
        suggestions=(Suggestion(f"read it by `{other}(...)`", span, other),),
    )


def misspelt_clause(span: Span, name: str, block: str, clause: str) -> Diagnostic:
    """E0501: what is bound to a name near to that of a clause that is missing."""
    return Diagnostic(
        "E0501",
        f"the data block {block} has no `{clause}`, but a `{name}`",
        (primary(span, f"is this its `{clause}`?"),),
        suggestions=(Suggestion(f"did you mean `{clause}`?", span, clause, certain=True),),
    )


def missing_clause(span: Span, name: str, clause: str) -> Diagnostic:
    """E0501: a data block without `source` or `columns`."""
    return Diagnostic("E0501", f"the data block {name} has no `{clause}`", (primary(span, f"`{clause}` is missing"),))


def clause_twice(span: Span, name: str, before: Span) -> Diagnostic:
    """E0502."""
    return Diagnostic("E0502", f"`{name}` stands twice in this block", (primary(span, "again here"), Label(before, "first here")))


def column_twice(span: Span, name: str, before: Span) -> Diagnostic:
    """E0502 for columns."""
    return Diagnostic("E0502", f"two columns are called `{name}`", (primary(span, "again here"), Label(before, "first here")))


def bad_column_type(span: Span, reason: str) -> Diagnostic:
    """E0503."""
    return Diagnostic("E0503", reason, (primary(span, "as the type of a column's cell"),))


def column_not_in_file(span: Span, header: str, file: str, headers: Sequence[str], source: Span) -> Diagnostic:
    """E0504: a declared column that the file's header does not have."""
    return Diagnostic(
        "E0504",
        f'{file} has no column "{header}"',
        (primary(span, "no such column"), Label(source, "in this file")),
        (f"its columns are: {listed(headers)}", 'a column whose header is no name is written `"unit price" as price: f32`'),
        _renamed(span, header, headers),
    )


def other_separator(source: Span, file: str, sign: str, line: str, *, given: bool) -> Diagnostic:
    """E0504: the header is one name, with another sign in it than the separator. `given`: the source names a separator."""
    written = {"\t": "\\t"}.get(sign, sign)
    shown = line if len(line) <= 60 else line[:57] + "..."
    fix = f'separator = "{written}"'
    whole = None if given or not source.text.endswith(")") else f"{source.text[:-1]}, {fix})"
    return Diagnostic(
        "E0504",
        f'the cells of {file} seem to be separated by "{written}"',
        (primary(source, "read with another separator"),),
        (f"its first line is: {shown}",),
        (Suggestion(f"write `{fix}`", *(() if whole is None else (source, whole))),),
    )


def _renamed(span: Span, header: str, headers: Sequence[str]) -> tuple[Suggestion, ...]:
    """The column read from the header that is nearest, under the name that it has in the program."""
    near = nearest(header, headers)
    if near is None:
        return ()
    left, _, of_type = span.text.rpartition(":")
    quoted = near if near.isidentifier() and near.isascii() else '"' + near.replace("\\", "\\\\").replace('"', '\\"') + '"'
    name = left.rpartition(" as ")[2].strip()
    written = f"{name}:{of_type}" if near == name else f"{quoted} as {name}:{of_type}"
    sure = nothing_else_near(header, near, headers) or header.casefold().replace("_", " ") == near.casefold().replace("_", " ")
    return (Suggestion(f"did you mean `{written}`?", span, written, certain=sure),)


def column_type_in_file(span: Span, name: str, declared: str, found: str, file: str, source: Span) -> Diagnostic:
    """E0505: npz arrays whose dtype or shape is another."""
    return Diagnostic(
        "E0505",
        f"the column `{name}` is declared as {declared}, but {file} has {found}",
        (primary(span, f"declared as {declared}"), Label(source, f"{found} in this file")),
    )


def header_unreadable(source: Span, file: str, reason: str, fix: str = "") -> Diagnostic:
    """E0506."""
    suggestions = (Suggestion(fix),) if fix else ()
    return Diagnostic("E0506", f"cannot read the header of {file}: {reason}", (primary(source),), suggestions=suggestions)


def bad_source(span: Span, reason: str, kinds: Sequence[str] = ()) -> Diagnostic:
    """E0507."""
    return Diagnostic(
        "E0507",
        f"this is not a source of rows: {reason}",
        (primary(span),),
        (
            'a source is written `csv("a.csv")`, `parquet("a/*.parquet")`, `folder("photos", ["png"])`, `text("a.txt") |> words |> '
            'windows(65)`, or `[train = csv("a.csv"), test = csv("b.csv")]`',
        ),
        did_you_mean(span, span.text, kinds),
    )


def no_training_rows(span: Span, misspelt: bool) -> Diagnostic:
    """E0507: named sources without `train`."""
    return Diagnostic(
        "E0507",
        "none of these sources is called `train`",
        (primary(span, "is this `train`?" if misspelt else "which of them are the training rows?"),),
        ("models are trained on the rows of `train`; the others are for `valid.loss`, `bmc eval` and the like",),
        (Suggestion("did you mean `train`?", span, "train", certain=True),) if misspelt else (),
    )


def misspelt_split(span: Span, name: str, near: str) -> Diagnostic:
    """E0508: a name of a split that is nearly one that has a meaning."""
    return Diagnostic(
        "E0508",
        f"a split called `{name}`",
        (primary(span, f"is this `{near}`?"),),
        ("splits may have other names, less like those three",),
        (Suggestion(f"did you mean `{near}`?", span, near, certain=True),),
    )


def windows_overlap(split: Span, size: int, stride: int, source: Span) -> Diagnostic:
    """W0516: windows share items, and a hash sends them anywhere."""
    return Diagnostic(
        "W0516",
        "windows that share items fall into different splits",
        (primary(split, "goes by the values of each window"), Label(source, f"windows of {size}, one every {stride}")),
        ("`by_order` and `by_time` leave out the windows that a cut goes through",),
        level="warning",
    )


def window_column(source: Span, name: str, columns: Sequence[str]) -> Diagnostic:
    """E0516: `by` or `order` of `windows` is no column."""
    return Diagnostic(
        "E0516",
        f"`windows` goes by `{name}`, which is no column",
        (primary(source),),
        (f"the columns are: {listed(columns)}",),
        did_you_mean(source, name, columns),
    )


def window_order(source: Span, name: str, column: Span) -> Diagnostic:
    """E0516: what `order` names cannot be sorted."""
    return Diagnostic(
        "E0516",
        f"`{name}` does not order anything",
        (primary(column, "a number, date or timestamp that is never missing orders rows"), Label(source, "ordered by it")),
    )


def window_ragged(source: Span, name: str, column: Span) -> Diagnostic:
    """E0516: windows of rows that differ in length."""
    return Diagnostic(
        "E0516",
        f"a window of `{name}` would have no shape",
        (primary(column, "differs in length from row to row"), Label(source, "windows here")),
    )


def augment_outside(span: Span, name: str) -> Diagnostic:
    """E0518: augmentation of what is no data."""
    return Diagnostic(
        "E0518",
        f"`{name}` stands in a data block only",
        (primary(span, "changes what training steps see of the data"),),
        ("in a model write `if training { ... }` around what acts in training only",),
    )


def source_columns(span: Span, kind: str, wanted: str, source: Span) -> Diagnostic:
    """E0517: columns that a kind of source does not have."""
    labels = [primary(span)] if span is source else [primary(span), Label(source, "in this source")]
    return Diagnostic("E0517", f"`{kind}(...)` has {wanted}", tuple(labels))


def no_column(span: Span, what: str, columns: Sequence[str]) -> Diagnostic:
    """E0322: something else where the block's columns are named."""
    note = f"columns: {listed(columns)}" if columns else "no column is declared"
    return Diagnostic(
        "E0322", f"a column is wanted here, not {what}", (primary(span, what),), (note,), did_you_mean(span, span.text, columns)
    )


def bad_split(span: Span, reason: str, ways: Sequence[str] = ()) -> Diagnostic:
    """E0508."""
    return Diagnostic(
        "E0508",
        f"this is not a split: {reason}",
        (primary(span),),
        (
            "a split is written `by_hash(train = 0.8, valid = 0.1, test = 0.1, seed = 1)`, `by_order(...)`, `by_time(day, ...)`, "
            "`by_column(part)` or `folds(5, fold = 0)`",
        ),
        did_you_mean(span, span.text, ways),
    )


def bad_fractions(span: Span, total: float) -> Diagnostic:
    """E0509."""
    return Diagnostic("E0509", f"the shares of a split are positive and add up to at most 1, not {total:g}", (primary(span),))


def unknown_split_argument(span: Span, name: str, known: Sequence[str]) -> Diagnostic:
    """E0508 for keywords."""
    return Diagnostic("E0508", f"a split has no `{name}`", (primary(span),), suggestions=did_you_mean(span, name, known))


def bad_where(span: Span, what: str) -> Diagnostic:
    """E0510."""
    return Diagnostic("E0510", f"`where` wants a condition for each row, not {what}", (primary(span, what),))


def where_fitted(span: Span, fit: Span) -> Diagnostic:
    """E0515: `where` comes before the split, and that before any fit."""
    return Diagnostic(
        "E0515",
        "`where` cannot read what is fitted",
        (primary(span, "chooses the rows that are split"), Label(fit, "is known only after the split")),
        ("write the number itself",),
    )


def output_rows(span: Span, name: str, what: str, note: str | None = None) -> Diagnostic:
    """E0511: a data output that is no tensor."""
    return Diagnostic(
        "E0511", f"the output `{name}` is {what}, not a tensor", (primary(span, what),), () if note is None else (note,)
    )


def length_without_size(span: Span, lengths: Mapping[str, int]) -> Diagnostic:
    """E0328: a slice or a size that rows of some padded length do not have."""
    said = " and ".join(f"{length} steps" for length in lengths.values())
    return Diagnostic(
        "E0328",
        f"rows padded to {said} do not go through this",
        (primary(span, f"a size here would be negative, or no window would fit, for {said}"),),
        ("`pad(max = n, bucket = m)` makes rows of m to n steps: a table must hold n, and what is cut off must be there for m",),
    )


def fit_outside(span: Span) -> Diagnostic:
    """E0512."""
    return Diagnostic(
        "E0512", "statistics are fitted in a data block only", (primary(span, "there is no training split to fit on here"),)
    )


def fit_has_rows(span: Span, what: str) -> Diagnostic:
    """E0513."""
    return Diagnostic(
        "E0513",
        f"a fitted value cannot have a value for each row, but this is {what}",
        (primary(span, what),),
        ("reduce over the rows first: `fit(mean(x, axis = 0))`",),
    )


def cannot_undo(span: Span, y: Span, reason: str, place: Span | None) -> Diagnostic:
    """E0514."""
    labels = [primary(span, reason)]
    if place is not None:
        labels.append(Label(place, "made here"))
    return Diagnostic("E0514", f"`{y.text}` cannot be undone: {reason}", tuple(labels))
