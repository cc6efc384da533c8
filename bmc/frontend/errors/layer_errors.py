"""E04xx: errors of calls, layers, parameters and hyper-parameters, each a named constructor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from bmc.errors import Diagnostic, Label, Suggestion
from bmc.frontend.errors.name_errors import did_you_mean, listed, primary
from bmc.source import Span

__all__ = [
    "bare_kind",
    "carried_type",
    "duplicate_key",
    "has_name",
    "hyper_type",
    "in_one_mode",
    "missing_argument",
    "no_return",
    "not_applied",
    "param_in_fn",
    "pipe_into",
    "repeat_over",
    "result_count",
    "shared_shape",
    "too_many_arguments",
    "twice_given",
    "unknown_argument",
    "yielded_twice",
    "wrong_inputs",
    "outside_scan",
    "return_in_scan",
    "target_count",
    "key_taken_by_parameter",
    "not_initial",
]


def unknown_argument(span: Span, callee: str, name: str, known: Sequence[str]) -> Diagnostic:
    """E0401."""
    notes = (f"`{callee}` takes {listed(known)}",) if known else (f"`{callee}` takes no arguments",)
    return Diagnostic(
        "E0401",
        f"`{callee}` has no argument `{name}`",
        (primary(span, "no such argument"),),
        notes,
        did_you_mean(span, name, known),
    )


def missing_argument(span: Span, callee: str, name: str, declared: Span | None) -> Diagnostic:
    """E0402."""
    labels = [primary(span, f"`{name}` is missing")]
    if declared is not None:
        labels.append(Label(declared, "declared here, without a default"))
    notes = (_MEANT[callee],) if callee in _MEANT else ()
    return Diagnostic("E0402", f"`{callee}` needs `{name}`", tuple(labels), notes)


_MEANT: Mapping[str, str] = MappingProxyType(
    {
        "quantile": "`quantile(x, 0.9)` is one number, as in `fit(quantile(x, 0.9))`; a column by the quantiles of the training "
        "rows is `x |> to_uniform` or `x |> to_normal`, cut at them `x |> winsorize(low = 0.01, high = 0.99)`",
        "hash": "n is how many places there are: `hash(1000)`",
        "vocab": "max is how many places there are, the last for all others: `vocab(max = 1000)`",
        "pad": "max is how many steps are kept: `pad(max = 32)`",
    }
)
"""What is easily meant by a function that lacks an argument."""


def too_many_arguments(span: Span, callee: str, takes: Sequence[str], given: int, piped: bool = False) -> Diagnostic:
    """E0403. `piped`: they are the several results of what stands in front."""
    takes_text = f"it takes {len(takes)}: {listed(takes)}" if takes else "it takes none"
    notes = ("what stands in front gives several results: name them, `a, b = ...`, and go on with one",) if piped else ()
    return Diagnostic("E0403", f"`{callee}` is given {given} arguments", (primary(span, takes_text),), notes)


def twice_given(span: Span, callee: str, name: str) -> Diagnostic:
    """E0403: by position and by name."""
    return Diagnostic("E0403", f"`{callee}` is given `{name}` twice", (primary(span, "given again here"),))


def hyper_type(span: Span, name: str, wanted: str, got: str, declared: Span) -> Diagnostic:
    """E0404."""
    return Diagnostic(
        "E0404", f"`{name}` is {wanted}, not {got}", (primary(span, got), Label(declared, "its default fixes the type"))
    )


def duplicate_key(span: Span, name: str, before: Span) -> Diagnostic:
    """E0405."""
    return Diagnostic(
        "E0405",
        f"two things of this scope are called `{name}`",
        (primary(span, "again here"), Label(before, "first here")),
        ("a parameter's key is the path of names, so names within a scope differ; bind the layer to a name to share it",),
    )


def key_taken_by_parameter(span: Span, name: str, before: Span) -> Diagnostic:
    """E0405 between a parameter and a layer, or two parameters."""
    return Diagnostic("E0405", f"`{name}` is taken in this scope", (primary(span, "again here"), Label(before, "first here")))


def bare_kind(span: Span, name: str) -> Diagnostic:
    """E0406."""
    return Diagnostic(
        "E0406",
        f"`{name}` alone is a kind of layer, not a layer",
        (primary(span, "which layer?"),),
        ("a kind makes fresh parameters at each use, so a name cannot stand for one layer of it",),
        (Suggestion("construct it", span, f"{span.text}()", certain=True),),
    )


def pipe_into(span: Span, what: str) -> Diagnostic:
    """E0407."""
    return Diagnostic(
        "E0407",
        f"cannot pipe into {what}",
        (primary(span, what),),
        ("right of `|>` stands a function or a layer: `x |> f(a)`; to add or multiply, write `x + y`",),
    )


def has_name(span: Span, name: str, key: str) -> Diagnostic:
    """E0405: `as` on a layer that has a key."""
    return Diagnostic(
        "E0405",
        f"this layer is called `{key}` already, so it cannot be called `{name}`",
        (primary(span),),
        (
            "a layer made once, as by `norm = groupnorm(4)`, has one name and one set of weights; a kind alone (`batchnorm`, or a "
            "layer of your own that applies `groupnorm(4)`) is fresh at each use",
        ),
    )


def shared_shape(span: Span, key: str, wanted: object, before: object, first: Span, call: Span | None) -> Diagnostic:
    """E0408: one parameter, two shapes."""
    labels = [primary(call or span, f"`{key}` would be {wanted} here"), Label(first, f"{before} when it was first applied")]
    return Diagnostic("E0408", f"the shared parameter `{key}` has two shapes: {before} and {wanted}", tuple(labels))


def param_in_fn(span: Span, what: str, name: str) -> Diagnostic:
    """E0409."""
    return Diagnostic(
        "E0409",
        f"a fn has no parameters of its own, but `{name}` makes {what}",
        (primary(span, what),),
        ("declare it as a `layer`",),
    )


def carried_type(span: Span, name: str, before: object, after: object, first: Span) -> Diagnostic:
    """E0410."""
    return Diagnostic(
        "E0410",
        f"`{name}` is carried, so it keeps its type: {before}, not {after}",
        (primary(span, str(after)), Label(first, str(before))),
    )


def result_count(span: Span, callee: str, wanted: int, got: int, declared: Span) -> Diagnostic:
    """E0411."""
    return Diagnostic(
        "E0411",
        f"`{callee}` returns {got} values, but declares {wanted}",
        (primary(span, f"{got} here"), Label(declared, f"{wanted} here")),
    )


def target_count(span: Span, targets: int, got: str) -> Diagnostic:
    """E0411 for `a, b = e`."""
    return Diagnostic("E0411", f"{targets} names take {got}", (primary(span, got),))


def no_return(span: Span, name: str) -> Diagnostic:
    """E0412."""
    return Diagnostic("E0412", f"`{name}` returns nothing", (primary(span, "no `return` was reached"),))


def not_applied(span: Span, name: str, layer: str) -> Diagnostic:
    """E0413: `value.w` before the layer has parameters."""
    return Diagnostic(
        "E0413",
        f"`{name}` is not known before the layer is applied",
        (primary(span, f"{layer} has not been applied yet"),),
        ("a parameter's dims may depend on what its layer is applied to",),
    )


def repeat_over(span: Span, what: str) -> Diagnostic:
    """E0414."""
    return Diagnostic("E0414", f"`repeat` cannot go over {what}", (primary(span, what),), ("it takes a whole number or a list",))


def wrong_inputs(span: Span, callee: str) -> Diagnostic:
    """E0415: a layer of one list called with its inputs at once."""
    return Diagnostic(
        "E0415",
        f"`{callee}` is constructed first, then applied",
        (primary(span),),
        (f"write `{callee}()(...)`, or `... |> {callee}`",),
    )


def outside_scan(span: Span) -> Diagnostic:
    """E0416."""
    return Diagnostic("E0416", "`yield` stands outside of a `scan`", (primary(span),))


def return_in_scan(span: Span) -> Diagnostic:
    """E0420. `span`: what is returned."""
    return Diagnostic(
        "E0420",
        "`return` stands inside of a `scan`",
        (primary(span, "every turn would return"),),
        ("the number of turns is that of positions: none of them can end the scan",),
        (Suggestion("carry the value, and return it behind the scan; `select(c, a, b)` keeps it from a turn on"),),
    )


def yielded_twice(span: Span, name: str, before: Span) -> Diagnostic:
    """E0421."""
    labels = [primary(span, "and again")] if span == before else [primary(span, "and again"), Label(before, "yielded here")]
    return Diagnostic("E0421", f"a turn yields `{name}` twice", tuple(labels))


def in_one_mode(span: Span, key: str, condition: Span, learned: bool) -> Diagnostic:
    """E0418: a parameter that only training uses, or only prediction."""
    missing = "prediction would do without it" if learned else "it would never learn"
    return Diagnostic(
        "E0418",
        f"`{key}` is made in one branch of `if {condition.text}` only: {missing}",
        (primary(span, "made here"), Label(condition, "which is decided here")),
        ("make and apply the layer in front of the `if`: a value that prediction does not use costs it nothing",),
    )


def not_initial(span: Span, name: str, what: str) -> Diagnostic:
    """E0417: what a parameter cannot start from."""
    return Diagnostic(
        "E0417",
        f"`{name}` cannot start as {what}",
        (primary(span, what),),
        ("a parameter starts from a number, a list of numbers, or a generator such as `zeros` or `normal(std = 0.02)`",),
    )
