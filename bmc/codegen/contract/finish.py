"""What becomes of finished accumulators: the epilogue, or the plain store into C."""

from collections.abc import Callable, Sequence

from llvmlite import ir

from bmc.codegen.contract.loop import each
from bmc.codegen.contract.spec import ContractSpec, Dtype
from bmc.codegen.contract.vector import (
    INDEX,
    POINTER,
    at,
    index,
    internal_function,
    lane_mask,
    lanes_of,
    masked_load,
    masked_store,
    store,
    vector_type,
)

Epilogue = Callable[[ir.IRBuilder, ir.Value, ir.Value, ir.Value, ir.Value | None, Sequence[ir.Value]], None]
"""`epilogue(builder, acc, row, column, mask, extra)`: code for w finished elements C[row, column : column + w].

`acc` is `<w x T>` (w = 8 for f32, 4 for f64). `row` and `column` are i64 of the whole matrix. `mask` is None when all w
lanes are in bounds, else `<w x i1>`: whatever is loaded or stored at the column goes through `masked_load` and
`masked_store` with it, and stays inside the operands' rows. `extra` are the function's extra arguments. It is called
twice at compile time (whole and partial vectors) and runs exactly once for each element; it may add blocks and leaves
the builder at the end of the last.
"""


FINISH_TYPE = ir.FunctionType(ir.VoidType(), [POINTER, *[INDEX] * 5, POINTER, INDEX, POINTER])
"""`void(T*, t_stride, rows, row, column, columns, C*, c_stride, context*)`.

Finishes the accumulators T[rows, columns], whose first element is that of C[row, column], which `C*` points at.
`context` points at the product's extra arguments.
"""


def finish_function(
    module: ir.Module, name: str, spec: ContractSpec, epilogue: Epilogue, context_type: ir.LiteralStructType
) -> ir.Function:
    """The finishing function, internal to one product, that runs the epilogue."""
    function = ir.Function(module, FINISH_TYPE, f"{name}.finish")
    function.linkage = "internal"
    t, t_stride, rows, first_row, first_column, columns, _, _, context = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    extra = []
    for number, value_type in enumerate(context_type.elements):
        field = [ir.Constant(ir.IntType(32), 0), ir.Constant(ir.IntType(32), number)]
        extra.append(builder.load(builder.gep(context, field, source_etype=context_type), typ=value_type))

    def vector(value: ir.Value, row: ir.Value, column: ir.Value, mask: ir.Value | None) -> None:
        epilogue(builder, value, builder.add(first_row, row), builder.add(first_column, column), mask, extra)

    partial_vectors = spec.n is None or spec.n % lanes_of(spec.dtype) != 0
    _each_vector(builder, spec.dtype, (t, t_stride), (rows, columns), vector, partial_vectors=partial_vectors)
    builder.ret_void()
    return function


def store_function(module: ir.Module, dtype: Dtype) -> ir.Function:
    """The finishing function of products without an epilogue, shared: store to C."""
    name = f"bmc_store_{dtype}"
    function = internal_function(module, name, FINISH_TYPE.args)
    if function is None:
        return module.globals[name]
    t, t_stride, rows, _, _, columns, c, c_stride, _ = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))

    def vector(value: ir.Value, row: ir.Value, column: ir.Value, mask: ir.Value | None) -> None:
        target = at(builder, c, builder.add(builder.mul(row, c_stride), column), dtype)
        masked_store(builder, value, target, mask)

    _each_vector(builder, dtype, (t, t_stride), (rows, columns), vector, partial_vectors=True)
    builder.ret_void()
    return function


def fetch_function(module: ir.Module, dtype: Dtype) -> ir.Function:
    """`void(C*, c_stride, rows, columns, T*, t_stride)`, shared: T = C[rows, columns], where accumulating chains start.

    T is written in whole vectors.
    """
    name = f"bmc_fetch_{dtype}"
    function = internal_function(module, name, [POINTER, INDEX, INDEX, INDEX, POINTER, INDEX])
    if function is None:
        return module.globals[name]
    c, c_stride, rows, columns, t, t_stride = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))

    def vector(value: ir.Value, row: ir.Value, column: ir.Value, _: ir.Value | None) -> None:
        store(builder, value, at(builder, t, builder.add(builder.mul(row, t_stride), column), dtype))

    _each_vector(builder, dtype, (c, c_stride), (rows, columns), vector, partial_vectors=True)
    builder.ret_void()
    return function


def _each_vector(
    builder: ir.IRBuilder,
    dtype: Dtype,
    source: tuple[ir.Value, ir.Value],
    size: tuple[ir.Value, ir.Value],
    body: Callable[[ir.Value, ir.Value, ir.Value, ir.Value | None], None],
    *,
    partial_vectors: bool,
) -> None:
    """`body(value, row, column, mask)` for each vector of a matrix at (address, row stride) of (rows, columns)."""
    (address, stride), (rows, columns) = source, size
    lanes, vector = lanes_of(dtype), vector_type(dtype)
    whole = builder.and_(columns, index(-lanes))
    last_mask = lane_mask(builder, builder.sub(columns, whole), dtype)
    partial = builder.icmp_signed("<", whole, columns)

    def one_row(row: ir.Value) -> None:
        start = at(builder, address, builder.mul(row, stride), dtype)

        def one_vector(column: ir.Value, mask: ir.Value | None) -> None:
            body(masked_load(builder, at(builder, start, column, dtype), mask, vector), row, column, mask)

        each(builder, index(0), whole, index(lanes), lambda column: one_vector(column, None))
        if partial_vectors:
            with builder.if_then(partial):
                one_vector(whole, last_mask)

    each(builder, index(0), rows, index(1), one_row)
