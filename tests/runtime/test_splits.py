"""Splits follow from values alone, equal rows stay together, and the definition of the hash is what the page says."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bmc_runtime.hashing import hash_rows, mix, mix_one
from bmc_runtime.splits import by_column, by_fold, by_hash, by_order, by_time, first_of_equals
from bmc_runtime.table import Column, text_column

MASK = (1 << 64) - 1


def bytes_hash(data: bytes, tag: int, seed: int) -> int:
    padded = data + b"\0" * (-len(data) % 8)
    words = struct.unpack(f"<{len(padded) // 8}Q", padded)
    total = sum(mix_one(w ^ mix_one(k + 1) ^ mix_one(seed)) for k, w in enumerate(words))
    return mix_one(((len(data) ^ tag) + total) & MASK)


def number_hash(x: Any) -> int:
    if isinstance(x, float):
        bits = 0x7FF8000000000000 if math.isnan(x) else struct.unpack("<Q", struct.pack("<d", x + 0.0))[0]
        return mix_one(bits ^ mix_one(2))
    return mix_one((int(x) & MASK) ^ mix_one(1))


def row_hash(row: dict[str, int], seed: int) -> int:
    return mix_one(sum(mix_one(h ^ bytes_hash(n.encode(), 3, 0) ^ mix_one(seed)) for n, h in row.items()) & MASK)


def column(values: list[Any], dtype: str, kind: Any) -> Column:
    return Column(dtype, np.array(values, kind))


def test_mix_is_splitmix64() -> None:
    # the first outputs of splitmix64 from state 0, as its reference implementation gives them
    assert [mix_one(0), mix_one(0x9E3779B97F4A7C15)] == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4]
    states = np.array([0, 1, MASK, 12345678901234567], np.uint64)
    assert mix(states).tolist() == [mix_one(int(x)) for x in states]


@pytest.mark.parametrize("seed", [0, 1, 7, -3])
def test_the_hash_is_the_documented_one(seed: int) -> None:
    words = ["", "a", "é中", "exactly8", "nine char", "x" * 1000]
    floats = [0.0, -0.0, float("nan"), 1.5, -2.25, float("inf")]
    integers = [0, 1, -1, 2**62, -(2**63), 5]
    table = {"word": text_column(words), "f": column(floats, "f64", np.float64), "i": column(integers, "i64", np.int64)}
    expected = [
        row_hash({"word": bytes_hash(w.encode(), 3, seed), "f": number_hash(f), "i": number_hash(i)}, seed)
        for w, f, i in zip(words, floats, integers, strict=True)
    ]
    assert hash_rows(table, seed).tolist() == expected


def test_cells_of_several_values_and_missing_cells_hash_as_documented() -> None:
    image = np.arange(2 * 11, dtype=np.uint8).reshape(2, 11)
    pair = np.array([[1.0, 2.0], [-0.0, 3.0]], np.float32)
    maybe = Column("i32", np.zeros(2, np.int32), np.array([True, False]))
    table = {"image": Column("u8", image), "pair": Column("f32", pair), "maybe": maybe}
    salt = mix_one(9)
    expected = []
    for i in range(2):
        cells = sum(mix_one(number_hash(float(v)) ^ mix_one(k + 1) ^ salt) for k, v in enumerate(pair[i]))
        row = {
            "image": bytes_hash(image[i].tobytes(), 4, 9),
            "pair": mix_one(cells & MASK),
            "maybe": number_hash(0) if i == 0 else mix_one(5),
        }
        expected.append(row_hash(row, 9))
    assert hash_rows(table, 9).tolist() == expected


def test_equal_values_hash_equally_in_every_dtype_and_place() -> None:
    quiet, other = np.array([0x7FC00000, 0xFFC00001], np.uint32).view(np.float32)
    f32 = Column("f32", np.array([-0.0, quiet, other, 0.5], np.float32))
    f64 = Column("f64", np.array([0.0, np.nan, np.nan, 0.5]))
    assert hash_rows({"x": f32}, 4).tolist() == hash_rows({"x": f64}, 4).tolist()
    texts = text_column(["b", "a", "b", "", "ab" * 9])
    shuffled = texts.take(np.array([4, 3, 2, 1, 0]))
    assert hash_rows({"x": shuffled}, 4).tolist() == hash_rows({"x": texts}, 4).tolist()[::-1]


def test_rows_do_not_depend_on_the_order_of_columns_but_on_their_names() -> None:
    a, b = column([1, 2, 3], "i32", np.int32), column([3, 2, 1], "i32", np.int32)
    one = hash_rows({"a": a, "b": b}, 0).tolist()
    assert one == hash_rows({"b": b, "a": a}, 0).tolist()
    assert one != hash_rows({"a": b, "b": a}, 0).tolist()


def test_texts_across_blocks_and_buffers_hash_as_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["word " * (i % 7) + str(i) for i in range(500)]
    whole = hash_rows({"x": text_column(words)}, 1).tolist()
    monkeypatch.setattr("bmc_runtime.hashing._BLOCK_BYTES", 64)
    assert hash_rows({"x": text_column(words)}, 1).tolist() == whole
    left, right = text_column(words[:200]), text_column(words[200:])
    both = Column("str", np.concatenate([left.data, right.data]), None, left.keep + right.keep)
    assert hash_rows({"x": both}, 1).tolist() == whole


def test_text_outside_its_buffers_is_refused() -> None:
    column = text_column(["a", "b"])
    with pytest.raises(ValueError, match="outside"):
        hash_rows({"x": Column("str", column.data, None, ())}, 1)


def test_fractions_are_met_and_independent_of_order() -> None:
    rows = 40_000
    table = {"x": column(list(range(rows)), "i64", np.int64)}
    split = by_hash(table, (0.7, 0.1, 0.2), seed=1)
    counts = np.bincount(split, minlength=3)
    # a count is binomial: five standard deviations, sqrt(n p (1 - p)), hold all but one in a million
    for count, p in zip(counts, (0.7, 0.1, 0.2), strict=True):
        assert abs(count - rows * p) < 5 * (rows * p * (1 - p)) ** 0.5
    order = np.random.default_rng(0).permutation(rows)
    assert (by_hash({"x": table["x"].take(order)}, (0.7, 0.1, 0.2), seed=1) == split[order]).all()
    assert (by_hash(table, (0.7, 0.1, 0.2), seed=2) != split).any()


def test_splits_hold_what_they_held(golden: Callable[[str, str], None]) -> None:
    """A changed hash would move rows of every model's users from training to test."""
    table = {"n": column(list(range(64)), "i32", np.int32), "w": text_column([f"row {i % 9}" for i in range(64)])}
    golden("assignment", " ".join(map(str, by_hash(table, (0.6, 0.2, 0.2), seed=7))) + "\n")


