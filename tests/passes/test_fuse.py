"""Fusion: how many kernels remain, that they compute what the operations did, and that it stays linear."""

from __future__ import annotations

import random
import time
from collections import Counter

import numpy as np
import pytest

from bmc.ir import Function, Parameter, Poly, Result, TensorType, Value
from bmc.ops.build import Builder
from bmc.ops.evaluate import evaluate
from bmc.passes.autodiff import autodiff
from bmc.passes.fuse import fuse, fuse_phases, kernel_counts, kernel_key
from bmc.passes.shard import shard
from bmc.passes.split_phases import split_phases
from bmc.passes.verify import verify
from tests.graphs import Options, random_graph, random_inputs
from tests.passes.steps import mlp_step

B = Poly.symbol("B")


def _function(
    b: Builder, params: list[Parameter], outputs: list[Value], updates: dict[str, Value] | None = None
) -> Function:
    results = [Result(v, "output", f"out.{i}") for i, v in enumerate(outputs)]
    results += [Result(v, "update", key) for key, v in (updates or {}).items()]
    return Function("f", tuple(params), tuple(b.ops), tuple(results), "B")


def _param(key: str, *shape: int | Poly, dtype: str = "f32", role: str = "input") -> Parameter:
    return Parameter(Value(TensorType(dtype, shape), key), role, key)  # type: ignore[arg-type]


def test_one_shard_mlp_step_has_one_kernel_for_each_product_and_bias() -> None:
    step = mlp_step([100, 64, 64, 10])
    fused = fuse(step)
    verify(fused, "fuse")
    counts = kernel_counts(fused.ops)
    # Three layers: products forward 3, for inputs 2, for weights 3 (with Adam's update inside); reductions: the loss by row
    # with its gradient, the loss over rows, and 3 bias gradients with their updates; maps: the step counter and its schedules.
    assert counts == Counter(contract=8, reduce=5, map=2, guard_finite=1, reshape=1)


def test_sharded_mlp_step_has_one_map_for_each_updated_weight() -> None:
    step = shard(mlp_step([100, 64, 64, 10]), True)
    phases = fuse_phases(step, split_phases(step))
    local, sums, once = phases
    assert kernel_counts(local.ops) == Counter(contract=8, reduce=5, map=1)
    assert kernel_counts(sums.ops) == Counter(shard_sum=8)
    # One map for each of 6 weights and biases; loss; the step counter and its schedules.
    assert kernel_counts(once.ops) == Counter(map=6 + 3, guard_finite=1, reshape=1)


def test_epilogue_takes_bias_activation_mask_and_residual() -> None:
    b = Builder()
    x, w, bias, mask = _param("x", B, 8), _param("w", 8, 8), _param("b", 8), _param("m", B, 8, dtype="bool")
    z = b.contract(x.value, w.value, (), (1,), (), (0,))
    h = b.emit("tanh", b.add(z, b.broadcast(bias.value, z.type.shape, (1,))))
    out = b.add(b.select(mask.value, h, 0.0), x.value)
    fused = fuse(_function(b, [x, w, bias, mask], [out]))
    assert kernel_counts(fused.ops) == Counter(contract=1)
    assert fused.ops[0].attrs.name == "contract_add_tanh_select"  # type: ignore[attr-defined]


def test_operands_of_a_contraction_are_transposed_in_it_but_never_computed_in_it() -> None:
    b = Builder()
    x, w = _param("x", B, 8), _param("w", 4, 8)
    product = b.contract(b.emit("exp", x.value), b.transpose(w.value, (1, 0)), (), (1,), (), (0,))
    fused = fuse(_function(b, [x, w], [product]))
    verify(fused, "fuse")
    assert kernel_counts(fused.ops) == Counter(map=1, contract=1)


@pytest.mark.parametrize("keep", [False, True])
def test_layernorm_forward_is_one_kernel(keep: bool) -> None:
    b = Builder()
    x, gain = _param("x", B, 16), _param("g", 16)
    shape = x.value.type.shape

    def mean(v: Value) -> Value:
        total = b.reduce("reduce_sum", v, (1,), keep=keep)
        return b.div(total, 16.0)

    def back(v: Value) -> Value:
        return b.broadcast_to(v, shape) if keep else b.broadcast(v, shape, (0,))

    centred = b.sub(x.value, back(mean(x.value)))
    scale = b.emit("rsqrt", b.add(mean(b.mul(centred, centred)), 1e-5))
    out = b.mul(b.mul(centred, back(scale)), b.broadcast(gain.value, shape, (1,)))
    function = _function(b, [x, gain], [out])
    fused = fuse(function)
    verify(fused, "fuse")
    assert kernel_counts(fused.ops) == Counter(reduce=1)
    inputs = {"x": np.random.default_rng(0).normal(size=(5, 16)).astype(np.float32), "g": np.ones(16, np.float32)}
    before, after = (evaluate(f, inputs, {"B": 5}, np)["out.0"] for f in (function, fused))
    assert np.array_equal(before, after)


