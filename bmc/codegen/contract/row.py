"""Products with a single row, with the same chains as tiles: B is read in place and once.

A tile of one row has too few chains to hide the latency of an addition, so a strip of columns is wider here. Where B
is larger than the caches a strip would touch a few bytes of each of its rows, memory page after page; there, rows of B
are added to a row of sums, a few at a time, which reads B as it lies.
"""

from llvmlite import ir

from bmc.codegen.contract.finish import FINISH_TYPE, fetch_function
from bmc.codegen.contract.loop import each, for_range, minimum
from bmc.codegen.contract.microkernel import start_chains
from bmc.codegen.contract.product import PRODUCT_PARAMETERS
from bmc.codegen.contract.spec import BLOCKING, ContractSpec
from bmc.codegen.contract.vector import (
    BIT,
    INDEX,
    POINTER,
    FunctionPointer,
    at,
    element_type,
    index,
    internal_function,
    lane_mask,
    lanes_of,
    load,
    masked_load,
    multiply_add,
    splat,
    store,
    vector_type,
)

# Elements of B from which sums are kept in memory, and how many of them at a time.
STREAM_ELEMENTS = 1 << 17
STREAM_COLUMNS = 1024
STREAM_ROWS = 8


def row_product(module: ir.Module, spec: ContractSpec) -> ir.Function:
    """The product of one row, with the parameters of `tile_product` (m is taken for 1), shared."""
    name = f"bmc_row_product_{'t' if spec.a_transposed else 'n'}_{spec.dtype}{'' if spec.fma else '_nofma'}"
    function = internal_function(module, name, PRODUCT_PARAMETERS, cold=True)
    if function is None:
        return module.globals[name]
    a, b, c, scratch, _, n, k, lda, ldb, ldc, accumulate, _, finish, context = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    k_stride = lda if spec.a_transposed else index(1)
    large = builder.icmp_signed(">=", builder.mul(n, k), index(STREAM_ELEMENTS))
    wide = builder.icmp_signed(">=", n, index(STREAM_COLUMNS // 4))
    streams = builder.and_(large, wide)
    width = builder.select(streams, index(STREAM_COLUMNS), index(BLOCKING[spec.dtype].row_columns))

    def columns(start: ir.Value) -> None:
        count = minimum(builder, builder.sub(n, start), width)
        target = at(builder, c, start, spec.dtype)
        with builder.if_then(accumulate):
            builder.call(fetch_function(module, spec.dtype), [target, ldc, index(1), count, scratch, width])
        arguments = [a, k_stride, at(builder, b, start, spec.dtype), ldb, count, k, scratch, accumulate]
        with builder.if_else(streams) as (streaming, strip):
            with streaming:
                builder.call(stream_kernel(module, spec), arguments)
            with strip:
                builder.call(row_kernel(module, spec), arguments)
        finished = [scratch, width, index(1), index(0), start, count, target, ldc, context]
        builder.call(FunctionPointer(finish, FINISH_TYPE), finished)

    each(builder, index(0), n, width, columns)
    builder.ret_void()
    return function


def row_kernel(module: ir.Module, spec: ContractSpec) -> ir.Function:
    """`void(A*, k_stride, B*, b_stride, columns, k, T*, continued)`: T[1, row_columns] (+)= A[1, K] B[K, columns].

    For a single row, which the latency of a tile would slow down. Columns beyond `columns` are not read and give 0; T
    is written in full.
    """
    dtype = spec.dtype
    vectors = BLOCKING[dtype].row_vectors
    lanes, vector, element = lanes_of(dtype), vector_type(dtype), element_type(dtype)
    name = f"bmc_row_{dtype}_{vectors * lanes}{'' if spec.fma else '_nofma'}"
    parameters = [POINTER, INDEX, POINTER, INDEX, INDEX, INDEX, POINTER, BIT]
    function = internal_function(module, name, parameters)
    if function is None:
        return module.globals[name]
    a, k_stride, b, b_stride, columns, k, t, continued = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))

    def strip(width: int, masked: bool, first: ir.Value) -> None:
        """One pass over K for `width` vectors of columns from `first`."""
        masks: list[ir.Value | None] = [None] * width
        if masked:
            masks = [lane_mask(builder, builder.sub(columns, builder.add(first, index(v * lanes))), dtype) for v in range(width)]
        target_row = at(builder, t, first, dtype)
        targets = [at(builder, target_row, index(v * lanes), dtype) for v in range(width)]
        accumulators = start_chains(builder, targets, continued, vector)

        def body(_: ir.Value, carried: list[ir.Value]) -> list[ir.Value]:
            a_pointer, b_pointer, *sums = carried
            value = splat(builder, load(builder, a_pointer, element), lanes)
            result = []
            for v in range(width):
                column = masked_load(builder, at(builder, b_pointer, index(v * lanes), dtype), masks[v], vector)
                result.append(multiply_add(builder, value, column, sums[v], fma=spec.fma))
            return [at(builder, a_pointer, k_stride, dtype), at(builder, b_pointer, b_stride, dtype), *result]

        start = [a, at(builder, b, first, dtype), *accumulators]
        carried = for_range(builder, index(0), k, index(1), start, body)
        for target, result in zip(targets, carried[2:], strict=True):
            store(builder, result, target)

    full = builder.icmp_signed(">=", columns, index(vectors * lanes))
    with builder.if_else(full) as (whole, part):
        with whole:
            strip(vectors, False, index(0))
        with part:
            # Half as wide: masks and accumulators together fit the registers.
            half = vectors // 2
            each(builder, index(0), columns, index(half * lanes), lambda first: strip(half, True, first))
    builder.ret_void()
    return function


