"""Mistakes of meaning: types, sizes, missing values, arguments, settings and sources that do not fit."""

from __future__ import annotations

import random
from itertools import pairwise

from bmc.frontend.syntax import tree as syntax
from bmc.source import Span
from tests.mutation.mutant import Mistake, Mutant, edit, pick, replace
from tests.mutation.programs import Program


def _all(program: Program, kind: type, inside: type | None = None) -> list:  # type: ignore[type-arg]
    return [n for n, p in program.nodes if isinstance(n, kind) and (inside is None or any(isinstance(q, inside) for q in p))]


def _called(call: syntax.Call) -> str:
    return call.callee.text if isinstance(call.callee, syntax.Name) else ""


def column_type(program: Program, rng: random.Random) -> Mutant | None:
    """A number is declared as text, or the reverse."""
    other = {"f32": "str", "i32": "str", "str": "f32", "u8": "str", "date": "str", "i64": "str", "bool": "str", "f64": "str"}
    read = {u.name.text for u in program.used}
    places = [c.type.name for c in _all(program, syntax.Column) if c.type.name.text in other and c.name.text in read]
    name = pick(places, rng)
    return None if name is None else replace(program, name.span, other[name.text], certain=False, meets=True)


def no_fill(program: Program, rng: random.Random) -> Mutant | None:
    """A stage `fill(...)` is missing: gaps reach what wants none."""
    return _stage_missing(program, rng, ("fill",), certain=True)


def no_encoding(program: Program, rng: random.Random) -> Mutant | None:
    """Text goes on as it is where it was encoded."""
    return _stage_missing(program, rng, ("onehot", "category", "vocab", "hash", "pad"), certain=False)


def _stage_missing(program: Program, rng: random.Random, names: tuple[str, ...], certain: bool) -> Mutant | None:
    places: list[tuple[int, int]] = []
    for pipe in _all(program, syntax.Pipe, syntax.Data):
        ends = [pipe.value.span.end, *(s.span.end for s in pipe.stages)]
        places += [
            (end, stage.span.end)
            for end, stage in zip(ends, pipe.stages, strict=False)
            if isinstance(stage.callee, syntax.Call) and _called(stage.callee) in names
        ]
    place = pick(places, rng)
    return None if place is None else edit(program, *place, "", certain, meets=True)


def may_be_missing(program: Program, rng: random.Random) -> Mutant | None:
    """A column gets a `?`, and nothing fills its gaps."""
    column = pick([c for c in _all(program, syntax.Column) if not c.type.nullable], rng)
    return None if column is None else edit(program, column.type.span.end, column.type.span.end, "?", certain=False, meets=True)


def size(program: Program, rng: random.Random) -> Mutant | None:
    """A size in a call, a type or a constant is another one."""
    places = [n for n, p in program.nodes if isinstance(n, syntax.Integer) and n.value > 1 and not _is(p, syntax.Setting)]
    number = pick(places, rng)
    if number is None:
        return None
    return replace(program, number.span, str(rng.choice([number.value + 1, number.value * 2, number.value - 1])), False, True)


def _is(parents: tuple[object, ...], kind: type) -> bool:
    return any(isinstance(p, kind) for p in parents)


def signature_size(program: Program, rng: random.Random) -> Mutant | None:
    """A size in a type is another one."""
    places = [n for n, p in program.nodes if isinstance(n, syntax.Integer) and _is(p, syntax.TypeExpr)]
    number = pick(places, rng)
    return None if number is None else replace(program, number.span, str(number.value * 2 + 1), False, True)


def classes(program: Program, rng: random.Random) -> Mutant | None:
    """Another number of classes than the model has logits."""
    calls = [c for c in _all(program, syntax.Call, syntax.Data) if _called(c) == "category" and c.arguments]
    numbers = [a.value for c in calls for a in c.arguments if isinstance(a.value, syntax.Integer)]
    number = pick(numbers, rng)
    return None if number is None else replace(program, number.span, str(number.value + 2), False, True)


def axis(program: Program, rng: random.Random) -> Mutant | None:
    """An axis that the tensor does not have."""
    places = [a.value for a in _all(program, syntax.Argument) if a.name is not None and a.name.text == "axis"]
    place = pick(places, rng)
    return None if place is None else replace(program, place.span, rng.choice(["7", "5", "-6"]))


