"""`einsum` and `rearrange`: index notation, expanded into reshapes, transposes and products."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from bmc.frontend.bodies import arithmetic
from bmc.frontend.bodies.core import Core
from bmc.frontend.bodies.dims import Failure
from bmc.frontend.bodies.primitive import Arguments, Primitive
from bmc.frontend.bodies.values import Bound, Datum, Tensor, describe
from bmc.frontend.errors import layer_errors, type_errors
from bmc.ir import Dim, Poly, Value
from bmc.ir.dims import divide_exact, floor_divide, product
from bmc.record import record, replace
from bmc.source import Span

__all__ = ["PRIMITIVES"]

_AXIS = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|1")


@record(frozen=True)
class _Labelled:
    """A tensor whose axes have names."""

    tensor: Tensor
    names: tuple[str, ...]


def _bad(arguments: Arguments, reason: str) -> Failure:
    return Failure(type_errors.bad_pattern(arguments.where("pattern"), reason))


def _sides(arguments: Arguments) -> tuple[str, str]:
    pattern = arguments.text("pattern")
    left, arrow, right = pattern.partition("->")
    if not arrow or "->" in right:
        raise _bad(arguments, f'"{pattern}" has no single `->`')
    return left, right


# --- rearrange ---------------------------------------------------------------------------------------------------------
def _groups(arguments: Arguments, text: str) -> list[list[str]]:
    """`b t (n h)` as [[b], [t], [n, h]]."""
    groups: list[list[str]] = []
    inside: list[str] | None = None
    for word in text.replace("(", " ( ").replace(")", " ) ").split():
        if word == "(" and inside is None:
            inside = []
        elif word == ")" and inside is not None:
            groups.append(inside)
            inside = None
        elif _AXIS.fullmatch(word):
            if inside is None:
                groups.append([word])
            else:
                inside.append(word)
        else:
            raise _bad(arguments, f"`{word}` cannot stand in a pattern")
    if inside is not None:
        raise _bad(arguments, "a bracket is not closed")
    return groups


def _rearrange(arguments: Arguments) -> Datum:
    core = arguments.core
    tensor = arguments.tensor("x")
    left_text, right_text = _sides(arguments)
    left, right = _groups(arguments, left_text), _groups(arguments, right_text)
    sizes: dict[str, Dim] = {}
    for bound in arguments.rest:
        raise Failure(layer_errors.too_many_arguments(bound.span, "rearrange", ["x", "pattern"], 3))
    for name, bound in arguments.values.items():
        if name in ("x", "pattern"):
            continue
        if isinstance(bound.value, bool) or not isinstance(bound.value, (int, Poly)):
            raise arguments.wrong(name, "a whole number")
        sizes[name] = bound.value
    if len(left) != tensor.rank:
        raise _bad(arguments, f"the left side has {len(left)} dims, but {describe(tensor)} has {tensor.rank}")
    names = [n for g in left for n in g if n != "1"]
    if len(set(names)) != len(names) or sorted(names) != sorted(n for g in right for n in g if n != "1"):
        raise _bad(arguments, "both sides name the same dims, each once")
    for name in sizes:
        if name not in names:
            raise Failure(layer_errors.unknown_argument(arguments.where(name), "rearrange", name, names))
    split: list[Dim] = []
    order: list[str] = []
    for group, dim, origin in zip(left, tensor.shape, tensor.origins or (None,) * tensor.rank, strict=True):
        _solve_group(arguments, group, dim, sizes, origin)
        for name in group:
            if name != "1":
                split.append(sizes[name])
                order.append(name)
    origins = {g[0]: tensor.origin(i) for i, g in enumerate(left) if len(g) == 1}
    trace = core.trace
    wanted = [n for g in right for n in g if n != "1"]
    final = tuple(product(1 if n == "1" else sizes[n] for n in g) for g in right)

    def move(value: Value) -> Value:
        spread = trace.reshape(value, tuple(split))
        return trace.reshape(trace.transpose(spread, [order.index(n) for n in wanted]), final)

    valid = None if tensor.valid is None else move(tensor.valid)
    result_origins = tuple(origins.get(g[0]) if len(g) == 1 else arguments.where("pattern") for g in right)
    return replace(tensor, value=move(tensor.value), valid=valid, origins=result_origins, behind=None)


def _solve_group(arguments: Arguments, group: Sequence[str], dim: Dim, sizes: dict[str, Dim], origin: Span | None) -> None:
    unknown = [n for n in group if n != "1" and n not in sizes]
    known = product(sizes[n] for n in group if n in sizes)
    shown = f"({' '.join(group)})" if len(group) != 1 else group[0]
    if len(unknown) > 1:
        raise _bad(arguments, f"give the size of {' or '.join(f'`{n}`' for n in unknown)} in {shown}: `{unknown[0]} = ...`")
    if unknown:
        rest = divide_exact(dim, known)
        if rest is None:
            raise _uneven(arguments, group, dim, known, origin)
        sizes[unknown[0]] = rest
    elif known != dim:
        for name in reversed(group):
            others = product(sizes[n] for n in group if n not in ("1", name))
            if len(group) > 1 and sizes.get(name) == floor_divide(dim, others):  # what `//` made
                raise _uneven(arguments, [n for n in group if n != name], dim, others, origin)
        raise _bad(arguments, f"{shown} is {known}, but the dim is {dim}")


def _uneven(arguments: Arguments, group: Sequence[str], dim: Dim, parts: Dim, origin: Span | None) -> Failure:
    """A group that does not divide its dim: the size that was given for one of its names."""
    given = [n for n in group if n in arguments.values]
    origins = [(arguments.where(n), f"{n} = {arguments[n]} comes from here") for n in given]
    what = f"`{arguments.text('pattern')}`"
    return Failure(type_errors.uneven_split(arguments.span, what, dim, parts, [*origins, (origin, f"{dim} comes from here")]))


@record(frozen=True, eq=False)
class _Rearrange(Primitive):
    """`rearrange` takes the sizes of its dims as further keywords."""

    def call(self, core: Core, positional: Sequence[Bound], keyword: Mapping[str, Bound], span: Span) -> Datum:
        core.at(span)
        values = dict(zip(("x", "pattern"), positional, strict=False))
        for name, bound in keyword.items():
            if name in values:
                raise Failure(layer_errors.twice_given(bound.name_span, "rearrange", name))
            values[name] = bound
        for name in ("x", "pattern"):
            if name not in values:
                raise Failure(layer_errors.missing_argument(span, "rearrange", name, None))
        return self.expand(Arguments(core, "rearrange", values, positional[2:], span))


# --- einsum ------------------------------------------------------------------------------------------------------------
def _axis_names(arguments: Arguments, text: str) -> tuple[str, ...]:
    words = text.split()
    if len(words) == 1 and len(words[0]) > 1 and words[0].isalpha():
        words = list(words[0])  # "bij": one letter each, as numpy writes it
    if any(not _AXIS.fullmatch(w) for w in words):
        raise _bad(arguments, f'"{text.strip()}" names no dims')
    return tuple(words)


def _einsum(arguments: Arguments) -> Datum:
    core = arguments.core
    left, right = _sides(arguments)
    inputs = [_axis_names(arguments, part) for part in left.split(",")]
    output = _axis_names(arguments, right)
    if len(inputs) != len(arguments.rest):
        raise _bad(arguments, f"the pattern has {len(inputs)} operands, but {len(arguments.rest)} are given")
    if len(set(output)) != len(output) or any(len(set(n)) != len(n) for n in inputs):
        raise _bad(arguments, "a dim stands twice in one operand")
    if any(n not in {m for names in inputs for m in names} for n in output):
        raise _bad(arguments, "the right side names a dim that no operand has")
    spans = [b.span for b in arguments.rest]
    tensors = [arithmetic.scalar(core, b.value, b.span) for b in arguments.rest]
    dtype = arithmetic.common_dtype(core, tensors, spans, "einsum", arguments.span)
    tensors = [arithmetic.to_dtype(core, t, dtype) for t in tensors]
    sizes: dict[str, tuple[Dim, Span]] = {}
    for names, tensor, span in zip(inputs, tensors, spans, strict=True):
        if len(names) != tensor.rank:
            raise Failure(
                type_errors.rank_mismatch(span, "einsum", describe(tensor), arguments.where("pattern"), f"{len(names)} dims")
            )
        for name, dim in zip(names, tensor.shape, strict=True):
            known = sizes.setdefault(name, (dim, span))
            if known[0] != dim:
                raise _bad(arguments, f"`{name}` is {known[0]} in one operand and {dim} in another")
    parts = [_Labelled(t, n) for t, n in zip(tensors, inputs, strict=True)]
    current = parts[0]
    for i, part in enumerate(parts[1:], 1):
        later = {n for p in parts[i + 1 :] for n in p.names} | set(output)
        current = _pair(core, current, part, later)
    current = _sum_out(core, current, set(output))
    order = [current.names.index(n) for n in output]
    value = core.trace.transpose(current.tensor.value, order)
    return core.tensor(value, origins=[current.tensor.origin(i) for i in order])


def _sum_out(core: Core, part: _Labelled, kept: set[str]) -> _Labelled:
    axes = [i for i, n in enumerate(part.names) if n not in kept]
    if not axes:
        return part
    value = core.trace.reduce("reduce_sum", part.tensor.value, axes)
    origins = [part.tensor.origin(i) for i in range(part.tensor.rank) if i not in axes]
    return _Labelled(core.tensor(value, origins=origins), tuple(n for n in part.names if n in kept))


def _pair(core: Core, a: _Labelled, b: _Labelled, kept: set[str]) -> _Labelled:
    """Two operands into one: dims that both have and nobody needs later are summed."""
    a = _sum_out(core, a, kept | set(b.names))
    b = _sum_out(core, b, kept | set(a.names))
    shared = [n for n in a.names if n in b.names]
    summed = [n for n in shared if n not in kept]
    batch = [n for n in shared if n in kept]
    free_a = [n for n in a.names if n not in shared]
    free_b = [n for n in b.names if n not in shared]
    names = (*batch, *free_a, *free_b)
    origins = [(a if n in a.names else b).tensor.origin((a if n in a.names else b).names.index(n)) for n in names]
    if not summed:  # a product of cells, broadcast
        shape = tuple((a if n in a.names else b).tensor.shape[(a if n in a.names else b).names.index(n)] for n in names)
        sides = [
            core.trace.op("broadcast", p.tensor.value, shape=shape, axes=tuple(names.index(n) for n in p.names)) for p in (a, b)
        ]
        return _Labelled(core.tensor(core.trace.op("mul", *sides), origins=origins), names)
    value = core.trace.op(
        "contract",
        a.tensor.value,
        b.tensor.value,
        lhs_batch=tuple(a.names.index(n) for n in batch),
        lhs_contract=tuple(a.names.index(n) for n in summed),
        rhs_batch=tuple(b.names.index(n) for n in batch),
        rhs_contract=tuple(b.names.index(n) for n in summed),
    )
    return _Labelled(core.tensor(value, origins=origins), names)


PRIMITIVES = (
    Primitive("einsum", "pattern, *xs", 'a sum of products in index notation: `einsum("b i, i o -> b o", x, w)`', _einsum),
    _Rearrange(
        "rearrange", "x, pattern", 'split, reorder and merge dims: `x |> rearrange("b t (h e) -> b h t e", h = 8)`', _rearrange
    ),
)
