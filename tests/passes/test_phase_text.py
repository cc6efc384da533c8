"""Phases print as functions, parse back, are well formed, and compute together what the function computes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from bmc.ir import Function
from bmc.ir.text import print_module
from bmc.ops.evaluate import evaluate
from bmc.ops.parse_text import parse_module
from bmc.passes.fuse import fuse_phases
from bmc.passes.phase import Phase
from bmc.passes.phase_text import phases_as_module
from bmc.passes.shard import shard
from bmc.passes.split_phases import split_phases
from bmc.passes.verify import verify_module
from bmc.source import SourceFile
from tests.graphs import ROW, random_inputs
from tests.passes.steps import mlp_step


def lowered(fused: bool) -> tuple[Function, Sequence[Phase]]:
    step = shard(mlp_step([5, 7, 3], dtype="f64", clip=True), shards=True)
    phases = split_phases(step)
    return step, fuse_phases(step, phases) if fused else phases


@pytest.mark.parametrize("fused", [False, True])
def test_prints_parses_and_verifies(fused: bool) -> None:
    module = phases_as_module(*lowered(fused))
    verify_module(module)
    text = print_module(module)
    again = parse_module(SourceFile("phases.bmir", text))
    verify_module(again)
    assert print_module(again) == text


@pytest.mark.parametrize("fused", [False, True])
def test_one_after_another_gives_the_results(fused: bool) -> None:
    """With one shard a sum over shards is its operand, so the phases in order compute the step: the same operations on the
    same arrays, in kernels or not, hence the same bits."""
    step, phases = lowered(fused)
    inputs = random_inputs(step, {ROW: 6})
    for key, array in inputs.items():
        if key.endswith("@v"):
            inputs[key] = np.abs(array)
    known: dict[str, Any] = dict(inputs)
    found: dict[str, Any] = {}
    for function in phases_as_module(step, phases).functions:
        results = evaluate(function, {p.key: known[p.key] for p in function.params}, {ROW: 6}, np)
        known.update({key: array for key, array in results.items() if key.startswith("phase.")})
        found.update({key: array for key, array in results.items() if not key.startswith("phase.")})
    wanted = evaluate(step, inputs, {ROW: 6}, np)
    assert set(found) == set(wanted)
    for key, array in wanted.items():
        np.testing.assert_array_equal(found[key], array, err_msg=key)
