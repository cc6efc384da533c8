"""E03xx: errors of types, dims and operands, each a named constructor."""

from __future__ import annotations

from collections.abc import Sequence

from bmc.errors import Diagnostic, Label, Suggestion
from bmc.frontend.errors.name_errors import did_you_mean, primary
from bmc.source import Span

__all__ = [
    "axis_out_of_range",
    "beyond_table",
    "bad_dim_division",
    "bad_index",
    "bad_list_index",
    "bad_pattern",
    "bad_size",
    "broadcast_mismatch",
    "channels_first",
    "dim_mismatch",
    "dtype_mismatch",
    "element_count",
    "flatten_size",
    "integers_reach",
    "label_bound",
    "mask_dims",
    "may_be_missing",
    "missing_compare",
    "mixed_numbers",
    "negative_dim",
    "not_a_dim",
    "not_static",
    "open_shape",
    "not_a_tensor",
    "operand_type",
    "product_mismatch",
    "rank_mismatch",
    "rule_violated",
    "uneven_split",
    "unknown_type",
    "unsolved_dim",
    "unbounded_labels",
    "wrong_value",
]


def _origins(pairs: Sequence[tuple[Span | None, str]], taken: Sequence[Span]) -> list[Label]:
    labels: list[Label] = []
    seen = list(taken)
    for span, text in pairs:
        if span is not None and span not in seen:
            labels.append(Label(span, text))
            seen.append(span)
    return labels


def dim_mismatch(
    span: Span,
    argument: str,
    actual: object,
    axis: int,
    declared: Span,
    expected: str,
    wanted: object,
    got: object,
    origins: Sequence[tuple[Span | None, str]],
) -> Diagnostic:
    """E0301: dim `axis` of an argument is not what the declaration wants."""
    plain = expected.replace(" ", "")
    wanted_text = expected if plain == str(wanted).replace(" ", "") else f"{expected} = {wanted}"
    labels = [primary(span, f"this is {actual}"), Label(declared, f"`{argument}` wants {wanted_text} here")]
    labels += _origins(origins, [span, declared])
    return Diagnostic("E0301", f"dim {axis} of `{argument}` is {got}, but {wanted_text} is wanted", tuple(labels))


def rank_mismatch(span: Span, argument: str, actual: object, declared: Span, wanted: str) -> Diagnostic:
    """E0302. A last dim of 1 too many, as `dense(1)` leaves it, and one too few, as a column has, come with the fix."""
    found, shape = str(actual).partition("[")[2].removesuffix("]"), wanted.partition("[")[2].removesuffix("]")
    suggestions: tuple[Suggestion, ...] = ()
    if found == f"{shape}, 1":
        fix = Suggestion("take the last dim of 1 away: `|> squeeze(-1)`", span, f"{span.text} |> squeeze(-1)")
        suggestions = (fix,)
    elif found and shape.startswith(f"{found}, ") and shape.count(",") == found.count(",") + 1 and "." not in shape:
        fix = Suggestion("give it a last dim of 1: `|> unsqueeze(-1)`", span, f"{span.text} |> unsqueeze(-1)")
        suggestions = (fix,)
    return Diagnostic(
        "E0302",
        f"`{argument}` has the wrong number of dims",
        (primary(span, f"this is {actual}"), Label(declared, f"wants {wanted}")),
        suggestions=suggestions,
    )


def dtype_mismatch(span: Span, argument: str, actual: object, declared: Span, wanted: str, fix: str | None) -> Diagnostic:
    """E0303. `fix`: what to apply to the argument."""
    suggestions = () if fix is None else (Suggestion(f"convert it: `{span.text} |> {fix}`", span, f"({span.text} |> {fix})"),)
    return Diagnostic(
        "E0303",
        f"`{argument}` wants {wanted}, not {actual}",
        (primary(span, f"this is {actual}"), Label(declared, f"declared as {wanted}")),
        suggestions=suggestions,
    )


