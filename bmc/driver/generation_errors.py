"""Errors of generation, as named constructors.

In: names, values, spans. Out: `Diagnostic`s with codes E0830 to E0835 and W0830 of `bmc.errors.catalogue.run`, and W0630.
"""

from __future__ import annotations

from collections.abc import Sequence

from bmc.errors import Diagnostic, Label, Suggestion, nearest
from bmc.source import Span

__all__ = [
    "bad_prompt", "bad_setting", "empty_prompt", "grows", "no_next", "no_such_setting", "no_text", "too_long", "unknown_cells",
]  # fmt: skip


def _at(span: Span | None, text: str) -> tuple[Label, ...]:
    return () if span is None else (Label(span, text, primary=True),)


def no_next(name: str, trained: bool) -> Diagnostic:
    """E0830"""
    where = "its train block" if trained else "a train block"
    fix = Suggestion(f"write `next = [tok = sample(logits[:, -1])]` in {where}, with the names of your model, and train")
    return Diagnostic("E0830", f"{name} does not say how a sequence goes on: it has no `next`", suggestions=(fix,))


def empty_prompt(span: Span | None) -> Diagnostic:
    """E0831"""
    labels = _at(span, "the next position is computed from those before it")
    return Diagnostic("E0831", "the prompt is empty: there is nothing to continue", labels)


def bad_prompt(reason: str, span: Span | None) -> Diagnostic:
    """E0832"""
    return Diagnostic("E0832", f"the prompt does not fit the model: {reason}", _at(span, "this is what it continues"))


def too_long(prompt: int, tokens: int, limit: int, by: Span | None) -> Diagnostic:
    """E0833: `prompt` positions, to which `tokens` are to be added; the last one is never read."""
    most = limit + 1 - prompt
    advice = f"ask for at most {most} tokens" if most > 0 else f"shorten the prompt to at most {limit} positions"
    return Diagnostic(
        "E0833",
        f"the model reads at most {limit} positions: a prompt of {prompt} and {tokens} more need {prompt + tokens - 1}",
        _at(by, f"this table has {limit} positions"),
        (advice,),
    )


def no_such_setting(name: str, names: Sequence[str], span: Span | None) -> Diagnostic:
    """E0834"""
    near = nearest(name, names)
    known = ", ".join(names) if names else "none"
    fix = (Suggestion(f"did you mean {near!r}?"),) if near else ()
    return Diagnostic("E0834", f"generation has no setting {name!r}", _at(span, "drawn here"), (f"settings: {known}",), fix)


def bad_setting(name: str, wanted: str, value: object, span: Span | None) -> Diagnostic:
    """E0834"""
    return Diagnostic("E0834", f"`{name}` is {wanted}, not {value}", _at(span, "drawn here"))


def no_text(output: str, span: Span | None) -> Diagnostic:
    """E0835"""
    notes = ("from Python, `model.generate([3, 1, 4], ...)` takes the integers themselves",)
    message = f"a text cannot become `{output}`: it is not made position by position from one column"
    return Diagnostic("E0835", message, _at(span, "this is what a prompt must become"), notes)


def grows(output: str, operation: str, spans: Sequence[Span], span: Span) -> Diagnostic:
    """W0630: what each position costs goes with the number of those before it, attention aside."""
    what = f"`{operation}` lets a position depend on later ones, or on how many there are"
    labels = [Label(spans[0] if spans else span, what, primary=True)]
    if spans:
        labels.append(Label(span, "continued here", primary=False))
    notes = (
        "generation computes the sequence anew for each position from here on; what comes before is kept",
        "in a causal model each position depends on itself and those before it",
    )
    message = f"each new position of `{output}` changes what was computed for those before it"
    return Diagnostic("W0630", message, tuple(labels), notes, level="note")


def unknown_cells(unit: str, cells: Sequence[str]) -> Diagnostic:
    """W0830"""
    shown = ", ".join(repr(cell) for cell in cells[:8]) + (f" and {len(cells) - 8} more" if len(cells) > 8 else "")
    return Diagnostic("W0830", f"the model does not know these {unit}: {shown}", notes=("they count as other",), level="warning")
