"""Sums, moments, quantiles and extremes of all rows: exact, whatever the blocks and their order."""

from __future__ import annotations

import math
import pickle
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bmc.ops.statistics import ExactSumAttrs, ExtremeAttrs, GroupMomentsAttrs, QuantilesAttrs, RowMomentsAttrs
from bmc.ops.table import definition
from bmc_runtime.memory import Array
from bmc_runtime.reducers.running import REDUCERS
from tests.reducing import native_kernels

NASTY = [
    0.0, -0.0, 5e-324, -5e-324, 2.2e-308, 1e-45, 1.0, -1.0, 1 + 2**-52, 3.4e38, -3.4e38, 1e300, -1e300, 1.7e308, 0.1, 2.0**-1000,
]  # fmt: skip

KINDS: list[tuple[str, Any]] = [
    ("exact_sum", ExactSumAttrs((0,))),
    ("row_moments", RowMomentsAttrs((0,), 0)),
    ("row_moments", RowMomentsAttrs((0,), 1)),
    ("quantiles", QuantilesAttrs((0,), (0.0, 0.25, 0.5, 0.9, 1.0))),
    ("extreme", ExtremeAttrs((0,), True)),
    ("extreme", ExtremeAttrs((0,), False)),
    ("group_moments", GroupMomentsAttrs(3, 1)),
]


def attributes(attrs: object) -> dict[str, object]:
    return {name: getattr(attrs, name) for name in attrs.__match_args__}  # type: ignore[attr-defined]


def reduced(name: str, blocks: Sequence[Sequence[Array]], attrs: object, outputs: Sequence[Array], apart: bool = False) -> None:
    """Through all passes; with `apart` each block is a state of its own, pickled, and the states are merged."""
    reducer, question, settings_ = REDUCERS[name], None, attributes(attrs)
    while True:
        state = None
        for block in blocks:
            if apart:
                part = pickle.loads(pickle.dumps(reducer.add(None, block, settings_, question, native_kernels())))
                state = part if state is None else reducer.merge(state, part)
            else:
                state = reducer.add(state, block, settings_, question, native_kernels())
        following = reducer.ask(state, settings_, question)
        if following is None:
            reducer.finish(state, outputs, settings_, question)
            return
        question = pickle.loads(pickle.dumps(following))


def operands(name: str, x: Array, keep: Array, codes: Array) -> list[Array]:
    return [x, keep, codes][: REDUCERS[name].inputs]


def expected(name: str, attrs: object, arrays: Sequence[Array]) -> list[Array]:
    with np.errstate(all="ignore"):
        return [np.asarray(array) for array in definition(name).reference(np, attrs, arrays)]


def drawn(rng: np.random.Generator, rows: int, dtype: Any, nasty: bool) -> tuple[Array, Array, Array]:
    with np.errstate(over="ignore"):
        x = rng.choice(NASTY, size=(rows,)) if nasty else rng.standard_normal(rows) * 10.0 ** rng.integers(-30, 30, rows)
        x = x.astype(dtype)
    x[~np.isfinite(x)] = 1
    return x, rng.random(rows) < 0.8, rng.integers(-1, 4, rows).astype(np.int32)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("nasty", [False, True])
@pytest.mark.parametrize(("name", "attrs"), KINDS, ids=lambda v: v if isinstance(v, str) else None)
def test_equals_rational_arithmetic(name: str, attrs: object, dtype: Any, nasty: bool) -> None:
    """The references compute with fractions, and round once: bits must be equal."""
    for rows in (1, 2, 17, 200):
        arrays = operands(name, *drawn(np.random.default_rng(rows), rows, dtype, nasty))
        wanted = expected(name, attrs, arrays)
        outputs = [np.zeros_like(array) for array in wanted]
        reduced(name, [arrays], attrs, outputs)
        for found, right in zip(outputs, wanted, strict=True):
            np.testing.assert_array_equal(found, right)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("name", "attrs"), KINDS, ids=lambda v: v if isinstance(v, str) else None)
def test_blocks_and_their_order_do_not_matter(name: str, attrs: object, dtype: Any) -> None:
    rows = 3000
    rng = np.random.default_rng(7)
    arrays = operands(name, *drawn(rng, rows, dtype, nasty=True))
    whole = [np.zeros_like(array) for array in expected(name, attrs, arrays)]
    reduced(name, [arrays], attrs, whole)
    for size in (1, 7, 1024):
        for apart in (False, True):
            if apart and size < (1024 if name == "quantiles" else 7):  # a state of counters is large
                continue
            starts = rng.permutation(range(0, rows, size))
            blocks = [[array[start : start + size] for array in arrays] for start in starts]
            outputs = [np.zeros_like(array) for array in whole]
            reduced(name, blocks, attrs, outputs, apart)
            assert [o.tobytes() for o in outputs] == [w.tobytes() for w in whole], (size, apart)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=12), st.randoms(use_true_random=False))
def test_any_doubles(values: list[float], random: Any) -> None:
    """Against fractions, in any order, in two blocks."""
    shuffled = random.sample(values, len(values))
    middle = len(values) // 2
    arrays = [np.array(shuffled[:middle], float), np.array(shuffled[middle:], float)]
    total = np.zeros(())
    reduced("exact_sum", [[array] for array in arrays], ExactSumAttrs((0,)), [total])
    exact = sum(map(Fraction, values), Fraction(0))
    try:
        assert float(total) == exact.numerator / exact.denominator
    except OverflowError:
        assert math.isinf(float(total))


