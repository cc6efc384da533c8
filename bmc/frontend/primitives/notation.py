"""`einsum` and `rearrange`: index notation, expanded into reshapes, transposes and products."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from bmc.frontend.bodies import coercion
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

_TOKEN = re.compile(r"\.\.\.|->|[(),]|[A-Za-z_][A-Za-z0-9_]*|1|[^\s(),A-Za-z_.]+|\S")
_AXIS = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|1")
_REST = "..."


@record(frozen=True)
class _Word:
    """A token of a pattern and where it stands in it."""

    text: str
    start: int
    end: int


@record(frozen=True)
class _Labelled:
    """A tensor whose axes have names."""

    tensor: Tensor
    names: tuple[str, ...]


def _where(arguments: Arguments, words: Sequence[_Word]) -> Span:
    """Where words of the pattern stand in the source; the whole of it where that is not known."""
    where = arguments.where("pattern")
    literal = where.file.text[where.start : where.end]
    if words and literal == f'"{arguments.text("pattern")}"':  # no escapes, and no name that stands for it
        return Span(where.file, where.start + 1 + words[0].start, where.start + 1 + words[-1].end)
    return where


def _bad(arguments: Arguments, reason: str, words: Sequence[_Word] = ()) -> Failure:
    """What is wrong with some words of the pattern, or with all of it."""
    return Failure(type_errors.bad_pattern(_where(arguments, words), reason))


def _sides(arguments: Arguments) -> tuple[list[_Word], list[_Word]]:
    """The words on both sides of the arrow."""
    pattern = arguments.text("pattern")
    words = [_Word(m.group(), m.start(), m.end()) for m in _TOKEN.finditer(pattern)]
    arrows = [i for i, w in enumerate(words) if w.text == "->"]
    if len(arrows) != 1:
        raise _bad(arguments, f'"{pattern}" has no single `->`', [words[arrows[1]]] if arrows else ())
    return words[: arrows[0]], words[arrows[0] + 1 :]


def _repeated(words: Sequence[_Word]) -> _Word | None:
    """The first word that stood before."""
    seen: set[str] = set()
    for word in words:
        if word.text in seen:
            return word
        seen.add(word.text)
    return None


# --- rearrange ---------------------------------------------------------------------------------------------------------
def _groups(arguments: Arguments, words: Sequence[_Word]) -> list[list[_Word]]:
    """`b t (n h)` as [[b], [t], [n, h]]."""
    groups: list[list[_Word]] = []
    inside: list[_Word] | None = None
    opened = None
    for word in words:
        if word.text == "(" and inside is None:
            inside, opened = [], word
        elif word.text == ")" and inside is not None:
            groups.append(inside)
            inside = None
        elif _AXIS.fullmatch(word.text) or word.text == _REST:
            if inside is None:
                groups.append([word])
            else:
                inside.append(word)
        else:
            raise _bad(arguments, f"`{word.text}` cannot stand in a pattern", [word])
    if inside is not None and opened is not None:
        raise _bad(arguments, "a bracket is not closed", [opened])
    return groups


def _spread(arguments: Arguments, groups: list[list[_Word]], rank: int, what: str) -> int:
    """How many dims `...` on the left stands for."""
    rests = [w for g in groups for w in g if w.text == _REST]
    if len(rests) > 1:
        raise _bad(arguments, "`...` stands once on a side", [rests[1]])
    if rests and [rests[0]] not in groups:
        raise _bad(arguments, "`...` stands by itself on the left", rests)
    count = rank - len(groups) + len(rests)
    if count < 0 or (count and not rests):
        least = "at least " if rests else ""
        words = [w for g in groups for w in g]
        raise _bad(arguments, f"the left side has {least}{len(groups) - len(rests)} dims, but {what} has {rank}", words)
    return count


def _named(groups: list[list[_Word]], count: int) -> list[list[_Word]]:
    """`...` as dims of their own, which no pattern can name."""
    made: list[list[_Word]] = []
    for group in groups:
        rest = next((w for w in group if w.text == _REST), None)
        if rest is None:
            made.append(group)
            continue
        dims = [_Word(f"{_REST}{i}", rest.start, rest.end) for i in range(count)]
        at = group.index(rest)
        made.extend([[d] for d in dims] if len(group) == 1 else [[*group[:at], *dims, *group[at + 1 :]]])
    return made


def _rearrange(arguments: Arguments) -> Datum:
    core = arguments.core
    tensor = arguments.tensor("x")
    left_words, right_words = _sides(arguments)
    left, right = _groups(arguments, left_words), _groups(arguments, right_words)
    count = _spread(arguments, left, tensor.rank, describe(tensor))
    left, right = _named(left, count), _named(right, count)
    sizes: dict[str, Dim] = {}
    for bound in arguments.rest:
        raise Failure(layer_errors.too_many_arguments(bound.span, "rearrange", ["x", "pattern"], 3))
    for name, bound in arguments.values.items():
        if name in ("x", "pattern"):
            continue
        if isinstance(bound.value, bool) or not isinstance(bound.value, (int, Poly)):
            raise arguments.wrong(name, "a whole number")
        sizes[name] = bound.value
    names = _same_names(arguments, left, right)
    for name in sizes:
        if name not in names:
            raise Failure(layer_errors.unknown_argument(arguments.values[name].name_span, "rearrange", name, names))
    split: list[Dim] = []
    order: list[str] = []
    for group, dim, origin in zip(left, tensor.shape, tensor.origins or (None,) * tensor.rank, strict=True):
        _solve_group(arguments, group, dim, sizes, origin)
        for word in group:
            if word.text != "1":
                split.append(sizes[word.text])
                order.append(word.text)
    origins = {g[0].text: tensor.origin(i) for i, g in enumerate(left) if len(g) == 1}
    trace = core.trace
    wanted = [w.text for g in right for w in g if w.text != "1"]
    final = tuple(product(1 if w.text == "1" else sizes[w.text] for w in g) for g in right)

    def move(value: Value) -> Value:
        spread = trace.reshape(value, tuple(split))
        return trace.reshape(trace.transpose(spread, [order.index(n) for n in wanted]), final)

    valid = None if tensor.valid is None else move(tensor.valid)
    result_origins = tuple(origins.get(g[0].text) if len(g) == 1 else arguments.where("pattern") for g in right)
    return replace(tensor, value=move(tensor.value), valid=valid, origins=result_origins, behind=None)


def _same_names(arguments: Arguments, left: list[list[_Word]], right: list[list[_Word]]) -> list[str]:
    """The names of the left, which both sides have, each once."""
    sides = [[w for g in side for w in g if w.text != "1"] for side in (left, right)]
    for words in sides:
        twice = _repeated(words)
        if twice is not None:
            raise _bad(arguments, f"both sides name the same dims, each once: `{twice.text}` stands twice", [twice])
    for words, others, side in ((sides[0], sides[1], "right"), (sides[1], sides[0], "left")):
        for word in words:
            if word.text not in {w.text for w in others}:
                shown = _REST if word.text.startswith(_REST) else word.text
                raise _bad(arguments, f"both sides name the same dims, each once: `{shown}` is not on the {side}", [word])
    return [w.text for w in sides[0]]


def _solve_group(arguments: Arguments, words: Sequence[_Word], dim: Dim, sizes: dict[str, Dim], origin: Span | None) -> None:
    group = [w.text for w in words]
    unknown = [n for n in group if n != "1" and n not in sizes]
    known = product(sizes[n] for n in group if n in sizes)
    shown = f"({' '.join(group)})" if len(group) != 1 else group[0]
    if len(unknown) > 1:
        raise _bad(arguments, f"give the size of {' or '.join(f'`{n}`' for n in unknown)} in {shown}: `{unknown[0]} = ...`", words)
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
        raise _bad(arguments, f"{shown} is {known}, but the dim is {dim}", words)


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
def _axis_names(arguments: Arguments, words: Sequence[_Word]) -> list[_Word]:
    if len(words) == 1 and len(words[0].text) > 1 and words[0].text.isalpha():
        only = words[0]  # "bij": one letter each, as numpy writes it
        words = [_Word(letter, only.start + i, only.start + i + 1) for i, letter in enumerate(only.text)]
    for word in words:
        if not _AXIS.fullmatch(word.text) and word.text != _REST:
            raise _bad(arguments, f"`{word.text}` cannot stand in a pattern", [word])
    twice = _repeated([w for w in words if w.text != "1"])
    if twice is not None:
        raise _bad(arguments, f"a dim stands twice in one operand: `{twice.text}`", [twice])
    return list(words)


def _operand_words(words: Sequence[_Word]) -> list[list[_Word]]:
    """The left side, cut at its commas."""
    parts: list[list[_Word]] = [[]]
    for word in words:
        if word.text == ",":
            parts.append([])
        else:
            parts[-1].append(word)
    return parts


def _numbered(words: Sequence[_Word], count: int) -> list[_Word]:
    """`...` as `count` dims, numbered from the last, so that those of all operands meet at the right."""
    made: list[_Word] = []
    for word in words:
        if word.text == _REST:
            made.extend(_Word(f"{_REST}{i}", word.start, word.end) for i in reversed(range(count)))
        else:
            made.append(word)
    return made


def _einsum(arguments: Arguments) -> Datum:
    core = arguments.core
    left, right = _sides(arguments)
    inputs = [_axis_names(arguments, part) for part in _operand_words(left)]
    last = _axis_names(arguments, right)
    if len(inputs) != len(arguments.rest):
        raise _bad(arguments, f"the pattern has {len(inputs)} operands, but {len(arguments.rest)} are given", left)
    spans = [b.span for b in arguments.rest]
    tensors = [coercion.scalar(core, b.value, b.span) for b in arguments.rest]
    dtype = coercion.common_dtype(core, tensors, spans, "einsum", arguments.span)
    tensors = [coercion.to_dtype(core, t, dtype) for t in tensors]
    sizes: dict[str, Dim] = {}
    parts: list[_Labelled] = []
    most = 0
    for words, tensor, span in zip(inputs, tensors, spans, strict=True):
        rest = any(w.text == _REST for w in words)
        count = tensor.rank - len(words) + 1 if rest else 0
        if count < 0 or (not rest and len(words) != tensor.rank):
            wanted = f"{'at least ' if rest else ''}{len(words) - rest} dims"
            raise Failure(type_errors.rank_mismatch(span, "einsum", describe(tensor), _where(arguments, words), wanted))
        most = max(most, count)
        named = _numbered(words, count)
        for word, dim in zip(named, tensor.shape, strict=True):
            known = sizes.setdefault(word.text, dim)
            if known != dim:
                shown = _REST if word.text.startswith(_REST) else word.text
                raise _bad(arguments, f"`{shown}` is {known} in one operand and {dim} in another", [word])
        parts.append(_Labelled(tensor, tuple(w.text for w in named)))
    output = tuple(w.text for w in _output(arguments, _numbered(last, most), sizes))
    current = parts[0]
    for i, part in enumerate(parts[1:], 1):
        later = {n for p in parts[i + 1 :] for n in p.names} | set(output)
        current = _pair(core, current, part, later)
    current = _sum_out(core, current, set(output))
    order = [current.names.index(n) for n in output]
    value = core.trace.transpose(current.tensor.value, order)
    return core.tensor(value, origins=[current.tensor.origin(i) for i in order])


def _output(arguments: Arguments, words: list[_Word], sizes: Mapping[str, Dim]) -> list[_Word]:
    for word in words:
        if word.text not in sizes:
            raise _bad(arguments, f"the right side names a dim that no operand has: `{word.text}`", [word])
    return words


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
