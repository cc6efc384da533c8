"""Incremental rules: positions computed from restricted operands are those of the whole result, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

from bmc.ir import Operation, TensorType, Value
from bmc.ops.build import Builder
from bmc.ops.evaluate import evaluate_ops
from bmc.ops.lowering import Contraction, Elementwise, Expanded, Reduction, View
from bmc.ops.table import operators
from tests.ops.sampling import BINDINGS, Case, cases, draw, has_value

RULED = [case for case in cases() if case.record.by_position is not None and has_value(case)]


@pytest.mark.parametrize("case", RULED, ids=str)
def test_positions_of_the_parts_are_those_of_the_whole(case: Case) -> None:
    rule = case.record.by_position
    assert rule is not None
    op = case.build()
    arrays = draw(case.sample, BINDINGS)
    whole = _evaluate([op], dict(zip(op.operands, arrays, strict=True)), op.results)
    for axis in range(op.results[0].type.rank):
        if any(axis >= value.type.rank for value in op.results) or (along := rule.along(op, axis)) is None:
            continue
        size = whole[0].shape[axis]
        for first, count in ((0, 1), (size - 1, 1), (1, size - 1)):
            if not 1 <= count <= size - first or first < 0:
                continue
            b = Builder()
            values, parts = [], []
            for value, array, followed in zip(op.operands, arrays, along, strict=True):
                kind = value.type
                if followed is not None:
                    kind = kind.with_shape((*kind.shape[:followed], count, *kind.shape[followed + 1 :]))
                    array = array.take(range(first, first + count), axis=followed)
                values.append(Value(kind))
                parts.append(array)
            made = rule.build(b, op, values, axis, first, count)
            found = _evaluate(b.ops, dict(zip(values, parts, strict=True)), made)
            for all_of, some in zip(whole, found, strict=True):
                expected = all_of.take(range(first, first + count), axis=axis)
                # numpy sums in another order where shapes differ: exact orders are held by the native tests.
                if isinstance(case.record.lowering, Reduction | Contraction | Expanded):
                    np.testing.assert_allclose(some, expected, rtol=1e-5, atol=1e-5)
                else:
                    np.testing.assert_array_equal(some, expected)


def test_what_is_not_made_position_by_position() -> None:
    b = Builder()
    x = Value(TensorType("f32", (3, 4)))
    for op, axis in (
        (b.operation("sort", [x], operators()["sort"].samples()[0].attrs), 1),
        (_op(b.cumsum(x, 0), b), 0),
        (_op(b.slice(x, (2, 0), (-1, 4), (-1, 1)), b), 0),
        (_op(b.pad(x, (1, 0), (0, 0)), b), 0),
        (_op(b.concat([x, x], 1), b), 1),
        (_op(b.reshape(x, (12,)), b), 0),
    ):
        rule = operators()[op.name].by_position
        assert rule is not None
        assert rule.along(op, axis) is None, op.name


def test_views_and_elements_have_rules() -> None:
    for record in operators().values():
        if isinstance(record.lowering, View):
            assert record.by_position is not None, record.name
        if isinstance(record.lowering, Elementwise) and not (record.lowering.indexed or record.lowering.scalars):
            assert record.by_position is not None, record.name


def _op(value: Value, b: Builder) -> Operation:
    assert value in b.ops[-1].results
    return b.ops[-1]


def _evaluate(ops: list[Operation], values: dict[Value, np.ndarray], wanted: tuple[Value, ...]) -> list[np.ndarray]:
    evaluate_ops(ops, values, BINDINGS, np)
    return [np.asarray(values[value]) for value in wanted]
