"""What all turns of a scan compute alike is computed once before it, with the same bits."""

from __future__ import annotations

import numpy as np

from bmc.ir import Function, Parameter, Poly, Region, Result, TensorType, Value
from bmc.ops.build import Builder
from bmc.ops.contract import ContractAttrs
from bmc.ops.scan_parts import ScanAttrs
from bmc.passes.autodiff import autodiff
from bmc.passes.canonicalise import canonicalise
from bmc.passes.cse import cse
from bmc.passes.dce import dce
from bmc.passes.lift import lift
from bmc.passes.turns import in_turns_too
from bmc.passes.verify import verify
from tests.passes.meaning import results
from tests.scans import inputs_of, recurrent_step

B, T, N = Poly.symbol("B"), Poly.symbol("T"), 4
ROWS, DIMS = 3, {"T": 5}


def scan_over(turn: Builder, params: dict[str, Value], result: Value) -> Function:
    """`x` of all turns through `turn`, whose parameters are h, x and the weights; the last h goes out."""
    region = Region(tuple(params.values()), tuple(turn.ops), (result,))
    b = Builder()
    given = {key: Value(v.type.with_shape((T, *v.type.shape)) if key == "x" else v.type, key) for key, v in params.items()}
    scan = b.operation("scan", list(given.values()), ScanAttrs(1, 1, False, T), (region,))
    roles = [Parameter(v, "input" if key in "hx" else "weight", key) for key, v in given.items()]
    return Function("f", tuple(roles), tuple(b.ops), (Result(scan.results[0], "output", "last"),), "B")


def turn_of(function: Function) -> list[str]:
    (op,) = [op for op in function.ops if op.name == "scan"]
    return [inner.name for inner in op.regions[0].ops]


def same(before: Function, after: Function, inputs: dict[str, np.ndarray]) -> None:
    verify(after)
    found = results(after, ROWS, inputs=inputs, dims=DIMS)
    for key, array in results(before, ROWS, inputs=inputs, dims=DIMS).items():
        np.testing.assert_array_equal(found[key], array, err_msg=key)


def params_of(**weights: tuple[int, ...]) -> dict[str, Value]:
    state = TensorType("f64", (B, N))
    found = {"h": Value(state, "h"), "x": Value(state, "x")}
    return found | {key: Value(TensorType("f64", shape), key) for key, shape in weights.items()}


def arrays(**weights: tuple[int, ...]) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    shapes = {"h": (3, N), "x": (5, 3, N), **weights}
    return {key: rng.normal(size=shape) for key, shape in shapes.items()}


def test_what_reads_weights_alone_is_computed_once() -> None:
    params, turn = params_of(p=(N,), u=(N, 2), v=(2, N)), Builder()
    decay = turn.emit("sigmoid", turn.mul(params["p"], turn.full(2.0, params["p"].type)))
    low_rank = turn.contract(params["u"], params["v"], (), (1,), (), (0,))
    h = turn.mul(turn.contract(params["h"], low_rank, (), (1,), (), (0,)), turn.broadcast(decay, params["h"].type.shape, (1,)))
    before = scan_over(turn, params, turn.add(h, params["x"]))
    after = dce(lift(before))
    assert turn_of(after) == ["contract", "broadcast", "mul", "add"]
    assert lift(after) is after
    same(before, after, arrays(p=(N,), u=(N, 2), v=(2, N)))


def test_what_only_spreads_cells_stays() -> None:
    """A weight spread over the rows would be written once and read in every turn: more memory for no arithmetic."""
    params, turn = params_of(p=(N,), q=(N,)), Builder()
    shape = params["h"].type.shape
    spread = turn.mul(turn.broadcast(params["p"], shape, (1,)), turn.broadcast(params["q"], shape, (1,)))
    before = scan_over(turn, params, turn.add(turn.mul(params["h"], spread), params["x"]))
    assert lift(before) is before


def test_a_product_walks_its_invariant_in_order() -> None:
    """`h @ w.T`: the weight is transposed once, not in every turn; two products of one weight share it."""
    params, turn = params_of(w=(N, N)), Builder()
    first = turn.contract(params["h"], params["w"], (), (1,), (), (1,))
    second = turn.contract(params["x"], params["w"], (), (1,), (), (1,))
    before = scan_over(turn, params, turn.add(first, second))
    after = lift(before)
    assert [op.name for op in after.ops] == ["transpose", "scan"]
    for op in after.ops[1].regions[0].ops:
        if isinstance(op.attrs, ContractAttrs):
            assert op.attrs.rhs_contract == (0,)
    same(before, after, arrays(w=(N, N)))


def test_scans_within_turns_give_out_what_the_outer_turns_share_too() -> None:
    state = TensorType("f64", (B, N))
    weight = TensorType("f64", (N,))
    h, x, p = Value(state, "h"), Value(state, "x"), Value(weight, "p")
    inner = Builder()
    inner_h, inner_p = Value(state, "h"), Value(weight, "p")
    squashed = inner.emit("tanh", inner_p)
    out = inner.mul(inner_h, inner.broadcast(squashed, state.shape, (1,)))
    region = Region((inner_h, inner_p), tuple(inner.ops), (out,))
    turn = Builder()
    nested = turn.operation("scan", [h, p], ScanAttrs(1, 0, False, 2), (region,))
    before = scan_over(turn, {"h": h, "x": x, "p": p}, turn.add(nested.results[0], x))
    after = dce(lift(before))
    assert [op.name for op in after.ops] == ["tanh", "scan"]
    same(before, after, arrays(p=(N,)))


def test_a_value_that_is_given_out_may_be_lifted() -> None:
    params, turn = params_of(p=(N, N)), Builder()
    b = Builder()
    region = Region((params["x"], params["p"]), (), (turn.emit("tanh", params["p"]),))
    region = Region(region.params, tuple(turn.ops), region.results)
    x, p = Value(params["x"].type.with_shape((T, B, N)), "x"), Value(params["p"].type, "p")
    scan = b.operation("scan", [x, p], ScanAttrs(0, 1, False, T), (region,))
    roles = (Parameter(x, "input", "x"), Parameter(p, "weight", "p"))
    before = Function("f", roles, tuple(b.ops), (Result(scan.results[0], "output", "every"),), "B")
    after = lift(before)
    assert [op.name for op in after.ops] == ["tanh", "scan"]
    inputs = arrays(p=(N, N))
    del inputs["h"]
    same(before, after, inputs)


def test_gradients_of_a_recurrent_step_keep_their_bits() -> None:
    """The weight of the state is transposed for the backward scan, before it."""
    before = in_turns_too(cse)(in_turns_too(canonicalise)(autodiff(recurrent_step())))
    after = lift(before)
    assert len(after.ops) > len(before.ops)
    same(before, after, inputs_of(3, 5))


def test_operations_of_a_turn_stay_where_nothing_is_shared() -> None:
    function = recurrent_step(gradients=False)
    assert lift(function) is function