def swapped_dims(program: Program, rng: random.Random) -> Mutant | None:
    """Two dims of a type have changed places."""
    places: list[tuple[Span, Span]] = []
    for type_ in _all(program, syntax.TypeExpr):
        dims = type_.dims or ()
        places += [(a.span, b.span) for a, b in pairwise(dims) if a.span.text != b.span.text]
    return _swap(program, pick(places, rng))


def _swap(program: Program, pair: tuple[Span, Span] | None) -> Mutant | None:
    if pair is None:
        return None
    a, b = pair
    between = program.text[a.end : b.start]
    return edit(program, a.start, b.end, b.text + between + a.text, certain=False, meets=True)


def dim_dropped(program: Program, rng: random.Random) -> Mutant | None:
    """A type has a dim too few."""
    type_ = pick([t for t in _all(program, syntax.TypeExpr) if len(t.dims or ()) > 1], rng)
    if type_ is None or type_.dims is None:
        return None
    return edit(program, type_.dims[-2].span.end, type_.dims[-1].span.end, "", certain=False, meets=True)


def argument_missing(program: Program, rng: random.Random) -> Mutant | None:
    call = pick([c for c in _all(program, syntax.Call) if c.arguments], rng)
    if call is None:
        return None
    first = call.arguments[0].span
    end = call.arguments[1].span.start if len(call.arguments) > 1 else first.end
    return edit(program, first.start, end, "", certain=False, meets=True)


def argument_too_many(program: Program, rng: random.Random) -> Mutant | None:
    call = pick([c for c in _all(program, syntax.Call) if c.arguments and c.arguments[-1].name is None], rng)
    return None if call is None else edit(program, call.arguments[-1].span.end, call.arguments[-1].span.end, ", 3, 4, 5, 6", False)


def arguments_swapped(program: Program, rng: random.Random) -> Mutant | None:
    pairs: list[tuple[Span, Span]] = []
    for call in _all(program, syntax.Call):
        given = [a for a in call.arguments if a.name is None]
        pairs += [(a.span, b.span) for a, b in pairwise(given) if a.span.text != b.span.text]
    return _swap(program, pick(pairs, rng))


def negative(program: Program, rng: random.Random) -> Mutant | None:
    """A size below zero."""
    given = [a.value for c in _all(program, syntax.Call) for a in c.arguments if a.name is None]
    number = pick([n for n in given if isinstance(n, syntax.Integer) and n.value > 3], rng)
    return None if number is None else replace(program, number.span, f"-{number.value}", certain=False)


def text_for_number(program: Program, rng: random.Random) -> Mutant | None:
    places = [n for n, p in program.nodes if isinstance(n, (syntax.Integer, syntax.Float)) and not _is(p, syntax.ListExpr)]
    number = pick(places, rng)
    return None if number is None else replace(program, number.span, f'"{number.span.text}"', certain=False, meets=True)


def text_operand(program: Program, rng: random.Random) -> Mutant | None:
    """A text among numbers."""
    places = [s.span for n in _all(program, syntax.Binary, syntax.Callable) for s in (n.left, n.right)]
    span = pick(places, rng)
    return None if span is None else replace(program, span, '"mean"')


def truth_operand(program: Program, rng: random.Random) -> Mutant | None:
    """What is true or false among numbers."""
    places = [n for n in _all(program, syntax.Assign) if len(n.targets) == 1 and isinstance(n.value, (syntax.Binary, syntax.Pipe))]
    node = pick(places, rng)
    return None if node is None else replace(program, node.value.span, f"({node.value.span.text}) > 0", False, True)


def setting_value(program: Program, rng: random.Random) -> Mutant | None:
    """A setting that cannot be: no rows in a batch, a text for a rate."""
    settings = [n for n in _all(program, syntax.Setting, syntax.Train) if isinstance(n.value, (syntax.Integer, syntax.Float))]
    node = pick(settings, rng)
    return None if node is None else replace(program, node.value.span, rng.choice(["-1", '"many"', "none", "[1, 2]", "2.5"]))


def rate(program: Program, rng: random.Random) -> Mutant | None:
    places = [a.value for a in _all(program, syntax.Argument) if a.name is not None and a.name.text in ("lr", "momentum", "betas")]
    place = pick(places, rng)
    return None if place is None else replace(program, place.span, rng.choice(['"fast"', "true", '"1e-3"']))


