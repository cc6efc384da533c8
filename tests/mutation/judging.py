"""Which mutants are wrong, and whether the compiler says so on the right line.

In: a number of mutants and a seed. Out: `Verdict`s. A mutant that checks without an error counts as a miss when its mistake is
certain, and is a right program otherwise, which is not counted.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from bmc.errors import Diagnostic
from tests.mutation import meaning, names, writing
from tests.mutation.mutant import Mistake, Mutant
from tests.mutation.programs import Program, diagnose, programs


@dataclass(frozen=True)
class Verdict:
    """`errors` of a mutant, in the order of `bmc check`."""

    mutant: Mutant
    errors: tuple[Diagnostic, ...]

    @property
    def right(self) -> bool:
        """The first error is on the mistake's line; where two places do not fit, one of its labels is."""
        if not self.errors:
            return False
        first = self.errors[0]
        if first.span is None:
            return False
        spans = [label.span for label in first.labels] if self.mutant.meets else [first.span]
        return any(span.file.name == self.mutant.program and span.line in self.mutant.lines for span in spans)


def mistakes() -> tuple[Mistake, ...]:
    return (*names.MISTAKES, *writing.MISTAKES, *meaning.MISTAKES)


def mutant(rng: random.Random, of: tuple[Program, ...]) -> Mutant | None:
    mistake = rng.choice(mistakes())
    made = mistake(rng.choice(of), rng)
    if made is None:
        return None
    return Mutant(made.program, made.text, made.lines, made.certain, made.meets, mistake.__name__)


def judged(count: int, seed: int) -> list[Verdict]:
    """`count` mutants that are really wrong, and what is said of them."""
    rng = random.Random(seed)
    found: list[Verdict] = []
    originals = {p.name: p.text for p in programs()}
    while len(found) < count:
        made = mutant(rng, programs())
        if made is None or made.text == originals[made.program]:
            continue
        errors = tuple(d for d in diagnose(made.program, made.text) if d.level == "error")
        if errors or made.certain:
            found.append(Verdict(made, errors))
    return found
