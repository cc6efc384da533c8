"""Gradient rules: against central differences, against PyTorch for the functions that it has, and at the edges."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from bmc.ir import Operation, TensorType, Value
from bmc.ir.types import is_float
from bmc.ops.build import Builder
from bmc.ops.choice import CastAttrs
from bmc.ops.contract import ContractAttrs
from bmc.ops.evaluate import evaluate_ops
from bmc.ops.order import CumsumAttrs, SortAttrs
from bmc.ops.reduce import ReduceAttrs
from bmc.ops.registry import NoAttrs, NotDifferentiable, Operator
from bmc.ops.shape import PadAttrs
from bmc.ops.table import definition, operators
from tests.ops.sampling import BINDINGS, Case, cases, draw, has_value, in_double, run

# Central differences with step h err by h^2 / 6 |f'''| + eps |L| / h, L being the sum whose slope is measured. With
# h = cbrt(eps) = 6.1e-6 and |f'''| below 1e5 over all samples' domains (the largest: pow at a base of 0.3 and an exponent of
# -2), the first is below 7e-7; with |L| below 1e3 the second is below 4e-8. A wrong rule is off by about the size of the
# gradient itself, 0.1 and more.
STEP = float(np.cbrt(np.finfo(np.float64).eps))
TOLERANCE = 1e-6


def float_cases(record: Operator) -> list[Case]:
    """The samples in f64 of which both an operand and a result are f64."""
    found: list[Case] = []
    if isinstance(record.grad, NotDifferentiable) and record.grad.misplaced:
        return found
    for case in (in_double(c) for c in cases() if c.record is record and c.sample.smooth and has_value(c)):
        op = case.build()
        if any(v.type.dtype == "f64" for v in op.operands) and any(v.type.dtype == "f64" for v in op.results):
            found.append(case)
    return found


MAPS_OF_FLOATS = [record for record in operators().values() if float_cases(record)]


def pulled_back(op: Operation, arrays: Sequence[Any], cotangents: Sequence[Any], bindings: dict[str, int]) -> list[Any]:
    """Cotangents of the operands by the operator's rule; None where no gradient flows."""
    rule = definition(op.name).grad
    if isinstance(rule, NotDifferentiable):
        return [None] * len(op.operands)
    b = Builder()
    incoming = [None if array is None else Value(value.type) for value, array in zip(op.results, cotangents, strict=True)]
    outgoing = rule(b, op, incoming)
    values: dict[Value, Any] = dict(zip(op.operands, arrays, strict=True))
    evaluate_ops([op], values, bindings, np)
    values.update({value: array for value, array in zip(incoming, cotangents, strict=True) if value is not None})
    evaluate_ops(b.ops, values, bindings, np)
    for operand, value in zip(op.operands, outgoing, strict=True):
        assert value is None or value.type == operand.type
    return [None if value is None else values[value] for value in outgoing]


def slope(op: Operation, arrays: list[Any], operand: int, index: Any, weights: Sequence[Any], bindings: dict[str, int]) -> float:
    """Central difference of the weighted sum of all float results."""
    sides = []
    for sign in (1.0, -1.0):
        moved = [*arrays]
        moved[operand] = arrays[operand].copy()
        moved[operand][index] += sign * STEP
        results = run(op, moved, bindings)
        sides.append(sum(float(np.sum(w * r)) for w, r in zip(weights, results, strict=True) if w is not None))
    return (sides[0] - sides[1]) / (2 * STEP)


def test_every_rule_is_tested() -> None:
    """Rules of operators that are not what their derivative says (`stop_gradient`), or that have regions
    (`scan`), or whose operands cannot move alone (`max_pool_grad`), have tests of their own."""
    ruled = {record.name for record in operators().values() if not isinstance(record.grad, NotDifferentiable)}
    assert ruled - {record.name for record in MAPS_OF_FLOATS} == {"stop_gradient", "scan", "max_pool_grad"}


@pytest.mark.parametrize("record", MAPS_OF_FLOATS, ids=lambda record: record.name)
def test_rule_equals_central_differences(record: Operator) -> None:
    """Operators without a rule too: nothing flows through them, so their slope must be 0."""
    compared = 0
    for case in float_cases(record):
        op = case.build()
        arrays = draw(case.sample, BINDINGS, seed=case.number)
        rng = np.random.default_rng(1)
        results = zip(op.results, run(op, arrays, BINDINGS), strict=True)
        weights = [rng.uniform(0.5, 1.5, size=r.shape) if is_float(v.type.dtype) else None for v, r in results]
        gradients = pulled_back(op, arrays, weights, BINDINGS)
        for i, array in enumerate(arrays):
            if not is_float(op.operands[i].type.dtype):
                assert gradients[i] is None
                continue
            for index in list(np.ndindex(array.shape))[::3][:24]:
                expected = slope(op, arrays, i, index, weights, BINDINGS)
                found = 0.0 if gradients[i] is None else gradients[i][index]
                assert found == pytest.approx(expected, rel=TOLERANCE, abs=TOLERANCE), (case, i, index)
                compared += 1
    assert compared


