"""The function `batch`, which every training program has: it gathers the rows of a batch from the whole split.

Parameters `KEY.all` [N, ...] for each data output with rows and `index` i64[B]; outputs `KEY` [B, ...]. A run-time dim S of an
output is `S_all` in the whole split: a batch takes the first S cells, so that its rows may be shorter than the split's.
"""

from __future__ import annotations

from collections.abc import Sequence

from bmc.ir import Function, Parameter, Poly, Result, TensorType, Value
from bmc.ir.dims import substitute, symbols
from bmc.ops.build import Builder
from bmc.ops.shape import SliceAttrs

__all__ = ["ALL_ROWS", "batch_function", "row_inputs"]

ALL_ROWS = "N"


def batch_function(train: Function) -> Function:
    """The gathering function for the inputs of `train` that have rows."""
    row = train.row or "B"
    builder = Builder()
    index = Value(TensorType("i64", (Poly.symbol(row),)), "index")
    params = [Parameter(index, "input", "index")]
    results: list[Result] = []
    for param in row_inputs(train):
        kind = param.value.type
        cell = tuple(substitute(dim, {s: Poly.symbol(of_all(s)) for s in symbols(dim)}) for dim in kind.shape[1:])
        table = Value(TensorType(kind.dtype, (Poly.symbol(ALL_ROWS), *cell)), param.key)
        params.append(Parameter(table, "input", f"{param.key}.all"))
        rows = builder.emit("gather", table, index, hint=param.key)
        if cell != kind.shape[1:]:
            starts, steps = (0,) * kind.rank, (1,) * kind.rank
            rows = builder.operation("slice", [rows], SliceAttrs(starts, kind.shape, steps)).result
        results.append(Result(rows, "output", param.key))
    return Function("batch", tuple(params), tuple(builder.ops), tuple(results), row)


def of_all(symbol: str) -> str:
    """The run-time dim of the whole split that belongs to one of a batch."""
    return f"{symbol}_all"


def row_inputs(function: Function) -> Sequence[Parameter]:
    """The inputs whose leading dim is the row dim."""
    row = Poly.symbol(function.row or "B")
    return [p for p in function.params if p.role == "input" and p.value.type.shape[:1] == (row,)]