def broadcast_mismatch(
    span: Span,
    operator: str,
    left: object,
    right: object,
    left_span: Span,
    right_span: Span,
    origins: Sequence[tuple[Span | None, str]],
    rows: Span | None = None,
) -> Diagnostic:
    """E0304. `rows`: the side that has one number for each row, where the other side has none of them."""
    labels = [primary(span, "these shapes do not fit together"), Label(left_span, str(left)), Label(right_span, str(right))]
    labels += _origins(origins, [span, left_span, right_span])
    notes = () if rows is None else (f"dims are aligned at the right; `unsqueeze({rows.text}, 1)` puts one dim behind the rows",)
    return Diagnostic("E0304", f"{left} {operator} {right}: the shapes do not broadcast", tuple(labels), notes)


def product_mismatch(
    span: Span, left: object, right: object, left_span: Span, right_span: Span, origins: Sequence[tuple[Span | None, str]]
) -> Diagnostic:
    """E0305: the inner dims of a product."""
    labels = [primary(span, "the inner dims differ"), Label(left_span, str(left)), Label(right_span, str(right))]
    labels += _origins(origins, [span, left_span, right_span])
    return Diagnostic(
        "E0305", f"{left} @ {right}: the last dim of the left side must be the last but one of the right side", tuple(labels)
    )


def flatten_size(
    span: Span, before: Sequence[object], got: object, wanted: object, labels: Sequence[tuple[Span | None, str]]
) -> Diagnostic:
    """E0324: what a flattened tensor has for each row is not what something behind it wants. `before`: its shape, with the rows."""
    cells = f"{' * '.join(map(str, before[1:]))} = {got}"
    return Diagnostic(
        "E0324",
        f"flattening [{', '.join(map(str, before))}] gives {cells} values a row, but {wanted} are wanted",
        (primary(span, f"{got} a row"), *_origins(labels, [span])),
        (f"a size that follows from what stands in front need not be written: `dense(units)` takes the {got} as they come",),
    )


def channels_first(span: Span, actual: object, dims: Sequence[object], origin: Span | None, error: bool) -> Diagnostic:
    """E0325, or W0302 where it would compile all the same: an image [rows, `dims`..] whose channels do not come last."""
    front, columns, last = dims
    several = "" if front == 1 else "s"
    return Diagnostic(
        "E0325" if error else "W0302",
        f"channels come last, but {actual} looks like {front} channel{several} in front",
        (
            primary(span, f"read as {front} row{several}, {columns} columns and {last} channels"),
            *_origins([(origin, f"{front} comes from here")], [span]),
        ),
        ('`x |> rearrange("b c h w -> b h w c")` moves them, best in the data block',),
        level="error" if error else "warning",
    )


def mask_dims(span: Span, mask: object, scores: object, mask_span: Span, scores_span: Span, index: str) -> Diagnostic:
    """E0326: a mask whose dims lie elsewhere among those of what it masks. `index`: what puts them in place."""
    labels = (primary(span, "dims are aligned at the right"), Label(mask_span, str(mask)), Label(scores_span, str(scores)))
    fix = Suggestion(f"put its dims in place: `{mask_span.text}{index}`", mask_span, f"{mask_span.text}{index}")
    return Diagnostic("E0326", f"the dims of the mask {mask} do not lie under those of {scores}", labels, suggestions=(fix,))


def uneven_split(span: Span, what: str, dim: object, parts: object, origins: Sequence[tuple[Span | None, str]]) -> Diagnostic:
    """E0327: heads, or other equal parts, that do not divide a dim."""
    return Diagnostic(
        "E0327",
        f"{what}: a dim of {dim} is not divisible by {parts}",
        (primary(span), *_origins(origins, [span])),
        ("heads share the width evenly: it is a multiple of their number",),
    )


