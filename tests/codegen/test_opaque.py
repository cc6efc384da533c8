"""Kernels of their own at their edges: ties, NaN, indices out of range, texts that are prefixes, tables with holes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bmc.codegen.opaque import OPAQUE_KERNELS
from bmc.ir import Operation, Poly
from bmc.ops.build import Builder
from bmc.ops.lowering import Opaque
from bmc.ops.order import ArgAttrs, SortAttrs
from bmc.ops.table import operators
from bmc.ops.text import EqualAttrs, LookupAttrs, TextAttrs
from tests.native import NativeKernel, compile_kernels, typed
from tests.ops.sampling import run

B, T = Poly.symbol("B"), Poly.symbol("T")


def native(name: str, *operands: Any, attrs: Any = None) -> tuple[Operation, NativeKernel]:
    op = Builder().operation(name, operands, attrs) if attrs is not None else Builder().operation(name, operands)
    return op, compile_kernels([op])[0]


def check(op: Operation, kernel: NativeKernel, arrays: list[Any], bindings: dict[str, int]) -> list[Any]:
    found = kernel.run(arrays, bindings)
    for value, reference in zip(found, run(op, arrays, bindings), strict=True):
        np.testing.assert_array_equal(value, reference)
    return found


def texts(*items: str) -> Any:
    return np.array(items, object)


def test_every_opaque_operator_has_a_kernel() -> None:
    named = {r.lowering.kernel for r in operators().values() if isinstance(r.lowering, Opaque) and not r.effect}
    assert named == set(OPAQUE_KERNELS)


@pytest.mark.parametrize("descending", [False, True])
def test_sort_is_stable_and_puts_nan_last(descending: bool) -> None:
    op, kernel = native("sort", typed("f32", B, T), attrs=SortAttrs(descending))
    rng = np.random.default_rng(0)
    for size in (0, 1, 2, 3, 33, 257):
        x = rng.integers(0, 5, size=(4, size)).astype(np.float32)
        x[rng.random((4, size)) < 0.2] = np.nan
        x[rng.random((4, size)) < 0.1] = -np.inf
        check(op, kernel, [x], {"B": 4, "T": size})
    for x in (np.arange(500.0), np.arange(500.0)[::-1], np.zeros(500), np.full(500, np.nan)):
        check(op, kernel, [x.astype(np.float32)[None]], {"B": 1, "T": 500})


@pytest.mark.parametrize("name", ["argmax", "argmin"])
def test_the_first_of_equals_and_the_first_nan_win(name: str) -> None:
    op, kernel = native(name, typed("f64", B, T), attrs=ArgAttrs(1))
    rows = [[1, 3, 3, 0], [0, 0, 0, 0], [2, np.nan, 5, np.nan], [-np.inf, np.inf, -np.inf, np.inf], [np.nan] * 4]
    check(op, kernel, [np.array(rows)], {"B": 5, "T": 4})


@pytest.mark.parametrize("dtype", ["i32", "i64"])
def test_indices_out_of_range_take_the_nearest_row(dtype: str) -> None:
    index = np.array([-1, 0, 3, 4, np.iinfo(dtype.replace("i", "int")).max, np.iinfo(dtype.replace("i", "int")).min]).astype(
        dtype.replace("i", "int")
    )
    gather = native("gather", typed("f32", 4, 3), typed(dtype, B))
    table = np.arange(12, dtype=np.float32).reshape(4, 3)
    check(*gather, [table, index], {"B": 6})
    along = native("take_along", typed("f32", B, 4), typed(dtype, B))
    check(*along, [np.arange(24, dtype=np.float32).reshape(6, 4), index], {"B": 6})
    b = Builder()
    b.scatter_add(typed(dtype, B), typed("f32", B, 3), 4)
    (kernel,) = compile_kernels(b.ops)
    check(b.ops[0], kernel, [index, np.ones((6, 3), np.float32)], {"B": 6})


def test_updates_of_one_row_are_added_in_order() -> None:
    b = Builder()
    b.scatter_add(typed("i32", B), typed("f32", B, 11), 2)
    (kernel,) = compile_kernels(b.ops)
    rng = np.random.default_rng(1)
    updates = (rng.normal(size=(50, 11)) * np.exp(rng.normal(size=(50, 11)) * 5)).astype(np.float32)
    wanted = np.zeros((2, 11), np.float32)
    for row in updates:
        wanted[1] += row
    np.testing.assert_array_equal(kernel.run([np.ones(50, np.int32), updates], {"B": 50})[0], wanted)


WORDS = ["", "a", "ab", "abc", "b", "é", "zz", "a\0", "a\0b", "日本", "ab" * 40]


@pytest.mark.parametrize("literal", ["", "ab", "a\0", "é", 'quote " and \\ and \n'])
def test_texts_compare_by_their_bytes(literal: str) -> None:
    words = texts(*WORDS, literal)
    equal = native("str_equal", typed("str", B), attrs=EqualAttrs(literal))
    (found,) = check(*equal, [words], {"B": len(words)})
    assert found.sum() == sum(word == literal for word in words)
    select = native("str_select", typed("bool", B), typed("str", B), attrs=TextAttrs(literal))
    check(*select, [np.arange(len(words)) % 2 == 0, words], {"B": len(words)})


def test_look_ups_find_each_entry_and_nothing_else() -> None:
    """Tables of every size, some with an order that ends early: what it does not name is absent."""
    op, kernel = native("str_lookup", typed("str", B), typed("str", T), typed("i32", T), attrs=LookupAttrs())
    for size in range(len(WORDS) + 1):
        table = WORDS[:size][::-1]
        order = sorted(range(size), key=lambda i: table[i].encode())
        for used in {size, size // 2}:
            # The table holds no more than the order names when it ends early, as fitting leaves it.
            named = sorted(order[:used], key=lambda i: table[i].encode())
            places = np.array([*named, *[-1] * (size - used)], np.int32)
            check(op, kernel, [texts(*WORDS, "absent"), texts(*table), places], {"B": len(WORDS) + 1, "T": size})


@pytest.mark.parametrize("dtype", ["i32", "i64"])
def test_integers_are_looked_up_over_their_whole_range(dtype: str) -> None:
    op, kernel = native("int_lookup", typed(dtype, B), typed(dtype, T), typed("i32", T))
    kind = np.dtype(dtype.replace("i", "int"))
    bounds = np.iinfo(kind)
    table = np.array([5, bounds.min, 0, bounds.max, -7], kind)
    order = np.argsort(table).astype(np.int32)
    cells = np.array([bounds.min, bounds.max, 0, 5, -7, 6, -8, 1], kind)
    check(op, kernel, [cells, table, order], {"B": 8, "T": 5})
    check(op, kernel, [cells, table[:0], order[:0]], {"B": 8, "T": 0})


def test_lower_case_of_texts_that_the_scratch_does_not_hold() -> None:
    """Above a mebibyte lower case is made while comparing; both ways find the same."""
    op, kernel = native("str_lookup", typed("str", B), typed("str", T), typed("i32", T), attrs=LookupAttrs(lower=True))
    long = "ÀBc" * (1 << 18)
    table = texts("z", long.lower(), long.lower() + "a", "àbc")
    order = np.array([0, 3, 1, 2], np.int32)
    cells = texts(long, long + "A", long + "B", long[:-1], "ÀBC", "Z")
    assert check(op, kernel, [cells, table, order], {"B": len(cells), "T": 4})[0].tolist() == [1, 2, -1, -1, 3, 0]
