"""A model without training: its outputs for given inputs.

In: a unit of one model alone, inputs by name, perhaps weights. Out: its outputs by name. Guaranteed: rows do not depend on one
another.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bmc.driver import run_errors
from bmc.driver.given_arrays import array_of, dims_of, require_sizes
from bmc.driver.limits import explained_limits
from bmc.driver.session import Session, SessionOptions
from bmc.driver.trainer import set_weights
from bmc.errors import BmcError
from bmc.frontend.unit import Unit
from bmc_runtime.binding import BoundFunction
from bmc_runtime.mapping import map_rows
from bmc_runtime.memory import Array

__all__ = ["predict_alone"]


def predict_alone(
    unit: Unit, inputs: Mapping[str, Any], weights: Mapping[str, Any], options: SessionOptions | None = None
) -> dict[str, Array]:
    """`inputs` `[N, ...]` by name; weights that are not given have their initial values of seed 0. Raises BmcError."""
    open_dims = sorted({str(d) for w in unit.weights for d in w.type.shape if not isinstance(d, int)})
    if open_dims:
        raise BmcError(
            run_errors.columns_do_not_fit(f"the sizes {', '.join(open_dims)} of {unit.name} are open: only data fixes them")
        )
    session = Session(unit, options)
    session.initialise(0)
    set_weights(unit, session.store, weights)
    function = unit.module.function("predict")
    types = {param.key: param.value.type for param in function.params if param.role == "input"}
    if missing := [name for name in types if name not in inputs]:
        raise BmcError(run_errors.columns_do_not_fit(f"the input {missing[0]!r} is not given"))
    arrays = {name: array_of(name, inputs[name], wanted) for name, wanted in types.items()}
    if unknown := sorted(set(inputs) - set(arrays)):
        raise BmcError(run_errors.columns_do_not_fit(f"{unit.name} has no input {unknown[0]!r}", (f"inputs: {', '.join(arrays)}",)))
    dims = dims_of([(name, array, types[name]) for name, array in arrays.items()])
    rows = dims.setdefault(function.row or "B", 1)
    require_sizes(function, dims)
    del dims[function.row or "B"]
    with explained_limits(unit):
        return map_rows(BoundFunction(session.library("predict"), "predict", session.store), arrays, rows, dims)