def piped_into_tensor(program: Program, rng: random.Random) -> Mutant | None:
    """`x |> y`: what stands behind a pipe is no function."""
    places: list[tuple[Span, str]] = []
    for node, parents in program.nodes:
        inputs = [i.name.text for p in parents if isinstance(p, syntax.Callable) for i in p.inputs if i.type is not None]
        if isinstance(node, syntax.Pipe) and inputs:
            places.append((node.stages[-1].span, inputs[-1]))
    place = pick(places, rng)
    return None if place is None else replace(program, place[0], place[1])


def result_too_many(program: Program, rng: random.Random) -> Mutant | None:
    node = pick([n for n, p in program.nodes if isinstance(n, syntax.Return)], rng)
    return None if node is None else edit(program, node.span.end, node.span.end, ", 1.0", meets=True)


def result_missing(program: Program, rng: random.Random) -> Mutant | None:
    nodes = [n for n, _ in program.nodes if isinstance(n, syntax.Return) and isinstance(n.value, syntax.TupleExpr)]
    node = pick(nodes, rng)
    if node is None:
        return None
    items = node.value.items
    return edit(program, items[-2].span.end, items[-1].span.end, "", meets=True)


def target_missing(program: Program, rng: random.Random) -> Mutant | None:
    """`a = f(x)` of what gives two."""
    node = pick([n for n in _all(program, syntax.Assign) if len(n.targets) > 1], rng)
    return None if node is None else edit(program, node.targets[-2].span.end, node.targets[-1].span.end, "", False, True)


def rows_mixed(program: Program, rng: random.Random) -> Mutant | None:
    """A prediction that depends on the other rows of its batch."""
    node = pick([n for n in _all(program, syntax.Setting, syntax.Train) if n.key.text == "predict"], rng)
    if node is None or isinstance(node.value, syntax.ListExpr) or "label_of" in node.value.span.text:
        return None
    value = node.value.span
    return replace(program, value, f"({value.text}) - mean({value.text})", certain=False)


def source_kind(program: Program, rng: random.Random) -> Mutant | None:
    """A reader for another kind of file."""
    calls = [c for c in _all(program, syntax.Call, syntax.Data) if _called(c) in ("csv", "npz", "parquet", "jsonl", "idx", "ts")]
    call = pick(calls, rng)
    if call is None:
        return None
    others = [k for k in ("csv", "npz", "parquet", "jsonl") if k != _called(call)]
    return replace(program, call.callee.span, rng.choice(others))


def source_ending(program: Program, rng: random.Random) -> Mutant | None:
    calls = [c for c in _all(program, syntax.Call, syntax.Data) if _called(c) in ("csv", "npz", "parquet", "jsonl")]
    strings = [a.value for c in calls for a in c.arguments[:1] if isinstance(a.value, syntax.String)]
    text = pick(strings, rng)
    return None if text is None else replace(program, text.span, f'"{text.value.rpartition(".")[0]}.xlsx"', certain=False)


def no_brackets(program: Program, rng: random.Random) -> Mutant | None:
    """`dense` without what it needs."""
    call = pick([c for c in _all(program, syntax.Call, syntax.Callable) if c.arguments], rng)
    return None if call is None else edit(program, call.callee.span.end, call.span.end, "", False, True)


def index(program: Program, rng: random.Random) -> Mutant | None:
    """An index that is out of range, or for one dim too many."""
    node = pick(_all(program, syntax.Index, syntax.Callable), rng)
    wrong = rng.choice([", 999_999]", ", :, :, :, :]", ', "a"]'])
    return None if node is None else edit(program, node.span.end - 1, node.span.end, wrong)


MISTAKES: tuple[Mistake, ...] = (
    column_type, no_fill, no_encoding, may_be_missing, size, size, signature_size, classes, axis, swapped_dims, dim_dropped,
    argument_missing, argument_too_many, arguments_swapped, negative, text_for_number, text_operand, truth_operand, setting_value,
    rate, piped_into_tensor, result_too_many, result_missing, target_missing, rows_mixed, source_kind, source_ending, no_brackets,
    index,
)  # fmt: skip
