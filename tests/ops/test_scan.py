"""`scan`: its meaning, its rules, and its gradient against central differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bmc.ir import Operation, Region, TensorType, Value
from bmc.ops.build import Builder
from bmc.ops.evaluate import evaluate
from bmc.ops.registry import RowMix, TypeRuleError
from bmc.ops.scan_parts import ScanAttrs
from bmc.ops.table import definition
from bmc.passes.autodiff import autodiff
from bmc.passes.rows import row_states
from bmc.passes.verify import verify
from tests.scans import FEATURES, WIDTH, B, T, inputs_of, recurrent_step

ROWS, LENGTH = 3, 4
DIMS = {"B": ROWS, "T": LENGTH}

# Central differences with step h err by h^2 / 6 |f'''| + eps |L| / h. With h = cbrt(eps) = 6.1e-6, f''' below 1e3 and |L| below 1e2
# both are below 1e-8; a wrong rule is off by the size of the gradient, 0.01 and more.
STEP = float(np.cbrt(np.finfo(np.float64).eps))
TOLERANCE = 1e-7

STEP_IN, STEP_ON = (FEATURES, WIDTH), (WIDTH, WIDTH)


def by_hand(inputs: dict[str, Any], reverse: bool) -> dict[str, Any]:
    rows, length, _ = inputs["x"].shape
    h, u, v, count = np.zeros((rows, WIDTH)), np.zeros((rows, WIDTH)), np.full((rows, WIDTH), 0.5), np.zeros(rows, np.int32)
    loss = 0.0
    for t in reversed(range(length)) if reverse else range(length):
        before = h
        new = np.tanh(inputs["x"][:, t] @ inputs["wx"] + h @ inputs["wh"] + inputs["p"] * h)
        h = np.where(inputs["keep"][:, t, None], new, h)
        loss += (h * h).sum() + ((new * u).sum(1) * before.sum(1)).sum()
        u, v = v, (u + h) * 0.5
        count = count + inputs["keep"][:, t]
    return {"loss": loss + (h * u).sum(), "last": h, "turns": count}


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("length", [0, 1, 4])
def test_means_what_a_loop_means(reverse: bool, length: int) -> None:
    function = recurrent_step(reverse, gradients=False)
    verify(function)
    inputs = inputs_of(ROWS, length)
    found = evaluate(function, inputs, {"B": ROWS, "T": length}, np)
    for key, wanted in by_hand(inputs, reverse).items():
        np.testing.assert_allclose(found[key], wanted, rtol=1e-13, atol=1e-14, err_msg=key)


@pytest.mark.parametrize("reverse", [False, True])
def test_gradients_are_slopes(reverse: bool) -> None:
    function = autodiff(recurrent_step(reverse))
    verify(function)
    inputs = inputs_of(ROWS, LENGTH)
    found = evaluate(function, inputs, DIMS, np)
    rng = np.random.default_rng(1)
    for key in ("wx", "wh", "p", "x"):
        direction = rng.normal(size=inputs[key].shape)
        ends = [evaluate(function, {**inputs, key: inputs[key] + s * STEP * direction}, DIMS, np)["loss"] for s in (1, -1)]
        assert abs((ends[0] - ends[1]) / (2 * STEP) - (found[f"d_{key}"] * direction).sum()) < TOLERANCE, key


def test_weights_get_their_gradients_from_one_product_of_all_turns() -> None:
    function = autodiff(recurrent_step())
    (_, backward) = (op for op in function.ops if op.name == "scan")
    stacked = {value for value in backward.results if value.type.shape == (T, WIDTH, WIDTH)}
    assert not stacked
    products = [op for op in function.ops if op.name == "contract" and op.result.type.shape in (STEP_IN, STEP_ON)]
    assert [op.attrs.lhs_contract for op in products] == [(0, 1)] * 2  # type: ignore[attr-defined]


def one(body: Any, carries: int = 1, sequences: int = 1, operands: tuple[TensorType, ...] = ()) -> Operation:
    """A scan of T turns over [T, B, 2] with a carry of [B, 2]; `body(builder, h, x)` gives the region's results."""
    kinds = operands or (TensorType("f64", (B, 2)), TensorType("f64", (T, B, 2)))
    h, x = Value(TensorType("f64", (B, 2))), Value(TensorType("f64", (B, 2)))
    b = Builder()
    results = tuple(body(b, h, x))
    region = Region((h, x), tuple(b.ops), results)
    return Builder().operation("scan", [Value(kind) for kind in kinds], ScanAttrs(carries, sequences, False, T), (region,))


def test_rows_go_through_turns() -> None:
    rows = definition("scan").rows
    apart = one(lambda b, h, x: (b.add(h, x), b.mul(h, x)))
    assert rows(apart, [0, 1]) == (0, 1)
    assert rows(apart, [0, 0]) == (RowMix.OTHER, RowMix.OTHER)
    assert rows(apart, [None, None]) == (None, None)
    summed = one(lambda b, h, x: (h, b.reduce("reduce_sum", x, (0,))))
    assert rows(summed, [0, 1]) == (0, RowMix.SUM)
    fed_back = one(lambda b, h, x: (b.add(h, b.broadcast(b.reduce("reduce_sum", h, (0,)), (B, 2), (1,))), x))
    assert rows(fed_back, [0, 1]) == (RowMix.OTHER, RowMix.OTHER)


def test_a_step_keeps_rows_apart_but_for_its_loss() -> None:
    function = recurrent_step(gradients=False)
    states = row_states(function)
    mixed = {result.key: states[result.value].mixed for result in function.results}
    assert mixed == {"loss": True, "last": False, "turns": False}


@pytest.mark.parametrize(
    ("operands", "carries", "message"),
    [
        ((TensorType("f64", (B, 3)), TensorType("f64", (T, B, 2))), 1, "a turn gets"),
        ((TensorType("f64", (B, 2)), TensorType("f64", (B, T, 2))), 1, "along its leading axis"),
        ((TensorType("f64", (B, 2)),), 1, "more than 1 operands"),
        ((TensorType("f64", (B, 2)), TensorType("f64", (T, B, 2)), TensorType("f64", ())), 1, "2 parameters for 3 operands"),
        ((TensorType("f64", (B, 2)), TensorType("f64", (T, B, 2))), -1, "more than"),
    ],
)
def test_what_does_not_fit_is_refused(operands: tuple[TensorType, ...], carries: int, message: str) -> None:
    with pytest.raises(TypeRuleError, match=message):
        one(lambda b, h, x: (h, x), carries=carries, operands=operands)


def test_a_carry_keeps_its_type() -> None:
    with pytest.raises(TypeRuleError, match="carry 0 begins as"):
        one(lambda b, h, x: (b.cast(h, "f32"), x))


def test_what_the_gradient_needs_is_saved_once() -> None:
    plain = one(lambda b, h, x: (b.emit("tanh", b.mul(h, x)), x))
    saves = definition("scan").saves
    assert saves is not None
    wider = saves(Builder(), plain)
    assert len(wider.results) == 4  # the new carry, the yield, tanh's result, and the old carry
    assert len(saves(Builder(), wider).results) == 4
