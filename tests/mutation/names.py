"""Mistakes with names: misspelt, missing, twice, of another language."""

from __future__ import annotations

import os
import random
import re
from itertools import pairwise

from bmc.frontend.syntax import tree as syntax
from tests.mutation.mutant import Mistake, Mutant, edit, misspell, misspelt, pick, replace, whole_lines
from tests.mutation.programs import Program, Use

_STATEMENTS = (syntax.Assign, syntax.Let, syntax.Param, syntax.State, syntax.Column, syntax.Output, syntax.Setting)


def _inside(parents: tuple[object, ...], kind: type) -> bool:
    return any(isinstance(p, kind) for p in parents)


def used_name(program: Program, rng: random.Random) -> Mutant | None:
    """A variable, column or constant is misspelt where it is read."""
    places = [u.name for u in program.used if u.name.text in program.declared and not _inside(u.parents, syntax.TypeExpr)]
    return misspell(program, pick(places, rng), rng)


def called_name(program: Program, rng: random.Random) -> Mutant | None:
    """A function or layer of the library is misspelt."""
    places = [u.name for u in program.used if u.name.text not in program.declared and not _inside(u.parents, syntax.TypeExpr)]
    return misspell(program, pick(places, rng), rng)


def _single(program: Program) -> list[Use]:
    """Declarations of names that are declared once, and read somewhere."""
    read = {u.name.text for u in program.used}
    return [places[0] for name, places in program.declared.items() if len(places) == 1 and name in read]


def declared_name(program: Program, rng: random.Random) -> Mutant | None:
    """A name is misspelt where it is declared: its uses no longer find it."""
    use = pick(_single(program), rng)
    if use is None:
        return None
    return misspell(program, use.name, rng, certain=not isinstance(use.parents[-1], syntax.Result), meets=True)


def column_of_the_file(program: Program, rng: random.Random) -> Mutant | None:
    """A column's name in the file is misspelt, and the file is there."""
    found = re.search(r'source *= *csv\("([^"]+)"', program.text)
    if found is None or not os.path.exists(os.path.join(os.path.dirname(program.name), found[1])):
        return None
    columns = [node for node, _ in program.nodes if isinstance(node, syntax.Column)]
    column = pick(columns, rng)
    if column is None:
        return None
    if column.header is not None:
        return replace(program, column.header.span, f'"{column.header.value[:-1]}"')
    wrong = misspelt(column.name.text, rng, program.words)
    return None if wrong is None else replace(program, column.name.span, f"{wrong} as {column.name.text}")


def setting(program: Program, rng: random.Random) -> Mutant | None:
    """A key of a train block is misspelt."""
    keys = [n.key for n, parents in program.nodes if isinstance(n, syntax.Setting) and _inside(parents, syntax.Train)]
    return misspell(program, pick(keys, rng), rng)


def clause(program: Program, rng: random.Random) -> Mutant | None:
    """`source` or `split` of a data block is misspelt."""
    keys = [n.key for n, parents in program.nodes if isinstance(n, syntax.Setting) and _inside(parents, syntax.Data)]
    return misspell(program, pick(keys, rng), rng, meets=True)


def argument(program: Program, rng: random.Random) -> Mutant | None:
    """A hyper-parameter or option is misspelt in a call."""
    return misspell(program, pick([n.name for n, _ in program.nodes if isinstance(n, syntax.Argument) and n.name], rng), rng)


def member(program: Program, rng: random.Random) -> Mutant | None:
    return misspell(program, pick([n.name for n, _ in program.nodes if isinstance(n, syntax.Attribute)], rng), rng)


def train_header(program: Program, rng: random.Random) -> Mutant | None:
    """The model or the data of a train block is misspelt."""
    blocks = [n for n, _ in program.nodes if isinstance(n, syntax.Train)]
    return misspell(program, pick([name for b in blocks for name in (b.model, b.data)], rng), rng)


def type_name(program: Program, rng: random.Random) -> Mutant | None:
    return misspell(program, pick([n.name for n, _ in program.nodes if isinstance(n, syntax.TypeExpr)], rng), rng)


def foreign_type(program: Program, rng: random.Random) -> Mutant | None:
    """A dtype as numpy or Python calls it."""
    other = {"f32": "float32", "i32": "int", "str": "string", "i64": "int64", "bool": "boolean", "f64": "double", "float": "Tensor"}
    places = [n.name for n, _ in program.nodes if isinstance(n, syntax.TypeExpr) and n.name.text in other]
    name = pick(places, rng)
    return None if name is None else replace(program, name.span, other[name.text])


