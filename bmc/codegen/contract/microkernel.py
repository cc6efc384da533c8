"""Register tiles: the innermost loops of every product, emitted once in a module and shared by all its products.

A tile kernel reads A through run-time strides, so one function serves row-major, transposed and packed A, and B through
a run-time row stride, so it serves B in place and in panels.
"""

from collections.abc import Sequence

from llvmlite import ir

from bmc.codegen.contract.loop import each, for_range, minimum
from bmc.codegen.contract.spec import BLOCKING, ELEMENT_BYTES, PANEL_BYTES, ContractSpec
from bmc.codegen.contract.vector import (
    BIT,
    INDEX,
    POINTER,
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


def tile_kernel(module: ir.Module, spec: ContractSpec, height: int) -> ir.Function:
    """`void(A*, row_stride, k_stride, tile_stride, rows, B*, b_stride, k, T*, t_stride, continued)`.

    T[rows, 64 bytes] (+)= A[rows, K] B[K, 64 bytes] in tiles of `height` rows, which are `tile_stride` apart in A. All columns of
    B are read and of T written. `continued` (i1): the chains go on from T instead of starting at 0. In the last tile
    the rows that do not exist repeat the last one that does, in A and in T: they compute and store the same values.
    """
    dtype = spec.dtype
    name = f"bmc_tile_{dtype}_{height}x{BLOCKING[dtype].columns}_v{spec.vector_bytes}{'' if spec.fma else '_nofma'}"
    parameters = [POINTER, *[INDEX] * 4, POINTER, INDEX, INDEX, POINTER, INDEX, BIT]
    function = internal_function(module, name, parameters)
    if function is None:
        return module.globals[name]
    a, row_stride, k_stride, tile_stride, rows, b, b_stride, k, t, t_stride, continued = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    element = element_type(dtype)
    lanes, width = spec.vector_bytes // ELEMENT_BYTES[dtype], PANEL_BYTES // spec.vector_bytes
    vector = ir.VectorType(element, lanes)

    def tile(first: ir.Value, carried: list[ir.Value]) -> list[ir.Value]:
        a_tile, t_tile = carried
        last = builder.sub(builder.sub(rows, first), index(1))
        numbers = [index(0), *[minimum(builder, index(row), last) for row in range(1, height)]]
        row_pointers = [at(builder, a_tile, builder.mul(number, row_stride), dtype) for number in numbers]
        t_rows = [at(builder, t_tile, builder.mul(number, t_stride), dtype) for number in numbers]
        targets = [at(builder, row, index(v * lanes), dtype) for row in t_rows for v in range(width)]
        accumulators = _start(builder, targets, continued, vector)

        # One k step a turn: unrolled further, instruction scheduling moves loads up until registers spill.
        def step(_: ir.Value, state: list[ir.Value]) -> list[ir.Value]:
            a_offset, b_row, *sums = state
            columns = [load(builder, at(builder, b_row, index(v * lanes), dtype), vector) for v in range(width)]
            following = [builder.add(a_offset, k_stride), at(builder, b_row, b_stride, dtype)]
            for row, pointer in enumerate(row_pointers):
                value = splat(builder, load(builder, at(builder, pointer, a_offset, dtype), element), lanes)
                for v in range(width):
                    following.append(multiply_add(builder, value, columns[v], sums[width * row + v], fma=spec.fma))
            return following

        sums = for_range(builder, index(0), k, index(1), [index(0), b, *accumulators], step)[2:]
        for target, value in zip(targets, sums, strict=True):
            store(builder, value, target)
        next_t = at(builder, t_tile, builder.mul(index(height), t_stride), dtype)
        return [at(builder, a_tile, tile_stride, dtype), next_t]

    for_range(builder, index(0), rows, index(height), [a, t], tile)
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
            masks = [
                lane_mask(builder, builder.sub(columns, builder.add(first, index(v * lanes))), dtype)
                for v in range(width)
            ]
        target_row = at(builder, t, first, dtype)
        targets = [at(builder, target_row, index(v * lanes), dtype) for v in range(width)]
        accumulators = _start(builder, targets, continued, vector)

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


def _start(
    builder: ir.IRBuilder, targets: Sequence[ir.Value], continued: ir.Value, vector: ir.VectorType
) -> list[ir.Value]:
    """The accumulators' first values: zero, or what the targets hold."""
    fresh = builder.block
    with builder.if_then(continued):
        loaded = [load(builder, target, vector) for target in targets]
        loading = builder.block
    result = []
    for value in loaded:
        phi = builder.phi(vector)
        phi.add_incoming(ir.Constant(vector, None), fresh)
        phi.add_incoming(value, loading)
        result.append(phi)
    return result
