"""Running reducers: all of a function's at once, block by block, or one over whole arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, Protocol

from bmc_runtime.memory import Array
from bmc_runtime.plan import FunctionPlan, Step
from bmc_runtime.reducers.contract import Attributes, Kernels, Reducer
from bmc_runtime.reducers.distinct import Distinct, Distinctness
from bmc_runtime.reducers.extremes import Extreme
from bmc_runtime.reducers.quantiles import Quantiles
from bmc_runtime.reducers.sums import ExactSum, GroupMoments, RowMoments
from bmc_runtime.table import Bytes

__all__ = ["REDUCERS", "Reductions", "RowBlocks", "run_reducer"]

BLOCK_ROWS = 1 << 16

REDUCERS: Final[Mapping[str, Reducer]] = MappingProxyType(
    {
        "distinct": Distinct(),
        "exact_sum": ExactSum(),
        "extreme": Extreme(),
        "group_moments": GroupMoments(),
        "quantiles": Quantiles(),
        "row_moments": RowMoments(),
    }
)


class RowBlocks(Protocol):
    """Rows that are made when they are asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice, /) -> Array: ...


class Reductions:
    """The states of a function's reducers while its rows pass by. `keep`: buffers that texts of the results lie in."""

    def __init__(self, plan: FunctionPlan, kernels: Kernels) -> None:
        self._kernels = kernels
        self.steps: Mapping[int, Step] = {i: step for i, step in enumerate(plan.steps) if step.kind == "host"}
        self._states: dict[int, Any] = {}
        self._questions: dict[int, Any] = dict.fromkeys(self.steps)
        self._open = set(self.steps)
        self.keep: list[Bytes] = []

    def wants(self, position: int) -> bool:
        """Whether the step at `position` of the plan has anything to learn from this pass."""
        return position in self._open

    def add(self, position: int, inputs: Sequence[Array]) -> None:
        step = self.steps[position]
        state, question = self._states.get(position), self._questions[position]
        self._states[position] = REDUCERS[step.symbol].add(state, inputs, step.attributes, question, self._kernels)

    def pass_over(self) -> bool:
        """All rows have passed. Whether they must pass again."""
        for position in sorted(self._open):
            step = self.steps[position]
            following = REDUCERS[step.symbol].ask(self._states[position], step.attributes, self._questions[position])
            if following is None:
                self._open.discard(position)
            else:
                self._questions[position] = following
                del self._states[position]
        return bool(self._open)

    def distinctness(self, position: int) -> Distinctness | None:
        """What the step at `position` knows of the cells whose values it counted; None of other reducers."""
        step = self.steps[position]
        reducer = REDUCERS[step.symbol]
        if not isinstance(reducer, Distinct):
            return None
        return reducer.values(self._states[position], step.attributes, self._questions[position])

    def finish(self, position: int, outputs: Sequence[Array]) -> None:
        step = self.steps[position]
        state, question = self._states[position], self._questions[position]
        self.keep.extend(REDUCERS[step.symbol].finish(state, outputs, step.attributes, question))


def run_reducer(
    name: str, inputs: Sequence[Array | RowBlocks], outputs: Sequence[Array], attributes: Attributes, kernels: Kernels
) -> tuple[Bytes, ...]:
    """Runs a reducer over all rows of `inputs` (each `[N, ...]`). Gives the buffers that must outlive the outputs. KeyError: there
    is no reducer of that name."""
    reducer, question = REDUCERS[name], None
    while True:
        state = None
        for start in range(0, max(len(inputs[0]), 1), BLOCK_ROWS):
            block = [array[start : start + BLOCK_ROWS] for array in inputs]
            state = reducer.add(state, block, attributes, question, kernels)
        following = reducer.ask(state, attributes, question)
        if following is None:
            return reducer.finish(state, outputs, attributes, question)
        question = following