_FOREIGN = {
    "dense": "Linear", "relu": "ReLU", "conv2d": "Conv2d", "cross_entropy": "CrossEntropyLoss", "softmax": "Softmax",
    "layernorm": "LayerNorm", "dropout": "Dropout", "concat": "cat", "embedding": "Embedding", "adam": "Adam", "mse": "MSELoss",
    "gelu": "GELU", "batchnorm": "BatchNorm2d", "maxpool": "MaxPool2d", "sum": "reduce_sum", "select": "where", "onehot": "one_hot",
    "standardize": "StandardScaler", "reshape": "view", "transpose": "permute", "adamw": "AdamW", "sgd": "SGD", "csv": "read_csv",
    "category": "categorical", "fill": "fillna", "tanh": "Tanh", "sigmoid": "Sigmoid", "mean": "reduce_mean",
}  # fmt: skip


def foreign_name(program: Program, rng: random.Random) -> Mutant | None:
    """A word of another framework."""
    places = [u.name for u in program.used if u.name.text in _FOREIGN and u.name.text not in program.declared]
    name = pick(places, rng)
    return None if name is None else replace(program, name.span, _FOREIGN[name.text])


def deleted(program: Program, rng: random.Random) -> Mutant | None:
    """The line that declares something used is gone: the mistake shows where it is used."""
    use = pick([u for u in _single(program) if isinstance(_statement(u), _STATEMENTS)], rng)
    lines = None if use is None else whole_lines(program, _statement(use).span)  # type: ignore[attr-defined]
    if use is None or lines is None:
        return None
    mutant = edit(program, *lines, "")
    read = [u.name.span.start for u in program.used if u.name.text == use.name.text]
    gone = lines[1] - lines[0]
    at = {mutant.text.count("\n", 0, p - (gone if p >= lines[1] else 0)) + 1 for p in read if not lines[0] <= p < lines[1]}
    outputs = isinstance(_statement(use), syntax.Output)
    return Mutant(program.name, mutant.text, frozenset(at), certain=not outputs) if at else None


def _statement(use: Use) -> object:
    return next((p for p in reversed(use.parents) if isinstance(p, _STATEMENTS)), use.parents[-1])


def used_too_early(program: Program, rng: random.Random) -> Mutant | None:
    """Two statements of a body have changed places, the second of which needs the first."""
    pairs: list[tuple[syntax.Assign, syntax.Assign]] = []
    for node, _ in program.nodes:
        body = getattr(node, "body", ())
        for a, b in pairwise(body):
            if not isinstance(a, syntax.Assign) or not isinstance(b, syntax.Assign):
                continue
            bound = {t.name.text for t in a.targets if len(program.declared[t.name.text]) == 1}
            if bound & set(re.findall(r"\w+", b.value.span.text)):
                pairs.append((a, b))
    pair = pick(pairs, rng)
    if pair is None:
        return None
    first, second = whole_lines(program, pair[0].span), whole_lines(program, pair[1].span)
    if first is None or second is None or first[1] != second[0]:
        return None
    text = program.text
    return edit(program, first[0], second[1], text[second[0] : second[1]] + text[first[0] : first[1]].rstrip("\n") + "\n")


def declared_twice(program: Program, rng: random.Random) -> Mutant | None:
    """A declaration, column, setting or parameter stands there twice."""
    kinds = (syntax.Let, syntax.Param, syntax.State, syntax.Column, syntax.Setting, syntax.Output, syntax.Data, syntax.Callable)
    node = pick([n for n, _ in program.nodes if isinstance(n, kinds)], rng)
    lines = None if node is None else whole_lines(program, node.span)
    if lines is None:
        return None
    copy = program.text[lines[0] : lines[1]]
    made = edit(program, lines[1], lines[1], copy if copy.endswith("\n") else "\n" + copy)
    first = program.line(lines[0])
    return Mutant(program.name, made.text, made.lines | frozenset(range(first, first + copy.count("\n") + 1)))


def same_key(program: Program, rng: random.Random) -> Mutant | None:
    """Two layers of one pipe have the same name."""
    pipes = [[s.name for s in n.stages if s.name] for n, _ in program.nodes if isinstance(n, syntax.Pipe)]
    names = pick([p for p in pipes if len(p) > 1], rng)
    return None if names is None else replace(program, names[-1].span, names[0].text)


def unbound_input(program: Program, rng: random.Random) -> Mutant | None:
    """A data output has another name than the model's input: they no longer meet."""
    inputs = {p.name.text for n, _ in program.nodes if isinstance(n, syntax.Callable) and n.kind == "model" for p in n.inputs}
    outputs = [n for n, _ in program.nodes if isinstance(n, syntax.Output) and n.name.text in inputs]
    output = pick(outputs, rng)
    if output is None or "inputs" in program.text:
        return None
    return replace(program, output.name.span, output.name.text + rng.choice(["s", "_in", "2"]), meets=True, certain=False)


MISTAKES: tuple[Mistake, ...] = (
    used_name, used_name, called_name, called_name, declared_name, column_of_the_file, setting, clause, argument, member,
    train_header, type_name, foreign_type, foreign_name, deleted, used_too_early, declared_twice, same_key, unbound_input,
)  # fmt: skip