def test_softmax_and_its_gradient_share_a_kernel() -> None:
    b = Builder()
    x, c = _param("x", B, 10), _param("c", B, 10)
    shape = x.value.type.shape
    shifted = b.sub(x.value, b.broadcast(b.reduce("reduce_max", x.value, (1,)), shape, (0,)))
    powers = b.exp(shifted)
    p = b.div(powers, b.broadcast(b.reduce("reduce_sum", powers, (1,)), shape, (0,)))
    inner = b.reduce("reduce_sum", b.mul(p, c.value), (1,))
    grad = b.mul(p, b.sub(c.value, b.broadcast(inner, shape, (0,))))
    fused = fuse(_function(b, [x, c], [p, grad]))
    verify(fused, "fuse")
    assert kernel_counts(fused.ops) == Counter(reduce=1)


def test_column_sums_of_one_operand_share_a_kernel() -> None:
    b = Builder()
    x, y = _param("x", B, 12), _param("y", B, 12)
    first = b.reduce("reduce_sum", x.value, (0,))
    second = b.reduce("reduce_sum", b.mul(x.value, y.value), (0,))
    fused = fuse(_function(b, [x, y], [first, second]))
    assert kernel_counts(fused.ops) == Counter(reduce=1)


def test_an_expensive_operation_is_never_done_twice() -> None:
    b = Builder()
    x, w, v = _param("x", B, 8), _param("w", 8, 8), _param("v", 8, 8)
    e = b.emit("tanh", x.value)
    outputs = [
        b.contract(e, w.value, (), (1,), (), (0,)),
        b.contract(e, v.value, (), (1,), (), (0,)),
        b.reduce("reduce_max", e, (1,)),
    ]
    fused = fuse(_function(b, [x, w, v], outputs))
    times = sum(inner.name == "tanh" for op in fused.ops for region in op.regions for inner in region.ops)
    assert times == 1


def test_fusing_across_another_kernel_would_be_a_circle() -> None:
    """x -> exp -> product -> add(product, exp): exp and add have one shape, but the product lies between them."""
    b = Builder()
    x, w = _param("x", B, 8), _param("w", 8, 8)
    e = b.exp(x.value)
    out = b.add(b.contract(e, w.value, (), (1,), (), (0,)), e)
    fused = fuse(_function(b, [x, w], [out]))
    verify(fused, "fuse")
    assert kernel_counts(fused.ops) == Counter(map=1, contract=1)


def test_updates_wait_for_guards_and_for_readers_of_the_old_contents() -> None:
    step = fuse(mlp_step([16, 16, 10]))
    updated = {r.value for r in step.results if r.role == "update"}
    weights = {p.value: p.key for p in step.params if p.role == "weight"}
    guard = next(i for i, op in enumerate(step.ops) if op.name == "guard_finite")
    for result in step.results:
        if result.role != "update":
            continue
        at = next(i for i, op in enumerate(step.ops) if result.value in op.results)
        assert at > guard
        readers = [i for i, op in enumerate(step.ops) if any(weights.get(v) == result.key for v in op.operands)]
        assert all(i <= at for i in readers)
    assert updated


def test_equal_layers_have_equal_kernels() -> None:
    step = fuse(mlp_step([64, 64, 64, 64, 64, 10]))
    keys = Counter(kernel_key(op) for op in step.ops if op.name == "kernel")
    # Layers 1 to 3 are alike forward; so are their products for inputs and for weights, and their bias gradients; the first and
    # the last layer differ in what surrounds them.
    assert sum(count for count in keys.values() if count >= 3) >= 12
    assert len(keys) <= 12


def test_gradient_of_relu_goes_into_the_product_before_it() -> None:
    b = Builder()
    x, w1, w2 = _param("x", B, 8), _param("w1", 8, 8, role="weight"), _param("w2", 8, 8, role="weight")
    hidden = b.maximum(b.contract(x.value, w1.value, (), (1,), (), (0,)), 0.0)
    out = b.contract(hidden, w2.value, (), (1,), (), (0,))
    loss = b.reduce("reduce_sum", b.mul(out, out), (0, 1))
    g1, g2 = b.operation("gradient", (loss, w1.value, w2.value)).results
    fused = fuse(autodiff(_function(b, [x, w1, w2], [loss, g1, g2])))
    verify(fused, "fuse")
    counts = kernel_counts(fused.ops)
    assert counts["contract"] == 5
    masked = [op.attrs.name for op in fused.ops if op.name == "kernel" and "select" in op.attrs.name]  # type: ignore[attr-defined]
    assert masked
    assert all(name.startswith("contract") for name in masked)


@pytest.mark.parametrize("mixing", ["none", "any"])
def test_random_graphs_keep_their_values(mixing: str) -> None:
    for seed in range(40):
        function = random_graph(random.Random(seed), Options(mixing=mixing))
        bindings = {"B": (1, 5, 8, 13)[seed % 4]}
        inputs = random_inputs(function, bindings, seed)
        fused = fuse(function)
        verify(fused, "fuse")
        before, after = evaluate(function, inputs, bindings, np), evaluate(fused, inputs, bindings, np)
        for key, want in before.items():
            # The same operations on the same operands in another order of operations: the same bits.
            assert np.array_equal(want, after[key], equal_nan=want.dtype.kind == "f"), (seed, key)


def test_time_is_linear_in_operations() -> None:
    def seconds(layers: int) -> float:
        step = mlp_step([16] + [16] * layers + [4], residual=True)
        start = time.process_time()
        fuse(step)
        return time.process_time() - start

    short, long = min(seconds(30) for _ in range(3)), seconds(300)
    # Ten times the layers: linear would be 10; anything quadratic is beyond 60. The rest is room for the collector of garbage.
    assert long < 30 * short
