"""What all turns of a scan are given alike is a constant of the turn."""

from __future__ import annotations

import numpy as np
import pytest

from bmc.ir import Function, Operation, Value
from bmc.ops.evaluate import evaluate
from bmc.ops.scan_parts import ScanAttrs
from bmc.passes.autodiff import autodiff
from bmc.passes.dce import dce
from bmc.passes.specialise import specialise
from bmc.passes.verify import verify
from bmc.record import replace
from tests.scans import inputs_of, recurrent_step

DIMS = {"B": 3, "T": 4}


def with_constant_mask(keep: bool) -> Function:
    """The step of `recurrent_step`, its mask the same for all rows and turns."""
    function = recurrent_step()
    mask = next(p for p in function.params if p.key == "keep").value
    full = Operation("constant", (), _constant(mask, keep), (mask,))
    return replace(function, params=tuple(p for p in function.params if p.value is not mask), ops=(full, *function.ops))


def _constant(like: Value, value: bool) -> object:
    from_builder = recurrent_step().ops
    attrs = next(op.attrs for op in from_builder if op.name == "constant")
    return replace(attrs, value=value, dtype=like.type.dtype, shape=like.type.shape)  # type: ignore[type-var]


def scan_of(function: Function) -> Operation:
    (op,) = [op for op in function.ops if op.name == "scan"]
    return op


@pytest.mark.parametrize("keep", [True, False])
def test_a_constant_mask_is_no_sequence(keep: bool) -> None:
    before = with_constant_mask(keep)
    after = dce(specialise(before))
    verify(after)
    op = scan_of(after)
    assert isinstance(op.attrs, ScanAttrs)
    assert op.attrs.sequences == 1
    assert not any(inner.name == "select" for inner in op.regions[0].ops)
    assert specialise(after) is after
    inputs = inputs_of(3, 4)
    del inputs["keep"]
    for key, array in evaluate(autodiff(before), inputs, DIMS, np).items():
        # Gradients may add in another order: sums of some ten terms of size 1 to 10, 4 turns deep.
        tolerance = 1e-13 if key.startswith("d_") else 0.0
        found = evaluate(autodiff(after), inputs, DIMS, np)[key]
        np.testing.assert_allclose(found, array, rtol=tolerance, atol=tolerance, err_msg=key)


def test_gradients_have_no_trace_of_it() -> None:
    after = dce(autodiff(specialise(with_constant_mask(True))))
    verify(after)
    for op in after.ops:
        for region in op.regions:
            assert not any(inner.name == "select" for inner in region.ops)


def test_a_scan_without_constants_comes_back_as_it_is() -> None:
    function = recurrent_step()
    assert specialise(function) is function
