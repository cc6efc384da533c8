"""Kernels as fusion makes them, each on guarded memory: they touch nothing else, and results planned over operands are right.

Whole programs run in arenas, where a byte too far is another value's; here it ends the process.
"""

from __future__ import annotations

import random

import numpy as np
import pytest

from bmc.driver.compiled import Options
from bmc.driver.lower import lower_function
from bmc.ir import Operation, Value
from bmc.ops.arrays import quiet
from bmc.ops.evaluate import evaluate_ops
from bmc.ops.lowering import Fused, Opaque
from bmc.ops.table import definition
from tests.graphs import ROW, random_graph, random_inputs
from tests.graphs import Options as GraphOptions
from tests.native import compile_kernels


def has_code(op: Operation) -> bool:
    return isinstance(definition(op.name).lowering, Fused | Opaque) and not definition(op.name).effect


def check_kernels(seed: int, most: int) -> None:
    rng = random.Random(f"kernels {seed}")
    dtype = rng.choice(["f32", "f64"])
    function = random_graph(rng, GraphOptions(dtype=dtype, mixing="any", gradient=rng.random() < 0.5, most=most))
    (lowered,) = lower_function(function, Options())
    (phase,) = lowered.memory.phases
    (places,) = lowered.memory.places
    coded = [op for op in phase.ops if has_code(op)]
    natives = dict(zip(coded, compile_kernels(coded), strict=True))
    for rows in (rng.randint(1, 9), 24, 41):
        bindings = {ROW: rows}
        inputs = random_inputs(function, bindings, seed)
        values: dict[Value, np.ndarray] = {p.value: inputs[p.key] for p in lowered.graph.params}
        for op in phase.ops:
            with quiet(np):
                evaluate_ops([op], values, bindings, np)
            if op not in natives:
                continue
            arrays = [np.asarray(values[v]) for v in op.operands]
            apart = natives[op].run(arrays, bindings)
            over = {
                r: o
                for r, result in enumerate(op.results)
                for o, operand in enumerate(op.operands)
                if places[result] == places[operand]
            }
            again = natives[op].run(arrays, bindings, "start")
            together = natives[op].run(arrays, bindings, alias=over) if over else again
            for first, second, third, result in zip(apart, again, together, op.results, strict=True):
                np.testing.assert_array_equal(first, second)
                np.testing.assert_array_equal(first, third, err_msg=f"{op.attrs} in place {over}")
                assert first.shape == values[result].shape


@pytest.mark.parametrize("seed", range(6))
def test_kernels_of_random_graphs(seed: int) -> None:
    check_kernels(seed, 30)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 160))
def test_kernels_of_random_graphs_of_60_operators(seed: int) -> None:
    check_kernels(seed, 60)
