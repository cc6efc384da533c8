"""References: they keep the types of the type rules, and the promises of the documentation where numpy alone does not."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from bmc.ir import Operation, TensorType, Value
from bmc.ops.build import Builder
from bmc.ops.choice import CastAttrs
from bmc.ops.index import ScatterAddAttrs
from bmc.ops.order import ArgAttrs, SortAttrs
from bmc.ops.reduce import ReduceAttrs
from bmc.ops.registry import NoAttrs, Operator
from bmc.ops.shape import PadAttrs, SliceAttrs
from bmc.ops.sources import ConstantAttrs
from bmc.ops.table import operators
from bmc.ops.text import DistinctAttrs, LookupAttrs
from tests.ops.sampling import cases, draw, has_value, run

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize("record", operators().values(), ids=lambda record: record.name)
def test_results_have_the_types_of_the_rule(record: Operator) -> None:
    """Evaluation itself compares; at sizes that include 0 and 1."""
    for case in cases():
        if case.record is record and has_value(case):
            for rows in (0, 1, 5):
                bindings = {"B": rows, "T": 4}
                run(case.build(), draw(case.sample, bindings), bindings)


def op_of(name: str, arrays: list[Any], attrs: object = NoAttrs()) -> Operation:
    dtypes = {"float32": "f32", "float64": "f64", "int32": "i32", "int64": "i64", "uint8": "u8", "bool": "bool", "object": "str"}
    return Builder().operation(name, [Value(TensorType(dtypes[a.dtype.name], a.shape)) for a in arrays], attrs)


def apply(name: str, *arrays: Any, attrs: object = NoAttrs()) -> list[Any]:
    given = [np.asarray(a) for a in arrays]
    return run(op_of(name, given, attrs), given, {})


def test_casts_saturate() -> None:
    x = np.array([NAN, INF, -INF, 1e30, -1e30, 2.9, -2.9, 255.5, -0.5])
    (found,) = apply("cast", x, attrs=CastAttrs("u8"))
    assert found.tolist() == [0, 255, 0, 255, 0, 2, 0, 255, 0]
    (found,) = apply("cast", x, attrs=CastAttrs("i32"))
    assert found.tolist() == [0, 2**31 - 1, -(2**31), 2**31 - 1, -(2**31), 2, -2, 255, 0]
    (found,) = apply("cast", np.float32([2147483520.0, 2147483648.0, 9.3e18, -9.3e18]), attrs=CastAttrs("i64"))
    assert found.tolist() == [2147483520, 2147483648, 2**63 - 1, -(2**63)]
    (found,) = apply("cast", np.array([300, -1]), attrs=CastAttrs("u8"))
    assert found.tolist() == [44, 255]
    (found,) = apply("cast", np.array([NAN, 0.0, -0.0, 0.25]), attrs=CastAttrs("bool"))
    assert found.tolist() == [True, False, False, True]


def test_integer_division_floors_and_has_no_traps() -> None:
    x, y = np.array([7, -7, 7, -7, 5, -(2**63)]), np.array([2, 2, -2, -2, 0, -1])
    assert apply("floor_div", x, y)[0].tolist() == [3, -4, -4, 3, 0, -(2**63)]
    assert apply("rem", x, y)[0].tolist() == [1, 1, -1, -1, 0, 0]


def test_extremes_propagate_nan() -> None:
    assert np.isnan(apply("maximum", np.array([NAN, 1.0]), np.array([1.0, NAN]))[0]).all()
    assert np.isnan(apply("reduce_max", np.array([1.0, NAN]), attrs=ReduceAttrs((0,)))[0])
    assert apply("reduce_max", np.zeros((2, 0)), attrs=ReduceAttrs((1,)))[0].tolist() == [-INF, -INF]
    assert apply("reduce_min", np.zeros((0,), dtype=np.int32), attrs=ReduceAttrs((0,)))[0] == 2**31 - 1


def test_sort_is_stable_and_puts_nan_last_both_ways() -> None:
    x = np.array([2.0, NAN, 1.0, 2.0, -0.0, 0.0])
    values, order = apply("sort", x, attrs=SortAttrs(False))
    assert order.tolist() == [4, 5, 2, 0, 3, 1]
    values, order = apply("sort", x, attrs=SortAttrs(True))
    assert order.tolist() == [0, 3, 2, 4, 5, 1]
    np.testing.assert_array_equal(values, x[order])


def test_arg_extremes_take_the_first() -> None:
    assert apply("argmax", np.array([[1.0, 3.0, 3.0], [NAN, 9.0, NAN]]), attrs=ArgAttrs(1))[0].tolist() == [1, 0]
    assert apply("argmin", np.array([4, 0, 0]), attrs=ArgAttrs(0))[0] == 1


def test_indices_are_clamped() -> None:
    table = np.arange(6.0).reshape(3, 2)
    index = np.array([-5, 1, 9], dtype=np.int32)
    assert apply("gather", table, index)[0].tolist() == [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]
    assert apply("scatter_add", index, np.ones((3, 2)), attrs=ScatterAddAttrs(3))[0].tolist() == [[1.0, 1.0]] * 3
    assert apply("take_along", table, index)[0].tolist() == [0.0, 3.0, 5.0]


def test_slices_and_padding_follow_their_definition() -> None:
    """Cell by cell, over all bounds of a short axis."""
    x = np.arange(5.0)
    for start, stop, step in itertools.product(range(5), range(-1, 6), (-2, -1, 1, 2)):
        indices = list(range(start, stop, step))
        if indices and min(indices) >= 0 and max(indices) < 5:
            (found,) = apply("slice", x, attrs=SliceAttrs((start,), (stop,), (step,)))
            assert found.tolist() == [x[i] for i in indices]
    for low, high, interior in itertools.product(range(3), range(3), range(3)):
        (found,) = apply("pad", x[:3], attrs=PadAttrs((low,), (high,), (interior,), 9.0))
        inner: list[float] = []
        for i, cell in enumerate(x[:3].tolist()):
            inner += ([9.0] * interior if i else []) + [cell]
        assert found.tolist() == [9.0] * low + inner + [9.0] * high


def test_distinct_ranks_by_count_then_bytes() -> None:
    words = np.array(["b", "a", "é", "b", "z", "a", "skipped"], dtype=object)
    keep = np.array([True] * 6 + [False])
    table, order, count = apply("distinct", words, keep, attrs=DistinctAttrs(6))
    assert table.tolist() == ["a", "b", "z", "é", "", ""]
    assert order.tolist() == [0, 1, 2, 3, -1, -1]
    assert count == 4
    table, order, count = apply("distinct", words, keep, attrs=DistinctAttrs(1))
    assert (table.tolist(), order.tolist(), int(count)) == (["a"], [0], 1)


def test_lookups_find_what_the_order_names() -> None:
    table = np.array(["b", "", "a", ""], dtype=object)
    order = np.array([2, 0, -1, -1], dtype=np.int32)
    texts = np.array(["a", "b", "", "c"], dtype=object)
    assert apply("str_lookup", texts, table, order, attrs=LookupAttrs())[0].tolist() == [2, 0, -1, -1]
    assert apply("int_lookup", np.array([5, 0, 7]), np.array([7, 5, 0]), np.array([1, 0, -1], dtype=np.int32))[0].tolist() == [
        1,
        -1,
        0,
    ]


def test_constants_keep_their_bits() -> None:
    (found,) = run(Builder().operation("constant", [], ConstantAttrs(-0.0, "f64", (2,))), [], {})
    assert np.signbit(found).all()
    (found,) = run(Builder().operation("constant", [], ConstantAttrs(0.1, "f32", ())), [], {})
    assert found == np.float32(0.1)
