"""Loss and metrics of a whole split: rows in chunks, then one reduction over all of them.

In: the bound halves of `eval` (`eval.rows` keeps rows apart, `eval.finish` sees the whole split), the split's arrays. Out: numbers
by name. A metric is never the mean of batch values: what a batch contributes is stored row by row, and the reduction runs once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bmc_runtime.binding import BoundFunction, Library
from bmc_runtime.buckets import Buckets
from bmc_runtime.feeding import Feed
from bmc_runtime.mapping import CHUNK_ROWS, map_groups, map_rows, rows_of, run_whole
from bmc_runtime.memory import Array
from bmc_runtime.table import Indices, RowInput

__all__ = ["Evaluator"]


class Evaluator:
    """Evaluates with the weights that the store has at the time of the call. `library`: asked for when it is first needed, so that
    training can begin before evaluation is compiled.
    """

    def __init__(self, library: Callable[[], Library], store: Mapping[str, Array], dims: Mapping[str, int], seed: int) -> None:
        self._library, self._store = library, store
        self._dims, self._seed = dict(dims), seed

    def __call__(
        self,
        data: Mapping[str, Array],
        rows: int,
        step: int = 0,
        steps: int | None = None,
        buckets: Buckets | None = None,
        feed: Feed | None = None,
    ) -> dict[str, Array]:
        """`loss` and the metrics of `rows` rows; `data` are the outputs of the data block, [rows, ...] each, and `feed` makes those
        that are not there. `step`: how many steps of training the weights have seen, of `steps` in all (by default these are all):
        schedules in the loss have their value there. `buckets`: how long the rows are, where they are padded in buckets: each is
        evaluated as long as it is, and what the reductions see behind that is 0.
        """
        library = self._library()
        by_rows = BoundFunction(library, "eval.rows", self._store)
        finish = BoundFunction(library, "eval.finish", self._store)
        dims = self._dims if buckets is None else {**self._dims, **buckets.most}
        if buckets is None:
            cuts = map_rows(by_rows, data, rows, self._dims, seed=self._seed, step=step, steps=steps, feed=feed)
        else:

            def pick(chosen: Indices, sizes: Mapping[str, int]) -> Mapping[str, RowInput]:
                if feed is not None:
                    return feed.of_size(chosen, sizes)
                return rows_of(by_rows, data, chosen, {**dims, **sizes})

            most = CHUNK_ROWS if feed is not None else None
            cuts = map_groups(by_rows, pick, rows, dims, buckets, self._seed, step, steps, most)
        row = finish.plan.row or by_rows.plan.row or "B"
        results = run_whole(finish, {**data, **cuts}, {**dims, row: rows}, self._seed, step, steps, feed)
        return {key: array.copy() for key, array in results.items()}
