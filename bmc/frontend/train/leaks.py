"""What a model is given that it should not see: the label itself, or the number of a row.

In: a train block with its data. Out: warnings. Guaranteed: only what is all but certain is said: the label is one number of a row
that the loss compares with the model, and its column has one value a row, so that windows over one series, images that are
rebuilt and models of text are never meant.
"""

from __future__ import annotations

from collections.abc import Sequence

from bmc.frontend.bodies.elaborator import Elaborator
from bmc.frontend.bodies.trace import cone
from bmc.frontend.bodies.values import Tensor
from bmc.frontend.data.block import DataBlock
from bmc.frontend.errors import train_errors
from bmc.frontend.syntax import tree as syntax
from bmc.frontend.syntax.walk import walk
from bmc.frontend.train.settings import Settings
from bmc.frontend.train.traced import TrainBlock
from bmc.ir.types import is_float

__all__ = ["warn_of_leaks"]

_CODES = frozenset({"int_hash", "int_lookup", "str_hash", "str_lookup", "str_equal"})
"""Operators behind which a number is a name."""
_ROW_NUMBERS = frozenset({"id", "row_id", "rowid", "row", "row_number", "uuid", "guid", "unnamed: 0", "record_id"})


def warn_of_leaks(core: Elaborator, block: TrainBlock, settings: Settings, bindings: Sequence[tuple[str, str]]) -> None:
    """Report labels and row numbers among the columns of the model's inputs."""
    data = block.data
    places = {e.name.text: e.name.span for e in data.declaration.entries if isinstance(e, syntax.Output)}
    columns = {c.name: c for c in data.columns}
    inputs = [output for _, output in bindings if output in places]
    for label in _labels(settings, data):
        if label in inputs:
            continue
        mine = _columns_of(data, label)
        for name in inputs:
            shared = [c for c in _columns_of(data, name) if c in mine and c in columns and not columns[c].ragged]
            if shared:
                column = columns[shared[0]]
                core.report(train_errors.label_in_input(places[name], name, column.name, column.span, places[label], label))
    for name in inputs:
        tensor = _tensor(data, name)
        if tensor is None or not is_float(tensor.dtype):
            continue
        for key in _columns_of(data, name, _CODES):
            column_ = columns.get(key)
            if column_ is not None and column_.header.lower() in _ROW_NUMBERS and not column_.cell and column_.dtype != "bool":
                core.report(train_errors.row_number_in_input(places[name], name, column_.header, column_.span))


def _tensor(data: DataBlock, name: str) -> Tensor | None:
    bound = data.outputs.get(name)
    return bound.value if bound is not None and isinstance(bound.value, Tensor) else None


def _labels(settings: Settings, data: DataBlock) -> list[str]:
    """Outputs of one number a row that the loss compares with something: what stands second, as in `mse(out, y)`."""
    entry = settings.entries.get("loss")
    found: list[str] = []
    for node in () if entry is None else walk(entry.value):
        second = _second(node)
        name = second.text if isinstance(second, syntax.Name) else second.name.text if isinstance(second, syntax.Attribute) else ""
        tensor = _tensor(data, name)
        if tensor is not None and tensor.rank == 1 and name not in found:
            found.append(name)
    return found


def _second(node: object) -> syntax.Expr | None:
    if isinstance(node, syntax.Call) and len(node.arguments) > 1 and node.arguments[1].name is None:
        return node.arguments[1].value
    if isinstance(node, syntax.Stage) and isinstance(node.callee, syntax.Call) and node.callee.arguments:
        return node.callee.arguments[0].value
    return None


def _columns_of(data: DataBlock, name: str, through: frozenset[str] = frozenset()) -> list[str]:
    """Columns of one value a row that an output is computed from, those aside that come by operators of `through` alone; what was
    fitted to a column is not the column."""
    tensor = _tensor(data, name)
    if tensor is None:
        return []
    roots = [tensor.value] if tensor.valid is None else [tensor.value, tensor.valid]
    needed = {id(v) for v in roots}
    for op in reversed(cone(data.trace.builder.ops, roots, effects=False)):
        if op.name not in through and any(id(v) in needed for v in op.results):
            needed.update(id(v) for v in op.operands)
    used = [p for (role, _), p in data.trace.parameters.items() if role == "input" and id(p.value) in needed]
    return list(dict.fromkeys(p.key.removesuffix(".valid") for p in used if len(p.value.type.shape) == 1))
