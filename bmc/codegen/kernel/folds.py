"""Reduce kernels: folds over trailing axes (rows), with element work around them; `columns.py` has those over other axes.

The order of every fold is fixed by the types alone. Over trailing axes: element j of the innermost axis belongs to logical lane
j mod 16; each lane folds its elements in ascending order from the identity, and the lanes fold in a fixed tree (l with l + 8,
+ 4, + 2, + 1). Over other axes: one chain from the identity, ascending. Elements beyond the end contribute the identity.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from llvmlite import ir

from bmc.codegen.contract.loop import for_range
from bmc.codegen.kernel.affine import Affine
from bmc.codegen.kernel.code import Code, Scope
from bmc.codegen.kernel.demands import Demand
from bmc.codegen.lanes import Lanes
from bmc.codegen.typed import element_dtype
from bmc.codegen.value import I64, Value, size_of
from bmc.ops.lowering import Reduction
from bmc.ops.table import definition

__all__ = ["LANES", "SAVED_BYTES", "combine", "emit_rows", "identity_value"]

LANES = 16

SAVE_COST = 8
"""An element that took at least this many instructions is kept for the next sweep rather than computed again."""

SAVED_BYTES = 1 << 21
"""Room in the scratch block for elements kept between the sweeps of one row."""

_LARGEST = {"u8": 255, "i32": 2**31 - 1, "i64": 2**63 - 1, "bool": 1}
_LEAST = {"u8": 0, "i32": -(2**31), "i64": -(2**63), "bool": 0}


def fold_of(demand: Demand) -> Reduction:
    assert demand.op is not None
    lowering = definition(demand.op.name).lowering
    assert isinstance(lowering, Reduction)
    return lowering


def identity_value(lanes: Lanes, demand: Demand) -> Value:
    identity, dtype = fold_of(demand).identity, element_dtype(demand.value.type.dtype)
    if dtype in _LARGEST and math.isinf(identity):
        identity = _LARGEST[dtype] if identity > 0 else _LEAST[dtype]
    return lanes.constant(dtype, identity)


def combine(lanes: Lanes, demand: Demand, a: Value, b: Value) -> Value:
    result = getattr(lanes, fold_of(demand).combine)(a, b)
    assert isinstance(result, Value)
    return result


def _inner(code: Code, access: Affine, kept: int) -> bool:
    """Whether a result is stored for each reduced element: it has the full shape."""
    strides = code.analysed.group_strides(access)
    return any(strides[group] != 0 for group in code.order[kept:])


def emit_rows(code: Code, kept: int, scratch: ir.Value) -> None:
    """`code.order`: `kept` loops over kept axes, then the reduced ones, of which the last is walked in vectors.

    Each stage of reductions is one sweep over the row. Full-shape results are stored in the first sweep that can; costly
    elements that a later sweep wants again wait in `scratch`.
    """
    _Rows(code, kept, scratch).descend(code.root(), 0)


class _Rows:
    def __init__(self, code: Code, kept: int, scratch: ir.Value) -> None:
        analysed = code.analysed
        self.code, self.kept, self.scratch = code, kept, scratch
        self.order = analysed.order
        self.inner = len(code.order) - 1
        self.parts = LANES // code.width
        self.sweeps = 1 + max([d.stage for d in self.order] + [0])
        self.full = [i for i, (_, access) in enumerate(analysed.results) if _inner(code, access, kept)]
        self.folds: list[list[Demand]] = [[] for _ in range(self.sweeps)]
        targets: list[list[Demand]] = [[] for _ in range(self.sweeps)]
        for demand in self.order:
            if demand.is_reduction:
                self.folds[demand.stage - 1].append(demand)
                targets[demand.stage - 1].append(demand.operands[0])
        for output in self.full:
            demand = analysed.results[output][0]
            targets[demand.stage].append(demand)
        self.needed, self.saved = self._plan(targets)

    def _plan(self, targets: list[list[Demand]]) -> tuple[list[set[Demand]], dict[Demand, int]]:
        """For each sweep the demands that it touches inside the row, and the scratch offset of those kept between sweeps."""
        static = self.code.analysed.sizes[self.code.order[self.inner]]
        alone = [self._slice(t, set()) for t in targets]
        candidates: set[Demand] = set()
        if isinstance(static, int) and self.inner == self.kept:
            candidates = {
                d
                for d in self.order
                if d.cost >= SAVE_COST and d.vector and d.level == self.inner and sum(d in n for n in alone) > 1
            }
        needed: list[set[Demand]] = []
        saved: dict[Demand, int] = {}
        available: set[Demand] = set()
        room = 0
        for sweep, sweep_targets in enumerate(targets):
            needed.append(self._slice(sweep_targets, available))
            for demand in self.order:
                if demand not in candidates or demand not in needed[-1] or demand in available:
                    continue
                if not any(demand in later for later in alone[sweep + 1 :]):
                    continue
                assert isinstance(static, int)
                row_bytes = -(-static // LANES) * LANES * size_of(element_dtype(demand.value.type.dtype))
                if room + row_bytes > SAVED_BYTES:
                    continue
                saved[demand] = room
                available.add(demand)
                room += row_bytes
        return needed, saved

    def _slice(self, targets: Sequence[Demand], available: set[Demand]) -> set[Demand]:
        """What the row's elements need, down to loads, row-level values and what is available already."""
        found: set[Demand] = set()
        pending = list(targets)
        while pending:
            demand = pending.pop()
            if demand in found:
                continue
            found.add(demand)
            if demand not in available and demand.level >= self.kept:
                pending.extend(demand.operands)
        return found

    def descend(self, scope: Scope, position: int) -> None:
        code = self.code
        code.compute(scope, [d for d in self.order if d.level < position and d.stage == 0])
        if position == self.kept:
            self._row(scope)
        else:
            code.loop(position, lambda variable: self.descend(code.enter(scope, variable), position + 1))

    def _row(self, scope: Scope) -> None:
        code = self.code
        loaded: set[Demand] = set()
        for sweep in range(self.sweeps):
            row_level = [d for d in self.order if d.level < self.kept and d.stage <= sweep and not d.is_reduction]
            code.compute(scope, row_level)
            if self.needed[sweep]:
                self._sweep(scope, sweep, loaded)
            loaded |= self.needed[sweep] & self.saved.keys()
        for output in range(len(code.outputs)):
            if output not in self.full:
                code.store(scope, output)

    def _sweep(self, scope: Scope, sweep: int, loaded: set[Demand]) -> None:
        folds = self.folds[sweep]
        start = [identity_value(self.code.wide, d).ir for d in folds for _ in range(self.parts)]
        ends = self._middle(scope, self.kept, sweep, loaded, start)
        for i, demand in enumerate(folds):
            dtype = element_dtype(demand.value.type.dtype)
            lanes = [Value(v, dtype) for v in ends[self.parts * i : self.parts * (i + 1)]]
            scope.values[demand] = self._tree(demand, lanes)

    def _middle(self, scope: Scope, position: int, sweep: int, loaded: set[Demand], values: list[ir.Value]) -> list[ir.Value]:
        """Reduced axes outside the innermost one."""
        if position == self.inner:
            return self._along(scope, sweep, loaded, values)
        code = self.code

        def turn(variable: ir.Value, carried: list[ir.Value]) -> list[ir.Value]:
            child = code.enter(scope, variable)
            code.compute(child, [d for d in self.order if d in self.needed[sweep] and d.level <= position])
            return self._middle(child, position + 1, sweep, loaded, carried)

        return for_range(code.builder, _i64(0), code.size[position], _i64(1), values, turn)

    def _along(self, scope: Scope, sweep: int, loaded: set[Demand], values: list[ir.Value]) -> list[ir.Value]:
        """The innermost axis, 16 elements a turn, then the masked rest."""
        code = self.code
        static = code.analysed.sizes[code.order[self.inner]]
        size = code.size[self.inner]

        def turn(variable: ir.Value, carried: list[ir.Value]) -> list[ir.Value]:
            return self._sixteen(scope, sweep, loaded, variable, carried, None)

        if isinstance(static, int):
            whole: ir.Value = _i64(static // LANES * LANES)
            if static >= LANES:
                values = for_range(code.builder, _i64(0), whole, _i64(LANES), values, turn)
            return self._sixteen(scope, sweep, loaded, whole, values, static % LANES) if static % LANES else values
        whole = code.builder.and_(size, _i64(-LANES))
        values = for_range(code.builder, _i64(0), whole, _i64(LANES), values, turn)

        def rest(_: ir.Value, carried: list[ir.Value]) -> list[ir.Value]:
            return self._sixteen(scope, sweep, loaded, whole, carried, code.builder.sub(size, whole))

        return for_range(code.builder, whole, size, _i64(LANES), values, rest)

    def _sixteen(
        self,
        scope: Scope,
        sweep: int,
        loaded: set[Demand],
        first: ir.Value,
        carried: list[ir.Value],
        valid: ir.Value | int | None,
    ) -> list[ir.Value]:
        """16 elements from `first` on, of which `valid` exist (None: all)."""
        code, width = self.code, self.code.width
        following = list(carried)
        for part in range(self.parts):
            if isinstance(valid, int) and valid <= part * width:
                break
            mask = None
            step: ir.Value = _i64(part * width)
            if isinstance(valid, int) and valid < (part + 1) * width:
                mask = code.wide.tail_mask(_i64(valid - part * width))
            elif valid is not None and not isinstance(valid, int):
                left = code.builder.sub(valid, step)
                mask = code.wide.tail_mask(left)
                # A part of which nothing exists stays at the first one: strided loads read its first element.
                step = code.builder.select(code.builder.icmp_signed(">", left, _i64(0)), step, _i64(0))
            position = first if part == 0 else code.builder.add(first, step)
            child = code.enter(scope, position, mask)
            self._elements(child, sweep, loaded, position)
            for i, demand in enumerate(self.folds[sweep]):
                value = code.element(child, demand.operands[0], True)
                if mask is not None:
                    value = code.wide.select(mask, value, identity_value(code.wide, demand))
                slot = self.parts * i + part
                following[slot] = combine(code.wide, demand, Value(following[slot], value.dtype), value).ir
            for output in self.full:
                if code.analysed.results[output][0].stage == sweep:
                    code.store(child, output)
        return following

    def _elements(self, scope: Scope, sweep: int, loaded: set[Demand], position: ir.Value) -> None:
        code = self.code
        for demand in self.order:
            if demand not in self.needed[sweep] or demand in scope.values:
                continue
            if demand in loaded:
                scope.values[demand] = code.wide.load(self._saved_row(demand), position, element_dtype(demand.value.type.dtype))
                continue
            code.compute(scope, [demand])
            if demand in self.saved:
                code.wide.store(scope.values[demand], self._saved_row(demand), position)

    def _saved_row(self, demand: Demand) -> ir.Value:
        offset = _i64(self.saved[demand])
        return self.code.builder.gep(self.scratch, [offset], source_etype=ir.IntType(8))

    def _tree(self, demand: Demand, parts: list[Value]) -> Value:
        """Lanes l and l + 8, then + 4, + 2, + 1."""
        code = self.code
        value = parts[0]
        for part in parts[1:]:
            value = combine(code.wide, demand, value, part)
        half = code.width // 2
        while half:
            lanes = [*range(half, code.width), *range(half)]
            mask = ir.Constant(ir.VectorType(ir.IntType(32), code.width), lanes)
            turned = code.builder.shuffle_vector(value.ir, value.ir, mask)
            value = combine(code.wide, demand, value, Value(turned, value.dtype))
            half //= 2
        return Value(code.wide.extract(value, 0), value.dtype)


def _i64(value: int) -> ir.Constant:
    return ir.Constant(I64, value)
