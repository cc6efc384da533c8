"""One random mistake in a right program: `bmc check` names its line, and does not say much more.

A mutant is right when the first error stands on the line of the mistake; where the mistake is that two places do not fit (a
column's type and its use, a size and what takes it), when it stands at one of them and a label points at the other.
"""

from __future__ import annotations

import re

import pytest

from tests.mutation.judging import Verdict, judged, mistakes
from tests.mutation.programs import diagnose, programs

SHARE = 0.95
"""What is promised."""
ERRORS = 1.35
"""At most this many errors on average: one mistake is one error, or two where two places need what is missing."""


def summary(verdicts: list[Verdict]) -> str:
    wrong = [v for v in verdicts if not v.right]
    return "\n".join(
        f"{v.mutant.kind} in {v.mutant.program}, {sorted(v.mutant.lines)}: {v.errors[0] if v.errors else 'nothing said'}"
        for v in wrong
    )


def require(verdicts: list[Verdict]) -> None:
    right = sum(v.right for v in verdicts)
    assert right >= SHARE * len(verdicts), f"{right} of {len(verdicts)}\n{summary(verdicts)}"
    assert sum(len(v.errors) for v in verdicts) <= ERRORS * len(verdicts)


def test_there_are_mistakes_of_many_kinds_in_many_programs() -> None:
    assert len({m.__name__ for m in mistakes()}) >= 60
    assert len(programs()) >= 50


def test_a_mistake_is_found_on_its_line() -> None:
    require(judged(150, seed=1))


@pytest.mark.slow
def test_two_thousand_mistakes_are_found_on_their_lines() -> None:
    verdicts = judged(2000, seed=2)
    require(verdicts)
    assert len({v.mutant.kind for v in verdicts}) >= 60


def test_a_mutant_differs_by_its_mistake_alone() -> None:
    """The lines that a mutant blames are lines of its text, and it is near to a right program."""
    originals = {p.name: p.text for p in programs()}
    for verdict in judged(40, seed=3):
        mutant, original = verdict.mutant, originals[verdict.mutant.program]
        assert 1 <= min(mutant.lines) <= max(mutant.lines) <= mutant.text.count("\n") + 1
        assert mutant.text != original
        assert abs(len(re.findall(r"\S", mutant.text)) - len(re.findall(r"\S", original))) < 1500


def test_programs_without_a_mistake_have_no_error() -> None:
    for program in programs():
        assert [d for d in diagnose(program.name, program.text) if d.level == "error"] == []
