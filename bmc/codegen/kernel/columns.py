"""Folds over leading and middle axes: columns, each one chain from the identity, ascending.

Vectors run along the innermost kept axis, several registers at once. A vector of columns goes down all rows, and the
chains stay in registers; but where the rows together are more than a cache holds, all columns go down a few rows at a
time, and the chains wait in scratch: memory is then read in long runs. The order of each chain is the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from llvmlite import ir

from bmc.codegen.contract.loop import each, for_range, minimum
from bmc.codegen.kernel.affine import Affine
from bmc.codegen.kernel.code import Code, Scope
from bmc.codegen.kernel.demands import Demand
from bmc.codegen.kernel.folds import SAVED_BYTES, combine, identity_value
from bmc.codegen.typed import element_dtype
from bmc.codegen.value import I64, Value, size_of

__all__ = ["BLOCK_ROWS", "WHOLE_CELLS", "emit_columns"]

BLOCK_ROWS: Final = 8
"""Rows that all columns go down before the next ones: as many runs as a processor follows ahead of time."""

WHOLE_CELLS: Final = 1 << 16
"""Rows times columns up to which a vector of columns goes down all rows at once."""


def emit_columns(code: Code, kept: int, scratch: ir.Value) -> None:
    """`code.order`: `kept` loops over kept axes, vectors along the last of them; then the reduced axes, all in one chain."""
    _Columns(code, kept, scratch).descend(code.root(), 0)


class _Columns:
    def __init__(self, code: Code, kept: int, scratch: ir.Value) -> None:
        self.code, self.kept, self.scratch = code, kept, scratch
        self.order = code.analysed.order
        self.folds = [d for d in self.order if d.is_reduction]
        self.full = [i for i, (_, access) in enumerate(code.analysed.results) if self._has_rows(access)]
        self.sums = self._places()

    def _has_rows(self, access: Affine) -> bool:
        """Whether a result is stored for each reduced element: it has the full shape."""
        strides = self.code.analysed.group_strides(access)
        return any(strides[group] != 0 for group in self.code.order[self.kept :])

    def _places(self) -> list[int] | None:
        """The scratch offset of each fold's chains; None where columns always go down all rows."""
        code = self.code
        columns = code.analysed.sizes[code.order[self.kept - 1]]
        if len(code.order) != self.kept + 1 or not all(d.vector for d in self.folds):
            return None
        if not isinstance(columns, int) or columns <= code.width:
            return None
        places, room = [], 0
        for fold in self.folds:
            places.append(room)
            room += -(-columns // code.width) * code.width * size_of(element_dtype(fold.value.type.dtype))
        return places if room <= SAVED_BYTES else None

    def descend(self, scope: Scope, position: int) -> None:
        code = self.code
        code.compute(scope, [d for d in self.order if d.level < position and d.stage == 0])
        if position < self.kept - 1:
            code.loop(position, lambda variable: self.descend(code.enter(scope, variable), position + 1))
        elif self.sums is None:
            code.vector_loop(scope, position, self._all_rows)
        else:
            self._blocks(scope, self.sums)

    def _all_rows(self, scope: Scope) -> None:
        """One vector of columns."""
        code = self.code
        code.compute(scope, [d for d in self.order if d.level < self.kept and d.stage == 0])
        start = [identity_value(code.wide if d.vector else code.scalar, d) for d in self.folds]
        self._finish(scope, self._chain(scope, self.kept, start, self.order))

    def _finish(self, scope: Scope, ends: Sequence[Value]) -> None:
        code = self.code
        scope.values.update(zip(self.folds, ends, strict=True))
        code.compute(scope, [d for d in self.order if d.level < self.kept])
        for output in range(len(code.outputs)):
            if output not in self.full:
                code.store(scope, output)

    def _chain(self, scope: Scope, position: int, values: Sequence[Value], demands: Sequence[Demand]) -> list[Value]:
        """The chains from `values` on, over the loops from `position` on."""
        code = self.code
        if position == len(code.order):
            return self._element(scope, values, demands)

        def turn(variable: ir.Value, carried: list[ir.Value]) -> list[ir.Value]:
            inner = code.enter(scope, variable)
            code.compute(inner, [d for d in demands if d.level <= position and d.stage == 0])
            current = [Value(c, v.dtype) for c, v in zip(carried, values, strict=True)]
            return [v.ir for v in self._chain(inner, position + 1, current, demands)]

        ends = for_range(code.builder, _i64(0), code.size[position], _i64(1), [v.ir for v in values], turn)
        return [Value(e, v.dtype) for e, v in zip(ends, values, strict=True)]

    def _element(self, scope: Scope, values: Sequence[Value], demands: Sequence[Demand]) -> list[Value]:
        code = self.code
        code.compute(scope, [d for d in demands if d.stage == 0])
        for output in self.full:
            code.store(scope, output)
        return [
            combine(code.wide if d.vector else code.scalar, d, v, code.element(scope, d.operands[0], d.vector))
            for d, v in zip(self.folds, values, strict=True)
        ]

    # --- a few rows at a time ---

    def _blocks(self, scope: Scope, places: Sequence[int]) -> None:
        code, builder, column_loop = self.code, self.code.builder, self.kept - 1
        rows, columns = code.size[self.kept], code.size[column_loop]
        sums = [builder.gep(self.scratch, [_i64(place)], source_etype=ir.IntType(8)) for place in places]

        def start_chains(column: ir.Value) -> None:
            for fold, place in zip(self.folds, sums, strict=True):
                code.wide.store(identity_value(code.wide, fold), place, column)

        each(builder, _i64(0), columns, _i64(code.width), start_chains)
        few = builder.icmp_signed("<=", builder.mul(rows, columns), _i64(WHOLE_CELLS))
        step = builder.select(few, rows, _i64(BLOCK_ROWS))
        needed = self._needed()

        def load(inner: Scope) -> list[Value]:
            dtypes = [element_dtype(d.value.type.dtype) for d in self.folds]
            return [code.wide.load(place, inner.variables[-1], dtype) for place, dtype in zip(sums, dtypes, strict=True)]

        def block(first: ir.Value) -> None:
            last = minimum(builder, builder.add(first, step), rows)

            def vector(inner: Scope) -> None:
                code.compute(inner, [d for d in needed if d.level < self.kept])
                start = load(inner)

                def turn(variable: ir.Value, carried: list[ir.Value]) -> list[ir.Value]:
                    current = [Value(c, v.dtype) for c, v in zip(carried, start, strict=True)]
                    return [v.ir for v in self._element(code.enter(inner, variable), current, needed)]

                ends = for_range(builder, first, last, _i64(1), [v.ir for v in start], turn)
                for place, end, value in zip(sums, ends, start, strict=True):
                    code.wide.store(Value(end, value.dtype), place, inner.variables[-1])

            code.vector_loop(scope, column_loop, vector)

        each(builder, _i64(0), rows, step, block)
        code.vector_loop(scope, column_loop, lambda inner: self._finish(inner, load(inner)))

    def _needed(self) -> list[Demand]:
        """What the elements of a fold, and results of the full shape, are made of."""
        found: set[Demand] = set()
        pending = [d.operands[0] for d in self.folds] + [self.code.analysed.results[i][0] for i in self.full]
        while pending:
            demand = pending.pop()
            if demand not in found:
                found.add(demand)
                pending.extend(demand.operands)
        return [d for d in self.order if d in found]


def _i64(value: int) -> ir.Constant:
    return ir.Constant(I64, value)
