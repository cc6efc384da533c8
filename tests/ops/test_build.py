"""The builder: types, locations, and the conveniences that stages rely on."""

from __future__ import annotations

import numpy as np
import pytest

from bmc.ir import Location, Poly, TensorType, Value
from bmc.ops.build import Builder, broadcast_shapes
from bmc.ops.evaluate import evaluate_ops
from bmc.ops.registry import TypeRuleError
from bmc.source import SourceFile, Span

B = Poly.symbol("B")


def _v(*shape: int | Poly, dtype: str = "f32") -> Value:
    return Value(TensorType(dtype, shape))


def test_shapes_broadcast_as_numpys_do() -> None:
    assert broadcast_shapes([(B, 1, 3), (4, 1), ()]) == (B, 4, 3)
    assert broadcast_shapes([]) == ()
    assert broadcast_shapes([(0,), (1,)]) == (0,)
    with pytest.raises(TypeRuleError, match="2 and 3") as caught:
        broadcast_shapes([(1, 2), (3,)])
    assert (caught.value.operand, caught.value.other) == (1, 0)


def test_align_evaluates_as_numpys_broadcasting() -> None:
    x, y = _v(2, 1, 3, dtype="f64"), _v(4, 1, dtype="f64")
    b = Builder()
    total = b.add(*b.align(x, y))
    values = {x: np.arange(6.0).reshape(2, 1, 3), y: np.arange(4.0).reshape(4, 1)}
    expected = values[x] + values[y]
    evaluate_ops(b.ops, values, {}, np)
    np.testing.assert_array_equal(values[total], expected)


def test_numbers_become_constants_of_the_other_type() -> None:
    b = Builder()
    assert b.add(_v(B, 2), 1).type == TensorType("f32", (B, 2))
    assert b.sub(1.0, _v(3, dtype="i64")).type == TensorType("i64", (3,))
    with pytest.raises(TypeRuleError):
        b.add(_v(3, dtype="i64"), 0.5)
    with pytest.raises(TypeError):
        b.add(1, 2)


def test_nothing_is_built_where_nothing_changes() -> None:
    b = Builder()
    x = _v(B, 3)
    assert b.reshape(x, (B, 3)) is x
    assert b.transpose(x, (0, 1)) is x
    assert b.broadcast(x, (B, 3), (0, 1)) is x
    assert b.slice(x, (0, 0), (B, 3)) is x
    assert b.flip(x, ()) is x
    assert b.pad(x, (0, 0), (0, 0)) is x
    assert b.cast(x, "f32") is x
    assert b.reduce("reduce_sum", x, ()) is x
    assert b.concat([x], 0) is x
    assert not b.ops


def test_reductions_may_keep_their_axes() -> None:
    b = Builder()
    x = _v(B, 3, 4)
    assert b.reduce("reduce_sum", x, (2, 0)).type.shape == (3,)
    kept = b.reduce("reduce_max", x, (1,), keep=True)
    assert kept.type.shape == (B, 1, 4)
    assert b.broadcast(kept, x.type.shape, (0, 1, 2)).type == x.type
    assert b.expand(b.reduce("reduce_max", x, (1,)), x.type.shape, (1,)).type == x.type


def test_cells_flips_and_dims() -> None:
    b = Builder()
    x, values = _v(3, 4, dtype="f64"), {}
    cell, flipped = b.cell(x, (1, 2)), b.flip(x, (1,))
    known, unknown = b.dim_value(7, "i64"), b.dim_value(B * 2, "f64")
    values[x] = np.arange(12.0).reshape(3, 4)
    evaluate_ops(b.ops, values, {"B": 5}, np)
    assert values[cell] == 6.0
    np.testing.assert_array_equal(values[flipped], values[x][:, ::-1])
    assert (values[known], values[unknown]) == (7, 10.0)


def test_operations_have_the_location_of_their_surroundings() -> None:
    file = SourceFile("m.bm", "a + b")
    inside = Location((Span(file, 0, 5),))
    b = Builder()
    with b.at(inside):
        b.neg(_v())
    b.neg(_v())
    assert [op.location for op in b.ops] == [inside, Location()]


def test_symbolic_sizes_clamp_indices() -> None:
    b = Builder()
    index = _v(3, dtype="i32")
    clamped = b.clamp_index(index, B)
    values = {index: np.array([-4, 2, 99], dtype=np.int32)}
    evaluate_ops(b.ops, values, {"B": 5}, np)
    assert values[clamped].tolist() == [0, 2, 4]
