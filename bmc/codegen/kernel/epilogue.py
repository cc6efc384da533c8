"""The element work on a finished tile of a product: bias, activation, the update of a weight.

In: the demands of a contract kernel's region. Out: code for one vector of accumulators, and the arguments that it needs at a
place of the loops around the product.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from llvmlite import ir

from bmc.codegen.contract.loop import each
from bmc.codegen.kernel.affine import Affine
from bmc.codegen.kernel.code import Code, DimCode, Scope
from bmc.codegen.kernel.demands import Demands
from bmc.codegen.typed import element_dtype, float_dtype_of
from bmc.codegen.value import I64, POINTER, Value, memory_type
from bmc.ir import Dim, Region
from bmc.ir import Value as IRValue
from bmc.ops.table import definition

__all__ = ["Epilogue", "Offsets", "moved", "outer_loops"]

Offsets = Mapping[Affine, ir.Value]
"""Where in each address form the loops around a product stand."""


def moved(builder: ir.IRBuilder, pointer: ir.Value, offset: ir.Value, dtype: str) -> ir.Value:
    """The address `offset` elements behind `pointer`."""
    return builder.gep(pointer, [offset], source_etype=memory_type(element_dtype(dtype)))


def outer_loops(
    builder: ir.IRBuilder,
    analysed: Demands,
    groups: Sequence[int],
    start: Offsets,
    dims: DimCode,
    body: Callable[[Offsets], None],
) -> None:
    """Loops over `groups`, outermost first, around `body` at the offsets of its forms."""

    def descend(remaining: Sequence[int], offsets: Offsets) -> None:
        if not remaining:
            body(offsets)
            return
        group, *rest = remaining

        def turn(variable: ir.Value) -> None:
            inside = {}
            for form, offset in offsets.items():
                stride = analysed.group_strides(form)[group]
                step = builder.mul(variable, dims(stride)) if stride != 0 else None
                inside[form] = offset if step is None else builder.add(offset, step)
            descend(rest, inside)

        each(builder, ir.Constant(I64, 0), dims(analysed.sizes[group]), ir.Constant(I64, 1), turn)

    descend(groups, start)


class Epilogue:
    """The element work on one vector of a finished tile.

    Its extra arguments: load pointers, store pointers, indices, the dims of strides and sizes, the run-time dims themselves.
    """

    def __init__(
        self,
        analysed: Demands,
        order: list[int],
        row_group: int | None,
        column_group: int | None,
        fused: bool,
        names: tuple[str, ...],
    ) -> None:
        self.analysed, self.order, self.fused, self.names = analysed, order, fused, names
        self.row_group, self.column_group = row_group, column_group
        self.loads = [d for d in analysed.order if d.access is not None or d.array]
        self.index_forms: list[Affine] = []
        for demand in analysed.order:
            if demand.op is not None and getattr(definition(demand.op.name).lowering, "indexed", False):
                self.index_forms.extend(form for form in demand.index if form not in self.index_forms)
        strides: list[Dim] = []
        forms = [*(d.access for d in self.loads if d.access), *(a for _, a in analysed.results), *self.index_forms]
        for form in forms:
            strides.extend(analysed.group_strides(form)[g] for g in order)
        strides.extend(analysed.sizes[g] for g in order)
        self.open_dims = list(dict.fromkeys(d for d in strides if not isinstance(d, int)))
        pointers = len(self.loads) + len(analysed.results)
        integers = len(self.index_forms) + len(self.open_dims) + len(names)
        self.types: list[ir.Type] = [POINTER] * pointers + [I64] * integers

    def forms(self) -> list[Affine]:
        """All that moves in the loops around the product."""
        loads = [d.access for d in self.loads if d.access]
        return [*loads, *(a for _, a in self.analysed.results), *self.index_forms]

    def arguments(
        self,
        builder: ir.IRBuilder,
        region: Region,
        pointers: Mapping[IRValue, ir.Value],
        outputs: Sequence[ir.Value],
        offsets: Offsets,
        dims: DimCode,
    ) -> list[ir.Value]:
        """The extra arguments of a product at `offsets`: load pointers, store pointers, and the integers."""

        def based(pointer: ir.Value, form: Affine, element: str) -> ir.Value:
            # The epilogue adds the base of an index to the address of the same form: it must not be in the pointer too.
            return pointer if form in self.index_forms else moved(builder, pointer, offsets[form], element)

        stores = [
            based(pointer, access, value.type.dtype)
            for pointer, (_, access), value in zip(outputs, self.analysed.results, region.results, strict=True)
        ]
        fetched = [
            pointers[d.value] if d.access is None else based(pointers[d.value], d.access, d.value.type.dtype)
            for d in self.loads
        ]
        bases = [offsets[form] for form in self.index_forms]
        return [*fetched, *stores, *bases, *(dims(d) for d in self.open_dims), *dims.bindings.values()]

    def __call__(
        self,
        builder: ir.IRBuilder,
        acc: ir.Value,
        row: ir.Value,
        column: ir.Value,
        mask: ir.Value | None,
        extra: Sequence[ir.Value],
    ) -> None:
        analysed = self.analysed
        load_count, result_count = len(self.loads), len(analysed.results)
        loads = extra[:load_count]
        stores = list(extra[load_count : load_count + result_count])
        bases = extra[load_count + result_count :][: len(self.index_forms)]
        sizes = extra[load_count + result_count + len(self.index_forms) :]
        known = dict(zip(self.open_dims, sizes, strict=False))
        bindings = dict(zip(self.names, sizes[len(self.open_dims) :], strict=True))

        def dims(dim: Dim) -> ir.Value:
            # Other dims than strides and sizes (a mean's divisor) are rare, and computed where they are asked for.
            return known[dim] if dim in known else DimCode(builder, bindings)(dim)

        given = next(d for d in analysed.order if d.op is None and d.access is None and not d.array)
        width, dtype = acc.type.count, float_dtype_of(given.value)
        pointers = dict(zip(self.loads, loads, strict=True))
        code = Code(builder, analysed, self.order, self.column_group, pointers, stores, dims, self.fused, width)
        code.read_arrays()
        scope = Scope()
        scope.partial = {form: ir.Constant(I64, 0) for form in code.accesses}
        scope.partial.update(zip(self.index_forms, bases, strict=True))
        if self.row_group is not None:
            scope = code.enter(scope, row)
        if self.column_group is not None:
            scope = code.enter(scope, column, None if mask is None else Value(mask, "bool"))
            scope.values[given] = Value(acc, dtype)
        else:
            scope.values[given] = Value(code.wide.extract(Value(acc, dtype), 0), dtype)
        code.compute(scope, analysed.order)
        for output in range(result_count):
            code.store(scope, output)
