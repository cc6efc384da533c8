"""A model without training: its outputs for given inputs.

In: a unit of one model alone, inputs by name, perhaps weights. Out: its outputs by name. Guaranteed: rows do not depend on one
another.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bmc.driver import run_errors
from bmc.driver.session import Session, SessionOptions
from bmc.driver.trainer import set_weights
from bmc.errors import BmcError
from bmc.frontend.unit import Unit
from bmc.ir import Poly, TensorType
from bmc_runtime.binding import BoundFunction
from bmc_runtime.mapping import map_rows
from bmc_runtime.memory import DTYPES, Array, allocate

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
    dims: dict[str, int] = {}
    arrays: dict[str, Array] = {}
    for param in function.params:
        if param.role == "input":
            arrays[param.key] = _input(param.key, param.value.type, inputs, dims)
    if unknown := sorted(set(inputs) - set(arrays)):
        raise BmcError(run_errors.columns_do_not_fit(f"{unit.name} has no input {unknown[0]!r}", (f"inputs: {', '.join(arrays)}",)))
    rows = dims.pop(function.row or "B", 1)
    return map_rows(BoundFunction(session.library("predict"), "predict", session.store), arrays, rows, dims)


def _input(name: str, wanted: TensorType, inputs: Mapping[str, Any], dims: dict[str, int]) -> Array:
    """An input as an array of its type; sizes that it fixes go to `dims`."""
    if name not in inputs:
        raise BmcError(run_errors.columns_do_not_fit(f"the input {name!r} is not given"))
    value = np.asarray(inputs[name])
    fits = value.ndim == wanted.rank and np.can_cast(value.dtype, DTYPES[wanted.dtype], "same_kind")
    if fits:
        for dim, size in zip(wanted.shape, value.shape, strict=True):
            symbol = isinstance(dim, Poly) and dim == Poly.symbol(str(dim))
            fits = fits and size == (dims.setdefault(str(dim), size) if symbol else dim if isinstance(dim, int) else size)
    if not fits:
        raise BmcError(run_errors.columns_do_not_fit(f"{name!r} is {value.dtype}{list(value.shape)}, not {wanted}"))
    made = allocate(wanted.dtype, value.shape)
    made[...] = value
    return made