def beyond_table(
    span: Span, name: str, steps: object, actual: object, size: object, table: Span | None, origin: Span | None
) -> Diagnostic:
    """E0328: a slice up to a dim that is longer than what is sliced."""
    labels = [primary(span, f"{size} of the {steps} that are wanted")]
    labels += _origins([(origin, f"{name} = {steps} comes from here"), (table, f"{size} comes from here")], [span])
    return Diagnostic("E0328", f"{name} is {steps}, but the table {actual} ends at {size}", tuple(labels))


def axis_out_of_range(span: Span, axis: object, what: object) -> Diagnostic:
    """E0306."""
    return Diagnostic("E0306", f"axis {axis} is outside of {what}", (primary(span, f"{what}"),))


def unsolved_dim(span: Span, name: str, declared: Span) -> Diagnostic:
    """E0307: nothing fixes a dim."""
    return Diagnostic(
        "E0307",
        f"nothing says how large `{name}` is",
        (primary(span, f"`{name}` stays open"), Label(declared, "declared here")),
        ("a dim is fixed by a hyper-parameter, a `let`, or an argument whose shape names it",),
    )


def not_a_dim(span: Span, what: str, origin: Span) -> Diagnostic:
    """E0308: a name in a shape that is bound to something that is no whole number."""
    labels = [primary(span, "a dim is a whole number, not negative"), *_origins([(origin, "bound here")], [span])]
    notes = ("`/` of numbers is a fraction, `//` a whole number",) if "/" in origin.text.replace("//", "") else ()
    return Diagnostic("E0308", f"{what} cannot be a dim", tuple(labels), notes)


def bad_dim_division(span: Span, numerator: object, denominator: object) -> Diagnostic:
    """E0309."""
    return Diagnostic(
        "E0309",
        f"{numerator} is not divisible by {denominator}",
        (primary(span, "a dim must be whole"),),
        ("`//` rounds down",),
    )


def bad_index(span: Span, reason: str) -> Diagnostic:
    """E0310."""
    return Diagnostic("E0310", reason, (primary(span),))


def bad_list_index(span: Span, results: Sequence[str]) -> Diagnostic:
    """E0310. `results`: the names of a layer's results, where these are what is indexed."""
    if not results:
        return bad_index(span, "a list has one index")
    notes = (f"bind them to a name each: `{', '.join(results)} = ...`",)
    return Diagnostic("E0310", f"these are {len(results)} results: {', '.join(results)}", (primary(span),), notes)


def element_count(span: Span, actual: object, wanted: object) -> Diagnostic:
    """E0311: reshape, split, concat: sizes do not add up."""
    return Diagnostic("E0311", f"{actual} does not fit {wanted}", (primary(span),))


def not_static(span: Span, what: str, example: str | None = None) -> Diagnostic:
    """E0312: a value of the graph where the compiler needs to know the value."""
    notes = () if example is None else (example,)
    return Diagnostic("E0312", f"the compiler must know this value, but it is {what}", (primary(span, what),), notes)


def operand_type(span: Span, operator: str, what: str, note: str | None = None, fix: Suggestion | None = None) -> Diagnostic:
    """E0313: an operator or function that does not take such a value."""
    return Diagnostic(
        "E0313",
        f"`{operator}` does not take {what}",
        (primary(span, what),),
        () if note is None else (note,),
        () if fix is None else (fix,),
    )


def label_bound(
    span: Span, labels: object, bound: object, classes: object, where: Span | None, classes_from: Span | None
) -> Diagnostic:
    """E0314: integers that reach beyond the axis they pick from."""
    parts = [primary(span, f"`{labels}` may be as large as {bound} - 1")]
    parts += _origins([(where, f"{bound} values come from here"), (classes_from, f"{classes} comes from here")], [span])
    return Diagnostic("E0314", f"integers below {bound} pick from an axis of {classes}", tuple(parts))


def mixed_numbers(span: Span, operator: str, left: object, right: object, integer: Span) -> Diagnostic:
    """E0315: integers meet floats."""
    return Diagnostic(
        "E0315",
        f"{left} {operator} {right}: integers and floats do not mix by themselves",
        (primary(span), Label(integer, "integers")),
        suggestions=(Suggestion("make floats of the integers", integer, f"number({integer.text})"),),
    )