def stream_kernel(module: ir.Module, spec: ContractSpec) -> ir.Function:
    """The parameters and the result of `row_kernel`, for up to STREAM_COLUMNS columns, reading whole rows of B."""
    dtype = spec.dtype
    lanes, vector, element = lanes_of(dtype), vector_type(dtype), element_type(dtype)
    name = f"bmc_stream_{dtype}{'' if spec.fma else '_nofma'}"
    function = internal_function(module, name, [POINTER, INDEX, POINTER, INDEX, INDEX, INDEX, POINTER, BIT])
    if function is None:
        return module.globals[name]
    a, k_stride, b, b_stride, columns, k, t, continued = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    whole = builder.and_(columns, index(-lanes))
    with builder.if_then(builder.not_(continued)):
        zero = ir.Constant(vector, None)
        each(builder, index(0), whole, index(lanes), lambda j: store(builder, zero, at(builder, t, j, dtype)))

    def add_rows(depth: ir.Value, count: int) -> None:
        factors, rows = [], []
        for number in range(count):
            row = builder.add(depth, index(number))
            factor = load(builder, at(builder, a, builder.mul(row, k_stride), dtype), element)
            factors.append(splat(builder, factor, lanes))
            rows.append(at(builder, b, builder.mul(row, b_stride), dtype))

        def add(column: ir.Value) -> None:
            target = at(builder, t, column, dtype)
            total = load(builder, target, vector)
            for factor, row in zip(factors, rows, strict=True):
                part = load(builder, at(builder, row, column, dtype), vector)
                total = multiply_add(builder, factor, part, total, fma=spec.fma)
            store(builder, total, target)

        each(builder, index(0), whole, index(lanes), add)

    bulk = builder.and_(k, index(-STREAM_ROWS))
    each(builder, index(0), bulk, index(STREAM_ROWS), lambda depth: add_rows(depth, STREAM_ROWS))
    each(builder, bulk, k, index(1), lambda depth: add_rows(depth, 1))
    rest = builder.sub(columns, whole)
    with builder.if_then(builder.icmp_signed(">", rest, index(0))):
        b_rest, t_rest = at(builder, b, whole, dtype), at(builder, t, whole, dtype)
        builder.call(row_kernel(module, spec), [a, k_stride, b_rest, b_stride, rest, k, t_rest, continued])
    builder.ret_void()
    return function
