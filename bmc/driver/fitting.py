"""Fitting: the statistics of the training split that a data block's columns are scaled, filled and coded by.

In: a unit's data specification, the training table, the compiled functions `fit.*`. Out: fitted values in the store. Guaranteed:
fits run in order of dependency; what is not finite is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import numpy as np

from bmc.driver import run_errors
from bmc.driver.preparing import steps_of_columns
from bmc.errors import BmcError
from bmc.frontend.unit import DataSpec
from bmc_runtime.binding import BoundFunction, Library
from bmc_runtime.mapping import map_rows, run_whole
from bmc_runtime.memory import Array
from bmc_runtime.table import Table

__all__ = ["fit_statistics"]

Libraries = Callable[[str], Library]
"""The library that has a function, by the function's name."""


def fit_statistics(
    data: DataSpec, train: Table, libraries: Libraries, store: Mapping[str, Array], given: Collection[str] = ()
) -> list[Array]:
    """Run the fits in order; each writes its fitted values into the store, but those whose keys are `given`. Gives the buffers
    that texts in them point into.

    Raises BmcError when a statistic is not finite: no cell of the column has a value, or one is infinite.
    """
    inputs = train.inputs()
    steps = steps_of_columns(data, train)
    keep: list[Array] = []
    for fit in data.fits:
        if all(key in given for key in fit.keys):
            continue
        library = libraries(fit.function)
        by_rows = BoundFunction(library, f"{fit.function}.rows", store)
        finish = BoundFunction(library, f"{fit.function}.finish", store)
        cuts = map_rows(by_rows, inputs, train.rows, steps)
        row = finish.plan.row or "B"
        run_whole(finish, {**inputs, **cuts}, {**steps, row: train.rows})
        keep += finish.keep
        for key in fit.keys:
            if store[key].dtype.kind == "f" and not np.isfinite(store[key]).all():
                spec = next(f for f in data.fitted if f.key == key)
                raise BmcError(run_errors.fitted_not_finite(spec.expression, train.rows, fit.columns, spec.span))
    return keep
