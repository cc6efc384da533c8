"""E02xx: errors of names and declarations, each a named constructor."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from bmc.errors import Diagnostic, Label, Suggestion, nearest, nothing_else_near
from bmc.frontend.errors.foreign import FOREIGN
from bmc.source import Span

__all__ = [
    "ambiguous_output",
    "assertion_failed",
    "circular",
    "circular_use",
    "declared_twice",
    "needs_choice",
    "no_member",
    "nested_calls",
    "too_many_bodies",
    "not_callable",
    "nothing_to_override",
    "override_syntax",
    "shadows_library",
    "unknown_declaration",
    "unknown_name",
    "unknown_selection",
    "unread",
    "use_of_file",
]


def primary(span: Span, text: str = "") -> Label:
    return Label(span, text, primary=True)


def did_you_mean(span: Span, name: str, candidates: Iterable[str]) -> tuple[Suggestion, ...]:
    """A suggestion of the nearest candidate, if one is near."""
    known = list(candidates)
    ours = FOREIGN.get(name)
    if ours is not None and ours in known:
        return (Suggestion(f"here it is called `{ours}`", span, ours, certain=True),)
    near = nearest(name, known)
    if near is None:
        return ()
    text = span.file.text
    # What the file says nowhere else may be the one that is misspelt; a slip of the fingers is seldom made twice.
    alone = _said(near, text) == 1 or _said(name, text) > 1
    return (Suggestion(f"did you mean `{near}`?", span, near, certain=not alone and nothing_else_near(name, near, known)),)


def _said(name: str, text: str) -> int:
    return len(re.findall(rf"(?<!\w){re.escape(name)}(?!\w)", text))


def listed(names: Sequence[str], limit: int = 12) -> str:
    shown = ", ".join(f"`{n}`" for n in names[:limit])
    return shown + (", ..." if len(names) > limit else "")


def unknown_name(
    span: Span, name: str, candidates: Iterable[str], known: Mapping[str, Span] = MappingProxyType({}), idle: Sequence[str] = (),
    below: Span | None = None,
) -> Diagnostic:
    """E0201. `known`: where names that could have been meant are bound, which may be the ones that are misspelt; `idle`: those of
    the body that nothing reads; `below`: where the name is bound, too late."""
    names = list(candidates)
    near = FOREIGN[name] if FOREIGN.get(name) in names else nearest(name, names)
    labels = [primary(span, "not known" if below is None else "not known yet")]
    if below is not None:
        labels.append(Label(below, "bound here, further down"))
    for other, text in ((near, "is bound here"), *((n, "is bound here, and nothing reads it") for n in idle[:2] if n != near)):
        where = None if other is None else known.get(other)
        if where is not None and where.file is span.file and where not in {label.span for label in labels}:
            labels.append(Label(where, f"`{other}` {text}"))
    if below is not None:
        return Diagnostic("E0201", f"nothing is called `{name}` yet", tuple(labels), ("a block is read from top to bottom",))
    return Diagnostic("E0201", f"nothing is called `{name}` here", tuple(labels), suggestions=did_you_mean(span, name, names))


def unseen_column(span: Span, name: str, column: Span) -> Diagnostic:
    """E0201: a column of the data where outputs of the data are seen."""
    return Diagnostic(
        "E0201",
        f"nothing is called `{name}` here",
        (primary(span, "not known"), Label(column, "a column, which only the data block sees")),
        (f"a train block sees what the data block makes: write `{name} = {name}` there",),
    )


def unknown_declaration(span: Span, name: str, kind: str, candidates: Mapping[str, Span]) -> Diagnostic:
    """E0202: a model or data block that a train block names. `candidates`: those that are there, and where."""
    names = list(candidates)
    notes = (f"there {'is' if len(names) == 1 else 'are'}: {listed(names)}",) if names else ()
    near = nearest(name, names) or (names[0] if len(names) == 1 else None)
    labels = [primary(span, f"no such {kind}")]
    if near is not None and candidates[near].file is span.file:
        labels.append(Label(candidates[near], f"the {kind} `{near}`"))
    return Diagnostic(
        "E0202", f"there is no {kind} called `{name}`", tuple(labels), notes, did_you_mean(span, name, names)
    )


def declared_twice(span: Span, name: str, before: Span) -> Diagnostic:
    """E0203."""
    return Diagnostic(
        "E0203", f"`{name}` is declared twice", (primary(span, "declared again here"), Label(before, "first declared here"))
    )


def circular(span: Span, name: str) -> Diagnostic:
    """E0204: a `let` that needs itself, or a declaration that applies itself."""
    return Diagnostic(
        "E0204", f"`{name}` needs itself", (primary(span, "needed again here"),), ("recursion is not part of the language",)
    )


def circular_use(span: Span, path: str) -> Diagnostic:
    """E0204 for files."""
    return Diagnostic("E0204", f'"{path}" uses this file, directly or through others', (primary(span),))


def use_of_file(span: Span, path: str, reason: str) -> Diagnostic:
    """E0205: a file that cannot be used."""
    return Diagnostic("E0205", f'cannot use "{path}": {reason}', (primary(span, reason),))


def assertion_failed(
    span: Span, message: str | None, facts: Sequence[str], call: Span | None, origins: Sequence[tuple[Span, str]] = ()
) -> Diagnostic:
    """E0206, or the code that an assertion of the library names. `facts`: values of the names in the condition."""
    labels = [primary(span, "this is false")]
    if call is not None and call != span:
        labels.append(Label(call, "in this call"))
    labels += [Label(origin, text) for origin, text in origins if origin not in (span, call)]
    return Diagnostic("E0206", message or "an assertion does not hold", tuple(labels), tuple(facts))


def needs_choice(names: Sequence[str], kind: str, span: Span | None) -> Diagnostic:
    """E0207: several train blocks and none picked."""
    labels = () if span is None else (primary(span, "the first of them"),)
    return Diagnostic("E0207", f"the file has several {kind}s: {listed(names)}", labels, ("pick one by FILE:NAME or --model NAME",))


def unknown_selection(name: str, names: Sequence[str]) -> Diagnostic:
    """E0207: a picked block that is not there."""
    near = nearest(name, names)
    notes = (
        [f"there {'is' if len(names) == 1 else 'are'}: {listed(names)}"] if names else ["the file has no train block and no model"]
    )
    if near is not None:
        notes.append(f"did you mean `{near}`?")
    return Diagnostic("E0207", f"there is no train block or model called `{name}`", (), tuple(notes))


def nothing_to_override(key: str, names: Sequence[str]) -> Diagnostic:
    """E0208."""
    near = nearest(key, names)
    notes = [f"--set reaches: {listed(names, 30)}"] if names else []
    if near is not None:
        notes.append(f"did you mean `{near}`?")
    return Diagnostic("E0208", f"--set {key}=...: nothing that can be set is called `{key}`", (), tuple(notes))


def override_syntax(key: str, text: str) -> Diagnostic:
    """E0208: the value is not an expression."""
    return Diagnostic("E0208", f"--set {key}={text}: the value is not an expression of the language", ())


def nested_calls(span: Span, limit: int) -> Diagnostic:
    """E0209."""
    return Diagnostic("E0209", f"calls are nested more than {limit} deep", (primary(span, "one call too many"),))


def too_many_bodies(span: Span, limit: int) -> Diagnostic:
    """E0209 for breadth."""
    return Diagnostic(
        "E0209",
        f"this program writes out more than {limit:,} bodies of functions, layers and repeats",
        (primary(span, "one too many"),),
    )


def not_callable(span: Span, what: str) -> Diagnostic:
    """E0210."""
    return Diagnostic("E0210", f"{what} cannot be called", (primary(span, what),))


def no_member(span: Span, name: str, what: str, members: Sequence[str], function: str | None = None) -> Diagnostic:
    """E0211: `value.name`. `function`: how the function of that name is written, where there is one."""
    notes = (f"it has {listed(members)}",) if members else ()
    if function is not None:
        notes = (*notes, f"functions are not members of what they take: `{function}`")
    return Diagnostic(
        "E0211", f"{what} has no `{name}`", (primary(span, "no such member"),), notes, did_you_mean(span, name, members)
    )


def ambiguous_output(span: Span, name: str, model: str, data: str) -> Diagnostic:
    """E0212: a name that is an output of the model and of the data."""
    return Diagnostic(
        "E0212",
        f"`{name}` is an output of {model} and of {data}",
        (primary(span, "which one?"),),
        suggestions=(
            Suggestion(f"write `{model}.{name}` for the model's", span, f"{model}.{name}"),
            Suggestion(f"write `{data}.{name}` for the data's", span, f"{data}.{name}"),
        ),
    )


def unread(span: Span, name: str, what: str) -> Diagnostic:
    """W0202."""
    return Diagnostic(
        "W0202",
        f"nothing reads `{name}`",
        (primary(span, f"{what} has no use"),),
        (f"`_{name}` says that this is meant",),
        level="warning",
    )


def shadows_library(span: Span, name: str) -> Diagnostic:
    """W0201."""
    return Diagnostic("W0201", f"`{name}` shadows the library's", (primary(span, "declared here"),), level="note")
