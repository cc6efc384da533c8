"""Random graphs over the registry, for property tests of passes and of code generation.

`graphs(...)` is a hypothesis strategy of functions; `random_graph(rng, ...)` makes one; `random_inputs(function,
...)` draws arrays for it. Every function has the row dim B, inputs with rows, weights without, `control`, and all
values that nothing else uses as outputs.

Graphs are safe to evaluate: an interval is kept for each float value, and a value leaves its operator's domain (that
of the operator's samples), or grows beyond 8, only through a squashing `tanh`. So nothing is NaN or infinite, and
nothing is divided by nearly zero.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from bmc.ir import Function, Location, Operation, Parameter, Poly, Region, Result, TensorType, Value
from bmc.ir.dims import evaluate as evaluate_dim
from bmc.ir.text import print_function
from bmc.ops.arrays import numpy_dtype, quiet
from bmc.ops.build import Builder
from bmc.ops.choice import PREDICATES
from bmc.ops.lowering import Elementwise, Reduction, Reshape, View
from bmc.ops.order import ArgAttrs, TopKAttrs
from bmc.ops.pool import PoolAttrs
from bmc.ops.random import CONTROL, RandomAttrs
from bmc.ops.registry import NoAttrs, Operator, RowMix, TypeRuleError, row_axes
from bmc.ops.scan_parts import ScanAttrs
from bmc.ops.sources import ConstantAttrs
from bmc.ops.table import definition, operators
from bmc.source import SourceFile, Span

ROW = "B"
ROWS = Poly.symbol(ROW)
_LIMIT = 8.0
_WIDE = 1e4
_INDEX_BOUND = 6
_MOST_ELEMENTS = 600
_OPAQUE = (
    "concat", "pad", "gather", "scatter_add", "take_along", "scatter_along", "sort", "cumsum", "argmax", "argmin", "top_k",
    "search_sorted",
)  # fmt: skip
_DISCONTINUOUS = ("sign", "floor", "ceil", "round", "trunc", "floor_div", "rem")


@dataclass(frozen=True)
class Options:
    """What graphs may hold.

    mixing: none: rows never mix; sum: they mix in sums that split over shards; any: in any way.
    smooth: only operators whose results move little when their operands do (for comparisons within a tolerance).
    gradient: a scalar output `loss` and outputs `grad.KEY` by every weight.
    opaque: operators with kernels of their own (gather, sort, concat, ...) too.
    composed: sums over windows too, which the pass `expand` turns into others that add in another order.
    regions: scans too.
    """

    dtype: str = "f64"
    mixing: str = "sum"
    smooth: bool = False
    gradient: bool = False
    opaque: bool = True
    composed: bool = True
    regions: bool = True
    most: int = 60


class RandomFunction(Function):
    """A function that failing tests print as text."""

    def __repr__(self) -> str:
        return print_function(self)


class _Grower:
    """A graph under construction: values with intervals, and their row axes."""

    def __init__(self, rng: random.Random, options: Options) -> None:
        self.rng = rng
        self.options = options
        self.text = SourceFile("random.bm", "".join(f"line {i}\n" for i in range(options.most + 1)))
        self.b = Builder()
        self.params: list[Parameter] = []
        self.intervals: dict[Value, tuple[float, float]] = {}
        self.rows: dict[Value, int | RowMix | None] = {}
        self.hidden: set[Value] = set()
        self.seen = 0

    # --- values ---

    def param(self, key: str, role: Any, tensor_type: TensorType, interval: tuple[float, float] = (-2.0, 2.0)) -> Value:
        value = Value(tensor_type, key.replace(".", "_"))
        self.params.append(Parameter(value, role, key))
        self.intervals[value] = interval
        self.rows[value] = 0 if tensor_type.shape[:1] == (ROWS,) else None
        return value

    def pool(self, accept: Callable[[Value], bool] = lambda value: True) -> list[Value]:
        return [value for value in self.intervals if value.type != CONTROL and value not in self.hidden and accept(value)]

    def floats(self, accept: Callable[[Value], bool] = lambda value: True) -> list[Value]:
        return self.pool(lambda value: value.type.dtype == self.options.dtype and accept(value))

    def pick(self, values: Sequence[Value]) -> Value:
        """A value, recent ones more often, so that graphs grow deep."""
        if not values:
            raise _NoneFitsError
        recent = values[-6:]
        return self.rng.choice(recent if self.rng.random() < 0.6 else values)

    def inside(self, value: Value, domain: tuple[float, float]) -> Value:
        """`value`, squashed into the open interval `domain` where it may lie outside."""
        low, high = self.intervals[value]
        if domain[0] <= low and high <= domain[1]:
            return value
        half = 0.5 * (domain[1] - domain[0])
        squashed = self.b.add(self.b.mul(self.b.emit("tanh", value), 0.98 * half), domain[0] + half)
        self.settle()
        self.intervals[squashed] = domain
        return squashed

    def small(self, value: Value) -> Value:
        return self.inside(value, (-_LIMIT, _LIMIT)) if value.type.dtype in ("f32", "f64") else value

    def settle(self) -> None:
        """Enter the results of new operations; refuse what the options forbid."""
        for op in self.b.ops[self.seen :]:
            states = row_axes(definition(op.name), op, [self.rows[v] for v in op.operands], ROW)  # type: ignore[misc]
            for value, state in zip(op.results, states, strict=True):
                if isinstance(state, RowMix):
                    if self.options.mixing == "none" or (self.options.mixing == "sum" and state is RowMix.OTHER):
                        raise _NoneFitsError
                    state = None
                if evaluate_dim(value.type.elements, {ROW: 6}) > _MOST_ELEMENTS or value.type.rank > 4:
                    raise _NoneFitsError
                self.rows[value] = state
                self.intervals[value] = self.interval(op, value)
        self.seen = len(self.b.ops)

    def interval(self, op: Operation, value: Value) -> tuple[float, float]:
        """What is known of the result of an operation that no move has a note for."""
        record = definition(op.name)
        known = [self.intervals[operand] for operand in op.operands]
        if isinstance(record.lowering, Elementwise) and record.attrs is NoAttrs and value.type.dtype == self.options.dtype:
            return _range(record, known)
        if isinstance(record.lowering, (View, Reshape)):
            return known[0]
        if isinstance(record.lowering, Reduction) and record.lowering.combine != "add":
            return known[0]
        if isinstance(op.attrs, ConstantAttrs):
            return float(op.attrs.value), float(op.attrs.value)
        return -_WIDE, _WIDE

    def attempt(self, move: Callable[[], None]) -> bool:
        """Make one move, or leave the graph as it was."""
        mark, known = len(self.b.ops), dict(self.intervals)
        try:
            move()
            self.settle()
        except (_NoneFitsError, TypeRuleError):
            del self.b.ops[mark:]
            self.seen = mark
            self.intervals = known
            return False
        return True

    def note(self, value: Value, low: float, high: float) -> None:
        self.settle()
        self.intervals[value] = (low, high)

    # --- moves ---

    def elementwise(self, record: Operator) -> None:
        count = record.arity if isinstance(record.arity, int) else record.arity[0]
        sample = next((s for s in record.samples() if s.operands[0].dtype == self.options.dtype), None)
        if sample is None:
            first = self.pick(self.pool(lambda v: v.type.dtype == record.samples()[0].operands[0].dtype))
        else:
            first = self.pick(self.floats())
        operands = [first, *(self.pick(self.pool(lambda v: v.type == first.type)) for _ in range(count - 1))]
        if sample is not None:
            default = (-2.0, 2.0) if record.ulp.f32 > 0.5 else (-_LIMIT, _LIMIT)
            operands = [self.inside(v, sample.domain.get(i, default)) for i, v in enumerate(operands)]
        result = self.b.emit(record.name, *operands)
        if result.type.dtype == self.options.dtype:
            self.note(result, *_range(record, [self.intervals[v] for v in operands]))

    def compare_select(self) -> None:
        x = self.small(self.pick(self.floats()))
        y = self.small(self.pick(self.floats(lambda v: v.type == x.type)))
        condition = self.b.compare(self.rng.choice(PREDICATES), x, y)
        self.note(condition, 0, 1)
        other = self.pick(self.floats(lambda v: v.type == x.type))
        result = self.b.select(condition, x, other)
        bounds = self.intervals[x] + self.intervals[other]
        self.note(result, min(bounds), max(bounds))

    def scalar(self) -> None:
        """An operation with a constant, which rewrites look for: zeros and ones often."""
        x = self.small(self.pick(self.floats()))
        c = self.rng.choice([0.0, -0.0, 1.0, -1.0, 0.5, 2.0, 1.25])
        name = self.rng.choice(["add", "sub", "mul", "maximum", "minimum"])
        result = self.b.binary(name, x, c) if self.rng.random() < 0.7 else self.b.binary(name, c, x)
        low, high = self.intervals[x]
        self.note(result, *_range(definition(name), [(low, high), (c, c)] if name != "sub" else [(low, high), (-2.0, 2.0)]))

    def make_source(self) -> None:
        shape = self.pick(self.floats()).type.shape
        kind = self.rng.choice(["constant", "iota", "dim_value", "cast"])
        if kind == "constant":
            value = self.rng.uniform(-2, 2)
            self.note(self.b.full(value, TensorType(self.options.dtype, shape)), value, value)
        elif kind == "iota" and shape:
            self.note(self.b.iota(self.options.dtype, shape, len(shape) - 1), 0, 20)
        elif kind == "dim_value" and self.options.mixing != "none":
            self.note(self.b.dim_value(ROWS, self.options.dtype), 0, 1000)
        else:
            condition = self.pick(self.pool(lambda v: v.type.dtype == "bool"))
            self.note(self.b.cast(condition, self.options.dtype), 0, 1)

    def random(self) -> None:
        shape = self.pick(self.floats(lambda v: v.type.shape[:1] == (ROWS,) and self.rows[v] == 0)).type.shape
        rows = self.rng.random() < 0.8
        attrs = RandomAttrs(self.options.dtype, shape if rows else shape[1:], f"site.{self.rng.randrange(4)}", rows)
        control = next(param.value for param in self.params if param.role == "control")
        name = self.rng.choice(["random_uniform", "random_normal"])
        self.note(self.b.emit(name, control, attrs=attrs), -7, 7)

    def view(self) -> None:
        x = self.pick(self.floats())
        rank = x.type.rank
        kind = self.rng.choice(["transpose", "slice", "broadcast", "reshape", "flip"])
        if kind == "transpose":
            self.b.transpose(x, self.rng.sample(range(rank), rank))
        elif kind == "slice" and rank:
            self.slice(x)
        elif kind == "flip" and rank:
            self.b.flip(x, [axis for axis in range(rank) if self.rows[x] != axis and self.rng.random() < 0.5])
        elif kind == "reshape":
            self.reshape(x)
        else:
            target = self.pick(self.floats()).type.shape
            if len(target) <= rank:
                target = (*target[:1], self.rng.randint(1, 3), *x.type.shape)
            axes = sorted(self.rng.sample(range(len(target)), rank))
            shape = [
                x.type.shape[axes.index(i)] if i in axes and x.type.shape[axes.index(i)] != 1 else d for i, d in enumerate(target)
            ]
            self.b.broadcast(x, shape, axes)

    def slice(self, x: Value) -> None:
        axis = self.rng.choice([i for i in range(x.type.rank) if isinstance(x.type.shape[i], int)] or [-1])
        size = x.type.shape[axis]
        if axis < 0 or not isinstance(size, int) or size == 0:
            raise _NoneFitsError
        start = self.rng.randrange(size)
        self.b.slice_axis(x, axis, start, self.rng.randint(start + 1, size), self.rng.choice([1, 1, 2, 3]))

    def reshape(self, x: Value) -> None:
        shape = list(x.type.shape)
        first = 1 if self.rows[x] == 0 else 0
        if len(shape) - first >= 2 and self.rng.random() < 0.5:
            at = self.rng.randrange(first, len(shape) - 1)
            shape[at : at + 2] = [shape[at] * shape[at + 1]]
        else:
            shape.insert(self.rng.randint(first, len(shape)), 1)
        self.b.reshape(x, shape)

    def reduce(self) -> None:
        x = self.small(self.pick(self.floats(lambda v: v.type.rank > 0)))
        axes = [axis for axis in range(x.type.rank) if self.rng.random() < 0.5] or [x.type.rank - 1]
        name = self.rng.choice(["reduce_sum", "reduce_sum", "reduce_max", "reduce_min"])
        empty = any(x.type.shape[axis] == 0 for axis in axes)
        if name != "reduce_sum" and empty:
            raise _NoneFitsError
        result = self.b.reduce(name, x, axes, keep=self.rng.random() < 0.3)
        many = 1000.0 if name == "reduce_sum" else 1.0
        low, high = self.intervals[x]
        self.note(result, min(low * many, 0.0 if many > 1 else low), max(high * many, 0.0 if many > 1 else high))

    def softmax(self) -> None:
        """The composition that fusion must recognise: a row is swept several times.

        The maximum is stopped, which is right for the quotient alone: what stands between has a derivative of its own.
        """
        mark = len(self.b.ops)
        x = self.small(self.pick(self.floats(lambda v: v.type.rank > 0 and v.type.shape[-1] not in (0, ROWS))))
        axis = x.type.rank - 1
        most = self.b.emit("stop_gradient", self.b.reduce("reduce_max", x, [axis]))
        powers = self.b.exp(self.b.sub(x, self.b.expand(most, x.type.shape, [axis])))
        total = self.b.reduce("reduce_sum", powers, [axis])
        share = self.b.div(powers, self.b.expand(total, x.type.shape, [axis]))
        self.hidden.update(op.result for op in self.b.ops[mark:-1])
        self.note(share, 0, 1)

    def dense(self) -> None:
        """A layer: product with a weight, bias, rectifier."""
        x = self.small(self.pick(self.floats(lambda v: v.type.rank > 0 and isinstance(v.type.shape[-1], int))))
        units = self.rng.randint(1, 5)
        w = self.weight((x.type.shape[-1], units))
        y = self.b.contract(x, w, (), (x.type.rank - 1,), (), (0,))
        bias = self.weight((units,))
        y = self.b.add(y, self.b.broadcast_to(bias, y.type.shape))
        self.note(self.b.maximum(y, 0.0), 0, 200)

    def weight(self, shape: Sequence[Any]) -> Value:
        for value in self.floats(
            lambda v: v.type.shape == tuple(shape) and any(p.value is v and p.role == "weight" for p in self.params)
        ):
            return value
        return self.param(f"w.{len(self.params)}", "weight", TensorType(self.options.dtype, tuple(shape)))

    def contract(self) -> None:
        x = self.small(self.pick(self.floats()))
        y = self.small(self.pick(self.floats()))
        pairs = [(i, j) for i, j in itertools.product(range(x.type.rank), range(y.type.rank)) if x.type.shape[i] == y.type.shape[j]]
        self.rng.shuffle(pairs)
        lists: tuple[list[int], ...] = ([], [], [], [])
        for i, j in pairs[:3]:
            if i not in lists[0] + lists[1] and j not in lists[2] + lists[3]:
                batch = self.rng.random() < 0.4
                lists[0 if batch else 1].append(i)
                lists[2 if batch else 3].append(j)
        self.note(self.b.contract(x, y, *lists), -1e4, 1e4)

    def opaque(self) -> None:
        kind = self.rng.choice(_OPAQUE)
        if self.options.smooth and kind in ("sort", "argmax", "argmin", "top_k", "search_sorted"):
            raise _NoneFitsError
        if kind == "concat":
            x = self.pick(self.floats(lambda v: v.type.rank > 0))
            axis = x.type.rank - 1
            y = self.pick(self.floats(lambda v: v.type.rank == x.type.rank and v.type.shape[:-1] == x.type.shape[:-1]))
            bounds = self.intervals[x] + self.intervals[y]
            self.note(self.b.concat([x, y], axis), min(bounds), max(bounds))
        elif kind == "pad":
            x = self.pick(self.floats(lambda v: v.type.rank > 0 and isinstance(v.type.shape[-1], int) and v.type.shape[-1] > 0))
            lead = [0] * (x.type.rank - 1)
            amounts = [self.rng.randrange(3) for _ in range(3)]
            result = self.b.pad(x, [*lead, amounts[0]], [*lead, amounts[1]], [*lead, amounts[2]], 0.5)
            low, high = self.intervals[x]
            self.note(result, min(low, 0.5), max(high, 0.5))
        elif kind == "gather":
            table = self.pick(self.floats(lambda v: v.type.rank > 0 and self.rows[v] is None and isinstance(v.type.shape[0], int)))
            self.b.gather(table, self.pick(self.indices()))
        elif kind == "scatter_add":
            index = self.pick(self.indices())
            updates = self.pick(self.floats(lambda v: v.type.shape[: index.type.rank] == index.type.shape))
            self.note(self.b.scatter_add(index, self.small(updates), self.rng.randint(1, 5)), -1e3, 1e3)
        elif kind == "take_along":
            x = self.pick(self.floats(lambda v: v.type.rank > 0))
            self.b.take_along(x, self.pick(self.indices(lambda v: v.type.shape[: x.type.rank - 1] == x.type.shape[:-1])))
        elif kind == "scatter_along":
            index = self.pick(self.indices())
            updates = self.small(self.pick(self.floats(lambda v: v.type.shape == index.type.shape)))
            lead = self.rng.randint(0, index.type.rank)
            self.note(self.b.scatter_along(index, updates, self.rng.randint(1, 5), lead), -1e3, 1e3)
        elif kind in ("argmax", "argmin"):
            x = self.pick(self.floats(lambda v: v.type.rank > 0))
            self.note(self.b.emit(kind, x, attrs=ArgAttrs(x.type.rank - 1)), 0, _INDEX_BOUND)
        elif kind == "top_k":
            x = self.small(self.pick(self.floats(lambda v: v.type.rank > 0 and v.type.shape[-1] not in (0, ROWS))))
            size = x.type.shape[-1]
            assert isinstance(size, int)
            for value in self.b.operation("top_k", (x,), TopKAttrs(self.rng.randint(1, size))).results:
                self.note(value, *self.intervals[x])
        elif kind == "search_sorted":
            x = self.pick(self.floats(lambda v: v.type.rank > 0))
            table = self.b.sort(self.small(self.pick(self.floats(lambda v: v.type.rank == 1))))[0]
            self.note(self.b.emit("search_sorted", table, self.small(x)), 0, _INDEX_BOUND)
        else:
            x = self.small(self.pick(self.floats(lambda v: v.type.rank > 0)))
            if kind == "sort":
                for value in self.b.sort(x, descending=self.rng.random() < 0.5):
                    self.note(value, *self.intervals[x])
            else:
                self.note(self.b.cumsum(x, x.type.rank - 1), -500, 500)

    def spatial(self) -> None:
        """Windows, convolutions and poolings: operators that walk an axis of places."""
        kind = self.rng.choice(["windows", "convolution", "max_pool", "sum_pool"])
        if kind in ("convolution", "sum_pool") and not self.options.composed:
            raise _NoneFitsError
        if kind == "windows":
            x = self.pick(self.floats(lambda v: v.type.rank > 1))
            axis = self.rng.choice([i for i in range(x.type.rank) if isinstance(x.type.shape[i], int)] or [0])
            self.b.windows(x, axis, self.rng.randint(1, 3), self.rng.randint(1, 3), self.rng.randint(1, 2))
            return
        x = self.pick(self.floats(lambda v: v.type.rank in (3, 4) and all(isinstance(d, int) for d in v.type.shape[1:])))
        x = self.small(x)
        places = x.type.rank - 2
        low, high = ([self.rng.randint(0, 2) for _ in range(places)] for _ in range(2))
        sizes, strides, dilation = ([self.rng.randint(1, most) for _ in range(places)] for most in (3, 2, 2))
        if kind == "convolution":
            channels = x.type.shape[-1]
            assert isinstance(channels, int)
            groups = self.rng.choice([g for g in (1, 1, 2, 3) if channels % g == 0])
            w = self.weight((*sizes, channels // groups, groups * self.rng.randint(1, 3)))
            interior = [self.rng.choice([0, 0, 1]) for _ in range(places)]
            made = self.b.convolution(
                x, w, strides=strides, low=low, high=high, interior=interior, dilation=dilation, groups=groups
            )
            self.note(made, -1e4, 1e4)
            return
        attrs = PoolAttrs(tuple(sizes), tuple(strides), tuple(low), tuple(high), tuple(dilation))
        reaches = [d * (k - 1) for d, k in zip(dilation, sizes, strict=True)]
        if kind == "max_pool" and any(max(pads) > reach for pads, reach in zip(zip(low, high, strict=True), reaches, strict=True)):
            raise _NoneFitsError  # a window of padding alone: its largest is -inf
        self.note(self.b.emit(kind, x, attrs=attrs), *((-_LIMIT, _LIMIT) if kind == "max_pool" else (-100, 100)))

    def scan(self) -> None:
        """A recurrence along an axis: a carry, a sequence, an invariant, and a yield that sees the carry before."""
        x = self.small(self.pick(self.floats(lambda v: v.type.rank > 1)))
        if self.rows[x] == 0:
            x = self.b.transpose(x, (1, 0, *range(2, x.type.rank)))
        length, state = x.type.shape[0], x.type.with_shape(x.type.shape[1:])
        if not isinstance(length, int) or length == 0:
            raise _NoneFitsError
        quarter = self.b.full(0.25, state)
        self.settle()
        start, scale = (self.small(self.pick(self.floats(lambda v: v.type == state) or [quarter])) for _ in range(2))
        h, part, p = (Value(state, name) for name in ("h", "part", "p"))
        turn = self.b.fresh()
        new = turn.emit("tanh", turn.add(turn.mul(h, turn.mul(p, 0.25)), part))
        results = new, turn.mul(h, new)
        region = Region((h, part, p), tuple(turn.ops), results)
        attrs = ScanAttrs(1, 1, self.rng.random() < 0.5, length)
        last, stacked = self.b.operation("scan", (start, x, scale), attrs, (region,)).results
        low, high = self.intervals[start]
        self.note(last, -1, 1)
        self.note(stacked, min(low, -1), max(high, 1))

    def indices(self, accept: Callable[[Value], bool] = lambda value: True) -> list[Value]:
        return self.pool(lambda v: v.type.dtype in ("i32", "i64") and accept(v))


class _NoneFitsError(Exception):
    """No value of the graph fits the move."""


def _range(record: Operator, intervals: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """The range of an element-wise operator over a box, from a grid of it, with a margin."""
    if record.name == "select":
        intervals = intervals[1:]
        return min(low for low, _ in intervals), max(high for _, high in intervals)
    axes = [np.linspace(low, high, 7) for low, high in intervals]
    grid = [axis.ravel() for axis in np.meshgrid(*axes)]
    with quiet(np):
        (values,) = record.reference(np, NoAttrs(), grid)
    margin = 0.05 * (values.max() - values.min())
    return float(values.min() - margin), float(values.max() + margin)


def random_graph(rng: random.Random, options: Options = Options()) -> Function:
    """A function with at most `options.most` moves; a move makes one to five operations."""
    grower = _Grower(rng, options)
    dtype = options.dtype
    sizes = [rng.choice([1, 2, 3, 4, 5]) for _ in range(3)]
    grower.param("control", "control", CONTROL)
    grower.param("x", "input", TensorType(dtype, (ROWS, sizes[0])))
    grower.param("y", "input", TensorType(dtype, (ROWS, sizes[1], sizes[2])))
    grower.param("k", "input", TensorType("i32", (ROWS,)), (0, _INDEX_BOUND))
    grower.param("flag", "input", TensorType("bool", (ROWS, sizes[0])), (0, 1))
    grower.param("w", "weight", TensorType(dtype, (sizes[0], sizes[1])))
    grower.param("v", "weight", TensorType(dtype, (sizes[1],)))
    names = [
        record
        for record in operators().values()
        if isinstance(record.lowering, Elementwise)
        and record.attrs is NoAttrs
        and record.arity in (1, 2, 3)
        and not (options.gradient and record.name == "stop_gradient")
        and not (options.smooth and (record.name in _DISCONTINUOUS or record.name.startswith("is_")))
    ]
    moves: list[tuple[int, Callable[[], None]]] = [
        (10, lambda: grower.elementwise(rng.choice(names))),
        (0 if options.smooth else 2, grower.compare_select),
        (3, grower.scalar),
        (2, grower.make_source),
        (1, grower.random),
        (6, grower.view),
        (3, grower.reduce),
        (2, grower.softmax),
        (3, grower.dense),
        (2, grower.contract),
        (3 if options.opaque else 0, grower.opaque),
        (3, grower.spatial),
        (1 if options.regions else 0, grower.scan),
    ]
    moves = [move for move in moves if move[0]]  # hypothesis may draw the very end of the range
    weights = [weight for weight, _ in moves]
    for step in range(rng.randint(1, options.most)):
        grower.b.location = Location((Span(grower.text, 7 * step, 7 * step + 6),))
        (move,) = rng.choices([move for _, move in moves], weights)
        grower.attempt(move)
    return _finish(grower)


def _finish(grower: _Grower) -> Function:
    used = {operand for op in grower.b.ops for operand in op.operands}
    leaves = [value for op in grower.b.ops for value in op.results if value not in used]
    results = [Result(value, "output", f"out.{i}") for i, value in enumerate(leaves)]
    if grower.options.gradient:
        results += _loss(grower, leaves)
    return RandomFunction("random", tuple(grower.params), tuple(grower.b.ops), tuple(results), ROW)


def _loss(grower: _Grower, leaves: Sequence[Value]) -> list[Result]:
    b = grower.b
    total = b.scalar(0.0, grower.options.dtype)
    for leaf in leaves:
        if leaf.type.dtype == grower.options.dtype:
            total = b.add(total, b.reduce("reduce_sum", b.emit("tanh", leaf), range(leaf.type.rank)))
    weights = [param for param in grower.params if param.role == "weight"]
    gradients = b.operation("gradient", (total, *(param.value for param in weights)))
    results = [Result(total, "output", "loss")]
    for param, value in zip(weights, gradients.results, strict=True):
        results.append(Result(value, "output", f"grad.{param.key}"))
    return results


def random_inputs(function: Function, bindings: Mapping[str, int], seed: int = 0) -> dict[str, Any]:
    """Arrays for the parameters: floats in (-2, 2), integers below 6, a plausible `control`."""
    rng = np.random.default_rng(seed)
    arrays: dict[str, Any] = {}
    for param in function.params:
        shape = tuple(evaluate_dim(dim, bindings) for dim in param.value.type.shape)
        dtype = param.value.type.dtype
        if param.role == "control" and param.value.type == CONTROL:
            arrays[param.key] = np.array([1234, 7, 0, 100, 0, bindings.get(ROW, 0), 0, 0], dtype=np.int64)
        elif dtype in ("f32", "f64"):
            arrays[param.key] = rng.uniform(-2, 2, size=shape).astype(numpy_dtype(np, dtype))
        elif dtype == "bool":
            arrays[param.key] = rng.integers(0, 2, size=shape).astype(bool)
        else:
            arrays[param.key] = rng.integers(0, _INDEX_BOUND, size=shape).astype(numpy_dtype(np, dtype))
    return arrays


def graphs(options: Options = Options()) -> st.SearchStrategy[Function]:
    """A strategy of functions. It shrinks towards fewer and simpler moves."""
    return st.randoms(use_true_random=False).map(lambda rng: random_graph(rng, options))
