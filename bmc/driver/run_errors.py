"""Errors of runs, as named constructors.

In: names, values, spans. Out: `Diagnostic`s with codes E0801 to E0819, E0836, E0841 and E0842, of `bmc.errors.catalogue.run`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bmc.errors import Diagnostic, Label, Suggestion, nearest
from bmc.source import Span

__all__ = [
    "cannot_write", "columns_do_not_fit", "data_not_at_hand", "error_column_taken", "fitted_not_finite", "input_not_finite",
    "library_missing", "no_picture", "no_project", "no_such_choice", "no_such_split", "no_work_file", "not_finite", "not_trained",
    "nothing_to_draw", "nothing_to_train", "outside_bound", "rows_do_not_split", "split_without_rows", "weight_not_finite",
    "weights_do_not_fit", "what_is_outside", "worker_lost",
]  # fmt: skip


def _did_you_mean(name: str, names: Sequence[str]) -> tuple[Suggestion, ...]:
    near = nearest(name, names)
    return (Suggestion(f"did you mean {near!r}?"),) if near else ()


def cannot_write(path: str, reason: str) -> Diagnostic:
    """E0801: `reason` is the system's."""
    return Diagnostic("E0801", f"cannot write {path!r}: {reason}")


def not_finite(step: int, epoch: int, operation: str | None, value: str, spans: Sequence[Span], gradient: bool) -> Diagnostic:
    """E0802: `operation` is the first whose result was not finite, None if the replay stayed finite. `step`, `epoch` count from
    1."""
    message = f"the loss of step {step} (epoch {epoch}) is not finite"
    if operation is None:
        notes = ("replayed operation by operation, the step stayed finite: it is at the edge of its type",)
        return Diagnostic("E0802", message, notes=notes)
    what = f"`{operation}` gives {value} first{', in the gradient of this' if gradient else ''}"
    labels = tuple(Label(span, what if i == 0 else "part of it", primary=i == 0) for i, span in enumerate(spans[:2]))
    shown = () if labels else (what,)
    return Diagnostic("E0802", message, labels, (*shown, "no weight was changed by this step"))


def input_not_finite(step: int, epoch: int, output: str, value: str, row: int) -> Diagnostic:
    """E0802: the data has it. `row` counts from 1 within the batch."""
    message = f"the loss of step {step} (epoch {epoch}) is not finite"
    return Diagnostic("E0802", message, notes=(f"the data output `{output}` holds {value}, first in row {row} of the batch",))


def weight_not_finite(step: int, epoch: int, key: str, value: str, span: Span | None) -> Diagnostic:
    """E0802: an update before made it."""
    message = f"the loss of step {step} (epoch {epoch}) is not finite"
    what = f"`{key}` holds {value}: an update before this step made it so"
    labels = () if span is None else (Label(span, what, primary=True),)
    notes = ("the gradient or the learning rate was too large; `clip` bounds gradients",)
    return Diagnostic("E0802", message, labels, notes if labels else (what, *notes))


def not_trained(name: str) -> Diagnostic:
    """E0812"""
    notes = ("`train()` gives a model that predicts",)
    return Diagnostic("E0812", f"{name} is not trained yet: its predictions need weights", notes=notes)


def rows_do_not_split(operation: str, spans: Sequence[Span]) -> Diagnostic:
    """E0814: a program for several shards combines rows otherwise than by sums."""
    message = "this combines the rows of a batch otherwise than by a sum, which needs all of them in one shard"
    labels = (Label(spans[0], f"`{operation}` reads the whole batch", primary=True),) if spans else ()
    fix = Suggestion("set `shards = 1` and `accumulate = 1` in the train block")
    return Diagnostic("E0814", message, labels, suggestions=(fix,))


def split_without_rows(name: str, span: Span | None, counts: Mapping[str, int] | None = None, method: str = "") -> Diagnostic:
    """E0805. `counts`: the rows of each split."""
    labels = () if span is None else (Label(span, "its source is declared here", primary=True),)
    notes = () if not counts else (f"rows: {', '.join(f'{split} {rows:,}' for split, rows in counts.items())}",)
    fix = Suggestion("compare the days of `by_time` with those in the data: `bmc data FILE` shows the first and the last")
    return Diagnostic("E0805", f"no row is left for the split {name!r}", labels, notes, (fix,) if method == "time" else ())


def worker_lost(reason: str) -> Diagnostic:
    """E0806"""
    return Diagnostic("E0806", reason)


def no_such_split(name: str, names: Sequence[str]) -> Diagnostic:
    """E0807"""
    notes = (f"splits are: {', '.join(names)}",)
    return Diagnostic("E0807", f"there is no split {name!r}", (), notes, _did_you_mean(name, names))


def error_column_taken(name: str) -> Diagnostic:
    """E0809"""
    notes = ("bad rows can be left out (`skip`), or one column be asked for (`only`)",)
    message = f"the predictions have a column {name!r} already: there is no room for what is wrong with rows"
    return Diagnostic("E0809", message, notes=notes)


