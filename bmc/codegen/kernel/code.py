"""Emitting the elements of a kernel inside its loops.

In: analysed demands with levels. Out: LLVM instructions at the builder's position. `Code` belongs to one function;
`Scope` is what is known inside the loops that are open: values, partial addresses, loop variables, the mask of valid
lanes. A scope's child sees its parent's contents; what is computed in a loop never leaves it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from llvmlite import ir

from bmc.codegen.contract.loop import for_range
from bmc.codegen.emitter import Emitter
from bmc.codegen.kernel.affine import Affine
from bmc.codegen.kernel.demands import Demand, Demands
from bmc.codegen.philox import Run
from bmc.codegen.typed import element_dtype
from bmc.codegen.value import I64, Value
from bmc.errors import CompilerBug
from bmc.ir import Dim, FloorDiv, Symbol
from bmc.ops.element import Dtype
from bmc.ops.lowering import Elementwise
from bmc.ops.table import definition

__all__ = ["WIDTH", "Code", "DimCode", "Scope"]

WIDTH = 8
"""Lanes of a vector in map and reduce kernels, of every dtype: f64 takes two registers."""


class DimCode:
    """i64 values of dims, from the run-time dims at hand. Emitted where first asked for: ask in the entry block."""

    def __init__(self, builder: ir.IRBuilder, bindings: Mapping[str, ir.Value]) -> None:
        self.builder = builder
        self.bindings = bindings
        self._known: dict[Dim, ir.Value] = {}

    def __call__(self, dim: Dim) -> ir.Value:
        if isinstance(dim, int):
            return ir.Constant(I64, dim)
        known = self._known.get(dim)
        if known is None:
            known = self._known[dim] = self._polynomial(dim)
        return known

    def _polynomial(self, dim: Dim) -> ir.Value:
        assert not isinstance(dim, int)
        total: ir.Value | None = None
        for monomial, coefficient in dim.terms:
            factors = [self._atom(atom) for atom, power in monomial for _ in range(power)]
            if coefficient != 1 or not factors:
                factors.insert(0, ir.Constant(I64, coefficient))
            term = factors[0]  # a dim alone is an argument of the function, and known everywhere
            for factor in factors[1:]:
                term = self.builder.mul(term, factor)
            total = term if total is None else self.builder.add(total, term)
        assert total is not None
        return total

    def _atom(self, atom: Symbol | FloorDiv) -> ir.Value:
        if isinstance(atom, Symbol):
            return self.bindings[atom.name]
        # Dims are never negative and divisors positive, so truncation is floor.
        return self.builder.sdiv(self(atom.numerator), self(atom.denominator))


@dataclass
class Scope:
    values: dict[Demand, Value] = field(default_factory=dict)
    partial: dict[Affine, ir.Value] = field(default_factory=dict)
    variables: tuple[ir.Value, ...] = ()
    mask: Value | None = None

    def child(self, variable: ir.Value | None = None, mask: Value | None = None) -> Scope:
        variables = self.variables if variable is None else (*self.variables, variable)
        return Scope(dict(self.values), dict(self.partial), variables, mask if mask is not None else self.mask)


class _SizeEmitter(Emitter):
    """An emitter that knows the run-time dims."""

    def __init__(self, builder: ir.IRBuilder, width: int, fused: bool, dims: Callable[[Dim], ir.Value]) -> None:
        super().__init__(builder, width, fused)
        self._dims = dims

    def dim(self, dim: Dim) -> Value:
        """The value of a dim in every lane, an i64."""
        return self.broadcast(self._dims(dim), "i64")


class _PointEmitter(_SizeEmitter):
    """An emitter that also knows where the element of one demand lies."""

    def __init__(self, code: Code, scope: Scope, demand: Demand) -> None:
        super().__init__(code.builder, code.width if demand.vector else 1, code.fused, code.dims)
        self._point = (code, scope, demand)

    def index(self, axis: int) -> Value:
        code, scope, demand = self._point
        return code.index(scope, demand.index[axis], demand.vector)


class Code:
    """One kernel function under construction."""

    def __init__(
        self,
        builder: ir.IRBuilder,
        analysed: Demands,
        order: list[int],
        vector: int | None,
        pointers: Mapping[Demand, ir.Value],
        outputs: list[ir.Value],
        dims: Callable[[Dim], ir.Value],
        fused: bool,
        width: int = WIDTH,
    ) -> None:
        self.builder = builder
        self.analysed = analysed
        self.order = order
        self.vector_position = order.index(vector) if vector is not None else None
        self.pointers = pointers
        self.outputs = outputs
        self.dims = dims
        self.width = width
        self.fused = fused
        self.cells: dict[Demand, list[Value]] = {}
        self.scalar: Emitter = _SizeEmitter(builder, 1, fused, dims)
        self.wide: Emitter = _SizeEmitter(builder, width, fused, dims)
        # Every dim is emitted here, in the entry block, where all loops can see it.
        self.accesses = [d.access for d in analysed.order if d.access is not None] + [a for _, a in analysed.results]
        self.forms = list(self.accesses)
        for demand in analysed.order:
            lowering = definition(demand.op.name).lowering if demand.op is not None else None
            if isinstance(lowering, Elementwise) and lowering.indexed:
                self.forms.extend(demand.index)
        for form in self.forms:
            dims(form.offset)
            for stride in analysed.group_strides(form):
                dims(stride)
        self.size = [dims(analysed.sizes[g]) for g in order]

    def read_arrays(self) -> None:
        """Load the cells of arrays that are read one by one; they are few, and what is not used falls away."""
        for demand in self.analysed.order:
            if demand.array:
                dtype, size = element_dtype(demand.value.type.dtype), demand.value.type.shape[0]
                if not isinstance(size, int):
                    raise CompilerBug("codegen", f"the cells of {demand.value.type} are not known one by one")
                pointer = self.pointers[demand]
                self.cells[demand] = [self.scalar.load(pointer, ir.Constant(I64, i), dtype) for i in range(size)]

    def root(self) -> Scope:
        self.read_arrays()
        scope = Scope()
        scope.partial = {form: self.dims(form.offset) for form in self.forms}
        return scope

    def enter(self, scope: Scope, variable: ir.Value, mask: Value | None = None) -> Scope:
        """The scope inside the next loop, whose variable is `variable`; partial addresses move along."""
        child = scope.child(variable, mask)
        group = self.order[len(scope.variables)]
        for form, address in child.partial.items():
            stride = self.analysed.group_strides(form)[group]
            if stride == 0:
                continue
            step = variable if stride == 1 else self.builder.mul(variable, self.dims(stride))
            child.partial[form] = self.builder.add(address, step)
        return child

    def loop(self, position: int, body: Callable[[ir.Value], None]) -> None:
        """`for i in range(size of the group at `position`)`."""

        def turn(variable: ir.Value, _: list[ir.Value]) -> tuple[ir.Value, ...]:
            body(variable)
            return ()

        for_range(self.builder, ir.Constant(I64, 0), self.size[position], ir.Constant(I64, 1), (), turn)

    def compute(self, scope: Scope, demands: Iterable[Demand]) -> None:
        """Emit demands, which are in executable order, unless the scope has them."""
        for demand in demands:
            if demand not in scope.values:
                self._compute(scope, demand)

    def element(self, scope: Scope, demand: Demand, vector: bool) -> Value:
        """The value of a demand as a scalar or a vector."""
        if demand.constant:
            return self._constant(demand, vector)
        value = scope.values[demand]
        if vector and not demand.vector:
            return self.wide.broadcast(value.ir, value.dtype)
        return value

    def store(self, scope: Scope, output: int) -> None:
        demand, access = self.analysed.results[output]
        at = self.vector_position
        vector = at is not None and at < len(scope.variables) and self.analysed.group_strides(access)[self.order[at]] != 0
        value = self.element(scope, demand, vector)
        pointer, offset = self.outputs[output], scope.partial[access]
        if not vector:
            self.scalar.store(value, pointer, offset)
        elif scope.mask is None:
            self.wide.store(value, pointer, offset)
        else:
            self.wide.masked_store(value, pointer, offset, scope.mask)

    def _constant(self, demand: Demand, vector: bool) -> Value:
        assert demand.op is not None
        lowering = definition(demand.op.name).lowering
        assert isinstance(lowering, Elementwise)
        value = lowering.emit(self.wide if vector else self.scalar, demand.op.attrs)
        assert isinstance(value, Value)
        return value

    def _compute(self, scope: Scope, demand: Demand) -> None:
        if demand.access is not None:
            scope.values[demand] = self._load(scope, demand, demand.access)
            return
        if demand.array:
            return
        op = demand.op
        if op is None:
            raise CompilerBug("codegen", "a value of a kernel has no source")
        if demand.is_reduction:
            # Over axes of size one: the fold of a single element.
            scope.values[demand] = self.element(scope, demand.operands[0], demand.vector)
            return
        if demand.constant:
            return
        lowering = definition(op.name).lowering
        assert isinstance(lowering, Elementwise)
        emitter: Emitter = self.wide if demand.vector else self.scalar
        operands = [
            self._cells(d, demand.vector) if i in lowering.scalars else self.element(scope, d, demand.vector)
            for i, d in enumerate(demand.operands)
        ]
        if lowering.indexed:
            emitter = _PointEmitter(self, scope, demand)
        value = lowering.emit(emitter, op.attrs, *operands)
        if isinstance(value, tuple):
            value = value[op.results.index(demand.value)]
        scope.values[demand] = value

    def _cells(self, demand: Demand, vector: bool) -> Callable[[int], Value]:
        def cell(index: int) -> Value:
            value = self.cells[demand][index]
            return self.wide.broadcast(value.ir, value.dtype) if vector else value

        return cell

    def follow(self, form: Affine) -> None:
        """Keep the partial address of one more form over the iteration axes. Call before `root`."""
        self.forms.append(form)
        for dim in (form.offset, *self.analysed.group_strides(form)):
            self.dims(dim)

    def _load(self, scope: Scope, demand: Demand, access: Affine) -> Value:
        dtype = element_dtype(demand.value.type.dtype)
        return self.load_at(scope, self.pointers[demand], access, scope.partial[access], dtype, demand.vector)

    def load_at(self, scope: Scope, pointer: ir.Value, access: Affine, offset: ir.Value, dtype: Dtype, vector: bool) -> Value:
        """The elements at `offset` and on, along `access`, as a scalar or a vector."""
        if not vector:
            return self.scalar.load(pointer, offset, dtype)
        assert self.vector_position is not None
        stride = self.analysed.group_strides(access)[self.order[self.vector_position]]
        if stride == 0:
            value = self.scalar.load(pointer, offset, dtype)
            return self.wide.broadcast(value.ir, value.dtype)
        if stride == 1:
            if scope.mask is None:
                return self.wide.load(pointer, offset, dtype)
            return self.wide.masked_load(pointer, offset, dtype, scope.mask)
        return self._strided(scope, pointer, offset, self.dims(stride), dtype)

    def _strided(self, scope: Scope, pointer: ir.Value, offset: ir.Value, stride: ir.Value, dtype: Dtype) -> Value:
        """Lanes `stride` elements apart; lanes outside the mask read the first lane's element."""
        scalars = []
        for lane in range(self.width):
            step = self.builder.mul(stride, ir.Constant(I64, lane))
            if scope.mask is not None:
                valid = self.wide.extract(scope.mask, lane)
                step = self.builder.select(valid, step, ir.Constant(I64, 0))
            scalars.append(self.scalar.load(pointer, self.builder.add(offset, step), dtype).ir)
        return self.wide.collect(scalars, dtype)

    def index(self, scope: Scope, form: Affine, vector: bool) -> Value:
        """The position along an axis of a value, as i64."""
        base = scope.partial[form]
        if not vector:
            return Value(base, "i64")
        assert self.vector_position is not None
        stride = self.analysed.group_strides(form)[self.order[self.vector_position]]
        spread = self.wide.broadcast(base, "i64")
        if stride == 0:
            return spread
        lanes = self.wide.lane_numbers()
        if stride != 1:
            lanes = self.wide.mul(lanes, self.wide.broadcast(self.dims(stride), "i64"))
        places = self.wide.add(spread, lanes)
        # Vectors begin at multiples of their width, so consecutive positions begin at one of 4 if nothing else moves them.
        others = [s for g, s in enumerate(self.analysed.group_strides(form)) if g != self.order[self.vector_position]]
        if stride == 1 and self.width % 4 == 0 and all(isinstance(n, int) and n % 4 == 0 for n in (form.offset, *others)):
            return Run(places.ir, "i64", base)
        return places

    def vector_loop(self, scope: Scope, position: int, body: Callable[[Scope], None]) -> None:
        """Whole vectors along the group at `position`, then one masked vector where the size is not a multiple."""
        size, width = self.size[position], ir.Constant(I64, self.width)
        static = self.analysed.sizes[self.order[position]]
        whole = (
            self.builder.and_(size, ir.Constant(I64, -self.width))
            if not isinstance(static, int)
            else ir.Constant(I64, static // self.width * self.width)
        )

        def turn(variable: ir.Value, _: list[ir.Value]) -> tuple[ir.Value, ...]:
            body(self.enter(scope, variable))
            return ()

        if not isinstance(static, int) or static >= self.width:
            for_range(self.builder, ir.Constant(I64, 0), whole, width, (), turn)
        if isinstance(static, int):
            if static % self.width:
                body(self.enter(scope, whole, self.wide.tail_mask(self.builder.sub(size, whole))))
            return
        with self.builder.if_then(self.builder.icmp_signed("<", whole, size)):
            body(self.enter(scope, whole, self.wide.tail_mask(self.builder.sub(size, whole))))
