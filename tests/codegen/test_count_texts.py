"""What programs that fit export for the host: a hash table of texts."""

from __future__ import annotations

from collections import Counter

import numpy as np

from bmc.ir import Function, Parameter, Poly, Result, TensorType, Value
from bmc.ops.build import Builder
from bmc.ops.text import DistinctAttrs
from bmc_runtime.reducers.distinct import texts_of
from bmc_runtime.table import text_column
from tests.native import NativeFunction


def test_native_counting_is_the_plain_one() -> None:
    """Texts that collide in the table, that are empty, that are prefixes of one another, in arrays of several axes."""
    b = Builder()
    x, keep = Value(TensorType("str", (Poly.symbol("B"),)), "x"), Value(TensorType("bool", (Poly.symbol("B"),)), "keep")
    table, order, count = b.operation("distinct", [x, keep], DistinctAttrs(5)).results
    params = (Parameter(x, "input", "x"), Parameter(keep, "input", "keep"))
    results = (Result(table, "update", "t"), Result(order, "update", "o"), Result(count, "update", "c"))
    library = NativeFunction.compile(Function("fit.t", params, tuple(b.ops), results, "B")).library
    rng = np.random.default_rng(0)
    for size in (0, 1, 2, 7, 64, 5000):
        column = text_column(["é" * int(k) + str(k) * int(k % 3) for k in rng.integers(0, max(size // 2, 1), size)])
        kept = rng.random(size) < 0.7
        for shape in ((size,), (size // 2, 2)) if size % 2 == 0 else ((size,),):
            cells, mask = column.data.reshape(shape), kept.reshape(shape)
            assert library.kernels.count_texts(cells, mask) == Counter(texts_of(cells[mask]))
