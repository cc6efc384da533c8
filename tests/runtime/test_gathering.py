"""Rows of raw columns gathered natively are those that numpy takes, whatever the size of a cell."""

from __future__ import annotations

import numpy as np
import pytest

from bmc.codegen.jit import load_object
from bmc.codegen.phases import PhaseWriter, empty_module
from bmc.codegen.target import compile_object, host_target
from bmc_runtime.binding import Library
from bmc_runtime.memory import address_of
from bmc_runtime.plan import Program


@pytest.fixture(scope="module")
def library() -> Library:
    """A program that has no functions of its own."""
    target = host_target()
    module = empty_module(target.triple)
    PhaseWriter(module, target.fused, str).write_additions()
    return Library(Program({}, compile_object(str(module), target)), load_object)


def test_cells_of_any_size(library: Library) -> None:
    rng = np.random.default_rng(0)
    columns = [rng.integers(0, 256, (100, width)).astype(np.uint8) for width in (1, 2, 3, 4, 8, 12, 16, 24, 100)]
    for index in (rng.permutation(100)[:37], np.arange(0), np.array([99, 99, 0])):
        batches = [np.full((len(index) + 1, column.shape[1]), 255, np.uint8) for column in columns]
        table = np.array([(address_of(c), address_of(b), c.shape[1]) for c, b in zip(columns, batches, strict=True)], np.int64)
        rows = index.astype(np.int64)
        library.gather_rows(address_of(table), len(columns), address_of(rows), len(rows))
        for column, batch in zip(columns, batches, strict=True):
            assert np.array_equal(batch[:-1], column[index])
            assert (batch[-1] == 255).all()