def test_rest_belongs_to_no_split() -> None:
    assert by_order(10, (0.5, 0.2)).tolist() == [0] * 5 + [1] * 2 + [-1] * 3
    assert by_order(10, (0.9, 0.05, 0.05)).tolist() == [0] * 9 + [1]  # 9.5 rounds to even; all rows belong to a split
    assert by_order(0, (1.0,)).tolist() == []
    assert (by_hash({"x": column(list(range(1000)), "i32", np.int32)}, (0.5,), 1) == -1).any()


def test_ten_tenths_are_everything() -> None:
    assert (by_order(1000, (0.1,) * 10) >= 0).all()


@pytest.mark.parametrize("fractions", [(1.1,), (0.6, 0.6), (-0.1, 0.5)])
def test_impossible_fractions_are_refused(fractions: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="fractions"):
        by_order(5, fractions)


def test_by_time_begins_a_split_at_its_boundary() -> None:
    days = column([3, 9, 10, 19, 20, 25], "i32", np.int32)
    assert by_time(days, (10, 20)).tolist() == [0, 0, 1, 1, 2, 2]
    with pytest.raises(ValueError, match="ascend"):
        by_time(days, (20, 10))
    missing = Column("i32", np.zeros(2, np.int32), np.array([True, False]))
    with pytest.raises(ValueError, match="without a time"):
        by_time(missing, (10,))


def test_first_of_equals_keeps_the_first_row() -> None:
    words = text_column(["a", "b", "a", "a", "b", "c", "", ""])
    numbers = column([0.0, 1.0, -0.0, 2.0, 1.0, 0.0, 5.0, 5.0], "f32", np.float32)
    assert first_of_equals({"w": words, "n": numbers}).tolist() == [True, True, False, True, False, True, True, False]
    assert first_of_equals({"w": words}).tolist() == [True, True, False, False, False, True, True, False]


def test_the_tests_of_all_folds_are_a_partition() -> None:
    table = {"i": column(list(range(4000)), "i64", np.int64)}
    parts = [by_fold(table, 5, k, (0.25,), 3) for k in range(5)]
    assert (sum((part == 2).astype(int) for part in parts) == 1).all()
    for part in parts:
        # Binomial counts of 4,000: 5 standard deviations are 126 of p = 0.2, 113 of the share 0.25 of the rest (about 3,200).
        assert abs((part == 2).sum() - 800) < 126
        assert abs((part == 1).sum() - 800) < 126
    without = by_fold(table, 5, 2, (), 3)
    assert ((without == 1) == (parts[2] == 2)).all()
    assert set(without.tolist()) == {0, 1}
    # A row that validates does so in every fold in which it is not the test.
    pairs = [(part == 1, part) for part in parts]
    assert all(((a == b) | (p == 2) | (q == 2)).all() for a, p in pairs for b, q in pairs)
    with pytest.raises(ValueError, match="no fold 5 of 5"):
        by_fold(table, 5, 5, (), 0)


def test_a_column_says_the_split() -> None:
    texts = text_column(["train", "test", "valid", "", "Train", "test"])
    assert by_column(texts, [("train",), ("valid",), ("test",)]).tolist() == [0, 2, 1, -1, -1, 2]
    assert by_column(texts, [(), ("", "test")]).tolist() == [0, 1, 0, 1, 0, 1]
    numbers = Column("i32", np.array([0, 1, 2, 3, 0], np.int32), np.array([True, True, True, True, False]))
    assert by_column(numbers, [(), (2, 3)]).tolist() == [0, 0, 1, 1, -1]
    assert by_column(numbers, [(1,), (2,)]).tolist() == [-1, 0, 1, -1, -1]
    flags = Column("bool", np.array([True, False]))
    assert by_column(flags, [(), (1,)]).tolist() == [1, 0]
