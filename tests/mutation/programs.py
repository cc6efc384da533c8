"""Right programs, and where each of their names is declared and used: what mistakes are made in.

In: the examples, models and programs of the repository and those of its pages. Out: `programs()`. Guaranteed: each checks
without an error before anything is changed in it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from bmc.errors import Diagnostic
from bmc.frontend.elaborate import check
from bmc.frontend.primitives import primitives
from bmc.frontend.scope import installed_library
from bmc.frontend.syntax import tree as syntax
from bmc.frontend.syntax.parse import parse
from bmc.frontend.syntax.read_source import read_source
from bmc.frontend.syntax.tokens import Token, tokenize
from bmc.source import SourceFile, Span

ROOT = Path(__file__).parents[2]
_PROGRAM = re.compile(r"^```bm\n(.*?)^```$", re.M | re.S)
_WORD = re.compile(r"[A-Za-z_]\w*")

Node = object


def diagnose(name: str, text: str) -> tuple[Diagnostic, ...]:
    """What `bmc check` finds in a file of this name."""
    return check([SourceFile(name, text)], read=read_source).diagnostics


@cache
def known_words() -> frozenset[str]:
    """What a misspelt name must not happen to be."""
    library = {word for file in installed_library() for word in _WORD.findall(file.text)}
    return frozenset(library | set(primitives()))


@dataclass(frozen=True)
class Use:
    """A name where it is used, with what it stands in."""

    name: syntax.Name
    parents: tuple[Node, ...]


@dataclass(frozen=True, eq=False)
class Program:
    """A right program. `name` is its path, from which its sources are found."""

    name: str
    text: str

    @cached_property
    def file(self) -> SourceFile:
        return SourceFile(self.name, self.text)

    @cached_property
    def tree(self) -> syntax.File:
        return parse(self.file)[0]

    @cached_property
    def tokens(self) -> tuple[Token, ...]:
        return tuple(t for t in tokenize(self.file)[0] if t.kind != "$END")

    @cached_property
    def words(self) -> frozenset[str]:
        return frozenset(_WORD.findall(self.text)) | known_words()

    @cached_property
    def nodes(self) -> tuple[tuple[Node, tuple[Node, ...]], ...]:
        """Each node with what it stands in, outermost first."""
        return tuple(_walk(self.tree, ()))

    @cached_property
    def declared(self) -> dict[str, tuple[Use, ...]]:
        """Names that are bound, declared or listed as columns, with each place where they are."""
        found: dict[str, list[Use]] = {}
        for node, parents in self.nodes:
            for name in _declares(node):
                found.setdefault(name.text, []).append(Use(name, (*parents, node)))
        return {name: tuple(places) for name, places in found.items()}

    @cached_property
    def used(self) -> tuple[Use, ...]:
        """Names where they are read: not keys, not declarations."""
        keys = {id(n) for node, _ in self.nodes for n in (*_declares(node), *_keys(node))}
        return tuple(Use(node, parents) for node, parents in self.nodes if isinstance(node, syntax.Name) and id(node) not in keys)

    def line(self, offset: int) -> int:
        return self.file.position(offset)[0]


def _declares(node: Node) -> tuple[syntax.Name, ...]:
    if isinstance(node, (syntax.Repeat, syntax.Scan)):
        return node.targets
    if isinstance(
        node,
        (syntax.Target, syntax.Let, syntax.Param, syntax.State, syntax.Parameter, syntax.Callable, syntax.Data, syntax.Column,
         syntax.Output, syntax.Yield),
    ):  # fmt: skip
        return (node.name,)
    return (node.name,) if isinstance(node, syntax.Result) and node.name is not None else ()


def _keys(node: Node) -> tuple[syntax.Name, ...]:
    match node:
        case syntax.Argument(name=syntax.Name() as name) | syntax.Stage(name=syntax.Name() as name):
            return (name,)
        case syntax.Repeat(name=syntax.Name() as name) | syntax.Attribute(name=name) | syntax.TypeExpr(name=name):
            return (name,)
        case syntax.Keyed(key=syntax.Name() as name) | syntax.Setting(key=name):
            return (name,)
        case syntax.Train():
            return tuple(n for n in (node.model, node.data, node.name) if n is not None)
    return ()


def _walk(node: Node, parents: tuple[Node, ...]) -> Iterator[tuple[Node, tuple[Node, ...]]]:
    yield node, parents
    for field in type(node).__match_args__:  # type: ignore[attr-defined]
        value = getattr(node, field)
        for child in value if isinstance(value, tuple) else (value,):
            if hasattr(type(child), "__match_args__") and not isinstance(child, (Span, str)):
                yield from _walk(child, (*parents, node))


@cache
def programs() -> tuple[Program, ...]:
    """Every program of the repository that is right as it stands."""
    found: list[Program] = []
    for pattern in ("tests/examples/*.bm", "tests/programs/*.bm", "models/*/*.bm"):
        for path in sorted(ROOT.glob(pattern)):
            found.append(Program(os.path.relpath(path), path.read_text(encoding="utf-8")))
    for page in sorted(ROOT.glob("docs/*.md")):
        for number, text in enumerate(_PROGRAM.findall(page.read_text(encoding="utf-8"))):
            found.append(Program(f"{page.stem}-{number}.bm", text))
    return tuple(p for p in found if not any(d.level == "error" for d in diagnose(p.name, p.text)))