@pytest.mark.parametrize(
    ("cells", "total", "mean"),
    [
        ([math.inf, 1.0], math.inf, math.inf),
        ([-math.inf, -1e300], -math.inf, -math.inf),
        ([math.inf, -math.inf], math.nan, math.nan),
        ([math.nan, 1.0], math.nan, math.nan),
        ([], 0.0, math.nan),
        ([1.7e308] * 3, math.inf, 1.7e308),  # the sum is beyond doubles, the mean is not
        ([2.0**970] * 2 + [-(2.0**970)] * 2, 0.0, 0.0),
    ],
)
def test_what_is_not_finite(cells: list[float], total: float, mean: float) -> None:
    x = np.array(cells, float)
    summed, count, average, variance = np.ones(()), np.zeros((), np.int64), np.ones(()), np.ones(())
    reduced("exact_sum", [[x]], ExactSumAttrs((0,)), [summed])
    reduced("row_moments", [[x, np.ones(len(x), np.bool_)]], RowMomentsAttrs((0,), 0), [count, average, variance])
    np.testing.assert_array_equal([summed, average], [total, mean])
    assert int(count) == len(cells)
    assert math.isnan(float(variance)) == (not cells or not np.isfinite(x).all())


def test_many_cells_pass_carries_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """With room for 5 cells between carries instead of 2 ** 29."""
    monkeypatch.setattr("bmc_runtime.reducers.sums._MOST_ADDED", 5)
    x, keep, _ = drawn(np.random.default_rng(1), 100, np.float64, nasty=True)
    wanted = expected("row_moments", RowMomentsAttrs((0,), 0), [x, keep])
    for apart in (False, True):
        outputs = [np.zeros_like(array) for array in wanted]
        blocks = [[x[i : i + 3], keep[i : i + 3]] for i in range(0, 100, 3)]
        reduced("row_moments", blocks, RowMomentsAttrs((0,), 0), outputs, apart)
        for found, right in zip(outputs, wanted, strict=True):
            np.testing.assert_array_equal(found, right)


@pytest.mark.parametrize("shape", [(40, 3), (40, 2, 3), (40, 700)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cells_of_several_numbers(shape: tuple[int, ...], dtype: Any) -> None:
    """Statistics of each number down the rows, or over all; wide cells take shorter digits."""
    rng = np.random.default_rng(5)
    x, keep = rng.standard_normal(shape).astype(dtype), rng.random(shape) < 0.9
    for axes in ((0,), tuple(range(len(shape)))):
        for name, attrs in (
            ("row_moments", RowMomentsAttrs(axes, 0)),
            ("quantiles", QuantilesAttrs(axes, (0.5, 0.99))),
            ("extreme", ExtremeAttrs(axes, True)),
        ):
            arrays = [x, keep][: REDUCERS[name].inputs]
            wanted = expected(name, attrs, arrays)
            outputs = [np.zeros_like(array) for array in wanted]
            reduced(name, [[a[:11] for a in arrays], [a[11:] for a in arrays]], attrs, outputs)
            for found, right in zip(outputs, wanted, strict=True):
                np.testing.assert_array_equal(found, right)


def test_sums_of_integers_wrap() -> None:
    total = np.zeros((), np.int64)
    reduced("exact_sum", [[np.array([2**63 - 1])], [np.array([1])]], ExactSumAttrs((0,)), [total])
    assert int(total) == -(2**63)


def test_blocks_of_floats() -> None:
    """f32 cells are added in blocks of 1,024 where none is too small beside the largest, one by one elsewhere: both sides of the
    rule, at its edge, with masks, subnormals and what is not finite."""
    rng = np.random.default_rng(2)
    plain = rng.standard_normal(2500).astype(np.float32)
    edge = np.where(rng.random(2500) < 0.5, 1.0, 2.0**-22) * (1 + rng.integers(0, 2**23, 2500) * 2.0**-23)
    cases = {
        "plain": plain,
        "counts": rng.integers(0, 100, 2500).astype(np.float32),
        "same": np.full(2500, 0.1, np.float32),
        "none": np.zeros(2500, np.float32),
        "subnormal": rng.integers(0, 2**23, 2500).astype(np.uint32).view(np.float32),
        "huge": np.where(plain > 0, np.float32(3.4e38), plain),
        "wide": (plain * 10.0 ** rng.integers(-20, 20, 2500)).astype(np.float32),
        "edge": edge.astype(np.float32),
        "largest": np.full(2500, np.finfo(np.float32).max),
        "infinite": np.where(np.arange(2500) == 1500, np.float32(np.inf), plain),
        "not a number": np.where(np.arange(2500) == 2499, np.float32(np.nan), plain),
    }
    for name, x in cases.items():
        for keep in (np.ones(2500, np.bool_), rng.random(2500) < 0.5):
            for operator, attrs in (("row_moments", RowMomentsAttrs((0,), 0)), ("exact_sum", ExactSumAttrs((0,)))):
                arrays = [x, keep] if operator == "row_moments" else [np.where(keep, x, np.float32(0))]
                wanted = expected(operator, attrs, arrays)
                outputs = [np.zeros_like(array) for array in wanted]
                reduced(operator, [arrays], attrs, outputs)
                for found, right in zip(outputs, wanted, strict=True):
                    np.testing.assert_array_equal(found, right, err_msg=f"{operator} {name}")
