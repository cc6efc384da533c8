"""One product as a function of the caller's module: its epilogue, and a call of the product all such share."""

from collections.abc import Sequence

from llvmlite import ir

from bmc.codegen.contract.finish import Epilogue, finish_function, store_function
from bmc.codegen.contract.product import tile_product
from bmc.codegen.contract.row import row_product
from bmc.codegen.contract.spec import ContractSpec
from bmc.codegen.contract.vector import BIT, INDEX, POINTER, index


def emit_contract(
    module: ir.Module, name: str, spec: ContractSpec, epilogue: Epilogue | None, extra_args: Sequence[ir.Type]
) -> ir.Function:
    """Add `void name(A*, B*, C*, scratch*, i64 m, i64 n, i64 k, i64 lda, i64 ldb, i64 ldc, extra...)` to the module.

    Strides are in elements, of the rows as stored. `scratch` is `scratch_bytes(spec)` bytes, 64-byte aligned, its
    contents free before and after. A size that `spec` gives as a constant replaces the argument. Without an epilogue
    the result is stored to C; with one, C is read only if `accumulate` and otherwise never touched (it may be null).
    Any of m, n, k may be 0; with k = 0 the sums are 0 (or C). C and what the epilogue stores must not overlap A or B.
    """
    parameters = [POINTER, POINTER, POINTER, POINTER, *[INDEX] * 6, *extra_args]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), parameters), name)
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    given = (spec.m, spec.n, spec.k)
    sizes = [index(size) if size is not None else function.args[4 + i] for i, size in enumerate(given)]
    context: ir.Value = ir.Constant(POINTER, None)
    if epilogue is None:
        finish = store_function(module, spec.dtype)
    else:
        context_type = ir.LiteralStructType(extra_args)
        finish = finish_function(module, name, spec, epilogue, context_type)
        context = builder.alloca(context_type)
        for number, extra in enumerate(function.args[10:]):
            field = [ir.Constant(ir.IntType(32), 0), ir.Constant(ir.IntType(32), number)]
            builder.store(extra, builder.gep(context, field))
    flags = [ir.Constant(BIT, int(spec.accumulate)), ir.Constant(BIT, int(epilogue is None))]
    arguments = [*function.args[:4], *sizes, *function.args[7:10], *flags, finish, context]
    if spec.b_transposed or spec.m not in {1, None}:
        builder.call(tile_product(module, spec), arguments)
    elif spec.m == 1:
        builder.call(row_product(module, spec), arguments)
    else:
        with builder.if_else(builder.icmp_signed("==", sizes[0], index(1))) as (one, many):
            with one:
                builder.call(row_product(module, spec), arguments)
            with many:
                builder.call(tile_product(module, spec), arguments)
    builder.ret_void()
    return function