def nothing_to_train(name: str) -> Diagnostic:
    """E0808"""
    notes = ("write `train MODEL on DATA { ... }`",)
    return Diagnostic("E0808", f"{name} is a model alone: no train block says how to train it", notes=notes)


def columns_do_not_fit(reason: str, notes: Sequence[str] = ()) -> Diagnostic:
    """E0809"""
    return Diagnostic("E0809", reason, notes=tuple(notes))


def weights_do_not_fit(reason: str, notes: Sequence[str] = ()) -> Diagnostic:
    """E0810"""
    return Diagnostic("E0810", reason, notes=tuple(notes))


def data_not_at_hand(name: str, pattern: str, tried: Sequence[str]) -> Diagnostic:
    """E0811: `tried` are the folders looked into."""
    return Diagnostic(
        "E0811",
        f"the data {pattern!r} of source {name!r} is not at hand",
        notes=(f"looked in: {', '.join(tried)}",),
        suggestions=(Suggestion(f"say where it is: --data {name}=PATH"),),
    )


def no_such_choice(what: str, name: str, names: Sequence[str]) -> Diagnostic:
    """E0812: `what` is a noun: stage, pass, prediction."""
    notes = (f"there are: {', '.join(names)}",)
    return Diagnostic("E0812", f"there is no {what} {name!r}", (), notes, _did_you_mean(name, names))


def outside_bound(
    name: str, below: int, value: int, file: str, row: int, of_text: bool = True, cell: tuple[str, str] | None = None
) -> Diagnostic:
    """E0813: `row` counts from 1. A value of -1 is a text that the list of a category does not have, if it may be `of_text`.
    `cell`: the column and the cell that the value was made of, where they are known."""
    where = f" of {file}" if file else ""
    return Diagnostic("E0813", f"{what_is_outside(name, below, value, of_text, cell)}, in row {row}{where}")


def what_is_outside(
    name: str, below: int, value: int, of_text: bool = True, cell: tuple[str, str] | None = None
) -> str:
    """The same in a row that is named otherwise."""
    if cell is not None and value == -1 and of_text:
        return f"`{cell[0]}` is {cell[1]}, which the category `{name}` does not list"
    what = "a text that its category does not list" if value == -1 and of_text else f"the value {value}, outside 0 to {below - 1}"
    return f"`{name}` has {what}"


def library_missing(library: str, what: str, extra: str) -> Diagnostic:
    """E0816: `what` needs it; `extra` is the extra of the package that has it."""
    suggestion = Suggestion(f"install it: pip install 'bmc-lang[{extra}]'")
    return Diagnostic("E0816", f"{what} needs {library}, which is not installed", suggestions=(suggestion,))


def no_picture(path: str, known: Sequence[str]) -> Diagnostic:
    """E0817"""
    return Diagnostic("E0817", f"no picture can be written to {path!r}", notes=(f"names of pictures end with {', '.join(known)}",))


def no_project(path: str, reason: str) -> Diagnostic:
    """E0819"""
    return Diagnostic("E0819", f"cannot begin a project {path!r}: {reason}")


def nothing_to_draw(path: str) -> Diagnostic:
    """E0818"""
    return Diagnostic("E0818", f"there is nothing to draw of {path!r}", notes=("it has no history, and its data is not at hand",))


def fitted_not_finite(expression: str, rows: int, columns: Sequence[str], span: Span) -> Diagnostic:
    """E0815: `columns` are those that the fit reads."""
    read = " and ".join(f"`{name}`" for name in columns if not name.endswith(".valid"))
    label = Label(span, f"fitted over {rows:,} training rows of {read}", primary=True)
    note = "a column without a single value has no mean and no median; an infinite cell makes them infinite"
    return Diagnostic("E0815", f"the statistic `{expression}` is not a finite number", (label,), (note,))


def beyond_limit(reason: str, spans: Sequence[Span], declared: Span | None) -> Diagnostic:
    """E0836: `declared`: the parameter that is too short."""
    labels = [Label(span, "" if i else "this slice", primary=i == 0) for i, span in enumerate(spans)]
    if declared is not None and declared not in spans:
        labels.append(Label(declared, "of this parameter"))
    return Diagnostic("E0836", f"a size of the data does not fit the model: {reason}", tuple(labels))


def no_work_file(folder: str, reason: str) -> Diagnostic:
    """E0841: `reason` is the system's."""
    notes = (
        "rows that do not fit into memory are kept in a file there while the program runs; it takes about as much as the csv",
        "the environment variable BMC_SPILL names another folder",
    )
    return Diagnostic("E0841", f"cannot write a work file in {folder!r}: {reason}", notes=notes)


def fit_needs_all_rows(expression: str, rows: int, needed: int, span: Span) -> Diagnostic:
    """E0842: `needed`: bytes."""
    label = Label(span, f"over {rows:,} training rows it takes {needed / 2**30:,.1f} GiB", primary=True)
    notes = (
        "sums, means, variances, extremes, medians, quantiles, counts and tables of values take the rows block by block",
        "what sorts all rows, ranks them or adds them up one after the other has them all at once",
    )
    return Diagnostic("E0842", f"`{expression}` needs all rows in memory", (label,), notes)