def test_the_gradient_of_a_maximum_is_differentiated_as_the_linear_map_that_it_is() -> None:
    """For each c: <c, back(x, y, g)> = <g, its rule for c>; x and y send nothing back."""
    for case in (c for c in cases() if c.record.name == "max_pool_grad" and c.sample.operands[0].dtype == "f64"):
        op = case.build()
        x, y, g = draw(case.sample, BINDINGS, seed=case.number)
        c = np.random.default_rng(3).normal(size=x.shape)
        (back,) = run(op, [x, y, g], BINDINGS)
        by_x, by_y, by_g = pulled_back(op, [x, y, g], [c], BINDINGS)
        assert by_x is None
        assert by_y is None
        # Sums of at most a few hundred products of size 1.
        assert np.sum(c * back) == pytest.approx(np.sum(g * by_g), abs=1e-11)


def gradient_at(name: str, *points: float, cotangent: float = 1.0, attrs: object = NoAttrs()) -> list[float | None]:
    op = Builder().operation(name, [Value(TensorType("f64", ())) for _ in points], attrs)
    with np.errstate(all="ignore"):
        found = pulled_back(op, [np.array(p) for p in points], [np.array(cotangent)], {})
    return [None if g is None else float(g) for g in found]


def test_rectifier_has_slope_zero_at_zero() -> None:
    assert gradient_at("maximum", 0.0, 0.0) == [0.0, 1.0]
    assert gradient_at("maximum", 1e-300, 0.0) == [1.0, 0.0]
    assert gradient_at("minimum", 3.0, 3.0) == [0.0, 1.0]


def test_a_branch_that_was_not_chosen_sends_no_nan_back() -> None:
    """`select(x > 0, f(x), 0)` at x = 0: the cotangent of f(x) is 0, and must stay 0 although f'(0) is infinite."""
    for name in ("sqrt", "rsqrt", "log"):
        assert gradient_at(name, 0.0, cotangent=0.0) == [0.0], name
    assert gradient_at("log1p", -1.0, cotangent=0.0) == [0.0]
    assert gradient_at("div", 1.0, 0.0, cotangent=0.0) == [0.0, 0.0]
    assert gradient_at("div", 0.0, 0.0, cotangent=0.0) == [0.0, 0.0]
    assert gradient_at("pow", 0.0, 0.5, cotangent=0.0) == [0.0, 0.0]


def test_edges() -> None:
    assert gradient_at("sqrt", 0.0) == [math.inf]
    assert gradient_at("abs", 0.0) == [0.0]
    assert gradient_at("pow", 0.0, 0.0) == [0.0, 0.0]
    assert gradient_at("pow", 0.0, 2.0) == [0.0, 0.0]
    assert gradient_at("pow", 0.0, 1.0) == [1.0, 0.0]
    assert gradient_at("pow", -2.0, 3.0)[0] == 12.0
    assert gradient_at("sigmoid", -800.0) == [0.0]
    assert gradient_at("tanh", 400.0) == [0.0]


def test_equal_extremes_share_the_gradient() -> None:
    op = Builder().operation("reduce_max", [Value(TensorType("f64", (2, 4)))], ReduceAttrs((1,)))
    x = np.array([[1.0, 3.0, 3.0, 0.0], [2.0, 1.0, 1.0, 1.0]])
    (found,) = pulled_back(op, [x], [np.array([1.0, 5.0])], {})
    assert found.tolist() == [[0.0, 0.5, 0.5, 0.0], [5.0, 0.0, 0.0, 0.0]]


def test_casts_pass_the_cotangent_in_the_dtype_of_the_operand() -> None:
    op = Builder().operation("cast", [Value(TensorType("f64", (2,)))], CastAttrs("f32"))
    (found,) = pulled_back(op, [np.array([1.0, 2.0])], [np.array([0.5, 0.25], dtype=np.float32)], {})
    assert found.dtype == np.float64
    assert found.tolist() == [0.5, 0.25]
    op = Builder().operation("cast", [Value(TensorType("f64", (2,)))], CastAttrs("i32"))
    assert pulled_back(op, [np.array([1.0, 2.0])], [None], {}) == [None]


def test_products_of_matrices_have_gradients_without_transposes() -> None:
    """Both are single contractions, so that no matrix is moved in memory."""
    for lhs, rhs, attrs in (
        ((7, 4), (4, 3), ContractAttrs((), (1,), (), (0,))),
        ((2, 5, 7, 4), (2, 5, 4, 3), ContractAttrs((0, 1), (3,), (0, 1), (2,))),
        ((7, 4), (3, 4), ContractAttrs((), (1,), (), (1,))),
    ):
        op = Builder().operation("contract", [Value(TensorType("f32", lhs)), Value(TensorType("f32", rhs))], attrs)
        b = Builder()
        rule = definition("contract").grad
        assert not isinstance(rule, NotDifferentiable)
        rule(b, op, [Value(op.result.type)])
        assert [made.name for made in b.ops] == ["contract", "contract"]


