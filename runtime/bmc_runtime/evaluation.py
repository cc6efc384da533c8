"""Loss and metrics of a whole split: rows in chunks, then one reduction over all of them.

In: the bound halves of `eval` (`eval.rows` keeps rows apart, `eval.finish` sees the whole split), the split's arrays. Out: numbers
by name. A metric is never the mean of batch values: what a batch contributes is stored row by row, and the reduction runs once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bmc_runtime.binding import BoundFunction, Library
from bmc_runtime.mapping import map_rows, run_whole
from bmc_runtime.memory import Array

__all__ = ["Evaluator"]


class Evaluator:
    """Evaluates with the weights that the store has at the time of the call. `library`: asked for when it is first needed, so that
    training can begin before evaluation is compiled.
    """

    def __init__(self, library: Callable[[], Library], store: Mapping[str, Array], dims: Mapping[str, int], seed: int) -> None:
        self._library, self._store = library, store
        self._dims, self._seed = dict(dims), seed

    def __call__(self, data: Mapping[str, Array], rows: int, step: int = 0, steps: int | None = None) -> dict[str, Array]:
        """`loss` and the metrics of `rows` rows; `data` are the outputs of the data block, [rows, ...] each. `step`: how many steps
        of training the weights have seen, of `steps` in all (by default these are all): schedules in the loss have their value
        there.
        """
        library = self._library()
        by_rows = BoundFunction(library, "eval.rows", self._store)
        finish = BoundFunction(library, "eval.finish", self._store)
        cuts = map_rows(by_rows, data, rows, self._dims, seed=self._seed, step=step, steps=steps)
        row = finish.plan.row or by_rows.plan.row or "B"
        results = run_whole(finish, {**data, **cuts}, {**self._dims, row: rows}, self._seed, step, steps)
        return {key: array.copy() for key, array in results.items()}
