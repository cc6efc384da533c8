"""Which raw column a result comes from, so that an error of the result can show the cell.

In: a function of rows, the key of a result; a table. Out: the one column that the result is computed from, if it is one.
"""

from __future__ import annotations

from bmc.ir import Function, Operation, Value
from bmc_runtime.table import Column, Table

__all__ = ["column_behind", "shown_cell"]


def column_behind(function: Function, key: str, table: Table) -> tuple[str, Column] | None:
    """The name and the cells of the only column that a result reads; None where there are several, or cells of several values."""
    made: dict[Value, Operation] = {value: op for op in function.ops for value in op.results}
    inputs = {param.value: param.key for param in function.params if param.role == "input"}
    waiting = [result.value for result in function.results if result.key == key]
    seen: set[Value] = set()
    names: set[str] = set()
    while waiting:
        value = waiting.pop()
        if value in seen:
            continue
        seen.add(value)
        if value in made:
            waiting.extend(made[value].operands)
        elif value in inputs:
            names.add(inputs[value].removesuffix(".valid"))
    found = table.columns.get(names.pop()) if len(names) == 1 else None
    if found is None or found.runs is not None or found.cell:
        return None
    return next((name, column) for name, column in table.columns.items() if column is found)


def shown_cell(column: Column, row: int) -> str | None:
    """A cell as an error shows it, None where it is missing."""
    (value,) = column.between(row, row + 1).to_python()
    text = repr(value)
    return None if value is None else text if len(text) <= 60 else text[:57] + "..."
