"""From a function of a whole sequence to one of its new positions: what does not change is kept between calls.

In: a function (`next.step`) whose input grows along the dim T. Out: a function of the N new positions of a sequence of T,
N >= 1: the input holds the new ones, everything that later positions read of earlier ones is a state `cache.K`, which the
function updates. T - N positions came in earlier calls; with N = T it begins. Guaranteed: the results have the bits of the whole
function, since every value is made by the same operations in the same order, for fewer positions (see `prefix` for what is
provably the same). What is not settled is computed whole, from what is kept: any function has an incremental form.

A cache has its positions in front, so that room for more lies behind it and nothing moves when it grows. What is read whole in
another order of axes is kept once, in that of the cache. The last carries of a scan over positions are kept as they are.
"""

from __future__ import annotations

from bmc.errors import CompilerBug
from bmc.ir import Function, Location, Operation, Parameter, Poly, Region, Result, TensorType, Value
from bmc.ops.build import Builder
from bmc.ops.order import CumsumAttrs
from bmc.ops.scan_parts import ScanAttrs, parts
from bmc.ops.shape import SliceAttrs
from bmc.ops.table import definition
from bmc.ops.window import WindowsAttrs
from bmc.passes.fusion.traits import is_permutation
from bmc.passes.prefix import POSITIONS, LookBack, PrefixState, axes_of, causal_scan, look_back, prefix_states
from bmc.record import replace

__all__ = ["CACHE", "NEW", "incremental"]

NEW = "N"
"""The symbol of the number of new positions."""

CACHE = "cache."
"""Keys of what is kept: `cache.0`, `cache.1`, ..."""

_ALL, _NEW = Poly.symbol(POSITIONS), Poly.symbol(NEW)
_FIRST = _ALL - _NEW


def incremental(function: Function) -> Function:
    """The incremental form of `function`; itself, if it is one. It has no rows: all rows of a batch grow together."""
    if any(_NEW in param.value.type.shape for param in function.params):
        return function
    return _Incremental(function).function()


