"""E064x and W064x: errors of starting from another model, each a named constructor."""

from __future__ import annotations

from collections.abc import Sequence

from bmc.errors import Diagnostic, Label, Suggestion, nearest
from bmc.frontend.errors.name_errors import did_you_mean, listed, primary
from bmc.source import Span

__all__ = [
    "bad_init",
    "dtype_of_tensor",
    "fitted_anew",
    "not_at_hand",
    "nothing_reused",
    "one_key_for_several",
    "shape_of_tensor",
    "stored_missing",
    "stored_unreadable",
    "tensor_missing",
    "unknown_load_argument",
    "unpatterned",
]

_FORM = 'write `init = load("base.bmz")`, or a list by key: `["enc.*" = load("base.bmz"), "head.*" = fresh]`'


def bad_init(span: Span, what: str) -> Diagnostic:
    """E0640."""
    return Diagnostic("E0640", f"{what} says no beginning", (primary(span, what),), (_FORM,))


def unpatterned(span: Span) -> Diagnostic:
    """E0640: an item without a key."""
    return bad_init(span, "an entry without a pattern")


def unknown_load_argument(span: Span, name: str, known: Sequence[str]) -> Diagnostic:
    """E0640 for keywords."""
    return Diagnostic(
        "E0640",
        f"`load` has no `{name}`",
        (primary(span),),
        (f"it has {listed(known)}",),
        did_you_mean(span, name, known),
    )


def stored_missing(span: Span, file: str, path: str) -> Diagnostic:
    """E0641: `path` is where it was looked for."""
    return Diagnostic(
        "E0641",
        f"there is no file {file!r} to start from",
        (primary(span, "not there"),),
        (f"looked for {path}; paths are relative to the source",),
    )


def not_at_hand(span: Span, file: str) -> Diagnostic:
    """W0641: the same where only the program is checked."""
    return Diagnostic(
        "W0641",
        f"{file!r} is not there: what is taken from it is not checked",
        (primary(span, "training needs it"),),
        level="warning",
    )


def stored_unreadable(span: Span, file: str, reason: str) -> Diagnostic:
    """E0642."""
    return Diagnostic("E0642", f"cannot start from {file!r}: {reason}", (primary(span, reason),))


def tensor_missing(span: Span, file: str, missing: Sequence[tuple[str, str]], names: Sequence[str]) -> Diagnostic:
    """E0643: `missing` are (key here, name there)."""
    key, source = missing[0]
    near = nearest(source, names)
    more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
    notes = [f"for `{k}` there is no `{s}`" for k, s in missing[1:4]]
    notes.append(f"{file} has {listed(sorted(names), 8)}" if names else f"{file} has no tensor")
    if len(missing) > 1:
        notes.append('`prefix = "..."` is how the keys begin in the file, `names = ["w" = "weight"]` renames parts of them')
    return Diagnostic(
        "E0643",
        f"{file} has no `{source}` for `{key}`{more}",
        (primary(span, f"`{source}` is not in it"),),
        tuple(notes),
        () if near is None else (Suggestion(f"did you mean `{near}`?"),),
    )


def shape_of_tensor(
    span: Span, file: str, wrong: Sequence[tuple[str, str, str, str]], declared: Span, transposed: bool
) -> Diagnostic:
    """E0644: `wrong` are (key, its type, name there, type there). `transposed`: with axes the other way round it would fit."""
    key, wanted, source, found = wrong[0]
    notes = [f"`{k}` is {w}, `{s}` is {f}" for k, w, s, f in wrong[1:4]]
    if transposed:
        notes.append("PyTorch keeps weights as [out, in]: `transpose = true` turns them")
    return Diagnostic(
        "E0644",
        f"`{key}` is {wanted}, but `{source}` of {file} is {found}",
        (primary(span, f"gives {found}"), Label(declared, f"`{key}` is {wanted}")),
        tuple(notes),
    )


def dtype_of_tensor(span: Span, file: str, key: str, wanted: str, source: str, found: str) -> Diagnostic:
    """E0645."""
    return Diagnostic(
        "E0645",
        f"`{source}` of {file} holds {found}, which is not for `{key}`, {wanted}",
        (primary(span, f"gives {found}"),),
        ("f16, bf16, f32 and f64 become floats; integers and conditions are taken as they are",),
    )


def one_key_for_several(span: Span, key: str, matched: Sequence[str]) -> Diagnostic:
    """E0646."""
    return Diagnostic(
        "E0646",
        f"`key` names one tensor, but the pattern matches {len(matched)} parameters",
        (primary(span, f'"{key}" for all of them'),),
        (f"it matches {listed(matched, 4)}", "name one, or leave `key` out: then each takes the tensor of its own name"),
    )


def fitted_anew(span: Span, name: str, file: str, reason: str) -> Diagnostic:
    """W0540: a statistic of the base that cannot be reused."""
    return Diagnostic(
        "W0540",
        f"`{name}` is fitted anew: {reason}",
        (primary(span, f"not as in {file}"),),
        ("what is fitted is reused where the output has the same name, expression and capacity",),
        level="warning",
    )


def nothing_reused(span: Span, file: str, names: Sequence[str]) -> Diagnostic:
    """W0541."""
    found = f"{file} has fitted values of {listed(names)}" if names else f"{file} has no fitted values"
    return Diagnostic(
        "W0541",
        f"nothing that is fitted here is reused from {file}",
        (primary(span),),
        (found,),
        level="warning",
    )
