"""`distinct` counts exactly, whatever the blocks, and its tables own their text."""

from __future__ import annotations

import gc
import pickle
from collections import Counter
from functools import reduce
from typing import Any

import numpy as np
import pytest

from bmc_runtime.memory import Array, allocate
from bmc_runtime.reducers.distinct import Distinct, texts_of
from bmc_runtime.reducers.running import REDUCERS, run_reducer
from bmc_runtime.table import text_column
from tests.reducing import native_kernels

WORDS = ["b", "é", "a", "z", "b", "", "a", "b", "zz", "中"]


def outputs(dtype: str, limit: int) -> list[Array]:
    filled = [allocate(dtype, (limit,)), allocate("i32", (limit,)), allocate("i32", ())]
    filled[1][...] = 7  # type: ignore[call-overload]
    return filled


def expected(values: list[bytes] | list[int], limit: int) -> tuple[list[bytes] | list[int], list[int], int]:
    """By the definition, in Python."""
    counts = Counter(values)
    ranked = sorted(counts, key=lambda value: (-counts[value], value))[:limit]
    empty = b"" if values and isinstance(values[0], bytes) else 0
    order = sorted(range(len(ranked)), key=lambda place: ranked[place])
    padding = limit - len(ranked)
    return [*ranked, *[empty] * padding], [*order, *[-1] * padding], len(ranked)


@pytest.mark.parametrize("limit", [0, 1, 3, 7, 20])
def test_text_by_count_then_bytes(limit: int) -> None:
    column = text_column(WORDS)
    keep = np.array([word != "zz" for word in WORDS])
    table, order, count = filled = outputs("str", limit)
    buffers = run_reducer("distinct", [column.data, keep], filled, {"limit": limit}, native_kernels())
    wanted = expected([word.encode() for word in WORDS if word != "zz"], limit)
    assert (texts_of(table), order.tolist(), int(count)) == wanted
    assert all(isinstance(buffer, np.ndarray) for buffer in buffers)


@pytest.mark.parametrize("dtype", ["i32", "i64"])
@pytest.mark.parametrize("limit", [0, 2, 9])
def test_integers_by_count_then_value(dtype: str, limit: int) -> None:
    values = [5, -3, 5, 0, -3, 5, 2**31 - 1, 8]
    x = np.array(values, dtype={"i32": np.int32, "i64": np.int64}[dtype])
    keep = np.array([True] * 7 + [False])
    table, order, count = filled = outputs(dtype, limit)
    assert run_reducer("distinct", [x, keep], filled, {"limit": limit}, native_kernels()) == ()
    assert (table.tolist(), order.tolist(), int(count)) == expected(values[:7], limit)


def test_tables_own_their_text() -> None:
    column = text_column([f"word {i % 50}" for i in range(1000)])
    filled = outputs("str", 50)
    buffers = run_reducer("distinct", [column.data, np.ones(1000, np.bool_)], filled, {"limit": 50}, native_kernels())
    table = filled[0]
    addresses = table["address"]  # type: ignore[call-overload]
    base = buffers[0].ctypes.data
    assert ((addresses >= base) & (addresses <= base + len(buffers[0]))).all()
    del column
    gc.collect()
    assert sorted(texts_of(table)) == sorted(f"word {i}".encode() for i in range(50))


def test_does_not_depend_on_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    x, keep = rng.integers(0, 40, 1000), rng.integers(0, 2, 1000) > 0
    whole = outputs("i64", 30)
    run_reducer("distinct", [x, keep], whole, {"limit": 30}, native_kernels())
    monkeypatch.setattr("bmc_runtime.reducers.running.BLOCK_ROWS", 7)
    blocks = outputs("i64", 30)
    run_reducer("distinct", [x, keep], blocks, {"limit": 30}, native_kernels())
    assert [array.tolist() for array in blocks] == [array.tolist() for array in whole]


def test_merge_commutes() -> None:
    reducer = REDUCERS["distinct"]

    def parts() -> list[Any]:
        blocks = [[np.arange(i, i + 4), np.ones(4, np.bool_)] for i in range(5)]
        return [pickle.loads(pickle.dumps(reducer.add(None, block, {}, None, native_kernels()))) for block in blocks]

    assert reduce(reducer.merge, parts()) == reduce(reducer.merge, parts()[::-1])


@pytest.mark.parametrize("most", [60, 150, 1000])
@pytest.mark.parametrize("kind", ["str", "i64"])
def test_more_values_than_are_kept_at_a_time(kind: str, most: int) -> None:
    """Further passes count the rest; whether blocks are added or merged."""
    rng = np.random.default_rng(8)
    numbers = (rng.zipf(1.3, 3000) % 400).tolist()
    texts = [f"v{n}".encode() for n in numbers]
    column = text_column(texts)
    x = column.data if kind == "str" else np.array(numbers)
    reducer, attributes = Distinct(most=most), {"limit": 20}
    keep = np.ones(3000, np.bool_)
    for size, apart in ((3000, False), (100, False), (500, True)):
        question, passes = None, 0
        while True:
            state, passes = None, passes + 1
            for start in range(0, 3000, size):
                block = [x[start : start + size], keep[start : start + size]]
                if apart and state is not None:
                    state = reducer.merge(reducer.add(None, block, attributes, question, native_kernels()), state)
                else:
                    state = reducer.add(state, block, attributes, question, native_kernels())
            following = reducer.ask(state, attributes, question)
            if following is None:
                break
            question = pickle.loads(pickle.dumps(following))
        table, order, count = filled = outputs(kind, 20)
        buffers = reducer.finish(state, filled, attributes, question)
        found = texts_of(table) if kind == "str" else table.tolist()
        assert (found, order.tolist(), int(count)) == expected(texts if kind == "str" else numbers, 20)
        assert (passes > 1) == (most < len(set(numbers)))
        del buffers


def test_no_rows() -> None:
    table, order, count = filled = outputs("str", 3)
    run_reducer("distinct", [text_column([]).data, np.zeros(0, np.bool_)], filled, {"limit": 3}, native_kernels())
    assert (texts_of(table), order.tolist(), int(count)) == ([b"", b"", b""], [-1, -1, -1], 0)


def test_unknown_reducers_are_refused() -> None:
    with pytest.raises(KeyError):
        run_reducer("median_of_medians", [np.zeros(1)], [], {}, native_kernels())
