"""The whole list of graph passes on random training graphs: each optional pass on and off, the same values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from bmc.errors import CompilerBug
from bmc.ir import Function, Module
from bmc.ir.text import print_module
from bmc.ops.parse_text import parse_module
from bmc.passes.autodiff import autodiff
from bmc.passes.manager import Pass, PassRun, check_after, observers, run_pipeline
from bmc.passes.pipeline import GRAPH_PASSES, SHARD_PASSES, expanded
from bmc.source import SourceFile
from tests.graphs import Options, graphs
from tests.passes.meaning import read, results

OPTIONAL = [p.name for p in GRAPH_PASSES if p.optional]


@settings(max_examples=15, deadline=None)
@given(graphs(Options(gradient=True, most=40, composed=False)))
def test_each_pass_on_and_off(function: Function) -> None:
    """Bit for bit (zeros of either sign counted as equal), since no rewrite changes what the exact reference computes."""
    # `specialise` and `align` decide how gradients of scans add up, so they are part of what is compared with.
    wanted = results(run_pipeline(function, GRAPH_PASSES, disabled=tuple(OPTIONAL)))
    for disabled in ((), *((name,) for name in OPTIONAL)):
        found = results(run_pipeline(function, GRAPH_PASSES, disabled=disabled))
        assert set(found) == set(wanted)
        for key, array in wanted.items():
            np.testing.assert_array_equal(found[key], array, err_msg=f"{key} without {disabled}")


@settings(max_examples=15, deadline=None)
@given(graphs(Options(gradient=True, most=30)))
def test_scans_made_ready_compute_the_same(function: Function) -> None:
    """Gradients may add two or three terms in another order: a rounding of 1e-16, which the operations behind it may enlarge, but
    not by seven digits; a term too many or too few shows in the first.
    """
    required = [p for p in GRAPH_PASSES if p.name in ("specialise", "align")]
    wanted, found = results(autodiff(function)), results(autodiff(run_pipeline(function, required, observer=check_after)))
    for key, array in wanted.items():
        np.testing.assert_allclose(found[key], array, rtol=1e-9, atol=1e-9, err_msg=key)


def round_trip(run: PassRun) -> None:
    text = print_module(Module((run.after,)), with_locs=True)
    assert print_module(parse_module(SourceFile("again.bmir", text)), with_locs=True) == text


@settings(max_examples=10, deadline=None)
@given(graphs(Options(gradient=True)))
def test_every_stage_prints_parses_and_is_smaller_or_equal(function: Function) -> None:
    result = run_pipeline(function, (*GRAPH_PASSES, *SHARD_PASSES), observer=observers(check_after, round_trip))
    again = run_pipeline(result, GRAPH_PASSES)
    assert len(again.ops) <= len(result.ops)


def test_what_autodiff_leaves_is_found() -> None:
    function = read("""
    function "f" {
      param %w: f32[] = weight "w"
      %g = gradient(%w, %w) : f32[]
      output "g" = %g
    }""")
    lazy = Pass("autodiff", "does nothing", lambda f: f, ensures=(expanded("autodiff"),))
    with pytest.raises(CompilerBug, match="it ensures 'expanded by autodiff': gradient is still there"):
        run_pipeline(function, (lazy,))
