"""Products that no carry changes stand before their scan, with the same bits; what nobody reads of a scan goes."""

from __future__ import annotations

import numpy as np
import pytest

from bmc.ir import Function, Operation
from bmc.ops.evaluate import evaluate
from bmc.ops.scan_parts import ScanAttrs
from bmc.passes.autodiff import autodiff
from bmc.passes.dce import dce
from bmc.passes.fold import fold
from bmc.passes.hoist import hoist
from bmc.passes.turns import in_turns_too
from bmc.passes.verify import verify
from bmc.record import replace
from tests.scans import inputs_of, recurrent_step

DIMS = {"B": 3, "T": 4}


def scans(function: Function) -> list[Operation]:
    return [op for op in function.ops if op.name == "scan"]


def products(op: Operation) -> int:
    return sum(inner.name == "contract" for inner in op.regions[0].ops)


@pytest.mark.parametrize("reverse", [False, True])
def test_the_product_of_slices_is_one_product_before_the_scan(reverse: bool) -> None:
    before = recurrent_step(reverse)
    after = hoist(before)
    verify(after)
    assert [products(op) for op in scans(before)] == [2]
    assert [products(op) for op in scans(after)] == [1]
    inputs = inputs_of(3, 4)
    for key, array in evaluate(autodiff(before), inputs, DIMS, np).items():
        np.testing.assert_allclose(evaluate(autodiff(after), inputs, DIMS, np)[key], array, rtol=1e-13, atol=1e-14, err_msg=key)


def test_what_has_nothing_to_take_out_comes_back_as_it_is() -> None:
    once = hoist(recurrent_step())
    assert hoist(once) is once


def test_dead_yields_operands_and_operations_of_a_turn_go() -> None:
    function = recurrent_step(gradients=False)
    only = replace(function, results=tuple(r for r in function.results if r.key == "last"))
    trimmed = dce(only)
    verify(trimmed)
    (op,) = scans(trimmed)
    assert isinstance(op.attrs, ScanAttrs)
    assert (op.attrs.carries, len(op.results)) == (4, 4)
    inputs = inputs_of(3, 4)
    np.testing.assert_array_equal(evaluate(trimmed, inputs, DIMS, np)["last"], evaluate(function, inputs, DIMS, np)["last"])
    assert dce(trimmed) is trimmed


def test_a_slice_that_no_turn_reads_is_no_sequence() -> None:
    after = dce(hoist(recurrent_step(gradients=False)))
    (op,) = scans(after)
    assert isinstance(op.attrs, ScanAttrs)
    assert op.attrs.sequences == 2  # the products, and the mask; not what the products are made of
    assert products(op) == 1


def test_turns_are_simplified() -> None:
    """A turn of the gradient multiplies by constants that only folding makes known."""
    function = autodiff(recurrent_step())
    folded = in_turns_too(fold)(function)
    verify(folded)
    inputs = inputs_of(3, 4)
    for key, array in evaluate(function, inputs, DIMS, np).items():
        np.testing.assert_array_equal(evaluate(folded, inputs, DIMS, np)[key], array, err_msg=key)
    assert in_turns_too(fold)(folded) is folded
