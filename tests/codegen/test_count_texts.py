"""What programs that fit export for the host: hash tables of texts and of their words and characters."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from bmc_runtime.characters import words
from bmc_runtime.reducers import kernels
from bmc_runtime.table import text_column
from tests.reducing import native_kernels

PIECES = ["é", "don't ", "'so' ", "中文，字", "🙂", "x\0y", "ab ", "ab", "", " ", "ſ", "Ω’s "]


def plain(texts: list[bytes], unit: str) -> Counter[bytes]:
    if unit == "whole":
        return Counter(texts)
    decoded = [text.decode("utf-8", "surrogateescape") for text in texts]
    parts = [part for text in decoded for part in (words(text) if unit == "words" else text)]
    return Counter(part.encode("utf-8", "surrogateescape") for part in parts)


def counted(cells: np.ndarray, keep: np.ndarray, unit: str) -> Counter[bytes]:  # type: ignore[type-arg]
    total: Counter[bytes] = Counter()
    for found in native_kernels().count_parts(cells, keep, unit):
        assert len({text for text, _ in found}) == len(found)
        for text, count in found:
            total[text] += count
    return total


@pytest.mark.parametrize("unit", ["whole", "words", "chars"])
@pytest.mark.parametrize("table", [1 << 16, 8])
def test_native_counting_is_the_plain_one(unit: str, table: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts that collide, that are empty or no UTF-8, that are prefixes of one another, in arrays of several axes; with
    a table that is full again and again, also within a text."""
    monkeypatch.setattr(kernels, "_TABLE", table)
    rng = np.random.default_rng(0)
    for size in (0, 1, 2, 7, 64, 900):
        texts = ["".join(rng.choice(PIECES, int(k))).encode() + b"\xff\xc3" * int(k == 3) for k in rng.integers(0, 9, size)]
        column = text_column(texts)
        kept = rng.random(size) < 0.7
        for shape in ((size,), (size // 2, 2)) if size % 2 == 0 else ((size,),):
            cells, mask = column.data.reshape(shape), kept.reshape(shape)
            assert counted(cells, mask, unit) == plain([t for t, k in zip(texts, kept, strict=True) if k], unit)
