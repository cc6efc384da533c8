"""The function `batch`, which every training program has: it gathers the rows of a batch from the whole split.

Parameters `KEY.all` [N, ...] for each data output with rows and `index` i64[B]; outputs `KEY` [B, ...].
"""

from __future__ import annotations

from collections.abc import Sequence

from bmc.ir import Function, Parameter, Poly, Result, TensorType, Value
from bmc.ops.build import Builder

__all__ = ["ALL_ROWS", "batch_function"]

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
        table = Value(TensorType(kind.dtype, (Poly.symbol(ALL_ROWS), *kind.shape[1:])), param.key)
        params.append(Parameter(table, "input", f"{param.key}.all"))
        results.append(Result(builder.emit("gather", table, index, hint=param.key), "output", param.key))
    return Function("batch", tuple(params), tuple(builder.ops), tuple(results), row)


def row_inputs(function: Function) -> Sequence[Parameter]:
    """The inputs whose leading dim is the row dim."""
    row = Poly.symbol(function.row or "B")
    return [p for p in function.params if p.role == "input" and p.value.type.shape[:1] == (row,)]
