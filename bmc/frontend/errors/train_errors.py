"""E06xx: errors of train blocks, each a named constructor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bmc.errors import Diagnostic, Label, Suggestion, nearest
from bmc.frontend.errors.name_errors import did_you_mean, listed, primary
from bmc.source import Span

__all__ = [
    "bad_clip",
    "bad_next",
    "bad_optimizer",
    "bad_prediction",
    "bad_setting",
    "bad_stop",
    "both_lengths",
    "cannot_grow",
    "input_missing",
    "key_twice",
    "label_in_input",
    "large_rate",
    "loss_of_batch",
    "loss_type",
    "loss_without_data",
    "metric_twice",
    "mixes_rows",
    "no_default_loss",
    "not_watched",
    "nothing_learns",
    "other_inputs",
    "pattern_unused",
    "row_number_in_input",
    "too_many_tables",
    "unknown_binding",
    "unknown_column",
    "unknown_key",
    "unmatched_weight",
]


def unknown_key(span: Span, key: str, known: Sequence[str]) -> Diagnostic:
    """E0601."""
    return Diagnostic(
        "E0601",
        f"a train block has no `{key}`",
        (primary(span, "no such key"),),
        (f"its keys are {listed(known, 30)}",),
        did_you_mean(span, key, known),
    )


def key_twice(span: Span, key: str, before: Span) -> Diagnostic:
    """E0602."""
    return Diagnostic("E0602", f"`{key}` is set twice", (primary(span, "again here"), Label(before, "first here")))


def input_missing(
    span: Span, model: str, name: str, declared: Span, data: str, outputs: Sequence[str], idle: Mapping[str, Span]
) -> Diagnostic:
    """E0603: a model input that no data output feeds. `idle`: outputs that nothing takes, and where they are bound."""
    near = nearest(name, outputs) or (next(iter(idle)) if len(idle) == 1 else None)
    suggestions = () if near is None else (Suggestion(f"bind it: `inputs = [{name} = {near}]`"),)
    others = tuple(Label(where, f"nothing takes `{output}`") for output, where in list(idle.items())[:3])
    return Diagnostic(
        "E0603",
        f"nothing feeds the input `{name}` of {model}",
        (primary(span, f"{data} has no output `{name}`"), Label(declared, "this input"), *others),
        (f"{data} gives {listed(outputs)}", f"an input takes the output of its name; `inputs = [{name} = ...]` binds another"),
        suggestions,
    )


def label_in_input(where: Span, name: str, column: str, declared: Span, label_at: Span, label: str) -> Diagnostic:
    """W0603: a label is among what the model is given."""
    return Diagnostic(
        "W0603",
        f"the model is given the answer: its input `{name}` reads `{column}`, and so does the label `{label}`",
        (primary(where, f"reads `{column}`"), Label(label_at, "the label"), Label(declared, "the column of both")),
        ("scores will be high, and of no use: where the answer is known there is nothing to predict",),
        (Suggestion(f"leave `{column}` out of `{name}`"),),
        "warning",
    )


def row_number_in_input(where: Span, name: str, column: str, declared: Span) -> Diagnostic:
    """W0604: the number of a row is among what the model is given."""
    return Diagnostic(
        "W0604",
        f'the input `{name}` reads "{column}", which names a row',
        (primary(where, "as a number"), Label(declared, "one value for each row, by its name")),
        (
            "what a model learns of it does not hold for other rows; integers by `category` or `hash` can be looked up in an "
            "`embedding`",
        ),
        (Suggestion(f"leave it out of `{name}`; `keep = [{column}]` passes it through to the predictions"),),
        "warning",
    )


def large_rate(span: Span, optimizer: str, rate: float) -> Diagnostic:
    """W0605."""
    return Diagnostic(
        "W0605",
        f"a learning rate of {rate:g} is far too large for {optimizer}",
        (primary(span, f"each step moves each weight by about {rate:g}"),),
        ("it divides by the size of the gradient; 1e-3 is what most models begin with",),
        level="warning",
    )


def unknown_binding(span: Span, name: str, what: str, known: Sequence[str]) -> Diagnostic:
    """E0604: `inputs = [a = b]` where one of both does not exist."""
    return Diagnostic(
        "E0604",
        f"there is no {what} `{name}`",
        (primary(span, f"no such {what}"),),
        (f"there are {listed(known)}",),
        did_you_mean(span, name, known),
    )


def bad_setting(span: Span, key: str, wanted: str, got: str) -> Diagnostic:
    """E0605."""
    return Diagnostic("E0605", f"`{key}` is {wanted}, not {got}", (primary(span, got),))


def both_lengths(span: Span, other: Span) -> Diagnostic:
    """E0606."""
    return Diagnostic(
        "E0606",
        "`epochs` and `steps` both say how long to train",
        (primary(span, "and here"), Label(other, "here")),
        ("write one of them",),
    )


def no_default_loss(span: Span, reason: str) -> Diagnostic:
    """E0607."""
    return Diagnostic(
        "E0607",
        f"the loss does not follow from the data: {reason}",
        (primary(span, "`loss` is missing"),),
        ("write one: `loss = cross_entropy(logits, y)`",),
    )


def loss_type(span: Span, what: str, call: str | None = None) -> Diagnostic:
    """E0608. `call`: how the function that it is would be called."""
    notes = () if call is None else (f"a function gives a value when it is called: `{call}`",)
    return Diagnostic("E0608", f"a loss is floats, not {what}", (primary(span, what),), notes)


def loss_of_batch(span: Span, what: str, accumulate: Span) -> Diagnostic:
    """E0619: micro-batches of one number each do not add up to that of all their rows: means and sums would differ."""
    return Diagnostic(
        "E0619",
        "with `accumulate` the loss needs a value for each row",
        (primary(span, f"this is {what}, of one micro-batch"), Label(accumulate, "rows of several micro-batches make a step")),
        ("leave out the `mean`: the mean over all rows of a step is taken anyway",),
    )


def bad_optimizer(span: Span, what: str) -> Diagnostic:
    """E0609."""
    return Diagnostic(
        "E0609",
        f"{what} is no optimizer",
        (primary(span, what),),
        ('write `adam(lr = 1e-3)`, or a list by key: `["enc.*" = frozen, "*" = adam(lr = 1e-3)]`',),
    )


def unmatched_weight(span: Span, keys: Sequence[str]) -> Diagnostic:
    """E0610."""
    return Diagnostic(
        "E0610",
        f"no pattern matches {listed(keys, 4)}",
        (primary(span, "the first match wins; these match none"),),
        ('end the list with `"*" = ...`; `frozen` leaves parameters as they are',),
    )


def pattern_unused(span: Span, pattern: str, keys: Sequence[str]) -> Diagnostic:
    """W0601."""
    return Diagnostic(
        "W0601",
        f'the pattern "{pattern}" matches no parameter that is still free',
        (primary(span, "matches nothing"),),
        (f"keys are {listed(keys, 6)}",),
        level="warning",
    )


def nothing_learns(span: Span) -> Diagnostic:
    """W0602."""
    return Diagnostic("W0602", "the loss depends on no parameter that learns", (primary(span),), level="warning")


def loss_without_data(span: Span, data: str) -> Diagnostic:
    """E0618."""
    return Diagnostic("E0618", "the loss reads no data", (primary(span, f"no output of {data} is used"),))


def bad_clip(span: Span) -> Diagnostic:
    """E0611."""
    return Diagnostic("E0611", "`clip` is `norm(1.0)` or `value(0.5)`", (primary(span),))


def bad_stop(span: Span, reason: str, known: Sequence[str] = ()) -> Diagnostic:
    """E0612."""
    notes = ["write `stop = plateau(valid.loss, patience = 3)`"]
    if known:
        notes.append(f"metrics are {listed(known)}")
    return Diagnostic("E0612", reason, (primary(span),), tuple(notes))


def not_watched(span: Span, split: str, metric: str, splits: Sequence[str]) -> Diagnostic:
    """E0612: a plateau of what no epoch evaluates."""
    notes: tuple[str, ...] = ()
    if split not in splits:
        reason = f"the data have no split `{split}`"
        notes = (f"splits are {listed(splits)}", "write one: `split = by_hash(train = 0.8, valid = 0.2)`")
    elif split == "test":
        reason = "`test` is not looked at while training"
        notes = ("watch `valid`: what decides when to stop is no test any more",)
    elif split == "train":
        reason = f"`{metric}` of `train` is not computed while training"
        notes = ("of the training rows there is the loss: `train.loss`",)
    else:
        reason = f"`{metric}` is a table, not a number that gets better"
    return Diagnostic("E0612", reason, (primary(span),), notes)


def metric_twice(span: Span, name: str) -> Diagnostic:
    """E0613."""
    return Diagnostic(
        "E0613",
        f"two metrics or predictions are called `{name}`",
        (primary(span),),
        (f"give one another name: `[{name}_2 = ...]`",),
    )


def bad_prediction(span: Span, name: str, what: str) -> Diagnostic:
    """E0614: a prediction without rows."""
    return Diagnostic("E0614", f"the prediction `{name}` is {what}: it needs one value for each row", (primary(span, what),))


def mixes_rows(span: Span, name: str, place: Span | None) -> Diagnostic:
    """E0615."""
    labels = [primary(span, "depends on the other rows of the batch")]
    if place is not None and place != span:
        labels.append(Label(place, "rows are mixed here"))
    return Diagnostic(
        "E0615",
        f"the prediction `{name}` depends on other rows",
        tuple(labels),
        ("a row's prediction is the same alone and in any batch; statistics of the training rows come from `fit` or a `state`",),
    )


def unknown_column(span: Span, name: str, known: Sequence[str]) -> Diagnostic:
    """E0616: `keep` of something that is no column."""
    return Diagnostic(
        "E0616",
        f"there is no column `{name}`",
        (primary(span),),
        (f"columns are {listed(known)}",),
        did_you_mean(span, name, known),
    )


def too_many_tables(span: Span, what: str) -> Diagnostic:
    """E0617: a metric whose shape is not static."""
    return Diagnostic("E0617", f"a metric is a number, a value for each row, or a small table, not {what}", (primary(span, what),))


def cannot_grow(span: Span, name: str, reason: str, declared: Span) -> Diagnostic:
    """E0630: the input that `next` continues has no free length."""
    return Diagnostic(
        "E0630",
        f"the input `{name}` cannot grow: {reason}",
        (primary(span, "`next` makes it longer by one position at a time"), Label(declared, "declared here")),
        ("declare it as `i32[B, T]` with a name T that nothing else fixes, and use T inside of the model",),
    )


def other_inputs(span: Span, name: str, others: Sequence[str], declared: Span) -> Diagnostic:
    """E0631: `next` of a model that wants more than the sequence."""
    return Diagnostic(
        "E0631",
        f"the model cannot go on from `{name}` alone: it also wants {listed(others)}",
        (primary(span, "this is all that generation has"), Label(declared, "what would this be?")),
        ("give the other inputs the default `none`, or compute them from the sequence",),
    )


def bad_next(span: Span, name: str, reason: str, declared: Span | None) -> Diagnostic:
    """E0632: what `next` gives is no continuation of the input."""
    labels = (primary(span, "this should continue it"),)
    return Diagnostic(
        "E0632",
        f"this is no next position of `{name}`: {reason}",
        labels if declared is None else (*labels, Label(declared, "its bound")),
        (f"`next = [{name} = sample(logits[:, -1])]` takes the scores of the last position",),
    )
