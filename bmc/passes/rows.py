"""Which values have rows, along which axis, and which depend on other rows: the row-mixing analysis.

In: a function. Out: a `RowState` for each of its values, from the operators' row rules. Guaranteed: if a value is
not mixed, row i of it (the whole of it, where it has no rows) is a function of row i of the inputs and of
parameters without rows, whatever other rows are in the batch and however many. Linear in the operations.

Asked by the check that predictions keep rows apart, by `shard` and by `split_rows`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bmc.ir import Function, Operation, Parameter, Poly, Value
from bmc.ops.registry import RowMix, row_axes
from bmc.ops.table import definition
from bmc.record import record

__all__ = ["ROWLESS", "RowState", "mixing_op", "operation_rows", "row_states"]


@record(frozen=True)
class RowState:
    """`axis`: of the row dim; None: the value has none. `mixed_by`: the first operation, in order of execution, by
    which the value came to depend on rows other than its own; None: it does not. `mix`: how that operation
    combines them.
    """

    axis: int | None = None
    mixed_by: Operation | None = None
    mix: RowMix | None = None

    @property
    def mixed(self) -> bool:
        return self.mixed_by is not None


ROWLESS = RowState()


def _param_state(param: Parameter, row: str | None) -> RowState:
    shape = param.value.type.shape
    return RowState(0) if row is not None and shape and shape[0] == Poly.symbol(row) else ROWLESS


def operation_rows(op: Operation, axes: Sequence[int | None], row: str | None) -> tuple[int | RowMix | None, ...]:
    """What `op` does with rows: for each result the axis of its row dim, None where it has none, or the mix."""
    return row_axes(definition(op.name), op, axes, row)


def row_states(function: Function) -> Mapping[Value, RowState]:
    """The state of every parameter and every result of an operation."""
    states = {param.value: _param_state(param, function.row) for param in function.params}
    number = {op: i for i, op in enumerate(function.ops)}
    for op in function.ops:
        operands = [states[value] for value in op.operands]
        earlier = [state for state in operands if state.mixed_by is not None]
        first = min(earlier, key=lambda state: number[state.mixed_by], default=ROWLESS)  # type: ignore[index]
        for value, found in zip(op.results, operation_rows(op, [s.axis for s in operands], function.row), strict=True):
            axis = None if isinstance(found, RowMix) else found
            if first.mixed_by is None and isinstance(found, RowMix):
                states[value] = RowState(axis, op, found)
            else:
                states[value] = RowState(axis, first.mixed_by, first.mix)
    return states


def mixing_op(function: Function, result: Value) -> Operation | None:
    """The first operation by which `result` comes to depend on other rows; None if its rows are kept apart."""
    return row_states(function)[result].mixed_by
