"""Sequences of scans are put in the order of turns before they are made."""

from __future__ import annotations

import numpy as np

from bmc.ir import Function, Operation, Parameter, Poly, Region, Result, TensorType, Value
from bmc.ops.build import Builder
from bmc.ops.contract import ContractAttrs
from bmc.ops.evaluate import evaluate
from bmc.ops.scan_parts import ScanAttrs
from bmc.ops.shape import TransposeAttrs
from bmc.passes.align import align
from bmc.passes.autodiff import autodiff
from bmc.passes.canonicalise import canonicalise
from bmc.passes.dce import dce
from bmc.passes.verify import verify

B, T = Poly.symbol("B"), Poly.symbol("T")
DIMS = {"B": 3, "T": 4}
FEATURES = 3


def training_step(units: int = 5, *, twice: bool = False) -> Function:
    """`tanh(x @ w + b)`, rows first, summed up turn by turn. `twice`: somebody else reads it as it is."""
    x = Value(TensorType("f64", (B, T, FEATURES)), "x")
    w, bias = Value(TensorType("f64", (FEATURES, units)), "w"), Value(TensorType("f64", (units,)), "b")
    b = Builder()
    made = b.add(b.contract(x, w, (), (2,), (), (0,)), b.broadcast(bias, (B, T, units), (2,)))
    made = b.emit("tanh", b.mul(made, b.full(0.5, made.type)))
    h, slice_ = Value(TensorType("f64", (B, units)), "h"), Value(TensorType("f64", (B, units)), "slice")
    turn = Builder()
    after = turn.add(turn.mul(h, slice_), slice_)
    region = Region((h, slice_), tuple(turn.ops), (after,))
    stack = b.transpose(made, (1, 0, 2))
    scan = b.operation("scan", [b.full(1.0, h.type), stack], ScanAttrs(1, 1, False, T), (region,))
    loss = b.reduce("reduce_sum", scan.results[0], (0, 1))
    if twice:
        loss = b.add(loss, b.reduce("reduce_sum", made, (0, 1, 2)))
    gradients = b.operation("gradient", [loss, w, bias])
    params = (Parameter(x, "input", "x"), Parameter(w, "weight", "w"), Parameter(bias, "weight", "b"))
    outputs = [Result(loss, "output", "loss")]
    outputs += [Result(v, "output", f"d_{key}") for key, v in zip("wb", gradients.results, strict=True)]
    return Function("train", params, tuple(b.ops), tuple(outputs), "B")


def inputs(units: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {"x": rng.normal(size=(3, 4, FEATURES)), "w": rng.normal(size=(FEATURES, units)), "b": rng.normal(size=units)}


def transposes(function: Function) -> list[Operation]:
    return [op for op in function.ops if isinstance(op.attrs, TransposeAttrs)]


def test_the_input_is_reordered_and_not_the_product() -> None:
    before = training_step()
    after = align(before)
    verify(after)
    (moved,) = transposes(after)
    assert moved.operands[0] is after.params[0].value
    assert align(after) is after
    arrays = inputs(5)
    for key, array in evaluate(autodiff(before), arrays, DIMS, np).items():
        # Sums of a gradient, of 12 terms, are in another order: within 12 roundings of terms of size 1 to 10.
        np.testing.assert_allclose(evaluate(autodiff(after), arrays, DIMS, np)[key], array, rtol=1e-13, atol=1e-13, err_msg=key)


def test_the_gradient_of_the_weight_sums_in_the_order_of_turns() -> None:
    """Both operands are then walked in one order, turn by turn: the axes of the sum merge."""
    step = dce(canonicalise(autodiff(align(training_step()))))
    gradient = [op for op in step.ops if isinstance(op.attrs, ContractAttrs) and len(op.attrs.lhs_contract) == 2]
    (op,) = gradient
    assert isinstance(op.attrs, ContractAttrs)
    assert op.operands[0].type.shape[op.attrs.lhs_contract[0]] == T
    assert op.attrs.rhs_contract == (0, 1)


def test_what_is_read_as_it_is_too_stays() -> None:
    function = training_step(twice=True)
    assert align(function) is function


def test_two_reorderings_that_undo_each_other_are_none() -> None:
    text = training_step()
    x = text.params[0].value
    swapped = Value(TensorType("f64", (T, B, FEATURES)), "x")
    b = Builder()
    rows = b.transpose(swapped, (1, 0, 2))
    ops = [*b.ops]
    for op in text.ops:
        operands = tuple(rows if v is x else v for v in op.operands)
        ops.append(Operation(op.name, operands, op.attrs, op.results, op.regions, op.location))
    params = (Parameter(swapped, "input", "x"), *text.params[1:])
    after = dce(canonicalise(align(Function("train", params, tuple(ops), text.results, "B"))))
    verify(after)
    assert not transposes(after)


def test_two_that_cancel_stay_for_others_to_take_away() -> None:
    x = Value(TensorType("f64", (T, B)), "x")
    b = Builder()
    rows_first = Value(TensorType("f64", (B, T)))
    stack = Value(TensorType("f64", (T, B)))
    b.ops.append(Operation("transpose", (x,), TransposeAttrs((1, 0)), (rows_first,)))
    b.ops.append(Operation("transpose", (rows_first,), TransposeAttrs((1, 0)), (stack,)))
    h, slice_ = Value(TensorType("f64", (B,)), "h"), Value(TensorType("f64", (B,)), "slice")
    turn = Builder()
    after = turn.add(h, slice_)
    region = Region((h, slice_), tuple(turn.ops), (after,))
    scan = b.operation("scan", [b.full(1.0, h.type), stack], ScanAttrs(1, 1, False, T), (region,))
    params = (Parameter(x, "input", "x"),)
    function = Function("f", params, tuple(b.ops), (Result(scan.results[0], "output", "h"),), "B")
    verify(function)
    assert align(function) is function
