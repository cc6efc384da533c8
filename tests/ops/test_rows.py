"""Row rules by experiment: rows evaluated all at once, and in two parts."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from bmc.ir import Operation, Poly, TensorType, Value
from bmc.ir.dims import symbols
from bmc.ops.build import Builder
from bmc.ops.contract import ContractAttrs
from bmc.ops.kernel import KernelAttrs
from bmc.ops.lowering import Host
from bmc.ops.random import CONTROL, CONTROL_FIRST_ROW
from bmc.ops.reduce import ReduceAttrs
from bmc.ops.registry import Operator, RowMix, row_axes
from bmc.ops.shape import BroadcastAttrs, ReshapeAttrs, SliceAttrs
from bmc.ops.sources import DimValueAttrs, IotaAttrs
from bmc.ops.table import definition, operators
from tests.ops.sampling import BINDINGS, Case, cases, draw, has_value, run

ROWS, FIRST = 5, 2
B = Poly.symbol("B")
# Sums in two parts round differently: some additions of f32 numbers below 1e3 (eps 1.2e-7).
TOLERANCE = 1e-3


def _row_axes_of(types: list[TensorType], symbol: str) -> list[int | None] | None:
    """The row axis of each operand; None where some operand has the symbol in another place than one dim by itself."""
    axes: list[int | None] = []
    for t in types:
        places = [i for i, dim in enumerate(t.shape) if symbol in symbols(dim)]
        if len(places) > 1 or any(t.shape[i] != Poly.symbol(symbol) for i in places):
            return None
        axes.append(places[0] if places else None)
    return axes


def _part(op: Operation, arrays: list[Any], axes: list[int | None], first: int, last: int, symbol: str) -> list[Any]:
    cut = []
    for value, array, axis in zip(op.operands, arrays, axes, strict=True):
        piece = array if axis is None else np.take(array, range(first, last), axis=axis)
        if value.type == CONTROL:
            piece = array.copy()
            piece[CONTROL_FIRST_ROW] += first
        cut.append(piece)
    return run(op, cut, {**BINDINGS, symbol: last - first})


def _experiments(record: Operator) -> list[tuple[Case, str]]:
    found = []
    for case in cases():
        if case.record is not record or not has_value(case):
            continue
        for symbol in ("B", "T"):
            by_rows = getattr(case.sample.attrs, "rows", False) is True and symbol != "B"
            op = case.build()
            if any(symbol in symbols(d) for v in (*op.operands, *op.results) for d in v.type.shape) and not by_rows:
                found.append((case, symbol))
    return found


@pytest.mark.parametrize("record", [r for r in operators().values() if _experiments(r)], ids=lambda record: record.name)
def test_claims_hold(record: Operator) -> None:
    for case, symbol in _experiments(record):
        op = case.build()
        axes = _row_axes_of(list(case.sample.operands), symbol)
        if axes is None:
            continue
        arrays = draw(case.sample, {**BINDINGS, symbol: ROWS}, seed=case.number)
        whole = run(op, arrays, {**BINDINGS, symbol: ROWS})
        low = _part(op, arrays, axes, 0, FIRST, symbol)
        high = _part(op, arrays, axes, FIRST, ROWS, symbol)
        for i, claim in enumerate(row_axes(record, op, axes, symbol)):
            if claim is RowMix.SUM:
                np.testing.assert_allclose(low[i] + high[i], whole[i], atol=TOLERANCE, err_msg=f"{case} {symbol}")
            elif isinstance(claim, int):
                # Kept apart means the same bits: each row is a function of that row alone. Only numpy's contraction
                # does not promise it.
                loose = 1e-5 if record.name == "contract" else 0.0
                joined = np.concatenate([low[i], high[i]], axis=claim)
                if joined.dtype == object:
                    assert joined.tolist() == whole[i].tolist()
                else:
                    np.testing.assert_allclose(joined, whole[i], rtol=0, atol=loose, err_msg=f"{case} {symbol}")
            elif claim is None:
                np.testing.assert_array_equal(low[i], whole[i], err_msg=f"{case} {symbol}")
                np.testing.assert_array_equal(high[i], whole[i], err_msg=f"{case} {symbol}")


def test_claims_are_not_all_cautious() -> None:
    claims: Counter[str] = Counter()
    for record in operators().values():
        if isinstance(record.lowering, Host):
            continue  # statistics of all rows: mixing is what they are for
        for case, symbol in _experiments(record):
            axes = _row_axes_of(list(case.sample.operands), symbol)
            if axes is not None:
                claims.update(
                    type(c).__name__ if not isinstance(c, RowMix) else c.name for c in row_axes(record, case.build(), axes, symbol)
                )
    assert claims["int"] > 5 * claims["OTHER"] > 0
    assert claims["SUM"] > 5


def _claim(name: str, attrs: object, axes: list[int | None], *types: TensorType) -> int | RowMix | None:
    op = Builder().operation(name, [Value(t) for t in types], attrs)
    (state,) = row_axes(definition(name), op, axes, "B")
    return state


def _f(*shape: int | Poly) -> TensorType:
    return TensorType("f32", shape)


def test_what_stages_build_on() -> None:
    matmul = ContractAttrs((), (1,), (), (0,))
    assert _claim("contract", matmul, [0, None], _f(B, 4), _f(4, 3)) == 0
    assert _claim("contract", ContractAttrs((), (0,), (), (0,)), [0, 0], _f(B, 4), _f(B, 3)) is RowMix.SUM
    assert _claim("contract", ContractAttrs((), (1,), (), (1,)), [0, 0], _f(B, 4), _f(B, 4)) is RowMix.OTHER
    assert _claim("contract", ContractAttrs((0,), (1,), (0,), (1,)), [0, 0], _f(B, 4), _f(B, 4)) == 0
    assert _claim("reduce_sum", ReduceAttrs((0,)), [0], _f(B, 4)) is RowMix.SUM
    assert _claim("reduce_sum", ReduceAttrs((0,)), [1], _f(4, B)) == 0
    assert _claim("reduce_max", ReduceAttrs((0,)), [0], _f(B, 4)) is RowMix.OTHER
    assert _claim("reshape", ReshapeAttrs((B, 2, 2)), [0], _f(B, 4)) == 0
    assert _claim("reshape", ReshapeAttrs((B * 4,)), [0], _f(B, 4)) is RowMix.OTHER
    assert _claim("slice", SliceAttrs((0, 1), (B, 2), (1, 1)), [0], _f(B, 4)) == 0
    assert _claim("slice", SliceAttrs((1, 0), (B, 4), (1, 1)), [0], _f(B, 4)) is RowMix.OTHER
    assert _claim("broadcast", BroadcastAttrs((B, B), (0,)), [0], _f(B)) is RowMix.OTHER


def test_rows_that_begin_at_an_operation_are_seen() -> None:
    """A loss may sum a value that was broadcast over the rows: that is a sum over rows."""
    assert _claim("broadcast", BroadcastAttrs((B, 4), (1,)), [None], _f(4)) == 0
    assert _claim("iota", IotaAttrs("i32", (B, 4), 1), []) == 0
    assert _claim("iota", IotaAttrs("i32", (B, 4), 0), []) is RowMix.OTHER
    assert _claim("dim_value", DimValueAttrs(B * 4, "f32"), []) is RowMix.SUM
    assert _claim("dim_value", DimValueAttrs(7, "f32"), []) is None


def test_kernels_ask_their_regions() -> None:
    x = Value(_f(B, 4))
    inner = Builder()
    total = inner.reduce("reduce_sum", inner.exp(x), [1])
    from bmc.ir import Region

    region = Region((x,), tuple(inner.ops), (inner.ops[0].result, total))
    op = Builder().operation("kernel", [Value(x.type)], KernelAttrs("reduce", "exp_sum"), (region,))
    assert definition("kernel").rows(op, [0]) == (0, 0)
    assert definition("kernel").rows(op, [None]) == (None, None)
    mixed = Builder()
    once = mixed.reduce("reduce_sum", x, [0])
    op = Builder().operation(
        "kernel", [Value(x.type)], KernelAttrs("reduce"), (Region((x,), (*mixed.ops, *Builder().ops), (once,)),)
    )
    assert definition("kernel").rows(op, [0]) == (RowMix.SUM,)
