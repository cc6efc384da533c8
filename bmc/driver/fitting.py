"""Fitting: the statistics of the training split that a data block's columns are scaled, filled and coded by.

In: a unit's data specification, the training table, the compiled functions `fit.*`. Out: fitted values in the store. Guaranteed:
fits that do not need one another take the same passes over the rows, block by block; what they give is a function of the rows
as a multiset. A fit that mixes rows otherwise (it sorts them, say) runs once over whole arrays.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping

import numpy as np

from bmc.driver import run_errors
from bmc.driver.preparing import steps_of_columns
from bmc.errors import BmcError
from bmc.frontend.unit import DataSpec, FitSpec
from bmc_runtime.binding import BoundFunction, Library
from bmc_runtime.fitting import RowPass, pass_rows
from bmc_runtime.mapping import map_rows, run_whole
from bmc_runtime.memory import DTYPES, Array
from bmc_runtime.plan import evaluate_dim
from bmc_runtime.reducers.distinct import Distinctness
from bmc_runtime.table import Column, RowInput, Table

__all__ = ["fit_statistics"]

Libraries = Callable[[str], Library]
"""The library that has a function, by the function's name."""


_ALL_ROWS = "B_all"
"""The run-time dim that `cut_levels` puts in the place of the row dim's value."""


MOST_AT_ONCE = 1 << 30
"""Bytes that a fit which needs all rows at once may take."""


class TooLarge(ValueError):
    """A fit needs so many bytes for all rows."""

    def __init__(self, needed: int) -> None:
        super().__init__(f"{needed} bytes")
        self.needed = needed


class _Fit:
    """One function on its way through its levels."""

    def __init__(self, spec: FitSpec, library: Library, store: Mapping[str, Array], dims: Mapping[str, int], rows: int) -> None:
        self.spec, self._library, self._store = spec, library, store
        self._rows = rows
        self.found: dict[str, RowInput] = {}
        self.keep: list[Array] = []
        self._level = 0
        # The number of all rows is a dim of its own where only some of them are at hand.
        self._dims = {**dims, _ALL_ROWS: rows}

    @property
    def in_levels(self) -> bool:
        """Whether it needs no more memory than for a block of rows."""
        return f"{self.spec.function}.rows" not in self._library.program.functions

    def level(self) -> RowPass | None:
        """The next pass over the rows; None where there is no other."""
        name = f"{self.spec.function}.rows.{self._level}"
        if name not in self._library.program.functions:
            return None
        self._level += 1
        function = BoundFunction(self._library, name, self._store)
        wanted = {b.key for b in function.plan.buffers if b.kind == "input"}
        return RowPass(function, {k: v for k, v in self.found.items() if k in wanted and not isinstance(v, Column)}, self._dims)

    def after(self, level: RowPass) -> None:
        self.found.update(level.results())
        self.keep += level.keep

    def run_over_all(self, table: Table) -> None:
        """The rows of what cannot be cut into levels, side by side."""
        by_rows = BoundFunction(self._library, f"{self.spec.function}.rows", self._store)
        finish = BoundFunction(self._library, f"{self.spec.function}.finish", self._store).plan
        sizes = {**self._dims, by_rows.plan.row or "B": self._rows}
        needed = sum(
            math.prod(evaluate_dim(d, sizes) for d in b.shape) * DTYPES[b.dtype].itemsize
            for b in by_rows.plan.buffers
            if b.kind == "output"
        )
        needed += evaluate_dim(finish.once_arena, sizes) + evaluate_dim(finish.shard_arena, sizes)
        if needed > MOST_AT_ONCE:
            raise TooLarge(needed)
        self.found = {**table.inputs(), **map_rows(by_rows, table.inputs(), table.rows, self._dims)}

    def finish(self) -> None:
        name = f"{self.spec.function}.finish"
        if name not in self._library.program.functions:
            return  # all that it gives is what reducers found
        function = BoundFunction(self._library, name, self._store)
        run_whole(function, self.found, {**self._dims, function.plan.row or "B": self._rows})
        self.keep += function.keep


def fit_statistics(
    data: DataSpec,
    train: Table,
    libraries: Libraries,
    store: Mapping[str, Array],
    given: Collection[str] = (),
    progress: Callable[[int], None] | None = None,
    note: Callable[[str], None] | None = None,
) -> list[Array]:
    """Run the fits; each writes its fitted values into the store, but those whose keys are `given`. Gives the buffers that texts
    in them point into. `progress` is told how many rows were read, once for each block of a pass; `note`
    of tables that are too small for the values of the training rows.

    Raises BmcError when a statistic is not finite (no cell of the column has a value, or one is infinite), or takes too much
    memory.
    """
    dims = steps_of_columns(data, train)
    waiting = [fit for fit in data.fits if not all(key in given for key in fit.keys)]
    unknown = {key for fit in waiting for key in fit.keys}
    keep: list[Array] = []
    running: list[tuple[_Fit, RowPass]] = []
    while waiting or running:
        ready = [fit for fit in waiting if not unknown & set(fit.depends)]
        waiting = [fit for fit in waiting if fit not in ready]
        begun: list[_Fit] = []
        for spec in ready:
            fit = _Fit(spec, libraries(spec.function), store, dims, train.rows)
            if not fit.in_levels:
                try:
                    fit.run_over_all(train)
                except TooLarge as error:
                    made = next(f for f in data.fitted if f.key == spec.keys[0])
                    raise BmcError(run_errors.fit_needs_all_rows(made.expression, train.rows, error.needed, made.span)) from None
            begun.append(fit)
        done: list[_Fit] = []
        for fit in begun:
            level = fit.level()
            if level is None:
                done.append(fit)
            else:
                running.append((fit, level))
        pass_rows([level for _, level in running], train, dims, progress)
        following: list[tuple[_Fit, RowPass]] = []
        for fit, level in running:
            fit.after(level)
            for key, known in level.tables.items():
                text = _too_small(data, key, known)
                if text is not None and note is not None:
                    note(text)
            another = fit.level()
            if another is None:
                done.append(fit)
            else:
                following.append((fit, another))
        running = following
        for fit in done:
            fit.finish()
            keep += fit.keep
            unknown -= set(fit.spec.keys)
            _require_finite(data, fit.spec, train.rows, store)
    return keep


_MOST_OTHER = 0.1
"""A table that leaves out more of the cells is worth a word."""


def _too_small(data: DataSpec, key: str, known: Distinctness) -> str | None:
    """That many cells count as other; None where they are few, and of parts of text, of which most are rare."""
    left = known.cells - known.kept
    spec = next((f for f in data.fitted if f.key == key), None)
    if spec is None or not key.endswith(".table") or ".vocab." in key or left <= _MOST_OTHER * known.cells:
        return None
    places = spec.type.shape[0]
    return (
        f"`{spec.expression}`: {known.values:,} values, places for {places} of them: {100 * left / known.cells:.1f} % of the "
        f"training rows count as other"
    )


def _require_finite(data: DataSpec, fit: FitSpec, rows: int, store: Mapping[str, Array]) -> None:
    for key in fit.keys:
        if store[key].dtype.kind == "f" and not np.isfinite(store[key]).all():
            spec = next(f for f in data.fitted if f.key == key)
            raise BmcError(run_errors.fitted_not_finite(spec.expression, rows, fit.columns, spec.span))
