"""The random graphs that other tests build on: well-formed, safe to evaluate, and as various as the registry."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest

from bmc.ir.text import print_function
from bmc.ops.evaluate import evaluate
from bmc.ops.registry import RowMix, row_axes
from bmc.ops.table import definition, operators
from bmc.passes.autodiff import autodiff
from bmc.passes.verify import verify
from tests.graphs import Options, random_graph, random_inputs

# Text and hashes, fitting, what passes make, and look-ups of integers (which need sorted tables).
ELSEWHERE = {
    "str_hash", "str_count", "str_bytes", "str_parts", "int_hash", "append", "bincount",
    "str_equal", "str_select", "str_lookup", "distinct", "kernel", "loop", "shard_sum", "guard_finite", "int_lookup",
    "max_pool_grad", "str_default", "str_find",
    "exact_sum", "extreme", "group_moments", "quantiles", "row_moments",
}  # fmt: skip


@pytest.mark.parametrize("mixing", ["none", "sum", "any"])
@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_graphs_are_sound_and_finite(mixing: str, dtype: str) -> None:
    for seed in range(12):
        options = Options(dtype=dtype, mixing=mixing, gradient=seed % 2 == 0)
        function = random_graph(random.Random(seed), options)
        verify(function)
        for rows in (1, 5):
            found = evaluate(autodiff(function), random_inputs(function, {"B": rows}), {"B": rows}, np)
            for key, array in found.items():
                assert array.dtype.kind != "f" or np.isfinite(array).all(), (seed, key)


def test_graphs_cover_the_registry() -> None:
    used: Counter[str] = Counter()
    for seed in range(80):
        used.update(op.name for op in random_graph(random.Random(seed), Options(mixing="any", gradient=True)).ops)
        used.update(op.name for op in random_graph(random.Random(seed), Options(mixing="any")).ops)
    assert set(operators()) - set(used) == ELSEWHERE


def test_rows_mix_no_more_than_asked() -> None:
    for mixing, allowed in (("none", set()), ("sum", {RowMix.SUM})):
        for seed in range(20):
            function = random_graph(random.Random(seed), Options(mixing=mixing))
            rows = {p.value: 0 if p.role == "input" else None for p in function.params}
            for op in function.ops:
                states = row_axes(definition(op.name), op, [rows[v] for v in op.operands], function.row)
                assert {state for state in states if isinstance(state, RowMix)} <= allowed
                rows.update(zip(op.results, [None if isinstance(s, RowMix) else s for s in states], strict=True))


def test_a_seed_names_a_graph() -> None:
    assert print_function(random_graph(random.Random(3))) == print_function(random_graph(random.Random(3)))