def open_shape(span: Span, name: str) -> Diagnostic:
    """E0316: a generator where no shape is known."""
    return Diagnostic(
        "E0316",
        f"nothing gives `{name}` a shape",
        (primary(span, "its shape is open"),),
        ("a generator takes the shape of what it is bound to: `eps: float[B, 8] = normal()`",),
    )


def bad_size(span: Span, reason: str) -> Diagnostic:
    """E0317: a size that is negative or too large."""
    return Diagnostic("E0317", reason, (primary(span),))


def negative_dim(span: Span, name: str, value: int, origin: Span) -> Diagnostic:
    """E0317 for a hyper-parameter or `let` in a shape."""
    labels = (primary(origin, f"{value} comes from here"), Label(span, "and is a dim here"))
    return Diagnostic("E0317", f"`{name}` is {value}, but a dim is not negative", labels)


def bad_pattern(span: Span, reason: str) -> Diagnostic:
    """E0318: einsum and rearrange."""
    return Diagnostic("E0318", reason, (primary(span, "in this pattern"),))


def may_be_missing(span: Span, what: object, needs: str, origin: Span | None) -> Diagnostic:
    """E0319: cells that may be missing where all must be there."""
    labels = [primary(span, f"{what}: cells may be missing")]
    labels += _origins([(origin, "which this does not take")], [span])
    return Diagnostic(
        "E0319",
        f"{needs} needs every cell, but some may be missing",
        tuple(labels),
        ('`fill(median)`, `fill(0)` or `fill("?")` puts something in their place; `is_missing(x)` tells where they are',),
    )


def different_lengths(span: Span, name: str, what: str) -> Diagnostic:
    """E0313: rows of different length, where all must have one."""
    return Diagnostic(
        "E0313",
        f"`{name}` does not take rows of different length",
        (primary(span, what),),
        ("`pad(max = n)` makes them one length; `length` says how long each is",),
    )


def missing_compare(span: Span, what: object, operand: Span) -> Diagnostic:
    """E0319 for comparisons."""
    return Diagnostic(
        "E0319",
        f"comparing {what}: what is missing is neither equal nor unequal",
        (primary(operand, "cells may be missing"),),
        ("ask `is_missing(x)`, or `fill` it first",),
    )


def unknown_type(span: Span, name: str, types: Sequence[str]) -> Diagnostic:
    """E0320."""
    return Diagnostic(
        "E0320", f"there is no type `{name}`", (primary(span),), (f"types are {', '.join(types)}",), did_you_mean(span, name, types)
    )


def rule_violated(span: Span, message: str) -> Diagnostic:
    """E0321: an operator's type rule, in its own words."""
    return Diagnostic("E0321", message, (primary(span),))


def wrong_value(span: Span, name: str, wanted: str, got: str) -> Diagnostic:
    """E0322: a setting or argument of the wrong kind."""
    return Diagnostic("E0322", f"`{name}` wants {wanted}, not {got}", (primary(span, got),))


def not_a_tensor(span: Span, got: str, call: str | None = None) -> Diagnostic:
    """E0322: something else where numbers are computed with. `call`: how the function that it is would be called."""
    notes = () if call is None else (f"a function gives a value when it is called: `{call}`",)
    return Diagnostic("E0322", f"a number or a tensor is wanted here, not {got}", (primary(span, got),), notes)


def integers_reach(span: Span, what: object) -> Diagnostic:
    """E0323: an index without a table."""
    return Diagnostic("E0323", f"{what} are not indices", (primary(span, "indices are whole numbers"),))


def unbounded_labels(span: Span) -> Diagnostic:
    """W0301: integers without a known bound pick from an axis."""
    return Diagnostic(
        "W0301",
        "nothing says how large these integers can be: one out of range would pick the last entry",
        (primary(span),),
        ("`category(n)` in the data block bounds them",),
        level="warning",
    )
