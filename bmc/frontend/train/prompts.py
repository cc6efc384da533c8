"""From text to the input that `next` continues, and back: the data block's own path, one cell for each position.

In: the data output that grows. Out: the function `encode`, from cells to integers, and what cells are. A cell is what stands at one
position of the column that the output is made of: a byte, a character, a word, a number. Guaranteed: `encode` is the data trace's
operations, each on as many positions as there are; where a position depends on others, or on several columns, there is no `encode`.
"""

from __future__ import annotations

from typing import Literal

from bmc.frontend.bodies.trace import ROW, Trace, cone
from bmc.frontend.bodies.values import Tensor
from bmc.frontend.data.block import DataBlock
from bmc.frontend.unit import ENCODE, PromptSpec
from bmc.ir import Function, Operation, Parameter, Poly, Result, TensorType, Value
from bmc.ir.types import is_integer
from bmc.ops.build import Builder
from bmc.ops.choice import CastAttrs
from bmc.ops.shape import SliceAttrs
from bmc.ops.table import definition
from bmc.ops.text_parts import BytesAttrs, CountAttrs, PartsAttrs

__all__ = ["trace_prompt"]

_CELLS = Poly.symbol("U")
_ROW = Poly.symbol(ROW)

Unit = Literal["bytes", "chars", "words", "numbers"]


def trace_prompt(data: DataBlock, output: str, sequence: Tensor) -> tuple[Function, PromptSpec] | None:
    """`encode` and its specification for the data output `sequence`, integers [B, T]."""
    work = _Path(data.trace)
    value = work.followed(sequence.value)
    if value is None or work.column is None or value.type.shape != (_ROW, _CELLS):
        return None
    unit = work.unit or _unit_of(data, work.column)
    if unit is None:
        return None
    column = Parameter(work.cells, "input", work.column.key)
    function = Function(ENCODE, (*work.fitted.values(), column), tuple(work.b.ops), (Result(value, "output", output),), ROW)
    meaning = sequence.categories
    if meaning is not None and (meaning.labels or meaning.table is not None):
        return function, PromptSpec(unit, work.lower, work.column.key, meaning.labels, meaning.table, meaning.count)
    return function, PromptSpec(unit, work.lower, work.column.key, same=work.moved_only)


def _unit_of(data: DataBlock, column: Parameter) -> Unit | None:
    """What the cells of a column of arrays are."""
    dtype = column.value.type.dtype
    if dtype == "u8":
        return "bytes"
    if is_integer(dtype):
        return "numbers"
    items = {source.items for source in data.sources}
    if dtype == "str" and len(items) == 1 and items <= {"chars", "words"}:
        return "chars" if "chars" in items else "words"
    return None


class _Path:
    """Operations of the data trace again, on `U` cells. `moved_only`: the integers are the cells themselves."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.b = Builder()
        self.column: Parameter | None = None
        self.cells = Value(TensorType("u8", ()))
        self.unit: Unit | None = None
        self.lower = False
        self.moved_only = True
        self.fitted: dict[str, Parameter] = {}
        self.made: dict[Value, Value] = {}

    def followed(self, value: Value) -> Value | None:
        """`value` on cells; None where that is not known to be the same."""
        parameters = {p.value: p for p in self.trace.parameters.values()}
        for op in cone(self.trace.builder.ops, [value], effects=False):
            for operand in op.operands:
                if operand in parameters and operand not in self.made and not self._parameter(parameters[operand]):
                    return None
            if not self._operation(op):
                return None
        if value in parameters and not self._parameter(parameters[value]):
            return None
        return self.made.get(value)

    def _parameter(self, parameter: Parameter) -> bool:
        kind = parameter.value.type
        if parameter.role == "fitted":
            self.fitted[parameter.key] = parameter
            self.made[parameter.value] = parameter.value
            return True
        if parameter.role != "input" or (self.column is not None and self.column is not parameter):
            return False
        self.column = parameter
        if kind.rank == 2:
            self._take(kind.dtype, parameter.value)
        return kind.rank == 2 or (kind.rank == 1 and kind.dtype == "str")

    def _take(self, dtype: str, of: Value) -> None:
        """The cells of the column are the value `of`."""
        self.cells = Value(TensorType(dtype, (_ROW, _CELLS)), "cells")
        self.made[of] = self.cells

    def _operation(self, op: Operation) -> bool:
        attrs = op.attrs
        if isinstance(attrs, PartsAttrs | BytesAttrs):
            if self.unit is not None or op.result.type.rank != 2:
                return False
            self.unit = attrs.unit if isinstance(attrs, PartsAttrs) else "bytes"
            self.lower = isinstance(attrs, BytesAttrs) and attrs.lower
            self._take("str" if isinstance(attrs, PartsAttrs) else "u8", op.result)
            if isinstance(attrs, BytesAttrs):
                self.made[op.result] = self.b.cast(self.cells, op.result.type.dtype)
            return True
        if isinstance(attrs, CountAttrs):
            self.made[op.result] = self.b.broadcast(self.b.dim_value(_CELLS, "i32"), (_ROW,), ())
            return op.result.type.shape == (_ROW,)
        if not all(v in self.made for v in op.operands):
            return False
        if isinstance(attrs, SliceAttrs) and self.made[op.operands[0]].type.shape == (_ROW, _CELLS):
            self.made[op.result] = self.made[op.operands[0]]
            return attrs.steps == (1, 1) and (attrs.starts[0], attrs.stops[0]) == (0, _ROW)
        self.moved_only = self.moved_only and isinstance(attrs, CastAttrs)
        return self._again(op)

    def _again(self, op: Operation) -> bool:
        operands = [self.made[v] for v in op.operands]
        if any(value.type.rank > 2 for value in op.results):
            return False
        if all(value.type.rank < 2 for value in op.results):
            if any(v.type.rank == 2 for v in operands):
                return False
            results = self.b.operation(op.name, operands, op.attrs).results
        else:
            rule = definition(op.name).by_position
            along = None if rule is None else rule.along(op, 1)
            if rule is None or along is None:
                return False
            if any((axis is None) == (v.type.shape == (_ROW, _CELLS)) for axis, v in zip(along, operands, strict=True)):
                return False
            results = tuple(rule.build(self.b, op, operands, 1, 0, _CELLS))
        self.made.update(zip(op.results, results, strict=True))
        return True
