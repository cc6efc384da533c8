"""Words and characters: the vectorised places against the plain definition, and the definition against examples."""

from __future__ import annotations

import random
import unicodedata

import numpy as np
import pytest

from bmc_runtime.characters import APOSTROPHES, LOWER, SEPARATORS, lower, words
from bmc_runtime.segmenting import char_places, word_places

ALPHABET = "ab9'’ .,é—中、字😀Жß\u0301\n\x00"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        ("Don't 'stop' it's rock'n'roll", ["Don't", "stop", "it's", "rock'n'roll"]),
        ("“hello”… ’tis a''b don’t", ["hello", "tis", "a", "b", "don’t"]),
        ("3.5 x_y naïve—so 中文，字 🙂ok", ["3", "5", "x", "y", "naïve", "so", "中文", "字", "ok"]),
    ],
)
def test_words(text: str, found: list[str]) -> None:
    assert words(text) == found


def test_places_are_those_of_the_definition() -> None:
    random.seed(0)
    for size in [*range(12), *[40] * 300]:
        text = "".join(random.choices(ALPHABET, k=size))
        data = np.frombuffer(text.encode(), np.uint8)
        for places, parts in ((word_places, words(text)), (char_places, list(text))):
            starts, lengths = places(data)
            assert [bytes(data[s : s + n]).decode() for s, n in zip(starts, lengths, strict=True)] == parts


def test_bytes_that_are_no_utf8_do_no_harm() -> None:
    rng = np.random.default_rng(0)
    for size in (1, 2, 3, 5, 50):
        for _ in range(200):
            data = rng.integers(0, 256, size).astype(np.uint8)
            starts, lengths = word_places(data)
            assert (lengths > 0).all()
            assert (starts[1:] > (starts + lengths)[:-1]).all()
            assert len(starts) == 0 or starts[-1] + lengths[-1] <= size


def test_separators_are_no_letters_but_for_a_few() -> None:
    """Every letter or digit of Unicode stands in words, but for those that the compact ranges take in: letters in circles, and the
    few that lie among punctuation."""
    ascending = [point for pair in SEPARATORS for point in pair]
    assert ascending == sorted(ascending)
    taken = {p for first, last in SEPARATORS for p in range(first, last + 1) if unicodedata.category(chr(p))[0] in "LN"}
    latin = {p for p in taken if p < 0x2000} - set(range(0x30, 0x3A))
    assert latin == {0xB2, 0xB3, 0xB9, 0xBC, 0xBD, 0xBE}  # superscripts and fractions
    assert set(APOSTROPHES) <= {p for first, last in SEPARATORS for p in range(first, last + 1)}


def test_lower_is_the_simple_mapping() -> None:
    """As Python has it for single characters, where its version of Unicode knows no more than ours."""
    ours = {p: p + shift for first, last, step, shift in LOWER for p in range(first, last + 1, step)}
    ascending = [first for first, *_ in LOWER]
    assert ascending == sorted(ascending)
    for point, small in ours.items():
        assert chr(point).lower()[0] == chr(small)
    assert [p for p in range(0x2000) if p not in ours and chr(p).lower() != chr(p)] == []
    assert lower("ÀÉΣ İ ЖУК aBc ẞ 中") == "àéσ i жук abc ß 中"
