"""One mistake in one program, with the lines that it stands on.

In: a right `Program`, a generator of random numbers. Out: `Mutant`s. A mistake is a function that returns one, or None where the
program has no place for it.
"""

from __future__ import annotations

import random
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from bmc.frontend.syntax import tree as syntax
from bmc.source import Span
from tests.mutation.programs import Program

T = TypeVar("T")
_NEIGHBOURS = {
    "a": "s", "b": "v", "c": "x", "d": "f", "e": "r", "f": "g", "g": "h", "h": "j", "i": "o", "j": "k", "k": "l", "l": "k",
    "m": "n", "n": "m", "o": "p", "p": "o", "q": "w", "r": "t", "s": "d", "t": "y", "u": "i", "v": "b", "w": "e", "x": "z",
    "y": "u", "z": "x",
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """`lines` of `text` hold the mistake. `meets`: the mistake is two places that do not fit, so an error that points at another
    line is right if one of its labels is on `lines`. `certain`: it cannot be a right program."""

    program: str
    text: str
    lines: frozenset[int]
    certain: bool = True
    meets: bool = False
    kind: str = ""


Mistake = Callable[[Program, random.Random], Mutant | None]


def pick(places: Sequence[T], rng: random.Random) -> T | None:
    return rng.choice(places) if places else None


def edit(program: Program, start: int, end: int, new: str, certain: bool = True, meets: bool = False) -> Mutant:
    """The program with [start, end) replaced; the mistake is on the lines of what is new."""
    text = program.text[:start] + new + program.text[end:]
    first = text.count("\n", 0, start) + 1
    last = first + new.count("\n")
    return Mutant(program.name, text, frozenset(range(first, last + 1)), certain, meets)


def replace(program: Program, span: Span, new: str, certain: bool = True, meets: bool = False) -> Mutant:
    return edit(program, span.start, span.end, new, certain, meets)


def misspelt(word: str, rng: random.Random, words: frozenset[str]) -> str | None:
    """The word as quick fingers write it: nothing that the program or the library knows."""
    for _ in range(20):
        at = rng.randrange(len(word))
        kind = rng.randrange(4)
        letter = word[at]
        if kind == 0 and at + 1 < len(word):
            made = word[:at] + word[at + 1] + letter + word[at + 2 :]
        elif kind == 1:
            made = word[:at] + word[at + 1 :]
        elif kind == 2:
            made = word[:at] + letter + word[at:]
        else:
            made = word[:at] + _NEIGHBOURS.get(letter, rng.choice(string.ascii_lowercase)) + word[at + 1 :]
        if made.isidentifier() and made not in words and made != word:
            return made
    return None


def misspell(
    program: Program, name: syntax.Name | None, rng: random.Random, certain: bool = True, meets: bool = False
) -> Mutant | None:
    if name is None:
        return None
    wrong = misspelt(name.text, rng, program.words)
    return None if wrong is None else replace(program, name.span, wrong, certain, meets)


def whole_lines(program: Program, span: Span) -> tuple[int, int] | None:
    """The lines of a statement, newline included, if nothing else stands on them."""
    text = program.text
    start = text.rfind("\n", 0, span.start) + 1
    end = text.find("\n", span.end)
    end = len(text) if end < 0 else end + 1
    alone = not text[start : span.start].strip() and not text[span.end : end].partition("#")[0].strip()
    return (start, end) if alone else None
