"""Whatever the text, `check` ends in time with units or with diagnostics that can be shown; what it lets through is well formed."""

from __future__ import annotations

import json
import random
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import pytest

from bmc.driver.load import check_source, text_source
from bmc.errors import BmcError
from bmc.errors.catalogue import explain
from bmc.errors.json_form import diagnostic_json
from bmc.errors.render import render
from bmc.passes.verify import verify
from tests.fuzz.inputs import LARGE, SMALL, random_input

LIMIT_SECONDS = 5.0  # what the project promises for any input
SAMPLE, FULL, CHUNKS = 300, 10_000, 10


class TooSlowError(BaseException):
    """Not an Exception: nothing on the way may take it for one of its own."""


@contextmanager
def limit(seconds: float) -> Iterator[None]:
    """Raise TooSlowError in whatever is running after `seconds` of processor time, which a busy machine does not eat."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise TooSlowError

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def check(text: str) -> bool:
    """Whether the text is right; any exception but BmcError fails the test."""
    with limit(LIMIT_SECONDS):
        try:
            checked = check_source(text_source(text))
            diagnostics, units = checked.diagnostics, checked.units
        except BmcError as error:
            diagnostics, units = tuple(error.diagnostics), ()
    for diagnostic in diagnostics:
        assert explain(diagnostic.code) is not None
        assert render(diagnostic, color=False).startswith(f"{diagnostic.level}[{diagnostic.code}]")
        assert json.loads(diagnostic_json(diagnostic))["rendered"]
    wrong = any(d.level == "error" for d in diagnostics)
    for unit in units:
        for function in unit.module.functions:
            verify(function)
    return not wrong


def check_all(first: int, count: int) -> None:
    right = 0
    for number in range(first, first + count):
        text = random_input(random.Random(number))
        try:
            right += check(text)
        except BaseException as error:
            error.add_note(f"input {number} of random_input:\n{text}")
            raise
    # Inputs come near enough to programs: about a tenth are right, and most of the others get past the parser.
    assert 0.02 * count < right < 0.6 * count


@pytest.mark.parametrize("number", range(len(SMALL)))
def test_programs_that_inputs_are_made_from_are_right(number: int) -> None:
    assert check(SMALL[number])


def test_there_are_large_programs() -> None:
    assert len(LARGE) >= 14


def test_a_sample_of_inputs() -> None:
    check_all(0, SAMPLE)


@pytest.mark.slow
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_ten_thousand_inputs(chunk: int) -> None:
    size = FULL // CHUNKS
    check_all(SAMPLE + chunk * size, size)