# --- PyTorch ---


def _torch_gradients(torch: Any, function: Callable[..., Any], arrays: Sequence[Any]) -> tuple[Any, list[Any]]:
    leaves = [torch.tensor(a, requires_grad=bool(np.issubdtype(a.dtype, np.floating))) for a in arrays]
    result = function(torch, *leaves)
    weights = np.random.default_rng(2).uniform(0.5, 1.5, size=tuple(result.shape))
    (result * torch.tensor(weights)).sum().backward()
    return weights, [None if leaf.grad is None else leaf.grad.numpy() for leaf in leaves]


_UNARY = ["neg", "abs", "sqrt", "rsqrt", "exp", "expm1", "log", "log1p", "sin", "cos", "tanh", "sigmoid", "erf"]
_SAME_NAME = [*_UNARY, "add", "sub", "mul", "div", "pow", "maximum", "minimum"]
_COMPOSED: dict[str, tuple[Any, tuple[tuple[int, ...], ...], Callable[..., Any]]] = {
    "fma": (NoAttrs(), ((3, 4),) * 3, lambda torch, x, y, z: x * y + z),
    "reduce_sum": (ReduceAttrs((0, 2)), ((3, 4, 5),), lambda torch, x: x.sum((0, 2))),
    "reduce_max": (ReduceAttrs((0, 2)), ((3, 4, 5),), lambda torch, x: x.amax((0, 2))),
    "reduce_min": (ReduceAttrs((1,)), ((3, 4, 5),), lambda torch, x: x.amin(1)),
    "contract": (
        ContractAttrs((0, 2), (3,), (0, 2), (3,)), ((2, 3, 4, 5), (2, 6, 4, 5)),
        lambda torch, x, y: torch.einsum("bqhd,bkhd->bhqk", x, y),
    ),
    "cumsum": (CumsumAttrs(1), ((3, 6),), lambda torch, x: x.cumsum(1)),
    "pad": (PadAttrs((1, 0), (2, 3), (0, 0), 0.5), ((3, 4),), lambda torch, x: torch.nn.functional.pad(x, (0, 3, 1,
    2), value=0.5)),
}  # fmt: skip


@pytest.mark.torch
def test_rules_agree_with_pytorch() -> None:
    """In f64 both sides round each operation once: a few units of 2.2e-16, relative to values of the size of 1e4 and
    less.
    """
    torch = pytest.importorskip("torch")
    for name in _SAME_NAME:
        record = definition(name)
        shapes = (TensorType("f64", (3, 17)), TensorType("f64", (4, 9)))
        sample = next(s for s in record.samples() if s.operands[0] in shapes)
        arrays = draw(sample, BINDINGS, seed=3)
        weights, expected = _torch_gradients(torch, lambda torch, *xs, name=name: getattr(torch, name)(*xs), arrays)
        op = Builder().operation(name, [Value(t) for t in sample.operands])
        for found, wanted in zip(pulled_back(op, arrays, [weights], {}), expected, strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12, err_msg=name)
    for name, (attrs, shapes, function) in _COMPOSED.items():
        rng = np.random.default_rng(4)
        arrays = [rng.normal(size=shape) for shape in shapes]
        weights, expected = _torch_gradients(torch, function, arrays)
        op = Builder().operation(name, [Value(TensorType("f64", shape)) for shape in shapes], attrs)
        for found, wanted in zip(pulled_back(op, arrays, [weights], {}), expected, strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12, err_msg=name)


@pytest.mark.torch
def test_indexing_agrees_with_pytorch() -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(5)
    table, index = rng.normal(size=(6, 3)), np.array([4, 0, 4, 5])
    weights, expected = _torch_gradients(torch, lambda torch, t: t[torch.tensor(index)], [table])
    op = Builder().operation("gather", [Value(TensorType("f64", (6, 3))), Value(TensorType("i64", (4,)))])
    np.testing.assert_array_equal(pulled_back(op, [table, index], [weights], {})[0], expected[0])

    x, picked = rng.normal(size=(4, 5)), np.array([0, 4, 4, 2])
    weights, expected = _torch_gradients(torch, lambda torch, t: t[torch.arange(4), torch.tensor(picked)], [x])
    op = Builder().operation("take_along", [Value(TensorType("f64", (4, 5))), Value(TensorType("i64", (4,)))])
    np.testing.assert_array_equal(pulled_back(op, [x, picked], [weights], {})[0], expected[0])

    weights, expected = _torch_gradients(torch, lambda torch, t: t.sort(dim=-1, descending=True).values, [x])
    op = Builder().operation("sort", [Value(TensorType("f64", (4, 5)))], SortAttrs(True))
    np.testing.assert_array_equal(pulled_back(op, [x], [weights, None], {})[0], expected[0])
