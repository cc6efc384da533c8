"""Native hashes of rows: the bits of `bmc_runtime/hashing.py`."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bmc.codegen.jit import load_object
from bmc.codegen.phases import PhaseWriter, empty_module
from bmc.codegen.target import compile_object, host_target
from bmc_runtime.hashing import hash_rows
from bmc_runtime.memory import DTYPES
from bmc_runtime.row_hashes import HASH_ROWS, NativeHasher
from bmc_runtime.table import Column, text_column


@pytest.fixture(scope="module")
def native() -> NativeHasher:
    target = host_target()
    module = empty_module(target.triple)
    PhaseWriter(module, target.fused, lambda op: op.name).write_hashing()
    return NativeHasher(load_object(compile_object(str(module), target), [HASH_ROWS]).address)


_TEXTS = st.text(max_size=40) | st.sampled_from(["", "a", "12345678", "123456789", "ß" * 8, "\0", "x" * 1000])
_NUMBERS = {
    "bool": st.booleans(),
    "u8": st.integers(0, 255),
    "i32": st.integers(-(2**31), 2**31 - 1),
    "i64": st.integers(-(2**63), 2**63 - 1),
    "f32": st.floats(width=32) | st.sampled_from([0.0, -0.0, float("nan"), float("inf"), 1e-45]),
    "f64": st.floats() | st.sampled_from([0.0, -0.0, float("nan"), -float("nan"), 5e-324]),
}


@st.composite
def _columns(draw: st.DrawFn) -> dict[str, Column]:
    rows = draw(st.integers(0, 20))
    found: dict[str, Column] = {}
    for name in draw(st.lists(st.sampled_from(["a", "b", "Größe", "unit price", "e"]), min_size=1, unique=True)):
        mask = np.array(draw(st.lists(st.booleans(), min_size=rows, max_size=rows)), np.bool_) if draw(st.booleans()) else None
        dtype = draw(st.sampled_from([*_NUMBERS, "str"]))
        if dtype == "str":
            column = text_column(draw(st.lists(_TEXTS, min_size=rows, max_size=rows)))
            found[name] = Column("str", column.data, mask, column.keep)
        else:
            width = draw(st.sampled_from([(), (3,)]))  # cells of several values are hashed by numpy, among the others
            count = rows * 3 if width else rows
            values = np.array(draw(st.lists(_NUMBERS[dtype], min_size=count, max_size=count)), DTYPES[dtype])
            found[name] = Column(dtype, values.reshape(rows, *width), mask)
    return found


@settings(deadline=None, max_examples=300)
@given(columns=_columns(), seed=st.integers(0, 2**63 - 1))
def test_native_hashes_are_those_of_the_definition(native: NativeHasher, columns: dict[str, Column], seed: int) -> None:
    assert native(columns, seed).tolist() == hash_rows(columns, seed).tolist()


def test_only_the_text_itself_is_read(native: NativeHasher) -> None:
    """Texts whose neighbours differ have equal hashes."""
    one, two = text_column(["abcdefghi", "zzzzzzzz"]), text_column(["abcdefghi", "yyyyyyyy"])
    assert native({"x": one}, 1)[0] == native({"x": two}, 1)[0]
    assert native({"x": one}, 1)[1] != native({"x": two}, 1)[1]


def test_columns_of_different_lengths_are_refused(native: NativeHasher) -> None:
    with pytest.raises(ValueError, match="column 'b' has 1 rows, others 2"):
        native({"a": text_column(["x", "y"]), "b": text_column(["x"])}, 0)
    with pytest.raises(ValueError, match="rows without columns have no hash"):
        native({}, 0)
