"""What becomes of a finished tile of accumulators: the epilogue, or the plain store into C."""

from collections.abc import Callable, Sequence

from llvmlite import ir

from bmc.codegen.contract.loop import each
from bmc.codegen.contract.spec import ContractSpec
from bmc.codegen.contract.vector import (
    INDEX,
    POINTER,
    at,
    index,
    lane_mask,
    lanes_of,
    load,
    masked_load,
    masked_store,
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


def finish_function(
    module: ir.Module,
    name: str,
    spec: ContractSpec,
    epilogue: Epilogue | None,
    extra_types: Sequence[ir.Type],
) -> ir.Function:
    """`void(T*, t_stride, rows, row, column, columns, C*, c_stride, extra...)`, internal to one product.

    Hands T[rows, columns], whose first element is C[row, column], to the epilogue or stores it. `C*` points at the tile.
    """
    parameters = [POINTER, INDEX, INDEX, INDEX, INDEX, INDEX, POINTER, INDEX, *extra_types]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), parameters), f"{name}.finish")
    function.linkage = "internal"
    t, t_stride, rows, first_row, first_column, columns, c, c_stride, *extra = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    lanes, dtype, vector = lanes_of(spec.dtype), spec.dtype, vector_type(spec.dtype)
    whole = builder.and_(columns, index(-lanes))
    mask = lane_mask(builder, builder.sub(columns, whole), dtype)
    partial = builder.icmp_signed("<", whole, columns)

    def one_row(row: ir.Value) -> None:
        source = at(builder, t, builder.mul(row, t_stride), dtype)
        target = at(builder, c, builder.mul(row, c_stride), dtype)
        matrix_row = builder.add(first_row, row)

        def one_vector(column: ir.Value, valid: ir.Value | None) -> None:
            value = load(builder, at(builder, source, column, dtype), vector)
            if epilogue is None:
                masked_store(builder, value, at(builder, target, column, dtype), valid)
            else:
                epilogue(builder, value, matrix_row, builder.add(first_column, column), valid, extra)

        each(builder, index(0), whole, index(lanes), lambda column: one_vector(column, None))
        if spec.n is None or spec.n % lanes:
            with builder.if_then(partial):
                one_vector(whole, mask)

    each(builder, index(0), rows, index(1), one_row)
    builder.ret_void()
    return function


def fetch_function(module: ir.Module, spec: ContractSpec) -> ir.Function:
    """`void(C*, c_stride, rows, columns, T*, t_stride)`: T = C[rows, columns], the start of accumulating chains.

    Shared within a module; T is written in whole vectors.
    """
    name = f"bmc_fetch_{spec.dtype}"
    if name in module.globals:
        return module.globals[name]
    parameters = [POINTER, INDEX, INDEX, INDEX, POINTER, INDEX]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), parameters), name)
    function.linkage = "internal"
    c, c_stride, rows, columns, t, t_stride = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    lanes, dtype, vector = lanes_of(spec.dtype), spec.dtype, vector_type(spec.dtype)

    def one_row(row: ir.Value) -> None:
        source = at(builder, c, builder.mul(row, c_stride), dtype)
        target = at(builder, t, builder.mul(row, t_stride), dtype)

        def one_vector(column: ir.Value) -> None:
            mask = lane_mask(builder, builder.sub(columns, column), dtype)
            value = masked_load(builder, at(builder, source, column, dtype), mask, vector)
            masked_store(builder, value, at(builder, target, column, dtype), None)

        each(builder, index(0), columns, index(lanes), one_vector)

    each(builder, index(0), rows, index(1), one_row)
    builder.ret_void()
    return function