class _Incremental:
    """`whole`: values of all positions. `part`: values of the new positions along one axis. Both are made on demand, without
    recursion, since a model may be thousands of operations deep."""

    def __init__(self, source: Function) -> None:
        self.source = source
        self.states = prefix_states(source)
        self.maker = {value: op for op in source.ops for value in op.results}
        self.b = Builder()
        self.params: list[Parameter] = []
        self.updates: list[Result] = []
        self.made: dict[tuple[Value, int | None], Value] = {}
        for param in source.params:
            axes = axes_of(param.value.type)
            if not axes:
                self.params.append(param)
                self.made[param.value, None] = param.value
                continue
            if len(axes) != 1:
                raise CompilerBug("incremental", f"the input {param.key} has {len(axes)} axes of positions")
            new = Value(_restricted(param.value.type, axes[0]), param.value.name)
            self.params.append(Parameter(new, param.role, param.key))
            self.made[param.value, axes[0]] = new

    def function(self) -> Function:
        results = [Result(self._get(r.value, None), r.role, r.key) for r in self.source.results]
        return Function(self.source.name, tuple(self.params), tuple(self.b.ops), (*results, *self.updates), None)

    # --- on demand ---
    def _get(self, value: Value, axis: int | None) -> Value:
        work = [(value, axis)]
        while work:
            wanted = work[-1]
            if wanted in self.made:
                work.pop()
                continue
            missing = [need for need in self._needs(*wanted) if need not in self.made]
            if missing:
                work.extend(reversed(missing))
                continue
            self._make(*wanted)
        return self.made[value, axis]

    def _needs(self, value: Value, axis: int | None) -> list[tuple[Value, int | None]]:
        """What must be there before `value` can be made."""
        op = self.maker.get(value)
        if axis is None and (last := self._last_axis(op)) is not None:
            assert op is not None
            return [(op.operands[0], last)]
        if axis is None and self._is_kept(value):
            return [(value, axes_of(value.type)[0])]
        assert op is not None
        back = self._back(op, axis)
        if back is not None:
            first = [(back.first, None)] if isinstance(back.first, Value) else []
            return [(back.x, back.axis), *first]
        if self._goes_on(op, value, axis):
            attrs: ScanAttrs = op.attrs  # type: ignore[assignment]
            carries, sequences, invariants = parts(op.operands, attrs.carries, attrs.sequences)
            return [*((v, None) for v in (*carries, *invariants)), *((v, 0) for v in sequences)]
        return list(zip(op.operands, self._operand_axes(op, axis), strict=True))

    def _back(self, op: Operation, axis: int | None) -> LookBack | None:
        """How the new positions of `op` along `axis` look back, if they do."""
        found = None if axis is None else look_back(op, self.maker, self.states)
        return found if found is not None and found.axis == axis else None

    def _goes_on(self, op: Operation, value: Value, axis: int | None) -> bool:
        """Whether `value` comes from turns of a scan at new positions."""
        return causal_scan(op, self.states) and (axis is not None or value in op.results[: op.attrs.carries])  # type: ignore[attr-defined]

    def _operand_axes(self, op: Operation, axis: int | None) -> list[int | None]:
        """For each operand the axis along which its new positions are enough."""
        if axis is None:
            return [None] * len(op.operands)
        rule = definition(op.name).by_position
        along = None if rule is None else rule.along(op, axis)
        if along is None:
            raise CompilerBug("incremental", f"{op.name} has no part along axis {axis}")
        return [
            source if source is not None and source in axes_of(value.type) else None
            for value, source in zip(op.operands, along, strict=True)
        ]

    def _make(self, value: Value, axis: int | None) -> None:
        op = self.maker.get(value)
        location = Location() if op is None else op.location
        with self.b.at(location):
            if axis is None and (last := self._last_axis(op)) is not None:
                self.made[value, None] = self._last(op, last)  # type: ignore[arg-type]
                return
            if axis is None and self._is_kept(value):
                self.made[value, None] = self._kept(value)
                return
            assert op is not None
            back = self._back(op, axis)
            if back is not None:
                self.made[value, axis] = self._looking_back(op, back)
                return
            if self._goes_on(op, value, axis):
                self._scan(op)
                return
            axes = self._operand_axes(op, axis)
            operands = [self.made[v, a] for v, a in zip(op.operands, axes, strict=True)]
            if axis is None:
                made = self._again(op, operands)
            else:
                rule = definition(op.name).by_position
                assert rule is not None
                made = tuple(rule.build(self.b, op, operands, axis, _FIRST, _NEW))
            for result, found in zip(op.results, made, strict=True):
                self.made[result, axis] = found

    def _again(self, op: Operation, operands: list[Value]) -> tuple[Value, ...]:
        """The same operation on the same types."""
        results = tuple(Value(v.type, v.name) for v in op.results)
        self.b.ops.append(Operation(op.name, tuple(operands), op.attrs, results, op.regions, op.location))
        return results

    # --- what is kept ---
    def _is_kept(self, value: Value) -> bool:
        """Whether the whole of a value is put together from calls, rather than computed from other whole values."""
        state: PrefixState = self.states[value]
        if not (state.settled and state.depends) or len(axes_of(value.type)) != 1:
            return False
        op = self.maker.get(value)
        if op is None:
            return True
        # A product reads its operands in any order of axes; every other view would be stored anew at each call.
        return not (is_permutation(op) and self.states[op.operands[0]].depends)

    def _state(self, kind: TensorType, name: str) -> tuple[Value, str]:
        key = f"{CACHE}{sum(1 for p in self.params if p.key.startswith(CACHE))}"
        value = Value(kind, name)
        self.params.append(Parameter(value, "state", key))
        return value, key

    def _kept(self, value: Value) -> Value:
        """All positions: those of earlier calls, and the new ones behind them."""
        (axis,) = axes_of(value.type)
        order = (axis, *(i for i in range(value.type.rank) if i != axis))
        new = self.b.transpose(self.made[value, axis], order)
        kept, key = self._state(value.type.with_shape(tuple(value.type.shape[i] for i in order)), value.name)
        grown = self.b.emit("append", kept, new, hint=value.name)
        self.updates.append(Result(grown, "update", key))
        return self.b.transpose(grown, [order.index(i) for i in range(len(order))])

    def _scan(self, op: Operation) -> None:
        """The turns of the new positions, from the carries that earlier calls left; from the first ones when it begins."""
        attrs: ScanAttrs = op.attrs  # type: ignore[assignment]
        carries, sequences, invariants = parts(op.operands, attrs.carries, attrs.sequences)
        begins = self.b.compare("eq", self.b.dim_value(_FIRST, "i64"), 0)
        starts, keys = [], []
        for value in carries:
            kept, key = self._state(value.type, value.name)
            condition = self.b.broadcast(begins, value.type.shape, ())
            starts.append(self.b.select(condition, self.made[value, None], kept))
            keys.append(key)
        operands = [*starts, *(self.made[v, 0] for v in sequences), *(self.made[v, None] for v in invariants)]
        region: Region = op.regions[0]
        again = self.b.operation("scan", operands, replace(attrs, length=_NEW), (region,))
        for i, (result, found) in enumerate(zip(op.results, again.results, strict=True)):
            if i < attrs.carries:
                self.made[result, None] = found
                self.updates.append(Result(found, "update", keys[i]))
            else:
                self.made[result, 0] = found

    def _looking_back(self, op: Operation, back: LookBack) -> Value:
        """The new positions behind the last ones of earlier calls, of which as many are kept as are looked back at."""
        new, axis, count = self.made[back.x, back.axis], back.axis, back.count
        if count == 0:
            return self.b.operation(op.name, (new,), op.attrs).result
        shape = back.x.type.shape
        kind = back.x.type.with_shape((*shape[:axis], count, *shape[axis + 1 :]))
        kept, key = self._state(kind, back.x.name)
        first = self.made[back.first, None] if isinstance(back.first, Value) else self.b.full(back.first, kind)
        begins = self.b.compare("eq", self.b.dim_value(_FIRST, "i64"), 0)
        past = self.b.select(self.b.broadcast(begins, kind.shape, ()), first, kept)
        both = self.b.concat([past, new], axis)
        match op.attrs:
            case WindowsAttrs():
                found, last = self.b.operation("windows", (both,), op.attrs).result, both
            case CumsumAttrs():
                last = self.b.cumsum(both, axis)
                found = self.b.slice_axis(last, axis, 1, _NEW + 1)
            case _:
                found, last = self.b.slice_axis(both, axis, 0, _NEW), both
        self.updates.append(Result(self.b.slice_axis(last, axis, _NEW, _NEW + count), "update", key))
        return found

    # --- the last position ---
    def _last_axis(self, op: Operation | None) -> int | None:
        """The axis along which `op` takes the last position of a settled value, which is always a new one."""
        if op is None or not isinstance(op.attrs, SliceAttrs):
            return None
        (x,) = op.operands
        axes = axes_of(x.type)
        if len(axes) != 1 or not self.states[x].settled:
            return None
        attrs, axis = op.attrs, axes[0]
        last = (attrs.starts[axis], attrs.stops[axis], attrs.steps[axis]) == (_ALL - 1, _ALL, 1)
        return axis if last else None

    def _last(self, op: Operation, axis: int) -> Value:
        attrs: SliceAttrs = op.attrs  # type: ignore[assignment]
        starts = (*attrs.starts[:axis], _NEW - 1, *attrs.starts[axis + 1 :])
        stops = (*attrs.stops[:axis], _NEW, *attrs.stops[axis + 1 :])
        return self.b.emit("slice", self.made[op.operands[0], axis], attrs=SliceAttrs(starts, stops, attrs.steps))


def _restricted(kind: TensorType, axis: int) -> TensorType:
    return kind.with_shape((*kind.shape[:axis], _NEW, *kind.shape[axis + 1 :]))
